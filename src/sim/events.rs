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
//! The deaf stream of the platform is modelled: when any stream of a bot ends, the bot's subscriptions
//! are forgotten, and a second stream that is still open gets heartbeats only, until the next connect.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::saved::forms;
use crate::contract;

/// Events that a space's buffer keeps.
pub const SPACE_BUFFER: usize = 5_000;
/// Direct events that a bot's buffer keeps.
pub const DIRECT_BUFFER: usize = 1_000;
/// How long a buffer keeps an event.
pub const EVENT_KEPT: Duration = Duration::from_secs(5 * 60);
/// How long a bot's positions outlive its last stream.
pub const POSITION_KEPT: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(with = "forms::moment")]
    at: Instant,
    /// The intent that asks for it; 0 comes whatever the intents.
    intent: u64,
    #[serde(with = "forms::frame")]
    frame: Bytes,
}

/// Events in order. The sequence of `entries[i]` is `next - entries.len() + i`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Buffer {
    next: u64,
    entries: VecDeque<Entry>,
    #[serde(skip)]
    capacity: usize,
}

impl Buffer {
    fn new(capacity: usize) -> Self {
        Self {
            next: 1,
            entries: VecDeque::new(),
            capacity,
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while self
            .entries
            .front()
            .is_some_and(|entry| now.saturating_duration_since(entry.at) > EVENT_KEPT)
        {
            self.entries.pop_front();
        }
    }

    /// The capacity is no part of a snapshot.
    fn settle(&mut self, capacity: usize) -> Result<(), String> {
        self.capacity = capacity;
        let kept = self.entries.len();
        if kept > capacity {
            return Err(format!(
                "{kept} entries are more than the {capacity} that are kept"
            ));
        }
        match self.next > kept as u64 {
            true => Ok(()),
            false => Err(format!(
                "next is {} with {kept} entries before it",
                self.next
            )),
        }
    }

    fn push(&mut self, kind: &str, id: &str, payload: &str, now: Instant) {
        self.forget_old(now);
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            at: now,
            intent: intent_of(kind),
            frame: frame(kind, payload, id),
        });
        self.next += 1;
    }

    /// The next event from `position` on that the intents let through; moves the position past it.
    fn take(&self, position: &mut u64, intents: u64) -> Option<&Bytes> {
        let first = self.next - self.entries.len() as u64;
        *position = (*position).max(first);
        while *position < self.next {
            let entry = &self.entries[(*position - first) as usize];
            *position += 1;
            if entry.intent == 0 || entry.intent & intents != 0 {
                return Some(&entry.frame);
            }
        }
        None
    }
}

/// One SSE event, in the platform's field order: event, data, id. A line break in the payload (only a
/// test's raw payload has one) becomes a second data line.
pub fn frame(kind: &str, payload: &str, id: &str) -> Bytes {
    let mut text = String::with_capacity(kind.len() + payload.len() + id.len() + 24);
    text.push_str("event: ");
    text.push_str(kind);
    for line in payload.split('\n') {
        text.push_str("\ndata: ");
        text.push_str(line);
    }
    text.push_str("\nid: ");
    text.push_str(id);
    text.push_str("\n\n");
    Bytes::from(text)
}

fn intent_of(kind: &str) -> u64 {
    contract::event(kind)
        .and_then(|event| event.intent)
        .and_then(contract::intent)
        .map_or(0, contract::Intent::mask)
}

/// A bot as a reader of buffers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Subscriber {
    /// The sequence to read next, by space.
    positions: Vec<(Uuid, u64)>,
    /// Where the round over the spaces goes on.
    turn: usize,
    direct: Buffer,
    direct_position: u64,
    streams: usize,
    /// False while the subscriptions are forgotten (before the first stream, and for a deaf one).
    subscribed: bool,
    /// When the last stream ended; `None` before the first.
    #[serde(with = "forms::maybe_moment")]
    closed: Option<Instant>,
    #[serde(skip)]
    wake: watch::Sender<()>,
}

/// Every buffer and every bot's positions.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feed {
    spaces: HashMap<Uuid, Buffer>,
    bots: HashMap<Uuid, Subscriber>,
}

impl Feed {
    fn buffer(&mut self, space: Uuid) -> &mut Buffer {
        self.spaces
            .entry(space)
            .or_insert_with(|| Buffer::new(SPACE_BUFFER))
    }

