//! Luau values to JSON, by the contract's types.

use std::ffi::c_void;

use mlua::{Table, Value};
use serde_json::{Map, Number, Value as Json};

use super::{EncodeError, MAX_BYTES, MAX_DEPTH};
use crate::contract::{Enum, Field, Flags, Route, Type};
use crate::script::budget;

/// Integers up to here, and their negatives, are exact as a Luau number.
const EXACT: u64 = 1 << 53;

/// What a member counts beside its text: a number, quotes, commas.
const MEMBER: usize = 8;

/// Members between two looks at whether the script must end.
const UNSEEN: u32 = 256;

/// One encoding. Tables are read raw, so nothing of the script runs meanwhile.
#[derive(Default)]
pub(super) struct Encoder {
    /// The tables around the current value, from the outside in.
    inside: Vec<*const c_void>,
    /// About the bytes of JSON so far; never more than [`MAX_BYTES`].
    bytes: usize,
    /// Members so far.
    members: u32,
}

impl Encoder {
    /// The parameters of a route.
    pub fn params(
        &mut self,
        table: &Table,
        route: &'static Route,
    ) -> Result<Map<String, Json>, EncodeError> {
        self.object(table, |name| route.param(name))
    }

    /// A value of the contract.
    pub fn typed(&mut self, value: &Value, ty: &Type) -> Result<Json, EncodeError> {
        match (ty, value) {
            (Type::Any, _) => self.any(value),
            (Type::String | Type::Guid | Type::Time, Value::String(text)) => string(text),
            (Type::String | Type::Guid | Type::Time, _) => Err(expected("a string", value)),
            (Type::Bool, Value::Boolean(value)) => Ok(Json::Bool(*value)),
            (Type::Bool, _) => Err(expected("a boolean", value)),
            (Type::Int32, _) => integer(value, i32::MIN.into(), i32::MAX.into()),
            (Type::Uint32, _) => integer(value, 0, u32::MAX.into()),
            (Type::Int64, _) => integer(value, i64::MIN, i64::MAX),
            (Type::Id64, _) => id(value),
            (Type::Float, Value::Integer(_) | Value::Number(_)) => number(value),
            (Type::Float, _) => Err(expected("a number", value)),
            (Type::Choice(_), Value::String(text)) => string(text),
            (Type::Choice(words), _) => Err(expected(&one_of(words.iter().copied()), value)),
            (Type::Enum(contract), _) => enumeration(value, contract),
            (Type::Flags(contract), _) => flags(value, contract),
            (Type::Object(shape), Value::Table(table)) => {
                Ok(Json::Object(self.object(table, |name| shape.field(name))?))
            }
            (Type::Union(union), Value::Table(table)) => Ok(Json::Object(
                self.object(table, |name| union.any_field(name))?,
            )),
            (Type::Map(element), Value::Table(table)) => self.map(table, element),
            (Type::Object(_) | Type::Union(_) | Type::Map(_), _) => {
                Err(expected("a table with named fields", value))
            }
            (Type::List(element), Value::Table(table)) => self.list(table, element),
            (Type::List(_), _) => Err(expected("a list", value)),
        }
    }

    /// A value without a contract.
    pub fn any(&mut self, value: &Value) -> Result<Json, EncodeError> {
        match value {
            Value::Nil => Ok(Json::Null),
            Value::Boolean(value) => Ok(Json::Bool(*value)),
            Value::Integer(_) | Value::Number(_) => number(value),
            Value::String(text) => string(text),
            Value::Table(table) => match first_key(table)? {
                Some(Value::String(_)) => self.map(table, &Type::Any),
                _ => self.list(table, &Type::Any),
            },
            other => Err(EncodeError::new(format!(
                "JSON has no {}",
                type_name(other)
            ))),
        }
    }

