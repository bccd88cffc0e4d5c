//! One event in the hands of a script's handlers: what they asked, what came of it, and when they are over.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::inbox::{Asked, Delivery, Failing, Ledger, Recorded};
use crate::script::guest::Guest;
use crate::script::position::{self, Reads};
use crate::script::recall::Load;
use crate::script::registry::Identity;
use crate::script::rollback::Tally;
use crate::script::status::Status;

/// What is noted of what an event's handlers ask: entries, and bytes of their arguments.
const NOTED: (usize, usize) = (256, 64 << 10);

/// What is kept of the errors of an event's handlers: errors, and bytes of their text. Those beyond it are
/// counted.
const ERRORS: (usize, usize) = (64, 128 << 10);

/// One event in the hands of a script's handlers.
pub(in crate::script) struct EventRun {
    /// The SSE id, for the log.
    pub(in crate::script) id: String,
    /// The event's type.
    pub(in crate::script) kind: String,
    /// The script whose handlers run.
    pub(in crate::script) script: String,
    /// Where its handlers' calls are written down.
    pub(in crate::script) ledger: Ledger,
    /// What they asked before, by position.
    pub(in crate::script) recorded: RefCell<HashMap<String, Recorded>>,
    /// What they have read and is not written down.
    pub(in crate::script) reads: RefCell<Reads>,
    /// What they have asked, in words.
    asked: RefCell<Vec<Asked>>,
    /// What they did not catch.
    errors: RefCell<Errors>,
    /// What a recording of it begins with.
    context: Context,
    delivery: Cell<Option<Delivery>>,
    /// Handlers that are not over, and one while the event is being handed out.
    remaining: Cell<usize>,
    /// When it came; none for one that is handed out once more, and for what is no event.
    received: Option<Instant>,
    /// When its first handler started.
    begun: Cell<Option<Instant>>,
    status: Arc<Status>,
    /// Where it is noted how it went; none for what is no event.
    tally: Option<Arc<Tally>>,
}

/// What tells an event from one that has just come.
#[derive(Clone, Copy, Default)]
pub(in crate::script) struct Marks {
    /// The host made it.
    pub(super) synthetic: bool,
    /// Handlers had begun on it before.
    pub(super) replayed: bool,
}

/// What a recording has beside the event and its handlers.
#[derive(Default)]
struct Context {
    bot: Option<Arc<Identity>>,
    load: Rc<Load>,
}

/// Errors that nobody caught.
#[derive(Debug, Default)]
struct Errors {
    kept: Vec<String>,
    bytes: usize,
    more: usize,
}

impl Errors {
    fn push(&mut self, error: String) {
        let bytes = self.bytes + error.len();
        if self.kept.len() >= ERRORS.0 || bytes > ERRORS.1 {
            self.more += 1;
            return;
        }
        self.bytes = bytes;
        self.kept.push(error);
    }

    /// All of them, and at the end how many there were beside.
    fn told(mut self) -> Vec<String> {
        match self.more {
            0 => {}
            1 => self.kept.push("(one more error)".to_owned()),
            more => self.kept.push(format!("({more} more errors)")),
        }
        self.kept
    }
}

impl EventRun {
    pub(super) fn new(mut delivery: Delivery, guest: &Guest) -> Rc<Self> {
        Rc::new(Self {
            id: delivery.id.clone(),
            kind: delivery.kind.clone(),
            script: guest.name.clone(),
            ledger: delivery.ledger().clone(),
            recorded: position::by_position(delivery.take_recorded()),
            reads: RefCell::default(),
            asked: RefCell::default(),
            errors: RefCell::default(),
            context: Context {
                bot: guest.shared.identity(),
                load: Rc::clone(&guest.load),
            },
            received: (!delivery.is_again()).then_some(delivery.received),
            delivery: Cell::new(Some(delivery)),
            remaining: Cell::new(1),
            begun: Cell::new(None),
            status: Arc::clone(&guest.status),
            tally: Some(Arc::clone(&guest.tally)),
        })
    }

    /// Whether the event comes again when its handlers do not come to an end.
    pub(in crate::script) fn is_kept(&self) -> bool {
        self.ledger.number() > 0
    }

    /// The end of the script, which is waited for like an event.
    pub(in crate::script) fn unload(guest: &Guest) -> Rc<Self> {
        Rc::new(Self {
            id: String::new(),
            kind: "unload".into(),
            script: guest.name.clone(),
            ledger: Ledger::of_nothing(&guest.kv),
            recorded: RefCell::default(),
            reads: RefCell::default(),
            asked: RefCell::default(),
            errors: RefCell::default(),
            context: Context::default(),
            received: None,
            delivery: Cell::new(None),
            remaining: Cell::new(1),
            begun: Cell::new(None),
            status: Arc::clone(&guest.status),
            tally: None,
        })
    }

    /// Whether it is the end of the script.
    pub(in crate::script) fn is_unload(&self) -> bool {
        self.tally.is_none()
    }

    /// Notes for people what is asked.
    pub(in crate::script) fn note(&self, asked: impl FnOnce() -> Asked) {
        let mut all = self.asked.borrow_mut();
        let bytes: usize = all.iter().map(|one| one.args.len()).sum();
        if all.len() < NOTED.0 && bytes < NOTED.1 {
            all.push(asked());
        }
    }

    /// A handler starts.
    pub(super) fn starts(&self) {
        self.remaining.set(self.remaining.get() + 1);
        if self.begun.get().is_none() {
            let now = Instant::now();
            self.begun.set(Some(now));
            if let Some(received) = self.received {
                self.status.lag.note(now - received);
            }
        }
    }

    /// A handler failed with an error that nobody caught.
    pub(in crate::script) fn failed(&self, error: String) {
        self.errors.borrow_mut().push(error);
    }

    /// One handler is over.
    pub(in crate::script) fn finished(&self) {
        let remaining = self.remaining.get().saturating_sub(1);
        self.remaining.set(remaining);
        if remaining == 0
            && let Some(delivery) = self.delivery.take()
        {
            if let Some(begun) = self.begun.get() {
                self.status.handling.note(begun.elapsed());
            }
            let errors = self.errors.take().told();
            if let Some(tally) = &self.tally {
                tally.note(!errors.is_empty());
            }
            match errors {
                errors if errors.is_empty() => delivery.done(),
                errors => delivery.failed(Failing {
                    bot: (self.context.bot.as_ref())
                        .map_or_else(String::new, |bot| bot.user_id.clone()),
                    errors,
                    reads: self.reads.borrow_mut().take(),
                    asked: self.asked.take(),
                    load: self.context.load.all(),
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_an_end_are_counted() {
        let mut errors = Errors::default();
        errors.push("x".repeat(ERRORS.1 - 1));
        errors.push("y".into());
        errors.push("z".into());
        assert_eq!(errors.told()[1..], ["y", "(one more error)"]);
        let mut errors = Errors::default();
        for n in 0..100_000 {
            errors.push(n.to_string());
        }
        let told = errors.told();
        assert_eq!(told.len(), ERRORS.0 + 1);
        assert_eq!(told.last().unwrap(), "(99936 more errors)");
        assert!(Errors::default().told().is_empty());
    }
}
