//! argon-host: a host for bots of the Argon chat platform.
//!
//! # Rooms
//!
//! | room | owns |
//! |---|---|
//! | [`contract`] | the platform's API as tables; depends on nothing |
//! | [`config`] | bot.toml and environment as plain structs; [`config::Secret`] |
//! | [`rest`] | one client with validation, retries and the rate limiter |
//! | [`stream`] | the one event stream of a bot |
//! | [`inbox`] | the seam that every event passes on its way to the scripts |
//! | [`fetch`] | HTTP requests of scripts to the hosts that their config names |
//! | [`limits`] | what every script is held to, as tables; depends on nothing |
//! | [`modules`] | the scripts folder: its scripts, and the file that a `require` means; depends on nothing |
//! | [`script`] | everything that knows Luau |
//! | [`check`] | finds mistakes in config and scripts without running them |
//! | [`definitions`] | the libraries as a table; type definitions and reference made from it |
//! | [`voice`] | voice connections: files, mixing, encoding, pacing, sockets, recordings |
//! | [`sim`] | the embedded Argon server and its playground |
//! | [`admin`] | health, status and reload over local HTTP |
//! | [`guard`] | who may use the local HTTP servers; depends on nothing |
//! | `allocator` | the process's allocator; depends on nothing |
//! | [`observe`] | logs, on stderr and for the playground |
//! | [`cli`] | one file per subcommand |
//! | [`app`] | the composition root |
//!
//! Events flow `stream -> inbox -> script -> rest`. Only [`app`] and [`cli`] name every room.
//!
//! # Arrows that must never exist
//!
//! `tests/architecture.rs` reads the `use crate::` lines and keeps it so:
//! - `contract` and `config` to any room (`config` may read `contract`);
//! - `mlua` outside `script`;
//! - `stream` to `script`, and either of them to the other's inside;
//! - `sim` to `rest` or `stream` and back: two independent readings of the protocol check each other.

pub mod admin;
mod allocator;
pub mod app;
pub mod check;
pub mod cli;
pub mod config;
pub mod contract;
pub mod definitions;
pub mod fetch;
pub mod guard;
pub mod inbox;
pub mod limits;
pub mod modules;
pub mod observe;
pub mod rest;
pub mod script;
pub mod sim;
pub mod stream;
pub mod voice;
