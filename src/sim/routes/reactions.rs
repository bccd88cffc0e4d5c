//! `IReactions`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::contract::limits::REACTION_BATCH;
use crate::sim::wire;

pub fn add(call: Call<'_>) -> Result<Value, Fault> {
    let (channel, message) = (call.params.id("channelId"), call.params.int("messageId"));
    let emoji = call.params.text("emoji");
    call.world.add_reaction(call.bot, channel, message, emoji)?;
    Ok(Value::Null)
}

/// Reads at most 50 messages; those that do not exist are left out.
pub fn batch_get(call: Call<'_>) -> Result<Value, Fault> {
    let (_, channel) = call
        .world
        .channel_for(call.bot, call.params.id("channelId"))?;
    let ids = call.params.list("messageIds").into_iter().flatten();
    let messages: Vec<Value> = ids
        .take(REACTION_BATCH)
        .filter_map(|id| channel.message(id.as_i64()?))
        .map(|message| {
            json!({
                "messageId": message.id,
                "reactions": wire::reactions(message),
            })
        })
        .collect();
    Ok(json!({ "messages": messages }))
}

/// Answers 404 whatever there is, as on the platform today.
pub fn list(_: Call<'_>) -> Result<Value, Fault> {
    Err(Fault::code("message_not_found"))
}

pub fn remove(call: Call<'_>) -> Result<Value, Fault> {
    let (channel, message) = (call.params.id("channelId"), call.params.int("messageId"));
    let emoji = call.params.text("emoji");
    call.world
        .remove_reaction(call.bot, channel, message, emoji)?;
    Ok(Value::Null)
}
