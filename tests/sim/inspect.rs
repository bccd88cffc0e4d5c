//! What the playground's inspector is shown: requests, events, limits, notices.

use argon_host::sim::{Gravity, Notice};
use serde_json::{Value, json};

use super::World;
use super::sse::Stream;

async fn inspector(world: &World) -> Stream {
    let url = format!("{}/_sim/events?inspect=true", world.server.base_url());
    let response = world.http.get(url).send().await.expect("an answer");
    let mut feed = Stream::new(response);
    // The head of the answer may come before the server watches: go on when a line has come through.
    world.server.notices().post(notice("begin"));
    while feed.next().await.data["text"] != "begin" {}
    feed
}

fn notice(text: &str) -> Notice {
    Notice {
        gravity: Gravity::Error,
        bot: Some("demo".to_owned()),
        script: Some("dice".to_owned()),
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn the_inspector_sees_requests_and_events_as_they_happen() {
    let world = World::start().await;
    let channel = world.channel("general").await;
    let mut feed = inspector(&world).await;
    let send = json!({"channelId": channel, "text": "hello", "randomId": 1});
    let sent = world.ok("POST", "/IMessages/v1/Send", send.clone()).await;
    let (mut request, mut event) = (Value::Null, Value::Null);
    while request.is_null() || event.is_null() {
        let line = feed.next().await.data;
        match line["type"].as_str() {
            Some("request") => request = line,
            Some("event") => event = line,
            Some("message") => {}
            _ => panic!("{line}"),
        }
    }
    assert_eq!(event["event"], "messageCreate");
    assert_eq!(event["payload"]["message"]["messageId"], sent["messageId"]);
    assert!(
        event["spaceId"].is_string() && event["at"].is_string(),
        "{event}"
    );
    assert_eq!(request["path"], "/IMessages/v1/Send");
    assert_eq!(request["body"], send);
    assert_eq!(
        (&request["status"], &request["bot"]),
        (&200.into(), &"demobot".into())
    );
    // As in the log, so that a page can put both together.
    let log = world.sim("requests", Value::Null).await;
    let logged = log["requests"].as_array().expect("a list").last().cloned();
    request.as_object_mut().expect("an object").remove("type");
    assert_eq!(logged, Some(request));
}

#[tokio::test]
async fn the_gauges_show_what_is_used() {
    let world = World::start().await;
    let _stream = world.stream(1).await;
    for _ in 0..3 {
        world.ok("GET", "/IBotSelf/v1/GetMe", Value::Null).await;
    }
    let limits = world.sim("limits", Value::Null).await;
    let bot = &limits["bots"][0];
    assert_eq!(
        (&bot["bot"], &bot["concurrent"]),
        (&"demobot".into(), &10.into())
    );
    assert_eq!(bot["running"], 1, "the stream");
    let gauge = |limits: &Value, name: &str| {
        let mut gauges = limits["bots"][0]["interfaces"]
            .as_array()
            .expect("a list")
            .iter();
        gauges
            .find(|gauge| gauge["interface"] == name)
            .expect("there")
            .clone()
    };
    assert_eq!(gauge(&limits, "IBotSelf")["used"], 3);
    assert_eq!(
        gauge(&limits, "IBotSelf")["limit"],
        30,
        "verified: twice 15"
    );
    assert_eq!(gauge(&limits, "IMessages")["used"], 0);
    world.sim("time", json!({"advance": 60})).await;
    let limits = world.sim("limits", Value::Null).await;
    assert_eq!(gauge(&limits, "IBotSelf")["used"], 0);
}

#[tokio::test]
async fn notices_are_shown_at_once_and_kept() {
    let world = World::start().await;
    let mut feed = inspector(&world).await;
    world.server.notices().post(notice("dice.luau:3: no"));
    let shown = feed.next().await.data;
    let mut kept = world.sim("notices", Value::Null).await;
    let kept = kept["notices"].as_array_mut().expect("a list").pop();
    assert_eq!(kept.as_ref(), Some(&shown));
    assert_eq!(
        (&shown["type"], &shown["gravity"]),
        (&"notice".into(), &"error".into())
    );
    assert_eq!(
        (&shown["script"], &shown["text"]),
        (&"dice".into(), &"dice.luau:3: no".into())
    );
}
