//! What each bot's stream still has to deliver: positions, buffers, intent filter (pure, no socket).
//!
//! Every space has one buffer of encoded events with a sequence that grows by one; a bot has a position
//! in the buffer of each of its spaces, and a buffer of its own for direct events. Positions belong to
//! the bot and not to the connection, so that a bot that comes back within [`POSITION_KEPT`] goes on
//! where it was, and two streams of one bot share the events between them. Events are encoded once and
//! shared by all bots.
//!
//! Bounds: a space's buffer keeps the last [`SPACE_BUFFER`] events, a bot's own the last
//! [`DIRECT_BUFFER`], each for [`EVENT_KEPT`]. What falls out of a buffer is lost for a bot that has
//! not read it, as on the platform.
//!
//! `buffer` keeps the events, `subscriber` a bot's positions, `frame` encodes.
//!
//! Two quirks of the platform stand here. Its deaf stream: when any stream of a bot ends, the bot's
//! subscriptions are forgotten, and a second stream that is still open gets heartbeats only, until the
//! next connect. And its position: kept by the server, or named by the bot, which then gets everything
//! again that was delivered after the event that it names.

mod buffer;
mod frame;
mod subscriber;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::quirks::Quirks;
use buffer::{Buffer, Reader};
pub use buffer::{DIRECT_BUFFER, SPACE_BUFFER};
pub use frame::frame;
use subscriber::{SENT_KEPT, Subscriber};

/// How long a bot's positions outlive its last stream.
pub const POSITION_KEPT: Duration = Duration::from_secs(10 * 60);

/// A stream that has just been opened.
#[derive(Debug)]
pub struct Opened {
    /// Changes when there may be something to [`Feed::take`].
    pub wake: watch::Receiver<()>,
    /// How many events the bot gets again or missed, if it named its position.
    pub replay: Option<usize>,
}

/// Every buffer and every bot's positions.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feed {
    /// The server's, so no part of a snapshot.
    #[serde(skip)]
    quirks: Quirks,
    /// The sequence before the first one of a buffer that is new.
    #[serde(skip)]
    base: u64,
    spaces: HashMap<Uuid, Buffer>,
    bots: HashMap<Uuid, Subscriber>,
}

impl Feed {
    /// No buffers yet; the sequences of each begin after `base`. It must be larger than all that a server
    /// before this one gave, because spaces have the same ids again, and clients remember what they have seen.
    pub fn new(quirks: Quirks, base: u64) -> Self {
        Self {
            quirks,
            base,
            ..Self::default()
        }
    }

    /// A feed without events whose sequences go on after all of these.
    pub fn emptied(&self) -> Self {
        let direct = self.bots.values().map(|bot| &bot.direct);
        let all = self.spaces.values().chain(direct);
        let last = all.map(|buffer| buffer.next - 1).max();
        Self::new(self.quirks, self.base.max(last.unwrap_or_default()))
    }

    fn buffer(&mut self, space: Uuid) -> &mut Buffer {
        self.spaces
            .entry(space)
            .or_insert_with(|| Buffer::new(SPACE_BUFFER, self.base))
    }

    /// From now on the bot reads the space's events.
    pub fn install(&mut self, bot: Uuid, space: Uuid) {
        let next = self.buffer(space).next;
        let subscriber = self.bots.entry(bot).or_insert_with(|| Subscriber {
            positions: Vec::new(),
            turn: 0,
            direct: Buffer::new(DIRECT_BUFFER, self.base),
            direct_position: self.base + 1,
            streams: 0,
            subscribed: false,
            closed: None,
            sent: VecDeque::new(),
            wake: watch::Sender::new(()),
        });
        if !subscriber
            .positions
            .iter()
            .any(|&(known, _)| known == space)
        {
            subscriber.positions.push((space, next));
        }
    }

    /// The bot reads the space no more.
    pub fn remove(&mut self, bot: Uuid, space: Uuid) {
        if let Some(subscriber) = self.bots.get_mut(&bot) {
            subscriber.positions.retain(|&(known, _)| known != space);
        }
    }

