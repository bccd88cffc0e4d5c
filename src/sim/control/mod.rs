//! `/_sim/*`: the world for the playground and for tests. JSON in and out; errors are
//! `{error, message}` with 400 or 404. Ids of messages are texts. Enums are the contract's names.
//!
//! | route | does |
//! |---|---|
//! | `GET state` | `{spaces:[{spaceId, name, description, channels, archetypes, members}]}` |
//! | `GET messages?channelId&limit&before` | `{messages}`, oldest first: the newest ones, or those before a message; limit 1 to 500, 100 if it is not given |
//! | `POST message {userId, channelId, text, entities?, replyTo?}` | writes as a person: `{messageId}` |
//! | `POST edit {userId, channelId, messageId, text}` | edits one's own message |
//! | `POST react {userId, channelId, messageId, emoji, remove?}` | reacts, or takes it back |
//! | `POST typing {userId, channelId, kind?, stop?}` | types, or stops |
//! | `POST voice {userId, channelId?, leave?, state?}` | joins or leaves a voice channel; `state` is a list of `muted`, `mutedByServer`, `mutedHeadphones`, `mutedHeadphonesByServer`, `streaming` |
//! | `POST call {userId, botId?, locale?}` | calls a verified bot, the first one if none is named: `{callId}` |
//! | `POST hangup {userId, callId}` | ends one's own call |
//! | `GET calls` | `{calls:[{callId, userId, botId, state, reason}]}`, oldest first; the state is `ringing`, `accepted`, `rejected`, `ended` or `timedOut` |
//! | `POST speak {userId, channelId or callId, packets:[base64], intervalMs?}` | says Opus packets (DTX, too) as somebody who is there, one every 20 ms if nothing else is given: `{spoken}` when the last was said, or the person has left; closing the request ends it |
//! | `GET recording?channelId or callId&participant&after=N` | `{count, track, packets:[{n, ms, data}]}`: what somebody sent, the last 15,000 packets after number N, with the time since the first and base64; kept after they have left |
//! | `POST member {spaceId?, userId?, leave?, displayName?, avatarUrl?, archetypeIds?}` | somebody comes (`spaceId`, `displayName`: `{userId}`), goes (`userId`, `leave`; from one space with `spaceId`; a bot is uninstalled) or changes (`spaceId`, `userId`) |
//! | `POST presence {userId, status, activity?: {kind, titleName}}` | somebody's status and what they do |
//! | `POST archetype {spaceId, archetypeId?, name?, colour?, mentionable?, permissions?}` | makes an archetype or changes one: `{archetypeId}`; permissions are names of entitlements |
//! | `POST channel {spaceId?, channelId?, name?, type?, description?, slowMode?, overrides?, delete?}` | makes a channel (`spaceId`, `name`), changes `slowMode` (seconds) and `overrides: [{archetypeId, allow, deny}]` of one, or deletes it: `{channelId}` |
//! | `POST install {bot, spaceId?, granted?}` | installs a bot (user id or name) into a space where it is not |
//! | `POST entitlements {bot, spaceId?, granted?, required?}` | changes what a space grants a bot, and what the bot requires |
//! | `GET commands?spaceId` | `{commands}` that people can use in the space |
//! | `POST command {userId, channelId, commandId or name, options}` | runs a slash command: `{interactionId}` |
//! | `POST click {userId, channelId, messageId, controlId}` | clicks a button: `{interactionId}` |
//! | `POST select {userId, channelId, messageId, customId, values}` | chooses from a select: `{interactionId}` |
//! | `POST submit {userId, modalInteractionId, values: {customId: [text]}}` | submits a modal: `{interactionId}` |
//! | `GET events` | server-sent events for a page, one JSON object each; see [`view::shown`] |
//! | `GET requests?after=N` | `{requests:[{n, bot, method, path, query, body, status, error, fault, ms}]}`, the last 10,000, never a token |
//! | `POST emit {type, payload or raw, spaceId?, bot?}` | a raw event to every bot of the space, or to one bot (user id or name); `raw` is sent as it is |
//! | `POST flood {channelId, userId, count, text}` | writes many messages as fast as the open streams take them: `{written}` |
//! | `POST time {advance: seconds}` | lets the world's time pass at once; everything that is over by then has ended when the answer comes |
//! | `POST fault {kind, count?, …}` | arms a fault: `{id}`; see below |
//! | `POST fault {kind: "chaos", seed}` | faults at random, the same for the same seed, until they are cleared |
//! | `GET faults` | `{faults:[{id, kind, …, left}], chaos, struck}`: what is armed, the seed or null, how many have struck |
//! | `DELETE faults?id` | takes one fault back, or all of them and chaos: `{cleared}` |
//!
//! Faults: `answer {status, interface?}`, `delay {seconds, interface?}`, `lose {interface?}` for requests;
//! `refuse {status}`, `drop`, `end`, `stall {seconds}` for streams; `sse {form}`, `duplicate`, `reorder` for
//! events. `interface` is a name such as `IMessages`; without it any request is meant but the stream's.
//! The forms are those of [`super::faults::Form`]. `count` is 1 unless it is given.
//!
//! Only pages and programs of this machine may call: see [`guard`].

