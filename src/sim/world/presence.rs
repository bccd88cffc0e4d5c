//! Presence, typing indicators and voice channels.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::entitlements::{CONNECT, KICK, SEND, SPEAK};
use super::{Effect, Fault, Id, Show, User, VOICE, World, forms};
use crate::contract::limits::TYPING_LIFETIME;
use crate::sim::clock::Now;

/// [`crate::contract::USER_STATUS`]: online.
const ONLINE: i64 = 1;

/// Somebody's status, and what they do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Presence {
    /// A number of [`crate::contract::USER_STATUS`].
    pub status: i64,
    /// What they do.
    pub activity: Option<Activity>,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            status: ONLINE,
            activity: None,
        }
    }
}

/// What somebody does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activity {
    /// A number of [`crate::contract::ACTIVITY_KIND`].
    pub kind: i64,
    /// The title of the game, the song, …
    pub title: String,
    /// Since when, seconds since 1970.
    pub since: u32,
}

/// Somebody in a voice channel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoiceState {
    /// Where.
    pub channel: Id,
    /// Since when.
    pub joined: Timestamp,
    /// Mask of [`crate::contract::MEMBER_STATE`].
    #[serde(with = "forms::number")]
    pub state: u64,
}

impl World {
    /// Somebody types in a channel; it ends by itself. `kind` is one of the contract's typing kinds.
    pub fn start_typing(
        &mut self,
        user: Id,
        channel: Id,
        kind: Option<&str>,
        now: Now,
    ) -> Result<(), Fault> {
        let (space, _) = self.member_channel(user, channel, SEND)?;
        self.typing
            .insert((channel, user), now.mono + TYPING_LIFETIME);
        self.timers_changed = true;
        let payload = json!({
            "channelId": channel,
            "kind": kind.map(str::to_uppercase),
            "spaceId": space,
            "userId": user,
        });
        self.tell_in(channel, "typingStart", payload);
        self.show(Show::Typing {
            channel,
            user,
            kind: kind.map(str::to_owned),
        });
        Ok(())
    }

    /// Ends a typing indicator, if there is one.
    pub fn stop_typing(&mut self, channel: Id, user: Id) {
        if self.typing.remove(&(channel, user)).is_none() {
            return;
        }
        if let Some(space) = self.channel(channel).map(|(space, _)| space.id) {
            let payload = json!({ "channelId": channel, "spaceId": space, "userId": user });
            self.tell_in(channel, "typingStop", payload);
        }
        self.show(Show::TypingStop { channel, user });
    }

    pub(super) fn expire_typing(&mut self, now: Now) {
        let over: Vec<(Id, Id)> = self
            .typing
            .iter()
            .filter(|&(_, &until)| until <= now.mono)
            .map(|(&key, _)| key)
            .collect();
        for (channel, user) in over {
            self.stop_typing(channel, user);
        }
    }

    /// Where a person speaks; one of the places if a bot is in several.
    pub fn voice_state(&self, user: Id) -> Option<&VoiceState> {
        let mut states = self.voice.iter();
        states
            .find(|((who, _), _)| *who == user)
            .map(|(_, state)| state)
    }

    /// Who is in a voice channel.
    pub fn speakers(&self, channel: Id) -> impl Iterator<Item = Id> {
        let places = self.voice.keys();
        places
            .filter(move |(_, at)| *at == channel)
            .map(|&(user, _)| user)
    }

    /// Somebody joins a voice channel. A person leaves the one before.
    pub fn join_voice(&mut self, user: Id, channel: Id, now: Now) -> Result<(), Fault> {
        let (space, place) = self.member_channel(user, channel, CONNECT)?;
        if place.kind != VOICE {
            return Err(Fault::bad("the channel is not a voice channel"));
        }
        if self.voice.contains_key(&(user, channel)) {
            return Ok(());
        }
        let is_bot = self.user(user).is_some_and(User::is_bot);
        if !is_bot {
            self.leave_voice(user);
        }
        self.voice.insert(
            (user, channel),
            VoiceState {
                channel,
                joined: now.wall,
                state: 0,
            },
        );
        // A person who may not speak is there without a track; a bot's comes with its socket.
        let speaks = !is_bot && self.member_channel(user, channel, SPEAK).is_ok();
        self.effects.push(Effect::RoomJoined {
            room: channel,
            user,
            speaks,
        });
        self.tell_voice("voiceJoin", space, channel, user);
        Ok(())
    }