    /// Appends an event of a space that is for every bot there but `unseen`. Readers see it after
    /// [`Feed::wake`].
    pub fn push(
        &mut self,
        space: Uuid,
        kind: &str,
        payload: &str,
        unseen: Vec<Uuid>,
        now: Instant,
    ) {
        let quirks = self.quirks;
        let buffer = self.buffer(space);
        let id = format!("{}_{}", space.simple(), buffer.next);
        let frame = frame(quirks, kind, payload, &id);
        buffer.push(kind, frame, unseen, now);
    }

    /// Appends an event for one bot alone. Readers see it after [`Feed::wake`].
    pub fn push_direct(&mut self, bot: Uuid, kind: &str, payload: &str, now: Instant) {
        if let Some(subscriber) = self.bots.get_mut(&bot) {
            let id = format!("direct_{}", subscriber.direct.next);
            let frame = frame(self.quirks, kind, payload, &id);
            subscriber.direct.push(kind, frame, Vec::new(), now);
        }
    }

    /// Wakes every open stream.
    pub fn wake(&self) {
        for subscriber in self.bots.values() {
            if subscriber.streams > 0 {
                subscriber.wake.send_replace(());
            }
        }
    }

    /// A stream opens. `after` is the id of the last event that the bot had, if it names one.
    pub fn open(
        &mut self,
        bot: Uuid,
        intents: u64,
        after: Option<&str>,
        now: Instant,
    ) -> Option<Opened> {
        let after = after.filter(|_| !self.quirks.position_is_kept);
        let subscriber = self.bots.get_mut(&bot)?;
        let known = subscriber.streams > 0
            || subscriber
                .closed
                .is_some_and(|closed| now.saturating_duration_since(closed) <= POSITION_KEPT);
        let begins = subscriber.streams == 0 && after.is_none() && !self.quirks.position_is_kept;
        if !known || begins {
            for (space, position) in &mut subscriber.positions {
                *position = self.spaces.get(space).map_or(1, |buffer| buffer.next);
            }
            subscriber.direct_position = subscriber.direct.next;
        }
        subscriber.streams += 1;
        subscriber.subscribed = true;
        if let Some(after) = after {
            subscriber.rewind(after);
        }
        let wake = subscriber.wake.subscribe();
        let replay = after.map(|_| self.pending(Reader { bot, intents }, now));
        Some(Opened { wake, replay })
    }

    /// How many events wait for a bot.
    fn pending(&mut self, reader: Reader, now: Instant) -> usize {
        let Some(subscriber) = self.bots.get_mut(&reader.bot) else {
            return 0;
        };
        let waiting = |buffer: &mut Buffer, position: u64| {
            buffer.forget_old(now);
            let events = buffer.after(position);
            events.filter(|(_, entry)| entry.is_for(reader)).count()
        };
        let mut count = waiting(&mut subscriber.direct, subscriber.direct_position);
        for (space, position) in &subscriber.positions {
            if let Some(buffer) = self.spaces.get_mut(space) {
                count += waiting(buffer, *position);
            }
        }
        count
    }

    /// A stream has ended.
    pub fn close(&mut self, bot: Uuid, now: Instant) {
        if let Some(subscriber) = self.bots.get_mut(&bot) {
            subscriber.streams = subscriber.streams.saturating_sub(1);
            subscriber.closed = Some(now);
            if self.quirks.deaf_streams {
                subscriber.subscribed = false;
            }
        }
    }

