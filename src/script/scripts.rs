//! The scripts of a bot: what the host shows and the keeper changes.
//!
//! The lock around [`Scripts`] is never held while anybody waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Trouble;
use super::graph::Graph;
use super::host::ScriptSettings;
use super::modals::Modals;
use super::quarantine::Quarantine;
use super::registry::State;
use super::rollback::Tally;
use super::state::Snapshot;
use super::status::Status;
use super::version::Version;
use crate::inbox::Subscription;
use crate::rest;

/// Files of a version, shared with its thread.
pub(super) type Files = Arc<Mutex<Graph>>;

/// What was last tried for a script, whether it runs or not: until its files change, it is not tried
/// again.
pub(super) struct Tried {
    pub(super) path: PathBuf,
    pub(super) files: Files,
    /// Why it was not even tried.
    pub(super) refused: Option<Trouble>,
    /// What runs instead, because this failed at its first events: the file and the text of the version before.
    pub(super) instead: Option<(PathBuf, Files)>,
}

/// The version before the one that runs: what is needed to bring it back.
pub(super) struct Before {
    pub(super) path: PathBuf,
    pub(super) files: Files,
    pub(super) tally: Arc<Tally>,
}

/// One script: what lasts from version to version.
pub(super) struct Script {
    pub(super) options: ScriptSettings,
    /// Its share of the rate limits.
    pub(super) caller: rest::Caller,
    /// Counters of all its versions.
    pub(super) status: Arc<Status>,
    /// The modals that its versions have opened.
    pub(super) modals: Modals,
    /// Its place in the inbox, from its first version on.
    pub(super) place: Option<Subscription>,
    pub(super) active: Option<Arc<Version>>,
    pub(super) before: Option<Before>,
    pub(super) tried: Option<Tried>,
    /// Why the last load failed, if it did.
    pub(super) failure: Option<Trouble>,
    /// The last state of a version that has no successor yet.
    pub(super) state: Option<Snapshot>,
    pub(super) quarantine: Quarantine,
    /// The number of the last version that was begun.
    pub(super) versions: u64,
}

impl Script {
    /// `versions` is the number of the last version that a script of this name had.
    pub(super) fn new(
        options: ScriptSettings,
        caller: rest::Caller,
        modals: Modals,
        versions: u64,
    ) -> Self {
        Self {
            options,
            caller,
            status: Arc::default(),
            modals,
            place: None,
            active: None,
            before: None,
            tried: None,
            failure: None,
            state: None,
            quarantine: Quarantine::default(),
            versions,
        }
    }

    /// Where it stands, for people.
    pub(super) fn state(&self) -> State {
        if let Some(pause) = self.quarantine.pause() {
            return State::Paused(pause.why.clone());
        }
        match (&self.active, &self.failure) {
            (Some(version), _) => version.state(),
            (None, Some(trouble)) => State::Failed(trouble.clone()),
            (None, None) => State::Loading,
        }
    }
}

/// A version whose turn is over.
pub(super) struct Leaving {
    pub(super) script: String,
    pub(super) version: Arc<Version>,
    /// When its thread must have ended.
    pub(super) until: Instant,
}

/// Every script by name, and the versions that are on their way out.
#[derive(Default)]
pub(super) struct Scripts {
    pub(super) all: BTreeMap<String, Script>,
    pub(super) leaving: Vec<Leaving>,
    /// The number of the last version of each script that is gone. One that comes back counts on: a thread
    /// of an old version may still run, and what it registers must not pass for the new one's.
    pub(super) past: BTreeMap<String, u64>,
}

/// The scripts behind their lock.
#[derive(Clone, Default)]
pub(super) struct Register(Arc<Mutex<Scripts>>);

impl Register {
    pub(super) fn lock(&self) -> MutexGuard<'_, Scripts> {
        // Every change is whole before the next statement; a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
