//! Reloads under load: every event is handled exactly once, by exactly one version, in order of start.
//!
//! Whichever version handles an event says so, with the event's number in the stream and its own: when it
//! starts, and when it is done, after a wait that lets handlers of several versions overlap. The number of
//! reloads is `RELOADS` (environment), 60 without it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Bench;

/// Events in a second.
const RATE: u32 = 2000;

fn script(version: u32) -> String {
    format!(
        "script.state.reloads = (script.state.reloads or 0) + 1\n\
         local function tell(kind, n) print(`{{kind}} {{n}} {version}`) end\n\
         argon.on(\"messageCreate\", function(e)\n\
         \tlocal n = string.match(e.id, \"_(%d+)$\")\n\
         \ttell(\"start\", n)\n\
         \ttask.wait(0.02)\n\
         \ttell(\"end\", n)\n\
         end)\n"
    )
}

/// A figure of the process, from `/proc`.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}

fn entries(pid: u32, what: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_handled_once_by_one_version_in_order() {
    let reloads: u32 = std::env::var("RELOADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let mut bench = Bench::start_with(&[("a.luau", &script(1))], "").await;
    let pid = bench.host.id();
    let channel = bench.world.channel("general");
    let person = bench.world.person(0);
    let http = reqwest::Client::new();
    let url = format!("{}/_sim/flood", bench.world.base);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(async move {
        let begun = Instant::now();
        let mut sent = 0;
        while !*stopping.borrow() {
            let due = (begun.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
            let count = (due - sent).min(RATE);
            if count > 0 {
                let body = json!({
                    "userId": person, "channelId": channel, "count": count, "text": "x",
                });
                let request = http.post(&url).header("content-type", "application/json");
                let answer = request.body(body.to_string()).send().await;
                let answer = answer.expect("the server answers");
                assert!(answer.status().is_success(), "{:?}", answer.text().await);
                sent += count;
            }
            // The pace of the writer.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sent
    });
    let mut early = None;
    for version in 2..=reloads + 1 {
        bench.write("a.luau", &script(version));
        bench.host.line(&format!("version {version} runs")).await;
        if version == reloads / 4 + 2 {
            early = Some((resident_kib(pid), entries(pid, "task"), entries(pid, "fd")));
        }
    }
    stop.send_replace(true);
    let sent = writer.await.expect("the writer");
    // The last handlers end within their wait.
    while bench.count("demo/a: end ") < sent as usize {
        bench.host.line("demo/a: end ").await;
    }
    let output = bench.host.output();
    let mut started = Vec::new();
    let mut ended = Vec::new();
    let mut last_version = 0;
    for line in output.lines() {
        let Some(said) = line.split("demo/a: ").nth(1) else {
            continue;
        };
        let words: Vec<_> = said.split(' ').collect();
        match words.as_slice() {
            ["start", n, version] => {
                let version: u32 = version.parse().expect("a version");
                assert!(
                    version >= last_version,
                    "an old version started an event late: {line}"
                );
                last_version = version;
                started.push(n.parse::<u32>().expect("a number"));
            }
            ["end", n, _] => ended.push(n.parse::<u32>().expect("a number")),
            _ => {}
        }
    }
    assert_eq!(started.len(), sent as usize);
    let in_order = started.windows(2).all(|pair| pair[1] == pair[0] + 1);
    assert!(in_order, "an event is missing, doubled or out of order");
    ended.sort_unstable();
    assert_eq!(ended, started, "every handler finishes once");
    assert_eq!(bench.count("cannot be loaded"), 0);
    let early = early.expect("at least four reloads");
    let late = (resident_kib(pid), entries(pid, "task"), entries(pid, "fd"));
    println!(
        "{reloads} reloads, {sent} events; resident KiB, threads, files: {early:?} → {late:?}"
    );
    assert!(late.1 <= early.1 + 4, "threads: {early:?} → {late:?}");
    assert!(late.2 <= early.2 + 4, "files: {early:?} → {late:?}");
    // The embedded server is in the same process and keeps the messages: that is the growth allowed.
    assert!(
        late.0 <= early.0 + u64::from(sent) * 2 + 32 * 1024,
        "memory: {early:?} → {late:?}"
    );
}