    /// Somebody leaves every voice channel; false if they were in none.
    pub fn leave_voice(&mut self, user: Id) -> bool {
        let places = self.voice.keys().filter(|(who, _)| *who == user);
        let channels: Vec<Id> = places.map(|&(_, channel)| channel).collect();
        for &channel in &channels {
            self.leave_voice_channel(user, channel);
        }
        !channels.is_empty()
    }

    /// Somebody leaves a voice channel; false if they were not there.
    pub fn leave_voice_channel(&mut self, user: Id, channel: Id) -> bool {
        if self.voice.remove(&(user, channel)).is_none() {
            return false;
        }
        self.effects.push(Effect::RoomLeft {
            room: channel,
            user,
        });
        if let Some(space) = self.channel(channel).map(|(space, _)| space.id) {
            self.tell_voice("voiceLeave", space, channel, user);
        }
        true
    }

    fn tell_voice(&mut self, kind: &str, space: Id, channel: Id, user: Id) {
        let user = self.wire_user(user);
        let payload = json!({ "channelId": channel, "spaceId": space, "user": user });
        self.tell_in(channel, kind, payload);
        self.show(Show::World);
    }

    /// Somebody in a voice channel is muted, deafened or streams from now on (control API); `state` is a mask
    /// of [`crate::contract::MEMBER_STATE`]. Bots see it in the interactions of that person.
    pub fn set_voice_state(&mut self, user: Id, state: u64) -> Result<(), Fault> {
        let mut places = self.voice.iter_mut().filter(|((who, _), _)| *who == user);
        let place = places.next();
        let (_, place) = place.ok_or_else(|| Fault::bad("this person is in no voice channel"))?;
        place.state = state;
        self.show(Show::World);
        Ok(())
    }

    /// A bot removes somebody from a voice channel.
    pub fn kick(&mut self, bot: Id, space: Id, channel: Id, user: Id) -> Result<(), Fault> {
        let place = self.space_for(bot, space, 0)?;
        if !place.channels.iter().any(|known| known.id == channel) {
            return Err(Fault::code("kick_failed"));
        }
        self.channel_for(bot, channel, KICK)?;
        match self.leave_voice_channel(user, channel) {
            true => Ok(()),
            false => Err(Fault::code("kick_failed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::world::testing::{channel, events, later, person, world};
    use crate::sim::world::{Id, Space};

    #[test]
    fn typing_ends_by_itself_after_eight_seconds() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        world
            .start_typing(bot, general, Some("thinking"), now)
            .expect("member");
        world.expire(later(now, 7));
        let told = events(&mut world);
        assert_eq!((told.len(), &told[0].1["kind"]), (1, &"THINKING".into()));
        assert_eq!(world.next_deadline(), Some(later(now, 8).mono));
        world.expire(later(now, 8));
        assert_eq!(events(&mut world)[0].0, "typingStop");
        assert_eq!(world.next_deadline(), None);
    }

    #[test]
    fn only_somebody_in_the_voice_channel_can_be_kicked() {
        let (mut world, bot, now) = world();
        let (ada, lounge) = (person(&world, "Ada"), channel(&world, "Lounge"));
        let space = world.default_space().expect("a space");
        let fault = world.kick(bot, space, lounge, ada).expect_err("not there");
        assert_eq!(fault.error(), Some("kick_failed"));
        world.join_voice(ada, lounge, now).expect("member");
        let other = Id::from_u128(77);
        world.spaces.push(Space {
            id: other,
            name: "Elsewhere".to_owned(),
            description: None,
            channels: Vec::new(),
            archetypes: Vec::new(),
            members: Vec::new(),
        });
        world.install_bot(bot, other, 0).expect("a bot");
        events(&mut world);
        let elsewhere = world.kick(bot, other, lounge, ada);
        let fault = elsewhere.expect_err("the channel is of another space");
        assert_eq!(fault.error(), Some("kick_failed"));
        world.kick(bot, space, lounge, ada).expect("there");
        let kinds: Vec<_> = events(&mut world)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds, ["voiceLeave"]);
    }
}
