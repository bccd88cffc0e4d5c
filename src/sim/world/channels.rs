//! Channels and archetypes of a space.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Fault, Id, Message, Show, Space, World, forms, wire};

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

/// A role.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archetype {
    /// Identity.
    pub id: Id,
    /// Name.
    pub name: String,
    /// 0xRRGGBB.
    pub colour: i32,
    /// Whether everybody has it.
    pub is_default: bool,
    /// Whether messages can mention it.
    pub is_mentionable: bool,
    /// Mask of [`crate::contract::ENTITLEMENTS`].
    #[serde(with = "forms::number")]
    pub permissions: u64,
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

    /// The channel, if the bot is in its space: an unknown one crashes the platform's server.
    pub fn channel_for(&self, bot: Id, channel: Id) -> Result<(&Space, &Channel), Fault> {
        let (space, channel) = self.channel(channel).ok_or(Fault::Crash)?;
        self.space_for(bot, space.id)?;
        Ok((space, channel))
    }

    /// A bot creates a channel.
    pub fn create_channel(&mut self, bot: Id, space: Id, new: NewChannel) -> Result<Id, Fault> {
        self.space_for(bot, space)?;
        self.require(bot, space, "manageChannels")?;
        if crate::contract::CHANNEL_TYPE.name_of(new.kind).is_none() {
            return Err(Fault::Crash);
        }
        let channel = Channel {
            id: Id::new_v4(),
            name: new.name,
            kind: new.kind,
            description: new.description,
            group: new.group,
            messages: VecDeque::new(),
        };
        let id = channel.id;
        let payload = json!({ "spaceId": space, "channel": wire::channel_full(space, &channel) });
        if let Some(space) = self.space_mut(space) {
            space.channels.push(channel);
        }
        self.tell(space, "channelCreate", &payload);
        self.show(Show::World);
        Ok(id)
    }

    /// A bot deletes a channel with everything in it.
    pub fn delete_channel(&mut self, bot: Id, space: Id, channel: Id) -> Result<(), Fault> {
        let place = self.space_for(bot, space)?;
        self.require(bot, space, "manageChannels")?;
        if !place.channels.iter().any(|known| known.id == channel) {
            return Err(Fault::Crash);
        }
        let speakers: Vec<Id> = self.speakers(channel).collect();
        for user in speakers {
            self.leave_voice_channel(user, channel);
        }
        self.typing.retain(|&(at, _), _| at != channel);
        if let Some(space) = self.space_mut(space) {
            space.channels.retain(|known| known.id != channel);
        }
        let payload = json!({ "spaceId": space, "channelId": channel });
        self.tell(space, "channelDelete", &payload);
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
        assert_eq!(world.delete_channel(bot, space, id), Err(Fault::Crash));
    }

    #[test]
    fn managing_channels_needs_the_entitlement() {
        let (mut world, bot, _) = world();
        let space = world.default_space().expect("a space");
        let members = &mut world.space_mut(space).expect("a space").members;
        for member in members.iter_mut() {
            member.granted &= !(1 << 50);
        }
        let fault = world.create_channel(bot, space, new("x")).expect_err("no");
        assert_eq!(fault.error(), Some("insufficient_permissions"));
        let general = channel(&world, "general");
        assert!(world.delete_channel(bot, space, general).is_err());
    }
}