mod acts;
mod change;
mod faults;
pub mod guard;
mod people;
mod tools;
pub mod view;
mod voice;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::http::refusal;
use super::server::Shared;
use super::world::Fault;

/// The control API, below `/_sim`.
pub fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/state", get(view::state))
        .route("/messages", get(view::messages))
        .route("/commands", get(view::commands))
        .route("/events", get(view::events))
        .route("/message", act(acts::message))
        .route("/edit", act(acts::edit))
        .route("/react", act(acts::react))
        .route("/command", act(acts::command))
        .route("/click", act(acts::click))
        .route("/select", act(acts::select))
        .route("/submit", act(acts::submit))
        .route("/typing", act(people::typing))
        .route("/voice", act(people::voice))
        .route("/member", act(change::member))
        .route("/presence", act(change::presence))
        .route("/archetype", act(change::archetype))
        .route("/channel", act(change::channel))
        .route("/install", act(change::install))
        .route("/entitlements", act(change::entitle))
        .route("/call", act(voice::call))
        .route("/hangup", act(voice::hang_up))
        .route("/calls", get(voice::calls))
        .route("/speak", post(voice::speak))
        .route("/recording", get(voice::recording))
        .route("/emit", act(tools::emit))
        .route("/time", act(tools::time))
        .route("/fault", act(faults::arm))
        .route("/faults", get(faults::list).delete(faults::clear))
        .route("/flood", post(tools::flood))
        .route("/requests", get(tools::requests))
}

/// A POST route that reads its JSON body and does something.
fn act<T: DeserializeOwned + Send + 'static>(
    act: fn(&Shared, T) -> Result<Value, Fault>,
) -> axum::routing::MethodRouter<Arc<Shared>> {
    post(
        move |State(shared): State<Arc<Shared>>, body: Bytes| async move {
            reply(read(&body).and_then(|request| act(&shared, request)))
        },
    )
}

/// Reads a JSON body; unknown fields are errors, so that a misspelt one is not ignored.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::bad(error.to_string()))
}

fn reply(result: Result<Value, Fault>) -> Response {
    match result {
        Ok(value) => axum::Json(value).into_response(),
        Err(fault) => refusal(&fault),
    }
}

/// The query of a GET route.
type Parameters = Query<HashMap<String, String>>;

/// The parameter's value, read as what is asked for.
fn parameter<T: std::str::FromStr>(
    query: &HashMap<String, String>,
    name: &str,
) -> Result<Option<T>, Fault> {
    query
        .get(name)
        .map(|text| {
            text.parse()
                .map_err(|_| Fault::bad(format!("{name} has no valid value")))
        })
        .transpose()
}

/// A message id: a text, or an integer.
#[derive(Debug, Clone, Copy)]
struct MessageId(i64);

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        };
        number
            .map(MessageId)
            .ok_or_else(|| D::Error::custom("a message id is a text of digits"))
    }
}
