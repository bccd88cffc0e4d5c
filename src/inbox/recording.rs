//! Recordings: an event, what the handlers of one script asked and were answered, and how they failed.
//!
//! A recording is a JSON object. `argon-host failures` prints them, and `argon-host replay` runs them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Event;
use super::batch::milliseconds;
use super::redaction::Redaction;
use super::store::Recorded;

/// The most of what handlers asked and were answered that is in a recording, in bytes.
const CALL_BYTES: usize = 4 << 20;

/// A recording.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id on the stream.
    pub id: String,
    /// Whose handlers they were.
    pub script: String,
    /// The bot's user id.
    #[serde(default)]
    pub bot: String,
    /// When it was recorded, milliseconds since 1970.
    pub at: u64,
    /// When the event came, milliseconds since 1970.
    #[serde(default)]
    pub received: u64,
    /// Whether the handlers had begun on it before.
    #[serde(default)]
    pub replayed: bool,
    /// Whether something was left out ([`super::Redaction`]).
    #[serde(default)]
    pub hidden: bool,
    /// What nobody caught, as it was logged.
    pub errors: Vec<String>,
    /// The event.
    pub payload: Value,
    /// What its handlers asked.
    pub calls: Vec<CallRecord>,
    /// What else they asked, for which there was no room.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: usize,
    /// What the script's top level asked before.
    #[serde(default)]
    pub load: Vec<CallRecord>,
}

/// Something that was asked, and the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRecord {
    /// Where in the handlers; see `script::position`. Empty for the top level.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub position: String,
    /// `IMessages/Send`, `argon.kv.get`; empty when it is not known any more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// With which arguments.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// A hash of what was asked. Text, because it has 64 bits.
    #[serde(with = "hexadecimal")]
    pub question: u64,
    /// `{"ok": …}` or `{"error": …}`; null when nobody knows it.
    pub answer: Value,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16)
            .map_err(|_| D::Error::custom(format!("{text:?} is no number in hexadecimal")))
    }
}

/// What was asked, in words.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where; empty for the top level.
    pub position: String,
    /// `IMessages/Send`, `argon.kv.get`.
    pub what: String,
    /// The arguments, as JSON text.
    pub args: String,
}

/// How an event's handlers failed.
#[derive(Debug, Default)]
pub struct Failing {
    /// The bot's user id.
    pub bot: String,
    /// What nobody caught.
    pub errors: Vec<String>,
    /// What the handlers read and was not written down.
    pub reads: Vec<Recorded>,
    /// What they asked, in words.
    pub asked: Vec<Asked>,
    /// What the top level asked, and its answers.
    pub load: Vec<(Asked, Recorded)>,
}

/// An event whose handlers failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) event: Arc<Event>,
    pub(super) replayed: bool,
    pub(super) how: Failing,
}

impl Failed {
    /// The recording, with the calls that were written down.
    pub(super) fn recording(
        &self,
        script: &str,
        calls: &[Recorded],
        redaction: &Redaction,
    ) -> Recording {
        let how = &self.how;
        let all = calls.len() + how.reads.len();
        let mut room = CALL_BYTES;
        let fits = |call: &&Recorded| {
            let left = room.checked_sub(call.bytes());
            left.map(|left| room = left).is_some()
        };
        let calls = calls.iter().chain(&how.reads).take_while(fits);
        let calls: Vec<_> = calls
            .map(|call| {
                let asked = |asked: &&Asked| asked.position == call.position;
                CallRecord::new(call, how.asked.iter().find(asked))
            })
            .collect();
        let left_out = all - calls.len();
        let load = (how.load.iter()).map(|(asked, call)| CallRecord::new(call, Some(asked)));
        let mut recording = Recording {
            errors: how.errors.clone(),
            bot: how.bot.clone(),
            replayed: self.replayed,
            load: load.collect(),
            left_out,
            ..Recording::new(&self.event, script, calls)
        };
        recording.hide(redaction);
        recording
    }
}

impl Recording {
    /// Of an event that has not failed.
    pub(super) fn new(event: &Event, script: &str, calls: Vec<CallRecord>) -> Self {
        let age = Instant::now().saturating_duration_since(event.received);
        let now = SystemTime::now();
        Self {
            kind: event.kind.clone(),
            id: event.id.clone(),
            script: script.to_owned(),
            bot: String::new(),
            at: milliseconds(now),
            received: now.checked_sub(age).map_or(0, milliseconds),
            replayed: false,
            hidden: false,
            errors: Vec::new(),
            // What is no JSON is kept as the text that it is.
            payload: serde_json::from_str(&event.payload)
                .unwrap_or_else(|_| Value::from(event.payload.as_str())),
            calls,
            left_out: 0,
            load: Vec::new(),
        }
    }

