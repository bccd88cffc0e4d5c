//! bot.toml from the outside: what a good file means, and what a bad one is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argon_host::config::{self, Config, Intents, Problem, ServerUrl, keys};

const TOKEN: &str = "0123456789abcdef0123456789abcdef:c2VjcmV0LXNlY3JldC1zZWNyZXQ";

/// A folder with a `scripts` folder and a bot.toml.
struct Bot {
    folder: tempfile::TempDir,
}

impl Bot {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("scripts")).expect("scripts");
        let bot = Self { folder };
        bot.write("bot.toml", text);
        bot
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bot.toml")
    }

    fn load(&self) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
        config::load(&self.path(), &env)
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "ARGON_TOKEN" => Some(TOKEN.to_owned()),
        "GREETING" => Some("Hi".to_owned()),
        _ => None,
    }
}

#[track_caller]
fn good(text: &str) -> (Config, Vec<Problem>) {
    match Bot::new(text).load() {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{}", print(&problems)),
    }
}

#[track_caller]
fn bad(text: &str) -> Vec<Problem> {
    match Bot::new(text).load() {
        Ok((config, _)) => panic!("was accepted: {config:?}"),
        Err(problems) => problems,
    }
}

fn print(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// `line:column message` of each problem.
fn places(problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|p| format!("{}:{} {}", p.line, p.column, p.message))
        .collect()
}

#[test]
fn an_empty_file_is_a_bot_on_the_embedded_server() {
    let bot = Bot::new("");
    let (config, warnings) = bot.load().expect("an empty file is fine");
    assert!(warnings.is_empty());
    assert_eq!(config.bot.name, "bot");
    assert!(config.bot.token.is_none());
    assert_eq!(config.server.url, ServerUrl::Embedded);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:7400");
    assert!(matches!(config.events.intents, Intents::Auto));
    assert_eq!(config.scripts.dir, bot.folder.path().join("scripts"));
    assert_eq!(config.state.dir, bot.folder.path().join(".argon"));
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.script("any"), config::Script::default());
}

#[test]
fn every_key_arrives() {
    let (config, warnings) = good(
        r#"
[bot]
name  = "demo"
token = "${ARGON_TOKEN}"
[server]
url = "https://gateway.argon.zone/"
[events]
intents = ["messages", "commands"]
[scripts]
dir = "scripts"
reload = false
drain = "3s"
[limits]
memory = "128MiB"
cpu_per_event = "500ms"
load_time = "1m"
handlers = 7
[script.welcome]
enabled = false
config  = { greeting = "${GREETING}", since = 2025-01-01, list = [1, 2.5, true] }
allow   = ["*"]
deny    = ["members.kick", "reactions.*"]
http    = ["api.example.com"]
rate_share = 0.5
[script.welcome.limits]
memory = 2097152
[state]
dir = "data"
[admin]
listen = "127.0.0.1:7450"
"#,
    );
    assert_eq!(print(&warnings), "");
    assert_eq!(config.bot.name, "demo");
    assert_eq!(
        config.bot.token.as_ref().map(|token| token.expose()),
        Some(TOKEN)
    );
    assert_eq!(
        config.server.url,
        ServerUrl::Remote("https://gateway.argon.zone".into())
    );
    let Intents::Only(intents) = &config.events.intents else {
        panic!("intents are {:?}", config.events.intents);
    };
    assert_eq!(
        intents.iter().map(|intent| intent.name).collect::<Vec<_>>(),
        ["messages", "commands"]
    );
    assert_eq!(config.scripts.reload, config::Reload::Off);
    assert_eq!(config.scripts.drain, Duration::from_secs(3));
    assert_eq!(config.limits.memory, 128 << 20);
    assert_eq!(config.limits.cpu_per_event, Duration::from_millis(500));
    assert_eq!(config.limits.load_time, Duration::from_secs(60));
    assert_eq!(config.limits.handlers, 7);
    let welcome = config.script("welcome");
    assert!(!welcome.enabled);
    assert_eq!(
        welcome.config,
        serde_json::json!({ "greeting": "Hi", "since": "2025-01-01", "list": [1, 2.5, true] })
    );
    assert_eq!(welcome.deny, ["members.kick", "reactions.*"]);
    assert!(welcome.http.texts().eq(["api.example.com"]));
    assert_eq!(welcome.rate_share, 0.5);
    assert_eq!(welcome.limits.memory, 2 << 20);
    assert_eq!(welcome.limits.handlers, 7, "the rest comes from [limits]");
    assert_eq!(config.script("other").limits, config.limits);
    assert!(config.state.dir.ends_with("data"));
    assert_eq!(config.admin.listen.map(|at| at.port()), Some(7450));
}

