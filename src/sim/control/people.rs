//! People: who is there, who types, who is in a voice channel.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use crate::contract::TYPING_KINDS;
use crate::sim::world::{Fault, Id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Typing {
    user_id: Id,
    channel_id: Id,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    stop: bool,
}

pub fn typing(shared: &Shared, request: Typing) -> Result<Value, Fault> {
    let (user, channel) = (request.user_id, request.channel_id);
    let kind = request.kind.as_deref();
    if kind.is_some_and(|kind| !TYPING_KINDS.contains(&kind)) {
        let kinds = TYPING_KINDS.join(", ");
        return Err(Fault::bad(format!("kind must be one of {kinds}")));
    }
    shared.act(|world, now| match request.stop {
        true => {
            world.stop_typing(channel, user);
            Ok(())
        }
        false => world.start_typing(user, channel, kind, now),
    })?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Voice {
    user_id: Id,
    #[serde(default)]
    channel_id: Option<Id>,
    #[serde(default)]
    leave: bool,
}

pub fn voice(shared: &Shared, request: Voice) -> Result<Value, Fault> {
    let user = request.user_id;
    shared.act(|world, now| match (request.leave, request.channel_id) {
        (true, _) => match world.leave_voice(user) {
            true => Ok(()),
            false => Err(Fault::bad("this person is in no voice channel")),
        },
        (false, Some(channel)) => world.join_voice(user, channel, now),
        (false, None) => Err(Fault::bad("channelId is missing")),
    })?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    #[serde(default)]
    space_id: Option<Id>,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    user_id: Option<Id>,
    #[serde(default)]
    leave: bool,
}

pub fn member(shared: &Shared, request: Member) -> Result<Value, Fault> {
    match request {
        Member {
            user_id: Some(user),
            leave: true,
            ..
        } => {
            shared.act(|world, _| world.leave(user))?;
            Ok(json!({}))
        }
        Member {
            space_id: Some(space),
            display_name: Some(name),
            user_id: None,
            leave: false,
        } => {
            let user = shared.act(|world, _| world.add_person(space, &name))?;
            Ok(json!({ "userId": user }))
        }
        _ => Err(Fault::bad(
            "send spaceId and displayName for somebody who comes, or userId and leave: true for somebody who goes",
        )),
    }
}
