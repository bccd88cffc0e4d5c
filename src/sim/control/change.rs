//! Changes of the world itself: members and their presence, archetypes, channels, what bots may do.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use crate::contract::{ACTIVITY_KIND, CHANNEL_TYPE, ENTITLEMENTS, Enum, Flags, USER_STATUS};
use crate::sim::world::{
    Activity, ArchetypeChange, BOT_GRANT, ChannelChange, Fault, Id, MemberChange, NewChannel,
    Override, Presence, World,
};

/// Names of bits as a mask.
pub fn mask(known: &Flags, names: &[String]) -> Result<u64, Fault> {
    names.iter().try_fold(0, |mask, name| {
        let bit = known.values.iter().find(|(_, known)| known == name);
        let (bit, _) = bit.ok_or_else(|| {
            let names: Vec<&str> = known.values.iter().map(|&(_, name)| name).collect();
            Fault::bad(format!("{name:?} is none of {}", names.join(", ")))
        })?;
        Ok(mask | bit)
    })
}

fn entitlements(names: Option<&Vec<String>>) -> Result<Option<u64>, Fault> {
    names.map(|names| mask(&ENTITLEMENTS, names)).transpose()
}

fn number(known: &Enum, name: &str) -> Result<i64, Fault> {
    known.number(name).ok_or_else(|| {
        let names: Vec<&str> = known.names().collect();
        Fault::bad(format!("{name:?} is none of {}", names.join(", ")))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    #[serde(default)]
    space_id: Option<Id>,
    #[serde(default)]
    user_id: Option<Id>,
    #[serde(default)]
    leave: bool,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    avatar_url: Option<String>,
    #[serde(default)]
    archetype_ids: Option<Vec<Id>>,
}

pub fn member(shared: &Shared, request: Member) -> Result<Value, Fault> {
    let change = MemberChange {
        display_name: request.display_name,
        avatar_url: request.avatar_url,
        archetypes: request.archetype_ids,
    };
    match (request.space_id, request.user_id, request.leave, &change) {
        (space, Some(user), true, _) => {
            shared.act(|world, _| world.leave(user, space))?;
            Ok(json!({}))
        }
        (Some(space), Some(user), false, _) => {
            shared.act(|world, _| world.change_member(space, user, change))?;
            Ok(json!({}))
        }
        (
            Some(space),
            None,
            false,
            MemberChange {
                display_name: Some(name),
                ..
            },
        ) => {
            let user = shared.act(|world, _| {
                let user = world.add_person(space, name)?;
                if change.avatar_url.is_some() || change.archetypes.is_some() {
                    world.change_member(space, user, change.clone())?;
                }
                Ok::<Id, Fault>(user)
            })?;
            Ok(json!({ "userId": user }))
        }
        _ => Err(Fault::bad(
            "send spaceId and displayName for somebody who comes, userId and leave: true for somebody who goes, spaceId and userId for somebody who changes",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PresenceChange {
    user_id: Id,
    status: String,
    #[serde(default)]
    activity: Option<ActivityChange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActivityChange {
    kind: String,
    title_name: String,
}

pub fn presence(shared: &Shared, request: PresenceChange) -> Result<Value, Fault> {
    let status = number(&USER_STATUS, &request.status)?;
    let activity = match request.activity {
        None => None,
        Some(activity) => Some((number(&ACTIVITY_KIND, &activity.kind)?, activity.title_name)),
    };
    shared.act(|world, now| {
        let activity = activity.map(|(kind, title)| Activity {
            kind,
            title,
            since: u32::try_from(now.wall.as_second()).unwrap_or(u32::MAX),
        });
        world.set_presence(request.user_id, Presence { status, activity })
    })?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archetype {
    space_id: Id,
    #[serde(default)]
    archetype_id: Option<Id>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    colour: Option<i32>,
    #[serde(default)]
    mentionable: Option<bool>,
    #[serde(default)]
    permissions: Option<Vec<String>>,
}

pub fn archetype(shared: &Shared, request: Archetype) -> Result<Value, Fault> {
    let change = ArchetypeChange {
        name: request.name,
        colour: request.colour,
        is_mentionable: request.mentionable,
        permissions: entitlements(request.permissions.as_ref())?,
    };
    let (space, id) = (request.space_id, request.archetype_id);
    let id = shared.act(|world, _| world.set_archetype(space, id, change))?;
    Ok(json!({ "archetypeId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    #[serde(default)]
    space_id: Option<Id>,
    #[serde(default)]
    channel_id: Option<Id>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    slow_mode: Option<f64>,
    #[serde(default)]
    overrides: Option<Vec<OverrideChange>>,
    #[serde(default)]
    delete: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OverrideChange {
    archetype_id: Id,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

pub fn channel(shared: &Shared, request: Channel) -> Result<Value, Fault> {
    let slow_mode = request.slow_mode.map(|seconds| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| Fault::bad("slowMode is a number of seconds, at least 0"))
    });
    let overrides = request.overrides.map(|rules| {
        let rules = rules.iter().map(|rule| {
            Ok(Override {
                archetype: rule.archetype_id,
                allow: mask(&ENTITLEMENTS, &rule.allow)?,
                deny: mask(&ENTITLEMENTS, &rule.deny)?,
            })
        });
        rules.collect::<Result<Vec<_>, Fault>>()
    });
    let change = ChannelChange {
        slow_mode: slow_mode.transpose()?,
        overrides: overrides.transpose()?,
    };
    let kind = number(&CHANNEL_TYPE, request.kind.as_deref().unwrap_or("text"))?;
    let (name, description) = (request.name, request.description);
    let id = shared.act(|world, _| match (request.channel_id, request.space_id, name) {
        (Some(id), None, None) if request.delete => {
            world.channel(id).ok_or_else(|| Fault::missing("there is no such channel"))?;
            world.close_channel(id).map(|()| id)
        }
        (Some(id), None, None) => world.change_channel(id, change).map(|()| id),
        (None, Some(space), Some(name)) if !request.delete => {
            let new = NewChannel {
                name,
                kind,
                description,
                group: None,
            };
            world.space(space).ok_or_else(|| Fault::missing("there is no such space"))?;
            let id = world.open_channel(space, new)?;
            world.change_channel(id, change).map(|()| id)
        }
        _ => Err(Fault::bad(
            "send spaceId and name for a new channel, channelId for one that changes, channelId and delete: true for one that goes",
        )),
    })?;
    Ok(json!({ "channelId": id }))
}

fn bot_and_space(world: &World, bot: &str, space: Option<Id>) -> Result<(Id, Id), Fault> {
    let bot = world.find_bot(bot).map(|bot| bot.user);
    let bot = bot.ok_or_else(|| Fault::missing("there is no such bot"))?;
    let space = space.or_else(|| world.default_space());
    let space = space.ok_or_else(|| Fault::missing("there is no space"))?;
    Ok((bot, space))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Install {
    bot: String,
    #[serde(default)]
    space_id: Option<Id>,
    #[serde(default)]
    granted: Option<Vec<String>>,
}

pub fn install(shared: &Shared, request: Install) -> Result<Value, Fault> {
    let granted = entitlements(request.granted.as_ref())?.unwrap_or(BOT_GRANT);
    shared.act(|world, _| {
        let (bot, space) = bot_and_space(world, &request.bot, request.space_id)?;
        world.install_bot(bot, space, granted)
    })?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entitlements {
    bot: String,
    #[serde(default)]
    space_id: Option<Id>,
    #[serde(default)]
    granted: Option<Vec<String>>,
    #[serde(default)]
    required: Option<Vec<String>>,
}

pub fn entitle(shared: &Shared, request: Entitlements) -> Result<Value, Fault> {
    let granted = entitlements(request.granted.as_ref())?;
    let required = entitlements(request.required.as_ref())?;
    if granted.is_none() && required.is_none() {
        return Err(Fault::bad("send granted, required or both"));
    }
    shared.act(|world, _| {
        let (bot, space) = bot_and_space(world, &request.bot, request.space_id)?;
        world.entitle(bot, space, granted, required)
    })?;
    Ok(json!({}))
}
