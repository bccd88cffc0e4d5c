//! A client of the voice sockets for tests.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::World;

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// An Opus packet with audio in it: the platform's silence, with a byte to tell packets apart.
pub fn packet(mark: u8) -> Vec<u8> {
    vec![0xf8, 0xff, mark]
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub enum End {
    /// A close frame with that code.
    Closed(u16),
    /// The connection broke without one.
    Cut,
}

pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens `/audio/{path}`; the status if the server refuses.
    pub async fn open(world: &World, path: &str, bearer: Option<&str>) -> Result<Self, u16> {
        let url = format!("ws://{}/audio/{path}", world.server.address());
        Self::at(&url, bearer).await
    }

    /// A person's socket in the control API.
    pub async fn sound(world: &World, query: &str) -> Result<Self, u16> {
        let url = format!("ws://{}/_sim/sound?{query}", world.server.address());
        Self::at(&url, None).await
    }

    async fn at(url: &str, bearer: Option<&str>) -> Result<Self, u16> {
        let mut request = url.into_client_request().expect("an address");
        if let Some(token) = bearer {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert("Authorization", value);
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Opens and waits for `ready`.
    pub async fn ready(world: &World, path: &str) -> Self {
        let socket = Self::open(world, path, None).await;
        let mut socket = socket.unwrap_or_else(|status| panic!("refused: {status}"));
        let ready = socket.says("ready").await;
        assert!(ready["session_id"].is_string(), "{ready}");
        socket
    }

    pub async fn send(&mut self, packet: Vec<u8>) {
        self.0
            .send(Message::Binary(packet.into()))
            .await
            .expect("an open socket");
    }

    /// The next message of any kind; an error is the end.
    pub async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        next.expect("a message in time").and_then(Result::ok)
    }

    /// The next status message, which must be that one. Pings are answered and left out.
    pub async fn says(&mut self, word: &str) -> Value {
        let text = loop {
            match self.message().await {
                Some(Message::Text(text)) => break text,
                Some(Message::Ping(_)) => {}
                other => panic!("{word} was due and not {other:?}"),
            }
        };
        let status: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(status["status"], word, "{status}");
        status
    }

    /// The next packet.
    pub async fn hears(&mut self) -> Vec<u8> {
        match self.message().await {
            Some(Message::Binary(data)) => data.to_vec(),
            other => panic!("a packet was due and not {other:?}"),
        }
    }

    /// Reads to the end; nothing else may come before it.
    pub async fn end(mut self) -> End {
        match self.message().await {
            Some(Message::Close(Some(frame))) => End::Closed(frame.code.into()),
            None => End::Cut,
            other => panic!("the end was due and not {other:?}"),
        }
    }

    /// Closes as a client should.
    pub async fn close(mut self) {
        self.0.close(None).await.expect("an open socket");
        while self.message().await.is_some() {}
    }
}
