//! The whole world at once: take it, put it back, begin anew.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, reply};
use crate::sim::world::Fault;

/// The largest snapshot that is read: many times what a full world takes.
const LARGEST: usize = 256 << 20;

pub async fn snapshot(State(shared): State<Arc<Shared>>) -> Response {
    match shared.snapshot() {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => reply(Err(Fault::bad(format!(
            "the world cannot be written: {error}"
        )))),
    }
}

pub fn restore() -> MethodRouter<Arc<Shared>> {
    let restore = |State(shared): State<Arc<Shared>>, body: Bytes| async move {
        let restored = shared.restore(&body);
        reply(
            restored
                .map(|()| json!({}))
                .map_err(|error| Fault::bad(error.to_string())),
        )
    };
    post(restore).layer(DefaultBodyLimit::max(LARGEST))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {}

pub fn reset(shared: &Shared, _: Reset) -> Result<Value, Fault> {
    shared.reset();
    Ok(json!({}))
}
