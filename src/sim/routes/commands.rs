//! `ICommands`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::wire;
use crate::sim::world::NewCommand;

pub fn delete(call: Call<'_>) -> Result<Value, Fault> {
    let id = call.params.id("commandId");
    call.world.delete_command(call.bot, id)?;
    Ok(json!({ "deleted": true }))
}

pub fn list(call: Call<'_>) -> Result<Value, Fault> {
    let commands: Vec<Value> = call
        .world
        .commands_of(call.bot)
        .map(wire::command)
        .collect();
    Ok(json!({ "commands": commands }))
}

/// The bot's own commands that people can use in the space.
pub fn list_for_space(call: Call<'_>) -> Result<Value, Fault> {
    let space = call.params.id("spaceId");
    call.world.space_for(call.bot, space, 0)?;
    let commands = call.world.commands_of(call.bot);
    let commands: Vec<Value> = commands
        .filter(|command| command.space.is_none_or(|scope| scope == space))
        .map(wire::command)
        .collect();
    Ok(json!({ "commands": commands }))
}

pub fn register(call: Call<'_>) -> Result<Value, Fault> {
    let params = call.params;
    let new = NewCommand {
        space: params.optional_id("spaceId"),
        name: params.text("name").to_owned(),
        description: params.text("description").to_owned(),
        options: params.list("options").cloned(),
        default_permission: params.optional_bool("defaultPermission").unwrap_or(true),
    };
    let command = call.world.register_command(call.bot, new)?;
    Ok(json!({
        "commandId": command.id,
        "name": command.name,
        "spaceId": command.space,
    }))
}

pub fn update(call: Call<'_>) -> Result<Value, Fault> {
    let params = call.params;
    let command = call.world.update_command(
        call.bot,
        params.id("commandId"),
        params.optional_text("description").map(str::to_owned),
        params.list("options").cloned(),
        params.optional_bool("defaultPermission"),
    )?;
    Ok(wire::command(command))
}
