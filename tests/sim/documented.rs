//! The embedded server as the documentation has it, where the real one differs.

use argon_host::config::Dialect;
use argon_host::sim::{Bot, LimitScale, Quirks, Settings};
use serde_json::{Value, json};

use super::sse::Stream;
use super::{ALL, World, answer, until_closed, with_body};

async fn documented() -> World {
    let quirks = Quirks::of(Dialect::Documented);
    World::with(Settings {
        quirks,
        ..Settings::default()
    })
    .await
}

/// A stream that names the last event it had, and its first event.
async fn stream_after(
    world: &World,
    bot: &Bot,
    after: Option<&str>,
) -> (Stream, super::sse::Event) {
    let after = after.map_or(String::new(), |id| format!("&lastEventId={id}"));
    let path = format!("/IEvents/v1/Stream?intents={ALL}{after}");
    let response = world.request(bot, "GET", &path).send().await;
    let mut stream = Stream::new(response.expect("an answer"));
    let ready = stream.next().await;
    assert_eq!(ready.kind, "ready");
    (stream, ready)
}

async fn refused(world: &World, method: &str, path: &str, body: Value, expected: (u16, &str)) {
    let (status, answer) = world.call(method, path, body.clone()).await;
    assert_eq!(
        (status, &answer["error"]),
        (expected.0, &expected.1.into()),
        "{path} {body}"
    );
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
}

#[tokio::test]
async fn ready_has_the_examples_ids_and_sets_are_texts() {
    let world = documented().await;
    let (_stream, ready) = stream_after(&world, &world.bot, None).await;
    let space = &ready.data["spaces"][0];
    assert_eq!(ready.data["spaceIds"], json!([space["spaceId"]]));
    assert_eq!(ready.data["intents"], ALL);
    let granted = space["grantedEntitlements"].as_str().expect("a text");
    assert!(granted.starts_with("viewChannel, readHistory"), "{granted}");
    assert_eq!(ready.fields, ["id", "event", "data"]);
}

#[tokio::test]
async fn enums_are_names_in_answers_and_events() {
    let world = documented().await;
    let (mut stream, _) = stream_after(&world, &world.bot, None).await;
    let channel = world.channel("general").await;
    let send = json!({"channelId": channel, "text": "bold", "randomId": 1,
        "entities": [{"type": "bold", "offset": 0, "length": 4}],
        "controls": [{"controls": [{"type": "button", "variant": "callback", "id": "go", "label": "Go"}]}]});
    world.ok("POST", "/IMessages/v1/Send", send).await;
    let message = stream.next().await.data["message"].clone();
    assert_eq!(message["entities"][0]["type"], "bold");
    assert_eq!(message["controls"][0]["controls"][0]["type"], "button");
    assert_eq!(message["sender"]["flags"], "bot, verified");
    assert!(message["sender"].get("locale").is_none());
    let path = format!("/IMessages/v1/History?channelId={channel}");
    let history = world.ok("GET", &path, Value::Null).await;
    let entity = &history["messages"][0]["entities"][0];
    assert_eq!(entity, &json!({"type": "bold", "offset": 0, "length": 4}));
    let typing = json!({"channelId": channel, "kind": "thinking"});
    world.ok("POST", "/ITyping/v1/Start", typing).await;
    assert_eq!(stream.next().await.data["kind"], "thinking");
    let space = world.space().await["spaceId"].clone();
    let path = format!(
        "/IChannels/v1/List?spaceId={}",
        space.as_str().expect("an id")
    );
    let list = world.ok("GET", &path, Value::Null).await;
    assert_eq!(list["channels"][3]["channelType"], "voice");
}

#[tokio::test]
async fn what_crashes_the_server_has_a_code() {
    let world = documented().await;
    let channel = world.channel("general").await;
    let lounge = world.channel("Lounge").await;
    let zero = "00000000-0000-0000-0000-000000000000";
    let theirs: i64 = world.say("mine").await.parse().expect("a number");
    let send = |channel: &str, more: Value| {
        let mut body =
            json!({"channelId": channel, "text": "x", "randomId": rand::random::<i64>()});
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        body
    };
    let none = json!({});
    let bad = json!({"controls": [{"controls": []}]});
    let edit = json!({"channelId": channel, "messageId": theirs, "text": "x"});
    let space = format!("/ISpaces/v1/Get?spaceId={zero}");
    let post = "/IMessages/v1/Send";
    refused(&world, "GET", &space, Value::Null, (403, "not_a_member")).await;
    refused(
        &world,
        "POST",
        post,
        send(zero, none.clone()),
        (404, "channel_not_found"),
    )
    .await;
    refused(
        &world,
        "POST",
        post,
        send(&lounge, none.clone()),
        (400, "validation_error"),
    )
    .await;
    refused(
        &world,
        "POST",
        post,
        send(&channel, bad),
        (400, "validation_error"),
    )
    .await;
    let path = "/IInteractions/v1/EditMessage";
    refused(&world, "PATCH", path, edit, (404, "message_not_found")).await;
    let command = json!({"name": "roll", "description": "Roll"});
    let path = "/ICommands/v1/Register";
    world.ok("POST", path, command.clone()).await;
    refused(&world, "POST", path, command, (400, "invalid_name")).await;
    refused(
        &world,
        "POST",
        post,
        json!({"text": "x"}),
        (400, "bad_request"),
    )
    .await;

    let slow = json!({"channelId": channel, "slowMode": 10});
    world.sim("channel", slow).await;
    world.ok("POST", post, send(&channel, none.clone())).await;
    let request = world.request(&world.bot, "POST", post);
    let response = with_body(request, send(&channel, none)).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 429);
    let wait: u64 = response.headers()["retry-after"]
        .to_str()
        .expect("a text")
        .parse()
        .expect("a number");
    assert!((9..=10).contains(&wait), "{wait}");
}

