//! What goes from one version to the next, and what ends with it.

use serde_json::json;

use crate::admin::address;
use crate::{Bench, answering};

#[tokio::test]
async fn state_is_handed_over_and_what_cannot_be_is_named() {
    let script = |version: u32| {
        format!(
            "local state = script.state\nstate.count = state.count or 0\nstate.names = state.names or {{}}\n\
             local names = state.names\n\
             argon.on(\"messageCreate\", function(e)\n\tstate.count += 1\n\ttable.insert(names, e.message.text)\n\
             \tstate.odd = print\n\
             \te:reply(`v{version} {{state.count}} {{table.concat(names, \" \")}}`)\nend)\n"
        )
    };
    let mut bench = Bench::start(&[("a.luau", &script(1))]).await;
    assert_eq!(bench.answer("x").await, "v1 1 x");
    assert_eq!(bench.answer("y").await, "v1 2 x y");
    bench.write("a.luau", &script(2));
    bench.host.line("script.state.odd (function)").await;
    bench.host.line("version 2 runs").await;
    assert_eq!(bench.answer("z").await, "v2 3 x y z");
}

#[tokio::test]
async fn what_the_old_version_began_ends_and_its_last_wish_is_heard() {
    let mut bench = Bench::start(&[(
        "a.luau",
        "argon.every(0.01, function() end)\n\
         task.spawn(function() while true do task.wait(0.01) end end)\n\
         task.spawn(function() argon.waitFor(\"messageCreate\") print(\"never\") end)\n\
         argon.on(\"messageCreate\", function(e)\n\
         \tprint(\"begins\")\n\
         \tlocal more = argon.waitFor(\"messageCreate\")\n\
         \tprint(\"never\", more)\nend)\n\
         script.onUnload(function()\n\
         \tscript.state.last = \"wish\"\n\
         \tprint(\"unloads\")\n\
         \ttask.wait(0.01)\n\
         \targon.messages.send{ channelId = script.state.channel, text = \"bye\" }\nend)\n\
         argon.on(\"memberJoin\", print)\n",
    )])
    .await;
    // The message that begins the handler is answered by waitFor at top level; another would end its wait.
    bench.write(
        "a.luau",
        "print(`found {script.state.last}`)\nargon.on(\"messageCreate\", function(e) e:reply(`new {script.state.last}`) end)\n",
    );
    bench.host.line("unloads").await;
    bench.host.line("version 2 runs").await;
    assert_eq!(bench.answer("hi").await, "new wish");
    // The old version's thread is gone soon, not only after the drain time.
    assert_eq!(bench.count("never"), 0, "{}", bench.host.output());
}

#[tokio::test]
async fn what_the_last_wish_computes_is_handed_over() {
    let mut bench = Bench::start(&[(
        "a.luau",
        "script.onUnload(function()\n\
         \tlocal ends = os.clock() + 0.05\n\twhile os.clock() < ends do end\n\
         \tscript.state.last = \"computed\"\nend)\n",
    )])
    .await;
    bench.write(
        "a.luau",
        "argon.on(\"messageCreate\", function(e) e:reply(`new {script.state.last}`) end)\n",
    );
    bench.host.line("version 2 runs").await;
    assert_eq!(bench.answer("hi").await, "new computed");
}

#[tokio::test]
async fn a_running_handler_of_the_old_version_finishes() {
    let mut bench = Bench::start(&[(
        "a.luau",
        "argon.on(\"messageCreate\", function(e)\n\tprint(\"begins\")\n\ttask.wait(0.5)\n\te:reply(`old {e.message.text}`)\nend)\n",
    )])
    .await;
    bench.world.write(0, "general", "one").await;
    bench.host.line("begins").await;
    bench.write(
        "a.luau",
        "argon.on(\"messageCreate\", function(e) e:reply(`new {e.message.text}`) end)\n",
    );
    bench.host.line("version 2 runs").await;
    bench.world.write(0, "general", "two").await;
    let mut answers = vec![];
    for _ in 0..2 {
        let message = bench.events.bot_message().await;
        answers.push(message["text"].as_str().expect("text").to_owned());
    }
    answers.sort();
    assert_eq!(answers, ["new two", "old one"]);
}

