//! `IVoiceEgress`.

use serde_json::{Value, json};

use super::voice::{check, room_name};
use super::{Call, Fault};
use crate::sim::voice::{Grant, Room, new_sid};
use crate::sim::world::entitlements::CONNECT;

/// A token to hear one person; they need not be in the channel yet. `wsUrl` has an HTTP scheme on the
/// platform.
pub fn subscribe_track(call: Call<'_>) -> Result<Value, Fault> {
    let id = |name| call.params.id(name);
    let (space, channel, user) = (id("spaceId"), id("channelId"), id("userId"));
    check(call.world, call.bot, space, channel, CONNECT)?;
    let scheme = match call.world.quirks().egress_wants_space {
        true => "http",
        false => "ws",
    };
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
        "wsUrl": call.voice.url(scheme),
    }))
}

/// Ends a subscription and its socket. The platform wants `spaceId` in the query although its
/// documentation does not say so.
pub fn unsubscribe_track(call: Call<'_>) -> Result<Value, Fault> {
    match call.params.optional_id("spaceId") {
        Some(space) => {
            call.world.space_for(call.bot, space, 0)?;
        }
        None if call.world.quirks().egress_wants_space => {
            return Err(Fault::code("missing_space_id"));
        }
        None => {}
    }
    let ended = call
        .voice
        .unsubscribe(call.bot, call.params.text("trackId"));
    Ok(json!({ "deleted": ended }))
}
