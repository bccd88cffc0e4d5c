//! The durable inbox of a bot: what came is ours before a script sees it.
//!
//! # What the room guarantees
//!
//! * **Nothing that was received is lost.** An event of the stream is on disk before it is handed to a
//!   script, and leaves it when every script that it is for is done with it. What is not done when the
//!   process ends, however it ends, is handed out again at the next start, oldest first, before anything
//!   new ([`Delivery::is_replayed`]).
//! * **It is on disk once.** Event, the stream's place and the window that tells what came already are
//!   one transaction, so that a resume after a crash neither repeats nor skips.
//! * **Every subscriber gets the events of the types that it wants**, in the order in which they came,
//!   each once. A type that no script wants is not kept.
//! * **What handlers ask is written down** ([`Ledger`]): the intent before it is sent, the answer after,
//!   so that a handler that runs again gets the same answers and says nothing twice.
//! * **A timer that is due is an event of its script** ([`Timers`]): handed out once for each due time,
//!   and again if its run did not come to an end.
//! * **Nobody holds the others back.** A script that falls behind is given the rest from the disk when it
//!   is ready.
//!
//! # How
//!
//! SQLite on a thread of its own (`journal`), which makes one transaction of all that was asked since the
//! last one; `batch` says how events lie in it, `came` how the stream's place does, `store` how the file is
//! opened, `queue` how events reach the scripts' threads.
//!
//! # Bounds
//!
//! [`CAPACITY_EVENTS`] and [`CAPACITY_BYTES`] wait to be written; when there are more,
//! [`Inbox::append`] waits, the stream stops reading its socket, and the platform keeps what comes. That
//! is what happens while the disk is full. Unfinished events may have [`Settings::backlog`] bytes; beyond
//! that the oldest are dropped, counted ([`Progress::dropped`]) and reported as errors in the log.
//!
//! Events of the connection (`ready`, heartbeats, `resumed`) are handed out and not kept.

mod batch;
mod came;
mod counters;
mod delivery;
mod journal;
mod pace;
mod queue;
mod record;
mod recording;
mod redaction;
mod sightings;
mod store;
mod timers;
mod view;
mod window;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime};

pub use counters::Progress;
pub use delivery::{Delivery, Kv, Ledger};
pub use record::kv_json;
pub use recording::{Asked, CallRecord, Failing, Recording};
pub use redaction::Redaction;
pub use sightings::{Sighting, Sightings};
pub use store::{
    KEY_BYTES, KvAnswer, KvError, KvOp, OpenError, PAGE, PAGE_BYTES, Page, Recorded, VALUE_BYTES,
    hidden_space, path_in,
};
pub use timers::Timers;
pub use view::{KvEntry, View, import_kv};
pub use window::{Scope, WINDOW, Window};

use batch::{Batch, ScriptId, milliseconds};
use came::Came;
use journal::{Bounds, Journal, Op};
use queue::Core;
use store::Store;

/// The most events that wait to be written.
pub const CAPACITY_EVENTS: usize = 10_000;
/// The most bytes of payload that wait to be written; one event is always accepted.
pub const CAPACITY_BYTES: usize = 64 << 20;
/// How long the platform keeps a bot's position; nothing older is ever replayed.
pub const REPLAY_LIFETIME: Duration = Duration::from_secs(600);

/// One event as it came from the stream. The payload stays text until a script needs it.
#[derive(Debug)]
pub struct Event {
    /// The SSE id; empty when the server sent none.
    pub id: String,
    /// The event type, camelCase: `messageCreate`.
    pub kind: String,
    /// The payload, JSON text that has not been parsed yet.
    pub payload: String,
    /// When it was read from the socket.
    pub received: Instant,
}

impl Event {
    /// What the id of an event begins with that was found in a channel's history: the stream lost it.
    pub const RECOVERED: &str = "history_";

    /// Whether it was found in a channel's history.
    pub fn is_recovered(&self) -> bool {
        self.id.starts_with(Self::RECOVERED)
    }
}

