//! Reads a request's parameters as the platform's server does, checked against the contract.
//!
//! Query parameters are required unless the contract says otherwise. In a JSON body names are compared
//! without letter case, unknown fields are ignored, a missing or null field is its type's default (zero
//! GUID, 0, null), an integer may come as text. A value of the wrong type is refused. Two of these are
//! quirks: that missing fields are defaults, and that the type of a message's entity must be an integer
//! where every other enum may be a name. The result has the contract's names and enums as integers.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::quirks::Quirks;
use crate::contract::{Field, Limit, Route, Shape, Type};

/// The parameters of one call, by the contract's names.
#[derive(Debug, Default)]
pub struct Params(Map<String, Value>);

impl Params {
    /// Reads the query and the body of a request to `route`; the error says which parameter is wrong.
    pub fn read(
        route: &Route,
        query: &HashMap<String, String>,
        body: &[u8],
        quirks: Quirks,
    ) -> Result<Self, String> {
        let mut params = Map::new();
        for field in route.query {
            let given = query
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(field.name));
            let value = match given {
                Some((_, text)) => {
                    let text = Value::String(text.clone());
                    check(&text, &field.ty, field.name, quirks)?
                }
                None if field.optional => continue,
                None => return Err(format!("the query parameter {} is missing", field.name)),
            };
            params.insert(field.name.to_owned(), value);
        }
        if let Some(shape) = route.body {
            let body: Value = serde_json::from_slice(body)
                .map_err(|error| format!("the body is not JSON: {error}"))?;
            let Value::Object(body) = body else {
                return Err("the body is not a JSON object".to_owned());
            };
            let body = check_fields(&body, shape.fields, "", quirks)?;
            params.extend(body);
        }
        Ok(Self(params))
    }

    /// The value of a parameter; null when it is absent.
    pub fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// An id; the zero GUID when it is absent.
    pub fn id(&self, name: &str) -> Uuid {
        self.optional_id(name).unwrap_or(Uuid::nil())
    }

    /// An id, if it is given.
    pub fn optional_id(&self, name: &str) -> Option<Uuid> {
        self.value(name)
            .as_str()
            .and_then(|text| Uuid::try_parse(text).ok())
    }

    /// A text; empty when it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).as_str().unwrap_or_default()
    }

    /// A text, if it is given.
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }

    /// An integer; 0 when it is absent.
    pub fn int(&self, name: &str) -> i64 {
        self.optional_int(name).unwrap_or(0)
    }

    /// An integer, if it is given.
    pub fn optional_int(&self, name: &str) -> Option<i64> {
        self.value(name).as_i64()
    }

    /// A truth value, if it is given.
    pub fn optional_bool(&self, name: &str) -> Option<bool> {
        self.value(name).as_bool()
    }

    /// A list, if it is given.
    pub fn list(&self, name: &str) -> Option<&Vec<Value>> {
        self.value(name).as_array()
    }
}

