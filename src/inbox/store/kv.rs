//! The key-value store: `argon.kv`.
//!
//! A *space* is a namespace: `script:NAME` of one script, `shared:NAME` of several, and those of the host's
//! own, [`hidden_space`], which no script can name and no export has. Values are JSON text.
//! Every write gives the key a new revision, which no key ever had, so that an update can tell whether
//! somebody came between its reading and its writing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, is_full};
use crate::inbox::batch::milliseconds;

/// Keys that a space may have.
pub const KEYS: u64 = 100_000;
/// Bytes of a key.
pub const KEY_BYTES: usize = 512;
/// Bytes of a value as JSON text.
pub const VALUE_BYTES: usize = 1 << 20;
/// Entries in one page of a listing.
pub const PAGE: usize = 1000;
/// Bytes of them; one entry is always in it.
pub const PAGE_BYTES: usize = 8 << 20;

/// What the names of the host's own spaces begin with.
const HIDDEN: &str = "host:";

/// The name of a space that the host keeps something in: what it is, and whose.
pub fn hidden_space(what: &str, of: &str) -> String {
    format!("{HIDDEN}{what}:{of}")
}

/// Whether the host keeps something of its own in the space.
pub fn is_hidden_space(space: &str) -> bool {
    space.starts_with(HIDDEN)
}

/// What to do in a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvOp {
    /// Reads a key.
    Get {
        /// The key.
        key: String,
    },
    /// Writes a key.
    Set {
        /// The key.
        key: String,
        /// JSON text.
        value: String,
        /// For how long.
        ttl: Option<Duration>,
        /// Only if the key has this revision still; 0 for a key that is not there.
        revision: Option<u64>,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: String,
        /// As in `Set`.
        revision: Option<u64>,
    },
    /// Reads keys in the order of their bytes.
    List {
        /// What the keys begin with.
        prefix: String,
        /// The most entries, at most [`PAGE`].
        limit: usize,
        /// Only keys behind this one.
        after: Option<String>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvAnswer {
    /// The value and its revision; none and 0 for a key that is not there.
    Value(Option<String>, u64),
    /// Written, with this revision.
    Written(u64),
    /// Not written: somebody else wrote in between.
    Conflict,
    /// Whether there was something to remove.
    Deleted(bool),
    /// Keys and values.
    Page(Page),
}

impl KvAnswer {
    /// Bytes of keys and values in it.
    pub fn bytes(&self) -> usize {
        match self {
            KvAnswer::Value(value, _) => value.as_ref().map_or(0, String::len),
            KvAnswer::Page(page) => {
                let entries = page.entries.iter();
                entries.map(|(key, value)| key.len() + value.len()).sum()
            }
            KvAnswer::Written(_) | KvAnswer::Conflict | KvAnswer::Deleted(_) => 0,
        }
    }
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and their values as JSON text.
    pub entries: Vec<(String, String)>,
    /// There are more behind the last one.
    pub more: bool,
}

impl Page {
    /// The page as JSON text.
    pub fn to_json(&self) -> String {
        let mut text = String::from("[");
        for (key, value) in &self.entries {
            if text.len() > 1 {
                text.push(',');
            }
            let key = serde_json::Value::from(key.as_str());
            // Writing to a string does not fail.
            let _ = write!(text, "{{\"key\":{key},\"value\":{value}}}");
        }
        text.push(']');
        text
    }
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The space has its most keys or bytes.
    #[error("{0}")]
    Quota(String),
    /// The disk is full, or does not work.
    #[error("the disk did not take it: {0}")]
    Disk(String),
}

impl KvError {
    /// The code that scripts see.
    pub fn code(&self) -> &'static str {
        match self {
            KvError::Quota(_) => "quota_exceeded",
            KvError::Disk(_) => "disk",
        }
    }
}

/// What a space uses.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    keys: u64,
    bytes: u64,
}

/// What the spaces use, as far as it was needed. To be forgotten after a transaction that failed.
#[derive(Debug, Default)]
pub(in crate::inbox) struct Usages(HashMap<String, Usage>);

impl Usages {
    pub(in crate::inbox) fn forget(&mut self) {
        self.0.clear();
    }
}

