//! `ICalls`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::voice::{Grant, Room};

/// Accepts a call that rings: a token for a duplex socket with the caller.
pub fn accept(call: Call<'_>) -> Result<Value, Fault> {
    let id = call.params.id("callId");
    let caller = call.world.accept_call(call.bot, id)?;
    let grant = Grant {
        bot: call.bot,
        room: Room::Call(id),
        room_name: format!("call:{id}"),
        egress: None,
    };
    let room_name = grant.room_name.clone();
    Ok(json!({
        "audioBaseUrl": call.voice.url("http"),
        "callerId": caller,
        "roomName": room_name,
        "token": call.voice.tokens.issue(grant, call.now),
    }))
}

/// Rejects a call; ends one that was accepted.
pub fn reject(call: Call<'_>) -> Result<Value, Fault> {
    let (id, reason) = (
        call.params.id("callId"),
        call.params.optional_text("reason"),
    );
    let rejected = call.world.reject_call(call.bot, id, reason)?;
    Ok(json!({ "rejected": rejected }))
}

/// Empty on the platform today, whatever rings.
pub fn ringing(call: Call<'_>) -> Result<Value, Fault> {
    let calls = call.world.calls();
    let calls = calls.filter(|known| known.bot == call.bot && known.rings_until().is_some());
    let calls: Vec<Value> = calls
        .filter(|_| !call.world.quirks().empty_lists)
        .map(|known| json!({ "callId": known.id, "callerId": known.caller }))
        .collect();
    Ok(json!({ "calls": calls }))
}
