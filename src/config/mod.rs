//! bot.toml and the environment as plain structs, one per section.
//!
//! [`load`] reads one file and either gives a whole [`Config`] with every default filled in and every
//! path resolved, or every problem of the file at once, each with line, column and a remedy. The
//! file is parsed into a tree with positions (`toml`'s own), which is then walked against one table of
//! keys ([`keys::SECTIONS`]); a key that is not in the table cannot be read, and is an error in the file.
//!
//! A token lives in a [`Secret`], and source lines that may show one are masked before they are shown.

mod address;
mod bot;
mod conflicts;
mod expand;
mod files;
mod hosts;
pub mod keys;
mod load;
mod mask;
mod permissions;
mod problem;
mod read;
mod secret;
pub mod suggest;
pub mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::contract::Intent;

pub use address::is_loopback;
pub use conflicts::conflicts;
pub use expand::Env;
pub use files::{FindError, find};
pub use hosts::{Hosts, literal};
pub use load::{Inspection, inspect, load};
pub use permissions::Permissions;
pub use problem::{Excerpt, Problem, Severity, Source};
pub use secret::Secret;

/// One bot, as its file describes it. Paths are resolved against the file's folder.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// `[bot]`.
    pub bot: Bot,
    /// `[server]`.
    pub server: Server,
    /// `[events]`.
    pub events: Events,
    /// `[scripts]`.
    pub scripts: Scripts,
    /// `[limits]`: what applies to scripts without limits of their own.
    pub limits: Limits,
    /// `[script.NAME]` by name; see [`Config::script`] for scripts that the file does not mention.
    pub script: BTreeMap<String, Script>,
    /// `[state]`.
    pub state: State,
    /// `[admin]`.
    pub admin: Admin,
}

impl Config {
    /// The settings of a script, defaults when the file does not mention it.
    pub fn script(&self, name: &str) -> Script {
        self.script.get(name).cloned().unwrap_or_else(|| Script {
            limits: self.limits.clone(),
            ..Script::default()
        })
    }
}

/// `[bot]`: who the bot is.
#[derive(Debug, Clone)]
pub struct Bot {
    /// Label in logs and metrics; default: the file's name without extension.
    pub name: String,
    /// The token from `token` or `token_file`. `None` only with the embedded server.
    pub token: Option<Secret>,
}

/// `[server]`: whom the bot talks to.
#[derive(Debug, Clone)]
pub struct Server {
    /// Default: the embedded server.
    pub url: ServerUrl,
    /// Where the embedded server listens; default 127.0.0.1:7400, port 0 is any free port.
    pub listen: SocketAddr,
    /// How the embedded server behaves; default [`Dialect::Server`].
    pub dialect: Dialect,
    /// What goes wrong in the embedded server from its start on; the server's room reads them.
    pub faults: Vec<Foreign>,
    /// The seed of random faults in the embedded server.
    pub chaos: Option<u64>,
    /// The file that the embedded server keeps its world in.
    pub state: Option<PathBuf>,
}

/// What the embedded server follows where the platform's server and its documentation disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// What the server does.
    #[default]
    Server,
    /// What the documentation says.
    Documented,
}

impl Dialect {
    /// Its names.
    pub const NAMES: [&str; 2] = ["server", "documented"];

    /// The dialect of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "server" => Some(Self::Server),
            "documented" => Some(Self::Documented),
            _ => None,
        }
    }
}

/// A text that another room reads. It remembers its place, for what that room has to say about it.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// The text, expanded.
    pub text: String,
    /// An error at its place without a message.
    place: Problem,
}

impl Foreign {
    /// What is wrong with the text.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            message: message.into(),
            ..self.place.clone()
        }
    }
}

/// The server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerUrl {
    /// The server inside this program.
    Embedded,
    /// An http or https base URL without a trailing slash.
    Remote(String),
}

/// `[events]`: what the bot hears.
#[derive(Debug, Clone)]
pub struct Events {
    /// Default: [`Intents::Auto`].
    pub intents: Intents,
    /// How old a lost message may be that is fetched from the history; default 10 min, zero for none.
    pub catch_up: Duration,
}

/// The intents of the stream.
#[derive(Debug, Clone)]
pub enum Intents {
    /// What the scripts' handlers need.
    Auto,
    /// Exactly these, at least one.
    Only(Vec<&'static Intent>),
}

/// Whether a changed script is loaded again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reload {
    /// `true`: the system tells of changes.
    #[default]
    Watched,
    /// `"poll"`: the folder is looked through now and then.
    Polled,
    /// `false`.
    Off,
}

/// `[scripts]`: where scripts are and how they are replaced.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// The folder; default `scripts`.
    pub dir: PathBuf,
    /// Whether and how a changed script is loaded again.
    pub reload: Reload,
    /// How long handlers of a replaced version may go on; default 10 s.
    pub drain: Duration,
    /// How many of a new version's first events must fail for the one before to come back; default 3,
    /// 0 is never.
    pub rollback: usize,
}

/// The most memory that a script may be given, in bytes: with more, a single native of Luau could run for
/// longer than a tenth of a second, in which nothing can end the script (`cargo bench --bench vm -- natives`).
pub const MOST_MEMORY: u64 = 128 << 20;

/// `[limits]`, or `[script.NAME.limits]` over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the script's VM in bytes; default 64 MiB.
    pub memory: u64,
    /// CPU time of one handler run; default 2 s.
    pub cpu_per_event: Duration,
    /// How long the script's top level may take; default 5 s.
    pub load_time: Duration,
    /// Handler runs at the same time; default 1000.
    pub handlers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu_per_event: Duration::from_secs(2),
            load_time: Duration::from_secs(5),
            handlers: 1000,
        }
    }
}

/// `[script.NAME]`: one script.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Whether it is loaded; default true.
    pub enabled: bool,
    /// What arrives as `script.config`; default an empty object. Dates are strings.
    pub config: serde_json::Value,
    /// API calls it may make; default `*`.
    pub allow: Vec<String>,
    /// API calls it may not make; default none.
    pub deny: Vec<String>,
    /// Hosts it may call over HTTP; default none.
    pub http: Hosts,
    /// The most of each rate limit that it may use, in (0, 1]; default 1.
    pub rate_share: f64,
    /// Its limits: `[limits]` with `[script.NAME.limits]` over it.
    pub limits: Limits,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            enabled: true,
            config: serde_json::Value::Object(serde_json::Map::new()),
            allow: vec!["*".to_owned()],
            deny: Vec::new(),
            http: Hosts::default(),
            rate_share: 1.0,
            limits: Limits::default(),
        }
    }
}

/// `[state]`: what survives a restart.
#[derive(Debug, Clone)]
pub struct State {
    /// The folder; default `.argon`.
    pub dir: PathBuf,
    /// Payload bytes of events that scripts are not done with; default 256 MiB.
    pub backlog: u64,
    /// Bytes of one script's key-value store; default 64 MiB.
    pub kv: u64,
    /// Whether storing waits for the disk, so that it survives a power cut; default no.
    pub sync_full: bool,
    /// Fields that recordings leave out: paths such as `message.text`; default none.
    pub redact: Vec<String>,
}

/// `[admin]`: local HTTP for people who run the host.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where to listen; off when `None`, the default.
    pub listen: Option<SocketAddr>,
}
