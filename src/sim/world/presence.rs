//! Typing indicators and voice channels.

use jiff::Timestamp;
use serde_json::json;

use super::{Fault, Id, Show, VOICE, World};
use crate::contract::limits::TYPING_LIFETIME;
use crate::sim::clock::Now;

/// Somebody in a voice channel.
#[derive(Debug, Clone, Copy)]
pub struct VoiceState {
    /// Where.
    pub channel: Id,
    /// Since when.
    pub joined: Timestamp,
    /// Mask of [`crate::contract::MEMBER_STATE`].
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
        let (space, _) = self.member_channel(user, channel)?;
        self.typing
            .insert((channel, user), now.mono + TYPING_LIFETIME);
        self.timers_changed = true;
        let payload = json!({
            "channelId": channel,
            "kind": kind.map(str::to_uppercase),
            "spaceId": space,
            "userId": user,
        });
        self.tell(space, "typingStart", &payload);
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
            self.tell(space, "typingStop", &payload);
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

    /// Where somebody speaks.
    pub fn voice_state(&self, user: Id) -> Option<&VoiceState> {
        self.voice.get(&user)
    }

    /// Who is in a voice channel.
    pub fn speakers(&self, channel: Id) -> impl Iterator<Item = Id> {
        let states = self.voice.iter();
        states
            .filter(move |(_, state)| state.channel == channel)
            .map(|(&user, _)| user)
    }

    /// Somebody joins a voice channel and leaves the one before (control API).
    pub fn join_voice(&mut self, user: Id, channel: Id, now: Now) -> Result<(), Fault> {
        let (space, place) = self.member_channel(user, channel)?;
        if place.kind != VOICE {
            return Err(Fault::bad("the channel is not a voice channel"));
        }
        if self
            .voice
            .get(&user)
            .is_some_and(|at| at.channel == channel)
        {
            return Ok(());
        }
        self.leave_voice(user);
        self.voice.insert(
            user,
            VoiceState {
                channel,
                joined: now.wall,
                state: 0,
            },
        );
        self.tell_voice("voiceJoin", space, channel, user);
        Ok(())
    }

    /// Somebody leaves their voice channel, if they are in one; says which.
    pub fn leave_voice(&mut self, user: Id) -> Option<Id> {
        let channel = self.voice.remove(&user)?.channel;
        if let Some(space) = self.channel(channel).map(|(space, _)| space.id) {
            self.tell_voice("voiceLeave", space, channel, user);
        }
        Some(channel)
    }

    fn tell_voice(&mut self, kind: &str, space: Id, channel: Id, user: Id) {
        let user = self.wire_user(user);
        let payload = json!({ "channelId": channel, "spaceId": space, "user": user });
        self.tell(space, kind, &payload);
        self.show(Show::World);
    }

    /// A bot removes somebody from a voice channel.
    pub fn kick(&mut self, bot: Id, space: Id, channel: Id, user: Id) -> Result<(), Fault> {
        self.space_for(bot, space)?;
        self.require(bot, space, "kickMember")?;
        if self.voice_state(user).map(|at| at.channel) != Some(channel) {
            return Err(Fault::code("kick_failed"));
        }
        self.leave_voice(user);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::world::testing::{channel, events, later, person, world};

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
        world.kick(bot, space, lounge, ada).expect("there");
        let kinds: Vec<_> = events(&mut world)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds, ["voiceJoin", "voiceLeave"]);
    }
}
