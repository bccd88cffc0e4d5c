//! `argon.log.debug/info/warn/error(message, fields?)` and `print`, to the host's log.

use mlua::{LuaString, Value};

use super::Kit;
use crate::script::errors::Fault;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let log = kit.lua.create_table()?;
    for level in ["debug", "info", "warn", "error"] {
        let call = kit.function(move |guest, _, (message, fields): (Value, Value)| {
            let message = message.to_string()?;
            let fields = super::table(fields, &format!("argon.log.{level}: the fields"))?
                .map(|fields| guest.codec.encode_any(&Value::Table(fields)))
                .transpose()
                .map_err(|error| Fault::text(format!("argon.log.{level}: the fields: {error}")))?;
            write(level, &guest.name, &message, fields.as_deref());
            Ok(())
        })?;
        log.raw_set(level, call)?;
    }
    kit.argon.raw_set("log", log)?;
    kit.globals
        .raw_set("print", kit.guest.tools.print.clone())?;
    let print = kit.plain_for_prelude(|guest, _, text: LuaString| {
        write("info", &guest.name, &text.to_string_lossy(), None);
        Ok(())
    })?;
    kit.host.raw_set("print", print)
}

fn write(level: &str, script: &str, message: &str, fields: Option<&str>) {
    // A level is part of an event's static description, so each has its own.
    macro_rules! at {
        ($level:ident) => {
            match fields {
                Some(fields) => {
                    tracing::$level!(target: "script", script = %script, fields = %fields, "{message}")
                }
                None => tracing::$level!(target: "script", script = %script, "{message}"),
            }
        };
    }
    match level {
        "debug" => at!(debug),
        "warn" => at!(warn),
        "error" => at!(error),
        _ => at!(info),
    }
}