    /// Appends up to `most` events to `out`, one of each space in turn, direct ones last, and counts
    /// them as delivered.
    pub fn take(
        &mut self,
        bot: Uuid,
        intents: u64,
        most: usize,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> usize {
        let Some(subscriber) = self.bots.get_mut(&bot) else {
            return 0;
        };
        if !subscriber.subscribed {
            return 0;
        }
        for (space, _) in &subscriber.positions {
            if let Some(buffer) = self.spaces.get_mut(space) {
                buffer.forget_old(now);
            }
        }
        subscriber.direct.forget_old(now);

        let reader = Reader { bot, intents };
        let keeps_sent = !self.quirks.position_is_kept;
        let spaces = subscriber.positions.len();
        let mut taken = 0;
        let mut empty = 0;
        while taken < most && empty < spaces {
            let turn = subscriber.turn % spaces;
            subscriber.turn = turn + 1;
            let (space, position) = &mut subscriber.positions[turn];
            let frame = self
                .spaces
                .get(space)
                .and_then(|buffer| buffer.take(position, reader));
            match frame {
                Some(frame) => {
                    out.extend_from_slice(frame);
                    if keeps_sent {
                        subscriber.sent.push_back((Some(*space), *position - 1));
                    }
                    taken += 1;
                    empty = 0;
                }
                None => empty += 1,
            }
        }
        while taken < most {
            let Some(frame) = subscriber
                .direct
                .take(&mut subscriber.direct_position, reader)
            else {
                break;
            };
            out.extend_from_slice(frame);
            if keeps_sent {
                let sequence = subscriber.direct_position - 1;
                subscriber.sent.push_back((None, sequence));
            }
            taken += 1;
        }
        let surplus = subscriber.sent.len().saturating_sub(SENT_KEPT);
        subscriber.sent.drain(..surplus);
        taken
    }

    /// The bot's positions as a heartbeat's id shows them: the last sequence read, by space.
    pub fn cursor(&self, bot: Uuid) -> String {
        let mut text = String::new();
        let positions = self.bots.get(&bot).map_or(&[][..], |bot| &bot.positions);
        for (space, position) in positions {
            if !text.is_empty() {
                text.push(',');
            }
            // Writing to a String cannot fail.
            let _ = write!(text, "{}:{}", space.simple(), position - 1);
        }
        text
    }

    /// Makes a feed whole that was read from a snapshot: nobody is connected, and whoever was comes back
    /// as after a lost connection. Says what cannot be.
    pub fn settle(&mut self, quirks: Quirks, now: Instant) -> Result<(), String> {
        self.quirks = quirks;
        for (space, buffer) in &mut self.spaces {
            let whole = buffer.settle(SPACE_BUFFER);
            whole.map_err(|error| format!("spaces.{space}: {error}"))?;
        }
        for (bot, subscriber) in &mut self.bots {
            let whole = subscriber.direct.settle(DIRECT_BUFFER);
            whole.map_err(|error| format!("bots.{bot}.direct: {error}"))?;
            for (space, position) in &subscriber.positions {
                let next = self.spaces.get(space).map_or(1, |buffer| buffer.next);
                if !(1..=next).contains(position) {
                    return Err(format!(
                        "bots.{bot}.positions: {position} is not from 1 to {next}"
                    ));
                }
            }
            if !(1..=subscriber.direct.next).contains(&subscriber.direct_position) {
                let next = subscriber.direct.next;
                return Err(format!("bots.{bot}.directPosition is not from 1 to {next}"));
            }
            if std::mem::take(&mut subscriber.streams) > 0 {
                subscriber.closed = Some(now);
            }
            subscriber.subscribed = false;
        }
        Ok(())
    }

    /// The bots that have a stream open.
    pub fn connected(&self) -> Vec<Uuid> {
        let bots = self.bots.iter().filter(|(_, bot)| bot.streams > 0);
        bots.map(|(&id, _)| id).collect()
    }

    /// These bots have just lost their streams, which another feed had: what comes from now on waits for
    /// them.
    pub fn disconnect(&mut self, bots: &[Uuid], now: Instant) {
        for bot in bots {
            if let Some(subscriber) = self.bots.get_mut(bot) {
                subscriber.closed = Some(now);
            }
        }
    }

    /// How many events of the space the slowest live stream has not taken yet.
    pub fn lag(&self, space: Uuid) -> u64 {
        let next = self.spaces.get(&space).map_or(1, |buffer| buffer.next);
        self.bots
            .values()
            .filter(|bot| bot.streams > 0 && bot.subscribed)
            .flat_map(|bot| &bot.positions)
            .filter(|(known, _)| *known == space)
            .map(|(_, position)| next - position)
            .max()
            .unwrap_or(0)
    }
}
