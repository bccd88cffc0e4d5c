//! How the database stays small: the bound of what is unfinished, batches that are nearly over, and pages
//! that are free.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{Journal, REPORT};
use crate::inbox::batch::{Batch, ScriptId, encode_event, encode_slots};

/// What was dropped at the bound and not reported yet.
#[derive(Default)]
pub(super) struct Dropped {
    by_script: BTreeMap<ScriptId, u64>,
    reported: Option<Instant>,
}

impl Journal {
    /// Drops the oldest events until there is room within the bound for so many bytes more.
    pub(super) fn make_room(&mut self, more: u64, now: Instant) {
        while self.bytes + more > self.bounds.backlog
            && let Some((_, batch)) = self.batches.first_key_value()
        {
            let pairs: Vec<_> = batch.open_pairs().collect();
            for (seq, script) in pairs {
                *self.dropped.by_script.entry(script).or_default() += 1;
                self.core.counters.dropped.fetch_add(1, Relaxed);
                self.core.lock().withdraw(seq, script);
                self.finish(seq, script, now);
            }
        }
        self.report_dropped(now);
    }

    fn report_dropped(&mut self, now: Instant) {
        let dropped = &mut self.dropped;
        if dropped.by_script.is_empty() || dropped.reported.is_some_and(|at| now < at + REPORT) {
            return;
        }
        dropped.reported = Some(now);
        for (script, count) in std::mem::take(&mut dropped.by_script) {
            let name = self.names.get(&script).map_or("", String::as_str);
            tracing::error!(
                script = name,
                count,
                "the bot's unfinished events exceed {} MiB: the oldest of this script are dropped; make \
                 its handlers end sooner, disable it, or raise \"backlog\" in [state]",
                self.bounds.backlog >> 20
            );
        }
    }

    /// Drops what is for scripts that are gone.
    pub(super) fn keep(&mut self, names: &HashSet<String>, now: Instant) {
        let gone: Vec<_> = (self.batches.values())
            .flat_map(Batch::open_pairs)
            .filter(|(_, script)| {
                !self
                    .names
                    .get(script)
                    .is_some_and(|name| names.contains(name))
            })
            .collect();
        let mut counts: BTreeMap<ScriptId, u64> = BTreeMap::new();
        for (seq, script) in gone {
            *counts.entry(script).or_default() += 1;
            self.core.lock().withdraw(seq, script);
            self.finish(seq, script, now);
        }
        for (script, count) in counts {
            let name = self.names.get(&script).map_or("", String::as_str);
            tracing::warn!(
                script = name,
                count,
                "the script is gone or switched off: its unfinished events are dropped"
            );
        }
    }

    /// What can wait until there is little to do.
    pub(super) fn tidy(&mut self) {
        self.worked = false;
        self.tidied = Instant::now();
        let result = self
            .compact()
            .and_then(|()| {
                let usages = &mut self.usages;
                self.store.transaction(|store| store.expire(usages))
            })
            .and_then(|()| self.store.tidy());
        if let Err(error) = result {
            self.usages.forget();
            tracing::debug!("the journal could not be tidied: {error}");
        }
        self.report_dropped(self.tidied);
    }

    /// Stores what is left of batches that are nearly over by itself, so that one handler that takes
    /// long does not keep hundreds of events on disk.
    fn compact(&mut self) -> rusqlite::Result<()> {
        let sparse: Vec<u64> = (self.batches.values())
            .filter(|batch| {
                batch.slots.len() >= 8 && batch.open_events().len() * 4 <= batch.slots.len()
            })
            .map(|batch| batch.first)
            .take(64)
            .collect();
        for first in sparse {
            let (Some(batch), Ok(events)) = (self.batches.get(&first), self.read(first)) else {
                continue;
            };
            let mut single = Vec::new();
            for seq in batch.open_events() {
                let at = usize::try_from(seq - first).unwrap_or(usize::MAX);
                let (Some(slot), Some(event)) = (batch.slots.get(at), events.get(at)) else {
                    continue;
                };
                let scripts: Arc<[ScriptId]> = (slot.scripts.iter().copied())
                    .filter(|&script| batch.is_open(seq, script))
                    .collect();
                let mut blob = Vec::new();
                encode_event(&mut blob, event);
                single.push((Batch::new(seq, [(scripts, slot.bytes)]), blob));
            }
            self.store.transaction(|store| {
                store.delete_batch(first)?;
                for (batch, events) in &single {
                    store.insert_batch(batch.first, &encode_slots(&batch.slots), events)?;
                }
                Ok(())
            })?;
            if let Some(old) = self.batches.remove(&first) {
                self.bytes -= old.bytes() as u64;
            }
            self.unwritten.progress.remove(&first);
            for (batch, _) in single {
                self.bytes += batch.bytes() as u64;
                self.batches.insert(batch.first, batch);
            }
        }
        Ok(())
    }
}
