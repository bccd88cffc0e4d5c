//! `IVoice`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::voice::{Grant, Room};
use crate::sim::world::entitlements::{CONNECT, SPEAK};
use crate::sim::world::{Id, VOICE, World};

/// A token to speak in a voice channel.
pub fn stream_token(call: Call<'_>) -> Result<Value, Fault> {
    let (space, channel) = (call.params.id("spaceId"), call.params.id("channelId"));
    check(call.world, call.bot, space, channel, CONNECT | SPEAK)?;
    let grant = Grant {
        bot: call.bot,
        room: Room::Channel(channel),
        room_name: room_name(space, channel),
        egress: None,
    };
    let room_name = grant.room_name.clone();
    Ok(json!({
        "ingressUrl": call.voice.url("ws"),
        "roomName": room_name,
        "token": call.voice.tokens.issue(grant, call.now),
    }))
}

/// Whether the bot may do that in that voice channel.
pub fn check(world: &World, bot: Id, space: Id, channel: Id, needs: u64) -> Result<(), Fault> {
    let place = world.space_for(bot, space, 0)?;
    let channels = &mut place.channels.iter();
    match channels.find(|known| known.id == channel) {
        None => Err(Fault::code("channel_not_found")),
        Some(channel) if channel.kind != VOICE => Err(Fault::code("not_voice_channel")),
        Some(_) => world.channel_for(bot, channel, needs).map(drop),
    }
}

/// The room of a voice channel.
pub fn room_name(space: Id, channel: Id) -> String {
    format!("{space}:{channel}")
}
