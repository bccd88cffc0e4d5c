//! Messages and reactions.
//!
//! A channel keeps its last [`MESSAGES_KEPT`] messages. Message ids are Argon-epoch milliseconds
//! shifted left by 22 bits, so that they exceed 2^53 as the platform's do; they grow strictly.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::controls::check_controls;
use super::{Channel, Fault, Id, Show, VOICE, World, forms, wire};
use crate::contract::limits::{RANDOM_ID_LIFETIME, REACTIONS_PER_MESSAGE};
use crate::sim::clock::Now;

/// How many messages a channel keeps; older ones are forgotten.
pub const MESSAGES_KEPT: usize = 10_000;

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
}

/// One emoji on a message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Who used it, in order; never empty.
    pub users: Vec<Id>,
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
    /// A bot writes a message; a `random_id` that the channel knows gives the first one's id.
    pub fn send(
        &mut self,
        bot: Id,
        channel: Id,
        draft: Draft,
        random_id: i64,
        now: Now,
    ) -> Result<i64, Fault> {
        let (space, place) = self.channel_for(bot, channel)?;
        let (space, kind) = (space.id, place.kind);
        self.require(bot, space, "sendMessages")?;
        self.forget_random_ids(now);
        if let Some(&first) = self.random_ids.get(&(channel, random_id)) {
            return Ok(first);
        }
        let valid = match &draft.controls {
            Some(rows) => check_controls(rows).is_ok(),
            None => true,
        };
        if kind == VOICE || !valid {
            return Err(Fault::Crash);
        }
        let id = self.write(space, channel, bot, draft, now);
        self.random_ids.insert((channel, random_id), id);
        self.random_order
            .push_back((now.mono, (channel, random_id)));
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
        let (space, place) = self.member_channel(user, channel)?;
        if place.kind == VOICE {
            return Err(Fault::bad("nobody can write in a voice channel"));
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

    /// The channel and its space, if the person is a member (control API).
    pub(super) fn member_channel(&self, user: Id, channel: Id) -> Result<(Id, &Channel), Fault> {
        let (space, channel) = self
            .channel(channel)
            .ok_or_else(|| Fault::missing("there is no such channel"))?;
        match space.member(user) {
            Some(_) => Ok((space.id, channel)),
            None => Err(Fault::missing("nobody with this userId is in the space")),
        }
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
        };
        let user = self.wire_user(sender);
        let payload = wire::message_create(space, channel, &message, user);
        if let Some(channel) = self.channel_mut(channel) {
            if channel.messages.len() == MESSAGES_KEPT {
                channel.messages.pop_front();
            }
            channel.messages.push_back(message);
        }
        self.tell(space, "messageCreate", &payload);
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
        let (_, place) = self.channel_for(bot, channel)?;
        let known = place
            .message(message)
            .ok_or_else(|| Fault::code("message_not_found"))?;
        let valid = match &controls {
            Some(rows) => check_controls(rows).is_ok(),
            None => true,
        };
        if known.sender != bot || !valid {
            return Err(Fault::Crash);
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
        let (_, place) = self.member_channel(user, channel)?;
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
        self.tell(space, "messageEdit", &payload);
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
        let (space, place) = self.channel_for(bot, channel)?;
        self.require(bot, space.id, "readHistory")?;
        let before = from.unwrap_or(i64::MAX);
        let messages = place.messages.iter().rev();
        let page = messages
            .skip_while(move |message| message.id >= before)
            .take(limit);
        Ok((space.id, page))
    }

    /// A bot reacts to a message.
    pub fn add_reaction(
        &mut self,
        bot: Id,
        channel: Id,
        message: i64,
        emoji: &str,
    ) -> Result<(), Fault> {
        let (space, _) = self.channel_for(bot, channel)?;
        self.require(bot, space.id, "addReactions")?;
        self.react(bot, channel, message, emoji)
    }

    /// A bot takes its reaction back.
    pub fn remove_reaction(
        &mut self,
        bot: Id,
        channel: Id,
        message: i64,
        emoji: &str,
    ) -> Result<(), Fault> {
        self.channel_for(bot, channel)?;
        self.unreact(bot, channel, message, emoji)
    }

    /// A person reacts, or takes the reaction back (control API).
    pub fn react_as(
        &mut self,
        user: Id,
        channel: Id,
        message: i64,
        emoji: &str,
        remove: bool,
    ) -> Result<(), Fault> {
        self.member_channel(user, channel)?;
        if emoji.is_empty() {
            return Err(Fault::bad("emoji must not be empty"));
        }
        if remove {
            self.unreact(user, channel, message, emoji)
        } else {
            self.react(user, channel, message, emoji)
        }
    }

    fn react(&mut self, user: Id, channel: Id, message: i64, emoji: &str) -> Result<(), Fault> {
        let known = self
            .channel_mut(channel)
            .and_then(|place| place.message_mut(message))
            .ok_or_else(|| Fault::code("message_not_found"))?;
        let distinct = known.reactions.len();
        match known.reactions.iter_mut().find(|r| r.emoji == emoji) {
            Some(reaction) if reaction.users.contains(&user) => {
                return Err(Fault::code("already_reacted"));
            }
            Some(reaction) => reaction.users.push(user),
            None if distinct >= REACTIONS_PER_MESSAGE => {
                return Err(Fault::code("reaction_limit_reached"));
            }
            None => known.reactions.push(Reaction {
                emoji: emoji.to_owned(),
                users: vec![user],
            }),
        }
        self.tell_reaction("reactionAdd", user, channel, message, emoji);
        Ok(())
    }

    fn unreact(&mut self, user: Id, channel: Id, message: i64, emoji: &str) -> Result<(), Fault> {
        let known = self
            .channel_mut(channel)
            .and_then(|place| place.message_mut(message))
            .ok_or_else(|| Fault::code("message_not_found"))?;
        let reaction = known
            .reactions
            .iter_mut()
            .find(|reaction| reaction.emoji == emoji && reaction.users.contains(&user))
            .ok_or_else(|| Fault::code("reaction_not_found"))?;
        reaction.users.retain(|&known| known != user);
        known
            .reactions
            .retain(|reaction| !reaction.users.is_empty());
        self.tell_reaction("reactionRemove", user, channel, message, emoji);
        Ok(())
    }

    fn tell_reaction(&mut self, kind: &str, user: Id, channel: Id, message: i64, emoji: &str) {
        let Some(space) = self.channel(channel).map(|(space, _)| space.id) else {
            return;
        };
        let payload = json!({
            "channelId": channel,
            "emoji": emoji,
            "messageId": message,
            "spaceId": space,
            "userId": user,
        });
        self.tell(space, kind, &payload);
        self.show(Show::Reactions(channel, message));
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
        let first = world.send(bot, general, draft("a"), 7, now).expect("sent");
        let again = world.send(bot, general, draft("b"), 7, later(now, 119));
        assert_eq!(again, Ok(first));
        assert_ne!(world.send(bot, random, draft("c"), 7, now), Ok(first));
        assert_ne!(world.send(bot, general, draft("d"), 8, now), Ok(first));
        let after = world.send(bot, general, draft("e"), 7, later(now, 120));
        assert_ne!(after, Ok(first));
        assert_eq!(events(&mut world).len(), 4, "a repeat tells nobody");
    }

    #[test]
    fn ids_exceed_a_double_and_grow() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let ids: Vec<i64> = (0..50)
            .map(|n| world.send(bot, general, draft("x"), n, now).expect("sent"))
            .collect();
        assert!(ids[0] > 1 << 53);
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn history_is_newest_first_and_pages_by_from() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let ids: Vec<i64> = (0..5)
            .map(|n| world.send(bot, general, draft("x"), n, now).expect("sent"))
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
        assert_eq!(
            world.send(bot, lounge, draft("x"), 1, now),
            Err(Fault::Crash)
        );
        let bad = Draft {
            controls: Some(vec![json!({"controls": []})]),
            ..draft("x")
        };
        assert_eq!(world.send(bot, general, bad, 2, now), Err(Fault::Crash));
        let nowhere = uuid::Uuid::nil();
        assert_eq!(
            world.send(bot, nowhere, draft("x"), 3, now),
            Err(Fault::Crash)
        );
    }

    #[test]
    fn a_bot_edits_its_own_messages_only() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let ada = person(&world, "Ada");
        let theirs = world.say(ada, general, draft("hi"), now).expect("said");
        let own = world.send(bot, general, draft("a"), 1, now).expect("sent");
        events(&mut world);
        let text = || Some("new".to_owned());
        let edit = world.edit_own(bot, general, theirs, text(), None, now);
        assert_eq!(edit, Err(Fault::Crash));
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
    fn a_reaction_is_once_per_user_and_emoji_and_twenty_emoji_a_message() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let id = world.send(bot, general, draft("x"), 1, now).expect("sent");
        let mut add = |emoji: &str| world.add_reaction(bot, general, id, emoji);
        add("0").expect("new");
        assert_eq!(
            add("0").expect_err("twice").error(),
            Some("already_reacted")
        );
        for n in 1..20 {
            add(&n.to_string()).expect("new");
        }
        let full = add("20").expect_err("full");
        assert_eq!(full.error(), Some("reaction_limit_reached"));
        world.remove_reaction(bot, general, id, "0").expect("there");
        let gone = world.remove_reaction(bot, general, id, "0");
        assert_eq!(gone.expect_err("gone").error(), Some("reaction_not_found"));
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
