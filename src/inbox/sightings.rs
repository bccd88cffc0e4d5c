//! Which messages of a channel came: what tells a message that the stream lost from one that it brought.
//!
//! A server that keeps a bot's position itself takes an event for delivered when it has written it to the
//! socket, so that what was on its way when a connection ended never comes again. The message history has
//! those messages still. Which of them are missing is what is kept here, by message id, because nothing
//! else is the same in an event and in the history.
//!
//! Per channel it has a *floor*, up to which every message is accounted for, and the ids above it in the
//! order in which they came. While a connection is open nothing is missing, so [`KEPT`] ids are enough
//! to tell what comes out of order; the rest raises the floor. From the opening of a connection until the
//! channel's history was looked through ([`Sightings::settle`]) there may be a gap below what comes, and
//! every id is kept, at most [`KEPT_IN_GAP`] for each channel.
//!
//! The ids that were found in the history tell an event that comes after all. A server may be many
//! seconds behind with what it kept for a bot that was away, so that they stay until the stream has
//! brought a later message of their channel (within a channel it keeps the order), and [`KEPT`] of them
//! after that. At most [`KEPT_RECOVERED`] are kept: what is older than these is not at the server any more.
//!
//! At most [`CHANNELS`] channels are known, of a few hundred bytes each and up to 120 KiB after a gap; the
//! one without a message for longest is forgotten first. The inbox keeps them with the events, in the same
//! transaction.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Channels remembered.
pub const CHANNELS: usize = 512;
/// Ids above the floor when nothing is missing. A page of history has 100.
pub const KEPT: usize = 64;
/// Ids that were found in the history and that the stream may still bring: as many as the platform keeps
/// events of one space for a bot that is away.
pub const KEPT_RECOVERED: usize = 5000;
/// Ids above the floor while there may be a gap below them: as many as the platform keeps for a bot that is
/// away, and as many out of the history.
pub const KEPT_IN_GAP: usize = 5000 + KEPT_RECOVERED;

/// A floor that is not known yet.
const UNKNOWN: i64 = i64::MIN;

/// A message that came: as an event, or out of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The channel's id.
    pub channel: u128,
    /// The message's id.
    pub message: i64,
    /// When it was written, by the platform's clock: milliseconds since 1970.
    pub sent: i64,
    /// Whether it was found in the history.
    pub recovered: bool,
}

impl Sighting {
    /// What a `messageCreate` shows; none for a payload in which that cannot be found. Reads no further
    /// than it has to: the stream's thread does this for every message.
    pub fn of_message_create(payload: &str) -> Option<Self> {
        let mut found = Found::default();
        let mut json = serde_json::Deserializer::from_str(payload);
        // Where everything was found, the error says that.
        let _ = Envelope(&mut found).deserialize(&mut json);
        let sent: jiff::Timestamp = found.sent?.parse().ok()?;
        Some(Self {
            channel: uuid::Uuid::try_parse(found.channel?).ok()?.as_u128(),
            message: found.message?,
            sent: sent.as_millisecond(),
            recovered: false,
        })
    }
}

/// What was found in a payload.
#[derive(Default)]
struct Found<'de> {
    channel: Option<&'de str>,
    message: Option<i64>,
    sent: Option<&'de str>,
}

impl Found<'_> {
    /// Ends the reading when there is nothing left to be found.
    fn go_on<E: de::Error>(&self) -> Result<(), E> {
        match self {
            Found {
                channel: Some(_),
                message: Some(_),
                sent: Some(_),
            } => Err(E::custom("everything was found")),
            _ => Ok(()),
        }
    }
}

/// Reads a `messageCreate`.
struct Envelope<'f, 'de>(&'f mut Found<'de>);

/// Reads its message.
struct Message<'f, 'de>(&'f mut Found<'de>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    ChannelId,
    Message,
    MessageId,
    TimeSent,
    #[serde(other)]
    Other,
}

/// Both are maps of which some values count.
macro_rules! reads_a_map {
    ($reader:ident, $($key:ident => |$map:ident, $found:ident| $read:expr),+) => {
        impl<'de> DeserializeSeed<'de> for $reader<'_, 'de> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
                from.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for $reader<'_, 'de> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                while let Some(key) = map.next_key()? {
                    match key {
                        $(Key::$key => {
                            let ($map, $found) = (&mut map, &mut *self.0);
                            $read;
                        })+
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                    self.0.go_on()?;
                }
                Ok(())
            }
        }
    };
}

reads_a_map!(Envelope,
    ChannelId => |map, found| found.channel = Some(map.next_value()?),
    Message => |map, found| map.next_value_seed(Message(found))?);
reads_a_map!(Message,
    MessageId => |map, found| found.message = Some(map.next_value()?),
    TimeSent => |map, found| found.sent = Some(map.next_value()?));

