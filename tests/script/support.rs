//! A bot without a stream: a server that records calls, an inbox fed by hand, and the log as the ear.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon_host::config::{Permissions, Secret};
use argon_host::contract::Route;
use argon_host::inbox::{Event, Inbox, Place, Progress};
use argon_host::rest;
use argon_host::script::{Host, Identity, ScriptSettings, Settings};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How long a test waits for something before it fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests that the server answers at once.
const PERMITS: u32 = 1000;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    #[allow(dead_code, reason = "only the Luau tests look at it")]
    pub query: String,
    pub body: Value,
}

type Answer = dyn Fn(&Call) -> Response + Send + Sync;

/// The server: records every call and answers it.
#[derive(Clone)]
pub struct Server {
    calls: Arc<Mutex<Vec<Call>>>,
    gate: Arc<Semaphore>,
    answer: Arc<Answer>,
}

impl Server {
    /// Lets no answer out until the guard is dropped.
    pub fn hold(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.gate)
            .try_acquire_many_owned(PERMITS)
            .expect("nothing is being answered")
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn count(&self) -> usize {
        self.calls().len()
    }
}

pub fn answer_json(status: u16, body: Value) -> Response {
    let status = axum::http::StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(body)).into_response()
}

/// Answers that make sense for every route the tests use.
pub fn usual(call: &Call) -> Response {
    answer_json(
        200,
        match call.path.as_str() {
            "/IMessages/v1/Send" | "/IInteractions/v1/Reply" => {
                json!({"messageId": 9007199254740993i64})
            }
            "/IInteractions/v1/Modal" => json!({"modalInteractionId": "modal-1"}),
            _ => json!({}),
        },
    )
}

async fn serve(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20)
        .await
        .unwrap_or_default();
    let call = Call {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    server
        .calls
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(call.clone());
    let _permit = server.gate.acquire().await;
    (server.answer)(&call)
}

struct Deaf;

impl rest::Observer for Deaf {
    fn succeeded(&self, _: &'static Route, _: &Bytes) {}
    fn unauthorized(&self) {}
}

/// Waits until there is something that other threads bring about, and tell nobody of; panics with what
/// there is else.
pub async fn until<T>(there: impl Fn() -> Option<T>, else_there_is: impl Fn() -> String) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < end, "{}", else_there_is());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub struct Bot {
    dir: tempfile::TempDir,
    host: Option<Host>,
    pub inbox: Arc<Inbox>,
    pub server: Server,
    pub client: rest::Client,
    pub log: &'static Log,
    next_id: std::sync::atomic::AtomicU64,
}

impl Bot {
    pub async fn start(files: &[(&str, &str)]) -> Self {
        Self::start_with(files, usual).await
    }

    pub async fn start_with(
        files: &[(&str, &str)],
        answer: impl Fn(&Call) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::build(
            files,
            Arc::new(answer),
            ScriptSettings::default(),
            Duration::from_secs(10),
        )
        .await
    }

    /// With these permissions for every script.
    pub async fn start_permitted(files: &[(&str, &str)], allow: &[&str], deny: &[&str]) -> Self {
        let owned = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
        let settings = ScriptSettings {
            permissions: Permissions {
                allow: owned(allow),
                deny: owned(deny),
            },
            ..ScriptSettings::default()
        };
        Self::build(files, Arc::new(usual), settings, Duration::from_secs(10)).await
    }

    /// With these hosts for every script.
    pub async fn start_reaching(files: &[(&str, &str)], hosts: &[String]) -> Self {
        let settings = ScriptSettings {
            http: hosts
                .iter()
                .map(|host| host.parse().expect("a host"))
                .collect(),
            ..ScriptSettings::default()
        };
        Self::build(files, Arc::new(usual), settings, Duration::from_secs(10)).await
    }

    pub async fn start_limited(files: &[(&str, &str)], handlers: usize) -> Self {
        let settings = ScriptSettings {
            handlers,
            ..ScriptSettings::default()
        };
        Self::start_set(files, settings).await
    }

    /// With these settings for every script; the load time is the tests'.
    pub async fn start_set(files: &[(&str, &str)], settings: ScriptSettings) -> Self {
        Self::build(files, Arc::new(usual), settings, Duration::from_secs(10)).await
    }

    /// With this answer to every call, for handlers that compute much.
    pub async fn start_busy(
        files: &[(&str, &str)],
        answer: impl Fn(&Call) -> Response + Send + Sync + 'static,
    ) -> Self {
        let settings = ScriptSettings {
            cpu_per_event: Duration::from_secs(600),
            ..ScriptSettings::default()
        };
        Self::build(files, Arc::new(answer), settings, Duration::from_secs(10)).await
    }

    /// For a top level that computes much: an unoptimised build on a busy machine takes its time.
    pub async fn start_heavy(files: &[(&str, &str)]) -> Self {
        let settings = ScriptSettings::default();
        Self::build(files, Arc::new(usual), settings, Duration::from_secs(120)).await
    }

    pub async fn start_slow(files: &[(&str, &str)]) -> Self {
        let settings = ScriptSettings::default();
        Self::build(files, Arc::new(usual), settings, Duration::from_millis(50)).await
    }

