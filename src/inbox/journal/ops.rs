//! What the journal is asked.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::inbox::batch::{self, Batch, ScriptId, encode_event};
use crate::inbox::recording::Failed;
use crate::inbox::sightings::Sighting;
use crate::inbox::store::{KvAnswer, KvError, KvOp};
use crate::inbox::{Event, Place};

/// Told when something is committed, or why it is not.
pub(in crate::inbox) type Receipt = Box<dyn FnOnce(Result<(), KvError>) + Send>;
/// Told what came of it.
pub(in crate::inbox) type KvReply = Box<dyn FnOnce(Result<KvAnswer, KvError>) + Send>;

/// A call at its place in a handler.
#[derive(Debug, Clone)]
pub(in crate::inbox) struct CallSite {
    pub(in crate::inbox) seq: u64,
    pub(in crate::inbox) script: ScriptId,
    pub(in crate::inbox) position: String,
    pub(in crate::inbox) question: u64,
}

/// Something that the key-value store is asked.
pub(in crate::inbox) struct KvAsk {
    /// Whose turn it takes; see `line`.
    pub(in crate::inbox) holder: u64,
    pub(in crate::inbox) space: String,
    pub(in crate::inbox) op: KvOp,
    /// Where what came of it is recorded as an answer.
    pub(in crate::inbox) site: Option<CallSite>,
    pub(in crate::inbox) reply: KvReply,
}

/// What the journal is asked.
pub(in crate::inbox) enum Op {
    /// An event came. Number 0 stands for one that is not kept.
    Event {
        seq: u64,
        event: Arc<Event>,
        place: Place,
        sighting: Option<Sighting>,
        scripts: Arc<[ScriptId]>,
    },
    /// An event came that nobody gets.
    Passed { id: String, place: Place },
    /// The stream was opened, at that time (milliseconds since 1970).
    Opened { at: i64 },
    /// Nothing is missing in this channel any more, or in any.
    Settled { channel: Option<u128> },
    /// The bot cannot see this channel any more.
    Gone { channel: u128 },
    /// A script was given a number.
    Script { id: ScriptId, name: String },
    /// The runs of a script's timer were given up to that time; without one, the timer is over.
    Timer {
        script: ScriptId,
        timer: String,
        at: Option<u64>,
    },
    /// A script is done with an event.
    Done {
        seq: u64,
        script: ScriptId,
        failed: Option<Box<Failed>>,
    },
    /// A call is about to be made.
    Intent { site: CallSite, receipt: Receipt },
    /// A call was answered.
    Answer { site: CallSite, answer: Bytes },
    /// The key-value store.
    Kv(KvAsk),
    /// A subscriber wants what it has not been given yet.
    Refill { key: u64 },
    /// These scripts are all there are.
    Keep { names: HashSet<String> },
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Op::Event { .. } => "Event",
            Op::Passed { .. } => "Passed",
            Op::Opened { .. } => "Opened",
            Op::Settled { .. } => "Settled",
            Op::Gone { .. } => "Gone",
            Op::Script { .. } => "Script",
            Op::Timer { .. } => "Timer",
            Op::Done { .. } => "Done",
            Op::Intent { .. } => "Intent",
            Op::Answer { .. } => "Answer",
            Op::Kv(_) => "Kv",
            Op::Refill { .. } => "Refill",
            Op::Keep { .. } => "Keep",
        })
    }
}

impl Op {
    /// Tells whoever waits for it that nothing comes of it.
    pub(in crate::inbox) fn refuse(self, why: KvError) {
        match self {
            Op::Intent { receipt, .. } => receipt(Err(why)),
            Op::Kv(ask) => (ask.reply)(Err(why)),
            _ => {}
        }
    }

    /// Whether it reads or writes by itself, beyond what it changes in memory.
    pub(super) fn needs_database(&self) -> bool {
        match self {
            Op::Script { .. } | Op::Timer { .. } | Op::Intent { .. } | Op::Answer { .. } => true,
            Op::Done { failed, .. } => failed.is_some(),
            _ => false,
        }
    }
}

/// The events that are kept, in batches, each with its blob.
pub(super) fn batches_of(ops: &[Op]) -> Vec<(Batch, Vec<u8>)> {
    let mut batches = Vec::new();
    let mut slots: Vec<(Arc<[ScriptId]>, usize)> = Vec::new();
    let mut blob = Vec::new();
    let mut first = 0;
    for op in ops {
        let Op::Event {
            seq,
            event,
            scripts,
            ..
        } = op
        else {
            continue;
        };
        if *seq == 0 {
            continue;
        }
        let full = slots.len() >= batch::EVENTS
            || (!slots.is_empty() && blob.len() + event.payload.len() > batch::BYTES);
        if full {
            batches.push((
                Batch::new(first, slots.drain(..)),
                std::mem::take(&mut blob),
            ));
        }
        if slots.is_empty() {
            first = *seq;
        }
        slots.push((Arc::clone(scripts), event.payload.len()));
        encode_event(&mut blob, event);
    }
    if !slots.is_empty() {
        batches.push((Batch::new(first, slots), blob));
    }
    batches
}
