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
//! Two quirks of the platform stand here. Its deaf stream: when any stream of a bot ends, the bot's
//! subscriptions are forgotten, and a second stream that is still open gets heartbeats only, until the
//! next connect. And its position: kept by the server, or named by the bot, which then gets everything
//! again that was delivered after the event that it names.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::quirks::Quirks;
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
    /// The bots that do not get it.
    unseen: Vec<Uuid>,
    #[serde(with = "forms::frame")]
    frame: Bytes,
}

impl Entry {
    fn is_for(&self, reader: Reader) -> bool {
        (self.intent == 0 || self.intent & reader.intents != 0)
            && !self.unseen.contains(&reader.bot)
    }
}

/// Who reads a buffer.
#[derive(Debug, Clone, Copy)]
struct Reader {
    bot: Uuid,
    intents: u64,
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

    fn push(&mut self, kind: &str, frame: Bytes, unseen: Vec<Uuid>, now: Instant) {
        self.forget_old(now);
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            at: now,
            intent: intent_of(kind),
            unseen,
            frame,
        });
        self.next += 1;
    }

    /// The events from `position` on, with their sequences.
    fn after(&self, position: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.next - self.entries.len() as u64;
        let skipped = position.saturating_sub(first);
        (first + skipped..).zip(self.entries.iter().skip(skipped as usize))
    }

    /// The next event from `position` on that is for the reader; moves the position past it.
    fn take(&self, position: &mut u64, reader: Reader) -> Option<&Bytes> {
        let found = self
            .after(*position)
            .find(|(_, entry)| entry.is_for(reader));
        *position = found.map_or(self.next, |(sequence, _)| sequence + 1);
        found.map(|(_, entry)| &entry.frame)
    }
}

/// One SSE event, with its fields in the order of the platform's server or of its documentation. A line break in the payload (only a
/// test's raw payload has one) becomes a second data line.
pub fn frame(quirks: Quirks, kind: &str, payload: &str, id: &str) -> Bytes {
    let mut text = String::with_capacity(kind.len() + payload.len() + id.len() + 24);
    let mut line = |name: &str, value: &str| {
        text.push_str(name);
        text.push_str(value);
        text.push('\n');
    };
    if !quirks.id_comes_last {
        line("id: ", id);
    }
    line("event: ", kind);
    for part in payload.split('\n') {
        line("data: ", part);
    }
    if quirks.id_comes_last {
        line("id: ", id);
    }
    text.push('\n');
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
    /// What was delivered, newest last: the space (`None` for a direct event) and the sequence. Kept only
    /// for bots that name their position, the last [`SENT_KEPT`].
    sent: VecDeque<(Option<Uuid>, u64)>,
    #[serde(skip)]
    wake: watch::Sender<()>,
}

impl Subscriber {
    fn position(&mut self, scope: Option<Uuid>) -> Option<&mut u64> {
        let Some(space) = scope else {
            return Some(&mut self.direct_position);
        };
        let mut positions = self.positions.iter_mut();
        positions
            .find(|(known, _)| *known == space)
            .map(|(_, position)| position)
    }

    /// Goes back to right after the event with that id, or after every event of a cursor. An id that was
    /// not delivered lately moves its own space only; one that says nothing moves nothing.
    fn rewind(&mut self, id: &str) {
        let sequenced = id.rsplit_once('_').and_then(|(scope, sequence)| {
            let scope = match scope {
                "direct" => None,
                space => Some(Uuid::try_parse(space).ok()?),
            };
            Some((scope, sequence.parse::<u64>().ok()?))
        });
        let Some((scope, sequence)) = sequenced else {
            for part in id.split(',') {
                let Some((space, sequence)) = part.split_once(':') else {
                    return;
                };
                if let (Ok(space), Ok(sequence)) = (Uuid::try_parse(space), sequence.parse::<u64>())
                    && let Some(position) = self.position(Some(space))
                {
                    *position = sequence.saturating_add(1).min(*position);
                }
            }
            return;
        };
        match self
            .sent
            .iter()
            .rposition(|&known| known == (scope, sequence))
        {
            Some(at) => {
                for (scope, sequence) in self.sent.split_off(at + 1) {
                    if let Some(position) = self.position(scope) {
                        *position = sequence.min(*position);
                    }
                }
            }
            None => {
                if let Some(position) = self.position(scope) {
                    *position = sequence.saturating_add(1).min(*position);
                }
            }
        }
    }
}

/// Delivered events that are remembered for bots that name their position.
const SENT_KEPT: usize = SPACE_BUFFER + DIRECT_BUFFER;

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
    spaces: HashMap<Uuid, Buffer>,
    bots: HashMap<Uuid, Subscriber>,
}

impl Feed {
    /// No buffers yet.
    pub fn new(quirks: Quirks) -> Self {
        Self {
            quirks,
            ..Self::default()
        }
    }

    /// A feed without events whose sequences go on where these are: clients remember what they have seen.
    pub fn emptied(&self) -> Self {
        let spaces = self.spaces.iter().map(|(space, buffer)| {
            let empty = Buffer {
                next: buffer.next,
                ..Buffer::new(buffer.capacity)
            };
            (*space, empty)
        });
        Self {
            spaces: spaces.collect(),
            ..Self::new(self.quirks)
        }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use uuid::Uuid;

    use super::{EVENT_KEPT, Feed, POSITION_KEPT, Quirks, SPACE_BUFFER};
    use crate::config::Dialect;

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
        feed.open(BOT, ALL, None, now);
        feed.push_direct(BOT, "callIncoming", "{}", now);
        for _ in 0..3 {
            feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        }
        feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
        assert_eq!(
            ids(&mut feed, ALL, 50, now),
            ["a_1", "b_1", "a_2", "a_3", "direct_1"]
        );
        assert!(ids(&mut feed, ALL, 50, now).is_empty());
    }

