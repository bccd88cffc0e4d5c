//! What a connection counts. Written by several threads, read by anybody at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Later than this is late.
pub const LATE: Duration = Duration::from_millis(20);

/// The upper bounds by which the lateness of packets is counted, seconds; the last count is of those beyond.
pub const BOUNDS: [f64; 10] = [
    0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0,
];

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

/// How late packets were: how many up to each of [`BOUNDS`].
#[derive(Debug, Default)]
pub struct Lateness {
    counts: [Counter; BOUNDS.len() + 1],
    nanos: Counter,
}

impl Lateness {
    fn note(&self, late: Duration) {
        let seconds = late.as_secs_f64();
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)].add(1);
        self.nanos.add(nanos(late));
    }

    fn read(&self) -> Late {
        Late {
            counts: std::array::from_fn(|at| self.counts[at].get()),
            total: Duration::from_nanos(self.nanos.get()),
        }
    }
}

/// What [`Lateness`] has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Late {
    /// Packets by the first of [`BOUNDS`] that they did not exceed; the last are those that exceed all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// The lateness of all of them together.
    pub total: Duration,
}

impl Late {
    fn add(&mut self, other: &Late) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.total += other.total;
    }
}

/// The counters of one connection.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets that the system has taken.
    pub sent: Counter,
    /// Of them, those more than [`LATE`] after their time.
    pub late: Counter,
    /// How long after their time the system had them.
    pub lateness: Lateness,
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
    pub lateness: Late,
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
        self.lateness.add(&other.lateness);
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
            lateness: self.lateness.read(),
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

    /// Notes that the system has taken a packet, so long after its time.
    pub fn note_sent(&self, late: Duration) {
        self.sent.add(1);
        self.late.add(u64::from(late > LATE));
        self.lateness.note(late);
    }

    /// Notes that a frame was mixed and encoded.
    pub fn note_encoding(&self, took: Duration) {
        let nanos = nanos(took);
        self.encoded.add(1);
        self.encode_time.add(nanos);
        self.encode_longest.max(nanos);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_by_how_late_they_are() {
        let counters = Counters::default();
        for micros in [0, 100, 101, 20_000, 20_001, 2_000_000] {
            counters.note_sent(Duration::from_micros(micros));
        }
        let mut stats = counters.read();
        assert_eq!(stats.lateness.counts, [2, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!(stats.lateness.total, Duration::from_micros(2_040_202));
        assert_eq!((stats.sent, stats.late), (6, 2));
        stats.add(&stats.clone());
        assert_eq!(stats.lateness.counts.iter().sum::<u64>(), 12);
    }
}
