//! What the playground's inspector is shown as it happens: requests of bots, events to bots, and notices
//! of whoever runs the bots (errors of scripts, reloads).
//!
//! A broadcast of JSON lines apart from the pages' own, so that a flood of requests does not push chat
//! messages out: a page that reads slower than [`BACKLOG`] is told how many lines it missed. Nothing is
//! made while no inspector watches, except that the last [`MOST_NOTICES`] notices are kept, because an
//! error is most often older than the page that looks for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// Lines that wait for a slow page.
const BACKLOG: usize = 4_096;
/// Notices that are kept.
pub const MOST_NOTICES: usize = 200;
/// Characters of a notice; the rest is cut.
const LONGEST_NOTICE: usize = 16_000;

/// How grave a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// Something failed.
    Error,
    /// Something may fail.
    Warning,
    /// Good to know.
    Info,
}

impl Gravity {
    fn name(self) -> &'static str {
        match self {
            Gravity::Error => "error",
            Gravity::Warning => "warning",
            Gravity::Info => "info",
        }
    }
}

/// Something that whoever runs the bots tells their authors in the playground.
#[derive(Debug, Clone)]
pub struct Notice {
    /// How grave it is.
    pub gravity: Gravity,
    /// The bot's name in its config.
    pub bot: Option<String>,
    /// The script's name.
    pub script: Option<String>,
    /// What there is to tell; lines and all. An error of a script begins with `file:line: `.
    pub text: String,
}

/// Whom a line is about, for [`Inspector::event`].
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// Every bot of a space.
    Space(super::world::Id),
    /// One bot.
    Bot(super::world::Id),
}

#[derive(Debug, Default)]
struct Notices {
    last: u64,
    kept: VecDeque<Value>,
}

/// Where inspectors look.
#[derive(Debug)]
pub struct Inspector {
    lines: broadcast::Sender<Arc<str>>,
    notices: Mutex<Notices>,
}

impl Default for Inspector {
    fn default() -> Self {
        Self {
            lines: broadcast::Sender::new(BACKLOG),
            notices: Mutex::default(),
        }
    }
}

impl Inspector {
    /// The lines from now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<str>> {
        self.lines.subscribe()
    }

    /// Whether somebody looks; nothing else needs to be made for them otherwise.
    pub fn is_watched(&self) -> bool {
        self.lines.receiver_count() > 0
    }

    fn show(&self, line: &Value) {
        // Fails only when the last page has just gone.
        let _ = self.lines.send(line.to_string().into());
    }

    /// Shows a request, as the log shows it.
    pub fn request(&self, mut record: Value) {
        record["type"] = "request".into();
        self.show(&record);
    }

    /// Shows an event that leaves for bots.
    pub fn event(&self, to: To, kind: &str, payload: &str, at: Timestamp) {
        // A test's raw payload may be no JSON.
        let payload = serde_json::from_str(payload).unwrap_or_else(|_| Value::from(payload));
        let (space, bot) = match to {
            To::Space(id) => (Some(id), None),
            To::Bot(id) => (None, Some(id)),
        };
        self.show(&json!({
            "type": "event",
            "at": at.to_string(),
            "botId": bot,
            "event": kind,
            "payload": payload,
            "spaceId": space,
        }));
    }

    /// Shows a notice and keeps it.
    pub fn notice(&self, notice: Notice, at: Timestamp) {
        let mut text = notice.text;
        if let Some((cut, _)) = text.char_indices().nth(LONGEST_NOTICE) {
            text.truncate(cut);
            text.push('…');
        }
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.last += 1;
        let line = json!({
            "type": "notice",
            "at": at.to_string(),
            "bot": notice.bot,
            "gravity": notice.gravity.name(),
            "n": notices.last,
            "script": notice.script,
            "text": text,
        });
        self.show(&line);
        if notices.kept.len() == MOST_NOTICES {
            notices.kept.pop_front();
        }
        notices.kept.push_back(line);
    }

    /// The notices that are kept, oldest first.
    pub fn notices(&self) -> Vec<Value> {
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.kept.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::{Gravity, Inspector, LONGEST_NOTICE, MOST_NOTICES, Notice, To};
    use crate::sim::world::Id;

    fn notice(text: String) -> Notice {
        Notice {
            gravity: Gravity::Error,
            bot: Some("demo".to_owned()),
            script: None,
            text,
        }
    }

    #[test]
    fn the_last_notices_are_kept_and_cut_to_size() {
        let inspector = Inspector::default();
        for n in 0..=MOST_NOTICES {
            inspector.notice(notice(n.to_string()), Timestamp::UNIX_EPOCH);
        }
        inspector.notice(
            notice("ä".repeat(LONGEST_NOTICE + 1)),
            Timestamp::UNIX_EPOCH,
        );
        let kept = inspector.notices();
        assert_eq!((kept.len(), &kept[0]["text"]), (MOST_NOTICES, &"2".into()));
        let long = kept[MOST_NOTICES - 1]["text"].as_str().expect("text");
        assert_eq!(long.chars().count(), LONGEST_NOTICE + 1);
    }

    #[test]
    fn a_payload_that_is_no_json_is_shown_as_text() {
        let inspector = Inspector::default();
        assert!(!inspector.is_watched());
        let mut lines = inspector.watch();
        for payload in ["{\"id\":9007199254740993}", "{broken"] {
            inspector.event(To::Bot(Id::nil()), "x", payload, Timestamp::UNIX_EPOCH);
        }
        let mut next = || -> Value {
            let line = lines.try_recv().expect("a line");
            serde_json::from_str(&line).expect("JSON")
        };
        assert_eq!(next()["payload"]["id"], 9_007_199_254_740_993_u64);
        assert_eq!(next()["payload"], "{broken");
    }
}
