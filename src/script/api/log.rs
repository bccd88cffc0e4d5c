//! `argon.log.debug/info/warn/error(message, fields?)` and `print`, to the host's log.
//!
//! A line has at most [`MOST`] bytes of a script's text, and a script has so many lines and bytes
//! ([`crate::limits`]); what is more is counted and left out.

use mlua::{LuaString, Value};

use super::Kit;
use crate::limits::LOG_LINE_BYTES as MOST;
use crate::script::errors::Fault;
use crate::script::guest::Guest;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let log = kit.lua.create_table()?;
    for level in ["debug", "info", "warn", "error"] {
        // The prelude makes text of the message, so that an error in `__tostring` stays the script's.
        let call = kit.for_prelude(move |guest, _, (message, fields): (LuaString, Value)| {
            let fields = super::table(fields, &format!("argon.log.{level}: the fields"))?
                .map(|fields| guest.codec.encode_any(&Value::Table(fields)))
                .transpose()
                .map_err(|error| Fault::text(format!("argon.log.{level}: the fields: {error}")))?;
            write(level, guest, &message, fields.as_deref());
            Ok(())
        })?;
        log.raw_set(level, kit.guest.tools.log.call::<mlua::Function>(call)?)?;
    }
    kit.argon.raw_set("log", log)?;
    kit.globals
        .raw_set("print", kit.guest.tools.print.clone())?;
    let print = kit.plain_for_prelude(|guest, _, text: LuaString| {
        write("info", guest, &text, None);
        Ok(())
    })?;
    kit.host.raw_set("print", print)
}

fn write(level: &str, guest: &Guest, message: &LuaString, fields: Option<&str>) {
    let script = &*guest.name;
    let message = &*shorten(&message.as_bytes());
    let fields = fields.map(|fields| shorten(fields.as_bytes()));
    if !guest.may_log(message.len() + fields.as_ref().map_or(0, String::len)) {
        return;
    }
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

/// As much of a text as is logged.
pub(in crate::script) fn shorten(text: &[u8]) -> String {
    let Some(more) = text.len().checked_sub(MOST).filter(|&more| more > 0) else {
        return String::from_utf8_lossy(text).into_owned();
    };
    let start = String::from_utf8_lossy(&text[..MOST]);
    format!("{start}… ({more} bytes more)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_says_how_much_is_left_out() {
        assert_eq!(shorten(b"short"), "short");
        assert_eq!(shorten(&[b'a'; MOST]).len(), MOST);
        let long = shorten(&[b'a'; MOST + 7]);
        assert!(long.ends_with("aaa… (7 bytes more)"), "{long}");
    }
}
