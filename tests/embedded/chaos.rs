//! The host under seeded chaos: a minute with the other tests, as long as you like on request:
//!
//! ```sh
//! ARGON_CHAOS_SECONDS=1800 ARGON_CHAOS_SEED=7 cargo test --test embedded chaos -- --nocapture
//! ```
//!
//! Real time, because the host keeps the platform's windows by its own clock. A failure names the seed,
//! which brings the same faults again. The oracle is the server: every message and every command that it
//! took from a person is answered once, or the script was told that the answer failed: refused with a bare
//! 500, which the host leaves to the script, because nobody can know whether it took effect, or failed in
//! each of four attempts.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::faults::Bot;
use crate::support::setting;

/// Answers messages and commands, and says so when it is through with one.
const SCRIPT: &str = r#"
local function through(text, send)
    local ok, failure = pcall(send)
    print(`through with <{text}> {if ok then "well" else tostring(failure)}`)
end
argon.on("messageCreate", function(event)
    local text = event.message.text
    through(text, function() event:reply("echo " .. text) end)
end)
argon.command({
    name = "say", description = "Says it",
    options = { { name = "text", type = "string", description = "What", required = true } },
    run = function(interaction, options)
        through(options.text, function() interaction:reply("echo " .. options.text) end)
    end,
})
"#;

/// What a person does in one round.
const MESSAGES: usize = 12;
const COMMANDS: usize = 6;
/// What chaos does to a request for an answer and the host does not get over by itself.
const FAILURES: [&str; 4] = [" 500 ", " 502 ", " 503 ", " lost_response"];
/// How long a round may take: a stream that was refused five times waits a minute for the next attempt.
const ROUND: Duration = Duration::from_secs(240);

/// Says how to see a failure again.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "chaos failed: ARGON_CHAOS_SEED={} brings the same faults",
                self.0
            );
        }
    }
}

#[tokio::test]
async fn everything_is_answered_through_chaos() {
    let seed = Seed(setting("ARGON_CHAOS_SEED", 1));
    let lasting = Duration::from_secs(setting("ARGON_CHAOS_SECONDS", 60));
    let mut bot = Bot::with(SCRIPT, &format!("chaos = {}\n", seed.0)).await;
    let registered = async {
        loop {
            let commands = bot.world.get("commands").await;
            if commands["commands"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
            {
                break;
            }
        }
    };
    tokio::time::timeout(ROUND, registered)
        .await
        .expect("the command is registered");

    let began = Instant::now();
    let (mut round, mut failed) = (0, 0);
    while began.elapsed() < lasting {
        round += 1;
        failed += one_round(&mut bot, round).await;
        if round % 10 == 0 {
            let struck = bot.world.get("faults").await["struck"].clone();
            println!("{:?}: {round} rounds, {struck} faults", began.elapsed());
        }
    }
    let faults = bot.world.get("faults").await;
    let struck = faults["struck"].as_u64().expect("a number");
    let events = round * (MESSAGES + COMMANDS);
    println!(
        "seed {}: {events} events in {:?}, {failed} answers failed, {struck} faults",
        seed.0,
        began.elapsed(),
    );
    // One request in a hundred gets a 500.
    assert!(failed <= 2 + events / 25, "{failed} of {events} failed");
    assert!(struck as usize >= round, "chaos has struck: {faults}");
    bot.clear().await;
    bot.answers_once(&["peace"]).await;
}

/// How many answers the script was told to have failed.
async fn one_round(bot: &mut Bot, round: usize) -> usize {
    let texts: Vec<String> = (0..MESSAGES + COMMANDS)
        .map(|n| format!("round {round} no {n};"))
        .collect();
    for (n, text) in texts.iter().enumerate() {
        match n % 3 {
            2 => drop(
                bot.world
                    .command(0, "general", "say", json!({ "text": text }))
                    .await,
            ),
            _ => drop(bot.world.write(0, "general", text).await),
        }
    }
    let all: Vec<_> = texts.iter().map(String::as_str).collect();
    let said = tokio::time::timeout(ROUND, bot.through(&all)).await;
    let said =
        said.unwrap_or_else(|_| panic!("round {round} was never over:\n{}", bot.host.output()));

    let answers = bot.answers().await;
    let mut failed = 0;
    for text in &texts {
        let is_about = |line: &&String| line.contains(&format!("<{text}>"));
        let line = said.iter().find(is_about).expect("a line for each");
        let found = answers.get(text.as_str()).copied().unwrap_or_default();
        if line.contains("> well") {
            assert_eq!(found, 1, "answers to {text:?}: {line}");
        } else {
            let is_injected = FAILURES.iter().any(|failure| line.contains(failure));
            assert!(is_injected && found <= 1, "{found} answers: {line}");
            failed += 1;
        }
    }
    failed
}
