//! When the journal commits: at once while little happens, at most once a millisecond under load.
//!
//! A commit costs some 30 µs whatever is in it. With few events that is nothing, and waiting would only
//! delay them; at 20,000 events/s it would be most of the cost, so that what comes within a millisecond
//! shares one.

use std::time::{Duration, Instant};

/// The least time between two commits under load.
const APART: Duration = Duration::from_millis(1);
/// How long what nobody waits for may lie before it is committed (what a script has finished, answers
/// that were recorded): what is lost of it in a crash is done again, with the recorded answers.
pub(super) const LAZY: Duration = Duration::from_millis(20);
/// More than this in a [`SPAN`] is load.
const BUSY: usize = 32;
const SPAN: Duration = Duration::from_millis(8);

/// What happened last.
#[derive(Debug)]
pub(super) struct Pace {
    last: Option<Instant>,
    span: Instant,
    count: usize,
    busy: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last: None,
            span: now,
            count: 0,
            busy: false,
        }
    }

    /// When what is urgent may be committed.
    pub(super) fn due(&self, now: Instant) -> Instant {
        match self.last {
            Some(last) if self.busy && now < self.span + SPAN * 2 => last + APART,
            _ => now,
        }
    }

    /// A commit of so many things began at `now`.
    pub(super) fn committed(&mut self, now: Instant, things: usize) {
        self.last = Some(now);
        self.count += things;
        let passed = now.saturating_duration_since(self.span);
        if passed >= SPAN {
            // A span that lasted longer, because nothing came, may hold proportionally more.
            let spans = passed.as_micros() / SPAN.as_micros();
            self.busy = self.count as u128 > BUSY as u128 * spans;
            self.span = now;
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_committed_at_once_and_much_in_groups() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..100 {
            assert_eq!(pace.due(now), now);
            pace.committed(now, 1);
            now += Duration::from_millis(1);
        }
        for _ in 0..200 {
            pace.committed(now, 5);
            now += Duration::from_micros(100);
        }
        let last = now - Duration::from_micros(100);
        assert_eq!(pace.due(now), last + APART, "under load");
        let later = now + Duration::from_millis(100);
        assert_eq!(pace.due(later), later, "the load is over");
    }
}
