//! `IBotSelf`.

use serde_json::{Value, json};

use super::{Call, Fault};

pub fn get_me(call: Call<'_>) -> Result<Value, Fault> {
    let account = call.world.bot(call.bot).ok_or(Fault::Crash("not_found"))?;
    let user = call.world.user(call.bot).ok_or(Fault::Crash("not_found"))?;
    Ok(json!({
        "botId": account.bot_id,
        "displayName": user.display_name,
        "userId": user.id,
        "username": user.username,
    }))
}

pub fn get_spaces(call: Call<'_>) -> Result<Value, Fault> {
    let spaces = call.world.spaces_of(call.bot);
    let spaces: Vec<Value> = spaces
        .map(|space| {
            json!({
                "description": space.description,
                "name": space.name,
                "spaceId": space.id,
            })
        })
        .collect();
    Ok(json!({ "spaces": spaces }))
}
