//! The type definitions, judged by Luau's own analyser.

use std::collections::HashSet;
use std::path::Path;

use argon_host::check;
use argon_host::contract;
use argon_host::definitions;
use argon_host::definitions::libraries::LIBRARIES;
use argon_host::definitions::standard::STD_DOCS;
use argon_host::modules::STD;
use argon_host::sim::behaviour;

/// What the checker says of a script, `line: message`.
fn analyse(script: &str) -> Vec<String> {
    let problems = check::text(Path::new("example.luau"), &format!("--!strict\n{script}"));
    problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| format!("{}: {}", problem.line - 1, problem.message))
        .collect()
}

#[test]
fn the_definitions_load() {
    assert_eq!(analyse("return 1"), Vec::<String>::new());
}

#[test]
fn the_examples_of_the_reference_have_the_right_types() {
    for library in LIBRARIES {
        let said = analyse(library.example);
        assert!(
            said.is_empty(),
            "{}: {said:#?}\n{}",
            library.name,
            library.example
        );
    }
}

#[test]
fn the_modules_of_std_are_strict_and_have_no_type_error() {
    for module in STD {
        assert!(module.source.starts_with("--!strict\n"), "{}", module.name);
        let path = Path::new(module.name);
        let said = check::text(path, module.source);
        assert!(said.is_empty(), "{}", said[0]);
    }
}

#[test]
fn every_module_of_std_is_documented_by_an_example_of_the_right_types() {
    let documented: Vec<_> = STD_DOCS.iter().map(|doc| doc.name).collect();
    let there: Vec<_> = STD.iter().map(|module| module.name).collect();
    assert_eq!(documented, there);
    for doc in STD_DOCS {
        let said = analyse(doc.example);
        assert!(said.is_empty(), "{}: {said:#?}", doc.name);
    }
}

#[test]
fn mistakes_in_the_use_of_std_are_found() {
    for (script, part) in [
        ("require(\"@std/lru\").new(\"x\")", "number"),
        ("require(\"@std/lru\").neu(1)", "neu"),
        ("require(\"@std/message\").new():blod(\"x\")", "blod"),
        ("require(\"@std/message\").colour(\"pinkish\")", "pinkish"),
        ("require(\"@std/message\").button({ id = \"x\" })", "label"),
        ("require(\"@std/nothing\")", "@std/nothing"),
    ] {
        let said = analyse(script);
        assert!(
            said.iter().any(|said| said.contains(part)),
            "{script}\n{said:#?}"
        );
    }
}

#[test]
fn planted_mistakes_are_found() {
    for (script, part) in [
        (
            "argon.on(\"messageCreated\", function(event) end)",
            "messageCreated",
        ),
        (
            "argon.on(\"messageCreate\", function(event) print(event.mesage) end)",
            "mesage",
        ),
        (
            "argon.on(\"messageCreate\", function(event) local n: number = event.message.text end)",
            "number",
        ),
        (
            "argon.on(\"messageCreate\", function(event) event:ack() end)",
            "ack",
        ),
        (
            "local e = argon.waitFor(\"ready\", nil, 5)\nif e then print(e.spces) end",
            "spces",
        ),
        (
            "argon.messages.send({ channelId = \"1\", text = 5 })",
            "number",
        ),
        ("argon.messages.send({ channelId = \"1\" })", "text"),
        (
            "local a = argon.messages.send({ channelId = \"1\", text = \"x\" })\nprint(a.messageid)",
            "messageid",
        ),
        ("argon.messages.sned({})", "sned"),
        (
            "argon.channels.create({ spaceId = \"1\", name = \"x\", channelType = \"voise\" })",
            "voise",
        ),
        (
            "argon.command{ name = \"a\", description = \"b\", run = function(i, o) i:replay(\"\") end }",
            "replay",
        ),
        ("argon.onModal(\"a\", function(i) i:defer() end)", "defer"),
        ("script.nam = 1", "nam"),
        ("task.wait(\"1\")", "string"),
        ("local n: number = argon.time.format()", "number"),
    ] {
        let said = analyse(script);
        assert!(
            said.iter().any(|said| said.contains(part)),
            "{script}\n{said:#?}"
        );
    }
}

