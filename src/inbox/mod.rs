//! The seam that every event passes on its way from the stream to the scripts.
//!
//! Guarantees: every subscriber gets every event that was appended after it subscribed, in the order
//! of appending, exactly once. An event is kept until the last subscriber has taken it.
//!
//! Events are kept in memory. The inbox is bounded by [`CAPACITY_EVENTS`] and [`CAPACITY_BYTES`] of
//! events that some subscriber has not taken yet; when it is full, [`Inbox::append`] waits, the stream
//! stops reading its socket, and the platform keeps what comes. One event is always accepted by an
//! empty inbox, whatever its size.

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
    /// Events that some subscriber has not taken; the first has the position `first`.
    log: VecDeque<Arc<Event>>,
    first: u64,
    bytes: usize,
    subscribers: Vec<Subscriber>,
    next_key: u64,
}

#[derive(Debug)]
struct Subscriber {
    key: u64,
    /// Position of the next event it takes.
    next: u64,
    /// Its thread, unparked when there is something to take.
    thread: Thread,
}

impl State {
    /// Drops what every subscriber has taken.
    fn trim(&mut self) {
        let end = self.first + self.log.len() as u64;
        let oldest = self.subscribers.iter().map(|s| s.next).min().unwrap_or(end);
        while self.first < oldest {
            let Some(event) = self.log.pop_front() else {
                break;
            };
            self.bytes -= event.payload.len();
            self.first += 1;
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.log.is_empty()
            || (self.log.len() < CAPACITY_EVENTS && self.bytes + bytes <= CAPACITY_BYTES)
    }
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Appends an event; waits while the inbox is full. Cancelling the future before it completes
    /// appends nothing.
    pub async fn append(&self, event: Event) {
        let bytes = event.payload.len();
        let mut event = Some(Arc::new(event));
        loop {
            let room = self.room.notified();
            {
                let mut state = self.lock();
                if state.has_room_for(bytes) {
                    if let Some(event) = event.take() {
                        self.counters.appended.fetch_add(1, Ordering::Relaxed);
                        if !state.subscribers.is_empty() {
                            state.bytes += bytes;
                            state.log.push_back(event);
                        }
                        for subscriber in &state.subscribers {
                            subscriber.thread.unpark();
                        }
                    }
                    return;
                }
            }
            room.await;
        }
    }

    /// A subscription to every event from now on. `thread` is unparked after each append; it takes
    /// events when it is ready to.
    pub fn subscribe(self: &Arc<Self>, thread: Thread) -> Subscription {
        let mut state = self.lock();
        let key = state.next_key;
        state.next_key += 1;
        let next = state.first + state.log.len() as u64;
        state.subscribers.push(Subscriber { key, next, thread });
        Subscription {
            inbox: Arc::clone(self),
            key,
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

/// One subscriber's place in the inbox. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    inbox: Arc<Inbox>,
    key: u64,
}

impl Subscription {
    /// The next event, if there is one. Never waits.
    pub fn take(&self) -> Option<Delivery> {
        let mut state = self.inbox.lock();
        let first = state.first;
        let subscriber = state.subscribers.iter_mut().find(|s| s.key == self.key)?;
        let index = usize::try_from(subscriber.next - first).ok()?;
        let position = subscriber.next;
        subscriber.next += 1;
        let Some(event) = state.log.get(index).cloned() else {
            if let Some(subscriber) = state.subscribers.iter_mut().find(|s| s.key == self.key) {
                subscriber.next = position;
            }
            return None;
        };
        if index == 0 {
            state.trim();
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
        let mut state = self.inbox.lock();
        state.subscribers.retain(|s| s.key != self.key);
        state.trim();
        self.inbox.room.notify_one();
    }
}
