//! Finds the messages that the stream lost, in the history of the channels.
//!
//! A server that keeps a bot's position itself takes an event for delivered when it has written it to the
//! socket. What was on its way when the connection or the process ended never comes again. Of that, a
//! `messageCreate` can be made good: after each connect, the history of every text channel of the bot is
//! read back to the last message that is known to have come, and what is missing is made into the
//! event that it was ([`event_of`]), marked by its id ([`Event::RECOVERED`]). Nothing else of what was lost
//! can be asked for: not interactions, reactions, edits, nor who came and went.
//!
//! Guarantees:
//! - A message is handed out once, whether the stream brings it, or the history, or first one and then the
//!   other: the stream's thread decides by message id ([`crate::inbox::Sightings`]), and that it came is
//!   on disk in the same transaction as the event.
//! - What has not been looked through when the connection or the process ends is looked through after
//!   the next connect, from the same message on.
//! - The stream goes first, because an event may be slower than the history, by many seconds when the
//!   platform has kept much for a bot that was away (100 events leave in a second): what the history shows is
//!   missing when the stream has brought a message of the same space that was written later, when nothing
//!   has come for a moment, or nothing of that space for longer, or when a minute is over. So what was
//!   only late is not taken for lost, and what is found comes in the order in which it was written. Were it
//!   taken for lost all the same, it would come too early, and once.
//! - It takes a part of the rate limits only ([`crate::stream::Host::ask`]). A question that cannot be
//!   answered now is asked again until the connection ends.
//!
//! Bounds: messages older than [`super::Settings::catch_up`] are left out, and at most [`PAGES`] pages of
//! a channel are read. In a channel of which no message was known before the gap, one is missing if it was
//! written after the newest message that had come from anywhere by then, less [`SLACK`], and after the newest
//! one of the channels that had to be forgotten ([`crate::inbox::Sightings`] has a bound). A channel that
//! is in no space's list and whose history is refused is gone, and forgotten.
//!
//! A server that replays what comes after `lastEventId` says `resumed` after the last of it: then nothing
//! is missing, unless the bot was away for longer than the platform keeps events ([`KEPT`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::event_id::guid;
use super::settings::{Denied, Host, Timings};
use super::shared::Shared;
use crate::contract::limits::HISTORY_PAGE;
use crate::inbox::{Event, Scope, Sighting};

/// Pages of history read of one channel.
const PAGES: usize = 50;
/// How long the platform keeps events for a bot that is away.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// How far before the newest message, in milliseconds, one of a channel that is not known may have been
/// written: another space may have been quicker.
const SLACK: i64 = 60_000;
/// How often something is asked that the platform answers with a bare 500: it means "no", mostly.
const TRIES: u32 = 3;

/// What came of it, in order.
#[derive(Debug)]
pub enum Finding {
    /// A message that did not come.
    Message(Sighting, Event),
    /// Nothing is missing in this channel any more; or in any.
    Settled(Option<u128>),
    /// The bot cannot see this channel any more.
    Gone(u128),
}

/// One look through the channels, after one connect.
pub struct CatchUp {
    pub host: Arc<dyn Host>,
    pub shared: Arc<Shared>,
    pub timings: Timings,
    /// How old a message may be.
    pub reach: Duration,
    /// How long before this connect the last event came.
    pub away: Duration,
    /// The channel is bounded: the search waits for the stream's thread.
    pub findings: mpsc::Sender<Finding>,
}

/// A message of the history, as far as it is looked at; the rest of it is in `whole`.
#[derive(Debug)]
struct Found {
    sighting: Sighting,
    whole: Map<String, Value>,
}

/// A channel to be looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    channel: u128,
    /// Every message up to it came.
    floor: Option<i64>,
    /// Nothing that was written before is missing, milliseconds since 1970.
    from: i64,
}

/// Why the rest is not looked through.
enum End {
    /// The stream is being closed.
    Closed,
    /// The server says that it has sent again what was missed.
    NothingMissing,
}

