//! `script.name`, `script.config`, `script.state` and `script.onUnload`.
//!
//! The configuration is JSON data from `bot.toml`, read-only through and through. The state is a table
//! that the next version gets ([`crate::script::state`]).

use mlua::{Lua, Value};
use serde_json::Value as Json;

use super::{Kit, function};
use crate::script::errors::Fault;

/// The most functions that `script.onUnload` keeps.
const MOST_UNLOAD: usize = 1000;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let script = kit.lua.create_table()?;
    script.raw_set("name", kit.guest.name.as_str())?;
    script.raw_set("config", frozen(kit.lua, &kit.guest.config)?)?;
    script.raw_set("state", kit.guest.state.clone())?;
    let on_unload = kit.function(|guest, _, handler: Value| {
        let function = function(handler, "script.onUnload: the handler")?;
        let mut unload = guest.unload.borrow_mut();
        if unload.len() >= MOST_UNLOAD {
            return Err(Fault::text(format!(
                "script.onUnload: this script has {MOST_UNLOAD} handlers already"
            )));
        }
        unload.push(function);
        Ok(())
    })?;
    script.raw_set("onUnload", on_unload)?;
    script.set_readonly(true);
    kit.globals.raw_set("script", script)
}

fn frozen(lua: &Lua, value: &Json) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    match value {
        Json::Null => return Ok(Value::Nil),
        Json::Bool(on) => return Ok(Value::Boolean(*on)),
        Json::Number(number) => {
            return Ok(number.as_f64().map_or(Value::Nil, Value::Number));
        }
        Json::String(text) => return lua.create_string(text).map(Value::String),
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                table.raw_set(index + 1, frozen(lua, item)?)?;
            }
        }
        Json::Object(members) => {
            for (name, member) in members {
                table.raw_set(name.as_str(), frozen(lua, member)?)?;
            }
        }
    }
    table.set_readonly(true);
    Ok(Value::Table(table))
}
