//! `IEvents/Stream`: one bot's open event stream.
//!
//! `ready` first, then events as they come: at most [`BURST`] of them in each interval of
//! [`super::Settings::batch`], as the platform's batches; a heartbeat when nothing was written for 30 s.
//! An event counts as delivered when it is handed to the socket, so that what was on its way when the
//! connection broke is lost, as on the platform. Armed faults strike between two writes. A bot that may name
//! its position (a quirk) gets what it missed right after `ready`, and then `resumed`.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::events::frame;
use super::faults::StreamFault;
use super::limits::Slot;
use super::server::Shared;
use super::wire;
use super::world::{BotAccount, Fault, Id};
use crate::contract::INTENTS;
use crate::contract::limits::HEARTBEAT;

/// Events that leave in one batch interval.
pub const BURST: usize = 50;
/// Between two writes that must leave apart, and before a connection is cut.
const APART: Duration = Duration::from_millis(5);

/// Opens a stream, or says why not: without a valid intent, or with one that the bot may not have.
pub fn open(
    shared: &Arc<Shared>,
    bot: &BotAccount,
    intents: i64,
    after: Option<&str>,
    slot: Slot,
) -> Result<Response, Fault> {
    let allowed = INTENTS
        .iter()
        .filter(|intent| bot.verified || !intent.privileged)
        .fold(0, |mask, intent| mask | intent.mask());
    let intents = u64::try_from(intents).unwrap_or(0);
    if intents == 0 || intents & !allowed != 0 {
        return Err(Fault::code("missing_intents"));
    }
    let quirks = shared.settings.quirks;
    let (opened, ready) = {
        let now = shared.clock.now();
        let mut state = shared.state();
        let opened = state.feed.open(bot.user, intents, after, now.mono);
        let opened = opened.ok_or(Fault::Crash("not_found"))?;
        let spaces: Vec<_> = state.world.spaces_of(bot.user).collect();
        let ready = wire::ready(quirks, intents, bot, &spaces);
        let ready = frame(quirks, "ready", &ready, "ready");
        (opened, shared.faults.opening(ready))
    };
    shared.changed();
    let reader = Reader {
        bot: bot.user,
        intents,
        ready: Some(ready),
        pieces: VecDeque::new(),
        then: None,
        armed: shared.faults.watch(),
        wake: opened.wake,
        replay: opened.replay.map(|count| Replay { count, left: count }),
        stop: shared.stopping(),
        burst: Burst::new(),
        last: shared.clock.now().mono,
        shared: Arc::clone(shared),
        _slot: slot,
    };
    let body = stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((chunk, reader))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// How many events the current interval has had.
struct Burst {
    began: Instant,
    used: usize,
}

impl Burst {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            used: 0,
        }
    }
}

/// What a bot gets that named its position.
struct Replay {
    count: usize,
    left: usize,
}

/// The server's end of a stream; dropping it closes the stream.
struct Reader {
    bot: Id,
    intents: u64,
    ready: Option<Bytes>,
    /// Until `resumed` was written.
    replay: Option<Replay>,
    /// What faults made of the events taken last, to be written apart. Empty without faults.
    pieces: VecDeque<Bytes>,
    /// The fault that comes after the pieces.
    then: Option<StreamFault>,
    /// Changes when a fault is armed.
    armed: watch::Receiver<()>,
    wake: watch::Receiver<()>,
    stop: watch::Receiver<bool>,
    burst: Burst,
    /// When something was written last, by the world's clock.
    last: Instant,
    shared: Arc<Shared>,
    _slot: Slot,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        // In a new feed this stream was never open.
        if !self.is_orphaned() {
            state.feed.close(self.bot, now.mono);
        }
        drop(state);
        self.shared.changed();
        // A flood that waits for this stream must not wait any longer.
        self.shared.taken.send_replace(());
    }
}

impl Reader {
    /// Whether the feed was replaced, and the sender with it. To be asked under the lock.
    fn is_orphaned(&self) -> bool {
        self.wake.has_changed().is_err()
    }

    /// The next bytes to write; `None` ends the stream, an error cuts the connection.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(ready) = self.ready.take() {
            return Some(Ok(ready));
        }
        loop {
            if *self.stop.borrow() {
                return None;
            }
            if let Some(piece) = self.pieces.pop_front() {
                tokio::time::sleep(APART).await;
                return Some(Ok(piece));
            }
            // Seen before looking, so that what comes after is not missed.
            self.wake.mark_unchanged();
            self.armed.mark_unchanged();
            match self.then.take().or_else(|| self.shared.faults.stream()) {
                Some(StreamFault::End) => return None,
                Some(StreamFault::Drop) => {
                    // What was written before leaves first.
                    tokio::time::sleep(APART).await;
                    return Some(Err(io::Error::other("a fault cut the stream")));
                }
                Some(StreamFault::Stall(wait)) => {
                    let until = self.shared.clock.now().mono + wait;
                    tokio::select! {
                        () = self.shared.clock.sleep_until(until) => {}
                        _ = self.stop.changed() => {}
                    }
                    continue;
                }
                None => {}
            }
            let interval = self.shared.settings.batch;
            if self.burst.began.elapsed() >= interval {
                self.burst = Burst::new();
            }
            let mut room = BURST - self.burst.used;
            if let Some(replay) = &self.replay {
                if replay.left == 0 {
                    let resumed = self.resumed(replay.count);
                    self.replay = None;
                    return Some(Ok(resumed));
                }
                room = room.min(replay.left);
            }
            if room == 0 {
                let next = self.burst.began + interval;
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    _ = self.stop.changed() => {}
                }
                continue;
            }
            let now = self.shared.clock.now().mono;
            let mut chunk = Vec::new();
            let taken = {
                let mut state = self.shared.state();
                if self.is_orphaned() {
                    return None;
                }
                state
                    .feed
                    .take(self.bot, self.intents, room, now, &mut chunk)
            };
            // Also when the intents let nothing through: the position has moved.
            self.shared.taken.send_replace(());
            if let Some(replay) = &mut self.replay {
                // Fewer are left when some grew too old in the meantime.
                replay.left = if taken == 0 { 0 } else { replay.left - taken };
                if taken == 0 {
                    continue;
                }
            }
            if taken > 0 {
                self.shared.changed();
                self.burst.used += taken;
                self.last = now;
                let Some(batch) = self.shared.faults.batch(&chunk) else {
                    return Some(Ok(chunk.into()));
                };
                self.pieces = batch.pieces.into();
                self.then = batch.then;
                continue;
            }
            if now >= self.last + HEARTBEAT {
                self.last = now;
                return Some(Ok(self.heartbeat()));
            }
            tokio::select! {
                _ = self.wake.changed() => {}
                _ = self.armed.changed() => {}
                _ = self.stop.changed() => {}
                () = self.shared.clock.sleep_until(self.last + HEARTBEAT) => {}
            }
        }
    }

    fn heartbeat(&self) -> Bytes {
        let now = self.shared.clock.now();
        self.placed("heartbeat", json!({ "timestamp": now.argon_ms() }))
    }

    fn resumed(&self, count: usize) -> Bytes {
        self.placed("resumed", json!({ "replayedCount": count }))
    }

    /// An event of the connection, whose id is the position.
    fn placed(&self, kind: &str, payload: Value) -> Bytes {
        let quirks = self.shared.settings.quirks;
        let cursor = self.shared.state().feed.cursor(self.bot);
        frame(quirks, kind, &wire::event(quirks, kind, payload), &cursor)
    }
}
