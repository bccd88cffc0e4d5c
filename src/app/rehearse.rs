//! `argon-host replay`: a recording runs through the script as it is now, without a connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime;

use super::bot;
use crate::config::{Config, Secret};
use crate::contract::Route;
use crate::inbox::{self, Inbox, Recording};
use crate::rest;
use crate::script::{self, Findings, Rehearsal, Trouble};

/// Nobody answers there; nothing is asked either.
const NOWHERE: &str = "http://127.0.0.1:9";

/// How long the script is given to end afterwards.
const DRAIN: Duration = Duration::ZERO;

/// Why a recording could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The script is gone.
    #[error("there is no script {0:?} any more, whose event it was")]
    Gone(String),
    /// The script does not load.
    #[error("the script does not load: {0}")]
    Failed(Box<Trouble>),
    /// The scripts folder cannot be read.
    #[error(transparent)]
    Scripts(#[from] script::LoadError),
    /// There is no memory or no thread.
    #[error(transparent)]
    State(#[from] inbox::OpenError),
    /// The client that sends nothing cannot be built.
    #[error("{0}")]
    Client(rest::Error),
}

/// Runs a recording. What happens is logged.
///
/// # Errors
/// See [`RehearsalError`].
pub async fn rehearse(config: &Config, recording: &Recording) -> Result<Findings, RehearsalError> {
    let rehearsal = Rehearsal::new(recording);
    let client = rest::Client::new(rest::Settings {
        base_url: NOWHERE.to_owned(),
        token: Secret::new("none"),
        segment: rest::limiter::Timing::SEGMENT,
        observer: Arc::new(Nobody),
    })
    .map_err(RehearsalError::Client)?;
    let inbox = Inbox::of_recording(recording)?;
    let mut settings = bot::script_settings(config, None);
    settings.keep_only(&recording.script);
    settings.reload.watch = None;
    settings.clock = script::Clock::at(recording.received);
    settings.rehearsal = Some(Arc::clone(&rehearsal));
    let scripts = script::Host::load(
        settings,
        client,
        Arc::clone(&inbox),
        runtime::Handle::current(),
    );
    let scripts = scripts.await?;
    let report = (scripts.reports().into_iter()).find(|report| report.name == recording.script);
    let result = match report {
        None => Err(RehearsalError::Gone(recording.script.clone())),
        Some(report) => match report.state {
            script::State::Failed(trouble) => Err(RehearsalError::Failed(Box::new(trouble))),
            _ => {
                scripts.open(script::Identity {
                    user_id: recording.bot.clone(),
                    username: String::new(),
                });
                Ok(rehearsal.over().await)
            }
        },
    };
    scripts.stop(DRAIN).await;
    inbox.close().await;
    result
}

/// Hears of what the client did: nothing.
struct Nobody;

impl rest::Observer for Nobody {
    fn succeeded(&self, _: &'static Route, _: &Bytes) {}
    fn unauthorized(&self) {}
}
