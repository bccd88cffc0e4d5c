//! Snapshots of the world: taken, put back, refused.

use argon_host::sim::{Server, Settings};
use serde_json::{Value, json};

use super::{ALL, World, answer, with_body};

const TOKEN: &str = "/IVoice/v1/StreamToken";

/// Uses everything that a snapshot must keep.
async fn lived_in(world: &World) {
    let (general, ada) = (world.channel("general").await, world.person("Ada").await);
    let options = json!([{ "name": "sides", "type": "integer", "description": "How many" }]);
    let command = json!({ "name": "roll", "description": "Roll", "options": options });
    world.ok("POST", "/ICommands/v1/Register", command).await;
    let row = json!({ "controls": [
        { "type": "button", "variant": "callback", "id": "again", "label": "Again" }
    ] });
    let body = json!({
        "channelId": general, "text": "Grüße 🎲", "randomId": i64::MAX, "controls": [row],
        "entities": [{ "type": 10, "offset": 0, "length": 5, "version": 1 }],
    });
    let sent = world.ok("POST", "/IMessages/v1/Send", body).await;
    let on = |more: Value| {
        let mut act = json!({
            "userId": ada, "channelId": general, "messageId": sent["messageId"].to_string(),
        });
        let fields = more.as_object().expect("fields").clone();
        act.as_object_mut().expect("an object").extend(fields);
        act
    };
    world.sim("react", on(json!({ "emoji": "👍" }))).await;
    world
        .sim("click", on(json!({ "controlId": "again" })))
        .await;
    let typing = json!({ "userId": ada, "channelId": general });
    world.sim("typing", typing).await;
    let lounge = world.channel("Lounge").await;
    world
        .sim("voice", json!({ "userId": ada, "channelId": lounge }))
        .await;
    let caller = world.person("Boris").await;
    world.sim("call", json!({ "userId": caller })).await;
    let space = world.space().await["spaceId"].clone();
    let voice = json!({ "spaceId": space, "channelId": lounge });
    world.ok("POST", TOKEN, voice).await;
}

/// What can be compared: maps have no order, and time goes on.
fn comparable(mut snapshot: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(Value::to_string);
            }
            Value::Object(fields) => {
                fields.retain(|name, _| {
                    !matches!(
                        name.as_str(),
                        "at" | "expires" | "until" | "closed" | "streams"
                    )
                });
                fields.values_mut().for_each(sort);
            }
            _ => {}
        }
    }
    snapshot["now"] = Value::Null;
    for list in ["typing", "randomOrder"] {
        let list = snapshot["world"][list].as_array_mut().expect("a list");
        for item in list {
            item.as_array_mut()
                .expect("a tuple")
                .retain(|part| !part.is_number());
        }
    }
    sort(&mut snapshot);
    snapshot
}

#[tokio::test]
async fn a_world_that_was_put_back_is_the_same_world() {
    let world = World::start().await;
    lived_in(&world).await;
    let before = world.sim("snapshot", Value::Null).await;

    // Into another server, which has a bot with the same name and another token.
    let other = World::start().await;
    other.say("to be forgotten").await;
    other.sim("restore", before.clone()).await;
    let after = other.sim("snapshot", Value::Null).await;
    assert_eq!(comparable(after), comparable(before));

    // The old token is good there, the other one no more.
    let me = |bot| other.request(bot, "GET", "/IBotSelf/v1/GetMe");
    assert_eq!(answer(me(&world.bot)).await.0, 200);
    assert_eq!(answer(me(&other.bot)).await.0, 401);
    // A randomId of before is known, and what was shown can still be clicked.
    let (general, ada) = (other.channel("general").await, other.person("Ada").await);
    let body = json!({ "channelId": general, "text": "again", "randomId": i64::MAX });
    let again = other.request(&world.bot, "POST", "/IMessages/v1/Send");
    let (status, sent) = answer(with_body(again, body)).await;
    assert_eq!(status, 200);
    let page = other
        .sim(&format!("messages?channelId={general}"), Value::Null)
        .await;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1), "{page}");
    let click = json!({
        "userId": ada, "channelId": general, "messageId": sent["messageId"].to_string(),
        "controlId": "again",
    });
    other.sim("click", click).await;
}

#[tokio::test]
async fn a_bot_goes_on_at_its_position() {
    let world = World::quirky().await;
    let mut stream = world.stream(1).await;
    world.say("one").await;
    assert_eq!(stream.next().await.kind, "messageCreate");
    let before = world.sim("snapshot", Value::Null).await;
    world.say("two").await;
    assert_eq!(stream.next().await.kind, "messageCreate");

    world.sim("restore", before).await;
    assert!(stream.end().await, "the stream of the old world ends");
    world.say("three").await; // before it is back
    let mut stream = world.stream(1).await;
    let event = stream.next().await;
    assert_eq!(event.data["message"]["text"], "three");
}