#[tokio::test]
async fn what_a_running_handler_of_the_old_version_has_put_off_still_runs() {
    let mut bench = Bench::start(&[(
        "a.luau",
        "argon.on(\"messageCreate\", function(e)\n\tprint(\"begins\")\n\tlocal done = false\n\
         \ttask.delay(0.5, function() done = true end)\n\
         \trepeat task.wait(0.01) until done\n\te:reply(\"old\")\nend)\n",
    )])
    .await;
    bench.world.write(0, "general", "one").await;
    bench.host.line("begins").await;
    bench.write("a.luau", &answering("new"));
    bench.host.line("version 2 runs").await;
    assert_eq!(bench.events.bot_message().await["text"], "old");
    assert_eq!(bench.answer("two").await, "new");
}

/// Failures in the bot's journal: the event and what was recorded of it.
fn failures(bench: &Bench) -> Vec<(String, String)> {
    let path = bench.dir.path().join(".argon/demo.db");
    let journal = rusqlite::Connection::open(path).expect("a journal");
    let mut query = journal
        .prepare("SELECT event, recording FROM failure ORDER BY id")
        .expect("a table");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

#[tokio::test]
async fn events_of_handlers_that_are_cut_off_are_told_and_recorded_as_failed() {
    let mut bench = Bench::start_with(
        &[(
            "a.luau",
            "argon.on(\"messageCreate\", function(e)\n\tif e.message.text == \"quick\" then return end\n\
             \tprint(\"begins\")\n\ttask.wait(1e6)\nend)\n",
        )],
        "[scripts]\ndrain = \"100ms\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
    )
    .await;
    bench.world.write(0, "general", "quick").await;
    for _ in 0..2 {
        bench.world.write(0, "general", "slow").await;
        bench.host.line("begins").await;
    }
    bench.write("a.luau", "argon.on(\"messageCreate\", print)\n");
    // Said by different threads, in whatever order.
    bench.said("version 2 runs").await;
    bench.said("a.luau:4: cut off, because").await;
    let cut_off = bench.count_in("a.luau:4: cut off, because", "event=messageCreate");
    assert_eq!(cut_off, 1, "{}", bench.host.output());
    // The same once more is told as a count, and the journal has both.
    bench.said("again 1 time").await;
    let status = reqwest::get(format!("{}/api/status", address(&bench.host.output())))
        .await
        .expect("an answer");
    let status: serde_json::Value =
        serde_json::from_str(&status.text().await.expect("a body")).expect("JSON");
    let bot = &status["bots"][0];
    assert_eq!(bot["inbox"]["abandoned"], 0, "{status}");
    assert_eq!(bot["scripts"][0]["errors"], 2, "{status}");
    bench.host.signal("TERM");
    assert!(bench.host.ended().await.success());
    let failures = failures(&bench);
    assert_eq!(failures.len(), 2, "{failures:?}");
    for (event, recording) in failures {
        assert!(
            recording.contains("cut off, because"),
            "{event}: {recording}"
        );
        assert!(recording.contains("slow"), "{event}: {recording}");
    }
}

#[tokio::test]
async fn a_bot_that_ends_while_versions_change_places_lets_handlers_finish() {
    // In a metamethod a coroutine cannot be interrupted: the thread does not read that its turn is over.
    let mut bench = Bench::start(&[(
        "a.luau",
        "local busy = setmetatable({}, { __index = function()\n\
         \tlocal ends = os.clock() + 1.5\n\twhile os.clock() < ends do end\nend })\n\
         local over = false\n\
         argon.on(\"messageCreate\", function(e)\n\
         \tif e.message.text == \"slow\" then\n\
         \t\tprint(\"begins\")\n\
         \t\trepeat task.wait(0.01) until over\n\
         \t\tfor _ = 1, 20 do task.wait(0.01) end\n\
         \t\tprint(\"finishes\")\n\
         \telse\n\
         \t\tprint(\"listens\")\n\
         \t\trepeat task.wait(0.01) until argon.kv.get(\"go\")\n\
         \t\targon.kv.set(\"busy\", true)\n\
         \t\tlocal _ = busy.x\n\
         \t\tover = true\n\
         \tend\nend)\n",
    )])
    .await;
    bench.world.write(0, "general", "slow").await;
    bench.host.line("begins").await;
    bench.world.write(0, "general", "busy").await;
    bench.host.line("listens").await;
    bench.write(
        "a.luau",
        "argon.kv.set(\"go\", true)\nrepeat task.wait(0.01) until argon.kv.get(\"busy\")\n\
         task.delay(0.1, print, \"has loaded\")\n",
    );
    bench.host.line("has loaded").await;
    bench.host.signal("TERM");
    assert!(bench.host.ended().await.success());
    assert_eq!(bench.count("finishes"), 1, "{}", bench.host.output());
    assert_eq!(failures(&bench), []);
}

#[tokio::test]
async fn handlers_that_do_not_finish_are_cancelled_after_the_drain() {
    let mut bench = Bench::start_with(
        &[(
            "a.luau",
            "argon.on(\"messageCreate\", function() print(\"begins\") task.wait(1e6) end)\n",
        )],
        "[scripts]\ndrain = \"100ms\"\n",
    )
    .await;
    bench.world.write(0, "general", "one").await;
    bench.host.line("begins").await;
    bench.write("a.luau", "print(\"new\")\n");
    // Said by different threads, in whatever order.
    bench.said("version 2 runs").await;
    bench
        .said("handlers and calls that still run are cut off")
        .await;
}

#[tokio::test]
async fn commands_and_intents_follow_the_new_version() {
    let mut bench = Bench::start(&[(
        "a.luau",
        "argon.command{ name = \"one\", description = \"One\", run = function(i) i:reply(\"1\") end }\n",
    )])
    .await;
    bench.write(
        "a.luau",
        "argon.command{ name = \"two\", description = \"Two\", run = function(i) i:reply(\"2\") end }\n\
         argon.on(\"messageCreate\", function(e) e:reply(\"heard\") end)\n",
    );
    bench.said("version 2 runs").await;
    bench.said("commands: /two").await;
    bench.world.command(0, "general", "two", json!({})).await;
    assert_eq!(bench.events.bot_message().await["text"], "2");
    // The new intent reconnects; what is written from then on is heard.
    bench.said("other intents").await;
    bench.connected(2).await;
    bench.world.write(0, "general", "hello").await;
    assert_eq!(bench.events.bot_message().await["text"], "heard");
}

#[tokio::test]
async fn a_form_that_was_opened_before_a_reload_is_submitted_after_it() {
    let script = |version: u32| {
        format!(
            "argon.command{{ name = \"tell\", description = \"Tell\", run = function(i)\n\
             \ti:modal{{ customId = \"feedback\", title = \"Feedback\", components = {{\n\
             \t\t{{ type = \"checkbox\", customId = \"agree\", label = \"Agree\" }} }} }}\nend }}\n\
             argon.onModal(\"feedback\", function(e)\n\
             \targon.messages.send{{ channelId = e.channelId, text = `v{version} {{e.values.agree}}` }}\nend)\n"
        )
    };
    let mut bench = Bench::start(&[("a.luau", &script(1))]).await;
    bench.said("commands: /tell").await;
    bench.world.command(0, "general", "tell", json!({})).await;
    let opened = bench
        .events
        .next("a form", |event| event["type"] == "modal");
    let opened = opened.await;
    bench.write("a.luau", &script(2));
    bench.said("version 2 runs").await;
    let submit = json!({
        "userId": bench.world.person(0), "modalInteractionId": opened["modalInteractionId"],
        "values": { "agree": ["true"] },
    });
    bench.world.act("submit", submit).await;
    assert_eq!(bench.events.bot_message().await["text"], "v2 true");
}

#[tokio::test]
async fn a_version_that_is_busy_when_its_turn_begins_gets_what_it_alone_wants() {
    let mut bench = Bench::start(&[("a.luau", &answering("one"))]).await;
    let message = bench.world.write(0, "general", "hi").await;
    assert_eq!(bench.events.bot_message().await["text"], "one");
    // In a metamethod a coroutine cannot be interrupted: the thread does not read that its turn has begun.
    // It is busy as soon as it has loaded.
    bench.write(
        "a.luau",
        "local busy = setmetatable({}, { __index = function()\n\
         \tlocal begun = os.clock()\n\twhile os.clock() - begun < 1.5 do end\nend })\n\
         task.defer(function() task.delay(0, function() local _ = busy.x end) end)\n\
         argon.on(\"messageEdit\", function(e) argon.messages.send{ channelId = e.channelId, text = \"edited\" } end)\n",
    );
    bench.said("version 2 runs").await;
    let edit = json!({
        "userId": bench.world.person(0), "channelId": bench.world.channel("general"),
        "messageId": message["messageId"], "text": "hello",
    });
    bench.world.act("edit", edit).await;
    assert_eq!(bench.events.bot_message().await["text"], "edited");
}

#[tokio::test]
async fn a_version_that_fails_at_its_first_events_gives_way_to_the_one_before() {
    let mut bench = Bench::start(&[(
        "a.luau",
        "argon.on(\"messageCreate\", function(e) script.state.n = (script.state.n or 0) + 1 e:reply(`good {script.state.n}`) end)\n",
    )])
    .await;
    assert_eq!(bench.answer("hi").await, "good 1");
    bench.write(
        "a.luau",
        "argon.on(\"messageCreate\", function(e) e:reply(nil .. 1) end)\n",
    );
    bench.host.line("version 2 runs").await;
    for _ in 0..3 {
        bench.world.write(0, "general", "hi").await;
    }
    bench
        .host
        .line("the one before it runs again, as version 3")
        .await;
    assert_eq!(
        bench.answer("hi").await,
        "good 2",
        "{}",
        bench.host.output()
    );
    // The file on disk is what it was; saved again, it is tried again.
    bench.write(
        "a.luau",
        "argon.on(\"messageCreate\", function(e) e:reply(\"mended\") end)\n",
    );
    bench.host.line("version 4 runs").await;
    assert_eq!(bench.answer("hi").await, "mended");
}

#[tokio::test]
async fn type_errors_of_a_new_version_are_shown_and_do_not_keep_it_from_running() {
    let mut bench = Bench::start(&[("a.luau", &answering("one"))]).await;
    bench.write(
        "a.luau",
        "local count: number = \"two\"\nargon.on(\"messageCreate\", function(e)\n\te:reply(`{count}`)\nend)\n",
    );
    bench.said("version 2 runs").await;
    bench.said("a.luau:1:23: error").await;
    assert_eq!(bench.answer("x").await, "two");
}

#[tokio::test]
async fn timers_of_a_new_version_begin_with_its_turn() {
    let mut bench = Bench::start(&[("a.luau", &answering("one"))]).await;
    bench.write(
        "a.luau",
        "local ticks = 0\nlocal off\n\
         off = argon.every(0.01, function()\n\tticks += 1\n\
         \tif script.state.loaded then print(\"ticks\") off.off() end\nend)\n\
         task.wait(0.2)\nprint(`{ticks} ticks before its turn`)\nscript.state.loaded = true\n",
    );
    bench.said("0 ticks before its turn").await;
    bench.said("version 2 runs").await;
    bench.said("a: ticks").await;
}

#[tokio::test]
async fn a_version_that_does_not_answer_is_not_replaced_without_its_state() {
    let script = |version: u32| {
        format!(
            "local busy = setmetatable({{}}, {{ __index = function()\n\
             \tlocal begun = os.clock()\n\twhile os.clock() - begun < 10 do end\nend }})\n\
             script.state.n = script.state.n or 0\n\
             argon.on(\"messageCreate\", function(e)\n\tscript.state.n += 1\n\
             \tif e.message.text == \"busy\" then print(\"begins\") local _ = busy.x end\n\
             \te:reply(`v{version} {{script.state.n}}`)\nend)\n"
        )
    };
    let config = "[limits]\ncpu_per_event = \"60s\"\n";
    let mut bench = Bench::start_with(&[("a.luau", &script(1))], config).await;
    bench.world.write(0, "general", "busy").await;
    bench.host.line("begins").await;
    bench.write("a.luau", &script(2));
    let line = bench.host.line("version 1 goes on").await;
    assert!(line.contains("version 1 does not answer"), "{line}");
    assert_eq!(bench.events.bot_message().await["text"], "v1 1");
    // The same text once more.
    bench.write("a.luau", &script(2));
    bench.host.line("runs, after").await;
    assert_eq!(bench.answer("hi").await, "v2 2");
}
