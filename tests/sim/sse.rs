//! A reader of server-sent events for tests: strict, and not the one the host uses.

use std::time::Duration;

use serde_json::Value;

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// One event.
#[derive(Debug, Default)]
pub struct Event {
    pub kind: String,
    pub id: String,
    /// The payload; a text when it is not JSON.
    pub data: Value,
    /// Names of the fields in the order in which they came.
    pub fields: Vec<String>,
}

/// An open stream. Dropping it closes the connection.
pub struct Stream {
    response: reqwest::Response,
    buffer: Vec<u8>,
    read: usize,
}

impl Stream {
    pub fn new(response: reqwest::Response) -> Self {
        Self {
            response,
            buffer: Vec::new(),
            read: 0,
        }
    }

    /// The next event; comments are left out. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        let event = async {
            loop {
                while let Some(event) = self.parse() {
                    if !event.fields.is_empty() {
                        return event;
                    }
                }
                let chunk = self.response.chunk().await.expect("a live stream");
                let chunk = chunk.expect("the stream has ended");
                self.buffer.extend_from_slice(&chunk);
            }
        };
        tokio::time::timeout(PATIENCE, event)
            .await
            .expect("an event in time")
    }

    /// Waits for the end; true if nothing came before it.
    pub async fn end(&mut self) -> bool {
        let rest = async {
            let mut empty = self.buffer[self.read..].is_empty();
            while let Ok(Some(chunk)) = self.response.chunk().await {
                empty &= chunk.starts_with(b":");
            }
            empty
        };
        tokio::time::timeout(PATIENCE, rest)
            .await
            .expect("the end in time")
    }

    fn parse(&mut self) -> Option<Event> {
        let unread = &self.buffer[self.read..];
        let end = unread.windows(2).position(|pair| pair == b"\n\n")?;
        let text = std::str::from_utf8(&unread[..end]).expect("UTF-8");
        let mut event = Event::default();
        for line in text.lines().filter(|line| !line.starts_with(':')) {
            let (name, value) = line.split_once(": ").expect("a field");
            match name {
                "event" => event.kind = value.to_owned(),
                "id" => event.id = value.to_owned(),
                "data" => {
                    event.data = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
                }
                _ => panic!("an unknown field {name}"),
            }
            event.fields.push(name.to_owned());
        }
        self.read += end + 2;
        if self.read > 1 << 16 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        Some(event)
    }
}
