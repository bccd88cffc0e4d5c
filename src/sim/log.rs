//! The log of requests to the Bot API, for the playground and for tests.
//!
//! A ring: at most [`MOST_REQUESTS`] requests and [`MOST_BYTES`] of bodies; the oldest fall out. A token
//! never gets in: what a request carried is searched for the tokens of all bots before it is kept.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Requests that the log keeps.
pub const MOST_REQUESTS: usize = 10_000;
/// Bytes of bodies that the log keeps.
pub const MOST_BYTES: usize = 16 << 20;

/// One request and its answer.
#[derive(Debug, Default)]
pub struct Record {
    /// The bot's name; `None` if the token was refused.
    pub bot: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The query's parameters.
    pub query: Vec<(String, String)>,
    /// The body as it was sent.
    pub body: Bytes,
    /// The answer's HTTP status.
    pub status: u16,
    /// The answer's error code.
    pub error: Option<String>,
    /// The fault that struck, as `answer` or `lose`. A lost answer has the status it would have had.
    pub fault: Option<&'static str>,
    /// When it came.
    pub at: Timestamp,
    /// How long the answer took, milliseconds.
    pub ms: f64,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Log {
    records: VecDeque<(u64, Record)>,
    last: u64,
    bytes: usize,
}

impl Log {
    /// Keeps a request; `tokens` are what must not be kept.
    pub fn push<'a>(&mut self, mut record: Record, tokens: impl Iterator<Item = &'a str>) {
        for token in tokens {
            redact(&mut record, token);
        }
        self.last += 1;
        self.bytes += record.body.len();
        self.records.push_back((self.last, record));
        while self.records.len() > MOST_REQUESTS || self.bytes > MOST_BYTES {
            if let Some((_, oldest)) = self.records.pop_front() {
                self.bytes -= oldest.body.len();
            }
        }
    }

    /// The newest request, as the control API shows it.
    pub fn newest(&self) -> Option<Value> {
        let (number, record) = self.records.back()?;
        Some(show(*number, record))
    }

    /// The requests after number `after`, oldest first, as the control API shows them.
    pub fn after(&self, after: u64) -> Vec<Value> {
        let records = self.records.iter();
        records
            .skip_while(|(number, _)| *number <= after)
            .map(|(number, record)| show(*number, record))
            .collect()
    }
}

fn redact(record: &mut Record, token: &str) {
    const HIDDEN: &str = "[token]";
    let hide = |text: &mut String| {
        if text.contains(token) {
            *text = text.replace(token, HIDDEN);
        }
    };
    hide(&mut record.path);
    for (name, value) in &mut record.query {
        hide(name);
        hide(value);
    }
    // A token is ASCII, so that a lossy reading of the body cannot hide it.
    let body = String::from_utf8_lossy(&record.body);
    if body.contains(token) {
        record.body = body.replace(token, HIDDEN).into();
    }
}

fn show(number: u64, record: &Record) -> Value {
    let query: serde_json::Map<String, Value> = record
        .query
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let body = if record.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&record.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&record.body).into())
    };
    json!({
        "n": number,
        "at": record.at.to_string(),
        "bot": record.bot,
        "method": record.method,
        "path": record.path,
        "query": query,
        "body": body,
        "status": record.status,
        "error": record.error,
        "fault": record.fault,
        "ms": record.ms,
    })
}

#[cfg(test)]
mod tests {
    use super::{Log, MOST_REQUESTS, Record};

    #[test]
    fn no_token_is_kept() {
        let mut log = Log::default();
        let record = Record {
            path: "/x/to:ken/y".to_owned(),
            query: vec![("token".to_owned(), "to:ken".to_owned())],
            body: "{\"text\":\"my to:ken\"}".into(),
            ..Record::default()
        };
        log.push(record, ["to:ken"].into_iter());
        let shown = log.after(0)[0].to_string();
        assert!(!shown.contains("to:ken"), "{shown}");
        assert!(shown.contains("my [token]"), "{shown}");
    }

    #[test]
    fn the_oldest_requests_fall_out() {
        let mut log = Log::default();
        for _ in 0..MOST_REQUESTS + 5 {
            log.push(Record::default(), std::iter::empty());
        }
        let all = log.after(0);
        assert_eq!((all.len(), &all[0]["n"]), (MOST_REQUESTS, &6.into()));
        assert_eq!(log.after(MOST_REQUESTS as u64 + 4).len(), 1);
    }
}
