//! The embedded server over real sockets.

mod common {
    pub mod sse;
}

use std::time::Duration;

use argon_host::contract::{self, ROUTES};
use argon_host::sim::{Bot, Server, Settings};
use common::sse::Stream;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ALL: u64 = 16383;

/// A server with one verified bot, and a client.
struct World {
    server: Server,
    bot: Bot,
    http: reqwest::Client,
}

impl World {
    async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let server = Server::start(settings).await.expect("a free port");
        let bot = server.add_bot("demo", true);
        let http = reqwest::Client::new();
        Self { server, bot, http }
    }

    fn request(&self, bot: &Bot, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.server.base_url());
        let token = format!("Bot {}", bot.token.expose());
        self.http
            .request(method, url)
            .header("Authorization", token)
    }

    /// The status and the JSON of a request; null for an empty body.
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(&self.bot, method, path);
        answer(with_body(request, body)).await
    }

    async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, body) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn control(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_sim/{path}", self.server.base_url());
        let request = match body.is_null() {
            true => self.http.get(url),
            false => self.http.post(url),
        };
        answer(with_body(request, body)).await
    }

    async fn sim(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.control(path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn space(&self) -> Value {
        self.sim("state", Value::Null).await["spaces"][0].clone()
    }

    async fn channel(&self, name: &str) -> String {
        find(&self.space().await["channels"], "name", name, "channelId")
    }

    async fn person(&self, name: &str) -> String {
        find(
            &self.space().await["members"],
            "displayName",
            name,
            "userId",
        )
    }

    async fn stream(&self, intents: u64) -> Stream {
        let path = format!("/IEvents/v1/Stream?intents={intents}");
        let response = self.request(&self.bot, "GET", &path).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let mut stream = Stream::new(response);
        assert_eq!(stream.next().await.kind, "ready");
        stream
    }

    async fn say(&self, text: &str) -> String {
        let (channel, user) = (self.channel("general").await, self.person("Ada").await);
        let body = json!({"userId": user, "channelId": channel, "text": text});
        let answer = self.sim("message", body).await;
        answer["messageId"].as_str().expect("a text").to_owned()
    }
}

fn with_body(request: reqwest::RequestBuilder, body: Value) -> reqwest::RequestBuilder {
    match body.is_null() {
        true => request,
        false => request
            .header("Content-Type", "application/json")
            .body(body.to_string()),
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let body = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).expect("JSON"),
    };
    (status, body)
}

fn find(list: &Value, key: &str, value: &str, wanted: &str) -> String {
    let mut items = list.as_array().expect("a list").iter();
    let item = items.find(|item| item[key] == value);
    let found = item.and_then(|item| item[wanted].as_str());
    found
        .unwrap_or_else(|| panic!("no {value} in {list}"))
        .to_owned()
}

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
    let in_path = format!("/{}/IBotSelf/v1/GetMe", world.bot.token.expose());
    let (status, body) = world.call("GET", &in_path, Value::Null).await;
    assert_eq!(status, 404);
    assert!(!body.to_string().contains(world.bot.token.expose()));
}

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
async fn the_bot_finds_itself_its_space_and_its_channels() {
    let world = World::start().await;
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
    let world = World::start().await;
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
async fn channels_are_created_and_deleted_with_events() {
    let world = World::start().await;
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
    let world = World::start().await;
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
    let world = World::start().await;
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
    let world = World::start().await;
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
    let world = World::start().await;
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
    let world = World::start().await;
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
async fn time_can_be_moved_past_an_interaction_and_a_typing_indicator() {
    let world = World::start().await;
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
async fn reactions_are_counted_and_taken_back() {
    let world = World::start().await;
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
async fn voice_routes_are_checked_and_then_not_implemented() {
    let world = World::start().await;
    let (status, body) = world
        .call("POST", "/IVoice/v1/StreamToken", json!({}))
        .await;
    assert_eq!((status, &body["error"]), (501, &"not_implemented".into()));
}

#[tokio::test]
async fn the_stream_has_the_platforms_form_and_only_what_the_intents_ask_for() {
    let world = World::start().await;
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
    let world = World::start().await;
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
    world.sim("time", json!({"advance": 1})).await;
    drop(stream);
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
        ..Settings::default()
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
        ..Settings::default()
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
async fn the_window_refuses_what_is_too_much_and_slides() {
    // Long enough that the test cannot reach the window's end by itself; time is moved by hand.
    let world = World::start().await;
    let get = || world.call("GET", "/IBotSelf/v1/GetMe", Value::Null);
    for _ in 0..15 {
        assert_eq!(get().await.0, 200);
    }
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
        ..Settings::default()
    };
    let world = World::with(settings).await;
    let get = || world.call("GET", "/IBotSelf/v1/GetMe", Value::Null);
    while get().await.0 != 429 {}
    world.sim("time", json!({"advance": 6})).await;
    assert_eq!(get().await.0, 200);
}

#[tokio::test]
async fn the_open_stream_is_one_of_ten_requests_at_once() {
    let world = World::start().await;
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

/// A request whose body never ends: it holds one of the ten places.
async fn hold_a_place(world: &World) -> TcpStream {
    let before = world.server.address();
    let mut socket = TcpStream::connect(before).await.expect("a connection");
    // `Expect` makes the server ask for the body, which it does only when the request has its place.
    let head = format!(
        "POST /IMessages/v1/Send HTTP/1.1\r\nHost: {before}\r\nAuthorization: Bot {}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        world.bot.token.expose()
    );
    socket.write_all(head.as_bytes()).await.expect("open");
    let mut line = [0; 25];
    socket.read_exact(&mut line).await.expect("an answer");
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket
}

/// Asks until there is a place again. Each round is an answer of the server, not a sleep.
async fn until_admitted(world: &World) {
    for _ in 0..10_000 {
        if world.call("GET", "/ICommands/v1/List", Value::Null).await.0 == 200 {
            return;
        }
    }
    panic!("the place of the old stream never came back");
}

async fn page_events(world: &World) -> Stream {
    let url = format!("{}/_sim/events", world.server.base_url());
    let response = world.http.get(url).send().await.expect("an answer");
    Stream::new(response)
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
    assert_eq!(requests[1]["query"]["spaceId"], "[token]");
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
