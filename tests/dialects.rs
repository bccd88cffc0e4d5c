//! The platform's documentation and its server differ in how they write things; scripts see one form.

mod support;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::{any, get};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use support::{Process, bot};

const SPACE: &str = "5e9a1f0c-2d3b-4a59-6877-8695a4b3c2d1";
const CHANNEL: &str = "0b6ad8b0-6c3f-4d55-9e0e-6f2b7a1f3c11";
const ADA: &str = "7c7fbe0e-2f0a-4b0e-9d9a-1f5d3a2b4c6d";

/// One event in the two ways of writing it, and what a script gets.
struct Case {
    kind: &'static str,
    documented: Value,
    real: Value,
    seen: Value,
}

fn cases() -> Vec<Case> {
    let user = |flags: Value| json!({ "userId": ADA, "username": "ada", "displayName": "Ada", "avatarUrl": null, "flags": flags });
    let message = |kind: Value, flags: Value| {
        json!({ "spaceId": SPACE, "channelId": CHANNEL, "message": {
            "messageId": 9_007_199_254_740_993_i64, "channelId": CHANNEL, "spaceId": SPACE,
            "text": "dear all", "timeSent": "2026-05-01T10:00:00Z", "replyId": null,
            "sender": user(flags), "controls": null, "reactions": [],
            "entities": [{ "type": kind, "offset": 0, "length": 4, "userId": null }],
        }})
    };
    vec![
        Case {
            kind: "messageCreate",
            documented: message(json!("bold"), json!("verified")),
            real: message(json!(10), json!(4)),
            seen: json!({ "spaceId": SPACE, "channelId": CHANNEL, "message": {
                "messageId": "9007199254740993", "channelId": CHANNEL, "spaceId": SPACE,
                "text": "dear all", "timeSent": "2026-05-01T10:00:00Z",
                "sender": { "userId": ADA, "username": "ada", "displayName": "Ada", "flags": { "verified": true } },
                "reactions": [],
                "entities": [{ "type": "bold", "offset": 0, "length": 4 }],
            }}),
        },
        Case {
            kind: "typingStart",
            documented: json!({ "spaceId": SPACE, "channelId": CHANNEL, "userId": ADA, "kind": "thinking" }),
            real: json!({ "spaceId": SPACE, "channelId": CHANNEL, "userId": ADA, "kind": "THINKING" }),
            seen: json!({ "spaceId": SPACE, "channelId": CHANNEL, "userId": ADA, "kind": "thinking" }),
        },
        Case {
            kind: "channelCreate",
            documented: json!({ "spaceId": SPACE, "channel": { "channelId": CHANNEL, "spaceId": SPACE, "name": "a", "description": "b", "type": "voice" } }),
            real: json!({ "spaceId": SPACE, "channel": { "channelId": CHANNEL, "spaceId": SPACE, "name": "a", "description": "b", "type": 1 } }),
            seen: json!({ "spaceId": SPACE, "channel": { "channelId": CHANNEL, "spaceId": SPACE, "name": "a", "description": "b", "type": "voice" } }),
        },
        Case {
            kind: "botEntitlementsUpdated",
            documented: json!({ "spaceId": SPACE, "grantedEntitlements": "viewChannel", "requiredEntitlements": "none" }),
            real: json!({ "spaceId": SPACE, "grantedEntitlements": 1, "requiredEntitlements": 0 }),
            seen: json!({ "spaceId": SPACE, "grantedEntitlements": { "viewChannel": true }, "requiredEntitlements": [] }),
        },
        Case {
            kind: "somethingNew",
            documented: json!({ "spaceId": SPACE, "news": { "a": [1, 2.5, "x", true] } }),
            real: json!({ "spaceId": SPACE, "news": { "a": [1, 2.5, "x", true] } }),
            seen: json!({ "spaceId": SPACE, "news": { "a": [1, 2.5, "x", true] } }),
        },
    ]
}

