//! `argon.command{ name, description, spaceId, options, defaultPermission, run }`.
//!
//! The definition is checked as the call that will register it, so that a mistake is raised here.
//! Names are lower-case on the platform; capitals are lowered.

use mlua::{Lua, Table, Value};

use super::{Kit, function, wrong};
use crate::contract;
use crate::limits::COMMANDS;
use crate::rest;
use crate::script::commands::CommandSpec;
use crate::script::dispatch::Kind;
use crate::script::errors::Fault;
use crate::script::guest::Guest;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let command = kit.function(|guest, lua, definition: Value| match definition {
        Value::Table(definition) => register(guest, lua, &definition),
        other => Err(wrong("argon.command: the definition", "a table", &other)),
    })?;
    kit.argon.raw_set("command", command)
}

fn register(guest: &Guest, lua: &Lua, definition: &Table) -> Result<(), Fault> {
    let route = contract::route("ICommands", "Register")
        .ok_or_else(|| Fault::text("the contract has no route ICommands/Register"))?;
    // The host registers it in the script's name.
    guest.may_call(lua, route)?;
    let run = function(definition.raw_get("run")?, "argon.command: run")?;
    // The script's table stays as it is; `run` is not the platform's.
    let params = lua.create_table()?;
    for pair in definition.pairs::<Value, Value>() {
        let (key, value) = pair?;
        if !matches!(&key, Value::String(name) if *name == "run") {
            params.raw_set(key, value)?;
        }
    }
    if let Value::String(name) = params.raw_get("name")? {
        params.raw_set("name", name.to_string_lossy().to_lowercase())?;
    }
    let definition = guest
        .codec
        .encode_params(&params, route)
        .map_err(|error| Fault::text(format!("argon.command: {error}")))?;
    if let Err(error) = rest::Call::new(route, definition.clone()) {
        let message = error.message.unwrap_or(error.code);
        return Err(Fault::text(format!("argon.command: {message}")));
    }
    let text = |name: &str| {
        let value = definition.get(name).and_then(serde_json::Value::as_str);
        value.map(str::to_owned)
    };
    let name = text("name").unwrap_or_default();
    let space = text("spaceId");
    if guest.knows_command(&name, space.as_deref()) {
        return Err(Fault::text(format!(
            "argon.command: this script has registered /{name} already"
        )));
    }
    if guest.commands() >= COMMANDS {
        return Err(Fault::text(format!(
            "argon.command: the script has {COMMANDS} commands already"
        )));
    }
    let kind = Kind::Command {
        function: run,
        name: name.clone(),
        space: space.clone(),
    };
    guest.wants("commandInteraction")?;
    guest.handlers.borrow_mut().add("commandInteraction", kind);
    guest.has_command(CommandSpec {
        script: guest.name.clone(),
        name,
        space_id: space,
        definition,
    });
    Ok(())
}

impl Guest {
    /// Which of this script's commands an interaction calls: name and space.
    ///
    /// The platform's id decides which command it is once the host knows it, because there may be two of one
    /// name, one of them for this space only. Until then the space's own command goes first. Whose it is, the
    /// registrations say: a command that has moved from one script to another keeps its id, and the
    /// synchronisation, which tells the new owner, may come later than the first interaction.
    pub(in crate::script) fn command_of(&self, event: &Table) -> Option<(String, Option<String>)> {
        let text = |name: &str| event.raw_get::<Option<String>>(name).ok().flatten();
        let id = text("commandId").unwrap_or_default();
        let (name, space) = match self.shared.command_ids().get(&id) {
            Some(key) => (key.name.clone(), key.space_id.clone()),
            None => {
                let name = text("commandName")?.to_lowercase();
                let space = text("spaceId");
                let own = |space: &String| self.shared.owner_of(&name, Some(space)).is_some();
                let space = space.filter(own);
                (name, space)
            }
        };
        let owner = self.shared.owner_of(&name, space.as_deref());
        (owner.as_ref() == Some(&self.name)).then_some((name, space))
    }

    /// The options of a command interaction by name, each of the type that it was declared with.
    pub(in crate::script) fn command_options(
        &self,
        lua: &Lua,
        event: &Table,
    ) -> mlua::Result<Table> {
        let options = lua.create_table()?;
        let Value::Table(given) = event.raw_get("options")? else {
            return Ok(options);
        };
        for option in given.sequence_values::<Table>() {
            let option = option?;
            let kind: Option<String> = option.raw_get("type").unwrap_or_default();
            let value: Value = option.raw_get("value")?;
            options.raw_set(
                option.raw_get::<Value>("name")?,
                typed(lua, kind.as_deref(), value)?,
            )?;
        }
        Ok(options)
    }
}

/// The platform sends some values as text.
fn typed(lua: &Lua, kind: Option<&str>, value: Value) -> mlua::Result<Value> {
    Ok(match (kind, &value) {
        (Some("integer" | "number"), Value::String(text)) => {
            match text.to_string_lossy().trim().parse::<f64>() {
                Ok(number) => Value::Number(number),
                Err(_) => value,
            }
        }
        (Some("boolean"), Value::String(text)) => {
            match text.to_string_lossy().to_ascii_lowercase().as_str() {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                _ => value,
            }
        }
        (Some("string" | "user" | "channel" | "role"), Value::Integer(_) | Value::Number(_)) => {
            Value::String(lua.create_string(value.to_string()?)?)
        }
        _ => value,
    })
}
