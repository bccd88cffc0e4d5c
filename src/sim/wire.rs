//! The world as the platform writes it in JSON.
//!
//! Everything is made in the server's way: enums are integers, except that `IChannels` writes a channel's
//! type as its capitalised name; flags are masks; what is not known is null, not left out. [`event`] and
//! [`answer`] then write it as the documentation says where a quirk is off. Names are those of the
//! contract's shapes.

use serde_json::{Map, Value, json};

use super::clock::Now;
use super::quirks::Quirks;
use super::walk::walk;
use super::world::{
    Archetype, BotAccount, Channel, Command, Id, Message, Presence, Reaction, Space, User,
};
use crate::contract::shapes::BOT_MESSAGE_ENTITY;
use crate::contract::{self, CHANNEL_TYPE, ENTITY_TYPE, Flags, MESSAGE_ENTITY, Route, Shape, Type};

/// User ids that a reaction names at most.
const REACTION_PREVIEW: usize = 3;

/// Bit sets that the documentation writes as names; other masks are numbers there, too.
const NAMED_SETS: &[&str] = &[
    "flags",
    "grantedEntitlements",
    "requiredEntitlements",
    "state",
];

/// An event's payload as the stream carries it.
pub fn event(quirks: Quirks, kind: &str, payload: Value) -> String {
    event_value(quirks, kind, payload).to_string()
}

fn event_value(quirks: Quirks, kind: &str, mut payload: Value) -> Value {
    if let Some(event) = contract::event(kind) {
        restyle(quirks, &mut payload, event.payload);
    }
    if !quirks.newer_fields
        && kind == "callIncoming"
        && let Some(fields) = payload.as_object_mut()
    {
        fields.remove("fromLocale");
    }
    payload
}

/// A route's answer.
pub fn answer(quirks: Quirks, route: &Route, mut answer: Value) -> Value {
    if let Some(shape) = route.response {
        restyle(quirks, &mut answer, shape);
    }
    answer
}

/// Turns what the server writes into what the documentation says, where the quirks ask for it.
fn restyle(quirks: Quirks, value: &mut Value, shape: &'static Shape) {
    walk(
        value,
        &Type::Object(shape),
        "",
        &mut |value, ty, name| match ty {
            Type::Object(shape) if !quirks.newer_fields => {
                if let Some(fields) = value.as_object_mut() {
                    fields.retain(|name, _| shape.field(name).is_some());
                }
            }
            _ if quirks.numbers => {}
            Type::Enum(known) => {
                let number = match &*value {
                    Value::String(name) => known.number(name),
                    value => value.as_i64(),
                };
                if let Some(name) = number.and_then(|number| known.name_of(number)) {
                    *value = name.into();
                }
            }
            Type::Flags(known) if NAMED_SETS.contains(&name) => {
                if let Some(mask) = value.as_u64() {
                    *value = set_of_names(known, mask).into();
                }
            }
            Type::Choice(_) => {
                if let Value::String(word) = value {
                    *word = word.to_lowercase();
                }
            }
            _ => {}
        },
    );
}

