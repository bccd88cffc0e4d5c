//! A bot in another language, written against the documentation, runs unchanged.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Process, Sim, World};

/// A Python with aiohttp: Debian's own is preferred, because that is where its packages are.
fn python() -> &'static str {
    let works = |python: &&str| {
        let tried = Command::new(python).args(["-c", "import aiohttp"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(works)
        .expect("no Python with aiohttp: run the test command of the README, which installs it")
}

async fn sim() -> (Process, Sim, World) {
    let sim = Sim::start().await;
    let world = World::at(&sim.base).await;
    let bot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/bot.py");
    let mut command = Command::new(python());
    command
        .arg(bot)
        .env("ARGON_URL", &sim.base)
        .env("ARGON_TOKEN", &sim.token);
    // No folder of compiled files beside the source.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let mut bot = Process::spawn(command);
    bot.line("commands in place").await;
    (bot, sim, world)
}

/// Everything that the bot can do, from people's side.
#[tokio::test]
async fn a_bot_in_python_works_unchanged() {
    let (mut bot, _sim, world) = sim().await;
    let mut events = world.events().await;
    let (ada, general) = (world.person(0), world.channel("general"));

    world.write(0, "general", "!ping").await;
    let pong = events.bot_message().await;
    assert_eq!(pong["text"], "pong");
    assert!(pong["replyTo"].is_string(), "{pong}");

    let options = json!({ "name": "Grace", "times": 2 });
    world.command(0, "general", "greet", options).await;
    let greeting = events.bot_message().await;
    assert_eq!(greeting["text"], "Hello, Grace! Hello, Grace!");
    let on_greeting = |more: Value| {
        let mut act = json!({
            "userId": ada, "channelId": general, "messageId": greeting["messageId"],
        });
        let fields = more.as_object().expect("fields").clone();
        act.as_object_mut().expect("an object").extend(fields);
        act
    };

    world
        .act("click", on_greeting(json!({ "controlId": "tell" })))
        .await;
    let opened = events
        .next("a form", |event| event["type"] == "modal")
        .await;
    assert_eq!(opened["modal"]["title"], "Tell more");
    let submit = json!({
        "userId": ada, "modalInteractionId": opened["modalInteractionId"],
        "values": { "text": ["Grüße 🎲"] },
    });
    world.act("submit", submit).await;
    let story = events.bot_message().await;
    assert!(
        story["text"]
            .as_str()
            .is_some_and(|text| text.ends_with("says: Grüße 🎲")),
        "{story}"
    );

    world
        .act(
            "select",
            on_greeting(json!({ "customId": "mood", "values": ["good"] })),
        )
        .await;
    let edit = events
        .next("an edit", |event| event["type"] == "edit")
        .await;
    assert_eq!(edit["message"]["text"], "It was good.");

    call(&mut bot, &world, &ada).await;

    world.act("fault", json!({ "kind": "drop" })).await;
    bot.line("stream: ").await;
    world.write(0, "general", "!ping").await;
    let pong = events.bot_message().await;
    assert_eq!(pong["text"], "pong", "after the stream was cut");
    let said = bot.output();
    assert!(!said.contains("error in"), "{said}");
}

/// A call that the bot answers: it sends back what it hears, but silence.
async fn call(bot: &mut Process, world: &World, caller: &str) {
    let call = world.act("call", json!({ "userId": caller })).await["callId"].clone();
    bot.line("voice subscribed").await;
    let spoken: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![0xf8, 0xff, n]).collect();
    let silence = vec![0xf8_u8];
    let packets = spoken.iter().chain([&silence]);
    let packets: Vec<String> = packets.map(|packet| STANDARD.encode(packet)).collect();
    let speak = json!({ "userId": caller, "callId": call, "packets": packets });
    assert_eq!(world.act("speak", speak).await["spoken"], 21);

    let bot_id = world.get("calls").await["calls"][0]["botId"].clone();
    let call_id = call.as_str().expect("a text");
    let path = format!(
        "recording?callId={call_id}&participant={}",
        bot_id.as_str().expect("a text")
    );
    let echoed = async {
        loop {
            let heard = world.get(&path).await;
            if heard["count"] == spoken.len() {
                break heard;
            }
        }
    };
    let heard = tokio::time::timeout(crate::support::PATIENCE, echoed).await;
    let heard = heard.expect("every packet comes back");
    let packets = heard["packets"].as_array().expect("packets").iter();
    let heard: Vec<Vec<u8>> = packets
        .map(|packet| {
            STANDARD
                .decode(packet["data"].as_str().expect("base64"))
                .expect("base64")
        })
        .collect();
    assert_eq!(heard, spoken);

    world
        .act("hangup", json!({ "userId": caller, "callId": call }))
        .await;
    bot.line("call over").await;
}
