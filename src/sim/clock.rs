//! The world's time: the machine's clocks plus an offset that tests move forward.
//!
//! Everything in the embedded server that has a lifetime (interactions, typing, `randomId`, rate
//! limit windows, event buffers, heartbeats) reads this clock, so that `POST /_sim/time` makes a
//! minute pass at once. Time never goes back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

/// One reading of the clock: monotonic for lifetimes, wall time for what people read.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For lifetimes.
    pub mono: Instant,
    /// For timestamps, whole milliseconds.
    pub wall: Timestamp,
}

/// Milliseconds between 1970 and the Argon epoch, 2025-01-01T00:00:00Z.
pub const ARGON_EPOCH_MS: i64 = 1_735_689_600_000;

impl Now {
    /// Milliseconds since the Argon epoch: heartbeats and message ids count so.
    pub fn argon_ms(&self) -> i64 {
        self.wall.as_millisecond() - ARGON_EPOCH_MS
    }
}

/// The clock of one server.
#[derive(Debug)]
pub struct Clock {
    offset_ms: AtomicU64,
    moved: watch::Sender<()>,
}

impl Clock {
    /// A clock that agrees with the machine's.
    pub fn new() -> Self {
        Self {
            offset_ms: AtomicU64::new(0),
            moved: watch::Sender::new(()),
        }
    }

    fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_ms.load(Ordering::Acquire))
    }

    /// The time now.
    pub fn now(&self) -> Now {
        let offset = self.offset();
        let wall_ms = Timestamp::now()
            .as_millisecond()
            .saturating_add_unsigned(offset.as_millis() as u64);
        Now {
            mono: Instant::now() + offset,
            wall: Timestamp::from_millisecond(wall_ms).unwrap_or(Timestamp::MAX),
        }
    }

    /// Lets time pass at once and wakes whoever sleeps.
    pub fn advance(&self, by: Duration) {
        self.offset_ms
            .fetch_add(by.as_millis() as u64, Ordering::AcqRel);
        self.moved.send_replace(());
    }

    /// Waits until this clock shows `at`.
    pub async fn sleep_until(&self, at: Instant) {
        let mut moved = self.moved.subscribe();
        loop {
            let Some(real) = at.checked_sub(self.offset()) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(real) => return,
                // The sender lives as long as `self`, so this cannot fail.
                _ = moved.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Clock;

    #[tokio::test]
    async fn a_sleeper_wakes_when_time_is_moved() {
        let clock = Clock::new();
        let at = clock.now().mono + Duration::from_secs(3_600);
        let sleep = clock.sleep_until(at);
        let advance = async { clock.advance(Duration::from_secs(3_601)) };
        let both = async { tokio::join!(sleep, advance) };
        tokio::time::timeout(Duration::from_secs(60), both)
            .await
            .expect("an hour has passed at once");
        assert!(clock.now().mono >= at);
    }
}
