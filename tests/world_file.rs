//! `argon-host sim --world`: a world from a file, through the real binary.

mod support;

use serde_json::{Value, json};
use support::{Process, World, bot};

const HELPER: &str = "0123456789abcdef0123456789abcdef:aGVscGVy";
const QUIET: &str = "fedcba9876543210fedcba9876543210:cXVpZXQ";

fn world_file() -> String {
    format!(
        r##"
        [[space]]
        name = "Workshop"
        [[space.channel]]
        name = "general"
        [[space.channel]]
        name = "radio"
        type = "voice"
        [[space.archetype]]
        name = "builder"
        colour = "#2ecc71"

        [[space]]
        name = "Attic"
        [[space.channel]]
        name = "boxes"

        [[person]]
        name = "Grace"
        archetypes = ["builder"]
        [[person]]
        name = "Hedy"
        spaces = ["Workshop"]

        [[bot]]
        name = "helper"
        token = "{HELPER}"
        spaces = ["Workshop"]
        [[bot]]
        name = "quiet"
        token = "{QUIET}"
        verified = false
        entitlements = ["viewChannel"]
        "##
    )
}

struct Sim {
    process: Process,
    world: World,
    base: String,
    _dir: tempfile::TempDir,
}

async fn start(file: &str, more: &[&str]) -> Sim {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("world.toml"), file).expect("a file");
    let args = ["sim", "--listen", "127.0.0.1:0", "--world", "world.toml"];
    let mut process = Process::start(dir.path(), &[&args, more].concat(), &[]);
    let line = process.line("base url").await;
    let base = line
        .split_whitespace()
        .last()
        .expect("an address")
        .to_owned();
    Sim {
        world: World::at(&base).await,
        process,
        base,
        _dir: dir,
    }
}

fn names<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|item| item[key].as_str().expect("a name"))
        .collect()
}

