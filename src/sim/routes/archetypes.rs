//! `IArchetypes`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::wire;

pub fn get(call: Call<'_>) -> Result<Value, Fault> {
    let (space, wanted) = (call.params.id("spaceId"), call.params.id("archetypeId"));
    let open = call.world.is_granted(call.bot, space, "manageArchetype");
    let place = call.world.space_for(call.bot, space)?;
    let mut known = place.archetypes.iter();
    let archetype = known
        .find(|archetype| archetype.id == wanted)
        .ok_or_else(|| Fault::code("not_found"))?;
    Ok(wire::archetype(space, archetype, open))
}

pub fn list(call: Call<'_>) -> Result<Value, Fault> {
    let space = call.params.id("spaceId");
    let open = call.world.is_granted(call.bot, space, "manageArchetype");
    let place = call.world.space_for(call.bot, space)?;
    let archetypes = place.archetypes.iter();
    let archetypes: Vec<Value> = archetypes
        .map(|archetype| wire::archetype(space, archetype, open))
        .collect();
    Ok(json!({ "archetypes": archetypes }))
}

/// Empty, as on the platform today.
pub fn list_members(call: Call<'_>) -> Result<Value, Fault> {
    call.world.space_for(call.bot, call.params.id("spaceId"))?;
    Ok(json!({ "archetypeId": call.params.id("archetypeId"), "members": [] }))
}
