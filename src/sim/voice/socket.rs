//! The voice sockets: `/audio/connect`, `/audio/subscribe` and `/audio/duplex`.
//!
//! Before the upgrade: 401 for a token that is missing, wrong or expired, 403 for a listener's token on
//! a socket that speaks, 400 for parameters. After it status messages (text) and one Opus packet a
//! binary message: `ready{session_id}`; for listeners `waiting`, `subscribed{track_sid,
//! participant_identity}` and `target_left`, as often as the participant comes and goes; `error{message}`
//! before the server closes for a reason. A token is needed to open a socket only: an open one outlives it.
//!
//! A ping every 30 s of the world's time; one that is unanswered when the next is due means 60 s without
//! a pong, and the connection is cut. A client that does not read for [`SEND_PATIENCE`] is cut, too.
//! Text from a client means nothing and is ignored.
//!
//! Armed faults strike when a socket is to be opened, after the checks, and between two messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::packet;
use super::rooms::{Ear, Track, new_sid};
use super::{Grant, Kind, Room, VoiceStatus};
use crate::sim::faults::VoiceFault;
use crate::sim::http::{injected, refusal};
use crate::sim::server::Shared;
use crate::sim::world::{Fault, Id};

/// Distance of the pings.
const PING: Duration = Duration::from_secs(30);
/// How long a client may leave its end unread.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// How long the server waits for the client's close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// The largest message that is read at all; a larger one breaks the connection.
const LARGEST_MESSAGE: usize = 64 << 10;
/// Lengths of a packet that a sender may announce, milliseconds.
const FRAME_MS: [f64; 6] = [2.5, 5.0, 10.0, 20.0, 40.0, 60.0];

/// The three sockets, below `/audio`.
pub fn router() -> Router<Arc<Shared>> {
    let socket = |kind| {
        any(
            move |State(shared): State<Arc<Shared>>, request: Request| async move {
                upgrade(shared, kind, request)
                    .await
                    .unwrap_or_else(IntoResponse::into_response)
            },
        )
    };
    Router::new()
        .route("/connect", socket(Kind::Connect))
        .route("/subscribe", socket(Kind::Subscribe))
        .route("/duplex", socket(Kind::Duplex))
}

/// What the request asked for.
struct Plan {
    kind: Kind,
    token: String,
    grant: Grant,
    /// What it will send.
    track: Option<Track>,
    /// Whom it wants to hear, and from which source.
    target: Option<(Id, Option<String>)>,
}

async fn upgrade(shared: Arc<Shared>, kind: Kind, request: Request) -> Result<Response, Response> {
    if shared.settings.voice_status == VoiceStatus::Type && kind.hears() {
        let message = "this build of the voice server has /audio/connect only";
        return Err(refusal(&Fault::missing(message)));
    }
    let (mut parts, _) = request.into_parts();
    let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri);
    let query = query.map_err(IntoResponse::into_response)?.0;
    let plan = plan(&shared, kind, &query, &parts.headers).map_err(|fault| refusal(&fault))?;
    if let Some(status) = shared.faults.voice_opening() {
        return Err(injected(shared.settings.quirks, status));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(IntoResponse::into_response)?;
    Ok(upgrade
        .max_message_size(LARGEST_MESSAGE)
        .on_upgrade(move |socket| async move {
            let line = Line {
                socket,
                status: shared.settings.voice_status,
            };
            serve(line, shared, plan).await;
        }))
}

fn plan(
    shared: &Shared,
    kind: Kind,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
) -> Result<Plan, Fault> {
    let in_header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let token = query.get("token").map(String::as_str).or(in_header);
    let token = token.unwrap_or_default();
    let now = shared.clock.now();
    let checked = shared.state().voice.tokens.check(token, now).cloned();
    let grant = checked.map_err(|refused| Fault::Refused {
        status: 401,
        error: "unauthorized",
        message: refused.to_string(),
    })?;
    if kind.speaks() && grant.egress.is_some() {
        return Err(Fault::Refused {
            status: 403,
            error: "insufficient_permissions",
            message: "this token is for hearing one person: IVoice/StreamToken gives one to speak"
                .to_owned(),
        });
    }
    let track = match kind.speaks() {
        true => Some(track(query)?),
        false => None,
    };
    let target = match kind.hears() {
        true => Some(target(query, &grant)?),
        false => None,
    };
    Ok(Plan {
        kind,
        token: token.to_owned(),
        grant,
        track,
        target,
    })
}

