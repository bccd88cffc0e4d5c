//! Drops events that were seen before, and only those.
//!
//! Per scope (a space, or the bot itself) it keeps the highest sequence and a bitmap of the
//! [`WINDOW`] sequences up to it, so that an event that comes out of order is new and one that comes
//! twice is not. A sequence further back than the window cannot be a replay, because the platform
//! keeps at most 5,000 events per space: the space's counter began anew, and so does its window. The
//! same holds for a scope that was silent for longer than the platform keeps a position, and for one
//! whose position in a heartbeat's cursor lies behind what came already.
//!
//! At most [`SCOPES`] scopes are remembered, 1 KiB each; the one that was silent for longest is
//! forgotten first.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event_id::{Scope, cursor_positions};

/// Sequences remembered per scope: more than the 5,000 events that the platform can replay.
pub const WINDOW: u64 = 8192;
/// Scopes remembered.
pub const SCOPES: usize = 1024;
/// How long the platform keeps a bot's position; nothing older is ever replayed.
pub const REPLAY_LIFETIME: Duration = Duration::from_secs(600);

const WORDS: usize = (WINDOW / 64) as usize;

/// What has been seen.
#[derive(Debug, Default)]
pub struct Dedupe {
    scopes: HashMap<Scope, Seen>,
}

#[derive(Debug)]
struct Seen {
    highest: u64,
    /// One bit for each sequence in (`highest` − [`WINDOW`], `highest`], at its remainder.
    bits: Box<[u64; WORDS]>,
    at: Instant,
}

impl Seen {
    fn first(sequence: u64, now: Instant) -> Self {
        let mut seen = Self {
            highest: sequence,
            bits: Box::new([0; WORDS]),
            at: now,
        };
        seen.mark(sequence);
        seen
    }

    /// Marks a sequence of the window; whether it was new.
    fn mark(&mut self, sequence: u64) -> bool {
        let bit = sequence % WINDOW;
        let word = &mut self.bits[(bit / 64) as usize];
        let new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        new
    }

    /// Moves the window up to `sequence`, which is above `highest`.
    fn advance(&mut self, sequence: u64) {
        if sequence - self.highest >= WINDOW {
            self.bits.fill(0);
        } else {
            for passed in self.highest + 1..=sequence {
                let bit = passed % WINDOW;
                self.bits[(bit / 64) as usize] &= !(1 << (bit % 64));
            }
        }
        self.highest = sequence;
    }
}

impl Dedupe {
    /// Remembers the event; whether it is new.
    pub fn is_new(&mut self, scope: Scope, sequence: u64, now: Instant) -> bool {
        if let Some(seen) = self.scopes.get_mut(&scope) {
            let silent = now.saturating_duration_since(seen.at);
            let behind = seen.highest.saturating_sub(sequence);
            if silent > REPLAY_LIFETIME || behind >= WINDOW {
                *seen = Seen::first(sequence, now);
                return true;
            }
            seen.at = now;
            if sequence > seen.highest {
                seen.advance(sequence);
            }
            return seen.mark(sequence);
        }
        if self.scopes.len() >= SCOPES {
            self.forget_the_most_silent();
        }
        self.scopes.insert(scope, Seen::first(sequence, now));
        true
    }

    /// Takes note of a heartbeat's cursor: a scope whose counter the platform has set back is
    /// forgotten.
    pub fn cursor(&mut self, cursor: &str) {
        for (scope, sequence) in cursor_positions(cursor) {
            if self
                .scopes
                .get(&scope)
                .is_some_and(|seen| sequence < seen.highest)
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

    const A: Scope = Scope::Space(1);

    #[test]
    fn each_sequence_of_a_scope_is_new_once() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        for sequence in 1..=20_000 {
            assert!(dedupe.is_new(A, sequence, now));
            assert!(!dedupe.is_new(A, sequence, now));
        }
        for sequence in 20_001 - 5000..=20_000 {
            assert!(!dedupe.is_new(A, sequence, now), "a replay of the most");
        }
        assert!(dedupe.is_new(Scope::Space(2), 20_000, now));
        assert!(dedupe.is_new(Scope::Direct, 20_000, now));
    }

    #[test]
    fn an_event_out_of_order_is_new_and_only_its_repetition_is_not() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        for sequence in [100, 103, 101, 4000, 102, 99] {
            assert!(dedupe.is_new(A, sequence, now), "{sequence}");
        }
        for sequence in [99, 100, 101, 102, 103, 4000] {
            assert!(!dedupe.is_new(A, sequence, now), "{sequence}");
        }
        assert!(dedupe.is_new(A, 104, now));
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
            assert_eq!(dedupe.is_new(A, sequence, now), seen.insert(sequence));
        }
    }

    #[test]
    fn a_counter_that_began_anew_loses_nothing() {
        let now = Instant::now();
        let mut dedupe = Dedupe::default();
        assert!(dedupe.is_new(A, 1_000_000, now));
        assert!(dedupe.is_new(A, 1, now), "further back than any replay");
        assert!(dedupe.is_new(A, 2, now));
        assert!(!dedupe.is_new(A, 1, now));

        dedupe.is_new(A, 300, now);
        let later = now + REPLAY_LIFETIME + Duration::from_secs(1);
        assert!(dedupe.is_new(A, 300, later), "older than any replay");

        let space = "00000000000000000000000000000001";
        dedupe.cursor(&format!("{space}:300"));
        assert!(!dedupe.is_new(A, 300, later));
        dedupe.cursor(&format!("{space}:4"));
        assert!(dedupe.is_new(A, 5, later));
    }

    #[test]
    fn scopes_are_bounded_and_the_most_silent_goes_first() {
        let start = Instant::now();
        let mut dedupe = Dedupe::default();
        for n in 0..=SCOPES as u64 {
            let now = start + Duration::from_millis(n);
            assert!(dedupe.is_new(Scope::Space(u128::from(n)), 1, now));
        }
        assert_eq!(dedupe.scopes.len(), SCOPES);
        let now = start + Duration::from_secs(2);
        assert!(!dedupe.is_new(Scope::Space(1), 1, now));
        assert!(dedupe.is_new(Scope::Space(0), 1, now), "forgotten");
    }
}
