//! `IArchetypes`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::wire;
use crate::sim::world::entitlements::MANAGE_ARCHETYPES;
use crate::sim::world::{Id, Space};

pub fn get(call: Call<'_>) -> Result<Value, Fault> {
    let (space, wanted) = (call.params.id("spaceId"), call.params.id("archetypeId"));
    let place = call.world.space_for(call.bot, space, 0)?;
    let mut known = place.archetypes.iter();
    let archetype = known
        .find(|archetype| archetype.id == wanted)
        .ok_or_else(|| Fault::code("not_found"))?;
    let open = sees_permissions(place, call.bot);
    Ok(wire::archetype(space, archetype, open))
}

pub fn list(call: Call<'_>) -> Result<Value, Fault> {
    let space = call.params.id("spaceId");
    let place = call.world.space_for(call.bot, space, 0)?;
    let open = sees_permissions(place, call.bot);
    let archetypes = place.archetypes.iter();
    let archetypes: Vec<Value> = archetypes
        .map(|archetype| wire::archetype(space, archetype, open))
        .collect();
    Ok(json!({ "archetypes": archetypes }))
}

fn sees_permissions(space: &Space, bot: Id) -> bool {
    space.entitlements(bot) & MANAGE_ARCHETYPES != 0
}

/// Empty on the platform today.
pub fn list_members(call: Call<'_>) -> Result<Value, Fault> {
    let id = call.params.id("archetypeId");
    let space = call
        .world
        .space_for(call.bot, call.params.id("spaceId"), 0)?;
    let members = space.members.iter();
    let members = members.filter(|member| member.archetypes.contains(&id));
    let shown = members.filter(|_| !call.world.quirks().empty_lists);
    let members: Vec<Value> = shown
        .filter_map(|member| call.world.user(member.user))
        .map(|user| {
            json!({
                "displayName": user.display_name,
                "userId": user.id,
                "username": user.username,
            })
        })
        .collect();
    Ok(json!({ "archetypeId": id, "members": members }))
}
