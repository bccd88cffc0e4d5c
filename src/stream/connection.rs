//! One connection to the event stream: `reqwest-eventsource` with its sharp edges covered. The only
//! file that knows the crate.
//!
//! The crate parses; retry, resume and budget are not its business here (its own retry would take
//! `ready` for the last event id). What else it does, and what is done about it:
//! - It collects one event without a bound: [`allocator`] notices and the connection is closed. An
//!   event that completes below the guard's mark and above [`allocator::EVENT_BYTES`] is the
//!   runner's to skip.
//! - After bytes that are not UTF-8 it never completes an event again, and says nothing: the state
//!   machine's limit on the time without an event ends that connection.
//! - It panics on a byte order mark: the panic is caught. The piece of text that the mark began is
//!   lost, `ready` perhaps, and the rest is read on.
//! - Comments are not shown, so that the watchdog on bytes is the HTTP client's read timeout.
//! - An event without an id is given the one before it: the runner tells them apart.
//! - With carriage returns alone as line ends, an event is complete when the next byte comes, because
//!   a line feed could follow. The platform sends line feeds.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use reqwest_eventsource::retry::Never;
use reqwest_eventsource::{Error, Event, EventSource};
use serde::Deserialize;

use super::ending::Ending;
use super::settings::{Settings, Timings};
use crate::allocator;
use crate::config::is_loopback;
use crate::contract;

/// The most of a refusal's body that is read.
const REFUSAL_BYTES: usize = 16 << 10;
/// The most that reading a refusal's body may take.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// The longest text that is taken for an error code: the platform's are shorter, either half of a token is
/// longer.
const CODE_BYTES: usize = 31;

/// Where the stream is, and how to ask for it.
#[derive(Debug, Clone)]
pub struct Target {
    url: Url,
    authorization: HeaderValue,
}

impl Target {
    /// Checks the address and the token. The error says which of them cannot be used, and why.
    pub fn new(settings: &Settings) -> Result<Self, super::Error> {
        let path = contract::route("IEvents", "Stream").map_or_else(String::new, |r| r.path());
        let base = settings.base_url.trim_end_matches('/');
        let url = Url::parse(&format!("{base}{path}"))
            .map_err(|error| super::Error::Address(error.to_string()))?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bot {}", settings.token.expose().trim()))
                .map_err(|_| super::Error::Token)?;
        authorization.set_sensitive(true);
        Ok(Self { url, authorization })
    }
}

