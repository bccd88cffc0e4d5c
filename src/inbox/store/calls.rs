//! What the handlers of unfinished events have asked for, and the answers.

use std::collections::HashSet;
use std::time::SystemTime;

use bytes::Bytes;
use rusqlite::params;

use super::Store;
use crate::inbox::batch::{ScriptId, milliseconds};

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

impl Store {
    /// The call is about to be made.
    pub(in crate::inbox) fn intend(
        &self,
        seq: u64,
        script: ScriptId,
        position: &str,
        question: u64,
    ) -> rusqlite::Result<()> {
        let now = milliseconds(SystemTime::now());
        self.connection
            .prepare_cached(
                "INSERT INTO call (seq, script, position, question, begun) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET question = ?4, begun = ?5, answer = NULL
                 WHERE question <> ?4 OR answer IS NOT NULL",
            )?
            .execute(params![seq, script, position, question as i64, now])
            .map(drop)
    }

    /// The call has this answer.
    pub(in crate::inbox) fn answer(
        &self,
        seq: u64,
        script: ScriptId,
        position: &str,
        question: u64,
        answer: &[u8],
    ) -> rusqlite::Result<()> {
        let now = milliseconds(SystemTime::now());
        self.connection
            .prepare_cached(
                "INSERT INTO call (seq, script, position, question, begun, answer)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET question = ?4, answer = ?6",
            )?
            .execute(params![seq, script, position, question as i64, now, answer])
            .map(drop)
    }

    pub(in crate::inbox) fn calls(
        &self,
        seq: u64,
        script: ScriptId,
    ) -> rusqlite::Result<Vec<Recorded>> {
        let mut query = self.connection.prepare_cached(
            "SELECT position, question, begun, answer FROM call WHERE seq = ?1 AND script = ?2",
        )?;
        let rows = query.query_map(params![seq, script], |row| {
            let question: i64 = row.get(1)?;
            let answer: Option<Vec<u8>> = row.get(3)?;
            Ok(Recorded {
                position: row.get(0)?,
                question: question as u64,
                begun: row.get(2)?,
                answer: answer.map(Bytes::from),
            })
        })?;
        rows.collect()
    }

    /// The script is done with the event.
    pub(in crate::inbox) fn forget_calls(
        &self,
        seq: u64,
        script: ScriptId,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM call WHERE seq = ?1 AND script = ?2")?
            .execute(params![seq, script])
            .map(drop)
    }

    /// The pairs of event and script that have made calls.
    pub(in crate::inbox) fn callers(&self) -> rusqlite::Result<HashSet<(u64, ScriptId)>> {
        let mut query = self
            .connection
            .prepare("SELECT DISTINCT seq, script FROM call")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }
}