/// `viewChannel, sendMessages`; `none` for the empty set.
fn set_of_names(known: &Flags, mask: u64) -> String {
    let values = known.values.iter();
    let names = values.filter(|(bit, _)| mask & bit != 0);
    let names: Vec<&str> = names.map(|&(_, name)| name).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// `BotUserV1`, with the `locale` of API 1.10.0.
pub fn user(user: &User) -> Value {
    json!({
        "avatarUrl": user.avatar_url,
        "displayName": user.display_name,
        "flags": user.flags,
        "locale": null,
        "userId": user.id,
        "username": user.username,
    })
}

/// The entities of a message that a bot is shown.
fn entities(quirks: Quirks, message: &Message) -> impl Iterator<Item = &Value> {
    let gif = ENTITY_TYPE.number("gif");
    let all = message.entities.iter();
    all.filter(move |entity| quirks.newer_fields || entity["type"].as_i64() != gif)
}

/// `MessageCreateEvent`.
pub fn message_create(
    quirks: Quirks,
    space: Id,
    channel: Id,
    message: &Message,
    sender: Value,
) -> Value {
    let controls = message.controls.as_ref();
    let entities: Vec<Value> = entities(quirks, message).map(event_entity).collect();
    json!({
        "channelId": channel,
        "message": {
            "channelId": channel,
            "controls": controls.filter(|_| !quirks.controls_are_hidden),
            "entities": entities,
            "messageId": message.id,
            "reactions": [],
            "replyId": message.reply_to,
            "sender": sender,
            "spaceId": space,
            "text": message.text,
            "timeSent": message.sent.to_string(),
        },
        "spaceId": space,
    })
}

/// `BotMessageEntityV1`: flat, with every field of every kind.
fn event_entity(entity: &Value) -> Value {
    let fields = BOT_MESSAGE_ENTITY.fields.iter();
    let fields: Map<String, Value> = fields
        .map(|field| (field.name.to_owned(), entity[field.name].clone()))
        .collect();
    Value::Object(fields)
}

/// `MessageDto`.
pub fn message_dto(quirks: Quirks, space: Id, channel: Id, message: &Message, now: Now) -> Value {
    let entities = entities(quirks, message);
    let entities: Vec<Value> = match quirks.stale_history {
        true => entities.map(history_entity).collect(),
        false => entities.map(plain_entity).collect(),
    };
    let shown = match quirks.stale_history {
        true => message.shown_reactions(now),
        false => &message.reactions,
    };
    json!({
        "channelId": channel,
        "controls": message.controls,
        "createdAt": message.sent.to_string(),
        "creatorId": message.sender,
        "entities": entities,
        "messageId": message.id,
        "reactions": reactions(shown),
        "replyTo": message.reply_to,
        "spaceId": space,
        "text": message.text,
    })
}

/// An entity as it is stored: with the extra fields of the server's union type.
fn history_entity(entity: &Value) -> Value {
    let mut entity = entity.clone();
    let number = entity["type"].as_i64().unwrap_or(0);
    let kind = ENTITY_TYPE.name_of(number).unwrap_or("unknown");
    let variants = MESSAGE_ENTITY.variants.iter();
    let key = variants
        .filter(|variant| variant.tag == kind)
        .map(|variant| variant.name.to_owned())
        .next()
        .unwrap_or_else(|| format!("MessageEntity{}", capitalised(kind)));
    entity["unionIndex"] = number.into();
    entity["unionKey"] = key.into();
    if entity["version"].is_null() {
        entity["version"] = 1.into();
    }
    entity
}

/// An entity as the documentation has it.
fn plain_entity(entity: &Value) -> Value {
    let mut entity = entity.clone();
    if let Some(fields) = entity.as_object_mut() {
        fields.remove("version");
    }
    entity
}

/// A list of `ReactionDto`.
pub fn reactions(reactions: &[Reaction]) -> Vec<Value> {
    reactions
        .iter()
        .map(|reaction| {
            let preview: Vec<&Id> = reaction.users.iter().take(REACTION_PREVIEW).collect();
            json!({
                "count": reaction.users.len(),
                "emoji": reaction.emoji,
                "userIds": preview,
            })
        })
        .collect()
}

/// `BotChannel`, as `IChannels` answers.
pub fn channel(space: Id, channel: &Channel) -> Value {
    let kind = CHANNEL_TYPE.name_of(channel.kind).unwrap_or("unknown");
    json!({
        "channelId": channel.id,
        "channelType": capitalised(kind),
        "description": channel.description,
        "groupId": channel.group,
        "name": channel.name,
        "spaceId": space,
    })
}

/// `BotChannelFullV1`, as events carry it.
pub fn channel_full(space: Id, channel: &Channel) -> Value {
    json!({
        "channelId": channel.id,
        "description": channel.description,
        "name": channel.name,
        "spaceId": space,
        "type": channel.kind,
    })
}

/// `BotArchetypeV1`; permissions are for bots with manageArchetype.
pub fn archetype(space: Id, archetype: &Archetype, with_permissions: bool) -> Value {
    json!({
        "archetypeId": archetype.id,
        "colour": archetype.colour,
        "isDefault": archetype.is_default,
        "isMentionable": archetype.is_mentionable,
        "name": archetype.name,
        "permissions": with_permissions.then_some(archetype.permissions),
        "spaceId": space,
    })
}

/// `BotMember`; null for a user who is no member.
pub fn member(space: &Space, user: &User) -> Value {
    let Some(member) = space.member(user.id) else {
        return Value::Null;
    };
    json!({
        "archetypeIds": member.archetypes,
        "displayName": user.display_name,
        "spaceId": space.id,
        "userId": user.id,
        "username": user.username,
    })
}

/// `BotCommand`.
pub fn command(command: &Command) -> Value {
    json!({
        "commandId": command.id,
        "defaultPermission": command.default_permission,
        "description": command.description,
        "name": command.name,
        "options": command.options,
        "spaceId": command.space,
    })
}

/// `BotCommandOptionValueV1`.
pub fn option_value(name: &str, kind: i64, value: &Value) -> Value {
    json!({ "name": name, "type": kind, "value": value })
}

/// `BotPresenceV1`.
pub fn presence(presence: &Presence) -> Value {
    let activity = presence.activity.as_ref().map(|activity| {
        json!({
            "kind": activity.kind,
            "startTimestampSeconds": activity.since,
            "titleName": activity.title,
        })
    });
    json!({ "activity": activity, "status": presence.status })
}

/// `ready`'s payload. Approval is pending where a space grants less than the bot requires.
pub fn ready(quirks: Quirks, intents: u64, bot: &BotAccount, spaces: &[&Space]) -> String {
    let infos: Vec<Value> = spaces
        .iter()
        .map(|space| {
            let granted = space.entitlements(bot.user);
            json!({
                "grantedEntitlements": granted,
                "pendingApproval": bot.required & !granted != 0,
                "spaceId": space.id,
            })
        })
        .collect();
    let ready = json!({ "intents": intents, "spaces": infos });
    let mut ready = event_value(quirks, "ready", ready);
    if !quirks.ready_without_ids {
        let ids: Vec<Id> = spaces.iter().map(|space| space.id).collect();
        ready["spaceIds"] = json!(ids);
    }
    ready.to_string()
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + chars.as_str()
    })
}