#[test]
fn every_problem_of_a_file_is_reported_in_one_run() {
    let problems = bad(r#"[bot]
nmae = "demo"
[server]
url = "ftp://x"
listen = "somewhere"
chaos = -1
faults = "drop"
[events]
intents = ["messges", "members"]
[scripts]
dir = 3
drain = "10"
[limits]
memory = "64MB"
handlers = 0
[script.a]
allow = ["messages.sned", "messages"]
rate_share = 1.5
http = ["https://x.org/"]
enabled = "yes"
config = "${NOT_SET}"
[sripts]
"#);
    assert_eq!(
        places(&problems),
        [
            "2:1 unknown key \"nmae\" in [bot]",
            "4:7 \"url\" in [server] is neither \"embedded\" nor an http or https address",
            "5:10 \"listen\" in [server] is not an address",
            "6:9 \"chaos\" in [server] must not be negative",
            "7:10 \"faults\" in [server] must be a list of strings, not a string",
            "9:12 unknown intent \"messges\"",
            "11:7 \"dir\" in [scripts] must be a string, not a whole number",
            "12:9 \"drain\" in [scripts] is not a duration",
            "14:10 \"memory\" in [limits] is not a size",
            "15:12 \"handlers\" in [limits] must be from 1 to 100000",
            "17:10 unknown route \"messages.sned\"",
            "17:27 unknown route \"messages\"",
            "18:14 \"rate_share\" in [script.a] must be above 0 and at most 1",
            "19:9 \"https://x.org/\" is not a host name",
            "20:11 \"enabled\" in [script.a] must be true or false, not a string",
            "21:10 \"config\" in [script.a]: the environment variable NOT_SET is not set",
            "22:2 unknown section \"sripts\"",
        ],
        "{}",
        print(&problems)
    );
    let text = print(&problems);
    for remedy in [
        "did you mean \"name\"?",
        "write it in brackets: [\"…\"]",
        "did you mean \"messages\"?",
        "did you mean \"messages.send\"?",
        "did you mean \"messages.*\"?",
        "did you mean \"scripts\"?",
        "\"500ms\"",
        "\"64MiB\"",
        "set NOT_SET",
    ] {
        assert!(text.contains(remedy), "{remedy} is not in\n{text}");
    }
}

#[test]
fn memory_has_a_least_and_a_most() {
    for (memory, remedy) in [
        ("1023KiB", "a script needs at least \"1MiB\""),
        ("129MiB", "a script may have at most \"128MiB\""),
        ("100GiB", "a script may have at most \"128MiB\""),
    ] {
        let text = format!("[limits]\nmemory = \"{memory}\"\n");
        let problems = bad(&text);
        assert!(print(&problems).contains(remedy), "{}", print(&problems));
    }
    for memory in ["1MiB", "128MiB"] {
        let text = format!("[script.large.limits]\nmemory = \"{memory}\"\n");
        good(&text);
    }
}

#[test]
fn broken_toml_does_not_hide_the_other_problems() {
    let problems =
        bad("[bot]\nname = demo\n[limits]\nhandlers = \"many\"\nhandlers = 3\n[serer]\n");
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert!(lines.contains(&2), "{}", print(&problems));
    assert!(
        lines.contains(&5),
        "the duplicate key: {}",
        print(&problems)
    );
    assert!(
        lines.contains(&6),
        "the unknown section: {}",
        print(&problems)
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_home() {
    let problems = bad("token = \"x\"\n[bot]\ndrain = \"1s\"\n[script]\nenabled = true\n");
    let help: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.help.as_deref())
        .collect();
    assert_eq!(help[0], "\"token\" belongs in [bot]");
    assert_eq!(help[1], "\"drain\" belongs in [scripts]");
    assert!(
        help[2].starts_with("\"enabled\" belongs in [script.NAME]"),
        "{help:?}"
    );
}

#[test]
fn a_remote_server_wants_a_token() {
    let problems = bad("[bot]\nname = \"x\"\n[server]\nurl = \"https://gateway.argon.zone\"\n");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "\"token\" in [bot] is missing");
    assert_eq!(problems[0].line, 1);
    let problems = bad("[server]\nurl = \"https://gateway.argon.zone\"\n");
    assert_eq!(problems[0].message, "\"token\" in [bot] is missing");
    let problems = bad("[bot]\ntoken = \"${MISSING}\"\n[server]\nurl = \"https://x.org\"\n");
    assert_eq!(
        problems[0].message,
        "\"token\" in [bot]: the environment variable MISSING is not set"
    );
}

#[test]
fn the_embedded_server_does_without_the_variable_of_the_token() {
    let (config, warnings) = good("[bot]\ntoken = \"${MISSING}\"\n[server]\nurl = \"embedded\"\n");
    assert!(config.bot.token.is_none());
    assert!(warnings.is_empty());
}

#[test]
fn a_token_file_is_read_trimmed_and_checked() {
    let text = "[bot]\ntoken_file = \"secret\"\n[server]\nurl = \"https://x.org\"\n";
    let bot = Bot::new(text);
    let problems = bot.load().expect_err("the file is missing");
    assert!(
        problems[0].message.contains("cannot be read"),
        "{}",
        problems[0]
    );

    let secret = bot.write("secret", " \n");
    assert_eq!(
        bot.load().expect_err("empty")[0].message,
        "the token in the file is empty"
    );

    bot.write("secret", &format!("  {TOKEN}\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let allow = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&secret, permissions).expect("chmod");
        };
        allow(0o644);
        let (_, warnings) = bot.load().expect("readable by all is a warning");
        assert!(
            warnings[0]
                .message
                .starts_with("everybody on this machine can read")
        );
        allow(0o600);
    }
    let _ = &secret;
    let (config, warnings) = bot.load().expect("a good token file");
    assert_eq!(print(&warnings), "");
    assert_eq!(
        config
            .bot
            .token
            .map(|token| token.expose().to_owned())
            .as_deref(),
        Some(TOKEN)
    );

    bot.write("bot.toml", &format!("{text}[bot.x]\n"));
    bot.write(
        "bot.toml",
        "[bot]\ntoken = \"x\"\ntoken_file = \"secret\"\n[server]\nurl = \"https://x.org\"\n",
    );
    let problems = bot.load().expect_err("both");
    assert_eq!(
        problems[0].message,
        "[bot] has both \"token\" and \"token_file\""
    );
}

#[test]
fn no_problem_and_no_debug_output_contains_the_token() {
    let texts = [
        // Misspelt, unclosed, multi-line, twice, wrong type, in the wrong place.
        format!("[bot]\ntokn = \"{TOKEN}\"\n"),
        format!("[bot]\ntoken = \"{TOKEN}\n"),
        format!("[bot]\ntoken = {TOKEN}\n"),
        format!("[bot]\ntoken = \"\"\"\n{TOKEN}\n"),
        format!("[bot]\ntoken = \"\"\"\n{TOKEN}\"\"\" x\n"),
        format!("[bot]\ntoken = \"{TOKEN}\"\ntoken = \"{TOKEN}\"\n"),
        format!("[bot]\ntoken = [\"{TOKEN}\"]\n"),
        format!("token = \"{TOKEN}\"\n"),
        format!("bot = {{ token = \"{TOKEN}\", nmae = \"x\" }}\n"),
        format!("[bot]\ntoken = \"Bot {TOKEN}\"\n[server]\nurl = \"https://x.org\"\n"),
        format!("[bot]\ntoken = \"{TOKEN}!\"\n[server]\nurl = \"https://x.org\"\nx = 1\n"),
        "[bot]\ntoken = \"${ARGON_TOKEN}\"\nname = \"my ${ARGON_TOKEN}\"\n[events]\nintents = [\"${ARGON_TOKEN}\"]\n".to_owned(),
        format!("[bot]\ntoken_file = \"{TOKEN}\"\n[server]\nurl = \"https://x.org\"\nlisten = 1\n"),
    ];
    for text in texts {
        let (output, count) = match Bot::new(&text).load() {
            Ok((config, problems)) => (format!("{config:?}{}", print(&problems)), problems.len()),
            Err(problems) => (format!("{problems:?}{}", print(&problems)), problems.len()),
        };
        assert!(count > 0, "nothing is wrong with {text}");
        for part in ["c2VjcmV0LXN", "0123456789abcdef01"] {
            assert!(!output.contains(part), "{output}");
        }
    }
    let (config, _) =
        good("[bot]\ntoken = \"${ARGON_TOKEN}\"\n[server]\nurl = \"https://x.org\"\n");
    assert!(!format!("{config:?}").contains("c2VjcmV0"));
}

#[test]
fn a_token_of_another_shape_is_a_warning() {
    let (_, warnings) = good("[bot]\ntoken = \"abc\"\n[server]\nurl = \"https://x.org\"\n");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].message, "the token does not look like one");
    assert!(!warnings[0].to_string().contains("abc"));
}

