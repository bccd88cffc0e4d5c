//! A world that was read from a snapshot: is it one, and who speaks in it?

use std::collections::HashSet;

use super::calls::CallState;
use super::entitlements::SPEAK;
use super::{Effect, Id, Space, User, World};
use crate::contract::CHANNEL_TYPE;
use crate::sim::quirks::Quirks;

impl World {
    /// Checks what the acts of the world rely on; the error names the place. Bots are in no voice channel
    /// afterwards, because their sockets are gone; people are heard again as soon as the effects are taken.
    pub fn revive(&mut self, quirks: Quirks) -> Result<(), String> {
        self.quirks = quirks;
        if self.spaces.is_empty() {
            return Err("spaces is empty: a world has at least one".to_owned());
        }
        let mut seen = HashSet::new();
        for (at, space) in self.spaces.iter().enumerate() {
            let place = format!("spaces[{at}]");
            self.check_space(space, &mut seen)
                .map_err(|error| format!("{place}.{error}"))?;
        }
        for (id, user) in &self.users {
            if user.id != *id {
                return Err(format!("users.{id}.id is {}", user.id));
            }
        }
        let mut tokens = HashSet::new();
        for (at, bot) in self.bots.iter().enumerate() {
            if !self.user(bot.user).is_some_and(User::is_bot) {
                return Err(format!("bots[{at}].user is no bot among the users"));
            }
            if bot.token.expose().is_empty() || !tokens.insert(bot.token.expose()) {
                return Err(format!("bots[{at}].token is empty, or another bot's"));
            }
        }
        for (at, command) in self.commands.iter().enumerate() {
            if self.bot(command.bot).is_none() {
                return Err(format!("commands[{at}].bot is no bot"));
            }
        }
        for (at, call) in self.calls.iter().enumerate() {
            if self.bot(call.bot).is_none() || self.user(call.caller).is_none() {
                return Err(format!("calls[{at}] is between nobody"));
            }
        }
        let people: Vec<((Id, Id), bool)> = self
            .voice
            .keys()
            .map(|&(user, channel)| ((user, channel), self.user(user).is_none_or(User::is_bot)))
            .collect();
        for ((user, channel), is_bot) in people {
            if is_bot {
                self.voice.remove(&(user, channel));
                continue;
            }
            if self.channel(channel).is_none() {
                return Err(format!("voice: {channel} is no channel"));
            }
            let speaks = self.member_channel(user, channel, SPEAK).is_ok();
            self.effects.push(Effect::RoomJoined {
                room: channel,
                user,
                speaks,
            });
        }
        let accepted = self
            .calls
            .iter()
            .filter(|call| call.state == CallState::Accepted);
        for call in accepted {
            self.effects.push(Effect::RoomJoined {
                room: call.id,
                user: call.caller,
                speaks: true,
            });
        }
        self.timers_changed = true;
        Ok(())
    }

    fn check_space(&self, space: &Space, seen: &mut HashSet<Id>) -> Result<(), String> {
        let mut unique = |id: Id, what: String| match seen.insert(id) {
            true => Ok(()),
            false => Err(format!("{what} {id} is there twice")),
        };
        unique(space.id, "id".to_owned())?;
        if space.archetypes.is_empty() {
            return Err("archetypes is empty: the first one is everybody's".to_owned());
        }
        for (at, archetype) in space.archetypes.iter().enumerate() {
            unique(archetype.id, format!("archetypes[{at}].id"))?;
        }
        for (at, member) in space.members.iter().enumerate() {
            if self.user(member.user).is_none() {
                return Err(format!("members[{at}].user {} is no user", member.user));
            }
            if space.members[..at]
                .iter()
                .any(|known| known.user == member.user)
            {
                return Err(format!("members[{at}].user {} is there twice", member.user));
            }
        }
        for (at, channel) in space.channels.iter().enumerate() {
            unique(channel.id, format!("channels[{at}].id"))?;
            if CHANNEL_TYPE.name_of(channel.kind).is_none() {
                return Err(format!(
                    "channels[{at}].kind {} is no type of channel",
                    channel.kind
                ));
            }
            let mut last = i64::MIN;
            for (n, message) in channel.messages.iter().enumerate() {
                let place = format!("channels[{at}].messages[{n}]");
                if message.id <= last || message.id > self.last_message {
                    return Err(format!(
                        "{place}.id {} does not grow up to lastMessage",
                        message.id
                    ));
                }
                last = message.id;
                if message
                    .reactions
                    .iter()
                    .any(|reaction| reaction.users.is_empty())
                {
                    return Err(format!("{place}.reactions has one that nobody used"));
                }
            }
        }
        Ok(())
    }
}
