//! The bounds of voice.

/// Connections of one script.
pub const CONNECTIONS: usize = 100;
/// Tracks of one connection that play at once, paused ones included.
pub const TRACKS: usize = 32;
/// Tracks of one connection that wait in the queue.
pub const QUEUED: usize = 1_000;
/// Commands that wait for the mixer of one connection, which looks every few milliseconds.
pub const COMMANDS: usize = 256;
/// Participants that one connection hears.
pub const HEARD: usize = 32;
/// Handlers of `voice:listen` for one participant.
pub const LISTENERS: usize = 32;
/// Recordings of one participant; each has a thread and a file.
pub const RECORDINGS: usize = 4;
/// Handlers of `voice:on` that one version of a script has, for all its connections.
pub const HANDLERS: usize = 1_000;
