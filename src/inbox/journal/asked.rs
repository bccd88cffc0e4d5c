//! The calls that one commit writes down.

use std::collections::{BTreeMap, HashSet};

use super::{CallSite, batch_of};
use crate::inbox::batch::{Batch, ScriptId};
use crate::inbox::store::{Entry, Store};

/// Bytes after which what was asked goes on in another row: what SQLite takes as one, and what fits into
/// memory at once, has an end.
const ROW: usize = 4 << 20;

/// What was asked and answered since the last commit, by the batch of its event. What belongs to an event
/// that its script is done with is left out, unless a recording is made of it: what was asked goes into
/// the recording of a failure, also when both come together.
pub(super) struct Asked<'j> {
    failed: &'j HashSet<(u64, ScriptId)>,
    batches: &'j BTreeMap<u64, Batch>,
    over: &'j [Batch],
    /// Milliseconds since 1970.
    at: u64,
    /// The rows of each batch.
    rows: BTreeMap<u64, Vec<Vec<u8>>>,
    sizes: Vec<(u64, ScriptId, u64)>,
}

/// What was written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) rows: Vec<Row>,
    /// How much of it is for each event and script that is not done with it, in bytes; a pair may be there
    /// several times.
    pub(super) sizes: Vec<(u64, ScriptId, u64)>,
}

/// A row of calls.
pub(super) struct Row {
    /// Its number.
    pub(super) id: u64,
    /// The batch that it is about.
    pub(super) batch: u64,
    pub(super) bytes: u64,
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
            rows: BTreeMap::new(),
            sizes: Vec::new(),
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
        let is_open = batch.is_some();
        if !is_open && self.failed.contains(&(seq, script)) {
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
        let rows = self.rows.entry(batch.first).or_default();
        if rows.last().is_none_or(|row| row.len() >= ROW) {
            rows.push(Vec::new());
        }
        let Some(row) = rows.last_mut() else { return };
        let before = row.len();
        entry.encode(row);
        if is_open {
            self.sizes.push((seq, script, (row.len() - before) as u64));
        }
    }

    /// Writes it in rows that are numbered from `next` on.
    pub(super) fn write(self, store: &Store, next: u64) -> rusqlite::Result<Written> {
        let batches = self.rows.into_iter();
        let all = batches.flat_map(|(first, rows)| rows.into_iter().map(move |row| (first, row)));
        let rows = (next..).zip(all).map(|(id, (batch, entries))| {
            store.insert_calls(id, batch, &entries)?;
            let bytes = entries.len() as u64;
            Ok(Row { id, batch, bytes })
        });
        Ok(Written {
            rows: rows.collect::<rusqlite::Result<_>>()?,
            sizes: self.sizes,
        })
    }
}
