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

use crate::config::{Config, Secret, ServerUrl};
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
    let mut servers = HashMap::new();
    let mut bots = JoinSet::new();
    // One clock for the voice of every bot.
    let engine = voice::Engine::default();
    let all = configs.len();
    for config in configs {
        let connection = connect(&config, &mut servers).await?;
        let span = tracing::error_span!("bot", bot = %config.bot.name);
        let shutdown = shutdown.clone();
        let engine = engine.clone();
        bots.spawn(
            async move {
                let result = bot::run(config, connection, engine, shutdown).await;
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

/// Where a bot connects to: the given server, or the embedded one, started on first use.
async fn connect(
    config: &Config,
    servers: &mut HashMap<SocketAddr, sim::Server>,
) -> Result<Connection, Error> {
    match &config.server.url {
        ServerUrl::Remote(url) => Ok(Connection {
            base_url: url.clone(),
            // The config has a token, or it would not have been loaded.
            token: config.bot.token.clone().unwrap_or_else(|| Secret::new("")),
            embedded: false,
        }),
        ServerUrl::Embedded => {
            let server = match servers.entry(config.server.listen) {
                Entry::Occupied(running) => running.into_mut(),
                Entry::Vacant(place) => {
                    let server = sim::Server::start(sim::Settings {
                        listen: config.server.listen,
                        ..sim::Settings::default()
                    })
                    .await?;
                    tracing::info!(bot = %config.bot.name, "playground at {}/", server.base_url());
                    place.insert(server)
                }
            };
            Ok(Connection {
                base_url: server.base_url(),
                // Verified, so that everything can be tried without an account.
                token: server.add_bot(&config.bot.name, true).token,
                embedded: true,
            })
        }
    }
}
