//! Drops events that were seen before, and only those.
//!
//! Per scope (a space, or the bot itself) it keeps a [`Window`] of the sequences that came. A sequence
//! further back than the window cannot be a replay, because the platform keeps at most 5,000 events per
//! space: the space's counter began anew, and so does its window. The same holds for a scope that was
//! silent for longer than the platform keeps a position, and for one whose position in a heartbeat's
//! cursor lies behind what came already.
//!
//! At most [`SCOPES`] scopes are remembered, 1 KiB each; the one that was silent for longest is
//! forgotten first. The inbox keeps the windows with the events, so that they outlive the process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event_id::cursor_positions;
use crate::inbox::{Place, REPLAY_LIFETIME, Scope, Window};

/// Scopes remembered.
pub const SCOPES: usize = 1024;

/// What has been seen.
#[derive(Debug, Default)]
pub struct Dedupe {
    scopes: HashMap<Scope, Seen>,
}

#[derive(Debug)]
struct Seen {
    window: Window,
    at: Instant,
}

impl Seen {
    fn first(sequence: u64, now: Instant) -> Self {
        Self {
            window: Window::starting_with(sequence),
            at: now,
        }
    }
}

impl Dedupe {
    /// What a process before this one has seen, each scope with the time since.
    pub fn restore(
        &mut self,
        windows: impl IntoIterator<Item = (Scope, Window, Duration)>,
        now: Instant,
    ) {
        for (scope, window, age) in windows {
            // A machine that has run for less than that has no such instant; then it counts as new.
            let at = now.checked_sub(age).unwrap_or(now);
            self.scopes.insert(scope, Seen { window, at });
        }
    }

    /// Remembers the event. Its place if it is new, none if it came before.
    pub fn place(&mut self, scope: Scope, sequence: u64, now: Instant) -> Option<Place> {
        let anew = self.see(scope, sequence, now)?;
        Some(Place::Sequence {
            scope,
            sequence,
            anew,
        })
    }

    /// None for an event that came before; otherwise whether its scope begins anew with it.
    fn see(&mut self, scope: Scope, sequence: u64, now: Instant) -> Option<bool> {
        if let Some(seen) = self.scopes.get_mut(&scope) {
            let silent = now.saturating_duration_since(seen.at) > REPLAY_LIFETIME;
            seen.at = now;
            return match seen.window.mark(sequence) {
                Some(new) if !silent => new.then_some(false),
                _ => {
                    *seen = Seen::first(sequence, now);
                    Some(true)
                }
            };
        }
        if self.scopes.len() >= SCOPES {
            self.forget_the_most_silent();
        }
        self.scopes.insert(scope, Seen::first(sequence, now));
        Some(true)
    }

    /// Takes note of a heartbeat's cursor: a scope whose counter the platform has set back is
    /// forgotten.
    pub fn cursor(&mut self, cursor: &str) {
        for (scope, sequence) in cursor_positions(cursor) {
            if self
                .scopes
                .get(&scope)
                .is_some_and(|seen| sequence < seen.window.highest())
            {
                self.scopes.remove(&scope);
            }
        }
    }

    fn forget_the_most_silent(&mut self) {
        let oldest = self
            .scopes
            .iter()
            .min_by_key(|(_, seen)| seen.at)
            .map(|(&scope, _)| scope);
        if let Some(scope) = oldest {
            self.scopes.remove(&scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::WINDOW;

    const A: Scope = Scope::Space(1);

    #[test]
    fn each_sequence_of_a_scope_is_new_once() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        for sequence in 1..=20_000 {
            assert!(dedupe.place(A, sequence, now).is_some());
            assert!(dedupe.place(A, sequence, now).is_none());
        }
        for sequence in 20_001 - 5000..=20_000 {
            assert!(
                dedupe.place(A, sequence, now).is_none(),
                "a replay of the most"
            );
        }
        assert!(dedupe.place(Scope::Space(2), 20_000, now).is_some());
        assert!(dedupe.place(Scope::Direct, 20_000, now).is_some());
    }

    #[test]
    fn an_event_out_of_order_is_new_and_only_its_repetition_is_not() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        for sequence in [100, 103, 101, 4000, 102, 99] {
            assert!(dedupe.place(A, sequence, now).is_some(), "{sequence}");
        }
        for sequence in [99, 100, 101, 102, 103, 4000] {
            assert!(dedupe.place(A, sequence, now).is_none(), "{sequence}");
        }
        assert!(dedupe.place(A, 104, now).is_some());
    }

    #[test]
    fn the_window_agrees_with_a_set_under_random_order() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        let mut seen = std::collections::HashSet::new();
        let mut random = 1u64;
        let mut base = 0;
        for _ in 0..200_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            base += (random >> 33) % 3;
            let sequence = base + (random >> 40) % (WINDOW / 2);
            assert_eq!(
                dedupe.place(A, sequence, now).is_some(),
                seen.insert(sequence)
            );
        }
    }

    #[test]
    fn a_counter_that_began_anew_loses_nothing() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        assert!(dedupe.place(A, 1_000_000, now).is_some());
        assert!(
            dedupe.place(A, 1, now).is_some(),
            "further back than any replay"
        );
        assert!(dedupe.place(A, 2, now).is_some());
        assert!(dedupe.place(A, 1, now).is_none());

        dedupe.place(A, 300, now);
        let later = now + REPLAY_LIFETIME + Duration::from_secs(1);
        assert!(
            dedupe.place(A, 300, later).is_some(),
            "older than any replay"
        );

        let space = "00000000000000000000000000000001";
        dedupe.cursor(&format!("{space}:300"));
        assert!(dedupe.place(A, 300, later).is_none());
        dedupe.cursor(&format!("{space}:4"));
        assert!(dedupe.place(A, 5, later).is_some());
    }

    #[test]
    fn scopes_are_bounded_and_the_most_silent_goes_first() {
        let start = Instant::now();
        let mut dedupe = Dedupe::default();
        for n in 0..=SCOPES as u64 {
            let now = start + Duration::from_millis(n);
            assert!(dedupe.place(Scope::Space(u128::from(n)), 1, now).is_some());
        }
        assert_eq!(dedupe.scopes.len(), SCOPES);
        let now = start + Duration::from_secs(2);
        assert!(dedupe.place(Scope::Space(1), 1, now).is_none());
        assert!(dedupe.place(Scope::Space(0), 1, now).is_some(), "forgotten");
    }
}
