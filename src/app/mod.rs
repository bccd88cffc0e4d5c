//! The composition root: builds the rooms, wires them, orders start and shutdown.
//!
//! One process runs several bots; each has its own REST client, inbox, script host and stream. Bots
//! whose embedded server has the same `listen` address share that server and its world.
//!
//! Order of start: REST client and own profile (a refused token ends it here), scripts, commands, then
//! the stream, so that no event arrives before somebody can handle it. Shutdown goes the other way:
//! the stream closes first, running handlers finish, then everything else.

mod bot;
mod hub;
mod shutdown;

pub use shutdown::Shutdown;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::config::{Config, Problem, Secret, ServerUrl};
use crate::sim;
use bot::Connection;

/// How long running handlers may go on after a shutdown was asked for.
const SHUTDOWN_DRAIN: Duration = Duration::from_secs(10);

/// Why the process's work failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded server did not start.
    #[error(transparent)]
    Embedded(#[from] sim::Error),
    /// A fault of the embedded server is none; `check` and `run` say so before they come here.
    #[error("{problem}")]
    Fault {
        /// What is wrong, and where.
        problem: Problem,
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
/// An embedded server could not start, or a bot failed; the others went on until the end.
pub async fn run(configs: Vec<Config>, shutdown: Shutdown) -> Result<(), Error> {
    let servers = embedded_servers(&configs).await?;
    let mut bots = JoinSet::new();
    let all = configs.len();
    for config in configs {
        let connection = connect(&config, &servers);
        let span = tracing::error_span!("bot", bot = %config.bot.name);
        let shutdown = shutdown.clone();
        bots.spawn(
            async move {
                let result = bot::run(config, connection, shutdown).await;
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
    for server in servers.into_values() {
        server.stop().await;
    }
    match failed {
        0 => Ok(()),
        failed => Err(Error::Bots { failed, all }),
    }
}

/// Starts every embedded server that a config asks for. Those that share an address share the server:
/// the faults of all of them are armed, and the one `state` that they name is its state.
async fn embedded_servers(configs: &[Config]) -> Result<HashMap<SocketAddr, sim::Server>, Error> {
    let embedded = |config: &&Config| config.server.url == ServerUrl::Embedded;
    let mut servers = HashMap::new();
    for config in configs.iter().filter(embedded) {
        let listen = config.server.listen;
        let Entry::Vacant(place) = servers.entry(listen) else {
            continue;
        };
        let server = sim::Server::start(sim::Settings {
            listen,
            ..sim::Settings::default()
        })
        .await?;
        let sharers = configs.iter().filter(embedded);
        for sharer in sharers.filter(|sharer| sharer.server.listen == listen) {
            for spec in &sharer.server.faults {
                let fault = spec.text.parse().map_err(|error| Error::Fault {
                    problem: spec.problem(format!("{error}")),
                })?;
                server.arm(fault);
            }
            if let Some(seed) = sharer.server.chaos {
                server.unleash(seed);
            }
        }
        tracing::info!(bot = %config.bot.name, "playground at {}/", server.base_url());
        place.insert(server);
    }
    Ok(servers)
}

/// Where a bot connects to: the given server, or the embedded one at its address.
fn connect(config: &Config, servers: &HashMap<SocketAddr, sim::Server>) -> Connection {
    match &config.server.url {
        ServerUrl::Remote(url) => Connection {
            base_url: url.clone(),
            // The config has a token, or it would not have been loaded.
            token: config.bot.token.clone().unwrap_or_else(|| Secret::new("")),
            embedded: false,
        },
        ServerUrl::Embedded => {
            // `embedded_servers` has started one at every such address.
            let server = &servers[&config.server.listen];
            Connection {
                base_url: server.base_url(),
                // Verified, so that everything can be tried without an account.
                token: server.add_bot(&config.bot.name, true).token,
                embedded: true,
            }
        }
    }
}
