//! The client: a call's way through limiter, exchange and retries.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::exchange::Http;
use super::limiter::{Limiter, Reason, Refusal, Timing};
use super::retry::{Course, Next};
use super::traffic::{RouteTraffic, Traffic};
use super::{Call, Caller, Error, Stats};
use crate::config::Secret;
use crate::contract::limits::CONCURRENT_REQUESTS;
use crate::contract::{INTERFACES, Route};

/// Deadlines are cut to this, a year, so that adding one to a clock cannot overflow.
const LONGEST_PATIENCE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How a client is set up.
pub struct Settings {
    /// Base address; `{base}/{Interface}/v{N}/{Method}`. A trailing slash does no harm.
    pub base_url: String,
    /// The bot's token.
    pub token: Secret,
    /// Length of a rate limit segment: the contract's 10 s ([`Timing::SEGMENT`]); tests shorten platform
    /// and client alike. Back-offs and retry pauses scale with it, network timeouts do not.
    pub segment: Duration,
    /// Told what succeeded.
    pub observer: Arc<dyn Observer>,
}

/// Hears of what the client did, for those who must know (the stream's deafness check). Called on the
/// client's runtime: it must not block.
pub trait Observer: Send + Sync {
    /// A call succeeded with this JSON answer (empty for an empty body).
    fn succeeded(&self, route: &'static Route, response: &Bytes);
    /// The server refused the token: the bot must stop.
    fn unauthorized(&self);
}

/// The REST client of one bot. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    limiter: Limiter,
    traffic: Traffic,
    segment: Duration,
    observer: Arc<dyn Observer>,
    /// Where requests run: the runtime of [`Client::new`], or of the first call.
    runtime: OnceLock<Handle>,
    next_caller: AtomicU32,
    /// The server answered 401: nothing is sent any more.
    token_refused: AtomicBool,
}

impl Client {
    /// Builds the client. Requests run on the tokio runtime that this is called in, or, outside of one,
    /// on that of the first call.
    ///
    /// # Errors
    /// `invalid_settings` for an address or a token that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        if settings.segment.is_zero() {
            return Err(Error::settings("a rate limit segment cannot be empty"));
        }
        let runtime = OnceLock::new();
        if let Ok(handle) = Handle::try_current() {
            let _ = runtime.set(handle);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                http: Http::new(&settings.base_url, settings.token)?,
                limiter: Limiter::new(Timing::new(settings.segment)),
                traffic: Traffic::default(),
                segment: settings.segment,
                observer: settings.observer,
                runtime,
                next_caller: AtomicU32::new(Caller::HOST.0 + 1),
                token_refused: AtomicBool::new(false),
            }),
        })
    }

    /// A new caller whose use of each limit is at most `share` of it (0–1].
    pub fn caller(&self, share: f64) -> Caller {
        let caller = Caller(self.inner.next_caller.fetch_add(1, Ordering::Relaxed));
        self.set_share(caller, share);
        caller
    }

    /// Changes a caller's share; what it already uses stays.
    pub fn set_share(&self, caller: Caller, share: f64) {
        self.inner
            .limiter
            .change(|schedule| schedule.set_share(caller, share));
    }

    /// Makes the call: waits for its turn, sends, retries where that is safe. The answer is JSON text,
    /// empty when the platform answers without a body. May be awaited on any executor; dropping the
    /// future gives the call up, which may then have taken effect or not.
    ///
    /// # Errors
    /// See [`Error::code`]. `rate_limited` after the deadline, with `retry_after`.
    pub async fn call(&self, call: Call) -> Result<Bytes, Error> {
        let route = call.route();
        let runtime = match self.inner.runtime.get() {
            Some(runtime) => runtime,
            None => {
                let handle = Handle::try_current()
                    .map_err(|_| Error::local(route, "stopped", "there is no tokio runtime"))?;
                self.inner.runtime.get_or_init(|| handle)
            }
        };
        let inner = Arc::clone(&self.inner);
        let mut task = AbortOnDrop(runtime.spawn(async move { inner.run(call).await }));
        (&mut task.0).await.unwrap_or_else(|stopped| {
            Err(Error::local(
                route,
                "stopped",
                if stopped.is_panic() {
                    "the call failed inside the host; this is a bug"
                } else {
                    "the host is shutting down"
                },
            ))
        })
    }

    /// Whether the event stream is open: it takes one of the ten concurrent requests. To be set before
    /// the stream is asked for; see [`Client::make_room_for_stream`].
    pub fn set_stream_open(&self, open: bool) {
        self.inner.limiter.set_stream_open(open);
    }

    /// Sets the stream open and waits until at most nine requests are on their way, so that the stream
    /// itself is not refused.
    pub async fn make_room_for_stream(&self) {
        self.set_stream_open(true);
        self.inner.limiter.at_most(CONCURRENT_REQUESTS - 1).await;
    }

    /// Whether the platform is known to count the bot as verified, for instance because a privileged
    /// route or intent was granted: then higher limits are looked for, carefully.
    pub fn set_verified(&self, verified: bool) {
        self.inner
            .limiter
            .change(|schedule| schedule.set_verified(verified));
    }

    /// How the limits and requests stand, for metrics.
    pub fn stats(&self) -> Stats {
        self.inner.limiter.stats()
    }

    /// What was asked so far, by route; routes that were not called are left out.
    pub fn traffic(&self) -> Vec<RouteTraffic> {
        self.inner.traffic.read()
    }
}

