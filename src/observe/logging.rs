//! Logs on stderr: short lines for people, or JSON for machines.
//!
//! A line for people reads `12:30:01.250 WARN demo/dice: text key=value`: the bot comes from the
//! enclosing span or a `bot` field, the script from a `script` field; the source module is left out,
//! because it means nothing to the reader.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use super::tap;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Installs the process's log output. `filter` (from `--log`) wins over `RUST_LOG`; without either,
/// the host's own messages from `info` upward and everybody's warnings are shown.
///
/// # Errors
/// The filter's syntax is wrong; the text says where.
pub fn init(filter: Option<&str>, format: LogFormat) -> Result<(), String> {
    let from_env = std::env::var("RUST_LOG").ok().filter(|s| !s.is_empty());
    let directives = filter.map(str::to_owned).or(from_env);
    let directives = directives
        .as_deref()
        .unwrap_or("warn,argon_host=info,reload=info,replay=info,script=info");
    let filter = EnvFilter::builder()
        .parse(directives)
        .map_err(|error| format!("log filter {directives:?}: {error}"))?;
    // It writes requests as they are sent, the token of a voice connection in them.
    let handshake = "tungstenite::handshake::client=warn".parse();
    let handshake = handshake.map_err(|error| format!("{error}"))?;
    let filter = filter.add_directive(handshake);

    let output = tracing_subscriber::fmt::layer()
        // It would be printed on stderr, where nobody reads any more: a panic for every line.
        .log_internal_errors(false)
        // Also for the fields of spans, in which the bot's name is looked up.
        .with_ansi(false)
        .with_writer(io::stderr);
    let output: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Human => Box::new(output.event_format(HumanLines {
            colour: io::stderr().is_terminal(),
        })),
        LogFormat::Json => Box::new(output.json().flatten_event(true)),
    };
    tracing_subscriber::registry()
        .with(output.with_filter(filter))
        .with(tap::layer())
        .init();
    Ok(())
}

/// The formatter of lines for people.
struct HumanLines {
    colour: bool,
}

impl<S, N> FormatEvent<S, N> for HumanLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        if line.bot.is_none() {
            line.bot = bot_of_span(context);
        }

        let time = Timestamp::now().to_zoned_datetime(TimeZone::system());
        let time = time.strftime("%H:%M:%S%.3f").to_string();
        let (level, colour) = match *event.metadata().level() {
            Level::ERROR => ("ERROR", "\x1b[31m"),
            Level::WARN => ("WARN ", "\x1b[33m"),
            Level::INFO => ("INFO ", "\x1b[32m"),
            Level::DEBUG => ("DEBUG", "\x1b[34m"),
            Level::TRACE => ("TRACE", "\x1b[35m"),
        };
        if self.colour {
            write!(out, "\x1b[2m{time}\x1b[0m {colour}{level}\x1b[0m ")?;
        } else {
            write!(out, "{time} {level} ")?;
        }
        match (&line.bot, &line.script) {
            (Some(bot), Some(script)) => write!(out, "{bot}/{script}: ")?,
            (Some(name), None) | (None, Some(name)) => write!(out, "{name}: ")?,
            (None, None) => {}
        }
        // Fields belong to the first line; the source line and the traceback follow.
        let (first, rest) = line
            .message
            .split_at(line.message.find('\n').unwrap_or(line.message.len()));
        writeln!(
            out,
            "{}{}{}",
            Printable(first),
            Printable(&line.fields),
            Printable(rest)
        )
    }
}

/// A text without what a terminal would obey: people's words come into the log, through scripts and
/// through answers of the platform. Lines and tabs stay.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(|c: char| c.is_control()) {
            match part.char_indices().next_back() {
                Some((at, control)) if control.is_control() && !matches!(control, '\n' | '\t') => {
                    write!(f, "{}{}", &part[..at], control.escape_default())?;
                }
                _ => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// The `bot` field of the innermost span that has one.
fn bot_of_span<S, N>(context: &FmtContext<'_, S, N>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let fields_of = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
        let extensions = span.extensions();
        let fields = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>()?;
        fields.split_once("bot=").map(|(_, rest)| {
            rest.split(' ')
                .next()
                .unwrap_or(rest)
                .trim_matches('"')
                .to_owned()
        })
    };
    context.event_scope()?.find_map(fields_of)
}

/// The parts of one line.
#[derive(Default)]
struct Line {
    message: String,
    bot: Option<String>,
    script: Option<String>,
    fields: String,
}

impl Line {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.message = value.to_string(),
            "bot" => self.bot = Some(value.to_string()),
            "script" => self.script = Some(value.to_string()),
            // What the `log` bridge adds about the source, and what an error's message begins with.
            name if name.starts_with("log.") => {}
            "place" => {}
            name => {
                // Writing to a `String` cannot fail.
                let _ = write!(self.fields, " {name}={value}");
            }
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" | "bot" | "script" => self.put(field, format_args!("{value}")),
            _ if value.contains(' ') || value.is_empty() => {
                self.put(field, format_args!("{value:?}"))
            }
            _ => self.put(field, format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_made_to_obey_a_logged_text() {
        let shown = Printable("red \x1b[31m\r\u{9b}2J\tnext\nline ä").to_string();
        assert_eq!(shown, "red \\u{1b}[31m\\r\\u{9b}2J\tnext\nline ä");
    }
}
