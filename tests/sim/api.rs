//! Every interface of the Bot API.

use std::time::Duration;

use argon_host::contract::{self, ROUTES};
use argon_host::sim::Settings;
use serde_json::{Value, json};

use super::{World, answer, page_events};

#[tokio::test]
async fn both_bases_answer_every_route_of_the_contract() {
    let settings = Settings {
        segment: Duration::from_millis(1),
        ..Settings::default()
    };
    let world = World::with(settings).await;
    for base in ["", "/api/bot"] {
        for route in ROUTES.iter().filter(|route| route.name != "Stream") {
            let zero = "00000000-0000-0000-0000-000000000000";
            let query: Vec<String> = route
                .query
                .iter()
                .map(|field| match field.ty {
                    contract::Type::Guid => format!("{}={zero}", field.name),
                    _ => format!("{}=1", field.name),
                })
                .collect();
            let path = format!("{base}{}?{}", route.path(), query.join("&"));
            let body = match route.body {
                Some(_) => json!({}),
                None => Value::Null,
            };
            let (status, body) = world.call(route.method.as_str(), &path, body).await;
            // What exactly depends on the route; that it is there does not.
            assert!(status != 401 && status != 405, "{path}: {status} {body}");
            if status == 404 {
                assert!(
                    route.errors.iter().any(|code| body["error"] == *code),
                    "{path}: {body}"
                );
            }
            let log = world.sim("requests", Value::Null).await;
            let last = log["requests"].as_array().and_then(|r| r.last().cloned());
            let last = last.expect("a record");
            assert_eq!(last["path"], format!("{base}{}", route.path()));
            assert_eq!(last["method"], route.method.as_str());
            assert_eq!(
                (&last["bot"], &last["status"]),
                (&"demobot".into(), &status.into())
            );
        }
    }
}

#[tokio::test]
async fn the_bot_finds_itself_its_space_and_its_channels() {
    let world = World::quirky().await;
    let me = world.ok("GET", "/IBotSelf/v1/GetMe", Value::Null).await;
    assert_eq!(
        (&me["username"], &me["userId"]),
        (&"demobot".into(), &json!(world.bot.user_id))
    );
    let spaces = world.ok("GET", "/IBotSelf/v1/GetSpaces", Value::Null).await;
    let space = spaces["spaces"][0]["spaceId"]
        .as_str()
        .expect("an id")
        .to_owned();

    let reader = &world;
    let get = |path: String| async move { reader.ok("GET", &path, Value::Null).await };
    let detail = get(format!("/ISpaces/v1/Get?spaceId={space}")).await;
    assert_eq!(detail["isCommunity"], false);
    let members = get(format!("/ISpaces/v1/ListMembers?spaceId={space}")).await;
    assert_eq!(members["members"].as_array().map(Vec::len), Some(4));
    let ada = world.person("Ada").await;
    let member = get(format!(
        "/ISpaces/v1/GetMember?spaceId={space}&userId={ada}"
    ))
    .await;
    assert_eq!(member["displayName"], "Ada");

    let channels = get(format!("/IChannels/v1/List?spaceId={space}")).await;
    let types: Vec<&str> = channels["channels"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|channel| channel["channelType"].as_str())
        .collect();
    assert_eq!(types, ["Text", "Text", "Announcement", "Voice"]);

    let archetypes = get(format!("/IArchetypes/v1/List?spaceId={space}")).await;
    let id = archetypes["archetypes"][1]["archetypeId"]
        .as_str()
        .expect("an id");
    let one = get(format!(
        "/IArchetypes/v1/Get?spaceId={space}&archetypeId={id}"
    ))
    .await;
    assert!(one["permissions"].as_u64() > Some(1 << 53));
    let none = get(format!(
        "/IArchetypes/v1/ListMembers?spaceId={space}&archetypeId={id}"
    ))
    .await;
    assert_eq!(none["members"], json!([]));
    let calls = get("/ICalls/v20260401/Ringing".to_owned()).await;
    assert_eq!(calls["calls"], json!([]));
}

