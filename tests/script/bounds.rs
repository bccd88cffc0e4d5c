//! The bounds of a script that no configuration changes.

use argon_host::limits;

use axum::response::IntoResponse as _;

use crate::support::{Bot, Call, message};

/// Runs a chunk and answers what it said.
async fn said(name: &str, source: &str, lines: usize) -> Vec<String> {
    let bot = Bot::start_heavy(&[(&format!("{name}.luau"), source)]).await;
    bot.log.wait(name, lines).await;
    bot.log.of(name)
}

/// Calls a function until it raises, and says how often and what.
const STORM: &str = "local function storm(what, start)
     local count = 0
     while true do
         local ok, e = pcall(start, count)
         if not ok then print(what, count, e) return end
         count += 1
     end
 end
 ";

#[tokio::test(flavor = "multi_thread")]
async fn coroutines_timers_and_handlers_are_bounded() {
    let source = format!(
        "{STORM} storm('delays', function() task.delay(1e6, print) end)
         storm('defers', function() task.defer(print) end)
         storm('timers', function() argon.every(1e6, print) end)
         storm('handlers', function() argon.on('ready', print) end)
         print('waits', pcall(task.wait, 1))"
    );
    let said = said("storm", &source, 5).await;
    let coroutines = limits::COROUTINES + 1000;
    for (said, (begins, has)) in said.iter().zip([
        (
            format!("delays\t{coroutines}\t"),
            "coroutines of this script wait",
        ),
        ("defers\t0\t".into(), "coroutines of this script wait"),
        (
            format!("timers\t{}\tstorm.luau", limits::TIMERS),
            "repeating timers",
        ),
        (
            format!("handlers\t{}\tstorm.luau", limits::HANDLERS),
            "handlers already",
        ),
        ("waits\tfalse\t".into(), "coroutines of this script wait"),
    ]) {
        assert!(said.starts_with(&begins) && said.contains(has), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_events_are_bounded() {
    let source = format!(
        "{STORM} storm('types', function(n) argon.on('made_up_' .. n, print).off() end)
"
    );
    let bot = Bot::start_heavy(&[("types.luau", &source)]).await;
    let own = bot.host().registrations().borrow().events.len();
    assert_eq!(own, limits::EVENT_TYPES);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_makes_room() {
    let said = said(
        "room",
        "for i = 1, 30000 do
             argon.on('ready', print).off()
             argon.every(1, print).off()
             task.cancel(task.delay(1e6, print))
             task.cancel(task.spawn(task.wait, 1e6))
         end
         print('room')",
        1,
    )
    .await;
    assert_eq!(said, ["room"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_lines_is_cut_off_and_counted() {
    let bot = Bot::start(&[(
        "flood.luau",
        "argon.on('messageCreate', function(event)
             for i = 1, 5000 do print(i) end
             for i = 1, 5000 do task.spawn(error, 'loud') end
             task.wait(0.2)
             print('after')
         end)",
    )])
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.done(1).await;
    let said = bot.log.of("flood");
    let most = limits::LOG_LINES as usize;
    // Some more fit in the time that the flood takes.
    assert!(
        said.len() >= most && said.len() < 2 * most,
        "{}",
        said.len()
    );
    assert_eq!(said[0], "1");
    assert!(said.iter().any(|line| line.contains("it logs too much")));
    assert!(
        said.iter()
            .any(|line| line.ends_with("lines were left out: it logs too much"))
    );
    assert!(said.contains(&"after".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_bounded() {
    let said = said(
        "texts",
        "local huge = string.rep('x', 1e6)
         for _, call in {
             function() argon.on(huge, print) end,
             function() argon.onControl(huge, print) end,
             function() require(huge) end,
             function() argon.time.parse(huge) end,
             function() argon.time.format(0, huge) end,
             function() argon.on('ready', print, { [huge] = 1 }) end,
             function() argon.json.decode(string.rep(' ', 1e7)) end,
         } do
             local ok, e = pcall(call)
             print(ok, #e < 200 or #e)
         end
         error(huge)",
        8,
    )
    .await;
    assert_eq!(said[..5], ["false\ttrue"; 5]);
    assert!(said[5].starts_with("false\t"), "{said:?}");
    assert_eq!(said[6], "false\ttrue");
    assert!(said[7].len() < 40_000, "{}", said[7].len());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_wait_for_a_busy_script_are_bounded_in_bytes() {
    const EACH: usize = 12 << 20;
    let calls = limits::ANSWER_BYTES / EACH + 1;
    // Blank space is the cheapest JSON.
    let answer = move |_: &Call| format!("{}{{}}", " ".repeat(EACH)).into_response();
    // It computes longer each time, until the answers have come meanwhile.
    let source = format!(
        r#"local function ask()
               return pcall(argon.botSelf.getMe)
           end
           argon.on("messageCreate", function()
               local refused
               local turns = 1e6
               repeat
                   local left = {calls}
                   for i = 1, {calls} do
                       task.spawn(function()
                           local ok, e = ask()
                           left -= 1
                           refused = refused or not ok and e.code
                       end)
                   end
                   pcall(table.sort, {{ 1, 2 }}, function()
                       for i = 1, turns do end
                       return false
                   end)
                   turns *= 2
                   while left > 0 do task.wait() end
               until refused
               print(refused, (ask()))
           end)"#
    );
    let bot = Bot::start_busy(&[("busy.luau", &source)], answer).await;
    bot.event("messageCreate", message("go")).await;
    bot.said("busy", &["too_many_answers\ttrue"]).await;
}
