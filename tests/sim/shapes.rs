//! Every answer and every event of the server has the contract's shape, field by field.
//!
//! What the platform's server adds to the documented fields is in [`EXTRA`]; nothing else may be there, so
//! that no bot comes to rely on a field that the platform does not send. The documented dialect adds
//! nothing, and writes enums as names and some sets of bits as one text.

use argon_host::contract::{self, Field, Type};
use serde_json::{Map, Value, json};

use super::sse::Event;
use super::{ALL, World, settings};

/// Fields that the platform's server sends and its manifest does not list (protocol.md).
const EXTRA: &[&str] = &["locale", "version", "unionKey", "unionIndex"];

/// Sets of bits that the documentation writes as a text (protocol.md).
const NAMED: &[&str] = &[
    "flags",
    "grantedEntitlements",
    "requiredEntitlements",
    "state",
];

/// What is wrong with a value, each with its place.
fn differences(value: &Value, ty: &Type, path: &str, found: &mut Vec<String>) {
    let numbers = settings().quirks.numbers;
    let is_word = |words: &[&str]| value.as_str().is_some_and(|text| words.contains(&text));
    let fits = match ty {
        Type::Any => true,
        Type::Enum(known) if !numbers => is_word(&known.names().collect::<Vec<_>>()),
        Type::Choice(words) if !numbers => is_word(words),
        Type::Flags(known) if !numbers && NAMED.iter().any(|name| path.ends_with(name)) => {
            let text = value.as_str().unwrap_or_default();
            text == "none"
                || text
                    .split(", ")
                    .all(|one| known.values.iter().any(|(_, name)| *name == one))
        }
        Type::String | Type::Guid | Type::Time => value.is_string(),
        Type::Int32 | Type::Uint32 | Type::Int64 | Type::Id64 | Type::Flags(_) => {
            value.is_i64() || value.is_u64()
        }
        Type::Bool => value.is_boolean(),
        Type::Float => value.is_number(),
        Type::Choice(words) => value
            .as_str()
            .is_some_and(|text| words.iter().any(|word| word.to_uppercase() == text)),
        // `IChannels` alone answers with the name; events and everything else with the number.
        Type::Enum(known) => match value {
            Value::String(name) => path.contains("IChannels") && known.number(name).is_some(),
            _ => value.as_i64().is_some_and(|n| known.name_of(n).is_some()),
        },
        Type::Object(_) | Type::Union(_) | Type::Map(_) => value.is_object(),
        Type::List(_) => value.is_array(),
    };
    if !fits {
        found.push(format!("{path}: {value} is no {ty:?}"));
        return;
    }
    match (ty, value) {
        (Type::List(inner), Value::Array(items)) => {
            for item in items {
                differences(item, inner, &format!("{path}[]"), found);
            }
        }
        (Type::Map(inner), Value::Object(map)) => {
            for item in map.values() {
                differences(item, inner, &format!("{path}{{}}"), found);
            }
        }
        (Type::Object(shape), Value::Object(map)) => {
            fields_of(map, shape.fields.iter().collect(), path, found);
        }
        (Type::Union(union), Value::Object(map)) => {
            let tag = &map[union.tag];
            let number = tag.as_i64().unwrap_or(-1);
            let tag = tag.as_str().or(union.tags.name_of(number));
            let own = union.own_fields(tag.unwrap_or_default());
            fields_of(map, union.common.iter().chain(own).collect(), path, found);
        }
        _ => {}
    }
}

fn fields_of(map: &Map<String, Value>, fields: Vec<&Field>, path: &str, found: &mut Vec<String>) {
    for field in &fields {
        let path = format!("{path}.{}", field.name);
        match map.get(field.name) {
            None | Some(Value::Null) if field.optional => {}
            None => found.push(format!("{path} is missing")),
            // The manifest marks references as never null, and the server sends nulls for them.
            Some(Value::Null) => {}
            Some(value) => differences(value, &field.ty, &path, found),
        }
    }
    for name in map.keys() {
        let known = fields.iter().any(|field| field.name == name);
        let extra = settings().quirks.newer_fields && EXTRA.contains(&&**name);
        if !known && !extra {
            found.push(format!("{path}.{name} is not in the contract"));
        }
    }
}

