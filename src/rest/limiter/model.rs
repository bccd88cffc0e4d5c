//! A model of the platform's limiter, written from its description alone: a ring of six counters that a
//! late timer turns, with a phase that the client does not know. Shares no code with the limiter.

use std::time::Duration;

/// One bot's window on one interface.
pub(super) struct Window {
    limit: u32,
    segment: Duration,
    late_up_to: Duration,
    ring: [u32; 6],
    at: usize,
    free: u32,
    next_turn: Duration,
    random: Random,
    /// How often the ring turned.
    pub turns: u32,
}

impl Window {
    /// A window whose first turn comes after `phase`.
    pub fn new(
        limit: u32,
        segment: Duration,
        phase: Duration,
        late_up_to: Duration,
        seed: u64,
    ) -> Self {
        Self {
            limit,
            segment,
            late_up_to,
            ring: [0; 6],
            at: 0,
            free: limit,
            next_turn: phase,
            random: Random(seed),
            turns: 0,
        }
    }

    /// A request at `now`; whether it is admitted. Times must not go back.
    pub fn admit(&mut self, now: Duration) -> bool {
        while now >= self.next_turn {
            self.at = (self.at + 1) % 6;
            self.free += std::mem::take(&mut self.ring[self.at]);
            self.turns += 1;
            // The lateness adds up: the platform measures from the turn before.
            let late = self.late_up_to.mul_f64(self.random.unit());
            self.next_turn += self.segment + late;
        }
        assert!(self.free <= self.limit);
        if self.free == 0 {
            return false;
        }
        self.free -= 1;
        self.ring[self.at] += 1;
        true
    }

    /// Takes permits as an unknown other client would.
    pub fn occupy(&mut self, permits: u32) {
        self.free -= permits;
        self.ring[self.at] += permits;
    }
}

/// A small generator, so that a seed printed by a failing test repeats it (SplitMix64).
#[derive(Clone)]
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
