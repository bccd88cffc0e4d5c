//! What a script asks the host, and what is known of the answer before anything is done for it.
//!
//! Whatever reaches beyond the script's VM (calls, the key-value store, HTTP, `waitFor`) comes through
//! [`Guest::recall`]: it is noted for the recording of a failure, answered as before where a handler runs
//! again, and answered from the recording in a rehearsal.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Instant;

use bytes::Bytes;
use mlua::{Lua, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::dispatch::Marks;
use super::errors::Fault;
use super::guest::Guest;
use super::position::{self, Known, Site};
use crate::inbox::{Asked, Event, Recorded};
use crate::rest;

/// Answers to a top level that are kept for recordings: bytes, arguments included.
const LOAD_BYTES: usize = 256 << 10;

/// What [`Question::what`] is of `argon.waitFor`.
pub(super) const WAIT_FOR: &str = "argon.waitFor";

/// Something that is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// `IMessages/Send`, `argon.kv.get`, `GET https://…`.
    pub(super) what: &'a str,
    /// The arguments as JSON text, for people.
    pub(super) args: &'a str,
    /// A hash of it: whether it is the same question as before.
    pub(super) hash: u64,
}

impl<'a> Question<'a> {
    /// The question with these arguments.
    pub(super) fn new(what: &'a str, args: &'a str) -> Self {
        Self {
            what,
            args,
            hash: position::hash([what, args]),
        }
    }
}

/// A question with its place and what is known of the answer.
pub(super) struct Recall {
    /// Where it is asked; none where nothing of it is kept.
    pub(super) site: Option<Site>,
    pub(super) known: Known,
    /// The question, if the top level asks it.
    pub(super) of_load: Option<LoadQuestion>,
}

/// A question of the top level.
pub(super) struct LoadQuestion(Asked, u64);

/// What an `argon.waitFor` came to.
pub(super) enum Waited<'a> {
    /// The time for it was over.
    Nothing,
    Event(&'a Event),
    /// Its predicate raised this.
    Refused(&'a str),
}

/// The same as it is written down: an event, or why there is none.
#[derive(Default, Serialize, Deserialize)]
struct WrittenWait<'a> {
    #[serde(rename = "type", default, skip_serializing_if = "str::is_empty")]
    kind: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// What its predicate raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Cow<'a, str>>,
}

/// What the top level asked, and its answers.
#[derive(Default)]
pub(super) struct Load {
    of_load: RefCell<Vec<(Asked, Recorded)>>,
    bytes: std::cell::Cell<usize>,
}

impl Load {
    /// Everything so far.
    pub(super) fn all(&self) -> Vec<(Asked, Recorded)> {
        self.of_load.borrow().clone()
    }
}

impl Guest {
    /// Notes what is asked, and looks up what is known of the answer.
    pub(super) fn recall(&self, site: Option<Site>, question: &Question<'_>) -> Recall {
        if let Some(site) = &site {
            site.note(question);
        }
        let known = match (&self.rehearsal, &site) {
            (Some(rehearsal), site) => rehearsal.recall(site.as_ref(), question),
            (None, Some(site)) => site.known(question.hash),
            (None, None) => Known::Nothing,
        };
        let of_load = (site.is_none() && !self.is_loaded()).then(|| {
            let asked = Asked {
                position: String::new(),
                what: question.what.to_owned(),
                args: question.args.to_owned(),
            };
            LoadQuestion(asked, question.hash)
        });
        Recall {
            site,
            known,
            of_load,
        }
    }

    /// Keeps an answer to the top level, for recordings.
    pub(super) fn answered_load(&self, of_load: LoadQuestion, answer: &Result<Bytes, rest::Error>) {
        if let Some(answer) = position::encode(answer) {
            self.answered_load_text(of_load, answer);
        }
    }

    /// The same of an answer in the words in which it is written down.
    pub(super) fn answered_load_text(
        &self,
        LoadQuestion(asked, question): LoadQuestion,
        answer: Bytes,
    ) {
        let bytes = self.load.bytes.get() + asked.args.len() + answer.len();
        if bytes > LOAD_BYTES {
            return;
        }
        self.load.bytes.set(bytes);
        let recorded = Recorded {
            position: String::new(),
            question,
            begun: 0,
            answer: Some(answer),
        };
        self.load.of_load.borrow_mut().push((asked, recorded));
    }

    /// Writes down what a coroutine's `waitFor` came to. At once: the event is perhaps done for this
    /// script before the handler that waited for it, and would not come again for it.
    pub(super) fn waited(&self, ticket: u64, waited: &Waited<'_>) {
        let asked = self.scheduler.borrow_mut().take_asked(ticket);
        let Some((site, question)) = asked else {
            return;
        };
        let written = match waited {
            Waited::Nothing => None,
            Waited::Event(event) => Some(WrittenWait {
                kind: Cow::Borrowed(&event.kind),
                id: Cow::Borrowed(&event.id),
                payload: serde_json::from_str(&event.payload).ok(),
                refused: None,
            }),
            Waited::Refused(message) => Some(WrittenWait {
                refused: Some(Cow::Borrowed(message)),
                ..WrittenWait::default()
            }),
        };
        // Text and JSON always make JSON.
        let written = serde_json::to_string(&written).unwrap_or_default();
        let answer = Bytes::from(format!("{{\"ok\":{written}}}"));
        (site.ledger()).answered(&site.position, question, answer);
    }

    /// What a `waitFor` came to before: the event, or nil.
    pub(super) fn waited_before(&self, lua: &Lua, body: &Bytes) -> Result<Value, Fault> {
        let unreadable = |problem: String| {
            Fault::text(format!(
                "argon.waitFor: the event from before cannot be read: {problem}"
            ))
        };
        if body.is_empty() {
            return Ok(Value::Nil);
        }
        let written: WrittenWait<'_> =
            serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        if let Some(refused) = written.refused {
            return Err(Fault::text(refused));
        }
        let event = Event {
            kind: written.kind.into_owned(),
            id: written.id.into_owned(),
            payload: written.payload.map_or("null", RawValue::get).to_owned(),
            received: Instant::now(),
        };
        let value = self.event_value(lua, &event, Marks::default());
        Ok(Value::Table(value.map_err(unreadable)?))
    }
}