impl CatchUp {
    /// Looks until nothing is missing. Ends early when the receiver is gone.
    pub async fn run(self) {
        // The stream begins to bring what the platform has for it.
        tokio::time::sleep(self.timings.quiet).await;
        let mut search = Search::new(&self);
        if let Err(End::Closed) = search.everywhere().await {
            return;
        }
        if search.found > 0 {
            tracing::info!(
                "{} messages that the event stream did not bring were found in the history",
                search.found
            );
        }
        let _ = self.findings.send(Finding::Settled(None)).await;
    }

    /// Waits until the stream has brought everything of the scope that was written up to `sent` and that it
    /// will bring at all; see above.
    async fn let_the_stream_go_first(&self, scope: Scope, sent: i64) {
        let begun = Instant::now();
        let Timings {
            quiet,
            patience,
            patience_most,
            ..
        } = self.timings;
        loop {
            let waited = begun.elapsed();
            let silent = self.shared.silent_for().min(waited);
            let flow = self.shared.flow_of(scope);
            let passed = flow.is_some_and(|flow| flow.newest > sent);
            let without_it = flow.map_or(waited, |flow| flow.heard.elapsed().min(waited));
            if passed
                || silent >= quiet
                || without_it >= patience
                || waited >= patience_most
                || self.was_replayed()
            {
                return;
            }
            tokio::time::sleep((quiet - silent).min(quiet / 10)).await;
        }
    }

    /// Whether the server says that it has sent again everything that was missed.
    fn was_replayed(&self) -> bool {
        self.shared.resumed.load(Relaxed) && self.away < KEPT
    }
}

/// How far a look has come.
struct Search<'c> {
    of: &'c CatchUp,
    /// How every channel stood when the search began, and has not been looked through since; what is
    /// missing is above that.
    known: HashMap<u128, Place>,
    /// Where nothing is known.
    unknown_from: i64,
    profiles: HashMap<(String, String), Value>,
    found: usize,
}

#[derive(Deserialize)]
struct Spaces {
    spaces: Vec<Space>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Space {
    space_id: String,
}

#[derive(Deserialize)]
struct Channels {
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Channel {
    channel_id: Uuid,
    #[serde(default)]
    channel_type: Value,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Map<String, Value>>,
}

impl<'c> Search<'c> {
    fn new(of: &'c CatchUp) -> Self {
        let oldest = now() - i64::try_from(of.reach.as_millis()).unwrap_or(i64::MAX >> 1);
        let sightings = of.shared.sightings();
        let from = sightings.gap_from().unwrap_or(oldest) - SLACK;
        let known = sightings.channels().map(|(channel, known)| {
            let place = Place {
                channel,
                floor: known.floor(),
                from: match known.floor() {
                    Some(_) => oldest,
                    None => from.max(oldest),
                },
            };
            (channel, place)
        });
        let after_forgotten = sightings.forgotten().map_or(i64::MIN, |newest| newest + 1);
        Self {
            of,
            known: known.collect(),
            unknown_from: from.max(oldest).max(after_forgotten),
            profiles: HashMap::new(),
            found: 0,
        }
    }

    async fn everywhere(&mut self) -> Result<(), End> {
        let spaces: Option<Spaces> = self.ask("IBotSelf", "GetSpaces", json!({})).await?;
        let mut lists_are_complete = spaces.is_some();
        for Space { space_id } in spaces.map_or_else(Vec::new, |all| all.spaces) {
            let params = json!({ "spaceId": space_id });
            let channels: Option<Channels> = self.ask("IChannels", "List", params).await?;
            lists_are_complete &= channels.is_some();
            let channels = channels.map_or_else(Vec::new, |all| all.channels);
            let text = channels.into_iter().filter(Channel::has_messages);
            let mut places: Vec<_> = text
                .map(|channel| self.place(channel.channel_id.as_u128()))
                .collect();
            places.sort_by_key(|place| place.floor.is_none());
            let scope = guid(&space_id).map_or(Scope::Direct, Scope::Space);
            self.look_through(scope, &places).await?;
        }
        // Channels of no space: conversations with one person, and those that are gone.
        let mut rest: Vec<_> = self.known.values().copied().collect();
        rest.sort_by_key(|place| place.channel);
        for place in rest {
            let is_there = self.look_through(Scope::Direct, &[place]).await?;
            if !is_there && lists_are_complete {
                self.hand_on(Finding::Gone(place.channel)).await?;
            }
        }
        Ok(())
    }

