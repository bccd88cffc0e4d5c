//! Works the write-ahead log into the database, beside the commits.
//!
//! SQLite does that in the commit that makes the log too long, and with thousands of pages to write and
//! two files to sync, what was committed then came a dozen milliseconds late. Here a thread with a
//! connection of its own does it, in *laps* of some thousand pages, while commits go on.
//!
//! The log begins anew only when all of it is worked in and nobody writes meanwhile, which never happens
//! by itself under load. So when it has [`Bounds::turn`] pages, and a lap has left only a few, the
//! journal's thread does the rest between two commits (PASSIVE as well: two syncs of little, about a
//! millisecond), and the next commit starts at the log's beginning.
//!
//! **When the thread cannot keep up**, or its disk is slow, the log grows; from [`Bounds::most`] pages on
//! the journal's thread waits for the lap and does all that is left, and what is to be committed waits
//! with it. So the log has about [`Bounds::most`] pages at most, 128 MiB, and what is committed until a lap
//! that had just begun is over, unless somebody reads the database for a long time: what a reader may still need cannot be worked in. The command line
//! reads for moments.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB};

/// When what is done, in pages of 4 KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// A lap begins when so many are not worked in.
    pub(super) lap: u32,
    /// The log is to begin anew when it has so many.
    pub(super) turn: u32,
    /// So few are worked in between two commits.
    pub(super) rest: u32,
    /// The log may have so many.
    pub(super) most: u32,
}

impl Default for Bounds {
    /// 16 MiB for a lap: a page that was written twice by then is worked in once. 64 MiB for the turn: about
    /// a second at 20,000 events/s, of which it takes a thousandth.
    fn default() -> Self {
        Self {
            lap: 4096,
            turn: 16_384,
            rest: 256,
            most: 32_768,
        }
    }
}

/// How much lower than the journal's the thread's priority is, in steps of nice.
const NICE: i32 = 5;

/// The log of one database, and who works it in.
#[derive(Debug)]
pub(super) struct Checkpoints {
    bounds: Bounds,
    /// Pages in the log after the last commit.
    log: Arc<AtomicU32>,
    /// The same when this was looked at last.
    seen: u32,
    /// Of these the ones that are worked in, or fewer.
    worked: u32,
    /// How many there were when it was tried last.
    tried: u32,
    /// The thread has been asked for a lap and has not told its end.
    is_running: bool,
    laps: Option<Laps>,
}

