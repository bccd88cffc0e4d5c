//! Who may do what where.
//!
//! A person holds what their archetypes allow, a bot what it was granted when it was installed. In a
//! channel the overrides of the member's archetypes come on top: first everything goes that one of
//! them denies, then everything comes that one of them allows. No override gives a bot more than it was
//! granted, and whoever cannot view a channel can do nothing in it.
//!
//! The platform has two bits for joining voice (`joinToVoice`, `connect`) and for speaking (`sendVoice`,
//! `speak`) and does not say how they differ; its routes ask for "ConnectVoice", so `connect` and
//! `speak` count here.

use serde::{Deserialize, Serialize};

use super::{Channel, Fault, Id, Space, World, forms};
use crate::contract::ENTITLEMENTS;

/// To see a channel, what is in it and what happens in it.
pub const VIEW: u64 = bit("viewChannel");
/// To read what was written before.
pub const READ: u64 = bit("readHistory");
/// To write, and to show that one types.
pub const SEND: u64 = bit("sendMessages");
/// To write a message with an attachment.
pub const ATTACH: u64 = bit("attachFiles");
/// To react.
pub const REACT: u64 = bit("addReactions");
/// To mention somebody, or an archetype.
pub const MENTION: u64 = bit("anyMentions");
/// To mention everybody.
pub const MENTION_EVERYONE: u64 = bit("mentionEveryone");
/// To run slash commands.
pub const COMMANDS: u64 = bit("useCommands");
/// To join a voice channel, and to hear it.
pub const CONNECT: u64 = bit("connect");
/// To be heard in a voice channel.
pub const SPEAK: u64 = bit("speak");
/// To take somebody out of a voice channel.
pub const KICK: u64 = bit("kickMember");
/// To create and delete channels.
pub const MANAGE_CHANNELS: u64 = bit("manageChannels");
/// To see what archetypes allow.
pub const MANAGE_ARCHETYPES: u64 = bit("manageArchetype");
/// To run commands that are not for everybody.
pub const MANAGE_BOTS: u64 = bit("manageBots");

/// The mask of an entitlement of the contract; a name that it does not have fails to compile.
pub(super) const fn bit(name: &str) -> u64 {
    let mut at = 0;
    while at < ENTITLEMENTS.values.len() {
        let (mask, known) = ENTITLEMENTS.values[at];
        if same(known.as_bytes(), name.as_bytes()) {
            return mask;
        }
        at += 1;
    }
    panic!("the contract has no such entitlement")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// What an archetype's members may do in one channel, unlike elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// Whose.
    pub archetype: Id,
    /// Mask of [`ENTITLEMENTS`].
    #[serde(with = "forms::number")]
    pub allow: u64,
    /// Mask of [`ENTITLEMENTS`].
    #[serde(with = "forms::number")]
    pub deny: u64,
}

impl Space {
    /// What a member may do in the space; nothing for others.
    pub fn entitlements(&self, user: Id) -> u64 {
        let Some(member) = self.member(user) else {
            return 0;
        };
        member.granted.unwrap_or_else(|| {
            let archetypes = self.archetypes.iter();
            let own = archetypes.filter(|known| member.archetypes.contains(&known.id));
            own.fold(0, |mask, own| mask | own.permissions)
        })
    }

    /// What a member may do in one of the space's channels.
    pub fn entitlements_in(&self, channel: &Channel, user: Id) -> u64 {
        let held = self.entitlements(user);
        let Some(member) = self.member(user) else {
            return 0;
        };
        let overrides = channel.overrides.iter();
        let own = overrides.filter(|rule| member.archetypes.contains(&rule.archetype));
        let (allow, deny) = own.fold((0, 0), |(allow, deny), rule| {
            (allow | rule.allow, deny | rule.deny)
        });
        let here = (held & !deny | allow) & member.granted.unwrap_or(u64::MAX);
        match here & VIEW {
            0 => 0,
            _ => here,
        }
    }
}

impl World {
    /// The space, if the bot is in it and has the entitlements there. An unknown space crashes the
    /// platform's server, another's is `not_a_member`.
    pub fn space_for(&self, bot: Id, space: Id, needs: u64) -> Result<&Space, Fault> {
        let space = self.space(space).ok_or(Fault::Crash("not_a_member"))?;
        if space.member(bot).is_none() {
            return Err(Fault::code("not_a_member"));
        }
        match needs & !space.entitlements(bot) {
            0 => Ok(space),
            missing => Err(lacks(missing)),
        }
    }

