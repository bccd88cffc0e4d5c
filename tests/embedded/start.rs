//! What `argon-host sim` prints works as it stands.

use std::process::Command;

use serde_json::Value;

use crate::support::Process;

#[tokio::test]
async fn the_printed_lines_work_when_they_are_pasted() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = ["sim", "--listen", "127.0.0.1:0", "--bot", "helper"];
    let mut sim = Process::start(dir.path(), &args, &[]);
    let base = sim.line("base url").await;
    let base = base.split_whitespace().last().expect("an address");
    assert!(sim.line("bot ").await.contains("helperbot  token "));
    let call = sim.line("call ").await;
    let call = call.trim_start_matches("call").trim().to_owned();
    assert!(
        call.contains(&format!("{base}/IBotSelf/v1/GetMe")),
        "{call}"
    );
    let paste = |line: String| {
        tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &line]).output())
    };
    let answer = paste(format!("{call} --silent"))
        .await
        .expect("a thread")
        .expect("sh and curl");
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "sh and curl: {said}");
    let me: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!(me["username"], "helperbot");

    let listen = sim.line("listen ").await;
    let listen = listen.trim_start_matches("listen").trim().to_owned();
    let first = paste(format!("{listen} --silent | head -n 1"))
        .await
        .expect("a thread");
    let first = first.expect("sh and curl");
    assert_eq!(
        String::from_utf8_lossy(&first.stdout).trim(),
        "event: ready"
    );
}
