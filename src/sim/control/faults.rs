//! Faults as the control API switches them.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{Parameters, Shared, parameter, reply};
use crate::sim::faults::{FaultSpec, kinds_to_json};
use crate::sim::world::Fault;

pub fn arm(shared: &Shared, request: Map<String, Value>) -> Result<Value, Fault> {
    if request.get("kind").and_then(Value::as_str) == Some("chaos") {
        let seed = request.get("seed").and_then(Value::as_u64);
        let seed = seed.filter(|_| request.len() == 2);
        let seed = seed.ok_or_else(|| Fault::bad("chaos takes a seed, a whole number, alone"))?;
        shared.faults.unleash(seed);
        return Ok(json!({}));
    }
    let spec = FaultSpec::from_json(&request).map_err(|error| Fault::bad(error.to_string()))?;
    Ok(json!({ "id": shared.faults.arm(spec) }))
}

pub async fn list(State(shared): State<Arc<Shared>>) -> Response {
    reply(Ok(shared.faults.to_json()))
}

pub async fn kinds() -> Response {
    reply(Ok(kinds_to_json()))
}

pub async fn clear(State(shared): State<Arc<Shared>>, Query(query): Parameters) -> Response {
    reply(
        parameter(&query, "id").and_then(|id| match (id, shared.faults.clear(id)) {
            (Some(id), 0) => Err(Fault::missing(format!("no fault with id {id} is armed"))),
            (_, cleared) => Ok(json!({ "cleared": cleared })),
        }),
    )
}
