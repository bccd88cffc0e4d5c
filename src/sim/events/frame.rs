//! An event as it goes over the wire.

use bytes::Bytes;

use crate::sim::quirks::Quirks;

/// One SSE event, with its fields in the order of the platform's server or of its documentation. A line break in the payload (only a
/// test's raw payload has one) becomes a second data line.
pub fn frame(quirks: Quirks, kind: &str, payload: &str, id: &str) -> Bytes {
    let mut text = String::with_capacity(kind.len() + payload.len() + id.len() + 24);
    let mut line = |name: &str, value: &str| {
        text.push_str(name);
        text.push_str(value);
        text.push('\n');
    };
    if !quirks.id_comes_last {
        line("id: ", id);
    }
    line("event: ", kind);
    for part in payload.split('\n') {
        line("data: ", part);
    }
    if quirks.id_comes_last {
        line("id: ", id);
    }
    text.push('\n');
    Bytes::from(text)
}
