//! Events in order, encoded once for all who read them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::contract;
use crate::sim::saved::forms;

/// Events that a space's buffer keeps.
pub const SPACE_BUFFER: usize = 5_000;
/// Direct events that a bot's buffer keeps.
pub const DIRECT_BUFFER: usize = 1_000;
/// How long a buffer keeps an event.
pub const EVENT_KEPT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(with = "forms::moment")]
    pub(super) at: Instant,
    /// The intent that asks for it; 0 comes whatever the intents.
    pub(super) intent: u64,
    /// The bots that do not get it.
    pub(super) unseen: Vec<Uuid>,
    #[serde(with = "forms::frame")]
    pub(super) frame: Bytes,
}

impl Entry {
    pub(super) fn is_for(&self, reader: Reader) -> bool {
        (self.intent == 0 || self.intent & reader.intents != 0)
            && !self.unseen.contains(&reader.bot)
    }
}

/// Who reads a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) bot: Uuid,
    pub(super) intents: u64,
}

/// Events in order. The sequence of `entries[i]` is `next - entries.len() + i`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Buffer {
    pub(super) next: u64,
    pub(super) entries: VecDeque<Entry>,
    #[serde(skip)]
    pub(super) capacity: usize,
}

impl Buffer {
    pub(super) fn new(capacity: usize, base: u64) -> Self {
        Self {
            next: base + 1,
            entries: VecDeque::new(),
            capacity,
        }
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        while self
            .entries
            .front()
            .is_some_and(|entry| now.saturating_duration_since(entry.at) > EVENT_KEPT)
        {
            self.entries.pop_front();
        }
    }

    /// The capacity is no part of a snapshot.
    pub(super) fn settle(&mut self, capacity: usize) -> Result<(), String> {
        self.capacity = capacity;
        let kept = self.entries.len();
        if kept > capacity {
            return Err(format!(
                "{kept} entries are more than the {capacity} that are kept"
            ));
        }
        match self.next > kept as u64 {
            true => Ok(()),
            false => Err(format!(
                "next is {} with {kept} entries before it",
                self.next
            )),
        }
    }

    pub(super) fn push(&mut self, kind: &str, frame: Bytes, unseen: Vec<Uuid>, now: Instant) {
        self.forget_old(now);
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            at: now,
            intent: intent_of(kind),
            unseen,
            frame,
        });
        self.next += 1;
    }

    /// The events from `position` on, with their sequences.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.next - self.entries.len() as u64;
        let skipped = position.saturating_sub(first);
        (first + skipped..).zip(self.entries.iter().skip(skipped as usize))
    }

    /// The next event from `position` on that is for the reader; moves the position past it.
    pub(super) fn take(&self, position: &mut u64, reader: Reader) -> Option<&Bytes> {
        let found = self
            .after(*position)
            .find(|(_, entry)| entry.is_for(reader));
        *position = found.map_or(self.next, |(sequence, _)| sequence + 1);
        found.map(|(_, entry)| &entry.frame)
    }
}

fn intent_of(kind: &str) -> u64 {
    contract::event(kind)
        .and_then(|event| event.intent)
        .and_then(contract::intent)
        .map_or(0, contract::Intent::mask)
}
