//! Where in an event's handlers something is asked, and what was asked there before.
//!
//! # Positions
//!
//! What a handler asks the host (a call, the key-value store, an event it waits for) has a position that
//! is the same when the handler runs again: `on:messageCreate#0/1.2:3` is
//! * the handler: what it was registered for, and which of those it was in the order of registration,
//!   counted since there was none of them;
//! * after `/`, the coroutine: the second child of the handler, of that the third child. A child is what
//!   `task.spawn`, `task.defer` and `task.delay` begin, in the order in which they are called, and a
//!   coroutine of the script's own, in the order in which they first ask something;
//! * after `:`, how many things that coroutine has asked before.
//!
//! So positions do not depend on which answer comes first.
//!
//! # Running again
//!
//! When an event comes again ([`crate::inbox::Delivery::is_replayed`]), what was asked at a position
//! before and was the same question gets the same answer, and nothing is sent. Where the question is
//! another one (the script was changed, or it asks by the clock), the coroutine goes on live from there,
//! and the log says so once. The platform's `randomId` follows from the bot, the event and the position, so
//! that what was sent without its answer being known is recognised there when it is sent again. So is a
//! message with another text than before, which dice or a clock make: it stays as it was said, unless the
//! handler runs again later than the platform remembers (2 minutes).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::dispatch::EventRun;
use super::recall::Question;
use crate::contract::{Retry, Route};
use crate::inbox::{Asked, KvError, Ledger, Recorded};
use crate::rest::{self, RANDOM_ID_RELIED_ON};

/// Answers to questions that change nothing are written down up to this size; a larger one is asked for
/// again.
pub(super) const LARGEST_READ: usize = 256 << 10;

/// Bytes of such answers that are kept for one event. Those that come after them are not written down and are
/// asked for again, so that a handler that reads for days fills neither memory nor disk.
const READS: usize = 4 << 20;

/// How much later than now something may have been sent: the system's clock is put right a little now and
/// then, which must not make a handler that comes again at once doubt what it sent. It is far less than
/// [`RANDOM_ID_RELIED_ON`] leaves of the platform's memory.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// A coroutine of a handler.
#[derive(Debug)]
pub(super) struct Path {
    name: String,
    /// The coroutine's identity, as the scheduler knows it.
    thread: Cell<usize>,
    asked: Cell<u32>,
    children: Cell<u32>,
    /// It asked something else than before: nothing that follows is known.
    diverged: Cell<bool>,
}

impl Path {
    /// The handler's own coroutine.
    pub(super) fn root(handler: &str) -> Rc<Self> {
        Self::new(handler.to_owned())
    }

    fn new(name: String) -> Rc<Self> {
        Rc::new(Self {
            name,
            thread: Cell::new(0),
            asked: Cell::new(0),
            children: Cell::new(0),
            diverged: Cell::new(false),
        })
    }

    /// The next coroutine that this one begins.
    pub(super) fn child(&self, thread: usize) -> Rc<Self> {
        let number = self.children.get();
        self.children.set(number + 1);
        let mark = if self.name.contains('/') { '.' } else { '/' };
        let child = Self::new(format!("{}{mark}{number}", self.name));
        child.is_of(thread);
        child
    }

    /// The position of what it asks next.
    pub(super) fn next(&self) -> String {
        let number = self.asked.get();
        self.asked.set(number + 1);
        format!("{}:{number}", self.name)
    }

    /// This coroutine is it.
    pub(super) fn is_of(&self, thread: usize) {
        self.thread.set(thread);
    }

    pub(super) fn thread(&self) -> usize {
        self.thread.get()
    }
}

/// A position that is being asked at.
#[derive(Clone)]
pub(super) struct Site {
    run: Rc<EventRun>,
    /// None for a position that was looked up before.
    path: Option<Rc<Path>>,
    pub(super) position: String,
}

/// What is known of the answer.
pub(super) enum Known {
    /// Nothing: ask.
    Nothing,
    /// This was the answer.
    Answer(Result<Bytes, rest::Error>),
    /// It was sent; whether it took effect nobody knows. When that was, milliseconds since 1970.
    Sent(u64),
}

impl Site {
    /// The next position of a coroutine.
    pub(super) fn next(run: &Rc<EventRun>, path: &Rc<Path>) -> Self {
        Self {
            run: Rc::clone(run),
            path: Some(Rc::clone(path)),
            position: path.next(),
        }
    }

    /// A position that [`Site::next`] gave before and that was looked up then.
    pub(super) fn at(run: &Rc<EventRun>, position: String) -> Self {
        Self {
            run: Rc::clone(run),
            path: None,
            position,
        }
    }

    /// The `randomId` of what is sent from here: it follows from bot, event, script and position.
    pub(super) fn random_id(&self, bot: &str, script: &str) -> i64 {
        let number = self.run.ledger.number().to_string();
        random_id(bot, [&self.run.id, &number], script, &self.position)
    }

