//! No native keeps a script from being ended, and what is left of the sandbox's edges.

use std::time::Duration;

use argon_host::limits::NATIVES;
use argon_host::script::ScriptSettings;

use crate::support::{Bot, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_script_can_be_ended_in_the_middle_of_every_native() {
    let settings = ScriptSettings {
        cpu_per_event: Duration::from_millis(50),
        ..ScriptSettings::default()
    };
    // One script for each, all of them at work at the same time.
    let files: Vec<(String, String)> = NATIVES
        .iter()
        .map(|native| {
            let name = format!("native_{}_{}.luau", native.library, native.name);
            let source = format!(
                "argon.on('messageCreate', function(event)
                    if event.message.text == 'alive' then return print('alive') end
                    {}
                    print('came to its end')
                 end)",
                native.worst
            );
            (name, source)
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, s)| (&**n, &**s)).collect();
    let bot = Bot::start_set(&files, settings).await;
    bot.event("messageCreate", message("go")).await;
    bot.event("messageCreate", message("alive")).await;
    bot.done(2 * files.len() as u64).await;
    for (name, source) in &files {
        let said = bot.log.of(name.trim_end_matches(".luau"));
        let ended = said.iter().any(|line| {
            line.contains("limits.cpu_per_event") || line.contains("not enough memory")
        });
        assert!(ended, "{source}: {said:?}");
        assert!(said.contains(&"alive".to_owned()), "{source}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_can_be_ended_in_the_middle_of_a_document() {
    // Both calls take several times what a run may use.
    let settings = ScriptSettings {
        cpu_per_event: Duration::from_millis(10),
        ..ScriptSettings::default()
    };
    let reads = "local text = '[' .. string.rep('[],', 7e5) .. '0]'
         argon.on('messageCreate', function() argon.json.decode(text) print('came to its end') end)";
    let writes = "local list = table.create(9e5, 1)
         argon.on('messageCreate', function() argon.json.encode(list) print('came to its end') end)";
    let files = [("reads.luau", reads), ("writes.luau", writes)];
    let bot = Bot::start_set(&files, settings).await;
    bot.event("messageCreate", message("go")).await;
    bot.done(2).await;
    for name in ["reads", "writes"] {
        let said = bot.log.of(name);
        let ended = format!("{name}.luau:2: this run has used its 10ms");
        assert!(said.len() == 1 && said[0].starts_with(&ended), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_has_no_loose_edges() {
    let bot = Bot::start(&[(
        "edges.luau",
        r#"local function refused(what, f, ...)
            local ok, e = pcall(f, ...)
            if ok then print(what .. " was allowed") end
        end
        for _, name in { "getfenv", "setfenv", "loadstring", "load", "dofile", "loadfile", "io", "package" } do
            if _G[name] ~= nil then print(name .. " is there") end
        end
        for _, option in { "collect", "stop", "restart", "step", "isrunning" } do
            refused("collectgarbage " .. option, collectgarbage, option)
        end
        if type(collectgarbage("count")) ~= "number" then print("no count") end
        for _, library in { string, table, math, os, debug, coroutine, task, argon, argon.log, script, utf8, buffer } do
            refused("a library's field", function() library.added = 1 end)
            refused("rawset of a library", rawset, library, "added", 1)
        end
        refused("the metatable of strings", function() getmetatable("").__index = {} end)
        refused("the metatable of strings", rawset, getmetatable(""), "__add", print)
        local vectors = getmetatable(vector.zero)
        if vectors then refused("the metatable of vectors", rawset, vectors, "__add", print) end
        refused("setmetatable of a string", setmetatable, "", {})
        -- What debug tells of the host's functions is a name, not a path or an address of the host's.
        for _, f in { print, require, task.spawn, argon.on, string.find, pcall } do
            local source, line, name = debug.info(f, "sln")
            if source ~= "[C]" and source ~= "[argon]" then print("source " .. source) end
        end
        local _, e = pcall(function() argon.on(1, 2) end)
        if not string.find(e, "^edges.luau:") or string.find(e, "src/", 1, true) then print(e) end
        print("done")"#,
    )])
    .await;
    bot.said("edges", &["done"]).await;
}
