//! Voice: everything between a script's intentions and the platform's voice sockets.
//!
//! | file | owns | thread |
//! |---|---|---|
//! | `host` | the connections of a bot, by script and room | any |
//! | `connection` | the handles of a connection and its tracks | any |
//! | `session` | one socket: tokens, status, reconnecting | tokio |
//! | `receive` | what is heard: handlers, recordings, speech | tokio |
//! | `source` | files: Ogg Opus, decoding, resampling, paths | one for each file that is read at the moment |
//! | `program` | a connection's packets, made ahead | a worker a core |
//! | `mixer` | tracks, gains, queue, limiter; pure | (in `program`) |
//! | `encoder` | libopus and its complexity | (in `program`) |
//! | `pacer` | the clock of all connections | one, in real time or else at higher priority |
//! | `engine` | the real-time threads | |
//! | `packet`, `ogg` | formats; pure | |
//!
//! Audio flows `source -> (ring) -> program -> (ring) -> pacer -> (ring) -> session`. Commands go to the
//! program by a bounded channel, events come back by a ring to the session, which tells the scripts.
//! The mixer and the pacer know no tokio and no locks, and allocate nothing in a tick: what they are
//! given was made elsewhere, and what they are done with is freed elsewhere.
//!
//! A connection belongs to a script's *name* and outlives its versions; handlers belong to a version
//! ([`Client`]) and end with it. When a script is gone for good, [`Host::close_script`] ends its
//! connections.

pub mod connection;
pub mod encoder;
pub mod engine;
mod error;
pub mod host;
pub mod loudness;
pub mod mixer;
pub mod ogg;
pub mod pacer;
pub mod packet;
mod priority;
pub mod program;
pub mod receive;
pub mod session;
mod slots;
pub mod source;
pub mod stats;
mod worker;

use std::sync::Arc;

pub use connection::{Connection, Phase, Play, Room, TrackHandle};
pub use encoder::{Kind, Settings};
pub use engine::Engine;
pub use error::Error;
pub use host::{Client, Host, Standing};
pub use mixer::State as TrackState;
pub use receive::{Format, Heard};
pub use stats::Stats;

/// What happened in a connection, for the script that it belongs to.
#[derive(Debug)]
pub struct Event {
    /// The connection.
    pub connection: u64,
    /// What.
    pub what: Happening,
}

/// See [`Event`].
#[derive(Debug, Clone)]
pub enum Happening {
    /// A track of the queue has begun.
    Began(TrackHandle),
    /// A track is over.
    Finished {
        /// Which.
        track: TrackHandle,
        /// Why its file could not be read to its end.
        error: Option<String>,
    },
    /// The socket was lost.
    Disconnected {
        /// Why.
        reason: String,
        /// It is not opened again.
        last: bool,
    },
    /// The socket is open again.
    Reconnected,
    /// Somebody who was listened to has left.
    TargetLeft(Arc<str>),
    /// Somebody begins (true) or ends to speak.
    Speaking(Arc<str>, bool),
    /// Somebody said something, for one handler.
    Heard(Arc<Heard>),
    /// The connection is over, and nothing more happens in it.
    Closed,
}
