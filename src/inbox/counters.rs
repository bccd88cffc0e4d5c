//! What the inbox counts. Written by the threads that use it, read by anybody at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::queue::Core;
use super::store::{KvAnswer, KvError};
use crate::observe::{Durations, Spread};

/// The counters of one inbox.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) appended: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) dropped: AtomicU64,
    operations: AtomicU64,
    /// How long the journal's transactions took.
    pub(super) commits: Durations,
    /// Those that the disk did not take.
    pub(super) failed_commits: AtomicU64,
    unfinished_bytes: AtomicU64,
    kv: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// The journal has done so many operations; `replies` is what came of those on the scripts' part of the
    /// key-value store, and `unfinished` the payload bytes of events that are not done.
    pub(super) fn worked<'r>(
        &self,
        operations: usize,
        replies: impl Iterator<Item = &'r Result<KvAnswer, KvError>>,
        unfinished: u64,
    ) {
        self.operations.fetch_add(operations as u64, Relaxed);
        self.unfinished_bytes.store(unfinished, Relaxed);
        let mut replies = replies.peekable();
        if replies.peek().is_none() {
            return;
        }
        let mut kv = self.kv.lock().unwrap_or_else(PoisonError::into_inner);
        for reply in replies {
            let what = match reply {
                Ok(KvAnswer::Value(..)) => "read",
                Ok(KvAnswer::Written(_)) => "written",
                Ok(KvAnswer::Conflict) => "conflict",
                Ok(KvAnswer::Deleted(_)) => "deleted",
                Ok(KvAnswer::Page(_)) => "listed",
                Err(_) => "refused",
            };
            *kv.entry(what).or_default() += 1;
        }
    }
}

/// How far the inbox has come since it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Events appended.
    pub appended: u64,
    /// Deliveries (event and subscriber) that were finished.
    pub done: u64,
    /// Deliveries that were let go without being finished, by a script that ended.
    pub abandoned: u64,
    /// Deliveries that never were, because the backlog was full.
    pub dropped: u64,
    /// Events that some subscriber has not taken yet.
    pub waiting: usize,
    /// Deliveries that are kept and not finished, those before this start included.
    pub unfinished: u64,
    /// Payload bytes of the events that these are of.
    pub unfinished_bytes: u64,
    /// What the journal was asked and has written.
    pub operations: u64,
    /// How long its transactions took.
    pub commits: Spread,
    /// Those that the disk did not take.
    pub failed_commits: u64,
    /// Operations on the key-value store, by what came of them: `read`, `written`, `conflict`, `deleted`,
    /// `listed`, `refused`.
    pub kv: BTreeMap<&'static str, u64>,
}

impl Core {
    pub(super) fn progress(&self) -> Progress {
        let counters = &self.counters;
        let kv = counters.kv.lock().unwrap_or_else(PoisonError::into_inner);
        Progress {
            appended: counters.appended.load(Relaxed),
            done: counters.done.load(Relaxed),
            abandoned: counters.abandoned.load(Relaxed),
            dropped: counters.dropped.load(Relaxed),
            waiting: self.all_waiting(),
            unfinished: self.unfinished(),
            unfinished_bytes: counters.unfinished_bytes.load(Relaxed),
            operations: counters.operations.load(Relaxed),
            commits: counters.commits.read(),
            failed_commits: counters.failed_commits.load(Relaxed),
            kv: kv.clone(),
        }
    }
}
