//! What people see of a running host: logs.
//!
//! Metrics, health and the dashboard get their place here when they are built.

mod logging;

pub use logging::{LogFormat, init};