/// Where an event stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is of the connection: handed out, not kept.
    Connection,
    /// It is of a script's own timer: kept, and given to that script alone.
    Timer,
    /// It came without an id: kept; the stream's place does not move.
    Unknown,
    /// It has an id of a form that is not known.
    Id,
    /// It has a place in the order of a scope.
    Sequence {
        /// Within what it is ordered.
        scope: Scope,
        /// Where.
        sequence: u64,
        /// The scope's window begins with it: what was in it before is void.
        anew: bool,
    },
}

/// How a bot's state is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Payload bytes of unfinished events.
    pub backlog: u64,
    /// Bytes of one namespace of the key-value store.
    pub quota: u64,
    /// What is left out of recordings.
    pub redaction: Redaction,
    /// What a commit waits for.
    pub sync: Sync,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// The system has it: it survives the process, whatever kills it. A power cut may take the last
    /// commits.
    #[default]
    Normal,
    /// The disk has it: it survives a power cut.
    Full,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backlog: 256 << 20,
            quota: 64 << 20,
            redaction: Redaction::default(),
            sync: Sync::default(),
        }
    }
}

/// Where the stream was when the process before this one ended.
#[derive(Debug, Default)]
pub struct Past {
    /// The last event's id; empty when there is none.
    pub position: String,
    /// The windows, each with how long ago its last event came.
    pub windows: Vec<(Scope, Window, Duration)>,
    /// The messages that came.
    pub sightings: Sightings,
}

impl Past {
    fn of(came: &Came) -> Self {
        let now = milliseconds(SystemTime::now());
        let windows = came.windows().map(|(scope, window, seen)| {
            let age = Duration::from_millis(now.saturating_sub(seen));
            (scope, window.clone(), age)
        });
        Self {
            position: came.position().to_owned(),
            windows: windows.collect(),
            sightings: came.sightings().clone(),
        }
    }
}

/// A bot's state that is open, before it is known who the bot is.
#[derive(Debug)]
pub struct Opened(Store);

/// Opens a bot's state, or begins it. Blocks: a large file is checked.
///
/// # Errors
/// See [`OpenError`].
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    Store::open(path).map(Opened)
}

impl Opened {
    /// The inbox of the bot with this user id. `passing` says that it lives in a world that ends with
    /// this process. Answers where its stream was.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn start(
        self,
        user_id: &str,
        passing: bool,
        settings: Settings,
    ) -> Result<(Arc<Inbox>, Past), OpenError> {
        let (inbox, past, unfinished) = Inbox::start(self.0, user_id, passing, settings)?;
        match unfinished {
            0 => {}
            1 => tracing::info!("1 event was not finished when the bot ended; it comes first"),
            _ => tracing::info!(
                "{unfinished} events were not finished when the bot ended; they come first"
            ),
        }
        Ok((inbox, past))
    }
}

/// The inbox of one bot.
#[derive(Debug)]
pub struct Inbox {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Inbox {
    /// An empty inbox in memory, which ends with the process.
    ///
    /// # Panics
    /// When the system has no memory or no thread for it.
    pub fn new() -> Arc<Self> {
        Store::in_memory()
            .and_then(|store| Self::start(store, "", true, Settings::default()))
            .expect("a database in memory")
            .0
    }

    /// An inbox in memory that hands out the event of a recording, with what its handlers asked.
    ///
    /// # Errors
    /// The system has no memory or no thread for it.
    pub fn of_recording(recording: &Recording) -> Result<Arc<Self>, OpenError> {
        let mut store = Store::in_memory()?;
        let restore = |store: &mut Store| {
            store.enter(&recording.bot, false)?;
            store.restore(recording)
        };
        restore(&mut store).map_err(store::unreadable)?;
        let (inbox, ..) = Self::start(store, &recording.bot, false, Settings::default())?;
        Ok(inbox)
    }

