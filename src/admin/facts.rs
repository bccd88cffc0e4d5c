//! What is known of a bot at one moment: what `/api/status` shows as JSON and `/metrics` as samples.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::observe::Spread;

/// How often something happened, by what it was.
pub type Tally = BTreeMap<&'static str, u64>;

/// One bot.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its user name on the platform.
    pub username: String,
    /// Its event stream.
    pub stream: Stream,
    /// Its inbox.
    pub inbox: Inbox,
    /// Its calls of the platform.
    pub rest: Rest,
    /// Its scripts, by name.
    pub scripts: Vec<Script>,
    /// Its voice connections.
    pub voice: Vec<Voice>,
}

/// The event stream.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// `connecting`, `live`, `waiting`, `refused` or `stopped`.
    pub state: &'static str,
    /// For how long it has been live, or waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Which attempt this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why it is not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Connections that were tried.
    pub connects: u64,
    /// Connections, and attempts to make one, that ended, by why.
    pub ended: Tally,
    /// Connections that said where to go on.
    pub resumes: u64,
    /// Places in the stream that were given up.
    pub gaps: u64,
    /// Messages that the stream lost and the history still had.
    pub recovered: u64,
    /// Events that came, by type.
    pub received: Tally,
    /// When the last one came, seconds since 1970.
    pub last_event: Option<f64>,
    /// Events that were left out: `duplicate`, `foreign`, `oversized`.
    pub skipped: Tally,
    /// Times that the author of a message had to be asked for.
    pub lookups: u64,
}

/// The inbox.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// Events appended.
    pub appended: u64,
    /// Deliveries (event and script) that were finished.
    pub done: u64,
    /// Deliveries that a script let go without finishing.
    pub abandoned: u64,
    /// Deliveries dropped at the bound.
    pub dropped: u64,
    /// Events that some script has not taken.
    pub waiting: usize,
    /// Deliveries that are not finished.
    pub unfinished: u64,
    /// Payload bytes of the events that these are of.
    pub unfinished_bytes: u64,
    /// What was asked of the journal and is written.
    pub operations: u64,
    /// How long its transactions took.
    pub commits: Spread,
    /// Those that the disk did not take.
    pub failed_commits: u64,
    /// Bytes of the database's files.
    pub disk_bytes: u64,
    /// Operations on the key-value store, by what came of them.
    pub kv: Tally,
}

/// The calls of the platform.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rest {
    /// Requests on their way, the event stream not counted.
    pub in_flight: usize,
    /// As many may be.
    pub concurrency: usize,
    /// How the limits stand.
    pub interfaces: Vec<Interface>,
    /// Routes that were called.
    pub routes: Vec<Route>,
}

/// The rate limit of an interface.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// `IMessages`.
    pub name: &'static str,
    /// Calls that fit into the window.
    pub limit: u32,
    /// Calls that it holds.
    pub used: usize,
    /// Calls that wait for their turn.
    pub queued: usize,
    /// Calls that the platform refused with 429.
    pub refused: u64,
}

/// What was asked of one route.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// `IMessages/Send`.
    pub name: String,
    /// Requests by HTTP status, `unsent` or `lost`.
    pub requests: BTreeMap<String, u64>,
    /// Of them, those that repeated one that failed.
    pub retries: u64,
    /// Calls that got no turn, by why: `queue_full`, `too_late`.
    pub turned_away: Tally,
    /// From sending a request to the end of its answer.
    pub time: Spread,
    /// How long requests waited for their turn.
    pub wait: Spread,
}

/// A script.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The version that runs; 0 when none does.
    pub version: u64,
    /// One of [`STATES`].
    pub state: &'static str,
    /// Why it does not run.
    pub reason: Option<String>,
    /// When a paused script is tried again, in seconds.
    pub resumes_in: Option<f64>,
    /// Why the last load failed, if it did.
    pub load_error: Option<String>,
    /// Names of its slash commands.
    pub commands: Vec<String>,
    /// Events that its handlers began to work on.
    pub events: u64,
    /// From an event's arrival to the start of its first handler.
    pub lag: Spread,
    /// From the start of an event's first handler to the end of its last.
    pub handling: Spread,
    /// Errors that it did not catch.
    pub errors: u64,
    /// What it was stopped for: `cpu`, `memory`.
    pub stopped: Tally,
    /// What became of its versions.
    pub versions: Tally,
    /// Old versions whose handlers still run.
    pub old_versions: usize,
    /// Events that wait to be taken.
    pub waiting: u64,
    /// Calls that wait for an answer.
    pub calls: u64,
    /// CPU time of its threads.
    pub cpu_seconds: f64,
    /// Bytes of its VM.
    pub memory_bytes: u64,
    /// Lines of the log that were left out.
    pub unlogged: u64,
    /// HTTP requests to other hosts: `answered`, `failed`.
    pub http: Tally,
}

/// The states of a script.
pub const STATES: &[&str] = &["loading", "running", "failed", "paused"];

/// A voice connection.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Voice {
    /// The script that it belongs to.
    pub script: String,
    /// A number of its own among the connections that the script has at the same time, from 1.
    pub slot: usize,
    /// The channel's or call's id; none for a slot that is free.
    pub room: Option<String>,
    /// `joining`, `connected`, `reconnecting`, `over`; `free` for a slot without a connection.
    pub state: &'static str,
    /// Packets that the system has taken.
    pub sent: u64,
    /// Of them, those more than 20 ms after their time.
    pub late: u64,
    /// How long after their time the packets were sent.
    pub lateness: Spread,
    /// Times at which no packet was ready.
    pub missed: u64,
    /// Packets that the socket did not take in time.
    pub dropped: u64,
    /// Packets of silence.
    pub silence: u64,
    /// Times that the socket was lost and opened again.
    pub reconnects: u64,
    /// Packets received.
    pub received: u64,
    /// Received packets that a handler was too slow for.
    pub unheard: u64,
    /// Frames encoded.
    pub encoded: u64,
    /// How long that took.
    pub encode_seconds: f64,
    /// The encoder's complexity now.
    pub complexity: u64,
}
