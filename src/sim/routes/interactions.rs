//! `IInteractions`.

use serde_json::{Value, json};

use super::messages::write;
use super::{Call, Fault};

pub fn ack(call: Call<'_>) -> Result<Value, Fault> {
    acknowledge(call, "ack")
}

pub fn defer(call: Call<'_>) -> Result<Value, Fault> {
    acknowledge(call, "defer")
}

fn acknowledge(call: Call<'_>, kind: &'static str) -> Result<Value, Fault> {
    let id = call.params.id("interactionId");
    call.world.acknowledge(call.bot, id, kind, call.now)?;
    Ok(Value::Null)
}

pub fn edit_message(call: Call<'_>) -> Result<Value, Fault> {
    let params = call.params;
    let channel = params.id("channelId");
    call.world.edit_own(
        call.bot,
        channel,
        params.int("messageId"),
        params.optional_text("text").map(str::to_owned),
        params.list("controls").cloned(),
        call.now,
    )?;
    call.world.answered_in(call.bot, channel);
    Ok(Value::Null)
}

pub fn modal(call: Call<'_>) -> Result<Value, Fault> {
    let id = call.params.id("interactionId");
    let definition = call.params.value("modal").clone();
    let modal = call.world.open_form(call.bot, id, definition, call.now)?;
    Ok(json!({ "modalInteractionId": modal }))
}

/// A Send that answers: the request names the channel, not the interaction.
pub fn reply(call: Call<'_>) -> Result<Value, Fault> {
    let id = write(call.world, call.bot, call.params, call.now)?;
    let channel = call.params.id("channelId");
    call.world.answered_in(call.bot, channel);
    Ok(json!({ "messageId": id }))
}
