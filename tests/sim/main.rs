//! The embedded server over real sockets.

mod api;
mod calls;
mod control;
mod documented;
mod entitlements;
mod faults;
mod inspect;
mod limits;
mod saved;
mod shapes;
mod socket;
mod sse;
mod stream;
mod voice;

use argon_host::config::Dialect;
use argon_host::sim::{Bot, Quirks, Server, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sse::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ALL: u64 = 16383;

/// The dialect of this test binary.
fn settings() -> Settings {
    let dialect = match env!("CARGO_CRATE_NAME") {
        "documented" => Dialect::Documented,
        _ => Dialect::Server,
    };
    Settings {
        quirks: Quirks::of(dialect),
        ..Settings::default()
    }
}

/// A server with one verified bot, and a client.
struct World {
    server: Server,
    bot: Bot,
    http: reqwest::Client,
}

impl World {
    async fn start() -> Self {
        Self::with(settings()).await
    }

    /// A server that does what the real one does, whichever dialect this test binary is for.
    async fn quirky() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let server = Server::start(settings).await.expect("a free port");
        let bot = server.add_bot("demo", true);
        let http = reqwest::Client::new();
        Self { server, bot, http }
    }

    fn request(&self, bot: &Bot, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.server.base_url());
        let token = format!("Bot {}", bot.token.expose());
        self.http
            .request(method, url)
            .header("Authorization", token)
    }

    /// The status and the JSON of a request; null for an empty body.
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(&self.bot, method, path);
        answer(with_body(request, body)).await
    }

    async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, body) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn control(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_sim/{path}", self.server.base_url());
        let request = match body.is_null() {
            true => self.http.get(url),
            false => self.http.post(url),
        };
        answer(with_body(request, body)).await
    }

    async fn sim(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.control(path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn space(&self) -> Value {
        self.sim("state", Value::Null).await["spaces"][0].clone()
    }

    async fn channel(&self, name: &str) -> String {
        find(&self.space().await["channels"], "name", name, "channelId")
    }

    async fn person(&self, name: &str) -> String {
        find(
            &self.space().await["members"],
            "displayName",
            name,
            "userId",
        )
    }

    async fn stream(&self, intents: u64) -> Stream {
        let path = format!("/IEvents/v1/Stream?intents={intents}");
        let response = self.request(&self.bot, "GET", &path).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let mut stream = Stream::new(response);
        assert_eq!(stream.next().await.kind, "ready");
        stream
    }

    async fn say(&self, text: &str) -> String {
        let (channel, user) = (self.channel("general").await, self.person("Ada").await);
        let body = json!({"userId": user, "channelId": channel, "text": text});
        let answer = self.sim("message", body).await;
        answer["messageId"].as_str().expect("a text").to_owned()
    }
}

fn with_body(request: reqwest::RequestBuilder, body: Value) -> reqwest::RequestBuilder {
    match body.is_null() {
        true => request,
        false => request
            .header("Content-Type", "application/json")
            .body(body.to_string()),
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let body = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).expect("JSON"),
    };
    (status, body)
}

fn find(list: &Value, key: &str, value: &str, wanted: &str) -> String {
    let mut items = list.as_array().expect("a list").iter();
    let item = items.find(|item| item[key] == value);
    let found = item.and_then(|item| item[wanted].as_str());
    found
        .unwrap_or_else(|| panic!("no {value} in {list}"))
        .to_owned()
}

/// A request whose body never ends: it holds one of the ten places.
async fn hold_a_place(world: &World) -> TcpStream {
    let before = world.server.address();
    let mut socket = TcpStream::connect(before).await.expect("a connection");
    // `Expect` makes the server ask for the body, which it does only when the request has its place.
    let head = format!(
        "POST /IMessages/v1/Send HTTP/1.1\r\nHost: {before}\r\nAuthorization: Bot {}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        world.bot.token.expose()
    );
    socket.write_all(head.as_bytes()).await.expect("open");
    let mut line = [0; 25];
    socket.read_exact(&mut line).await.expect("an answer");
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket
}

/// Asks until there is a place again. Each round is an answer of the server, not a sleep.
async fn until_admitted(world: &World) {
    for _ in 0..10_000 {
        if world.call("GET", "/ICommands/v1/List", Value::Null).await.0 == 200 {
            return;
        }
    }
    panic!("the place of the old stream never came back");
}

/// Asks until the server has seen the end of every request and stream of that bot.
async fn until_closed(world: &World, bot: &Bot) {
    for _ in 0..10_000 {
        let limits = world.sim("limits", Value::Null).await;
        let mut bots = limits["bots"].as_array().expect("a list").iter();
        let bot = bots.find(|one| one["bot"] == bot.username).expect("there");
        if bot["running"] == 0 {
            return;
        }
    }
    panic!("the end of a stream was never seen");
}

async fn page_events(world: &World) -> Stream {
    let url = format!("{}/_sim/events", world.server.base_url());
    let response = world.http.get(url).send().await.expect("an answer");
    Stream::new(response)
}