fn track(query: &HashMap<String, String>) -> Result<Track, Fault> {
    let text = |name: &str| query.get(name).cloned();
    let channels = match (query.get("channels"), query.get("stereo")) {
        (Some(count), _) => match &**count {
            "1" => 1,
            "2" => 2,
            _ => return Err(Fault::bad("channels must be 1 or 2")),
        },
        (None, Some(stereo)) => match &*stereo.to_ascii_lowercase() {
            "true" | "1" => 2,
            "false" | "0" => 1,
            _ => return Err(Fault::bad("stereo must be true or false")),
        },
        (None, None) => 1,
    };
    let frame_ms = match query.get("frame_duration_ms") {
        None => Some(20.0),
        Some(text) => text.parse().ok().filter(|ms| FRAME_MS.contains(ms)),
    };
    let frame_ms =
        frame_ms.ok_or_else(|| Fault::bad("frame_duration_ms must be 2.5, 5, 10, 20, 40 or 60"))?;
    let source = text("track_source").unwrap_or_else(|| Track::MICROPHONE.to_owned());
    Ok(Track {
        sid: new_sid(),
        channels,
        frame_ms,
        name: text("track_name").unwrap_or_else(|| source.clone()),
        source,
        metadata: text("metadata"),
    })
}

fn target(query: &HashMap<String, String>, grant: &Grant) -> Result<(Id, Option<String>), Fault> {
    let wanted = match query.get("target_identity") {
        None => None,
        Some(text) => {
            let id = Id::try_parse(text);
            Some(id.map_err(|_| Fault::bad("target_identity must be a user's id"))?)
        }
    };
    let target = match (&grant.egress, wanted) {
        (Some((only, _)), Some(wanted)) if *only != wanted => {
            return Err(Fault::Refused {
                status: 403,
                error: "insufficient_permissions",
                message: "this token is for hearing somebody else".to_owned(),
            });
        }
        (Some((only, _)), _) => *only,
        (None, Some(wanted)) => wanted,
        (None, None) => return Err(Fault::bad("target_identity is missing")),
    };
    Ok((target, query.get("target_track_source").cloned()))
}

/// An open socket in its room; ends its place there when it is dropped. Must not be dropped by whoever
/// holds the server's lock.
struct Place {
    shared: Arc<Shared>,
    session: u64,
}

impl Place {
    /// Takes the bot into the room, or says why not.
    fn take(
        shared: &Arc<Shared>,
        plan: &Plan,
    ) -> Result<(Self, oneshot::Receiver<&'static str>), String> {
        let (bot, room) = (plan.grant.bot, plan.grant.room);
        let (session, ended) = shared.act_in(|state, now| {
            let voice = &mut state.voice;
            voice.may_begin(&plan.token, plan.kind)?;
            // It may have been taken back since the request was looked at.
            let token = voice.tokens.check(&plan.token, now);
            token.map_err(|refused| refused.to_string())?;
            if let Room::Channel(channel) = room {
                let joined = state.world.join_voice(bot, channel, now);
                joined.map_err(|_| "the bot cannot be in this voice channel any more")?;
            }
            let begun = voice.begin(&plan.token, plan.kind, &plan.grant);
            voice.rooms.join(room.id(), bot, plan.track.clone());
            Ok::<_, String>(begun)
        })?;
        let place = Self {
            shared: Arc::clone(shared),
            session,
        };
        Ok((place, ended))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.act_in(|state, _| {
            let ended = state.voice.end(self.session);
            let Some(ended) = ended.filter(|ended| ended.last) else {
                return;
            };
            match ended.room {
                Room::Channel(channel) => {
                    state.world.leave_voice_channel(ended.bot, channel);
                }
                Room::Call(call) => state.voice.rooms.leave(call, ended.bot),
            }
        });
    }
}

/// The client is gone, or reads too slowly.
struct Gone;

/// The socket and how to write to it.
struct Line {
    socket: WebSocket,
    status: VoiceStatus,
}

impl Line {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND_PATIENCE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    async fn say(&mut self, word: &str, mut fields: Value) -> Result<(), Gone> {
        let key = match self.status {
            VoiceStatus::Status => "status",
            VoiceStatus::Type => "type",
        };
        fields[key] = word.into();
        self.send(Message::Text(fields.to_string().into())).await
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code,
            reason: "".into(),
        };
        if self.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
        // What the client has sent meanwhile is read, or the system would reset the connection and the
        // client might never see why it was closed.
        let rest = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = tokio::time::timeout(CLOSE_PATIENCE, rest).await;
    }

    async fn fail(mut self, message: &str) {
        if self
            .say("error", json!({ "message": message }))
            .await
            .is_ok()
        {
            self.close(close_code::POLICY).await;
        }
    }

    /// What a bad packet brings.
    async fn refuse(self, invalid: packet::Invalid) {
        match self.status {
            VoiceStatus::Status => self.fail(&format!("invalid Opus packet: {invalid}")).await,
            // Dropped without a close frame.
            VoiceStatus::Type => {}
        }
    }
}