    /// Answers the inbox, where its stream was, and how many events are unfinished.
    fn start(
        mut store: Store,
        user_id: &str,
        passing: bool,
        settings: Settings,
    ) -> Result<(Arc<Self>, Past, usize), OpenError> {
        let begin = |store: &mut Store| {
            store.sync(settings.sync)?;
            let dropped = store.enter(user_id, passing)?;
            if dropped > 0 {
                tracing::info!("unfinished events of an embedded server that is gone were dropped");
            }
            let came = store.came(REPLAY_LIFETIME)?;
            let timers = store.timers()?;
            Ok((
                came,
                store.batches()?,
                store.scripts()?,
                store.next_seq()?,
                timers,
            ))
        };
        let (came, batches, scripts, next_seq, timers) =
            begin(&mut store).map_err(store::unreadable)?;
        let unfinished: HashSet<u64> = batches.iter().flat_map(Batch::open_events).collect();
        let names = scripts
            .iter()
            .map(|(name, &id)| (id, name.clone()))
            .collect();
        let open = batches.iter().flat_map(Batch::open_pairs);
        let core = Core::new(scripts.clone(), open, next_seq, timers);
        let bounds = Bounds {
            backlog: settings.backlog,
            quota: settings.quota,
            redaction: settings.redaction,
        };
        let past = Past::of(&came);
        let journal = Journal::new(Arc::clone(&core), store, bounds, batches, names, came)
            .map_err(store::unreadable)?;
        // What is logged on the thread belongs to the bot whose span this is.
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new()
            .name("argon-journal".into())
            .spawn(move || span.in_scope(|| journal.run()))
            .map_err(OpenError::Thread)?;
        core.set_journal(thread.thread().clone());
        // What was asked before it was known found nobody to wake.
        core.wake_journal();
        let inbox = Arc::new(Self {
            core,
            thread: Mutex::new(Some(thread)),
        });
        Ok((inbox, past, unfinished.len()))
    }

    /// Appends an event and begins to write it; waits while too much waits to be written. Cancelling the
    /// future before it completes appends nothing. With no subscriber the event is counted and dropped.
    pub async fn append(&self, event: impl Into<Arc<Event>>, place: Place) {
        self.push(event, place).await;
        self.wake();
    }

    /// As [`Inbox::append`], but leaves the journal asleep (unless the inbox is full): for an event with
    /// more right behind it, the last of which is appended or followed by [`Inbox::wake`].
    pub async fn push(&self, event: impl Into<Arc<Event>>, place: Place) {
        self.push_seen(event, place, None).await;
    }

    /// As [`Inbox::push`], with the message that the event shows: that it came is kept with it.
    pub async fn push_seen(
        &self,
        event: impl Into<Arc<Event>>,
        place: Place,
        sighting: Option<Sighting>,
    ) {
        let mut event = event.into();
        let mut waited = false;
        loop {
            event = match self.core.push(event, place, sighting) {
                Ok(()) => break,
                Err(event) => event,
            };
            waited = true;
            self.wake();
            // A commit between the attempt and this line leaves a permit, so that it is not missed.
            self.core.room.notified().await;
        }
        if waited {
            // There may be room for one more, and the permit that woke this call is used up.
            self.core.room.notify_one();
        }
    }

    /// Begins to write what was pushed.
    pub fn wake(&self) {
        self.core.flush();
    }

    /// An event came and was dropped on purpose: the stream goes on after it.
    pub fn pass(&self, id: &str, place: Place) {
        self.core.pass(id.to_owned(), place);
    }

    /// The stream was opened, at that time (milliseconds since 1970): there may be a gap before what it
    /// brings.
    pub fn opened(&self, at: i64) {
        self.core.tell(Op::Opened { at });
    }

    /// What was missing in the channel, or in every channel, has been appended.
    pub fn settled(&self, channel: Option<u128>) {
        self.core.tell(Op::Settled { channel });
    }

    /// The bot cannot see the channel any more: what came of it is forgotten.
    pub fn gone(&self, channel: u128) {
        self.core.tell(Op::Gone { channel });
    }

    /// A place for the script: it is given what was kept for it, then what comes, as far as it wants it
    /// ([`Subscription::want`]). `thread` is unparked when there is something to take.
    pub fn subscribe(&self, script: &str, thread: Thread) -> Subscription {
        self.add(script, Some(thread))
    }

    /// As [`Inbox::subscribe`], without a taker so far.
    pub fn reserve(&self, script: &str) -> Subscription {
        self.add(script, None)
    }