#[tokio::test]
async fn unknown_spaces_crash_and_others_are_not_a_members() {
    let world = World::quirky().await;
    let zero = "00000000-0000-0000-0000-000000000000";
    let path = format!("/ISpaces/v1/Get?spaceId={zero}");
    assert_eq!(
        world.call("GET", &path, Value::Null).await,
        (500, Value::Null)
    );
    let (status, _) = world.call("GET", "/ISpaces/v1/Get", Value::Null).await;
    assert_eq!(status, 400);

    let space = world.space().await["spaceId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let channel = world.channel("general").await;
    let gone = json!({"userId": world.bot.user_id, "leave": true});
    world.sim("member", gone).await;
    let path = format!("/ISpaces/v1/Get?spaceId={space}");
    let (status, body) = world.call("GET", &path, Value::Null).await;
    assert_eq!((status, &body["error"]), (403, &"not_a_member".into()));
    let send = json!({"channelId": channel, "text": "x"});
    let (status, body) = world.call("POST", "/IMessages/v1/Send", send).await;
    assert_eq!((status, &body["error"]), (403, &"not_a_member".into()));
}

#[tokio::test]
async fn channels_are_created_and_deleted_with_events() {
    let world = World::quirky().await;
    let mut stream = world.stream(4).await;
    let space = world.space().await["spaceId"].clone();
    let body = json!({"spaceId": space, "name": "ideas", "channelType": 1});
    let made = world.ok("POST", "/IChannels/v1/Create", body).await;
    assert_eq!(made["channelType"], "Voice");
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data["channel"]["type"]),
        ("channelCreate", &1.into())
    );
    let id = made["channelId"].as_str().expect("an id");
    let space = space.as_str().expect("an id");
    let path = format!("/IChannels/v1/Delete?spaceId={space}&channelId={id}");
    let gone = world.ok("DELETE", &path, Value::Null).await;
    assert_eq!(gone, json!({"deleted": true}));
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data["channelId"]),
        ("channelDelete", &id.into())
    );
}

