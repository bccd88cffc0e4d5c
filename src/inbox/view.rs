//! A bot's state as the command line sees it: recordings and the key-value store, beside a host that
//! runs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::batch::milliseconds;
use super::redaction::Redaction;
use super::store::{KEY_BYTES, KvOp, OpenError, Store, Usages, VALUE_BYTES, unreadable};

/// A bot's state, for reading.
#[derive(Debug)]
pub struct View(Store);

/// One key of the key-value store, as it is exported.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvEntry {
    /// The namespace: `script:NAME` or `shared:NAME`.
    pub space: String,
    /// The key.
    pub key: String,
    /// Its value, any JSON.
    pub value: Box<RawValue>,
    /// When it goes, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl KvEntry {
    /// Why no script could have stored it.
    fn problem(&self) -> Option<String> {
        let (kind, name) = self.space.split_once(':').unwrap_or_default();
        if !matches!(kind, "script" | "shared") || name.is_empty() {
            return Some(format!(
                "the space {:?} is neither script:NAME nor shared:NAME",
                self.space
            ));
        }
        if self.key.is_empty() || self.key.len() > KEY_BYTES {
            return Some(format!("a key has 1 to {KEY_BYTES} bytes"));
        }
        (self.value.get().len() > VALUE_BYTES)
            .then(|| format!("a value has at most {VALUE_BYTES} bytes as JSON"))
    }
}

impl View {
    /// Looks into the state, also while a host has it open.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Store::look_into(path).map(Self)
    }

    /// What there is of an event: the newest recording of each script whose handlers failed; without
    /// any, the event with what was asked so far, if some script is not done with it. JSON texts of
    /// [`Recording`]s.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn recordings(
        &mut self,
        event: &str,
        redaction: &Redaction,
    ) -> Result<Vec<String>, OpenError> {
        let found = self.0.failures_of(event).map_err(unreadable)?;
        if !found.is_empty() {
            return Ok(found);
        }
        self.0.unfinished(event, redaction).map_err(unreadable)
    }

    /// The newest recordings, newest first, as JSON texts.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn failures(&self, most: usize) -> Result<Vec<String>, OpenError> {
        self.0.failures(most).map_err(unreadable)
    }

    /// Every key of the store, by namespace.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn kv(&self, mut each: impl FnMut(KvEntry)) -> Result<(), OpenError> {
        let read = |space: &str, key: &str, value: &str, expires| {
            // It was JSON when it was written.
            if let Ok(value) = RawValue::from_string(value.to_owned()) {
                each(KvEntry {
                    space: space.to_owned(),
                    key: key.to_owned(),
                    value,
                    expires,
                });
            }
        };
        self.0.every_key(read).map_err(unreadable)
    }
}

/// Writes keys into a bot's state, all of them or none. Keys that are there already are replaced.
///
/// # Errors
/// A host has the state open, or it cannot be written; or an entry does not fit, with its number.
pub fn import_kv(path: &Path, entries: &[KvEntry], quota: u64) -> Result<(), String> {
    let mut store = Store::open(path).map_err(|error| error.to_string())?;
    let now = milliseconds(SystemTime::now());
    let mut usages = Usages::default();
    let mut refused = None;
    let result = store.transaction(|store| {
        for (at, entry) in entries.iter().enumerate() {
            if entry.expires.is_some_and(|expires| expires <= now) {
                continue;
            }
            let op = KvOp::Set {
                key: entry.key.clone(),
                value: entry.value.get().to_owned(),
                ttl: entry.expires.map(|at| Duration::from_millis(at - now)),
                revision: None,
            };
            if let Some(why) = entry.problem() {
                refused = Some(format!("entry {}: {why}", at + 1));
                return Err(rusqlite::Error::ExecuteReturnedResults);
            }
            if let Err(why) = store.kv(&mut usages, quota, &entry.space, &op)? {
                refused = Some(format!("entry {}: {why}", at + 1));
                return Err(rusqlite::Error::ExecuteReturnedResults);
            }
        }
        Ok(())
    });
    match (refused, result) {
        (Some(why), _) => Err(why),
        (None, result) => result.map_err(|error| error.to_string()),
    }
}
