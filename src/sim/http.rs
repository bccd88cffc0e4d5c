//! The HTTP side: every route of the contract, the list of interfaces, the playground and the control
//! API.
//!
//! Order of the checks of a Bot API request: token (401), concurrency and window (429), verified bots
//! only (403), parameters (400), then the act itself. An armed fault strikes after the rate limits, and
//! once more after the act (see [`super::faults`]). A request gives its place among the ten back
//! before its answer leaves, so that a client that has read an answer can always send the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use bytes::Bytes;
use serde_json::{Value, json};

use super::control::{self, guard};
use super::log::Record;
use super::params::Params;
use super::playground::{self, File};
use super::quirks::Quirks;
use super::routes::{self, Call};
use super::server::Shared;
use super::stream;
use super::voice::socket;
use super::wire;
use super::world::{BotAccount, Fault, Id};
use crate::config::Secret;
use crate::contract::{INTERFACES, Method, ROUTES, Route};

/// The largest body of a request.
const BODY_LIMIT: usize = 1 << 20;
/// Where the Bot API stands: both bases of the platform, each also with the token as a part of the path.
const BASES: [&str; 4] = ["", "/api/bot", "/{token}", "/api/bot/{token}"];

/// Everything that the server answers.
pub fn router(shared: Arc<Shared>) -> Router {
    let mut api = Router::new();
    for route in ROUTES {
        for base in BASES {
            let handler = move |State(shared): State<Arc<Shared>>, request: Request| async move {
                answer(&shared, route, request).await
            };
            let path = format!("{base}{}", route.path());
            api = api.route(&path, on(filter(route.method), handler));
        }
    }
    let interfaces =
        |State(shared): State<Arc<Shared>>| async move { interfaces(&shared, "/api/bot") };
    let mut pages = Router::new().nest("/_sim", control::router());
    for file in playground::FILES {
        pages = match file.path {
            "/" => pages.route("/", get(root)),
            path => pages.route(path, get(move || async move { page(file) })),
        };
    }
    let pages = pages.layer(middleware::from_fn_with_state(
        Arc::clone(&shared),
        guard::guard,
    ));
    api.route("/api/bot", get(interfaces))
        .route("/api/bot/", get(interfaces))
        .merge(pages)
        .nest("/audio", socket::router())
        .fallback(unknown)
        .with_state(shared)
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

/// A fresh token for a bot: its id in 32 hex digits, a colon, 192 random bits as base64url.
pub fn new_token(bot: Id) -> Secret {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random: [u8; 32] = rand::random();
    let secret: String = random
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 63)]))
        .collect();
    Secret::new(format!("{}:{secret}", bot.simple()))
}

/// `{error, message}`, or no body at all where the platform's server crashes.
pub fn refusal(fault: &Fault) -> Response {
    match fault {
        Fault::Crash(_) | Fault::TooFast(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::Refused {
            status,
            error,
            message,
        } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
            (
                status,
                axum::Json(json!({ "error": error, "message": message })),
            )
                .into_response()
        }
    }
}

/// One request to the Bot API, from its token to the log.
async fn answer(shared: &Arc<Shared>, route: &'static Route, request: Request) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let mut record = Record {
        method: parts.method.to_string(),
        path: hidden(parts.uri.path()),
        at: shared.clock.now().wall,
        ..Record::default()
    };
    let result = serve(shared, route, &parts, body, &mut record).await;
    let quirks = shared.settings.quirks;
    let response = match result {
        Ok(response) => response,
        Err(Refused::Fault(Fault::TooFast(wait))) if !quirks.bare_500s => {
            record.error = Some("rate_limited".to_owned());
            rate_limited(quirks, wait)
        }
        Err(Refused::Fault(fault)) => {
            let fault = match fault {
                Fault::Crash(code) if !quirks.bare_500s => Fault::code(code),
                fault => fault,
            };
            record.error = fault.error().map(str::to_owned);
            refusal(&fault)
        }
        Err(Refused::Limit(wait)) => {
            record.error = Some("rate_limited".to_owned());
            rate_limited(quirks, wait)
        }
    };
    let (response, body) = with_body(response).await;
    record.answer = body;
    record.status = response.status().as_u16();
    record.ms = began.elapsed().as_secs_f64() * 1e3;
    keep(shared, record);
    response
}