#[tokio::test]
async fn messages_are_sent_once_per_random_id_and_come_back() {
    let world = World::quirky().await;
    let mut stream = world.stream(1).await;
    let channel = world.channel("general").await;
    let body = json!({
        "channelId": channel,
        "text": "𝄞 bold",
        "entities": [{"type": 10, "offset": 3, "length": 4, "version": 1}],
        "controls": [{"controls": [{"type": 0, "variant": 0, "id": "go", "label": "Go"}]}],
        "randomId": i64::MIN,
    });
    let first = world.ok("POST", "/IMessages/v1/Send", body.clone()).await;
    let again = world.ok("POST", "/IMessages/v1/Send", body).await;
    assert_eq!(first, again);
    assert!(first["messageId"].as_i64() > Some(1 << 53));

    let event = stream.next().await;
    assert_eq!(event.kind, "messageCreate");
    let message = &event.data["message"];
    assert_eq!(message["messageId"], first["messageId"]);
    assert_eq!(message["controls"], Value::Null);
    assert_eq!(message["sender"]["userId"], json!(world.bot.user_id));
    assert_eq!(message["sender"]["flags"], 5);
    assert_eq!(message["entities"][0]["type"], 10);
    assert_eq!(message["entities"][0]["hashtag"], Value::Null);

    let path = format!("/IMessages/v1/History?channelId={channel}");
    let history = world.ok("GET", &path, Value::Null).await;
    let messages = history["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), 1);
    let entity = &messages[0]["entities"][0];
    assert_eq!(
        (&entity["unionKey"], &entity["version"]),
        (&"MessageEntityBold".into(), &1.into())
    );
    assert_eq!(messages[0]["controls"][0]["controls"][0]["id"], "go");

    for _ in 0..3 {
        world.say("more").await;
    }
    let path = format!("{path}&limit=2&from={}", i64::MAX);
    let page = world.ok("GET", &path, Value::Null).await;
    let page = page["messages"].as_array().expect("a list").clone();
    assert_eq!(page.len(), 2);
    assert!(page[0]["messageId"].as_i64() > page[1]["messageId"].as_i64());
}

#[tokio::test]
async fn bad_messages_are_refused_as_on_the_platform() {
    let world = World::quirky().await;
    let (general, lounge) = (
        world.channel("general").await,
        world.channel("Lounge").await,
    );
    let zero = "00000000-0000-0000-0000-000000000000";
    for (body, expected) in [
        (json!({"channelId": zero, "text": "x"}), 500),
        (json!({"text": "no channel is the zero channel"}), 500),
        (json!({"channelId": lounge, "text": "x"}), 500),
        (
            json!({"channelId": general, "text": "x", "controls": [{"controls": []}]}),
            500,
        ),
        (json!({"channelId": general, "text": 5}), 400),
        (
            json!({"channelId": general, "text": "x", "entities": [{"type": "bold"}]}),
            400,
        ),
        (json!([]), 400),
    ] {
        let (status, answer) = world.call("POST", "/IMessages/v1/Send", body.clone()).await;
        assert_eq!(status, expected, "{body}");
        assert_eq!(answer.is_null(), expected == 500, "{answer}");
    }
    let request = world.request(&world.bot, "POST", "/IMessages/v1/Send");
    let (status, _) = answer(request.body("{nonsense")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn commands_are_kept_apart_and_run_with_checked_options() {
    let world = World::quirky().await;
    let mut stream = world.stream(64).await;
    let space = world.space().await["spaceId"].clone();
    let command = json!({
        "name": "Roll", "description": "Roll dice", "spaceId": space,
        "options": [{"name": "sides", "type": 1, "description": "How many", "required": true}],
    });
    let made = world
        .ok("POST", "/ICommands/v1/Register", command.clone())
        .await;
    assert_eq!(made["name"], "roll");
    let twice = world.call("POST", "/ICommands/v1/Register", command).await;
    assert_eq!(twice, (500, Value::Null));
    let list = world.ok("GET", "/ICommands/v1/List", Value::Null).await;
    assert_eq!(list["commands"][0]["options"][0]["type"], 1);

    let shown = world.sim("commands", Value::Null).await;
    let option = &shown["commands"][0]["options"][0];
    assert_eq!(
        (&option["type"], &option["choices"]),
        (&"integer".into(), &json!([]))
    );
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let run = |options: Value| json!({"userId": ada, "channelId": channel, "name": "roll", "options": options});
    let (status, body) = world.control("command", run(json!({"sides": "six"}))).await;
    assert_eq!((status, &body["error"]), (400, &"bad_request".into()));
    let id = world.sim("command", run(json!({"sides": 6}))).await["interactionId"].clone();
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data["interactionId"]),
        ("commandInteraction", &id)
    );
    assert_eq!(event.data["options"][0]["value"], 6);
    assert_eq!(event.data["user"]["displayName"], "Ada");

    let patch = json!({"commandId": made["commandId"], "description": "Else"});
    let patched = world.ok("PATCH", "/ICommands/v1/Update", patch).await;
    assert_eq!(
        (&patched["description"], &patched["name"]),
        (&"Else".into(), &"roll".into())
    );
    let path = format!(
        "/ICommands/v1/Delete?commandId={}",
        made["commandId"].as_str().expect("an id")
    );
    world.ok("DELETE", &path, Value::Null).await;
    let (status, body) = world.call("DELETE", &path, Value::Null).await;
    assert_eq!((status, &body["error"]), (404, &"not_found".into()));
}

#[tokio::test]
async fn an_interaction_goes_from_click_to_modal_to_edit() {
    let world = World::quirky().await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let mut stream = world.stream(1 << 13 | 1).await;
    let mut page = page_events(&world).await;
    let button = json!({"type": 0, "variant": 0, "id": "go", "label": "Go"});
    let send = json!({"channelId": channel, "text": "Go?", "randomId": 1,
        "controls": [{"controls": [button]}]});
    let message = world.ok("POST", "/IInteractions/v1/Reply", send).await["messageId"].clone();
    assert_eq!(stream.next().await.kind, "messageCreate");
    assert_eq!(page.next().await.data["type"], "message");

    let click =
        json!({"userId": ada, "channelId": channel, "messageId": message, "controlId": "go"});
    let id = world.sim("click", click).await["interactionId"].clone();
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data["controlId"]),
        ("controlInteraction", &"go".into())
    );

    let interaction = json!({"interactionId": id});
    world
        .ok("POST", "/IInteractions/v1/Defer", interaction.clone())
        .await;
    world
        .ok("POST", "/IInteractions/v1/Ack", interaction.clone())
        .await;
    assert_eq!(page.next().await.data["type"], "defer");
    assert_eq!(page.next().await.data["type"], "ack");

    let component = json!({"type": "textInput", "customId": "text", "label": "Text"});
    let form = json!({"customId": "form", "title": "Form", "components": [component]});
    let open = json!({"interactionId": id, "modal": form});
    let modal =
        world.ok("POST", "/IInteractions/v1/Modal", open).await["modalInteractionId"].clone();
    let shown = page.next().await.data;
    assert_eq!(
        (&shown["type"], &shown["modalInteractionId"]),
        (&"modal".into(), &modal)
    );
    assert_eq!(shown["modal"]["components"][0]["type"], "textInput");
    let (status, body) = world
        .call("POST", "/IInteractions/v1/Ack", interaction)
        .await;
    assert_eq!(
        (status, &body["error"]),
        (404, &"interaction_not_found".into())
    );

    let submit = json!({"userId": ada, "modalInteractionId": modal, "values": {"text": ["hi"]}});
    world.sim("submit", submit).await;
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data["customId"]),
        ("modalSubmit", &modal)
    );
    assert_eq!(
        event.data["values"],
        json!([{"customId": "text", "values": ["hi"]}])
    );

    let edit = json!({"channelId": channel, "messageId": message, "text": "Done", "controls": []});
    world
        .ok("PATCH", "/IInteractions/v1/EditMessage", edit)
        .await;
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data["text"]),
        ("messageEdit", &"Done".into())
    );
    let shown = page.next().await.data;
    assert_eq!(
        (&shown["type"], &shown["message"]["edited"]),
        (&"edit".into(), &true.into())
    );
    assert_eq!(shown["message"]["controls"], Value::Null);
}

