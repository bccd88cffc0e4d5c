//! `IChannels`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::wire;
use crate::sim::world::NewChannel;

pub fn create(call: Call<'_>) -> Result<Value, Fault> {
    let params = call.params;
    let space = params.id("spaceId");
    let new = NewChannel {
        name: params.text("name").to_owned(),
        kind: params.int("channelType"),
        description: params.optional_text("description").map(str::to_owned),
        group: params.optional_id("groupId"),
    };
    let id = call.world.create_channel(call.bot, space, new)?;
    let (_, channel) = call
        .world
        .channel(id)
        .ok_or(Fault::Crash("channel_not_found"))?;
    Ok(wire::channel(space, channel))
}

pub fn delete(call: Call<'_>) -> Result<Value, Fault> {
    let (space, channel) = (call.params.id("spaceId"), call.params.id("channelId"));
    call.world.delete_channel(call.bot, space, channel)?;
    Ok(json!({ "deleted": true }))
}

/// The channels that the bot sees.
pub fn list(call: Call<'_>) -> Result<Value, Fault> {
    let space = call
        .world
        .space_for(call.bot, call.params.id("spaceId"), 0)?;
    let channels = space.channels.iter();
    let channels = channels.filter(|channel| space.entitlements_in(channel, call.bot) != 0);
    let channels: Vec<Value> = channels
        .map(|channel| wire::channel(space.id, channel))
        .collect();
    Ok(json!({ "channels": channels }))
}