    fn object(
        &mut self,
        table: &Table,
        field: impl Fn(&str) -> Option<&'static Field>,
    ) -> Result<Map<String, Json>, EncodeError> {
        self.enter(table)?;
        let mut object = Map::new();
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(unreadable)?;
            let key = name(&key)?;
            self.charge(key.len(), &value)?;
            let ty = field(&key).map_or(&Type::Any, |field| &field.ty);
            let value = self
                .typed(&value, ty)
                .map_err(|error| error.in_field(&key))?;
            object.insert(key, value);
        }
        self.inside.pop();
        Ok(object)
    }

    fn map(&mut self, table: &Table, element: &Type) -> Result<Json, EncodeError> {
        self.enter(table)?;
        let mut object = Map::new();
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(unreadable)?;
            let key = name(&key)?;
            self.charge(key.len(), &value)?;
            let value = self
                .typed(&value, element)
                .map_err(|error| error.in_field(&key))?;
            object.insert(key, value);
        }
        self.inside.pop();
        Ok(Json::Object(object))
    }

    fn list(&mut self, table: &Table, element: &Type) -> Result<Json, EncodeError> {
        self.enter(table)?;
        let mut items: Vec<(usize, Json)> = Vec::new();
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(unreadable)?;
            let at = place(&key)?;
            self.charge(0, &value)?;
            let value = self
                .typed(&value, element)
                .map_err(|error| error.at_index(at))?;
            items.push((at, value));
        }
        items.sort_unstable_by_key(|&(at, _)| at);
        // Keys are distinct, so the places are 1..n exactly if the last of them is n.
        if let Some(hole) = items.iter().enumerate().find(|(i, (at, _))| i + 1 != *at) {
            let (missing, (at, _)) = hole;
            return Err(EncodeError::new(format!(
                "a list must have no holes: [{}] is nil, [{at}] is not",
                missing + 1,
            )));
        }
        self.inside.pop();
        Ok(Json::Array(
            items.into_iter().map(|(_, value)| value).collect(),
        ))
    }

    /// Counts a member. A table that is in many places is written in each of them, so that a small one
    /// can make an endless text.
    fn charge(&mut self, key: usize, value: &Value) -> Result<(), EncodeError> {
        let text = match value {
            Value::String(text) => text.as_bytes().len(),
            _ => 0,
        };
        self.members = self.members.wrapping_add(1);
        if self.members.is_multiple_of(UNSEEN) && budget::is_over() {
            return Err(EncodeError::new("the script has been ended"));
        }
        self.bytes = self.bytes.saturating_add(key + text + MEMBER);
        if self.bytes > MAX_BYTES {
            return Err(EncodeError::new(format!(
                "more than {} MiB of JSON",
                MAX_BYTES >> 20
            )));
        }
        Ok(())
    }

    fn enter(&mut self, table: &Table) -> Result<(), EncodeError> {
        let address = table.to_pointer();
        if self.inside.contains(&address) {
            return Err(EncodeError::new("the table contains itself"));
        }
        if self.inside.len() == MAX_DEPTH {
            return Err(EncodeError::new(format!(
                "more than {MAX_DEPTH} tables inside each other"
            )));
        }
        self.inside.push(address);
        Ok(())
    }
}

fn first_key(table: &Table) -> Result<Option<Value>, EncodeError> {
    match table.pairs::<Value, Value>().next() {
        Some(pair) => Ok(Some(pair.map_err(unreadable)?.0)),
        None => Ok(None),
    }
}

/// A key of an object.
fn name(key: &Value) -> Result<String, EncodeError> {
    match key {
        Value::String(text) => Ok(utf8(text)
            .map_err(|_| EncodeError::new("a field's name is not UTF-8"))?
            .to_owned()),
        other => Err(EncodeError::new(format!(
            "expected a table with named fields, found the key {}",
            show(other)
        ))),
    }
}

/// A key of a list.
fn place(key: &Value) -> Result<usize, EncodeError> {
    match key {
        Value::Integer(at) if *at >= 1 => {
            usize::try_from(*at).map_err(|_| EncodeError::new("a list index out of range"))
        }
        other => Err(EncodeError::new(format!(
            "expected a list, found the key {}",
            show(other)
        ))),
    }
}

fn show(key: &Value) -> String {
    match key {
        Value::String(text) => format!("{:?}", text.to_string_lossy()),
        Value::Integer(number) => format!("[{number}]"),
        Value::Number(number) => format!("[{number}]"),
        other => format!("of type {}", type_name(other)),
    }
}

fn utf8(text: &mlua::LuaString) -> Result<mlua::BorrowedStr, EncodeError> {
    text.to_str()
        .map_err(|_| EncodeError::new("the string is not UTF-8; JSON holds text only"))
}

fn string(text: &mlua::LuaString) -> Result<Json, EncodeError> {
    Ok(Json::String(utf8(text)?.to_owned()))
}

/// The value as an integer that the VM holds exactly, if it is one.
fn integral(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        // 2^63 itself is out of range; every whole double below is an i64.
        Value::Number(n) if n.fract() == 0.0 && n.abs() < 9_223_372_036_854_775_808.0 => {
            Some(*n as i64)
        }
        _ => None,
    }
}

