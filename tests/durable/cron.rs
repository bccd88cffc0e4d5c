//! `argon.cron` across restarts: once for each due time.

use std::path::Path;

use crate::restart::{CONFIG, IMPATIENT, run, said, start};
use crate::support::{Process, Sim, World, bot};

/// A script whose timer is due once a year, so that no test meets that moment.
fn yearly(options: &str, last: &str) -> String {
    format!(
        r#"local channel = nil
        argon.cron("0 0 1 1 *", function(due)
            local function say(text)
                argon.messages.send({{ channelId = argon.kv.get("channel"), text = text }})
            end
            local count = argon.kv.update("count", function(count) return (count or 0) + 1 end)
            say(`run {{count}} for {{argon.time.format(due, "%m-%d")}}`)
            {last}
            say(`over {{count}}`)
            print("over")
        end, {options})
        argon.on("messageCreate", function(event)
            argon.kv.set("channel", event.channelId)
            print("knows the channel")
        end)"#
    )
}

/// As if the host had not run for longer than a year.
fn sleep_for_a_year(dir: &Path) {
    let database = rusqlite::Connection::open(dir.join(".argon/demo.db")).expect("the state");
    let year: i64 = 370 * 24 * 60 * 60 * 1000;
    let changed = database
        .execute("UPDATE timer SET given = given - ?1", [year])
        .expect("the timers");
    assert_eq!(changed, 1);
}

/// A bot that knows its channel and has ended.
async fn begin(sim: &Sim, script: &str) -> (tempfile::TempDir, World) {
    let dir = bot(CONFIG, &[("yearly.luau", script)]);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), sim).await;
    world.write(0, "general", "here").await;
    process.line("knows the channel").await;
    stop(process).await;
    (dir, world)
}

async fn stop(mut process: Process) -> String {
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.output());
    process.output()
}

#[tokio::test]
async fn a_run_that_was_killed_runs_again_and_says_nothing_twice() {
    let sim = Sim::start().await;
    let options = "{ missed = 'catchUp' }";
    let stuck = yearly(options, "print('stuck') task.wait(1e9)");
    let (dir, world) = begin(&sim, &stuck).await;
    sleep_for_a_year(dir.path());

    let mut process = start(dir.path(), &sim);
    process.line(": stuck").await;
    process.signal("KILL");
    process.ended().await;
    assert_eq!(said(&world).await, ["run 1 for 01-01"]);

    std::fs::write(dir.path().join("scripts/yearly.luau"), yearly(options, "")).expect("a script");
    let mut process = start(dir.path(), &sim);
    process.line("not finished when the bot ended").await;
    process.line(": over").await;
    stop(process).await;
    let all = ["run 1 for 01-01", "over 1"];
    let mut sorted = said(&world).await;
    sorted.sort_by_key(|text| text.starts_with("over"));
    assert_eq!(sorted, all);

    // It was made up for, and is not due again.
    let process = run(dir.path(), &sim).await;
    let output = stop(process).await;
    assert!(!output.contains(": over"), "{output}");
    assert_eq!(said(&world).await.len(), 2);
}

#[tokio::test]
async fn a_run_that_comes_again_waits_for_a_top_level_that_takes_its_time() {
    let sim = Sim::start().await;
    let options = "{ missed = 'catchUp' }";
    let stuck = yearly(options, "print('stuck') task.wait(1e9)");
    let (dir, _world) = begin(&sim, &stuck).await;
    sleep_for_a_year(dir.path());
    let mut process = start(dir.path(), &sim);
    process.line(": stuck").await;
    process.signal("KILL");
    process.ended().await;

    std::fs::write(dir.path().join("bot.toml"), IMPATIENT).expect("a config");
    let slow = format!("argon.waitFor(\"ready\")\n{}", yearly(options, ""));
    std::fs::write(dir.path().join("scripts/yearly.luau"), slow).expect("a script");
    let mut process = start(dir.path(), &sim);
    process.line("going on without waiting for it").await;
    process.line(": over").await;
    let output = stop(process).await;
    assert!(!output.contains("is left out"), "{output}");
}

#[tokio::test]
async fn what_was_due_while_the_host_did_not_run_is_left_out_unless_the_script_wants_it() {
    let sim = Sim::start().await;
    let (dir, world) = begin(&sim, &yearly("{}", "")).await;
    sleep_for_a_year(dir.path());
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "again").await;
    // Its timer has been looked at by then: it would have been due at once.
    process.line("knows the channel").await;
    let output = stop(process).await;
    assert!(!output.contains(": over"), "{output}");
    assert_eq!(said(&world).await.len(), 0);
}