#[test]
fn right_scripts_have_the_right_types() {
    for script in [
        "argon.on(\"*\", function(event) print(event.anything) end)",
        "argon.on(\"ready\", function(event) print(event.synthetic, event.spaces[1].grantedEntitlements.manageChannels) end, { own = true })",
        "argon.messages.send({ channelId = \"1\", text = \"x\", replyTo = 5, entities = { { type = \"bold\", offset = 0, length = 1 } } })",
        "argon.botSelf.getMe()\nargon.messages.history({ channelId = \"1\" })",
        "local page = argon.messages.history({ channelId = \"1\", from = \"5\", limit = 100 })\nlocal id: string = page.messages[1].messageId",
        "argon.onModal(\"a\", function(i) i:reply(i.values.name) end)",
        "argon.on(\"callIncoming\", function(event) argon.calls.accept({ callId = event.callId }) end)",
        "local ok, e = pcall(argon.spaces.get, { spaceId = \"1\" })\nif not ok then print((e :: CallError).code) end",
        "task.spawn(function(a: number) return a end, 1)\ntask.cancel(task.delay(1, print, \"x\"))",
        "argon.on(\"messageCreate\", function(event) for _, e in event.message.entities or {} do print(e.type) end end)",
        "argon.onSelect(\"a\", function(i) i:reply(i.values[1] .. \"!\") end)",
        "argon.once(\"presenceUpdate\", function(event) if event.presence.status == \"online\" then event = event end end)",
        "local function handle(event: MessageCreateEvent) return event:reply(\"x\") end\nargon.on(\"messageCreate\", handle)",
    ] {
        let said = analyse(script);
        assert!(said.is_empty(), "{script}\n{said:#?}");
        let problems = check::text_in_editor(Path::new("example.luau"), script);
        let error = problems.iter().find(|problem| problem.is_error());
        assert!(error.is_none(), "{}", error.unwrap());
    }
}

#[test]
fn every_name_of_the_libraries_and_every_route_is_defined() {
    let members = LIBRARIES.iter().flat_map(|library| library.members);
    let mut names: Vec<String> = members.map(|member| member.path.to_owned()).collect();
    names.retain(|name| !name.starts_with("event:"));
    for route in argon_host::contract::ROUTES {
        if route.label() != "IEvents/Stream" {
            names.push(format!("argon.{}", route.permission_name()));
        }
    }
    // Handles are no globals, and a method without its call is a field.
    let handles = "local voice: Voice = nil :: any\nlocal track: Track = nil :: any\n";
    let uses = names
        .iter()
        .map(|name| format!("print({})\n", name.replace(':', ".")));
    let script: String = std::iter::once(handles.to_owned()).chain(uses).collect();
    let said = analyse(&script);
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn the_reference_in_the_repository_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib/REFERENCE.md");
    let current = definitions::reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &current).expect("the reference is written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(current.lines())
        .position(|(old, new)| old != new);
    assert!(
        committed == current,
        "stdlib/REFERENCE.md is not current (line {:?}): run UPDATE_REFERENCE=1 cargo test --test definitions",
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_code_of_the_reference_passes_the_check() {
    let reference = definitions::reference();
    let blocks: Vec<&str> = reference
        .split("```luau\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() > LIBRARIES.len());
    for block in blocks {
        let problems = check::text(Path::new("example.luau"), block);
        assert!(problems.is_empty(), "{}\n{block}", problems[0]);
    }
}

#[test]
fn links_of_the_reference_lead_somewhere() {
    let reference = definitions::reference();
    let anchors: Vec<String> = reference
        .lines()
        .filter_map(|line| {
            line.trim_start_matches('#')
                .strip_prefix(' ')
                .filter(|_| line.starts_with('#'))
        })
        .map(|title| {
            let kept = title.to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect();
    for link in reference
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        assert!(
            anchors.iter().any(|anchor| anchor == link),
            "nothing is called #{link}"
        );
    }
}

/// The names of all tests in the sources.
fn tests() -> HashSet<String> {
    fn walk(dir: &Path, found: &mut HashSet<String>) {
        for entry in std::fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                // What follows an attribute that makes a test, up to the function's name.
                for part in text.split("test]\n").chain(text.split("test(")).skip(1) {
                    let name = part
                        .split("fn ")
                        .nth(1)
                        .and_then(|rest| rest.split('(').next());
                    found.extend(name.map(str::to_owned));
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = HashSet::new();
    walk(&root.join("src/sim"), &mut found);
    walk(&root.join("tests"), &mut found);
    found
}

#[test]
fn every_route_and_event_has_a_behaviour_and_tests_that_exist() {
    let routes: Vec<String> = contract::ROUTES
        .iter()
        .map(contract::Route::label)
        .collect();
    let described = behaviour::ROUTES.iter().map(|row| row.subject);
    assert_eq!(described.collect::<Vec<_>>(), routes);
    let events: Vec<&str> = contract::EVENTS.iter().map(|event| event.name).collect();
    let described = behaviour::EVENTS.iter().map(|row| row.subject);
    assert_eq!(described.collect::<Vec<_>>(), events);

    let known = tests();
    assert!(known.contains("every_route_and_event_has_a_behaviour_and_tests_that_exist"));
    assert!(!known.contains("tests"), "only tests are tests");
    for row in behaviour::ROUTES.iter().chain(behaviour::EVENTS) {
        assert!(!row.tests.is_empty(), "{}", row.subject);
        for test in row.tests {
            assert!(
                known.contains(*test),
                "{}: there is no test {test}",
                row.subject
            );
        }
    }
}
