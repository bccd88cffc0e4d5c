//! What people give to commands and selects, checked against what was defined.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Command, Id, Space, wire};
use crate::contract::COMMAND_OPTION_TYPE;

/// Checks a command's options as a person gave them and brings them into the event's form.
pub(super) fn check_options(
    command: &Command,
    given: &BTreeMap<String, Value>,
    space: &Space,
) -> Result<Vec<Value>, String> {
    let options = command.options.as_deref().unwrap_or_default();
    let name_of = |option: &Value| option["name"].as_str().unwrap_or_default().to_owned();
    if let Some(unknown) = given
        .keys()
        .find(|name| !options.iter().any(|option| name_of(option) == **name))
    {
        return Err(format!("/{} has no option {unknown}", command.name));
    }
    let mut values = Vec::new();
    for option in options {
        let name = name_of(option);
        let Some(value) = given.get(&name).filter(|value| !value.is_null()) else {
            if option["required"].as_bool() == Some(true) {
                return Err(format!("the option {name} is required"));
            }
            continue;
        };
        let number = option["type"].as_i64().unwrap_or(0);
        let kind = COMMAND_OPTION_TYPE.name_of(number).unwrap_or("string");
        let fits = match kind {
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => value.is_string(),
        };
        if !fits {
            return Err(format!("the option {name} must be of type {kind}"));
        }
        if let "user" | "channel" | "role" = kind {
            let id = value.as_str().unwrap_or_default().to_owned();
            let kind = if kind == "role" { "archetype" } else { kind };
            check_subjects(space, kind, &[id])?;
        }
        let choices = option["choices"].as_array().filter(|c| !c.is_empty());
        if let Some(choices) = choices
            && !choices
                .iter()
                .any(|choice| is_same(&choice["value"], value))
        {
            return Err(format!("{value} is no choice of the option {name}"));
        }
        values.push(wire::option_value(&name, number, value));
    }
    Ok(values)
}

/// Whether both are the same text, or the same number however it is written.
fn is_same(choice: &Value, value: &Value) -> bool {
    choice == value || (choice.is_number() && choice.as_f64() == value.as_f64())
}

/// Checks that ids name a user, channel or archetype of the space; other kinds pass.
pub(super) fn check_subjects(space: &Space, kind: &str, ids: &[String]) -> Result<(), String> {
    for id in ids {
        let parsed = Id::try_parse(id).ok();
        let there = |mut known: Box<dyn Iterator<Item = Id> + '_>| known.any(|k| Some(k) == parsed);
        let found = match kind {
            "user" => there(Box::new(space.members.iter().map(|member| member.user))),
            "channel" => there(Box::new(space.channels.iter().map(|channel| channel.id))),
            "archetype" => there(Box::new(space.archetypes.iter().map(|known| known.id))),
            _ => true,
        };
        if !found {
            return Err(format!("{id} is no {kind} of the space"));
        }
    }
    Ok(())
}
