//! The world as the platform's server writes it in JSON: the "server does" column of protocol.md.
//!
//! Enums are integers, except that `IChannels` writes a channel's type as its capitalised name; flags
//! are masks; what is not known is null, not left out. Names are those of the contract's shapes.

use serde_json::{Map, Value, json};

use super::world::{Archetype, Channel, Command, Id, Message, Space, User};
use crate::contract::shapes::BOT_MESSAGE_ENTITY;
use crate::contract::{CHANNEL_TYPE, ENTITY_TYPE, MESSAGE_ENTITY};

/// User ids that a reaction names at most.
const REACTION_PREVIEW: usize = 3;

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

/// `MessageCreateEvent`. Controls are null whether the message has some or not.
pub fn message_create(space: Id, channel: Id, message: &Message, sender: Value) -> Value {
    let entities: Vec<Value> = message.entities.iter().map(event_entity).collect();
    json!({
        "channelId": channel,
        "message": {
            "channelId": channel,
            "controls": null,
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
pub fn message_dto(space: Id, channel: Id, message: &Message) -> Value {
    let entities: Vec<Value> = message.entities.iter().map(history_entity).collect();
    json!({
        "channelId": channel,
        "controls": message.controls,
        "createdAt": message.sent.to_string(),
        "creatorId": message.sender,
        "entities": entities,
        "messageId": message.id,
        "reactions": reactions(message),
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

/// A list of `ReactionDto`.
pub fn reactions(message: &Message) -> Vec<Value> {
    let reactions = message.reactions.iter();
    reactions
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

/// `ready`'s payload.
pub fn ready(intents: u64, bot: Id, spaces: &[&Space]) -> Value {
    let spaces: Vec<Value> = spaces
        .iter()
        .map(|space| {
            json!({
                "grantedEntitlements": space.member(bot).map_or(0, |member| member.granted),
                "pendingApproval": false,
                "spaceId": space.id,
            })
        })
        .collect();
    json!({ "intents": intents, "spaces": spaces })
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + chars.as_str()
    })
}
