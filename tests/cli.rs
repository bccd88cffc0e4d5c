//! The command line from the outside: what is printed where, and with which exit code it ends.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Process, Sim, World, bot, embedded_bot, run_embedded};

const ECHO: &str =
    "argon.on(\"messageCreate\", function(event) print(\"heard\") event:reply(\"here\") end)";

/// Runs a command that ends by itself.
fn host(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_argon-host"))
        .args(args)
        .current_dir(dir)
        .env_remove("RUST_LOG")
        .output()
        .expect("the binary starts")
}

fn all(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(text).expect("UTF-8")
}

#[track_caller]
fn ends(dir: &Path, args: &[&str], code: i32, says: &str) {
    let output = host(dir, args);
    let text = all(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}:\n{text}");
    assert!(
        text.contains(says),
        "{args:?} does not say {says:?}:\n{text}"
    );
    assert!(!text.contains("panicked"), "{args:?}:\n{text}");
}

#[test]
fn wrong_usage_and_wrong_configs_end_with_2_and_a_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    std::fs::write(dir.join("broken.toml"), "[bot\n").expect("a file");
    std::fs::create_dir(dir.join("empty")).expect("a folder");
    ends(dir, &[], 2, "Usage");
    ends(dir, &["frob"], 2, "unrecognized subcommand");
    ends(dir, &["run", "--nope"], 2, "unexpected argument");
    ends(dir, &["run"], 2, "create bot.toml");
    ends(dir, &["check"], 2, "create bot.toml");
    ends(
        dir,
        &["run", "no.toml"],
        2,
        "name a configuration file, or a folder",
    );
    ends(dir, &["run", "empty"], 2, "no *.toml file");
    ends(dir, &["run", "broken.toml"], 2, "broken.toml:1:5");
    ends(dir, &["--log", "x=y=z", "check"], 2, "log filter");
    ends(dir, &["sim", "--listen", "here"], 2, "--listen");
    ends(dir, &["--version"], 0, "argon-host");
    ends(dir, &["help"], 0, "Usage");
}

#[test]
fn a_scripts_folder_that_is_missing_is_found_by_check_and_stops_run() {
    for more in ["", "[scripts]\ndir = \"bots\"\n"] {
        let dir = embedded_bot(&[], more);
        std::fs::remove_dir(dir.path().join("scripts")).expect("the folder");
        ends(dir.path(), &["check"], 1, "does not exist");
        ends(dir.path(), &["run"], 2, "does not exist");
    }
}

#[test]
fn check_prints_its_findings_on_stdout_and_ends_with_1() {
    let dir = embedded_bot(&[("a.luau", "local x = = 1\n")], "");
    let output = host(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(stdout.contains("a.luau:1:11: error"), "{stdout}");
    assert_eq!(output.stderr, b"1 error\n");

    let dir = embedded_bot(&[("a.luau", "local unused = 1\n")], "");
    let output = host(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"1 warning\n");

    let dir = embedded_bot(&[("a.luau", "")], "");
    let output = host(dir.path(), &["check"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b""[..]));
    assert_eq!(output.stderr, b"no problems\n");
}

#[test]
fn an_address_in_use_ends_with_1_and_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let config = format!("[server]\nlisten = \"{address}\"\n");
    let dir = bot(&config, &[("a.luau", "")]);
    ends(dir.path(), &["run"], 1, &address);
    ends(
        dir.path(),
        &["sim", "--listen", &address],
        1,
        "choose another",
    );
}

#[test]
fn two_bots_with_one_token_are_refused() {
    let config = "[bot]\nname = \"NAME\"\ntoken = \"0123456789abcdef0123456789abcdef:c2VjcmV0\"\n[server]\nurl = \"http://127.0.0.1:1/\"\n";
    let dir = bot(&config.replace("NAME", "one"), &[("a.luau", "")]);
    let other = dir.path().join("other.toml");
    std::fs::write(other, config.replace("NAME", "two")).expect("a file");
    ends(dir.path(), &["run", "."], 2, "the same token");
    ends(dir.path(), &["check", "."], 1, "the same token");
    let said = all(&host(dir.path(), &["check", "."]));
    assert!(!said.contains("c2VjcmV0"), "{said}");
}

#[test]
fn two_bots_of_one_name_do_not_share_their_state() {
    let config = |state: &str| {
        let token = "0123456789abcdef0123456789abcdef:c2VjcmV0";
        format!(
            "[bot]\nname = \"one\"\ntoken = \"{state}{token}\"\n[server]\n\
             url = \"http://127.0.0.1:1/\"\n[state]\ndir = \"{state}\"\n"
        )
    };
    let dir = bot(&config("a"), &[("a.luau", "")]);
    let other = dir.path().join("other.toml");
    std::fs::write(&other, config("a").replace("\"a0", "\"b0")).expect("a file");
    ends(
        dir.path(),
        &["run", "."],
        2,
        "the state of both would be one file",
    );
    std::fs::write(&other, config("b")).expect("a file");
    ends(
        dir.path(),
        &["check", "."],
        0,
        "so that logs tell them apart",
    );
}