    /// Looks up what was asked here before.
    pub(super) fn known(&self, question: u64) -> Known {
        let Some(path) = self.path.as_ref().filter(|path| !path.diverged.get()) else {
            return Known::Nothing;
        };
        let Some(recorded) = self.run.recorded.borrow_mut().remove(&self.position) else {
            return Known::Nothing;
        };
        if recorded.question != question {
            path.diverged.set(true);
            tracing::warn!(target: "script", script = %self.run.script, event = %self.run.kind,
                event_id = %self.run.id, position = %self.position,
                "the handler runs again and asks something else than before: it goes on live from here");
            return Known::Nothing;
        }
        match recorded.answer {
            Some(answer) => match decode(&answer) {
                Some(answer) => Known::Answer(answer),
                None => Known::Nothing,
            },
            None => Known::Sent(recorded.begun),
        }
    }

    /// Notes for people what is asked here.
    pub(super) fn note(&self, question: &Question<'_>) {
        self.run.note(|| Asked {
            position: self.position.clone(),
            what: question.what.to_owned(),
            args: question.args.to_owned(),
        });
    }

    /// Keeps the answer to a question that changes nothing, to be written down if the handler goes on to
    /// something that does.
    pub(super) fn read(&self, question: u64, answer: &Result<Bytes, rest::Error>) {
        if let Some(answer) = encode(answer) {
            let mut reads = self.run.reads.borrow_mut();
            reads.keep(&self.position, question, answer);
        }
    }

    /// Where to write down the answer to the question.
    pub(super) fn record(&self, question: u64) -> Record {
        Record {
            ledger: self.ledger().clone(),
            position: self.position.clone(),
            question,
        }
    }

    /// Where to write down what changes something. What was read before is written down first: the
    /// handler must read the same when it comes here again.
    pub(super) fn ledger(&self) -> &Ledger {
        let ledger = &self.run.ledger;
        for read in self.run.reads.borrow_mut().take() {
            if let Some(answer) = read.answer {
                ledger.answered(&read.position, read.question, answer);
            }
        }
        ledger
    }
}

/// What a handler has read since it changed something last.
#[derive(Debug, Default)]
pub(super) struct Reads {
    kept: Vec<Recorded>,
    /// Bytes of all answers that were ever kept.
    bytes: usize,
}

impl Reads {
    /// Keeps an answer that is not too large, while there is room within [`READS`].
    fn keep(&mut self, position: &str, question: u64, answer: Bytes) {
        let bytes = self.bytes + answer.len();
        if answer.len() > LARGEST_READ || bytes > READS {
            return;
        }
        self.bytes = bytes;
        self.kept.push(Recorded {
            position: position.to_owned(),
            question,
            begun: 0,
            answer: Some(answer),
        });
    }

    /// Gives out what is kept. The room that it took stays taken.
    pub(super) fn take(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.kept)
    }
}

/// Where one answer is written down.
pub(super) struct Record {
    ledger: Ledger,
    position: String,
    question: u64,
}

impl Record {
    /// Writes down that the question is about to be asked; see [`Ledger::intend`].
    pub(super) fn intend(&self) -> impl Future<Output = Result<(), KvError>> + Send + use<> {
        self.ledger.intend(&self.position, self.question)
    }

    /// Writes down the answer. A refusal is one, too: the handler that comes here again must go on as it
    /// went on then.
    pub(super) fn answered(&self, answer: &Result<Bytes, rest::Error>) {
        if let Some(answer) = encode(answer) {
            self.ledger.answered(&self.position, self.question, answer);
        }
    }
}

/// The `randomId` of what a script sends at a position of something: 64 bits. The platform compares the
/// ids of all bots of a channel.
pub(super) fn random_id(bot: &str, of: [&str; 2], script: &str, position: &str) -> i64 {
    let id = hash([bot, of[0], of[1], script, position]);
    // 0 stands for none on the platform.
    (if id == 0 { 1 } else { id }) as i64
}

/// How long ago a call was sent, by the time of its intent in milliseconds of Unix time. One that was sent
/// later than now, by a clock that has been set back since, counts as sent for ever ago: nobody knows.
pub(super) fn age(sent: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let (now, sent) = (now.unwrap_or_default(), Duration::from_millis(sent));
    if sent > now + CLOCK_TOLERANCE {
        return Duration::MAX;
    }
    now.saturating_sub(sent)
}

/// Whether a call that was sent so long ago, and whose answer is not known, may be sent again.
pub(super) fn may_repeat(route: &Route, age: Duration) -> bool {
    match route.retry {
        Retry::Idempotent | Retry::Settles { .. } => true,
        Retry::RandomId => age < RANDOM_ID_RELIED_ON,
        Retry::Never => false,
    }
}

