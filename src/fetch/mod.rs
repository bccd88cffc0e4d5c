//! HTTP requests of scripts to the hosts that their config names.
//!
//! # What the room guarantees
//!
//! * **Nothing but what the list allows is connected to.** The host of the URL is asked of
//!   [`Hosts`] before anything is sent, and again for each redirect. The name is resolved here, and of
//!   its addresses only those remain that are of the public internet or listed themselves: a name that
//!   leads to the own network, also one that changes its mind between two look-ups, opens nothing. A
//!   redirect from https to http is not followed. Proxies of the environment are left alone, because what
//!   they connect to cannot be checked.
//! * **Everything is bounded**: [`MOST_REQUESTS`] at once (what is more waits, within its own time),
//!   [`LONGEST_TIMEOUT`], [`MOST_BODY`], [`MOST_ANSWER`], [`MOST_REDIRECTS`].
//! * Nothing is retried: whether a request may be repeated is the script's to know.

mod address;
mod guard;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::Semaphore;

use crate::config::Hosts;
use guard::{Guard, Refused};

/// Requests of one script at the same time; a further one waits for its turn.
pub const MOST_REQUESTS: usize = 16;
/// How long a request may take if nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that a script can ask for.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's body.
pub const MOST_BODY: usize = 4 << 20;
/// Bytes of an answer's body.
pub const MOST_ANSWER: usize = 4 << 20;
/// Characters of a URL.
pub const LONGEST_URL: usize = 8 << 10;
/// Bytes of a request's headers, names and values.
pub const MOST_HEADERS: usize = 16 << 10;
/// Redirects that are followed.
pub const MOST_REDIRECTS: usize = 5;

/// The methods that a script can use.
pub const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that belong to the connection, which is the host's.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// `invalid_request`, `permission_denied`, `unreachable` (never sent), `timeout`, `lost_response`
    /// (sent, no whole answer), `response_too_large`, `too_many_redirects`.
    pub code: &'static str,
    /// A sentence for people; it never has the URL's query, which may be secret.
    pub message: String,
}

impl Error {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// A request, as a script wrote it.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// One of [`METHODS`], in any case.
    pub method: String,
    /// An http or https URL.
    pub url: String,
    /// Parameters to append to the URL's own.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The content type of the body, unless the headers have one.
    pub content_type: Option<&'static str>,
    /// How long it may take, the wait for its turn included.
    pub timeout: Option<Duration>,
}

/// A request that may be sent.
#[derive(Debug)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    timeout: Duration,
}

impl Request {
    /// `GET https://host/path`, without what may be secret.
    pub fn label(&self) -> String {
        let mut shown = self.url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        format!("{} {shown}", self.method)
    }

    /// What is requested: method, address and body. Headers may differ each time.
    pub fn essence(&self) -> (&str, &str, &[u8]) {
        let body = self.body.as_deref().unwrap_or_default();
        (self.method.as_str(), self.url.as_str(), body)
    }

    /// Whether the server is to do the same however often it is sent (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }
}

/// An answer, whatever its status is.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers by lower-case name; several of one name are joined as RFC 9110 has it.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: Bytes,
}

impl Answer {
    /// Whether the answer says that its body is JSON.
    pub fn is_json(&self) -> bool {
        let kind = self.headers.iter().find(|(name, _)| name == "content-type");
        let kind = kind.map_or("", |(_, value)| {
            value.split(';').next().unwrap_or("").trim()
        });
        kind.eq_ignore_ascii_case("application/json")
            || kind.to_ascii_lowercase().ends_with("+json")
    }
}

/// The HTTP client of one script. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    script: String,
    hosts: Arc<Hosts>,
    /// Made for the first request: most scripts make none.
    http: OnceLock<reqwest::Client>,
    turns: Semaphore,
}

impl Client {
    /// A client for the script of that name.
    pub fn new(script: &str, hosts: Hosts) -> Self {
        Self {
            inner: Arc::new(Inner {
                script: script.to_owned(),
                hosts: Arc::new(hosts),
                http: OnceLock::new(),
                turns: Semaphore::new(MOST_REQUESTS),
            }),
        }
    }

