//! The host under seeded chaos: a minute with the other tests, as long as you like on request:
//!
//! ```sh
//! ARGON_CHAOS_SECONDS=1800 ARGON_CHAOS_SEED=7 cargo test --test embedded chaos -- --nocapture
//! ```
//!
//! Real time, because the host keeps the platform's windows by its own clock. A failure names the seed,
//! which brings the same faults again. The oracle is the server: every message and every command that it
//! took from a person is answered once, or the request for the answer was refused with a bare 500, which
//! the host leaves to the script, because nobody can know whether it took effect.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

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
    let (mut round, mut seen, mut refused_in_all) = (0, 0, 0);
    while began.elapsed() < lasting {
        round += 1;
        let (refused, last) = one_round(&mut bot, round, seen).await;
        seen = last;
        refused_in_all += refused;
        if round % 10 == 0 {
            let struck = bot.world.get("faults").await["struck"].clone();
            println!("{:?}: {round} rounds, {struck} faults", began.elapsed());
        }
    }
    let faults = bot.world.get("faults").await;
    let struck = faults["struck"].as_u64().expect("a number");
    println!(
        "seed {}: {} events answered in {:?}, {refused_in_all} refused with 500, {struck} faults",
        seed.0,
        round * (MESSAGES + COMMANDS),
        began.elapsed(),
    );
    assert!(struck as usize >= round, "chaos has struck: {faults}");
    bot.clear().await;
    bot.answers_once(&["peace"]).await;
}

/// How many answers were refused, and the number of the last request that was looked at.
async fn one_round(bot: &mut Bot, round: usize, seen: u64) -> (usize, u64) {
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
    let through = tokio::time::timeout(ROUND, bot.through(&all)).await;
    through.unwrap_or_else(|_| panic!("round {round} was never over:\n{}", bot.host.output()));

    let answers = bot.answers().await;
    let log = bot.world.get(&format!("requests?after={seen}")).await;
    let log = log["requests"].as_array().expect("requests");
    let is_refused = |request: &&Value| request["status"] == 500;
    let refused: Vec<String> = log
        .iter()
        .filter(is_refused)
        .map(Value::to_string)
        .collect();
    let mut count = 0;
    for text in &texts {
        let was_refused = refused
            .iter()
            .any(|request| request.contains(text.as_str()));
        count += usize::from(was_refused);
        let wanted = usize::from(!was_refused);
        let found = answers.get(text.as_str()).copied().unwrap_or_default();
        assert_eq!(found, wanted, "answers to {text:?}; refused: {refused:?}");
    }
    let last = log.last().and_then(|request| request["n"].as_u64());
    (count, last.unwrap_or(seen))
}