/// 64-bit FNV-1a over the parts, a mark between them, with the finaliser of MurmurHash3, so that every
/// bit of the input reaches every bit of the result. It must never change: it is in databases and at the
/// platform.
pub(super) fn hash<'p>(parts: impl IntoIterator<Item = &'p str>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// An answer as it is written down.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Written<'a> {
    /// The body, if there was one.
    #[serde(borrow)]
    Ok(Option<&'a RawValue>),
    Error {
        status: u16,
        code: String,
        message: Option<String>,
        route: String,
        retry_after: Option<f64>,
    },
}

/// None for what must not be taken for an answer: the host was ending.
pub(super) fn encode(answer: &Result<Bytes, rest::Error>) -> Option<Bytes> {
    Some(match answer {
        Ok(body) if body.is_empty() => Bytes::from_static(b"{\"ok\":null}"),
        Ok(body) => {
            // What is no JSON would spoil the record.
            serde_json::from_slice::<&RawValue>(body).ok()?;
            [&b"{\"ok\":"[..], body, b"}"].concat().into()
        }
        Err(error) if error.code == "stopped" => return None,
        Err(error) => serde_json::json!({"error": {
            "status": error.status,
            "code": error.code,
            "message": error.message,
            "route": error.route,
            "retry_after": error.retry_after,
        }})
        .to_string()
        .into(),
    })
}

/// None for what is no answer.
pub(super) fn decode(answer: &Bytes) -> Option<Result<Bytes, rest::Error>> {
    Some(match serde_json::from_slice(answer).ok()? {
        Written::Ok(None) => Ok(Bytes::new()),
        Written::Ok(Some(body)) => Ok(answer.slice_ref(body.get().as_bytes())),
        Written::Error {
            status,
            code,
            message,
            route,
            retry_after,
        } => Err(rest::Error {
            status,
            code,
            message,
            route,
            retry_after,
        }),
    })
}

/// What was asked before, by position.
pub(super) fn by_position(recorded: Vec<Recorded>) -> RefCell<HashMap<String, Recorded>> {
    let with_position = |one: Recorded| (one.position.clone(), one);
    RefCell::new(recorded.into_iter().map(with_position).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::route;

    #[test]
    fn answers_come_back_as_they_were() {
        let error = rest::Error {
            status: 403,
            code: "not_a_member".into(),
            message: Some("No.".into()),
            route: "IMessages/Send".into(),
            retry_after: Some(1.5),
        };
        for answer in [
            Ok(Bytes::new()),
            Ok(Bytes::from_static(b"{\"messageId\":9007199254740993}")),
            Err(error),
        ] {
            let back = decode(&encode(&answer).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{answer:?}"));
        }
        let stopped = rest::Error {
            status: 0,
            code: "stopped".into(),
            message: None,
            route: String::new(),
            retry_after: None,
        };
        assert!(encode(&Err(stopped)).is_none());
        assert!(encode(&Ok(Bytes::from_static(b"{"))).is_none());
    }

    #[test]
    fn what_was_read_is_kept_within_a_bound() {
        let mut reads = Reads::default();
        let half = Bytes::from(vec![b'1'; LARGEST_READ / 2]);
        for question in 0..1000 {
            reads.keep("a:0", question, half.clone());
        }
        reads.keep("a:1", 0, Bytes::from(vec![b'1'; LARGEST_READ + 1]));
        assert_eq!(reads.take().len(), READS / half.len());
        // What was written down counts, too.
        reads.keep("a:2", 0, half);
        assert!(reads.take().is_empty());
    }

    #[test]
    fn a_path_names_each_coroutine_by_its_place() {
        let root = Path::root("on:messageCreate#0");
        let first = root.child(1);
        let second = root.child(2);
        assert_eq!(first.name, "on:messageCreate#0/0");
        assert_eq!(second.child(3).name, "on:messageCreate#0/1.0");
        assert_eq!(second.child(4).name, "on:messageCreate#0/1.1");
    }

    #[test]
    fn the_hash_is_the_one_that_databases_have() {
        assert_ne!(hash(["a", "b"]), hash(["ab"]));
        assert_eq!(hash(["a", "b"]), 0xd1cc471618320c9c);
    }

    #[test]
    fn what_the_platform_does_not_recognise_is_not_repeated() {
        let may = |interface, name, seconds| {
            may_repeat(
                route(interface, name).unwrap(),
                Duration::from_secs(seconds),
            )
        };
        assert!(may("IMessages", "Send", 60));
        assert!(!may("IMessages", "Send", 95));
        assert!(!may("IMembers", "Kick", 0));
        assert!(may("IReactions", "Add", 1000));
    }

    #[test]
    fn what_was_sent_by_a_clock_that_was_ahead_counts_as_sent_long_ago() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_millis() as u64;
        let send = route("IMessages", "Send").unwrap();
        let may = |route, sent| may_repeat(route, age(sent));
        assert!(may(send, now));
        assert!(may(send, now + 1000), "a clock may be put right a little");
        assert!(!may(send, now + 60_000));
        assert!(!may(send, u64::MAX));
        assert!(may(route("IReactions", "Add").unwrap(), now + 60_000));
    }
}