    fn add(&self, script: &str, thread: Option<Thread>) -> Subscription {
        let (key, script) = self.core.subscribe(script, thread);
        Subscription {
            seat: Arc::new(Seat {
                core: Arc::clone(&self.core),
                key,
                script,
            }),
            claim: 0,
        }
    }

    /// These are the bot's scripts, whether they are loaded or not: what was kept for any other is
    /// dropped.
    pub fn keep_only(&self, scripts: impl IntoIterator<Item = String>) {
        let names = scripts.into_iter().collect();
        self.core.tell(Op::Keep { names });
    }

    /// The stream's last `ready`, if there was one.
    pub fn ready(&self) -> Option<Arc<Event>> {
        self.core.lock().ready.clone()
    }

    /// What a script's repeating timers have done.
    pub fn timers(&self, script: &str) -> Timers {
        Timers::new(Arc::clone(&self.core), script)
    }

    /// The key-value store beside the events.
    pub fn kv(&self) -> Kv {
        Kv::new(Arc::clone(&self.core))
    }

    /// How far the inbox has come.
    pub fn progress(&self) -> Progress {
        self.core.progress()
    }

    /// Completes when nothing is written any more: the inbox was closed, or its thread has panicked, which
    /// has been logged. What is asked afterwards is refused, and no event is handed out.
    pub async fn ended(&self) {
        self.core.ended().await;
    }

    /// Writes what is left and closes the file. What is asked afterwards is not done.
    pub async fn close(&self) {
        let Some(thread) = self.begin_to_close() else {
            return;
        };
        // A panic of the thread has been printed.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }

    fn begin_to_close(&self) -> Option<JoinHandle<()>> {
        self.core.lock().closing = true;
        self.core.wake_journal();
        self.thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Inbox {
    /// Lets the journal write what is left; does not wait for it.
    fn drop(&mut self) {
        self.begin_to_close();
    }
}

/// One subscriber's place in the inbox, in the hands of one taker. When the last handle of a place is
/// dropped, the subscription ends; what it was not done with is kept for the next one of that script.
#[derive(Debug)]
pub struct Subscription {
    seat: Arc<Seat>,
    claim: u64,
}

#[derive(Debug)]
struct Seat {
    core: Arc<Core>,
    key: u64,
    script: ScriptId,
}

impl Subscription {
    /// The subscriber wants events of these types, too, from now on; `*` stands for every type.
    pub fn want<'k>(&self, kinds: impl IntoIterator<Item = &'k str>) {
        self.seat.core.want(self.seat.key, kinds);
    }

    /// Makes `thread` the taker; every older handle of this place takes nothing from now on. If this one
    /// takes nothing any more, neither does the new one: who comes late does not take the place back.
    #[must_use = "the handle that is answered is the only one that takes"]
    pub fn pass_to(&self, thread: Thread) -> Self {
        let claim = (self.seat.core).pass_to(self.seat.key, self.claim, thread);
        self.handle(claim)
    }

    /// Leaves the place without a taker, whoever had it. Events are kept for it.
    #[must_use = "the place ends with its last handle"]
    pub fn pass_to_nobody(&self) -> Self {
        self.handle(self.seat.core.pass_to_nobody(self.seat.key))
    }

    fn handle(&self, claim: u64) -> Self {
        Self {
            claim,
            seat: Arc::clone(&self.seat),
        }
    }

    /// Events that wait to be taken.
    pub fn waiting(&self) -> u64 {
        self.seat.core.waiting(self.seat.key)
    }

    /// The number ([`Ledger::number`]) of the next event that is kept: what waits already has a smaller one.
    pub fn next_number(&self) -> u64 {
        self.seat.core.next_number()
    }

    /// An event that is handed out once more, to this script alone.
    pub fn again(&self, event: Arc<Event>) -> Delivery {
        Delivery::again(Arc::clone(&self.seat.core), event, self.seat.script)
    }

    /// The next event, if there is one and this is the place's taker. Never waits.
    pub fn take(&self) -> Option<Delivery> {
        let core = &self.seat.core;
        let taken = core.take(self.seat.key, self.claim)?;
        Some(Delivery::new(Arc::clone(core), taken))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.core.unsubscribe(self.key);
    }
}

#[cfg(test)]
mod tests;
