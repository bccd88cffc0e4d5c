//! What a client refuses, what it is refused, and what nobody may read of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use argon_host::config::Secret;
use argon_host::rest::{Client, Settings};
use serde_json::json;
use tokio::net::TcpListener;

use crate::server::{Reply, Server, ok};
use crate::{LOGS, SEGMENT, Seen, TOKEN, call, client, client_at, send, until};

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
