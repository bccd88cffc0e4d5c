//! The walk over one value along the contract's types.

use serde_json::{Map, Number, Value};

use super::problem::Check;
use super::{apply_rules, field_names, nearest, type_name};
use crate::contract::{Enum, Field, Flags, Limit, Type, Union};

/// Integers up to this size survive a trip through a floating point number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Fields that the platform adds to entities in history; a bot that sends an entity on may keep them.
const SERVER_EXTRAS: &[&str] = &["unionKey", "unionIndex"];

/// Reports names that are not among the fields.
pub(super) fn unknown_names(given: &Map<String, Value>, known: &[&Field], check: &mut Check) {
    for name in given.keys() {
        if known.iter().any(|field| field.name == name) {
            continue;
        }
        let what = match nearest(name, known.iter().map(|field| field.name)) {
            Some(meant) => format!("is not known here; did you mean {meant}?"),
            None if known.is_empty() => "is not known here; nothing is taken".to_owned(),
            None => format!("is not known here; known are {}", field_names(known)),
        };
        check.problem_at(name, what);
    }
}

/// Checks and converts a field; `None` for an absent optional one and for a problem.
pub(super) fn field(field: &Field, given: Option<&Value>, check: &mut Check) -> Option<Value> {
    check.field(field.name, |check| match given {
        None | Some(Value::Null) => {
            if !field.optional {
                check.problem(format_args!("is missing; it is {}", type_name(&field.ty)));
            }
            None
        }
        Some(value) => {
            let value = convert(&field.ty, value, check)?;
            within(field.limit, &value, check).then_some(value)
        }
    })
}

/// Checks and converts a value of any type.
fn convert(ty: &Type, value: &Value, check: &mut Check) -> Option<Value> {
    let converted = match (ty, value) {
        (Type::Any, value) => Some(value.clone()),
        (Type::String | Type::Time, Value::String(_)) | (Type::Bool, Value::Bool(_)) => {
            Some(value.clone())
        }
        (Type::Guid, Value::String(text)) => {
            if text.trim().is_empty() {
                check.problem("is empty; it is an id");
                return None;
            }
            Some(value.clone())
        }
        (Type::Int32, Value::Number(number)) => {
            return integer(number, i64::from(i32::MIN), i64::from(i32::MAX), check);
        }
        (Type::Uint32, Value::Number(number)) => {
            return integer(number, 0, i64::from(u32::MAX), check);
        }
        (Type::Int64 | Type::Id64, Value::Number(number)) => {
            return integer(number, i64::MIN, i64::MAX, check);
        }
        (Type::Id64, Value::String(text)) => match text.parse::<i64>() {
            Ok(id) => Some(Value::from(id)),
            Err(_) => {
                check.problem(format_args!("{text:?} is not a 64-bit integer"));
                return None;
            }
        },
        (Type::Float, Value::Number(_)) => Some(value.clone()),
        (Type::Choice(words), Value::String(text)) => {
            let known = words.iter().find(|word| word.eq_ignore_ascii_case(text));
            if known.is_none() {
                return unknown_word(text, words.iter().copied(), ty, check);
            }
            known.map(|&word| Value::from(word))
        }
        (Type::Enum(known), _) => return enumeration(known, ty, value, check),
        (Type::Flags(known), _) => return flags(known, ty, value, check),
        (Type::Object(shape), _) => as_object(value).map(|given| {
            let known: Vec<&Field> = shape.fields.iter().collect();
            unknown_names(given, &known, check);
            let mut object = fields(&known, given, check);
            apply_rules(shape.name, &mut object, check);
            Value::Object(object)
        }),
        (Type::Union(known), _) => match as_object(value) {
            Some(given) => return union(known, given, check),
            None => None,
        },
        (Type::List(item), _) => as_list(value).map(|given| {
            let items = given.iter().enumerate();
            // A problem inside ends the call anyway; null keeps the other elements' places.
            items
                .map(|(at, value)| check.index(at, |check| convert(item, value, check)))
                .map(Option::unwrap_or_default)
                .collect()
        }),
        (Type::Map(item), _) => as_object(value).map(|given| {
            let entries = given.iter().filter(|(_, value)| !value.is_null());
            entries
                .filter_map(|(key, value)| {
                    let value = check.field(key, |check| convert(item, value, check))?;
                    Some((key.clone(), value))
                })
                .collect()
        }),
        _ => None,
    };
    if converted.is_none() {
        check.problem(format_args!(
            "is {}; it must be {}",
            kind(value),
            type_name(ty)
        ));
    }
    converted
}