    /// The channel and its space, if the bot is in the space, sees the channel and has the entitlements
    /// there. An unknown one crashes the platform's server.
    pub fn channel_for(
        &self,
        bot: Id,
        channel: Id,
        needs: u64,
    ) -> Result<(&Space, &Channel), Fault> {
        let found = self.channel(channel);
        let (space, channel) = found.ok_or(Fault::Crash("channel_not_found"))?;
        self.space_for(bot, space.id, 0)?;
        allowed(space, channel, bot, needs)?;
        Ok((space, channel))
    }

    /// As [`World::channel_for`], for a person (control API).
    pub(super) fn member_channel(
        &self,
        user: Id,
        channel: Id,
        needs: u64,
    ) -> Result<(Id, &Channel), Fault> {
        let (space, channel) = self
            .channel(channel)
            .ok_or_else(|| Fault::missing("there is no such channel"))?;
        if space.member(user).is_none() {
            return Err(Fault::missing("nobody with this userId is in the space"));
        }
        allowed(space, channel, user, needs)?;
        Ok((space.id, channel))
    }

    /// The bots of a channel's space that must not hear of what happens in the channel.
    pub(super) fn blind(&self, channel: Id) -> Vec<Id> {
        let Some((space, channel)) = self.channel(channel) else {
            return Vec::new();
        };
        let bots = space.members.iter().filter(|one| one.granted.is_some());
        let bots = bots.map(|bot| bot.user);
        bots.filter(|&bot| space.entitlements_in(channel, bot) == 0)
            .collect()
    }
}

fn allowed(space: &Space, channel: &Channel, user: Id, needs: u64) -> Result<(), Fault> {
    match (needs | VIEW) & !space.entitlements_in(channel, user) {
        0 => Ok(()),
        missing => Err(lacks(missing)),
    }
}

/// `insufficient_permissions`, with the names of what is missing.
pub fn lacks(missing: u64) -> Fault {
    let known = ENTITLEMENTS.values.iter();
    let names = known.filter(|(mask, _)| missing & mask != 0);
    let names: Vec<&str> = names.map(|&(_, name)| name).collect();
    Fault::Refused {
        status: 403,
        error: "insufficient_permissions",
        message: format!("The entitlement is missing: {}.", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{CONNECT, Override, SEND, VIEW};
    use crate::config::Secret;
    use crate::sim::world::testing::{channel, person, world};
    use crate::sim::world::{Id, World};

    fn rule(world: &mut World, channel: Id, archetype: &str, allow: u64, deny: u64) {
        let mut known = world.spaces[0].archetypes.iter();
        let archetype = known.find(|one| one.name == archetype).expect("one").id;
        let place = world.channel_mut(channel).expect("a channel");
        place.overrides.push(Override {
            archetype,
            allow,
            deny,
        });
    }

    fn held(world: &World, channel: Id, user: Id) -> u64 {
        let (space, place) = world.channel(channel).expect("a channel");
        space.entitlements_in(place, user)
    }

    #[test]
    fn what_one_archetype_allows_is_stronger_than_what_another_denies() {
        let (mut world, _, _) = world();
        let (ada, boris) = (person(&world, "Ada"), person(&world, "Boris"));
        let general = channel(&world, "general");
        rule(&mut world, general, "everyone", 0, SEND);
        rule(&mut world, general, "moderator", SEND, 0);
        assert_eq!(held(&world, general, boris) & SEND, 0);
        assert_ne!(held(&world, general, ada) & SEND, 0, "a moderator");
        let random = channel(&world, "random");
        assert_ne!(held(&world, random, boris) & SEND, 0, "another channel");
    }

    #[test]
    fn a_channel_that_cannot_be_seen_allows_nothing() {
        let (mut world, bot, _) = world();
        let general = channel(&world, "general");
        rule(&mut world, general, "everyone", 0, VIEW);
        assert_eq!(held(&world, general, bot), 0);
        let fault = world.channel_for(bot, general, 0).expect_err("hidden");
        assert_eq!(fault.error(), Some("insufficient_permissions"));
        assert_eq!(world.blind(general), [bot]);
        assert!(world.blind(channel(&world, "random")).is_empty());
    }

    #[test]
    fn an_override_gives_a_bot_no_more_than_it_was_granted() {
        let (mut world, _, _) = world();
        let bot = world.add_bot("small", false, |_| Secret::new("s")).user;
        let space = world.spaces[0].id;
        world.member_mut(space, bot).expect("a member").granted = Some(VIEW | SEND);
        let lounge = channel(&world, "Lounge");
        rule(&mut world, lounge, "everyone", CONNECT, SEND);
        assert_eq!(held(&world, lounge, bot), VIEW);
        assert_eq!(held(&world, lounge, Id::nil()), 0, "a stranger");
    }
}
