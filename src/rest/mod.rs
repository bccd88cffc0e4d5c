//! seam (to be replaced by the rest room)
use crate::config::Secret;
use crate::contract::Route;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// How a client is set up.
pub struct Settings {
    /// Base address without a trailing slash; `{base}/{Interface}/v{N}/{Method}`.
    pub base_url: String,
    /// The bot's token.
    pub token: Secret,
    /// Length of a rate limit segment: the contract's 10 s; tests shorten platform and client alike.
    pub segment: Duration,
    /// Told what succeeded.
    pub observer: Arc<dyn Observer>,
}

/// Hears of what the client did, for those who must know (the stream's deafness check).
pub trait Observer: Send + Sync {
    /// A call succeeded with this JSON answer (empty for an empty body).
    fn succeeded(&self, route: &'static Route, response: &Bytes);
    /// The server refused the token: the bot must stop.
    fn unauthorized(&self);
}

/// The REST client of one bot. Cheap to clone.
#[derive(Clone)]
pub struct Client;

/// A script as the limiter sees it, for fair shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(pub u32);

/// One validated request.
pub struct Call;

impl Call {
    /// Validates the parameters against the contract and places them (query, body).
    pub fn new(route: &'static Route, params: Map<String, Value>) -> Result<Self, Error> {
        let _ = (route, params);
        unimplemented!()
    }
    /// Says which script asks.
    pub fn caller(self, caller: Caller) -> Self {
        let _ = caller;
        self
    }
    /// How long it may wait for its turn; the default is 60 s.
    pub fn deadline(self, deadline: Duration) -> Self {
        let _ = deadline;
        self
    }
}

impl Client {
    /// Builds the client.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let _ = settings;
        unimplemented!()
    }
    /// A new caller whose use of each limit is at most `share` of it (0–1].
    pub fn caller(&self, share: f64) -> Caller {
        let _ = share;
        unimplemented!()
    }
    /// Makes the call: waits for its turn, sends, retries where that is safe. The answer is JSON text,
    /// empty when the platform answers without a body.
    pub async fn call(&self, call: Call) -> Result<Bytes, Error> {
        let _ = call;
        unimplemented!()
    }
    /// Whether the event stream is open: it takes one of the ten concurrent requests.
    pub fn set_stream_open(&self, open: bool) {
        let _ = open;
    }
}

/// Why a call failed; what a script sees as `status`, `code`, `message`, `route`, `retryAfter`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{route}: {status} {code}: {message:?}")]
pub struct Error {
    /// HTTP status; 0 when there was no answer or the call was not sent.
    pub status: u16,
    /// The platform's `error`, or one of ours: `invalid_params`, `rate_limited`, `unreachable`, …
    pub code: String,
    /// A sentence for people.
    pub message: Option<String>,
    /// `IMessages/Send`.
    pub route: String,
    /// Seconds after which it may work.
    pub retry_after: Option<f64>,
}