/// Prints every event as JSON, and asks for the channels once.
const SCRIPT: &str = r#"
argon.on("*", function(event)
    if event.type == "ready" then
        local channel = argon.channels.list({ spaceId = "s" }).channels[1]
        print("channel", channel.channelType)
    end
    local copy = {}
    for key, value in event do
        copy[key] = value
    end
    print("seen", argon.json.encode(copy))
end)
"#;

struct Server {
    events: String,
    channel_type: Value,
}

/// A server that speaks one dialect; ends with the test.
async fn serve(events: String, channel_type: Value) -> String {
    let state = Arc::new(Server {
        events,
        channel_type,
    });
    let app = Router::new()
        .route("/IBotSelf/v1/GetMe", get(async || {
            axum::Json(json!({ "botId": "b", "userId": "u", "username": "xbot", "displayName": "X" }))
        }))
        .route("/ICommands/v1/List", get(async || axum::Json(json!({ "commands": [] }))))
        .route("/IChannels/v1/List", get(async |State(server): State<Arc<Server>>| {
            axum::Json(json!({ "channels": [{ "channelId": CHANNEL, "channelType": server.channel_type }] }))
        }))
        .route("/IEvents/v1/Stream", any(async |State(server): State<Arc<Server>>| {
            let first = Bytes::from(server.events.clone());
            // The events, and then silence on an open stream.
            let body = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
            ([("content-type", "text/event-stream")], Body::from_stream(body))
        }))
        .with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

async fn run_against(events: String, channel_type: Value) -> (Vec<Value>, String) {
    let base = serve(events, channel_type).await;
    let token = "00112233445566778899aabbccddeeff:ZGlhbGVjdA";
    let config = format!("[bot]\ntoken = \"{token}\"\n[server]\nurl = \"{base}\"\n");
    let dir = bot(&config, &[("all.luau", SCRIPT)]);
    let mut host = Process::start(dir.path(), &["run"], &[]);
    let mut channel = String::new();
    let mut seen = Vec::new();
    while seen.len() < cases().len() || channel.is_empty() {
        let line = host.line(": ").await;
        if let Some((_, json)) = line.split_once("seen\t") {
            let event: Value = serde_json::from_str(json.trim()).expect("JSON");
            if event["type"] != "ready" {
                seen.push(event);
            }
        } else if let Some((_, kind)) = line.split_once("channel\t") {
            channel = kind.trim().to_owned();
        }
    }
    host.signal("TERM");
    assert_eq!(host.ended().await.code(), Some(0));
    (seen, channel)
}

fn as_stream(payload: impl Fn(&Case) -> Value) -> String {
    let mut text = "event: ready\ndata: {\"intents\":1,\"spaces\":[]}\nid: ready\n\n".to_owned();
    for (index, case) in cases().iter().enumerate() {
        let space = SPACE.replace('-', "");
        let data = payload(case);
        text.push_str(&format!(
            "event: {}\ndata: {data}\nid: {space}_{}\n\n",
            case.kind,
            index + 1
        ));
    }
    text
}

#[tokio::test]
async fn scripts_see_one_form_of_what_is_written_in_two() {
    let space = SPACE.replace('-', "");
    let expected: Vec<Value> = cases()
        .into_iter()
        .enumerate()
        .map(|(index, case)| {
            let mut seen = case.seen;
            seen["type"] = json!(case.kind);
            seen["id"] = json!(format!("{space}_{}", index + 1));
            seen
        })
        .collect();

    let documented = as_stream(|case| case.documented.clone());
    let (seen, channel) = run_against(documented, json!("text")).await;
    assert_eq!(seen, expected, "the documented form");
    assert_eq!(channel, "text");

    let real = as_stream(|case| case.real.clone());
    let (seen, channel) = run_against(real, json!("Text")).await;
    assert_eq!(seen, expected, "the real form");
    assert_eq!(channel, "text");
}
