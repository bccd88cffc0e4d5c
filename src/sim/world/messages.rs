//! Messages.
//!
//! A channel keeps its last [`MESSAGES_KEPT`] messages. Message ids are Argon-epoch milliseconds
//! shifted left by 22 bits, so that they exceed 2^53 as the platform's do; they grow strictly.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::controls::check_controls;
use super::entitlements::{ATTACH, MENTION, MENTION_EVERYONE, READ, SEND};
use super::{Channel, Fault, Id, Reaction, Show, VOICE, World, forms, wire};
use crate::contract::ENTITY_TYPE;
use crate::contract::limits::RANDOM_ID_LIFETIME;
use crate::sim::clock::Now;

/// How many messages a channel keeps; older ones are forgotten.
pub const MESSAGES_KEPT: usize = 10_000;
/// The entitlement that an entity of a message needs beside writing.
const ENTITY_NEEDS: &[(&str, u64)] = &[
    ("attachment", ATTACH),
    ("mention", MENTION),
    ("mentionEveryone", MENTION_EVERYONE),
    ("mentionRole", MENTION),
];

fn entitlements_of(entities: &[Value]) -> u64 {
    let kinds = entities.iter().filter_map(|entity| entity["type"].as_i64());
    let names = kinds.filter_map(|kind| ENTITY_TYPE.name_of(kind));
    let needs = names.flat_map(|name| ENTITY_NEEDS.iter().filter(move |(known, _)| *known == name));
    needs.fold(0, |mask, (_, needed)| mask | needed)
}

/// How long slow mode still forbids this member another message.
fn must_wait(channel: &Channel, user: Id, now: Now) -> Option<Duration> {
    if channel.slow_mode.is_zero() {
        return None;
    }
    let mut before = channel.messages.iter().rev();
    let last = before.find(|message| message.sender == user)?;
    // The clock may have been set back.
    let passed = Duration::try_from(now.wall.duration_since(last.sent)).unwrap_or_default();
    let wait = channel.slow_mode.saturating_sub(passed);
    (!wait.is_zero()).then_some(wait)
}

/// A message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// Identity, larger than that of every earlier message.
    #[serde(with = "forms::number")]
    pub id: i64,
    /// Who wrote it.
    pub sender: Id,
    /// The text.
    pub text: String,
    /// Formatting, in the contract's request form.
    pub entities: Vec<Value>,
    /// Rows of controls, in the contract's form.
    pub controls: Option<Vec<Value>>,
    /// The message that this one answers.
    #[serde(with = "forms::maybe_number")]
    pub reply_to: Option<i64>,
    /// When it was written.
    pub sent: Timestamp,
    /// Whether it was changed since.
    pub edited: bool,
    /// In the order of the first use of each emoji.
    pub reactions: Vec<Reaction>,
    /// What history still shows instead of `reactions`, and until when.
    pub(super) shown: Option<(Timestamp, Vec<Reaction>)>,
}

/// A message to be.
#[derive(Debug, Default)]
pub struct Draft {
    /// The text.
    pub text: String,
    /// Formatting, in the contract's request form.
    pub entities: Vec<Value>,
    /// Rows of controls, in the contract's form.
    pub controls: Option<Vec<Value>>,
    /// The message that it answers.
    pub reply_to: Option<i64>,
}

impl World {
    /// A bot writes a message; a `random_id` that the channel knows gives the first one's id, `None` is
    /// never known.
    pub fn send(
        &mut self,
        bot: Id,
        channel: Id,
        draft: Draft,
        random_id: Option<i64>,
        now: Now,
    ) -> Result<i64, Fault> {
        self.forget_random_ids(now);
        let needs = SEND | entitlements_of(&draft.entities);
        let (space, place) = self.channel_for(bot, channel, needs)?;
        let space = space.id;
        let key = random_id.map(|id| (channel, id));
        if let Some(first) = key.and_then(|key| self.random_ids.get(&key)) {
            return Ok(*first);
        }
        let valid = match &draft.controls {
            Some(rows) => check_controls(rows).is_ok(),
            None => true,
        };
        if place.kind == VOICE || !valid {
            return Err(Fault::Crash("validation_error"));
        }
        if let Some(wait) = must_wait(place, bot, now) {
            return Err(Fault::TooFast(wait));
        }
        let id = self.write(space, channel, bot, draft, now);
        if let Some(key) = key {
            self.random_ids.insert(key, id);
            self.random_order.push_back((now.mono, key));
        }
        Ok(id)
    }

    fn forget_random_ids(&mut self, now: Now) {
        while let Some(&(at, key)) = self.random_order.front() {
            if now.mono.saturating_duration_since(at) < RANDOM_ID_LIFETIME {
                break;
            }
            self.random_order.pop_front();
            self.random_ids.remove(&key);
        }
    }

