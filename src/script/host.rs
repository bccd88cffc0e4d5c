//! The scripts of one bot, for the rest of the program.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::clock::Clock;
use super::commands::Registered;
use super::keeper::{Keeper, Reloaded, Request};
use super::registry::{Identity, Registrations, Shared, State};
use super::rehearsal::Rehearsal;
use super::reload::Watch;
use super::scripts::Register;
use super::status::Counts;
use super::thread::{Mail, Unfinished};
use super::transaction::Stage;
use crate::config::{Hosts, Permissions};
use crate::inbox::Inbox;
use crate::modules::discover;
use crate::rest;
use crate::voice;

/// How long [`Host::stop`] waits beyond the drain time for a thread that does not come back.
const GRACE: Duration = Duration::from_secs(1);
/// Requests that wait for the keeper; further ones wait to be accepted.
const REQUESTS: usize = 16;

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
    /// How versions are replaced.
    pub reload: ReloadSettings,
    /// What their timers go by.
    pub clock: Clock,
    /// The recording that they run on, if nothing they ask may leave the process.
    pub rehearsal: Option<Arc<Rehearsal>>,
}

impl Settings {
    /// Every script of that folder with the defaults, without voice.
    pub fn of_folder(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            scripts: BTreeMap::new(),
            default: ScriptSettings::default(),
            voice: None,
            reload: ReloadSettings::default(),
            clock: Clock::default(),
            rehearsal: None,
        }
    }

    /// Leaves every other script out.
    pub fn keep_only(&mut self, script: &str) {
        let mut options = self.of(script).clone();
        options.enabled = true;
        self.scripts = BTreeMap::from([(script.to_owned(), options)]);
        self.default.enabled = false;
    }

    /// The settings of a script.
    pub(super) fn of(&self, script: &str) -> &ScriptSettings {
        self.scripts.get(script).unwrap_or(&self.default)
    }
}

/// How versions of scripts are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadSettings {
    /// How changes of the folder are noticed; `None` leaves it to those who ask for a reload.
    pub watch: Option<Watch>,
    /// How long the handlers of a replaced version may go on.
    pub drain: Duration,
    /// How many of a new version's first events must fail for the version before to come back; 0 is never.
    pub rollback: usize,
}

impl Default for ReloadSettings {
    fn default() -> Self {
        Self {
            watch: None,
            drain: Duration::from_secs(10),
            rollback: 3,
        }
    }
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
    /// The version that runs; 0 when none does.
    pub version: u64,
    /// Where it stands.
    pub state: State,
    /// Why the last load failed, if it did; an older version may run all the same.
    pub failure: Option<super::Trouble>,
    /// What it has counted, over all its versions.
    pub counts: Counts,
    /// Events that wait to be taken.
    pub waiting: u64,
    /// Old versions whose handlers still run.
    pub leaving: usize,
    /// For a paused script, when it is tried again.
    pub paused_until: Option<Instant>,
    /// Names of its slash commands.
    pub commands: Vec<String>,
}

/// The loaded scripts of one bot, a thread each.
pub struct Host {
    handle: Handle,
    clock: Clock,
    keeper: JoinHandle<()>,
}

/// Asks about the scripts of a bot, and for reloads. Cheap to clone; it does not keep them running.
#[derive(Clone)]
pub struct Handle {
    scripts: Register,
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

impl Deref for Host {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Host {
    /// Loads every script of the folder that is not disabled, and waits until each top level has ended
    /// or failed, at most [`ScriptSettings::load_time`]: a script that takes longer counts as loaded, and what
    /// it registers later is added then. A script that fails does not keep the others from loading; see
    /// [`Host::reports`]. From then on the scripts are looked after: as [`ReloadSettings`] says, those
    /// that change are replaced.
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
        let scripts = Register::default();
        let stage = Stage {
            rest,
            inbox,
            runtime,
            shared: Arc::clone(&shared),
            scripts: scripts.clone(),
            voice: settings.voice.clone(),
            clock: settings.clock.clone(),
            started: settings.clock.calendar(),
            rehearsal: settings.rehearsal.clone(),
            drain: settings.reload.drain,
        };
        let clock = settings.clock.clone();
        let mut keeper = Keeper::new(settings, root, stage);
        keeper.load_all(found).await;
        let (requests, wishes) = mpsc::channel(REQUESTS);
        let keeper = tokio::spawn(keeper.run(wishes).in_current_span());
        let handle = Handle {
            scripts,
            shared,
            requests,
        };
        Ok(Self {
            handle,
            clock,
            keeper,
        })
    }

    /// Leaves out some time by the scripts' clock, as if it had passed.
    pub fn advance(&self, time: Duration) {
        self.clock.skip(time);
        for script in self.scripts.lock().all.values() {
            if let Some(version) = &script.active {
                // To look at the clock again.
                version.post(Mail::Open);
            }
        }
    }

    /// A handle that can be given away.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Lets the scripts have events from now on. The identity is needed to leave out the bot's own
    /// messages.
    pub fn open(&self, identity: Identity) {
        self.shared.set_identity(identity);
        self.shared.open.store(true, Ordering::Release);
        for script in self.scripts.lock().all.values() {
            if let Some(version) = &script.active {
                version.post(Mail::Open);
            }
        }
    }

    /// Changes whenever versions have had their turn; [`Handle::reports`] says which run now.
    pub fn swaps(&self) -> watch::Receiver<u64> {
        self.shared.swaps.subscribe()
    }

