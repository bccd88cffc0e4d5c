//! Everything that knows Luau: scripts as guests of the host.
//!
//! # What the room guarantees
//!
//! * **One OS thread and one sandboxed VM for each script.** The kernel keeps scripts from delaying
//!   each other, whatever a script does; a VM never moves, and no Luau value leaves its thread, so
//!   that a VM can be dropped whole. Calls go out as [`crate::rest::Call`], which is built (and so
//!   validated) in the script's thread: a mistake is raised at the line that made it, before anything
//!   is sent. Answers come back as bytes and are decoded in the script's thread.
//! * **A call that waits suspends only the coroutine that makes it**, also inside `coroutine.wrap`.
//!   There is no async executor; the `scheduler` module says why and how.
//! * **Handlers start in stream order and run concurrently.** An error ends its own coroutine; it is
//!   logged with script, line, traceback and event id, and harms nothing else.
//!
//! # Where things are
//!
//! `host` is the outside. `thread` has a script's loop, `guest` its state, `vm` the sandbox and the
//! prelude's tools, `scheduler` its coroutines and timers, `rhythm` and `schedule` when what repeats is
//! due, `budget` what it may use of the CPU and of memory, `natives` Luau's own functions with an end, `dispatch` its handlers, `errors` the errors,
//! `registry` what all scripts have in common, [`commands`] the synchronisation of
//! slash commands, `json` the way between JSON and Luau, and `api` one file for each library that a
//! script sees.

mod api;
mod budget;
pub mod commands;
mod dispatch;
mod errors;
mod guest;
mod host;
pub mod json;
mod natives;
mod position;
mod registry;
mod repeats;
mod rhythm;
mod schedule;
mod scheduler;
mod thread;
mod vm;

pub use commands::{CommandKey, CommandSpec, Registered};
pub use errors::{Place, Trouble};
pub use host::{Host, LoadError, Report, ScriptSettings, Settings};
pub use registry::{Conflict, Identity, Registrations, State};
