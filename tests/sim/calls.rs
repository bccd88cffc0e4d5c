//! Calls from people to bots.

use serde_json::{Value, json};

use super::socket::{End, Socket, packet};
use super::sse::Stream;
use super::{World, answer, page_events, settings, with_body};

const ACCEPT: &str = "/ICalls/v20260401/Accept";
const REJECT: &str = "/ICalls/v20260401/Reject";
const RINGING: &str = "/ICalls/v20260401/Ringing";
const CALLS: u64 = 1 << 12;

/// Ada calls the bot; the call's id.
async fn ring(world: &World, stream: &mut Stream) -> Value {
    let ada = world.person("Ada").await;
    let body = json!({"userId": ada, "botId": world.bot.user_id, "locale": "en-GB"});
    let id = world.sim("call", body).await["callId"].clone();
    let event = stream.next().await;
    assert_eq!(event.kind, "callIncoming");
    assert!(event.id.starts_with("direct_"), "{}", event.id);
    let expected = match settings().quirks.newer_fields {
        true => json!({"callId": id, "fromUserId": ada, "fromLocale": "en-GB"}),
        false => json!({"callId": id, "fromUserId": ada}),
    };
    assert_eq!(event.data, expected);
    id
}

async fn state_of(world: &World, call: &Value) -> Value {
    let calls = world.sim("calls", Value::Null).await;
    let mut calls = calls["calls"].as_array().expect("a list").iter();
    calls.find(|one| one["callId"] == *call).expect("known")["state"].clone()
}

async fn ended(stream: &mut Stream, call: &Value) {
    let event = stream.next().await;
    assert_eq!(
        (event.kind.as_str(), &event.data["callId"]),
        ("callEnded", call)
    );
}

#[tokio::test]
async fn an_accepted_call_is_a_conversation_until_somebody_hangs_up() {
    let world = World::start().await;
    let mut stream = world.stream(CALLS).await;
    let mut page = page_events(&world).await;
    let call = ring(&world, &mut stream).await;
    let shown = page.next().await.data;
    assert_eq!(
        (&shown["type"], &shown["state"]),
        (&"call".into(), &"ringing".into())
    );
    let ringing = world.ok("GET", RINGING, Value::Null).await;
    let expected = match settings().quirks.empty_lists {
        true => json!({"calls": []}),
        false => json!({"calls": [{"callId": call, "callerId": world.person("Ada").await}]}),
    };
    assert_eq!(ringing, expected);

    let accepted = world.ok("POST", ACCEPT, json!({"callId": call})).await;
    let ada = world.person("Ada").await;
    assert_eq!(accepted["callerId"], ada);
    assert_eq!(accepted["audioBaseUrl"], world.server.base_url());
    assert_eq!(page.next().await.data["state"], "accepted");
    let token = accepted["token"].as_str().expect("a text");
    let path = format!("duplex?token={token}&target_identity={ada}");
    let mut socket = Socket::ready(&world, &path).await;
    socket.says("subscribed").await;
    let body = json!({"userId": ada, "callId": call, "packets": ["+P/+"], "intervalMs": 0});
    assert_eq!(world.sim("speak", body).await, json!({"spoken": 1}));
    assert_eq!(socket.hears().await, [0xf8, 0xff, 0xfe]);
    socket.send(packet(7)).await;
    let id = call.as_str().expect("a text");
    let path = format!("recording?callId={id}&participant={}", world.bot.user_id);
    let mut rounds = 0..10_000;
    while world.sim(&path, Value::Null).await["count"] != 1 {
        rounds.next().expect("the packet never came");
    }

    world
        .sim("hangup", json!({"userId": ada, "callId": call}))
        .await;
    ended(&mut stream, &call).await;
    let end = loop {
        match socket.message().await {
            Some(tokio_tungstenite::tungstenite::Message::Text(_)) => {}
            Some(tokio_tungstenite::tungstenite::Message::Close(frame)) => {
                break End::Closed(frame.expect("a code").code.into());
            }
            other => panic!("the end was due and not {other:?}"),
        }
    };
    assert_eq!(end, End::Closed(1008));
    let path = format!("duplex?token={token}&target_identity={ada}");
    assert_eq!(Socket::open(&world, &path, None).await.err(), Some(401));
    assert_eq!(state_of(&world, &call).await, "ended");
}

#[tokio::test]
async fn a_rejected_call_is_over() {
    let world = World::start().await;
    let mut stream = world.stream(CALLS).await;
    let call = ring(&world, &mut stream).await;
    let body = json!({"callId": call, "reason": "busy"});
    let rejected = world.ok("POST", REJECT, body).await;
    assert_eq!(rejected, json!({"rejected": true}));
    ended(&mut stream, &call).await;
    assert_eq!(state_of(&world, &call).await, "rejected");
    let (status, refused) = world.call("POST", ACCEPT, json!({"callId": call})).await;
    assert_eq!((status, &refused["error"]), (400, &"not_ringing".into()));
    let ada = world.person("Ada").await;
    let late = json!({"userId": ada, "callId": call});
    assert_eq!(world.control("hangup", late).await.0, 404);
}

#[tokio::test]
async fn a_call_that_is_not_answered_times_out_and_another_can_ring() {
    let world = World::start().await;
    let mut stream = world.stream(CALLS).await;
    let call = ring(&world, &mut stream).await;
    let ada = world.person("Ada").await;
    let (status, _) = world.control("call", json!({"userId": ada})).await;
    assert_eq!(status, 400, "one call at a time");
    world.sim("time", json!({"advance": 30})).await;
    ended(&mut stream, &call).await;
    assert_eq!(state_of(&world, &call).await, "timedOut");
    ring(&world, &mut stream).await;
}

#[tokio::test]
async fn calls_are_for_their_callee_and_for_verified_bots() {
    let world = World::start().await;
    let mut stream = world.stream(CALLS).await;
    let call = ring(&world, &mut stream).await;
    let other = world.server.add_bot("other", true);
    let plain = world.server.add_bot("plain", false);
    for (bot, error) in [(&other, "not_callee"), (&plain, "not_verified")] {
        for path in [ACCEPT, REJECT] {
            let request = world.request(bot, "POST", path);
            let (status, refused) = answer(with_body(request, json!({"callId": call}))).await;
            assert_eq!((status, &refused["error"]), (403, &error.into()));
        }
    }
    let boris = world.person("Boris").await;
    for (body, status) in [
        (json!({"userId": boris, "botId": plain.user_id}), 400),
        (json!({"userId": boris, "botId": boris}), 404),
        (json!({"userId": world.bot.user_id}), 400),
        (json!({"userId": boris, "locale": "en_GB"}), 400),
    ] {
        assert_eq!(world.control("call", body).await.0, status);
    }
}