    /// What the scripts have registered; changes when a script registers more later.
    pub fn registrations(&self) -> watch::Receiver<Registrations> {
        self.shared.registrations()
    }

    /// Takes no more events, lets running handlers and calls finish for at most `drain`, then ends the
    /// threads: what Luau still runs ends with an error at its next safepoint. Events whose handlers have
    /// not finished come again at the next start.
    pub async fn stop(mut self, drain: Duration) {
        let now = Instant::now();
        let end = now.checked_add(drain).unwrap_or(now);
        self.keeper.abort();
        // A load that was under way ends with it.
        let _ = (&mut self.keeper).await;
        let versions: Vec<_> = {
            let mut scripts = self.scripts.lock();
            let active = scripts
                .all
                .iter_mut()
                .filter_map(|(name, script)| Some((name.clone(), script.active.take()?)));
            let mut versions: Vec<_> = active.collect();
            let leaving = scripts.leaving.drain(..);
            versions.extend(leaving.map(|leaving| (leaving.script, leaving.version)));
            versions
        };
        for (_, version) in &versions {
            version.stop(end, Unfinished::ComesAgain);
        }
        let deadline = tokio::time::Instant::from_std(end) + GRACE;
        for (name, version) in versions {
            if version.ended(deadline).await {
                continue;
            }
            version.cut_off();
            let last = tokio::time::Instant::now() + GRACE;
            if !version.ended(last).await {
                tracing::warn!(target: "script", script = %name,
                    "the script does not come to an end; it is left behind");
            }
        }
    }
}

impl Handle {
    /// Tells the scripts which ids the platform gave their commands. Until then a command interaction
    /// goes by name and space.
    pub fn commands_are(&self, commands: &[Registered]) {
        self.shared.set_command_ids(commands);
    }

    /// The platform gave this command an id, beside those of the others.
    pub fn command_is(&self, command: &Registered) {
        self.shared.add_command_id(command);
    }

    /// Whether all that the scripts register is known: none loads still, and none is without a version that
    /// runs because it failed. A script that is paused, or whose new version failed, has what it had.
    pub fn are_settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// Completes when [`Handle::are_settled`].
    pub async fn settled(&self) {
        let mut swaps = self.shared.swaps.subscribe();
        // One after the other: all of them have to settle.
        while let Some(state) = self.unsettled() {
            let loaded = async {
                let is_over = match state {
                    Some(mut state) => state
                        .wait_for(|state| *state == State::Loaded)
                        .await
                        .is_ok(),
                    None => false,
                };
                // What has failed can only be followed by another version.
                if !is_over {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = loaded => {}
                swapped = swaps.changed() => if swapped.is_err() {
                    std::future::pending::<()>().await;
                },
            }
        }
    }

    /// A script of which it is not known what it registers: how its version is doing, if it has one.
    fn unsettled(&self) -> Option<Option<watch::Receiver<State>>> {
        let scripts = self.scripts.lock();
        let mut unsettled = (scripts.all.values())
            .filter(|script| matches!(script.state(), State::Loading | State::Failed(_)));
        let script = unsettled.next()?;
        Some(script.active.as_ref().map(|version| version.states()))
    }

    /// How each script is doing, by name.
    pub fn reports(&self) -> Vec<Report> {
        // A copy: whoever changes them may hold the scripts, and would wait for what is borrowed here.
        let registrations = self.shared.registrations().borrow().clone();
        let scripts = self.scripts.lock();
        scripts
            .all
            .iter()
            .map(|(name, script)| Report {
                name: name.clone(),
                path: script
                    .tried
                    .as_ref()
                    .map(|tried| tried.path.clone())
                    .unwrap_or_default(),
                version: script.active.as_ref().map_or(0, |version| version.number),
                state: script.state(),
                failure: script.failure.clone(),
                counts: script.status.read(),
                waiting: script.place.as_ref().map_or(0, |place| place.waiting()),
                leaving: scripts
                    .leaving
                    .iter()
                    .filter(|leaving| leaving.script == *name && !leaving.version.has_ended())
                    .count(),
                paused_until: script.quarantine.pause().map(|pause| pause.until),
                commands: registrations
                    .commands
                    .iter()
                    .filter(|command| command.script == *name)
                    .map(|command| command.name.clone())
                    .collect(),
            })
            .collect()
    }

    /// Loads a script again, or every script, whether or not its files have changed. Completes when the new
    /// versions run, or have failed.
    ///
    /// # Errors
    /// A sentence: there is no such script, or the scripts have ended.
    pub async fn reload(&self, script: Option<&str>) -> Result<Vec<Reloaded>, String> {
        self.ask(|reply| Request::Reload(script.map(str::to_owned), reply))
            .await
    }

    /// Lets a script run again that was paused.
    ///
    /// # Errors
    /// A sentence: the script is not paused, there is none of that name, or the scripts have ended.
    pub async fn resume(&self, script: &str) -> Result<Vec<Reloaded>, String> {
        self.ask(|reply| Request::Resume(script.to_owned(), reply))
            .await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<Vec<Reloaded>, String>>) -> Request,
    ) -> Result<Vec<Reloaded>, String> {
        let ended = || "the scripts have ended".to_owned();
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Host {
    /// Ends the threads without waiting for anything.
    fn drop(&mut self) {
        self.keeper.abort();
        let mut scripts = self.scripts.lock();
        scripts.all.clear();
        scripts.leaving.clear();
    }
}
