//! The checker from the outside: planted mistakes, and scripts that are right.

use std::path::Path;

use argon_host::check;
use argon_host::config::{Problem, Severity};
use argon_host::definitions::libraries::LIBRARIES;

fn print(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// `line:column message`, and the remedy behind `→`.
fn told(problems: &[Problem]) -> Vec<String> {
    let told = |p: &Problem| {
        let help = p
            .help
            .as_ref()
            .map(|help| format!(" → {help}"))
            .unwrap_or_default();
        format!("{}:{} {}{help}", p.line, p.column, p.message)
    };
    problems.iter().map(told).collect()
}

#[track_caller]
fn finds(text: &str, expected: &[&str]) {
    let problems = check::walk(Path::new("x.luau"), text);
    assert_eq!(told(&problems), expected, "\n{}", print(&problems));
}

#[track_caller]
fn accepts(text: &str) {
    finds(text, &[]);
}

/// A bot of these files.
fn bot(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

fn check_bot(folder: &tempfile::TempDir) -> Vec<Problem> {
    check::run(&[folder.path().join("bot.toml")], &|_| None)
}

/// `file:line:column message`.
fn places(folder: &tempfile::TempDir, problems: &[Problem]) -> Vec<String> {
    let place = |p: &Problem| {
        let path = p.path.strip_prefix(folder.path()).unwrap_or(&p.path);
        format!("{}:{}:{} {}", path.display(), p.line, p.column, p.message)
    };
    problems.iter().map(place).collect()
}

#[test]
fn ten_planted_mistakes_are_ten_problems_with_place_and_remedy() {
    let config = r#"[bot]
nmae = "demo"
token = "${ARGON_TOKEN}"
[server]
url = "https://gateway.argon.zone"
[events]
intents = ["mesages"]
[limits]
load_time = "5 parsecs"
handlers = "many"
[script.pong]
rate_share = 0.5
"#;
    let ping = r#"argon.on("messageCreated", function(event)
	event:replay("pong")
end)
argon.messages.sned{}
argon.messages.send{ channelId = "1", txt = "x", text = "x" }
argon.messages.send{ text = "no channel" }
argon.typing.start{ channelId = "1", kind = "thinkng" }
local lib = require("./dise")
print(lib)
"#;
    let folder = bot(&[
        ("bot.toml", config),
        ("scripts/ping.luau", ping),
        ("scripts/dice.luau", "argon.on(\"ready\", print\n"),
    ]);
    // Place, what is wrong, and the remedy: in the help, or in the message itself where it is empty.
    let planted = [
        (
            "bot.toml:2:1",
            "unknown key \"nmae\"",
            "did you mean \"name\"?",
        ),
        (
            "bot.toml:3:9",
            "ARGON_TOKEN is not set",
            "set ARGON_TOKEN before the start",
        ),
        (
            "bot.toml:7:12",
            "unknown intent \"mesages\"",
            "did you mean \"messages\"?",
        ),
        ("bot.toml:9:13", "is not a duration", "\"500ms\", \"10s\""),
        (
            "bot.toml:10:12",
            "must be a whole number, not a string",
            "without quotes",
        ),
        (
            "bot.toml:11:2",
            "there is no script \"pong\"",
            "did you mean \"ping\"?",
        ),
        (
            "scripts/dice.luau:2:1",
            "Expected ')' (to close '(' at line 1)",
            "",
        ),
        (
            "scripts/ping.luau:1:10",
            "unknown event",
            "did you mean \"messageCreate\"?",
        ),
        (
            "scripts/ping.luau:2:8",
            "no method \"replay\"",
            "did you mean \"reply\"?",
        ),
        (
            "scripts/ping.luau:4:16",
            "argon.messages.sned",
            "did you mean \"send\"?",
        ),
        (
            "scripts/ping.luau:5:39",
            "unknown field \"txt\"",
            "did you mean \"text\"?",
        ),
        ("scripts/ping.luau:6:20", "\"channelId\" is missing", ""),
        (
            "scripts/ping.luau:7:45",
            "kind cannot be \"thinkng\"",
            "did you mean \"thinking\"?",
        ),
        (
            "scripts/ping.luau:8:21",
            "no module ./dise",
            "did you mean \"dice\"?",
        ),
    ];
    let problems = check_bot(&folder);
    let text = print(&problems);
    let at: Vec<_> = places(&folder, &problems);
    assert_eq!(problems.len(), planted.len(), "{text}");
    for ((problem, at), (place, message, remedy)) in problems.iter().zip(at).zip(planted) {
        assert!(at.starts_with(&format!("{place} ")), "{place}: {at}");
        assert!(problem.message.contains(message), "{message}: {problem}");
        let help = problem.help.as_deref().unwrap_or_default();
        assert!(help.contains(remedy), "{remedy}: {problem}");
        // The line itself, and a mark below what is meant.
        let printed = problem.to_string();
        let lines: Vec<_> = printed.lines().collect();
        let source = std::fs::read_to_string(&problem.path).expect("the file");
        let line = source.lines().nth(problem.line - 1).unwrap_or_default();
        let line = line.replace("\"${ARGON_TOKEN}\"", "[redacted]");
        assert!(lines[1].ends_with(&line), "{printed}");
        assert!(lines[2].trim_end().ends_with('^'), "{printed}");
    }
}

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

#[test]
fn a_command_of_two_scripts_is_found() {
    let command = "argon.command{ name = \"roll\", description = \"d\", run = print }\n";
    let folder = bot(&[
        ("bot.toml", "[script.off]\nenabled = false\n"),
        ("scripts/a.luau", command),
        ("scripts/b.luau", command),
        ("scripts/off.luau", command),
        (
            "scripts/space.luau",
            &command.replace("run", "spaceId = \"1\", run"),
        ),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(
        places(&folder, &problems),
        ["scripts/b.luau:1:23 the command \"roll\" is registered twice"]
    );
    assert!(
        problems[0]
            .help
            .as_deref()
            .is_some_and(|help| help.ends_with("a.luau:1"))
    );
}

#[test]
fn requires_are_followed_inside_the_folder() {
    let folder = bot(&[
        ("bot.toml", ""),
        (
            "scripts/a.luau",
            "require(\"./lib/x\")\nrequire(\"./lib/y\")\nrequire(\"../bot\")\nrequire(\"lib/x\")\nrequire(\"@self/x\")\nrequire(\"./lib/x.luau\")\nrequire(\"./big\")\n",
        ),
        ("scripts/lib/x.luau", "return require(\"../a\")\n"),
        (
            "scripts/big/init.luau",
            "require(\"@self/part\")\nrequire(\"./part\")\nrequire(\"./a\")\n",
        ),
        ("scripts/big/part.luau", "return 1\n"),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(
        places(&folder, &problems),
        [
            "scripts/a.luau:1:1 modules require each other in a circle: a.luau → lib/x.luau → a.luau",
            "scripts/a.luau:2:9 require: there is no module ./lib/y",
            "scripts/a.luau:3:9 require: ../bot is outside the scripts folder",
            "scripts/a.luau:4:9 require: lib/x: the path must begin with \"./\", \"../\", \"@self/\" or \"@std/\"",
            "scripts/a.luau:5:9 require: @self/x: @self is the folder of a script's init file, and a.luau is none; write \"./…\"",
            "scripts/a.luau:6:9 require: there is no module ./lib/x.luau (leave the extension out)",
            "scripts/lib/x.luau:1:8 the module requires itself, through others",
        ]
    );
}

#[test]
fn scripts_of_one_name_clash() {
    let folder = bot(&[
        ("bot.toml", ""),
        ("scripts/a.luau", ""),
        ("scripts/a.lua", ""),
        ("scripts/a.test.luau", "argon.nothing()"),
        ("scripts/types.d.luau", "declare x: number"),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(problems.len(), 1, "{}", print(&problems));
    assert!(
        problems[0]
            .message
            .ends_with("a.lua is a script \"a\", too"),
        "{}",
        problems[0]
    );
}

#[test]
fn a_good_bot_has_no_problem() {
    let files: Vec<(String, &str)> = LIBRARIES
        .iter()
        .enumerate()
        .map(|(index, library)| (format!("scripts/example{index}.luau"), library.example))
        .collect();
    let mut all: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let mut config = "[script.example0]\nconfig = { greeting = \"Hi\" }\n".to_owned();
    for index in 1..LIBRARIES.len() {
        config += &format!("[script.example{index}]\nhttp = [\"api.example.com\"]\n");
    }
    all.push(("bot.toml", &config));
    let folder = bot(&all);
    let problems = check_bot(&folder);
    assert!(problems.is_empty(), "{}", print(&problems));
}

#[test]
fn hosts_that_a_script_may_not_call_are_found_where_the_text_says_them() {
    let folder = bot(&[
        ("bot.toml", "[script.a]\nhttp = [\"api.example.com\"]\n"),
        (
            "scripts/a.luau",
            "argon.http.request{ url = \"https://api.example.com/x\" }\nargon.http.request{\n\tmethod = \"GET\",\n\turl = \"https://api.example.com:8443/x\",\n}\nargon.http.request{ url = script.config.url }\nrequire(\"./lib/web\")\n",
        ),
        ("scripts/b.luau", "require(\"./lib/web\")\n"),
        (
            "scripts/lib/web.luau",
            "return function()\n\treturn argon.http.request({ url = \"http://10.0.0.1/\" })\nend\n",
        ),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(
        places(&folder, &problems),
        [
            "scripts/a.luau:4:8 the script a may not call api.example.com:8443",
            "scripts/lib/web.luau:2:36 the script a may not call 10.0.0.1",
            "scripts/lib/web.luau:2:36 the script b may not call 10.0.0.1",
        ]
    );
    assert_eq!(
        problems[0].help.as_deref(),
        Some(
            "write http = [\"api.example.com\", \"api.example.com:8443\"] under [script.a] in bot.toml"
        )
    );
}

#[test]
fn calls_that_the_permissions_refuse_are_errors_with_the_line_that_allows_them() {
    let folder = bot(&[
        (
            "bot.toml",
            "[script.a]\nallow = [\"messages.*\"]\n[script.b]\ndeny = [\"members.kick\"]\n",
        ),
        (
            "scripts/a.luau",
            "local members = argon.members\npcall(members.kick, {} :: any)\nargon.on(\"messageCreate\", function(event)\n\tevent:reply(\"x\")\n\tevent:react(\"x\")\nend)\nargon.command{ name = \"a\", description = \"b\", run = function(i)\n\ti:reply(\"x\")\nend }\nrequire(\"./lib/one\")\n",
        ),
        (
            "scripts/b.luau",
            "require(\"./lib/one\")\nargon.messages.send{ channelId = \"1\", text = \"x\" }\n",
        ),
        (
            "scripts/c.luau",
            "require(\"./lib/two\")\nargon.members.kick{ spaceId = \"1\", channelId = \"2\", userId = \"3\" }\n",
        ),
        ("scripts/lib/one.luau", "return require(\"./two\")\n"),
        (
            "scripts/lib/two.luau",
            "require(\"./one\")\nreturn function(id: string)\n\targon.members.kick{ spaceId = id, channelId = id, userId = id }\nend\n",
        ),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(
        places(&folder, &problems),
        [
            "scripts/a.luau:2:7 the script a may not call members.kick",
            "scripts/a.luau:5:8 the script a may not call reactions.add",
            "scripts/a.luau:7:1 the script a may not call commands.register",
            "scripts/a.luau:8:4 the script a may not call interactions.reply",
            "scripts/lib/one.luau:1:8 modules require each other in a circle: lib/one.luau → lib/two.luau → lib/one.luau",
            "scripts/lib/two.luau:1:1 modules require each other in a circle: lib/two.luau → lib/one.luau → lib/two.luau",
            "scripts/lib/two.luau:3:2 the script a may not call members.kick",
            "scripts/lib/two.luau:3:2 the script b may not call members.kick",
        ],
        "{}",
        print(&problems)
    );
    assert!(problems.iter().all(Problem::is_error));
    let remedies: Vec<_> = problems.iter().filter_map(|p| p.help.as_deref()).collect();
    assert_eq!(
        remedies[0],
        "write allow = [\"messages.*\", \"members.kick\"] under [script.a] in bot.toml"
    );
    assert_eq!(remedies[5], "write deny = [] under [script.b] in bot.toml");
}

/// `file:line:column` and a part of the message for each mistake that is marked in the corpus.
fn planted(dir: &Path) -> Vec<(String, String)> {
    let mut marks = Vec::new();
    for file in argon_host::modules::files(dir).expect("the corpus").paths {
        let text = std::fs::read_to_string(&file).expect("a text");
        for (number, line) in text.lines().enumerate() {
            let Some((_, mark)) = line.split_once("--> ") else {
                continue;
            };
            let (column, part) = mark.split_once(": ").expect("a column and a text");
            let place = format!("{}:{}:{column}", file.display(), number + 1);
            marks.push((place, part.to_owned()));
        }
    }
    marks
}

#[test]
fn every_planted_mistake_of_the_corpus_is_found_where_it_is_and_nothing_else() {
    let bot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted");
    let problems = check::run(&[bot.join("bot.toml")], &|_| None);
    let mut left = planted(&bot.join("scripts"));
    assert!(left.len() >= 30, "only {} are planted", left.len());
    let mut wrong = Vec::new();
    for problem in &problems {
        let place = format!(
            "{}:{}:{}",
            problem.path.display(),
            problem.line,
            problem.column
        );
        let fits = |(at, part): &(String, String)| *at == place && problem.message.contains(part);
        match left.iter().position(fits) {
            Some(index) => drop(left.remove(index)),
            None => wrong.push(problem.to_string()),
        }
        assert!(problem.is_error(), "{problem}");
    }
    assert!(
        wrong.is_empty() && left.is_empty(),
        "not planted:\n{}\nnot found: {left:#?}",
        wrong.join("\n")
    );
}

#[test]
fn the_sample_scripts_are_strict_and_without_a_problem() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let problems = check::run(&[root.join("bot.toml")], &|_| None);
    assert!(problems.is_empty(), "{}", print(&problems));
    for file in argon_host::modules::files(&root.join("scripts"))
        .expect("the samples")
        .paths
    {
        let text = std::fs::read_to_string(&file).expect("a text");
        assert!(text.starts_with("--!strict\n"), "{}", file.display());
    }
}

#[test]
fn the_mode_is_the_files_the_folders_or_strict() {
    let loose =
        "local function f(x)\n\treturn x.y.z\nend\nlocal n: number = f({}) or \"text\"\nprint(n)\n";
    let found = |files: &[(&str, &str)]| {
        let mut all = vec![("bot.toml", "")];
        all.extend(files);
        let folder = bot(&all);
        let problems = check_bot(&folder);
        places(&folder, &problems)
    };
    let strict = found(&[("scripts/a.luau", loose)]);
    assert!(
        !strict.is_empty()
            && strict
                .iter()
                .all(|place| place.starts_with("scripts/a.luau:4:")),
        "{strict:?}"
    );
    let nocheck = format!("--!nocheck\n{loose}");
    assert_eq!(found(&[("scripts/a.luau", &nocheck)]), Vec::<String>::new());
    let settings = (
        "scripts/.luaurc",
        "{ \"languageMode\": \"nocheck\", \"aliases\": { \"std\": \"./.std\" } }",
    );
    assert_eq!(
        found(&[("scripts/a.luau", loose), settings]),
        Vec::<String>::new()
    );
    let strict = format!("--!strict\n{loose}");
    assert!(!found(&[("scripts/a.luau", &strict), settings]).is_empty());
    let broken = found(&[
        ("scripts/a.luau", ""),
        ("scripts/.luaurc", "{ \"languageMode\": \"loose\" }"),
    ]);
    assert!(broken[0].contains("Bad mode \"loose\""), "{broken:?}");
}

#[test]
fn a_broken_text_has_no_type_errors_and_its_neighbours_have() {
    let folder = bot(&[
        ("bot.toml", ""),
        ("scripts/a.luau", "local n: number = \"x\"\nprint(n\n"),
        ("scripts/b.luau", "local n: number = \"x\"\nprint(n)\n"),
    ]);
    let problems = check_bot(&folder);
    let places = places(&folder, &problems);
    assert_eq!(places.len(), 2, "{}", print(&problems));
    assert!(places[0].starts_with("scripts/a.luau:3:"), "{places:?}");
    assert_eq!(
        places[1],
        "scripts/b.luau:1:19 Expected this to be 'number', but got 'string'"
    );
}

#[test]
fn types_cross_files_and_circles_are_shown_as_ways() {
    let folder = bot(&[
        ("bot.toml", ""),
        (
            "scripts/a.luau",
            "local x = require(\"./lib/x\")\nlocal n: number = x.name\nprint(n)\n",
        ),
        ("scripts/lib/x.luau", "return { name = \"x\" }\n"),
        ("scripts/b.luau", "require(\"./lib/y\")\n"),
        ("scripts/lib/y.luau", "require(\"./z\")\nreturn 1\n"),
        ("scripts/lib/z.luau", "require(\"./y\")\nreturn 1\n"),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(
        places(&folder, &problems),
        [
            "scripts/a.luau:2:19 Expected this to be 'number', but got 'string'",
            "scripts/lib/y.luau:1:1 modules require each other in a circle: lib/y.luau → lib/z.luau → lib/y.luau",
            "scripts/lib/z.luau:1:1 modules require each other in a circle: lib/z.luau → lib/y.luau → lib/z.luau",
        ],
        "{}",
        print(&problems)
    );
}

#[test]
fn scripts_that_are_about_to_run_are_checked_with_their_modules_and_no_others() {
    let folder = bot(&[
        (
            "scripts/a.luau",
            "local n: number = script.config.n\nprint(n, require(\"./lib/x\"))\n",
        ),
        ("scripts/b.luau", "print(require(\"./lib/x\"))\n"),
        ("scripts/lib/x.luau", "argon.onn()\nreturn 1\n"),
        ("scripts/lib/unused.luau", "argon.onn()\nreturn 1\n"),
    ]);
    let root = folder
        .path()
        .canonicalize()
        .expect("a folder")
        .join("scripts");
    let scripts = [
        (root.join("a.luau"), serde_json::json!({ "n": "five" })),
        (root.join("b.luau"), serde_json::json!({})),
        (root.join("gone.luau"), serde_json::json!({})),
    ];
    let problems = check::versions(&root, &scripts);
    assert_eq!(
        places(&folder, &problems),
        [
            "a.luau:1:19 Expected this to be 'number', but got 'string'",
            "lib/x.luau:1:7 unknown name argon.onn",
        ]
    );
}