#[test]
fn two_bots_of_one_embedded_server_agree_on_its_seed_state_and_dialect() {
    for (key, one, two) in [
        ("chaos", "1", "2"),
        ("state", "'a.json'", "'b.json'"),
        ("dialect", "'server'", "'documented'"),
    ] {
        let config = |value| format!("[server]\nlisten = \"127.0.0.1:0\"\n{key} = {value}\n");
        let dir = bot(&config(one), &[("a.luau", "")]);
        std::fs::write(dir.path().join("other.toml"), config(two)).expect("a file");
        ends(dir.path(), &["run", "."], 2, &format!("another \"{key}\""));
    }
}

#[tokio::test]
async fn the_servers_ways_and_limits_are_chosen_on_the_command_line() {
    let sim = Sim::start_with(&["--replay", "documented", "--limits", "2"]).await;
    let world = World::at(&sim.base).await;
    let limits = world.get("limits").await;
    let interfaces = limits["bots"][0]["interfaces"].as_array().expect("a list");
    let mut messages = interfaces.iter();
    let messages = messages.find(|one| one["interface"] == "IMessages");
    // Twice as many as a verified bot's.
    assert_eq!(messages.expect("there")["limit"], 480);

    let dir = tempfile::tempdir().expect("a folder");
    for (option, value, expected) in [
        (
            "--dialect",
            "documnted",
            "possible values: server, documented",
        ),
        ("--replay", "never", "possible values: server, documented"),
        (
            "--limits",
            "none",
            "a number from 0.001 to 1000000, or \"off\"",
        ),
    ] {
        ends(dir.path(), &["sim", option, value], 2, expected);
    }
    let typo = bot("[server]\ndialect = \"documentd\"\n", &[]);
    ends(typo.path(), &["check"], 1, "did you mean \"documented\"?");
}

#[tokio::test]
async fn a_config_that_is_named_twice_is_one_bot() {
    let dir = embedded_bot(&[("a.luau", ECHO)], "");
    let whole = dir.path().join("bot.toml").display().to_string();
    let args = ["run", "bot.toml", "./bot.toml", ".", &whole];
    let mut process = Process::start(dir.path(), &args, &[]);
    process.line("live").await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    let output = process.output();
    assert_eq!(output.matches("signed in").count(), 1, "{output}");
}

