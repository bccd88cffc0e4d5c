//! What tests, benchmarks and the inspector need: raw events, many messages, time, the request log, rate
//! limits, notices.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Parameters, Shared, parameter, read, reply};
use crate::sim::events::SPACE_BUFFER;
use crate::sim::world::{Draft, Fault, Id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Emit {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Option<Value>,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default)]
    space_id: Option<Id>,
    #[serde(default)]
    bot: Option<String>,
}

pub fn emit(shared: &Shared, request: Emit) -> Result<Value, Fault> {
    if request.kind.is_empty() || request.kind.contains(['\r', '\n']) {
        return Err(Fault::bad("type must be one line of text"));
    }
    let payload = match (request.payload, request.raw) {
        (Some(payload), None) => payload.to_string(),
        (None, Some(raw)) => raw,
        _ => return Err(Fault::bad("send either payload or raw")),
    };
    shared.act(|world, _| {
        let bot = match &request.bot {
            Some(name) => {
                let bot = world.find_bot(name).map(|bot| bot.user);
                Some(bot.ok_or_else(|| Fault::missing("there is no such bot"))?)
            }
            None => None,
        };
        let space = request
            .space_id
            .or_else(|| world.default_space())
            .filter(|&space| world.space(space).is_some())
            .ok_or_else(|| Fault::missing("there is no such space"))?;
        world.emit(bot, space, &request.kind, payload);
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Time {
    advance: f64,
}

/// The longest step of time: a year.
const LONGEST_STEP: f64 = 366.0 * 86_400.0;

pub fn time(shared: &Shared, request: Time) -> Result<Value, Fault> {
    if !(0.0..=LONGEST_STEP).contains(&request.advance) {
        return Err(Fault::bad(
            "advance is a number of seconds, at least 0 and at most a year",
        ));
    }
    shared
        .clock
        .advance(Duration::from_secs_f64(request.advance));
    shared.expire();
    Ok(json!({ "now": shared.clock.now().wall.to_string() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Flood {
    channel_id: Id,
    user_id: Id,
    count: u64,
    text: String,
}

/// Messages that a flood writes in one step.
const FLOOD_STEP: u64 = 50;
/// How far a flood may run ahead of the slowest open stream: half of what is buffered.
const FLOOD_LEAD: u64 = SPACE_BUFFER as u64 / 2;
/// How long a flood waits for a stream that takes nothing.
const FLOOD_PATIENCE: Duration = Duration::from_secs(10);

pub async fn flood(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    reply(match read(&body) {
        Ok(request) => write_many(&shared, request).await,
        Err(fault) => Err(fault),
    })
}

/// Never runs further ahead than the buffers hold, so that an open stream loses nothing.
async fn write_many(shared: &Shared, request: Flood) -> Result<Value, Fault> {
    let mut taken = shared.taken.subscribe();
    let mut stop = shared.stopping();
    let mut written = 0;
    while written < request.count {
        let step = FLOOD_STEP.min(request.count - written);
        let space = shared.act(|world, now| {
            for _ in 0..step {
                let draft = Draft {
                    text: request.text.clone(),
                    ..Draft::default()
                };
                world.say(request.user_id, request.channel_id, draft, now)?;
            }
            let (space, _) = world
                .channel(request.channel_id)
                .ok_or_else(|| Fault::missing("there is no such channel"))?;
            Ok::<Id, Fault>(space.id)
        })?;
        written += step;
        loop {
            taken.mark_unchanged();
            if shared.state().feed.lag(space) <= FLOOD_LEAD {
                break;
            }
            let waited = tokio::select! {
                waited = tokio::time::timeout(FLOOD_PATIENCE, taken.changed()) => waited.is_ok(),
                _ = stop.changed() => false,
            };
            if !waited {
                return Err(Fault::bad(format!(
                    "a stream takes no events; gave up after {written} messages"
                )));
            }
        }
        // Other connections get their turn on a runtime with one thread.
        tokio::task::yield_now().await;
    }
    Ok(json!({ "written": written }))
}

pub async fn requests(State(shared): State<Arc<Shared>>, Query(query): Parameters) -> Response {
    reply(parameter(&query, "after").map(|after| {
        let requests = shared.log().after(after.unwrap_or(0));
        json!({ "requests": requests })
    }))
}

pub async fn limits(State(shared): State<Arc<Shared>>) -> Response {
    let bots = shared.state().world.bots().to_vec();
    let now = shared.clock.now().mono;
    let usage = bots.iter().map(|bot| {
        let mut usage = shared.limits.usage(bot.user, bot.verified, now);
        usage["bot"] = bot.username.as_str().into();
        usage
    });
    reply(Ok(json!({ "bots": usage.collect::<Vec<_>>() })))
}

pub async fn notices(State(shared): State<Arc<Shared>>) -> Response {
    reply(Ok(json!({ "notices": shared.inspector.notices() })))
}