/// An answer with its body, if that is there as a whole: not that of a stream, or of an answer that is lost.
async fn with_body(response: Response) -> (Response, Bytes) {
    let (head, body) = response.into_parts();
    if body.size_hint().exact().is_none() {
        return (Response::from_parts(head, body), Bytes::new());
    }
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    (Response::from_parts(head, body.clone().into()), body)
}

fn keep(shared: &Shared, record: Record) {
    let bots = shared.state().world.bots().to_vec();
    let tokens = bots.iter().map(|bot| bot.token.expose());
    let mut log = shared.log();
    log.push(record, tokens);
    if shared.inspector.is_watched()
        && let Some(shown) = log.newest()
    {
        shared.inspector.request(shown);
    }
}

enum Refused {
    Fault(Fault),
    /// For so long.
    Limit(Duration),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn serve(
    shared: &Arc<Shared>,
    route: &'static Route,
    parts: &Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response, Refused> {
    let bot = authenticate(shared, route, parts)?;
    record.bot = Some(bot.username.clone());
    let query = query(parts);
    record.query = query
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();

    // The place is taken when the head of the request has come, and held while its body is read.
    let now = shared.clock.now().mono;
    let slot = shared
        .limits
        .admit(bot.user, bot.verified, route.interface, now)
        .map_err(|refusal| Refused::Limit(refusal.wait()))?;
    let fault = shared.faults.request(route.interface.name);
    if let Some(delay) = fault.delay {
        record.fault = Some("delay");
        let until = shared.clock.now().mono + delay;
        shared.clock.sleep_until(until).await;
    }
    // Also for a request that a fault answers: the log shows what it was about.
    record.body = to_bytes(body, BODY_LIMIT)
        .await
        .map_err(|_| Fault::Refused {
            status: 413,
            error: "body_too_large",
            message: format!("the body could not be read, or has more than {BODY_LIMIT} bytes"),
        })?;
    if let Some(status) = fault.answer {
        record.fault = Some("answer");
        return Ok(injected(shared.settings.quirks, status));
    }
    if route.privileged && !bot.verified {
        return Err(Fault::code("not_verified").into());
    }
    if route.label() == "IEvents/Stream" {
        let intents = query.get("intents").and_then(|text| text.parse().ok());
        let header = parts.headers.get("last-event-id");
        let header = header.and_then(|value| value.to_str().ok());
        let after = query.get("lastEventId").map(String::as_str).or(header);
        let intents = intents.unwrap_or(0);
        return Ok(stream::open(shared, &bot, intents, after, slot)?);
    }
    let quirks = shared.settings.quirks;
    let params = Params::read(route, &query, &record.body, quirks).map_err(Fault::bad)?;
    let handler = routes::handler(route).ok_or(Fault::Crash("not_found"))?;
    let result = shared.act_in(|state, now| {
        handler(Call {
            world: &mut state.world,
            voice: &mut state.voice,
            bot: bot.user,
            params: &params,
            now,
        })
    });
    drop(slot);
    if fault.lose {
        record.fault = Some("lose");
        return Ok(cut());
    }
    Ok(match result? {
        Value::Null => StatusCode::OK.into_response(),
        value => axum::Json(wire::answer(quirks, route, value)).into_response(),
    })
}

fn query(parts: &Parts) -> HashMap<String, String> {
    Query::try_from_uri(&parts.uri).map_or_else(|_| HashMap::new(), |Query(query)| query)
}

fn authenticate(shared: &Shared, route: &Route, parts: &Parts) -> Result<BotAccount, Fault> {
    let token = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bot "));
    let token = match token {
        Some(token) => Some(token.to_owned()),
        None => token_of_path(parts.uri.path(), route),
    };
    let state = shared.state();
    let bot = token.and_then(|token| {
        let mut bots = state.world.bots().iter();
        bots.find(|bot| bot.token.expose() == token)
    });
    bot.cloned().ok_or_else(|| Fault::Refused {
        status: 401,
        error: "unauthorized",
        message: "The token is missing or wrong: send `Authorization: Bot <token>`.".to_owned(),
    })
}

/// The token of the platform's path form, `{base}/{token}/{Interface}/…`.
fn token_of_path(path: &str, route: &Route) -> Option<String> {
    let before = path.strip_suffix(&route.path())?;
    let part = before.rsplit('/').next()?;
    Some(part.replace("%3A", ":").replace("%3a", ":"))
}

/// The platform's 429. `Retry-After` is whole seconds, at least one.
fn rate_limited(quirks: Quirks, wait: Duration) -> Response {
    let seconds = match quirks.retry_after_is_1 {
        true => 1,
        false => (wait.as_secs_f64().ceil() as u64).max(1),
    };
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from(seconds)),
        (
            HeaderName::from_static("x-ratelimit-remaining"),
            HeaderValue::from_static("0"),
        ),
    ];
    let body = json!({
        "error": "rate_limited",
        "message": "Too many requests.",
        "retry_after": seconds,
    });
    (StatusCode::TOO_MANY_REQUESTS, headers, axum::Json(body)).into_response()
}

