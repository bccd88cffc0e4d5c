//! The world as JSON: for `GET /_sim/snapshot` and `POST /_sim/restore`, and in a file that outlives the
//! process.
//!
//! A [`Saved`] holds everything that a bot can tell: spaces with their messages, people and bots with
//! their tokens, commands, open interactions and modals, calls, voice tokens, and the event buffers with
//! each bot's position. It does not hold the request log, recordings, rate windows, armed faults, and
//! connections: who was connected comes back as after a lost connection. The types of the world are
//! written as they are, so that what is added to them is kept, too; [`forms`] writes what JSON has no form
//! for.
//!
//! Time stands still in between: what had 20 s to live has them again. The world's clock never goes back;
//! it is moved forward if the snapshot is from its future.
//!
//! Reading checks everything before anything is replaced: the version first, then types (the error names
//! the path), then what the world relies on ([`World::revive`]).

mod file;
pub mod forms;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use file::{FileError, StateFile};

use super::clock::Now;
use super::events::Feed;
use super::quirks::Quirks;
use super::server::State;
use super::voice::Tokens;
use super::world::World;

/// The form that this version writes and reads.
pub const VERSION: u32 = 1;

/// A world that can be taken up again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saved {
    #[serde(rename = "version")]
    _version: u32,
    /// The world's time when it was taken.
    pub now: Timestamp,
    pub world: World,
    pub feed: Feed,
    pub voice_tokens: Tokens,
}

impl Saved {
    /// A world in which nothing has happened.
    pub fn fresh(world: World, now: Now) -> Self {
        Self {
            _version: VERSION,
            now: now.wall,
            feed: Feed::new(world.quirks(), 0),
            world,
            voice_tokens: Tokens::default(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Writing<'a> {
    version: u32,
    now: Timestamp,
    world: &'a World,
    feed: &'a Feed,
    voice_tokens: &'a Tokens,
}

/// Why something is no snapshot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not JSON, or has another shape.
    #[error("{path}: {message}")]
    Shape {
        /// Where, as `world.spaces[0].name`; `.` for the whole.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Another version wrote it.
    #[error(
        "version {found} is not {VERSION}, which this argon-host reads: use the version that wrote it"
    )]
    Version {
        /// What it says.
        found: u32,
    },
    /// It contradicts itself.
    #[error("{0}")]
    World(String),
}

/// The state as JSON.
pub fn write(state: &State, now: Now) -> Result<Vec<u8>, serde_json::Error> {
    let writing = Writing {
        version: VERSION,
        now: now.wall,
        world: &state.world,
        feed: &state.feed,
        voice_tokens: &state.voice.tokens,
    };
    forms::at(now.mono, || serde_json::to_vec(&writing))
}

/// Reads what [`write`] has written, for a server with these quirks; nobody is connected in it. Events that
/// wait in it stay in the dialect of the server that wrote them.
pub fn read(json: &[u8], quirks: Quirks, now: Now) -> Result<Saved, Refused> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, Refused> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let value = serde_path_to_error::deserialize(&mut deserializer);
        let value = value.map_err(|error| Refused::Shape {
            path: error.path().to_string(),
            message: error.inner().to_string(),
        })?;
        deserializer.end().map_err(|error| Refused::Shape {
            path: ".".to_owned(),
            message: error.to_string(),
        })?;
        Ok(value)
    }
    let Version { version } = parse(json)?;
    if version != VERSION {
        return Err(Refused::Version { found: version });
    }
    let mut saved: Saved = forms::at(now.mono, || parse(json))?;
    let feed = saved.feed.settle(quirks, now.mono);
    feed.map_err(|error| Refused::World(format!("feed.{error}")))?;
    let world = saved.world.revive(quirks);
    world.map_err(|error| Refused::World(format!("world.{error}")))?;
    Ok(saved)
}
