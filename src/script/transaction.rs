//! Versions change places.
//!
//! Two steps. [`Stage::load`] starts the new versions, each on a thread of its own beside the old one, and
//! waits for their top levels. [`Stage::swap`] lets those that loaded have their turn:
//! 1. the old version stops taking events, ends its timers and `waitFor`s, runs what `script.onUnload`
//!    was given, and gives its last state;
//! 2. the new version becomes the taker of the script's place in the inbox and goes on with the first event
//!    that the old one did not take;
//! 3. the old version's running handlers may finish for the drain time. Those that do not are cut off, and their
//!    events have failed: that is said, and recorded like any failure.
//!
//! What is between 1 and 2 waits in the inbox. While a version's thread does not answer (a handler computes
//! where nothing can interrupt it), nothing is loaded in its place: the new version would begin without
//! `script.state`. One that does not answer when its turn is over is not waited for: its place is taken from
//! it, what it changed in `script.state` since the new version was born is lost, and that is said. Versions that
//! were loaded together change places together; each that failed is left out, and its old version goes on.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::runtime;

use super::Trouble;
use super::budget::Allowed;
use super::clock::Clock;
use super::graph::Graph;
use super::guest::Birth;
use super::registry::{Shared, State};
use super::rehearsal::Rehearsal;
use super::rollback::Tally;
use super::scripts::{Before, Files, Leaving, Register, Script, Tried};
use super::state::Snapshot;
use super::thread::{Mail, Turn, Unfinished};
use super::version::Version;
use crate::fetch;
use crate::inbox::Inbox;
use crate::rest;
use crate::voice;

/// What versions are made of, and where they go.
pub(super) struct Stage {
    pub(super) rest: rest::Client,
    pub(super) inbox: Arc<Inbox>,
    pub(super) runtime: runtime::Handle,
    pub(super) shared: Arc<Shared>,
    pub(super) scripts: Register,
    pub(super) voice: Option<voice::Host>,
    pub(super) clock: Clock,
    /// When the process began, by that clock.
    pub(super) started: Timestamp,
    /// The recording that the scripts run on, if nothing they ask may leave the process.
    pub(super) rehearsal: Option<Arc<Rehearsal>>,
    /// How long the handlers of a replaced version may go on.
    pub(super) drain: Duration,
}

/// A version that is wanted.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Why it cannot be loaded at all.
    pub(super) refused: Option<Trouble>,
    /// The files as they were, for a version that comes back.
    pub(super) files: Option<Graph>,
}

/// A version that has been tried.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) version: Option<Arc<Version>>,
    pub(super) number: u64,
    /// Whether it is one that ran before.
    pub(super) again: bool,
    pub(super) result: Result<(), Trouble>,
    /// None if what runs kept it from being tried: the same files may do another time.
    pub(super) tried: Option<Tried>,
    /// The number of the version that it replaces.
    pub(super) replaces: Option<u64>,
    /// Whether it has its turn already.
    begun: bool,
}

/// When a version of a script has its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// At once, while its top level runs: the bot is only starting.
    AtOnce,
    /// After its top level has ended.
    Loaded,
}

impl Stage {
    /// Starts versions and waits for their top levels. Dropping the future ends them.
    pub(super) async fn load(
        &self,
        root: &Path,
        wanted: Vec<Wanted>,
        begin: Begin,
    ) -> Vec<Candidate> {
        join_all(
            wanted
                .into_iter()
                .map(|wanted| self.load_one(root, wanted, begin)),
        )
        .await
    }

