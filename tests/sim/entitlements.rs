//! Who may do what where: archetypes, channels, bots' grants, and the events about them.

use argon_host::sim::Bot;
use serde_json::{Value, json};

use super::{ALL, World, answer, settings, until_closed, with_body};

/// One call of the bot with its query and body.
type Act = (&'static str, &'static str, Value);

async fn refused(world: &World, act: &Act) -> String {
    let (status, body) = world.call(act.0, act.1, act.2.clone()).await;
    assert_eq!(status, 403, "{act:?}: {body}");
    assert_eq!(body["error"], "insufficient_permissions", "{act:?}");
    body["message"].as_str().expect("a text").to_owned()
}

async fn grant(world: &World, names: &[&str]) {
    let body = json!({"bot": "demobot", "granted": names});
    world.sim("entitlements", body).await;
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn every_act_of_a_bot_needs_its_entitlement() {
    let world = World::start().await;
    let id = world.space().await["spaceId"].clone();
    let space = id.as_str().expect("an id");
    let (general, lounge) = (
        world.channel("general").await,
        world.channel("Lounge").await,
    );
    let ada = world.person("Ada").await;
    let message: i64 = world.say("hi").await.parse().expect("a number");
    let join = json!({"userId": ada, "channelId": lounge});
    world.sim("voice", join).await;
    let post = |path, body| ("POST", path, body);
    let text = |more: Value| {
        let mut body =
            json!({"channelId": general, "text": "hello", "randomId": rand::random::<i64>()});
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        body
    };
    let entity = |kind: i64| json!({"type": kind, "offset": 0, "length": 5, "version": 1, "userId": ada, "archetypeId": ada});
    let voice = json!({"spaceId": space, "channelId": lounge});
    let hear = json!({"spaceId": space, "channelId": lounge, "userId": ada});
    let kick = leak(format!(
        "/IMembers/v1/Kick?spaceId={space}&channelId={lounge}&userId={ada}"
    ));
    let history = leak(format!("/IMessages/v1/History?channelId={general}"));
    let delete = leak(format!(
        "/IChannels/v1/Delete?spaceId={space}&channelId={general}"
    ));
    let react = json!({"channelId": general, "messageId": message, "emoji": "x"});
    let channel = json!({"spaceId": space, "name": "new", "channelType": 0});
    let typing = json!({"channelId": general});
    // What is granted beside seeing the channel, what is missing, and the act.
    let acts: Vec<(&[&str], &str, Act)> = vec![
        (&[], "readHistory", ("GET", history, Value::Null)),
        (
            &[],
            "sendMessages",
            post("/IMessages/v1/Send", text(json!({}))),
        ),
        (
            &[],
            "sendMessages",
            post("/IInteractions/v1/Reply", text(json!({}))),
        ),
        (
            &["sendMessages"],
            "anyMentions",
            post("/IMessages/v1/Send", text(json!({"entities": [entity(1)]}))),
        ),
        (
            &["sendMessages", "anyMentions"],
            "mentionEveryone",
            post("/IMessages/v1/Send", text(json!({"entities": [entity(2)]}))),
        ),
        (
            &["sendMessages"],
            "anyMentions",
            post("/IMessages/v1/Send", text(json!({"entities": [entity(3)]}))),
        ),
        (&[], "addReactions", post("/IReactions/v1/Add", react)),
        (&[], "sendMessages", post("/ITyping/v1/Start", typing)),
        (&["connect"], "speak", post("/IVoice/v1/StreamToken", voice)),
        (
            &["speak"],
            "connect",
            post("/IVoiceEgress/v20260401/SubscribeTrack", hear),
        ),
        (&[], "kickMember", ("POST", kick, Value::Null)),
        (&[], "manageChannels", post("/IChannels/v1/Create", channel)),
        (&[], "manageChannels", ("DELETE", delete, Value::Null)),
    ];
    for (granted, missing, act) in &acts {
        grant(&world, &[&["viewChannel"], *granted].concat()).await;
        let message = refused(&world, act).await;
        assert!(message.contains(missing), "{act:?}: {message}");
    }
    // Each of them is fine as soon as that one is granted.
    for (granted, missing, act) in &acts {
        grant(&world, &[&["viewChannel", missing], *granted].concat()).await;
        let (status, body) = world.call(act.0, act.1, act.2.clone()).await;
        assert_eq!(status, 200, "{act:?}: {body}");
    }
}

#[tokio::test]
async fn a_bot_sees_and_hears_nothing_of_a_hidden_channel() {
    let world = World::start().await;
    let space = world.space().await;
    let id = space["spaceId"].as_str().expect("an id").to_owned();
    let everyone = &space["archetypes"][0]["archetypeId"];
    let general = world.channel("general").await;
    let mut stream = world.stream(ALL).await;
    // The moderators still see it.
    let moderator = &space["archetypes"][1]["archetypeId"];
    let hide = json!({"channelId": general, "overrides": [
        {"archetypeId": everyone, "deny": ["viewChannel"]},
        {"archetypeId": moderator, "allow": ["viewChannel"]},
    ]});
    world.sim("channel", hide).await;

    world.say("in the dark").await;
    let (boris, random) = (world.person("Boris").await, world.channel("random").await);
    let whisper = json!({"userId": boris, "channelId": general, "text": "x"});
    let (status, body) = world.control("message", whisper).await;
    assert_eq!(
        (status, &body["error"]),
        (403, &"insufficient_permissions".into())
    );
    let shout = json!({"userId": boris, "channelId": random, "text": "in the light"});
    world.sim("message", shout).await;
    let event = stream.next().await;
    assert_eq!(event.data["message"]["text"], "in the light");

    let list = format!("/IChannels/v1/List?spaceId={id}");
    let list = world.ok("GET", &list, Value::Null).await;
    let names = list["channels"].as_array().expect("a list").iter();
    let names: Vec<_> = names.map(|channel| channel["name"].clone()).collect();
    assert_eq!(names, ["random", "news", "Lounge"]);
    for (method, path, body) in [
        (
            "GET",
            format!("/IMessages/v1/History?channelId={general}"),
            Value::Null,
        ),
        (
            "POST",
            "/ITyping/v1/Stop".to_owned(),
            json!({"channelId": general}),
        ),
        (
            "POST",
            "/IReactions/v1/BatchGet".to_owned(),
            json!({"channelId": general, "messageIds": [1]}),
        ),
    ] {
        let (status, body) = world.call(method, &path, body).await;
        assert_eq!(
            (status, &body["error"]),
            (403, &"insufficient_permissions".into())
        );
    }
}

#[tokio::test]
async fn people_need_entitlements_too() {
    let world = World::start().await;
    let space = world.space().await;
    let everyone = &space["archetypes"][0]["archetypeId"];
    let (general, lounge) = (
        world.channel("general").await,
        world.channel("Lounge").await,
    );
    let boris = world.person("Boris").await;
    let message = world.say("hi").await;
    world
        .ok(
            "POST",
            "/ICommands/v1/Register",
            json!({"name": "wait", "description": "Wait"}),
        )
        .await;
    let only = |names: &[&str]| json!({"spaceId": space["spaceId"], "archetypeId": everyone, "permissions": names});
    let acts = [
        (
            "message",
            "sendMessages",
            json!({"userId": boris, "channelId": general, "text": "x"}),
        ),
        (
            "react",
            "addReactions",
            json!({"userId": boris, "channelId": general, "messageId": message, "emoji": "x"}),
        ),
        (
            "typing",
            "sendMessages",
            json!({"userId": boris, "channelId": general}),
        ),
        (
            "command",
            "useCommands",
            json!({"userId": boris, "channelId": general, "name": "wait"}),
        ),
        (
            "voice",
            "connect",
            json!({"userId": boris, "channelId": lounge}),
        ),
    ];
    for (path, needed, body) in acts {
        world.sim("archetype", only(&["viewChannel"])).await;
        let (status, answer) = world.control(path, body.clone()).await;
        assert_eq!(
            (status, &answer["error"]),
            (403, &"insufficient_permissions".into()),
            "{path}"
        );
        world.sim("archetype", only(&["viewChannel", needed])).await;
        world.sim(path, body).await;
    }
    // Boris may be in the voice channel, but has nothing to speak with.
    let speak = json!({"userId": boris, "channelId": lounge, "packets": ["+P/+"]});
    let (status, answer) = world.control("speak", speak).await;
    assert_eq!(
        (status, &answer["error"]),
        (403, &"insufficient_permissions".into())
    );
    let everybody = json!({"userId": boris, "channelId": general, "text": "all",
        "entities": [{"type": "mentionEveryone", "offset": 0, "length": 3}]});
    world
        .sim(
            "archetype",
            only(&["viewChannel", "sendMessages", "anyMentions"]),
        )
        .await;
    assert_eq!(world.control("message", everybody.clone()).await.0, 403);
    let allowed = ["viewChannel", "sendMessages", "mentionEveryone"];
    world.sim("archetype", only(&allowed)).await;
    world.sim("message", everybody).await;
}

#[tokio::test]
async fn a_command_that_is_not_for_everybody_is_for_those_who_manage_bots() {
    let world = World::start().await;
    let command = json!({"name": "wait", "description": "Wait", "defaultPermission": false});
    world.ok("POST", "/ICommands/v1/Register", command).await;
    let channel = world.channel("general").await;
    let run = |user: String| json!({"userId": user, "channelId": channel, "name": "wait"});
    let (status, _) = world
        .control("command", run(world.person("Boris").await))
        .await;
    assert_eq!(status, 403);
    world.sim("command", run(world.person("Ada").await)).await;
}

#[tokio::test]
async fn permissions_of_archetypes_are_for_bots_that_manage_them() {
    let world = World::start().await;
    let space = world.space().await;
    let id = space["spaceId"].as_str().expect("an id");
    let list = format!("/IArchetypes/v1/List?spaceId={id}");
    let open = world.ok("GET", &list, Value::Null).await;
    assert!(open["archetypes"][0]["permissions"].is_u64());
    let moderator = open["archetypes"][1]["archetypeId"]
        .as_str()
        .expect("an id");
    let get = |archetype: &str| format!("/IArchetypes/v1/Get?spaceId={id}&archetypeId={archetype}");
    let one = world.ok("GET", &get(moderator), Value::Null).await;
    assert_eq!(one, open["archetypes"][1]);
    let (status, body) = world.call("GET", &get(id), Value::Null).await;
    assert_eq!((status, &body["error"]), (404, &"not_found".into()));
    grant(&world, &["viewChannel"]).await;
    let one = world.ok("GET", &get(moderator), Value::Null).await;
    assert!(one["permissions"].is_null());
    let shut = world.ok("GET", &list, Value::Null).await;
    assert!(shut["archetypes"][0]["permissions"].is_null());
    assert_eq!(shut["archetypes"][0]["name"], "everyone");
}

#[tokio::test]
async fn a_bot_is_told_of_its_installation_its_grant_and_its_end() {
    let world = World::start().await;
    // The smallest intent: these come whatever the intents.
    let mut stream = world.stream(1 << 10).await;
    let space = world.space().await["spaceId"].clone();
    let leave = json!({"userId": world.bot.user_id, "spaceId": space, "leave": true});
    world.sim("member", leave).await;
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data),
        ("botUninstallingFromSpace", &json!({"spaceId": space}))
    );
    let install = json!({"bot": "demobot", "spaceId": space, "granted": ["viewChannel"]});
    world.sim("install", install.clone()).await;
    assert_eq!(
        world.control("install", install).await.0,
        400,
        "it is there"
    );
    let event = stream.next().await;
    assert_eq!(
        (&*event.kind, &event.data),
        ("botInstallingToSpace", &json!({"spaceId": space}))
    );
    let event = stream.next().await;
    assert_eq!(event.kind, "botEntitlementsUpdated");
    let granted = match settings().quirks.numbers {
        true => json!(1),
        false => json!("viewChannel"),
    };
    assert_eq!(event.data["grantedEntitlements"], granted);
    let require =
        json!({"bot": "demobot", "spaceId": space, "required": ["viewChannel", "sendMessages"]});
    world.sim("entitlements", require).await;
    assert_eq!(stream.next().await.kind, "botEntitlementsUpdated");

    let path = format!("/IEvents/v1/Stream?intents={}", 1 << 10);
    let response = world.request(&world.bot, "GET", &path).send().await;
    let mut second = super::sse::Stream::new(response.expect("an answer"));
    let ready = second.next().await;
    assert_eq!(ready.data["spaces"][0]["pendingApproval"], true);
    assert_eq!(ready.data["spaces"][0]["grantedEntitlements"], granted);
}

