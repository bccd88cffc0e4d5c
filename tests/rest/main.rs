//! The REST client over real sockets, against a small server that says what each test tells it to.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use argon_host::config::Secret;
use argon_host::contract::{ROUTES, Retry, Route, Type, route};
use argon_host::rest::{Call, Client, Error, Observer, Settings};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

mod server;

use server::{Reply, Server, error, ok};

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

/// A valid value for a parameter, and what has to arrive for it.
fn sample(ty: &Type, name: &str) -> (Value, Value) {
    match ty {
        Type::Guid => (json!("a b/ä"), json!("a b/ä")),
        Type::String | Type::Time if name == "name" => (json!("Name"), json!("name")),
        Type::String | Type::Time => (json!("x & y"), json!("x & y")),
        Type::Id64 => (json!("9007199254740993"), json!(9_007_199_254_740_993_i64)),
        Type::Bool => (json!(true), json!(true)),
        Type::Enum(known) => (json!(known.values[1].1), json!(known.values[1].0)),
        Type::Flags(known) => (json!([known.values[0].1]), json!(known.values[0].0)),
        Type::Choice(words) => (json!(words[0].to_uppercase()), json!(words[0])),
        Type::Int32 | Type::Uint32 | Type::Int64 => (json!(7.0), json!(7)),
        Type::Float => (json!(0.5), json!(0.5)),
        Type::List(Type::Id64) => (json!(["1", 2]), json!([1, 2])),
        Type::List(_) => (json!([]), json!([])),
        Type::Object(_) => (
            json!({"customId": "m", "title": "t", "components":
                [{"type": "checkbox", "customId": "c", "label": "l"}]}),
            json!({"customId": "m", "title": "t", "components":
                [{"type": 5, "customId": "c", "label": "l"}]}),
        ),
        Type::Any | Type::Map(_) | Type::Union(_) => (json!({}), json!({})),
    }
}

