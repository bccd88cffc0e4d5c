//! `ITyping`.

use serde_json::Value;

use super::{Call, Fault};

pub fn start(call: Call<'_>) -> Result<Value, Fault> {
    let channel = call.params.id("channelId");
    let (space, _) = call.world.channel_for(call.bot, channel)?;
    let space = space.id;
    call.world.require(call.bot, space, "sendMessages")?;
    let kind = call.params.optional_text("kind");
    call.world.start_typing(call.bot, channel, kind, call.now)?;
    Ok(Value::Null)
}

pub fn stop(call: Call<'_>) -> Result<Value, Fault> {
    let channel = call.params.id("channelId");
    call.world.channel_for(call.bot, channel)?;
    call.world.stop_typing(channel, call.bot);
    Ok(Value::Null)
}
