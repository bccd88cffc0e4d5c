//! A bot as a whole: its config, its scripts and modules, its permissions.

use argon_host::check;
use argon_host::config::Problem;
use argon_host::definitions::libraries::LIBRARIES;

use crate::{bot, check_bot, places, print};

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
fn a_command_of_two_scripts_is_found() {
    let command = "argon.command{ name = \"roll\", description = \"d\", run = print }\n";
    let folder = bot(&[
        ("bot.toml", "[script.off]\nenabled = false\nallow = []\n"),
        ("scripts/a.luau", command),
        ("scripts/b.luau", command),
        (
            "scripts/off.luau",
            &format!("{command}argon.messages.send{{ channelId = \"1\", text = \"t\" }}\n"),
        ),
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
