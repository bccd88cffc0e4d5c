//! Who may ask, and how often.

use std::time::Duration;

use argon_host::sim::Settings;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{World, answer, hold_a_place, settings};

#[tokio::test]
async fn a_wrong_token_is_refused_everywhere() {
    let world = World::start().await;
    let url = format!("{}/IBotSelf/v1/GetMe", world.server.base_url());
    for token in [None, Some("Bot nonsense"), Some(world.bot.token.expose())] {
        let mut request = world.http.get(&url);
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["error"]), (401, &"unauthorized".into()));
    }
    let in_path = format!("/{}/INothing/v1/GetMe", world.bot.token.expose());
    let (status, body) = world.call("GET", &in_path, Value::Null).await;
    assert_eq!(status, 404);
    assert!(!body.to_string().contains(world.bot.token.expose()));
}

#[tokio::test]
async fn unverified_bots_are_kept_from_privileged_things() {
    let world = World::start().await;
    let plain = world.server.add_bot("plain", false);
    let space = world.space().await["spaceId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/ISpaces/v1/ListMembers?spaceId={space}");
    let (status, body) = answer(world.request(&plain, "GET", &path)).await;
    assert_eq!((status, &body["error"]), (403, &"not_verified".into()));
    for (intents, expected) in [("0", 403), ("12255", 403), ("", 403), ("12253", 200)] {
        let path = format!("/IEvents/v1/Stream?intents={intents}");
        let response = world.request(&plain, "GET", &path).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status().as_u16(), expected, "{intents}");
    }
}

#[tokio::test]
async fn the_window_refuses_what_is_too_much_and_slides() {
    // Long enough that the test cannot reach the window's end by itself; time is moved by hand.
    let world = World::quirky().await;
    // Verified, so twice the published 15.
    let get = || world.call("GET", "/IBotSelf/v1/GetMe", Value::Null);
    for _ in 0..30 {
        assert_eq!(get().await.0, 200);
    }
    let plain = world.server.add_bot("plain", false);
    let get_plain = || answer(world.request(&plain, "GET", "/IBotSelf/v1/GetMe"));
    for _ in 0..15 {
        assert_eq!(get_plain().await.0, 200);
    }
    assert_eq!(get_plain().await.0, 429);
    let request = world.request(&world.bot, "GET", "/IBotSelf/v1/GetMe");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["x-ratelimit-remaining"], "0");
    let body: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
    assert_eq!(
        (&body["error"], &body["retry_after"]),
        (&"rate_limited".into(), &1.into())
    );

    assert_eq!(
        world.call("GET", "/ICommands/v1/List", Value::Null).await.0,
        200,
        "interfaces are apart"
    );
    world.sim("time", json!({"advance": 30})).await;
    assert_eq!(get().await.0, 429);
    world.sim("time", json!({"advance": 30})).await;
    assert_eq!(get().await.0, 200);
}

#[tokio::test]
async fn short_segments_make_a_short_window() {
    let settings = Settings {
        segment: Duration::from_secs(1),
        ..settings()
    };
    let world = World::with(settings).await;
    let get = || world.call("GET", "/IBotSelf/v1/GetMe", Value::Null);
    while get().await.0 != 429 {}
    world.sim("time", json!({"advance": 6})).await;
    assert_eq!(get().await.0, 200);
}

#[tokio::test]
async fn the_open_stream_is_one_of_ten_requests_at_once() {
    let world = World::quirky().await;
    let stream = world.stream(1).await;
    let mut held = Vec::new();
    for _ in 0..9 {
        held.push(hold_a_place(&world).await);
    }
    let (status, body) = world.call("GET", "/ISpaces/v1/Get", Value::Null).await;
    assert_eq!((status, &body["error"]), (429, &"rate_limited".into()));

    // One of the nine is finished: its answer frees the place before it arrives.
    let mut socket = held.pop().expect("one of nine");
    socket.write_all(b"{}").await.expect("open");
    let mut first = [0; 12];
    socket.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 500");
    assert_eq!(
        world.call("GET", "/ICommands/v1/List", Value::Null).await.0,
        200
    );
    drop(stream);
}
