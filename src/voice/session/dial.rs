//! Opening a voice socket, and reading the server's status messages.
//!
//! The token goes in the `Authorization` header: an address may end up in a log. Nothing is sent before
//! the server has said `ready`. Both dialects of status messages are read: `status` and `type`.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::config::Secret;
use crate::voice::encoder::Settings;
use crate::voice::packet::RATE;

/// How long a socket may take to open, and then to say `ready`.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message that is read; packets are far smaller.
const LARGEST_MESSAGE: usize = 64 << 10;

/// An open voice socket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where a session connects to.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `ingressUrl` or `audioBaseUrl`: only scheme and host count.
    pub base: String,
    /// For two hours.
    pub token: Secret,
}

/// What a socket is for.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// Speaks.
    Connect(Settings),
    /// Hears one participant.
    Subscribe(String),
    /// Both.
    Duplex(Settings, String),
}

/// Why a socket did not open.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The address makes no sense.
    #[error("the server gave an address that cannot be used: {0}")]
    Address(String),
    /// 401 or 403.
    #[error("the voice server refused the token ({0})")]
    Refused(StatusCode),
    /// Another status.
    #[error("the voice server answered {0}")]
    Status(StatusCode),
    /// It said so before it was ready.
    #[error("the voice server says: {0}")]
    Said(String),
    /// No connection, or it was lost.
    #[error("the voice server cannot be reached: {0}")]
    Unreachable(#[source] Box<tungstenite::Error>),
    /// Nothing came.
    #[error("the voice server does not answer")]
    Silent,
}

impl Failure {
    /// Whether another attempt may work.
    pub fn may_pass(&self) -> bool {
        match self {
            // A token may have been taken back: the next one is fresh.
            Failure::Refused(_) | Failure::Said(_) | Failure::Unreachable(_) | Failure::Silent => {
                true
            }
            Failure::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Failure::Address(_) => false,
        }
    }
}

/// A status message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Packets may be sent.
    Ready,
    /// The participant is not there yet.
    Waiting,
    /// The participant is there.
    Subscribed,
    /// The participant has left.
    TargetLeft,
    /// The server closes the connection for this reason.
    Error(String),
    /// Something newer.
    Other(String),
}

impl Status {
    /// Reads a text message; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let word = value
            .get("status")
            .or_else(|| value.get("type"))?
            .as_str()?;
        Some(match word {
            "ready" => Status::Ready,
            "waiting" => Status::Waiting,
            "subscribed" => Status::Subscribed,
            "target_left" => Status::TargetLeft,
            "error" => {
                let message = value.get("message").and_then(|message| message.as_str());
                Status::Error(message.unwrap_or("no reason given").to_owned())
            }
            other => Status::Other(other.to_owned()),
        })
    }
}

/// The socket's address: scheme and host of the base, our path and parameters.
fn address(base: &str, endpoint: &Endpoint) -> Result<Url, Failure> {
    let bad = || Failure::Address(base.to_owned());
    let mut url = Url::parse(base).map_err(|_| bad())?;
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(bad()),
    };
    url.set_scheme(scheme).map_err(|()| bad())?;
    url.set_fragment(None);
    url.set_query(None);
    let (path, speaks, target) = match endpoint {
        Endpoint::Connect(settings) => ("/audio/connect", Some(settings), None),
        Endpoint::Subscribe(target) => ("/audio/subscribe", None, Some(target)),
        Endpoint::Duplex(settings, target) => ("/audio/duplex", Some(settings), Some(target)),
    };
    url.set_path(path);
    let mut query = url.query_pairs_mut();
    if let Some(settings) = speaks {
        let ms = f64::from(settings.frame) * 1000.0 / f64::from(RATE);
        query.append_pair("stereo", if settings.stereo { "true" } else { "false" });
        query.append_pair("channels", if settings.stereo { "2" } else { "1" });
        query.append_pair("frame_duration_ms", &ms.to_string());
        query.append_pair("track_name", "argon-host");
        query.append_pair("track_source", "microphone");
    }
    if let Some(target) = target {
        query.append_pair("target_identity", target);
    }
    drop(query);
    Ok(url)
}

/// Opens a socket. Nothing may be sent before it is [`ready`].
///
/// # Errors
/// Why it does not open.
pub async fn connect(grant: &Grant, endpoint: &Endpoint) -> Result<Socket, Failure> {
    let url = address(&grant.base, endpoint)?;
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|_| Failure::Address(grant.base.clone()))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", grant.token.expose()))
        .map_err(|_| Failure::Address("the token has characters that no header may have".into()))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    // What is read ahead stays small: a connection should cost little memory.
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let opened = connect_async_with_config(request, Some(config), true);
    let opened = tokio::time::timeout(PATIENCE, opened)
        .await
        .map_err(|_| Failure::Silent)?;
    let (socket, _) = opened.map_err(|error| match error {
        tungstenite::Error::Http(response) => match response.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Failure::Refused(status),
            status => Failure::Status(status),
        },
        error => Failure::Unreachable(Box::new(error)),
    })?;
    Ok(socket)
}

/// Waits until the server takes packets.
///
/// # Errors
/// Why it does not.
pub async fn ready(socket: Socket) -> Result<Socket, Failure> {
    tokio::time::timeout(PATIENCE, until_ready(socket))
        .await
        .map_err(|_| Failure::Silent)?
}

async fn until_ready(mut socket: Socket) -> Result<Socket, Failure> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match Status::parse(&text) {
                Some(Status::Ready) => return Ok(socket),
                Some(Status::Error(message)) => return Err(Failure::Said(message)),
                _ => {}
            },
            Some(Ok(Message::Close(_))) | None => {
                let closed = tungstenite::Error::ConnectionClosed;
                return Err(Failure::Unreachable(Box::new(closed)));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Failure::Unreachable(Box::new(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Status, address};
    use crate::voice::encoder::Settings;

    #[test]
    fn both_dialects_are_read() {
        for key in ["status", "type"] {
            let read =
                |word: &str| Status::parse(&format!("{{\"{key}\":\"{word}\",\"message\":\"no\"}}"));
            assert_eq!(read("ready"), Some(Status::Ready));
            assert_eq!(read("target_left"), Some(Status::TargetLeft));
            assert_eq!(read("error"), Some(Status::Error("no".into())));
            assert_eq!(read("new"), Some(Status::Other("new".into())));
        }
        assert_eq!(Status::parse("ready"), None);
        assert_eq!(Status::parse("{}"), None);
    }

    #[test]
    fn only_scheme_and_host_of_the_base_are_kept() {
        let url =
            |base: &str, endpoint: &Endpoint| address(base, endpoint).map(|url| url.to_string());
        let hear = Endpoint::Subscribe("u1".into());
        let expected = "wss://voice.example/audio/subscribe?target_identity=u1";
        for base in [
            "https://voice.example",
            "wss://voice.example/audio/connect?x=1",
            "https://voice.example/a/",
        ] {
            assert_eq!(url(base, &hear).expect("an address"), expected, "{base}");
        }
        let speak = Endpoint::Connect(Settings {
            frame: 120,
            ..Settings::new(true)
        });
        let speak = url("http://localhost:8080", &speak).expect("an address");
        assert!(speak.starts_with(
            "ws://localhost:8080/audio/connect?stereo=true&channels=2&frame_duration_ms=2.5&"
        ));
        assert!(url("ftp://voice.example", &hear).is_err());
        assert!(url("voice", &hear).is_err());
    }
}