/// The next packet of the participant; never when there is none to listen to. `None` when the track
/// has ended. Packets that came too fast are skipped.
async fn hear(ear: Option<&mut Ear>) -> Option<Bytes> {
    let Some(ear) = ear else {
        return std::future::pending().await;
    };
    loop {
        match ear.packets.recv().await {
            Ok(packet) => return Some(packet),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

/// Completes when the server stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn serve(line: Line, shared: Arc<Shared>, plan: Plan) {
    match Place::take(&shared, &plan) {
        Ok((place, ended)) => {
            // Fails when the client has gone: nobody is left to tell.
            let _ = talk(line, &shared, &plan, ended).await;
            drop(place);
        }
        Err(message) => line.fail(&message).await,
    }
}

async fn talk(
    mut line: Line,
    shared: &Shared,
    plan: &Plan,
    mut ended: oneshot::Receiver<&'static str>,
) -> Result<(), Gone> {
    let (room, bot) = (plan.grant.room.id(), plan.grant.bot);
    let session = Id::new_v4();
    line.say("ready", json!({ "session_id": session })).await?;
    let mut stop = shared.stopping();
    let mut armed = shared.faults.watch();
    // Whether a packet has passed since a fault was asked for.
    let mut passed = false;
    let mut begun = shared.state().voice.rooms.tracks_begun();
    let mut ear: Option<Ear> = None;
    let mut told_waiting = false;
    let mut next_ping = shared.clock.now().mono + PING;
    let mut unanswered = false;
    loop {
        // Seen before looking, so that a fault that is armed now is not missed.
        armed.mark_unchanged();
        match shared.faults.voice(std::mem::take(&mut passed)) {
            Some(VoiceFault::Close(code)) => {
                line.close(code).await;
                return Ok(());
            }
            // Dropped without a close frame.
            Some(VoiceFault::Cut) => return Ok(()),
            Some(VoiceFault::Error) => {
                line.fail("a fault ended the connection").await;
                return Ok(());
            }
            Some(VoiceFault::Stall(wait)) => {
                let until = shared.clock.now().mono + wait;
                tokio::select! {
                    () = shared.clock.sleep_until(until) => {}
                    () = stopped(&mut stop) => {}
                }
                // The client could not answer a ping.
                next_ping = shared.clock.now().mono + PING;
                unanswered = false;
                continue;
            }
            None => {}
        }
        if let (None, Some((target, source))) = (&ear, &plan.target) {
            // Seen before looking, so that a track that begins now is not missed.
            begun.mark_unchanged();
            ear = shared
                .state()
                .voice
                .rooms
                .listen(room, *target, source.as_deref());
            if let Some(ear) = &ear {
                let about = json!({ "participant_identity": target, "track_sid": ear.sid });
                line.say("subscribed", about).await?;
            } else if !told_waiting {
                told_waiting = true;
                line.say("waiting", json!({})).await?;
            }
        }
        let waiting = plan.target.is_some() && ear.is_none();
        tokio::select! {
            message = line.socket.recv() => match message {
                Some(Ok(Message::Binary(data))) if plan.kind.speaks() => {
                    if let Err(invalid) = packet::check_sent(&data) {
                        line.refuse(invalid).await;
                        return Ok(());
                    }
                    let at = Instant::now();
                    shared.state().voice.rooms.send(room, bot, data, at);
                    passed = true;
                }
                Some(Ok(Message::Binary(_))) => {
                    line.fail("this socket is for listening: send nothing").await;
                    return Ok(());
                }
                Some(Ok(Message::Pong(_))) => unanswered = false,
                // The library answers pings and close frames.
                Some(Ok(Message::Ping(_) | Message::Text(_) | Message::Close(_))) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            heard = hear(ear.as_mut()) => match heard {
                Some(data) => {
                    line.send(Message::Binary(data)).await?;
                    passed = true;
                }
                None => {
                    ear = None;
                    told_waiting = false;
                    line.say("target_left", json!({})).await?;
                }
            },
            _ = begun.changed(), if waiting => {}
            _ = armed.changed() => {}
            () = shared.clock.sleep_until(next_ping) => {
                if unanswered {
                    return Ok(());
                }
                unanswered = true;
                next_ping = shared.clock.now().mono + PING;
                line.send(Message::Ping(Bytes::new())).await?;
            }
            reason = &mut ended => {
                line.fail(reason.unwrap_or("the server ended the connection")).await;
                return Ok(());
            }
            () = stopped(&mut stop) => {
                line.close(close_code::AWAY).await;
                return Ok(());
            }
        }
    }
}
