//! The clock of a bot's scripts: real time, and what was added to it.
//!
//! Timers, `argon.cron` and `argon.time` go by it; CPU budgets, logs and the network do not. A rehearsal
//! begins at the time of its recording and leaves out what its handlers wait for; tests move it on by
//! hand ([`super::Host::advance`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock; its clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Added>);

#[derive(Debug, Default)]
struct Added {
    /// Time that was left out, nanoseconds.
    skipped: AtomicU64,
    /// What the calendar has beside that, milliseconds.
    calendar: AtomicI64,
}

impl Clock {
    /// One whose calendar begins at that time, milliseconds since 1970.
    pub fn at(milliseconds: u64) -> Self {
        let clock = Self::default();
        let wanted = i64::try_from(milliseconds).unwrap_or(i64::MAX);
        let added = wanted.saturating_sub(Timestamp::now().as_millisecond());
        clock.0.calendar.store(added, Relaxed);
        clock
    }

    fn skipped(&self) -> Duration {
        Duration::from_nanos(self.0.skipped.load(Relaxed))
    }

    /// Time that only goes forward.
    pub(super) fn now(&self) -> Instant {
        Instant::now() + self.skipped()
    }

    /// The calendar.
    pub(super) fn calendar(&self) -> Timestamp {
        let added = SignedDuration::from_millis(self.0.calendar.load(Relaxed))
            + SignedDuration::try_from(self.skipped()).unwrap_or_default();
        let now = Timestamp::now();
        // Beyond the end of the calendar time stands still.
        now.checked_add(added).unwrap_or(now)
    }

    /// How long the system must sleep until then.
    pub(super) fn until(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.now())
    }

    /// Leaves out some time. Whoever sleeps by this clock must be woken then.
    pub(super) fn skip(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
        self.0.skipped.fetch_add(nanoseconds, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_on_both_faces() {
        let clock = Clock::at(1_000_000_000_000);
        let (now, calendar) = (clock.now(), clock.calendar());
        assert!(
            (calendar.as_second() - 1_000_000_000).abs() < 60,
            "{calendar}"
        );
        clock.clone().skip(Duration::from_secs(3600));
        assert!(clock.now() - now >= Duration::from_secs(3600));
        assert!(clock.calendar().as_second() - calendar.as_second() >= 3600);
        assert!(clock.until(now + Duration::from_secs(3600)).is_zero());
    }
}
