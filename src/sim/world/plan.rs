//! A world as somebody has planned it: what a world file says, and how a [`World`] is made of it.
//!
//! Ids depend on names alone, so that they are the same in every run.

use std::collections::VecDeque;
use std::time::Duration;

use super::setup::{BOT_GRANT, EVERYONE, GREY, derived_id};
use super::{Archetype, BotAccount, Channel, Effect, Id, Override, Space, World, user_flag};
use crate::config::Secret;
use crate::sim::quirks::Quirks;

/// The archetype that everybody has; every space has it, and has it first.
pub const EVERYBODYS: &str = "everyone";

/// A whole world. Names that refer to something refer to what is in the plan.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// At least one; bots that are added later come into the first.
    pub spaces: Vec<SpacePlan>,
    /// Who lives there.
    pub people: Vec<PersonPlan>,
    /// Who can log in.
    pub bots: Vec<BotPlan>,
}

/// A space. Names of channels and of archetypes are unique in it.
#[derive(Debug, Clone, Default)]
pub struct SpacePlan {
    /// Unique.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// In the order in which they are shown.
    pub channels: Vec<ChannelPlan>,
    /// Beside [`EVERYBODYS`], or in its place.
    pub archetypes: Vec<ArchetypePlan>,
}

/// A channel.
#[derive(Debug, Clone)]
pub struct ChannelPlan {
    /// Unique in its space.
    pub name: String,
    /// A number of [`crate::contract::CHANNEL_TYPE`].
    pub kind: i64,
    /// What it is for.
    pub description: Option<String>,
    /// How long a member must wait between two messages.
    pub slow_mode: Duration,
    /// What archetypes may do here, unlike elsewhere in the space.
    pub overrides: Vec<OverridePlan>,
}

/// What an archetype may do in a channel.
#[derive(Debug, Clone)]
pub struct OverridePlan {
    /// The archetype's name.
    pub archetype: String,
    /// Mask of [`crate::contract::ENTITLEMENTS`].
    pub allow: u64,
    /// Mask of [`crate::contract::ENTITLEMENTS`].
    pub deny: u64,
}

/// A role.
#[derive(Debug, Clone)]
pub struct ArchetypePlan {
    /// Unique in its space.
    pub name: String,
    /// 0xRRGGBB.
    pub colour: i32,
    /// Whether messages can mention it.
    pub mentionable: bool,
    /// Mask of [`crate::contract::ENTITLEMENTS`]; `None`: what everybody may do by default.
    pub permissions: Option<u64>,
}

/// Somebody.
#[derive(Debug, Clone)]
pub struct PersonPlan {
    /// The name that is shown, unique.
    pub name: String,
    /// The unique name.
    pub username: String,
    /// Names of spaces; `None`: all of them.
    pub spaces: Option<Vec<String>>,
    /// Names of archetypes, in whichever of the spaces has one of that name.
    pub archetypes: Vec<String>,
}

/// A bot.
#[derive(Debug, Clone)]
pub struct BotPlan {
    /// The name that is shown.
    pub name: String,
    /// The unique name, which ends in `bot`.
    pub username: String,
    /// What it logs in with; a fresh one when `None`.
    pub token: Option<Secret>,
    /// Whether it may do what is for verified bots only.
    pub verified: bool,
    /// Names of spaces; `None`: all of them.
    pub spaces: Option<Vec<String>>,
    /// Names of archetypes, in whichever of the spaces has one of that name.
    pub archetypes: Vec<String>,
    /// Mask of [`crate::contract::ENTITLEMENTS`]; `None`: all of them.
    pub granted: Option<u64>,
    /// What it asks a space for; `None`: what it was granted.
    pub required: Option<u64>,
}

impl World {
    /// The world of a plan. `token` makes a token for a bot that the plan gives none.
    pub fn planned(plan: &Plan, quirks: Quirks, token: impl Fn(Id) -> Secret) -> Self {
        let mut world = World {
            quirks,
            spaces: plan.spaces.iter().map(space).collect(),
            ..World::default()
        };
        for person in &plan.people {
            let id = derived_id("person", &person.username);
            world.settle(id, &person.username, &person.name, 0);
            for space in world.named(person.spaces.as_deref()) {
                world.join(space, id, None);
                world.appoint(space, id, &person.archetypes);
            }
        }
        for bot in &plan.bots {
            let id = derived_id("bot", &bot.username);
            let granted = bot.granted.unwrap_or(BOT_GRANT);
            let verified = if bot.verified {
                user_flag("verified")
            } else {
                0
            };
            world.settle(id, &bot.username, &bot.name, user_flag("bot") | verified);
            world.bots.push(BotAccount {
                user: id,
                bot_id: derived_id("application", &bot.username),
                token: bot.token.clone().unwrap_or_else(|| token(id)),
                username: bot.username.clone(),
                verified: bot.verified,
                required: bot.required.unwrap_or(granted),
            });
            for space in world.named(bot.spaces.as_deref()) {
                world.install(id, space, granted);
                world.appoint(space, id, &bot.archetypes);
            }
        }
        // The world has always been so: nobody is told how it came about.
        let installed = |effect: &Effect| matches!(effect, Effect::Installed { .. });
        world.effects.retain(installed);
        world
    }

