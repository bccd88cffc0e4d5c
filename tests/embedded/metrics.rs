//! `GET /metrics` as a scraper reads it, while a bot works: each metric moves for what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use argon_host::admin::metrics::{Kind, METRICS};
use prometheus_parse::{Sample, Value as Number};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Process, World, bot, embedded_bot, embedded_server, run_embedded};

/// Does what a message says.
const OBEDIENT: &str = r#"
argon.on("messageCreate", function(event)
    local words = string.split(event.message.text or "", " ")
    local what = words[1]
    if what == "fail" then
        error("as asked")
    elseif what == "spin" then
        while true do end
    elseif what == "grow" then
        local all = {}
        while true do table.insert(all, string.rep("x", 1000000) .. #all) end
    elseif what == "log" then
        for n = 1, 5000 do print(n) end
    elseif what == "keep" then
        argon.kv.set("a", 1)
        argon.kv.get("a")
        argon.kv.list("")
        argon.kv.delete("a")
    elseif what == "fetch" then
        argon.http.request{ url = words[2] }
        pcall(argon.http.request, { url = "http://127.0.0.1:1/" })
    elseif what == "burst" then
        for _ = 1, 40 do task.spawn(pcall, argon.botSelf.getMe, {}) end
    elseif what == "sing" then
        local voice = argon.voice.join{ spaceId = event.spaceId, channelId = words[2] }
        local tone = buffer.create(48000 * 2)
        for at = 0, 47999 do buffer.writei16(tone, at * 2, at % 100 * 200) end
        voice:push(tone)
    else
        event:reply(what)
    end
end)
"#;

/// One scrape.
struct Scrape {
    text: String,
    samples: Vec<Sample>,
}

impl Scrape {
    async fn of(admin: &str) -> Self {
        let answer = reqwest::get(format!("{admin}/metrics")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4"
        );
        let text = answer.text().await.expect("text");
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let samples = prometheus_parse::Scrape::parse(lines)
            .expect("the text format")
            .samples;
        Self { text, samples }
    }

    /// The sum of the samples of that name that have these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut sum = 0.0;
        for sample in &self.samples {
            let fits = |(key, value): &(&str, &str)| sample.labels.get(key) == Some(value);
            if sample.metric == name && labels.iter().all(fits) {
                sum += match &sample.value {
                    Number::Counter(value) | Number::Gauge(value) | Number::Untyped(value) => {
                        *value
                    }
                    Number::Histogram(buckets) => buckets.last().map_or(0.0, |last| last.count),
                    Number::Summary(_) => panic!("{name} is a summary"),
                };
            }
        }
        sum
    }

    /// The names, and the labels of each.
    fn families(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut families: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for sample in &self.samples {
            let name = &*sample.metric;
            let of_histogram = ["_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|name| METRICS.iter().any(|metric| metric.name == *name));
            let labels = sample.labels.keys().map(String::as_str);
            families
                .entry(of_histogram.unwrap_or(name))
                .or_default()
                .extend(labels);
        }
        families
    }
}

/// A bot that does what messages say, and its admin server.
struct Bench {
    host: Process,
    world: World,
    admin: String,
    dir: tempfile::TempDir,
}

fn admin_of(host: &Process) -> String {
    let output = host.output();
    let line = output.lines().find(|line| line.contains("admin at "));
    let address = line.and_then(|line| line.split("admin at ").nth(1));
    let address = address.unwrap_or_else(|| panic!("no admin server: {output}"));
    address.trim_end_matches('/').to_owned()
}

impl Bench {
    async fn start(more: &str) -> Self {
        let more = format!("{more}[scripts]\nreload = false\n[admin]\nlisten = \"127.0.0.1:0\"\n");
        let dir = embedded_bot(&[("works.luau", OBEDIENT)], &more);
        let (host, world) = run_embedded(dir.path(), &[]).await;
        Self {
            admin: admin_of(&host),
            host,
            world,
            dir,
        }
    }

    async fn say(&self, text: &str) {
        self.world.write(0, "general", text).await;
    }

    /// Scrapes until the sum is as wanted.
    async fn until(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> Scrape {
        let mut last = None;
        let scraping = async {
            loop {
                let scrape = Scrape::of(&self.admin).await;
                let sum = scrape.sum(name, labels);
                if wanted(sum) {
                    return scrape;
                }
                last = Some(sum);
            }
        };
        let found = tokio::time::timeout(PATIENCE, scraping).await;
        found.unwrap_or_else(|_| {
            panic!("{name} {labels:?} stays {last:?}\n{}", self.host.output());
        })
    }

    /// Scrapes until it is at least that.
    async fn at_least(&self, name: &str, labels: &[(&str, &str)], least: f64) -> Scrape {
        self.until(name, labels, |sum| sum >= least).await
    }

    async fn post(&self, path: &str) -> u16 {
        let url = format!("{}{path}", self.admin);
        let answer = reqwest::Client::new().post(url).send().await;
        answer.expect("an answer").status().as_u16()
    }

    async fn status(&self) -> Value {
        let answer = reqwest::get(format!("{}/api/status", self.admin)).await;
        let text = answer.expect("an answer").text().await.expect("text");
        serde_json::from_str::<Value>(&text).expect("JSON")["bots"][0].clone()
    }
}

/// A server that answers one request with nothing.
fn web() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    address.to_string()
}

#[tokio::test]
async fn each_metric_moves_for_its_cause() {
    let web = web();
    let bench = Bench::start(&format!(
        "[limits]\ncpu_per_event = \"1s\"\nmemory = \"16MiB\"\n\
         [script.works]\nhttp = [\"{web}\", \"127.0.0.1:1\"]\n"
    ))
    .await;
    let works = [("bot", "demo"), ("script", "works")];
    let with = |label, value| [works[0], works[1], (label, value)];

    // A handler that ends well.
    bench.say("hello").await;
    let sent = [("route", "IMessages/Send"), ("status", "200")];
    let scrape = bench
        .at_least("argon_rest_requests_total", &sent, 1.0)
        .await;
    assert_eq!(scrape.sum("argon_bot_up", &[("bot", "demo")]), 1.0);
    assert_eq!(scrape.sum("argon_stream_live", &[]), 1.0);
    assert!(scrape.sum("argon_stream_last_event_timestamp_seconds", &[]) > 1.7e9);
    let written = [("type", "messageCreate")];
    assert!(scrape.sum("argon_stream_events_total", &written) >= 1.0);
    assert_eq!(
        scrape.sum("argon_stream_events_total", &[("type", "ready")]),
        1.0
    );
    assert_eq!(
        scrape.sum("argon_script_state", &with("state", "running")),
        1.0
    );
    assert_eq!(scrape.sum("argon_script_state", &works), 1.0, "one state");
    assert_eq!(scrape.sum("argon_script_lag_seconds", &works), 1.0);
    assert!(scrape.sum("argon_script_memory_bytes", &works) > 1e5);
    bench
        .at_least("argon_script_handling_seconds", &works, 1.0)
        .await;
    bench.at_least("argon_inbox_commit_seconds", &[], 1.0).await;
    let scrape = bench
        .until("argon_inbox_unfinished_events", &[], |events| events == 0.0)
        .await;
    assert!(scrape.sum("argon_inbox_deliveries_total", &[("result", "done")]) >= 1.0);
    assert!(scrape.sum("argon_inbox_disk_bytes", &[]) > 4096.0);

    // One that fails, one that does not end, one that eats memory, one that says too much.
    bench.say("fail").await;
    let scrape = bench
        .at_least("argon_script_errors_total", &works, 1.0)
        .await;
    assert_eq!(scrape.sum("argon_script_stops_total", &works), 0.0);
    bench.say("spin").await;
    let cpu = with("reason", "cpu");
    let scrape = bench.at_least("argon_script_stops_total", &cpu, 1.0).await;
    assert!(scrape.sum("argon_script_cpu_seconds_total", &works) >= 1.0);
    bench.say("grow").await;
    bench
        .at_least("argon_script_stops_total", &with("reason", "memory"), 1.0)
        .await;
    bench.say("log").await;
    bench
        .at_least("argon_script_unlogged_lines_total", &works, 100.0)
        .await;

    // Versions.
    assert_eq!(bench.post("/api/reload").await, 200);
    let scrape = Scrape::of(&bench.admin).await;
    assert_eq!(scrape.sum("argon_script_version", &works), 2.0);
    let file = bench.dir.path().join("scripts/works.luau");
    std::fs::write(&file, "= =").expect("a file");
    assert_eq!(bench.post("/api/reload").await, 422);
    let scrape = Scrape::of(&bench.admin).await;
    for result in ["loaded", "reloaded", "failed"] {
        let versions = scrape.sum("argon_script_versions_total", &with("result", result));
        assert_eq!(versions, 1.0, "{result}");
    }
    assert_eq!(
        scrape.sum("argon_script_state", &with("state", "running")),
        1.0
    );

    // Keys and requests to others.
    bench.say("keep").await;
    bench
        .at_least("argon_kv_operations_total", &[("result", "deleted")], 1.0)
        .await;
    let scrape = Scrape::of(&bench.admin).await;
    for result in ["written", "read", "listed"] {
        let operations = scrape.sum("argon_kv_operations_total", &[("result", result)]);
        assert_eq!(operations, 1.0, "{result}");
    }
    bench.say(&format!("fetch http://{web}/")).await;
    let failed = with("result", "failed");
    let scrape = bench
        .at_least("argon_script_http_requests_total", &failed, 1.0)
        .await;
    let answered = with("result", "answered");
    assert_eq!(
        scrape.sum("argon_script_http_requests_total", &answered),
        1.0
    );

    // The platform refuses a call, and drops the stream.
    let refused = [("interface", "IMessages")];
    assert_eq!(scrape.sum("argon_rest_rate_limited_total", &[]), 0.0);
    let fault = json!({ "kind": "answer", "interface": "IMessages", "status": 429 });
    bench.world.act("fault", fault).await;
    bench.say("again").await;
    let scrape = bench
        .at_least("argon_rest_requests_total", &sent, 2.0)
        .await;
    assert_eq!(scrape.sum("argon_rest_rate_limited_total", &refused), 1.0);
    assert_eq!(scrape.sum("argon_rest_retries_total", &sent[..1]), 1.0);
    let refusals = [sent[0], ("status", "429")];
    assert_eq!(scrape.sum("argon_rest_requests_total", &refusals), 1.0);
    assert_eq!(scrape.sum("argon_rest_request_seconds", &sent[..1]), 3.0);
    assert_eq!(scrape.sum("argon_stream_disconnects_total", &[]), 0.0);
    bench.world.act("fault", json!({ "kind": "drop" })).await;
    let scrape = bench
        .at_least("argon_stream_connects_total", &[], 2.0)
        .await;
    assert_eq!(scrape.sum("argon_stream_disconnects_total", &[]), 1.0);
    // Counted by another step than the connect.
    bench.at_least("argon_stream_resumes_total", &[], 1.0).await;
    bench.at_least("argon_stream_live", &[], 1.0).await;

    // Voice.
    let lounge = bench.world.channel("Lounge");
    bench.say(&format!("sing {lounge}")).await;
    let connection = with("connection", "1");
    let scrape = bench
        .at_least("argon_voice_sent_packets_total", &connection, 20.0)
        .await;
    assert_eq!(scrape.sum("argon_voice_connected", &connection), 1.0);
    assert!(scrape.sum("argon_voice_encoded_frames_total", &connection) >= 1.0);
    assert!(scrape.sum("argon_voice_encode_seconds_total", &connection) > 0.0);
    assert!(!scrape.text.contains(&lounge), "no ids in labels");

    // Forty calls where fifteen fit into a minute: as many wait for the next one, and those that would come
    // too late in any case are turned away; none is refused.
    bench.say("burst").await;
    let own = [("interface", "IBotSelf")];
    bench.at_least("argon_rest_waiting_calls", &own, 10.0).await;
    // Told by the script's thread, when its turn is over.
    bench
        .at_least("argon_script_pending_calls", &works, 10.0)
        .await;
    let scrape = bench
        .until("argon_rest_running_requests", &[], |running| running == 0.0)
        .await;
    assert_eq!(scrape.sum("argon_rest_remaining_calls", &own), 0.0);
    assert_eq!(scrape.sum("argon_rest_rate_limited_total", &own), 0.0);
    let me = [("route", "IBotSelf/GetMe")];
    let late = [me[0], ("reason", "too_late")];
    assert!(scrape.sum("argon_rest_turned_away_calls_total", &late) > 0.0);
    // Ten may run at once: the others of the first fifteen waited for those.
    assert!(scrape.sum("argon_rest_wait_seconds_sum", &me) > 0.0);

    every_metric_is_there(&scrape);
    status_agrees(&bench).await;
}

/// What was scraped is what the table says, all of it.
fn every_metric_is_there(scrape: &Scrape) {
    let families = scrape.families();
    let there: BTreeSet<_> = families.keys().copied().collect();
    let listed: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(there, listed);
    for metric in METRICS {
        let labels: BTreeSet<_> = metric.labels().into_iter().collect();
        assert_eq!(families[metric.name], labels, "{}", metric.name);
        for head in [
            format!("# HELP {} ", metric.name),
            format!("# TYPE {} {}\n", metric.name, metric.kind.name()),
        ] {
            assert_eq!(scrape.text.matches(&head).count(), 1, "{head}");
        }
        if metric.kind == Kind::Histogram {
            let last = format!("{}_bucket{{", metric.name);
            let infinite = scrape
                .text
                .lines()
                .any(|line| line.starts_with(&last) && line.contains("le=\"+Inf\""));
            assert!(infinite, "{}", metric.name);
        }
    }
}

/// Status and metrics say the same of what has come to rest.
async fn status_agrees(bench: &Bench) {
    let status = bench.status().await;
    let scrape = Scrape::of(&bench.admin).await;
    let script = &status["scripts"][0];
    let sum_of = |tally: &Value| -> f64 {
        let tally = tally.as_object().expect("a tally").values();
        tally.map(|count| count.as_f64().expect("a number")).sum()
    };
    for (name, labels, shown) in [
        (
            "argon_stream_connects_total",
            &[][..],
            status["stream"]["connects"].as_f64(),
        ),
        (
            "argon_stream_disconnects_total",
            &[],
            Some(sum_of(&status["stream"]["ended"])),
        ),
        (
            "argon_stream_events_total",
            &[("type", "messageCreate")],
            status["stream"]["received"]["messageCreate"].as_f64(),
        ),
        (
            "argon_inbox_events_total",
            &[],
            status["inbox"]["appended"].as_f64(),
        ),
        ("argon_script_errors_total", &[], script["errors"].as_f64()),
        ("argon_script_events_total", &[], script["events"].as_f64()),
        (
            "argon_script_handling_seconds",
            &[],
            script["handling"]["count"].as_f64(),
        ),
        (
            "argon_script_handling_seconds_sum",
            &[],
            script["handling"]["seconds"].as_f64(),
        ),
        (
            "argon_script_stops_total",
            &[],
            Some(sum_of(&script["stopped"])),
        ),
        (
            "argon_script_versions_total",
            &[],
            Some(sum_of(&script["versions"])),
        ),
        ("argon_script_version", &[], script["version"].as_f64()),
        (
            "argon_kv_operations_total",
            &[],
            Some(sum_of(&status["inbox"]["kv"])),
        ),
    ] {
        let (scraped, shown) = (scrape.sum(name, labels), shown.expect(name));
        // Reading the JSON may have rounded the last bit of a number of seconds.
        let rounded = (scraped - shown).abs() <= shown.abs() * 2.0 * f64::EPSILON;
        assert!(rounded, "{name}: {scraped} is not {shown}: {status}");
    }
    let routes = status["rest"]["routes"].as_array().expect("routes");
    for route in routes {
        let name = route["name"].as_str().expect("a name");
        let requests = scrape.sum("argon_rest_requests_total", &[("route", name)]);
        assert_eq!(requests, sum_of(&route["requests"]), "{name}");
    }
    let voice = &status["voice"][0];
    assert_eq!(voice["room"], bench.world.channel("Lounge"));
    assert_eq!(
        (&voice["script"], &voice["slot"]),
        (&json!("works"), &json!(1))
    );
}

#[tokio::test]
async fn bots_of_one_process_are_told_apart() {
    let config = |name: &str| {
        format!(
            "[bot]\nname = \"{name}\"\n{}[admin]\nlisten = \"127.0.0.1:0\"\n",
            embedded_server()
        )
    };
    let dir = bot(
        &config("one"),
        &[("echo.luau", "argon.on(\"ready\", print)\n")],
    );
    let other = dir.path().join("other.toml");
    std::fs::write(other, config("two")).expect("a config");
    let mut host = Process::start(dir.path(), &["run", "bot.toml", "other.toml"], &[]);
    for _ in 0..2 {
        host.line("live after").await;
    }
    let scrape = Scrape::of(&admin_of(&host)).await;
    for bot in ["one", "two"] {
        assert_eq!(scrape.sum("argon_bot_up", &[("bot", bot)]), 1.0);
        let connects = scrape.sum("argon_stream_connects_total", &[("bot", bot)]);
        assert_eq!(connects, 1.0, "{bot}");
        let script = [("bot", bot), ("script", "echo"), ("state", "running")];
        assert_eq!(scrape.sum("argon_script_state", &script), 1.0, "{bot}");
    }
    assert_eq!(
        scrape.text.matches("# TYPE argon_bot_up gauge\n").count(),
        1
    );
    let process = scrape.sum("process_resident_memory_bytes", &[]);
    assert!(process > 1e6, "{process}");
    assert!(scrape.sum("process_start_time_seconds", &[]) > 1.7e9);
    assert!(scrape.sum("process_cpu_seconds_total", &[]) > 0.0);
}
