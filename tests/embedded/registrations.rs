//! What scripts register while the bot runs, and bots that cannot start.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    PATIENCE, Process, Sim, World, bot, embedded_bot, embedded_server, run_embedded,
};

const ANSWER: &str = r#"argon.on("messageCreate", function(event) event:reply("here") end)"#;

#[tokio::test]
async fn a_privileged_event_is_left_out_for_a_bot_that_is_not_verified() {
    let sim = Sim::start_with(&["--bot", "plain", "--unverified", "--limits", "off"]).await;
    let config = format!(
        "[bot]\nname = \"plain\"\ntoken = \"{}\"\n[server]\nurl = \"{}\"\n",
        sim.token, sim.base
    );
    let dir = bot(&config, &[("answer.luau", ANSWER)]);
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut host = Process::start(dir.path(), &["run"], &[]);
    host.line("live after").await;

    let greeting = r#"argon.on("memberJoin", function(event) print("joined") end)"#;
    std::fs::write(dir.path().join("scripts/greet.luau"), greeting).expect("a script");
    host.line("greet gets no memberJoin: the platform refused the intent")
        .await;
    world.write(0, "general", "anybody?").await;
    assert_eq!(events.bot_message().await["text"], "here");

    // Other intents are asked for in full, and the stream goes on without the refused one again.
    let reaction = r#"argon.on("reactionAdd", function(event) print("a reaction") end)"#;
    std::fs::write(dir.path().join("scripts/react.luau"), reaction).expect("a script");
    host.line("greet gets no memberJoin").await;
    let written = world.write(0, "general", "and now?").await;
    assert_eq!(events.bot_message().await["text"], "here");
    let body = json!({
        "userId": world.person(1), "channelId": world.channel("general"),
        "messageId": written["messageId"], "emoji": "👍",
    });
    world.act("react", body).await;
    host.line("a reaction").await;
    assert!(!host.output().contains("refused the bot's token"));

    // From the start on.
    host.signal("TERM");
    assert!(host.ended().await.success());
    let mut host = Process::start(dir.path(), &["run"], &[]);
    // In whatever order.
    host.line("live after").await;
    while !host.output().contains("greet gets no memberJoin") {
        host.line("").await;
    }
    world.write(0, "general", "still?").await;
    assert_eq!(events.bot_message().await["text"], "here");
}

#[tokio::test]
async fn a_new_handler_does_not_wait_for_the_commands() {
    let dir = embedded_bot(&[("command.luau", "")], "");
    let (mut host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    // Longer than the test lasts.
    let delay = json!({
        "kind": "delay", "interface": "ICommands", "seconds": 600, "count": 100,
    });
    world.act("fault", delay).await;
    let command = "argon.command{ name = \"hi\", description = \"x\", run = function() end }";
    let ready = r#"argon.on("ready", function(event)
        if event.intents.messages then print("open with messages") end
    end)"#;
    let both = format!("{command}\n{ANSWER}\n{ready}");
    std::fs::write(dir.path().join("scripts/command.luau"), command).expect("a script");
    host.line("runs, after").await;
    std::fs::write(dir.path().join("scripts/command.luau"), both).expect("a script");
    host.line("open with messages").await;
    world.write(0, "general", "anybody?").await;
    assert_eq!(events.bot_message().await["text"], "here");
}

/// A bot of a server of its own, which lives on when the bot is restarted.
async fn bot_at(sim: &Sim, more: &str, scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let (token, base) = (&sim.token, &sim.base);
    let config =
        format!("[bot]\nname = \"plain\"\ntoken = \"{token}\"\n[server]\nurl = \"{base}\"\n{more}");
    bot(&config, scripts)
}

/// A script that registers these commands.
fn commands(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!("argon.command{{ name = \"{name}\", description = \"x\", run = function() end }}\n")
    };
    names.iter().map(one).collect()
}

fn save(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join("scripts").join(name), text).expect("a script");
}

/// The bot's commands at the server, with their ids.
async fn registered(sim: &Sim) -> BTreeMap<String, String> {
    let request = reqwest::Client::new()
        .get(format!("{}/ICommands/v1/List", sim.base))
        .header("authorization", format!("Bot {}", sim.token));
    let answer = request.send().await.expect("an answer");
    let answer = answer.text().await.expect("a body");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let text = |command: &Value, key: &str| command[key].as_str().expect("a text").to_owned();
    let all = answer["commands"].as_array().expect("commands").iter();
    all.map(|command| (text(command, "name"), text(command, "commandId")))
        .collect()
}