/// What came of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Every message up to it is accounted for.
    floor: i64,
    /// When the newest message was written.
    newest: i64,
    /// In the order in which they came.
    ids: VecDeque<i64>,
    /// Of these and of some before them the ones that were found in the history, in the order in which
    /// they were written.
    recovered: VecDeque<i64>,
    /// The last message that the stream brought in this process: it brings none before it any more.
    passed: i64,
    /// There may be a gap above the floor.
    gap: bool,
}

impl Channel {
    /// Every message up to it is accounted for; none while that is known of no message.
    pub fn floor(&self) -> Option<i64> {
        (self.floor != UNKNOWN).then_some(self.floor)
    }

    /// When the newest message was written, milliseconds since 1970.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    fn trim(&mut self) {
        let most = if self.gap { KEPT_IN_GAP } else { KEPT };
        if !self.gap && self.floor == UNKNOWN {
            self.floor = self.ids.iter().min().map_or(UNKNOWN, |first| first - 1);
        }
        while self.ids.len() > most
            && let Some(oldest) = self.ids.pop_front()
        {
            self.floor = self.floor.max(oldest);
        }
        while let Some(&oldest) = self.recovered.front()
            && (self.recovered.len() > KEPT_RECOVERED
                || self.recovered.len() > KEPT && oldest <= self.passed)
        {
            self.recovered.pop_front();
        }
    }

    /// The channel as the database keeps it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.floor, self.newest, self.recovered.len() as i64];
        let numbers = numbers.iter().chain(&self.recovered).chain(&self.ids);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    /// None for bytes that are no channel.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| i64::from_le_bytes(*number));
        let (floor, newest, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let recovered: VecDeque<i64> = numbers.by_ref().take(count.try_into().ok()?).collect();
        rest.is_empty().then(|| Self {
            floor,
            newest,
            ids: numbers.collect(),
            recovered,
            passed: UNKNOWN,
            gap: true,
        })
    }
}

/// What came of every channel.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    channels: HashMap<u128, Channel>,
    /// When the bot's stream was opened for the first time, milliseconds since 1970.
    since: Option<i64>,
    /// A connection has been opened and not every channel has been looked through since.
    gap: bool,
    /// When that connection was opened, the newest message of all that had come was written then. Kept
    /// until the gap is closed, through any number of connections and processes.
    gap_from: Option<i64>,
    /// When the newest message was written in any of the channels that had to be forgotten.
    forgotten: Option<i64>,
}

impl Sightings {
    /// What a process before this one saw.
    pub(super) fn restored(
        channels: impl IntoIterator<Item = (u128, Channel)>,
        since: Option<i64>,
        gap_from: Option<i64>,
    ) -> Self {
        let mut channels: HashMap<_, _> = channels.into_iter().collect();
        let gap = gap_from.is_some();
        for channel in channels.values_mut() {
            // One that was settled within the gap keeps more ids than it has to.
            channel.gap = gap;
        }
        // What was forgotten had been silent for longer than any of these.
        let forgotten = channels.values().map(Channel::newest).min();
        Self {
            forgotten: forgotten.filter(|_| channels.len() >= CHANNELS),
            since,
            gap_from,
            gap,
            channels,
        }
    }

    /// There may be a gap after what was seen so far.
    fn interrupt(&mut self) {
        self.gap = true;
        for channel in self.channels.values_mut() {
            channel.gap = true;
        }
    }

    /// All of it was seen by a process before this one.
    pub(super) fn process_ended(&mut self) {
        self.interrupt();
        for channel in self.channels.values_mut() {
            channel.passed = UNKNOWN;
        }
    }

    /// Whether the message came.
    pub fn has(&self, channel: u128, message: i64) -> bool {
        let channel = self.channels.get(&channel);
        channel.is_some_and(|channel| channel.ids.contains(&message))
    }

    /// Whether the message was found in the history.
    pub fn has_recovered(&self, channel: u128, message: i64) -> bool {
        let channel = self.channels.get(&channel);
        channel.is_some_and(|channel| channel.recovered.contains(&message))
    }

    /// A message came. Answers the channel that is forgotten for its sake.
    pub fn see(&mut self, sighting: Sighting) -> Option<u128> {
        let Sighting {
            channel,
            message,
            sent,
            recovered,
        } = sighting;
        let mut forgotten = None;
        if !self.channels.contains_key(&channel) && self.channels.len() >= CHANNELS {
            forgotten = self.forget_the_most_silent();
        }
        let gap = self.gap;
        let known = self.channels.entry(channel).or_insert_with(|| Channel {
            floor: if gap { UNKNOWN } else { message - 1 },
            newest: sent,
            ids: VecDeque::new(),
            recovered: VecDeque::new(),
            passed: UNKNOWN,
            gap,
        });
        known.newest = known.newest.max(sent);
        if !recovered {
            known.passed = known.passed.max(message);
        }
        // What could not be written is noted once more.
        if !known.ids.contains(&message) {
            known.ids.push_back(message);
            if recovered {
                known.recovered.push_back(message);
            }
            known.trim();
        }
        forgotten
    }

