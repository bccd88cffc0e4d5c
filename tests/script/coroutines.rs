//! Waiting, tasks and timers.

use crate::support::{Bot, message};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_in_the_documented_order() {
    let bot = Bot::start(&[(
        "tasks.luau",
        r#"task.defer(function(x) print("deferred", x) end, 1)
        local slow = task.delay(0.5, function(x) print("delayed", x) end, 2)
        local never = task.delay(0.4, function() print("never") end)
        task.cancel(never)
        task.spawn(function(x)
            print("spawned", x)
            local waited = task.wait(0.7)
            print("waited", waited >= 0.7 and waited < 60)
        end, 3)
        local sleeper = task.spawn(function() task.wait(0.001) print("cancelled too late") end)
        task.cancel(sleeper)
        print(coroutine.status(sleeper), type(slow))
        print(pcall(task.cancel, coroutine.running()))
        print(pcall(task.spawn, 5))
        task.defer(coroutine.running(), "again")
        print(coroutine.yield())
        print("top")"#,
    )])
    .await;
    bot.said(
        "tasks",
        &[
            "spawned\t3",
            "dead\tthread",
            "false\ttask.cancel: a coroutine that runs cannot be cancelled; return from it instead",
            "false\ttask.spawn: what it starts must be a function or a coroutine, got number",
            "deferred\t1",
            "again",
            "top",
            "delayed\t2",
            "waited\ttrue",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_inside_a_wrapped_coroutine_suspends_only_that_one() {
    let bot = Bot::start(&[(
        "wrapped.luau",
        r#"local sent
        local step = coroutine.wrap(function()
            print("in")
            sent = argon.messages.send{ channelId = "c", text = "x" }
            print("sent " .. type(sent.messageId))
            print("more " .. tostring(coroutine.yield("mine")))
        end)
        print("back", step())
        repeat task.wait(0.001) until sent
        step("value")"#,
    )])
    .await;
    bot.said("wrapped", &["in", "back", "sent string", "more value"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coroutine_that_waits_cannot_be_resumed_by_the_script() {
    let bot = Bot::start(&[(
        "meddler.luau",
        r#"local co = coroutine.create(function()
            local ok, err = pcall(task.wait, 60)
            print(ok, (string.find(err, "the script resumed it", 1, true) ~= nil))
            task.wait(0.001)
            print("and goes on")
        end)
        coroutine.resume(co)
        coroutine.resume(co, "mine")
        local closed = coroutine.create(function() task.wait(0.001) print("never") end)
        coroutine.resume(closed)
        coroutine.close(closed)"#,
    )])
    .await;
    bot.said("meddler", &["false\ttrue", "and goes on"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_wait_the_call_says_so_and_sends_nothing() {
    let bot = Bot::start(&[(
        "unyielding.luau",
        r#"local t = setmetatable({}, { __index = function()
            return argon.messages.send{ channelId = "c", text = "x" }
        end })
        print(pcall(function() return t.x end))
        print(pcall(table.sort, {2, 1, 3}, function() task.wait() end))"#,
    )])
    .await;
    bot.log.wait("unyielding", 2).await;
    let lines = bot.log.of("unyielding");
    assert!(
        lines[0].starts_with("false\tunyielding.luau:2: this call waits"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("false\tunyielding.luau:5: this call waits"),
        "{lines:?}"
    );
    assert_eq!(bot.server.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeating_timer_does_not_overlap_itself_and_can_be_ended() {
    let bot = Bot::start(&[(
        "ticking.luau",
        r#"local runs, inside = 0, 0
        local timer
        timer = argon.every(0.001, function()
            inside += 1
            runs += 1
            if inside > 1 then print("overlap") end
            task.wait(0.005)
            inside -= 1
            if runs == 3 then timer.off() task.wait(0.02) print("runs " .. runs) end
        end)"#,
    )])
    .await;
    bot.said("ticking", &["runs 3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coroutine_whose_handle_was_taken_is_not_used_for_another_handler() {
    let bot = Bot::start(&[(
        "keeper.luau",
        r#"local first
        argon.on("messageCreate", function(e)
            local me = coroutine.running()
            print(first == nil or first ~= me)
            first = first or me
        end)"#,
    )])
    .await;
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.said("keeper", &["true", "true", "true"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_uses_end_in_errors_and_harm_nothing_else() {
    let bot = Bot::start(&[(
        "abuser.luau",
        r#"local depth = 0
        local function deeper() depth += 1 task.spawn(deeper) end
        task.spawn(deeper)
        print(depth > 50 and depth < 1000)
        task.spawn(function() error(setmetatable({}, { __tostring = function() error("no") end })) end)
        task.spawn(function() error(nil) end)
        task.spawn(function() error({ code = 1 }) end)
        print(pcall(coroutine.wrap(require), "./x"))
        local waiting = task.spawn(function()
            argon.messages.send{ channelId = "c", text = "x" }
            print("never")
        end)
        task.cancel(waiting)
        argon.on("messageCreate", function() coroutine.yield() end)
        local function overflow() return overflow() + 1 end
        task.spawn(overflow)
        local all = {}
        for i = 1, 10000 do all[i] = task.spawn(task.wait, 60) end
        for _, thread in all do task.cancel(thread) end
        argon.messages.send{ channelId = "c", text = "y" }
        print("still here")"#,
    )])
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.done(1).await;
    bot.log.wait("abuser", 8).await;
    let lines = bot.log.of("abuser");
    assert!(lines[0].contains("overflow"), "{lines:#?}");
    assert_eq!(lines[1], "true");
    assert!(
        lines[5].contains("must be called by a function of a script's file"),
        "{lines:#?}"
    );
    assert!(lines[6].contains("stack overflow"), "{lines:#?}");
    assert_eq!(lines[7], "still here", "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripts_own_traceback_has_only_its_own_frames() {
    let bot = Bot::start(&[(
        "tracer.luau",
        r#"local function lines(text) return (string.gsub(text, "\n", "|")) end
        local function inner() return debug.traceback("why\n[argon]:1 said", 1) end
        print(lines(inner()))
        print(lines(select(2, xpcall(argon.json.decode, debug.traceback, "{"))))
        local function outer() return debug.traceback(nil, 2) end
        print(lines(outer()))
        local waiting = coroutine.create(function() coroutine.yield() end)
        coroutine.resume(waiting)
        print(lines(debug.traceback(waiting, "co")))"#,
    )])
    .await;
    bot.log.wait("tracer", 4).await;
    let lines = bot.log.of("tracer");
    assert_eq!(
        lines[0],
        "why|[argon]:1 said|tracer.luau:2 function inner|tracer.luau:3|"
    );
    assert!(!lines[1].contains("[argon]"), "{lines:?}");
    assert_eq!(lines[2], "tracer.luau:6|");
    assert_eq!(lines[3], "co|tracer.luau:7|");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_pattern_that_cannot_be_is_refused_where_it_stands() {
    let bot = Bot::start(&[(
        "clock.luau",
        r#"local function try(...)
            local ok, problem = pcall(argon.cron, ...)
            print(ok, problem)
        end
        local function f() end
        try("0 9 * * 8", f)
        try("* * * * * *", f)
        try("0 0 31 2 *", f)
        try("0 9 * * *", f, { timezone = "Mars/Base" })
        try("0 9 * * *", f, { timezome = "Europe/Berlin" })
        try("0 9 * * *", "f")
        local timer = argon.cron("0 9 * * mon-fri", f, { timezone = "Europe/Berlin" })
        timer.off()
        timer.off()
        print("done")"#,
    )])
    .await;
    let fields = "is no cron pattern (minute, hour, day of the month, month, day of the week)";
    let refused = [
        format!("\"0 9 * * 8\" {fields}: Number out of bounds"),
        format!("\"* * * * * *\" {fields}: Pattern must have 5 fields when seconds are disallowed"),
        format!("\"0 0 31 2 *\" {fields}: no day of the calendar matches it"),
        "no time zone is called \"Mars/Base\"".to_owned(),
        "the table of options has no field timezome; did you mean timezone?".to_owned(),
        "the handler must be a function, got string".to_owned(),
    ]
    .map(|problem| format!("false\targon.cron: {problem}"));
    let mut said: Vec<_> = refused.iter().map(String::as_str).collect();
    said.push("done");
    bot.said("clock", &said).await;
}
