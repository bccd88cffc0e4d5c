//! Whose turn it is with the key-value store.
//!
//! A commit does operations until their answers have [`ANSWERS`] bytes; the others wait for the next commit,
//! and what else the journal is asked goes before them. The holders of the store take turns, one operation
//! each, so that one that lists everything for ever delays an event, or somebody else's operation, by one
//! listing. How many operations of a script wait is bounded by its calls
//! ([`crate::limits::PENDING_CALLS`]).

use std::collections::{HashMap, VecDeque};

use super::ops::KvAsk;

/// Bytes of answers after which a commit does no further operation.
pub(super) const ANSWERS: usize = 4 << 20;

/// Operations that wait. Those of a holder stay in their order.
#[derive(Default)]
pub(super) struct Line {
    holders: HashMap<u64, VecDeque<KvAsk>>,
    /// The holders of which something waits, the next first.
    turns: VecDeque<u64>,
}

impl Line {
    pub(super) fn push(&mut self, ask: KvAsk) {
        let waiting = self.holders.entry(ask.holder).or_default();
        if waiting.is_empty() {
            self.turns.push_back(ask.holder);
        }
        waiting.push_back(ask);
    }

    /// The next one. Its holder's others come after those of everybody else.
    pub(super) fn pop(&mut self) -> Option<KvAsk> {
        let holder = self.turns.pop_front()?;
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

    #[test]
    fn holders_take_turns_and_each_keeps_its_order() {
        let mut line = Line::default();
        for (holder, key) in [(7, "a"), (7, "b"), (7, "c"), (3, "x"), (5, "u"), (3, "y")] {
            line.push(KvAsk {
                holder,
                space: String::new(),
                op: KvOp::Get { key: key.into() },
                site: None,
                reply: Box::new(|_| ()),
            });
        }
        let keys = std::iter::from_fn(|| match line.pop()?.op {
            KvOp::Get { key } => Some(key),
            _ => None,
        });
        assert_eq!(keys.collect::<String>(), "axubyc");
        assert!(line.is_empty() && line.holders.is_empty());
    }
}