#[test]
fn warnings_do_not_stop_a_bot() {
    let (_, warnings) = good(
        "[bot]\ntoken = \"${ARGON_TOKEN}\"\n[server]\nurl = \"http://x.org\"\nlisten = \"127.0.0.1:1\"\n[events]\nintents = [\"members\"]\n",
    );
    let lines: Vec<_> = warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [4, 5, 7], "{}", print(&warnings));
}

#[test]
fn a_missing_scripts_folder_is_an_error_with_its_path() {
    let problems = bad("[scripts]\ndir = \"elsewhere\"\n");
    assert_eq!((problems[0].line, problems[0].column), (2, 7));
    assert!(problems[0].message.contains("elsewhere"), "{}", problems[0]);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let mut text = String::new();
    for section in keys::SECTIONS {
        text += &format!("[{}]\n", section.name.replace("NAME", "x"));
        for key in section.keys.iter().filter(|key| !key.default.is_empty()) {
            text += &format!("{} = {}\n", key.name, key.default);
        }
    }
    let bot = Bot::new(&text);
    let (spelt, _) = bot
        .load()
        .unwrap_or_else(|problems| panic!("{}", print(&problems)));
    bot.write("bot.toml", "");
    let (blank, _) = bot.load().expect("an empty file");
    assert_eq!(spelt.script["x"], config::Script::default());
    let shape = |mut config: Config| {
        config.script.clear();
        let text = format!("{config:?}");
        text.split("not_yet").next().unwrap_or_default().to_owned()
    };
    assert_eq!(shape(spelt), shape(blank));
}

#[test]
fn arguments_name_files_and_folders() {
    let bot = Bot::new("");
    bot.write("a.toml", "");
    bot.write("notes.txt", "");
    let folder = bot.folder.path().to_owned();
    let found = config::find(&[folder.clone(), folder.join("a.toml")]).expect("two files");
    assert_eq!(found, [folder.join("a.toml"), folder.join("bot.toml")]);
    let missing = config::find(&[folder.join("no.toml")]).expect_err("missing");
    assert!(
        missing.to_string().contains("no.toml does not exist"),
        "{missing}"
    );
    let empty = config::find(&[folder.join("scripts")]).expect_err("nothing in it");
    assert!(empty.to_string().contains("no *.toml file"), "{empty}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let problems = config::load(Path::new("/nowhere/bot.toml"), &env).expect_err("missing");
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0]
            .to_string()
            .starts_with("/nowhere/bot.toml: error: cannot be read")
    );
}
