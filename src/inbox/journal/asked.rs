//! The calls that one commit writes down.

use std::collections::{BTreeMap, HashSet};

use super::{CallSite, batch_of};
use crate::inbox::batch::{Batch, ScriptId};
use crate::inbox::store::{Entry, Store};

/// What was asked and answered since the last commit, by the batch of its event. What belongs to an event
/// that its script is done with is left out, unless a recording is made of it: what was asked goes into
/// the recording of a failure, also when both come together.
pub(super) struct Asked<'j> {
    failed: &'j HashSet<(u64, ScriptId)>,
    batches: &'j BTreeMap<u64, Batch>,
    over: &'j [Batch],
    /// Milliseconds since 1970.
    at: u64,
    entries: BTreeMap<u64, Vec<u8>>,
}

impl<'j> Asked<'j> {
    /// Nothing so far. `over` are the batches that are over with this commit.
    pub(super) fn new(
        failed: &'j HashSet<(u64, ScriptId)>,
        batches: &'j BTreeMap<u64, Batch>,
        over: &'j [Batch],
        at: u64,
    ) -> Self {
        Self {
            failed,
            batches,
            over,
            at,
            entries: BTreeMap::new(),
        }
    }

    /// A call is about to be made, or was answered.
    pub(super) fn note(&mut self, site: &CallSite, answer: Option<&[u8]>) {
        let &CallSite {
            seq,
            script,
            ref position,
            question,
        } = site;
        let mut batch = batch_of(self.batches, seq).filter(|batch| batch.is_open(seq, script));
        if batch.is_none() && self.failed.contains(&(seq, script)) {
            let mut all = batch_of(self.batches, seq).into_iter().chain(self.over);
            batch = all.find(|batch| batch.has(seq, script));
        }
        let Some(batch) = batch else { return };
        let entry = Entry {
            seq,
            script,
            position,
            question,
            at: self.at,
            answer,
        };
        entry.encode(self.entries.entry(batch.first).or_default());
    }

    /// Writes it in rows that are numbered from `next` on. Answers their numbers, each with its batch.
    pub(super) fn write(self, store: &Store, next: u64) -> rusqlite::Result<Vec<(u64, u64)>> {
        let rows = (next..).zip(self.entries);
        rows.map(|(id, (first, entries))| {
            store.insert_calls(id, first, &entries)?;
            Ok((id, first))
        })
        .collect()
    }
}
