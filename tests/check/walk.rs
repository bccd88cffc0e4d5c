//! The walk over one text: names, parameters, events, commands, arguments.

use std::path::Path;

use argon_host::check;
use argon_host::config::Severity;

use crate::{accepts, finds, print};

#[test]
fn every_syntax_error_of_a_file_is_reported() {
    let problems = check::walk(
        Path::new("x.luau"),
        "local = 1\nlocal y = 2\nif y the\nend\nargon.foo()\n",
    );
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert!(
        lines.contains(&1) && lines.contains(&3),
        "{}",
        print(&problems)
    );
    assert!(problems.iter().all(|problem| problem.source_line.is_some()));
    assert!(
        lines.contains(&5),
        "what stands after it is checked: {}",
        print(&problems)
    );
}

#[test]
fn columns_count_characters() {
    finds(
        "local a = \"äöü\" argon.onn(\"ready\", print)",
        &["1:23 unknown name argon.onn → did you mean \"on\"?"],
    );
}

#[test]
fn parameters_of_routes_are_compared_with_the_contract() {
    finds(
        "argon.messages.send{ text = 5, channelId = \"1\" }",
        &["1:29 argon.messages.send: text must be a string, not a number"],
    );
    finds(
        "argon.messages.send{ text = \"x\" }",
        &["1:20 argon.messages.send: \"channelId\" is missing"],
    );
    finds(
        "argon.messages.history{ channelId = \"1\", limit = 101, from = 9007199254740994 }",
        &[
            "1:50 argon.messages.history: limit must be from 1 to 100",
            "1:62 argon.messages.history: from is not exact as a number → ids exceed 2^53: write it as a string",
        ],
    );
    finds(
        "argon.channels.create{ spaceId = \"1\", name = \"x\", channelType = \"voise\" }",
        &["1:65 argon.channels.create: channelType cannot be \"voise\" → did you mean \"voice\"?"],
    );
    finds(
        "argon.messages.send(\"hello\")",
        &[
            "1:21 argon.messages.send takes a table of parameters, not a string → write argon.messages.send{ channelId = … }",
        ],
    );
    finds(
        "argon.spaces.get()",
        &["1:1 argon.spaces.get: \"spaceId\" is missing → write argon.spaces.get{ spaceId = … }"],
    );
    finds(
        "argon.typing.start{ channelId = \"1\", kind = \"thinkng\" }",
        &["1:45 argon.typing.start: kind cannot be \"thinkng\" → did you mean \"thinking\"?"],
    );
    finds(
        "argon.reactions.batchGet{ channelId = \"1\", messageIds = {} }",
        &["1:57 argon.reactions.batchGet: messageIds must have 1 to 50 elements, it has 0"],
    );
}

#[test]
fn nested_tables_are_compared_too() {
    finds(
        r#"argon.messages.send{ channelId = "1", text = "x",
	controls = { { controls = { { type = "buton", id = "a", lable = "A" } } } },
	entities = { { type = "bold", offset = 0, length = -1 }, { type = "mention", offset = 0, length = 1 } },
}"#,
        &[
            "2:39 argon.messages.send: controls[1]: controls[1]: type cannot be \"buton\" → did you mean \"button\"?",
            "2:58 argon.messages.send: controls[1]: controls[1]: unknown field \"lable\" → did you mean \"label\"?",
            "3:53 argon.messages.send: entities[1]: length must be from 0 to 2147483647",
            "3:59 argon.messages.send: entities[2]: \"userId\" is missing",
        ],
    );
    finds(
        "argon.messages.send{ channelId = \"1\", text = \"x\", controls = { controls = {} } }",
        &[
            "1:64 argon.messages.send: controls is a list, and \"controls\" is a name in it → put each element into braces of its own: { { … }, { … } }",
        ],
    );
}

#[test]
fn what_is_computed_is_not_guessed_at() {
    accepts(
        r#"local key, params = "text", {}
argon.messages.send{ channelId = params.channel, [key] = "x" }
argon.messages.send(params)
argon.on(key, print)
argon.messages.send{ channelId = params.id, text = `hi {key}`, replyTo = params.id }
local function f(...) argon.on(...) end
f()
argon[key](1)
argon.spaces.getMember({ spaceId = params.a, userId = params.b })
local event = argon.waitFor("messageCreate", function(e) return e.message ~= nil end, 5)
if event then event:reply(event.message.text) end
"#,
    );
}

