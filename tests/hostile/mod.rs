//! Scripts that mean harm beside one that means well.
//!
//! Every `*.luau` in this folder is an attacker: its first line says what it tries, its second what must
//! happen:
//!
//! | `-- Must:` | |
//! |---|---|
//! | `killed` | it is ended for its CPU time |
//! | `memory` | it gets an error for its memory |
//! | `failed` | it does not load |
//! | `error TEXT`, `says TEXT` | it gets an error, or the log says something, with that text |
//! | `refused` | it says `refused`, and never `ESCAPED` |
//! | `contained` | nothing that anyone would notice |
//!
//! They all run at once in one process, which attacks when the first message comes. The victim's answers
//! must be those that it gives alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{PATIENCE, Process, Sim, World, bot};

/// Answers each count with the sum so far.
const VICTIM: &str = r#"
local secret = "the victim's secret"
local sum = 0
argon.on("messageCreate", function(event)
	local n = tonumber(string.match(event.message.text or "", "^count (%d+)$"))
	if n and secret then
		sum += n
		event:reply(`victim: {sum}`)
	end
end)
"#;
/// Messages that the victim answers.
const COUNTS: usize = 12;

struct Attacker {
    name: String,
    source: String,
    must: String,
}

fn attackers() -> Vec<Attacker> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ext| ext != "luau") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a script");
        let mut lines = source.lines();
        let tries = lines.next().unwrap_or_default();
        assert!(tries.starts_with("-- Tries: "), "{path:?}");
        let must = lines.next().and_then(|line| line.strip_prefix("-- Must: "));
        found.push(Attacker {
            name: path.file_stem().expect("a name").to_string_lossy().into(),
            must: must.unwrap_or_else(|| panic!("{path:?}")).to_owned(),
            source,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() >= 60);
    found
}

/// What everybody may use: little, so that many fit, but the victim as usual. Who must end by something
/// else than the budget has time for it.
fn config(sim: &Sim, attackers: &[Attacker]) -> String {
    let mut config = format!(
        "[bot]\ntoken = \"${{ARGON_TOKEN}}\"\n[server]\nurl = \"{}\"\n\
         [limits]\nmemory = \"6MiB\"\ncpu_per_event = \"150ms\"\nload_time = \"300ms\"\n",
        sim.base
    );
    for Attacker { name, must, .. } in attackers {
        let _ = writeln!(config, "[script.{name}]\nrate_share = 0.05");
        if name == "denied_route" {
            let _ = writeln!(config, "deny = [\"members.kick\"]");
        }
        if must == "memory" || must.starts_with("error ") || must.starts_with("says ") {
            let _ = writeln!(config, "limits.cpu_per_event = \"60s\"");
        }
        if must.starts_with("error ") {
            let _ = writeln!(config, "limits.memory = \"48MiB\"");
        }
    }
    config.push_str(
        "[script.victim.limits]\nmemory = \"64MiB\"\ncpu_per_event = \"2s\"\nload_time = \"5s\"\n",
    );
    config
}

/// A bot with the victim and these attackers, live.
async fn start(sim: &Sim, attackers: &[Attacker]) -> (tempfile::TempDir, Process) {
    let files: Vec<(String, &str)> = attackers
        .iter()
        .map(|it| (format!("{}.luau", it.name), &*it.source))
        .chain([("victim.luau".to_owned(), VICTIM)])
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, source)| (&**name, *source))
        .collect();
    let dir = bot(&config(sim, attackers), &files);
    let args = ["--log-format", "json", "run"];
    let mut host = Process::start(dir.path(), &args, &[("ARGON_TOKEN", &sim.token)]);
    host.line("live after").await;
    (dir, host)
}

/// Lets the victim count, and answers what it said and how long each answer took.
async fn count(world: &World) -> (Vec<String>, Vec<Duration>) {
    let mut events = world.events().await;
    let mut said = Vec::new();
    let mut times = Vec::new();
    for n in 1..=COUNTS {
        let begun = Instant::now();
        world.write(0, "general", &format!("count {n}")).await;
        let answer = events
            .next("the victim answers", |event| {
                let text = event["message"]["text"].as_str().unwrap_or_default();
                event["type"] == "message" && text.starts_with("victim: ")
            })
            .await;
        times.push(begun.elapsed());
        said.push(answer["message"]["text"].as_str().expect("text").to_owned());
    }
    (said, times)
}

/// The messages of each script's lines in the log so far.
fn log_of(output: &str) -> HashMap<String, Vec<String>> {
    let mut log: HashMap<String, Vec<String>> = HashMap::new();
    for line in output.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let (Some(script), Some(message)) = (line["script"].as_str(), line["message"].as_str()) {
            log.entry(script.to_owned())
                .or_default()
                .push(message.to_owned());
        }
    }
    log
}