fn fields(known: &[&Field], given: &Map<String, Value>, check: &mut Check) -> Map<String, Value> {
    known
        .iter()
        .filter_map(|known| {
            let value = field(known, given.get(known.name), check)?;
            Some((known.name.to_owned(), value))
        })
        .collect()
}

/// An object whose fields depend on its tag.
fn union(union: &Union, given: &Map<String, Value>, check: &mut Check) -> Option<Value> {
    let tag_field = union.common.iter().find(|field| field.name == union.tag)?;
    let tag = field(tag_field, given.get(union.tag), check)?;
    let tag = tag.as_i64().and_then(|number| union.tags.name_of(number))?;
    let known: Vec<&Field> = union.common.iter().chain(union.own_fields(tag)).collect();
    let mut strangers = given.clone();
    strangers.retain(|name, value| {
        if SERVER_EXTRAS.contains(&name.as_str()) {
            return false;
        }
        let elsewhere = union.any_field(name).is_some();
        if elsewhere && !known.iter().any(|field| field.name == name) {
            // Absent and null mean the same, also for a field of another kind.
            if !value.is_null() {
                check.problem_at(
                    name,
                    format_args!(
                        "does not belong to {tag}, which takes {}",
                        field_names(&known)
                    ),
                );
            }
            return false;
        }
        true
    });
    unknown_names(&strangers, &known, check);
    let mut object = fields(&known, given, check);
    if union.common.iter().any(|field| field.name == "version") {
        object.entry("version").or_insert_with(|| Value::from(1));
    }
    Some(Value::Object(object))
}

/// A number without a fraction inside a range, as an exact integer.
fn integer(number: &Number, min: i64, max: i64, check: &mut Check) -> Option<Value> {
    let exact = if let Some(integer) = number.as_i64() {
        Some(integer)
    } else if let Some(float) = number.as_f64().filter(|_| !number.is_u64()) {
        if float.fract() != 0.0 {
            check.problem(format_args!("{number} is not an integer"));
            return None;
        }
        if float.abs() > EXACT && float.abs() < 9.3e18 && max == i64::MAX {
            check.problem(format_args!(
                "{number} is too large to be an exact number; pass it as text"
            ));
            return None;
        }
        // Below 2^53 in size, so that the cast is exact.
        (float.abs() <= EXACT).then_some(float as i64)
    } else {
        None
    };
    match exact {
        Some(integer) if (min..=max).contains(&integer) => Some(Value::from(integer)),
        _ => {
            check.problem(format_args!("{number} is not between {min} and {max}"));
            None
        }
    }
}

/// The integer inside a JSON number, `3.0` included.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

fn enumeration(known: &Enum, ty: &Type, value: &Value, check: &mut Check) -> Option<Value> {
    match value {
        Value::String(text) => match known.number(text) {
            Some(number) => Some(Value::from(number)),
            None => unknown_word(text, known.names(), ty, check),
        },
        _ => match whole(value) {
            Some(number) if known.name_of(number).is_some() => Some(Value::from(number)),
            Some(number) => {
                check.problem(format_args!("{number} is not {}", type_name(ty)));
                None
            }
            None => {
                check.problem(format_args!(
                    "is {}; it must be {}",
                    kind(value),
                    type_name(ty)
                ));
                None
            }
        },
    }
}

