//! The contract's tables against the platform's own machine-readable contract, when that is beside
//! the crate. Both are turned into plain facts, `place -> value`; every fact that only one of them has, or
//! that differs, is a failure by name, unless [`KNOWN`] gives the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use argon_host::contract::{
    self, EVENTS, Field, INTENTS, INTERFACES, ROUTES, Route, Shape, Type, shapes,
};
use serde_json::Value;

/// Where our tables differ on purpose: the place (`*` stands for anything) and why.
const KNOWN: &[(&str, &str)] = &[
    (
        "IArchetypes per minute",
        "the server limits it; the manifest forgot it",
    ),
    (
        "IReactions per minute",
        "the server limits it; the manifest forgot it",
    ),
    (
        "ITyping per minute",
        "the server limits it; the manifest forgot it",
    ),
    (
        "*.permissions",
        "an integer of entitlement bits, which we give as a set",
    ),
    (
        "event ready.intents",
        "an integer of intent bits, which we give as a set",
    ),
    (
        "IChannels/* response*.channelType",
        "a plain name there, an enum elsewhere: we give the enum",
    ),
    (
        "ITyping/Start request.kind*",
        "plain text with four documented words",
    ),
    (
        "event typingStart.kind*",
        "plain text with four documented words",
    ),
    (
        "IEvents/Stream response.type",
        "new event types appear over time: any text",
    ),
    ("event callIncoming.fromLocale", "sent since API 1.10.0"),
    ("*.required optional", "an absent `required` is false"),
    ("*.version optional", "the client fills `version` in"),
    ("*.randomId optional", "the client fills `randomId` in"),
    ("*<gif>*", "sent by newer clients, not documented"),
    (
        "IArchetypes/List query spaceId",
        "the prose does not name it",
    ),
    ("IReactions/List query *", "the prose does not name them"),
    ("IMembers/Kick query from", "a preposition there"),
    (
        "IVoiceEgress/UnsubscribeTrack query spaceId",
        "the server answers 400 without it",
    ),
];

/// Names that our enums and sets have beyond the manifest's, and why.
const ADDED_NAMES: &[(&str, &str)] = &[
    ("gif", "entity type 21, sent by newer clients"),
    ("canDrawOnStream", "entitlement bit 24 of newer servers"),
    ("manageMessages", "entitlement bit 56 of newer servers"),
];

/// Words of the manifest's prose that are names of query parameters.
const QUERY_WORDS: &[&str] = &[
    "archetypeId",
    "channelId",
    "commandId",
    "from",
    "intents",
    "lastEventId",
    "limit",
    "messageId",
    "spaceId",
    "userId",
];

/// The manifest's word for an empty set; a set needs none.
const EMPTY_SET: &str = "none";

/// `place -> value`, in words.
type Facts = BTreeMap<String, String>;

