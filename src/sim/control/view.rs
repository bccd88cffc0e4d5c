//! The world as the playground sees it: names instead of numbers, ids of messages as texts.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::{Parameters, Shared, parameter, reply};
use crate::contract::MESSAGE_ENTITY;
use crate::contract::shapes::{BOT_COMMAND_OPTION, CONTROL_ROW, MODAL_DEFINITION};
use crate::contract::{ACTIVITY_KIND, CHANNEL_TYPE, Type, USER_STATUS};
use crate::sim::http::refusal;
use crate::sim::voice::socket::stopped;
use crate::sim::walk::walk;
use crate::sim::world::{
    Channel, Command, Fault, Id, Message, Presence, Show, Space, User, VoiceCall, World,
};

/// Messages of a channel when no limit is given, and at most.
const PAGE: (usize, usize) = (100, 500);

pub async fn state(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.state();
    let spaces: Vec<Value> = state
        .world
        .spaces()
        .iter()
        .map(|space| space_view(&state.world, space))
        .collect();
    axum::Json(json!({ "spaces": spaces })).into_response()
}

fn space_view(world: &World, space: &Space) -> Value {
    let channels = space.channels.iter().map(|channel| {
        json!({
            "channelId": channel.id,
            "description": channel.description,
            "name": channel.name,
            "type": CHANNEL_TYPE.name_of(channel.kind),
        })
    });
    let archetypes = space.archetypes.iter().map(|archetype| {
        json!({
            "archetypeId": archetype.id,
            "colour": archetype.colour,
            "name": archetype.name,
        })
    });
    let members = space.members.iter().filter_map(|member| {
        let user = world.user(member.user)?;
        let mut view = user_view(user);
        view["archetypeIds"] = json!(member.archetypes);
        view["avatarUrl"] = json!(user.avatar_url);
        view["presence"] = presence_view(&user.presence);
        view["verified"] = user.is_verified().into();
        view["voiceChannelId"] = json!(world.voice_state(user.id).map(|at| at.channel));
        Some(view)
    });
    json!({
        "archetypes": archetypes.collect::<Vec<_>>(),
        "channels": channels.collect::<Vec<_>>(),
        "description": space.description,
        "members": members.collect::<Vec<_>>(),
        "name": space.name,
        "spaceId": space.id,
    })
}

fn user_view(user: &User) -> Value {
    json!({
        "displayName": user.display_name,
        "isBot": user.is_bot(),
        "userId": user.id,
        "username": user.username,
    })
}

fn presence_view(presence: &Presence) -> Value {
    let activity = presence.activity.as_ref().map(|activity| {
        json!({ "kind": ACTIVITY_KIND.name_of(activity.kind), "titleName": activity.title })
    });
    json!({ "activity": activity, "status": USER_STATUS.name_of(presence.status) })
}

pub async fn messages(State(shared): State<Arc<Shared>>, Query(query): Parameters) -> Response {
    let page = || {
        let channel: Option<Id> = parameter(&query, "channelId")?;
        let limit: Option<usize> = parameter(&query, "limit")?;
        let limit = limit.unwrap_or(PAGE.0);
        if !(1..=PAGE.1).contains(&limit) {
            return Err(Fault::bad(format!("limit is 1 to {}", PAGE.1)));
        }
        let before: Option<i64> = parameter(&query, "before")?;
        let state = shared.state();
        let (space, channel) = channel
            .and_then(|id| state.world.channel(id))
            .ok_or_else(|| Fault::missing("there is no such channel"))?;
        let end = before.map_or(channel.messages.len(), |id| {
            channel.messages.partition_point(|message| message.id < id)
        });
        let messages: Vec<Value> = channel
            .messages
            .range(end.saturating_sub(limit)..end)
            .map(|message| message_view(&state.world, space, channel, message))
            .collect();
        Ok(json!({ "messages": messages }))
    };
    reply(page())
}

fn message_view(world: &World, space: &Space, channel: &Channel, message: &Message) -> Value {
    let sender = world.user(message.sender).map(user_view);
    let entities = message.entities.iter();
    let entities: Vec<Value> = entities
        .map(|entity| named(entity, &Type::Union(&MESSAGE_ENTITY)))
        .collect();
    let controls = message.controls.as_ref().map(|rows| {
        let rows = rows
            .iter()
            .map(|row| named(row, &Type::Object(&CONTROL_ROW)));
        rows.collect::<Vec<_>>()
    });
    json!({
        "channelId": channel.id,
        "controls": controls,
        "edited": message.edited,
        "entities": entities,
        "messageId": message.id.to_string(),
        "reactions": reactions_view(message),
        "replyTo": message.reply_to.map(|id| id.to_string()),
        "sender": sender,
        "spaceId": space.id,
        "text": message.text,
        "timeSent": message.sent.to_string(),
    })
}

fn reactions_view(message: &Message) -> Vec<Value> {
    let reactions = message.reactions.iter();
    reactions
        .map(|reaction| {
            json!({
                "count": reaction.users.len(),
                "emoji": reaction.emoji,
                "userIds": reaction.users,
            })
        })
        .collect()
}

pub async fn commands(State(shared): State<Arc<Shared>>, Query(query): Parameters) -> Response {
    let list = || {
        let state = shared.state();
        let space: Option<Id> = parameter(&query, "spaceId")?;
        let space = space
            .or_else(|| state.world.default_space())
            .filter(|&space| state.world.space(space).is_some())
            .ok_or_else(|| Fault::missing("there is no such space"))?;
        let commands: Vec<Value> = state
            .world
            .commands_in(space)
            .map(|command| command_view(&state.world, command))
            .collect();
        Ok(json!({ "commands": commands }))
    };
    reply(list())
}