    async fn load_one(&self, root: &Path, wanted: Wanted, begin: Begin) -> Candidate {
        let files: Files = Arc::new(Mutex::new(wanted.files.unwrap_or_default()));
        let again = files.lock().is_ok_and(|files| files.is_frozen());
        let (old, kept, modals) = {
            let scripts = self.scripts.lock();
            let script = scripts.all.get(&wanted.name);
            (
                script.and_then(|script| script.active.clone()),
                script.and_then(|script| script.state.clone()),
                script.map(|script| script.modals.clone()),
            )
        };
        let candidate = |version: Option<Arc<Version>>, number, result| Candidate {
            version,
            number,
            again,
            result,
            replaces: old.as_ref().map(|old| old.number),
            begun: begin == Begin::AtOnce,
            tried: Some(Tried {
                path: wanted.path.clone(),
                files: Arc::clone(&files),
                refused: wanted.refused.clone(),
                instead: None,
            }),
            name: wanted.name.clone(),
        };
        if let Some(trouble) = &wanted.refused {
            return candidate(None, 0, Err(trouble.clone()));
        }
        if let Some(modals) = modals {
            modals.restore().await;
        }
        let state = match &old {
            Some(old) => match old.copy_state().await {
                Some(state) => state,
                // What it had is gone with it, and that was said.
                None if old.has_ended() => Snapshot::default(),
                None => {
                    let trouble = Trouble::plain(format!(
                        "version {} does not answer, because something in it computes without a pause, and \
                         its script.state would be lost: save the file again when that is over, or take the \
                         file away to end the script",
                        old.number
                    ));
                    return Candidate {
                        tried: None,
                        ..candidate(None, 0, Err(trouble))
                    };
                }
            },
            None => kept.unwrap_or_default(),
        };
        let started = {
            let mut scripts = self.scripts.lock();
            let script = scripts.all.get_mut(&wanted.name);
            script.map(|script| {
                script.versions += 1;
                let birth = self.birth(root, &wanted.name, &wanted.path, script, &files, state);
                self.shared.enlist(&wanted.name, script.versions);
                let version = Arc::new(Version::start(birth));
                if begin == Begin::AtOnce {
                    self.shared
                        .activate([(wanted.name.as_str(), Some(version.number))]);
                    let place = script
                        .place
                        .get_or_insert_with(|| self.inbox.reserve(&wanted.name));
                    version.post(Mail::Begin(Turn {
                        place: place.pass_to_nobody(),
                        state: None,
                        ready: None,
                    }));
                }
                (version, script.options.load_time)
            })
        };
        let Some((version, load_time)) = started else {
            return candidate(None, 0, Err(Trouble::plain("the script is gone")));
        };
        let number = version.number;
        let unwanted = Unwanted {
            shared: &self.shared,
            script: &wanted.name,
            version: Some(Arc::clone(&version)),
        };
        let in_time = version
            .loaded(tokio::time::Instant::now() + load_time)
            .await;
        unwanted.keep();
        let late = || {
            format!(
                "its top level still runs after {} s",
                load_time.as_secs_f64()
            )
        };
        let result = match version.state() {
            State::Failed(trouble) => Err(trouble),
            _ if !in_time && old.is_some() => {
                Err(Trouble::plain(format!("{} (limits.load_time)", late())))
            }
            _ => {
                if !in_time {
                    tracing::warn!(target: "script", script = %wanted.name,
                        "{}; going on without waiting for it", late());
                }
                Ok(())
            }
        };
        candidate(Some(version), number, result)
    }

    fn birth(
        &self,
        root: &Path,
        name: &str,
        path: &Path,
        script: &Script,
        files: &Files,
        state: Snapshot,
    ) -> Birth {
        Birth {
            http: fetch::Client::new(name, script.options.http.clone()),
            name: name.to_owned(),
            version: script.versions,
            files: Arc::clone(files),
            state,
            tally: Tally::new(Arc::clone(&self.shared)),
            root: root.to_owned(),
            entry: path.to_owned(),
            config: script.options.config.clone(),
            rest: self.rest.clone(),
            caller: script.caller,
            runtime: self.runtime.clone(),
            mailbox: Arc::default(),
            shared: Arc::clone(&self.shared),
            status: Arc::clone(&script.status),
            modals: script.modals.clone(),
            handlers: script.options.handlers,
            allowed: Allowed {
                memory: script.options.memory,
                cpu_per_event: script.options.cpu_per_event,
                load_time: script.options.load_time,
            },
            permissions: script.options.permissions.clone(),
            kv: self.inbox.kv(),
            timers: self.inbox.timers(name),
            started: self.started,
            clock: self.clock.clone(),
            rehearsal: self.rehearsal.clone(),
            voice: self.voice.clone(),
        }
    }

