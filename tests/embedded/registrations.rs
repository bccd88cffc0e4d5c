//! What scripts register while the bot runs, and bots that cannot start.

use serde_json::json;

use crate::support::{Process, Sim, World, bot, embedded_bot, embedded_server, run_embedded};

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
