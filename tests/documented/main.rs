//! The tests that drive the host against the embedded server, once more on the documented dialect. The
//! sources are those of the other binaries: `support::dialect` knows this one by its name.
//!
//! Not here: `quota`, where no answer differs as long as it passes, and tests whose server is a fake of
//! their own.

#![allow(
    clippy::duplicate_mod,
    reason = "a test binary of one file brings its own support"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../embedded/faults.rs"]
mod faults;
#[path = "../embedded/python.rs"]
mod python;
#[path = "../routes.rs"]
mod routes;
#[path = "../run.rs"]
mod run;
#[path = "../sim/main.rs"]
mod sim;