    /// Lets the versions that loaded have their turn, and the scripts of `gone` end.
    pub(super) async fn swap(&self, candidates: &[Candidate], gone: &[String]) {
        let until = Instant::now() + self.drain;
        let mut turns = Vec::new();
        {
            let mut scripts = self.scripts.lock();
            for candidate in candidates {
                let Some(script) = scripts.all.get_mut(&candidate.name) else {
                    continue;
                };
                if let Some((old, new)) = script.take(candidate)
                    && !candidate.begun
                {
                    turns.push((candidate.name.as_str(), old, new));
                }
            }
            for name in gone {
                if let Some(voice) = &self.voice {
                    voice.close_script(name);
                }
                let Some(script) = scripts.all.remove(name) else {
                    continue;
                };
                scripts.past.insert(name.clone(), script.versions);
                // Its thread takes nothing any more, whenever it comes to read its mail.
                drop(script.place.map(|place| place.pass_to_nobody()));
                if let Some(old) = script.active {
                    old.stop(until, Unfinished::Fails);
                    scripts.leaving.push(Leaving {
                        script: name.clone(),
                        version: old,
                        until,
                    });
                }
            }
        }
        let new = turns.iter().map(|(name, _, new)| (*name, Some(new.number)));
        let gone_names = gone.iter().map(|name| (name.as_str(), None));
        self.shared.activate(new.chain(gone_names));
        for candidate in candidates {
            if candidate.result.is_err() {
                self.shared.withdraw(&candidate.name, candidate.number);
            }
        }
        join_all(
            turns
                .into_iter()
                .map(|(name, old, new)| self.pass_on(name, old, new, until)),
        )
        .await;
        self.shared.swaps.send_modify(|swaps| *swaps += 1);
    }

    /// From the old version to the new one.
    async fn pass_on(
        &self,
        name: &str,
        old: Option<Arc<Version>>,
        new: Arc<Version>,
        until: Instant,
    ) {
        let mut state = None;
        if let Some(old) = old {
            state = self.retire(name, old, until).await;
        }
        let open = self.shared.open.load(Ordering::Acquire);
        let ready = self.inbox.ready().filter(|_| open);
        let mut scripts = self.scripts.lock();
        let Some(script) = scripts.all.get_mut(name) else {
            return;
        };
        script.state = None;
        let place = script.place.get_or_insert_with(|| self.inbox.reserve(name));
        // Its thread may be busy when its turn begins: what comes meanwhile is kept for it.
        let events = self.shared.events_of(name, new.number);
        place.want(events.iter().map(String::as_str));
        new.post(Mail::Begin(Turn {
            place: place.pass_to_nobody(),
            state,
            ready,
        }));
    }

    /// Ends a version's turn; it may leave until then. Answers its last state.
    pub(super) async fn retire(
        &self,
        name: &str,
        old: Arc<Version>,
        until: Instant,
    ) -> Option<Snapshot> {
        // Before anybody waits: a host that stops meanwhile gives it the time that it gives the others.
        self.scripts.lock().leaving.push(Leaving {
            script: name.to_owned(),
            version: Arc::clone(&old),
            until,
        });
        let state = old.retire(until).await;
        if state.is_none() && !old.has_ended() {
            tracing::error!(target: "reload", script = %name, version = old.number,
                "version {} does not answer: it is left behind, and script.state with it", old.number);
        }
        state
    }
}

impl Script {
    /// Makes a candidate the version that runs, if it loaded. Answers the old version and the new one.
    fn take(&mut self, candidate: &Candidate) -> Option<(Option<Arc<Version>>, Arc<Version>)> {
        if let Some(tried) = candidate.tried.as_ref().filter(|_| !candidate.again) {
            self.tried = Some(Tried {
                path: tried.path.clone(),
                files: Arc::clone(&tried.files),
                refused: tried.refused.clone(),
                instead: None,
            });
        }
        if let Err(trouble) = &candidate.result {
            self.failure = Some(trouble.clone());
            if self.active.is_none() && self.quarantine.pause().is_none() {
                self.place = None;
            }
            return None;
        }
        let new = candidate.version.clone()?;
        if candidate.again
            && let Some(tried) = &mut self.tried
        {
            tried.instead = Some((new.path.clone(), new.files()));
        }
        self.failure = None;
        self.quarantine.end(Instant::now());
        let old = self.active.replace(Arc::clone(&new));
        self.before = old.as_ref().filter(|_| !candidate.again).map(|old| Before {
            path: old.path.clone(),
            files: old.files(),
            tally: Arc::clone(&old.tally),
        });
        Some((old, new))
    }
}

/// Withdraws a version whose load is given up.
struct Unwanted<'a> {
    shared: &'a Shared,
    script: &'a str,
    version: Option<Arc<Version>>,
}

impl Unwanted<'_> {
    fn keep(mut self) {
        self.version = None;
    }
}

impl Drop for Unwanted<'_> {
    fn drop(&mut self) {
        if let Some(version) = &self.version {
            self.shared.withdraw(self.script, version.number);
        }
    }
}