/// What a connection reports.
pub enum Signal {
    /// The server accepted the stream.
    Opened,
    /// A complete event.
    Event(Message),
    /// Something was lost on the way that does not end the connection.
    Damaged(&'static str),
    /// It is over.
    Ended(Ending),
    /// It is over, by an error that [`Connection::ending`] explains. Boxed because it is large and rare.
    Failed(Box<Error>),
}

/// A complete event. The texts are the parser's own.
pub struct Message {
    /// The SSE id; the one before it when the server sent none.
    pub id: String,
    /// The event type.
    pub kind: String,
    /// The payload.
    pub payload: String,
}

/// The most events that are parsed ahead of the one being dealt with.
const AHEAD: usize = 64;

/// One connection, or the attempt to make it. Lives on a single-threaded runtime of its own, which is
/// dropped with it: that closes the socket.
pub struct Connection {
    source: Pin<Box<EventSource>>,
    timings: Timings,
    opened: bool,
    /// A byte order mark was met: it can only be at the beginning, so once.
    marked: bool,
    any_event: bool,
    /// What the parser had ready beyond what was asked for; at most [`AHEAD`].
    ahead: VecDeque<Signal>,
}

impl Connection {
    /// Prepares the request; it is sent when the connection is first polled.
    pub fn new(
        target: &Target,
        timings: &Timings,
        intents: u64,
        after: Option<&str>,
    ) -> Result<Self, Ending> {
        let lost = |what: String| Ending::Lost(format!("the connection cannot be made: {what}"));
        // HTTP/1: one connection, one stream; nothing else is kept open by it.
        let mut builder = Client::builder()
            .http1_only()
            // The Bot API never redirects; the token must not follow where something else points.
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .connect_timeout(timings.connect)
            .read_timeout(timings.silence)
            .tcp_nodelay(true)
            .user_agent(concat!("argon-host/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&target.url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| lost(describe(error)))?;
        let mut url = target.url.clone();
        url.query_pairs_mut()
            .append_pair("intents", &intents.to_string());
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("lastEventId", after);
        }
        let request = client
            .get(url)
            .header(AUTHORIZATION, target.authorization.clone());
        let mut source = EventSource::new(request).map_err(|error| lost(error.to_string()))?;
        source.set_retry_policy(Box::new(Never));
        Ok(Self {
            source: Box::pin(source),
            timings: *timings,
            opened: false,
            marked: false,
            any_event: false,
            ahead: VecDeque::new(),
        })
    }

    /// What happens next. Cancelling the future loses nothing.
    ///
    /// Events that came in one piece are parsed in one go: so it is known whether another one is right
    /// behind ([`Connection::more_at_hand`]).
    pub async fn next(&mut self) -> Signal {
        if let Some(signal) = self.ahead.pop_front() {
            return signal;
        }
        let first = poll_fn(|cx| self.poll(cx)).await;
        if matches!(first, Signal::Event(_)) {
            poll_fn(|cx| {
                while self.ahead.len() < AHEAD
                    && let Poll::Ready(signal) = self.poll(cx)
                {
                    let last = !matches!(signal, Signal::Event(_));
                    self.ahead.push_back(signal);
                    if last {
                        break;
                    }
                }
                Poll::Ready(())
            })
            .await;
        }
        first
    }

    /// Whether [`Connection::next`] will answer without waiting.
    pub fn more_at_hand(&self) -> bool {
        !self.ahead.is_empty()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        // Unwind safe: after a panic the source is polled again only when nothing of it is half done
        // (see `panicked`), else it is dropped.
        let source = self.source.as_mut();
        let (polled, large) =
            allocator::watch(|| catch_unwind(AssertUnwindSafe(|| source.poll_next(cx))));
        let Ok(polled) = polled else {
            return Poll::Ready(self.panicked());
        };
        if polled.is_pending() && large {
            return Poll::Ready(Signal::Ended(Ending::Oversized));
        }
        Poll::Ready(match ready!(polled) {
            Some(Ok(Event::Open)) => {
                self.opened = true;
                Signal::Opened
            }
            Some(Ok(Event::Message(message))) => {
                self.any_event = true;
                Signal::Event(Message {
                    id: message.id,
                    kind: message.event,
                    payload: message.data,
                })
            }
            Some(Err(error)) => Signal::Failed(Box::new(error)),
            None => Signal::Ended(Ending::Closed),
        })
    }

    /// The crate cuts a byte order mark (three bytes in UTF-8) off after its first byte. It has by then
    /// noted that the text has begun and let go of the piece, so that it can be polled again.
    fn panicked(&mut self) -> Signal {
        if self.opened && !self.any_event && !self.marked {
            self.marked = true;
            return Signal::Damaged(
                "the stream begins with a byte order mark; its first part is lost",
            );
        }
        Signal::Ended(Ending::Broken("the parser gave up".into()))
    }

    /// Why it ended. Reads a refusal's body, within bounds of size and time.
    pub async fn ending(&self, error: Error) -> Ending {
        match error {
            Error::StreamEnded => Ending::Closed,
            Error::Transport(error) if error.is_timeout() && !error.is_connect() => {
                Ending::Silent(self.timings.silence)
            }
            Error::Transport(error) if self.opened => {
                Ending::Lost(format!("the connection broke: {}", describe(error)))
            }
            Error::Transport(error) => Ending::Lost(format!("no connection: {}", describe(error))),
            Error::Utf8(_) => Ending::Broken("invalid UTF-8".into()),
            Error::InvalidStatusCode(_, response) => refused(response).await,
            Error::InvalidContentType(kind, _) => {
                Ending::Broken(format!("the content type is {kind:?}"))
            }
            other @ (Error::Parser(_) | Error::InvalidLastEventId(_)) => {
                Ending::Broken(other.to_string().chars().take(200).collect())
            }
        }
    }
}

/// An HTTP error with its causes, without the address.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether it can be one of the platform's error codes. Anything else is kept out of the log: a server may
/// quote the token in it.
fn is_code(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=CODE_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

async fn refused(mut response: Response) -> Ending {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }

    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = REFUSAL_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == REFUSAL_BYTES {
                break;
            }
        }
    };
    // A body that does not come tells nothing; the status does.
    let _ = tokio::time::timeout(REFUSAL_TIME, reading).await;
    let code = serde_json::from_slice(&body)
        .ok()
        .map(|Body { error }| error)
        .filter(|error| is_code(error));
    Ending::Refused {
        status,
        code,
        retry_after,
    }
}
