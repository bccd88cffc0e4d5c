//! `require`, and what the sandbox keeps read-only.

use crate::support::Bot;

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_shared_may_wait_and_keep_to_the_folder() {
    let bot = Bot::start(&[
        (
            "modular.luau",
            r#"local a = require("./modular_lib/a")
            print(a.name, a == require("./modular_lib/a"))
            print(require("./modular_lib/slow"))
            print(pcall(require, "./modular_lib/circle1"))
            print(pcall(require, "../outside"))
            print(pcall(require, "./modular_lib/bad"))
            print(pcall(require, "./modular_lib/fails"))
            print(pcall(require, "./modular_lib/fails"))
            print(pcall(require, "./modular_lib/two"))"#,
        ),
        (
            "modular_lib/a.luau",
            r#"return { name = require("./b") .. "!" }"#,
        ),
        ("modular_lib/b.lua", r#"return "b""#),
        ("modular_lib/slow.luau", r#"task.wait(0.001) return "slow""#),
        ("modular_lib/circle1.luau", r#"return require("./circle2")"#),
        ("modular_lib/circle2.luau", r#"return require("./circle1")"#),
        ("modular_lib/bad.luau", "local x = = 1"),
        (
            "modular_lib/fails.luau",
            r#"print("runs once") error("no luck")"#,
        ),
        ("modular_lib/two.luau", "return 1, 2"),
    ])
    .await;
    bot.log.wait("modular", 9).await;
    let lines = bot.log.of("modular");
    assert_eq!(lines[..3], ["b!\ttrue", "slow", lines[2].as_str()]);
    assert!(
        lines[2].contains(
            "modular_lib/circle1.luau → modular_lib/circle2.luau → modular_lib/circle1.luau"
        ) || lines[2].contains(
            "modular_lib/circle2.luau → modular_lib/circle1.luau → modular_lib/circle2.luau"
        ),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].ends_with("require: ../outside is outside the scripts folder"),
        "{lines:?}"
    );
    assert!(
        lines[4].starts_with("false\tmodular_lib/bad.luau:1: "),
        "{lines:?}"
    );
    assert_eq!(lines[5], "runs once");
    assert_eq!(lines[6], "false\tmodular_lib/fails.luau:1: no luck");
    assert_eq!(lines[7], lines[6]);
    assert_eq!(
        lines[8],
        "false\tmodular_lib/two.luau: a module must return exactly one value"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coroutines_that_need_a_slow_module_run_it_once() {
    let bot = Bot::start(&[
        (
            "impatient.luau",
            r#"for i = 1, 2 do
                task.spawn(function() print(i, require("./impatient_lib/slow")) end)
            end"#,
        ),
        (
            "impatient_lib/slow.luau",
            r#"print("runs") task.wait(0.001) return "value""#,
        ),
    ])
    .await;
    bot.log.wait("impatient", 3).await;
    let mut lines = bot.log.of("impatient");
    lines.sort();
    assert_eq!(lines, ["1\tvalue", "2\tvalue", "runs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_cannot_change_what_it_was_given() {
    let bot = Bot::start(&[(
        "sandboxed.luau",
        r#"print(script.name, script.config.list[2], script.config.missing)
        for _, f in {
            function() script.config.list[1] = 0 end,
            function() argon.messages.send = nil end,
            function() argon.on = nil end,
            function() string.format = nil end,
            function() task.wait = nil end,
            function() getmetatable("").__index = nil end,
        } do print((pcall(f))) end
        x = 1
        print(x, io, loadstring, getfenv, debug.info ~= nil)"#,
    )])
    .await;
    bot.said(
        "sandboxed",
        &[
            "sandboxed\ttwo\tnil",
            "false",
            "false",
            "false",
            "false",
            "false",
            "false",
            "1\tnil\tnil\tnil\ttrue",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_whose_loader_was_cancelled_is_loaded_by_the_next() {
    let bot = Bot::start(&[
        (
            "giver_up.luau",
            r#"task.spawn(function()
                local first = task.spawn(function() return require("./lib/late") end)
                task.spawn(function() print("waiter", require("./lib/late")) end)
                task.cancel(first)
                print("again", require("./lib/late"))
            end)"#,
        ),
        (
            "lib/late.luau",
            "_G.loads = (_G.loads or 0) + 1 if _G.loads == 1 then task.wait(1e6) end return _G.loads",
        ),
    ])
    .await;
    bot.log.wait("giver_up", 2).await;
    let lines = bot.log.of("giver_up");
    assert_eq!(lines, ["waiter\t2", "again\t2"]);
}