#[tokio::test]
async fn an_invalid_modal_is_a_bare_500_and_uses_the_interaction_up() {
    let world = World::quirky().await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let command = json!({"name": "ask", "description": "Ask"});
    world.ok("POST", "/ICommands/v1/Register", command).await;
    let run = json!({"userId": ada, "channelId": channel, "name": "ask"});
    let id = world.sim("command", run).await["interactionId"].clone();
    let bad = json!({"interactionId": id, "modal": {"title": "No components"}});
    let answer = world.call("POST", "/IInteractions/v1/Modal", bad).await;
    assert_eq!(answer, (500, Value::Null));
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
async fn reactions_are_counted_and_taken_back() {
    let world = World::quirky().await;
    let mut stream = world.stream(8).await;
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let id = world.say("react").await;
    let own = json!({"channelId": channel, "messageId": id, "emoji": "👍"});
    world.ok("POST", "/IReactions/v1/Add", own.clone()).await;
    let (status, body) = world.call("POST", "/IReactions/v1/Add", own.clone()).await;
    assert_eq!((status, &body["error"]), (409, &"already_reacted".into()));
    let theirs = json!({"userId": ada, "channelId": channel, "messageId": id, "emoji": "👍"});
    world.sim("react", theirs).await;
    for user in [&world.bot.user_id, &ada] {
        let event = stream.next().await;
        assert_eq!(
            (&*event.kind, &event.data["userId"]),
            ("reactionAdd", &json!(user))
        );
    }
    let batch = json!({"channelId": channel, "messageIds": [id, 5]});
    let read = world.ok("POST", "/IReactions/v1/BatchGet", batch).await;
    assert_eq!(
        read["messages"][0]["reactions"],
        json!([{"count": 2, "emoji": "👍", "userIds": [world.bot.user_id, ada]}])
    );
    let path = format!("/IReactions/v1/List?channelId={channel}&messageId={id}");
    let (status, _) = world.call("GET", &path, Value::Null).await;
    assert_eq!(status, 404);
    world
        .ok("DELETE", "/IReactions/v1/Remove", own.clone())
        .await;
    assert_eq!(stream.next().await.kind, "reactionRemove");
    let (status, body) = world.call("DELETE", "/IReactions/v1/Remove", own).await;
    assert_eq!(
        (status, &body["error"]),
        (404, &"reaction_not_found".into())
    );
}

#[tokio::test]
async fn people_join_voice_and_are_kicked() {
    let world = World::start().await;
    let mut stream = world.stream(1 << 11).await;
    let (ada, lounge) = (world.person("Ada").await, world.channel("Lounge").await);
    let space = world.space().await["spaceId"]
        .as_str()
        .expect("an id")
        .to_owned();
    world
        .sim("voice", json!({"userId": ada, "channelId": lounge}))
        .await;
    assert_eq!(stream.next().await.kind, "voiceJoin");
    let path = format!("/IMembers/v1/Kick?spaceId={space}&channelId={lounge}&userId={ada}");
    let kicked = world.ok("POST", &path, Value::Null).await;
    assert_eq!(kicked, json!({"kicked": true}));
    assert_eq!(stream.next().await.kind, "voiceLeave");
    let (status, body) = world.call("POST", &path, Value::Null).await;
    assert_eq!((status, &body["error"]), (400, &"kick_failed".into()));
}

#[tokio::test]
async fn the_commands_of_a_space_are_the_global_ones_and_its_own() {
    let world = World::start().await;
    let space = world.space().await["spaceId"].clone();
    let register = "/ICommands/v1/Register";
    for (name, scope) in [("everywhere", Value::Null), ("here", space.clone())] {
        let command = json!({"name": name, "description": "x", "spaceId": scope});
        world.ok("POST", register, command).await;
    }
    let other = world.server.add_bot("other", true);
    let theirs = json!({"name": "theirs", "description": "x"});
    let request = world.request(&other, "POST", register);
    assert_eq!(answer(super::with_body(request, theirs)).await.0, 200);
    let path = format!(
        "/ICommands/v1/ListForSpace?spaceId={}",
        space.as_str().expect("an id")
    );
    let list = world.ok("GET", &path, Value::Null).await;
    let names = list["commands"].as_array().expect("a list").iter();
    let names: Vec<_> = names.map(|command| command["name"].clone()).collect();
    assert_eq!(names, ["everywhere", "here"]);
}

#[tokio::test]
async fn interactions_reach_every_bot_in_the_space() {
    let world = World::quirky().await;
    let other = world.server.add_bot("other", true);
    let path = format!("/IEvents/v1/Stream?intents={}", 1 << 6 | 1 << 13);
    let response = world.request(&other, "GET", &path).send().await;
    let mut others = super::sse::Stream::new(response.expect("an answer"));
    assert_eq!(others.next().await.kind, "ready");
    let command = json!({"name": "wait", "description": "Wait"});
    let id = world.ok("POST", "/ICommands/v1/Register", command).await["commandId"].clone();
    let (ada, channel) = (world.person("Ada").await, world.channel("general").await);
    let run = json!({"userId": ada, "channelId": channel, "name": "wait"});
    let ran = world.sim("command", run).await["interactionId"].clone();
    let event = others.next().await;
    assert_eq!(
        (&*event.kind, &event.data["commandId"]),
        ("commandInteraction", &id)
    );

    let send = json!({"channelId": channel, "text": "x", "randomId": 1, "controls": [
        {"controls": [{"type": 0, "variant": 0, "id": "go", "label": "Go"}]},
        {"controls": [{"type": 2, "customId": "who"}]}]});
    let message = world.ok("POST", "/IMessages/v1/Send", send).await["messageId"].to_string();
    let on = json!({"userId": ada, "channelId": channel, "messageId": message});
    let mut click = on.clone();
    click["controlId"] = "go".into();
    world.sim("click", click).await;
    assert_eq!(others.next().await.kind, "controlInteraction");
    let mut choose = on;
    choose["customId"] = "who".into();
    choose["values"] = json!([ada]);
    world.sim("select", choose).await;
    assert_eq!(others.next().await.kind, "selectInteraction");
    // It hears of them, and that is all.
    let ack = json!({"interactionId": ran});
    let request = world.request(&other, "POST", "/IInteractions/v1/Ack");
    let (status, body) = answer(super::with_body(request, ack)).await;
    assert_eq!(
        (status, &body["error"]),
        (404, &"interaction_not_found".into())
    );
}

#[tokio::test]
async fn history_shows_reactions_late() {
    let world = World::quirky().await;
    let channel = world.channel("general").await;
    let message: i64 = world.say("hi").await.parse().expect("a number");
    let react = json!({"channelId": channel, "messageId": message, "emoji": "x"});
    world.ok("POST", "/IReactions/v1/Add", react).await;
    let path = format!("/IMessages/v1/History?channelId={channel}");
    let reader = &world;
    let shown = async || {
        let page = reader.ok("GET", &path, Value::Null).await;
        page["messages"][0]["reactions"].as_array().map(Vec::len)
    };
    assert_eq!(shown().await, Some(0));
    let batch = json!({"channelId": channel, "messageIds": [message]});
    let batch = world.ok("POST", "/IReactions/v1/BatchGet", batch).await;
    assert_eq!(batch["messages"][0]["reactions"][0]["count"], 1);
    world.sim("time", json!({"advance": 3})).await;
    assert_eq!(shown().await, Some(1));
}

#[tokio::test]
async fn typing_that_is_stopped_is_told_once() {
    let world = World::start().await;
    let mut stream = world.stream(16).await;
    let channel = json!({"channelId": world.channel("general").await});
    for path in ["Start", "Stop", "Stop", "Start"] {
        let path = format!("/ITyping/v1/{path}");
        world.ok("POST", &path, channel.clone()).await;
    }
    for kind in ["typingStart", "typingStop", "typingStart"] {
        assert_eq!(stream.next().await.kind, kind);
    }
}

#[tokio::test]
async fn a_token_may_stand_in_the_path_and_the_log_does_not_show_it() {
    let world = World::start().await;
    let token = world.bot.token.expose();
    let base = world.server.base_url();
    for before in ["", "/api/bot"] {
        for token in [token.to_owned(), token.replace(':', "%3A")] {
            let url = format!("{base}{before}/{token}/IBotSelf/v1/GetMe");
            let (status, me) = answer(world.http.get(url)).await;
            assert_eq!((status, &me["username"]), (200, &"demobot".into()));
        }
    }
    let url = format!("{base}/0:wrong/IBotSelf/v1/GetMe");
    assert_eq!(answer(world.http.get(url)).await.0, 401);
    let log = world.sim("requests", Value::Null).await;
    assert_eq!(log["requests"].as_array().map(Vec::len), Some(5));
    let secret = token.split(':').nth(1).expect("a secret");
    assert!(!log.to_string().contains(secret), "{log}");
}
