//! How much the handlers that have not ended have asked and been answered, and the bound of it.
//!
//! A handler that never ends never stops asking, and all of it is kept so that it could run again. A
//! script's unfinished handlers may have [`RECORD_BYTES`] of it together. Beyond that the one that has most
//! is let go: it runs on, but counts as done, so that it neither runs again after the process ends nor says
//! anything twice, and what it has asked is deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::{Journal, batch_of};
use crate::inbox::batch::{Batch, ScriptId};
use crate::limits::RECORD_BYTES;

/// The most in the rows of a batch of what handlers that have ended asked, in bytes, and of what the others
/// did: there may be as much again.
const DEAD: u64 = 1 << 20;

/// What is kept for handlers that have not ended, in bytes.
#[derive(Debug, Default)]
pub(super) struct Records(HashMap<ScriptId, Record>);

/// The same of one script.
#[derive(Debug, Default)]
struct Record {
    bytes: u64,
    /// By event.
    events: BTreeMap<u64, u64>,
}

impl Records {
    /// So much more is kept for a script's handlers of an event.
    pub(super) fn add(&mut self, seq: u64, script: ScriptId, bytes: u64) {
        let record = self.0.entry(script).or_default();
        record.bytes += bytes;
        *record.events.entry(seq).or_default() += bytes;
    }

    /// They have ended.
    pub(super) fn remove(&mut self, seq: u64, script: ScriptId) {
        if let Some(record) = self.0.get_mut(&script) {
            record.bytes -= record.events.remove(&seq).unwrap_or_default();
        }
    }

    /// What is kept for the events of a batch.
    fn of(&self, batch: &Batch) -> u64 {
        let events = batch.first..batch.first + batch.slots.len() as u64;
        let of_script = |record: &Record| -> u64 {
            let of_batch = record.events.range(events.clone());
            of_batch.map(|(_, bytes)| bytes).sum()
        };
        self.0.values().map(of_script).sum()
    }

    /// A script's events of which most is kept, most first, while together they have more than they may.
    fn excess(&self, script: ScriptId) -> Vec<u64> {
        let Some(record) = self.0.get(&script) else {
            return Vec::new();
        };
        let mut left = record.bytes;
        if left <= RECORD_BYTES {
            return Vec::new();
        }
        let mut events: Vec<_> = record.events.iter().collect();
        events.sort_by_key(|&(seq, bytes)| (std::cmp::Reverse(bytes), seq));
        let excess = events.into_iter().take_while(|(_, bytes)| {
            let is_excess = left > RECORD_BYTES;
            left -= **bytes;
            is_excess
        });
        excess.map(|(&seq, _)| seq).collect()
    }
}

impl Journal {
    /// Lets go of handlers whose scripts have more kept for them than they may, now that so much more is.
    pub(super) fn bound_records(&mut self, more: &[(u64, ScriptId, u64)], now: Instant) {
        for &(seq, script, bytes) in more {
            self.records.add(seq, script, bytes);
        }
        let scripts: BTreeSet<_> = more.iter().map(|&(_, script, _)| script).collect();
        for script in scripts {
            for seq in self.records.excess(script) {
                // What nobody runs now has not been given up by anybody.
                if self.core.lock().holds(seq, script) {
                    self.let_go(seq, script, now);
                }
            }
        }
    }

    fn let_go(&mut self, seq: u64, script: ScriptId, now: Instant) {
        let batch = batch_of(&self.batches, seq);
        let events = batch.and_then(|batch| Some((batch.first, self.read(batch.first).ok()?)));
        let event = events.and_then(|(first, events)| {
            let at = usize::try_from(seq - first).ok()?;
            events.into_iter().nth(at)
        });
        let (kind, id) = event.map_or_else(Default::default, |event| (event.kind, event.id));
        let name = self.names.get(&script).map_or("", String::as_str);
        tracing::warn!(
            target: "script",
            script = name,
            event = kind,
            event_id = id,
            "the script's handlers that have not ended have asked and been answered more than {} MiB, most of \
             it those of this event: they run on, but will not run again after the process ends; let handlers \
             end sooner, or read and wait for less in one",
            RECORD_BYTES >> 20
        );
        self.core.lock().withdraw(seq, script);
        self.finish(seq, script, now);
    }

    /// Writes anew what was asked in batches where most of it is of handlers that have ended, so that one
    /// that never ends does not keep what its neighbours asked on the disk.
    pub(super) fn prune(&mut self) -> rusqlite::Result<()> {
        let mostly_dead =
            |batch: &&Batch| batch.asked > DEAD && batch.asked > DEAD + 2 * self.records.of(batch);
        let batches = self.batches.values().filter(mostly_dead);
        let batches: Vec<u64> = batches.map(|batch| batch.first).take(64).collect();
        for first in batches {
            let Some(batch) = self.batches.get_mut(&first) else {
                continue;
            };
            let (calls, asked) = self.store.transaction(|store| {
                store.prune_calls(&batch.calls, |seq, script| batch.is_open(seq, script))
            })?;
            (batch.calls, batch.asked) = (calls, asked);
        }
        Ok(())
    }
}
