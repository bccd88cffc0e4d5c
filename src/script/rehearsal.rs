//! A rehearsal: the event of a recording runs through the script as it is now, and nothing that the
//! script asks leaves the process.
//!
//! Whatever it asks is shown with its arguments. What the recording has the same question for, at the
//! same position, gets the recorded answer; everything else raises an error with the code `not_recorded`.
//! Questions of the top level go by what is asked, because they have no position. Time that handlers wait
//! for is left out; what repeats does not run, and neither does what waits on behalf of no event. An
//! event that `argon.waitFor` waits for and the recording does not have never comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::position::{self, Known, Site};
use super::recall::{Question, WAIT_FOR};
use crate::inbox::{CallRecord, Recording};

/// The most time that is left out for handlers that wait.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Characters of arguments and answers that are shown.
const SHOWN: usize = 2000;

/// A recording that a script runs on, and what comes of it.
#[derive(Debug)]
pub struct Rehearsal {
    script: String,
    replayed: bool,
    hidden: bool,
    /// There was no room for everything that was asked.
    cut: bool,
    /// What was asked, by position.
    calls: HashMap<String, CallRecord>,
    /// What the top level asked, by question.
    load: HashMap<u64, CallRecord>,
    findings: Mutex<Findings>,
    over: Notify,
}

/// What came of a rehearsal.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What nobody caught, as it was logged.
    pub errors: Vec<String>,
    /// Questions that the recording has no answer for.
    pub unanswered: usize,
    /// The script has no handler for the event.
    pub unhandled: bool,
    /// Handlers that wait for what does not come.
    pub waiting: usize,
}

impl Rehearsal {
    /// Of that recording.
    pub fn new(recording: &Recording) -> Arc<Self> {
        let by_position = |call: &CallRecord| (call.position.clone(), call.clone());
        let by_question = |call: &CallRecord| (call.question, call.clone());
        Arc::new(Self {
            script: recording.script.clone(),
            replayed: recording.replayed,
            hidden: recording.hidden,
            cut: recording.left_out > 0,
            calls: recording.calls.iter().map(by_position).collect(),
            load: recording.load.iter().map(by_question).collect(),
            findings: Mutex::default(),
            over: Notify::new(),
        })
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when everything that the event began has come to its end, or waits for what does not
    /// come.
    pub async fn over(&self) -> Findings {
        self.over.notified().await;
        self.findings().clone()
    }

    pub(super) fn is_over(&self, waiting: usize) {
        let mut findings = self.findings();
        findings.waiting = waiting;
        if waiting > 0 {
            tracing::warn!(target: "replay", script = %self.script,
                "handlers that wait for something that the recording does not have: {waiting}");
        }
        self.over.notify_one();
    }

    /// Whether the handlers had begun on the event before, when it was recorded.
    pub(super) fn was_replayed(&self) -> bool {
        self.replayed
    }

    pub(super) fn failed(&self, error: &str) {
        self.findings().errors.push(error.to_owned());
    }

    pub(super) fn is_unhandled(&self, kind: &str) {
        self.findings().unhandled = true;
        tracing::warn!(target: "replay", script = %self.script, "it has no handler for {kind}");
    }

    /// The recorded answer, or the error that says that there is none.
    pub(super) fn recall(&self, site: Option<&Site>, question: &Question<'_>) -> Known {
        let position = site.map_or("", |site| &*site.position);
        let Question { what, args, hash } = *question;
        let recorded = match site {
            Some(_) => self.calls.get(position),
            None => self.load.get(&hash),
        };
        if recorded.is_none() && what == WAIT_FOR {
            self.show(position, question, "(it does not come)");
            return Known::Nothing;
        }
        let problem = match recorded {
            // Where fields were left out, what is made of them cannot be the same.
            Some(call) if call.question == hash || (self.hidden && call.what == what) => match call
                .answer()
                .map(|answer| (position::decode(&answer), answer))
            {
                Some((Some(known), answer)) => {
                    self.show(position, question, &String::from_utf8_lossy(&answer));
                    return Known::Answer(known);
                }
                Some((None, _)) => "its answer is left out of the recording".to_owned(),
                None => "when it was recorded, its answer was not known".to_owned(),
            },
            Some(call) if call.what.is_empty() => {
                "something else was asked here when it was recorded".to_owned()
            }
            Some(call) => {
                let args = if call.args.is_null() {
                    String::new()
                } else {
                    format!(" {}", shorten(&call.args.to_string()))
                };
                format!("when it was recorded, {}{args} was asked here", call.what)
            }
            None if self.cut => "the recording had no room for it".to_owned(),
            None => "the recording does not have it".to_owned(),
        };
        self.findings().unanswered += 1;
        let shown = shorten(args);
        tracing::warn!(target: "replay", script = %self.script, position = some(position), "{what} {shown} → no answer: {problem}");
        let error = super::errors::local_failure(
            what,
            "not_recorded",
            format!("nothing is sent in a replay, and {problem}"),
        );
        Known::Answer(Err(error))
    }

    fn show(&self, position: &str, question: &Question<'_>, answer: &str) {
        let (what, args) = (question.what, shorten(question.args));
        let answer = answer
            .strip_prefix("{\"ok\":")
            .and_then(|answer| answer.strip_suffix('}'))
            .unwrap_or(answer);
        tracing::info!(target: "replay", script = %self.script, position = some(position),
            "{what} {args} → {}", shorten(answer));
    }
}

fn some(position: &str) -> Option<&str> {
    (!position.is_empty()).then_some(position)
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
