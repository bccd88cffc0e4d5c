//! The event stream.

use std::time::Duration;

use argon_host::sim::{Server, Settings};
use serde_json::json;

use super::sse::Stream;
use super::{ALL, World, hold_a_place, page_events, settings, until_admitted};

#[tokio::test]
async fn the_stream_has_the_platforms_form_and_only_what_the_intents_ask_for() {
    let world = World::quirky().await;
    let path = format!("/IEvents/v1/Stream?intents={}", 1);
    let response = world.request(&world.bot, "GET", &path).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = Stream::new(response);
    let ready = stream.next().await;
    assert_eq!(
        (&*ready.kind, &*ready.id, &ready.data["intents"]),
        ("ready", "ready", &1.into())
    );
    assert_eq!(ready.fields, ["event", "data", "id"]);
    assert!(ready.data["spaces"][0]["grantedEntitlements"].as_u64() > Some(1 << 53));

    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    world
        .sim("typing", json!({"userId": ada, "channelId": channel}))
        .await;
    world.say("one").await;
    world
        .sim("emit", json!({"type": "brandNew", "payload": {"x": 1}}))
        .await;
    world
        .sim("emit", json!({"type": "messageEdit", "raw": "{bad"}))
        .await;
    let direct = json!({"type": "botEntitlementsUpdated", "payload": {}, "bot": "demobot"});
    world.sim("emit", direct).await;
    let space = ready.data["spaces"][0]["spaceId"]
        .as_str()
        .expect("an id")
        .replace('-', "");
    let mut sequences = Vec::new();
    for kind in ["messageCreate", "brandNew", "messageEdit"] {
        let event = stream.next().await;
        assert_eq!(event.kind, kind);
        let (of, sequence) = event.id.split_once('_').expect("space_sequence");
        assert_eq!(of, space);
        sequences.push(sequence.parse::<u64>().expect("a number"));
    }
    assert!(sequences.is_sorted_by(|a, b| a < b));
    let event = stream.next().await;
    assert_eq!(event.kind, "botEntitlementsUpdated");
    assert!(event.id.starts_with("direct_"));
}

#[tokio::test]
async fn a_heartbeat_comes_after_thirty_seconds_with_a_cursor() {
    let world = World::start().await;
    let mut stream = world.stream(1).await;
    world.say("one").await;
    let sequence = stream.next().await.id.replace('_', ":");
    world.sim("time", json!({"advance": 31})).await;
    let beat = stream.next().await;
    assert_eq!((beat.kind, beat.id), ("heartbeat".to_owned(), sequence));
    assert!(beat.data["timestamp"].as_i64() > Some(0));
}

#[tokio::test]
async fn events_missed_between_two_streams_come_in_order() {
    let world = World::quirky().await;
    let stream = world.stream(ALL).await;
    drop(stream);
    // The server has seen the end when another request can be the tenth of ten with the old
    // stream's place: nine with open bodies, and one that is answered.
    let mut held = Vec::new();
    for _ in 0..9 {
        held.push(hold_a_place(&world).await);
    }
    until_admitted(&world).await;
    drop(held);
    let texts: Vec<String> = (0..120).map(|n| n.to_string()).collect();
    for text in &texts {
        world.say(text).await;
    }
    let mut stream = world.stream(1).await;
    for text in &texts {
        let event = stream.next().await;
        assert_eq!(event.data["message"]["text"], json!(text));
    }
}

#[tokio::test]
async fn two_streams_of_one_bot_share_the_events() {
    let world = World::start().await;
    let (mut one, mut two) = (world.stream(1).await, world.stream(1).await);
    for n in 0..20 {
        world.say(&n.to_string()).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let event = tokio::select! {
            event = one.next() => event,
            event = two.next() => event,
        };
        seen.push(
            event.data["message"]["text"]
                .as_str()
                .expect("a text")
                .parse::<u32>()
                .expect("a number"),
        );
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        (0..20).collect::<Vec<_>>(),
        "each once, to one of them"
    );
}

#[tokio::test]
async fn a_flood_reaches_an_open_stream_complete() {
    let settings = Settings {
        batch: Duration::ZERO,
        ..settings()
    };
    let world = World::with(settings).await;
    let mut stream = world.stream(1).await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let flood = json!({"userId": ada, "channelId": channel, "count": 20_000, "text": "x"});
    let read = async {
        let mut last = 0;
        for _ in 0..20_000 {
            let event = stream.next().await;
            let (_, sequence) = event.id.split_once('_').expect("space_sequence");
            let sequence: u64 = sequence.parse().expect("a number");
            assert!(last == 0 || sequence == last + 1);
            last = sequence;
        }
    };
    let (written, ()) = tokio::join!(world.sim("flood", flood), read);
    assert_eq!(written["written"], 20_000);
}

#[tokio::test]
async fn no_more_than_fifty_events_leave_in_one_interval() {
    let settings = Settings {
        batch: Duration::from_millis(100),
        ..settings()
    };
    let world = World::with(settings).await;
    let mut stream = world.stream(1).await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let began = std::time::Instant::now();
    let flood = json!({"userId": ada, "channelId": channel, "count": 201, "text": "x"});
    world.sim("flood", flood).await;
    for _ in 0..201 {
        stream.next().await;
    }
    // 201 events need five intervals: four of them must have ended.
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn stopping_ends_the_streams_and_frees_the_address() {
    let world = World::start().await;
    let mut stream = world.stream(1).await;
    let mut page = page_events(&world).await;
    let address = world.server.address();
    let (stopped, ended, gone) = tokio::join!(world.server.stop(), stream.end(), page.end());
    assert_eq!((stopped, ended, gone), ((), true, true));
    let settings = Settings {
        listen: address,
        ..Settings::default()
    };
    let again = Server::start(settings).await.expect("free again");
    again.stop().await;
}