#[tokio::test]
async fn lifetimes_stand_still_while_a_snapshot_lies_there() {
    let world = World::start().await;
    let (general, ada) = (world.channel("general").await, world.person("Ada").await);
    let command = json!({ "name": "slow", "description": "Takes its time" });
    world.ok("POST", "/ICommands/v1/Register", command).await;
    let run = json!({ "userId": ada, "channelId": general, "name": "slow" });
    let id = world.sim("command", run).await["interactionId"].clone();
    let before = world.sim("snapshot", Value::Null).await;
    world.sim("time", json!({ "advance": 61 })).await;
    let defer = json!({ "interactionId": id });
    let (status, _) = world
        .call("POST", "/IInteractions/v1/Defer", defer.clone())
        .await;
    assert_eq!(status, 404, "it is over");

    world.sim("restore", before).await;
    world.sim("time", json!({ "advance": 50 })).await;
    world
        .ok("POST", "/IInteractions/v1/Defer", defer.clone())
        .await;
    world.sim("time", json!({ "advance": 10 })).await;
    let (status, _) = world.call("POST", "/IInteractions/v1/Defer", defer).await;
    assert_eq!(status, 404, "60 s in all");
}

#[tokio::test]
async fn what_is_no_snapshot_is_refused_with_its_place_and_changes_nothing() {
    let world = World::start().await;
    lived_in(&world).await;
    let good = world.sim("snapshot", Value::Null).await;
    let with = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect(pointer) = value;
        bad
    };
    let space = &good["world"]["spaces"][0];
    let position = format!("/feed/bots/{}/directPosition", world.bot.user_id);
    for (bad, place) in [
        (json!({}), "version"),
        (with("/version", json!(99)), "version 99"),
        (with("/world/spaces", json!([])), "world.spaces is empty"),
        (
            with("/world/spaces/0/name", json!(3)),
            "world.spaces[0].name: invalid type",
        ),
        (
            with("/world/spaces/0/channels/1/kind", json!(77)),
            "world.spaces[0].channels[1].kind",
        ),
        (
            with(
                "/world/spaces/0/channels/1/id",
                space["channels"][0]["id"].clone(),
            ),
            "world.spaces[0].channels[1].id",
        ),
        (
            with("/world/spaces/0/members/0/user", json!(uuid(7))),
            "world.spaces[0].members[0].user",
        ),
        (with("/world/lastMessage", json!("0")), "does not grow"),
        (
            with("/world/lastMessage", json!("many")),
            "world.lastMessage",
        ),
        (
            with("/world/bots/0/token", json!("")),
            "world.bots[0].token",
        ),
        (
            with("/world/bots/0/user", json!(uuid(7))),
            "world.bots[0].user",
        ),
        (
            with(&position, json!(u64::MAX)),
            "directPosition is not from 1",
        ),
    ] {
        let (status, answer) = world.control("restore", bad).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(
            status == 400 && message.contains(place),
            "{place}: {status} {answer}"
        );
    }
    let (status, answer) = answer(
        world
            .http
            .post(format!("{}/_sim/restore", world.server.base_url()))
            .body("{\"version\":1,"),
    )
    .await;
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|text| text.contains("line 1 column"))
    );
    let after = world.sim("snapshot", Value::Null).await;
    assert_eq!(comparable(after), comparable(good));
}

fn uuid(n: u128) -> String {
    format!("00000000-0000-0000-0000-{n:012x}")
}

#[tokio::test]
async fn a_reset_keeps_tokens_and_nothing_else() {
    let world = World::start().await;
    let first = world.sim("snapshot", Value::Null).await;
    let mut stream = world.stream(ALL).await;
    lived_in(&world).await;
    world
        .control("fault", json!({ "kind": "lose", "interface": "IVoice" }))
        .await;
    world.sim("reset", json!({})).await;
    stream.end().await;
    let after = world.sim("snapshot", Value::Null).await;
    let world_of = |snapshot| comparable(snapshot)["world"].clone();
    assert_eq!(world_of(after), world_of(first));
    assert_eq!(world.sim("faults", Value::Null).await["faults"], json!([]));
    assert_eq!(
        world.sim("requests", Value::Null).await["requests"],
        json!([])
    );
    world.ok("GET", "/IBotSelf/v1/GetMe", Value::Null).await;
}

#[tokio::test]
async fn a_state_file_outlives_the_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = || Settings {
        state: Some(dir.path().join("state.json")),
        ..Settings::default()
    };
    let world = World::with(settings()).await;
    lived_in(&world).await;
    let before = world.sim("snapshot", Value::Null).await;
    let rival = Server::start(settings()).await.err().expect("in use");
    assert!(rival.to_string().contains("in use by another"), "{rival}");
    let World { server, bot, .. } = world;
    server.stop().await;

    let again = World::with(settings()).await;
    assert_eq!(again.bot.token, bot.token, "the same bot");
    let after = again.sim("snapshot", Value::Null).await;
    assert_eq!(comparable(after), comparable(before));
}
