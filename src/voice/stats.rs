//! What a connection counts. Written by several threads, read by anybody at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows, or the largest one seen.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Keeps the larger one.
    pub fn max(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// Puts a value there.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one connection.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets given to the socket.
    pub sent: Counter,
    /// Of them, those more than 20 ms after their time.
    pub late: Counter,
    /// Times at which no packet was ready: silence was sent instead.
    pub missed: Counter,
    /// Packets that the socket did not take in time.
    pub dropped: Counter,
    /// Packets of silence.
    pub silence: Counter,
    /// Times that the socket was lost and opened again.
    pub reconnects: Counter,
    /// Packets received.
    pub received: Counter,
    /// Received packets that waited for nobody: a handler was too slow.
    pub unheard: Counter,
    /// Frames encoded, and how long that took, nanoseconds.
    pub encoded: Counter,
    /// All of them together.
    pub encode_time: Counter,
    /// The longest.
    pub encode_longest: Counter,
    /// The encoder's complexity now.
    pub complexity: Counter,
    /// Samples that were given to the pacer and that it has sent: how far the one is ahead of the other.
    pub made: Counter,
    /// See `made`.
    pub paced: Counter,
}

/// What one connection has counted so far; the fields are those of [`Counters`].
#[expect(missing_docs, reason = "the counters say it")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub sent: u64,
    pub late: u64,
    pub missed: u64,
    pub dropped: u64,
    pub silence: u64,
    pub reconnects: u64,
    pub received: u64,
    pub unheard: u64,
    pub encoded: u64,
    pub encode_time: Duration,
    pub encode_longest: Duration,
    pub complexity: u64,
}

impl Stats {
    /// Adds what a later connection has counted. The longest is the longer of the two; the complexity is
    /// the later one's.
    pub fn add(&mut self, other: &Stats) {
        self.sent += other.sent;
        self.late += other.late;
        self.missed += other.missed;
        self.dropped += other.dropped;
        self.silence += other.silence;
        self.reconnects += other.reconnects;
        self.received += other.received;
        self.unheard += other.unheard;
        self.encoded += other.encoded;
        self.encode_time += other.encode_time;
        self.encode_longest = self.encode_longest.max(other.encode_longest);
        self.complexity = other.complexity;
    }
}

impl Counters {
    /// All of them, as they are now.
    pub fn read(&self) -> Stats {
        Stats {
            sent: self.sent.get(),
            late: self.late.get(),
            missed: self.missed.get(),
            dropped: self.dropped.get(),
            silence: self.silence.get(),
            reconnects: self.reconnects.get(),
            received: self.received.get(),
            unheard: self.unheard.get(),
            encoded: self.encoded.get(),
            encode_time: Duration::from_nanos(self.encode_time.get()),
            encode_longest: Duration::from_nanos(self.encode_longest.get()),
            complexity: self.complexity.get(),
        }
    }

    /// Notes that a frame was mixed and encoded.
    pub fn note_encoding(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.encoded.add(1);
        self.encode_time.add(nanos);
        self.encode_longest.max(nanos);
    }
}