    /// Looks whether a request is well formed and permitted. Nothing is sent.
    ///
    /// # Errors
    /// `invalid_request` and `permission_denied`, with the way out.
    pub fn prepare(&self, draft: Draft) -> Result<Request, Error> {
        let invalid = |message: String| Error::new("invalid_request", message);
        let wanted = draft.method.to_ascii_uppercase();
        if !METHODS.contains(&wanted.as_str()) {
            return Err(invalid(format!(
                "the method {:?} is none of {}",
                draft.method,
                METHODS.join(", ")
            )));
        }
        let method = Method::from_bytes(wanted.as_bytes()).map_err(|e| invalid(e.to_string()))?;
        let url = url(&draft.url, &draft.query)?;
        self.permit(&url)?;
        let mut headers = headers(&draft.headers)?;
        if let Some(kind) = draft.content_type {
            let kind = HeaderValue::from_static(kind);
            headers.entry(reqwest::header::CONTENT_TYPE).or_insert(kind);
        }
        if draft
            .body
            .as_ref()
            .is_some_and(|body| body.len() > MOST_BODY)
        {
            return Err(invalid(format!("the body has more than {MOST_BODY} bytes")));
        }
        let timeout = draft.timeout.unwrap_or(TIMEOUT);
        if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
            let most = LONGEST_TIMEOUT.as_secs();
            return Err(invalid(format!(
                "the timeout must be above 0 and at most {most} seconds"
            )));
        }
        Ok(Request {
            method,
            url,
            headers,
            body: draft.body,
            timeout,
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// See [`Error::code`]. A status such as 404 is an answer, not an error.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let timeout = request.timeout;
        let seconds = timeout.as_secs_f64();
        tokio::time::timeout(timeout, self.exchange(request))
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    "timeout",
                    format!("there was no whole answer within {seconds} s"),
                ))
            })
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Error> {
        let _turn = self
            .inner
            .turns
            .acquire()
            .await
            .map_err(|_| Error::new("unreachable", "the client has ended"))?;
        let mut builder = self
            .http()?
            .request(request.method, request.url)
            .headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await.map_err(|error| explain(&error))?;
        let status = response.status().as_u16();
        let headers = shown(response.headers());
        let body = read(response).await?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    fn http(&self) -> Result<&reqwest::Client, Error> {
        if let Some(ready) = self.inner.http.get() {
            return Ok(ready);
        }
        let guard = Arc::new(Guard::new(
            self.inner.script.clone(),
            Arc::clone(&self.inner.hosts),
        ));
        let client = reqwest::Client::builder()
            .user_agent(concat!("argon-host/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .referer(false)
            .redirect(guard.redirects())
            .dns_resolver(guard)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| Error::new("unreachable", explain(&error).message))?;
        Ok(self.inner.http.get_or_init(|| client))
    }

    fn permit(&self, url: &Url) -> Result<(), Error> {
        guard::permit(&self.inner.script, &self.inner.hosts, url)
            .map_err(|refused| Error::new("permission_denied", refused.0))
    }
}

fn url(text: &str, query: &[(String, String)]) -> Result<Url, Error> {
    let invalid = |message: String| Error::new("invalid_request", message);
    let mut url =
        Url::parse(text).map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid(
            "the URL must begin with https:// or http:// and a host".into(),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "the URL has a user name or password: put them into the Authorization header".into(),
        ));
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    if url.as_str().len() > LONGEST_URL {
        return Err(invalid(format!(
            "the URL has more than {LONGEST_URL} characters"
        )));
    }
    Ok(url)
}

fn headers(wanted: &[(String, String)]) -> Result<HeaderMap, Error> {
    let invalid = |message: String| Error::new("invalid_request", message);
    let bytes: usize = wanted
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MOST_HEADERS {
        return Err(invalid(format!(
            "the headers have more than {MOST_HEADERS} bytes"
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) {
            return Err(invalid(format!(
                "the header {name} belongs to the connection: leave it out"
            )));
        }
        let name = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| invalid(format!("{name:?} is no name of a header")))?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            invalid(format!(
                "the value of the header {name} has a character that none may have"
            ))
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Headers as scripts see them.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            // A comma is part of a cookie's date (RFC 6265 §3).
            let between = if name == reqwest::header::SET_COOKIE {
                "\n"
            } else {
                ", "
            };
            (name.as_str().to_owned(), values.join(between))
        })
        .collect()
}

