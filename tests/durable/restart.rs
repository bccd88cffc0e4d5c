//! One restart at a time: what a bot finds again, and what it refuses.

use serde_json::Value;

use crate::support::{Process, Sim, World, bot};

/// A bot at that server.
pub const CONFIG: &str = "[bot]\nname = \"demo\"\ntoken = \"${ARGON_TOKEN}\"\n\
                      [server]\nurl = \"${ARGON_URL}\"\n";

/// Starts the bot of a folder at that server and waits until it is live.
pub async fn run(dir: &std::path::Path, sim: &Sim) -> Process {
    let mut process = start(dir, sim);
    process.line("live after").await;
    process
}

pub fn start(dir: &std::path::Path, sim: &Sim) -> Process {
    let env = [("ARGON_TOKEN", &*sim.token), ("ARGON_URL", &*sim.base)];
    Process::start(dir, &["run"], &env)
}

/// Texts of the bot's messages in the first channel so far: what the platform took, however often it was
/// sent.
pub async fn said(world: &World) -> Vec<String> {
    let channel = world.channel("general");
    let page = world.get(&format!("messages?channelId={channel}")).await;
    let messages = page["messages"].as_array().expect("messages");
    (messages.iter())
        .filter(|message| message["sender"]["isBot"] == true)
        .filter_map(|message| message["text"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn what_a_killed_bot_had_not_finished_runs_again_in_order_and_first() {
    let sim = Sim::start().await;
    let dir = bot(
        CONFIG,
        &[(
            "worker.luau",
            r#"argon.on("messageCreate", function(event)
                local text = event.message.text
                print(`began {text} {event.replayed}`)
                -- The first time it does not come to an end.
                if not event.replayed and text ~= "new" then
                    task.wait(1e9)
                end
                event:reply(`done {text}`)
            end)"#,
        )],
    );
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    for text in ["one", "two", "three"] {
        world.write(0, "general", text).await;
        process.line(&format!("began {text} nil")).await;
    }
    process.signal("KILL");
    process.ended().await;

    world.write(0, "general", "new").await;
    let mut events = world.events().await;
    let mut process = start(dir.path(), &sim);
    process.line("3 events were not finished").await;
    for text in ["one", "two", "three"] {
        process.line(&format!("began {text} true")).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(events.bot_message().await["text"].clone());
    }
    assert!(seen.contains(&Value::from("done new")), "{seen:?}");
    process.signal("TERM");
    assert!(process.ended().await.success());
    let mut all = said(&world).await;
    all.sort();
    assert_eq!(all, ["done new", "done one", "done three", "done two"]);

    let mut process = run(dir.path(), &sim).await;
    process.signal("TERM");
    process.ended().await;
    assert!(
        !process.output().contains("worker: began"),
        "{}",
        process.output()
    );
}

#[tokio::test]
async fn a_second_process_with_the_same_state_is_refused() {
    let sim = Sim::start().await;
    let dir = bot(CONFIG, &[("a.luau", "")]);
    let process = run(dir.path(), &sim).await;
    let mut second = start(dir.path(), &sim);
    assert_eq!(second.ended().await.code(), Some(1));
    let output = second.output();
    assert!(
        output.contains("runs this bot with the state in"),
        "{output}"
    );
    assert!(output.contains("(process "), "{output}");
    drop(process);
    // A process that was killed leaves nothing that is in the way.
    run(dir.path(), &sim).await;
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_and_a_newer_one_is_left_alone() {
    let sim = Sim::start().await;
    let dir = bot(CONFIG, &[("a.luau", "")]);
    let state = dir.path().join(".argon");
    let file = state.join("demo.db");
    std::fs::create_dir(&state).expect("a folder");
    let garbage = b"not a database, but longer than the header of one has to be: ".repeat(9);
    std::fs::write(&file, &garbage).expect("a file");
    let mut process = start(dir.path(), &sim);
    process.line("is damaged").await;
    process.line("live after").await;
    process.signal("TERM");
    process.ended().await;
    let aside: Vec<_> = std::fs::read_dir(&state)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(".damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read(&aside[0]).expect("it is kept"), garbage);

    // The format stands in bytes 60 to 63 of the header.
    let mut newer = std::fs::read(&file).expect("a database");
    newer[60..64].copy_from_slice(&77u32.to_be_bytes());
    std::fs::write(&file, &newer).expect("a file");
    let mut process = start(dir.path(), &sim);
    assert_eq!(process.ended().await.code(), Some(1));
    let output = process.output();
    assert!(
        output.contains("a newer argon-host (its format is 77"),
        "{output}"
    );
    assert_eq!(
        std::fs::read(&file).expect("it is there"),
        newer,
        "untouched"
    );
}

#[tokio::test]
async fn what_a_drain_does_not_finish_is_left_for_the_next_start() {
    let sim = Sim::start().await;
    let dir = bot(
        CONFIG,
        &[(
            "worker.luau",
            r#"argon.on("messageCreate", function(event)
                local text = event.message.text
                print(`began {text} {event.replayed}`)
                if text == "short" then task.wait(1) end
                if text == "long" and not event.replayed then task.wait(1e9) end
                event:reply(`done {text}`)
            end)"#,
        )],
    );
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    for text in ["long", "short"] {
        world.write(0, "general", text).await;
        process.line(&format!("began {text} nil")).await;
    }
    process.signal("TERM");
    process.line("stopping").await;
    // Whatever becomes of it: nobody may lose it.
    world.write(0, "general", "late").await;
    assert!(process.ended().await.success());
    let before = said(&world).await;
    assert!(before.iter().any(|text| text == "done short"), "{before:?}");
    assert!(!before.iter().any(|text| text == "done long"), "{before:?}");

    let mut events = world.events().await;
    let mut process = start(dir.path(), &sim);
    process.line("began long true").await;
    while said(&world).await.len() < 3 {
        events.bot_message().await;
    }
    process.signal("TERM");
    assert!(process.ended().await.success());
    let mut all = said(&world).await;
    all.sort();
    assert_eq!(all, ["done late", "done long", "done short"]);
}

/// As [`CONFIG`]; a top level that takes longer is not waited for.
pub const IMPATIENT: &str = "[bot]\nname = \"demo\"\ntoken = \"${ARGON_TOKEN}\"\n\
                             [server]\nurl = \"${ARGON_URL}\"\n\
                             [limits]\nload_time = \"300ms\"\n";

#[tokio::test]
async fn what_comes_again_waits_for_a_top_level_that_takes_its_time() {
    let sim = Sim::start().await;
    let dir = bot(
        CONFIG,
        &[(
            "slow.luau",
            r#"if argon.kv.get("again") then
                -- This comes after what was kept.
                argon.waitFor("ready")
            end
            argon.kv.set("again", true)
            argon.on("messageCreate", function(event)
                print(`began {event.message.text} {event.replayed}`)
                if not event.replayed then task.wait(1e9) end
            end)"#,
        )],
    );
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    for text in ["one", "two"] {
        world.write(0, "general", text).await;
        process.line(&format!("began {text} nil")).await;
    }
    process.signal("KILL");
    process.ended().await;

    std::fs::write(dir.path().join("bot.toml"), IMPATIENT).expect("a config");
    let mut process = start(dir.path(), &sim);
    process.line("2 events were not finished").await;
    process.line("going on without waiting for it").await;
    for text in ["one", "two"] {
        process.line(&format!("began {text} true")).await;
    }
}

#[tokio::test]
async fn what_a_top_level_never_had_a_handler_for_has_failed_when_a_new_version_comes() {
    let sim = Sim::start().await;
    let script = r#"if argon.kv.get("again") then
            task.wait(1e9)
        end
        argon.kv.set("again", true)
        argon.on("messageCreate", function(event)
            print(`began {event.message.text}`)
            task.wait(1e9)
        end)"#;
    let dir = bot(CONFIG, &[("slow.luau", script)]);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "one").await;
    process.line("began one").await;
    process.signal("KILL");
    process.ended().await;

    std::fs::write(dir.path().join("bot.toml"), IMPATIENT).expect("a config");
    let mut process = run(dir.path(), &sim).await;
    std::fs::write(dir.path().join("scripts/slow.luau"), "print(\"mended\")\n").expect("a script");
    process.line("version 2 runs").await;
    // Said by another thread than that line.
    while !process.output().contains("no handler was there for it") {
        process.line("").await;
    }
    process.signal("TERM");
    process.ended().await;
    let mut process = start(dir.path(), &sim);
    process.line("live after").await;
    let output = process.output();
    assert!(!output.contains("not finished"), "{output}");
}

#[tokio::test]
async fn a_command_that_comes_again_waits_for_its_handler_not_for_that_of_another() {
    let sim = Sim::start().await;
    let dir = bot(
        IMPATIENT,
        &[(
            "slow.luau",
            r#"argon.command{ name = "one", description = "One", run = function() print("began one") end }
            if argon.kv.get("again") then
                -- This comes after what was kept.
                argon.waitFor("ready")
            end
            argon.kv.set("again", true)
            argon.command{ name = "two", description = "Two", run = function(interaction)
                print(`began two {interaction.replayed}`)
                if not interaction.replayed then task.wait(1e9) end
            end }"#,
        )],
    );
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world
        .command(0, "general", "two", serde_json::json!({}))
        .await;
    process.line("began two nil").await;
    process.signal("KILL");
    process.ended().await;

    let mut process = start(dir.path(), &sim);
    process.line("going on without waiting for it").await;
    process.line("began two true").await;
    assert!(!process.output().contains("began one"));
}
