//! Recordings of events whose handlers failed, for `argon-host replay`: the newest, within a bound.

use rusqlite::{OptionalExtension, params};

use super::Store;

/// Bytes of recordings that are kept; the oldest go first.
const KEPT_BYTES: i64 = 16 << 20;
/// Recordings that are kept.
const KEPT: i64 = 1000;

/// A recording, as `argon-host replay` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The event's id.
    pub event: String,
    /// The script whose handler failed.
    pub script: String,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// Event, calls and errors as JSON.
    pub recording: String,
}

impl Store {
    /// Keeps a recording.
    pub(in crate::inbox) fn add_failure(&self, failure: &Failure) -> rusqlite::Result<()> {
        let Failure {
            event,
            script,
            at,
            recording,
        } = failure;
        let db = &self.connection;
        db.prepare_cached(
            "INSERT INTO failure (event, script, at, bytes, recording) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            event,
            script,
            at,
            recording.len() as i64,
            recording
        ])?;
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

    /// The newest recording of that event and, if it is given, of that script.
    pub(in crate::inbox) fn failure(
        &self,
        event: &str,
        script: Option<&str>,
    ) -> rusqlite::Result<Option<Failure>> {
        self.connection
            .query_row(
                "SELECT event, script, at, recording FROM failure
                 WHERE event = ?1 AND (?2 IS NULL OR script = ?2) ORDER BY id DESC LIMIT 1",
                params![event, script],
                read,
            )
            .optional()
    }

    /// The newest recordings, newest first.
    pub(in crate::inbox) fn failures(&self, most: usize) -> rusqlite::Result<Vec<Failure>> {
        let mut query = self.connection.prepare(
            "SELECT event, script, at, recording FROM failure ORDER BY id DESC LIMIT ?1",
        )?;
        query.query_map([most as i64], read)?.collect()
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Failure> {
    Ok(Failure {
        event: row.get(0)?,
        script: row.get(1)?,
        at: row.get(2)?,
        recording: row.get(3)?,
    })
}