/// Checks a value against a type and brings it into the contract's form.
pub fn check(value: &Value, ty: &Type, path: &str, quirks: Quirks) -> Result<Value, String> {
    let wrong = |wanted: &str| Err(format!("{path} must be {wanted}"));
    Ok(match ty {
        Type::Any => value.clone(),
        _ if value.is_null() => default_of(ty),
        Type::String | Type::Time => match value {
            Value::String(_) => value.clone(),
            _ => return wrong("a text"),
        },
        Type::Guid => match value.as_str().map(Uuid::try_parse) {
            Some(Ok(id)) => Value::String(id.to_string()),
            _ => return wrong("a GUID"),
        },
        Type::Int32 => match integer(value).and_then(|number| i32::try_from(number).ok()) {
            Some(number) => number.into(),
            None => return wrong("a 32-bit integer"),
        },
        Type::Uint32 => match integer(value).and_then(|number| u32::try_from(number).ok()) {
            Some(number) => number.into(),
            None => return wrong("a 32-bit unsigned integer"),
        },
        Type::Int64 | Type::Id64 | Type::Flags(_) => match integer(value) {
            Some(number) => number.into(),
            None => return wrong("a 64-bit integer"),
        },
        Type::Bool => match value {
            Value::Bool(_) => value.clone(),
            _ => return wrong("true or false"),
        },
        Type::Float => match value.as_f64() {
            Some(number) => number.into(),
            None => return wrong("a number"),
        },
        Type::Choice(words) => {
            let word = value
                .as_str()
                .and_then(|text| words.iter().find(|word| word.eq_ignore_ascii_case(text)));
            match word {
                Some(word) => (*word).into(),
                None => return wrong(&format!("one of {}", words.join(", "))),
            }
        }
        Type::Enum(known) => match value {
            Value::String(name) => match known.number(name) {
                Some(number) => number.into(),
                None => return wrong(&format!("a {}", known.name)),
            },
            _ => match value.as_i64() {
                Some(number) => number.into(),
                None => return wrong(&format!("a {}", known.name)),
            },
        },
        Type::Object(shape) => match value {
            Value::Object(map) => Value::Object(check_fields(map, shape.fields, path, quirks)?),
            _ => return wrong("an object"),
        },
        Type::List(inner) => match value {
            Value::Array(items) => {
                let items: Result<Vec<Value>, String> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| check(item, inner, &format!("{path}[{i}]"), quirks))
                    .collect();
                Value::Array(items?)
            }
            _ => return wrong("a list"),
        },
        Type::Map(inner) => match value {
            Value::Object(map) => {
                let mut checked = Map::new();
                for (key, item) in map {
                    let item = check(item, inner, &format!("{path}.{key}"), quirks)?;
                    checked.insert(key.clone(), item);
                }
                Value::Object(checked)
            }
            _ => return wrong("an object"),
        },
        Type::Union(union) => {
            let Value::Object(map) = value else {
                return wrong("an object");
            };
            let tag = get(map, union.tag).unwrap_or(&Value::Null);
            if tag.is_string() && quirks.numbered_entities {
                return Err(format!("{path}.{} must be an integer", union.tag));
            }
            let mut checked = check_fields(map, union.common, path, quirks)?;
            let number = checked.get(union.tag).and_then(Value::as_i64).unwrap_or(0);
            let Some(name) = union.tags.name_of(number) else {
                return Err(format!("{path}.{} {number} is unknown", union.tag));
            };
            checked.extend(check_fields(map, union.own_fields(name), path, quirks)?);
            Value::Object(checked)
        }
    })
}

fn check_fields(
    given: &Map<String, Value>,
    fields: &[Field],
    path: &str,
    quirks: Quirks,
) -> Result<Map<String, Value>, String> {
    let mut checked = Map::new();
    for field in fields {
        let path = if path.is_empty() {
            field.name.to_owned()
        } else {
            format!("{path}.{}", field.name)
        };
        match get(given, field.name) {
            Some(value) if !value.is_null() => {
                checked.insert(
                    field.name.to_owned(),
                    check(value, &field.ty, &path, quirks)?,
                );
            }
            _ if field.optional => {}
            _ if !quirks.missing_are_defaults => return Err(format!("{path} is missing")),
            _ => {
                checked.insert(field.name.to_owned(), default_of(&field.ty));
            }
        }
    }
    Ok(checked)
}

