//! A world that is kept in a file from one process to the next.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Process, World, embedded_bot, run_embedded};

const ECHO: &str =
    r#"argon.on("messageCreate", function(event) event:reply("heard " .. event.message.text) end)"#;

async fn sim(dir: &Path) -> (Process, World, String) {
    let args = ["sim", "--listen", "127.0.0.1:0", "--state", "world.json"];
    let mut sim = Process::start(dir, &args, &[]);
    let last = |line: String| line.split_whitespace().last().expect("a word").to_owned();
    let world = World::at(&last(sim.line("base url").await)).await;
    let token = last(sim.line("token").await);
    (sim, world, token)
}

async fn texts(world: &World) -> Vec<String> {
    let path = format!("messages?channelId={}", world.channel("general"));
    let page = world.get(&path).await;
    let messages = page["messages"].as_array().expect("messages").iter();
    let text = |message: &serde_json::Value| message["text"].as_str().expect("a text").to_owned();
    messages.map(text).collect()
}

#[tokio::test]
async fn sim_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut first, world, token) = sim(dir.path()).await;
    world.write(0, "general", "remember me").await;
    first.signal("TERM");
    assert!(first.ended().await.success());

    let (mut second, world, again) = sim(dir.path()).await;
    assert_eq!(again, token);
    assert_eq!(texts(&world).await, ["remember me"]);

    // Killed without a word: what was written a second before is there.
    world.write(0, "general", "and me").await;
    let file = dir.path().join("world.json");
    let kept = async {
        loop {
            let text = std::fs::read_to_string(&file).expect("the state");
            if text.contains("and me") {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, kept)
        .await
        .expect("written by itself");
    second.signal("KILL");
    second.ended().await;
    let (_third, world, _) = sim(dir.path()).await;
    assert_eq!(texts(&world).await, ["remember me", "and me"]);
}

#[tokio::test]
async fn what_a_stream_took_is_not_sent_again_after_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut first, world, token) = sim(dir.path()).await;
    // The first connect is where the position begins.
    drop(stream(&world, &token, "ready").await);
    world.write(0, "general", "once").await;
    drop(stream(&world, &token, "once").await);
    // Nothing but the stream has moved.
    let file = dir.path().join("world.json");
    let kept = async {
        loop {
            tokio::task::yield_now().await;
            let Ok(text) = std::fs::read_to_string(&file) else {
                // It is written a moment after the first change.
                continue;
            };
            let state: Value = serde_json::from_str(&text).expect("JSON");
            let next = &state["feed"]["spaces"].as_object().expect("spaces");
            let bot = state["feed"]["bots"].as_object().expect("bots").values();
            let positions = bot.flat_map(|bot| bot["positions"].as_array().expect("positions"));
            let mut positions = positions.peekable();
            let at_the_end = |place: &Value| {
                let space = place[0].as_str().expect("a space");
                place[1] == next[space]["next"]
            };
            if text.contains("once") && positions.peek().is_some() && positions.all(at_the_end) {
                break;
            }
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, kept)
        .await
        .expect("written by itself");
    first.signal("KILL");
    first.ended().await;

    let (_second, world, _) = sim(dir.path()).await;
    world.write(0, "general", "then").await;
    let seen = stream(&world, &token, "then").await;
    assert!(!seen.contains("once"), "{seen}");
}

/// What a bot's stream brings until a text is in it.
async fn stream(world: &World, token: &str, until: &str) -> String {
    let url = format!("{}/api/bot/IEvents/v1/Stream?intents=1", world.base);
    let request = reqwest::Client::new().get(url);
    let request = request.header("authorization", format!("Bot {token}"));
    let mut answer = request.send().await.expect("an answer");
    let mut seen = String::new();
    while !seen.contains(until) {
        let chunk = tokio::time::timeout(crate::support::PATIENCE, answer.chunk()).await;
        let chunk = chunk.unwrap_or_else(|_| panic!("no {until}: {seen}"));
        seen.push_str(&String::from_utf8_lossy(
            &chunk.expect("a chunk").expect("no end"),
        ));
    }
    seen
}

#[tokio::test]
async fn a_broken_state_file_is_refused_and_left_alone() {
    for (broken, place) in [
        ("{\"version\": 1, \"world\": 3}", "world: invalid type"),
        ("{\"version\": 7}", "version 7 is not 1"),
        ("not JSON", "line 1 column"),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("world.json");
        std::fs::write(&file, broken).expect("a file");
        let args = ["sim", "--listen", "127.0.0.1:0", "--state", "world.json"];
        let mut sim = Process::start(dir.path(), &args, &[]);
        let line = sim.line("the state file world.json is not usable").await;
        assert!(
            line.contains(place) && line.contains("left as it is"),
            "{line}"
        );
        assert_eq!(sim.ended().await.code(), Some(1));
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), broken);
    }
}

#[tokio::test]
async fn the_server_of_run_keeps_its_world_too() {
    let dir = embedded_bot(&[("echo.luau", ECHO)], "state = \"kept/world.json\"\n");
    std::fs::create_dir(dir.path().join("kept")).expect("a folder");
    let (mut host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world.write(0, "general", "you").await;
    assert_eq!(events.bot_message().await["text"], "heard you");
    drop(events);
    host.signal("TERM");
    assert!(host.ended().await.success());

    let (_host, world) = run_embedded(dir.path(), &[]).await;
    assert_eq!(texts(&world).await, ["you", "heard you"]);
    let mut events = world.events().await;
    world.act("reset", json!({})).await;
    world.write(0, "general", "anew").await;
    assert_eq!(
        events.bot_message().await["text"],
        "heard anew",
        "the bot is back after a reset"
    );
}

#[tokio::test]
async fn a_world_that_is_not_kept_is_new_to_the_bot_too() {
    let dir = embedded_bot(&[("echo.luau", ECHO)], "");
    for text in ["one", "two"] {
        // Its events have the same ids as the first time.
        let (mut host, world) = run_embedded(dir.path(), &[]).await;
        let mut events = world.events().await;
        world.write(0, "general", text).await;
        assert_eq!(events.bot_message().await["text"], format!("heard {text}"));
        host.signal("TERM");
        assert!(host.ended().await.success());
    }
}
