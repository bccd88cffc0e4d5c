//! `IVoiceEgress`.

use serde_json::{Value, json};

use super::voice::{check, room_name};
use super::{Call, Fault};
use crate::sim::voice::{Grant, Room, new_sid};

/// A token to hear one person; they need not be in the channel yet. `wsUrl` has an HTTP scheme, as on
/// the platform.
pub fn subscribe_track(call: Call<'_>) -> Result<Value, Fault> {
    let id = |name| call.params.id(name);
    let (space, channel, user) = (id("spaceId"), id("channelId"), id("userId"));
    check(call.world, call.bot, space, channel)?;
    let (track, room_name) = (new_sid(), room_name(space, channel));
    let grant = Grant {
        bot: call.bot,
        room: Room::Channel(channel),
        room_name: room_name.clone(),
        egress: Some((user, track.clone())),
    };
    Ok(json!({
        "roomName": room_name,
        "token": call.voice.tokens.issue(grant, call.now),
        "trackId": track,
        "wsUrl": call.voice.url("http"),
    }))
}

/// Ends a subscription and its socket. The platform wants `spaceId` in the query although its
/// documentation does not say so.
pub fn unsubscribe_track(call: Call<'_>) -> Result<Value, Fault> {
    let space = call.params.optional_id("spaceId");
    let space = space.ok_or_else(|| Fault::code("missing_space_id"))?;
    call.world.space_for(call.bot, space)?;
    let ended = call
        .voice
        .unsubscribe(call.bot, call.params.text("trackId"));
    Ok(json!({ "deleted": ended }))
}