async fn status(base: &str, token: &str, route: &str) -> u16 {
    let request = reqwest::Client::new()
        .get(format!("{base}/{route}"))
        .header("Authorization", format!("Bot {token}"));
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn the_world_is_as_the_file_says() {
    let sim = start(&world_file(), &[]).await;
    let state = sim.world.get("state").await;
    assert_eq!(names(&state["spaces"], "name"), ["Workshop", "Attic"]);
    let [workshop, attic] = [&state["spaces"][0], &state["spaces"][1]];
    assert_eq!(names(&workshop["channels"], "name"), ["general", "radio"]);
    assert_eq!(names(&workshop["channels"], "type"), ["text", "voice"]);
    assert_eq!(
        names(&workshop["archetypes"], "name"),
        ["everyone", "builder"]
    );
    assert_eq!(workshop["archetypes"][1]["colour"], 0x2e_cc_71);
    let members = names(&workshop["members"], "username");
    assert_eq!(members, ["grace", "hedy", "helperbot", "quietbot"]);
    assert_eq!(names(&attic["members"], "username"), ["grace", "quietbot"]);
    let archetypes = |n: usize| {
        workshop["members"][n]["archetypeIds"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!((archetypes(0), archetypes(1)), (Some(2), Some(1)));

    assert_eq!(status(&sim.base, HELPER, "IBotSelf/v1/GetMe").await, 200);
    // Members are a privileged intent: for the verified bot only.
    let privileged = "IEvents/v1/Stream?intents=2";
    assert_eq!(status(&sim.base, HELPER, privileged).await, 200);
    assert_eq!(status(&sim.base, QUIET, privileged).await, 403);
}

#[tokio::test]
async fn several_bots_log_in_and_a_missing_entitlement_is_missed() {
    let sim = start(&world_file(), &[]).await;
    let script = r#"
        argon.on("messageCreate", function(event)
            local ok, failure: any = pcall(function() event:reply("here") end)
            print(if ok then "said it" else `refused: {failure.code}`)
        end)
    "#;
    let config = format!(
        "[bot]\ntoken = \"${{ARGON_TOKEN}}\"\n[server]\nurl = \"{}\"\n",
        sim.base
    );
    let dir = bot(&config, &[("answer.luau", script)]);
    // Each keeps its state in a folder of its own.
    let other = bot(&config, &[("answer.luau", script)]);
    let mut helper = Process::start(dir.path(), &["run"], &[("ARGON_TOKEN", HELPER)]);
    let mut quiet = Process::start(other.path(), &["run"], &[("ARGON_TOKEN", QUIET)]);
    helper.line("live").await;
    quiet.line("live").await;
    sim.world.write(0, "general", "anybody?").await;
    helper.line("said it").await;
    quiet.line("refused: insufficient_permissions").await;
}

#[tokio::test]
async fn bots_of_the_command_line_come_into_the_first_space() {
    let mut sim = start(&world_file(), &["--bot", "extra", "--unverified"]).await;
    sim.process.line("extrabot").await;
    let state = sim.world.get("state").await;
    assert!(names(&state["spaces"][0]["members"], "username").contains(&"extrabot"));
    assert!(!names(&state["spaces"][1]["members"], "username").contains(&"extrabot"));
    assert!(sim.process.output().contains(HELPER), "tokens are printed");

    let mut alone = start("[[space]]\nname = \"Empty\"\n", &[]).await;
    alone.process.line("demobot").await;
}

#[tokio::test]
async fn ids_are_the_same_in_every_run() {
    let (first, second) = (
        start(&world_file(), &[]).await,
        start(&world_file(), &[]).await,
    );
    let first = first.world.get("state").await;
    assert_eq!(first, second.world.get("state").await);
    assert_ne!(first["spaces"], json!([]));
}

#[tokio::test]
async fn a_mistake_in_the_file_is_wrong_usage_with_its_place_and_the_way_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = "[[space]]\nname = \"Home\"\n[[space.chanel]]\nname = \"hall\"\n";
    std::fs::write(dir.path().join("world.toml"), file).expect("a file");
    let mut sim = Process::start(dir.path(), &["sim", "--world", "world.toml"], &[]);
    sim.line("world.toml:3:9: error: unknown key \"chanel\" in [[space]]")
        .await;
    sim.line("did you mean \"channel\"?").await;
    assert_eq!(sim.ended().await.code(), Some(2));

    let mut sim = Process::start(dir.path(), &["sim", "--world", "none.toml"], &[]);
    sim.line("none.toml: error: cannot be read").await;
    assert_eq!(sim.ended().await.code(), Some(2));
}

#[tokio::test]
async fn channels_of_the_file_have_rules_of_their_own() {
    let file = format!(
        r#"
        [[space]]
        name = "Workshop"
        [[space.archetype]]
        name = "builder"
        [[space.channel]]
        name = "board"
        slow_mode = "1m"
        [[space.channel.override]]
        archetype = "everyone"
        deny = ["sendMessages"]
        [[space.channel.override]]
        archetype = "builder"
        allow = ["sendMessages"]

        [[person]]
        name = "Grace"
        archetypes = ["builder"]
        [[person]]
        name = "Hedy"

        [[bot]]
        name = "helper"
        token = "{HELPER}"
        archetypes = ["builder"]
        requires = ["viewChannel"]
        [[bot]]
        name = "quiet"
        token = "{QUIET}"
        "#
    );
    let sim = start(&file, &[]).await;
    let send = async |token: &str, random: i64| {
        let body =
            json!({"channelId": sim.world.channel("board"), "text": "x", "randomId": random});
        let request = reqwest::Client::new()
            .post(format!("{}/IMessages/v1/Send", sim.base))
            .header("Authorization", format!("Bot {token}"))
            .header("Content-Type", "application/json")
            .body(body.to_string());
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(send(HELPER, 1).await, 200);
    assert_eq!(send(HELPER, 2).await, 500, "the channel is slow");
    assert_eq!(send(QUIET, 3).await, 403, "not a builder");
    sim.world.write(0, "board", "Grace may").await;

    let broken = "[[space]]\nname = \"W\"\n[[space.channel]]\nname = \"b\"\nslow_mode = \"long\"\n\
                  [[space.channel.override]]\narchetype = \"bilder\"\ndeny = [\"sendMesages\"]\n";
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("world.toml"), broken).expect("a file");
    let mut refused = Process::start(dir.path(), &["sim", "--world", "world.toml"], &[]);
    assert_eq!(refused.ended().await.code(), Some(2));
    let output = refused.output();
    for expected in [
        "world.toml:5:13: error: \"slow_mode\" in [[space.channel]] is no duration",
        "world.toml:7:13: error: there is no archetype \"bilder\"",
        "world.toml:8:9: error: there is no entitlement \"sendMesages\"",
    ] {
        assert!(output.contains(expected), "{output}");
    }
}