/// Calls a route and compares its answer with the contract.
async fn call(world: &World, name: &str, query: &str, body: Value) -> Value {
    let (interface, method) = name.split_once('/').expect("IMessages/Send");
    let route = contract::route(interface, method).expect("a route");
    let path = format!("{}?{query}", route.path());
    let answer = world.ok(route.method.as_str(), &path, body).await;
    match route.response {
        None => assert_eq!(answer, Value::Null, "{name} has no body"),
        Some(shape) => {
            let mut found = Vec::new();
            differences(&answer, &Type::Object(shape), name, &mut found);
            assert!(found.is_empty(), "{found:#?}\n{answer}");
        }
    }
    answer
}

#[tokio::test]
async fn answers_and_events_have_the_contracts_shapes() {
    let world = World::start().await;
    let mut stream = world.stream(ALL).await;
    let space = world.space().await["spaceId"].clone();
    let id = space.as_str().expect("an id");
    let in_space = format!("spaceId={id}");
    let (ada, general) = (world.person("Ada").await, world.channel("general").await);
    let lounge = world.channel("Lounge").await;
    let none = Value::Null;

    call(&world, "IBotSelf/GetMe", "", none.clone()).await;
    call(&world, "IBotSelf/GetSpaces", "", none.clone()).await;
    call(&world, "ISpaces/Get", &in_space, none.clone()).await;
    call(&world, "ISpaces/ListMembers", &in_space, none.clone()).await;
    let of_ada = format!("{in_space}&userId={ada}");
    call(&world, "ISpaces/GetMember", &of_ada, none.clone()).await;
    let archetypes = call(&world, "IArchetypes/List", &in_space, none.clone()).await;
    let archetype = archetypes["archetypes"][0]["archetypeId"].as_str();
    let of_archetype = format!("{in_space}&archetypeId={}", archetype.expect("an id"));
    call(&world, "IArchetypes/Get", &of_archetype, none.clone()).await;
    let members = "IArchetypes/ListMembers";
    call(&world, members, &of_archetype, none.clone()).await;

    call(&world, "IChannels/List", &in_space, none.clone()).await;
    let new = json!({"spaceId": space, "name": "ideas", "channelType": 0});
    let made = call(&world, "IChannels/Create", "", new).await;
    let of_made = made["channelId"].as_str().expect("an id");
    let of_made = format!("{in_space}&channelId={of_made}");
    call(&world, "IChannels/Delete", &of_made, none.clone()).await;

    let option = json!({"name": "n", "type": 1, "description": "How many", "required": false});
    let new = json!({"name": "roll", "description": "Roll", "options": [option]});
    let command = call(&world, "ICommands/Register", "", new).await["commandId"].clone();
    let change = json!({"commandId": command, "description": "Roll dice"});
    call(&world, "ICommands/Update", "", change).await;
    call(&world, "ICommands/List", "", none.clone()).await;
    call(&world, "ICommands/ListForSpace", &in_space, none.clone()).await;

    let bold = json!({"type": 10, "offset": 0, "length": 2, "version": 1});
    let mention = json!({"type": 1, "offset": 3, "length": 4, "version": 1, "userId": ada});
    let button = json!({"type": 0, "variant": 0, "id": "go", "label": "Go",
        "colour": {"l": 0.5, "c": 0.1, "h": 10}});
    let select = json!({"type": 1, "customId": "pick", "options": [{"label": "A", "value": "a"}]});
    let send = json!({"channelId": general, "text": "hi @Ada", "randomId": 1,
        "entities": [bold, mention],
        "controls": [{"controls": [button]}, {"controls": [select]}]});
    let message = call(&world, "IMessages/Send", "", send).await["messageId"].clone();
    let react = json!({"channelId": general, "messageId": message, "emoji": "👍"});
    call(&world, "IReactions/Add", "", react.clone()).await;
    let of_general = format!("channelId={general}");
    call(&world, "IMessages/History", &of_general, none.clone()).await;
    let ids = json!({"channelId": general, "messageIds": [message]});
    call(&world, "IReactions/BatchGet", "", ids).await;
    call(&world, "IReactions/Remove", "", react).await;
    let typing = json!({"channelId": general, "kind": "thinking"});
    call(&world, "ITyping/Start", "", typing).await;
    call(&world, "ITyping/Stop", "", json!({"channelId": general})).await;

    let speak = json!({"userId": ada, "channelId": lounge});
    world.sim("voice", speak.clone()).await;
    let run = json!({"userId": ada, "channelId": general, "name": "roll", "options": {"n": 3}});
    let run = world.sim("command", run).await;
    let answer = json!({"interactionId": run["interactionId"]});
    call(&world, "IInteractions/Defer", "", answer.clone()).await;
    call(&world, "IInteractions/Ack", "", answer).await;
    let on = json!({"userId": ada, "channelId": general, "messageId": message.to_string()});
    let with = |more: Value| {
        let mut body = on.clone();
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        body
    };
    let pick = with(json!({"customId": "pick", "values": ["a"]}));
    world.sim("select", pick).await;
    let click = world.sim("click", with(json!({"controlId": "go"}))).await;
    let part = json!({"type": 0, "customId": "text", "label": "Text"});
    let form = json!({"customId": "form", "title": "Form", "components": [part]});
    let open = json!({"interactionId": click["interactionId"], "modal": form});
    let modal = call(&world, "IInteractions/Modal", "", open).await;
    let submit = json!({"userId": ada, "modalInteractionId": modal["modalInteractionId"],
        "values": {"text": ["hi"]}});
    world.sim("submit", submit).await;
    let reply = json!({"channelId": general, "text": "done", "randomId": 2, "replyTo": message});
    call(&world, "IInteractions/Reply", "", reply).await;
    let edit = json!({"channelId": general, "messageId": message, "text": "over", "controls": []});
    call(&world, "IInteractions/EditMessage", "", edit).await;
    let of_lounge = format!("{in_space}&channelId={lounge}&userId={ada}");
    call(&world, "IMembers/Kick", &of_lounge, none.clone()).await;
    let of_command = format!("commandId={}", command.as_str().expect("an id"));
    call(&world, "ICommands/Delete", &of_command, none).await;
    let come = json!({"spaceId": space, "displayName": "Dana"});
    let dana = world.sim("member", come).await["userId"].clone();
    let go = json!({"userId": dana, "leave": true});
    world.sim("member", go).await;
    let uninstall = json!({"userId": world.bot.user_id, "leave": true});
    world.sim("member", uninstall).await;
    let (status, refused) = world
        .call("GET", &format!("/ISpaces/v1/Get?{in_space}"), Value::Null)
        .await;
    assert_eq!((status, &refused["error"]), (403, &"not_a_member".into()));

    let wanted = [
        "channelCreate",
        "channelDelete",
        "messageCreate",
        "reactionAdd",
        "reactionRemove",
        "typingStart",
        "typingStop",
        "voiceJoin",
        "commandInteraction",
        "selectInteraction",
        "controlInteraction",
        "modalSubmit",
        "messageCreate",
        "messageEdit",
        "voiceLeave",
        "memberJoin",
        "memberLeave",
        "botUninstallingFromSpace",
    ];
    for kind in wanted {
        fits(&stream.next().await, kind);
    }
}

