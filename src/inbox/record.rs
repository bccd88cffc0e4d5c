//! What came of an operation on the key-value store, in the words in which it is written down.

use bytes::Bytes;

use super::store::{KvAnswer, KvOp};

/// What came of an operation on the key-value store, as an answer that is written down: of an update
/// with the value that was written, because nobody else knows it then.
pub(super) fn of_kv(op: &KvOp, answer: &KvAnswer) -> Bytes {
    let answer = match (op, answer) {
        (
            KvOp::Set {
                value,
                revision: Some(_),
                ..
            },
            KvAnswer::Written(revision),
        ) => kv_json(&KvAnswer::Value(Some(value.clone()), *revision)),
        _ => kv_json(answer),
    };
    Bytes::from(format!("{{\"ok\":{answer}}}"))
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