/// A number as JSON. Integers have no fraction, except those beyond 2^53 that are doubles by nature:
/// written as integers they would come back as strings.
fn number(value: &Value) -> Result<Json, EncodeError> {
    match integral(value) {
        Some(whole) if whole.unsigned_abs() <= EXACT || whole as f64 as i64 != whole => {
            return Ok(whole.into());
        }
        Some(whole) => return Ok((whole as f64).into()),
        None => {}
    }
    match value {
        Value::Number(number) => Number::from_f64(*number)
            .map(Json::Number)
            .ok_or_else(|| EncodeError::new(format!("JSON has no number {}", show_float(*number)))),
        other => Err(expected("a number", other)),
    }
}

fn show_float(number: f64) -> &'static str {
    if number.is_nan() {
        "nan"
    } else if number > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

fn integer(value: &Value, least: i64, most: i64) -> Result<Json, EncodeError> {
    let number = match value {
        Value::String(text) if least == i64::MIN => decimal(text),
        _ => integral(value),
    };
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(number.into()),
        Some(number) => Err(EncodeError::new(format!(
            "{number} is out of range; {least} to {most} is accepted"
        ))),
        None => Err(expected("an integer", value)),
    }
}

/// A 64-bit id: exact in a string, and in a number as long as the number is exact.
fn id(value: &Value) -> Result<Json, EncodeError> {
    const EXPECTED: &str = "an id (a decimal string, or an integer)";
    if let Value::String(text) = value {
        return decimal(text)
            .map(Json::from)
            .ok_or_else(|| expected(EXPECTED, value));
    }
    match integral(value) {
        Some(id) if id.unsigned_abs() <= EXACT => Ok(id.into()),
        Some(_) => Err(EncodeError::new(
            "an id beyond 2^53 is rounded as a number; pass it as the string it came as",
        )),
        None => Err(expected(EXPECTED, value)),
    }
}

fn decimal(text: &mlua::LuaString) -> Option<i64> {
    text.to_str().ok()?.parse().ok()
}

fn enumeration(value: &Value, contract: &Enum) -> Result<Json, EncodeError> {
    match value {
        Value::String(text) => string(text),
        _ => integral(value)
            .map(Json::from)
            .ok_or_else(|| expected(&one_of(contract.names()), value)),
    }
}

/// A set, a list of names, names in one string or a mask, as a mask.
fn flags(value: &Value, contract: &Flags) -> Result<Json, EncodeError> {
    let mask = match value {
        Value::String(text) => utf8(text)?
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .try_fold(0, |mask, name| Ok(mask | flag(name, contract)?))?,
        Value::Table(table) => {
            let mut mask = 0;
            for pair in table.pairs::<Value, Value>() {
                mask |= match pair.map_err(unreadable)? {
                    (Value::String(name), Value::Boolean(true)) => flag(&utf8(&name)?, contract)?,
                    (Value::String(name), Value::Boolean(false)) => {
                        flag(&utf8(&name)?, contract)?;
                        0
                    }
                    (Value::Integer(_), Value::String(name)) => flag(&utf8(&name)?, contract)?,
                    (key, value) => {
                        return Err(EncodeError::new(format!(
                            "a set of {} has names with true or false, found the key {} with a {}",
                            contract.name,
                            show(&key),
                            type_name(&value)
                        )));
                    }
                };
            }
            mask
        }
        _ => integral(value)
            .and_then(|mask| u64::try_from(mask).ok())
            .ok_or_else(|| expected(&format!("a set of {}", contract.name), value))?,
    };
    Ok(mask.into())
}

/// The mask of one name, of an unknown bit's name (`bit57`) or of a mask in digits.
fn flag(name: &str, contract: &Flags) -> Result<u64, EncodeError> {
    let bit = || {
        let bit: u32 = name.strip_prefix("bit")?.parse().ok()?;
        1u64.checked_shl(bit)
    };
    contract
        .mask(name)
        .or_else(bit)
        .or_else(|| name.parse().ok())
        .ok_or_else(|| {
            let known = one_of(contract.values.iter().map(|&(_, name)| name));
            EncodeError::new(format!("unknown flag {name:?}; expected {known}"))
        })
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", names.collect::<Vec<_>>().join(", "))
}

fn expected(what: &str, found: &Value) -> EncodeError {
    let found = match found {
        Value::Number(number) if !number.is_finite() => show_float(*number).to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::String(text) => format!("the string {:?}", shorten(&text.to_string_lossy())),
        other => format!("a {}", type_name(other)),
    };
    EncodeError::new(format!("expected {what}, found {found}"))
}

/// The first 40 characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What `type` says in a script.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

fn unreadable(error: mlua::Error) -> EncodeError {
    EncodeError::new(format!("the table could not be read: {error}"))
}
