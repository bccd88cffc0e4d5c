//! Log lines for whoever shows them elsewhere than on stderr: the playground's inspector.
//!
//! A layer beside the one that writes to stderr, with a filter of its own: what scripts say from `info`
//! upward, what the host itself says, and reloads (targets of their own), whatever `--log` leaves out. Nobody has to send anything twice:
//! an error of a script or a reload that is logged is shown. Lines go into a broadcast of [`BACKLOG`];
//! a reader that is slower is told how many it missed. Without a reader a line costs one atomic load.

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Lines that wait for a slow reader.
const BACKLOG: usize = 1_024;

/// One log line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// The bot's name, from a field or the enclosing span.
    pub bot: Option<String>,
    /// The script's name, from a field.
    pub script: Option<String>,
    /// The message and the other fields as ` name=value`.
    pub text: String,
}

fn lines() -> &'static broadcast::Sender<Arc<Line>> {
    static LINES: OnceLock<broadcast::Sender<Arc<Line>>> = OnceLock::new();
    LINES.get_or_init(|| broadcast::Sender::new(BACKLOG))
}

/// The lines of this process from now on.
pub fn tap() -> broadcast::Receiver<Arc<Line>> {
    lines().subscribe()
}

/// The layer that fills the tap.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let filter = Targets::new()
        .with_target("argon_host", Level::INFO)
        .with_target("reload", Level::INFO)
        .with_target("script", Level::INFO);
    Tap.with_filter(filter)
}

struct Tap;

/// The `bot` field of a span.
struct BotOfSpan(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tap {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(bot), Some(span)) = (fields.bot, context.span(id)) {
            span.extensions_mut().insert(BotOfSpan(bot));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let lines = lines();
        if lines.receiver_count() == 0 {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let of_span = || {
            let mut spans = context.event_scope(event)?;
            spans.find_map(|span| {
                let extensions = span.extensions();
                let bot = extensions.get::<BotOfSpan>()?;
                Some(bot.0.clone())
            })
        };
        let line = Line {
            level: *event.metadata().level(),
            bot: fields.bot.or_else(of_span),
            script: fields.script,
            text: fields.message + &fields.rest,
        };
        // Fails only when the last reader has just gone.
        let _ = lines.send(Arc::new(line));
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    bot: Option<String>,
    script: Option<String>,
    rest: String,
}

impl Fields {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.message = value.to_string(),
            "bot" => self.bot = Some(value.to_string()),
            "script" => self.script = Some(value.to_string()),
            name => {
                // Writing to a `String` cannot fail.
                let _ = write!(self.rest, " {name}={value}");
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_of_scripts_and_of_the_host_are_tapped_with_the_bot_of_their_span() {
        let mut tapped = tap();
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!(target: "argon_host::app", "bot", bot = "demo");
            let _inside = span.enter();
            tracing::error!(target: "script", script = "dice", event = "messageCreate", "dice.luau:3: no");
            tracing::debug!(target: "script", script = "dice", "not worth a line");
            tracing::warn!(target: "hyper", "somebody else's");
            tracing::info!(target: "argon_host::app", bot = %"other", "live");
        });
        let first = tapped.try_recv().expect("a line");
        let expected = Line {
            level: Level::ERROR,
            bot: Some("demo".to_owned()),
            script: Some("dice".to_owned()),
            text: "dice.luau:3: no event=messageCreate".to_owned(),
        };
        assert_eq!(*first, expected);
        let second = tapped.try_recv().expect("a line");
        assert_eq!(
            (second.bot.as_deref(), &*second.text),
            (Some("other"), "live")
        );
        assert!(tapped.try_recv().is_err());
    }
}
