//! People: who types, who is in a voice channel.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::change::mask;
use crate::contract::{MEMBER_STATE, TYPING_KINDS};
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
    #[serde(default)]
    state: Option<Vec<String>>,
}

pub fn voice(shared: &Shared, request: Voice) -> Result<Value, Fault> {
    let user = request.user_id;
    let state = request.state.map(|names| mask(&MEMBER_STATE, &names));
    let state = state.transpose()?;
    shared.act(|world, now| {
        match (request.leave, request.channel_id) {
            (true, _) if world.leave_voice(user) => {}
            (true, _) => return Err(Fault::bad("this person is in no voice channel")),
            (false, Some(channel)) => world.join_voice(user, channel, now)?,
            (false, None) if state.is_some() => {}
            (false, None) => return Err(Fault::bad("channelId or state is missing")),
        }
        state.map_or(Ok(()), |state| world.set_voice_state(user, state))
    })?;
    Ok(json!({}))
}