    fn forget_the_most_silent(&mut self) -> Option<u128> {
        let oldest = self.channels.iter().min_by_key(|(_, known)| known.newest);
        let oldest = oldest.map(|(&channel, _)| channel)?;
        let newest = self.channels.remove(&oldest).map(|known| known.newest);
        self.forgotten = self.forgotten.max(newest);
        Some(oldest)
    }

    /// The channel is gone: the bot cannot see it any more.
    pub fn forget(&mut self, channel: u128) {
        self.channels.remove(&channel);
    }

    /// A connection was opened now (milliseconds since 1970): there may be a gap before what comes on it.
    pub fn open_gap(&mut self, now: i64) {
        let since = *self.since.get_or_insert(now);
        let newest = self.channels.values().map(Channel::newest).max();
        self.gap_from
            .get_or_insert(newest.map_or(since, |newest| newest.max(since)));
        self.interrupt();
    }

    /// The channel's history was looked through, and what was missing has been seen.
    pub fn settle(&mut self, channel: u128) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.gap = false;
            channel.trim();
        }
    }

    /// As [`Sightings::settle`], for every channel.
    pub fn settle_all(&mut self) {
        self.gap = false;
        self.gap_from = None;
        for channel in self.channels.values_mut() {
            channel.gap = false;
            channel.trim();
        }
    }

    /// When the bot's stream was opened for the first time, milliseconds since 1970.
    pub fn since(&self) -> Option<i64> {
        self.since
    }

    /// When the newest message was written before the gap that is open, milliseconds since 1970; the
    /// stream's first opening if there was none.
    pub fn gap_from(&self) -> Option<i64> {
        self.gap_from
    }

    /// When the newest message was written (milliseconds since 1970) in any of the channels that had to be
    /// forgotten, if there were any: what was written later in a channel that is not known has not come.
    pub fn forgotten(&self) -> Option<i64> {
        self.forgotten
    }

    /// A channel, if something is known of it.
    pub fn channel(&self, channel: u128) -> Option<&Channel> {
        self.channels.get(&channel)
    }

    /// Every channel.
    pub fn channels(&self) -> impl Iterator<Item = (u128, &Channel)> {
        self.channels.iter().map(|(&id, channel)| (id, channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(sightings: &mut Sightings, channel: u128, messages: impl IntoIterator<Item = i64>) {
        for message in messages {
            let sent = message;
            sightings.see(Sighting {
                channel,
                message,
                sent,
                recovered: false,
            });
        }
    }

    fn floor(sightings: &Sightings) -> Option<i64> {
        sightings.channel(1).and_then(Channel::floor)
    }

    #[test]
    fn the_floor_follows_what_comes_and_what_comes_late_is_told_apart() {
        let mut sightings = Sightings::default();
        see(&mut sightings, 1, [100, 102, 101]);
        assert_eq!(floor(&sightings), Some(99));
        assert!(sightings.has(1, 101) && !sightings.has(1, 99) && !sightings.has(2, 101));
        see(&mut sightings, 1, 103..300);
        assert_eq!(floor(&sightings), Some(299 - KEPT as i64));
        assert!(sightings.has(1, 299) && !sightings.has(1, 102));
    }

    #[test]
    fn nothing_is_forgotten_while_there_may_be_a_gap() {
        let mut sightings = Sightings::default();
        see(&mut sightings, 1, [100]);
        sightings.open_gap(50);
        see(&mut sightings, 1, 200..1000);
        sightings.open_gap(60);
        assert_eq!(
            (sightings.since(), sightings.gap_from()),
            (Some(50), Some(100))
        );
        see(&mut sightings, 2, [300, 301]);
        assert_eq!(floor(&sightings), Some(99));
        assert_eq!(sightings.channel(2).and_then(Channel::floor), None);
        see(&mut sightings, 1, 101..200);
        sightings.settle(1);
        assert!(floor(&sightings) > Some(900), "{:?}", floor(&sightings));
        assert!(sightings.has(1, 199), "what came last is kept, however old");
        sightings.settle_all();
        assert_eq!(sightings.gap_from(), None);
        assert_eq!(sightings.channel(2).and_then(Channel::floor), Some(299));
        sightings.open_gap(70);
        see(&mut sightings, 1, 1000..1000 + 2 * KEPT_IN_GAP as i64);
        assert_eq!(sightings.channel(1).map(|c| c.ids.len()), Some(KEPT_IN_GAP));
    }

    /// The ids out of the history that are known, of all that could be.
    fn recovered(sightings: &Sightings) -> Vec<i64> {
        let all = 0..20_000;
        all.filter(|&id| sightings.has_recovered(1, id)).collect()
    }

    #[test]
    fn what_the_history_had_is_known_until_the_stream_has_passed_it() {
        let find = |sightings: &mut Sightings, messages: std::ops::Range<i64>| {
            for message in messages {
                sightings.see(Sighting {
                    channel: 1,
                    message,
                    sent: message,
                    recovered: true,
                });
            }
        };
        let mut sightings = Sightings::default();
        see(&mut sightings, 1, [100]);
        sightings.open_gap(50);
        find(&mut sightings, 101..700);
        sightings.settle(1);
        sightings.settle_all();
        assert_eq!(recovered(&sightings), Vec::from_iter(101..700));
        // A later process knows them, too.
        let channel = sightings.channel(1).expect("a channel").to_bytes();
        let channel = Channel::of_bytes(&channel).expect("a channel");
        let mut sightings = Sightings::restored([(1, channel)], Some(50), None);
        sightings.settle_all();
        assert_eq!(recovered(&sightings), Vec::from_iter(101..700));

        see(&mut sightings, 1, [300]);
        assert_eq!(recovered(&sightings), Vec::from_iter(301..700));
        see(&mut sightings, 1, [5000]);
        assert_eq!(
            recovered(&sightings),
            Vec::from_iter(700 - KEPT as i64..700)
        );
        find(&mut sightings, 5001..12_000);
        let most = 12_000 - KEPT_RECOVERED as i64..12_000;
        assert_eq!(recovered(&sightings), Vec::from_iter(most));
    }

    #[test]
    fn channels_are_bounded_and_the_most_silent_goes_first() {
        let mut sightings = Sightings::default();
        for channel in 0..CHANNELS as u128 {
            see(&mut sightings, channel, [channel as i64]);
        }
        see(&mut sightings, 0, [5000]);
        assert_eq!(sightings.forgotten(), None);
        let sighting = Sighting {
            channel: 9999,
            message: 1,
            sent: 6000,
            recovered: false,
        };
        assert_eq!(sightings.see(sighting), Some(1));
        assert!(sightings.channel(1).is_none());
        assert_eq!(sightings.forgotten(), Some(1));
        assert_eq!(sightings.channels().count(), CHANNELS);
        let channels: Vec<_> = sightings
            .channels()
            .map(|(id, c)| (id, c.clone()))
            .collect();
        assert_eq!(
            Sightings::restored(channels, None, None).forgotten(),
            Some(2)
        );
        sightings.forget(9999);
        assert!(!sightings.has(9999, 1));
        assert_eq!(sightings.forgotten(), Some(1));
    }

    #[test]
    fn a_channel_comes_back_from_its_bytes_with_a_gap() {
        let mut sightings = Sightings::default();
        see(&mut sightings, 1, [7, i64::MAX, 8, 7]);
        sightings.see(Sighting {
            channel: 1,
            message: 9,
            sent: 1,
            recovered: true,
        });
        assert!(sightings.has_recovered(1, 9) && !sightings.has_recovered(1, 8));
        let channel = sightings.channel(1).expect("a channel").clone();
        let again = Channel::of_bytes(&channel.to_bytes()).expect("a channel");
        assert!(again.gap);
        assert_eq!(
            again,
            Channel {
                gap: true,
                passed: UNKNOWN,
                ..channel
            }
        );
        assert_eq!(again.ids, [7, i64::MAX, 8, 9]);
        for damaged in [15, 16, 25] {
            assert_eq!(Channel::of_bytes(&vec![0; damaged]), None);
        }
    }

    #[test]
    fn a_message_is_known_by_channel_and_id() {
        let payload = r#"{"channelId":"00000000-0000-0000-0000-00000000000A","message":{
            "messageId":9223372036854775807,"timeSent":"2026-01-01T00:00:01.5Z","text":"\"x"}}"#;
        let sighting = Sighting::of_message_create(payload).expect("a message");
        assert_eq!((sighting.channel, sighting.message), (10, i64::MAX));
        assert_eq!(sighting.sent, 1_767_225_601_500);
        // The channel may come last, and what comes after is not looked at.
        let other = r#"{"spaceId":null,"message":{"text":["}",{"messageId":1}],"sender":{"timeSent":"x"},
            "timeSent":"2026-01-01T00:00:01.5Z","messageId":9223372036854775807},
            "channelId":"0000000000000000000000000000000a","#;
        assert_eq!(Sighting::of_message_create(other), Some(sighting));
        for damaged in [
            "",
            "{}",
            r#"{"channelId":"x","message":{}}"#,
            &other[..other.len() - 10],
            &other.replace("922", "x"),
            &other.replace("2026-", ""),
            "[1, 2]",
        ] {
            assert_eq!(Sighting::of_message_create(damaged), None);
        }
    }
}
