//! From the save of a script to its new version at work: `cargo bench --bench reload`.
//!
//! The real binary watches a real folder, against an embedded server in this process. A script of 200 lines
//! is saved again and again, as an author does (more slowly than the watcher takes for a file that is saved
//! in steps). Its first handler, that of its own `ready`, sends a message: what is measured ends when that
//! is in the world. Printed are
//! * save to answer: all of it;
//! * own work: from the moment that the change is believed until the version has its turn, in its parts as the
//!   host logs them;
//! * the check of types, which begins after that and which nothing waits for;
//! * the rest: the system's notification, the quiet that is waited for, and the answer's way.

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use argon_host::sim::{LimitScale, Server, Settings};

use support::{Process, World, bot};

const SAVES: u32 = 60;
/// Between an answer and the next save.
const PAUSE: Duration = Duration::from_millis(800);

/// A script of 200 lines that says its number when it begins.
fn script(number: u32, channel: &str) -> String {
    let mut text = format!(
        "--!strict\n-- A script like any other.\n\n\nargon.on(\"ready\", function()\n\targon.messages.send({{ channelId = \"{channel}\", text = \"{number}\" }})\nend)\n"
    );
    for part in 0..24 {
        text += &format!(
            "local seen{part}: {{ [string]: number }} = {{}}\n\
             local function count{part}(name: string): number\n\
             \tseen{part}[name] = (seen{part}[name] or 0) + 1\n\
             \tfor key, value in seen{part} do\n\
             \t\tif value > 10 then seen{part}[key] = nil end\n\
             \tend\n\
             \treturn seen{part}[name] or 0\nend\n"
        );
    }
    text
}

/// Milliseconds after a text in a line.
fn after(line: &str, text: &str) -> Option<f64> {
    let rest = line.split(text).nth(1)?;
    rest.split_whitespace().next()?.parse().ok()
}

fn report(what: &str, mut samples: Vec<f64>) {
    samples.sort_by(f64::total_cmp);
    if samples.is_empty() {
        println!("{what}: no samples");
        return;
    }
    println!(
        "{what:<46} median {:6.2} ms, p90 {:6.2}, max {:6.2} ({})",
        samples[samples.len() / 2],
        samples[samples.len() * 9 / 10],
        samples[samples.len() - 1],
        samples.len(),
    );
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let server = Server::start(Settings {
        batch: Duration::ZERO,
        limits: LimitScale::Off,
        ..Settings::default()
    })
    .await
    .expect("a free port");
    let account = server.add_bot("demo", true);
    let world = World::at(&server.base_url()).await;
    let channel = world.channel("general");
    let config = format!(
        "[bot]\nname = \"demo\"\ntoken = \"{}\"\n[server]\nurl = \"{}\"\n",
        account.token.expose(),
        server.base_url()
    );
    let dir = bot(&config, &[("a.luau", &script(0, &channel))]);
    println!("a script of {} lines", script(0, &channel).lines().count());
    let path = dir.path().join("scripts/a.luau");
    let log = "info,reload=debug,check=debug";
    let mut host = Process::start(dir.path(), &["--log", log, "run"], &[]);
    host.line("live").await;
    let mut events = world.events().await;

    let mut answers = Vec::new();
    for number in 1..=SAVES {
        tokio::time::sleep(PAUSE).await;
        let text = script(number, &channel);
        let saved = Instant::now();
        std::fs::write(&path, text).expect("a file");
        let answer = serde_json::Value::from(number.to_string());
        while events.bot_message().await["text"] != answer {}
        answers.push(saved.elapsed().as_secs_f64() * 1e3);
    }
    tokio::time::sleep(PAUSE).await;
    let output = host.output();
    let all = |text: &str| -> Vec<f64> {
        let lines = output.lines().filter(|line| line.contains("demo"));
        lines.filter_map(|line| after(line, text)).collect()
    };
    let own = all("runs, after ");
    assert_eq!(own.len(), SAVES as usize, "{output}");
    let rest = answers.iter().zip(&own).map(|(all, own)| all - own);
    report("rest: notification, quiet, answer", rest.collect());
    report("save to answer", answers);
    report("own work", own);
    report("  of it: finding what has changed", all("looked for "));
    report("  of it: VM, compiling, top level", all("loaded in "));
    report("  of it: changing places", all("swapped in "));
    report("check of types, afterwards", all("types checked in "));
}