    fn named(&self, names: Option<&[String]>) -> Vec<Id> {
        let spaces = self.spaces.iter();
        let wanted = spaces.filter(|space| names.is_none_or(|names| names.contains(&space.name)));
        wanted.map(|space| space.id).collect()
    }

    fn appoint(&mut self, space: Id, user: Id, names: &[String]) {
        let archetypes: Vec<Id> = self.space(space).map_or_else(Vec::new, |space| {
            let all = space.archetypes.iter();
            let named = all.filter(|archetype| names.contains(&archetype.name));
            named.map(|archetype| archetype.id).collect()
        });
        if let Some(member) = self.member_mut(space, user) {
            member.archetypes.extend(archetypes);
        }
    }
}

fn space(plan: &SpacePlan) -> Space {
    let archetype = |planned: &ArchetypePlan| Archetype {
        id: derived_id("archetype", &format!("{}/{}", plan.name, planned.name)),
        name: planned.name.clone(),
        colour: planned.colour,
        is_default: planned.name == EVERYBODYS,
        is_mentionable: planned.mentionable,
        permissions: planned.permissions.unwrap_or(EVERYONE),
    };
    let everybodys = ArchetypePlan {
        name: EVERYBODYS.to_owned(),
        colour: GREY,
        mentionable: false,
        permissions: None,
    };
    let (first, others): (Vec<_>, Vec<_>) = plan
        .archetypes
        .iter()
        .partition(|planned| planned.name == EVERYBODYS);
    let first = first.first().copied().unwrap_or(&everybodys);
    let archetypes: Vec<_> = std::iter::once(first)
        .chain(others)
        .map(archetype)
        .collect();
    let rule = |planned: &OverridePlan| {
        let mut known = archetypes.iter();
        let archetype = known.find(|known| known.name == planned.archetype)?.id;
        Some(Override {
            archetype,
            allow: planned.allow,
            deny: planned.deny,
        })
    };
    let channel = |channel: &ChannelPlan| Channel {
        id: derived_id("channel", &format!("{}/{}", plan.name, channel.name)),
        name: channel.name.clone(),
        kind: channel.kind,
        description: channel.description.clone(),
        group: None,
        slow_mode: channel.slow_mode,
        overrides: channel.overrides.iter().filter_map(rule).collect(),
        messages: VecDeque::new(),
    };
    let channels = plan.channels.iter().map(channel).collect();
    Space {
        id: derived_id("space", &plan.name),
        name: plan.name.clone(),
        description: plan.description.clone(),
        channels,
        archetypes,
        members: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ArchetypePlan, BotPlan, PersonPlan, Plan, SpacePlan};
    use crate::config::Secret;
    use crate::sim::quirks::Quirks;
    use crate::sim::world::{Effect, World};

    fn plan() -> Plan {
        let space = |name: &str| SpacePlan {
            name: name.to_owned(),
            archetypes: vec![ArchetypePlan {
                name: "builder".to_owned(),
                colour: 1,
                mentionable: true,
                permissions: Some(32),
            }],
            ..SpacePlan::default()
        };
        Plan {
            spaces: vec![space("one"), space("two")],
            people: vec![PersonPlan {
                name: "Ada".to_owned(),
                username: "ada".to_owned(),
                spaces: None,
                archetypes: vec!["builder".to_owned()],
            }],
            bots: vec![BotPlan {
                name: "helper".to_owned(),
                username: "helperbot".to_owned(),
                token: None,
                verified: false,
                spaces: Some(vec!["two".to_owned()]),
                archetypes: Vec::new(),
                granted: Some(32),
                required: None,
            }],
        }
    }

    #[test]
    fn everybody_is_where_the_plan_says_with_what_the_plan_grants() {
        let mut world = World::planned(&plan(), Quirks::default(), |_| Secret::new("fresh"));
        let bot = world.find_bot("helperbot").expect("the bot").clone();
        assert_eq!((bot.token.expose(), bot.verified), ("fresh", false));
        let [one, two] = world.spaces() else {
            panic!("two spaces");
        };
        assert!(one.member(bot.user).is_none());
        assert_eq!(
            two.member(bot.user).map(|member| member.granted),
            Some(Some(32))
        );
        let names: Vec<_> = two.archetypes.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["everyone", "builder"]);
        assert_eq!(one.members[0].archetypes.len(), 2);
        assert_ne!(one.archetypes[1].id, two.archetypes[1].id);
        let effects = world.take_effects();
        assert!(matches!(&effects[..], [Effect::Installed { .. }]));
    }
}
