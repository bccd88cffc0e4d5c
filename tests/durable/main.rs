//! What survives the process: events, calls and stored values, through `kill -9` of the real binary.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod controls;
mod cron;
mod day;
mod disk;
mod effects;
mod gap;
mod questions;
mod replay;
mod restart;
mod stored;
mod storm;
mod web;
