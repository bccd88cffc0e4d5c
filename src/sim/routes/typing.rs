//! `ITyping`.

use serde_json::Value;

use super::{Call, Fault};
use crate::sim::world::entitlements::SEND;

pub fn start(call: Call<'_>) -> Result<Value, Fault> {
    let channel = call.params.id("channelId");
    call.world.channel_for(call.bot, channel, SEND)?;
    let kind = call.params.optional_text("kind");
    call.world.start_typing(call.bot, channel, kind, call.now)?;
    Ok(Value::Null)
}

pub fn stop(call: Call<'_>) -> Result<Value, Fault> {
    let channel = call.params.id("channelId");
    call.world.channel_for(call.bot, channel, 0)?;
    call.world.stop_typing(channel, call.bot);
    Ok(Value::Null)
}