#[test]
fn the_tables_agree_with_the_manifest() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/argon-api/api-manifest.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} does not exist", path.display());
        return;
    };
    let manifest: Value = serde_json::from_str(&text).expect("the manifest is JSON");
    let (theirs, ours) = {
        let theirs = from_manifest(&manifest);
        let ours = from_contract(&manifest, &theirs);
        (theirs, ours)
    };
    assert!(theirs.len() > 500, "the manifest was not understood");

    let mut used = BTreeSet::new();
    let mut differences = Vec::new();
    let places: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
    for place in places {
        let difference = match (theirs.get(place), ours.get(place)) {
            (Some(theirs), Some(ours)) if theirs == ours => continue,
            (Some(theirs), Some(ours)) => format!("the manifest says {theirs}, the table {ours}"),
            (Some(theirs), None) => format!("not in the table; the manifest says {theirs}"),
            (None, Some(ours)) => format!("not in the manifest; the table says {ours}"),
            (None, None) => continue,
        };
        match KNOWN
            .iter()
            .position(|(pattern, _)| matches(pattern, place))
        {
            Some(known) => {
                used.insert(known);
            }
            None => differences.push(format!("{place}: {difference}")),
        }
    }
    for (index, (pattern, reason)) in KNOWN.iter().enumerate() {
        if !used.contains(&index) {
            differences.push(format!("{pattern}: not a difference any more ({reason})"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn matches(pattern: &str, place: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == place,
        Some((start, rest)) => place.strip_prefix(start).is_some_and(|after| {
            let mut ends = after.char_indices().map(|(at, _)| at).chain([after.len()]);
            ends.any(|at| matches(rest, &after[at..]))
        }),
    }
}

// ---- the manifest ----------------------------------------------------------------------------

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn camel(name: &str) -> String {
    name[..1].to_lowercase() + &name[1..]
}

fn from_manifest(manifest: &Value) -> Facts {
    let mut facts = Facts::new();
    for interface in list(manifest, "interfaces") {
        let name = text(interface, "name");
        facts.insert(format!("{name} version"), interface["version"].to_string());
        for route in list(interface, "routes") {
            let at = format!("{name}{}", text(route, "path"));
            facts.insert(format!("{at} method"), text(route, "method").to_owned());
            facts.insert(
                format!("{at} permission"),
                text(route, "permission").to_owned(),
            );
            facts.insert(
                format!("{at} privileged"),
                route["isPrivileged"].to_string(),
            );
            // Query parameters are named in prose only.
            if route["requestTypeName"].is_null() {
                let prose = text(route, "description");
                for word in prose.split(|c: char| !c.is_ascii_alphanumeric()) {
                    if QUERY_WORDS.contains(&word) {
                        facts.insert(format!("{at} query {word}"), "a parameter".to_owned());
                    }
                }
            }
            for error in list(route, "errors") {
                let code = text(error, "code");
                facts.insert(format!("{at} error {code}"), error["status"].to_string());
            }
            for (part, name, shape) in [
                ("request", "requestTypeName", "requestTypeShape"),
                ("response", "responseTypeName", "responseTypeShape"),
            ] {
                facts.insert(format!("{at} {part}"), text(route, name).to_owned());
                manifest_fields(&mut facts, &format!("{at} {part}"), list(route, shape));
            }
        }
    }
    for limit in list(manifest, "rateLimits") {
        let place = format!("{} per minute", text(limit, "interfaceName"));
        facts.insert(place, limit["permitLimit"].to_string());
    }
    for intent in list(manifest, "intents") {
        let at = format!("intent {}", camel(text(intent, "name")));
        facts.insert(format!("{at} bit"), intent["bit"].to_string());
        facts.insert(
            format!("{at} privileged"),
            intent["isPrivileged"].to_string(),
        );
        let events = list(intent, "events")
            .iter()
            .filter_map(Value::as_str)
            .map(camel);
        facts.insert(format!("{at} events"), sorted(events));
    }
    for event in list(manifest, "events") {
        let at = format!("event {}", camel(text(event, "name")));
        let intent = event["intent"].as_str().map(camel).unwrap_or_default();
        facts.insert(format!("{at} intent"), intent);
        facts.insert(
            format!("{at} payload"),
            text(event, "payloadTypeName").to_owned(),
        );
        manifest_fields(&mut facts, &at, list(event, "payloadTypeShape"));
    }
    for dto in list(manifest, "dtos") {
        manifest_fields(
            &mut facts,
            &format!("dto {}", text(dto, "name")),
            list(dto, "shape"),
        );
    }
    facts
}

fn manifest_fields(facts: &mut Facts, at: &str, fields: &[Value]) {
    for field in fields {
        let place = format!("{at}.{}", text(field, "name"));
        let base = text(field, "type");
        let names = list(field, "enumValues")
            .iter()
            .filter_map(Value::as_str)
            .filter(|&name| name != EMPTY_SET);
        let kind = match base {
            "Dictionary`2" => "map".to_owned(),
            _ if !list(field, "enumValues").is_empty() => format!("one of {}", sorted(names)),
            _ => base.to_owned(),
        };
        let array = field["isArray"] == Value::Bool(true);
        facts.insert(place.clone(), listed(array, kind));
        if field["isNullable"] == Value::Bool(true) {
            facts.insert(format!("{place} optional"), "yes".to_owned());
        }
        manifest_fields(facts, &place, list(field, "properties"));
        for variant in list(field, "variants") {
            // Three kinds of mention share one discriminator there; their names tell them apart.
            let name = text(variant, "name").trim_start_matches("MessageEntity");
            let place = format!("{place}<{}>", name.to_lowercase());
            manifest_fields(facts, &place, list(variant, "properties"));
        }
    }
}

fn listed(array: bool, kind: String) -> String {
    if array {
        format!("list of {kind}")
    } else {
        kind
    }
}

fn sorted<S: Into<String>>(names: impl Iterator<Item = S>) -> String {
    let mut names: Vec<String> = names.map(Into::into).collect();
    names.sort();
    names.join(" ")
}

// ---- our tables ------------------------------------------------------------------------------

fn from_contract(manifest: &Value, theirs: &Facts) -> Facts {
    let mut facts = Facts::new();
    let mut known_shapes: BTreeMap<&str, &'static Shape> = BTreeMap::new();
    known_shapes.insert(shapes::BOT_CHANNEL_BASE.name, &shapes::BOT_CHANNEL_BASE);
    for interface in INTERFACES {
        let name = interface.name;
        facts.insert(format!("{name} version"), interface.version.to_string());
        facts.insert(
            format!("{name} per minute"),
            interface.per_minute.to_string(),
        );
    }
    for route in ROUTES {
        contract_route(&mut facts, route, &mut known_shapes, theirs);
    }
    for intent in INTENTS {
        let at = format!("intent {}", intent.name);
        facts.insert(format!("{at} bit"), intent.bit.to_string());
        facts.insert(format!("{at} privileged"), intent.privileged.to_string());
        let events = EVENTS
            .iter()
            .filter(|event| event.intent == Some(intent.name));
        facts.insert(
            format!("{at} events"),
            sorted(events.map(|event| event.name)),
        );
    }
    for event in EVENTS {
        let at = format!("event {}", event.name);
        facts.insert(
            format!("{at} intent"),
            event.intent.unwrap_or_default().to_owned(),
        );
        facts.insert(format!("{at} payload"), event.payload.name.to_owned());
        contract_fields(
            &mut facts,
            &at,
            event.payload.fields,
            &mut vec![event.payload.name],
            theirs,
        );
        collect(event.payload, &mut known_shapes);
    }
    for dto in list(manifest, "dtos") {
        let name = text(dto, "name");
        if let Some(shape) = known_shapes.get(name) {
            contract_fields(
                &mut facts,
                &format!("dto {name}"),
                shape.fields,
                &mut vec![shape.name],
                theirs,
            );
        }
    }
    facts
}

fn contract_route(
    facts: &mut Facts,
    route: &'static Route,
    known: &mut BTreeMap<&str, &'static Shape>,
    theirs: &Facts,
) {
    let at = route.label();
    facts.insert(format!("{at} method"), route.method.as_str().to_owned());
    facts.insert(
        format!("{at} permission"),
        route.permission.unwrap_or_default().to_owned(),
    );
    facts.insert(format!("{at} privileged"), route.privileged.to_string());
    for code in route.errors {
        let status = contract::error_code(code).map_or(0, |code| code.status);
        facts.insert(format!("{at} error {code}"), status.to_string());
    }
    for (part, shape) in [("request", route.body), ("response", route.response)] {
        let name = shape.map_or("", |shape| shape.name);
        facts.insert(format!("{at} {part}"), name.to_owned());
        if let Some(shape) = shape {
            contract_fields(
                facts,
                &format!("{at} {part}"),
                shape.fields,
                &mut vec![shape.name],
                theirs,
            );
            collect(shape, known);
        }
    }
    for field in route.query {
        facts.insert(
            format!("{at} query {}", field.name),
            "a parameter".to_owned(),
        );
    }
}

fn contract_fields(
    facts: &mut Facts,
    at: &str,
    fields: &'static [Field],
    inside: &mut Vec<&'static str>,
    theirs: &Facts,
) {
    for field in fields {
        let place = format!("{at}.{}", field.name);
        let (array, ty) = match field.ty {
            Type::List(ty) => (true, *ty),
            ty => (false, ty),
        };
        let kind = match ty {
            Type::String | Type::Guid | Type::Time => "string".to_owned(),
            Type::Int32 => "int32".to_owned(),
            Type::Uint32 => "uint32".to_owned(),
            Type::Int64 | Type::Id64 => "int64".to_owned(),
            Type::Bool => "boolean".to_owned(),
            Type::Float => "float".to_owned(),
            Type::Any => "any".to_owned(),
            Type::Choice(words) => one_of(words.iter().copied()),
            Type::Enum(known) => one_of(known.names()),
            Type::Flags(flags) => one_of(flags.values.iter().map(|&(_, name)| name)),
            Type::Object(shape) => shape.name.to_owned(),
            Type::Map(_) => "map".to_owned(),
            Type::Union(union) => union.name.to_owned(),
            Type::List(_) => "list".to_owned(),
        };
        facts.insert(place.clone(), listed(array, kind));
        // The manifest knows nullability of value types only (numbers, booleans, enums, ids).
        let value_type = !array
            && !matches!(
                ty,
                Type::String | Type::Any | Type::Object(_) | Type::Map(_) | Type::Union(_)
            );
        if field.optional && (value_type || theirs.contains_key(&format!("{place} optional"))) {
            facts.insert(format!("{place} optional"), "yes".to_owned());
        }
        match ty {
            Type::Object(shape) if !inside.contains(&shape.name) => {
                inside.push(shape.name);
                contract_fields(facts, &place, shape.fields, inside, theirs);
                inside.pop();
            }
            Type::Union(union) => {
                for tag in union.tags.names() {
                    let place = format!("{place}<{}>", tag.to_lowercase());
                    contract_fields(facts, &place, union.common, inside, theirs);
                    contract_fields(facts, &place, union.own_fields(tag), inside, theirs);
                }
            }
            _ => {}
        }
    }
}

fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    let added = |name: &str| ADDED_NAMES.iter().any(|&(added, _)| added == name);
    format!("one of {}", sorted(names.filter(|name| !added(name))))
}

/// Every shape that can be reached from one, by name.
fn collect(shape: &'static Shape, known: &mut BTreeMap<&str, &'static Shape>) {
    if known.insert(shape.name, shape).is_some() {
        return;
    }
    for field in shape.fields {
        let mut ty = field.ty;
        while let Type::List(inner) | Type::Map(inner) = ty {
            ty = *inner;
        }
        if let Type::Object(inner) = ty {
            collect(inner, known);
        }
    }
}
