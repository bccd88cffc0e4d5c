//! What people see of a running host: logs, on stderr and in the playground, and how long things take.
//!
//! Every room counts what it does itself; `admin` shows it.

mod durations;
mod logging;
mod tap;

pub use durations::{Durations, Spread};
pub use logging::{LogFormat, init};
pub use tap::{Line, tap};
