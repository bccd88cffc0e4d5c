//! An event in the hands of one subscriber, and what its handlers ask while they have it.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Event;
use super::batch::ScriptId;
use super::journal::{CallSite, KvAsk, Op};
use super::queue::{Core, Taken};
use super::recording::{Failed, Failing};
use super::store::{KvAnswer, KvError, KvOp, Recorded};

/// An event in the hands of one subscriber.
#[derive(Debug)]
pub struct Delivery {
    event: Arc<Event>,
    ledger: Ledger,
    replayed: bool,
    again: bool,
    recorded: Vec<Recorded>,
    done: bool,
}

impl Delivery {
    pub(super) fn new(core: Arc<Core>, taken: Taken) -> Self {
        Self {
            event: taken.ready.event,
            ledger: Ledger {
                core,
                seq: taken.ready.seq,
                script: taken.script,
            },
            replayed: taken.replayed,
            again: false,
            recorded: taken.ready.calls,
            done: false,
        }
    }

    /// An event that a script is given once more; it is not kept.
    pub(super) fn again(core: Arc<Core>, event: Arc<Event>, script: ScriptId) -> Self {
        Self {
            event,
            ledger: Ledger {
                core,
                seq: 0,
                script,
            },
            replayed: false,
            again: true,
            recorded: Vec::new(),
            done: false,
        }
    }

    /// Whether it is one that the script is given once more.
    pub fn is_again(&self) -> bool {
        self.again
    }

    /// The event, to keep.
    pub fn event(&self) -> Arc<Event> {
        Arc::clone(&self.event)
    }

    /// Whether handlers may have begun on it before, in a process or a version of the script that ended
    /// too early.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// What they asked then. Empty the second time.
    pub fn take_recorded(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded)
    }

    /// Where its handlers' calls are written down.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Says that the subscriber's handlers have finished with the event.
    pub fn done(self) {
        self.end(None);
    }

    /// As [`Delivery::done`], with errors that nobody caught: a recording is kept.
    pub fn failed(self, how: Failing) {
        let event = Arc::clone(&self.event);
        let replayed = self.replayed;
        self.end(Some(Box::new(Failed {
            event,
            replayed,
            how,
        })));
    }

    fn end(mut self, failed: Option<Box<Failed>>) {
        self.done = true;
        let Ledger { core, seq, script } = &self.ledger;
        let op = Op::Done {
            seq: *seq,
            script: *script,
            failed,
        };
        core.done(*seq, *script, op);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.done {
            self.ledger
                .core
                .abandoned(self.ledger.seq, self.ledger.script);
        }
    }
}

impl Deref for Delivery {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

/// Where the calls of one event's handlers are written down. What is written after the event is done is
/// dropped.
#[derive(Debug, Clone)]
pub struct Ledger {
    core: Arc<Core>,
    /// 0 for an event that is not kept.
    seq: u64,
    script: ScriptId,
}

impl Ledger {
    /// One in which nothing is written down, for what is no event.
    pub fn of_nothing(kv: &Kv) -> Self {
        Self {
            core: Arc::clone(&kv.core),
            seq: 0,
            script: 0,
        }
    }

    /// The event's number in this bot's journal; 0 for one that is not kept.
    pub fn number(&self) -> u64 {
        self.seq
    }

    fn site(&self, position: &str, question: u64) -> CallSite {
        CallSite {
            seq: self.seq,
            script: self.script,
            position: position.to_owned(),
            question,
        }
    }

    /// Writes down that a call is about to be made. Completes when that is on disk.
    ///
    /// # Errors
    /// The disk did not take it: the call must not be made.
    pub fn intend(
        &self,
        position: &str,
        question: u64,
    ) -> impl Future<Output = Result<(), KvError>> + Send + use<> {
        let written = (self.seq > 0).then(|| {
            let (tell, told) = oneshot::channel();
            self.core.ask(Op::Intent {
                site: self.site(position, question),
                receipt: Box::new(|result| drop(tell.send(result))),
            });
            told
        });
        async {
            match written {
                Some(told) => told.await.unwrap_or_else(|_| Err(closed())),
                None => Ok(()),
            }
        }
    }

    /// Writes down a call's answer, soon.
    pub fn answered(&self, position: &str, question: u64, answer: Bytes) {
        if self.seq > 0 {
            let site = self.site(position, question);
            self.core.tell(Op::Answer { site, answer });
        }
    }
}

/// The key-value store of a bot, in the hands of somebody. While much is asked of it, its holders take turns;
/// a clone is the same holder.
#[derive(Debug, Clone)]
pub struct Kv {
    core: Arc<Core>,
    holder: u64,
}

impl Kv {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let holder = core.lock().next_holder();
        Self { core, holder }
    }

    /// Does it; `reply` is called on the journal's thread when that is on disk, and must not block. With
    /// a place in a ledger, what came of it is written down there in the same transaction.
    pub fn ask(
        &self,
        space: String,
        op: KvOp,
        place: Option<(&Ledger, &str, u64)>,
        reply: impl FnOnce(Result<KvAnswer, KvError>) + Send + 'static,
    ) {
        let site = place.and_then(|(ledger, position, question)| {
            (ledger.seq > 0).then(|| ledger.site(position, question))
        });
        self.core.ask(Op::Kv(KvAsk {
            holder: self.holder,
            space,
            op,
            site,
            reply: Box::new(reply),
        }));
    }
}

pub(super) fn closed() -> KvError {
    KvError::Disk("the host is shutting down".to_owned())
}