/// The row of a key, unless it has expired.
const LIVE: &str = "space = ?1 AND (expires IS NULL OR expires > ?2)";

impl Store {
    /// Does it, in the transaction that is open. The error outside is the database's and ends the
    /// transaction, the one inside the script's. `quota` bounds the bytes of the space's keys and values.
    pub(in crate::inbox) fn kv(
        &self,
        usages: &mut Usages,
        quota: u64,
        space: &str,
        op: &KvOp,
    ) -> rusqlite::Result<Result<KvAnswer, KvError>> {
        let now = milliseconds(SystemTime::now());
        match op {
            KvOp::Get { key } => Ok(Ok(match self.live(space, key, now)? {
                Some((value, revision)) => KvAnswer::Value(Some(value), revision),
                None => KvAnswer::Value(None, 0),
            })),
            KvOp::Set {
                key,
                value,
                ttl,
                revision,
            } => {
                if self.has_moved(space, key, now, *revision)? {
                    return Ok(Ok(KvAnswer::Conflict));
                }
                let size = (key.len() + value.len()) as u64;
                let mut after = self.usage_with(usages, space, key, size)?;
                if after.keys > KEYS || after.bytes > quota {
                    // What has expired is there until the next tidying, and nobody can delete it.
                    self.expire(usages)?;
                    after = self.usage_with(usages, space, key, size)?;
                }
                if after.keys > KEYS {
                    let text = format!("{space} has {KEYS} keys already: delete some first");
                    return Ok(Err(KvError::Quota(text)));
                }
                if after.bytes > quota {
                    let text = format!(
                        "{space} would use {} bytes, more than the {quota} it may: delete something first, or raise \"kv\" in [state]",
                        after.bytes
                    );
                    return Ok(Err(KvError::Quota(text)));
                }
                *self.usage(usages, space)? = after;
                let expires = match (ttl, revision) {
                    (Some(ttl), _) => Some(now.saturating_add(ttl.as_millis() as u64)),
                    // An update does not prolong.
                    (None, Some(_)) => self.expiry(space, key, now)?,
                    (None, None) => None,
                };
                let revision = self.next_revision()?;
                self.connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO kv (space, key, value, expires, revision)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![space, key, value, expires.map(cap), revision])?;
                Ok(Ok(KvAnswer::Written(revision)))
            }
            KvOp::Delete { key, revision } => {
                if self.has_moved(space, key, now, *revision)? {
                    return Ok(Ok(KvAnswer::Conflict));
                }
                let existed = self.live(space, key, now)?.is_some();
                if let Some(size) = self.size(space, key)? {
                    let usage = self.usage(usages, space)?;
                    usage.keys = usage.keys.saturating_sub(1);
                    usage.bytes = usage.bytes.saturating_sub(size);
                    self.connection
                        .prepare_cached("DELETE FROM kv WHERE space = ?1 AND key = ?2")?
                        .execute([space, key])?;
                }
                Ok(Ok(KvAnswer::Deleted(existed)))
            }
            KvOp::List {
                prefix,
                limit,
                after,
            } => self
                .list(space, now, prefix, *limit, after.as_deref())
                .map(|page| Ok(KvAnswer::Page(page))),
        }
    }

    fn live(&self, space: &str, key: &str, now: u64) -> rusqlite::Result<Option<(String, u64)>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT value, revision FROM kv WHERE {LIVE} AND key = ?3"
            ))?
            .query_row(params![space, now, key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
    }

    fn has_moved(
        &self,
        space: &str,
        key: &str,
        now: u64,
        revision: Option<u64>,
    ) -> rusqlite::Result<bool> {
        let Some(revision) = revision else {
            return Ok(false);
        };
        let current = self
            .live(space, key, now)?
            .map_or(0, |(_, current)| current);
        Ok(current != revision)
    }

    fn expiry(&self, space: &str, key: &str, now: u64) -> rusqlite::Result<Option<u64>> {
        self.connection
            .prepare_cached(&format!("SELECT expires FROM kv WHERE {LIVE} AND key = ?3"))?
            .query_row(params![space, now, key], |row| row.get(0))
            .optional()
            .map(Option::flatten)
    }

    /// Bytes of a row, expired or not.
    fn size(&self, space: &str, key: &str) -> rusqlite::Result<Option<u64>> {
        self.connection
            .prepare_cached(
                "SELECT octet_length(key) + octet_length(value) FROM kv WHERE space = ?1 AND key = ?2",
            )?
            .query_row([space, key], |row| row.get(0))
            .optional()
    }

    fn usage<'u>(&self, usages: &'u mut Usages, space: &str) -> rusqlite::Result<&'u mut Usage> {
        if !usages.0.contains_key(space) {
            let usage = self
                .connection
                .prepare_cached(
                    "SELECT count(*), ifnull(sum(octet_length(key) + octet_length(value)), 0)
                     FROM kv WHERE space = ?1",
                )?
                .query_row([space], |row| {
                    Ok(Usage {
                        keys: row.get(0)?,
                        bytes: row.get(1)?,
                    })
                })?;
            usages.0.insert(space.to_owned(), usage);
        }
        Ok(usages.0.entry(space.to_owned()).or_default())
    }

    /// What the space uses when the key has so many bytes.
    fn usage_with(
        &self,
        usages: &mut Usages,
        space: &str,
        key: &str,
        bytes: u64,
    ) -> rusqlite::Result<Usage> {
        let before = self.size(space, key)?;
        let usage = self.usage(usages, space)?;
        Ok(Usage {
            keys: usage.keys + u64::from(before.is_none()),
            bytes: (usage.bytes + bytes).saturating_sub(before.unwrap_or(0)),
        })
    }

    fn next_revision(&self) -> rusqlite::Result<u64> {
        self.connection
            .prepare_cached("UPDATE counter SET value = value + 1 RETURNING value")?
            .query_row([], |row| row.get(0))
    }

    fn list(
        &self,
        space: &str,
        now: u64,
        prefix: &str,
        limit: usize,
        after: Option<&str>,
    ) -> rusqlite::Result<Page> {
        let limit = limit.clamp(1, PAGE);
        let from = match after {
            Some(after) if after >= prefix => after,
            _ => prefix,
        };
        let mut query = self.connection.prepare_cached(&format!(
            "SELECT key, value FROM kv WHERE {LIVE} AND key >= ?3 AND (?4 IS NULL OR key > ?4)
             ORDER BY key"
        ))?;
        let mut rows = query.query(params![space, now, from, after])?;
        let mut page = Page::default();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let (key, value) = entry(row)?;
            if !key.starts_with(prefix) {
                break;
            }
            bytes += key.len() + value.len();
            if page.entries.len() == limit || (bytes > PAGE_BYTES && !page.entries.is_empty()) {
                page.more = true;
                break;
            }
            page.entries.push((key, value));
        }
        Ok(page)
    }

    /// Removes what has expired.
    pub(in crate::inbox) fn expire(&self, usages: &mut Usages) -> rusqlite::Result<()> {
        let now = milliseconds(SystemTime::now());
        let gone = self
            .connection
            .prepare_cached("DELETE FROM kv WHERE expires <= ?1")?
            .execute([now])?;
        if gone > 0 {
            usages.forget();
        }
        Ok(())
    }

    /// Every key of scripts that has not expired, for the export: space, key, value, expiry.
    pub(in crate::inbox) fn every_key(
        &self,
        mut each: impl FnMut(&str, &str, &str, Option<u64>),
    ) -> rusqlite::Result<()> {
        let now = milliseconds(SystemTime::now());
        let mut query = self.connection.prepare(
            "SELECT space, key, value, expires FROM kv WHERE expires IS NULL OR expires > ?1
             ORDER BY space, key",
        )?;
        let mut rows = query.query([now])?;
        while let Some(row) = rows.next()? {
            let text = |at| row.get_ref(at).and_then(|value| Ok(value.as_str()?));
            if is_hidden_space(text(0)?) {
                continue;
            }
            each(text(0)?, text(1)?, text(2)?, row.get(3)?);
        }
        Ok(())
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// What SQLite can hold.
fn cap(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What a script is told when its write did not get to the disk.
pub(in crate::inbox) fn disk_error(error: &rusqlite::Error) -> KvError {
    KvError::Disk(if is_full(error) {
        "it is full".to_owned()
    } else {
        error.to_string()
    })
}