#[tokio::test]
async fn every_route_reaches_the_wire_where_the_contract_says() {
    let server = Server::start(|_, _| ok("{}")).await;
    let client = client(&server.base);
    for route in ROUTES
        .iter()
        .filter(|route| route.interface.name != "IEvents")
    {
        let mut given = Map::new();
        let mut expected = HashMap::new();
        for field in route.params() {
            let (value, mut arrives) = sample(&field.ty, field.name);
            // Only command names are stored in lower case.
            if field.name == "name" && route.interface.name != "ICommands" {
                arrives = value.clone();
            }
            given.insert(field.name.to_owned(), value);
            expected.insert(field.name, arrives);
        }
        client
            .call(Call::new(route, given).expect("valid"))
            .await
            .expect("answered");
        let request = server.seen().pop().expect("it arrived");
        let label = route.label();
        assert_eq!(request.method, route.method.as_str(), "{label}");
        assert_eq!(request.path(), route.path(), "{label}");
        assert_eq!(request.headers["authorization"], format!("Bot {TOKEN}"));
        assert_eq!(
            request.headers["user-agent"],
            concat!("argon-host/", env!("CARGO_PKG_VERSION"))
        );
        let query = request.query();
        assert_eq!(query.len(), route.query.len(), "{label}");
        for field in route.query {
            let wanted = match &expected[field.name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(query[field.name], wanted, "{label}");
        }
        match route.body {
            Some(shape) => {
                assert_eq!(
                    request.headers["content-type"], "application/json",
                    "{label}"
                );
                let body: Value = serde_json::from_str(&request.body).expect("JSON");
                let wanted: Map<String, Value> = shape
                    .fields
                    .iter()
                    .map(|field| (field.name.to_owned(), expected[field.name].clone()))
                    .collect();
                assert_eq!(body, Value::Object(wanted), "{label}");
            }
            None => {
                assert_eq!(request.body, "", "{label}");
                if request.method == "POST" {
                    assert_eq!(request.headers["content-length"], "0", "{label}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_base_with_a_path_is_kept_and_connections_are_reused() {
    let server = Server::start(|_, _| ok("{}")).await;
    let client = client(&format!("{}/api/bot/", server.base));
    for _ in 0..3 {
        client
            .call(call("IBotSelf/GetMe", json!({})))
            .await
            .expect("answered");
    }
    for request in server.seen() {
        assert_eq!(request.target, "/api/bot/IBotSelf/v1/GetMe");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn sixty_four_bit_ids_are_exact_both_ways() {
    let answer = r#"{"messageId":9223372036854775807}"#;
    let server = Server::start(move |_, _| ok(answer)).await;
    let observer = Arc::new(Seen::default());
    let client = client_at(&server.base, Arc::clone(&observer));
    let body = client
        .call(call(
            "IMessages/Send",
            json!({"channelId": "c", "text": "x", "replyTo": i64::MAX, "randomId": i64::MIN.to_string()}),
        ))
        .await
        .expect("answered");
    assert_eq!(&body[..], answer.as_bytes());
    let request = &server.seen()[0].body;
    assert!(
        request.contains("\"replyTo\":9223372036854775807"),
        "{request}"
    );
    assert!(
        request.contains("\"randomId\":-9223372036854775808"),
        "{request}"
    );
    let seen = observer.succeeded.lock().expect("not poisoned").clone();
    assert_eq!(seen, [("IMessages/Send".to_owned(), body)]);
}

/// What a call does when the server first fails in one way and then answers.
async fn after(first: fn() -> Reply, label: &str, params: Value) -> (usize, Result<Bytes, Error>) {
    let server = Server::start(move |number, _| if number == 0 { first() } else { ok("{}") }).await;
    let result = client(&server.base).call(call(label, params)).await;
    (server.seen().len(), result)
}

#[tokio::test]
async fn only_what_is_safe_is_sent_again() {
    let idempotent = ("ISpaces/Get", json!({"spaceId": "s"}));
    let random_id = ("IMessages/Send", json!({"channelId": "c", "text": "x"}));
    let settles = (
        "IReactions/Add",
        json!({"channelId": "c", "messageId": 1, "emoji": "e"}),
    );
    let never = (
        "IMembers/Kick",
        json!({"spaceId": "s", "channelId": "c", "userId": "u"}),
    );
    type Case = (fn() -> Reply, &'static str, bool, bool);
    // What happens first; whether routes that may be repeated are, and those that may not.
    let cases: [Case; 8] = [
        (|| Reply::Close, "lost_response", true, false),
        (|| error(502, "x"), "x", true, false),
        (
            || Reply::Http(503, "", String::new()),
            "http_503",
            true,
            false,
        ),
        (|| error(504, "x"), "x", true, false),
        (
            || Reply::Http(429, "retry-after: 0\r\n", String::new()),
            "",
            true,
            true,
        ),
        (
            || Reply::Http(500, "", String::new()),
            "internal_error",
            false,
            false,
        ),
        (|| error(403, "not_a_member"), "not_a_member", false, false),
        (|| error(404, "not_found"), "not_found", false, false),
    ];
    for (first, code, repeatable, always) in cases {
        for (label, params) in [&idempotent, &random_id, &settles, &never] {
            let (interface, name) = label.split_once('/').expect("a label");
            let kind = route(interface, name).expect("the contract has it").retry;
            let again = always || (repeatable && kind != Retry::Never);
            let (count, result) = after(first, label, params.clone()).await;
            assert_eq!(count, if again { 2 } else { 1 }, "{label} after {code}");
            match result {
                Ok(_) => assert!(again, "{label} after {code}"),
                Err(error) => assert_eq!(error.code, code, "{label}"),
            }
        }
    }
}

#[tokio::test]
async fn a_repeated_send_carries_the_same_random_id() {
    let server = Server::start(|number, _| if number < 2 { Reply::Close } else { ok("{}") }).await;
    client(&server.base)
        .call(send())
        .await
        .expect("the third try");
    let ids: Vec<Value> = server
        .seen()
        .iter()
        .map(|request| {
            serde_json::from_str::<Value>(&request.body).expect("JSON")["randomId"].clone()
        })
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0].as_i64().is_some_and(|id| id != 0));
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_the_success_it_proves() {
    for (label, status, code) in [
        ("IReactions/Add", 409, "already_reacted"),
        ("IReactions/Remove", 404, "reaction_not_found"),
    ] {
        let params = json!({"channelId": "c", "messageId": 1, "emoji": "e"});
        let server = Server::start(move |number, _| {
            if number == 0 {
                Reply::Close
            } else {
                error(status, code)
            }
        })
        .await;
        let body = client(&server.base)
            .call(call(label, params.clone()))
            .await
            .expect("settled");
        assert_eq!(&body[..], b"{}", "{label}");
        // The same refusal on the first try is one.
        let server = Server::start(move |_, _| error(status, code)).await;
        let refusal = client(&server.base).call(call(label, params)).await;
        assert_eq!(refusal.expect_err("refused").code, code);
    }
}

#[tokio::test]
async fn retries_are_bounded() {
    let server = Server::start(|_, _| Reply::Http(503, "", String::new())).await;
    let result = client(&server.base).call(send()).await;
    assert_eq!(result.expect_err("never answered").status, 503);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_lost_answer_says_that_the_call_may_have_taken_effect() {
    let server = Server::start(|_, _| Reply::Close).await;
    let params = json!({"spaceId": "s", "channelId": "c", "userId": "u"});
    let error = client(&server.base)
        .call(call("IMembers/Kick", params))
        .await
        .expect_err("lost");
    assert_eq!((error.status, error.code.as_str()), (0, "lost_response"));
    assert!(error.may_have_taken_effect());
    assert!(
        error.to_string().contains("may have taken effect"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = client(&base).call(send()).await.expect_err("nobody there");
    assert_eq!(error.code, "unreachable");
    assert!(!error.may_have_taken_effect());
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_refused_token_stops_everything() {
    let server = Server::start(|_, _| Reply::Http(401, "", String::new())).await;
    let observer = Arc::new(Seen::default());
    let client = client_at(&server.base, Arc::clone(&observer));
    let error = client.call(send()).await.expect_err("refused");
    assert!(error.is_unauthorized());
    assert_eq!((error.status, error.code.as_str()), (401, "unauthorized"));
    assert!(
        client
            .call(send())
            .await
            .expect_err("stopped")
            .is_unauthorized()
    );
    assert_eq!(server.seen().len(), 1);
    assert_eq!(observer.unauthorized.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_bare_500_explains_itself() {
    let server = Server::start(|_, _| Reply::Http(500, "", String::new())).await;
    let error = client(&server.base).call(send()).await.expect_err("failed");
    let text = error.to_string();
    assert!(
        text.starts_with("IMessages/Send: 500 internal_error: "),
        "{text}"
    );
    assert!(
        text.contains("slow mode") && text.contains("unknown channel"),
        "{text}"
    );
}

#[tokio::test]
async fn a_redirect_is_refused_and_takes_the_token_nowhere() {
    for status in [301, 307, 308] {
        // The server's own other route: what follows at all would be seen there.
        let header = "location: /IMessages/v1/History\r\n";
        let server = Server::start(move |_, _| Reply::Http(status, header, String::new())).await;
        let error = client(&server.base)
            .call(send())
            .await
            .expect_err("refused");
        assert_eq!(error.status, status);
        assert!(error.to_string().contains("base address"), "{error}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_absurd_retry_after_does_not_close_an_interface_for_good() {
    let server =
        Server::start(|_, _| Reply::Http(429, "retry-after: 4294967295\r\n", String::new())).await;
    let error = client(&server.base)
        .call(send())
        .await
        .expect_err("limited");
    assert!(error.is_rate_limited());
    assert!(
        error.retry_after.is_some_and(|pause| pause <= 3600.0),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_limit_that_does_not_end_fails_with_retry_after() {
    let server = Server::start(|_, _| {
        let body = r#"{"error":"rate_limited","retry_after":1,"message":"slow down"}"#;
        Reply::Http(429, "retry-after: 0\r\n", body.to_owned())
    })
    .await;
    let client = client(&server.base);
    let began = Instant::now();
    let error = client
        .call(send().deadline(Duration::from_millis(300)))
        .await
        .expect_err("limited");
    assert!(error.is_rate_limited());
    assert_eq!(error.status, 429);
    assert!(error.retry_after.is_some_and(|pause| pause > 0.0));
    assert!(began.elapsed() < Duration::from_secs(5));
    let requests = server.seen().len();
    // 10, 20, 40, 80 and 100 ms between them.
    assert!((3..=7).contains(&requests), "{requests}");
    assert_eq!(client.stats().refused, requests as u64);
}

#[tokio::test]
async fn nine_requests_run_beside_the_stream_and_a_dropped_one_makes_room() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::start(move |_, _| Reply::Wait(Arc::clone(&held))).await;
    let client = client(&server.base);
    client.make_room_for_stream().await;
    let mut calls = Vec::new();
    for _ in 0..12 {
        let client = client.clone();
        calls.push(tokio::spawn(async move { client.call(send()).await }));
    }
    until(|| server.seen().len() == 9).await;
    let stats = client.stats();
    assert_eq!((stats.in_flight, stats.concurrency), (9, 9));
    let messages = |client: &Client| {
        let stats = client.stats();
        let found = stats.interfaces.iter().find(|at| at.name == "IMessages");
        found.expect("there is one").clone()
    };
    assert_eq!((messages(&client).used, messages(&client).queued), (9, 3));
    // Each of the first nine was started first: one of them gives up, the tenth starts.
    calls.remove(0).abort();
    until(|| server.seen().len() == 10).await;
    assert_eq!(messages(&client).queued, 2);
    // One of those that wait gives up: it never arrives.
    calls.pop().expect("the last one").abort();
    until(|| messages(&client).queued == 1).await;
    gate.add_permits(100);
    for call in calls {
        call.await.expect("not aborted").expect("answered");
    }
    assert_eq!(server.seen().len(), 11);
}

#[tokio::test]
async fn what_the_platform_has_forgotten_by_its_turn_is_not_repeated() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::start(move |_, _| Reply::Wait(Arc::clone(&held))).await;
    let client = client(&server.base);
    let mut running = Vec::new();
    for _ in 0..10 {
        let client = client.clone();
        running.push(tokio::spawn(async move { client.call(send()).await }));
    }
    until(|| server.seen().len() == 10).await;
    // No slot comes free within the moment that is left.
    let ago = argon_host::rest::RANDOM_ID_RELIED_ON - Duration::from_millis(20);
    let error = client.call(send().repeated(ago)).await;
    assert_eq!(error.expect_err("too late").code, "uncertain");
    assert_eq!(server.seen().len(), 10);
    gate.add_permits(100);
    for call in running {
        call.await.expect("no panic").expect("answered");
    }
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

/// A platform window of its own: six segments, counted from the server's first request.
struct Window {
    start: Instant,
    segment: Duration,
    used: Vec<u128>,
    limit: usize,
}

impl Window {
    fn admit(&mut self) -> bool {
        let now = self.start.elapsed().as_nanos() / self.segment.as_nanos();
        self.used.retain(|segment| segment + 6 > now);
        let admitted = self.used.len() < self.limit;
        if admitted {
            self.used.push(now);
        }
        admitted
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_quota_from_three_callers_meets_no_refusal_and_loses_nothing() {
    let limits = [("IMessages", 120), ("IReactions", 60), ("ISpaces", 30)];
    let windows = limits.map(|(name, limit)| {
        let window = Window {
            start: Instant::now(),
            segment: SEGMENT,
            used: Vec::new(),
            limit,
        };
        (name, Mutex::new(window))
    });
    let server = Server::start(move |_, request| {
        let window = windows
            .iter()
            .find(|(name, _)| request.target.contains(name));
        let (_, window) = window.expect("one of the three");
        if window.lock().expect("not poisoned").admit() {
            ok("{}")
        } else {
            Reply::Http(429, "retry-after: 1\r\n", String::new())
        }
    })
    .await;
    let client = client(&server.base);
    client.set_stream_open(true);
    let mut scripts = Vec::new();
    for _ in 0..3 {
        let caller = client.caller(1.0);
        for at in 0..210 {
            let client = client.clone();
            let call = match at % 7 {
                0 => call("ISpaces/Get", json!({"spaceId": "s"})),
                1 | 2 => call(
                    "IReactions/BatchGet",
                    json!({"channelId": "c", "messageIds": [1]}),
                ),
                _ => send(),
            };
            scripts.push(tokio::spawn(async move {
                client.call(call.caller(caller)).await
            }));
        }
    }
    for script in scripts {
        script.await.expect("no panic").expect("answered");
    }
    assert_eq!(server.seen().len(), 630);
    assert_eq!(client.stats().refused, 0);
}

#[tokio::test]
async fn the_end_of_an_interface_is_announced_once() {
    let server = Server::start(|_, _| {
        let lines = "deprecation: true\r\nsunset: Sat, 01 May 2027 00:00:00 GMT\r\n";
        Reply::Http(200, lines, "{}".to_owned())
    })
    .await;
    let client = client(&server.base);
    for _ in 0..3 {
        // No other test calls this interface with those headers.
        client
            .call(call("IArchetypes/List", json!({"spaceId": "s"})))
            .await
            .expect("answered");
    }
    let logs = LOGS.text();
    let warnings: Vec<&str> = logs
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("IArchetypes"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("01 May 2027"), "{warnings:?}");
}

#[tokio::test]
async fn the_token_is_in_no_log_and_no_error() {
    let secret = TOKEN.split(':').nth(1).expect("two parts");
    let server = Server::start(|number, _| match number {
        0 => ok("{}"),
        1 => Reply::Close,
        // A careless server quotes what it was sent.
        _ => Reply::Http(
            400,
            "",
            format!(r#"{{"error":"bad_{TOKEN}","message":"who is Bot {TOKEN}?"}}"#),
        ),
    })
    .await;
    let client = client(&server.base);
    let patient = send().deadline(Duration::MAX);
    client.call(patient).await.expect("answered");
    let quoted = client.call(send()).await.expect_err("refused");
    assert!(quoted.to_string().contains("[redacted]"), "{quoted}");
    for text in [quoted.to_string(), format!("{quoted:?}")] {
        assert!(!text.contains(secret), "{text}");
    }
    let logs = LOGS.text();
    assert!(logs.contains("TRACE"), "the HTTP stack logs at trace level");
    assert!(logs.contains("IMessages/Send"));
    let leak = logs.lines().find(|line| line.contains(secret));
    assert_eq!(leak, None);
}

#[test]
fn settings_that_cannot_work_are_refused_without_quoting_them() {
    for (base, token) in [
        ("gateway.argon.zone", TOKEN),
        ("ftp://host", TOKEN),
        ("https://user:hunter2@", TOKEN),
        ("https://host/?token=hunter2", TOKEN),
        ("https://host", "hunter2\nsecond line"),
    ] {
        let refused = Client::new(Settings {
            base_url: base.to_owned(),
            token: Secret::new(token),
            segment: SEGMENT,
            observer: Arc::new(Seen::default()),
        });
        let error = refused.err().expect("refused");
        assert_eq!(error.code, "invalid_settings");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!error.to_string().contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn a_call_may_be_awaited_on_a_thread_without_a_network_runtime() {
    let server = Server::start(|_, _| ok("{}")).await;
    let client = client(&server.base);
    let thread = std::thread::spawn(move || {
        // No I/O and no timers here: the requests run where the client was built.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(client.call(send()))
    });
    until(|| thread.is_finished()).await;
    thread.join().expect("no panic").expect("answered");
}

#[tokio::test]
async fn the_event_stream_is_not_a_call() {
    let server = Server::start(|_, _| ok("{}")).await;
    let error = client(&server.base)
        .call(call("IEvents/Stream", json!({"intents": 1})))
        .await
        .expect_err("refused");
    assert_eq!(error.code, "not_callable");
    assert!(server.seen().is_empty());
}
