//! What one run of a script has used of the CPU.

use std::cell::Cell;
use std::time::Duration;

/// Which limit a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::script) enum Allowance {
    /// The top level until its first wait: `limits.load_time`. It is not preempted, so that no handler
    /// meets a script that is half set up.
    Load,
    /// Everything else: `limits.cpu_per_event`.
    Event,
}

/// The CPU time of one run: a handler of an event, a run of a timer, the top level. The coroutines that
/// it starts count on it.
#[derive(Debug)]
pub(in crate::script) struct Meter {
    pub(super) allowance: Allowance,
    pub(super) limit: Duration,
    used: Cell<Duration>,
    /// It has used more than it may: everything on its behalf ends.
    exhausted: Cell<bool>,
    /// The handler itself is over; what it left behind is in the background.
    over: Cell<bool>,
    /// Its end has been logged.
    told: Cell<bool>,
}

impl Meter {
    pub(super) fn new(allowance: Allowance, limit: Duration) -> Self {
        Self {
            allowance,
            limit,
            used: Cell::default(),
            exhausted: Cell::new(false),
            over: Cell::new(false),
            told: Cell::new(false),
        }
    }

    /// Adds CPU time. Answers whether it was too much.
    pub(super) fn charge(&self, time: Duration) -> bool {
        let used = self.used.get().saturating_add(time);
        self.used.set(used);
        if used > self.limit {
            self.exhausted.set(true);
        }
        self.exhausted.get()
    }

    /// Whether the run has been ended for its use of the CPU.
    pub(in crate::script) fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }

    /// Whether its end is news; true once.
    pub(in crate::script) fn is_news(&self) -> bool {
        self.exhausted.get() && !self.told.replace(true)
    }

    /// Whether it is the top level's, until its first wait.
    pub(in crate::script) fn is_of_load(&self) -> bool {
        self.allowance == Allowance::Load
    }

    /// The handler is over.
    pub(in crate::script) fn finish(&self) {
        self.over.set(true);
    }

    /// Whether what now goes on after a wait counts afresh: a background task has the budget between
    /// two waits, like a timer has it for each run; otherwise a task that ticks for days would use it up.
    pub(super) fn starts_afresh_after_a_wait(&self) -> bool {
        !self.exhausted.get() && (self.over.get() || self.allowance == Allowance::Load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn slices_add_up_until_the_run_is_exhausted_for_good() {
        let meter = Meter::new(Allowance::Event, 3 * MS);
        assert!(!meter.charge(2 * MS));
        assert!(!meter.charge(MS), "all of it may be used");
        assert!(meter.charge(MS));
        assert!(meter.is_exhausted());
        meter.finish();
        assert!(!meter.starts_afresh_after_a_wait());
    }

    #[test]
    fn what_a_handler_leaves_behind_counts_afresh_after_each_wait() {
        let meter = Meter::new(Allowance::Event, MS);
        assert!(!meter.starts_afresh_after_a_wait());
        meter.finish();
        assert!(meter.starts_afresh_after_a_wait());
        assert!(Meter::new(Allowance::Load, MS).starts_afresh_after_a_wait());
    }
}