impl Inner {
    async fn run(&self, call: Call) -> Result<Bytes, Error> {
        let route = call.route();
        if route.interface.name == "IEvents" {
            return Err(Error::local(
                route,
                "not_callable",
                "the host keeps the bot's one event stream; use argon.on",
            ));
        }
        let result = self.attempts(&call).await;
        match &result {
            Ok(body) => self.observer.succeeded(route, body),
            Err(error) if error.status == 401 => {
                if !self.token_refused.swap(true, Ordering::Relaxed) {
                    tracing::error!("the platform refused the bot's token");
                }
                self.observer.unauthorized();
            }
            Err(_) => {}
        }
        result
    }

    async fn attempts(&self, call: &Call) -> Result<Bytes, Error> {
        let route = call.route();
        let interface = INTERFACES
            .iter()
            .position(|known| known.name == route.interface.name)
            .unwrap_or_default();
        let start = Instant::now();
        let deadline = start + call.patience().min(LONGEST_PATIENCE);
        let runtime = Handle::current();
        let repeated = call.repeated_after();
        let mut course = Course::new(route, self.segment, repeated.is_some());
        if call.is_retried() {
            course = course.whatever_it_does();
        }
        // Sooner when, or once, a repetition is only safe for a while.
        let mut until = deadline;
        let safe = course.repeat_within().zip(repeated);
        if let Some((within, ago)) = safe.filter(|_| !call.is_retried()) {
            until = until.min(start + within.saturating_sub(ago));
        }
        let ends_early = until < deadline;
        let mut last: Option<Error> = None;
        loop {
            if self.token_refused.load(Ordering::Relaxed) {
                return Err(Error::local(
                    route,
                    "unauthorized",
                    "the platform refused the bot's token before; nothing is sent any more",
                ));
            }
            let asked = Instant::now();
            let turn = self
                .limiter
                .turn(&runtime, interface, call.asked_by(), until, last.is_some())
                .await;
            let turn = match turn {
                Ok(turn) => turn,
                Err(refusal) => {
                    self.traffic.no_turn(route, refusal.reason);
                    if ends_early && refusal.reason == Reason::TooLate {
                        return Err(Error::local(
                            route,
                            "uncertain",
                            "it was sent before the bot was restarted, and the limit leaves no room to \
                             repeat it while the platform would recognise it: nobody knows whether it \
                             took effect",
                        ));
                    }
                    let error = no_turn(call, refusal, last);
                    return Err(match error.is_rate_limited() {
                        true => course.last_word(error),
                        false => error,
                    });
                }
            };
            let sent = Instant::now();
            self.traffic.turn(route, sent - asked, last.is_some());
            let attempt = self.http.exchange(call, turn, &self.traffic).await;
            let next = course.next(attempt);
            if let Some(within) = course.repeat_within() {
                until = until.min(sent + within);
            }
            match next {
                Next::Done(result) => return result,
                Next::Queue(error) => last = Some(error),
                Next::Again {
                    below,
                    least,
                    otherwise,
                } => {
                    let pause = least + below.mul_f64(rand::random::<f64>());
                    if Instant::now() + pause >= until {
                        return Err(otherwise);
                    }
                    tokio::time::sleep(pause).await;
                    last = Some(otherwise);
                }
            }
        }
    }
}

/// The error of a call that got no turn: what its last attempt failed with, or the limit itself.
fn no_turn(call: &Call, refusal: Refusal, last: Option<Error>) -> Error {
    let route = call.route();
    let status = match last {
        Some(error) if error.is_rate_limited() => error.status,
        Some(error) => return error,
        None => 0,
    };
    let message = match refusal.reason {
        Reason::QueueFull => format!(
            "{} calls of this script wait already; wait for some of them before making more",
            super::limiter::schedule::QUEUE
        ),
        Reason::TooLate => format!(
            "the limit of {} calls in 60 s, or this script's share of it, is used up, and the call could \
             not start within {} s",
            route.interface.per_minute,
            call.patience().as_secs_f64()
        ),
    };
    Error::rate_limited(route, status, message, refusal.retry_after)
}

/// A dropped call takes its request with it.
struct AbortOnDrop(JoinHandle<Result<Bytes, Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
