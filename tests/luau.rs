//! Runs every `tests/luau/*.luau` as a script in the real VM: a file that is put there is a test.
//!
//! `tests/luau/lib/check.luau` is what they assert with. It speaks to this runner through the log:
//! `ok NAME` and `failed NAME: …` for each test, `inject {…}` to have an event, `expect TEXT` before a line
//! with that text is logged, `done N` at the end. What the script sends to the platform comes back to it as
//! `testCall` events.

#[path = "script/support.rs"]
#[allow(dead_code, reason = "the tests of scripts use the rest")]
mod support;
#[path = "luau/upstream.rs"]
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};

use axum::response::Response;
use serde_json::{Value, json};
use support::{Bot, Call, answer_json, usual};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/luau")
}

/// The test files by script name.
fn files() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .expect("the folder of the tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "luau"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (
                name.into_owned(),
                fs::read_to_string(&path).expect("a text"),
            )
        })
        .collect();
    files.sort();
    files
}

/// As the usual server, with members: whose id begins with `mod` has the archetype `mod`. Interactions whose id
/// begins with `gone` are over.
fn answer(call: &Call) -> Response {
    let interaction = call.body["interactionId"].as_str().unwrap_or_default();
    if interaction.starts_with("gone") {
        return answer_json(404, json!({ "error": "interaction_not_found" }));
    }
    if call.path != "/ISpaces/v1/GetMember" {
        return usual(call);
    }
    let archetypes = if call.query.contains("userId=mod") {
        json!(["everyone", "mod"])
    } else {
        json!(["everyone"])
    };
    answer_json(200, json!({ "archetypeIds": archetypes }))
}

/// Runs one file; its failures, and how many tests it had.
async fn run(name: &str, source: &str) -> (Vec<String>, usize) {
    let library = fs::read_to_string(folder().join("lib/check.luau")).expect("the library");
    let file = format!("{name}.luau");
    let files = [
        (file.as_str(), source),
        ("lib/check.luau", library.as_str()),
    ];
    let bot = Bot::start_with(&files, answer).await;
    let mut failures = Vec::new();
    let (mut seen, mut told, mut passed) = (0, 0, 0);
    let mut expected: Option<String> = None;
    loop {
        bot.log.wait(name, seen + 1).await;
        let lines = bot.log.of(name);
        for line in &lines[seen..] {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "ok" => passed += 1,
                "inject" => {
                    let event: Value = serde_json::from_str(rest).expect("an event");
                    let kind = event["type"].as_str().expect("a type");
                    bot.event(kind, event["payload"].clone()).await;
                }
                "calls" => {
                    for call in bot.server.calls().into_iter().skip(told) {
                        told += 1;
                        let call = json!({"path": call.path, "body": call.body});
                        bot.event("testCall", call).await;
                    }
                    bot.event("testCallsEnd", json!({})).await;
                }
                "expect" => expected = Some(rest.to_owned()),
                _ if expected.as_ref().is_some_and(|part| line.contains(part)) => expected = None,
                "done" => {
                    let missing = expected.map(|part| format!("{file}: nothing said {part:?}"));
                    failures.extend(missing);
                    return (failures, passed);
                }
                // A failed test, or something that nobody caught.
                _ => failures.push(format!("{file}: {line}")),
            }
        }
        seen = lines.len();
        if failures.iter().any(|line| line.contains("died")) {
            return (failures, passed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_luau_test_passes() {
    let files = files();
    assert!(!files.is_empty(), "no test was found");
    let mut failures = Vec::new();
    for (name, source) in &files {
        let (failed, passed) = run(name, source).await;
        assert!(passed + failed.len() > 0, "{name} has no test");
        failures.extend(failed);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_tells_a_failure_from_a_success() {
    let source = r#"local check = require("./lib/check")
        check.test("right", function() check.equal({ a = { 1 } }, { a = { 1 } }) end)
        check.test("wrong", function() check.equal({ a = { 1 } }, { a = { 2 } }) end)
        check.test("raises", function() check.raises(function() error("boom") end, "boom") end)
        check.test("does not raise", function() check.raises(function() end, "boom") end)
        check.run()"#;
    let (failures, passed) = run("runner", source).await;
    assert_eq!(passed, 2, "{failures:?}");
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(
        failures[0].contains("wrong: runner.luau:3: got a[1] = 1, want 2"),
        "{failures:?}"
    );
}

/// Chunks that hold Luau's manual against the VM, each in ours and in a plain one.
fn conformance() -> Vec<(String, String)> {
    let folder = folder().join("conformance");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            let source = fs::read_to_string(&path).expect("a text");
            (format!("conforms_{name}"), source)
        })
        .collect();
    files.sort();
    assert!(files.len() >= 6);
    files
}

#[test]
fn a_plain_vm_conforms_to_the_manual() {
    for (name, source) in conformance() {
        let lua = mlua::Lua::new();
        lua.sandbox(true).expect("a sandbox");
        let chunk = lua.load(source).set_name(format!("@{name}.luau"));
        // Some of it yields: it runs as a script's top level does.
        let chunk = chunk.into_function().expect("it compiles");
        let thread = lua.create_thread(chunk).expect("a coroutine");
        if let Err(error) = thread.resume::<()>(()) {
            panic!("{name}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_conforms_to_the_manual() {
    let files: Vec<(String, String)> = conformance()
        .into_iter()
        .map(|(name, source)| (format!("{name}.luau"), source))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, s)| (&**n, &**s)).collect();
    let bot = Bot::start(&files).await;
    for (name, _) in &files {
        bot.said(name.trim_end_matches(".luau"), &["conforms"])
            .await;
    }
}
