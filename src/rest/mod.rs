//! The REST client of one bot: validation, the rate limiter, sending, retries, errors.
//!
//! What the room guarantees:
//! - **Nothing invalid is sent.** [`Call::new`] checks every parameter against the contract, the
//!   platform's cross-field rules included, and reports each problem with its path. What it builds is
//!   placed and encoded as the server wants it: query or JSON body, enums as integers, 64-bit ids as
//!   exact integers.
//! - **Nothing is refused for its rate.** Every request, retries included, waits for its turn in the
//!   [`limiter`], whose module doc holds the proof.
//! - **Nothing happens twice.** A request is repeated only if the platform cannot have acted on it, or
//!   if its route says that repeating is harmless; see the `retry` module.
//! - **The token stays in one header.** It is marked sensitive, so that the HTTP stack's own trace
//!   output leaves it out; errors carry no address and no header.
//!
//! The requests run on the tokio runtime in which the client was built, so that pooled connections
//! outlive the script threads that ask for them; [`Client::call`] may be awaited on any executor.

mod call;
mod client;
mod error;
mod exchange;
pub mod limiter;
mod retry;
mod traffic;
mod validate;

pub use call::Call;
pub use client::{Client, Observer, Settings};
pub use error::Error;
pub use limiter::{Caller, InterfaceStats, Stats};
pub use retry::RANDOM_ID_RELIED_ON;
pub use traffic::{Outcome, RouteTraffic};
