//! The scripts of one bot, for the rest of the program.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime;
use tokio::sync::watch;

use super::Trouble;
use super::budget::Allowed;
use super::commands::Registered;
use super::guest::Birth;
use super::registry::{Identity, Registrations, Shared, State, Status};
use super::thread::{self, Mail, Mailbox};
use crate::config::{Hosts, Permissions};
use crate::fetch;
use crate::inbox::Inbox;
use crate::modules::{Found, chunk_name, discover};
use crate::rest;
use crate::voice;

/// How long [`Host::stop`] waits beyond the drain time for a thread that does not come back.
const GRACE: Duration = Duration::from_secs(1);

/// How the scripts of a bot are set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The scripts folder.
    pub dir: PathBuf,
    /// Settings of single scripts, by name; the others have the defaults.
    pub scripts: BTreeMap<String, ScriptSettings>,
    /// The settings of a script that `scripts` does not name.
    pub default: ScriptSettings,
    /// The bot's voice; without it, scripts have none.
    pub voice: Option<voice::Host>,
}

/// How one script is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptSettings {
    /// Whether it is loaded at all.
    pub enabled: bool,
    /// What arrives as `script.config`.
    pub config: Value,
    /// The most of each rate limit that it may use, above 0 and at most 1.
    pub rate_share: f64,
    /// How long its top level may keep the bot from starting, and its CPU time until its first wait.
    pub load_time: Duration,
    /// Handlers that may run at once.
    pub handlers: usize,
    /// Bytes of live data that its VM may hold.
    pub memory: usize,
    /// CPU time of one handler run, all its slices and the coroutines it starts together.
    pub cpu_per_event: Duration,
    /// The API calls that it may make.
    pub permissions: Permissions,
    /// The hosts that it may call over HTTP.
    pub http: Hosts,
}

impl Default for ScriptSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            config: Value::Object(serde_json::Map::new()),
            rate_share: 1.0,
            load_time: Duration::from_secs(5),
            handlers: 1000,
            memory: 64 << 20,
            cpu_per_event: Duration::from_secs(2),
            permissions: Permissions::default(),
            http: Hosts::default(),
        }
    }
}

/// Why the scripts folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the scripts folder {}: {source}", dir.display())]
pub struct LoadError {
    /// The folder.
    pub dir: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// How a script is doing.
#[derive(Debug, Clone)]
pub struct Report {
    /// The script's name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Where it stands.
    pub state: State,
    /// Events that its handlers began to work on.
    pub events: u64,
    /// Errors that it did not catch.
    pub errors: u64,
    /// Runs that were ended because they used more CPU time than they may.
    pub ended: u64,
    /// CPU time of its thread; a little late.
    pub cpu: Duration,
    /// Bytes of its VM, garbage included; a little late.
    pub memory: u64,
    /// Names of its slash commands.
    pub commands: Vec<String>,
}

struct Script {
    name: String,
    path: PathBuf,
    load_time: Duration,
    mailbox: Arc<Mailbox>,
    status: Arc<Status>,
    state: watch::Receiver<State>,
}

/// The loaded scripts of one bot, a thread each.
pub struct Host {
    scripts: Vec<Script>,
    shared: Arc<Shared>,
}

impl Host {
    /// Loads every script of the folder that is not disabled, and waits until each top level has ended
    /// or failed, at most [`ScriptSettings::load_time`]: a script that takes longer counts as loaded, and what
    /// it registers later is added then. A script that fails does not keep the others from loading; see
    /// [`Host::reports`].
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn load(
        settings: Settings,
        rest: rest::Client,
        inbox: Arc<Inbox>,
        runtime: runtime::Handle,
    ) -> Result<Self, LoadError> {
        let unreadable = |source| LoadError {
            dir: settings.dir.clone(),
            source,
        };
        let root = settings.dir.canonicalize().map_err(unreadable)?;
        let found = discover(&root).map_err(unreadable)?;
        for name in settings.scripts.keys() {
            if !found.iter().any(|script| script.name == *name) {
                tracing::warn!(target: "script", script = %name,
                    "[script.{name}] is configured, but {} has no such script", settings.dir.display());
            }
        }
        let shared = Shared::new();
        let mut scripts = Vec::new();
        for script in found {
            let options = settings
                .scripts
                .get(&script.name)
                .unwrap_or(&settings.default);
            if !options.enabled {
                tracing::debug!(target: "script", script = %script.name, "disabled");
                continue;
            }
            let mailbox = Arc::new(Mailbox::default());
            let status = Arc::new(Status::default());
            let (sender, state) = watch::channel(State::Loading);
            scripts.push(Script {
                name: script.name.clone(),
                path: script.path.clone(),
                load_time: options.load_time,
                mailbox: Arc::clone(&mailbox),
                status: Arc::clone(&status),
                state,
            });
            if let Some(rival) = script.rivals.first() {
                sender.send_replace(State::Failed(rivals(&root, &script, rival)));
                continue;
            }
            let birth = Birth {
                http: fetch::Client::new(&script.name, options.http.clone()),
                name: script.name,
                root: root.clone(),
                entry: script.path,
                config: options.config.clone(),
                rest: rest.clone(),
                caller: rest.caller(options.rate_share),
                runtime: runtime.clone(),
                mailbox,
                shared: Arc::clone(&shared),
                status,
                handlers: options.handlers,
                allowed: Allowed {
                    memory: options.memory,
                    cpu_per_event: options.cpu_per_event,
                    load_time: options.load_time,
                },
                permissions: options.permissions.clone(),
                kv: inbox.kv(),
                voice: settings.voice.clone(),
            };
            let failed = sender.clone();
            if let Err(error) = thread::spawn(birth, Arc::clone(&inbox), sender) {
                let trouble = Trouble::plain(format!("its thread cannot be started: {error}"));
                failed.send_replace(State::Failed(trouble));
            }
        }
        let host = Self { scripts, shared };
        host.wait_for_loading().await;
        Ok(host)
    }

