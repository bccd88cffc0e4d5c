//! What survives the process: events, calls and stored values, through `kill -9` of the real binary.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod day;
mod disk;
mod effects;
mod gap;
mod restart;
mod storm;
