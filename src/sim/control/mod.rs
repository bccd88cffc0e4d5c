//! `/_sim/*`: the world for the playground and for tests. JSON in and out; errors are
//! `{error, message}` with 400 or 404. Ids of messages are texts. Enums are the contract's names.
//! [`table`] has every route with what it takes and gives.
//!
//! Only pages and programs of this machine may call: see [`guard`].

mod acts;
mod change;
mod faults;
pub mod guard;
mod people;
mod saved;
mod sound;
pub mod table;
mod tools;
pub mod view;
mod voice;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::http::refusal;
use super::server::Shared;
use super::world::Fault;

/// The control API, below `/_sim`.
pub fn router() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for row in table::ROWS {
        router = router.route(row.path, (row.handler)());
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(table::known_parameters))
}

async fn wrong_method(request: Request) -> Response {
    let path = request.uri().path();
    refusal(&Fault::Refused {
        status: 405,
        error: "method_not_allowed",
        message: format!("/_sim{path} does not answer {}", request.method()),
    })
}

/// A POST route that reads its JSON body and does something.
fn act<T: DeserializeOwned + Send + 'static>(
    act: fn(&Shared, T) -> Result<Value, Fault>,
) -> axum::routing::MethodRouter<Arc<Shared>> {
    post(
        move |State(shared): State<Arc<Shared>>, body: Bytes| async move {
            reply(read(&body).and_then(|request| act(&shared, request)))
        },
    )
}

/// Reads a JSON body, an empty one as `{}`; unknown fields are errors, so that a misspelt one is not ignored.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Fault::bad(error.to_string()))
}

fn reply(result: Result<Value, Fault>) -> Response {
    match result {
        Ok(value) => axum::Json(value).into_response(),
        Err(fault) => refusal(&fault),
    }
}

/// The query of a GET route.
type Parameters = Query<HashMap<String, String>>;

/// The parameter's value, read as what is asked for.
fn parameter<T: std::str::FromStr>(
    query: &HashMap<String, String>,
    name: &str,
) -> Result<Option<T>, Fault> {
    query
        .get(name)
        .map(|text| {
            text.parse()
                .map_err(|_| Fault::bad(format!("{name} has no valid value")))
        })
        .transpose()
}

/// A message id: a text, or an integer.
#[derive(Debug, Clone, Copy)]
struct MessageId(i64);

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        };
        number
            .map(MessageId)
            .ok_or_else(|| D::Error::custom("a message id is a text of digits"))
    }
}
