//! The embedded server as a process, and the tools around it: faults, chaos, other languages.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod faults;
mod lost;
mod metrics;
mod python;
mod registrations;
mod start;
mod state;
