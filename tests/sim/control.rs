//! The control API and the pages.

use argon_host::contract;
use argon_host::sim::{Server, Settings};
use serde_json::{Value, json};

use super::{ALL, World, answer, page_events, with_body};

#[tokio::test]
async fn the_base_lists_the_interfaces_and_shows_browsers_the_page() {
    let world = World::start().await;
    for path in ["/", "/api/bot/", "/api/bot"] {
        let url = format!("{}{path}", world.server.base_url());
        let (status, body) = answer(world.http.get(url)).await;
        assert_eq!(status, 200);
        let interfaces = body["interfaces"].as_array().expect("a list");
        assert_eq!(interfaces.len(), contract::INTERFACES.len());
        assert_eq!(interfaces[0]["versions"][0]["isDeprecated"], false);
    }
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/playground/style.css", "text/css; charset=utf-8"),
        ("/playground/app.js", "text/javascript; charset=utf-8"),
    ] {
        let url = format!("{}{path}", world.server.base_url());
        let request = world.http.get(url).header("Accept", "text/html,*/*");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], kind);
    }
}

#[tokio::test]
async fn time_can_be_moved_past_an_interaction_and_a_typing_indicator() {
    let world = World::quirky().await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let mut stream = world.stream(16).await;
    let mut page = page_events(&world).await;
    let command = json!({"name": "wait", "description": "Wait"});
    world.ok("POST", "/ICommands/v1/Register", command).await;
    assert_eq!(page.next().await.data["type"], "commands");
    let run = json!({"userId": ada, "channelId": channel, "name": "wait"});
    let id = world.sim("command", run).await["interactionId"].clone();
    let typing = json!({"channelId": channel, "kind": "Thinking"});
    world.ok("POST", "/ITyping/v1/Start", typing).await;
    assert_eq!(stream.next().await.data["kind"], "THINKING");
    assert_eq!(page.next().await.data["kind"], "thinking");

    world.sim("time", json!({"advance": 60})).await;
    assert_eq!(stream.next().await.kind, "typingStop");
    assert_eq!(page.next().await.data["type"], "typingStop");
    let expired = page.next().await.data;
    assert_eq!(
        (&expired["type"], &expired["interactionId"]),
        (&"expired".into(), &id)
    );
    let (status, _) = world
        .call(
            "POST",
            "/IInteractions/v1/Ack",
            json!({"interactionId": id}),
        )
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn foreign_hosts_and_origins_do_not_reach_the_control_api() {
    let world = World::start().await;
    let base = world.server.base_url();
    let get = |path: &str| world.http.get(format!("{base}{path}"));
    for path in ["/_sim/state", "/", "/playground/app.js"] {
        let (status, body) = answer(get(path).header("Host", "evil.example")).await;
        assert_eq!((status, &body["error"]), (403, &"forbidden".into()));
        let (status, _) = answer(get(path).header("Origin", "http://evil.example")).await;
        assert_eq!(status, 403);
    }
    let (status, _) = answer(get("/_sim/state").header("Origin", &base)).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_request_log_shows_everything_but_the_token() {
    let world = World::start().await;
    let token = world.bot.token.expose().to_owned();
    let channel = world.channel("general").await;
    let body = json!({"channelId": channel, "text": format!("my token is {token}")});
    world.ok("POST", "/IMessages/v1/Send", body).await;
    let path = format!("/ISpaces/v1/Get?spaceId={token}");
    world.call("GET", &path, Value::Null).await;
    let log = world.sim("requests?after=0", Value::Null).await;
    assert!(!log.to_string().contains(&token));
    let requests = log["requests"].as_array().expect("a list");
    assert_eq!(requests[0]["body"]["text"], "my token is [token]");
    assert!(requests[0]["answer"]["messageId"].is_i64());
    assert_eq!(requests[1]["query"]["spaceId"], "[token]");
    assert_eq!(requests[1]["answer"]["error"], "bad_request");
    assert_eq!(
        (&requests[1]["status"], &requests[1]["error"]),
        (&400.into(), &"bad_request".into())
    );
    let rest = world.sim("requests?after=1", Value::Null).await;
    assert_eq!(rest["requests"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_control_api_names_what_is_wrong() {
    let world = World::start().await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    for (path, body, status) in [
        ("message", json!({"userId": ada, "channelId": channel}), 400),
        (
            "message",
            json!({"userId": ada, "channelId": channel, "text": "x", "txt": 1}),
            400,
        ),
        (
            "message",
            json!({"userId": channel, "channelId": channel, "text": "x"}),
            404,
        ),
        (
            "edit",
            json!({"userId": ada, "channelId": channel, "messageId": "1", "text": "x"}),
            404,
        ),
        ("member", json!({"displayName": "Dana"}), 400),
        ("emit", json!({"type": "x"}), 400),
        ("time", json!({"advance": -1}), 400),
        (
            "command",
            json!({"userId": ada, "channelId": channel, "name": "none"}),
            404,
        ),
        ("messages", Value::Null, 404),
    ] {
        let (got, answer) = world.control(path, body).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|m| !m.is_empty()));
    }
}

#[tokio::test]
async fn people_write_edit_and_come_and_go() {
    let world = World::start().await;
    let mut stream = world.stream(ALL).await;
    let space = world.space().await["spaceId"].clone();
    let made = world
        .sim("member", json!({"spaceId": space, "displayName": "Dana"}))
        .await;
    let (dana, channel) = (made["userId"].clone(), world.channel("random").await);
    let body = json!({"userId": dana, "channelId": channel, "text": "hello",
        "entities": [{"type": "bold", "offset": 0, "length": 5}]});
    let id = world.sim("message", body).await["messageId"].clone();
    let body = json!({"userId": dana, "channelId": channel, "messageId": id, "text": "bye"});
    world.sim("edit", body).await;
    world
        .sim("member", json!({"userId": dana, "leave": true}))
        .await;
    for kind in ["memberJoin", "messageCreate", "messageEdit", "memberLeave"] {
        assert_eq!(stream.next().await.kind, kind);
    }
    let path = format!("messages?channelId={channel}");
    let shown = world.sim(&path, Value::Null).await["messages"][0].clone();
    assert_eq!(
        (&shown["text"], &shown["edited"]),
        (&"bye".into(), &true.into())
    );
    assert_eq!(
        (&shown["messageId"], &shown["sender"]["displayName"]),
        (&id, &"Dana".into())
    );
}

#[tokio::test]
async fn messages_come_in_pages_and_the_pages_meet() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.say(&n.to_string()).await);
    }
    let channel = world.channel("general").await;
    let page = async |more: &str| -> Vec<String> {
        let path = format!("messages?channelId={channel}&limit=2{more}");
        let answer = world.sim(&path, Value::Null).await;
        let messages = answer["messages"].as_array().expect("a list").iter();
        let ids = messages.map(|message| message["messageId"].as_str().expect("a text"));
        ids.map(str::to_owned).collect()
    };
    assert_eq!(page("").await, ids[3..]);
    assert_eq!(page(&format!("&before={}", ids[3])).await, ids[1..3]);
    assert_eq!(page(&format!("&before={}", ids[1])).await, ids[..1]);
    assert!(page(&format!("&before={}", ids[0])).await.is_empty());
    for wrong in ["before=x", "limit=0", "limit=501"] {
        let path = format!("messages?channelId={channel}&{wrong}");
        assert_eq!(world.control(&path, Value::Null).await.0, 400, "{wrong}");
    }
    let (status, answer) = world.control("messages", json!({})).await;
    let code = &answer["error"];
    assert_eq!((status, code), (405, &"method_not_allowed".into()));
}

