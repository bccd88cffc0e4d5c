//! What handlers do takes effect once, through a `kill -9`.

use serde_json::json;

use crate::restart::{CONFIG, run, said, start};
use crate::support::{Sim, World, bot};
use crate::web::Web;

/// Says, counts and stores, and comes to its end only when it runs again.
const WORKER: &str = r#"
argon.on("messageCreate", function(event)
    local text = event.message.text
    local me = argon.botSelf.getMe().username
    local count = argon.kv.update("count", function(count) return (count or 0) + 1 end)
    event:reply(`{text} is {count} for {me}`)
    local parts = {}
    for part = 1, 2 do
        task.spawn(function()
            parts[part] = event:reply(`{text} part {part}`).messageId
        end)
    end
    coroutine.wrap(function() argon.kv.set("last", text) event:reply(`{text} wrapped`) end)()
    while #parts < 2 do task.wait() end
    print(`said {text} {count} {event.replayed}`)
    if not event.replayed then task.wait(1e9) end
    event:reply(`{text} over {argon.kv.get("count")} {argon.kv.get("last")}`)
end)
"#;

#[tokio::test]
async fn a_handler_that_runs_again_gets_the_same_answers_and_says_nothing_twice() {
    let sim = Sim::start().await;
    let dir = bot(CONFIG, &[("effects.luau", WORKER)]);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "one").await;
    process.line("said one 1 nil").await;
    while said(&world).await.len() < 4 {
        tokio::task::yield_now().await;
    }
    process.signal("KILL");
    process.ended().await;

    let mut events = world.events().await;
    let mut process = start(dir.path(), &sim);
    process.line("said one 1 true").await;
    let last = events.bot_message().await;
    assert_eq!(last["text"], "one over 1 one");
    process.signal("TERM");
    process.ended().await;
    let mut all = said(&world).await;
    all.sort();
    let expected = [
        "one is 1 for",
        "one over 1 one",
        "one part 1",
        "one part 2",
        "one wrapped",
    ];
    assert_eq!(all.len(), expected.len(), "{all:?}");
    for (said, expected) in all.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_recognised_is_not_sent_again_unless_the_script_asks() {
    let sim = Sim::start().await;
    let script = |options: &str, then: &str| {
        format!(
            r#"argon.on("messageCreate", function(event)
                print(`asks {{event.replayed}}`)
                local function kick()
                    local ok, failure = pcall(argon.members.kick, {{
                        spaceId = event.spaceId, channelId = event.channelId, userId = event.message.sender.userId,
                    }}{options})
                    return failure.code
                end
                local code = kick()
                {then}
                print(`told {{code}}`)
            end)"#
        )
    };
    let dir = bot(
        CONFIG,
        &[
            ("once.luau", &script("", "")),
            (
                "again.luau",
                &script("", "if code == 'uncertain' then code = kick() end"),
            ),
            ("retry.luau", &script(", { retry = true }", "")),
        ],
    );
    let world = World::at(&sim.base).await;
    let fault = json!({"kind": "delay", "interface": "IMembers", "seconds": 3600, "count": 3});
    world.act("fault", fault).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "kick").await;
    for _ in 0..3 {
        process.line("asks nil").await;
    }
    // All are written down, and so all may be on their way: a row for each commit, with the place of each
    // call.
    let state = dir.path().join(".argon/demo.db");
    let asked = || -> usize {
        let database = rusqlite::Connection::open(&state).expect("the state");
        let mut query = database
            .prepare("SELECT entries FROM call")
            .expect("a table");
        let rows = query.query_map([], |row| row.get(0)).expect("rows");
        let rows: Vec<Vec<u8>> = rows.map(|row| row.expect("a row")).collect();
        let place = b"on:messageCreate";
        let calls = |row: &Vec<u8>| row.windows(place.len()).filter(|one| one == place).count();
        rows.iter().map(calls).sum()
    };
    while asked() < 3 {
        tokio::task::yield_now().await;
    }
    process.signal("KILL");
    process.ended().await;
    let mut process = start(dir.path(), &sim);
    for _ in 0..3 {
        process.line(": told ").await;
    }
    process.signal("TERM");
    process.ended().await;
    let output = process.output();
    assert!(output.contains("demo/once: told uncertain"), "{output}");
    for name in ["again", "retry"] {
        let uncertain = format!("demo/{name}: told uncertain");
        assert!(!output.contains(&uncertain), "{output}");
    }
}

