//! What a script counts, over all its versions. Written by their threads, read by anybody at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Outcome;
use crate::observe::{Durations, Spread};

/// What a script's threads tell about themselves.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// Events that a handler began to work on.
    pub(super) events: AtomicU64,
    /// From an event's arrival to the start of its first handler.
    pub(super) lag: Durations,
    /// From the start of an event's first handler to the end of its last.
    pub(super) handling: Durations,
    /// Errors that no handler caught.
    pub(super) errors: AtomicU64,
    /// Runs that were ended because they used more CPU time than they may.
    pub(super) ended: AtomicU64,
    /// Errors for want of memory that no handler caught.
    pub(super) out_of_memory: AtomicU64,
    /// Lines of the log that were left out.
    pub(super) unlogged: AtomicU64,
    /// Calls that wait for an answer.
    pub(super) calls: AtomicU64,
    /// HTTP requests to other hosts that were answered, whatever the answer.
    pub(super) http_answered: AtomicU64,
    /// Those that were not.
    pub(super) http_failed: AtomicU64,
    /// CPU time of its threads, in microseconds; a little late.
    pub(super) cpu: AtomicU64,
    /// Bytes of its values, as `limits.memory` counts them, garbage included; a little late.
    pub(super) memory: AtomicU64,
    /// What became of its versions.
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    /// What the host had to end a version for, by its number, since the keeper last looked.
    strikes: Mutex<Vec<(u64, String)>>,
}

/// What a script has counted since the host began; the rest is in [`super::Report`].
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Events that its handlers began to work on.
    pub events: u64,
    /// From an event's arrival to the start of its first handler.
    pub lag: Spread,
    /// From the start of an event's first handler to the end of its last.
    pub handling: Spread,
    /// Errors that it did not catch.
    pub errors: u64,
    /// Runs that were ended because they used more CPU time than they may.
    pub ended: u64,
    /// Errors for want of memory that it did not catch.
    pub out_of_memory: u64,
    /// Lines of the log that were left out.
    pub unlogged: u64,
    /// Calls that wait for an answer.
    pub calls: u64,
    /// HTTP requests to other hosts that were answered, whatever the answer.
    pub http_answered: u64,
    /// Those that were not.
    pub http_failed: u64,
    /// CPU time of its threads; a little late.
    pub cpu: Duration,
    /// Bytes of its values, as `limits.memory` counts them, garbage included; a little late.
    pub memory: u64,
    /// What became of its versions, by [`Outcome::name`].
    pub outcomes: BTreeMap<&'static str, u64>,
}

/// The most strikes of a version that are kept for the keeper: more change nothing.
const MOST_STRIKES: usize = 16;

impl Status {
    /// Everything that it has counted.
    pub(super) fn read(&self) -> Counts {
        Counts {
            events: self.events.load(Relaxed),
            lag: self.lag.read(),
            handling: self.handling.read(),
            errors: self.errors.load(Relaxed),
            ended: self.ended.load(Relaxed),
            out_of_memory: self.out_of_memory.load(Relaxed),
            unlogged: self.unlogged.load(Relaxed),
            calls: self.calls.load(Relaxed),
            http_answered: self.http_answered.load(Relaxed),
            http_failed: self.http_failed.load(Relaxed),
            cpu: Duration::from_micros(self.cpu.load(Relaxed)),
            memory: self.memory.load(Relaxed),
            outcomes: self
                .outcomes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Something became of one of its versions.
    pub(super) fn note(&self, outcome: &Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        *outcomes.entry(outcome.name()).or_default() += 1;
    }

    /// The host had to end something of a version's, for a reason that counts against it.
    pub(super) fn strike(&self, version: u64, why: String) {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = strikes.iter().filter(|(of, _)| *of == version);
        if of_it.count() < MOST_STRIKES {
            strikes.push((version, why));
        }
    }

    /// The strikes of that version; what any other did does not count any more.
    pub(super) fn take_strikes(&self, version: Option<u64>) -> impl Iterator<Item = String> {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut *strikes).into_iter())
            .filter_map(move |(of, why)| (Some(of) == version).then_some(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_runs_is_held_to_account() {
        let status = Status::default();
        for _ in 0..=MOST_STRIKES {
            status.strike(1, "loops".into());
        }
        status.strike(2, "too much memory".into());
        let counted: Vec<_> = status.take_strikes(Some(2)).collect();
        assert_eq!(counted, ["too much memory"]);
        assert_eq!(status.take_strikes(Some(1)).count(), 0, "they are past");
        status.strike(2, "loops".into());
        assert_eq!(status.take_strikes(None).count(), 0, "it is paused");
        assert_eq!(status.take_strikes(Some(2)).count(), 0);
    }
}
