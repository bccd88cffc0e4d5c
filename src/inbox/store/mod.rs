//! The database of one bot: opening it without harm to what is there, and its schema.
//!
//! `<state.dir>/<bot>.db`, SQLite in WAL mode with `synchronous = NORMAL`: what was committed survives
//! the process, whatever kills it; a power cut may take the last commits, never the file ([`Sync::Full`]
//! is for those who cannot have that). `checkpoint` says how the write-ahead log stays short. One process at
//! a time: `<bot>.lock` is locked while the file is open, by a lock of the system that ends with the process.
//!
//! A file of a newer version is refused before SQLite touches it (its version stands in the first 100
//! bytes). A file that is damaged, or no database, is renamed with all that belongs to it, and a new one
//! begun: the bot goes on, and nothing is deleted.

mod calls;
mod checkpoint;
mod events;
mod failures;
mod kv;
mod lock;
mod timers;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, Transaction};

use super::Sync;
use super::batch::milliseconds;
use checkpoint::Checkpoints;
use lock::Lock;

pub use calls::Recorded;
pub(super) use calls::{Calls, Entry};
pub use kv::{
    KEY_BYTES, KvAnswer, KvError, KvOp, PAGE, PAGE_BYTES, Page, VALUE_BYTES, hidden_space,
    is_hidden_space,
};
pub(super) use kv::{Usages, disk_error};

/// What makes each version of the schema out of the one before it.
const MIGRATIONS: &[Step] = &[
    Step::Sql(include_str!("schema.sql")),
    Step::Sql(include_str!("timers.sql")),
    Step::Sql(include_str!("sightings.sql")),
    Step::Sql(include_str!("trail.sql")),
    Step::Rust(calls::migrate),
];

/// From one version of the schema to the next.
#[derive(Clone, Copy)]
enum Step {
    Sql(&'static str),
    /// What is beyond SQL.
    Rust(fn(&Transaction<'_>) -> rusqlite::Result<()>),
}

impl Step {
    fn take(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Step::Sql(sql) => transaction.execute_batch(sql),
            Step::Rust(step) => step(transaction),
        }
    }
}

/// `ArgH`: marks a database as ours.
const APPLICATION: i32 = 0x4172_6748;

/// Pages that are free and stay in the file, for what comes next: 16 MiB.
const FREE_PAGES: u32 = 4096;
/// Pages that are given back at once: some milliseconds.
const VACUUM_PAGES: u32 = 128;

/// How long a commit waits for a reader of the command line, which holds a lock for moments only.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// Why a bot's state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made, or not be written in.
    #[error(
        "the state of the bot cannot be kept in {}: {source}; make the folder writable, or set \"dir\" \
         in [state]", dir.display()
    )]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "another argon-host{} runs this bot with the state in {}: stop it, or give this one another \
         \"dir\" in [state] or another \"name\" in [bot]", holder(*pid), path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The other process, if it could be found out.
        pid: Option<u32>,
    },
    /// A later version wrote it.
    #[error(
        "{} was written by a newer argon-host (its format is {found}, this one knows {known}); it is \
         left as it is: use the newer version, or set another \"dir\" in [state]", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// It is a database of something else.
    #[error("{} is a database, but not of argon-host: set another \"dir\" in [state]", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("the bot has no state yet: {} begins with `argon-host run`", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// It is no database, or a broken one.
    #[error(
        "the bot's state in {} is damaged ({what}); the next `argon-host run` sets it aside and begins \
         a new one", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no room for what is written at the start.
    #[error("the disk with the bot's state is full: make room and start again")]
    Full,
    /// SQLite or the system says no.
    #[error("the bot's state in {} cannot be opened: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// What is in it cannot be read.
    #[error("the bot's state cannot be read: {0}")]
    Unreadable(rusqlite::Error),
    /// The system gave no thread.
    #[error("the system gave no thread for the journal: {0}")]
    Thread(io::Error),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// The open database.
#[derive(Debug)]
pub(super) struct Store {
    /// None for a database in memory or beside its owner.
    checkpoints: Option<Checkpoints>,
    connection: Connection,
    /// Whose events are read and written: see `events`.
    world: i64,
    _lock: Option<Lock>,
}

/// The database of a bot of that name.
pub fn path_in(dir: &Path, bot: &str) -> PathBuf {
    let safe = |c: char| c.is_alphanumeric() || "._- ".contains(c);
    let name: String = bot.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    dir.join(format!("{}.db", name.trim_start_matches('.')))
}

impl Store {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let folder = |source| OpenError::Folder {
            dir: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(folder)?;
        let lock = Lock::take(path).map_err(|error| match error {
            lock::Error::Held(pid) => OpenError::Locked {
                path: path.to_owned(),
                pid,
            },
            lock::Error::Io(source) => folder(source),
        })?;
        let connection = match Self::try_open(path) {
            Err(problem) if problem.is_damage() => {
                let aside = set_aside(path).map_err(folder)?;
                tracing::error!(
                    "the bot's state in {} is damaged ({problem}); it is kept as {} for you to look at, \
                     and the bot goes on with a new one: events that were not finished and what \
                     scripts had stored are not in it",
                    path.display(),
                    aside.display()
                );
                Self::try_open(path)
            }
            result => result,
        };
        let into_error = |problem: Problem| problem.into_error(path);
        let mut connection = connection.map_err(into_error)?;
        let checkpoints = Checkpoints::new(&mut connection, path, checkpoint::Bounds::default());
        Ok(Self {
            checkpoints: Some(checkpoints.map_err(|error| into_error(error.into()))?),
            connection,
            world: 0,
            _lock: Some(lock),
        })
    }

