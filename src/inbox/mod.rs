//! The seam that every event passes on its way from the stream to the scripts.
//!
//! Guarantees: every subscriber gets every event that was appended after it subscribed, in the order
//! of appending, exactly once. An event is kept until the last subscriber has taken it.
//!
//! Events are kept in memory, in one log with a counter of takers on each. The inbox is bounded by
//! [`CAPACITY_EVENTS`] and [`CAPACITY_BYTES`] of events that some subscriber has not taken yet; when it
//! is full, [`Inbox::append`] waits until a quarter is free again (so that the two sides do not wake each
//! other for every event), the stream stops reading its socket, and the platform keeps what comes. One event is always accepted by an empty inbox, whatever its size. So a subscriber that
//! stops taking stops everybody once the inbox is full: who owns a subscription takes, or drops it.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use tokio::sync::Notify;

/// The most events that wait for a subscriber.
pub const CAPACITY_EVENTS: usize = 10_000;
/// The most bytes of payload that wait for a subscriber.
pub const CAPACITY_BYTES: usize = 64 << 20;

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
    counters: Arc<Counters>,
    done: bool,
}

impl Delivery {
    /// Says that the subscriber's handlers have finished with the event (or failed for good).
    pub fn done(mut self) {
        self.done = true;
        self.counters.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.done {
            self.counters.abandoned.fetch_add(1, Ordering::Relaxed);
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
    thread: Thread,
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
        self.threads = self.subscribers.iter().map(|s| s.thread.clone()).collect();
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
        if !state.has_room_for(bytes) {
            return Err(event);
        }
        self.counters.appended.fetch_add(1, Ordering::Relaxed);
        let takers = state.subscribers.len();
        if takers > 0 {
            state.bytes += bytes;
            state.log.push_back(Entry { event, takers });
        }
        Ok(())
    }

    /// A subscription to every event from now on. `thread` is unparked after each append; it takes
    /// events when it is ready to.
    pub fn subscribe(self: &Arc<Self>, thread: Thread) -> Subscription {
        let mut state = self.lock();
        let key = state.next_key;
        state.next_key += 1;
        state.subscribers.push(Subscriber { key, thread });
        state.share_threads();
        Subscription {
            inbox: Arc::clone(self),
            key,
            next: AtomicU64::new(state.end()),
        }
    }

    /// How far the inbox has come.
    pub fn progress(&self) -> Progress {
        Progress {
            appended: self.counters.appended.load(Ordering::Relaxed),
            done: self.counters.done.load(Ordering::Relaxed),
            abandoned: self.counters.abandoned.load(Ordering::Relaxed),
            waiting: self.lock().log.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements; a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber's place in the inbox. Dropping it ends the subscription; what it had not taken is
/// not kept for it.
#[derive(Debug)]
pub struct Subscription {
    inbox: Arc<Inbox>,
    key: u64,
    /// Position of the next event it takes. Only touched under the inbox's lock.
    next: AtomicU64,
}

impl Subscription {
    /// Events that wait to be taken.
    pub fn waiting(&self) -> u64 {
        let state = self.inbox.lock();
        state
            .end()
            .saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// The next event, if there is one. Never waits.
    pub fn take(&self) -> Option<Delivery> {
        let (event, freed) = {
            let mut state = self.inbox.lock();
            let position = self.next.load(Ordering::Relaxed);
            let index = state.index_of(position);
            let entry = state.log.get_mut(index)?;
            entry.takers -= 1;
            let event = Arc::clone(&entry.event);
            self.next.store(position + 1, Ordering::Relaxed);
            (event, index == 0 && state.trim() && state.is_roomy())
        };
        if freed {
            self.inbox.room.notify_one();
        }
        Some(Delivery {
            event,
            counters: Arc::clone(&self.inbox.counters),
            done: false,
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        {
            let mut state = self.inbox.lock();
            state.subscribers.retain(|s| s.key != self.key);
            state.share_threads();
            let index = state.index_of(self.next.load(Ordering::Relaxed));
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
