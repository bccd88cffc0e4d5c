//! Rules of slash commands and their options.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::controls::name;
use super::problem::Check;
use crate::contract::COMMAND_OPTION_TYPE;

/// A command that is registered or changed. The platform stores names in lower case, so they are sent
/// like that: what List answers then compares equal to what was registered.
pub(super) fn command(command: &mut Map<String, Value>, check: &mut Check) {
    if let Some(Value::String(name)) = command.get_mut("name") {
        *name = name.to_lowercase();
        let sound = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if let Some(wrong) = name.chars().find(|&c| !sound(c)) {
            check.problem_at(
                "name",
                format_args!("contains {wrong:?}; letters, digits, - and _ are allowed"),
            );
        }
    }
    unique_names(command, "options", check);
}

/// One option, or one below it.
pub(super) fn option(option: &mut Map<String, Value>, check: &mut Check) {
    super::controls::not_blank(option, "name", check);
    unique_names(option, "subOptions", check);
    unique_names(option, "choices", check);
    let Some(kind) = name(option, "type", &COMMAND_OPTION_TYPE) else {
        return; // reported
    };
    let fits: fn(&Value) -> bool = match kind {
        "string" => Value::is_string,
        "integer" => |value| value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => Value::is_number,
        _ => {
            super::controls::refuse(option, &["choices"], kind, check);
            return;
        }
    };
    let choices = option.get("choices").and_then(Value::as_array);
    for (at, choice) in choices.into_iter().flatten().enumerate() {
        if choice.get("value").is_some_and(|value| !fits(value)) {
            check.field("choices", |check| {
                check.index(at, |check| {
                    check.problem_at(
                        "value",
                        format_args!("does not fit the option's type, {kind}"),
                    );
                });
            });
        }
    }
}

/// Names in a list of options or choices may not repeat, whatever their letter case.
fn unique_names(object: &Map<String, Value>, list: &str, check: &mut Check) {
    let items = object.get(list).and_then(Value::as_array);
    let mut seen = HashSet::new();
    for (at, item) in items.into_iter().flatten().enumerate() {
        if let Some(name) = item.get("name").and_then(Value::as_str)
            && !seen.insert(name.to_lowercase())
        {
            check.field(list, |check| {
                check.index(at, |check| {
                    check.problem_at("name", format_args!("{name:?} is used twice"));
                });
            });
        }
    }
}