fn command_view(world: &World, command: &Command) -> Value {
    let options = command.options.iter().flatten();
    let options: Vec<Value> = options
        .map(|option| {
            let mut view = named(option, &Type::Object(&BOT_COMMAND_OPTION));
            view["required"] = (view["required"] == true).into();
            if !view["choices"].is_array() {
                view["choices"] = json!([]);
            }
            view
        })
        .collect();
    json!({
        "botId": command.bot,
        "botName": name_of(world, command.bot),
        "commandId": command.id,
        "description": command.description,
        "name": command.name,
        "options": options,
    })
}

fn name_of(world: &World, user: Id) -> Option<&str> {
    world.user(user).map(|user| &*user.display_name)
}

/// A value with the names of its enums instead of their numbers; 64-bit ids as texts.
fn named(value: &Value, ty: &Type) -> Value {
    let mut value = value.clone();
    walk(&mut value, ty, "", &mut |value, ty, _| {
        let text = match (ty, &*value) {
            (Type::Enum(known), Value::Number(number)) => number
                .as_i64()
                .and_then(|number| known.name_of(number))
                .map(Value::from),
            (Type::Id64, Value::Number(number)) => Some(number.to_string().into()),
            _ => None,
        };
        if let Some(text) = text {
            *value = text;
        }
    });
    value
}

/// One object of `GET /_sim/events`: `message`, `edit`, `reactions`, `typing`, `typingStop`,
/// `commands`, `world`, `ack`, `defer`, `modal`, `expired`, `call`; a page that was too slow gets `reload`,
/// an inspector `missed` with the `count` of its lines that are lost.
/// `None` when what it is about has gone in the meantime.
pub fn shown(world: &World, show: &Show) -> Option<Value> {
    let message = |channel: Id, id: i64| {
        let (space, channel) = world.channel(channel)?;
        let message = channel.message(id)?;
        Some((message_view(world, space, channel, message), message))
    };
    Some(match show {
        Show::Message(channel, id) => {
            json!({ "type": "message", "message": message(*channel, *id)?.0 })
        }
        Show::Edit(channel, id) => json!({ "type": "edit", "message": message(*channel, *id)?.0 }),
        Show::Reactions(channel, id) => json!({
            "type": "reactions",
            "channelId": channel,
            "messageId": id.to_string(),
            "reactions": reactions_view(message(*channel, *id)?.1),
        }),
        Show::Typing {
            channel,
            user,
            kind,
        } => json!({
            "type": "typing",
            "channelId": channel,
            "displayName": name_of(world, *user),
            "kind": kind,
            "userId": user,
        }),
        Show::TypingStop { channel, user } => {
            json!({ "type": "typingStop", "channelId": channel, "userId": user })
        }
        Show::Commands => json!({ "type": "commands" }),
        Show::World => json!({ "type": "world" }),
        Show::Answer {
            kind,
            interaction,
            user,
            bot,
        } => json!({
            "type": kind,
            "botName": name_of(world, *bot),
            "interactionId": interaction,
            "userId": user,
        }),
        Show::Modal { interaction, modal } => {
            let open = world.open_modal(*modal)?;
            json!({
                "type": "modal",
                "botName": name_of(world, open.bot),
                "interactionId": interaction,
                "modal": named(&open.definition, &Type::Object(&MODAL_DEFINITION)),
                "modalInteractionId": modal,
                "userId": open.user,
            })
        }
        Show::Call(id) => {
            let mut view = call_view(world.call(*id)?);
            view["type"] = "call".into();
            view
        }
        Show::Expired { interaction, user } => {
            json!({ "type": "expired", "interactionId": interaction, "userId": user })
        }
    })
}

/// A call: `{callId, userId, botId, state, reason}`; the state is `ringing`, `accepted`, `rejected`,
/// `ended` or `timedOut`.
pub fn call_view(call: &VoiceCall) -> Value {
    json!({
        "botId": call.bot,
        "callId": call.id,
        "reason": call.reason,
        "state": call.state.name(),
        "userId": call.caller,
    })
}

/// The page's own event stream, until the page goes or the server stops.
pub async fn events(State(shared): State<Arc<Shared>>, Query(query): Parameters) -> Response {
    let inspect = match parameter(&query, "inspect") {
        Ok(inspect) => inspect.unwrap_or(false),
        Err(fault) => return refusal(&fault),
    };
    let feed = PageFeed {
        first: true,
        pages: shared.pages.subscribe(),
        inspector: inspect.then(|| shared.inspector.watch()),
        stop: shared.stopping(),
    };
    let body = stream::unfold(feed, |mut feed| async move {
        let line = feed.next().await?;
        Some((Ok::<_, Infallible>(line), feed))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(body)).into_response()
}

struct PageFeed {
    first: bool,
    pages: broadcast::Receiver<Arc<str>>,
    inspector: Option<broadcast::Receiver<Arc<str>>>,
    stop: watch::Receiver<bool>,
}

impl PageFeed {
    async fn next(&mut self) -> Option<String> {
        // The first comment lets the page know at once that the stream is open.
        if std::mem::take(&mut self.first) {
            return Some(":\n\n".to_owned());
        }
        // The pages' own news first: an inspector's flood must not keep them waiting.
        let (line, about) = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return None,
            line = self.pages.recv() => (line, "reload"),
            line = inspected(&mut self.inspector) => (line, "missed"),
        };
        match line {
            Ok(line) => Some(format!("data: {line}\n\n")),
            Err(RecvError::Lagged(count)) => {
                let missed = json!({ "type": about, "count": count });
                Some(format!("data: {missed}\n\n"))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

/// The next line of the inspector; never for a page that does not look.
async fn inspected(
    lines: &mut Option<broadcast::Receiver<Arc<str>>>,
) -> Result<Arc<str>, RecvError> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}
