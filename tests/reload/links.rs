//! Symbolic links: inside the scripts folder they are files like others, and none leads out of it, at the start
//! or later.

use std::fs;
use std::os::unix::fs::symlink;

use crate::{Bench, answering};

/// A bot, and a folder that is not its own.
async fn beside(scripts: &[(&str, &str)]) -> (Bench, tempfile::TempDir) {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret.luau"), "return \"secret\"\n").expect("a file");
    fs::write(outside.path().join("init.luau"), answering("outside")).expect("a file");
    (Bench::start(scripts).await, outside)
}

/// Puts a link in the place of whatever is there, in one step.
fn link(target: &std::path::Path, at: &std::path::Path) {
    let beside = at.with_extension("new");
    symlink(target, &beside).expect("a link");
    fs::rename(beside, at).expect("renamed");
}

#[tokio::test]
async fn a_script_that_is_a_link_to_the_outside_is_refused() {
    let (mut bench, outside) = beside(&[("a.luau", &answering("mine"))]).await;
    symlink(outside.path().join("secret.luau"), bench.file("b.luau")).expect("a link");
    bench
        .said("demo/b: cannot be loaded: b.luau is a link to")
        .await;
    bench.said("secret.luau, outside the scripts folder").await;
    symlink(outside.path(), bench.file("c")).expect("a link");
    bench
        .said("demo/c: cannot be loaded: c/init.luau is a link to")
        .await;

    // One that runs goes on, and a file in the place of the link is loaded.
    link(&outside.path().join("init.luau"), &bench.file("a.luau"));
    bench
        .said("demo/a: cannot be loaded, version 1 goes on: a.luau is a link")
        .await;
    assert_eq!(bench.answer("hi").await, "mine");
    fs::remove_file(bench.file("a.luau")).expect("removed");
    bench.write("a.luau", &answering("again"));
    bench.reloaded("a", 1).await;
    assert_eq!(bench.answer("hi").await, "again");
}

#[tokio::test]
async fn links_to_the_outside_at_the_start_are_refused_and_those_inside_are_not() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("x.luau"), "print(\"escaped\")\n").expect("a file");
    let dir = crate::support::embedded_bot(&[], "");
    let scripts = dir.path().join("scripts");
    fs::create_dir(scripts.join("real")).expect("a folder");
    fs::write(scripts.join("real/part.luau"), answering("inside")).expect("a file");
    symlink(outside.path().join("x.luau"), scripts.join("x.luau")).expect("a link");
    symlink("real/part.luau", scripts.join("y.luau")).expect("a link");
    let (host, world) = crate::support::run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world.write(0, "general", "hi").await;
    assert_eq!(events.bot_message().await["text"], "inside");
    let output = host.output();
    assert!(output.contains("x.luau is a link to"), "{output}");
    assert!(!output.contains("escaped"), "{output}");
}

#[tokio::test]
async fn a_module_that_becomes_a_link_to_the_outside_is_refused() {
    let (mut bench, outside) = beside(&[]).await;
    bench.write("lib/word.luau", "return \"word\"\n");
    bench.write(
        "a.luau",
        "local word = require(\"./lib/word\")\n\
         argon.on(\"messageCreate\", function(e) e:reply(`{word} {select(2, pcall(require, \"./lib/late\"))}`) end)\n",
    );
    bench.said("demo/a: loaded").await;
    bench.connected(2).await;
    let secret = outside.path().join("secret.luau");
    // One that is asked for later only.
    symlink(&secret, bench.file("lib/late.luau")).expect("a link");
    let answer = bench.answer("hi").await;
    assert!(answer.starts_with("word "), "{answer}");
    assert!(
        answer.contains("./lib/late is outside the scripts folder"),
        "{answer}"
    );

    link(&secret, &bench.file("lib/word.luau"));
    bench.said("./lib/word is outside the scripts folder").await;
    bench.said("version 1 goes on").await;
    let answer = bench.answer("hi").await;
    assert!(answer.starts_with("word "), "{answer}");

    // The folder of a module becomes a link.
    fs::remove_dir_all(bench.file("lib")).expect("removed");
    bench.write("lib/word.luau", "return \"back\"\n");
    bench.reloaded("a", 1).await;
    fs::rename(bench.file("lib"), bench.file("gone")).expect("renamed");
    fs::write(outside.path().join("word.luau"), "return \"secret\"\n").expect("a file");
    symlink(outside.path(), bench.file("lib")).expect("a link");
    while bench.count("goes on") < 2 {
        bench.host.line("").await;
    }
    let answer = bench.answer("hi").await;
    assert!(answer.starts_with("back "), "{answer}");
    assert_eq!(bench.count("secret"), bench.count("secret.luau"));
}

#[tokio::test]
async fn a_script_that_is_a_link_is_the_file_that_it_leads_to() {
    let mut bench = Bench::start(&[]).await;
    bench.write("real/word.luau", "return \"one\"\n");
    let part = "local word, circle = require(\"./word\"), select(2, pcall(require, \"./back\"))\n\
                argon.on(\"messageCreate\", function(e) e:reply(`{word} {circle}`) end)\n";
    bench.write("real/back.luau", "return require(\"./part\")\n");
    bench.write("real/part.luau", part);
    symlink("real/part.luau", bench.file("y.luau")).expect("a link");
    bench.said("demo/y: loaded").await;
    bench.connected(2).await;
    // Its neighbours are those of the file, and so is its name where modules need each other.
    let answer = bench.answer("hi").await;
    assert!(answer.starts_with("one "), "{answer}");
    assert!(
        answer.contains("real/back.luau → real/part.luau → real/back.luau"),
        "{answer}"
    );

    bench.write("real/part.luau", &answering("written"));
    bench.reloaded("y", 1).await;
    assert_eq!(bench.answer("hi").await, "written");

    bench.write("real/other.luau", &answering("other"));
    link(
        std::path::Path::new("real/other.luau"),
        &bench.file("y.luau"),
    );
    bench.reloaded("y", 2).await;
    assert_eq!(bench.answer("hi").await, "other");
}

#[tokio::test]
async fn a_paused_script_that_becomes_a_link_to_the_outside_does_not_run_again() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("x.luau"), "print(\"escaped\")\n").expect("a file");
    let config = "[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\ncpu_per_event = \"20ms\"\n";
    let spinner = "argon.on(\"messageCreate\", function() while true do end end)\n";
    let mut bench = Bench::start_with(&[("a.luau", spinner)], config).await;
    for _ in 0..5 {
        bench.world.write(0, "general", "spin").await;
    }
    bench.host.line("paused for").await;
    link(&outside.path().join("x.luau"), &bench.file("a.luau"));
    bench.said("cannot be loaded: a.luau is a link to").await;
    let base = crate::admin::address(&bench.host.output());
    let resume = reqwest::Client::new().post(format!("{base}/api/scripts/a/resume"));
    let answer = resume.send().await.expect("an answer");
    let answer = answer.text().await.expect("a body");
    assert!(answer.contains("outside the scripts folder"), "{answer}");
    assert_eq!(bench.count("escaped"), 0, "{}", bench.host.output());
}
