//! The seam that every event passes on its way from the stream to the scripts.
//!
//! Guarantees: every subscriber gets every event that was appended after it subscribed, in the order
//! of appending, exactly once. An event is kept until the last subscriber has taken it.
//!
//! Events are kept in memory, in one log with a counter of takers on each. The inbox is bounded by
//! [`CAPACITY_EVENTS`] and [`CAPACITY_BYTES`] of events that some subscriber has not taken yet; when it
//! is full, [`Inbox::append`] waits until a quarter is free again (so that the two sides do not wake each
//! other for every event), the stream stops reading its socket, and the platform keeps what comes. One
//! event is always accepted by an empty inbox, whatever its size.
//!
//! A subscription has one taker at a time. [`Subscription::pass_to`] makes another thread the taker, at
//! the boundary between two events: whoever took before gets nothing any more, and the new taker goes on
//! with the first event that nobody took. So a script's versions follow each other without an event
//! lost or taken twice.
//!
//! **Nobody holds the others back.** Waiting is fair while every subscriber is busy. But when one has
//! taken (nearly) everything and would get more, were it not for another that lags a full inbox behind,
//! then after [`PATIENCE`] the laggard's oldest events are dropped, for it alone, and counted
//! ([`Subscription::take_dropped`]); from then on at once, until it has caught up. A subscription without
//! a taker ([`Subscription::pass_to_nobody`], a script that is paused) never makes the inbox wait.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The most events that wait for a subscriber.
pub const CAPACITY_EVENTS: usize = 10_000;
/// The most bytes of payload that wait for a subscriber.
pub const CAPACITY_BYTES: usize = 64 << 20;

/// How long one subscriber may keep the others from events that a full inbox has no room for.
pub const PATIENCE: Duration = Duration::from_secs(1);

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

/// An event in the hands of one subscriber.
#[derive(Debug)]
pub struct Delivery {
    event: Arc<Event>,
    /// None for an event that is handed out beside the inbox.
    counters: Option<Arc<Counters>>,
    done: bool,
}

impl Delivery {
    /// An event that is handed out once more, beside the inbox: nobody counts it.
    pub fn again(event: Arc<Event>) -> Self {
        Self {
            event,
            counters: None,
            done: false,
        }
    }

    /// Whether it is one that is handed out once more.
    pub fn is_again(&self) -> bool {
        self.counters.is_none()
    }

