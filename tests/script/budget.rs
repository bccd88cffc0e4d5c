//! Limits of CPU time and memory: what is over the limit ends, and nothing else does.

use std::time::Duration;

use argon_host::script::{ScriptSettings, State};
use serde_json::json;

use crate::support::{Bot, message, until};

/// A budget that a loop uses up at once, and that no honest handler here comes near.
const SHORT: Duration = Duration::from_millis(50);
/// A budget that no test reaches before its patience is over.
const LONG: Duration = Duration::from_secs(600);

async fn bot(files: &[(&str, &str)], cpu_per_event: Duration) -> Bot {
    let settings = ScriptSettings {
        cpu_per_event,
        ..ScriptSettings::default()
    };
    Bot::start_set(files, settings).await
}

async fn small(files: &[(&str, &str)]) -> Bot {
    let settings = ScriptSettings {
        memory: 4 << 20,
        ..ScriptSettings::default()
    };
    Bot::start_set(files, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_past_its_budget_dies_at_its_line_and_the_script_goes_on() {
    let bot = bot(
        &[(
            "spins.luau",
            "argon.on('messageCreate', function(event)\n  if event.message.text == 'spin' then\n    \
             while true do end\n  end\n  print(event.message.text)\nend)",
        )],
        SHORT,
    )
    .await;
    bot.event("messageCreate", message("spin")).await;
    bot.done(1).await;
    bot.event("messageCreate", message("alive")).await;
    bot.said(
        "spins",
        &[
            "spins.luau:3: this run has used its 50ms of CPU time and is ended \
             (limits.cpu_per_event)\n  3 |     while true do end\n    |     \
             ^^^^^^^^^^^^^^^^^\n  at spins.luau:3",
            "alive",
        ],
    )
    .await;
    let report = &bot.host().reports()[0];
    assert_eq!(report.counts.ended, 1);
    assert!(
        report.counts.cpu >= SHORT && report.counts.memory > 100 << 10,
        "{report:?}"
    );
}

/// Ways to swallow an error and go on.
const STUBBORN: &[&str] = &[
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "local function deep() pcall(deep) while true do pcall(deep) end end deep()",
    "while true do pcall(pcall, pcall, function() while true do end end) end",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do pcall(error, setmetatable({}, { __tostring = function() while true do end end })) end",
    "while true do task.spawn(function() while true do end end) end",
    "local function again() while true do pcall(again) end end task.spawn(again) again()",
    "local t = {} for i = 1, 1000 do t[i] = i end
     while true do pcall(table.sort, t, function(a, b) while true do end end) end",
    "while true do pcall(string.gsub, 'x', '.', function() while true do end end) end",
    "while true do pcall(function() return setmetatable({}, { __index = function() while true do end end }).x end) end",
    "string.find(string.rep('a', 1e5), string.rep('a-', 30) .. 'b')",
    "while true do pcall(string.find, string.rep('a', 1e4), string.rep('a-', 30) .. 'b') end",
];

#[tokio::test(flavor = "multi_thread")]
async fn swallowing_the_error_does_not_help() {
    for (index, code) in STUBBORN.iter().enumerate() {
        let name = format!("stubborn{index}");
        let file = format!("{name}.luau");
        let source = format!(
            "argon.on('messageCreate', function(event)
                if event.message.text == 'alive' then return print('alive') end
                {code}
                print('survived')
             end)"
        );
        let bot = bot(&[(&file, &source)], SHORT).await;
        bot.event("messageCreate", message("go")).await;
        bot.done(1).await;
        bot.event("messageCreate", message("alive")).await;
        bot.log.wait(&name, 2).await;
        let said = bot.log.of(&name);
        assert!(said[0].contains("limits.cpu_per_event"), "{code}: {said:?}");
        assert_eq!(said[1..], ["alive"], "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_computes_lets_the_others_of_its_script_run() {
    // Without slices, the second event would never be seen.
    let bot = bot(
        &[(
            "fair.luau",
            "local stop, turns = false, 0
             argon.on('messageCreate', function(event)
                 if event.message.text == 'stop' then stop = true print('stopped') return end
                 repeat turns += 1 until stop
                 print(event.message.text)
             end)
             argon.once('messageCreate', function() task.wait(0.001) print('slept') end)",
        )],
        LONG,
    )
    .await;
    bot.event("messageCreate", message("one")).await;
    bot.log.wait("fair", 1).await;
    bot.event("messageCreate", message("two")).await;
    bot.event("messageCreate", message("stop")).await;
    bot.done(3).await;
    bot.log.wait("fair", 4).await;
    let mut said = bot.log.of("fair");
    assert_eq!(said[..2], ["slept", "stopped"]);
    // Which of the two gets the next slice is chance.
    said.sort();
    assert_eq!(said, ["one", "slept", "stopped", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn coroutines_are_never_cut_in_by_a_slice() {
    // A yield of the host's inside them would surface as a bogus result.
    let bot = bot(
        &[(
            "nested.luau",
            "argon.on('messageCreate', function()
                 local ends = os.clock() + 0.05
                 local odd = 0
                 local step = coroutine.wrap(function()
                     while os.clock() < ends do end
                     coroutine.yield('mine')
                 end)
                 if step() ~= 'mine' then odd += 1 end
                 ends = os.clock() + 0.02
                 local t = {3, 1, 2}
                 table.sort(t, function(a, b) while os.clock() < ends do end return a < b end)
                 if table.concat(t) ~= '123' then odd += 1 end
                 ends = os.clock() + 0.02
                 local object = setmetatable({}, { __index = function() while os.clock() < ends do end return 7 end })
                 if object.x ~= 7 then odd += 1 end
                 ends = os.clock() + 0.02
                 local result = table.pack(pcall(function() while os.clock() < ends do end return 1, 2 end))
                 if result.n ~= 3 or result[3] ~= 2 then odd += 1 end
                 print('odd', odd)
             end)",
        )],
        LONG,
    )
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.said("nested", &["odd\t0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preempted_coroutine_that_the_script_resumes_or_cancels_is_not_resumed_again() {
    let bot = bot(
        &[(
            "handles.luau",
            "local function busy(name)
                 local ends = os.clock() + 0.3
                 while os.clock() < ends do end
                 print(name, coroutine.yield('yielded'))
             end
             argon.on('messageCreate', function()
                 local resumed = task.spawn(busy, 'resumed')
                 local cancelled = task.spawn(busy, 'cancelled')
                 print(coroutine.status(resumed), coroutine.resume(resumed))
                 task.cancel(cancelled)
                 task.wait(1)
                 print(coroutine.status(resumed), coroutine.status(cancelled))
                 print(coroutine.resume(resumed, 'by the script'))
             end)",
        )],
        LONG,
    )
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.said(
        "handles",
        &[
            "suspended\ttrue\tyielded",
            "suspended\tdead",
            "resumed\tby the script",
            "true",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_and_spawned_tasks_of_a_handler_add_up() {
    let bot = bot(
        &[(
            "slices.luau",
            "argon.on('messageCreate', function(event)
                 if event.message.text == 'alive' then return print('alive') end
                 local function burn() local ends = os.clock() + 0.01 while os.clock() < ends do end end
                 for i = 1, 1e9 do task.spawn(burn) task.wait() end
             end)",
        )],
        SHORT,
    )
    .await;
    bot.event("messageCreate", message("go")).await;
    bot.done(1).await;
    bot.event("messageCreate", message("alive")).await;
    bot.log.wait("slices", 2).await;
    assert!(bot.log.of("slices")[0].contains("limits.cpu_per_event"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_the_background_has_its_budget_after_each_wait_and_dies_if_it_spins() {
    let bot = bot(
        &[(
            "background.luau",
            "local function burn(seconds) local ends = os.clock() + seconds while os.clock() < ends do end end
             task.spawn(function()
                 for i = 1, 20 do burn(0.02) task.wait() end
                 print('all of them')
                 while true do end
             end)
             argon.on('messageCreate', function() print('alive') end)",
        )],
        Duration::from_millis(150),
    )
    .await;
    bot.log.wait("background", 2).await;
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("background", 3).await;
    let said = bot.log.of("background");
    assert_eq!((&*said[0], &*said[2]), ("all of them", "alive"));
    assert!(
        said[1].contains("background.luau:5: this run has used"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_handler_leaves_behind_has_its_budget_after_each_wait() {
    let bot = bot(
        &[(
            "debounced.luau",
            "local function burn(seconds) local ends = os.clock() + seconds while os.clock() < ends do end end
             local handler, cancelled
             argon.on('messageCreate', function(event)
                 if event.message.text == 'cancel' then
                     task.cancel(handler)
                     cancelled = true
                     return
                 end
                 handler = coroutine.running()
                 task.spawn(function()
                     repeat task.wait(0.001) until cancelled
                     for i = 1, 20 do burn(0.02) task.wait() end
                     print('all of them')
                 end)
                 print('waits')
                 task.wait(1e6)
             end)",
        )],
        Duration::from_millis(150),
    )
    .await;
    bot.event("messageCreate", message("go")).await;
    bot.said("debounced", &["waits"]).await;
    bot.event("messageCreate", message("cancel")).await;
    bot.said("debounced", &["waits", "all of them"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_behind_ends_with_it() {
    let bot = bot(
        &[(
            "remains.luau",
            "local left
             argon.on('messageCreate', function()
                 left = task.spawn(function() argon.waitFor('reactionAdd') print('later') end)
                 while true do end
             end)
             argon.on('reactionAdd', function() print(coroutine.status(left)) end)",
        )],
        SHORT,
    )
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.done(1).await;
    bot.event(
        "reactionAdd",
        json!({"channelId": "c", "emoji": "x", "messageId": 1, "spaceId": "s", "userId": "u"}),
    )
    .await;
    bot.done(2).await;
    let said = bot.log.of("remains");
    assert_eq!(said[1..], ["dead"], "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predicate_that_spins_ends_the_coroutine_that_waits() {
    let bot = bot(
        &[(
            "predicate.luau",
            "argon.on('messageCreate', function(event)
                 if event.message.text ~= 'go' then return print('alive') end
                 argon.waitFor('messageCreate', function() while true do end end)
                 print('survived')
             end)",
        )],
        SHORT,
    )
    .await;
    bot.event("messageCreate", message("go")).await;
    bot.event("messageCreate", message("spin the predicate"))
        .await;
    bot.done(2).await;
    bot.log.wait("predicate", 1).await;
    assert_eq!(bot.host().reports()[0].counts.ended, 1);
    assert!(bot.log.of("predicate").contains(&"alive".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_top_level_that_spins_fails_to_load() {
    let bot = Bot::start_slow(&[("top_spins.luau", "local x = 1\nwhile true do x += 1 end")]).await;
    let state = || bot.host().reports()[0].state.clone();
    let failed = || match state() {
        State::Failed(trouble) => Some(trouble),
        _ => None,
    };
    let trouble = until(failed, || format!("{:?}", state())).await;
    assert_eq!(trouble.place.map(|place| place.line), Some(2));
    assert!(
        trouble
            .message
            .contains("the top level has used its 50ms of CPU time"),
        "{}",
        trouble.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_memory_is_an_error_of_that_script_only() {
    let bot = small(&[
        (
            "hoards.luau",
            "argon.on('messageCreate', function(event)
                 if event.message.text == 'alive' then return print('alive') end
                 local t = {}
                 for i = 1, 1e9 do t[i] = { i } end
             end)",
        ),
        (
            "modest.luau",
            "argon.on('messageCreate', function(event) print(event.message.text) end)",
        ),
    ])
    .await;
    bot.event("messageCreate", message("go")).await;
    bot.done(2).await;
    bot.event("messageCreate", message("alive")).await;
    bot.log.wait("hoards", 2).await;
    let said = bot.log.of("hoards");
    assert!(said[0].contains("not enough memory"), "{said:?}");
    assert!(said[0].contains("hoards.luau:4"), "{said:?}");
    assert_eq!(said[1], "alive");
    bot.said("modest", &["go", "alive"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_does_not_count() {
    // A hundred times the limit, of which nothing stays.
    let bot = small(&[(
        "litters.luau",
        "argon.on('messageCreate', function()
             local kept = string.rep('k', 2500000)
             for i = 1, 400 do local waste = table.create(65536, i) end
             print(#kept)
         end)",
    )])
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.said("litters", &["2500000"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_neither_ends_nor_yields_ends_when_the_host_stops() {
    let mut bot = bot(
        &[(
            "holds.luau",
            "argon.on('messageCreate', function()
                 print('begins')
                 table.sort({2, 1}, function() while true do end end)
             end)",
        )],
        LONG,
    )
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("holds", 1).await;
    bot.take_host().stop(Duration::ZERO).await;
    bot.done(1).await;
    let said = bot.log.of("holds");
    assert!(
        said[1].contains("the host has ended this script"),
        "{said:?}"
    );
}

/// The threads of the scripts whose names begin so: whether each wants to run, and its CPU time in ticks.
#[cfg(target_os = "linux")]
fn threads(prefix: &str) -> Vec<(bool, u64)> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").expect("the threads") {
        let task = task.expect("an entry").path();
        let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        if !read("comm").starts_with(&format!("script:{prefix}")) {
            continue;
        }
        let stat = read("stat");
        // The name, in brackets, may contain anything.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        let cpu = ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default();
        found.push((fields[0] == "R", cpu));
    }
    found
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_compute_for_ever_take_turns_and_leave_the_cores_to_the_others() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let many = 4 * cores + 4;
    let files: Vec<(String, &str)> = (0..many)
        .map(|n| {
            let source = "task.delay(0, function() while true do end end)";
            (format!("turns{n}.luau"), source)
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, it)| (&**name, *it)).collect();
    let mut bot = bot(&files, LONG).await;
    // Without turns, all of them want to run all the time.
    let few = || {
        let all = threads("turns");
        let running = all.iter().filter(|(runs, _)| *runs).count();
        (all.len() == many && running <= 2 * cores + 1).then_some(())
    };
    until(few, || format!("{:?}", threads("turns"))).await;
    let before = threads("turns").iter().map(|(_, cpu)| *cpu).max();
    let all_went_on = || {
        let least = threads("turns").iter().map(|(_, cpu)| *cpu).min();
        (least > before).then_some(())
    };
    until(all_went_on, || format!("{before:?} {:?}", threads("turns"))).await;
    bot.take_host().stop(Duration::ZERO).await;
}