    /// From now on the bot reads the space's events.
    pub fn install(&mut self, bot: Uuid, space: Uuid) {
        let next = self.buffer(space).next;
        let subscriber = self.bots.entry(bot).or_insert_with(|| Subscriber {
            positions: Vec::new(),
            turn: 0,
            direct: Buffer::new(DIRECT_BUFFER),
            direct_position: 1,
            streams: 0,
            subscribed: false,
            closed: None,
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

    /// Appends an event of a space. Readers see it after [`Feed::wake`].
    pub fn push(&mut self, space: Uuid, kind: &str, payload: &str, now: Instant) {
        let buffer = self.buffer(space);
        let id = format!("{}_{}", space.simple(), buffer.next);
        buffer.push(kind, &id, payload, now);
    }

    /// Appends an event for one bot alone. Readers see it after [`Feed::wake`].
    pub fn push_direct(&mut self, bot: Uuid, kind: &str, payload: &str, now: Instant) {
        if let Some(subscriber) = self.bots.get_mut(&bot) {
            let id = format!("direct_{}", subscriber.direct.next);
            subscriber.direct.push(kind, &id, payload, now);
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

    /// A stream opens. The receiver changes when there may be something to [`Feed::take`].
    pub fn open(&mut self, bot: Uuid, now: Instant) -> Option<watch::Receiver<()>> {
        let subscriber = self.bots.get_mut(&bot)?;
        let known = subscriber.streams > 0
            || subscriber
                .closed
                .is_some_and(|closed| now.saturating_duration_since(closed) <= POSITION_KEPT);
        if !known {
            for (space, position) in &mut subscriber.positions {
                *position = self.spaces.get(space).map_or(1, |buffer| buffer.next);
            }
            subscriber.direct_position = subscriber.direct.next;
        }
        subscriber.streams += 1;
        subscriber.subscribed = true;
        Some(subscriber.wake.subscribe())
    }

    /// A stream has ended.
    pub fn close(&mut self, bot: Uuid, now: Instant) {
        if let Some(subscriber) = self.bots.get_mut(&bot) {
            subscriber.streams = subscriber.streams.saturating_sub(1);
            subscriber.closed = Some(now);
            subscriber.subscribed = false;
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
                .and_then(|buffer| buffer.take(position, intents));
            match frame {
                Some(frame) => {
                    out.extend_from_slice(frame);
                    taken += 1;
                    empty = 0;
                }
                None => empty += 1,
            }
        }
        while taken < most {
            let Some(frame) = subscriber
                .direct
                .take(&mut subscriber.direct_position, intents)
            else {
                break;
            };
            out.extend_from_slice(frame);
            taken += 1;
        }
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
    pub fn settle(&mut self, now: Instant) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use uuid::Uuid;

    use super::{EVENT_KEPT, Feed, POSITION_KEPT, SPACE_BUFFER};

    const BOT: Uuid = Uuid::from_u128(1);
    const SPACE: Uuid = Uuid::from_u128(0xa);
    const OTHER: Uuid = Uuid::from_u128(0xb);
    const ALL: u64 = 16383;

    fn feed() -> (Feed, Instant) {
        let mut feed = Feed::default();
        feed.install(BOT, SPACE);
        feed.install(BOT, OTHER);
        (feed, Instant::now())
    }

    fn ids(feed: &mut Feed, intents: u64, most: usize, now: Instant) -> Vec<String> {
        let mut out = Vec::new();
        feed.take(BOT, intents, most, now, &mut out);
        String::from_utf8(out)
            .expect("text")
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .map(|id| id.trim_start_matches('0').to_owned())
            .collect()
    }

    #[test]
    fn spaces_take_turns_and_direct_events_come_last() {
        let (mut feed, now) = feed();
        feed.open(BOT, now);
        feed.push_direct(BOT, "callIncoming", "{}", now);
        for _ in 0..3 {
            feed.push(SPACE, "messageCreate", "{}", now);
        }
        feed.push(OTHER, "messageCreate", "{}", now);
        assert_eq!(
            ids(&mut feed, ALL, 50, now),
            ["a_1", "b_1", "a_2", "a_3", "direct_1"]
        );
        assert!(ids(&mut feed, ALL, 50, now).is_empty());
    }

    #[test]
    fn the_intents_filter_and_unknown_events_pass() {
        let (mut feed, now) = feed();
        feed.open(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", now);
        feed.push(SPACE, "typingStart", "{}", now);
        feed.push(SPACE, "brandNew", "{}", now);
        assert_eq!(ids(&mut feed, 16, 50, now), ["a_2", "a_3"]);
    }

    #[test]
    fn a_bot_that_comes_back_in_time_goes_on_where_it_was() {
        let (mut feed, now) = feed();
        feed.push(SPACE, "messageCreate", "{}", now);
        feed.open(BOT, now);
        assert!(
            ids(&mut feed, ALL, 50, now).is_empty(),
            "nothing from before"
        );
        feed.close(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", now);
        feed.open(BOT, now + Duration::from_secs(60));
        assert_eq!(ids(&mut feed, ALL, 50, now), ["a_2"]);

        feed.close(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", now);
        let late = now + EVENT_KEPT + Duration::from_secs(1);
        feed.open(BOT, late);
        assert!(
            ids(&mut feed, ALL, 50, late).is_empty(),
            "kept for 5 minutes"
        );

        feed.close(BOT, late);
        let later = late + POSITION_KEPT + Duration::from_secs(1);
        feed.push(SPACE, "messageCreate", "{}", later);
        feed.open(BOT, later);
        assert!(
            ids(&mut feed, ALL, 50, later).is_empty(),
            "position forgotten"
        );
    }

    #[test]
    fn a_full_buffer_loses_its_oldest_events() {
        let (mut feed, now) = feed();
        feed.open(BOT, now);
        for _ in 0..SPACE_BUFFER + 10 {
            feed.push(SPACE, "messageCreate", "{}", now);
        }
        assert_eq!(feed.lag(SPACE), SPACE_BUFFER as u64 + 10);
        let all = ids(&mut feed, ALL, usize::MAX, now);
        assert_eq!(all.len(), SPACE_BUFFER);
        assert_eq!(all[0], "a_11");
        assert_eq!(feed.lag(SPACE), 0);
    }

    #[test]
    fn a_stream_is_deaf_after_another_one_ended() {
        let (mut feed, now) = feed();
        feed.open(BOT, now);
        feed.open(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", now);
        let cursor = feed.cursor(BOT);
        feed.close(BOT, now);
        assert!(ids(&mut feed, ALL, 50, now).is_empty());
        assert_eq!(feed.cursor(BOT), cursor);
        feed.open(BOT, now);
        assert_eq!(ids(&mut feed, ALL, 50, now), ["a_1"]);
    }
}
