//! One request and its answer over HTTP; no retries here.

use std::collections::HashSet;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;

use super::limiter::{Turn, TurnEnd};
use super::retry::Attempt;
use super::traffic::{Outcome, Traffic};
use super::{Call, Error};
use crate::config::{Secret, is_loopback};
use crate::contract::{Method, Route};

/// Time to establish a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a whole request, from its start to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections are closed by us before a server or proxy does it at the moment of a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// More is not believed: one wrong header must not close an interface for good.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// An answer larger than this is not read to its end; the platform's largest, the members of a large
/// space, stay well below.
const LARGEST_ANSWER: usize = 32 << 20;

/// The HTTP side of a client.
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    token: Secret,
    /// Interfaces whose deprecation was logged.
    deprecated: Mutex<HashSet<&'static str>>,
}

impl Http {
    /// # Errors
    /// `invalid_settings` for an address or a token that cannot be used.
    pub fn new(base: &str, token: Secret) -> Result<Self, Error> {
        let base = base.trim_end_matches('/');
        // The address is not repeated in the errors: it may carry a password.
        let url = Url::parse(base).map_err(|error| {
            Error::settings(format!("the server's address is not a URL: {error}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Error::settings(
                "the server's address must begin with http:// or https:// and name a host",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::settings(
                "the server's address must end before any ? or #",
            ));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bot {}", token.expose()))
            .map_err(|_| {
                Error::settings(
                    "the token contains characters that cannot be sent; is it complete and on one line?",
                )
            })?;
        // The HTTP stack prints a placeholder for it, and does not put it into HPACK tables.
        authorization.set_sensitive(true);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("argon-host/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirected POST would become a GET, and the token would follow it elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&url) {
            // A proxy of the environment cannot reach this machine's own addresses.
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| Error::settings(chain(&error.without_url())))?;
        Ok(Self {
            client,
            base: base.to_owned(),
            token,
            deprecated: Mutex::default(),
        })
    }

    /// Sends one request, and tells the limiter and the counters how it ended.
    pub async fn exchange(&self, call: &Call, mut turn: Turn, traffic: &Traffic) -> Attempt {
        let route = call.route();
        let request = match self.request(call) {
            Ok(request) => request,
            Err(error) => {
                turn.end(TurnEnd::Unsent);
                return Attempt::Unsent(error);
            }
        };
        let began = Instant::now();
        turn.sending();
        let answer = self.client.execute(request).await;
        let at = Instant::now();
        let milliseconds = at.duration_since(began).as_secs_f64() * 1000.0;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.without_url();
                let label = route.label();
                tracing::debug!(
                    route = label,
                    ms = milliseconds,
                    error = chain(&error),
                    "no answer"
                );
                let took = at.duration_since(began);
                if error.is_connect() || error.is_builder() {
                    traffic.over(route, Outcome::Unsent, took);
                    turn.end(TurnEnd::Unsent);
                    return Attempt::Unsent(Error::local(
                        route,
                        "unreachable",
                        format!("the server cannot be reached: {}", chain(&error)),
                    ));
                }
                traffic.over(route, Outcome::Lost, took);
                turn.end(TurnEnd::Lost);
                return Attempt::Lost(lost(route, &error));
            }
        };
        let status = answer.status();
        tracing::debug!(
            route = route.label(),
            status = status.as_u16(),
            ms = milliseconds,
            "answer"
        );
        self.warn_if_deprecated(route, answer.headers());
        let retry_after = retry_after(answer.headers());
        let body = read(answer).await;
        let outcome = match &body {
            Err(Broken::Off(_)) => Outcome::Lost,
            Ok(_) | Err(Broken::TooLarge) => Outcome::Answered(status.as_u16()),
        };
        traffic.over(route, outcome, began.elapsed());
        if status == StatusCode::TOO_MANY_REQUESTS {
            turn.end(TurnEnd::Refused(retry_after.unwrap_or_default()));
        } else {
            turn.end(TurnEnd::Answered(at));
        }
        self.judge(route, status, retry_after, body)
    }

    fn request(&self, call: &Call) -> Result<reqwest::Request, Error> {
        let route = call.route();
        let url = format!("{}{}", self.base, call.target());
        let request = match route.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
            Method::Patch => self.client.patch(url),
            Method::Delete => self.client.delete(url),
        };
        let request = match call.body() {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_owned()),
            // Some servers answer 411 to a POST without a length.
            None if route.method == Method::Post => request.header(CONTENT_LENGTH, 0),
            None => request,
        };
        request
            .build()
            .map_err(|error| Error::local(route, "unreachable", chain(&error.without_url())))
    }

    fn judge(
        &self,
        route: &'static Route,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: Result<Bytes, Broken>,
    ) -> Attempt {
        if status.is_success() {
            return match body {
                Ok(body) => Attempt::Success(body),
                Err(Broken::TooLarge) => Attempt::Failed(
                    Error {
                        status: status.as_u16(),
                        ..Error::local(
                            route,
                            "response_too_large",
                            format!(
                                "the call succeeded, but its answer is larger than {} MiB",
                                LARGEST_ANSWER >> 20
                            ),
                        )
                    },
                    None,
                ),
                Err(Broken::Off(error)) => Attempt::Lost(lost(route, &error)),
            };
        }
        // The status alone says enough if the rest is missing.
        let body = body.unwrap_or_default();
        let mut error = Error::answer(route, status.as_u16(), &body);
        error.message = error.message.map(|text| self.without_token(text));
        error.code = self.without_token(error.code);
        error.retry_after = retry_after.map(|pause| pause.as_secs_f64());
        if status == StatusCode::TOO_MANY_REQUESTS {
            Attempt::Refused(error)
        } else {
            Attempt::Failed(error, retry_after)
        }
    }

    /// A server that quotes the token must not get it into a log or a script.
    fn without_token(&self, text: String) -> String {
        let token = self.token.expose();
        if !token.is_empty() && text.contains(token) {
            text.replace(token, "[redacted]")
        } else {
            text
        }
    }

    /// Logs the end of an interface's version, once for each.
    fn warn_if_deprecated(&self, route: &Route, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let deprecation = text("deprecation").filter(|value| !value.eq_ignore_ascii_case("false"));
        let sunset = text("sunset");
        if deprecation.is_none() && sunset.is_none() {
            return;
        }
        let first = self
            .deprecated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(route.interface.name);
        if first {
            tracing::warn!(
                interface = route.interface.name,
                version = route.interface.version,
                sunset = sunset.unwrap_or("not announced"),
                "the platform has deprecated this version of the interface; \
                 update argon-host before its sunset"
            );
        }
    }
}

/// Why an answer's body is missing.
enum Broken {
    TooLarge,
    Off(reqwest::Error),
}

async fn read(mut answer: Response) -> Result<Bytes, Broken> {
    let mut body = BytesMut::new();
    loop {
        match answer.chunk().await {
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST_ANSWER => {
                return Err(Broken::TooLarge);
            }
            // Most answers are one chunk: no copy then would need a special case, and they are small.
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err(Broken::Off(error.without_url())),
        }
    }
}

fn lost(route: &Route, error: &reqwest::Error) -> Error {
    let cause = if error.is_timeout() {
        format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())
    } else {
        chain(error)
    };
    Error::local(
        route,
        "lost_response",
        format!(
            "the request was sent, but its answer was lost ({cause}); it may have taken effect"
        ),
    )
}

/// An error with its causes; reqwest's own text names only the stage.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `Retry-After` in seconds, the only form that the platform knows, and at most
/// [`LONGEST_RETRY_AFTER`].
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u32 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(u64::from(seconds)).min(LONGEST_RETRY_AFTER))
}
