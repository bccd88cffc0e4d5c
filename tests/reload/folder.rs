//! What the scripts folder has, and what follows from a change in it.

use std::fs;

use crate::{Bench, answering};

#[tokio::test]
async fn a_load_that_fails_keeps_the_old_version_and_shows_where() {
    let mut bench = Bench::start(&[("a.luau", &answering("1"))]).await;
    bench.write("a.luau", "local x = 1\nlocal y = = 2\n");
    let line = bench
        .host
        .line("version 2 cannot be loaded, version 1 goes on")
        .await;
    assert!(line.contains("a.luau:2"), "{line}");
    bench.host.line("local y = = 2").await;
    assert_eq!(bench.answer("hi").await, "1");

    bench.write("a.luau", "local t = nil\nt.x = 1\n");
    let line = bench
        .host
        .line("version 3 cannot be loaded, version 1 goes on")
        .await;
    assert!(line.contains("a.luau:2"), "{line}");
    assert_eq!(bench.answer("hi").await, "1");

    bench.write("a.luau", &answering("4"));
    bench.host.line("version 4 runs").await;
    assert_eq!(bench.answer("hi").await, "4");
}

#[tokio::test]
async fn files_come_go_and_are_renamed() {
    let mut bench = Bench::start(&[("a.luau", &answering("a"))]).await;
    bench.write(
        "b.luau",
        "argon.on(\"ready\", function(e) print(`ready {e.synthetic}`) end)\n",
    );
    bench.said("demo/b: ready true").await;
    bench.said("demo/b: loaded in").await;
    fs::remove_file(bench.file("b.luau")).expect("removed");
    bench.said("demo/b: its file is gone: unloaded").await;

    fs::rename(bench.file("a.luau"), bench.file("c.luau")).expect("renamed");
    bench.said("demo/c: loaded in").await;
    bench.said("demo/a: its file is gone").await;
    assert_eq!(bench.answer("one answer").await, "a");

    // A folder script, and back.
    bench.write(
        "d/init.luau",
        "print(require(\"@self/part\"), require(\"./c_part\"))\n",
    );
    bench.write("d/part.luau", "return \"part\"\n");
    bench.write("c_part.luau", "return \"beside\"\n");
    bench.said("demo/d: part").await;
    fs::rename(bench.file("d"), bench.file("e")).expect("renamed");
    bench.said("demo/e: part").await;
    bench.said("demo/d: its file is gone").await;
    fs::remove_dir_all(bench.file("e")).expect("removed");
    bench.said("demo/e: its file is gone").await;
}

#[tokio::test]
async fn a_module_reloads_exactly_those_that_use_it() {
    let mut bench = Bench::start(&[("plain.luau", "print(\"plain runs\")\n")]).await;
    bench.write("lib/inner.luau", "return 1\n");
    bench.write("lib/outer.luau", "return require(\"./inner\") * 10\n");
    bench.write(
        "direct.luau",
        "print(`direct {require(\"./lib/inner\")}`)\n",
    );
    // A change before that would make the load start over.
    bench.said("demo/direct: loaded").await;
    bench.write("deep.luau", "print(`deep {require(\"./lib/outer\")}`)\n");
    bench.said("demo/deep: loaded").await;
    bench.write(
        "lazy.luau",
        "argon.on(\"messageCreate\", function() print(`lazy {require(\"./lib/inner\")}`) end)\n",
    );
    bench.said("demo/lazy: loaded").await;
    bench.write("hopeful.luau", "print(pcall(require, \"./lib/missing\"))\n");
    bench.said("demo/hopeful: false").await;
    bench.said("demo/hopeful: loaded").await;
    // The new intent is in place.
    bench.connected(2).await;

    // Nobody but the two has read it so far.
    bench.write("lib/inner.luau", "return 2\n");
    bench.reloaded("deep", 1).await;
    bench.reloaded("direct", 1).await;
    assert_eq!(bench.count("deep 20"), 1);
    assert_eq!(bench.count("direct 2"), 1);
    assert_eq!(bench.count("runs, after"), 2);

    // Now the third has.
    bench.world.write(0, "general", "x").await;
    bench.said("lazy 2").await;
    bench.write("lib/inner.luau", "return 3\n");
    bench.reloaded("deep", 2).await;
    bench.reloaded("direct", 2).await;
    bench.reloaded("lazy", 1).await;

    // What was looked for in vain is there.
    bench.write("lib/missing.luau", "return \"found\"\n");
    bench.said("demo/hopeful: true").await;
    bench.reloaded("hopeful", 1).await;
    assert_eq!(bench.count("plain runs"), 1);
    assert_eq!(bench.count("runs, after"), 6, "{}", bench.host.output());
}

#[tokio::test]
async fn a_module_that_breaks_leaves_its_users_as_they_are() {
    let mut bench = Bench::start(&[]).await;
    bench.write("lib/word.luau", "return \"good\"\n");
    bench.write(
        "a.luau",
        "local word = require(\"./lib/word\")\nargon.on(\"messageCreate\", function(e) e:reply(word) end)\n",
    );
    bench.said("demo/a: loaded").await;
    bench.connected(2).await;
    bench.write("lib/word.luau", "return (\n");
    let line = bench.host.line("cannot be loaded, version").await;
    assert!(
        line.contains("lib/word.luau:2") || line.contains("lib/word.luau:1"),
        "{line}"
    );
    assert_eq!(bench.answer("hi").await, "good");
    bench.write("lib/word.luau", "return \"better\"\n");
    bench.reloaded("a", 1).await;
    assert_eq!(bench.answer("hi").await, "better");
}