#[test]
fn locals_that_stand_for_a_library_are_followed() {
    finds(
        "local messages = argon.messages\nlocal send = messages.send\nmessages.sned{}\nsend{ channelId = \"1\" }\n",
        &[
            "3:10 unknown name argon.messages.sned → did you mean \"send\"?",
            "4:5 argon.messages.send: \"text\" is missing",
        ],
    );
    accepts("local messages = argon.messages\nmessages = {}\nmessages.anything()\n");
    accepts("local argon = { foo = print }\nargon.foo()\n");
}

#[test]
fn a_route_in_the_wrong_interface_is_sent_home() {
    finds(
        "argon.messages.getMember{}",
        &["1:16 unknown name argon.messages.getMember → did you mean argon.spaces.getMember?"],
    );
    finds(
        "argon.messages:send{}",
        &[
            "1:16 argon.messages.send is called with a dot, not a colon → write argon.messages.send(…)",
        ],
    );
}

#[test]
fn a_module_of_std_is_known_and_a_misspelt_one_is_found() {
    accepts("local lru = require(\"@std/lru\")\nprint(lru)\n");
    finds(
        "local m = require(\"@std/mesage\")\nprint(m)\n",
        &[&format!(
            "1:19 require: @std/mesage: @std has {} → did you mean \"message\"?",
            argon_host::modules::STD
                .iter()
                .map(|module| module.name)
                .collect::<Vec<_>>()
                .join(", ")
        )],
    );
}

#[test]
fn the_stream_route_is_the_hosts() {
    finds(
        "argon.events.stream{ intents = 1 }",
        &[
            "1:1 argon.events.stream cannot be called by a script → the host has it open already: use argon.on",
        ],
    );
}

#[test]
fn what_a_sandbox_lacks_is_said_with_what_to_use() {
    finds(
        "os.execute(\"ls\")\nlocal f = io.open(\"x\")\nprnt(1)\nmine = 1\nprint(mine, os.clock())\n",
        &[
            "1:4 there is no os.execute in scripts → scripts cannot run programs",
            "2:11 there is no io in scripts → scripts have no files",
            "3:1 \"prnt\" is not defined → did you mean \"print\"?",
        ],
    );
}

#[test]
fn arguments_of_libraries_are_counted() {
    finds(
        "argon.on(\"ready\")\nargon.every(5)\nargon.json.decode()\nscript.nam = 1\ntask.wiat(1)\n",
        &[
            "1:1 argon.on needs 2 argument(s), it gets 1 → argon.on(type, handler, options?) -> { off }",
            "2:1 argon.every needs 2 argument(s), it gets 1 → argon.every(seconds, f) -> { off }",
            "3:1 argon.json.decode needs 1 argument(s), it gets 0 → argon.json.decode(text) -> value",
            "4:8 unknown name script.nam → did you mean \"name\"?",
            "5:6 unknown name task.wiat → did you mean \"wait\"?",
        ],
    );
}

#[test]
fn an_event_that_nobody_knows_is_a_warning() {
    let problems = check::walk(Path::new("x.luau"), "argon.on(\"weatherChange\", print)");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Warning);
    accepts("argon.on(\"*\", print)");
}

#[test]
fn commands_are_checked() {
    finds(
        "argon.command{ name = \"/roll\", description = 1, options = {\n\t{ name = \"n\", type = \"int\", description = \"d\" },\n\t{ name = \"n\", type = \"integer\", description = \"d\", requird = true } } }\n",
        &[
            "1:14 argon.command: \"run\" is missing → write run = function(interaction, options) … end",
            "1:23 argon.command: name cannot be \"/roll\" → write \"roll\": the slash is not part of the name",
            "1:46 argon.command: description must be a string, not a number",
            "2:23 argon.command: options[1]: type cannot be \"int\" → it is one of string, integer, boolean, user, channel, role, number",
            "3:11 argon.command: the option \"n\" is there twice",
            "3:53 argon.command: options[2]: unknown field \"requird\" → did you mean \"required\"?",
        ],
    );
    let long = "x".repeat(33);
    finds(
        &format!("argon.command{{ name = \"{long}\", description = \"d\", run = print }}"),
        &["1:23 argon.command: name must have 1 to 32 characters, it has 33"],
    );
}