/// Why what an attacker must meet has not happened (yet).
fn missing(attacker: &Attacker, log: &HashMap<String, Vec<String>>) -> Option<String> {
    let said = log.get(&attacker.name).map_or(&[][..], Vec::as_slice);
    let has = |text: &str| said.iter().any(|line| line.contains(text));
    let met = match attacker
        .must
        .split_once(' ')
        .unwrap_or((&attacker.must, ""))
    {
        ("killed", "") => has("limits.cpu_per_event"),
        ("memory", "") => has("not enough memory") || has("out of memory"),
        ("failed", "") => has("the script has failed"),
        ("refused", "") => has("refused"),
        ("contained", "") => true,
        ("error" | "says", text) if !text.is_empty() => has(text),
        _ => panic!(
            "{}: nobody knows what {:?} means",
            attacker.name, attacker.must
        ),
    };
    (!met).then(|| format!("{} must be {:?}: {said:?}", attacker.name, attacker.must))
}

#[tokio::test(flavor = "multi_thread")]
async fn attackers_harm_nobody_and_end_as_they_must() {
    let attackers = attackers();
    let sim = Sim::start().await;
    let (_dir, mut alone) = start(&sim, &[]).await;
    let world = World::at(&sim.base).await;
    let (expected, _) = count(&world).await;
    alone.signal("TERM");
    assert!(alone.ended().await.success());

    let sim = Sim::start().await;
    let (_dir, mut host) = start(&sim, &attackers).await;
    let world = World::at(&sim.base).await;
    world.write(0, "general", "attack").await;
    let (said, _) = count(&world).await;
    assert_eq!(said, expected);

    let end = Instant::now() + 3 * PATIENCE;
    loop {
        let log = log_of(&host.output());
        let left: Vec<_> = attackers
            .iter()
            .filter_map(|it| missing(it, &log))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "{}", left.join("\n"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (said, _) = count(&world).await;
    assert_eq!(said.len(), COUNTS);
    if let Some(peak) = peak_memory(&host) {
        assert!(peak < 1 << 30, "{} MiB", peak >> 20);
    }
    host.signal("TERM");
    assert!(host.ended().await.success());
    let output = host.output();
    // What the type checker shows of their sources is not what they say.
    let said = log_of(&output);
    let escaped: Vec<_> = said
        .values()
        .flatten()
        .filter(|line| line.starts_with("ESCAPED"))
        .collect();
    assert!(escaped.is_empty(), "{escaped:?}");
    let secret = sim.token.split(':').nth(1).expect("a secret part");
    assert!(!output.contains(secret), "the token was found");
    assert!(!output.contains("panicked at"), "{output}");
}

/// A run of minutes with figures: `HOSTILE_SECONDS=120 cargo test --release --test run hostile -- --ignored
/// --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn the_victims_latency_beside_the_attackers() {
    let seconds = std::env::var("HOSTILE_SECONDS").ok();
    let seconds: u64 = seconds.and_then(|text| text.parse().ok()).unwrap_or(60);
    for (label, seconds, attackers) in [
        ("alone", seconds / 4, Vec::new()),
        ("with all attackers", seconds, attackers()),
    ] {
        let sim = Sim::start_with(&["--limits", "off"]).await;
        let (_dir, host) = start(&sim, &attackers).await;
        let world = World::at(&sim.base).await;
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut times = Vec::new();
        // The host keeps the platform's window of messages, of which this is three quarters.
        let mut pace = tokio::time::interval(Duration::from_secs(8));
        while Instant::now() < end {
            pace.tick().await;
            times.extend(count(&world).await.1);
        }
        let mut slowest: Vec<_> = times.iter().enumerate().collect();
        slowest.sort_by_key(|&(_, time)| std::cmp::Reverse(time));
        let slowest = slowest.iter().take(6);
        let slowest: Vec<_> = slowest
            .map(|(at, time)| format!("{:.1} (answer {at})", time.as_secs_f64() * 1e3))
            .collect();
        println!("{label}: slowest, in ms: {}", slowest.join(", "));
        times.sort();
        let at = |share: usize| times[times.len() * share / 1000].as_secs_f64() * 1e3;
        println!(
            "{label}: {} answers in {seconds} s; p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms; peak memory {} MiB",
            times.len(),
            at(500),
            at(990),
            at(999),
            peak_memory(&host).unwrap_or_default() >> 20
        );
    }
}

/// The most resident memory of the process so far, in bytes, where the system tells.
fn peak_memory(host: &Process) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}
