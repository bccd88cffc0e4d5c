//! Faults over raw sockets and the control API.

use serde_json::{Value, json};

use super::{ALL, World};

async fn messages(world: &World, channel: &str) -> Value {
    world
        .sim(&format!("messages?channelId={channel}"), Value::Null)
        .await
}

#[tokio::test]
async fn a_lost_answer_has_no_byte_and_its_act_has_happened() {
    let world = World::start().await;
    let (status, armed) = world.control("fault", json!({ "kind": "lose" })).await;
    assert_eq!((status, &armed["id"]), (200, &json!(1)));
    let channel = world.channel("general").await;
    let body = json!({ "channelId": channel, "text": "lost", "randomId": 77 });
    let request = world
        .request(&world.bot, "POST", "/IMessages/v1/Send")
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let error = request.send().await.expect_err("no answer");
    assert!(!error.is_connect() && !error.is_status(), "{error}");

    let page = messages(&world, &channel).await;
    assert!(page.to_string().contains("\"lost\""), "{page}");
    let again = world.ok("POST", "/IMessages/v1/Send", body).await;
    let page = messages(&world, &channel).await;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        page["messages"][0]["messageId"],
        again["messageId"].to_string()
    );
}

#[tokio::test]
async fn an_answer_comes_before_the_act() {
    let world = World::start().await;
    let fault = json!({ "kind": "answer", "interface": "IMessages", "status": 418 });
    world.control("fault", fault).await;
    let channel = world.channel("general").await;
    let body = json!({ "channelId": channel, "text": "never", "randomId": 78 });
    let (status, answer) = world.call("POST", "/IMessages/v1/Send", body).await;
    assert_eq!((status, &answer["error"]), (418, &json!("injected_fault")));
    let page = messages(&world, &channel).await;
    assert_eq!(page["messages"], json!([]));
}

#[tokio::test]
async fn a_fault_that_makes_no_sense_is_refused_with_the_way_out() {
    let world = World::start().await;
    for (fault, message) in [
        (json!({ "kind": "dorp" }), "did you mean \"drop\"?"),
        (json!({ "kind": "delay" }), "needs \"seconds\""),
        (json!({ "kind": "chaos" }), "takes a seed"),
        (json!({}), "needs a kind"),
    ] {
        let (status, answer) = world.control("fault", fault).await;
        let said = answer["message"].as_str().expect("a message");
        assert!(status == 400 && said.contains(message), "{answer}");
    }
}

#[tokio::test]
async fn armed_faults_are_listed_and_taken_back() {
    let world = World::start().await;
    world
        .control("fault", json!({ "kind": "end", "count": 2 }))
        .await;
    world
        .control("fault", json!({ "kind": "sse", "form": "crlf" }))
        .await;
    let delete = |query: &str| {
        let url = format!("{}/_sim/faults{query}", world.server.base_url());
        let request = world.http.delete(url);
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(delete("?id=1").await, 200);
    assert_eq!(delete("?id=1").await, 404);
    let (_, listed) = world.control("faults", json!(null)).await;
    assert_eq!(
        listed["faults"],
        json!([{ "id": 2, "kind": "sse", "form": "crlf", "left": 1 }])
    );
    assert_eq!(delete("").await, 200);
    let (_, listed) = world.control("faults", json!(null)).await;
    assert_eq!(listed, json!({ "faults": [], "chaos": null, "struck": 0 }));
}

#[tokio::test]
async fn a_fault_ends_an_idle_stream_at_once() {
    let world = World::start().await;
    let mut stream = world.stream(ALL).await;
    world.control("fault", json!({ "kind": "end" })).await;
    assert!(stream.end().await, "nothing before the end");
}

#[tokio::test]
async fn every_kind_is_described_well_enough_to_arm_it() {
    let world = World::start().await;
    let (_, described) = world.control("faults/kinds", json!(null)).await;
    let kinds = described["kinds"].as_array().expect("a list");
    for kind in kinds {
        let mut fault = json!({ "kind": kind["kind"] });
        for field in kind["fields"].as_array().expect("a list") {
            let name = field["name"].as_str().expect("a name");
            fault[name] = match field["type"].as_str() {
                Some("integer" | "number") => field["least"].clone(),
                Some("choice") => field["choices"][0]["value"].clone(),
                other => panic!("a new type {other:?}"),
            };
        }
        let (status, answer) = world.control("fault", fault.clone()).await;
        assert_eq!(status, 200, "{fault}: {answer}");
    }
    let (_, listed) = world.control("faults", json!(null)).await;
    let armed = listed["faults"].as_array().map(Vec::len);
    assert_eq!(armed, Some(kinds.len() - 1), "and chaos: {listed}");
    assert_eq!(listed["chaos"], 0);
}
