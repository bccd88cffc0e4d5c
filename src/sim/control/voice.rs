//! Voice and calls from people's side: call a bot, hang up, speak packets, read what was heard.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::view::call_view;
use super::{Parameters, Shared, parameter, read, reply};
use crate::sim::server;
use crate::sim::voice::{file, packet};
use crate::sim::world::entitlements::{SPEAK, lacks};
use crate::sim::world::{Fault, Id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ring {
    user_id: Id,
    #[serde(default)]
    bot_id: Option<Id>,
    #[serde(default)]
    locale: Option<String>,
}

pub fn call(shared: &Shared, request: Ring) -> Result<Value, Fault> {
    let locale = request.locale.as_deref();
    if locale.is_some_and(|locale| !is_language_tag(locale)) {
        return Err(Fault::bad("locale must be a language tag such as en-GB"));
    }
    let id = shared.act(|world, now| {
        let first = world.bots().iter().find(|bot| bot.verified);
        let bot = request.bot_id.or(first.map(|bot| bot.user));
        let bot = bot.ok_or_else(|| Fault::missing("there is no verified bot to call"))?;
        world.ring(request.user_id, bot, locale, now)
    })?;
    Ok(json!({ "callId": id }))
}

/// The form of a BCP-47 tag: parts of letters and digits.
fn is_language_tag(tag: &str) -> bool {
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    tag.len() <= 35 && tag.split('-').all(part)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HangUp {
    user_id: Id,
    call_id: Id,
}

pub fn hang_up(shared: &Shared, request: HangUp) -> Result<Value, Fault> {
    shared.act(|world, _| world.hang_up(request.user_id, request.call_id))?;
    Ok(json!({}))
}

pub async fn calls(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.state();
    let calls: Vec<Value> = state.world.calls().map(call_view).collect();
    reply(Ok(json!({ "calls": calls })))
}

/// Milliseconds between packets, at most.
const LONGEST_INTERVAL_MS: f64 = 10_000.0;
/// The largest file that is spoken, base64 and all: half an hour.
const LARGEST_FILE: usize = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Speak {
    user_id: Id,
    #[serde(default)]
    channel_id: Option<Id>,
    #[serde(default)]
    call_id: Option<Id>,
    #[serde(default)]
    packets: Option<Vec<String>>,
    #[serde(default)]
    ogg: Option<String>,
    #[serde(default)]
    interval_ms: Option<f64>,
}

pub fn speak() -> MethodRouter<Arc<Shared>> {
    let speak = |State(shared): State<Arc<Shared>>, body: Bytes| async move {
        reply(match read(&body) {
            Ok(request) => say(&shared, request).await,
            Err(fault) => Err(fault),
        })
    };
    post(speak).layer(DefaultBodyLimit::max(LARGEST_FILE))
}

/// One voice of a person at a time; it is free again when this is dropped.
struct Speech<'a> {
    shared: &'a Shared,
    room: Id,
    who: Id,
}

impl Drop for Speech<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.voice.rooms.end_speech(self.room, self.who);
    }
}

async fn say(shared: &Shared, request: Speak) -> Result<Value, Fault> {
    let room = one_room(request.channel_id, request.call_id)?;
    let interval = request.interval_ms;
    if interval.is_some_and(|ms| !(0.0..=LONGEST_INTERVAL_MS).contains(&ms)) {
        return Err(Fault::bad("intervalMs is a number from 0 to 10000"));
    }
    let packets = match (&request.packets, &request.ogg) {
        (Some(packets), None) => decoded(packets)?,
        (None, Some(ogg)) => {
            let ogg = STANDARD.decode(ogg);
            let ogg = ogg.map_err(|error| Fault::bad(format!("ogg: {error}")))?;
            file::read(&ogg).map_err(|error| Fault::bad(format!("ogg: {error}")))?
        }
        _ => return Err(Fault::bad("send either packets or ogg")),
    };
    let who = request.user_id;
    {
        let mut state = shared.state();
        person_in(&state, room, who)?;
        // Whoever joined without being allowed to speak has no track.
        if state.voice.rooms.listen(room, who, None).is_none() {
            return Err(lacks(SPEAK));
        }
        if !state.voice.rooms.begin_speech(room, who) {
            return Err(Fault::bad("this person is speaking already"));
        }
    }
    let _speech = Speech { shared, room, who };
    let mut stop = shared.stopping();
    let mut due = Instant::now();
    let mut spoken = 0;
    for data in packets {
        let length = match interval {
            Some(ms) => Duration::from_secs_f64(ms / 1e3),
            None => packet::duration(&data),
        };
        tokio::select! {
            () = sleep_until(due) => {}
            _ = stop.wait_for(|&stop| stop) => break,
        }
        let mut state = shared.state();
        if !state.voice.rooms.send(room, who, data, Instant::now()) {
            break;
        }
        due += length;
        spoken += 1;
    }
    Ok(json!({ "spoken": spoken }))
}

