//! What is written down for people and for replays: answers, and recordings of failures.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Event;
use super::batch::milliseconds;
use super::store::{Failure, KvAnswer, Recorded};

/// What stands in place of a field that must not be recorded.
const HIDDEN: &str = "(hidden)";

/// Fields that are left out of recordings: paths with dots, `*` for any name or index.
#[derive(Debug, Clone, Default)]
pub struct Redaction(Vec<Vec<String>>);

impl Redaction {
    /// Leaves out what these paths name, in every event and answer.
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let split = |path: String| path.split('.').map(str::to_owned).collect();
        Self(paths.into_iter().map(split).collect())
    }

    fn apply(&self, value: &mut Value) {
        for path in &self.0 {
            hide(value, path);
        }
    }
}

fn hide(value: &mut Value, path: &[String]) {
    let Some((name, rest)) = path.split_first() else {
        *value = HIDDEN.into();
        return;
    };
    match value {
        Value::Object(members) if name == "*" => {
            members.values_mut().for_each(|member| hide(member, rest));
        }
        Value::Object(members) => {
            if let Some(member) = members.get_mut(name) {
                hide(member, rest);
            }
        }
        // A path goes through every element of a list.
        Value::Array(items) => {
            let path = if name == "*" { rest } else { path };
            items.iter_mut().for_each(|item| hide(item, path));
        }
        _ => {}
    }
}

/// An event whose handlers failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) event: Arc<Event>,
    pub(super) errors: Vec<String>,
    /// What its handlers read and was not written down, as [`Recorded`].
    pub(super) reads: Vec<Recorded>,
}

impl Failed {
    /// The recording: event, calls and errors.
    pub(super) fn recording(
        &self,
        script: &str,
        calls: &[Recorded],
        redaction: &Redaction,
    ) -> Failure {
        let at = milliseconds(SystemTime::now());
        let mut payload = serde_json::from_str(&self.event.payload)
            .unwrap_or_else(|_| Value::from(self.event.payload.as_str()));
        redaction.apply(&mut payload);
        let calls: Vec<Value> = calls
            .iter()
            .chain(&self.reads)
            .map(|call| {
                let answer = call.answer.as_deref().map(|answer| {
                    let mut answer = serde_json::from_slice(answer).unwrap_or(Value::Null);
                    redaction.apply(&mut answer);
                    answer
                });
                json!({
                    "position": call.position,
                    // Not a number in JSON: it has 64 bits.
                    "question": format!("{:016x}", call.question),
                    "answer": answer,
                })
            })
            .collect();
        let mut recording = Map::new();
        recording.insert("type".into(), self.event.kind.as_str().into());
        recording.insert("id".into(), self.event.id.as_str().into());
        recording.insert("script".into(), script.into());
        recording.insert("at".into(), at.into());
        recording.insert("errors".into(), self.errors.clone().into());
        recording.insert("payload".into(), payload);
        recording.insert("calls".into(), calls.into());
        Failure {
            event: self.event.id.clone(),
            script: script.to_owned(),
            at,
            recording: Value::Object(recording).to_string(),
        }
    }
}

/// What came of an operation on the key-value store, as it is recorded and read again.
pub(super) fn of_kv(answer: &KvAnswer) -> Bytes {
    Bytes::from(kv_json(answer))
}

/// As JSON text: `{"value": …}`, `{"existed": …}`, `{"entries": …, "more": …}`, or `{}`.
pub fn kv_json(answer: &KvAnswer) -> String {
    match answer {
        KvAnswer::Value(Some(value), revision) => {
            format!("{{\"value\":{value},\"revision\":{revision}}}")
        }
        KvAnswer::Value(None, _) => "{\"revision\":0}".to_owned(),
        KvAnswer::Written(revision) => format!("{{\"revision\":{revision}}}"),
        KvAnswer::Conflict => "{\"conflict\":true}".to_owned(),
        KvAnswer::Deleted(existed) => format!("{{\"existed\":{existed}}}"),
        KvAnswer::Page(page) => {
            format!("{{\"entries\":{},\"more\":{}}}", page.to_json(), page.more)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_recorded_is_left_out() {
        let redaction = Redaction::new(["message.text", "user.*", "list.name"].map(str::to_owned));
        let mut value = json!({
            "message": {"text": "secret", "id": 1}, "user": {"a": 1, "b": {"c": 2}},
            "list": [{"name": "x", "n": 1}, {"name": "y", "n": 2}], "text": "stays",
        });
        redaction.apply(&mut value);
        assert_eq!(
            value,
            json!({
                "message": {"text": HIDDEN, "id": 1}, "user": {"a": HIDDEN, "b": HIDDEN},
                "list": [{"name": HIDDEN, "n": 1}, {"name": HIDDEN, "n": 2}], "text": "stays",
            })
        );
    }
}