fn get<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| {
        map.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// What the platform's server takes a missing value for.
fn default_of(ty: &Type) -> Value {
    match ty {
        Type::Guid => Value::String(Uuid::nil().to_string()),
        Type::Int32 | Type::Uint32 | Type::Int64 | Type::Id64 | Type::Enum(_) | Type::Flags(_) => {
            0.into()
        }
        Type::Float => 0.0.into(),
        Type::Bool => false.into(),
        _ => Value::Null,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_i64(),
    }
}

/// Checks the contract's limits of a value that [`check`] has passed.
pub fn within_limits(value: &Value, shape: &Shape, path: &str) -> Result<(), String> {
    let Value::Object(map) = value else {
        return Err(format!("{path} is missing"));
    };
    for field in shape.fields {
        let path = format!("{path}.{}", field.name);
        match map.get(field.name) {
            Some(value) if !value.is_null() => {
                within(value, field.limit, &path)?;
                descend(value, &field.ty, &path)?;
            }
            // What is missing is judged by the rules of the thing, not by its limits.
            _ if field.optional => {}
            _ => return Err(format!("{path} is missing")),
        }
    }
    Ok(())
}

fn descend(value: &Value, ty: &Type, path: &str) -> Result<(), String> {
    match (ty, value) {
        (Type::Object(shape), _) => within_limits(value, shape, path),
        (Type::List(inner), Value::Array(items)) => items
            .iter()
            .enumerate()
            .try_for_each(|(i, item)| descend(item, inner, &format!("{path}[{i}]"))),
        (Type::Enum(known), _) => match value.as_i64().and_then(|number| known.name_of(number)) {
            Some(_) => Ok(()),
            None => Err(format!("{path} is not a {}", known.name)),
        },
        _ => Ok(()),
    }
}

fn within(value: &Value, limit: Limit, path: &str) -> Result<(), String> {
    let holds = match limit {
        Limit::None => true,
        Limit::Length(least, most) => value
            .as_str()
            .is_some_and(|text| (least..=most).contains(&text.encode_utf16().count())),
        Limit::Count(least, most) => value
            .as_array()
            .is_some_and(|items| (least..=most).contains(&items.len())),
        Limit::Range(least, most) => value
            .as_f64()
            .is_some_and(|number| (least..=most).contains(&number)),
        Limit::Below(least, most) => value
            .as_f64()
            .is_some_and(|number| (least..most).contains(&number)),
    };
    if holds {
        Ok(())
    } else {
        Err(format!("{path} is outside its limit {limit:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;
    use uuid::Uuid;

    use super::{Params, Quirks};
    use crate::config::Dialect;
    use crate::contract;

    fn send(body: &str) -> Result<Params, String> {
        let route = contract::route("IMessages", "Send").expect("a route");
        Params::read(route, &HashMap::new(), body.as_bytes(), Quirks::default())
    }

    #[test]
    fn missing_fields_are_defaults_and_case_does_not_matter() {
        let params = send(r#"{"TEXT":"hi","unknown":1}"#).expect("fine");
        assert_eq!(params.text("text"), "hi");
        assert_eq!(params.id("channelId"), Uuid::nil());
        assert_eq!(params.int("randomId"), 0);
        assert_eq!(params.list("controls"), None);
    }

    #[test]
    fn int64_is_exact_and_may_be_text() {
        let id = i64::MAX;
        let params = send(&json!({"randomId": id, "replyTo": id.to_string()}).to_string());
        let params = params.expect("fine");
        assert_eq!((params.int("randomId"), params.int("replyTo")), (id, id));
    }

    #[test]
    fn wrong_types_are_refused_with_their_path() {
        for (body, path) in [
            (json!([]), "the body"),
            (json!({"text": 5}), "text"),
            (json!({"channelId": "x"}), "channelId"),
            (json!({"entities": [{"type": "bold"}]}), "entities[0].type"),
            (json!({"entities": [{"type": 99}]}), "entities[0].type"),
            (
                json!({"controls": [{"controls": [{"type": 0, "label": 1}]}]}),
                "controls[0].controls[0].label",
            ),
        ] {
            let error = send(&body.to_string()).expect_err("refused");
            assert!(error.starts_with(path), "{error}");
        }
    }

    #[test]
    fn enums_other_than_an_entitys_type_may_be_names() {
        let body = json!({"controls": [{"controls": [{"type": "stringSelect"}]}]});
        let params = send(&body.to_string()).expect("fine");
        assert_eq!(params.value("controls")[0]["controls"][0]["type"], 1);
    }

    #[test]
    fn the_documentation_wants_every_field_and_takes_names() {
        let route = contract::route("IMessages", "Send").expect("a route");
        let read = |body: &str| {
            let quirks = Quirks::of(Dialect::Documented);
            Params::read(route, &HashMap::new(), body.as_bytes(), quirks)
        };
        let error = read(r#"{"text":"hi"}"#).expect_err("refused");
        assert_eq!(error, "channelId is missing");
        let id = Uuid::nil();
        let body = json!({"channelId": id, "text": "hi", "entities":
            [{"type": "bold", "offset": 0, "length": 2}]});
        let params = read(&body.to_string()).expect("fine");
        assert_eq!(params.value("entities")[0]["type"], 10);
    }

    #[test]
    fn a_required_query_parameter_must_be_there() {
        let route = contract::route("ISpaces", "Get").expect("a route");
        let error = Params::read(route, &HashMap::new(), b"", Quirks::default());
        let error = error.expect_err("refused");
        assert!(error.contains("spaceId"), "{error}");
    }
}
