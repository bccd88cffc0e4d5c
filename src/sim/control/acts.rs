//! What people do with messages, commands and controls.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{MessageId, Shared};
use crate::contract::MESSAGE_ENTITY;
use crate::contract::Type;
use crate::sim::params::check;
use crate::sim::quirks::Quirks;
use crate::sim::world::{Draft, Fault, Id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Say {
    user_id: Id,
    channel_id: Id,
    text: String,
    #[serde(default)]
    entities: Value,
    #[serde(default)]
    reply_to: Option<MessageId>,
}

pub fn message(shared: &Shared, request: Say) -> Result<Value, Fault> {
    const LIST: Type = Type::List(&Type::Union(&MESSAGE_ENTITY));
    // As names or numbers, whatever the dialect.
    let reading = Quirks {
        numbered_entities: false,
        ..Quirks::default()
    };
    let entities = check(&request.entities, &LIST, "entities", reading).map_err(Fault::bad)?;
    let draft = Draft {
        text: request.text,
        entities: entities.as_array().cloned().unwrap_or_default(),
        controls: None,
        reply_to: request.reply_to.map(|id| id.0),
    };
    let id = shared.act(|world, now| world.say(request.user_id, request.channel_id, draft, now))?;
    Ok(json!({ "messageId": id.to_string() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edit {
    user_id: Id,
    channel_id: Id,
    message_id: MessageId,
    text: String,
}

pub fn edit(shared: &Shared, request: Edit) -> Result<Value, Fault> {
    let (user, channel) = (request.user_id, request.channel_id);
    let message = request.message_id.0;
    shared.act(|world, now| world.rewrite(user, channel, message, request.text, now))?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct React {
    user_id: Id,
    channel_id: Id,
    message_id: MessageId,
    emoji: String,
    #[serde(default)]
    remove: bool,
}

pub fn react(shared: &Shared, request: React) -> Result<Value, Fault> {
    shared.act(|world, now| {
        world.react_as(
            request.user_id,
            request.channel_id,
            request.message_id.0,
            &request.emoji,
            request.remove,
            now,
        )
    })?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    user_id: Id,
    channel_id: Id,
    #[serde(default)]
    command_id: Option<Id>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    options: BTreeMap<String, Value>,
}

pub fn command(shared: &Shared, request: Run) -> Result<Value, Fault> {
    if request.command_id.is_none() && request.name.is_none() {
        return Err(Fault::bad("commandId or name is missing"));
    }
    let id = shared.act(|world, now| {
        world.run_command(
            request.user_id,
            request.channel_id,
            request.command_id,
            request.name.as_deref(),
            &request.options,
            now,
        )
    })?;
    Ok(json!({ "interactionId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Click {
    user_id: Id,
    channel_id: Id,
    message_id: MessageId,
    control_id: String,
}

pub fn click(shared: &Shared, request: Click) -> Result<Value, Fault> {
    let id = shared.act(|world, now| {
        world.click(
            request.user_id,
            request.channel_id,
            request.message_id.0,
            &request.control_id,
            now,
        )
    })?;
    Ok(json!({ "interactionId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Select {
    user_id: Id,
    channel_id: Id,
    message_id: MessageId,
    custom_id: String,
    values: Vec<String>,
}

pub fn select(shared: &Shared, request: Select) -> Result<Value, Fault> {
    let id = shared.act(|world, now| {
        world.select(
            request.user_id,
            request.channel_id,
            request.message_id.0,
            &request.custom_id,
            &request.values,
            now,
        )
    })?;
    Ok(json!({ "interactionId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submit {
    user_id: Id,
    modal_interaction_id: Id,
    #[serde(default)]
    values: BTreeMap<String, Vec<String>>,
}

pub fn submit(shared: &Shared, request: Submit) -> Result<Value, Fault> {
    let (user, modal) = (request.user_id, request.modal_interaction_id);
    let id = shared.act(|world, now| world.submit(user, modal, &request.values, now))?;
    Ok(json!({ "interactionId": id }))
}
