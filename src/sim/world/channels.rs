//! Channels of a space.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::entitlements::MANAGE_CHANNELS;
use super::{Fault, Id, Message, Override, Show, Space, World, wire};

/// [`crate::contract::CHANNEL_TYPE`]: a text channel.
pub const TEXT: i64 = 0;
/// A voice channel.
pub const VOICE: i64 = 1;
/// An announcement channel.
pub const ANNOUNCEMENT: i64 = 2;

/// A channel with what was written in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    /// Identity.
    pub id: Id,
    /// Name.
    pub name: String,
    /// A number of [`crate::contract::CHANNEL_TYPE`].
    pub kind: i64,
    /// What it is for.
    pub description: Option<String>,
    /// The group it is shown in.
    pub group: Option<Id>,
    /// How long a member must wait between two messages; zero for no wait.
    pub slow_mode: Duration,
    /// What archetypes may do here, unlike elsewhere in the space.
    pub overrides: Vec<Override>,
    /// Oldest first, ids ascending.
    pub messages: VecDeque<Message>,
}

impl Channel {
    /// The message with that id.
    pub fn message(&self, id: i64) -> Option<&Message> {
        let at = self.messages.binary_search_by_key(&id, |m| m.id).ok()?;
        self.messages.get(at)
    }

    /// The message with that id, to change it.
    pub fn message_mut(&mut self, id: i64) -> Option<&mut Message> {
        let at = self.messages.binary_search_by_key(&id, |m| m.id).ok()?;
        self.messages.get_mut(at)
    }
}

/// What becomes different about a channel; what is `None` stays.
#[derive(Debug, Default)]
pub struct ChannelChange {
    /// How long a member must wait between two messages.
    pub slow_mode: Option<Duration>,
    /// What archetypes may do here; takes the place of what was there.
    pub overrides: Option<Vec<Override>>,
}

/// A channel to be.
#[derive(Debug)]
pub struct NewChannel {
    /// Name.
    pub name: String,
    /// A number of [`crate::contract::CHANNEL_TYPE`].
    pub kind: i64,
    /// What it is for.
    pub description: Option<String>,
    /// The group it is shown in.
    pub group: Option<Id>,
}

impl World {
    /// The channel and the space it is in.
    pub fn channel(&self, id: Id) -> Option<(&Space, &Channel)> {
        self.spaces().iter().find_map(|space| {
            let channel = space.channels.iter().find(|channel| channel.id == id)?;
            Some((space, channel))
        })
    }

    /// The channel, to change it.
    pub(super) fn channel_mut(&mut self, id: Id) -> Option<&mut Channel> {
        let channels = self.spaces.iter_mut().flat_map(|space| &mut space.channels);
        channels.into_iter().find(|channel| channel.id == id)
    }

    /// A bot creates a channel.
    pub fn create_channel(&mut self, bot: Id, space: Id, new: NewChannel) -> Result<Id, Fault> {
        self.space_for(bot, space, MANAGE_CHANNELS)?;
        self.open_channel(space, new)
    }

    /// A new channel in a space.
    pub fn open_channel(&mut self, space: Id, new: NewChannel) -> Result<Id, Fault> {
        if crate::contract::CHANNEL_TYPE.name_of(new.kind).is_none() {
            return Err(Fault::Crash("validation_error"));
        }
        let channel = Channel {
            id: Id::new_v4(),
            name: new.name,
            kind: new.kind,
            description: new.description,
            group: new.group,
            slow_mode: Duration::ZERO,
            overrides: Vec::new(),
            messages: VecDeque::new(),
        };
        let id = channel.id;
        let payload = json!({ "spaceId": space, "channel": wire::channel_full(space, &channel) });
        if let Some(space) = self.space_mut(space) {
            space.channels.push(channel);
        }
        self.tell_in(id, "channelCreate", payload);
        self.show(Show::World);
        Ok(id)
    }

    /// A bot deletes a channel with everything in it.
    pub fn delete_channel(&mut self, bot: Id, space: Id, channel: Id) -> Result<(), Fault> {
        self.space_for(bot, space, MANAGE_CHANNELS)?;
        match self.channel_for(bot, channel, MANAGE_CHANNELS)? {
            (place, _) if place.id == space => self.close_channel(channel),
            _ => Err(Fault::Crash("channel_not_found")),
        }
    }

    /// A channel goes, with everything in it.
    pub fn close_channel(&mut self, channel: Id) -> Result<(), Fault> {
        let found = self.channel(channel).map(|(space, _)| space.id);
        let space = found.ok_or(Fault::Crash("channel_not_found"))?;
        let speakers: Vec<Id> = self.speakers(channel).collect();
        for user in speakers {
            self.leave_voice_channel(user, channel);
        }
        self.typing.retain(|&(at, _), _| at != channel);
        let payload = json!({ "spaceId": space, "channelId": channel });
        self.tell_in(channel, "channelDelete", payload);
        if let Some(space) = self.space_mut(space) {
            space.channels.retain(|known| known.id != channel);
        }
        self.show(Show::World);
        Ok(())
    }
}

impl World {
    /// Changes a channel (control API). The platform has no event for it.
    pub fn change_channel(&mut self, id: Id, change: ChannelChange) -> Result<(), Fault> {
        let missing = || Fault::missing("there is no such channel");
        let (space, _) = self.channel(id).ok_or_else(missing)?;
        let known = |rule: &&Override| space.archetypes.iter().any(|one| one.id == rule.archetype);
        if let Some(unknown) = change.overrides.iter().flatten().find(|rule| !known(rule)) {
            let unknown = unknown.archetype;
            return Err(Fault::missing(format!(
                "{unknown} is no archetype of the space"
            )));
        }
        let channel = self.channel_mut(id).ok_or_else(missing)?;
        channel.slow_mode = change.slow_mode.unwrap_or(channel.slow_mode);
        if let Some(overrides) = change.overrides {
            channel.overrides = overrides;
        }
        self.show(Show::World);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{NewChannel, TEXT};
    use crate::sim::world::Fault;
    use crate::sim::world::testing::{channel, events, world};

    fn new(name: &str) -> NewChannel {
        NewChannel {
            name: name.to_owned(),
            kind: TEXT,
            description: None,
            group: None,
        }
    }

    #[test]
    fn channels_come_and_go_with_an_event_each() {
        let (mut world, bot, _) = world();
        let space = world.default_space().expect("a space");
        let id = world.create_channel(bot, space, new("ideas")).expect("may");
        world.delete_channel(bot, space, id).expect("may");
        let told = events(&mut world);
        assert_eq!(told[0].0, "channelCreate");
        assert_eq!(told[0].1["channel"]["type"], 0);
        assert_eq!(told[1].0, "channelDelete");
        let gone = world.delete_channel(bot, space, id);
        assert_eq!(gone, Err(Fault::Crash("channel_not_found")));
    }

    #[test]
    fn managing_channels_needs_the_entitlement() {
        let (mut world, bot, _) = world();
        let space = world.default_space().expect("a space");
        let members = &mut world.space_mut(space).expect("a space").members;
        for member in members.iter_mut() {
            member.granted = member.granted.map(|granted| granted & !(1 << 50));
        }
        let fault = world.create_channel(bot, space, new("x")).expect_err("no");
        assert_eq!(fault.error(), Some("insufficient_permissions"));
        let general = channel(&world, "general");
        assert!(world.delete_channel(bot, space, general).is_err());
    }
}