/// A mask, a name or names in one text, a list of names, or a set of `name = true`.
fn flags(known: &Flags, ty: &Type, value: &Value, check: &mut Check) -> Option<Value> {
    let mut mask = 0_u64;
    let mut sound = true;
    let mut add = |name: &str, check: &mut Check| match known.mask(name) {
        Some(bits) => mask |= bits,
        None => {
            sound = false;
            let names = known.values.iter().map(|&(_, name)| name);
            let _: Option<Value> = unknown_word(name, names, ty, check);
        }
    };
    match value {
        Value::String(text) => {
            for name in text.split(',') {
                add(name.trim(), check);
            }
        }
        Value::Array(names) if names.iter().all(Value::is_string) => {
            for name in names.iter().filter_map(Value::as_str) {
                add(name, check);
            }
        }
        Value::Object(set) if set.values().all(Value::is_boolean) => {
            for name in set
                .iter()
                .filter(|(_, on)| **on == Value::Bool(true))
                .map(|(name, _)| name)
            {
                add(name, check);
            }
        }
        _ => match value
            .as_u64()
            .or_else(|| whole(value).and_then(|mask| u64::try_from(mask).ok()))
        {
            Some(bits) => mask = bits,
            None => {
                check.problem(format_args!(
                    "is {}; it must be {}",
                    kind(value),
                    type_name(ty)
                ));
                return None;
            }
        },
    }
    sound.then(|| Value::from(mask))
}

fn unknown_word<'a, T>(
    word: &str,
    known: impl Iterator<Item = &'a str>,
    ty: &Type,
    check: &mut Check,
) -> Option<T> {
    match nearest(word, known) {
        Some(meant) => check.problem(format_args!(
            "{word:?} is not known; did you mean {meant:?}?"
        )),
        None => check.problem(format_args!(
            "{word:?} is not known; it must be {}",
            type_name(ty)
        )),
    }
    None
}

/// Whether a converted value keeps to its documented limit.
fn within(limit: Limit, value: &Value, check: &mut Check) -> bool {
    match (limit, value) {
        (Limit::Length(min, max), Value::String(text)) => {
            let length = text.encode_utf16().count();
            let fits = (min..=max).contains(&length);
            if !fits && length == 0 {
                check.problem(format_args!(
                    "is empty; {min} to {max} characters are allowed"
                ));
            } else if !fits {
                check.problem(format_args!(
                    "has {length} characters (UTF-16 code units); {min} to {max} are allowed"
                ));
            }
            fits
        }
        (Limit::Count(min, max), Value::Array(items)) => {
            let fits = (min..=max).contains(&items.len());
            if !fits {
                check.problem(format_args!(
                    "has {} elements; {min} to {max} are allowed",
                    items.len()
                ));
            }
            fits
        }
        (Limit::Range(min, max), Value::Number(number)) => {
            let fits = number.as_f64().is_some_and(|n| n >= min && n <= max);
            if !fits {
                check.problem(format_args!("is {number}; {min} to {max} is allowed"));
            }
            fits
        }
        (Limit::Below(min, max), Value::Number(number)) => {
            let fits = number.as_f64().is_some_and(|n| n >= min && n < max);
            if !fits {
                check.problem(format_args!(
                    "is {number}; at least {min} and less than {max} is allowed"
                ));
            }
            fits
        }
        _ => true,
    }
}

/// An object, or the empty list: an empty Luau table does not say which of the two it is.
fn as_object(value: &Value) -> Option<&Map<String, Value>> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match value {
        Value::Object(object) => Some(object),
        Value::Array(items) if items.is_empty() => Some(&EMPTY),
        _ => None,
    }
}

/// A list, or the empty object.
fn as_list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::Object(object) if object.is_empty() => Some(&[]),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