fn decoded(packets: &[String]) -> Result<Vec<Bytes>, Fault> {
    let decoded = packets.iter().enumerate().map(|(index, text)| {
        let wrong = |error: String| Fault::bad(format!("packets[{index}]: {error}"));
        let data = STANDARD.decode(text);
        let data = data.map_err(|error| wrong(error.to_string()))?;
        packet::check(&data).map_err(|error| wrong(error.to_string()))?;
        Ok(Bytes::from(data))
    });
    decoded.collect()
}

/// Fails unless a person of that id is in the room.
pub fn person_in(state: &server::State, room: Id, who: Id) -> Result<(), Fault> {
    if state.world.user(who).is_none_or(|user| user.is_bot()) {
        return Err(Fault::missing("there is no such person"));
    }
    match state.voice.rooms.is_in(room, who) {
        true => Ok(()),
        false => Err(Fault::bad(
            "this person is not there: join with POST voice, or have the call accepted",
        )),
    }
}

/// The room that a request means.
pub fn one_room(channel: Option<Id>, call: Option<Id>) -> Result<Id, Fault> {
    match (channel, call) {
        (Some(room), None) | (None, Some(room)) => Ok(room),
        _ => Err(Fault::bad("send either channelId or callId")),
    }
}

pub async fn recording(State(shared): State<Arc<Shared>>, Query(query): Parameters) -> Response {
    let recorded = || {
        let (room, who) = recorded_of(&query)?;
        let after: u64 = parameter(&query, "after")?.unwrap_or(0);
        let state = shared.state();
        let Some(recording) = state.voice.rooms.recording(room, who) else {
            return Ok(json!({ "count": 0, "packets": [], "track": null }));
        };
        let packets = recording.packets.iter();
        let packets: Vec<Value> = packets
            .filter(|packet| packet.number > after)
            .map(|packet| {
                let ms = packet.at.duration_since(recording.began).as_secs_f64() * 1e3;
                json!({ "data": STANDARD.encode(&packet.data), "ms": ms, "n": packet.number })
            })
            .collect();
        let track = &recording.track;
        Ok(json!({
            "count": recording.count,
            "packets": packets,
            "track": {
                "channels": track.channels,
                "frameDurationMs": track.frame_ms,
                "metadata": track.metadata,
                "name": track.name,
                "source": track.source,
                "trackSid": track.sid,
            },
        }))
    };
    reply(recorded())
}

/// Whose recording is meant: the room and the participant.
fn recorded_of(query: &HashMap<String, String>) -> Result<(Id, Id), Fault> {
    let room = one_room(parameter(query, "channelId")?, parameter(query, "callId")?)?;
    let who: Option<Id> = parameter(query, "participant")?;
    Ok((
        room,
        who.ok_or_else(|| Fault::bad("participant is missing"))?,
    ))
}

/// The recording as an Ogg Opus file.
pub async fn recording_file(
    State(shared): State<Arc<Shared>>,
    Query(query): Parameters,
) -> Response {
    let file = recorded_of(&query).and_then(|(room, who)| {
        let state = shared.state();
        let recording = state.voice.rooms.recording(room, who);
        let recording =
            recording.ok_or_else(|| Fault::missing("nothing was heard of this participant"))?;
        file::write(recording).map_err(|error| Fault::bad(error.to_string()))
    });
    match file {
        Ok(file) => ([(header::CONTENT_TYPE, "audio/ogg")], file).into_response(),
        Err(fault) => reply(Err(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_language_tag;

    #[test]
    fn a_locale_has_the_form_of_a_language_tag() {
        for tag in ["en", "en-GB", "zh-Hant-TW", "sl-rozaj-biske"] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for tag in ["", "en_GB", "en-", "a-verylongpart", "é"] {
            assert!(!is_language_tag(tag), "{tag}");
        }
    }
}