    pub(super) fn hide(&mut self, redaction: &Redaction) {
        let mut hidden = redaction.apply(&mut self.payload);
        for call in self.calls.iter_mut().chain(&mut self.load) {
            hidden |= redaction.apply(&mut call.args);
            if let Some(answer) = call.answer.get_mut("ok") {
                hidden |= redaction.apply(answer);
                // An event that was waited for.
                if let Some(payload) = answer.get_mut("payload") {
                    hidden |= redaction.apply(payload);
                }
            }
        }
        self.hidden |= hidden;
    }

    /// The event, as it came.
    pub(super) fn event(&self) -> Event {
        let payload = match &self.payload {
            Value::String(text) => text.clone(),
            payload => payload.to_string(),
        };
        Event {
            id: self.id.clone(),
            kind: self.kind.clone(),
            payload,
            received: Instant::now(),
        }
    }
}

impl CallRecord {
    pub(super) fn new(call: &Recorded, asked: Option<&Asked>) -> Self {
        let json = |text: &[u8]| serde_json::from_slice(text).unwrap_or(Value::Null);
        Self {
            position: call.position.clone(),
            what: asked.map_or_else(String::new, |asked| asked.what.clone()),
            args: asked.map_or(Value::Null, |asked| json(asked.args.as_bytes())),
            question: call.question,
            answer: call.answer.as_deref().map_or(Value::Null, json),
        }
    }

    /// The answer as its maker wrote it; none when nobody knows it.
    pub fn answer(&self) -> Option<Bytes> {
        (!self.answer.is_null()).then(|| Bytes::from(self.answer.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recording_comes_back_from_its_text_without_what_must_not_be_in_it() {
        let event = Event {
            id: "a_1".into(),
            kind: "messageCreate".into(),
            payload: r#"{"message":{"text":"secret","messageId":9007199254740993}}"#.into(),
            received: Instant::now(),
        };
        let call = |position: &str, answer: Option<&'static str>| Recorded {
            position: position.into(),
            question: u64::MAX,
            begun: 1,
            answer: answer.map(|text| Bytes::from_static(text.as_bytes())),
        };
        let failed = Failed {
            event: Arc::new(event),
            replayed: false,
            how: Failing {
                bot: "bob".into(),
                errors: vec!["a.luau:1: oh".into()],
                reads: vec![call("x:1", Some(r#"{"ok":{"message":{"text":"secret"}}}"#))],
                asked: vec![Asked {
                    position: "x:0".into(),
                    what: "IMessages/Send".into(),
                    args: r#"{"message":{"text":"secret"},"n":1}"#.into(),
                }],
                load: Vec::new(),
            },
        };
        let large = "x".repeat(CALL_BYTES / 2);
        let large = (0..3).map(|n| Recorded {
            answer: Some(Bytes::from(format!(r#"{{"ok":"{large}"}}"#))),
            ..call(&format!("x:{n}"), None)
        });
        let cut = failed.recording("a", &large.collect::<Vec<_>>(), &Redaction::default());
        assert_eq!(
            (cut.calls.len(), cut.left_out),
            (1, 3),
            "the read is left out, too"
        );
        let redaction = Redaction::new(["message.text".to_owned()]);
        let recording = failed.recording("a", &[call("x:0", None)], &redaction);
        let text = serde_json::to_string(&recording).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let back: Recording = serde_json::from_str(&text).unwrap();
        assert!(back.hidden && back.event().payload.contains("9007199254740993"));
        assert_eq!(
            (back.calls[0].question, back.calls[0].answer()),
            (u64::MAX, None)
        );
        assert_eq!((back.left_out, &*back.calls[0].what), (0, "IMessages/Send"));
        assert_eq!(
            back.calls[0].args,
            json!({"message": {"text": "(hidden)"}, "n": 1})
        );
        assert!(back.calls[1].answer().is_some());
        for wrong in ["{}", "[]", r#"{"question":"x"}"#] {
            assert!(serde_json::from_str::<Recording>(wrong).is_err(), "{wrong}");
        }
    }
}
