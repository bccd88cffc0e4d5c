//! `argon-host replay`: what failed at night, in the morning.

use std::path::Path;

use crate::restart::{CONFIG, run, said};
use crate::support::{Process, Sim, World, bot};
use crate::web::Web;

/// Asks everything that can be asked, and fails at the end.
const FAILS: &str = r#"
local greeting = argon.kv.get("greeting") or "hello"
local me = argon.botSelf.getMe()

argon.on("messageCreate", function(event)
    if event.message.text ~= "first" then return end
    local count = argon.kv.update("count", function(count) return (count or 0) + 1 end)
    event:reply(`{greeting} {count} from {me.username} to {event.message.sender.username}`)
    local page = argon.http.request({ url = "URL", method = "POST", json = { count = count } })
    print("waits")
    local second = argon.waitFor("messageCreate", function(other)
        return other.message.text == "second"
    end)
    task.wait(0.01)
    print(`page {page.body}`, second.message.text)
    local never = nil
    return never.field
end)
"#;

/// A bot with a recorded failure; its server is gone.
async fn night(state: &str) -> (tempfile::TempDir, String) {
    let sim = Sim::start().await;
    let web = Web::start();
    let script = FAILS.replace("URL", &format!("http://{}/", web.address));
    let config = format!(
        "{CONFIG}[script.night]\nhttp = [\"127.0.0.1:{}\"]\n{state}",
        web.address.port()
    );
    let dir = bot(&config, &[("night.luau", &script), ("other.luau", "")]);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "first").await;
    process.line("waits").await;
    world.write(0, "general", "second").await;
    let line = process.line("attempt to index nil").await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    assert_eq!(said(&world).await.len(), 1);
    (dir, error_of(&line).to_owned())
}

/// A line of the log from the place of its error on.
fn error_of(line: &str) -> &str {
    let at = line.find("night.luau:").expect("a place");
    &line[at..]
}

/// Runs a command of the bot, which cannot reach anything. Answers its exit code and output.
async fn command(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let env = [
        ("ARGON_TOKEN", "00000000000000000000000000000000:none"),
        ("ARGON_URL", "http://127.0.0.1:9"),
    ];
    let mut process = Process::start(dir, args, &env);
    let status = process.ended().await;
    (status.code(), process.output())
}

/// The id of the event that failed last.
async fn failed_event(dir: &Path) -> String {
    let (code, output) = command(dir, &["failures"]).await;
    assert_eq!(code, Some(0), "{output}");
    let line = output.lines().find(|line| line.starts_with('{'));
    let recording: serde_json::Value =
        serde_json::from_str(line.expect("a recording")).expect("JSON");
    recording["id"].as_str().expect("an id").to_owned()
}

fn edit(dir: &Path, from: &str, to: &str) {
    let file = dir.join("scripts/night.luau");
    let text = std::fs::read_to_string(&file).expect("the script");
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replace(from, to)).expect("the script");
}

#[tokio::test]
async fn a_failure_fails_again_at_the_same_line_without_a_connection() {
    let (dir, error) = night("").await;
    let id = failed_event(dir.path()).await;
    let (code, output) = command(dir.path(), &["replay", &id]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("failed as when it was recorded"),
        "{output}"
    );
    // The line of the log is the one of that night.
    let again = output.lines().find(|line| line.contains(&error));
    assert!(again.is_some(), "no line with {error:?} in:\n{output}");
    for shown in [
        "argon.kv.get [\"script:night\",\"greeting\"]",
        "IBotSelf/GetMe {}",
        "argon.kv.update",
        "IMessages/Send {",
        "hello 1 from",
        "POST http://127.0.0.1",
        "argon.waitFor \"messageCreate\"",
        "page 1\tsecond",
    ] {
        assert!(output.contains(shown), "no {shown:?} in:\n{output}");
    }

    // The same from a file.
    let (_, listed) = command(dir.path(), &["failures"]).await;
    let recordings: Vec<_> = listed
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    std::fs::write(dir.path().join("night.jsonl"), recordings.join("\n")).expect("a file");
    let (code, output) = command(dir.path(), &["replay", "night.jsonl"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("failed as when it was recorded"),
        "{output}"
    );

    // The mistake is mended; nothing else is asked.
    edit(dir.path(), "return never.field", "print('mended')");
    let (code, output) = command(dir.path(), &["replay", &id]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("no error; when it was recorded"),
        "{output}"
    );

    // What was not asked then has no answer now, and says so.
    edit(
        dir.path(),
        "event:reply(`{greeting}",
        "event:reply(`other {greeting}",
    );
    let (code, output) = command(dir.path(), &["replay", &id]).await;
    assert_eq!(code, Some(1), "{output}");
    for shown in [
        "when it was recorded, IMessages/Send {",
        "not_recorded",
        "an answer in the recording: 1",
    ] {
        assert!(output.contains(shown), "no {shown:?} in:\n{output}");
    }
}

#[tokio::test]
async fn fields_that_are_left_out_do_not_keep_a_failure_from_failing_again() {
    let (dir, error) =
        night("[state]\nredact = [\"message.sender.username\", \"text\", \"body\"]\n").await;
    let id = failed_event(dir.path()).await;
    let (_, listed) = command(dir.path(), &["failures"]).await;
    assert!(
        listed.contains("(hidden)") && !listed.contains("hello 1 from"),
        "{listed}"
    );
    let (code, output) = command(dir.path(), &["replay", &id, "--script", "night"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.lines().any(|line| line.contains(&error)), "{output}");
}

#[tokio::test]
async fn what_is_no_recording_is_refused_with_the_way_out() {
    let dir = bot(CONFIG, &[("a.luau", "")]);
    std::fs::write(dir.path().join("wrong.jsonl"), "{\"some\": \"thing\"}\n").expect("a file");
    let (code, output) = command(dir.path(), &["replay", "wrong.jsonl"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("wrong.jsonl:1: this is no recording"),
        "{output}"
    );
    let (code, output) = command(dir.path(), &["replay", "a_1"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("the bot has no state yet"), "{output}");
}
