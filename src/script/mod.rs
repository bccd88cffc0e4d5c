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
//! `host` is the outside, `keeper` the task behind it that loads, replaces and ends scripts; `version` is
//! what both know of a thread. `thread` has a version's loop, `guest` its state, `vm` the sandbox and the
//! prelude's tools, `scheduler` its coroutines and timers, `rhythm` and `schedule` when what repeats is
//! due, `budget` what it may use of the CPU and of memory, `natives` Luau's own functions with an end, `dispatch` its handlers, `modals` the forms that may still come back, `errors` the errors,
//! `recall` what was asked before, `answers` what of its answers waits and `rehearsal` what runs on a recording, `registry` what all scripts have in common, [`commands`] the synchronisation of
//! slash commands, `json` the way between JSON and Luau, and `api` one file for each library that a
//! script sees. `reload` knows when to look at the folder, `graph` what a version was made of, `state`
//! how `script.state` gets from one version to the next, `rollback` when the old one was better.
//!
//! # A script and its versions
//!
//! A *script* is a name: its settings, its place in the inbox, its share of the rate limits. What runs is
//! a *version* of it, with a thread and a VM of its own. A new version is loaded beside the old one, and
//! only if its top level ends well do they change places, between two events: each event is handled by
//! exactly one version. A load that fails leaves the old version alone.

mod aftercare;
mod answers;
mod api;
mod budget;
mod clock;
pub mod commands;
mod dispatch;
mod errors;
mod graph;
mod guest;
mod host;
pub mod json;
mod keeper;
mod modals;
mod natives;
mod position;
mod quarantine;
mod recall;
mod registry;
mod rehearsal;
mod reload;
mod repeats;
mod rhythm;
mod rollback;
mod schedule;
mod scheduler;
mod scripts;
mod state;
mod status;
mod thread;
mod transaction;
mod version;
mod vm;

pub(crate) use budget::lower_priority;
pub use clock::Clock;
pub use commands::{CommandKey, CommandSpec, Registered};
pub use errors::{Place, Trouble};
pub use host::{Handle, Host, LoadError, ReloadSettings, Report, ScriptSettings, Settings};
pub use keeper::{Outcome, Reloaded};
pub use registry::{Conflict, Identity, Registrations, State};
pub use rehearsal::{Findings, Rehearsal};
pub use reload::Watch;
pub use status::Counts;