    /// A person writes a message (control API).
    pub fn say(&mut self, user: Id, channel: Id, draft: Draft, now: Now) -> Result<i64, Fault> {
        let needs = SEND | entitlements_of(&draft.entities);
        let (space, place) = self.member_channel(user, channel, needs)?;
        if place.kind == VOICE {
            return Err(Fault::bad("nobody can write in a voice channel"));
        }
        if let Some(wait) = must_wait(place, user, now) {
            let seconds = wait.as_secs_f64();
            return Err(Fault::bad(format!(
                "the channel is slow: this member can write again in {seconds} s"
            )));
        }
        if let Some(reply_to) = draft.reply_to
            && place.message(reply_to).is_none()
        {
            return Err(Fault::missing("replyTo is no message of this channel"));
        }
        let length = draft.text.encode_utf16().count() as i64;
        for entity in &draft.entities {
            let part = |name: &str| entity[name].as_i64().unwrap_or(-1);
            let (offset, size) = (part("offset"), part("length"));
            if offset < 0 || size < 0 || offset.saturating_add(size) > length {
                return Err(Fault::bad(format!(
                    "an entity at {offset} of length {size} is outside the text, which has {length} UTF-16 code units"
                )));
            }
        }
        Ok(self.write(space, channel, user, draft, now))
    }

    fn write(&mut self, space: Id, channel: Id, sender: Id, draft: Draft, now: Now) -> i64 {
        let id = (now.argon_ms() << 22).max(self.last_message + 1);
        self.last_message = id;
        let message = Message {
            id,
            sender,
            text: draft.text,
            entities: draft.entities,
            controls: draft.controls.filter(|rows| !rows.is_empty()),
            reply_to: draft.reply_to,
            sent: now.wall,
            edited: false,
            reactions: Vec::new(),
            shown: None,
        };
        let user = self.wire_user(sender);
        let payload = wire::message_create(self.quirks, space, channel, &message, user);
        if let Some(channel) = self.channel_mut(channel) {
            if channel.messages.len() == MESSAGES_KEPT {
                channel.messages.pop_front();
            }
            channel.messages.push_back(message);
        }
        self.tell_in(channel, "messageCreate", payload);
        if self.typing.contains_key(&(channel, sender)) {
            // Pages show no typing after the message; bots hear of its end when its time is over.
            self.show(Show::TypingStop {
                channel,
                user: sender,
            });
        }
        self.show(Show::Message(channel, id));
        id
    }

    /// A bot changes one of its own messages. Somebody else's crashes the platform's server.
    pub fn edit_own(
        &mut self,
        bot: Id,
        channel: Id,
        message: i64,
        text: Option<String>,
        controls: Option<Vec<Value>>,
        now: Now,
    ) -> Result<(), Fault> {
        let (_, place) = self.channel_for(bot, channel, 0)?;
        let known = place
            .message(message)
            .ok_or_else(|| Fault::code("message_not_found"))?;
        let valid = match &controls {
            Some(rows) => check_controls(rows).is_ok(),
            None => true,
        };
        if known.sender != bot {
            return Err(Fault::Crash("message_not_found"));
        }
        if !valid {
            return Err(Fault::Crash("validation_error"));
        }
        self.change(channel, message, text, controls, now);
        Ok(())
    }

    /// A person changes one of their own messages (control API).
    pub fn rewrite(
        &mut self,
        user: Id,
        channel: Id,
        message: i64,
        text: String,
        now: Now,
    ) -> Result<(), Fault> {
        let (_, place) = self.member_channel(user, channel, 0)?;
        let known = place
            .message(message)
            .ok_or_else(|| Fault::missing("there is no such message in the channel"))?;
        if known.sender != user {
            return Err(Fault::bad("only the sender can edit a message"));
        }
        self.change(channel, message, Some(text), None, now);
        Ok(())
    }

    fn change(
        &mut self,
        channel: Id,
        message: i64,
        text: Option<String>,
        controls: Option<Vec<Value>>,
        now: Now,
    ) {
        let Some(space) = self.channel(channel).map(|(space, _)| space.id) else {
            return;
        };
        let Some(known) = self
            .channel_mut(channel)
            .and_then(|place| place.message_mut(message))
        else {
            return;
        };
        if let Some(text) = text {
            known.text = text;
            // Offsets of the old text mean nothing in the new one, and an edit cannot bring new ones.
            known.entities.clear();
        }
        if let Some(rows) = controls {
            known.controls = Some(rows).filter(|rows| !rows.is_empty());
        }
        known.edited = true;
        let payload = json!({
            "channelId": channel,
            "messageId": message,
            "spaceId": space,
            "text": known.text,
            "updatedAt": now.wall.to_string(),
        });
        self.tell_in(channel, "messageEdit", payload);
        self.show(Show::Edit(channel, message));
    }

