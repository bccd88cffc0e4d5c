//! The REST client over real sockets, against a small server that says what each test tells it to.

mod again;
mod commands;
mod quota;
mod refusals;
mod server;
mod wire;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use argon_host::config::Secret;
use argon_host::contract::{Route, route};
use argon_host::rest::{Call, Client, Observer, Settings};
use bytes::Bytes;
use serde_json::{Value, json};

const TOKEN: &str = "0123456789abcdef0123456789abcdef:c2VjcmV0LW9mLXRoZS1ib3Q";

/// Short windows, so that nothing waits for long.
const SEGMENT: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Seen {
    succeeded: Mutex<Vec<(String, Bytes)>>,
    unauthorized: AtomicUsize,
}

impl Observer for Seen {
    fn succeeded(&self, route: &'static Route, response: &Bytes) {
        let entry = (route.label(), response.clone());
        self.succeeded.lock().expect("not poisoned").push(entry);
    }
    fn unauthorized(&self) {
        self.unauthorized.fetch_add(1, Ordering::SeqCst);
    }
}

fn client_at(base: &str, observer: Arc<Seen>) -> Client {
    LazyLock::force(&LOGS);
    Client::new(Settings {
        base_url: base.to_owned(),
        token: Secret::new(TOKEN),
        segment: SEGMENT,
        observer,
    })
    .expect("valid settings")
}

fn client(base: &str) -> Client {
    client_at(base, Arc::default())
}

fn call(label: &str, params: Value) -> Call {
    let (interface, name) = label.split_once('/').expect("a label");
    let Value::Object(params) = params else {
        panic!("parameters are an object")
    };
    Call::new(route(interface, name).expect("the contract has it"), params).expect("valid")
}

fn send() -> Call {
    call("IMessages/Send", json!({"channelId": "c", "text": "x"}))
}

/// Waits for something that other tasks bring about; fails rather than hanging.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it happens");
}

/// Everything that this process logs, at trace level.
static LOGS: LazyLock<Logs> = LazyLock::new(|| {
    let logs = Logs::default();
    let writer = logs.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    logs
});

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