    fn place(&self, channel: u128) -> Place {
        let known = self.known.get(&channel).copied();
        known.unwrap_or(Place {
            channel,
            floor: None,
            from: self.unknown_from,
        })
    }

    /// Looks through channels that share an order, and hands on what is missing in them. Whether any of
    /// them has a history.
    async fn look_through(&mut self, scope: Scope, places: &[Place]) -> Result<bool, End> {
        let mut missing = Vec::new();
        let mut any_history = false;
        for place in places {
            if let Some(mut messages) = self.missing_in(*place).await? {
                any_history = true;
                missing.append(&mut messages);
            }
        }
        if let Some(last) = missing.iter().map(|found| found.sighting.sent).max() {
            self.of.let_the_stream_go_first(scope, last).await;
            self.drop_seen(&mut missing);
        }
        missing.sort_by_key(|found| (found.sighting.sent, found.sighting.message));
        for found in missing {
            let sender = self.sender(&found.whole).await?;
            self.found += 1;
            let event = event_of(&found, sender);
            self.hand_on(Finding::Message(found.sighting, event))
                .await?;
        }
        for place in places {
            self.hand_on(Finding::Settled(Some(place.channel))).await?;
            self.known.remove(&place.channel);
        }
        Ok(any_history)
    }

    async fn hand_on(&self, finding: Finding) -> Result<(), End> {
        let handed = self.of.findings.send(finding).await;
        handed.map_err(|_| End::Closed)
    }

    fn drop_seen(&self, messages: &mut Vec<Found>) {
        let sightings = self.of.shared.sightings();
        messages.retain(|found| {
            let Sighting {
                channel, message, ..
            } = found.sighting;
            !sightings.has(channel, message)
        });
    }

    /// The messages of a channel that did not come so far; none if its history is refused.
    async fn missing_in(&self, place: Place) -> Result<Option<Vec<Found>>, End> {
        let channel = Uuid::from_u128(place.channel);
        let mut missing = None;
        let mut before: Option<i64> = None;
        for _ in 0..PAGES {
            let params = json!({
                "channelId": channel,
                "limit": HISTORY_PAGE.0,
                "from": before,
            });
            let Some(Page { messages }) = self.ask("IMessages", "History", params).await? else {
                break;
            };
            let missing = missing.get_or_insert_with(Vec::new);
            let count = messages.len();
            let page = messages.into_iter().filter_map(|whole| {
                let sighting = sighting_of(place.channel, &whole)?;
                Some(Found { sighting, whole })
            });
            // Whether `from` itself is in the page is not documented.
            let mut page: Vec<_> = page
                .filter(|found| before.is_none_or(|before| found.sighting.message < before))
                .collect();
            let Some(first) = page.iter().map(|found| found.sighting.message).min() else {
                break;
            };
            before = Some(first);
            let all = page.len();
            page.retain(|found| place.may_miss(&found.sighting));
            let reached = page.len() < all;
            self.drop_seen(&mut page);
            missing.append(&mut page);
            if reached || count < HISTORY_PAGE.0 as usize {
                break;
            }
        }
        Ok(missing)
    }

    /// Who wrote a message. The history has no more than the id; the rest is asked for once.
    async fn sender(&mut self, message: &Map<String, Value>) -> Result<Value, End> {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or("");
        let who = (text("spaceId").to_owned(), text("creatorId").to_owned());
        if let Some(profile) = self.profiles.get(&who) {
            return Ok(profile.clone());
        }
        let params = json!({ "spaceId": who.0, "userId": who.1 });
        let member: Option<Value> = match who.0.is_empty() {
            true => None,
            false => self.ask("ISpaces", "GetMember", params).await?,
        };
        let member = member.unwrap_or_default();
        let name = |key: &str| member[key].as_str().unwrap_or("");
        let username = name("username");
        let profile = json!({
            "avatarUrl": null,
            "displayName": name("displayName"),
            // The name of every bot ends so, and no person's does.
            "flags": i64::from(username.ends_with("bot")),
            "userId": who.1,
            "username": username,
        });
        self.profiles.insert(who, profile.clone());
        Ok(profile)
    }