#[tokio::test]
async fn another_question_at_the_same_place_goes_on_live_and_the_log_says_so() {
    let sim = Sim::start().await;
    let script = |text: &str| {
        format!(
            r#"argon.on("messageCreate", function(event)
                event:reply("{text}")
                if not event.replayed then print("stops here") task.wait(1e9) end
                event:react("👍")
                print("over")
            end)"#
        )
    };
    let dir = bot(CONFIG, &[("changed.luau", &script("before"))]);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "hello").await;
    process.line("stops here").await;
    process.signal("KILL");
    process.ended().await;
    std::fs::write(dir.path().join("scripts/changed.luau"), script("after")).expect("a script");
    let mut process = start(dir.path(), &sim);
    process.line("asks something else than before").await;
    process.line("over").await;
    process.signal("TERM");
    process.ended().await;
    // What was said stays said: the platform takes the other text for the same message.
    assert_eq!(said(&world).await, ["before"]);
    let requests = world.get("requests?after=0").await;
    let sent = requests["requests"].to_string();
    assert!(
        sent.contains("\"after\"") && sent.contains("IReactions"),
        "{sent}"
    );
}

#[tokio::test]
async fn what_a_handler_waited_for_and_what_other_servers_said_stays_the_same() {
    let sim = Sim::start().await;
    let web = Web::start();
    let script = r#"argon.on("messageCreate", function(event)
        if event.message.text ~= "first" then return end
        local get = argon.http.request({ url = "URL" }).body
        local post = argon.http.request({ url = "URL", method = "POST" }).body
        print("waits")
        local second = argon.waitFor("messageCreate", function(other)
            return other.message.text == "second"
        end)
        local third = argon.waitFor("messageCreate", nil, 0)
        event:reply(`{get} {post} {second.message.text} {third == nil}`)
        print(`said {event.replayed}`)
        if not event.replayed then task.wait(1e9) end
        event:reply(`over {get} {post} {second.type} {second.message.sender.username}`)
    end)"#;
    let script = script.replace("URL", &format!("http://{}/", web.address));
    let port = web.address.port();
    let config = format!("{CONFIG}[script.asks]\nhttp = [\"127.0.0.1:{port}\"]\n");
    let dir = bot(&config, &[("asks.luau", &script)]);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "first").await;
    process.line("waits").await;
    world.write(0, "general", "second").await;
    process.line("said nil").await;
    process.signal("KILL");
    process.ended().await;
    let mut events = world.events().await;
    let mut process = start(dir.path(), &sim);
    process.line("said true").await;
    let last = events.bot_message().await["text"].clone();
    let last = last.as_str().expect("a text");
    assert!(last.starts_with("over 1 2 messageCreate "), "{last}");
    process.signal("TERM");
    process.ended().await;
    assert_eq!(web.count(), 2, "nothing was requested again");
    let said = said(&world).await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.contains(&"1 2 second true".to_owned()), "{said:?}");
}

#[tokio::test]
async fn a_request_whose_answer_is_not_known_is_repeated_only_where_that_does_no_harm() {
    let sim = Sim::start().await;
    let web = Web::start();
    let script = |options: &str| {
        let url = format!("http://{}/silent", web.address);
        format!(
            r#"argon.on("messageCreate", function(event)
                local ok, failure = pcall(argon.http.request, {{ url = "{url}", timeout = 60, {options} }})
                print(`told {{failure.code}}`)
            end)"#
        )
    };
    let port = web.address.port();
    let mut config = CONFIG.to_owned();
    for name in ["get", "post", "retry"] {
        config += &format!("[script.{name}]\nhttp = [\"127.0.0.1:{port}\"]\n");
    }
    let scripts = [
        ("get.luau", &*script("")),
        ("post.luau", &script("method = 'POST'")),
        ("retry.luau", &script("method = 'POST', retry = true")),
    ];
    let dir = bot(&config, &scripts);
    let world = World::at(&sim.base).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "go").await;
    while web.count() < 3 {
        tokio::task::yield_now().await;
    }
    process.signal("KILL");
    process.ended().await;
    let mut process = start(dir.path(), &sim);
    let line = process.line(": told ").await;
    assert!(line.contains("demo/post: told uncertain"), "{line}");
    while web.count() < 5 {
        tokio::task::yield_now().await;
    }
    process.signal("KILL");
    process.ended().await;
}