    #[test]
    fn the_intents_filter_and_unknown_events_pass() {
        let (mut feed, now) = feed();
        feed.open(BOT, ALL, None, now);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        feed.push(SPACE, "typingStart", "{}", Vec::new(), now);
        feed.push(SPACE, "brandNew", "{}", Vec::new(), now);
        assert_eq!(ids(&mut feed, 16, 50, now), ["a_2", "a_3"]);
    }

    #[test]
    fn a_bot_that_comes_back_in_time_goes_on_where_it_was() {
        let (mut feed, now) = feed();
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        feed.open(BOT, ALL, None, now);
        assert!(
            ids(&mut feed, ALL, 50, now).is_empty(),
            "nothing from before"
        );
        feed.close(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        feed.open(BOT, ALL, None, now + Duration::from_secs(60));
        assert_eq!(ids(&mut feed, ALL, 50, now), ["a_2"]);

        feed.close(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        let late = now + EVENT_KEPT + Duration::from_secs(1);
        feed.open(BOT, ALL, None, late);
        assert!(
            ids(&mut feed, ALL, 50, late).is_empty(),
            "kept for 5 minutes"
        );

        feed.close(BOT, late);
        let later = late + POSITION_KEPT + Duration::from_secs(1);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), later);
        feed.open(BOT, ALL, None, later);
        assert!(
            ids(&mut feed, ALL, 50, later).is_empty(),
            "position forgotten"
        );
    }

    #[test]
    fn an_event_that_a_bot_must_not_see_is_skipped() {
        let (mut feed, now) = feed();
        feed.open(BOT, ALL, None, now);
        feed.push(SPACE, "messageCreate", "{}", vec![BOT], now);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        assert_eq!(ids(&mut feed, ALL, 50, now), ["a_2"]);
    }

    fn documented() -> (Feed, Instant) {
        let mut feed = Feed::new(Quirks::of(Dialect::Documented));
        feed.install(BOT, SPACE);
        feed.install(BOT, OTHER);
        (feed, Instant::now())
    }

    #[test]
    fn a_bot_that_names_the_last_event_gets_all_that_came_after_it() {
        let (mut feed, now) = documented();
        feed.open(BOT, ALL, None, now);
        for space in [SPACE, OTHER, SPACE] {
            feed.push(space, "messageCreate", "{}", Vec::new(), now);
        }
        feed.push_direct(BOT, "callEnded", "{}", now);
        let order = ["a_1", "b_1", "a_2", "direct_1"];
        assert_eq!(ids(&mut feed, ALL, 50, now), order);
        feed.close(BOT, now);
        feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
        let id = format!("{}_1", SPACE.simple());
        let opened = feed.open(BOT, ALL, Some(&id), now).expect("a bot");
        assert_eq!(opened.replay, Some(4));
        let mut again = ids(&mut feed, ALL, 50, now);
        again.sort_unstable();
        assert_eq!(again, ["a_2", "b_1", "b_2", "direct_1"]);
        feed.close(BOT, now);

        feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
        let opened = feed.open(BOT, ALL, None, now).expect("a bot");
        assert_eq!(opened.replay, None);
        assert!(ids(&mut feed, ALL, 50, now).is_empty(), "only what is new");
    }

    #[test]
    fn a_cursor_and_an_event_that_is_not_remembered_move_their_spaces() {
        let (mut feed, now) = documented();
        feed.open(BOT, ALL, None, now);
        for _ in 0..3 {
            feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        }
        ids(&mut feed, ALL, 50, now);
        let cursor = format!("{}:1,{}:0", SPACE.simple(), OTHER.simple());
        feed.close(BOT, now);
        let opened = feed.open(BOT, ALL, Some(&cursor), now).expect("a bot");
        assert_eq!(opened.replay, Some(2));
        ids(&mut feed, ALL, 50, now);
        for (id, replayed) in [("ready", 0), ("", 0), ("x_y", 0), ("direct_9", 0)] {
            feed.close(BOT, now);
            let opened = feed.open(BOT, ALL, Some(id), now).expect("a bot");
            assert_eq!(opened.replay, Some(replayed), "{id}");
        }
    }

    #[test]
    fn no_stream_is_deaf_when_the_documentation_is_right() {
        let (mut feed, now) = documented();
        feed.open(BOT, ALL, None, now);
        feed.open(BOT, ALL, None, now);
        feed.close(BOT, now);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        assert_eq!(ids(&mut feed, ALL, 50, now), ["a_1"]);
    }

    #[test]
    fn a_full_buffer_loses_its_oldest_events() {
        let (mut feed, now) = feed();
        feed.open(BOT, ALL, None, now);
        for _ in 0..SPACE_BUFFER + 10 {
            feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
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
        feed.open(BOT, ALL, None, now);
        feed.open(BOT, ALL, None, now);
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
        let cursor = feed.cursor(BOT);
        feed.close(BOT, now);
        assert!(ids(&mut feed, ALL, 50, now).is_empty());
        assert_eq!(feed.cursor(BOT), cursor);
        feed.open(BOT, ALL, None, now);
        assert_eq!(ids(&mut feed, ALL, 50, now), ["a_1"]);
    }
}
