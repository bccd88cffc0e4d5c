//! A disk that takes nothing any more, and takes it again.

use crate::restart::{CONFIG, run, start};
use crate::storm::{launch, limit_files};
use crate::support::{Sim, World, bot};
use crate::web::Web;

/// Comes to its end only when it runs again.
const COUNTER: &str = r#"
argon.on("messageCreate", function(event)
    print("begins")
    local probes = 0
    while pcall(argon.kv.set, "probe", probes) do probes += 1 end
    print("it is full")
    local refused = 0
    while not pcall(argon.kv.update, "count", function(n) return (n or 0) + 1 end) do
        refused += 1
        task.wait(0.02)
    end
    print(`has counted {argon.kv.get("count")} {event.replayed}`)
    if not event.replayed then task.wait(1e9) end
end)
"#;

#[tokio::test]
async fn what_was_refused_is_refused_again_when_the_handler_runs_again() {
    let sim = Sim::start().await;
    let dir = bot(CONFIG, &[("counter.luau", COUNTER)]);
    let world = World::at(&sim.base).await;
    let mut process = launch(dir.path(), &sim);
    process.line("live after").await;
    world.write(0, "general", "one").await;
    process.line("begins").await;
    limit_files(&process, "0");
    process.line("it is full").await;
    limit_files(&process, "unlimited");
    process.line("has counted 1 nil").await;
    process.signal("KILL");
    process.ended().await;

    let mut process = start(dir.path(), &sim);
    process.line("has counted 1 true").await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    assert!(
        !process.output().contains("asks something else"),
        "{}",
        process.output()
    );
    // And it is over.
    let mut process = run(dir.path(), &sim).await;
    process.signal("TERM");
    process.ended().await;
    assert!(!process.output().contains("begins"), "{}", process.output());
}

#[tokio::test]
async fn a_request_that_was_refused_is_refused_again_and_never_sent() {
    let sim = Sim::start().await;
    let web = Web::start();
    let script = r#"argon.on("messageCreate", function(event)
        print("begins")
        local probes = 0
        while pcall(argon.kv.set, "probe", probes) do probes += 1 end
        local ok, failure = pcall(argon.http.request, { url = "URL", method = "POST" })
        print(`asked: {ok} {failure.code} {event.replayed}`)
        while not pcall(argon.kv.set, "over", true) do task.wait(0.02) end
        print(`is over {event.replayed}`)
        if not event.replayed then task.wait(1e9) end
    end)"#;
    let script = script.replace("URL", &format!("http://{}/", web.address));
    let port = web.address.port();
    let config = format!("{CONFIG}[script.asks]\nhttp = [\"127.0.0.1:{port}\"]\n");
    let dir = bot(&config, &[("asks.luau", &script)]);
    let world = World::at(&sim.base).await;
    let mut process = launch(dir.path(), &sim);
    process.line("live after").await;
    world.write(0, "general", "one").await;
    process.line("begins").await;
    limit_files(&process, "0");
    process.line("asked: false disk nil").await;
    limit_files(&process, "unlimited");
    process.line("is over nil").await;
    process.signal("KILL");
    process.ended().await;

    let mut process = start(dir.path(), &sim);
    process.line("asked: false disk true").await;
    process.line("is over true").await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    assert_eq!(web.count(), 0, "it was never sent");
}