#[derive(Debug)]
struct Laps {
    ask: SyncSender<()>,
    /// How many pages are worked in; none when it failed.
    told: Receiver<Option<u32>>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// For this connection to the database in that file, in the place of SQLite's own.
    pub(super) fn new(
        connection: &mut Connection,
        path: &Path,
        bounds: Bounds,
    ) -> rusqlite::Result<Self> {
        let log = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&log);
        // Takes the place of the automatic one.
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            told.store(u32::try_from(pages).unwrap_or(0), Relaxed);
            Ok(())
        }))?;
        let own = Connection::open(path)?;
        own.busy_timeout(super::BUSY)?;
        own.pragma_update(None, "synchronous", "NORMAL")?;
        own.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(Self {
            bounds,
            log,
            seen: 0,
            worked: 0,
            tried: 0,
            is_running: false,
            laps: Laps::start(own)
                .inspect_err(|error| {
                    tracing::warn!("the write-ahead log is worked in between commits: {error}");
                })
                .ok(),
        })
    }

    /// A commit on this connection is over, and this is a moment at which little waits for the next.
    pub(super) fn look(&mut self, connection: &Connection) {
        let Bounds {
            lap,
            turn,
            rest,
            most,
        } = self.bounds;
        let open = self.open();
        let log = self.seen;
        if log >= most && log >= self.tried + lap {
            self.wait();
            self.work_in(connection);
        } else if self.is_running {
            // It tells when it is done.
        } else if log >= turn && open <= rest {
            self.work_in(connection);
        } else if open > if log >= turn { rest } else { lap } && log >= self.tried + rest {
            self.ask(connection);
        }
    }

    /// There is nothing else to do: lets the log begin anew, or prepares it.
    pub(super) fn tidy(&mut self, connection: &Connection) {
        let open = self.open();
        if open == 0 || self.is_running {
            return;
        }
        if open <= self.bounds.rest {
            self.work_in(connection);
        } else {
            self.ask(connection);
        }
    }

    /// Pages of the log that are not worked in, as far as is known.
    fn open(&mut self) -> u32 {
        if let Some(laps) = &self.laps
            && let Ok(worked) = laps.told.try_recv()
        {
            self.is_running = false;
            self.worked = worked.unwrap_or(self.worked);
        }
        let log = self.log.load(Relaxed);
        if log < self.seen {
            // It has begun anew.
            (self.worked, self.tried) = (0, 0);
        }
        self.seen = log;
        log - self.worked.min(log)
    }

    fn ask(&mut self, connection: &Connection) {
        self.tried = self.seen;
        match &self.laps {
            Some(laps) => self.is_running = laps.ask.try_send(()).is_ok(),
            None => self.work_in(connection),
        }
    }

    fn wait(&mut self) {
        if let Some(laps) = &self.laps
            && self.is_running
        {
            // An error means that the thread is gone.
            let _ = laps.told.recv();
            self.is_running = false;
        }
    }

    fn work_in(&mut self, connection: &Connection) {
        self.tried = self.seen;
        self.worked = passive(connection).unwrap_or(self.worked);
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(Laps { ask, thread, .. }) = self.laps.take() {
            drop(ask);
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}

impl Laps {
    fn start(connection: Connection) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let (tell, told) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("argon-log".into())
            .spawn(move || {
                lower_priority();
                while asked.recv().is_ok() {
                    if tell.send(passive(&connection)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { ask, told, thread })
    }
}

/// Works in what can be without anybody waiting for it. Answers how many pages of the log are worked in,
/// none when it failed.
fn passive(connection: &Connection) -> Option<u32> {
    match connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
        Ok((_, worked)) => u32::try_from(worked).ok(),
        // Where the disk is full, the journal says so.
        Err(error) => {
            tracing::debug!("the write-ahead log could not be worked in: {error}");
            None
        }
    }
}

fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let thread = rustix::thread::gettid();
        let lowered = getpriority_process(Some(thread))
            .and_then(|nice| setpriority_process(Some(thread), (nice + NICE).min(19)));
        if let Err(error) = lowered {
            tracing::debug!("the thread of the write-ahead log runs at normal priority: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        lap: 64,
        turn: 256,
        rest: 16,
        most: 512,
    };

    struct Home {
        dir: tempfile::TempDir,
        connection: Connection,
        checkpoints: Checkpoints,
    }

    impl Home {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.db");
            let mut connection = Connection::open(&path).unwrap();
            let begin = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                         CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)";
            connection.execute_batch(begin).unwrap();
            let checkpoints = Checkpoints::new(&mut connection, &path, BOUNDS).unwrap();
            Self {
                dir,
                connection,
                checkpoints,
            }
        }

        /// A commit of some ten pages, one after the other as fast as it goes.
        fn commit(&mut self, n: u32) {
            let sql = "INSERT OR REPLACE INTO t VALUES (?1, zeroblob(40000))";
            self.connection.execute(sql, [n % 20]).unwrap();
            self.checkpoints.look(&self.connection);
        }

        /// Pages that the log's file has.
        fn pages(&self) -> u64 {
            let log = std::fs::metadata(self.dir.path().join("x.db-wal"));
            log.unwrap().len() / 4096
        }
    }

    #[test]
    fn the_log_stays_bounded_under_commits_without_a_pause() {
        let mut home = Home::new();
        for n in 0..2000 {
            home.commit(n);
        }
        // Unbounded, it would have 20,000. How much is committed beside a lap is the scheduler's to say.
        let most = 4 * u64::from(BOUNDS.most);
        assert!(home.pages() <= most, "{}", home.pages());
        let written = home
            .connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0));
        assert_eq!(written, Ok(20));
    }

    #[test]
    fn what_a_reader_needs_stays_in_the_log_and_goes_when_it_has_read() {
        let mut home = Home::new();
        home.commit(0);
        let reader = Connection::open(home.dir.path().join("x.db")).unwrap();
        let count = |reader: &Connection| -> u32 {
            reader
                .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
                .unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(count(&reader), 1);
        for n in 0..200 {
            home.commit(n);
        }
        assert!(home.pages() > u64::from(BOUNDS.most), "{}", home.pages());
        assert_eq!(count(&reader), 1, "it sees what it saw");
        reader.execute_batch("COMMIT").unwrap();
        drop(reader);
        let large = home.pages();
        while u64::from(home.checkpoints.seen) > large / 2 {
            home.commit(0);
        }
        assert!(home.pages() < 2 * large, "it has begun anew");
    }

    #[test]
    fn a_log_at_rest_is_worked_in() {
        let mut home = Home::new();
        home.commit(0);
        while home.checkpoints.open() > 0 {
            home.checkpoints.tidy(&home.connection);
            thread::yield_now();
        }
        // The database has all of it, without its log.
        let path = home.dir.path().join("x.db");
        let copy = home.dir.path().join("copy.db");
        std::fs::copy(path, &copy).unwrap();
        let copy = Connection::open(copy).unwrap();
        let count = copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
        assert_eq!(count, Ok(1));
    }
}
