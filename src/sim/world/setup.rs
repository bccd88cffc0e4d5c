//! The world that every server starts with, and ids that are the same in every run.

use std::collections::VecDeque;
use std::time::Duration;

use super::channels::{ANNOUNCEMENT, TEXT, VOICE};
use super::entitlements::{
    ATTACH, COMMANDS, CONNECT, KICK, MANAGE_BOTS, MENTION, MENTION_EVERYONE, REACT, READ, SEND,
    SPEAK, VIEW, bit,
};
use super::{Archetype, Channel, Id, Member, Space, World};
use crate::sim::quirks::Quirks;

/// What a bot is granted when it is installed: every entitlement of the contract.
pub const BOT_GRANT: u64 = {
    let mut mask = 0;
    let mut i = 0;
    let values = crate::contract::ENTITLEMENTS.values;
    while i < values.len() {
        mask |= values[i].0;
        i += 1;
    }
    mask
};

/// What everybody may do: view, read, join voice, write, speak, react, mention, use commands.
pub const EVERYONE: u64 = VIEW
    | READ
    | SEND
    | REACT
    | MENTION
    | COMMANDS
    | CONNECT
    | SPEAK
    | bit("joinToVoice")
    | bit("sendVoice");
/// What a moderator may do beside that: send files, mention everybody, disconnect, mute and kick members, run
/// every command, manage messages.
const MODERATOR: u64 = EVERYONE
    | ATTACH
    | MENTION_EVERYONE
    | KICK
    | MANAGE_BOTS
    | bit("disconnectMember")
    | bit("muteMember")
    | bit("manageMessages");
/// An archetype's colour unless it is given another.
pub const GREY: i32 = 0x99_aa_b5;

/// An id that depends on nothing but the name (FNV-1a, 128 bits, marked as a version 8 UUID).
pub fn derived_id(kind: &str, name: &str) -> Id {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = kind.bytes().chain([0]).chain(name.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    let marked = hash & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    Id::from_u128(marked)
}

impl World {
    /// One space with two text channels, an announcement and a voice channel, three people and two
    /// archetypes.
    pub fn with_default_space(quirks: Quirks) -> Self {
        let space = derived_id("space", "Playground");
        let archetype = |name: &str, colour, permissions, default| Archetype {
            id: derived_id("archetype", name),
            name: name.to_owned(),
            colour,
            is_default: default,
            is_mentionable: !default,
            permissions,
        };
        let everyone = archetype("everyone", GREY, EVERYONE, true);
        let moderator = archetype("moderator", 0x2e_cc_71, MODERATOR, false);
        let channel = |name: &str, kind, description: &str| Channel {
            id: derived_id("channel", name),
            name: name.to_owned(),
            kind,
            description: Some(description.to_owned()),
            group: None,
            slow_mode: Duration::ZERO,
            overrides: Vec::new(),
            messages: VecDeque::new(),
        };

        let mut world = World {
            quirks,
            ..World::default()
        };
        let mut members = Vec::new();
        for name in ["Ada", "Boris", "Chidi"] {
            let id = derived_id("person", name);
            world.settle(id, &name.to_lowercase(), name, 0);
            let mut archetypes = vec![everyone.id];
            if name == "Ada" {
                archetypes.push(moderator.id);
            }
            members.push(Member {
                user: id,
                archetypes,
                granted: None,
            });
        }
        world.spaces.push(Space {
            id: space,
            name: "Playground".to_owned(),
            description: Some("A space to try bots in".to_owned()),
            channels: vec![
                channel("general", TEXT, "Anything"),
                channel("random", TEXT, "Anything else"),
                channel("news", ANNOUNCEMENT, "What everybody should know"),
                channel("Lounge", VOICE, "Talk"),
            ],
            archetypes: vec![everyone, moderator],
            members,
        });
        world
    }
}

#[cfg(test)]
mod tests {
    use super::{BOT_GRANT, Quirks, World, derived_id};

    #[test]
    fn ids_are_the_same_in_every_run_and_apart() {
        assert_eq!(derived_id("person", "Ada"), derived_id("person", "Ada"));
        assert_ne!(derived_id("person", "Ada"), derived_id("channel", "Ada"));
        assert_eq!(derived_id("person", "Ada").get_version_num(), 8);
        let world = World::with_default_space(Quirks::default());
        let space = &world.spaces()[0];
        assert_eq!((space.channels.len(), space.members.len()), (4, 3));
    }

    #[test]
    fn a_bots_grant_needs_more_than_a_double() {
        const { assert!(BOT_GRANT > 1 << 53) };
    }
}