    async fn build(
        files: &[(&str, &str)],
        answer: Arc<Answer>,
        default: ScriptSettings,
        load_time: Duration,
    ) -> Self {
        let log = &*LOG;
        let dir = tempfile::tempdir().expect("a directory");
        for (name, source) in files {
            write(dir.path(), name, source);
        }
        let server = Server {
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(PERMITS as usize)),
            answer,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = rest::Client::new(rest::Settings {
            base_url: format!("http://{address}"),
            token: Secret::new("00000000000000000000000000000000:secret"),
            segment: Duration::from_millis(10),
            observer: Arc::new(Deaf),
        })
        .expect("a client");
        let inbox = Inbox::new();
        let settings = Settings {
            default: ScriptSettings {
                config: json!({"list": ["one", "two"]}),
                load_time,
                ..default
            },
            ..Settings::of_folder(dir.path())
        };
        let runtime = tokio::runtime::Handle::current();
        let host = Host::load(settings, client.clone(), Arc::clone(&inbox), runtime)
            .await
            .expect("a folder");
        host.open(Identity {
            user_id: "bot-id".into(),
            username: "testbot".into(),
        });
        Self {
            dir,
            host: Some(host),
            inbox,
            server,
            client,
            log,
            next_id: 1.into(),
        }
    }

    /// Replaces a script by this text; answers when the new version has its turn.
    pub async fn replace(&self, script: &str, source: &str) {
        write(self.dir.path(), &format!("{script}.luau"), source);
        self.host().reload(Some(script)).await.expect("a reload");
    }

    /// Renames the file of a script, and so the script.
    pub async fn rename(&self, from: &str, to: &str) {
        let file = |script: &str| self.dir.path().join(format!("{script}.luau"));
        std::fs::rename(file(from), file(to)).expect("a file");
        self.host().reload(None).await.expect("a reload");
    }

    pub fn host(&self) -> &Host {
        self.host.as_ref().expect("not stopped")
    }

    pub fn take_host(&mut self) -> Host {
        self.host.take().expect("not stopped")
    }

    /// An event of the stream; ids count from 1.
    pub async fn event(&self, kind: &str, payload: Value) {
        self.raw_event(kind, &payload.to_string()).await;
    }

    pub async fn raw_event(&self, kind: &str, payload: &str) {
        let id = self
            .next_id
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.inbox
            .append(
                Event {
                    id: id.to_string(),
                    kind: kind.to_owned(),
                    payload: payload.to_owned(),
                    received: Instant::now(),
                },
                Place::Id,
            )
            .await;
    }

    /// The stream has been opened.
    #[allow(dead_code, reason = "only the tests of scripts need it")]
    pub async fn ready(&self) {
        let event = Event {
            id: String::new(),
            kind: "ready".to_owned(),
            payload: "{}".to_owned(),
            received: Instant::now(),
        };
        self.inbox.append(event, Place::Connection).await;
    }

    /// Waits until the script has said exactly this.
    pub async fn said(&self, script: &str, lines: &[&str]) {
        self.log.wait(script, lines.len()).await;
        assert_eq!(self.log.of(script), lines);
    }

    /// Waits until so many deliveries are done.
    pub async fn done(&self, count: u64) {
        self.progress(|progress| progress.done >= count).await;
    }

    /// Waits until so many deliveries were given up.
    pub async fn abandoned(&self, count: u64) {
        self.progress(|progress| progress.abandoned >= count).await;
    }

    async fn progress(&self, enough: impl Fn(&Progress) -> bool) {
        let progress = || Some(self.inbox.progress()).filter(&enough);
        until(progress, || format!("{:?}", self.inbox.progress())).await;
    }
}

fn write(dir: &Path, name: &str, source: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, source).expect("a file");
}

/// The payload of a message by somebody else.
pub fn message(text: &str) -> Value {
    json!({
        "channelId": "c1",
        "spaceId": "s1",
        "message": {
            "messageId": 1234567890123456789i64, "channelId": "c1", "spaceId": "s1", "text": text,
            "timeSent": "2026-01-01T00:00:00Z", "controls": null,
            "sender": {"userId": "ann", "username": "ann", "displayName": "Ann", "flags": 0}
        }
    })
}

/// A line of the log.
#[derive(Debug, Clone, Default)]
pub struct Line {
    pub script: String,
    pub level: String,
    pub message: String,
    pub event: String,
    pub event_id: String,
    pub fields: String,
}

/// What all scripts of this process have said. Tests use script names of their own.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<Line>>,
    grown: Notify,
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let subscriber = tracing_subscriber::registry().with(Ear);
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    Log::default()
});

impl Log {
    pub fn of(&self, script: &str) -> Vec<String> {
        self.all(script)
            .into_iter()
            .map(|line| line.message)
            .collect()
    }

    pub fn line(&self, script: &str, index: usize) -> Line {
        self.all(script).swap_remove(index)
    }

    pub fn all(&self, script: &str) -> Vec<Line> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter(|line| line.script == script)
            .cloned()
            .collect()
    }

    /// Waits until a script has said so many lines.
    pub async fn wait(&self, script: &str, count: usize) {
        let enough = async {
            loop {
                let grown = self.grown.notified();
                tokio::pin!(grown);
                grown.as_mut().enable();
                if self.all(script).len() >= count {
                    return;
                }
                grown.await;
            }
        };
        if tokio::time::timeout(PATIENCE, enough).await.is_err() {
            panic!("{script} has said only {:#?}", self.of(script));
        }
    }
}

struct Ear;

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "script" {
            return;
        }
        let mut line = Line {
            level: event.metadata().level().to_string(),
            ..Line::default()
        };
        event.record(&mut line);
        let mut lines = LOG.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        drop(lines);
        LOG.grown.notify_waiters();
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "script" => self.script = value,
            "message" => self.message = value,
            "event" => self.event = value,
            "event_id" => self.event_id = value,
            "fields" => self.fields = value,
            _ => {}
        }
    }
}