#[tokio::test]
async fn members_archetypes_and_presence_change_with_events() {
    let world = World::start().await;
    let mut stream = world.stream(ALL).await;
    let space = world.space().await;
    let (id, boris) = (&space["spaceId"], world.person("Boris").await);
    let new = json!({"spaceId": id, "name": "builder", "colour": 0x12_34_56, "permissions": ["viewChannel"]});
    let builder = world.sim("archetype", new).await["archetypeId"].clone();
    let event = stream.next().await;
    assert_eq!(event.kind, "archetypeCreate");
    assert_eq!(event.data["archetype"]["colour"], 0x12_34_56);
    let rename = json!({"spaceId": id, "archetypeId": builder, "name": "maker"});
    world.sim("archetype", rename).await;
    let event = stream.next().await;
    assert_eq!(event.kind, "archetypeUpdate");
    assert_eq!(event.data["archetype"]["name"], "maker");

    let change =
        json!({"spaceId": id, "userId": boris, "displayName": "Bo", "archetypeIds": [builder]});
    world.sim("member", change).await;
    let event = stream.next().await;
    assert_eq!(event.kind, "memberUpdate");
    assert_eq!(event.data["user"]["displayName"], "Bo");
    let path = format!(
        "/ISpaces/v1/GetMember?spaceId={}&userId={boris}",
        id.as_str().expect("an id")
    );
    let member = world.ok("GET", &path, Value::Null).await;
    assert_eq!(member["archetypeIds"][1], builder);

    let plays = json!({"userId": boris, "status": "inGame", "activity": {"kind": "game", "titleName": "Chess"}});
    world.sim("presence", plays).await;
    let event = stream.next().await;
    assert_eq!(event.kind, "presenceUpdate");
    assert_eq!(event.data["presence"]["activity"]["titleName"], "Chess");
    let numbers = settings().quirks.numbers;
    let status = if numbers { json!(3) } else { json!("inGame") };
    assert_eq!(event.data["presence"]["status"], status);
    for (path, body) in [
        ("presence", json!({"userId": boris, "status": "asleep"})),
        ("archetype", json!({"spaceId": id})),
        (
            "member",
            json!({"spaceId": id, "userId": boris, "displayName": " "}),
        ),
        ("channel", json!({"name": "x"})),
        ("entitlements", json!({"bot": "demobot"})),
    ] {
        assert_eq!(world.control(path, body).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn a_voice_state_is_in_the_interactions_of_the_person() {
    let world = World::start().await;
    let mut stream = world.stream(64).await;
    world
        .ok(
            "POST",
            "/ICommands/v1/Register",
            json!({"name": "wait", "description": "Wait"}),
        )
        .await;
    let (ada, lounge) = (world.person("Ada").await, world.channel("Lounge").await);
    let join = json!({"userId": ada, "channelId": lounge, "state": ["muted", "streaming"]});
    world.sim("voice", join).await;
    let channel = world.channel("general").await;
    let run = json!({"userId": ada, "channelId": channel, "name": "wait"});
    world.sim("command", run).await;
    let event = stream.next().await;
    let state = &event.data["voiceState"];
    assert_eq!(state["channelId"], json!(lounge));
    let mask = match settings().quirks.numbers {
        true => json!(34),
        false => json!("muted, streaming"),
    };
    assert_eq!(state["state"], mask);
}

#[tokio::test]
async fn a_slow_channel_makes_members_wait() {
    let world = World::quirky().await;
    let channel = world.channel("general").await;
    let slow = json!({"channelId": channel, "slowMode": 10});
    world.sim("channel", slow).await;
    let send = |n: i64| json!({"channelId": channel, "text": "x", "randomId": n});
    world.ok("POST", "/IMessages/v1/Send", send(1)).await;
    let soon = world.call("POST", "/IMessages/v1/Send", send(2)).await;
    assert_eq!(soon, (500, Value::Null));
    world.say("somebody else").await;
    let boris = world.person("Ada").await;
    let again = json!({"userId": boris, "channelId": channel, "text": "too fast"});
    let (status, body) = world.control("message", again).await;
    assert_eq!(status, 400, "{body}");
    world.sim("time", json!({"advance": 10})).await;
    world.ok("POST", "/IMessages/v1/Send", send(2)).await;
    // Longer than any calendar.
    let slow = json!({"channelId": channel, "slowMode": 1e18});
    world.sim("channel", slow).await;
    let soon = world.call("POST", "/IMessages/v1/Send", send(3)).await;
    assert_eq!(soon, (500, Value::Null));
}

#[tokio::test]
async fn the_privileged_needs_a_verified_bot() {
    let world = World::start().await;
    let plain: Bot = world.server.add_bot("plain", false);
    for route in argon_host::contract::ROUTES
        .iter()
        .filter(|route| route.privileged)
    {
        let body = route.body.map_or(Value::Null, |_| json!({}));
        let request = world.request(&plain, route.method.as_str(), &route.path());
        let (status, body) = answer(with_body(request, body)).await;
        assert_eq!(
            (status, &body["error"]),
            (403, &"not_verified".into()),
            "{}",
            route.label()
        );
    }
    for intent in argon_host::contract::INTENTS {
        let path = format!("/IEvents/v1/Stream?intents={}", intent.mask());
        let response = world.request(&plain, "GET", &path).send().await;
        let status = response.expect("an answer").status().as_u16();
        until_closed(&world, &plain).await;
        let expected = if intent.privileged { 403 } else { 200 };
        assert_eq!(status, expected, "{}", intent.name);
        // The window of IEvents is small.
        world.sim("time", json!({"advance": 60})).await;
    }
}