#[tokio::test]
async fn messages_without_a_random_id_are_all_different() {
    let world = documented().await;
    let channel = world.channel("general").await;
    let send = json!({"channelId": channel, "text": "x"});
    let first = world.ok("POST", "/IMessages/v1/Send", send.clone()).await;
    assert_ne!(world.ok("POST", "/IMessages/v1/Send", send).await, first);
}

#[tokio::test]
async fn a_modal_carries_its_own_name_and_its_submission_can_be_answered() {
    let world = documented().await;
    let (mut stream, _) = stream_after(&world, &world.bot, None).await;
    let other = world.server.add_bot("other", true);
    let (mut others, _) = stream_after(&world, &other, None).await;
    let command = json!({"name": "form", "description": "A form"});
    world.ok("POST", "/ICommands/v1/Register", command).await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let run = json!({"userId": ada, "channelId": channel, "name": "form"});
    let id = world.sim("command", run).await["interactionId"].clone();
    // The other bot has come, and hears nothing of the command.
    assert_eq!(stream.next().await.kind, "memberJoin");
    assert_eq!(stream.next().await.kind, "commandInteraction");

    let modal = |components: Value| {
        json!({"interactionId": id, "modal":
        {"customId": "form", "title": "Form", "components": components}})
    };
    let path = "/IInteractions/v1/Modal";
    let bad = modal(json!([]));
    refused(&world, "POST", path, bad, (400, "validation_error")).await;
    let good = modal(json!([{"type": "textInput", "customId": "text", "label": "Text"}]));
    let opened = world.ok("POST", path, good).await["modalInteractionId"].clone();
    let submit = json!({"userId": ada, "modalInteractionId": opened, "values": {"text": ["hi"]}});
    world.sim("submit", submit).await;
    let event = stream.next().await;
    assert_eq!(
        (
            &*event.kind,
            &event.data["customId"],
            &event.data["interactionId"]
        ),
        ("modalSubmit", &"form".into(), &opened)
    );
    let ack = json!({"interactionId": opened});
    world.ok("POST", "/IInteractions/v1/Ack", ack).await;
    world.say("after all that").await;
    assert_eq!(others.next().await.kind, "messageCreate");
}

#[tokio::test]
async fn lists_that_the_server_leaves_empty_are_there() {
    let world = documented().await;
    let channel = world.channel("general").await;
    let message = world.say("hi").await;
    let react = json!({"channelId": channel, "messageId": message, "emoji": "x"});
    world.ok("POST", "/IReactions/v1/Add", react).await;
    let path = format!("/IReactions/v1/List?channelId={channel}&messageId={message}");
    let list = world.ok("GET", &path, Value::Null).await;
    let expected = json!([{"count": 1, "emoji": "x", "userIds": [world.bot.user_id]}]);
    assert_eq!(list["reactions"], expected);
    let space = world.space().await;
    let id = space["spaceId"].as_str().expect("an id");
    let moderator = space["archetypes"][1]["archetypeId"]
        .as_str()
        .expect("an id");
    let path = format!("/IArchetypes/v1/ListMembers?spaceId={id}&archetypeId={moderator}");
    let list = world.ok("GET", &path, Value::Null).await;
    assert_eq!(list["members"][0]["displayName"], "Ada");
    let ada = world.person("Ada").await;
    let call = world
        .sim("call", json!({"userId": ada, "locale": "en"}))
        .await["callId"]
        .clone();
    let list = world
        .ok("GET", "/ICalls/v20260401/Ringing", Value::Null)
        .await;
    assert_eq!(list["calls"], json!([{"callId": call, "callerId": ada}]));
}

