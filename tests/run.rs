//! `argon-host run` against the embedded server: the sample scripts as people meet them.

mod hostile;
mod support;

use serde_json::{Value, json};
use support::{Process, Sim, bot, embedded_bot, embedded_server, run_embedded};

/// The sample scripts of the repository.
fn samples() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .expect("the samples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "luau"))
        .map(|path| {
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read_to_string(&path).expect("a script"))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 5);
    found
}

fn sample_bot() -> tempfile::TempDir {
    let samples = samples();
    let scripts: Vec<_> = samples
        .iter()
        .map(|(n, s)| (n.as_str(), s.as_str()))
        .collect();
    embedded_bot(
        &scripts,
        "[script.welcome]\nconfig = { greeting = \"Welcome\" }\n",
    )
}

#[tokio::test]
async fn ping_is_answered_with_a_reply_to_the_message() {
    let dir = sample_bot();
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    let written = world.write(0, "general", "!ping").await;
    let answer = events.bot_message().await;
    assert_eq!(answer["text"], "pong");
    assert_eq!(answer["replyTo"], written["messageId"]);
}

#[tokio::test]
async fn whoever_joins_is_welcomed_with_the_configured_greeting() {
    let dir = sample_bot();
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    let joining = json!({ "spaceId": world.space_id(), "displayName": "Dora" });
    world.act("member", joining).await;
    assert_eq!(events.bot_message().await["text"], "Welcome, Dora!");
}