    /// None when the platform says no, or something that cannot be read.
    async fn ask<T: DeserializeOwned>(
        &self,
        interface: &'static str,
        route: &'static str,
        params: Value,
    ) -> Result<Option<T>, End> {
        let Value::Object(params) = params else {
            return Ok(None);
        };
        let timings = &self.of.timings;
        let mut pause = timings.backoff;
        let mut unclear = 0;
        let refusal = loop {
            if self.of.was_replayed() {
                return Err(End::NothingMissing);
            }
            let answer = self.of.host.ask(interface, route, params.clone()).await;
            let reason = match answer {
                Ok(answer) => match serde_json::from_slice(&answer) {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(error) => break error.to_string(),
                },
                Err(Denied::No(reason)) => break reason,
                Err(Denied::Later(reason)) => reason,
                Err(Denied::Unclear(reason)) => {
                    unclear += 1;
                    if unclear == TRIES {
                        break reason;
                    }
                    reason
                }
            };
            tracing::debug!(
                "{interface}/{route} cannot be asked for missing messages now ({reason}); again in {pause:?}"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(timings.backoff_most);
        };
        tracing::debug!("{interface}/{route}, for messages that are missing: {refusal}");
        Ok(None)
    }
}

impl Place {
    /// Whether the message may be missing, as far as the channel's state tells.
    fn may_miss(&self, sighting: &Sighting) -> bool {
        sighting.sent >= self.from && self.floor.is_none_or(|floor| sighting.message > floor)
    }
}

impl Channel {
    /// Whether there can be messages in it: unless it says that it is for voice.
    fn has_messages(&self) -> bool {
        let voice = crate::contract::CHANNEL_TYPE.number("voice");
        match &self.channel_type {
            Value::String(name) => !name.eq_ignore_ascii_case("voice"),
            number => number.as_i64().is_none() || number.as_i64() != voice,
        }
    }
}

fn sighting_of(channel: u128, message: &Map<String, Value>) -> Option<Sighting> {
    let sent: jiff::Timestamp = message.get("createdAt")?.as_str()?.parse().ok()?;
    Some(Sighting {
        channel,
        message: message.get("messageId")?.as_i64()?,
        sent: sent.as_millisecond(),
        recovered: true,
    })
}

/// The `messageCreate` that the message was (`MessageDto` into `MessageCreateEvent`).
fn event_of(found: &Found, sender: Value) -> Event {
    /// What only the history's entities have.
    const EXTRA: [&str; 3] = ["version", "unionKey", "unionIndex"];
    let field = |name: &str| found.whole.get(name).cloned().unwrap_or_default();
    let mut entities = field("entities");
    for entity in entities.as_array_mut().into_iter().flatten() {
        if let Some(entity) = entity.as_object_mut() {
            entity.retain(|name, _| !EXTRA.contains(&name.as_str()));
        }
    }
    let payload = json!({
        "channelId": field("channelId"),
        "message": {
            "channelId": field("channelId"),
            "controls": field("controls"),
            "entities": entities,
            "messageId": field("messageId"),
            "reactions": field("reactions"),
            "replyId": field("replyTo"),
            "sender": sender,
            "spaceId": field("spaceId"),
            "text": field("text"),
            "timeSent": field("createdAt"),
        },
        "spaceId": field("spaceId"),
    });
    let Sighting {
        channel, message, ..
    } = found.sighting;
    let channel = Uuid::from_u128(channel);
    Event {
        id: format!("{}{}_{message}", Event::RECOVERED, channel.simple()),
        kind: "messageCreate".to_owned(),
        payload: payload.to_string(),
        received: Instant::now(),
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