    /// Says that the subscriber's handlers have finished with the event (or failed for good).
    pub fn done(mut self) {
        self.done = true;
        if let Some(counters) = &self.counters {
            counters.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.as_ref().filter(|_| !self.done) {
            counters.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Deref for Delivery {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

#[derive(Debug, Default)]
struct Counters {
    appended: AtomicU64,
    done: AtomicU64,
    abandoned: AtomicU64,
    dropped: AtomicU64,
}

/// How far the inbox has come since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events appended.
    pub appended: u64,
    /// Deliveries (event and subscriber) that were finished.
    pub done: u64,
    /// Deliveries that were dropped without being finished, by a script that ended.
    pub abandoned: u64,
    /// Deliveries that never were: the subscriber lagged a full inbox behind.
    pub dropped: u64,
    /// Events that some subscriber has not taken yet.
    pub waiting: usize,
}

/// The inbox of one bot.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    /// Wakes the appender when there is room again.
    room: Notify,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    /// Events that some subscriber has not taken; the first has the position `first`. The front
    /// always has a taker left, and takers only shrink along a subscriber's way, so that every
    /// subscriber's next position is `first` or later.
    log: VecDeque<Entry>,
    first: u64,
    /// Payload bytes in `log`.
    bytes: usize,
    subscribers: Vec<Subscriber>,
    /// The threads of `subscribers`, shared so that they are woken outside the lock.
    threads: Arc<[Thread]>,
    next_key: u64,
    /// Since when an append waits for room.
    full_since: Option<Instant>,
    /// The last `ready` of the stream.
    ready: Option<Arc<Event>>,
}

#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    /// Subscribers that have not taken it. Only those count that were there when it was appended.
    takers: usize,
}

#[derive(Debug)]
struct Subscriber {
    key: u64,
    /// Woken when there is something to take; nobody's while the script is paused.
    thread: Option<Thread>,
    place: Arc<Place>,
}

/// How far a subscriber is. Only touched under the inbox's lock.
#[derive(Debug)]
struct Place {
    /// Position of the next event it takes.
    next: AtomicU64,
    /// Which of its handles may take: the last one made.
    claim: AtomicU64,
    /// Events dropped since somebody asked.
    dropped: AtomicU64,
    /// It lagged a full inbox behind and has not caught up.
    overrun: AtomicBool,
}

impl Place {
    fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

impl State {
    /// Drops the events at the front that every subscriber has taken; whether there were any.
    fn trim(&mut self) -> bool {
        let before = self.first;
        while self.log.front().is_some_and(|entry| entry.takers == 0) {
            if let Some(entry) = self.log.pop_front() {
                self.bytes -= entry.event.payload.len();
                self.first += 1;
            }
        }
        self.first != before
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.log.is_empty()
            || (self.log.len() < CAPACITY_EVENTS && self.bytes + bytes <= CAPACITY_BYTES)
    }

    /// Whether it is worth waking an appender that found no room.
    fn is_roomy(&self) -> bool {
        self.log.len() <= CAPACITY_EVENTS / 4 * 3 && self.bytes <= CAPACITY_BYTES / 4 * 3
    }

    fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    fn index_of(&self, position: u64) -> usize {
        // At most `CAPACITY_EVENTS`, so it fits; the fallback is past the end.
        usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }

    fn share_threads(&mut self) {
        self.threads = self
            .subscribers
            .iter()
            .filter_map(|subscriber| subscriber.thread.clone())
            .collect();
    }

    /// Drops the oldest quarter for those who have not taken it and may not hold the others back;
    /// `patient` spares those who lag behind for the first time. Answers how many deliveries fell away.
    fn relieve(&mut self, patient: bool) -> u64 {
        let quarter = (self.log.len() as u64).div_ceil(4);
        let (cut, last) = (self.first + quarter, self.end() - quarter);
        let hungry = self
            .subscribers
            .iter()
            .any(|one| one.thread.is_some() && one.place.next() > last);
        let mut all = 0;
        for at in 0..self.subscribers.len() {
            let subscriber = &self.subscribers[at];
            let place = Arc::clone(&subscriber.place);
            let overrun = place.overrun.load(Ordering::Relaxed);
            let spared = subscriber.thread.is_some() && !(hungry && (overrun || !patient));
            let next = place.next();
            if spared || next >= cut {
                continue;
            }
            let (from, to) = (self.index_of(next), self.index_of(cut));
            for entry in self.log.range_mut(from..to) {
                entry.takers -= 1;
            }
            place.next.store(cut, Ordering::Relaxed);
            place.overrun.store(true, Ordering::Relaxed);
            place.dropped.fetch_add(cut - next, Ordering::Relaxed);
            all += cut - next;
        }
        self.trim();
        all
    }
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Appends an event and wakes the subscribers; waits while the inbox is full. Cancelling the
    /// future before it completes appends nothing. With no subscriber the event is counted and dropped.
    pub async fn append(&self, event: impl Into<Arc<Event>>) {
        self.push(event).await;
        self.wake();
    }

    /// As [`Inbox::append`], but leaves the subscribers asleep (unless the inbox is full): for an event
    /// with more right behind it, the last of which is appended or followed by [`Inbox::wake`].
    /// Waking a thread costs more than all else that happens to an event here.
    pub async fn push(&self, event: impl Into<Arc<Event>>) {
        let mut event = event.into();
        let mut waited = false;
        loop {
            event = match self.try_push(event) {
                Ok(()) => break,
                Err(event) => event,
            };
            waited = true;
            self.wake();
            // A `take` between the attempt and this line leaves a permit, so that it is not missed.
            self.room.notified().await;
        }
        if waited {
            // There may be room for one more, and the permit that woke this call is used up.
            self.room.notify_one();
        }
    }

    /// Wakes every subscriber, to take what was pushed.
    pub fn wake(&self) {
        let threads = Arc::clone(&self.lock().threads);
        for thread in threads.iter() {
            thread.unpark();
        }
    }

    /// Gives the event back when there is no room.
    fn try_push(&self, event: Arc<Event>) -> Result<(), Arc<Event>> {
        let mut state = self.lock();
        let bytes = event.payload.len();
        while !state.has_room_for(bytes) {
            let dropped = state.relieve(true);
            self.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
            if dropped == 0 {
                state.full_since.get_or_insert_with(Instant::now);
                return Err(event);
            }
        }
        state.full_since = None;
        if event.kind == "ready" {
            state.ready = Some(Arc::clone(&event));
        }
        self.counters.appended.fetch_add(1, Ordering::Relaxed);
        let takers = state.subscribers.len();
        if takers > 0 {
            state.bytes += bytes;
            state.log.push_back(Entry { event, takers });
        }
        Ok(())
    }

    /// Drops what keeps the others waiting, when that has taken longer than [`PATIENCE`]. To be called
    /// now and then by whoever keeps the subscribers.
    pub fn relieve(&self, now: Instant) {
        let mut state = self.lock();
        let over = state
            .full_since
            .is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        if over {
            let dropped = state.relieve(false);
            self.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
            drop(state);
            if dropped > 0 {
                self.room.notify_one();
            }
        }
    }

    /// A subscription to every event from now on. `thread` is unparked after each append; it takes
    /// events when it is ready to.
    pub fn subscribe(self: &Arc<Self>, thread: Thread) -> Subscription {
        self.add(Some(thread))
    }

    /// A subscription to every event from now on, without a taker so far.
    pub fn reserve(self: &Arc<Self>) -> Subscription {
        self.add(None)
    }

    fn add(self: &Arc<Self>, thread: Option<Thread>) -> Subscription {
        let mut state = self.lock();
        let key = state.next_key;
        state.next_key += 1;
        let place = Arc::new(Place {
            next: AtomicU64::new(state.end()),
            claim: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
        });
        state.subscribers.push(Subscriber {
            key,
            thread,
            place: Arc::clone(&place),
        });
        state.share_threads();
        Subscription {
            seat: Arc::new(Seat {
                inbox: Arc::clone(self),
                key,
                place,
            }),
            claim: 0,
        }
    }

    /// The stream's last `ready`, if there was one.
    pub fn ready(&self) -> Option<Arc<Event>> {
        self.lock().ready.clone()
    }

    /// How far the inbox has come.
    pub fn progress(&self) -> Progress {
        Progress {
            appended: self.counters.appended.load(Ordering::Relaxed),
            done: self.counters.done.load(Ordering::Relaxed),
            abandoned: self.counters.abandoned.load(Ordering::Relaxed),
            dropped: self.counters.dropped.load(Ordering::Relaxed),
            waiting: self.lock().log.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements; a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber's place in the inbox, in the hands of one taker. When the last handle of a place is
/// dropped, the subscription ends; what it had not taken is not kept for it.
#[derive(Debug)]
pub struct Subscription {
    seat: Arc<Seat>,
    claim: u64,
}

#[derive(Debug)]
struct Seat {
    inbox: Arc<Inbox>,
    key: u64,
    place: Arc<Place>,
}

impl Subscription {
    /// Makes `thread` the taker; every older handle of this place takes nothing from now on.
    #[must_use = "the handle that is answered is the only one that takes"]
    pub fn pass_to(&self, thread: Thread) -> Self {
        self.pass(Some(thread))
    }

    /// Leaves the place without a taker. Events are kept for it, until the inbox is full.
    #[must_use = "the place ends with its last handle"]
    pub fn pass_to_nobody(&self) -> Self {
        self.pass(None)
    }

    fn pass(&self, thread: Option<Thread>) -> Self {
        let mut state = self.seat.inbox.lock();
        let claim = self.seat.place.claim.load(Ordering::Relaxed) + 1;
        self.seat.place.claim.store(claim, Ordering::Relaxed);
        if let Some(subscriber) = state
            .subscribers
            .iter_mut()
            .find(|subscriber| subscriber.key == self.seat.key)
        {
            subscriber.thread = thread;
        }
        state.share_threads();
        Self {
            seat: Arc::clone(&self.seat),
            claim,
        }
    }

    /// Events that wait to be taken.
    pub fn waiting(&self) -> u64 {
        let state = self.seat.inbox.lock();
        state.end().saturating_sub(self.seat.place.next())
    }

    /// How many events were dropped since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        // Looked at in every turn of a script: no lock while there is nothing.
        match self.seat.place.dropped.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.seat.place.dropped.swap(0, Ordering::Relaxed),
        }
    }

    /// The next event, if there is one and this is the place's taker. Never waits.
    pub fn take(&self) -> Option<Delivery> {
        let place = &self.seat.place;
        let inbox = &self.seat.inbox;
        let (event, freed) = {
            let mut state = inbox.lock();
            if place.claim.load(Ordering::Relaxed) != self.claim {
                return None;
            }
            let position = place.next();
            let index = state.index_of(position);
            let Some(entry) = state.log.get_mut(index) else {
                place.overrun.store(false, Ordering::Relaxed);
                return None;
            };
            entry.takers -= 1;
            let event = Arc::clone(&entry.event);
            place.next.store(position + 1, Ordering::Relaxed);
            (event, index == 0 && state.trim() && state.is_roomy())
        };
        if freed {
            inbox.room.notify_one();
        }
        Some(Delivery {
            event,
            counters: Some(Arc::clone(&inbox.counters)),
            done: false,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        {
            let mut state = self.inbox.lock();
            state.subscribers.retain(|s| s.key != self.key);
            state.share_threads();
            let index = state.index_of(self.place.next());
            for entry in state.log.iter_mut().skip(index) {
                entry.takers -= 1;
            }
            state.trim();
        }
        self.inbox.room.notify_one();
    }
}

#[cfg(test)]
mod tests;