#[tokio::test]
async fn egress_needs_its_body_only() {
    let world = documented().await;
    let space = world.space().await["spaceId"].clone();
    let (ada, lounge) = (world.person("Ada").await, world.channel("Lounge").await);
    let place = json!({"spaceId": space, "channelId": lounge, "userId": ada});
    let path = "/IVoiceEgress/v20260401/SubscribeTrack";
    let track = world.ok("POST", path, place).await;
    assert!(
        track["wsUrl"]
            .as_str()
            .is_some_and(|url| url.starts_with("ws://"))
    );
    let path = "/IVoiceEgress/v20260401/UnsubscribeTrack";
    let end = json!({"trackId": track["trackId"]});
    assert_eq!(world.ok("DELETE", path, end).await["deleted"], true);
}

#[tokio::test]
async fn a_bot_that_names_its_last_event_gets_the_rest_and_then_resumed() {
    let world = documented().await;
    let (mut stream, _) = stream_after(&world, &world.bot, None).await;
    world.say("one").await;
    let last = stream.next().await.id;
    world.say("two").await;
    assert_eq!(stream.next().await.data["message"]["text"], "two");
    drop(stream);
    until_closed(&world, &world.bot).await;
    world.say("three").await;

    let (mut stream, _) = stream_after(&world, &world.bot, Some(&last)).await;
    for text in ["two", "three"] {
        assert_eq!(stream.next().await.data["message"]["text"], text);
    }
    let resumed = stream.next().await;
    assert_eq!(
        (&*resumed.kind, &resumed.data["replayedCount"]),
        ("resumed", &2.into())
    );
    world.say("four").await;
    assert_eq!(stream.next().await.data["message"]["text"], "four");
    drop(stream);
    until_closed(&world, &world.bot).await;

    // The header says the same.
    let path = format!("/IEvents/v1/Stream?intents={ALL}");
    let request = world.request(&world.bot, "GET", &path);
    let request = request.header("Last-Event-ID", resumed.id);
    let mut stream = Stream::new(request.send().await.expect("an answer"));
    assert_eq!(stream.next().await.kind, "ready");
    assert_eq!(stream.next().await.data["message"]["text"], "four");
    assert_eq!(stream.next().await.data["replayedCount"], 1);
}

#[tokio::test]
async fn replay_is_a_switch_of_its_own() {
    let quirks = Quirks {
        position_is_kept: false,
        ..Quirks::default()
    };
    let world = World::with(Settings {
        quirks,
        ..Settings::default()
    })
    .await;
    let (mut stream, _) = stream_after(&world, &world.bot, None).await;
    world.say("one").await;
    let event = stream.next().await;
    assert_eq!(
        event.data["message"]["sender"]["flags"], 0,
        "numbers as before"
    );
    drop(stream);
    until_closed(&world, &world.bot).await;
    let (mut stream, _) = stream_after(&world, &world.bot, Some("ready")).await;
    assert_eq!(stream.next().await.data["replayedCount"], 0);
    drop(stream);
    until_closed(&world, &world.bot).await;
    let (mut stream, _) = stream_after(&world, &world.bot, Some(&event.id)).await;
    assert_eq!(stream.next().await.kind, "resumed");
}

#[tokio::test]
async fn a_second_stream_goes_on_when_the_first_one_ends() {
    let world = documented().await;
    let (first, _) = stream_after(&world, &world.bot, None).await;
    let (mut second, _) = stream_after(&world, &world.bot, None).await;
    drop(first);
    // Whether the server has seen the end or not: the event comes.
    for _ in 0..3 {
        world.say("still here").await;
    }
    assert_eq!(second.next().await.kind, "messageCreate");
}

async fn requests_until_refused(world: &World) -> (u32, u64) {
    let bot = world.server.add_bot("plain", false);
    for count in 0..200 {
        let request = world.request(&bot, "GET", "/IBotSelf/v1/GetMe");
        let response = request.send().await.expect("an answer");
        if response.status() == 429 {
            let header = response.headers()["retry-after"].to_str().expect("a text");
            let header: u64 = header.parse().expect("a number");
            let (_, body) = answer(world.request(&bot, "GET", "/IBotSelf/v1/GetMe")).await;
            assert_eq!(body["error"], "rate_limited");
            return (count, header);
        }
    }
    (200, 0)
}

#[tokio::test]
async fn retry_after_is_the_wait() {
    let world = documented().await;
    let (count, wait) = requests_until_refused(&world).await;
    assert_eq!(count, 15);
    assert!((50..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn limits_are_scaled_or_lifted() {
    for (limits, expected) in [
        (LimitScale::Times(2.0), 30),
        (LimitScale::Times(0.2), 3),
        (LimitScale::Off, 200),
    ] {
        let world = World::with(Settings {
            limits,
            ..Settings::default()
        })
        .await;
        let (count, wait) = requests_until_refused(&world).await;
        assert_eq!(count, expected, "{limits:?}");
        assert!(wait <= 1, "the real server says 1");
    }
    for (text, parsed) in [
        ("off", Some(LimitScale::Off)),
        ("2.5", Some(LimitScale::Times(2.5))),
        ("0", None),
        ("-1", None),
        ("many", None),
    ] {
        assert_eq!(text.parse().ok(), parsed, "{text}");
    }
}