#[tokio::test]
async fn roll_uses_its_options_and_refuses_nonsense() {
    let dir = sample_bot();
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world
        .command(0, "general", "roll", json!({ "sides": 2, "count": 3 }))
        .await;
    let answer = events.bot_message().await;
    let answer = answer["text"].as_str().expect("text");
    assert!(
        answer.contains("rolls 3d2: ") && answer.contains("(sum "),
        "{answer}"
    );

    world
        .command(0, "general", "roll", json!({ "sides": 1 }))
        .await;
    let answer = events.bot_message().await;
    assert!(
        answer["text"].as_str().expect("text").starts_with("I roll"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_poll_counts_one_vote_a_person_in_its_own_message() {
    let dir = sample_bot();
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    let options = json!({ "question": "Tea?", "answers": "yes, no" });
    world.command(0, "general", "poll", options).await;
    let poll = events.bot_message().await;
    assert_eq!(poll["text"], "Tea?\n0 × yes\n0 × no");
    let buttons = poll["controls"][0]["controls"].as_array().expect("buttons");
    assert_eq!(buttons.len(), 2);

    let votes = [
        (0, 0, "1 × yes\n0 × no"),
        (1, 0, "2 × yes\n0 × no"),
        (0, 1, "1 × yes\n1 × no"),
    ];
    for (person, button, expected) in votes {
        let click = json!({
            "userId": world.person(person), "channelId": world.channel("general"),
            "messageId": poll["messageId"], "controlId": buttons[button]["id"],
        });
        world.act("click", click).await;
        let edited = events
            .next("the poll is edited", |event| event["type"] == "edit")
            .await;
        assert_eq!(edited["message"]["text"], format!("Tea?\n{expected}"));
    }
}

#[tokio::test]
async fn a_poll_whose_answer_fits_no_button_is_explained() {
    let dir = sample_bot();
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    // 80 letters of two bytes fit, 81 do not.
    for (length, text) in [(80, "Tea?"), (81, "An answer has at most 80 characters.")] {
        let answers = format!("yes, {}", "я".repeat(length));
        let options = json!({ "question": "Tea?", "answers": answers });
        world.command(0, "general", "poll", options).await;
        let answer = events.bot_message().await;
        let said = answer["text"].as_str().expect("text");
        assert!(said.starts_with(text), "{said}");
    }
}

#[tokio::test]
async fn feedback_opens_a_form_and_answers_what_was_written() {
    let dir = sample_bot();
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world.command(1, "general", "feedback", json!({})).await;
    let modal = events
        .next("the form opens", |event| event["type"] == "modal")
        .await;
    assert_eq!(modal["modal"]["title"], "Your feedback");
    let components = modal["modal"]["components"].as_array().expect("a list");
    assert!(components.iter().all(|part| part["required"] == true));
    assert_eq!(modal["userId"], world.person(1));

    let submit = json!({
        "userId": world.person(1), "modalInteractionId": modal["modalInteractionId"],
        "values": { "mood": ["great"], "words": ["More dice"] },
    });
    world.act("submit", submit).await;
    let answer = events.bot_message().await;
    let answer = answer["text"].as_str().expect("text");
    assert!(answer.ends_with("found it great: More dice"), "{answer}");
}

#[tokio::test]
async fn commands_are_brought_in_line_with_what_the_scripts_register() {
    let dir = embedded_bot(
        &[(
            "two.luau",
            r#"
            local function none() end
            argon.command{ name = "One", description = "first", run = none }
            argon.command{ name = "two", description = "second", run = none }
            "#,
        )],
        "",
    );
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let listed = world
        .get(&format!("commands?spaceId={}", world.space_id()))
        .await;
    let mut names: Vec<_> = listed["commands"]
        .as_array()
        .expect("commands")
        .iter()
        .map(|command| command["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["one", "two"]);
}

#[tokio::test]
async fn an_error_in_a_handler_is_explained_and_harms_nothing() {
    let dir = embedded_bot(
        &[(
            "broken.luau",
            "argon.on(\"messageCreate\", function(event)\n    if event.message.text == \"break\" then\n        local nothing: any = nil\n        nothing.field = 1\n    end\n    event:reply(\"fine\")\nend)\n",
        )],
        "",
    );
    let (mut host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world.write(0, "general", "break").await;
    let line = host.line("attempt to index nil").await;
    assert!(line.contains("broken"), "{line}");
    assert!(host.output().contains("broken.luau:4"), "{}", host.output());
    world.write(0, "general", "go on").await;
    assert_eq!(events.bot_message().await["text"], "fine");
}

#[tokio::test]
async fn sigterm_lets_a_running_handler_finish_and_exits_0() {
    let dir = embedded_bot(
        &[(
            "slow.luau",
            r#"
            argon.on("messageCreate", function(event)
                print("handler began")
                task.wait(0.5)
                event:reply("handler ended")
                print("handler ended")
            end)
            "#,
        )],
        "",
    );
    let (mut host, world) = run_embedded(dir.path(), &[]).await;
    world.write(0, "general", "hello").await;
    host.line("handler began").await;
    host.signal("TERM");
    host.line("handler ended").await;
    assert_eq!(host.ended().await.code(), Some(0));
}

#[tokio::test]
async fn several_configs_share_one_world() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["red", "blue"] {
        let scripts = dir.path().join(name);
        std::fs::create_dir(&scripts).expect("a folder");
        let source = format!(
            "argon.on(\"messageCreate\", function(event)
                if event.message.text == \"who is there?\" then event:reply(\"{name}\") end
            end)"
        );
        std::fs::write(scripts.join("answer.luau"), source).expect("a script");
        let config = format!(
            "[bot]\nname = \"{name}\"\n{}[scripts]\ndir = \"{name}\"\n",
            embedded_server()
        );
        std::fs::write(dir.path().join(format!("{name}.toml")), config).expect("a config");
    }
    let mut host = Process::start(dir.path(), &["run", "."], &[]);
    let line = host.line("playground at ").await;
    let world = support::World::at(line.split("playground at ").nth(1).expect("it").trim()).await;
    host.line("live").await;
    host.line("live").await;
    let mut events = world.events().await;
    world.write(0, "general", "who is there?").await;

    let mut answers = [
        text(&events.bot_message().await),
        text(&events.bot_message().await),
    ];
    answers.sort();
    assert_eq!(answers, ["blue", "red"]);
}

fn text(message: &Value) -> String {
    message["text"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_refused_token_ends_the_bot_with_exit_code_1_and_the_way_out() {
    let sim = Sim::start().await;
    let base = &sim.base;

    let config = format!("[bot]\ntoken = \"${{ARGON_TOKEN}}\"\n[server]\nurl = \"{base}\"\n");
    let dir = bot(&config, &[("empty.luau", "")]);
    let token = "ffffffffffffffffffffffffffffffff:bm90LWEtdG9rZW4";
    let mut host = Process::start(dir.path(), &["run"], &[("ARGON_TOKEN", token)]);
    host.line("refused the token").await;
    assert_eq!(host.ended().await.code(), Some(1));
    assert!(!host.output().contains("bm90LWEtdG9rZW4"));
}

#[tokio::test]
async fn the_same_binary_serves_another_server_with_a_token_from_the_environment() {
    let sim = Sim::start().await;
    for base in [sim.base.clone(), format!("{}/api/bot/", sim.base)] {
        let config = format!("[bot]\ntoken = \"${{ARGON_TOKEN}}\"\n[server]\nurl = \"{base}\"\n");
        let script = "argon.on(\"messageCreate\", function(event) event:reply(\"here\") end)";
        let dir = bot(&config, &[("answer.luau", script)]);
        let mut host = Process::start(dir.path(), &["run"], &[("ARGON_TOKEN", &sim.token)]);
        host.line("live").await;
        let world = support::World::at(base.trim_end_matches("/api/bot/")).await;
        let mut events = world.events().await;
        world.write(0, "general", "anybody?").await;
        assert_eq!(events.bot_message().await["text"], "here");
        host.signal("TERM");
        assert_eq!(host.ended().await.code(), Some(0));
    }
}
