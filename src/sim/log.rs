//! The log of requests to the Bot API, for the playground and for tests.
//!
//! A ring: at most [`MOST_REQUESTS`] requests and [`MOST_BYTES`] of bodies and answers; the oldest fall out.
//! A token never gets in: what a request and its answer carried is searched for the tokens of all bots before
//! it is kept.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Requests that the log keeps.
pub const MOST_REQUESTS: usize = 10_000;
/// Bytes of bodies and answers that the log keeps.
pub const MOST_BYTES: usize = 16 << 20;
/// Bytes of one answer that the log keeps; the rest is cut.
const LONGEST_ANSWER: usize = 64 << 10;

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
    /// The answer's body; empty when there is none, and for a stream or an answer that was lost.
    pub answer: Bytes,
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

impl Record {
    fn bytes(&self) -> usize {
        self.body.len() + self.answer.len()
    }
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
        cut(&mut record.answer);
        for token in tokens {
            redact(&mut record, token);
        }
        self.last += 1;
        self.bytes += record.bytes();
        self.records.push_back((self.last, record));
        while self.records.len() > MOST_REQUESTS || self.bytes > MOST_BYTES {
            if let Some((_, oldest)) = self.records.pop_front() {
                self.bytes -= oldest.bytes();
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
    for body in [&mut record.body, &mut record.answer] {
        // A token is ASCII, so that a lossy reading of the body cannot hide it.
        let text = String::from_utf8_lossy(body);
        if text.contains(token) {
            *body = text.replace(token, HIDDEN).into();
        }
    }
}

/// Cuts an answer that is too long.
fn cut(answer: &mut Bytes) {
    if answer.len() > LONGEST_ANSWER {
        let kept = String::from_utf8_lossy(&answer[..LONGEST_ANSWER]);
        *answer = format!("{}…", kept.trim_end_matches('\u{fffd}')).into();
    }
}

/// A body for people: JSON, or text if it is none.
fn show_body(body: &Bytes) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

fn show(number: u64, record: &Record) -> Value {
    let query: serde_json::Map<String, Value> = record
        .query
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({
        "n": number,
        "at": record.at.to_string(),
        "bot": record.bot,
        "method": record.method,
        "path": record.path,
        "query": query,
        "body": show_body(&record.body),
        "answer": show_body(&record.answer),
        "status": record.status,
        "error": record.error,
        "fault": record.fault,
        "ms": record.ms,
    })
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_ANSWER, Log, MOST_BYTES, MOST_REQUESTS, Record};

    #[test]
    fn no_token_is_kept() {
        let mut log = Log::default();
        let record = Record {
            path: "/x/to:ken/y".to_owned(),
            query: vec![("token".to_owned(), "to:ken".to_owned())],
            body: "{\"text\":\"my to:ken\"}".into(),
            answer: "{\"text\":\"your to:ken\"}".into(),
            ..Record::default()
        };
        log.push(record, ["to:ken"].into_iter());
        let shown = log.after(0)[0].to_string();
        assert!(!shown.contains("to:ken"), "{shown}");
        assert!(shown.contains("my [token]"), "{shown}");
        assert!(shown.contains("your [token]"), "{shown}");
    }

    #[test]
    fn long_answers_are_cut_and_count_as_bytes() {
        let mut log = Log::default();
        for _ in 0..=MOST_BYTES / LONGEST_ANSWER {
            let record = Record {
                answer: "ä".repeat(LONGEST_ANSWER).into(),
                ..Record::default()
            };
            log.push(record, std::iter::empty());
        }
        let all = log.after(0);
        // The mark of the cut has three bytes.
        assert_eq!(all.len(), MOST_BYTES / (LONGEST_ANSWER + 3));
        let answer = all[0]["answer"].as_str().expect("text");
        assert_eq!(answer.len(), LONGEST_ANSWER + 3);
        assert!(answer.ends_with("ä…"));
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
