//! The routes, as [`ROUTES`] lists them. Errors are `{"error": code, "message": sentence}`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{self, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::roll::{Bot, Refusal, Roll};
use super::{Facts, metrics};
use crate::guard;

/// A route of the admin server.
#[derive(Debug, Clone, Copy)]
pub struct AdminRoute {
    /// The HTTP method.
    pub method: &'static str,
    /// The path with its parameters.
    pub path: &'static str,
    /// What it answers.
    pub doc: &'static str,
}

const fn route(method: &'static str, path: &'static str, doc: &'static str) -> AdminRoute {
    AdminRoute { method, path, doc }
}

/// Every route.
pub const ROUTES: &[AdminRoute] = &[
    route("GET", "/healthz", "200 while the process works."),
    route(
        "GET",
        "/readyz",
        "200 while the stream of every bot is live, else 503: `{ ready, live }`, `live` by bot.",
    ),
    route("GET", "/metrics", "What is counted, for Prometheus."),
    route(
        "GET",
        "/api/status",
        "How every bot stands: its stream, inbox, calls, scripts and voice connections, with the same figures as the metrics.",
    ),
    route(
        "POST",
        "/api/reload?bot=&script=",
        "Loads all scripts again, or one, of all bots, or one: `{ scripts }`; 422 when a load failed.",
    ),
    route(
        "POST",
        "/api/scripts/{name}/resume?bot=",
        "Lets a paused script run again: `{ scripts }`.",
    ),
];

pub(super) fn router(roll: Roll, address: SocketAddr) -> Router {
    let here = move |request: Request, next: Next| async move {
        match guard::check(request.headers(), address) {
            Ok(()) => next.run(request).await,
            Err(message) => refuse(StatusCode::FORBIDDEN, "forbidden", message),
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/status", get(status))
        .route("/api/reload", post(reload))
        .route("/api/scripts/{name}/resume", post(resume))
        .fallback(|| async {
            let paths = ROUTES.iter().map(|route| route.path.split('?').next());
            let paths: Vec<_> = paths.flatten().collect();
            let message = format!("there is {}", paths.join(", "));
            refuse(StatusCode::NOT_FOUND, "not_found", &message)
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let path = request.uri().path();
            let message = format!("{path} does not answer {}", request.method());
            refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                &message,
            )
        })
        .layer(middleware::from_fn(here))
        .with_state(roll)
}

fn refuse(status: StatusCode, error: &str, message: &str) -> Response {
    let body = json!({ "error": error, "message": message });
    (status, Json(body)).into_response()
}

async fn ready(State(roll): State<Roll>) -> Response {
    let bots: Map<String, Value> = roll
        .all()
        .into_iter()
        .map(|(name, bot)| (name, bot.is_some_and(|bot| bot.is_live()).into()))
        .collect();
    let ready = bots.values().all(|live| *live == true);
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "ready": ready, "live": bots }))).into_response()
}

/// Every bot by name; those that do not run have no facts.
fn facts(roll: &Roll) -> Vec<(String, Option<Facts>)> {
    let bots = roll.all().into_iter();
    bots.map(|(name, bot)| (name, bot.map(|bot| bot.facts())))
        .collect()
}

async fn scrape(State(roll): State<Roll>) -> Response {
    // The size of files and the state of the process are asked of the system.
    let text = tokio::task::spawn_blocking(move || metrics::render(&facts(&roll))).await;
    match text {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(panic) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            &panic.to_string(),
        ),
    }
}

async fn status(State(roll): State<Roll>) -> Json<Value> {
    let bots: Vec<Value> = facts(&roll)
        .into_iter()
        .map(|(name, facts)| {
            let mut status = facts
                .as_ref()
                .map_or_else(|| json!({}), |facts| json!(facts));
            status["name"] = name.into();
            status["running"] = facts.is_some().into();
            status
        })
        .collect();
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "bots": bots }))
}

/// Which of the bots, and which script.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    bot: Option<String>,
    script: Option<String>,
}

/// A name that is given; `bot=` names none.
fn given(name: &Option<String>) -> Option<&str> {
    name.as_deref().filter(|name| !name.is_empty())
}

/// The bots that run and are meant.
fn meant(roll: &Roll, which: Option<&str>) -> Vec<(String, Arc<dyn Bot>)> {
    roll.all()
        .into_iter()
        .filter(|(name, _)| which.is_none_or(|which| which == name))
        .filter_map(|(name, bot)| Some((name, bot?)))
        .collect()
}

/// The query of a route for [`Which`].
type Query = Result<extract::Query<Which>, QueryRejection>;

fn misread(rejection: &QueryRejection) -> Response {
    refuse(
        StatusCode::BAD_REQUEST,
        "bad_request",
        &rejection.body_text(),
    )
}

async fn reload(State(roll): State<Roll>, which: Query) -> Response {
    let which = match &which {
        Ok(which) => which,
        Err(rejection) => return misread(rejection),
    };
    let mut answers = Vec::new();
    for (name, bot) in meant(&roll, given(&which.bot)) {
        answers.push((name, bot.reload(given(&which.script)).await));
    }
    outcome(answers)
}

async fn resume(State(roll): State<Roll>, Path(script): Path<String>, which: Query) -> Response {
    let which = match &which {
        Ok(which) => which,
        Err(rejection) => return misread(rejection),
    };
    let mut answers = Vec::new();
    for (name, bot) in meant(&roll, given(&which.bot)) {
        answers.push((name, bot.resume(&script).await));
    }
    outcome(answers)
}

/// One answer of all bots': a bot that does not know the script does not matter beside one that does.
fn outcome(answers: Vec<(String, Result<Vec<Value>, Refusal>)>) -> Response {
    let mut scripts = Vec::new();
    let mut refused = None;
    let mut any = false;
    for (bot, answer) in answers {
        match answer {
            Ok(list) => {
                any = true;
                for mut script in list {
                    script["bot"] = bot.clone().into();
                    scripts.push(script);
                }
            }
            Err(Refusal(message)) => refused = Some(message),
        }
    }
    if !any {
        let message = refused.unwrap_or_else(|| "no such bot runs".to_owned());
        return refuse(StatusCode::NOT_FOUND, "not_found", &message);
    }
    let status = match scripts.iter().any(|script| script["outcome"] == "failed") {
        true => StatusCode::UNPROCESSABLE_ENTITY,
        false => StatusCode::OK,
    };
    (status, Json(json!({ "scripts": scripts }))).into_response()
}