/// An answer that a fault asked for. Errors of a server or a proxy have no body, as on the platform.
pub fn injected(quirks: Quirks, status: u16) -> Response {
    match StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
        StatusCode::TOO_MANY_REQUESTS => rate_limited(quirks, Duration::from_secs(1)),
        status if status.is_server_error() => status.into_response(),
        status => refusal(&Fault::Refused {
            status: status.as_u16(),
            error: "injected_fault",
            message: "A fault was armed for this request.".to_owned(),
        }),
    }
}

/// The connection is closed before a byte of the answer has left: the server writes the head together
/// with the beginning of the body, and this body fails at once.
fn cut() -> Response {
    let broken = || std::io::Error::other("a fault cut the connection");
    let body = futures_util::stream::once(async move { Err::<Bytes, _>(broken()) });
    Body::from_stream(body).into_response()
}

/// The list of interfaces that the platform serves at its base without a token.
fn interfaces(shared: &Shared, base: &str) -> Response {
    let interfaces: Vec<Value> = INTERFACES
        .iter()
        .map(|interface| {
            let version = format!("v{}", interface.version);
            json!({
                "latestVersion": version,
                "name": interface.name,
                "versions": [{
                    "isDeprecated": false,
                    "sunsetDate": null,
                    "url": format!("http://{}{base}/{}/{version}", shared.address, interface.name),
                    "version": version,
                }],
            })
        })
        .collect();
    axum::Json(json!({ "interfaces": interfaces })).into_response()
}

/// The playground for a browser, the list of interfaces for everybody else.
async fn root(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    match playground::FILES.iter().find(|file| file.path == "/") {
        Some(file) if wants_page => page(file),
        _ => interfaces(&shared, ""),
    }
}

fn page(file: &'static File) -> Response {
    let headers = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, playground::POLICY),
    ];
    (headers, Bytes::from_static(file.body.as_bytes())).into_response()
}

async fn unknown(request: Request) -> Response {
    refusal(&Fault::Refused {
        status: 404,
        error: "not_found",
        message: format!(
            "there is no route {} {}",
            request.method(),
            hidden(request.uri().path())
        ),
    })
}

/// A path without what may be a token (the platform's path form has one as its first part).
fn hidden(path: &str) -> String {
    let parts = path.split('/');
    let parts = parts.map(|part| match part.contains(':') || part.contains("%3") {
        true => "[token]",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::{hidden, new_token};
    use crate::sim::world::Id;

    #[test]
    fn a_token_has_the_platforms_form() {
        let token = new_token(Id::nil());
        let (id, secret) = token.expose().split_once(':').expect("a colon");
        assert_eq!((id.len(), secret.len()), (32, 32));
        assert_ne!(token, new_token(Id::nil()));
    }

    #[test]
    fn a_token_in_a_path_is_not_repeated() {
        assert_eq!(hidden("/a:b/IX/v1/Y"), "/[token]/IX/v1/Y");
        assert_eq!(hidden("/IX/v1/Y"), "/IX/v1/Y");
    }
}
