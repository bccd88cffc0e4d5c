//! Whose turn it is with the key-value store.
//!
//! A commit does operations until they have taken [`TURN`] or their answers have [`ANSWERS`] bytes; the
//! others wait for the next commit, and what else the journal is asked goes before them. The holders of the
//! store take turns, one operation each, and after one that took long its holder has to wait [`REST`] times
//! as long, so that one that lists everything for ever takes a tenth of the journal's time, and delays an
//! event, or somebody else's operation, by one listing. How many operations of a script wait is bounded by
//! its calls ([`crate::limits::PENDING_CALLS`]).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ops::KvAsk;

/// Bytes of answers after which a commit does no further operation.
pub(super) const ANSWERS: usize = 4 << 20;
/// Time after which it does none.
pub(super) const TURN: Duration = Duration::from_millis(2);
/// How much longer than its operation took a holder rests.
const REST: u32 = 9;
/// The longest operation after which nobody rests.
const SHORT: Duration = Duration::from_micros(100);

/// Operations that wait. Those of a holder stay in their order.
#[derive(Default)]
pub(super) struct Line {
    holders: HashMap<u64, VecDeque<KvAsk>>,
    /// The holders of which something waits, the next first.
    turns: VecDeque<u64>,
    /// Until when holders rest.
    resting: HashMap<u64, Instant>,
}

impl Line {
    pub(super) fn push(&mut self, ask: KvAsk) {
        let waiting = self.holders.entry(ask.holder).or_default();
        if waiting.is_empty() {
            self.turns.push_back(ask.holder);
        }
        waiting.push_back(ask);
    }

    /// The next one of a holder that does not rest. Its others come after those of everybody else.
    pub(super) fn pop(&mut self, now: Instant) -> Option<KvAsk> {
        self.resting.retain(|_, until| *until > now);
        let rests = |holder: &u64| self.resting.contains_key(holder);
        let at = self.turns.iter().position(|holder| !rests(holder))?;
        self.take(at)
    }

    /// An operation of a holder has ended that took so long.
    pub(super) fn took(&mut self, holder: u64, now: Instant, time: Duration) {
        if time > SHORT {
            self.resting.insert(holder, now + time * REST);
        }
    }

    /// Nobody rests any more.
    pub(super) fn rouse(&mut self) {
        self.resting.clear();
    }

    /// When there is something to do; none while nothing waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let until = |holder| self.resting.get(holder).copied().unwrap_or(now);
        self.turns.iter().map(until).min()
    }

    /// Everything that waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = KvAsk> {
        std::iter::from_fn(|| self.take(0))
    }

    fn take(&mut self, at: usize) -> Option<KvAsk> {
        let holder = self.turns.remove(at)?;
        let waiting = self.holders.get_mut(&holder)?;
        let ask = waiting.pop_front();
        if waiting.is_empty() {
            self.holders.remove(&holder);
        } else {
            self.turns.push_back(holder);
        }
        ask
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::store::KvOp;

    const MS: Duration = Duration::from_millis(1);

    fn line(asked: &[(u64, &str)]) -> Line {
        let mut line = Line::default();
        for &(holder, key) in asked {
            line.push(KvAsk {
                holder,
                space: String::new(),
                op: KvOp::Get { key: key.into() },
                site: None,
                reply: Box::new(|_| ()),
            });
        }
        line
    }

    fn key(ask: KvAsk) -> String {
        match ask.op {
            KvOp::Get { key } => key,
            _ => panic!("another operation"),
        }
    }

    #[test]
    fn holders_take_turns_and_each_keeps_its_order() {
        let asked = [(7, "a"), (7, "b"), (7, "c"), (3, "x"), (5, "u"), (3, "y")];
        let mut line = line(&asked);
        let now = Instant::now();
        let keys = std::iter::from_fn(|| line.pop(now).map(key));
        assert_eq!(keys.collect::<String>(), "axubyc");
        assert!(line.is_empty() && line.holders.is_empty());
    }

    #[test]
    fn who_took_long_rests() {
        let mut line = line(&[(7, "a"), (7, "b"), (3, "x"), (7, "c"), (3, "y")]);
        let now = Instant::now();
        assert_eq!(line.pop(now).map(key).unwrap(), "a");
        line.took(7, now, 5 * MS);
        line.took(3, now, SHORT);
        assert_eq!(line.due(now), Some(now));
        for expected in ["x", "y"] {
            assert_eq!(line.pop(now).map(key).unwrap(), expected);
        }
        assert!(line.pop(now).is_none());
        let until = now + 45 * MS;
        assert_eq!(line.due(now), Some(until));
        assert!(line.pop(until - MS).is_none());
        assert_eq!(line.pop(until).map(key).unwrap(), "b");
        line.took(7, until, 5 * MS);
        assert!(line.pop(until).is_none());
        line.rouse();
        assert_eq!(line.due(until), Some(until));
        assert_eq!(line.drain().map(key).collect::<String>(), "c");
        assert_eq!(line.due(until), None);
    }
}
