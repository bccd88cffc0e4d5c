//! Checks a call's parameters against the contract and turns them into what the server accepts.
//!
//! The walk over a value follows the contract's [`Type`] tree ([`value`]); what no type can say, rules
//! that bind several fields together, hangs on the shape's name in one table ([`RULES`]) and runs on
//! the converted object. Every problem is reported, not the first one, up to a bound.

mod commands;
mod controls;
mod messages;
mod modals;
mod problem;
mod value;

use serde_json::{Map, Value};

use crate::contract::{Field, Route, Type};
use problem::Check;

/// A rule that binds several fields of one object; the object is already converted, fields with
/// problems of their own are absent.
type Rule = fn(&mut Map<String, Value>, &mut Check);

/// The cross-field rules by the contract's name of the shape.
const RULES: &[(&str, Rule)] = &[
    ("SendMessageRequest", messages::message),
    ("ReplyRequest", messages::message),
    ("EditMessageRequest", messages::message),
    ("ControlRowV1", controls::row),
    ("BotControlV1", controls::control),
    ("SelectOptionV1", controls::option),
    ("ModalDefinitionV1", modals::modal),
    ("ModalComponentV1", modals::component),
    ("RegisterCommandRequest", commands::command),
    ("UpdateCommandRequest", commands::command),
    ("BotCommandOption", commands::option),
];

/// Parameters where the route wants them.
pub(super) struct Placed {
    /// Query parameters in the contract's order, not yet percent-encoded.
    pub query: Vec<(&'static str, String)>,
    /// The JSON body; `None` for a route without one.
    pub body: Option<Map<String, Value>>,
}

/// Validates, converts and places the parameters of a route.
///
/// # Errors
/// Every problem in one text.
pub(super) fn params(route: &Route, given: Map<String, Value>) -> Result<Placed, String> {
    let mut check = Check::default();
    let known: Vec<&Field> = route.params().collect();
    value::unknown_names(&given, &known, &mut check);

    let mut query = Vec::new();
    for field in route.query {
        if let Some(value) = value::field(field, given.get(field.name), &mut check) {
            query.push((field.name, query_text(&value)));
        }
    }
    let body = route.body.map(|shape| {
        let mut body = Map::new();
        for field in shape.fields {
            let value = match given.get(field.name) {
                None | Some(Value::Null) if field.name == "randomId" => Some(random_id()),
                value => value::field(field, value, &mut check),
            };
            if let Some(value) = value {
                body.insert(field.name.to_owned(), value);
            }
        }
        apply_rules(shape.name, &mut body, &mut check);
        body
    });
    check.finish().map(|()| Placed { query, body })
}

/// Runs the cross-field rules of a shape.
fn apply_rules(shape: &str, object: &mut Map<String, Value>, check: &mut Check) {
    for (name, rule) in RULES {
        if *name == shape {
            rule(object, check);
        }
    }
}

/// A converted value as query text.
fn query_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// 64 random bits, never 0: the platform reads an absent id as 0 and would take all of those for
/// repetitions of each other.
fn random_id() -> Value {
    loop {
        let id = rand::random::<i64>();
        if id != 0 {
            return Value::from(id);
        }
    }
}

/// The closest known name, for a typing mistake.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_ascii_lowercase();
    known
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase());
            (distance, name)
        })
        .filter(|&(distance, name)| {
            distance <= (wrong.len().max(name.len()) / 3).max(1)
                // `channel` for `channelId`.
                || (wrong.len() > 3 && name.to_ascii_lowercase().starts_with(&lower))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// How a type is called in a problem.
fn type_name(ty: &Type) -> String {
    match ty {
        Type::String | Type::Time => "text".to_owned(),
        Type::Guid => "an id (text)".to_owned(),
        Type::Int32 | Type::Uint32 | Type::Int64 => "an integer".to_owned(),
        Type::Id64 => "a 64-bit id (text or integer)".to_owned(),
        Type::Bool => "true or false".to_owned(),
        Type::Float => "a number".to_owned(),
        Type::Any => "a value".to_owned(),
        Type::Choice(words) => format!("one of {}", list(words.iter().copied())),
        Type::Enum(known) => format!("one of {}", list(known.names())),
        Type::Flags(known) => format!(
            "a set of {}",
            list(known.values.iter().map(|&(_, name)| name))
        ),
        Type::Object(shape) => format!("an object ({})", shape.name),
        Type::Union(union) => format!("an object ({})", union.name),
        Type::List(item) => format!("a list, each {}", type_name(item)),
        Type::Map(item) => format!("an object with values, each {}", type_name(item)),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The names of fields, for a problem.
fn field_names(fields: &[&Field]) -> String {
    list(fields.iter().map(|field| field.name))
}

#[cfg(test)]
mod tests;
