//! `ISpaces`.

use serde_json::{Value, json};

use super::{Call, Fault};
use crate::sim::wire;

pub fn get(call: Call<'_>) -> Result<Value, Fault> {
    let space = call
        .world
        .space_for(call.bot, call.params.id("spaceId"), 0)?;
    Ok(json!({
        "description": space.description,
        "isCommunity": false,
        "name": space.name,
        "spaceId": space.id,
    }))
}

pub fn get_member(call: Call<'_>) -> Result<Value, Fault> {
    let space = call
        .world
        .space_for(call.bot, call.params.id("spaceId"), 0)?;
    let user = call.params.id("userId");
    let user = call
        .world
        .user(user)
        .filter(|user| space.member(user.id).is_some())
        .ok_or_else(|| Fault::code("not_found"))?;
    Ok(wire::member(space, user))
}

pub fn list_members(call: Call<'_>) -> Result<Value, Fault> {
    let space = call
        .world
        .space_for(call.bot, call.params.id("spaceId"), 0)?;
    let users = space.members.iter().map(|member| member.user);
    let members: Vec<Value> = users
        .filter_map(|user| call.world.user(user))
        .map(|user| wire::member(space, user))
        .collect();
    Ok(json!({ "members": members }))
}
