//! What the stream's thread and its handle share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ending::Ending;
use super::event_id::guid;
use super::ownership::Ownership;
use super::settings::{State, Stats};
use crate::contract;
use crate::inbox::{Scope, Sightings};

/// Something that bears on whether the stream is deaf.
#[derive(Debug, Clone, Copy)]
pub enum Sign {
    /// The platform accepted a message of this bot.
    MessageSent,
    /// REST showed a message.
    HistorySeen {
        /// When it was written.
        written: Instant,
    },
}

/// What a connection has brought of one scope, within which alone there is an order.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// When the last event came.
    pub heard: Instant,
    /// When the newest message of those that came was written, milliseconds since 1970.
    pub newest: i64,
}

/// Scopes whose flow is noted; of any other, nothing is known.
const FLOWS: usize = 1024;

/// State, counters and knowledge about owners.
#[derive(Debug)]
pub struct Shared {
    pub state: watch::Sender<State>,
    /// Intents that are wanted and that the platform refused.
    pub left_out: watch::Sender<u64>,
    pub connects: AtomicU64,
    pub resumes: AtomicU64,
    pub gaps: AtomicU64,
    pub appended: AtomicU64,
    pub duplicates: AtomicU64,
    pub foreign: AtomicU64,
    pub oversized: AtomicU64,
    pub lookups: AtomicU64,
    pub recovered: AtomicU64,
    /// The server said on this connection that it has sent again what was missed.
    pub resumed: AtomicBool,
    /// What this connection has brought since its search for lost messages began; at most [`FLOWS`].
    flows: Mutex<HashMap<Scope, Flow>>,
    /// When the last event came, or the connection was opened: milliseconds after `born`.
    heard: AtomicU64,
    born: Instant,
    came: Mutex<Came>,
    user_id: String,
    ownership: Mutex<Ownership>,
    /// Changes when more is known about the bot's commands.
    pub commands: watch::Sender<()>,
    sightings: Mutex<Sightings>,
}

/// What came and what ended; written by the stream's thread alone.
#[derive(Debug, Default)]
struct Came {
    ended: BTreeMap<&'static str, u64>,
    kinds: BTreeMap<&'static str, u64>,
    last: Option<Instant>,
}

/// Event types that the contract does not know, in [`Stats::kinds`].
const OTHER: &str = "other";

impl Shared {
    pub fn new(user_id: String, state: State, sightings: Sightings) -> Self {
        Self {
            state: watch::Sender::new(state),
            left_out: watch::Sender::default(),
            connects: AtomicU64::default(),
            resumes: AtomicU64::default(),
            gaps: AtomicU64::default(),
            appended: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            foreign: AtomicU64::default(),
            oversized: AtomicU64::default(),
            lookups: AtomicU64::default(),
            recovered: AtomicU64::default(),
            resumed: AtomicBool::default(),
            flows: Mutex::default(),
            heard: AtomicU64::default(),
            born: Instant::now(),
            came: Mutex::default(),
            user_id,
            ownership: Mutex::default(),
            commands: watch::Sender::default(),
            sightings: Mutex::new(sightings),
        }
    }

    pub fn ownership(&self) -> MutexGuard<'_, Ownership> {
        // Two maps and two sets; a panic elsewhere does not make them wrong.
        self.ownership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages that came.
    pub fn sightings(&self) -> MutexGuard<'_, Sightings> {
        // As above.
        self.sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An event came, or the connection was opened.
    pub fn hear(&self, now: Instant) {
        let after = now.saturating_duration_since(self.born);
        self.heard.store(after.as_millis() as u64, Relaxed);
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<Scope, Flow>> {
        // As above.
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event of the scope came, perhaps with a message that was written at that time.
    pub fn flow(&self, scope: Scope, heard: Instant, sent: Option<i64>) {
        let mut flows = self.flows();
        if flows.len() >= FLOWS && !flows.contains_key(&scope) {
            return;
        }
        let newest = i64::MIN;
        let flow = flows.entry(scope).or_insert(Flow { heard, newest });
        flow.heard = heard;
        flow.newest = flow.newest.max(sent.unwrap_or(i64::MIN));
    }

    /// What came of the scope, if something did.
    pub fn flow_of(&self, scope: Scope) -> Option<Flow> {
        self.flows().get(&scope).copied()
    }

    /// Nothing has come so far.
    pub fn forget_flows(&self) {
        self.flows().clear();
    }

    /// For how long nothing has come.
    pub fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Relaxed));
        self.born.elapsed().saturating_sub(heard)
    }

    /// Whether it is the bot's own user id, in either spelling.
    pub fn is_us(&self, user_id: &str) -> bool {
        match (guid(user_id), guid(&self.user_id)) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => user_id == self.user_id,
        }
    }

    fn came(&self) -> MutexGuard<'_, Came> {
        // Counters; a panic elsewhere does not make them wrong.
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A complete event came.
    pub fn note_event(&self, kind: &str, received: Instant) {
        let known = contract::event(kind).map(|event| event.name);
        let mut came = self.came();
        *came.kinds.entry(known.unwrap_or(OTHER)).or_default() += 1;
        came.last = Some(received);
    }

    /// A connection, or the attempt to make one, is over.
    pub fn note_ending(&self, ending: &Ending) {
        *self.came().ended.entry(ending.name()).or_default() += 1;
    }

    pub fn stats(&self) -> Stats {
        let came = self.came();
        Stats {
            connects: self.connects.load(Relaxed),
            ended: came.ended.clone(),
            resumes: self.resumes.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            kinds: came.kinds.clone(),
            last: came.last,
            appended: self.appended.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            oversized: self.oversized.load(Relaxed),
            lookups: self.lookups.load(Relaxed),
            recovered: self.recovered.load(Relaxed),
        }
    }
}