#[tokio::test]
async fn pages_hear_that_the_commands_of_a_bot_have_gone_with_it() {
    let world = World::start().await;
    let command = json!({"name": "wait", "description": "Wait"});
    world.ok("POST", "/ICommands/v1/Register", command).await;
    let mut page = page_events(&world).await;
    let leave = json!({"userId": world.bot.user_id, "leave": true});
    world.sim("member", leave).await;
    assert_eq!(page.next().await.data["type"], "world");
    assert_eq!(page.next().await.data["type"], "commands");
    let left = world.sim("commands", Value::Null).await;
    assert_eq!(left["commands"], json!([]));
}

#[tokio::test]
async fn a_newcomer_with_a_name_in_another_script_has_a_username() {
    let world = World::start().await;
    let space = world.space().await["spaceId"].clone();
    let newcomer = json!({"spaceId": space, "displayName": "Дора"});
    let id = world.sim("member", newcomer).await["userId"].clone();
    let members = world.space().await["members"].clone();
    let mut members = members.as_array().expect("a list").iter();
    let dora = members.find(|member| member["userId"] == id);
    let username = dora.and_then(|member| member["username"].as_str());
    assert!(username.is_some_and(|name| name.starts_with("newcomer")));
}

#[tokio::test]
async fn a_taken_address_is_named_with_the_way_out() {
    let world = World::start().await;
    let settings = Settings {
        listen: world.server.address(),
        ..Settings::default()
    };
    let error = Server::start(settings)
        .await
        .err()
        .expect("taken")
        .to_string();
    assert!(
        error.contains(&world.server.address().to_string()),
        "{error}"
    );
    assert!(error.contains("port 0 takes any free port"), "{error}");
}

/// The table says what each route takes; serde, which does the reading, says it once more.
#[tokio::test]
async fn the_documented_fields_are_the_fields() {
    let world = World::start().await;
    for row in argon_host::sim::CONTROL {
        let url = format!("{}/_sim{}", world.server.base_url(), row.path);
        // Not a struct of the request: read against the table of faults, or a snapshot.
        if matches!(row.path, "/fault" | "/restore") {
            continue;
        }
        let (status, answer) = match row.method {
            "POST" => {
                let body = json!({ "nobodysField": 1 });
                answer(with_body(world.http.post(url), body)).await
            }
            method => {
                let method = method.parse().expect("a method");
                let url = format!("{url}?nobodysField=1");
                answer(world.http.request(method, url)).await
            }
        };
        let message = answer["message"].as_str().expect("a message");
        assert_eq!(status, 400, "{}: {answer}", row.path);
        assert!(message.contains("nobodysField"), "{}: {message}", row.path);
        if row.method != "POST" {
            continue;
        }
        // unknown field `x`, expected one of `a`, `b` at line 1 column 2
        let (_, expected) = message.split_once("expected ").unwrap_or_default();
        let mut fields: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        let mut documented: Vec<_> = row
            .takes
            .iter()
            .map(|name| name.trim_end_matches('?'))
            .collect();
        fields.sort_unstable();
        documented.sort_unstable();
        assert_eq!(documented, fields, "{}", row.path);
    }
}
