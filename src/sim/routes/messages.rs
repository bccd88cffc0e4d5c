//! `IMessages`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::contract::limits::HISTORY_PAGE;
use crate::sim::clock::Now;
use crate::sim::params::Params;
use crate::sim::wire;
use crate::sim::world::{Draft, Id, World};

pub fn history(call: Call<'_>) -> Result<Value, Fault> {
    let params = call.params;
    let channel = params.id("channelId");
    let (most, usual) = HISTORY_PAGE;
    let asked = params.optional_int("limit").unwrap_or(i64::from(usual));
    let limit = asked.clamp(1, i64::from(most)) as usize;
    let from = params.optional_int("from");
    let (space, page) = call.world.history(call.bot, channel, from, limit)?;
    let quirks = call.world.quirks();
    let messages: Vec<Value> = page
        .map(|message| wire::message_dto(quirks, space, channel, message, call.now))
        .collect();
    Ok(json!({ "messages": messages }))
}

pub fn send(call: Call<'_>) -> Result<Value, Fault> {
    let id = write(call.world, call.bot, call.params, call.now)?;
    Ok(json!({ "messageId": id }))
}

/// Writes the message that a Send or a Reply describes.
pub fn write(world: &mut World, bot: Id, params: &Params, now: Now) -> Result<i64, Fault> {
    let draft = Draft {
        text: params.text("text").to_owned(),
        entities: params.list("entities").cloned().unwrap_or_default(),
        controls: params.list("controls").cloned(),
        reply_to: params.optional_int("replyTo"),
    };
    let channel = params.id("channelId");
    let random_id = match world.quirks().missing_are_defaults {
        true => Some(params.int("randomId")),
        false => params.optional_int("randomId"),
    };
    world.send(bot, channel, draft, random_id, now)
}
