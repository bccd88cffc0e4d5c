//! The playground in a real browser: headless Chromium, the real binary, and people's clicks.
//!
//! Each test has a server of its own and a page in a browser context of its own; the browser is one for all.
//! Nothing waits for time: a page is watched until it shows what is due.

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod chromium;
mod inspector;
mod interactions;
mod page;
mod sound;
mod voice;
