//! Errors on their way between Rust, Luau and people.
//!
//! * [`Fault`]: why a binding refuses. It becomes a Luau error at the line that called the binding
//!   (the prelude's `guard` and `waits` raise it), never a Rust error that a script would see as an
//!   opaque userdata with Rust text in it.
//! * [`failure`]: a failed call as the table that scripts meet.
//! * [`Trouble`]: an error that nobody caught, in terms of the script: file and line, source line with a
//!   mark, message, frames of the script only. Luau knows the line of an error; the column is told
//!   where the message names something that stands there once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use luau_syntax::parser::{ParseOptions, ParsedSource};
use mlua::{Lua, MultiValue, Table, Value};

use super::budget::TOO_MUCH_MEMORY;
use crate::config::Excerpt;
use crate::contract;
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
    /// Column (from 1) and width, both in characters, of what the message is about, if that is certain.
    pub spot: Option<(u32, u32)>,
    /// The text of that line, if it is known.
    pub source: Option<String>,
}

/// Frames of a traceback that are shown: so many of the innermost, and the outermost for the rest. One that
/// repeats counts once.
const MOST_FRAMES: usize = 20;
const FIRST_FRAMES: usize = 14;

/// A longer source line is not shown.
const LONGEST_LINE: usize = 500;

impl Place {
    fn new(file: String, line: u32, source: Option<String>, message: &str) -> Self {
        let source = source.filter(|source| source.len() <= LONGEST_LINE);
        let spot = source.as_deref().and_then(|source| spot(source, message));
        Self {
            file,
            line,
            spot,
            source,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.spot {
            Some((column, _)) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
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

    /// Whether the script's memory was used up: the allocator said so, or the budget, with the figures.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.message == NO_MEMORY || self.message.starts_with(TOO_MUCH_MEMORY)
    }

    /// Reads what mlua makes of an error: the message, then the traceback of the coroutine that died.
    /// `line_of` finds the text of a line of a file.
    pub(super) fn read(error: &mlua::Error, line_of: impl Fn(&str, u32) -> Option<String>) -> Self {
        let (text, frames) = texts(error);
        let mut traceback: Vec<String> = frames.lines().filter_map(frame).collect();
        let (mut at, mut message) = match position(&text) {
            Some((file, line, message)) => (Some((file.to_owned(), line)), message.to_owned()),
            None => (outside(&traceback), of_value(text)),
        };
        // An error that was caught and raised again has that place first, and its own behind it.
        while let Some((file, line, rest)) = position(&message)
            && line_of(file, line).is_some()
        {
            let again = at.replace((file.to_owned(), line));
            message = rest.to_owned();
            if let Some((file, line)) = again
                && !traceback.iter().any(|frame| is_at(frame, &file, line))
            {
                traceback.insert(0, format!("{file}:{line}"));
            }
        }
        let place = at.map(|(file, line)| {
            let source = line_of(&file, line);
            Place::new(file, line, source, &message)
        });
        Self {
            message,
            place,
            traceback,
        }
    }

    /// Reads the error of a text that does not compile.
    pub(super) fn syntax(error: &mlua::Error, text: &[u8]) -> Self {
        let mut trouble = Self::read(error, |_, line| line_of(text, line));
        if let Some(place) = &mut trouble.place {
            place.spot = syntax_spot(text, place.line).or(place.spot);
        }
        trouble
    }
}

/// Where the script's own code was when an error without a place was raised: not in a module of `@std`.
fn outside(traceback: &[String]) -> Option<(String, u32)> {
    let own = traceback.iter().find(|frame| !frame.starts_with("@std/"));
    let (file, line, _) = position(own.or(traceback.first())?)?;
    Some((file.to_owned(), line))
}

/// What is said of an error that is no text: where Luau has only an address, or one word.
fn of_value(text: String) -> String {
    const KINDS: [&str; 5] = ["table", "function", "thread", "userdata", "buffer"];
    match text.split_once(": 0x") {
        Some((kind, _)) if KINDS.contains(&kind) => format!(
            "a {kind} was raised as an error, and has no text: raise a string, or give it a __tostring"
        ),
        _ if matches!(&*text, "nil" | "true" | "false") => {
            format!("{text} was raised as an error: raise a string that says what is wrong")
        }
        _ => text,
    }
}

/// Whether a frame is at that place.
fn is_at(frame: &str, file: &str, line: u32) -> bool {
    position(frame).is_some_and(|(of, at, _)| of == file && at == line)
}

/// The text of a line.
pub(super) fn line_of(text: &[u8], line: u32) -> Option<String> {
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let text = text.split(|&byte| byte == b'\n').nth(index)?;
    Some(String::from_utf8_lossy(text).trim_end().to_owned())
}

/// Where the first syntax error of a text is, if it is in that line: the parser of the checker knows
/// the column.
fn syntax_spot(text: &[u8], line: u32) -> Option<(u32, u32)> {
    let parsed = ParsedSource::parse(text, ParseOptions::default());
    let error = match &parsed {
        Ok(parsed) => parsed.metadata().errors.first(),
        Err(errors) => errors.errors().first(),
    }?;
    let (begin, end) = (error.location.begin, error.location.end);
    if begin.line + 1 != line {
        return None;
    }
    let source = line_of(text, line)?;
    let end = match end.line == begin.line {
        true => end.column as usize,
        false => source.len(),
    };
    Some(columns(&source, begin.column as usize..end))
}

/// Column (from 1) and width, in characters, of some bytes of a line.
fn columns(line: &str, bytes: Range<usize>) -> (u32, u32) {
    let characters = |bytes: Range<usize>| {
        let bytes = line.as_bytes().get(bytes).unwrap_or_default();
        let count = String::from_utf8_lossy(bytes).chars().count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    (characters(0..bytes.start) + 1, characters(bytes).max(1))
}

/// Column and width of the name that the message is about, if it stands in the line exactly once.
fn spot(source: &str, message: &str) -> Option<(u32, u32)> {
    let quoted = message.split('\'').skip(1).step_by(2);
    // Bindings begin with their own name (`argon.every: …`), failed calls with the route's.
    let first = message.split(": ").next().unwrap_or_default();
    let route = contract::ROUTES.iter().find(|route| route.label() == first);
    let route = route.map(|route| format!("argon.{}", route.permission_name()));
    let own = route
        .as_deref()
        .or(first.contains(['.', ':']).then_some(first));
    let word = |c: char| c.is_alphanumeric() || c == '_';
    quoted
        .chain(own)
        .filter(|name| name.chars().any(word))
        .find_map(|name| {
            let alone = |&(at, _): &(usize, &str)| {
                !source[..at].ends_with(word) && !source[at + name.len()..].starts_with(word)
            };
            let mut found = source.match_indices(name).filter(alone);
            let (at, _) = found.next()?;
            let only = found.next().is_none();
            only.then(|| columns(source, at..at + name.len()))
        })
        .or_else(|| {
            let called = message.starts_with("attempt to call a ");
            called.then(|| callee(source)).flatten()
        })
}

/// Column and width of what is called in the line, if that is one name alone.
fn callee(source: &str) -> Option<(u32, u32)> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':');
    let mut called = source.match_indices('(').filter_map(|(end, _)| {
        let before = &source[..end];
        let begin = before.trim_end_matches(part).len();
        let name = &before[begin..];
        (!name.is_empty() && name != "function").then_some(begin..end)
    });
    let only = called.next()?;
    called.next().is_none().then(|| columns(source, only))
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => {
                write!(f, "{place}: {}", self.message)?;
                if let Some(text) = &place.source {
                    let code = text.len() - text.trim_start().len()..text.len();
                    let (column, width) = place.spot.unwrap_or_else(|| columns(text, code));
                    let excerpt = Excerpt {
                        line: place.line as usize,
                        text,
                        column: column as usize,
                        width: width as usize,
                    };
                    write!(f, "\n{excerpt}")?;
                }
            }
            None => f.write_str(&self.message)?,
        }
        let frames: Vec<_> = self.traceback.chunk_by(|a, b| a == b).collect();
        let left_out = frames.len().saturating_sub(MOST_FRAMES);
        for (number, same) in frames.iter().enumerate() {
            match (number, left_out) {
                (FIRST_FRAMES, 1..) => write!(f, "\n  … {left_out} more")?,
                (FIRST_FRAMES.., 1..) if number < FIRST_FRAMES + left_out => {}
                _ => match same {
                    [frame] => write!(f, "\n  at {frame}")?,
                    [frame, ..] => write!(f, "\n  at {frame} ({} times)", same.len())?,
                    [] => {}
                },
            }
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
            "ping.luau:3: attempt to add\n  3 |   local x = nil + 1\n    |   ^^^^^^^^^^^^^^^^^\n  at \
             ping.luau:3 in function 'add'\n  at ping.luau:9"
        );
    }

    #[test]
    fn a_name_in_the_message_is_marked_where_it_stands_once() {
        for (source, message, expected) in [
            (
                "\tprint(ä.b, event.txt.x)",
                "attempt to index nil with 'x'",
                Some((23, 1)),
            ),
            (
                "print(event.txt)",
                "attempt to index nil with 'txt'",
                Some((13, 3)),
            ),
            ("a.x = b.x", "attempt to index nil with 'x'", None),
            (
                "xs.y = xx.x",
                "attempt to index nil with 'x'",
                Some((11, 1)),
            ),
            (
                "argon.every(0, f)",
                "argon.every: the period must be at least",
                Some((1, 11)),
            ),
            ("f()", "attempt to call a nil value", Some((1, 1))),
            (
                "\tlocal x = event.message.reply(1)",
                "attempt to call a nil value",
                Some((12, 19)),
            ),
            ("f(g())", "attempt to call a nil value", None),
            (
                "x:go(function() end)",
                "attempt to call a table value",
                Some((1, 4)),
            ),
            (
                "  argon.messages.send({})",
                "IMessages/Send: 403 not_a_member: No.",
                Some((3, 19)),
            ),
            ("a ' b", "it's odd", None),
        ] {
            assert_eq!(spot(source, message), expected, "{source}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_column() {
        let text = "local a = 1\n\tprint(\"ä\" .. ..)\n";
        let error = mlua::Error::SyntaxError {
            message: "ping.luau:2: Expected identifier when parsing expression, got '..'".into(),
            incomplete_input: false,
        };
        let trouble = Trouble::syntax(&error, text.as_bytes());
        assert_eq!(
            trouble.to_string(),
            "ping.luau:2:15: Expected identifier when parsing expression, got '..'\n  2 | \tprint(\"ä\" \
             .. ..)\n    | \t             ^^"
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
                spot: None,
                source: None
            })
        );
    }

    #[test]
    fn an_error_that_was_raised_again_is_shown_where_it_arose() {
        for frames in ["\tping.luau:9: in function <ping.luau:8>", ""] {
            let trouble = runtime(&format!(
                "ping.luau:9: ping.luau:3: attempt to add\nstack traceback:\n{frames}"
            ));
            assert_eq!(trouble.message, "attempt to add");
            assert_eq!(trouble.place.map(|place| place.line), Some(3));
            assert_eq!(trouble.traceback, ["ping.luau:9"]);
        }
        // What is no file of the script's is text.
        let trouble = runtime("ping.luau:3: other.luau:3: attempt to add");
        assert_eq!(trouble.message, "other.luau:3: attempt to add");
    }

    #[test]
    fn a_call_that_fails_in_a_module_of_std_is_told_where_the_script_called_it() {
        let trouble = runtime(
            "IMessages/Send: invalid_params: no.\nstack traceback:\n\t[argon]:52: in ?\n\t\
             @std/message.luau:335: in function 'send'\n\tping.luau:3: in ?",
        );
        assert_eq!(trouble.place.map(|place| place.line), Some(3));
        assert_eq!(
            trouble.traceback[0],
            "@std/message.luau:335 in function 'send'"
        );
    }

    #[test]
    fn a_value_without_a_text_says_so() {
        let told = |text: &str| runtime(text).message;
        assert!(told("table: 0x20e93797dc0").starts_with("a table was raised as an error"));
        assert!(told("nil").starts_with("nil was raised as an error"));
        assert_eq!(told("ping.luau:3: nil"), "nil");
        assert_eq!(told("IMessages/Send: 0x12"), "IMessages/Send: 0x12");
    }

    #[test]
    fn a_deep_traceback_is_short() {
        let frames = |lines: &mut dyn Iterator<Item = u32>| -> String {
            let frames: String = lines
                .map(|line| format!("\n\tping.luau:{line}: in ?"))
                .collect();
            runtime(&format!("deep\nstack traceback:{frames}")).to_string()
        };
        assert_eq!(
            frames(&mut [7, 7, 7, 8].into_iter()),
            "ping.luau:7: deep\n  at ping.luau:7 (3 times)\n  at ping.luau:8"
        );
        let text = frames(&mut (10..40));
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), MOST_FRAMES + 1);
        assert_eq!(
            lines[13..16],
            ["  at ping.luau:23", "  … 10 more", "  at ping.luau:34"]
        );
        assert_eq!(lines[20], "  at ping.luau:39");
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
