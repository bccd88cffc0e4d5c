//! Errors on their way between Rust, Luau and people.
//!
//! * [`Fault`]: why a binding refuses. It becomes a Luau error at the line that called the binding
//!   (the prelude's `guard` and `waits` raise it), never a Rust error that a script would see as an
//!   opaque userdata with Rust text in it.
//! * [`failure`]: a failed call as the table that scripts meet.
//! * [`Trouble`]: an error that nobody caught, in terms of the script: file and line, source line,
//!   message, frames of the script only.

use std::fmt;
use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};

use crate::rest;

/// The chunk name of the prelude; its frames are left out.
pub(super) const PRELUDE: &str = "[argon]";

/// What an allocation beyond the script's memory raises.
const NO_MEMORY: &str = "out of memory";

/// Why a binding refuses.
pub(super) enum Fault {
    /// A mistake in how it was called.
    Text(String),
    /// A failed call, with fields.
    Value(Value),
    /// Luau itself failed (out of memory, an error in a metamethod).
    Lua(mlua::Error),
}

impl Fault {
    pub(super) fn text(message: impl Into<String>) -> Self {
        Fault::Text(message.into())
    }
}

impl From<mlua::Error> for Fault {
    fn from(error: mlua::Error) -> Self {
        match error {
            mlua::Error::FromLuaConversionError {
                from, to, message, ..
            } => Fault::Text(match message {
                Some(message) => format!("expected {to}, got {from} ({message})"),
                None => format!("expected {to}, got {from}"),
            }),
            mlua::Error::BadArgument { pos, cause, .. } => match Fault::from((*cause).clone()) {
                Fault::Text(text) => Fault::Text(format!("argument {pos}: {text}")),
                other => other,
            },
            other => Fault::Lua(other),
        }
    }
}

/// A binding's answer in the form that the prelude expects: `true, results…` or `false, error`.
pub(super) fn answer<R: mlua::IntoLuaMulti>(
    lua: &Lua,
    result: Result<R, Fault>,
) -> mlua::Result<MultiValue> {
    match result {
        Ok(values) => {
            let mut values = values.into_lua_multi(lua)?;
            values.push_front(Value::Boolean(true));
            Ok(values)
        }
        Err(Fault::Text(text)) => (false, text).into_lua_multi(lua),
        Err(Fault::Value(value)) => (false, value).into_lua_multi(lua),
        // Only what can be said no other way stays mlua's own kind of error.
        Err(Fault::Lua(error @ mlua::Error::MemoryError(_))) => Err(error),
        Err(Fault::Lua(error)) => (false, texts(&error).0).into_lua_multi(lua),
    }
}

use mlua::IntoLuaMulti as _;

/// A failed call as the value that scripts catch.
pub(super) fn failure(lua: &Lua, metatable: &Table, error: &rest::Error) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 5)?;
    table.raw_set("status", error.status)?;
    table.raw_set("code", error.code.as_str())?;
    table.raw_set("message", error.message.as_deref())?;
    table.raw_set("route", error.route.as_str())?;
    table.raw_set("retryAfter", error.retry_after)?;
    table.set_metatable(Some(metatable.clone()))?;
    Ok(Value::Table(table))
}

/// A failure of the host's own kind: nothing was sent.
pub(super) fn local_failure(route: &str, code: &str, message: String) -> rest::Error {
    rest::Error {
        status: 0,
        code: code.into(),
        message: Some(message),
        route: route.into(),
        retry_after: None,
    }
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path of the file, relative to the scripts folder, with forward slashes.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// The text of that line, if it is known.
    pub source: Option<String>,
}

/// An error that no script caught, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong.
    pub message: String,
    /// Where, if it happened in a script.
    pub place: Option<Place>,
    /// The script's frames, innermost first.
    pub traceback: Vec<String>,
}

impl Trouble {
    /// An error without a place in a script.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            traceback: Vec::new(),
        }
    }

    /// Whether the script's memory was used up.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.message == NO_MEMORY
    }

    /// Reads what mlua makes of an error: the message, then the traceback of the coroutine that died.
    /// `line_of` finds the text of a line of a file.
    pub(super) fn read(error: &mlua::Error, line_of: impl Fn(&str, u32) -> Option<String>) -> Self {
        let (text, frames) = texts(error);
        let traceback: Vec<String> = frames.lines().filter_map(frame).collect();
        let (position, message) = match position(&text) {
            Some((file, line, message)) => (Some((file.to_owned(), line)), message.to_owned()),
            None => (
                traceback
                    .first()
                    .and_then(|frame| position(frame))
                    .map(|(file, line, _)| (file.to_owned(), line)),
                text,
            ),
        };
        Self {
            message,
            place: position.map(|(file, line)| Place {
                source: line_of(&file, line),
                file,
                line,
            }),
            traceback,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => {
                write!(f, "{}:{}: {}", place.file, place.line, self.message)?;
                if let Some(source) = &place.source {
                    write!(f, "\n  {:>4} | {}", place.line, source.trim_end())?;
                }
            }
            None => f.write_str(&self.message)?,
        }
        for frame in &self.traceback {
            write!(f, "\n  at {frame}")?;
        }
        Ok(())
    }
}

