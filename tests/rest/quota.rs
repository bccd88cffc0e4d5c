//! Quota: full use without a refusal, and refusals that come all the same.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon_host::rest::Client;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::server::{Reply, Server, ok};
use crate::{LOGS, SEGMENT, call, client, send, until};

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
        .call(send().deadline(Duration::from_secs(2)))
        .await
        .expect_err("limited");
    assert!(error.is_rate_limited());
    assert_eq!(error.status, 429);
    assert!(error.retry_after.is_some_and(|pause| pause > 0.0));
    assert!(began.elapsed() < Duration::from_secs(20));
    let requests = server.seen().len();
    // 10, 20, 40, 80 and then always 100 ms between them.
    assert!((3..=25).contains(&requests), "{requests}");
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
    // So is what ends without a turn for another reason.
    let soon = send().repeated(Duration::ZERO).deadline(Duration::ZERO);
    let error = client.call(soon).await;
    assert_eq!(error.expect_err("no turn").code, "uncertain");
    let never_sent = client.call(send().deadline(Duration::ZERO)).await;
    assert!(never_sent.expect_err("no turn").is_rate_limited());
    assert_eq!(server.seen().len(), 10);
    gate.add_permits(100);
    for call in running {
        call.await.expect("no panic").expect("answered");
    }
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
