//! A server whose every byte the test decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub struct Server {
    pub url: String,
    accepted: mpsc::Receiver<Connection>,
    two_at_once: Arc<AtomicBool>,
}

pub struct Connection {
    head: String,
    writer: OwnedWriteHalf,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, accepted) = mpsc::channel(64);
        let two_at_once = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&two_at_once);
        tokio::spawn(async move {
            let mut earlier: Vec<OwnedReadHalf> = Vec::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if earlier.iter().any(is_open) {
                    seen.store(true, Ordering::SeqCst);
                }
                let (reader, connection) = Connection::read(socket).await;
                earlier.push(reader);
                if sender.send(connection).await.is_err() {
                    return;
                }
            }
        });
        Self {
            url,
            accepted,
            two_at_once,
        }
    }

    /// The next connection, its request read.
    pub async fn accept(&mut self) -> Connection {
        let connection = super::soon(self.accepted.recv()).await.unwrap();
        self.assert_one_at_a_time();
        connection
    }

    /// Whether somebody has connected and was not accepted here.
    pub fn has_another(&mut self) -> bool {
        !self.accepted.is_empty()
    }

    pub fn assert_one_at_a_time(&self) {
        let two = self.two_at_once.load(Ordering::SeqCst);
        assert!(!two, "a connection was opened while another was open");
    }
}

/// Whether the client has not closed it: a closed one reads its end, or an error, at once.
fn is_open(reader: &OwnedReadHalf) -> bool {
    let mut buffer = [0; 16];
    matches!(reader.try_read(&mut buffer), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

impl Connection {
    async fn read(socket: TcpStream) -> (OwnedReadHalf, Self) {
        let (reader, writer) = socket.into_split();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            reader.readable().await.unwrap();
            let mut buffer = [0; 4096];
            match reader.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => head.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        let head = String::from_utf8(head).unwrap();
        (reader, Self { head, writer })
    }

    /// The path and query that were asked for.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target().split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Answers with an event stream that has `ready` in it.
    pub async fn open(&mut self) {
        self.open_silently().await;
        self.event("ready", "ready", r#"{"intents":1,"spaces":[]}"#)
            .await;
    }

    pub async fn open_silently(&mut self) {
        self.raw(OPENING).await;
    }

    /// Answers with an event stream and its first events (kind, id, data), all in one piece.
    pub async fn open_with(&mut self, events: &[(&str, &str, &str)]) {
        let events: String = (events.iter())
            .map(|(kind, id, data)| text_of(kind, id, data))
            .collect();
        self.raw(&[OPENING, &chunk(events.as_bytes())].concat())
            .await;
    }

    pub async fn event(&mut self, kind: &str, id: &str, data: &str) {
        self.send(text_of(kind, id, data).as_bytes()).await;
    }

    /// One chunk of the stream.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.raw(&chunk(bytes)).await;
    }

    /// Like [`Self::send`], to a client that may have had enough.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(&chunk(bytes)).await
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    /// Answers with a status and closes.
    pub async fn refuse(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.raw(
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
                .as_bytes(),
        )
        .await;
    }

    /// Ends the stream properly.
    pub async fn end(mut self) {
        self.raw(b"0\r\n\r\n").await;
    }
}

/// The head of an event stream.
const OPENING: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                         Transfer-Encoding: chunked\r\n\r\n";

fn text_of(kind: &str, id: &str, data: &str) -> String {
    format!("event: {kind}\ndata: {data}\nid: {id}\n\n")
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
