//! How far the timers of scripts have come.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use rusqlite::params;

use super::Store;
use crate::inbox::batch::{ScriptId, milliseconds};

/// A timer that was not due for so long is forgotten: no pattern waits longer than a leap year, but for
/// the 29th of February of a century.
const FORGOTTEN: Duration = Duration::from_secs(9 * 366 * 24 * 60 * 60);

impl Store {
    /// Every timer, with the time up to which its runs were given.
    pub(in crate::inbox) fn timers(
        &self,
    ) -> rusqlite::Result<HashMap<ScriptId, HashMap<String, u64>>> {
        let before = milliseconds(SystemTime::now()).saturating_sub(FORGOTTEN.as_millis() as u64);
        (self.connection).execute("DELETE FROM timer WHERE given < ?1", [before])?;
        let mut timers: HashMap<_, HashMap<_, _>> = HashMap::new();
        let mut query = (self.connection).prepare("SELECT script, name, given FROM timer")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let of_script = timers.entry(row.get(0)?).or_default();
            of_script.insert(row.get(1)?, row.get(2)?);
        }
        Ok(timers)
    }

    /// Up to when runs of a timer were given; none of one that is over.
    pub(in crate::inbox) fn set_timer(
        &self,
        script: ScriptId,
        timer: &str,
        given: Option<u64>,
    ) -> rusqlite::Result<()> {
        let Some(given) = given else {
            return self
                .connection
                .prepare_cached("DELETE FROM timer WHERE script = ?1 AND name = ?2")?
                .execute(params![script, timer])
                .map(drop);
        };
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO timer (script, name, given) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![script, timer, given])
            .map(drop)
    }
}
