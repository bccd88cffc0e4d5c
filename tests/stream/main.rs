//! The event stream against a server whose every byte the test decides.

mod catch_up;
mod connection;
mod events;
mod server;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon_host::config::Secret;
use argon_host::inbox::{Inbox, KvOp, Past};
use argon_host::stream::{BoxFuture, Denied, Handle, Host, Settings, State, Timings, spawn};
use bytes::Bytes;
use serde_json::{Map, Value};
use server::{Connection, Server};
use tokio::sync::{mpsc, watch};

const TOKEN: &str = "0123456789abcdef0123456789abcdef:c2VjcmV0LW9mLXRoZS10ZXN0";
const SPACE: &str = "0f8fad5bd9cb469fa16570867728950e";
const US: &str = "11111111-2222-3333-4444-555555555555";
const REACH: Duration = Duration::from_secs(600);
const THEM: &str = "99999999-2222-3333-4444-555555555555";

/// What a test would wait for at most; it never waits so long when all is well.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("did not happen")
}

/// Times short enough to wait for, and a budget that is not in the way.
fn quick() -> Timings {
    let short = Duration::from_millis(20);
    Timings {
        settle: short,
        debounce: short,
        budget_window: short,
        backoff: short,
        backoff_most: short,
        throttled: short,
        quiet: short,
        ..Timings::default()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Got {
    id: String,
    kind: String,
    payload: String,
}

struct Bench {
    server: Server,
    handle: Handle,
    inbox: Arc<Inbox>,
    intents: watch::Sender<u64>,
    host: Arc<TestHost>,
    events: mpsc::Receiver<Got>,
}

impl Bench {
    async fn start() -> Self {
        Self::with(quick()).await
    }

    async fn with(timings: Timings) -> Self {
        Self::after(timings, Inbox::new(), Past::default()).await
    }

    /// One that goes on where another process ended.
    async fn after(timings: Timings, inbox: Arc<Inbox>, past: Past) -> Self {
        let server = Server::start().await;
        let (intents, wanted) = watch::channel(1);
        let host = Arc::new(TestHost::default());
        let settings = Settings {
            base_url: server.url.clone(),
            token: Secret::new(TOKEN),
            user_id: US.into(),
            catch_up: REACH,
            timings,
        };
        let events = subscribe(&inbox).await;
        let handle = spawn(settings, Arc::clone(&inbox), past, wanted, host.clone()).unwrap();
        Self {
            server,
            handle,
            inbox,
            intents,
            host,
            events,
        }
    }

    /// Accepts the next connection, opens it and sees `ready` arrive.
    async fn open(&mut self) -> Connection {
        let mut connection = self.server.accept().await;
        connection.open().await;
        assert_eq!(self.event().await.kind, "ready");
        connection
    }

    /// The next event in the inbox.
    async fn event(&mut self) -> Got {
        soon(self.events.recv()).await.unwrap()
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.event().await.id);
        }
        ids
    }

    /// Waits until a connection, or the attempt to make one, has ended for that reason. The state that says so
    /// may be over before anybody looks.
    async fn ended(&self, reason: &str) {
        soon(async {
            while !self.handle.stats().ended.contains_key(reason) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn state(&self, wanted: impl FnMut(&State) -> bool) -> State {
        let mut state = self.handle.state();
        soon(state.wait_for(wanted)).await.unwrap().clone()
    }
}

/// Keeps the inbox from writing anything until the sender is dropped, as a disk that hangs.
fn stall(inbox: &Inbox) -> std::sync::mpsc::Sender<()> {
    let (stalled, until) = std::sync::mpsc::channel();
    let op = KvOp::Get { key: "x".into() };
    inbox.kv().ask("test".into(), op, None, move |_| {
        let _ = until.recv();
    });
    stalled
}

/// Takes events on a thread, as a script does.
async fn subscribe(inbox: &Arc<Inbox>) -> mpsc::Receiver<Got> {
    let (sender, receiver) = mpsc::channel(4);
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    let inbox = Arc::clone(inbox);
    std::thread::spawn(move || {
        let subscription = inbox.subscribe("test", std::thread::current());
        subscription.want(["*"]);
        ready.send(()).unwrap();
        loop {
            let Some(delivery) = subscription.take() else {
                std::thread::park_timeout(Duration::from_millis(100));
                if sender.is_closed() {
                    return;
                }
                continue;
            };
            let got = Got {
                id: delivery.id.clone(),
                kind: delivery.kind.clone(),
                payload: delivery.payload.clone(),
            };
            delivery.done();
            if sender.blocking_send(got).is_err() {
                return;
            }
        }
    });
    subscribed.await.unwrap();
    receiver
}

#[derive(Default)]
struct TestHost {
    authors: Mutex<HashMap<i64, Option<String>>>,
    never_answers: AtomicBool,
    open: AtomicI64,
    most_open: AtomicI64,
    /// What REST answers.
    rest: catch_up::Rest,
}

impl Host for TestHost {
    fn stream_open(&self, open: bool) {
        let change = if open { 1 } else { -1 };
        let now = self.open.fetch_add(change, Ordering::SeqCst) + change;
        self.most_open.fetch_max(now, Ordering::SeqCst);
    }

    fn ask<'a>(
        &'a self,
        interface: &'static str,
        route: &'static str,
        params: Map<String, Value>,
    ) -> BoxFuture<'a, Result<Bytes, Denied>> {
        Box::pin(async move { self.rest.ask(interface, route, &params) })
    }

    fn author<'a>(
        &'a self,
        channel_id: &'a str,
        message_id: i64,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            assert_eq!(channel_id, "the-channel");
            if self.never_answers.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let authors = self.authors.lock().unwrap();
            authors
                .get(&message_id)
                .cloned()
                .ok_or_else(|| "503".to_owned())
        })
    }
}

fn id(sequence: u64) -> String {
    format!("{SPACE}_{sequence}")
}