#[tokio::test]
async fn modules_that_need_each_other_in_a_circle_are_told_with_the_whole_chain() {
    let mut bench = Bench::start(&[("plain.luau", &answering("plain"))]).await;
    bench.write("lib/x.luau", "return { y = require(\"./y\") }\n");
    bench.write("lib/y.luau", "return { z = require(\"./z\") }\n");
    bench.write("lib/z.luau", "return { x = require(\"./x\") }\n");
    bench.write("a.luau", "print(require(\"./lib/x\").y.z.word)\n");
    bench
        .said("the modules need each other in a circle: lib/z.luau → lib/x.luau → lib/y.luau → lib/z.luau")
        .await;
    bench.said("demo/a: cannot be loaded: lib/z.luau:1").await;
    bench.write("lib/z.luau", "return { word = \"open\" }\n");
    bench.said("demo/a: open").await;
    // A change before that would make the load start over.
    bench.said("demo/a: loaded").await;

    // It closes again while the script runs.
    bench.write("lib/z.luau", "return { word = require(\"../a\") }\n");
    bench
        .said("lib/z.luau → a.luau → lib/x.luau → lib/y.luau → lib/z.luau")
        .await;
    bench.said("goes on").await;
    bench.write("lib/z.luau", "return { word = \"open again\" }\n");
    bench.said("demo/a: open again").await;
}

#[tokio::test]
async fn sighup_reloads_everything_and_reload_can_be_turned_off() {
    let mut bench = Bench::start_with(
        &[("a.luau", &answering("1")), ("b.luau", "print(\"b\")\n")],
        "[scripts]\nreload = false\n",
    )
    .await;
    bench.write("a.luau", &answering("2"));
    assert_eq!(bench.answer("hi").await, "1");
    bench.host.signal("HUP");
    bench.said("demo/a: version 2 runs").await;
    bench.said("demo/b: version 2 runs").await;
    assert_eq!(bench.answer("hi").await, "2");
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_is_a_link_may_lead_elsewhere() {
    let dir = crate::support::embedded_bot(&[], "");
    for (release, text) in [("one", "1"), ("two", "2")] {
        let folder = dir.path().join(release);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("a.luau"), answering(text)).expect("a file");
    }
    let scripts = dir.path().join("scripts");
    fs::remove_dir(&scripts).expect("removed");
    std::os::unix::fs::symlink("one", &scripts).expect("a link");
    let (mut host, world) = crate::support::run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    std::os::unix::fs::symlink("two", dir.path().join("next")).expect("a link");
    fs::rename(dir.path().join("next"), &scripts).expect("renamed");
    host.line("demo/a: version 2 runs").await;
    world.write(0, "general", "hi").await;
    assert_eq!(events.bot_message().await["text"], "2");
    // The new folder is watched.
    fs::write(dir.path().join("two/a.luau"), answering("3")).expect("a file");
    host.line("demo/a: version 3 runs").await;
}

#[tokio::test]
async fn what_the_old_thread_of_a_script_that_came_back_registers_is_not_the_new_ones() {
    let waiting = "argon.on(\"messageCreate\", function()\n\tprint(\"begins\")\n\
                   \twhile not argon.kv.get(\"back\") do task.wait(0.01) end\n\
                   \targon.command{ name = \"old\", description = \"Old\", run = print }\n\
                   \tprint(\"registers\")\nend)\n";
    // The other one keeps the intent, and so the stream.
    let other = "argon.on(\"messageCreate\", function() end)\n";
    let mut bench = Bench::start(&[("a.luau", waiting), ("b.luau", other)]).await;
    bench.world.write(0, "general", "hi").await;
    bench.host.line("begins").await;
    fs::remove_file(bench.file("a.luau")).expect("removed");
    bench.host.line("its file is gone: unloaded").await;
    bench.write(
        "a.luau",
        "local function command(name) argon.command{ name = name, description = name, run = print } end\n\
         command(\"new\")\nargon.kv.set(\"back\", true)\n\
         argon.on(\"messageCreate\", function() command(\"newer\") end)\n",
    );
    bench.host.line("registers").await;
    bench.said("commands: /new (").await;
    bench.world.write(0, "general", "hi").await;
    bench.said("commands: /new /newer").await;
    assert_eq!(bench.count("/old"), 0, "{}", bench.host.output());
}

#[tokio::test]
async fn a_busy_thread_of_a_script_that_is_gone_takes_no_event_any_more() {
    // In a metamethod a coroutine cannot be interrupted: its thread reads no mail meanwhile.
    let busy = "local busy = setmetatable({}, { __index = function()\n\tprint(\"busy\")\n\
                \tlocal begun = os.clock()\n\twhile os.clock() - begun < 1.5 do end\nend })\n\
                argon.on(\"messageCreate\", function(e)\n\
                \tif e.message.text ~= \"go\" then return e:reply(\"gone\") end\n\
                \ttask.delay(0.01, function() local _ = busy.x print(\"free\") end)\nend)\n";
    let mut bench = Bench::start(&[("a.luau", busy), ("b.luau", &answering("b"))]).await;
    assert_eq!(bench.answer("go").await, "b");
    bench.host.line("busy").await;
    fs::remove_file(bench.file("a.luau")).expect("removed");
    bench.said("its file is gone: unloaded").await;
    assert_eq!(bench.answer("one").await, "b");
    bench.said("free").await;
    for text in ["two", "three"] {
        assert_eq!(bench.answer(text).await, "b");
    }
}
