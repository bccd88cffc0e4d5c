//! Recordings for `argon-host replay`: of events whose handlers failed, the newest, within a bound; and
//! of unfinished events, as far as they have come.

use std::collections::HashMap;

use rusqlite::params;

use super::Store;
use super::calls::Entry;
use crate::inbox::batch::{Batch, ScriptId, decode_events, encode_event, encode_slots};
use crate::inbox::recording::{CallRecord, Recording};
use crate::inbox::redaction::Redaction;

/// Bytes of recordings that are kept; the oldest go first.
const KEPT_BYTES: i64 = 16 << 20;
/// Recordings that are kept.
const KEPT: i64 = 1000;

impl Store {
    /// Keeps a recording.
    pub(in crate::inbox) fn add_failure(&self, recording: &Recording) -> rusqlite::Result<()> {
        let Recording { id, script, at, .. } = recording;
        // Text and JSON always make JSON.
        let text = serde_json::to_string(recording).unwrap_or_default();
        let db = &self.connection;
        db.prepare_cached(
            "INSERT INTO failure (event, script, at, bytes, recording) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id, script, at, text.len() as i64, text])?;
        let (count, bytes): (i64, i64) = db
            .prepare_cached("SELECT count(*), sum(bytes) FROM failure")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if count > KEPT || bytes > KEPT_BYTES {
            // A tenth at a time, so that it is not counted for each.
            db.prepare_cached(
                "DELETE FROM failure WHERE id IN
                 (SELECT id FROM failure ORDER BY id LIMIT max(1, (SELECT count(*) FROM failure) / 10))",
            )?
            .execute([])?;
        }
        Ok(())
    }

    /// The newest recording of that event by each script.
    pub(in crate::inbox) fn failures_of(&self, event: &str) -> rusqlite::Result<Vec<String>> {
        let mut query = self.connection.prepare(
            "SELECT recording FROM failure WHERE id IN
             (SELECT max(id) FROM failure WHERE event = ?1 GROUP BY script) ORDER BY script",
        )?;
        query.query_map([event], |row| row.get(0))?.collect()
    }

    /// The newest recordings, newest first.
    pub(in crate::inbox) fn failures(&self, most: usize) -> rusqlite::Result<Vec<String>> {
        let mut query =
            (self.connection).prepare("SELECT recording FROM failure ORDER BY id DESC LIMIT ?1")?;
        query.query_map([most as i64], |row| row.get(0))?.collect()
    }

    /// The recordings of an event that scripts are not done with: one of each script.
    pub(in crate::inbox) fn unfinished(
        &mut self,
        event: &str,
        redaction: &Redaction,
    ) -> rusqlite::Result<Vec<String>> {
        let worlds: Vec<(i64, String)> = self
            .connection
            .prepare("SELECT id, bot FROM world")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let names: HashMap<ScriptId, String> = (self.scripts()?.into_iter())
            .map(|(name, id)| (id, name))
            .collect();
        let mut recordings = Vec::new();
        for (world, bot) in worlds {
            self.world = world;
            for batch in self.batches()? {
                // A host that runs may be done with it by now.
                let events = self.events(batch.first)?;
                let events = events
                    .as_deref()
                    .and_then(decode_events)
                    .unwrap_or_default();
                let mut calls = None;
                for (seq, script) in batch.open_pairs() {
                    let at = usize::try_from(seq - batch.first).unwrap_or(usize::MAX);
                    let found = events.get(at).filter(|found| found.id == event);
                    let (Some(found), Some(name)) = (found, names.get(&script)) else {
                        continue;
                    };
                    if calls.is_none() {
                        calls = Some(self.calls(&batch.calls, |_, _| true)?);
                    }
                    let calls = calls
                        .as_ref()
                        .map_or_else(Vec::new, |all| all.of(seq, script));
                    let calls = calls.iter().map(|call| CallRecord::new(call, None));
                    let mut recording = Recording::new(found, name, calls.collect());
                    recording.bot = bot.clone();
                    recording.hide(redaction);
                    recordings.push(serde_json::to_string(&recording).unwrap_or_default());
                }
            }
        }
        Ok(recordings)
    }

    /// Makes an event unfinished again, as its recording has it.
    pub(in crate::inbox) fn restore(&self, recording: &Recording) -> rusqlite::Result<()> {
        const SCRIPT: ScriptId = 1;
        let event = recording.event();
        let mut blob = Vec::new();
        encode_event(&mut blob, &event);
        let batch = Batch::new(1, [([SCRIPT].into(), event.payload.len())]);
        self.name_script(SCRIPT, &recording.script)?;
        self.insert_batch(batch.first, &encode_slots(&batch.slots), &blob)?;
        let mut entries = Vec::new();
        for call in &recording.calls {
            let answer = call.answer();
            let entry = Entry {
                seq: batch.first,
                script: SCRIPT,
                position: &call.position,
                question: call.question,
                at: recording.at,
                answer: answer.as_deref(),
            };
            entry.encode(&mut entries);
        }
        self.insert_calls(1, batch.first, &entries)?;
        Ok(())
    }
}
