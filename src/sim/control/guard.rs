//! Who may call the control API and load the playground: pages and programs of this machine.
//!
//! See [`crate::guard`] for how that is told.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::guard::check;
use crate::sim::http::refusal;
use crate::sim::server::Shared;
use crate::sim::world::Fault;

/// Refuses with 403 what [`check`] refuses.
pub async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match check(request.headers(), shared.address) {
        Ok(()) => next.run(request).await,
        Err(message) => refusal(&Fault::Refused {
            status: 403,
            error: "forbidden",
            message: message.to_owned(),
        }),
    }
}
