//! What scripts see of JSON, and what JSON sees of scripts.

mod contract;
mod decoding;
mod encoding;
mod memory;
mod random;

use super::*;
use serde_json::Value as Json;

/// A VM and its codec.
pub(super) fn vm() -> (Lua, Codec) {
    let lua = Lua::new();
    let codec = Codec::new(&lua).unwrap();
    (lua, codec)
}

/// Fails unless the Luau value is what this JSON means: nulls absent, nothing else lost or added.
pub(super) fn assert_means(value: &Value, json: &Json, path: &str) {
    let as_expected = match (json, value) {
        (Json::Null, Value::Nil) => true,
        (Json::Bool(expected), Value::Boolean(found)) => expected == found,
        (Json::String(expected), Value::String(found)) => found.as_bytes() == expected.as_bytes(),
        (Json::Number(expected), Value::String(found)) => {
            let exact = expected.as_i64().is_none_or(|n| n.unsigned_abs() > 1 << 53);
            exact && !expected.is_f64() && found.as_bytes() == expected.to_string().as_bytes()
        }
        (Json::Number(expected), found @ (Value::Integer(_) | Value::Number(_))) => {
            let big =
                !expected.is_f64() && expected.as_i64().is_none_or(|n| n.unsigned_abs() > 1 << 53);
            !big && number(found) == expected.as_f64()
        }
        (Json::Array(items), Value::Table(table)) => {
            for (at, item) in items.iter().enumerate() {
                let found: Value = table.raw_get(at + 1).unwrap();
                assert_means(&found, item, &format!("{path}[{at}]"));
            }
            entries(table) == items.iter().filter(|item| !item.is_null()).count()
        }
        (Json::Object(fields), Value::Table(table)) => {
            for (name, field) in fields {
                let found: Value = table.raw_get(name.as_str()).unwrap();
                assert_means(&found, field, &format!("{path}.{name}"));
            }
            entries(table) == fields.values().filter(|field| !field.is_null()).count()
        }
        _ => false,
    };
    assert!(as_expected, "{path}: {value:?} is not {json}");
}

fn entries(table: &Table) -> usize {
    table.pairs::<Value, Value>().count()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}
