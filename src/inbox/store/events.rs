//! Events, progress and what came on the stream, in the database.
//!
//! A *world* is what a bot's user id names. Ids of spaces, channels and messages mean nothing outside of
//! it, so events and the place in the stream belong to one. A bot that comes back under another user id
//! finds its old events again when it comes back under the old one; those of an embedded server, whose
//! world is new with each process, are dropped at the next start.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::inbox::batch::{Batch, ScriptId, decode_slots, milliseconds};
use crate::inbox::came::Came;
use crate::inbox::sightings::{Channel, Sightings};
use crate::inbox::window::{Scope, Window};

impl Store {
    /// Reads and writes the events of this bot from now on. Answers how many unfinished batches of
    /// worlds that are over were dropped.
    pub(in crate::inbox) fn enter(&mut self, bot: &str, passing: bool) -> rusqlite::Result<usize> {
        let now = milliseconds(SystemTime::now());
        let mut world = 0;
        let dropped = self.transaction(|store| {
            let db = &store.connection;
            // Whoever it was: the process that had it is gone.
            let over = "SELECT id FROM world WHERE passing";
            let dropped = db.execute(&format!("DELETE FROM batch WHERE world IN ({over})"), [])?;
            for table in ["scope", "channel", "trail"] {
                db.execute(&format!("DELETE FROM {table} WHERE world IN ({over})"), [])?;
            }
            db.execute("DELETE FROM world WHERE passing", [])?;
            db.execute_batch(
                "DELETE FROM progress WHERE first NOT IN (SELECT first FROM batch);
                 DELETE FROM call WHERE batch NOT IN (SELECT first FROM batch)",
            )?;
            db.execute(
                "INSERT INTO world (bot, passing, seen) VALUES (?1, ?2, ?3)
                 ON CONFLICT (bot) DO UPDATE SET seen = ?3, passing = ?2",
                params![bot, passing, now],
            )?;
            world = db.query_row("SELECT id FROM world WHERE bot = ?1", [bot], |row| {
                row.get(0)
            })?;
            Ok(dropped)
        })?;
        self.world = world;
        Ok(dropped)
    }

