//! The composition root: builds the rooms, wires them, orders start and shutdown.
//!
//! One process runs several bots; each has its own REST client, inbox, script host and stream. Bots
//! whose embedded server has the same `listen` address share that server and its world.
//!
//! Order of start: REST client and own profile (a refused token ends it here), scripts, commands (unless the
//! server takes long with them), then the stream, so that no event arrives before somebody can handle it. Shutdown goes the other way:
//! the stream closes first, running handlers finish, then everything else.

mod admin;
mod bot;
mod commands;
mod hub;
mod notices;
mod rehearse;
mod shutdown;

pub use rehearse::{RehearsalError, rehearse};
pub use shutdown::Shutdown;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::admin::Roll;
use crate::config::{Config, Foreign, Problem, Secret, ServerUrl};
use crate::observe;
use crate::{sim, voice};
use bot::Connection;

/// How long running handlers may go on after a shutdown was asked for.
const SHUTDOWN_DRAIN: Duration = Duration::from_secs(10);

/// Why the process's work failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded server did not start.
    #[error(transparent)]
    Embedded(#[from] sim::Error),
    /// The admin server did not start.
    #[error(transparent)]
    Admin(#[from] crate::admin::Error),
    /// A fault of the embedded server is none; `check` and `run` say so before they come here.
    #[error("{problem}")]
    Fault {
        /// What is wrong, and where.
        problem: Box<Problem>,
    },
    /// Bots ended that should have gone on; each has said why.
    #[error("{failed} of {all} bots failed")]
    Bots {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
}

/// Runs the bot of each config until `shutdown`, or until every bot has failed.
///
/// # Errors
/// A server could not start, and no bot was started; or a bot failed, and the others went on until the end.
pub async fn run(configs: Vec<Config>, shutdown: Shutdown) -> Result<(), Error> {
    let mut servers = Servers::for_bots(&configs);
    let admins = Admins::start(&configs).await?;
    let mut bots = JoinSet::new();
    // One clock for the voice of every bot.
    let engine = voice::Engine::default();
    let all = configs.len();
    // All of them before the first bot runs: one that cannot start must not end the others in their work.
    let mut connections = Vec::with_capacity(all);
    for config in &configs {
        connections.push(servers.connect(config).await?);
    }
    for (config, connection) in configs.into_iter().zip(connections) {
        let span = tracing::error_span!("bot", bot = %config.bot.name);
        let shutdown = shutdown.clone();
        let roll = admins.roll(&config);
        let engine = engine.clone();
        bots.spawn(
            async move {
                let result = bot::run(config, connection, engine, shutdown, roll).await;
                if let Err(error) = &result {
                    tracing::error!("{error}");
                }
                result.is_ok()
            }
            .instrument(span),
        );
    }

    let mut failed = 0;
    while let Some(ended) = bots.join_next().await {
        // A panic in a bot's task has been printed; the other bots go on.
        failed += usize::from(!ended.unwrap_or(false));
    }
    servers.stop().await;
    match failed {
        0 => Ok(()),
        failed => Err(Error::Bots { failed, all }),
    }
}

/// The admin servers of the process: bots with the same address share one.
struct Admins(HashMap<SocketAddr, (Roll, crate::admin::Server)>);

impl Admins {
    async fn start(configs: &[Config]) -> Result<Self, Error> {
        let mut admins = HashMap::new();
        for config in configs {
            let Some(listen) = config.admin.listen else {
                continue;
            };
            let (roll, _) = match admins.entry(listen) {
                Entry::Occupied(running) => running.into_mut(),
                Entry::Vacant(place) => {
                    let roll = Roll::default();
                    let server = crate::admin::Server::start(listen, roll.clone()).await?;
                    tracing::info!(bot = %config.bot.name, "admin at http://{}/", server.address());
                    place.insert((roll, server))
                }
            };
            roll.expect(&config.bot.name);
        }
        Ok(Self(admins))
    }

    /// Where a bot is entered.
    fn roll(&self, config: &Config) -> Roll {
        let admin = config.admin.listen.and_then(|listen| self.0.get(&listen));
        // Nobody reads the other one.
        admin.map_or_else(Roll::default, |(roll, _)| roll.clone())
    }
}

/// What the bots at one embedded server want of it, all together.
#[derive(Default)]
struct Wanted {
    /// Their names.
    bots: HashSet<String>,
    /// The faults of all of them.
    faults: Vec<Foreign>,
    /// The one seed that any of them names.
    chaos: Option<u64>,
    /// The one state file that any of them names.
    state: Option<PathBuf>,
}

/// The embedded servers of the process, each started on first use.
struct Servers {
    running: HashMap<SocketAddr, sim::Server>,
    /// What the bots at each server want of it.
    wanted: HashMap<SocketAddr, Wanted>,
    /// Those whose world is kept in a file.
    kept: HashSet<SocketAddr>,
    /// Shows their pages what the host logs.
    notices: JoinSet<()>,
}

impl Servers {
    fn for_bots(configs: &[Config]) -> Self {
        let mut wanted: HashMap<_, Wanted> = HashMap::new();
        for config in configs {
            if let ServerUrl::Embedded = config.server.url {
                let wanted = wanted.entry(config.server.listen).or_default();
                wanted.bots.insert(config.bot.name.clone());
                wanted.faults.extend(config.server.faults.clone());
                wanted.chaos = wanted.chaos.or(config.server.chaos);
                wanted.state = wanted.state.take().or_else(|| config.server.state.clone());
            }
        }
        let kept = wanted.iter().filter(|(_, wanted)| wanted.state.is_some());
        Self {
            running: HashMap::new(),
            kept: kept.map(|(listen, _)| *listen).collect(),
            wanted,
            notices: JoinSet::new(),
        }
    }

    /// Where a bot connects to: the given server, or the embedded one.
    async fn connect(&mut self, config: &Config) -> Result<Connection, Error> {
        match &config.server.url {
            ServerUrl::Remote(url) => Ok(Connection {
                base_url: url.clone(),
                // The config has a token, or it would not have been loaded.
                token: config.bot.token.clone().unwrap_or_else(|| Secret::new("")),
                embedded: false,
                passing: false,
            }),
            ServerUrl::Embedded => {
                let passing = !self.kept.contains(&config.server.listen);
                let server = self.embedded(config).await?;
                Ok(Connection {
                    base_url: server.base_url(),
                    // Verified, so that everything can be tried without an account.
                    token: server.add_bot(&config.bot.name, true).token,
                    embedded: true,
                    passing,
                })
            }
        }
    }

    async fn embedded(&mut self, config: &Config) -> Result<&sim::Server, Error> {
        let listen = config.server.listen;
        let place = match self.running.entry(listen) {
            Entry::Occupied(running) => return Ok(running.into_mut()),
            Entry::Vacant(place) => place,
        };
        let wanted = self.wanted.remove(&listen).unwrap_or_default();
        let server = sim::Server::start(sim::Settings {
            listen,
            state: wanted.state,
            quirks: sim::Quirks::of(config.server.dialect),
            ..sim::Settings::default()
        })
        .await?;
        for spec in &wanted.faults {
            let fault = spec.text.parse().map_err(|error| Error::Fault {
                problem: Box::new(spec.problem(format!("{error}"))),
            })?;
            server.arm(fault);
        }
        if let Some(seed) = wanted.chaos {
            server.unleash(seed);
        }
        let notices = notices::forward(observe::tap(), server.notices(), wanted.bots);
        self.notices.spawn(notices);
        tracing::info!(bot = %config.bot.name, "playground at {}/", server.base_url());
        Ok(place.insert(server))
    }

    async fn stop(self) {
        for server in self.running.into_values() {
            server.stop().await;
        }
    }
}
