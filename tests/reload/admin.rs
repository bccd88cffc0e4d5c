//! Health, status, reload and the end of a pause over the admin server.

use serde_json::Value;

use crate::{Bench, answering};

const ADMIN: &str = "[scripts]\nreload = false\n[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\ncpu_per_event = \"20ms\"\n";

/// The address of the admin server, by what the host printed.
pub fn address(output: &str) -> String {
    let line = output.lines().find(|line| line.contains("admin at "));
    let line = line.unwrap_or_else(|| panic!("no admin server: {output}"));
    let address = line.split("admin at ").nth(1).expect("an address");
    address.trim_end_matches('/').to_owned()
}

async fn call(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[tokio::test]
async fn health_status_and_reload() {
    let mut bench = Bench::start_with(&[("a.luau", &answering("1"))], ADMIN).await;
    let base = address(&bench.host.output());
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{base}{path}"));
    let post = |path: &str| http.post(format!("{base}{path}"));
    assert_eq!(call(get("/healthz")).await.0, 200);
    let (status, ready) = call(get("/readyz")).await;
    assert_eq!((status, &ready["live"]["demo"]), (200, &Value::Bool(true)));

    bench.write("a.luau", &answering("2"));
    let (status, answer) = call(post("/api/reload?script=a")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["scripts"][0]["outcome"], "reloaded");
    assert_eq!(answer["scripts"][0]["version"], 2);
    assert_eq!(bench.answer("hi").await, "2");

    bench.write("a.luau", "= =\n");
    let (status, answer) = call(post("/api/reload?bot=&script=")).await;
    assert_eq!(status, 422, "{answer}");
    let error = answer["scripts"][0]["error"].as_str().expect("an error");
    assert!(error.starts_with("a.luau:1"), "{error}");
    let (status, answer) = call(get("/api/status")).await;
    assert_eq!(status, 200);
    let script = &answer["bots"][0]["scripts"][0];
    assert_eq!(
        (&script["name"], &script["version"]),
        (&"a".into(), &2.into()),
        "{answer}"
    );
    assert_eq!(script["state"], "running");
    assert!(script["loadError"].is_string());
    assert_eq!(answer["bots"][0]["stream"]["state"], "live");

    assert_eq!(call(post("/api/reload?script=none")).await.0, 404);
    assert_eq!(call(post("/api/scripts/a/resume")).await.0, 404);
    for (wrong, status, code, told) in [
        (post("/api/reload?scirpt=a"), 400, "bad_request", "scirpt"),
        (get("/api/reload"), 405, "method_not_allowed", "GET"),
        (get("/api"), 404, "not_found", "/api/status"),
    ] {
        let (got, answer) = call(wrong).await;
        assert_eq!((got, &answer["error"]), (status, &code.into()), "{answer}");
        let message = answer["message"].as_str().expect("a message");
        assert!(message.contains(told), "{message}");
    }
    let foreign = get("/api/status").header("host", "evil.example");
    assert_eq!(call(foreign).await.0, 403);
    let page = post("/api/reload").header("origin", "http://evil.example");
    assert_eq!(call(page).await.0, 403);
}

#[tokio::test]
async fn a_script_that_is_stopped_again_and_again_is_paused_and_resumed() {
    let spinner = "script.state.seen = script.state.seen or {}\n\
                   argon.on(\"messageCreate\", function(e)\n\
                   \ttable.insert(script.state.seen, e.message.text)\n\
                   \tif e.message.text == \"spin\" then while true do end end\n\
                   \te:reply(`seen {#script.state.seen}`)\nend)\n";
    let mut bench = Bench::start_with(
        &[
            ("bad.luau", spinner),
            ("good.luau", "argon.on(\"memberJoin\", print)\n"),
        ],
        ADMIN,
    )
    .await;
    let base = address(&bench.host.output());
    for _ in 0..5 {
        bench.world.write(0, "general", "spin").await;
    }
    let line = bench.host.line("paused for 10 s").await;
    assert!(line.contains("CPU time"), "{line}");
    // What comes meanwhile waits for it.
    bench.world.write(0, "general", "meanwhile").await;
    let http = reqwest::Client::new();
    let (_, answer) = call(http.get(format!("{base}/api/status"))).await;
    let scripts = answer["bots"][0]["scripts"].as_array().expect("scripts");
    assert_eq!(scripts[0]["state"], "paused", "{answer}");
    assert_eq!(scripts[1]["state"], "running", "{answer}");
    let resume = http.post(format!("{base}/api/scripts/bad/resume"));
    let (status, answer) = call(resume).await;
    assert_eq!(status, 200, "{answer}");
    // Its state is there, and so is the event that came in the pause.
    assert_eq!(bench.events.bot_message().await["text"], "seen 6");
    // Who let it run again vouched for it: what it did before makes the next pause no longer.
    for _ in 0..5 {
        bench.world.write(0, "general", "spin").await;
    }
    let line = bench.host.line("paused for").await;
    assert!(line.contains("paused for 10 s"), "{line}");
}

#[tokio::test]
async fn what_an_old_version_does_in_its_last_time_is_not_held_against_the_new_one() {
    let admin = "[scripts]\nreload = false\n[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\ncpu_per_event = \"300ms\"\n";
    let spinner = "argon.on(\"messageCreate\", function()\n\tprint(\"begins\")\n\
                   \trepeat task.wait(0.02) until argon.kv.get(\"go\")\n\twhile true do end\nend)\n";
    let mut bench = Bench::start_with(&[("a.luau", spinner), ("b.luau", "")], admin).await;
    let base = address(&bench.host.output());
    let http = reqwest::Client::new();
    for _ in 0..5 {
        bench.world.write(0, "general", "spin").await;
        bench.host.line("begins").await;
    }
    bench.write(
        "a.luau",
        "argon.on(\"messageCreate\", function(e) argon.kv.set(\"go\", true) e:reply(\"mended\") end)\n",
    );
    let (status, answer) = call(http.post(format!("{base}/api/reload?script=a"))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(bench.answer("hi").await, "mended");
    while bench.count("this run has used its 300ms") < 5 {
        bench.host.line("").await;
    }
    is_not_paused(&bench, &base, "a").await;
}

#[tokio::test]
async fn what_a_version_does_that_cannot_be_loaded_is_not_held_against_the_one_that_runs() {
    let admin = "[scripts]\nreload = false\n[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\nload_time = \"300ms\"\n";
    let mut bench = Bench::start_with(&[("a.luau", &answering("1")), ("b.luau", "")], admin).await;
    let base = address(&bench.host.output());
    let http = reqwest::Client::new();
    bench.write("a.luau", "while true do end\n");
    for _ in 0..5 {
        let (status, answer) = call(http.post(format!("{base}/api/reload?script=a"))).await;
        assert_eq!(status, 422, "{answer}");
    }
    loop {
        let (_, answer) = call(http.get(format!("{base}/api/status"))).await;
        if answer["bots"][0]["scripts"][0]["stopped"]["cpu"] == 5 {
            break;
        }
        tokio::task::yield_now().await;
    }
    is_not_paused(&bench, &base, "a").await;
    assert_eq!(bench.answer("hi").await, "1");
}

/// The keeper has looked at what was counted against a script by now, and lets it run.
async fn is_not_paused(bench: &Bench, base: &str, script: &str) {
    let http = reqwest::Client::new();
    // Each is a further turn of the keeper's, which chooses between what there is to do.
    for _ in 0..20 {
        let (status, answer) = call(http.post(format!("{base}/api/reload?script=b"))).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (_, answer) = call(http.get(format!("{base}/api/status"))).await;
    let scripts = answer["bots"][0]["scripts"].as_array().expect("scripts");
    let one = scripts.iter().find(|one| one["name"] == script);
    assert_eq!(one.expect("the script")["state"], "running", "{answer}");
    assert_eq!(bench.count("paused for"), 0, "{}", bench.host.output());
}

#[tokio::test]
async fn a_pause_does_not_bring_back_what_was_rolled_back() {
    let good = "argon.on(\"messageCreate\", function(e)\n\
                \tif e.message.text == \"spin\" then while true do end end\n\
                \te:reply(\"good\")\nend)\n";
    let bad = "argon.on(\"messageCreate\", function(e) e:reply(nil .. 1) end)\n";
    let mut bench = Bench::start_with(&[("a.luau", good)], ADMIN).await;
    let base = address(&bench.host.output());
    let http = reqwest::Client::new();
    let post = |path: &str| http.post(format!("{base}{path}"));
    assert_eq!(bench.answer("hi").await, "good");
    bench.write("a.luau", bad);
    assert_eq!(call(post("/api/reload?script=a")).await.0, 200);
    for _ in 0..3 {
        bench.world.write(0, "general", "hi").await;
    }
    bench.host.line("runs again, as version 3").await;
    for _ in 0..5 {
        bench.world.write(0, "general", "spin").await;
    }
    bench.host.line("paused for 10 s").await;
    let (status, answer) = call(post("/api/scripts/a/resume")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["scripts"][0]["outcome"], "loaded", "{answer}");
    assert_eq!(bench.answer("hi").await, "good");
    // Who asks for the file on disk gets it.
    assert_eq!(call(post("/api/reload?script=a")).await.0, 200);
    bench.world.write(0, "general", "hi").await;
    bench.host.line("attempt to concatenate nil").await;
}
