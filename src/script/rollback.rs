//! Whether a new version has to give way to the one before it.
//!
//! A version is on trial for the first [`TRIAL`] events that it has handled. When so many of them as
//! `[scripts] rollback` says ended in an error that nobody caught, and the version before had handled
//! events and none of its last [`TRIAL`] had failed, the version before comes back: it was better.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::registry::Shared;

/// Events that a new version is judged by.
pub(super) const TRIAL: usize = 20;

/// How the handlers of one version do.
pub(super) struct Tally {
    runs: Mutex<Runs>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Runs {
    /// Events handled, up to [`TRIAL`].
    first: usize,
    /// Those among them that failed.
    first_failed: usize,
    /// Whether each of the last events failed.
    last: VecDeque<bool>,
}

impl Tally {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            runs: Mutex::default(),
            shared,
        })
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event has been handled, well or not. A failure on trial is news for the keeper.
    pub(super) fn note(&self, failed: bool) {
        let mut runs = self.runs();
        let on_trial = runs.first < TRIAL;
        if on_trial {
            runs.first += 1;
            runs.first_failed += usize::from(failed);
        }
        if runs.last.len() == TRIAL {
            runs.last.pop_front();
        }
        runs.last.push_back(failed);
        drop(runs);
        if on_trial && failed {
            self.shared.news.notify_one();
        }
    }

    /// How many of the first events failed.
    pub(super) fn early_failures(&self) -> usize {
        self.runs().first_failed
    }

    /// Whether it has handled events, and none of the last ones failed.
    pub(super) fn is_sound(&self) -> bool {
        let runs = self.runs();
        !runs.last.is_empty() && !runs.last.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_events_count_as_early_and_only_the_last_as_sound() {
        let tally = Tally::new(Shared::new());
        assert!(!tally.is_sound(), "it has shown nothing yet");
        tally.note(true);
        tally.note(false);
        assert_eq!(tally.early_failures(), 1);
        assert!(!tally.is_sound());
        for _ in 0..TRIAL {
            tally.note(false);
        }
        assert!(tally.is_sound(), "the error is long past");
        tally.note(true);
        assert_eq!(tally.early_failures(), 1, "too late to count");
        assert!(!tally.is_sound());
    }
}
