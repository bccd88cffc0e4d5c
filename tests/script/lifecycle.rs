//! Loading, registering, logging, stopping.

use std::time::Duration;

use argon_host::script::State;
use serde_json::json;

use crate::support::{Bot, message};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_later_is_told_then() {
    let bot = Bot::start(&[(
        "late.luau",
        r#"argon.on("messageCreate", function()
            argon.on("reactionAdd", function(e) print("reaction " .. e.emoji) end)
            argon.command{ name = "later", description = "Later", run = print }
        end)"#,
    )])
    .await;
    let mut registrations = bot.host().registrations();
    assert_eq!(registrations.borrow_and_update().intents(), 1);
    bot.event("messageCreate", message("x")).await;
    registrations
        .wait_for(|now| now.intents() == 1 | 1 << 3 | 1 << 6 && now.commands.len() == 1)
        .await
        .expect("the host lives");
    bot.event(
        "reactionAdd",
        json!({"channelId": "c", "emoji": "👍", "messageId": 1, "spaceId": "s", "userId": "u"}),
    )
    .await;
    bot.said("late", &["reaction 👍"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fails_to_load_is_reported_and_the_others_run() {
    let bot = Bot::start(&[
        ("bad_syntax.luau", "local x = 1\nlocal y = = 2\n"),
        (
            "bad_top.luau",
            "local t = nil\nargon.on('ready', print)\nt.x = 1\n",
        ),
        (
            "good.luau",
            "argon.on('messageCreate', function() print('fine') end)",
        ),
    ])
    .await;
    let reports = bot.host().reports();
    let failure = |name: &str| {
        let report = reports
            .iter()
            .find(|report| report.name == name)
            .expect("reported");
        match &report.state {
            State::Failed(trouble) => trouble.clone(),
            other => panic!("{name} is {other:?}"),
        }
    };
    let syntax = failure("bad_syntax").place.expect("a place");
    assert_eq!(
        (syntax.line, syntax.spot, syntax.source.as_deref()),
        (2, Some((11, 1)), Some("local y = = 2"))
    );
    assert_eq!(
        failure("bad_top").to_string(),
        "bad_top.luau:3:3: attempt to index nil with 'x'\n  3 | t.x = 1\n    |   ^\n  at bad_top.luau:3"
    );
    assert_eq!(
        bot.host().registrations().borrow().events.len(),
        1,
        "only good's"
    );
    bot.event("messageCreate", message("x")).await;
    bot.said("good", &["fine"]).await;
    // A failed script does not hold events back.
    bot.done(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_handlers_finish_and_takes_no_more_events() {
    let mut bot = Bot::start(&[(
        "drained.luau",
        r#"argon.every(0.001, function() end)
        argon.on("messageCreate", function(e)
            print("start " .. e.message.text)
            e:reply("x")
            print("end " .. e.message.text)
        end)"#,
    )])
    .await;
    let held = bot.server.hold();
    bot.event("messageCreate", message("a")).await;
    bot.said("drained", &["start a"]).await;
    let host = bot.take_host();
    let stopping = tokio::spawn(host.stop(Duration::from_secs(30)));
    drop(held);
    stopping.await.expect("stops");
    bot.event("messageCreate", message("b")).await;
    assert_eq!(bot.log.of("drained"), ["start a", "end a"]);
    assert_eq!(bot.inbox.progress().done, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_finish_is_cut_off_when_the_time_is_over() {
    let mut bot = Bot::start(&[(
        "endless.luau",
        "argon.on('messageCreate', function() print('start') task.wait(1e6) end)",
    )])
    .await;
    bot.event("messageCreate", message("a")).await;
    bot.said("endless", &["start"]).await;
    bot.take_host().stop(Duration::from_millis(10)).await;
    let progress = bot.inbox.progress();
    assert_eq!((progress.done, progress.abandoned), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_carry_level_and_fields() {
    let bot = Bot::start(&[(
        "talker.luau",
        r#"argon.log.warn("low", { left = 2 })
        argon.log.error("odd", { f = print })"#,
    )])
    .await;
    bot.log.wait("talker", 2).await;
    let line = bot.log.line("talker", 0);
    assert_eq!(
        (
            line.level.as_str(),
            line.message.as_str(),
            line.fields.as_str()
        ),
        ("WARN", "low", "{\"left\":2}")
    );
    assert!(matches!(bot.host().reports()[0].state, State::Failed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_logged_is_an_error_of_the_script() {
    let bot = Bot::start(&[(
        "hostile.luau",
        r#"local evil = setmetatable({}, { __tostring = function() error("boom") end })
        local function try(f, ...)
            local ok, e = pcall(f, ...)
            print(ok, type(e), e)
        end
        try(argon.log.info, evil)
        try(print, evil)
        try(argon.on, "ready", print, { [evil] = true })
        print(string.rep("a", 20000))"#,
    )])
    .await;
    bot.log.wait("hostile", 4).await;
    let lines = bot.log.of("hostile");
    for line in &lines[..2] {
        assert_eq!(line, "false\tstring\thostile.luau:1: boom");
    }
    assert!(
        lines[2].contains("the options table has no field of type table"),
        "{lines:?}"
    );
    assert!(lines[3].ends_with("aaa… (3616 bytes more)"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_value_that_would_be_endless_text_is_refused() {
    let bot = Bot::start_heavy(&[(
        "bomb.luau",
        r#"local t = {}
        for _ = 1, 100 do t = { t, t } end
        print(select(2, pcall(argon.json.encode, { t })))"#,
    )])
    .await;
    bot.log.wait("bomb", 1).await;
    assert!(
        bot.log.of("bomb")[0].ends_with("more than 8 MiB of JSON"),
        "{:?}",
        bot.log.of("bomb")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_top_level_counts_as_loaded() {
    let bot = Bot::start_slow(&[(
        "sluggish.luau",
        r#"argon.on("messageCreate", function(e) print("early " .. e.message.text) end)
        task.wait(1e6)"#,
    )])
    .await;
    assert_eq!(bot.host().reports()[0].state, State::Loading);
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("sluggish", 2).await;
    assert_eq!(bot.log.of("sluggish")[1], "early x");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_top_level_goes_on_does_not_wait_for_handlers() {
    let bot = Bot::start_slow(&[(
        "goes_on.luau",
        r#"argon.command{ name = "one", description = "One", run = print }
        task.wait(1e6)"#,
    )])
    .await;
    // Commands of other scripts come, too.
    bot.event("commandInteraction", json!({"commandName": "two"}))
        .await;
    bot.done(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_dropped_ends_its_scripts() {
    let mut bot = Bot::start(&[(
        "dropped.luau",
        "argon.on('messageCreate', function() print('start') task.wait(1e6) end)",
    )])
    .await;
    bot.event("messageCreate", message("a")).await;
    bot.said("dropped", &["start"]).await;
    drop(bot.take_host());
    bot.abandoned(1).await;
}
