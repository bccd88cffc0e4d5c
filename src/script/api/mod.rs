//! What a script sees: one file for each library, and the one list of them.
//!
//! A library is a function that puts its names into the VM. It runs once, before the sandbox makes
//! everything read-only. A new library is a file here and a line in [`LIBRARIES`].

mod commands;
pub(super) mod controls;
mod event;
mod events;
mod http;
mod json;
mod kv;
pub(super) mod log;
pub(super) mod require;
mod routes;
mod script;
mod standard;
mod task;
mod time;
pub(super) mod timers;
pub(super) mod voice;

use std::rc::Rc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Table, Value};

use super::errors::Fault;
use super::guest::Guest;
use super::vm::raw;
use crate::limits::SHORT_TEXT_BYTES;

type Install = fn(&Kit) -> mlua::Result<()>;

/// Every library, in the order in which they are put in.
const LIBRARIES: &[(&str, Install)] = &[
    ("argon.<interface>.<method>", routes::install),
    ("argon.on, once, waitFor", events::install),
    ("methods of events", event::install),
    ("argon.command", commands::install),
    ("argon.onControl, onSelect, onModal", controls::install),
    ("argon.every, cron", timers::install),
    ("argon.voice, argon.calls.answer", voice::install),
    ("argon.http", http::install),
    ("argon.json", json::install),
    ("argon.kv", kv::install),
    ("argon.time", time::install),
    ("argon.log, print", log::install),
    ("task", task::install),
    ("script", script::install),
    ("require", require::install),
    ("the host's part of @std", standard::install),
];

/// What a library needs to put itself in.
struct Kit<'a> {
    lua: &'a Lua,
    guest: &'a Rc<Guest>,
    /// The `argon` table.
    argon: Table,
    globals: Table,
    /// What the prelude calls.
    host: &'a Table,
}

/// Puts every library into the VM.
pub(super) fn install(lua: &Lua, guest: &Rc<Guest>, host: &Table) -> mlua::Result<()> {
    let kit = Kit {
        lua,
        guest,
        argon: lua.create_table()?,
        globals: lua.globals(),
        host,
    };
    for (name, library) in LIBRARIES {
        library(&kit).map_err(|error| mlua::Error::runtime(format!("{name}: {error}")))?;
    }
    for table in kit.argon.pairs::<Value, Value>() {
        if let (_, Value::Table(table)) = table? {
            table.set_readonly(true);
        }
    }
    kit.argon.set_readonly(true);
    kit.globals.raw_set("argon", kit.argon)
}

impl Kit<'_> {
    /// A function that answers at once.
    fn function<A, R>(
        &self,
        call: impl Fn(&Guest, &Lua, A) -> Result<R, Fault> + 'static,
    ) -> mlua::Result<Function>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        let guest = Rc::clone(self.guest);
        self.guest
            .tools
            .function(self.lua, move |lua, arguments| call(&guest, lua, arguments))
    }

    /// A function whose caller sleeps until its ticket is redeemed.
    fn waiting<A: FromLuaMulti>(
        &self,
        start: impl Fn(&Guest, &Lua, A) -> Result<u64, Fault> + 'static,
    ) -> mlua::Result<Function> {
        let guest = Rc::clone(self.guest);
        self.guest.tools.waiting(self.lua, move |lua, arguments| {
            start(&guest, lua, arguments)
        })
    }

    /// A function for the prelude, which answers `true, results…` or `false, error`.
    fn for_prelude<A, R>(
        &self,
        call: impl Fn(&Guest, &Lua, A) -> Result<R, Fault> + 'static,
    ) -> mlua::Result<Function>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        let guest = Rc::clone(self.guest);
        raw(self.lua, move |lua, arguments| call(&guest, lua, arguments))
    }

    /// A function for the prelude that cannot refuse.
    fn plain_for_prelude<A, R>(
        &self,
        call: impl Fn(&Guest, &Lua, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<Function>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        let guest = Rc::clone(self.guest);
        self.lua
            .create_function(move |lua, arguments| call(&guest, lua, arguments))
    }
}

/// An argument that must be a short text.
fn text(value: &Value, what: &str) -> Result<String, Fault> {
    match value {
        Value::String(text) if text.as_bytes().len() > SHORT_TEXT_BYTES => {
            Err(Fault::text(format!(
                "{what} has {} bytes, and it may have {SHORT_TEXT_BYTES}",
                text.as_bytes().len()
            )))
        }
        Value::String(text) => Ok(text.to_string_lossy()),
        other => Err(wrong(what, "a string", other)),
    }
}

/// An argument that must be a function.
fn function(value: Value, what: &str) -> Result<Function, Fault> {
    match value {
        Value::Function(function) => Ok(function),
        other => Err(wrong(what, "a function", &other)),
    }
}

/// An argument that must be a number of seconds, at least `least`.
fn seconds(value: &Value, what: &str, least: f64) -> Result<std::time::Duration, Fault> {
    let number = match value {
        Value::Integer(whole) => *whole as f64,
        Value::Number(number) => *number,
        other => return Err(wrong(what, "a number of seconds", other)),
    };
    if number.is_nan() || number < least {
        return Err(Fault::text(format!(
            "{what} must be at least {least} seconds, got {number}"
        )));
    }
    // A thousand years is as good as never, and the clock's arithmetic stays in its range.
    Ok(std::time::Duration::from_secs_f64(number.min(3.2e10)))
}

fn wrong(what: &str, wanted: &str, got: &Value) -> Fault {
    Fault::text(format!("{what} must be {wanted}, got {}", type_name(got)))
}

/// A value's type as scripts know it.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        other => other.type_name(),
    }
}

/// An argument that must be a table, if it is there.
fn table(value: Value, what: &str) -> Result<Option<Table>, Fault> {
    match value {
        Value::Nil => Ok(None),
        Value::Table(table) => Ok(Some(table)),
        other => Err(wrong(what, "a table", &other)),
    }
}

/// Refuses fields of an options table that nobody reads, with the right name for a near miss.
fn only(table: &Table, what: &str, known: &[&str]) -> Result<(), Fault> {
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        let name = match &key {
            Value::String(name) => name.to_string_lossy(),
            Value::Integer(_) | Value::Number(_) => key.to_string()?,
            // Its text may be made by the script.
            other => format!("of type {}", type_name(other)),
        };
        if !known.contains(&name.as_str()) {
            let hint = nearest(&name, known.iter().copied())
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_else(|| format!("; it knows {}", known.join(", ")));
            return Err(Fault::text(format!("{what} has no field {name}{hint}")));
        }
    }
    Ok(())
}

/// The known name that was probably meant.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is so long is no slip of the keyboard, and comparing costs its length.
    if name.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|&(distance, known)| distance <= 2.max(known.len() / 4))
        .min()
        .map(|(_, known)| known)
}
