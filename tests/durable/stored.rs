//! `argon-host kv` and `argon-host failures`: a bot's state from the command line.

use std::path::Path;

use crate::restart::{CONFIG, run};
use crate::support::{Process, Sim, bot};

/// Runs a command. Answers its exit code and what it said.
/// Runs the host with these arguments to its end: its exit code and what it wrote.
pub async fn command(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let env = [
        ("ARGON_TOKEN", "00000000000000000000000000000000:none"),
        ("ARGON_URL", "http://127.0.0.1:9"),
    ];
    let mut process = Process::start(dir, args, &env);
    let status = process.ended().await;
    (status.code(), process.output())
}

/// A bot that has stored something, and that runs.
async fn stored(sim: &Sim) -> (tempfile::TempDir, Process) {
    let dir = bot(
        CONFIG,
        &[(
            "keeper.luau",
            r#"argon.kv.set("text", "ü\n\"quoted\"")
            argon.kv.set("list", { 1, 2, { deep = true } })
            argon.kv.set("brief", 1, { ttl = 3600 })
            argon.kv.shared("all").set("who", script.name)
            print("stored")"#,
        )],
    );
    let process = run(dir.path(), sim).await;
    while !process.output().contains("stored") {
        tokio::task::yield_now().await;
    }
    (dir, process)
}

#[tokio::test]
async fn what_is_exported_comes_back_as_it_was() {
    let sim = Sim::start().await;
    let (dir, mut process) = stored(&sim).await;
    // Beside a host that runs.
    let (code, exported) = command(dir.path(), &["kv", "export"]).await;
    assert_eq!(code, Some(0), "{exported}");
    let mut lines: Vec<_> = exported.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 4, "{exported}");
    let expires = lines[0];
    assert!(
        expires.contains("\"brief\"") && expires.contains("\"expires\""),
        "{expires}"
    );
    assert_eq!(
        lines[1..],
        [
            r#"{"space":"script:keeper","key":"list","value":[1,2,{"deep":true}]}"#,
            r#"{"space":"script:keeper","key":"text","value":"ü\n\"quoted\""}"#,
            r#"{"space":"shared:all","key":"who","value":"keeper"}"#,
        ]
    );
    let file = dir.path().join("stored.jsonl");
    std::fs::write(&file, &exported).expect("a file");

    // A host has the state: nobody else writes.
    let (code, output) = command(dir.path(), &["kv", "import", "stored.jsonl"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("runs this bot with the state in"),
        "{output}"
    );
    process.signal("TERM");
    process.ended().await;

    // Into a state of its own, twice: what is there is replaced.
    let other = bot(CONFIG, &[]);
    std::fs::copy(&file, other.path().join("stored.jsonl")).expect("a copy");
    for _ in 0..2 {
        let (code, output) = command(other.path(), &["kv", "import", "stored.jsonl"]).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("4 keys stored"), "{output}");
    }
    let (_, again) = command(other.path(), &["kv", "export"]).await;
    let mut again: Vec<_> = again.lines().collect();
    again.sort_unstable();
    // What ends goes on to end at the same time, give or take the time of the import.
    assert!(again[0].contains("\"brief\""), "{again:?}");
    assert_eq!(again[1..], lines[1..]);
}

#[tokio::test]
async fn a_wrong_file_is_refused_with_its_line_and_nothing_is_stored() {
    let dir = bot(CONFIG, &[]);
    let good = r#"{"space":"script:a","key":"k","value":1}"#;
    for (name, text, problem) in [
        (
            "text.jsonl",
            format!("{good}\nno json\n"),
            "text.jsonl:2: this is no entry",
        ),
        (
            "field.jsonl",
            format!("{good}\n{{\"space\":\"x\"}}\n"),
            "missing field `key`",
        ),
        // Blank lines are left out, and counted.
        ("blank.jsonl", format!("{good}\n\n{{\n"), "blank.jsonl:3:"),
        (
            "long.jsonl",
            format!(
                "{good}\n{}\n",
                good.replace("\"k\"", &format!("{:?}", "k".repeat(600)))
            ),
            "entry 2: a key has",
        ),
        (
            "space.jsonl",
            good.replace("script:a", "a"),
            "entry 1: the space \"a\"",
        ),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file");
        let (code, output) = command(dir.path(), &["kv", "import", name]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(problem), "no {problem:?} in:\n{output}");
    }
    let (code, output) = command(dir.path(), &["kv", "import", "absent.jsonl"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("cannot read absent.jsonl"), "{output}");
    let (_, output) = command(dir.path(), &["kv", "export"]).await;
    assert!(!output.contains("script:a"), "{output}");
}

#[tokio::test]
async fn without_a_state_the_commands_say_so() {
    let dir = bot(CONFIG, &[]);
    for args in [&["kv", "export"][..], &["failures"]] {
        let (code, output) = command(dir.path(), args).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("the bot has no state yet"), "{output}");
    }
    assert!(!dir.path().join(".argon").exists(), "nothing is made");
}