/// Waits until the server has exactly these commands.
async fn until_registered(sim: &Sim, names: &[&str]) -> BTreeMap<String, String> {
    let wait = async {
        loop {
            let now = registered(sim).await;
            if now.keys().eq(names) {
                return now;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(now) => now,
        Err(_) => panic!("{:?}, not {names:?}", registered(sim).await),
    }
}

#[tokio::test]
async fn a_bot_is_live_before_a_slow_server_has_its_commands() {
    let sim = Sim::start_with(&["--bot", "plain", "--limits", "off"]).await;
    let script = format!("{}{ANSWER}", commands(&["hi"]));
    let dir = bot_at(&sim, "", &[("answer.luau", &script)]).await;
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    // The first request is never answered; the next one is.
    let delay = json!({
        "kind": "delay", "interface": "ICommands", "seconds": 600, "count": 1,
    });
    world.act("fault", delay).await;
    let mut host = Process::start(dir.path(), &["run"], &[]);
    host.line("live after").await;
    world.write(0, "general", "anybody?").await;
    assert_eq!(events.bot_message().await["text"], "here");
    let output = host.output();
    assert!(!output.contains("commands: /hi"), "{output}");
    assert!(registered(&sim).await.is_empty());
    host.line("commands: /hi (1 change at the server)").await;
    assert!(registered(&sim).await.contains_key("hi"));
}

#[tokio::test]
async fn the_commands_of_a_script_that_does_not_load_stay() {
    let sim = Sim::start_with(&["--bot", "plain", "--limits", "off"]).await;
    let typo = commands(&["kept"]);
    let scripts = [
        ("good.luau", &*commands(&["good", "old"])),
        ("typo.luau", &typo),
    ];
    let dir = bot_at(&sim, "", &scripts).await;
    let mut host = Process::start(dir.path(), &["run"], &[]);
    host.line("live after").await;
    let before = until_registered(&sim, &["good", "kept", "old"]).await;
    host.signal("TERM");
    assert!(host.ended().await.success());

    save(dir.path(), "good.luau", &commands(&["good", "new"]));
    save(dir.path(), "typo.luau", &format!("{typo} this is no Luau"));
    let mut host = Process::start(dir.path(), &["run"], &[]);
    host.line("they stay until then: ").await;
    host.line("live after").await;
    let now = until_registered(&sim, &["good", "kept", "new", "old"]).await;
    for name in ["good", "kept", "old"] {
        assert_eq!(now[name], before[name], "{name}");
    }

    // It has the same commands as before: what nobody registers goes, and it keeps its ids.
    save(dir.path(), "typo.luau", &typo);
    let now = until_registered(&sim, &["good", "kept", "new"]).await;
    assert_eq!(now["kept"], before["kept"]);

    // Also when what settles in the end registers nothing.
    save(dir.path(), "bad.luau", "this is no Luau");
    host.line("cannot be loaded").await;
    save(dir.path(), "good.luau", &commands(&["good"]));
    host.line("they stay until then: /new").await;
    save(dir.path(), "bad.luau", "");
    until_registered(&sim, &["good", "kept"]).await;

    // A new version that does not load changes nothing, and holds nothing up.
    save(dir.path(), "typo.luau", "this is no Luau");
    host.line("goes on").await;
    save(dir.path(), "good.luau", &commands(&["best"]));
    until_registered(&sim, &["best", "kept"]).await;
    std::fs::remove_file(dir.path().join("scripts/typo.luau")).expect("it is there");
    until_registered(&sim, &["best"]).await;
}

#[tokio::test]
async fn the_commands_of_a_script_that_loads_for_long_keep_their_ids() {
    let sim = Sim::start_with(&["--bot", "plain", "--limits", "off"]).await;
    let slow = format!("argon.waitFor(\"messageCreate\")\n{}", commands(&["slow"]));
    let more = "[script.slow]\nlimits = { load_time = \"100ms\" }\n";
    let scripts = [
        ("old.luau", &*commands(&["old"])),
        ("slow.luau", &commands(&["slow"])),
    ];
    let dir = bot_at(&sim, more, &scripts).await;
    let world = World::at(&sim.base).await;
    let mut host = Process::start(dir.path(), &["run"], &[]);
    host.line("live after").await;
    let before = until_registered(&sim, &["old", "slow"]).await;
    host.signal("TERM");
    assert!(host.ended().await.success());

    save(dir.path(), "slow.luau", &slow);
    save(dir.path(), "old.luau", "");
    let mut host = Process::start(dir.path(), &["run"], &[]);
    host.line("going on without waiting for it").await;
    host.line("live after").await;
    assert_eq!(registered(&sim).await, before);
    world.write(0, "general", "go on").await;
    let now = until_registered(&sim, &["slow"]).await;
    assert_eq!(now["slow"], before["slow"]);
}

#[tokio::test]
async fn no_bot_is_started_when_a_server_cannot_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("scripts")).expect("a folder");
    let first = format!("[bot]\nname = \"first\"\n{}", embedded_server());
    let second =
        format!("[bot]\nname = \"second\"\n[server]\nurl = \"embedded\"\nlisten = \"{address}\"\n");
    std::fs::write(dir.path().join("1.toml"), first).expect("a config");
    std::fs::write(dir.path().join("2.toml"), second).expect("a config");
    let mut host = Process::start(dir.path(), &["run", "."], &[]);
    assert_eq!(host.ended().await.code(), Some(1));
    let output = host.output();
    assert!(output.contains(&address.to_string()), "{output}");
    assert!(!dir.path().join(".argon").exists(), "{output}");
}
