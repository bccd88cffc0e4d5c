//! What is sent again after which failure, and what is told when it is not.

use std::time::Duration;

use argon_host::contract::{Retry, route};
use argon_host::rest::Error;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::server::{Reply, Server, error, ok};
use crate::{call, client, send};

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

/// What this call fails with at a server that takes one request and is gone before it answers.
async fn at_a_server_that_goes_away(label: &str, params: Value) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_u8().await.expect("a request");
        // Nobody listens any more before the client learns that its answer is lost.
        drop(listener);
    });
    let result = client(&base).call(call(label, params)).await;
    server.await.expect("one request came");
    result.expect_err("never answered")
}

#[tokio::test]
async fn a_server_that_goes_away_leaves_open_what_became_of_the_call() {
    let reaction = json!({"channelId": "c", "messageId": 1, "emoji": "e"});
    let message = json!({"channelId": "c", "text": "x"});
    for (label, params) in [("IMessages/Send", message), ("IReactions/Add", reaction)] {
        let error = at_a_server_that_goes_away(label, params).await;
        assert_eq!((error.status, error.code.as_str()), (0, "uncertain"));
        assert!(error.may_have_taken_effect());
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
    // Reading twice is as good as once.
    let error = at_a_server_that_goes_away("ISpaces/Get", json!({"spaceId": "s"})).await;
    assert_eq!(error.code, "unreachable");
}

#[tokio::test]
async fn a_repetition_that_is_limited_until_the_deadline_leaves_it_open() {
    let server = Server::start(|number, _| match number {
        0 => Reply::Close,
        _ => Reply::Http(429, "retry-after: 0\r\n", String::new()),
    })
    .await;
    let call = send().deadline(Duration::from_secs(1));
    let error = client(&server.base).call(call).await.expect_err("limited");
    assert_eq!(error.code, "uncertain");
    assert!(server.seen().len() > 1);
}

#[tokio::test]
async fn what_was_sent_before_a_restart_stays_open_when_it_cannot_be_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = client(&base);
    let repeated = || send().repeated(Duration::from_secs(1));
    let error = client.call(repeated()).await.expect_err("nobody there");
    assert_eq!(error.code, "uncertain");
    // Whoever would have it twice rather than not at all is told no less.
    let kick = json!({"spaceId": "s", "channelId": "c", "userId": "u"});
    let kick = call("IMembers/Kick", kick).repeated(Duration::from_secs(1));
    let error = client.call(kick.retry()).await.expect_err("nobody there");
    assert_eq!(error.code, "uncertain");
}
