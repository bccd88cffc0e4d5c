//! A small number for each connection of a script, and what the connections that had it before counted.
//!
//! Ids of rooms and connections are ever new; a number is taken over by the next connection. So what is
//! counted by number is bounded, and only grows: nothing that a connection counted is lost with it.

use std::collections::BTreeMap;

use super::stats::Stats;

/// The numbers of a bot's scripts. A script has as many as it ever had connections at once.
#[derive(Debug, Default)]
pub(super) struct Slots(BTreeMap<String, Vec<Slot>>);

#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The connection that has it.
    pub(super) taken: Option<u64>,
    /// What those before it had counted.
    pub(super) past: Stats,
}

impl Slots {
    /// A connection of a script takes the first number that is free.
    pub(super) fn take(&mut self, script: &str, connection: u64) {
        let slots = self.0.entry(script.to_owned()).or_default();
        let free = slots.iter().position(|slot| slot.taken.is_none());
        let at = free.unwrap_or(slots.len());
        if at == slots.len() {
            slots.push(Slot::default());
        }
        slots[at].taken = Some(connection);
    }

    /// A connection is over, and had counted that much.
    pub(super) fn free(&mut self, script: &str, connection: u64, counted: &Stats) {
        let slots = self.0.get_mut(script).into_iter().flatten();
        for slot in slots.filter(|slot| slot.taken == Some(connection)) {
            slot.taken = None;
            slot.past.add(counted);
        }
    }

    /// Every number, from 1, with its script.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, usize, &Slot)> {
        self.0
            .iter()
            .flat_map(|(script, slots)| (1..).zip(slots).map(|(at, slot)| (&**script, at, slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_over_with_what_was_counted() {
        let mut slots = Slots::default();
        let sent = |sent| Stats {
            sent,
            ..Stats::default()
        };
        slots.take("music", 7);
        slots.take("music", 8);
        slots.take("radio", 9);
        slots.free("music", 7, &sent(50));
        slots.take("music", 10);
        slots.free("music", 10, &sent(5));
        let all: Vec<_> = slots
            .all()
            .map(|(script, at, slot)| (script, at, slot.taken, slot.past.sent))
            .collect();
        assert_eq!(
            all,
            [
                ("music", 1, None, 55),
                ("music", 2, Some(8), 0),
                ("radio", 1, Some(9), 0)
            ]
        );
    }
}
