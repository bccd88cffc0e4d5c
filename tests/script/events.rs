//! Events on their way to handlers.

use serde_json::json;

use crate::support::{Bot, message, until, usual};

#[tokio::test(flavor = "multi_thread")]
async fn handlers_start_in_stream_order_and_run_concurrently() {
    let bot = Bot::start(&[(
        "concurrent.luau",
        r#"argon.on("messageCreate", function(event)
            print("start " .. event.message.text)
            event:reply("to " .. event.message.text)
            print("end " .. event.message.text)
        end)"#,
    )])
    .await;
    let held = bot.server.hold();
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    // All three have begun although no call has been answered.
    bot.said("concurrent", &["start a", "start b", "start c"])
        .await;
    drop(held);
    bot.log.wait("concurrent", 6).await;
    let mut ends = bot.log.of("concurrent").split_off(3);
    ends.sort();
    assert_eq!(ends, ["end a", "end b", "end c"]);
    bot.done(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_off_and_star_do_what_they_say() {
    let bot = Bot::start(&[(
        "subscriptions.luau",
        r#"argon.once("messageCreate", function(e) print("once " .. e.message.text) end)
        local on
        on = argon.on("messageCreate", function(e)
            print("on " .. e.message.text)
            if e.message.text == "b" then on.off() end
        end)
        argon.on("*", function(e) print("any " .. e.type .. " " .. e.id) end)"#,
    )])
    .await;
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.event("someFutureEvent", json!({"x": 1})).await;
    bot.said(
        "subscriptions",
        &[
            "once a",
            "on a",
            "any messageCreate 1",
            "on b",
            "any messageCreate 2",
            "any messageCreate 3",
            "any someFutureEvent 4",
        ],
    )
    .await;
    let all_without_privilege = 12253;
    let registrations = bot.host().registrations();
    assert_eq!(registrations.borrow().intents(), all_without_privilege);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_gives_the_event_or_nil_or_the_predicates_error() {
    let bot = Bot::start(&[(
        "waiter.luau",
        r#"task.spawn(function()
            local e = argon.waitFor("messageCreate", function(e) return e.message.text == "yes" end, 60)
            print("got " .. e.message.text)
        end)
        task.spawn(function()
            local ok, err = pcall(argon.waitFor, "messageCreate", function() error("odd", 0) end)
            print(ok, err)
        end)
        task.spawn(function()
            local ok, err = pcall(argon.waitFor, "messageCreate", function() task.wait() end)
            print(ok, (string.find(err, "nothing can wait here", 1, true) ~= nil))
        end)
        print(argon.waitFor("messageCreate", nil, 0.01))"#,
    )])
    .await;
    bot.said("waiter", &["nil"]).await;
    bot.event("messageCreate", message("no")).await;
    bot.event("messageCreate", message("yes")).await;
    bot.said("waiter", &["nil", "false\todd", "false\ttrue", "got yes"])
        .await;
    bot.done(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_handler_is_logged_with_place_traceback_and_event_and_harms_nothing_else() {
    let bot = Bot::start(&[(
        "broken.luau",
        "local function inner(e)\n    return e.nothing.here\nend\n\
         argon.on('messageCreate', function(e)\n    inner(e)\nend)\n\
         argon.on('messageCreate', function(e) print('fine') end)",
    )])
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("broken", 2).await;
    let lines = bot.log.of("broken");
    assert_eq!(
        lines[0],
        "broken.luau:2:22: attempt to index nil with 'here'\n  2 |     return e.nothing.here\n    \
         |                      ^^^^\n  at broken.luau:2 in function 'inner'\n  at broken.luau:5"
    );
    let line = bot.log.line("broken", 0);
    assert_eq!(
        (line.event.as_str(), line.event_id.as_str()),
        ("messageCreate", "1")
    );
    assert_eq!(lines[1], "fine");
    assert_eq!(bot.host().reports()[0].counts.errors, 1);
    bot.done(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_repeats_is_told_once_and_then_counted() {
    let mut bot = Bot::start(&[(
        "again.luau",
        "argon.on('messageCreate', function(e)\n    error(`no {e.message.text}`)\nend)\n\
         argon.on('ready', function() error('another') end)",
    )])
    .await;
    for n in 1..=20 {
        bot.event("messageCreate", message(&n.to_string())).await;
    }
    bot.event("ready", serde_json::json!({})).await;
    bot.done(21).await;
    bot.take_host().stop(std::time::Duration::ZERO).await;
    bot.log.wait("again", 3).await;
    let lines = bot.log.of("again");
    assert!(
        lines[0].starts_with("again.luau:2: no 1\n  2 |"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("again.luau:4:"), "{lines:?}");
    assert!(
        lines[2].starts_with("again.luau:2: no 1: again 19 times in "),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_messages_are_left_out_unless_asked_for() {
    let bot = Bot::start(&[(
        "mirror.luau",
        r#"argon.on("messageCreate", function(e) print("others " .. e.message.text) end)
        argon.on("messageCreate", function(e) print("all " .. e.message.text) end, { own = true })
        print(pcall(argon.on, "messageCreate", print, { onw = true }))"#,
    )])
    .await;
    let mut own = message("mine");
    own["message"]["sender"]["userId"] = json!("bot-id");
    bot.event("messageCreate", own).await;
    bot.event("messageCreate", message("yours")).await;
    bot.said(
        "mirror",
        &[
            "false\targon.on: the options table has no field onw; did you mean own?",
            "all mine",
            "others yours",
            "all yours",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_payload_is_skipped() {
    let bot = Bot::start(&[(
        "robust.luau",
        "argon.on('messageCreate', function(e) print(e.message.text) end)",
    )])
    .await;
    bot.raw_event("messageCreate", "{\"message\": {").await;
    bot.event("messageCreate", message("after")).await;
    bot.log.wait("robust", 2).await;
    let lines = bot.log.of("robust");
    assert!(
        lines[0].starts_with("skipped an event whose payload cannot be read"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "after");
    bot.done(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_limit_holds_events_back_until_one_finishes() {
    let bot = Bot::start_limited(
        &[(
            "narrow.luau",
            r#"argon.on("messageCreate", function(e)
                print("start " .. e.message.text)
                e:reply("x")
                print("end " .. e.message.text)
            end)
            argon.on("memberJoin", function(e)
                -- Who waits for an event must not keep it from coming.
                print("got " .. argon.waitFor("memberLeave").userId)
            end)"#,
        )],
        1,
    )
    .await;
    for text in ["a", "b"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.said("narrow", &["start a", "end a", "start b", "end b"])
        .await;
    bot.event(
        "memberJoin",
        json!({"spaceId": "s", "user": {"userId": "u"}}),
    )
    .await;
    bot.event("memberLeave", json!({"spaceId": "s", "userId": "u"}))
        .await;
    bot.log.wait("narrow", 5).await;
    assert_eq!(bot.log.of("narrow")[4], "got u");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_holds_its_events_back_is_named_once() {
    let bot = Bot::start_limited(
        &[(
            "stuck.luau",
            r#"argon.on("messageCreate", function() task.wait(1e9) end)
            task.spawn(function()
                while true do task.wait(0.1) print("tick") end
            end)"#,
        )],
        2,
    )
    .await;
    for text in ["a", "b", "c", "d", "e"] {
        bot.event("messageCreate", message(text)).await;
    }
    // Later turns of the loop are quiet about it.
    let later_turns = || {
        let lines = bot.log.all("stuck");
        let said = lines.iter().position(|line| line.level == "WARN")?;
        (lines.len() - said > 8).then_some(lines)
    };
    let lines = until(later_turns, || format!("{:?}", bot.log.all("stuck"))).await;
    let warnings: Vec<_> = lines.iter().filter(|line| line.level == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{lines:?}");
    assert!(
        warnings[0]
            .message
            .starts_with("2 handlers run, as many as may: its events wait"),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_script_does_not_delay_another() {
    let files = [
        (
            "hog.luau",
            r#"local stop = false
            argon.on("reactionAdd", function() stop = true end)
            argon.on("messageCreate", function()
                print("busy")
                while not stop do end
                print("done")
            end)"#,
        ),
        (
            "polite.luau",
            r#"argon.on("messageCreate", function(e) print(e.message.text) end)"#,
        ),
    ];
    let bot = Bot::start_busy(&files, usual).await;
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.said("polite", &["a", "b", "c"]).await;
    // The hog has not come through even its first event, and does as soon as it is told to.
    assert!(!bot.log.of("hog").contains(&"done".to_owned()));
    bot.event("reactionAdd", json!({})).await;
    bot.log.wait("hog", 6).await;
    let mut said = bot.log.of("hog");
    said.sort();
    assert_eq!(said, ["busy", "busy", "busy", "done", "done", "done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_at_its_limit_takes_the_next_event_when_a_handler_that_computed_is_over() {
    let bot = Bot::start_limited(
        &[(
            "computes.luau",
            r#"argon.on("messageCreate", function(e)
                local ends = os.clock() + 0.05
                while os.clock() < ends do end
                print(e.message.text)
            end)"#,
        )],
        1,
    )
    .await;
    // Each but the first comes when it sleeps; the last one waits for the one before.
    for (done, text) in (1..).zip(["a", "b", "c"]) {
        bot.event("messageCreate", message(text)).await;
        bot.done(done).await;
    }
    bot.event("messageCreate", message("d")).await;
    bot.event("messageCreate", message("e")).await;
    bot.said("computes", &["a", "b", "c", "d", "e"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_while_a_ready_waits_is_told_of_it_once() {
    let bot = Bot::start_limited(
        &[(
            "told.luau",
            r#"argon.on("messageCreate", function(e)
                print(e.message.text)
                if e.message.text == "holds" then task.wait(1e6) end
            end)
            argon.on("ready", function(e) print(`ready {e.synthetic}`) end)"#,
        )],
        1,
    )
    .await;
    bot.event("messageCreate", message("holds")).await;
    bot.said("told", &["holds"]).await;
    bot.ready().await;
    bot.ready().await;
    let waiting = || Some(()).filter(|()| bot.host().reports()[0].waiting == 2);
    until(waiting, || format!("{:?}", bot.host().reports())).await;
    bot.host().reload(Some("told")).await.expect("a version");
    bot.event("messageCreate", message("after")).await;
    bot.said("told", &["holds", "ready true", "after"]).await;
    bot.ready().await;
    bot.said("told", &["holds", "ready true", "after", "ready nil"])
        .await;
}