    /// Messages of a channel, newest first, older than `from`.
    pub fn history(
        &self,
        bot: Id,
        channel: Id,
        from: Option<i64>,
        limit: usize,
    ) -> Result<(Id, impl Iterator<Item = &Message>), Fault> {
        let (space, place) = self.channel_for(bot, channel, READ)?;
        let before = from.unwrap_or(i64::MAX);
        let messages = place.messages.iter().rev();
        let page = messages
            .skip_while(move |message| message.id >= before)
            .take(limit);
        Ok((space.id, page))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Draft;
    use crate::sim::world::Fault;
    use crate::sim::world::testing::{channel, events, later, person, world};

    fn draft(text: &str) -> Draft {
        Draft {
            text: text.to_owned(),
            ..Draft::default()
        }
    }

    #[test]
    fn a_random_id_is_remembered_for_two_minutes_per_channel() {
        let (mut world, bot, now) = world();
        let (general, random) = (channel(&world, "general"), channel(&world, "random"));
        let first = world
            .send(bot, general, draft("a"), Some(7), now)
            .expect("sent");
        let again = world.send(bot, general, draft("b"), Some(7), later(now, 119));
        assert_eq!(again, Ok(first));
        assert_ne!(world.send(bot, random, draft("c"), Some(7), now), Ok(first));
        assert_ne!(
            world.send(bot, general, draft("d"), Some(8), now),
            Ok(first)
        );
        let after = world.send(bot, general, draft("e"), Some(7), later(now, 120));
        assert_ne!(after, Ok(first));
        assert_eq!(events(&mut world).len(), 4, "a repeat tells nobody");
    }

    #[test]
    fn ids_exceed_a_double_and_grow() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let ids: Vec<i64> = (0..50)
            .map(|n| {
                world
                    .send(bot, general, draft("x"), Some(n), now)
                    .expect("sent")
            })
            .collect();
        assert!(ids[0] > 1 << 53);
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn history_is_newest_first_and_pages_by_from() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let ids: Vec<i64> = (0..5)
            .map(|n| {
                world
                    .send(bot, general, draft("x"), Some(n), now)
                    .expect("sent")
            })
            .collect();
        let page = |from, limit| -> Vec<i64> {
            let (_, page) = world.history(bot, general, from, limit).expect("member");
            page.map(|message| message.id).collect()
        };
        assert_eq!(page(None, 2), [ids[4], ids[3]]);
        assert_eq!(page(Some(ids[3]), 50), [ids[2], ids[1], ids[0]]);
    }

    #[test]
    fn text_in_a_voice_channel_and_bad_controls_crash() {
        let (mut world, bot, now) = world();
        let (general, lounge) = (channel(&world, "general"), channel(&world, "Lounge"));
        let crash = |code| Err(Fault::Crash(code));
        let sent = world.send(bot, lounge, draft("x"), Some(1), now);
        assert_eq!(sent, crash("validation_error"));
        let bad = Draft {
            controls: Some(vec![json!({"controls": []})]),
            ..draft("x")
        };
        let sent = world.send(bot, general, bad, Some(2), now);
        assert_eq!(sent, crash("validation_error"));
        let nowhere = uuid::Uuid::nil();
        let sent = world.send(bot, nowhere, draft("x"), Some(3), now);
        assert_eq!(sent, crash("channel_not_found"));
    }

    #[test]
    fn a_bot_edits_its_own_messages_only() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let ada = person(&world, "Ada");
        let theirs = world.say(ada, general, draft("hi"), now).expect("said");
        let own = world
            .send(bot, general, draft("a"), Some(1), now)
            .expect("sent");
        events(&mut world);
        let text = || Some("new".to_owned());
        let edit = world.edit_own(bot, general, theirs, text(), None, now);
        assert_eq!(edit, Err(Fault::Crash("message_not_found")));
        let edit = world.edit_own(bot, general, 1, text(), None, now);
        assert_eq!(
            edit.expect_err("unknown").error(),
            Some("message_not_found")
        );
        world
            .edit_own(bot, general, own, text(), None, now)
            .expect("own");
        let told = events(&mut world);
        assert_eq!((told.len(), &*told[0].0), (1, "messageEdit"));
        assert_eq!(told[0].1["text"], "new");
    }

    #[test]
    fn entities_of_a_person_must_lie_in_the_text() {
        let (mut world, _, now) = world();
        let (ada, general) = (person(&world, "Ada"), channel(&world, "general"));
        let mut say = |length: i64| {
            let entities = vec![json!({"type": 10, "offset": 0, "length": length})];
            let draft = Draft {
                entities,
                ..draft("𝄞") // two UTF-16 code units
            };
            world.say(ada, general, draft, now)
        };
        assert!(say(2).is_ok());
        assert!(say(3).is_err());
    }
}
