//! What happens when a transaction is over: events go out, askers are told.

use std::sync::Arc;

use super::{Journal, KvAsk, Op, batch_of};
use crate::inbox::batch::{Batch, ScriptId, decode_events};
use crate::inbox::queue::{Arrived, READY_BYTES, Ready};
use crate::inbox::store::{Calls, KvAnswer, KvError, disk_error};
use crate::inbox::{Event, Place};

/// Events handed out again in one go.
const REFILL: usize = 512;

impl Journal {
    /// Hands out the events and tells everybody who asked.
    pub(super) fn answer(
        &mut self,
        ops: Vec<Op>,
        answered: Vec<(KvAsk, Result<KvAnswer, KvError>)>,
    ) {
        let mut arrived = Vec::new();
        let mut refills = Vec::new();
        let mut receipts = Vec::new();
        for op in ops {
            match op {
                Op::Event {
                    seq,
                    event,
                    scripts,
                    place,
                    ..
                } => arrived.push(Arrived {
                    seq,
                    event,
                    scripts,
                    alone: place == Place::Timer,
                }),
                Op::Intent { receipt, .. } => receipts.push(receipt),
                Op::Refill { key } => refills.push(key),
                _ => {}
            }
        }
        if !arrived.is_empty() {
            self.core.hand_out(arrived.into_iter());
        }
        for receipt in receipts {
            receipt(Ok(()));
        }
        for (ask, result) in answered {
            (ask.reply)(result);
        }
        for key in refills {
            self.refill(key);
        }
    }

    /// Gives a subscriber more of what it has not had yet.
    fn refill(&mut self, key: u64) {
        let Some((script, from)) = self.core.lock().wants_from(key) else {
            return;
        };
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut complete = true;
        let begin = batch_of(&self.batches, from).map_or(from, |batch| batch.first);
        for batch in self.batches.range(begin..).map(|(_, batch)| batch) {
            if found.len() >= REFILL || bytes >= READY_BYTES {
                complete = false;
                break;
            }
            let open: Vec<u64> = (batch.open_pairs())
                .filter(|&(seq, one)| one == script && seq >= from)
                .map(|(seq, _)| seq)
                .collect();
            if open.is_empty() {
                continue;
            }
            let calls = self.calls_of(batch, script);
            match self.read(batch.first) {
                Ok(events) => {
                    let mut events = events.into_iter().map(Arc::new);
                    let mut at = batch.first;
                    for seq in open {
                        // Both grow.
                        let skip = usize::try_from(seq - at).unwrap_or(usize::MAX);
                        let Some(event) = events.nth(skip) else { break };
                        at = seq + 1;
                        let calls = calls.of(seq, script);
                        let ready = Ready { seq, event, calls };
                        bytes += ready.bytes();
                        found.push(ready);
                    }
                }
                Err(error) => tracing::error!(
                    first = batch.first,
                    "events of the bot's state cannot be read and are left out: {error}"
                ),
            }
        }
        self.core.hand_out_again(key, found.into_iter(), complete);
    }

    pub(super) fn read(&self, first: u64) -> Result<Vec<Event>, String> {
        let blob = self
            .store
            .events(first)
            .map_err(|error| error.to_string())?;
        let blob = blob.ok_or("they are not there")?;
        decode_events(&blob).ok_or_else(|| "they are damaged".to_owned())
    }

    /// What a script's handlers of a batch's events asked before.
    fn calls_of(&self, batch: &Batch, script: ScriptId) -> Calls {
        let calls = self.store.calls(&batch.calls, |_, one| one == script);
        calls.unwrap_or_else(|error| {
            tracing::error!("what handlers asked before cannot be read: {error}");
            Calls::default()
        })
    }

    /// The transaction failed: keeps what must not be lost, and tells the others.
    pub(super) fn refuse(&mut self, ops: Vec<Op>, asked: Vec<KvAsk>, error: &rusqlite::Error) {
        let mut kept = Vec::new();
        let asked = asked.into_iter().chain(self.line.drain());
        let mut refused: Vec<_> = asked.map(Op::Kv).collect();
        for op in ops {
            match op {
                Op::Intent { .. } => refused.push(op),
                // Its effect on memory stays.
                Op::Done { failed: None, .. }
                | Op::Passed { .. }
                | Op::Opened { .. }
                | Op::Settled { .. }
                | Op::Gone { .. }
                | Op::Keep { .. } => {}
                op => kept.push(op),
            }
        }
        {
            let mut state = self.core.lock();
            kept.append(&mut state.ops);
            state.ops = kept;
            state.urgent = true;
        }
        for op in refused {
            op.refuse(disk_error(error));
        }
    }
}
