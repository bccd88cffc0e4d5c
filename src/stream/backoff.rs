//! When the stream may connect again: the platform's budget, and manners.
//!
//! [`Budget`] is the platform's limit on `IEvents` (5 a minute, reconnects included) as a sliding
//! window that is never more generous than the platform's: the platform gives a permit back 60 s after
//! the beginning of its segment, we 60 s after the answer to the request came. So the budget holds
//! whatever the delay on the way. It is kept across every reason to connect.
//!
//! [`Backoff`] is exponential with full jitter (a random point between zero and the bound), so that
//! bots that lost the same server do not come back as one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Connects within one sliding window.
#[derive(Debug)]
pub struct Budget {
    permits: usize,
    window: Duration,
    /// When each permit was used, oldest first; at most `permits` entries.
    used: VecDeque<Instant>,
}

impl Budget {
    /// `permits` connects in each `window`.
    pub fn new(permits: usize, window: Duration) -> Self {
        Self {
            permits: permits.max(1),
            window,
            used: VecDeque::with_capacity(permits.max(1)),
        }
    }

    /// The earliest time, `now` or later, at which a connect leaves `reserve` permits unused.
    pub fn free_at(&self, now: Instant, reserve: usize) -> Instant {
        let allowed = self.permits.saturating_sub(reserve).max(1);
        // The permit that must be back first, so that fewer than `allowed` are out.
        match self.used.len().checked_sub(allowed) {
            Some(index) => (self.used[index] + self.window).max(now),
            None => now,
        }
    }

    /// Takes a permit for a connect that begins now.
    pub fn spend(&mut self, now: Instant) {
        if self.used.len() == self.permits {
            self.used.pop_front();
        }
        self.used.push_back(now);
    }

    /// The last connect was answered, or failed: the platform cannot have counted it later than this.
    pub fn answered(&mut self, now: Instant) {
        if let Some(last) = self.used.back_mut() {
            *last = now;
        }
    }
}

/// Distance between attempts that fail.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    most: Duration,
    throttled: Duration,
    failures: u32,
    refusals: u32,
}

/// The most that repeated 429s make us wait, so that a bot comes back by itself.
const THROTTLED_MOST: Duration = Duration::from_secs(300);

impl Backoff {
    /// The first wait is below `base`, each bound twice the one before, none above `most`; after a 429
    /// at least `throttled`.
    pub fn new(base: Duration, most: Duration, throttled: Duration) -> Self {
        Self {
            base,
            most,
            throttled,
            failures: 0,
            refusals: 0,
        }
    }

    /// How long to wait after a failure. `roll` is random in [0, 1).
    pub fn after_failure(&mut self, roll: f64) -> Duration {
        let bound = doubled(self.base, self.failures, self.most);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(roll.clamp(0.0, 1.0))
    }

    /// How long to wait after a 429: at least what the platform asks for, at least `throttled`, twice as
    /// long each time (its `Retry-After` is always 1), and up to a fifth more by `roll`.
    pub fn after_429(&mut self, asked: Option<Duration>, roll: f64) -> Duration {
        let most = THROTTLED_MOST.max(self.throttled);
        let floor = doubled(self.throttled, self.refusals, most);
        self.refusals = self.refusals.saturating_add(1);
        let wait = floor.max(asked.unwrap_or_default().min(most));
        wait + wait.mul_f64(0.2 * roll.clamp(0.0, 1.0))
    }

    /// The connection was accepted: the rate limit has let us in.
    pub fn accepted(&mut self) {
        self.refusals = 0;
    }

    /// The connection proved itself: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last [`Self::reset`].
    pub fn failures(&self) -> u32 {
        self.failures.saturating_add(self.refusals)
    }
}

fn doubled(base: Duration, times: u32, most: Duration) -> Duration {
    base.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
        .min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_permit_is_back_a_window_after_its_answer() {
        let start = Instant::now();
        let mut budget = Budget::new(5, WINDOW);
        for n in 0..5 {
            let now = start + seconds(n);
            assert_eq!(budget.free_at(now, 0), now);
            budget.spend(now);
        }
        budget.answered(start + seconds(9));
        let now = start + seconds(10);
        assert_eq!(budget.free_at(now, 0), start + WINDOW);
        let later = start + WINDOW;
        assert_eq!(budget.free_at(later, 0), later);
        budget.spend(later);
        assert_eq!(budget.free_at(later, 0), start + seconds(1) + WINDOW);
        // The fifth counts from its answer.
        for n in 61..64 {
            budget.spend(start + seconds(n));
        }
        assert_eq!(
            budget.free_at(start + seconds(64), 0),
            start + seconds(9) + WINDOW
        );
    }

    #[test]
    fn a_reserve_is_left_for_who_asks_for_none() {
        let start = Instant::now();
        let mut budget = Budget::new(5, WINDOW);
        for _ in 0..4 {
            budget.spend(start);
        }
        assert_eq!(budget.free_at(start, 1), start + WINDOW);
        assert_eq!(budget.free_at(start, 0), start);
    }

    #[test]
    fn the_backoff_doubles_up_to_its_bound_and_is_jittered_over_all_of_it() {
        let mut backoff = Backoff::new(seconds(1), seconds(60), seconds(10));
        let bounds: Vec<_> = (0..8).map(|_| backoff.after_failure(1.0)).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60].map(seconds));
        assert_eq!(backoff.after_failure(0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.after_failure(0.5), Duration::from_millis(500));
        for _ in 0..100 {
            assert!(backoff.after_failure(1.0) <= seconds(60));
        }
    }

    #[test]
    fn a_429_waits_ten_seconds_or_what_it_asks_and_longer_each_time() {
        let mut backoff = Backoff::new(seconds(1), seconds(60), seconds(10));
        assert_eq!(backoff.after_429(Some(seconds(1)), 0.0), seconds(10));
        assert_eq!(backoff.after_429(None, 0.0), seconds(20));
        assert_eq!(backoff.after_429(Some(seconds(90)), 0.0), seconds(90));
        assert_eq!(backoff.after_429(None, 1.0), seconds(96));
        for _ in 0..50 {
            assert!(backoff.after_429(None, 1.0) <= seconds(360));
        }
        backoff.accepted();
        assert_eq!(backoff.after_429(None, 0.0), seconds(10));
    }
}
