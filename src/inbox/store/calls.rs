//! What the handlers of unfinished events have asked for, and the answers.
//!
//! One commit writes what was asked and answered in it as one row for each batch of events that it is
//! about, because a row costs more than what is in it. The rows of a batch are a log, in the order of
//! their numbers: what a later entry says of a place replaces what an earlier one said. They go with the
//! batch.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Transaction, params};

use super::Store;
use crate::inbox::batch::{ScriptId, put, take};

/// A call that a handler made before the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where in the event's handlers; see `script::dispatch`.
    pub position: String,
    /// A hash of what was asked.
    pub question: u64,
    /// When it was made, milliseconds since 1970.
    pub begun: u64,
    /// The answer as its maker wrote it; none when nobody knows whether it took effect.
    pub answer: Option<Bytes>,
}

impl Recorded {
    /// Bytes of its place and its answer.
    pub(in crate::inbox) fn bytes(&self) -> usize {
        self.position.len() + self.answer.as_ref().map_or(0, Bytes::len)
    }
}

/// A call is about to be made, or was answered.
#[derive(Debug, Clone, Copy)]
pub(in crate::inbox) struct Entry<'a> {
    pub(in crate::inbox) seq: u64,
    pub(in crate::inbox) script: ScriptId,
    pub(in crate::inbox) position: &'a str,
    pub(in crate::inbox) question: u64,
    /// Milliseconds since 1970.
    pub(in crate::inbox) at: u64,
    pub(in crate::inbox) answer: Option<&'a [u8]>,
}

/// Stands for the length of an answer that is not there.
const NO_ANSWER: u32 = u32::MAX;

impl<'a> Entry<'a> {
    /// Appends it to the entries of a row.
    pub(in crate::inbox) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.seq, self.question, self.at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.script.to_le_bytes());
        put(out, self.position.len());
        out.extend_from_slice(self.position.as_bytes());
        match self.answer {
            None => out.extend_from_slice(&NO_ANSWER.to_le_bytes()),
            Some(answer) => {
                put(out, answer.len());
                out.extend_from_slice(answer);
            }
        }
    }

    /// The first of the entries of a row. None for bytes that are no entry.
    fn decode(bytes: &mut &'a [u8]) -> Option<Self> {
        let mut number = || Some(u64::from_le_bytes(bytes.split_off(..8)?.try_into().ok()?));
        let (seq, question, at) = (number()?, number()?, number()?);
        let script = u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?);
        let length = take(bytes)?;
        let position = std::str::from_utf8(bytes.split_off(..length)?).ok()?;
        let answer = match take(bytes)? {
            length if length == NO_ANSWER as usize => None,
            length => Some(bytes.split_off(..length)?),
        };
        Some(Self {
            seq,
            script,
            position,
            question,
            at,
            answer,
        })
    }
}

/// What was asked in the handlers of one batch's events, by event, script and place.
#[derive(Debug, Default)]
pub(in crate::inbox) struct Calls(BTreeMap<(u64, ScriptId), BTreeMap<String, Recorded>>);

impl Calls {
    fn take(&mut self, entry: &Entry<'_>) {
        let places = self.0.entry((entry.seq, entry.script)).or_default();
        let before = places.get_mut(entry.position);
        let Some(answer) = entry.answer.map(Bytes::copy_from_slice) else {
            // A call that is made again was begun the first time.
            if before.is_none_or(|one| one.question != entry.question || one.answer.is_some()) {
                let recorded = Recorded {
                    position: entry.position.to_owned(),
                    question: entry.question,
                    begun: entry.at,
                    answer: None,
                };
                places.insert(entry.position.to_owned(), recorded);
            }
            return;
        };
        let begun = before.map_or(entry.at, |before| before.begun);
        let recorded = Recorded {
            position: entry.position.to_owned(),
            question: entry.question,
            begun,
            answer: Some(answer),
        };
        places.insert(entry.position.to_owned(), recorded);
    }

    /// What a script's handlers of an event have asked, by place.
    pub(in crate::inbox) fn of(&self, seq: u64, script: ScriptId) -> Vec<Recorded> {
        let places = self.0.get(&(seq, script));
        places.map_or_else(Vec::new, |places| places.values().cloned().collect())
    }