/// It is an event of that kind, and has the contract's shape.
fn fits(event: &Event, kind: &str) {
    assert_eq!(event.kind, kind);
    let known = contract::event(kind).expect("an event");
    let mut found = Vec::new();
    differences(&event.data, &Type::Object(known.payload), kind, &mut found);
    assert!(found.is_empty(), "{found:#?}\n{}", event.data);
}

#[tokio::test]
async fn voice_and_calls_have_the_contracts_shapes() {
    let world = World::start().await;
    let mut stream = world.stream(ALL).await;
    let space = world.space().await["spaceId"].clone();
    let in_space = format!("spaceId={}", space.as_str().expect("an id"));
    let (ada, lounge) = (world.person("Ada").await, world.channel("Lounge").await);
    let place = json!({"spaceId": space, "channelId": lounge, "userId": ada});
    call(&world, "IVoice/StreamToken", "", place.clone()).await;
    let track = call(&world, "IVoiceEgress/SubscribeTrack", "", place).await;
    let track = json!({"trackId": track["trackId"]});
    call(&world, "IVoiceEgress/UnsubscribeTrack", &in_space, track).await;

    for route in ["ICalls/Accept", "ICalls/Reject"] {
        let ring = json!({"userId": ada});
        let id = world.sim("call", ring).await["callId"].clone();
        call(&world, "ICalls/Ringing", "", Value::Null).await;
        call(&world, route, "", json!({"callId": id})).await;
        if route == "ICalls/Accept" {
            let over = json!({"userId": ada, "callId": id});
            world.sim("hangup", over).await;
        }
        for kind in ["callIncoming", "callEnded"] {
            fits(&stream.next().await, kind);
        }
    }
}
