//! Whether a script that fails again and again is left alone for a while.
//!
//! Errors in handlers are a script's own matter and do not count. A *strike* is when the host had to end
//! something: a handler beyond its CPU budget, an allocation beyond its memory. [`STRIKES`] of them within
//! [`WINDOW`], or the end of its thread, and the script is paused: for [`FIRST`], and twice as long each
//! time, up to [`LONGEST`]; a script that holds out for [`LONGEST`] begins anew. Pure: the clock comes in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Strikes that are one too many.
pub(super) const STRIKES: usize = 5;
/// The time in which they count together.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// The first pause.
pub(super) const FIRST: Duration = Duration::from_secs(10);
/// The longest pause.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// A pause that is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) why: String,
    pub(super) until: Instant,
}

/// How a script has behaved.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    strikes: VecDeque<Instant>,
    /// Pauses so far, as far as they count.
    pauses: u32,
    /// When the last one ended.
    released: Option<Instant>,
    pause: Option<Pause>,
}

impl Quarantine {
    /// The pause that is going on.
    pub(super) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// A strike; true when it is one too many.
    pub(super) fn strike(&mut self, now: Instant) -> bool {
        while self
            .strikes
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) > WINDOW)
        {
            self.strikes.pop_front();
        }
        self.strikes.push_back(now);
        self.strikes.len() >= STRIKES
    }

    /// Begins a pause, or a further one. Answers how long it is.
    pub(super) fn begin(&mut self, now: Instant, why: String) -> Duration {
        let held_out = self
            .released
            .is_some_and(|at| now.saturating_duration_since(at) >= LONGEST);
        if held_out {
            self.pauses = 0;
        }
        let length = FIRST
            .saturating_mul(1u32.checked_shl(self.pauses).unwrap_or(u32::MAX))
            .min(LONGEST);
        self.pauses = self.pauses.saturating_add(1);
        self.strikes.clear();
        self.pause = Some(Pause {
            why,
            until: now + length,
        });
        length
    }

    /// The script runs again; what it did is remembered.
    pub(super) fn end(&mut self, now: Instant) {
        if self.pause.take().is_some() {
            self.released = Some(now);
        }
    }

    /// The script is another one now, or a person vouches for it: what it did is forgotten. A pause that is
    /// going on ends when the script runs.
    pub(super) fn forgive(&mut self) {
        *self = Self {
            pause: self.pause.take(),
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn strikes_count_only_when_they_come_close_together() {
        let begun = Instant::now();
        let mut quarantine = Quarantine::default();
        for at in 0..10 {
            assert!(!quarantine.strike(begun + SECOND * 20 * at));
        }
        let mut quarantine = Quarantine::default();
        let verdicts: Vec<_> = (0..5)
            .map(|at| quarantine.strike(begun + SECOND * at))
            .collect();
        assert_eq!(verdicts, [false, false, false, false, true]);
    }

    #[test]
    fn pauses_grow_until_the_script_holds_out_or_is_forgiven() {
        let mut now = Instant::now();
        let mut quarantine = Quarantine::default();
        let mut lengths = Vec::new();
        for _ in 0..9 {
            let length = quarantine.begin(now, "cpu".into());
            assert_eq!(quarantine.pause().unwrap().until, now + length);
            now += length;
            quarantine.end(now);
            assert!(quarantine.pause().is_none());
            lengths.push(length.as_secs());
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        now += LONGEST;
        assert_eq!(quarantine.begin(now, "cpu".into()), FIRST);
        quarantine.begin(now, "cpu".into());
        quarantine.forgive();
        assert!(quarantine.pause().is_some(), "it does not run yet");
        assert_eq!(quarantine.begin(now, "cpu".into()), FIRST);
    }
}
