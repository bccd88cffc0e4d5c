//! `argon.cron` by a clock that the tests move on.

use std::time::Duration;

use crate::support::Bot;

/// Every year has the due time of these tests.
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_runs_once_for_each_time_that_the_clock_passes() {
    let bot = Bot::start(&[(
        "cron_yearly.luau",
        r#"local runs = 0
        argon.cron("0 0 1 1 *", function(due)
            runs += 1
            assert(argon.kv.update("runs", function(n) return (n or 0) + 1 end) == runs)
            print(runs, argon.time.format(due, "%m-%d %H:%M"), due <= argon.time.now())
        end)
        local stopped = argon.cron("0 0 1 1 *", function() print("never") end)
        stopped.off()
        argon.on("*", function(event) print("no event for anybody", event.type) end)"#,
    )])
    .await;
    for run in 1..=3 {
        bot.host().advance(YEAR);
        bot.log.wait("cron_yearly", run).await;
    }
    // A machine that slept for long makes up for it once.
    bot.host().advance(YEAR * 5);
    let lines = [
        "1\t01-01 00:00\ttrue",
        "2\t01-01 00:00\ttrue",
        "3\t01-01 00:00\ttrue",
        "4\t01-01 00:00\ttrue",
    ];
    bot.said("cron_yearly", &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_scripts_with_the_same_pattern_have_a_run_each() {
    let script = r#"argon.cron("0 0 1 1 *", function() print("runs") end)"#;
    let bot = Bot::start(&[("cron_one.luau", script), ("cron_two.luau", script)]).await;
    bot.host().advance(YEAR);
    bot.log.wait("cron_one", 1).await;
    bot.log.wait("cron_two", 1).await;
    bot.host().advance(YEAR);
    bot.said("cron_one", &["runs", "runs"]).await;
    bot.said("cron_two", &["runs", "runs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_timer_may_not_be_told_is_refused() {
    let bot = Bot::start(&[(
        "cron_wrong.luau",
        r#"for _, options in { { missed = "both" }, { missed = 1 }, { mised = "skip" } } do
            print(select(2, pcall(argon.cron, "* * * * *", print, options)))
        end"#,
    )])
    .await;
    let lines = [
        "argon.cron: missed must be \"skip\" or \"catchUp\", got \"both\"",
        "argon.cron: missed must be a string, got number",
        "argon.cron: the table of options has no field mised; did you mean missed?",
    ];
    bot.said("cron_wrong", &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_is_set_again_counts_from_then_and_takes_the_place_of_one_that_is_over() {
    let bot = Bot::start(&[(
        "cron_places.luau",
        r#"local last
        local function start(name, after)
            local timer
            timer = argon.cron("0 0 1 1 *", function(due)
                timer.off()
                timer.off()
                if after then after() end
                print(name, not last or due > last)
                last = due
                error(name, 0) -- told with the run
            end)
        end
        start("first", function()
            start("second", function() start("third") end)
        end)"#,
    )])
    .await;
    for run in 1..=3 {
        bot.host().advance(YEAR);
        // A line that the script prints, and its error.
        bot.log.wait("cron_places", 2 * run).await;
    }
    let lines = bot.log.all("cron_places");
    let (errors, printed): (Vec<_>, Vec<_>) =
        (lines.iter()).partition(|line| !line.event_id.is_empty());
    let printed: Vec<_> = printed.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(printed, ["first\ttrue", "second\ttrue", "third\ttrue"]);
    // The first run still goes on when the second timer is set, and is over when the third is.
    let places: Vec<_> = (errors.iter())
        .filter_map(|line| Some(line.event_id.rsplit_once('#')?.1.split_once('@')?.0))
        .collect();
    assert_eq!(places, ["0", "1", "0"]);
}