    /// As the entries of a row, of those pairs only; empty for none.
    pub(in crate::inbox) fn encode(&self, keep: impl Fn(u64, ScriptId) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        let kept = self
            .0
            .iter()
            .filter(|((seq, script), _)| keep(*seq, *script));
        for (&(seq, script), places) in kept {
            for one in places.values() {
                let entry = Entry {
                    seq,
                    script,
                    position: &one.position,
                    question: one.question,
                    at: one.begun,
                    answer: one.answer.as_deref(),
                };
                entry.encode(&mut out);
            }
        }
        out
    }
}

impl Store {
    /// Writes entries about the events of a batch as the row of that number.
    pub(in crate::inbox) fn insert_calls(
        &self,
        id: u64,
        batch: u64,
        entries: &[u8],
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO call (id, batch, entries) VALUES (?1, ?2, ?3)")?
            .execute(params![id, batch, entries])
            .map(drop)
    }

    /// Everything that these rows say, in order, each with its bytes.
    pub(in crate::inbox) fn each_call(
        &self,
        rows: &[u64],
        mut of: impl FnMut(&Entry<'_>, u64),
    ) -> rusqlite::Result<()> {
        let mut query = self
            .connection
            .prepare_cached("SELECT entries FROM call WHERE id = ?1")?;
        for id in rows {
            let read = query
                .query_row([id], |row| Ok(read(row.get_ref(0)?.as_blob()?, &mut of)))
                .optional()?;
            if read.flatten().is_none() {
                tracing::error!(
                    id,
                    "what handlers asked before cannot be read and is left out"
                );
            }
        }
        Ok(())
    }

    /// What these rows say of those events and scripts.
    pub(in crate::inbox) fn calls(
        &self,
        rows: &[u64],
        wanted: impl Fn(u64, ScriptId) -> bool,
    ) -> rusqlite::Result<Calls> {
        let mut calls = Calls::default();
        self.each_call(rows, |entry, _| {
            if wanted(entry.seq, entry.script) {
                calls.take(entry);
            }
        })?;
        Ok(calls)
    }

    /// Leaves in these rows only what is of those events and scripts. Answers the rows in which there is
    /// something left, and their bytes.
    pub(in crate::inbox) fn prune_calls(
        &self,
        rows: &[u64],
        keep: impl Fn(u64, ScriptId) -> bool,
    ) -> rusqlite::Result<(Vec<u64>, u64)> {
        let mut write = self
            .connection
            .prepare_cached("UPDATE call SET entries = ?2 WHERE id = ?1")?;
        let (mut left, mut bytes) = (Vec::new(), 0);
        for &id in rows {
            let mut entries = Vec::new();
            self.each_call(&[id], |entry, _| {
                if keep(entry.seq, entry.script) {
                    entry.encode(&mut entries);
                }
            })?;
            if entries.is_empty() {
                self.delete_calls(&[id])?;
                continue;
            }
            write.execute(params![id, entries])?;
            left.push(id);
            bytes += entries.len() as u64;
        }
        Ok((left, bytes))
    }

    pub(in crate::inbox) fn delete_calls(&self, rows: &[u64]) -> rusqlite::Result<()> {
        let mut query = self
            .connection
            .prepare_cached("DELETE FROM call WHERE id = ?1")?;
        for id in rows {
            query.execute([id])?;
        }
        Ok(())
    }

    /// The number, the batch and the bytes of every row, of every world, in order.
    pub(in crate::inbox) fn call_rows(&self) -> rusqlite::Result<Vec<(u64, u64, u64)>> {
        let mut query = self
            .connection
            .prepare("SELECT id, batch, LENGTH(entries) FROM call ORDER BY id")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    /// The number of the last row, of every world; 0 for none.
    pub(in crate::inbox) fn last_call(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT COALESCE(MAX(id), 0) FROM call";
        self.connection.query_row(sql, [], |row| row.get(0))
    }
}

/// Reads a row. None when something in it cannot be read; what stands before that is given out.
fn read(mut entries: &[u8], mut of: impl FnMut(&Entry<'_>, u64)) -> Option<()> {
    while !entries.is_empty() {
        let before = entries.len();
        let entry = Entry::decode(&mut entries)?;
        of(&entry, (before - entries.len()) as u64);
    }
    Some(())
}

/// Makes the table of calls out of the one that had a row for each call.
pub(super) fn migrate(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE call RENAME TO single_call;
         CREATE TABLE call (
             id INTEGER PRIMARY KEY,
             -- The first event of the batch.
             batch INTEGER NOT NULL,
             entries BLOB NOT NULL
         );",
    )?;
    {
        let mut batches: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut query = transaction.prepare(
            "SELECT (SELECT max(first) FROM batch WHERE first <= seq), seq, script, position,
                    question, begun, answer
             FROM single_call",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let Some(batch) = row.get(0)? else { continue };
            let question: i64 = row.get(4)?;
            let entry = Entry {
                seq: row.get(1)?,
                script: row.get(2)?,
                position: row.get_ref(3)?.as_str()?,
                question: question as u64,
                at: row.get(5)?,
                answer: row.get_ref(6)?.as_blob_or_null()?,
            };
            entry.encode(batches.entry(batch).or_default());
        }
        for (batch, entries) in batches {
            let sql = "INSERT INTO call (batch, entries) VALUES (?1, ?2)";
            transaction.execute(sql, params![batch, entries])?;
        }
    }
    transaction.execute_batch("DROP TABLE single_call")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: ScriptId = 3;

    fn entry<'a>(position: &'a str, question: u64, at: u64, answer: Option<&'a str>) -> Entry<'a> {
        Entry {
            seq: 7,
            script: SCRIPT,
            position,
            question,
            at,
            answer: answer.map(str::as_bytes),
        }
    }

    fn read(entries: &[Entry<'_>]) -> Calls {
        let mut bytes = Vec::new();
        for entry in entries {
            entry.encode(&mut bytes);
        }
        of_row(&bytes).expect("entries")
    }

    fn of_row(bytes: &[u8]) -> Option<Calls> {
        let mut calls = Calls::default();
        super::read(bytes, |entry, _| calls.take(entry)).map(|()| calls)
    }

    fn told(calls: &Calls) -> Vec<(String, u64, u64, Option<Bytes>)> {
        let all = calls.of(7, SCRIPT).into_iter();
        all.map(|one| (one.position, one.question, one.begun, one.answer))
            .collect()
    }

    #[test]
    fn what_was_said_last_of_a_place_counts() {
        let calls = read(&[
            entry("b:0", 1, 10, None),
            entry("a:0", 2, 11, None),
            entry("b:0", 1, 12, Some("yes")),
            entry("c:0", 3, 13, Some("")),
            // Made again, before it was answered: it was begun before.
            entry("a:0", 2, 14, None),
            // Another question, and one that is asked again although it was answered.
            entry("b:0", 4, 15, None),
        ]);
        let yes = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let expected = [
            ("a:0".to_owned(), 2, 11, None),
            ("b:0".to_owned(), 4, 15, None),
            ("c:0".to_owned(), 3, 13, yes("")),
        ];
        assert_eq!(told(&calls), expected);
        let calls = read(&[entry("b:0", 1, 10, None), entry("b:0", 1, 12, Some("yes"))]);
        assert_eq!(told(&calls), [("b:0".to_owned(), 1, 10, yes("yes"))]);
        assert!(calls.of(8, SCRIPT).is_empty() && calls.of(7, 4).is_empty());
    }

    #[test]
    fn what_is_kept_is_read_as_it_was_and_damage_is_noticed() {
        let calls = read(&[
            entry("b:0", 1, 10, None),
            entry("b:0", 1, 12, Some("yes")),
            entry("ü:0", u64::MAX, 13, None),
        ]);
        let bytes = calls.encode(|seq, script| (seq, script) == (7, SCRIPT));
        let again = of_row(&bytes).expect("entries");
        assert_eq!(told(&again), told(&calls));
        assert!(calls.encode(|_, _| false).is_empty());
        let whole = (0..=bytes.len()).filter(|&end| of_row(&bytes[..end]).is_some());
        assert_eq!(whole.count(), 3, "none, the first, both");
    }
}