    async fn wait_for_loading(&self) {
        let begun = tokio::time::Instant::now();
        for script in &self.scripts {
            let deadline = begun + script.load_time;
            let mut state = script.state.clone();
            let loaded = state.wait_for(|state| *state != State::Loading);
            if tokio::time::timeout_at(deadline, loaded).await.is_err() {
                tracing::warn!(target: "script", script = %script.name,
                    "its top level still runs after {} s; going on without waiting for it",
                    script.load_time.as_secs_f64());
            }
        }
    }

    /// How each script is doing, by name.
    pub fn reports(&self) -> Vec<Report> {
        let registrations = self.shared.registrations();
        let registrations = registrations.borrow();
        self.scripts
            .iter()
            .map(|script| Report {
                name: script.name.clone(),
                path: script.path.clone(),
                state: script.state.borrow().clone(),
                events: script.status.events.load(Ordering::Relaxed),
                errors: script.status.errors.load(Ordering::Relaxed),
                ended: script.status.ended.load(Ordering::Relaxed),
                cpu: Duration::from_micros(script.status.cpu.load(Ordering::Relaxed)),
                memory: script.status.memory.load(Ordering::Relaxed),
                commands: registrations
                    .commands
                    .iter()
                    .filter(|command| command.script == script.name)
                    .map(|command| command.name.clone())
                    .collect(),
            })
            .collect()
    }

    /// Lets the scripts have events from now on. The identity is needed to leave out the bot's own
    /// messages.
    pub fn open(&self, identity: Identity) {
        self.shared.set_identity(identity);
        self.shared.open.store(true, Ordering::Release);
        for script in &self.scripts {
            script.mailbox.post(Mail::Open);
        }
    }

    /// What the scripts have registered; changes when a script registers more later.
    pub fn registrations(&self) -> watch::Receiver<Registrations> {
        self.shared.registrations()
    }

    /// Tells the scripts which ids the platform gave their commands. Until then a command interaction
    /// goes by name and space.
    pub fn commands_are(&self, commands: &[Registered]) {
        self.shared.set_command_ids(commands);
    }

    /// Takes no more events, lets running handlers and calls finish for at most `drain`, then ends the
    /// threads. Then what Luau still runs ends with an error at its next safepoint.
    pub async fn stop(mut self, drain: Duration) {
        let now = Instant::now();
        let end = now.checked_add(drain).unwrap_or(now);
        for script in &self.scripts {
            script.mailbox.post(Mail::Stop(end));
        }
        let deadline = tokio::time::Instant::from_std(end) + GRACE;
        for mut script in std::mem::take(&mut self.scripts) {
            // The thread drops the sender when it ends.
            let ended = async { while script.state.changed().await.is_ok() {} };
            tokio::pin!(ended);
            if tokio::time::timeout_at(deadline, &mut ended).await.is_ok() {
                continue;
            }
            script.mailbox.end();
            if tokio::time::timeout(GRACE, ended).await.is_err() {
                tracing::warn!(target: "script", script = %script.name,
                    "the script does not come to an end; it is left behind");
            }
        }
    }
}

impl Drop for Host {
    /// Ends the threads without waiting for anything.
    fn drop(&mut self) {
        for script in &self.scripts {
            script.mailbox.post(Mail::Stop(Instant::now()));
        }
    }
}

fn rivals(root: &std::path::Path, script: &Found, rival: &std::path::Path) -> Trouble {
    Trouble::plain(format!(
        "{} and {} are both called {:?}: rename one of them",
        chunk_name(root, rival),
        chunk_name(root, &script.path),
        script.name
    ))
}