    /// The scripts that were ever given an event.
    pub(in crate::inbox) fn scripts(&self) -> rusqlite::Result<HashMap<String, ScriptId>> {
        let mut query = self.connection.prepare("SELECT name, id FROM script")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    pub(in crate::inbox) fn name_script(&self, id: ScriptId, name: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO script (id, name) VALUES (?1, ?2)")?
            .execute(params![id, name])
            .map(drop)
    }

    /// The number that no event had yet.
    pub(in crate::inbox) fn next_seq(&self) -> rusqlite::Result<u64> {
        let last: Option<(u64, Vec<u8>)> = self
            .connection
            .query_row(
                "SELECT first, slots FROM batch ORDER BY first DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        Ok(last.map_or(1, |(first, slots)| {
            first + decode_slots(&slots).map_or(1, |slots| slots.len() as u64)
        }))
    }

    /// The batches of this world that are not over, oldest first.
    pub(in crate::inbox) fn batches(&self) -> rusqlite::Result<Vec<Batch>> {
        let mut query = self.connection.prepare(
            "SELECT batch.first, slots, done FROM batch LEFT JOIN progress USING (first)
             WHERE world = ?1 ORDER BY batch.first",
        )?;
        let mut rows = query.query([self.world])?;
        let mut calls: HashMap<u64, (Vec<u64>, u64)> = HashMap::new();
        for (id, batch, bytes) in self.call_rows()? {
            let (rows, asked) = calls.entry(batch).or_default();
            rows.push(id);
            *asked += bytes;
        }
        let mut batches = Vec::new();
        while let Some(row) = rows.next()? {
            let first = row.get(0)?;
            let Some(slots) = decode_slots(row.get_ref(1)?.as_blob()?) else {
                tracing::error!(first, "a batch of events cannot be read and is left out");
                continue;
            };
            let mut batch = Batch::new(first, slots);
            (batch.calls, batch.asked) = calls.remove(&first).unwrap_or_default();
            if let Some(done) = row.get_ref(2)?.as_blob_or_null()? {
                batch.restore(done);
            }
            batches.push(batch);
        }
        Ok(batches)
    }

    pub(in crate::inbox) fn insert_batch(
        &self,
        first: u64,
        slots: &[u8],
        events: &[u8],
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO batch (first, world, slots, events) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![first, self.world, slots, events])
            .map(drop)
    }

    /// The events of a batch, encoded.
    pub(in crate::inbox) fn events(&self, first: u64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.connection
            .prepare_cached("SELECT events FROM batch WHERE first = ?1")?
            .query_row([first], |row| row.get(0))
            .optional()
    }

    /// Deletes a batch with what belongs to it.
    pub(in crate::inbox) fn delete_batch(&self, batch: &Batch) -> rusqlite::Result<()> {
        for sql in [
            "DELETE FROM batch WHERE first = ?1",
            "DELETE FROM progress WHERE first = ?1",
        ] {
            let mut query = self.connection.prepare_cached(sql)?;
            query.execute([batch.first])?;
        }
        self.delete_calls(&batch.calls)
    }

    pub(in crate::inbox) fn set_progress(&self, batch: &Batch) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO progress (first, done) VALUES (?1, ?2)")?
            .execute(params![batch.first, batch.progress()])
            .map(drop)
    }

    /// What came on the stream so far. Windows of which nothing came for `oldest` are dropped: nothing is
    /// replayed from then.
    pub(in crate::inbox) fn came(&mut self, oldest: Duration) -> rusqlite::Result<Came> {
        let now = milliseconds(SystemTime::now());
        let before = now.saturating_sub(oldest.as_millis() as u64);
        let mut came = self.read_came()?;
        came.forget_before(before);
        self.transaction(|store| {
            if came.has_trail() {
                store.set_came(&came)?;
            }
            store.connection.execute(
                "DELETE FROM scope WHERE world = ?1 AND seen < ?2",
                params![store.world, before],
            )
        })?;
        came.is_whole();
        Ok(came)
    }

    fn read_came(&self) -> rusqlite::Result<Came> {
        let db = &self.connection;
        let (position, since, gap_from) = db.query_row(
            "SELECT position, since, gap_from FROM world WHERE id = ?1",
            [self.world],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let mut windows = Vec::new();
        let mut query = db.prepare("SELECT key, window, seen FROM scope WHERE world = ?1")?;
        let mut rows = query.query([self.world])?;
        while let Some(row) = rows.next()? {
            let scope = Scope::of_key(row.get_ref(0)?.as_blob()?);
            let window = Window::of_bytes(row.get_ref(1)?.as_blob()?);
            if let (Some(scope), Some(window)) = (scope, window) {
                windows.push((scope, (window, row.get(2)?)));
            }
        }
        let mut channels = Vec::new();
        let mut query = db.prepare("SELECT key, seen FROM channel WHERE world = ?1")?;
        let mut rows = query.query([self.world])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_blob()?.try_into();
            let channel = Channel::of_bytes(row.get_ref(1)?.as_blob()?);
            if let (Ok(key), Some(channel)) = (key, channel) {
                channels.push((u128::from_be_bytes(key), channel));
            }
        }
        let sightings = Sightings::restored(channels, since, gap_from);
        let trail: Vec<(u64, Vec<u8>)> = db
            .prepare("SELECT at, notes FROM trail WHERE world = ?1 ORDER BY id")?
            .query_map([self.world], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let trail = trail.iter().map(|(at, notes)| (*at, &notes[..]));
        Ok(Came::restored(position, windows, sightings, trail))
    }

    /// Appends to what is written of it.
    pub(in crate::inbox) fn add_trail(&self, at: u64, notes: &[u8]) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO trail (world, at, notes) VALUES (?1, ?2, ?3)")?
            .execute(params![self.world, at, notes])
            .map(drop)
    }

    /// Writes whole what has changed, instead of the trail.
    pub(in crate::inbox) fn set_came(&self, came: &Came) -> rusqlite::Result<()> {
        for (scope, window, seen) in came.changed_windows() {
            self.set_window(scope, window, seen)?;
        }
        for (channel, known) in came.changed_channels() {
            self.set_channel(channel, known)?;
        }
        if came.gap_changed() {
            self.set_gap(came.sightings())?;
        }
        self.set_position(came.position())?;
        self.connection
            .prepare_cached("DELETE FROM trail WHERE world = ?1")?
            .execute([self.world])
            .map(drop)
    }

    fn set_position(&self, id: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE world SET position = ?2, seen = ?3 WHERE id = ?1")?
            .execute(params![self.world, id, milliseconds(SystemTime::now())])
            .map(drop)
    }

    fn set_window(&self, scope: Scope, window: &Window, seen: u64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO scope (world, key, window, seen) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.world, scope.to_key(), window.to_bytes(), seen])
            .map(drop)
    }

    /// What is known of a channel from now on; none for nothing.
    fn set_channel(&self, channel: u128, known: Option<&Channel>) -> rusqlite::Result<()> {
        let key = channel.to_be_bytes();
        let sql = match known {
            Some(_) => "INSERT OR REPLACE INTO channel (world, key, seen) VALUES (?1, ?2, ?3)",
            None => "DELETE FROM channel WHERE world = ?1 AND key = ?2 AND ?3 IS NULL",
        };
        self.connection
            .prepare_cached(sql)?
            .execute(params![self.world, key, known.map(Channel::to_bytes)])
            .map(drop)
    }

    /// Since when the stream is known, and what gap is open.
    fn set_gap(&self, sightings: &Sightings) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE world SET since = ?2, gap_from = ?3 WHERE id = ?1")?
            .execute(params![self.world, sightings.since(), sightings.gap_from()])
            .map(drop)
    }
}