    /// A database that ends with the process.
    pub(super) fn in_memory() -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let open = || -> Result<Connection, Problem> {
            let mut connection = Connection::open_in_memory()?;
            migrate(&mut connection)?;
            Ok(connection)
        };
        Ok(Self {
            checkpoints: None,
            connection: open().map_err(|problem| problem.into_error(path))?,
            world: 0,
            _lock: None,
        })
    }

    /// Opens the file for reading beside the process that owns it.
    pub(super) fn look_into(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing {
                path: path.to_owned(),
            });
        }
        let look = || -> Result<Connection, Problem> {
            check_header(path)?;
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        };
        Ok(Self {
            checkpoints: None,
            connection: look().map_err(|problem| problem.into_error(path))?,
            world: 0,
            _lock: None,
        })
    }

    fn try_open(path: &Path) -> Result<Connection, Problem> {
        check_header(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        // Before the first table, or it has no effect: the file can shrink.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Problem::Damaged(sound));
        }
        migrate(&mut connection)?;
        Ok(connection)
    }

    /// Says what a commit waits for.
    pub(super) fn sync(&self, sync: Sync) -> rusqlite::Result<()> {
        let level = match sync {
            Sync::Normal => "NORMAL",
            Sync::Full => "FULL",
        };
        self.connection.pragma_update(None, "synchronous", level)
    }

    /// Runs `work` as one transaction: all of it is on disk afterwards, or nothing.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.run("BEGIN IMMEDIATE")?;
        let result = work(self).and_then(|value| self.run("COMMIT").map(|()| value));
        if result.is_err() && !self.connection.is_autocommit() {
            // What failed is told; that the rest cannot be undone either would say the same.
            let _ = self.run("ROLLBACK");
        }
        result
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Keeps the write-ahead log short, between two commits.
    pub(super) fn look_after_log(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.look(&self.connection);
        }
    }

    /// Gives back room that is free, a little at a time; whether there is more. Works the log into the
    /// file.
    pub(super) fn tidy(&mut self) -> rusqlite::Result<bool> {
        let free: u32 = self
            .connection
            .pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        let many = free > FREE_PAGES;
        if many {
            self.vacuum(VACUUM_PAGES)?;
        }
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.tidy(&self.connection);
        }
        Ok(many)
    }

    fn vacuum(&self, pages: u32) -> rusqlite::Result<()> {
        let sql = format!("PRAGMA incremental_vacuum({pages})");
        let mut query = self.connection.prepare(&sql)?;
        let mut rows = query.query([])?;
        // It gives back one page with each step.
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Nothing comes any more: gives back what is free and leaves no log.
    pub(super) fn finish(&mut self) -> rusqlite::Result<()> {
        // Ends the other connection, which would be in the way.
        self.checkpoints = None;
        self.vacuum(FREE_PAGES)?;
        self.connection
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// Room for so many pages; for tests of a full disk.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        let sql = format!("PRAGMA max_page_count = {pages}");
        self.connection
            .query_row(&sql, [], |_| Ok(()))
            .expect("a pragma");
    }
}

pub(super) fn unreadable(error: rusqlite::Error) -> OpenError {
    match is_full(&error) {
        true => OpenError::Full,
        false => OpenError::Unreadable(error),
    }
}

/// Whether the disk, or what the user may have of it, is full.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// What can be wrong with a file, before it is known what to do about it.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Newer(u32),
    #[error("a database of something else")]
    Foreign,
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl Problem {
    fn is_damage(&self) -> bool {
        match self {
            Problem::Damaged(_) => true,
            Problem::Newer(_) | Problem::Foreign => false,
            Problem::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
        }
    }

    fn into_error(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Problem::Newer(found) => OpenError::Newer {
                path,
                found,
                known: MIGRATIONS.len() as u32,
            },
            Problem::Foreign => OpenError::Foreign { path },
            Problem::Sqlite(source) => OpenError::Database { path, source },
            Problem::Damaged(what) => OpenError::Damaged { path, what },
        }
    }
}

/// Looks at the first bytes of a file that may not be ours (<https://sqlite.org/fileformat.html#the_database_header>).
fn check_header(path: &Path) -> Result<(), Problem> {
    let mut header = Vec::with_capacity(100);
    let read = File::open(path).and_then(|file| file.take(100).read_to_end(&mut header));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // SQLite says it better.
        Err(_) => return Ok(()),
        Ok(0) => return Ok(()),
        Ok(_) => {}
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(Problem::Damaged("it is no database".to_owned()));
    }
    let number = |at: usize| {
        header[at..at + 4]
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte))
    };
    let (version, application) = (number(60), number(68));
    if application != APPLICATION as u32 {
        // A file that was made and not filled yet has neither.
        return match (application, version) {
            (0, 0) => Ok(()),
            _ => Err(Problem::Foreign),
        };
    }
    match version as usize > MIGRATIONS.len() {
        true => Err(Problem::Newer(version)),
        false => Ok(()),
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if version > known {
        return Err(Problem::Newer(version));
    }
    if version == known {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in &MIGRATIONS[version as usize..] {
        step.take(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    // The header tells the version from now on, also to those who do not read the log.
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Renames a database and what belongs to it; answers the new name.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let at = milliseconds(SystemTime::now());
    let of = |suffix: &str, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.push(end);
        PathBuf::from(name)
    };
    let end = format!(".damaged-{at}");
    for suffix in ["-wal", "-shm"] {
        match std::fs::rename(of(suffix, ""), of(&end, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let aside = of(&end, "");
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
