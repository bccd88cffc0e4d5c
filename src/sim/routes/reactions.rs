//! `IReactions`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::contract::limits::REACTION_BATCH;
use crate::sim::wire;

pub fn add(call: Call<'_>) -> Result<Value, Fault> {
    let (channel, message) = (call.params.id("channelId"), call.params.int("messageId"));
    let emoji = call.params.text("emoji");
    let now = call.now;
    call.world
        .add_reaction(call.bot, channel, message, emoji, now)?;
    Ok(Value::Null)
}

/// Reads at most 50 messages; those that do not exist are left out.
pub fn batch_get(call: Call<'_>) -> Result<Value, Fault> {
    let (_, channel) = call
        .world
        .channel_for(call.bot, call.params.id("channelId"), 0)?;
    let ids = call.params.list("messageIds").into_iter().flatten();
    let messages: Vec<Value> = ids
        .take(REACTION_BATCH)
        .filter_map(|id| channel.message(id.as_i64()?))
        .map(|message| {
            json!({
                "messageId": message.id,
                "reactions": wire::reactions(&message.reactions),
            })
        })
        .collect();
    Ok(json!({ "messages": messages }))
}

/// 404 on the platform today, whatever there is.
pub fn list(call: Call<'_>) -> Result<Value, Fault> {
    let (channel, message) = (call.params.id("channelId"), call.params.int("messageId"));
    let (_, channel) = call.world.channel_for(call.bot, channel, 0)?;
    let message = channel.message(message);
    let message = message.filter(|_| !call.world.quirks().empty_lists);
    let message = message.ok_or_else(|| Fault::code("message_not_found"))?;
    Ok(json!({ "reactions": wire::reactions(&message.reactions) }))
}

pub fn remove(call: Call<'_>) -> Result<Value, Fault> {
    let (channel, message) = (call.params.id("channelId"), call.params.int("messageId"));
    let emoji = call.params.text("emoji");
    call.world
        .remove_reaction(call.bot, channel, message, emoji, call.now)?;
    Ok(Value::Null)
}
