//! Reloads under load: every event is handled exactly once, by exactly one version, in order of start, and
//! neither memory nor threads nor files grow.
//!
//! The embedded server mirrors the platform, where 100 events a second leave a stream at most; so the server
//! is in this process, without that bound, and the process that is measured has the host alone. Each
//! handler waits, so that handlers of several versions overlap. A script may log 200 lines a second: a
//! version collects the numbers of the events that it began and ended, and says them by the hundred, and when
//! its turn is over.
//!
//! `RELOADS=1000 cargo test --release --test reload stress -- --nocapture` is the long run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use argon_host::sim::{LimitScale, Server, Settings};
use serde_json::json;
use tokio::sync::watch;

use crate::admin::address;
use crate::support::{Process, World, bot};

/// Events in a second.
const RATE: u32 = 2000;
/// Without `RELOADS`.
const FEW: u32 = 40;

/// `text` makes each version another one. The number of a version is how often the state was handed on.
fn script(text: u32) -> String {
    format!(
        r#"-- {text}
local state = script.state
state.version = (state.version or 0) + 1
local version = state.version
local starts, ends, running, over = {{}}, {{}}, 0, false
local function numbers(ids)
	for at, id in ids do ids[at] = string.match(id, "_(%d+)$") end
	return table.concat(ids, " ")
end
-- A handler may be interrupted for another one wherever it calls something or loops: what it notes, it notes
-- before that, and a list is taken away before it is said.
local function tellStarts()
	local list = starts
	starts = {{}}
	print(`start {{version}} {{numbers(list)}}`)
end
local function tellEnds()
	local list = ends
	ends = {{}}
	print(`end {{version}} {{numbers(list)}}`)
end
argon.on("messageCreate", function(e)
	starts[#starts + 1] = e.id
	running += 1
	if over or #starts >= 500 then tellStarts() end
	task.wait(0.02)
	ends[#ends + 1] = e.id
	running -= 1
	if #ends >= 500 or (over and running == 0) then tellEnds() end
end)
script.onUnload(function()
	over = true
	tellStarts()
	tellEnds()
end)
"#
    )
}

/// What the process holds, from `/proc`.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_kib: u64,
    threads: usize,
    files: usize,
}

impl Held {
    fn by(pid: u32) -> Self {
        let entries = |what: &str| {
            std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count)
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        Self {
            resident_kib: resident.unwrap_or_default(),
            threads: entries("task"),
            files: entries("fd"),
        }
    }
}

/// Writes messages at [`RATE`] until it is told to stop. Answers how many, and in what time.
async fn write_messages(world: &World, mut stop: watch::Receiver<bool>) -> (u32, Duration) {
    let (channel, person) = (world.channel("general"), world.person(0));
    let begun = Instant::now();
    let mut sent = 0;
    while !*stop.borrow_and_update() {
        let due = (begun.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
        // After a pause of the machine's, in parts: the server lets nobody run far ahead of the stream.
        let count = (due - sent).min(RATE);
        if count > 0 {
            let body = json!({
                "userId": person, "channelId": channel, "count": count, "text": "x",
            });
            world.act("flood", body).await;
            sent += count;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (sent, begun.elapsed())
}

/// Every other version is saved, the rest are asked for: those come without the time that a change on
/// disk is left to settle.
async fn reload(host: &mut Process, path: &std::path::Path, admin: &str, number: u32) {
    if number.is_multiple_of(2) {
        std::fs::write(path, script(number)).expect("a file");
        host.line("runs, after").await;
        return;
    }
    let answer = reqwest::Client::new()
        .post(format!("{admin}/api/reload?script=a"))
        .send()
        .await
        .expect("the admin server answers");
    assert!(answer.status().is_success(), "{:?}", answer.text().await);
    host.line("runs, after").await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_handled_once_by_one_version_in_order() {
    let reloads: u32 = match std::env::var("RELOADS") {
        Ok(text) => text.parse().expect("RELOADS is a number"),
        Err(_) => FEW,
    };
    let server = Server::start(Settings {
        batch: Duration::ZERO,
        limits: LimitScale::Off,
        ..Settings::default()
    })
    .await
    .expect("a free port");
    let account = server.add_bot("demo", true);
    let world = World::at(&server.base_url()).await;
    let config = format!(
        "[bot]\nname = \"demo\"\ntoken = \"{}\"\n[server]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        account.token.expose(),
        server.base_url()
    );
    let dir = bot(&config, &[("a.luau", &script(0))]);
    let path = dir.path().join("scripts/a.luau");
    let mut host = Process::start(dir.path(), &["--log", "info,reload=debug", "run"], &[]);
    host.line("live").await;
    let admin = address(&host.output());

    let (stop, stopping) = watch::channel(false);
    let writer = tokio::spawn(async move { write_messages(&world, stopping).await });
    let begun = Instant::now();
    let mut early = None;
    for number in 1..=reloads {
        reload(&mut host, &path, &admin, number).await;
        if number == reloads / 4 + 1 {
            early = Some(Held::by(host.id()));
        }
    }
    let took = begun.elapsed();
    let (early, late) = (early.expect("a reload"), Held::by(host.id()));
    stop.send_replace(true);
    let (sent, wrote) = writer.await.expect("the writer");
    let caught_up = Instant::now();
    // The last version says what it has not said yet when its turn is over.
    wait_until_taken(&admin, u64::from(sent)).await;
    let behind = caught_up.elapsed();
    host.signal("TERM");
    assert!(host.ended().await.success());
    println!(
        "{reloads} reloads in {:.1} s under {:.0} events/s ({sent} events; the last began {:.0} ms \
         after the end)\n{early:?} → {late:?}",
        took.as_secs_f64(),
        f64::from(sent) / wrote.as_secs_f64(),
        behind.as_secs_f64() * 1e3,
    );

    let output = host.output();
    judge(&output, sent);
    assert!(!output.contains("cannot be loaded"), "{output}");
    assert!(!output.contains("cut off"), "{output}");
    // The versions that still have handlers, and a check of types that still runs.
    assert!(late.threads <= early.threads + 6, "{early:?} → {late:?}");
    assert!(late.files <= early.files + 6, "{early:?} → {late:?}");
    assert!(
        late.resident_kib <= early.resident_kib * 5 / 4 + 16 * 1024,
        "{early:?} → {late:?}"
    );
}

/// Waits until as many events were taken as were sent.
async fn wait_until_taken(admin: &str, sent: u64) {
    let http = reqwest::Client::new();
    let deadline = Instant::now() + crate::support::PATIENCE;
    loop {
        let answer = http.get(format!("{admin}/api/status")).send().await;
        let text = answer.expect("an answer").text().await.expect("a body");
        let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let taken = status["bots"][0]["scripts"][0]["events"].as_u64();
        if taken.expect("a number") >= sent {
            return;
        }
        assert!(Instant::now() < deadline, "{taken:?} of {sent} were taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each event was begun once and ended once, by the same version, and they began in their order.
fn judge(output: &str, sent: u32) {
    let mut begun: HashMap<u64, u64> = HashMap::new();
    let mut ended: HashMap<u64, u64> = HashMap::new();
    let (mut last, mut last_version) = (None, 0);
    for line in output.lines() {
        let Some(said) = line.split("demo/a: ").nth(1) else {
            continue;
        };
        let mut words = said.split(' ');
        let kind = words.next().expect("a word");
        if kind != "start" && kind != "end" {
            continue;
        }
        let mut numbers = words
            .filter(|word| !word.is_empty())
            .map(|word| word.parse::<u64>().expect("a number"));
        let version = numbers.next().expect("a version");
        if kind == "end" {
            for number in numbers {
                let before = ended.insert(number, version);
                assert_eq!(before, None, "event {number} has ended twice");
            }
            continue;
        }
        assert!(
            version >= last_version,
            "version {version} began late: {line}"
        );
        last_version = version;
        for number in numbers {
            let next = last.map_or(number, |last: u64| last + 1);
            assert_eq!(number, next, "an event is missing, doubled or out of order");
            last = Some(number);
            begun.insert(number, version);
        }
    }
    assert_eq!(begun.len(), sent as usize, "events that began");
    assert_eq!(begun, ended, "each ends in the version that began it");
}