#[tokio::test]
async fn a_script_that_does_not_load_leaves_the_others_alone() {
    let dir = embedded_bot(&[("bad.luau", "local x = = 1\n"), ("good.luau", ECHO)], "");
    let (process, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world.write(0, "general", "anybody?").await;
    assert_eq!(events.bot_message().await["text"], "here");
    let output = process.output();
    assert!(output.contains("bad.luau:1:"), "{output}");
    assert!(output.contains("1 script loaded: good"), "{output}");
}

#[tokio::test]
async fn every_line_of_the_json_log_is_an_object() {
    let script = r#"
        argon.log.warn("two\nlines", { level = "x", message = "y", ["with space"] = { 1 } })
        argon.on("messageCreate", function() error({ "odd" }) end)"#;
    let dir = embedded_bot(
        &[("a.luau", script), ("bad.luau", "= =")],
        "[script.ghost]\nenabled = true\n",
    );
    let json = ["--log-format", "json", "--log", "debug"];
    let mut process = Process::start(dir.path(), &[&json[..], &["run"]].concat(), &[]);
    process.line("\"live after").await;
    process.signal("HUP");
    process.line("SIGHUP").await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    for line in process.output().lines() {
        let object: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(line);
        assert!(object.is_ok(), "{line}");
    }
    assert!(
        process.output().contains("[script.ghost]"),
        "{}",
        process.output()
    );

    // What keeps it from starting is in the log as well.
    std::fs::write(dir.path().join("bot.toml"), "[bto]\n").expect("a file");
    for args in [["run", "bot.toml"], ["run", "no.toml"]] {
        let output = host(dir.path(), &[&json[..], &args].concat());
        assert_eq!(output.status.code(), Some(2));
        for line in all(&output).lines() {
            let object: Value = serde_json::from_str(line).expect(line);
            assert_eq!(object["level"], "ERROR");
        }
    }
    let output = all(&host(dir.path(), &[&json[..], &["run"]].concat()));
    let object: Value = serde_json::from_str(output.trim()).expect("one object");
    assert_eq!(object["line"], 1, "{object}");
    assert_eq!(object["file"], "bot.toml", "{object}");
    assert_eq!(object["help"], "did you mean \"bot\"?", "{object}");
}

#[tokio::test]
async fn a_second_ctrl_c_ends_at_once() {
    let slow = "argon.on(\"messageCreate\", function() print(\"begun\") task.wait(1e6) end)";
    let dir = embedded_bot(&[("slow.luau", slow)], "");
    let (mut process, world) = run_embedded(dir.path(), &[]).await;
    world.write(0, "general", "hold on").await;
    process.line("begun").await;
    process.signal("INT");
    process.line("once more to exit at once").await;
    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(130));
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_harms_nothing() {
    let dir = embedded_bot(&[("a.luau", ECHO)], "");
    let mut child = Command::new(env!("CARGO_BIN_EXE_argon-host"))
        .args(["run"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut next = |needle: &str| {
        log.by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains(needle))
            .expect("the line")
    };
    let line = next("playground at ");
    next("live");
    drop(log);
    let base = line.split("playground at ").nth(1).expect("an address");
    let world = World::at(base.trim()).await;
    let mut events = world.events().await;
    for _ in 0..2 {
        world.write(0, "general", "anybody?").await;
        assert_eq!(events.bot_message().await["text"], "here");
    }
    child.kill().expect("it still runs");
    child.wait().expect("its status");
}

#[test]
fn output_that_nobody_reads_is_no_crash() {
    let dir = embedded_bot(&[("a.luau", "= = =\n")], "");
    for (args, code) in [(&["types", "."][..], 0), (&["check"], 1)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_argon-host"))
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        drop(child.stdout.take());
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("UTF-8");
        let status = child.wait().expect("its status");
        assert_eq!(status.code(), Some(code), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_the_disk_does_not_take_is_a_failure() {
    let dir = embedded_bot(&[("a.luau", "= = =\n")], "");
    for args in [
        &["types", "."][..],
        &["check"],
        &["sim", "--listen", "127.0.0.1:0"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_argon-host"))
            .args(args)
            .current_dir(dir.path())
            .stdout(full.expect("a device that is full"))
            .output()
            .expect("the binary starts");
        let said = all(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.contains("cannot write to stdout: No space left"),
            "{said}"
        );
    }
}

#[test]
fn unverified_is_refused_for_a_bot_that_the_world_has_verified() {
    let dir = tempfile::tempdir().expect("a folder");
    let world =
        "[[space]]\nname = \"S\"\n[[space.channel]]\nname = \"c\"\n[[bot]]\nname = \"helper\"\n";
    std::fs::write(dir.path().join("world.toml"), world).expect("a file");
    let start = "sim --listen 127.0.0.1:0 --world world.toml --bot helper --unverified";
    let args: Vec<_> = start.split(' ').collect();
    ends(dir.path(), &args, 2, "set verified = false there");
}

#[test]
fn types_are_written_again_and_the_authors_settings_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    ends(dir.path(), &["types", "new/folder"], 0, "argon.d.luau");
    let folder = dir.path().join("new/folder");
    std::fs::write(folder.join(".luaurc"), "{}").expect("a file");
    std::fs::write(folder.join("argon.d.luau"), "old").expect("a file");
    ends(dir.path(), &["types", "new/folder"], 0, "kept");
    let read = |name| std::fs::read_to_string(folder.join(name)).expect("a file");
    assert_eq!(read(".luaurc"), "{}");
    assert!(read("argon.d.luau").contains("declare argon"));
}

#[tokio::test]
async fn an_embedded_server_is_not_looked_for_behind_a_proxy() {
    let dir = embedded_bot(&[("a.luau", ECHO)], "");
    let nowhere = "http://127.0.0.1:1";
    let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"];
    let env = proxies.map(|name| (name, nowhere));
    let mut process = Process::start(dir.path(), &["run"], &env);
    process.line("live").await;
}

#[tokio::test]
async fn a_remote_server_is_reached_through_the_proxy_of_the_environment() {
    // The server takes requests of the form that proxies get, so that it can stand for one.
    let sim = Sim::start().await;
    let token = &sim.token;
    let config = format!("[bot]\ntoken = \"{token}\"\n[server]\nurl = \"http://argon.invalid\"\n");
    let dir = bot(&config, &[("a.luau", ECHO)]);
    let mut process = Process::start(dir.path(), &["run"], &[("http_proxy", &sim.base)]);
    process.line("live").await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named() {
    let token = "0123456789abcdef0123456789abcdef:c2VjcmV0";
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let not_tls = format!("https://{}", plain.local_addr().expect("an address"));
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut socket, _)) = plain.accept().await {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for url in ["http://127.0.0.1:1", "http://argon.invalid", &not_tls] {
        let config = format!("[bot]\ntoken = \"{token}\"\n[server]\nurl = \"{url}\"\n");
        let dir = bot(&config, &[("a.luau", "")]);
        let mut process = Process::start(dir.path(), &["run"], &[]);
        let line = process.line("trying again").await;
        assert!(line.contains(url), "{line}");
        process.signal("TERM");
        assert_eq!(process.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn the_time_to_load_is_each_scripts_own() {
    let dir = embedded_bot(
        &[("slow.luau", "task.wait(1e6)"), ("good.luau", ECHO)],
        "[limits]\nload_time = \"10h\"\n[script.slow.limits]\nload_time = \"10ms\"\n",
    );
    let (process, _world) = run_embedded(dir.path(), &[]).await;
    assert!(process.output().contains("still runs after 0.01 s"));
}