async fn read(response: reqwest::Response) -> Result<Bytes, Error> {
    let too_large = || {
        Error::new(
            "response_too_large",
            format!("the answer has more than {MOST_ANSWER} bytes"),
        )
    };
    // Of an answer without a body (to HEAD, a 304) the length is that of the body which there would be.
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Error::new(
                "lost_response",
                format!("the answer broke off: {}", root(&error)),
            )
        })?;
        if body.len() + chunk.len() > MOST_ANSWER {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// What went wrong, by what reqwest says.
fn explain(error: &reqwest::Error) -> Error {
    if let Some(Refused(message)) = guard::refusal(error) {
        return Error::new("permission_denied", message);
    }
    if error.is_redirect() {
        return Error::new("too_many_redirects", root(error));
    }
    if error.is_connect() || error.is_builder() {
        return Error::new("unreachable", root(error));
    }
    Error::new("lost_response", root(error))
}

/// The innermost cause, which is the one that tells something.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(hosts: &[&str]) -> Client {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Client::new("news", hosts)
    }

    fn get(url: &str) -> Draft {
        Draft {
            method: "get".into(),
            url: url.into(),
            ..Draft::default()
        }
    }

    fn refused(draft: Draft) -> Error {
        client(&["a.org"])
            .prepare(draft)
            .expect_err("it is refused")
    }

    #[test]
    fn a_request_is_checked_before_anything_is_sent() {
        let good = Draft {
            query: vec![("q".into(), "a b&c".into())],
            ..get("https://a.org/path?x=1#part")
        };
        let request = client(&["a.org"]).prepare(good).unwrap();
        assert_eq!(
            request.url.as_str(),
            "https://a.org/path?x=1&q=a+b%26c#part"
        );
        assert_eq!(request.label(), "GET https://a.org/path");

        let header = |name: &str, value: &str| Draft {
            headers: vec![(name.into(), value.into())],
            ..get("https://a.org/")
        };
        for (draft, part) in [
            (
                Draft {
                    method: "BREW".into(),
                    ..get("https://a.org/")
                },
                "none of GET",
            ),
            (get("a.org"), "cannot be read"),
            (get("ftp://a.org/"), "must begin with"),
            (get("file:///etc/passwd"), "must begin with"),
            (get("https://user:secret@a.org/"), "Authorization"),
            (
                get(&format!("https://a.org/{}", "x".repeat(LONGEST_URL))),
                "characters",
            ),
            (header("Host", "b.org"), "belongs to the connection"),
            (header("na me", "x"), "no name of a header"),
            (header("x", "a\r\nb: c"), "has a character"),
            (header("x", &"y".repeat(MOST_HEADERS)), "headers have more"),
            (
                Draft {
                    body: Some(vec![0; MOST_BODY + 1]),
                    ..get("https://a.org/")
                },
                "body has more",
            ),
            (
                Draft {
                    timeout: Some(Duration::from_secs(61)),
                    ..get("https://a.org/")
                },
                "timeout",
            ),
            (
                Draft {
                    timeout: Some(Duration::ZERO),
                    ..get("https://a.org/")
                },
                "timeout",
            ),
        ] {
            let error = refused(draft);
            assert_eq!(error.code, "invalid_request", "{error}");
            assert!(error.message.contains(part), "{error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_host_that_is_not_listed_is_refused_with_the_line_to_write() {
        let error = refused(get("https://b.org:8443/x"));
        assert_eq!(error.code, "permission_denied");
        assert_eq!(
            error.message,
            "the script news may not call b.org:8443: write http = [\"a.org\", \"b.org:8443\"] under \
             [script.news] in bot.toml"
        );
        // Other spellings of an address are that address.
        for url in [
            "http://0x7f.1/",
            "http://2130706433/",
            "http://127.1/",
            "http://[::ffff:7f00:1]/",
        ] {
            let error = client(&["*"]).prepare(get(url)).expect_err(url);
            assert_eq!(error.code, "permission_denied", "{url}");
        }
    }
}