/// Message and traceback of an error.
fn texts(error: &mlua::Error) -> (String, String) {
    match error {
        mlua::Error::RuntimeError(text) | mlua::Error::SyntaxError { message: text, .. } => {
            match text.rsplit_once("\nstack traceback:") {
                Some((message, frames)) => (message.to_owned(), frames.to_owned()),
                None => (text.clone(), String::new()),
            }
        }
        mlua::Error::CallbackError { traceback, cause } => {
            let mut root: &Arc<mlua::Error> = cause;
            while let mlua::Error::CallbackError { cause, .. } = &**root {
                root = cause;
            }
            (texts(root).0, traceback.clone())
        }
        mlua::Error::MemoryError(_) => (NO_MEMORY.to_owned(), String::new()),
        other => (other.to_string(), String::new()),
    }
}

/// One line of a traceback as `ping.luau:3 in function 'f'`; `None` for frames that are not the
/// script's.
fn frame(line: &str) -> Option<String> {
    let line = line.trim();
    let (file, number, rest) = position(line)?;
    if file == PRELUDE {
        return None;
    }
    let rest = rest
        .trim_start_matches("in ")
        .split(" <")
        .next()
        .unwrap_or_default();
    Some(match rest {
        "" | "?" | "main chunk" | "function" => format!("{file}:{number}"),
        named => format!("{file}:{number} in {named}"),
    })
}

/// Splits `file:line: rest`. Files are names of chunks, which end in `.luau` or `.lua`, or the
/// prelude's.
fn position(text: &str) -> Option<(&str, u32, &str)> {
    let end = [".luau:", ".lua:", "[argon]:"]
        .iter()
        .filter_map(|mark| text.find(mark).map(|at| at + mark.len() - 1))
        .min()?;
    let file = &text[..end];
    if file.contains('\n') {
        return None;
    }
    let rest = &text[end + 1..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let line = rest[..digits].parse().ok()?;
    let rest = rest[digits..]
        .strip_prefix(':')
        .unwrap_or(&rest[digits..])
        .trim_start();
    Some((file, line, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(text: &str) -> Trouble {
        Trouble::read(&mlua::Error::RuntimeError(text.into()), |file, line| {
            (file == "ping.luau" && line == 3).then(|| "  local x = nil + 1".to_owned())
        })
    }

    #[test]
    fn an_error_is_told_with_place_source_line_and_the_scripts_own_frames() {
        let trouble = runtime(
            "ping.luau:3: attempt to add\nstack traceback:\n\t[C]: in ?\n\t[argon]:40: in function \
             <[argon]:38>\n\tping.luau:3: in function 'add'\n\tping.luau:9: in function <ping.luau:8>",
        );
        assert_eq!(trouble.message, "attempt to add");
        assert_eq!(trouble.place.as_ref().map(|place| place.line), Some(3));
        assert_eq!(
            trouble.to_string(),
            "ping.luau:3: attempt to add\n     3 |   local x = nil + 1\n  at ping.luau:3 in function \
             'add'\n  at ping.luau:9"
        );
    }

    #[test]
    fn an_error_value_takes_its_place_from_the_traceback() {
        let trouble = runtime(
            "IMessages/Send: 403 not_a_member: No.\nstack traceback:\n\t[C]: in ?\n\t[argon]:52: in ?\n\
             \tlib/send.luau:7: in ?",
        );
        assert_eq!(trouble.message, "IMessages/Send: 403 not_a_member: No.");
        assert_eq!(
            trouble.place,
            Some(Place {
                file: "lib/send.luau".into(),
                line: 7,
                source: None
            })
        );
    }

    #[test]
    fn a_message_that_quotes_a_traceback_keeps_it() {
        let trouble = runtime("odd\nstack traceback:\nx\nstack traceback:\n\tping.luau:1: in ?");
        assert_eq!(trouble.message, "odd\nstack traceback:\nx");
        assert_eq!(trouble.traceback, ["ping.luau:1"]);
    }

    #[test]
    #[expect(clippy::arc_with_non_send_sync, reason = "mlua's own type")]
    fn a_rust_error_under_callbacks_shows_only_its_cause() {
        let inner = mlua::Error::CallbackError {
            traceback: String::new(),
            cause: Arc::new(mlua::Error::RuntimeError("no".into())),
        };
        let outer = mlua::Error::CallbackError {
            traceback: "stack traceback:\n\tping.luau:3: in ?".into(),
            cause: Arc::new(inner),
        };
        let trouble = Trouble::read(&outer, |_, _| None);
        assert_eq!(
            (trouble.message.as_str(), trouble.traceback.as_slice()),
            ("no", &["ping.luau:3".to_owned()][..])
        );
    }
}
