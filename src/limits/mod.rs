//! What every script is held to, as data: the bounds that no configuration changes, and the natives of
//! Luau that differ here because of them. The script room enforces them; the reference is generated
//! from them.

mod natives;
pub mod voice;

pub use natives::{NATIVES, Native};

/// Coroutines of a script that wait or are scheduled, beside one for each handler that may run.
pub const COROUTINES: usize = 10_000;
/// Repeating timers of a script (`argon.every`, `argon.cron`).
pub const TIMERS: usize = 1_000;
/// Handlers that a script has registered at the same time, those of `argon.waitFor` and of commands
/// included.
pub const HANDLERS: usize = 10_000;
/// Slash commands of a script.
pub const COMMANDS: usize = 200;
/// Types of events that a script may ask for.
pub const EVENT_TYPES: usize = 1_000;
/// Calls of a script that wait for an answer.
pub const PENDING_CALLS: usize = 4096;
/// Bytes of answers that wait for a script to read them: of the platform, of the key-value store and of
/// other hosts. A single one may be longer.
pub const ANSWER_BYTES: usize = 64 << 20;
/// Bytes of what the handlers of a script that have not ended have asked and been answered, as it is kept for
/// them to run again after the process ended: calls, waits and the key-value store.
pub const RECORD_BYTES: u64 = 32 << 20;
/// Longest name, id, path, pattern of a time or other short text that the host's functions take, in bytes.
pub const SHORT_TEXT_BYTES: usize = 16 << 10;
/// Most bytes of a logged message, of its fields, and of an error.
pub const LOG_LINE_BYTES: usize = 16 << 10;
/// Lines that a script may log at once after a silence.
pub const LOG_LINES: u32 = 1_000;
/// Lines that it may log each second from then on.
pub const LOG_LINES_PER_SECOND: u32 = 200;
/// Bytes that a script may log at once after a silence.
pub const LOG_BYTES: u32 = 1 << 20;
/// Bytes that it may log each second from then on.
pub const LOG_BYTES_PER_SECOND: u32 = 256 << 10;
/// Most JSON that is made of one value, or read from one text, in bytes: as much as one event may have.
pub const JSON_BYTES: usize = 8 << 20;
/// Most bytes of a script's file.
pub const SOURCE_BYTES: usize = 1 << 20;

/// Longest text that a pattern may be, in bytes.
pub const PATTERN_BYTES: usize = 10_000;
/// The most work between two safepoints of a pattern: bytes of the text times bytes of the pattern's
/// longest item (a class like `[a-z_]`), or times its captures, if they are more.
pub const PATTERN_WORK: usize = 1 << 24;
/// Longest text to look for literally (`string.find` with `plain`, `string.split`), in bytes.
pub const NEEDLE_BYTES: usize = 1 << 20;
/// Longest replacement text of `string.gsub`, in bytes.
pub const REPLACEMENT_BYTES: usize = 1 << 20;
/// The most values that one `string.format` takes.
pub const FORMAT_VALUES: usize = 10_000;
/// The most text that one `string.format` takes, its format included, in bytes.
pub const FORMAT_BYTES: usize = 16 << 20;
/// Longest format of `string.pack`, `unpack` and `packsize`, in bytes.
pub const PACK_FORMAT_BYTES: usize = 100_000;
/// Longest fixed-size text (`c10`) that a format of `string.pack` may name, in bytes.
pub const PACK_TEXT_BYTES: usize = 1 << 20;
/// Longest numeral of `tonumber`, in bytes.
pub const NUMERAL_BYTES: usize = 10_000;
/// Longest format of `os.date`, in bytes.
pub const DATE_FORMAT_BYTES: usize = 20_000;

/// One bound, for the reference.
#[derive(Debug)]
pub struct Bound {
    /// What is bounded.
    pub what: &'static str,
    /// The most there may be.
    pub most: usize,
    /// What happens beyond it.
    pub beyond: &'static str,
}

const fn bound(what: &'static str, most: usize, beyond: &'static str) -> Bound {
    Bound { what, most, beyond }
}

/// Every bound of a script that no configuration changes.
pub const BOUNDS: &[Bound] = &[
    bound(
        "Coroutines that wait or are scheduled, beside one for each handler that may run",
        COROUTINES,
        "the call raises",
    ),
    bound(
        "Timers of `argon.every` and `argon.cron`",
        TIMERS,
        "the call raises",
    ),
    bound(
        "Registered handlers, commands and waiting `argon.waitFor` included",
        HANDLERS,
        "the call raises",
    ),
    bound(
        "Types of events with a handler",
        EVENT_TYPES,
        "the call raises",
    ),
    bound(
        "Calls that wait for an answer",
        PENDING_CALLS,
        "the call fails with `too_many_calls`",
    ),
    bound(
        "Bytes of answers that wait while the script computes",
        ANSWER_BYTES,
        "the call fails with `too_many_answers`, though it was made",
    ),
    bound(
        "Bytes of what handlers that have not ended have asked and been answered",
        RECORD_BYTES as usize,
        "the handlers of the event that has most run on, but not again after the process ended",
    ),
    bound(
        "Bytes of JSON from or to one value",
        JSON_BYTES,
        "the call raises",
    ),
    bound(
        "Bytes of a name, id, path, time or pattern",
        SHORT_TEXT_BYTES,
        "the call raises",
    ),
    bound(
        "Bytes of one logged text",
        LOG_LINE_BYTES,
        "the rest is counted and left out",
    ),
    bound(
        "Lines logged at once, then 200 a second",
        LOG_LINES as usize,
        "further lines are counted and left out",
    ),
    bound(
        "Bytes logged at once, then 256 KiB a second",
        LOG_BYTES as usize,
        "further lines are counted and left out",
    ),
    bound(
        "Bytes of one file of a script",
        SOURCE_BYTES,
        "it is not loaded",
    ),
    bound(
        "Voice connections",
        voice::CONNECTIONS,
        "the call fails with `too_many_connections`",
    ),
    bound(
        "Tracks that play at once in a voice connection",
        voice::TRACKS,
        "the call fails with `too_many_tracks`",
    ),
    bound(
        "Tracks that wait in the queue of a voice connection",
        voice::QUEUED,
        "the call fails with `too_many_tracks`",
    ),
    bound(
        "Commands to a voice connection that are not done yet",
        voice::COMMANDS,
        "the call fails with `busy`",
    ),
    bound(
        "People who are heard by a voice connection",
        voice::HEARD,
        "the call fails with `too_many_listeners`",
    ),
    bound(
        "Handlers of `voice:listen` for one person",
        voice::LISTENERS,
        "the call fails with `too_many_listeners`",
    ),
    bound(
        "Recordings of one person that run",
        voice::RECORDINGS,
        "the call fails with `too_many_recordings`",
    ),
    bound("Handlers of `voice:on`", voice::HANDLERS, "the call raises"),
];
