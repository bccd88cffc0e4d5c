//! What people see of a running host: logs, on stderr and in the playground.
//!
//! Metrics, health and the dashboard get their place here when they are built.

mod logging;
mod tap;

pub use logging::{LogFormat, init};
pub use tap::{Line, tap};
