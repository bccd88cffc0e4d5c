//! The code blocks of the README and the reference work as they stand.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use argon_host::{config, sim};
use support::{Process, embedded_bot, run_embedded};

const PAGES: &[&str] = &["README.md", "stdlib/REFERENCE.md", "scripts/README.md"];

/// A fenced block of a page.
struct Block {
    place: String,
    language: String,
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn blocks(language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(tag)) => {
                    open = Some(Block {
                        place: format!("{page}:{}", index + 1),
                        language: tag.to_owned(),
                        code: String::new(),
                    });
                }
                (Some(_), Some(_)) => found.extend(open.take()),
                (Some(block), None) => {
                    block.code.push_str(line);
                    block.code.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{page} has a block without an end");
    }
    found.retain(|block| block.language == language);
    assert!(!found.is_empty(), "no {language} block was found");
    found
}

#[tokio::test]
async fn every_luau_block_passes_check_and_loads() {
    let mut scripts = Vec::new();
    let mut places = String::new();
    for (index, block) in blocks("luau").into_iter().enumerate() {
        let name = format!("block{index}");
        places.push_str(&format!("{name}.luau is {}\n", block.place));
        // Several blocks may register the same command: each is a bot of its own.
        scripts.push((format!("{name}.luau"), block.code));
    }

    for (name, code) in &scripts {
        // The hosts that the pages call are named beside the blocks.
        let script = name.trim_end_matches(".luau");
        let config = format!("[script.{script}]\nhttp = [\"api.example.com\"]\n");
        let dir = embedded_bot(&[(name, code)], &config);
        let mut check = Process::start(dir.path(), &["check"], &[]);
        let status = check.ended().await;
        assert_eq!(status.code(), Some(0), "{}\n{places}", check.output());
        assert!(
            !check.output().contains("warning:"),
            "{}\n{places}",
            check.output()
        );

        let (host, _world) = run_embedded(dir.path(), &[]).await;
        let output = host.output();
        for (level, own) in [("ERROR", "log.error"), ("WARN", "log.warn")] {
            let unexpected = output.contains(level) && !code.contains(own);
            assert!(!unexpected, "{output}\n{places}");
        }
    }
}

/// Whether a TOML block is a world file rather than a bot's config.
fn is_world(block: &Block) -> bool {
    block.code.contains("[[space]]")
}

/// The world file of the README.
fn world() -> Block {
    let mut worlds = blocks("toml").into_iter().filter(is_world);
    worlds.next().expect("the README shows a world file")
}

#[test]
fn the_world_file_of_the_readme_loads() {
    let block = world();
    let plan = sim::parse_world(Path::new(&block.place), &block.code);
    let plan = plan.unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(!plan.people.is_empty() && !plan.bots.is_empty());
}

#[test]
fn every_toml_block_is_a_valid_config() {
    for block in blocks("toml").into_iter().filter(|block| !is_world(block)) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("bot.toml");
        fs::write(&path, &block.code).expect("a file");
        fs::create_dir(dir.path().join("scripts")).expect("a folder");
        let token = "00112233445566778899aabbccddeeff:ZXhhbXBsZQ".to_owned();
        let env = |name: &str| (name == "ARGON_TOKEN").then(|| token.clone());
        if let Err(problems) = config::load(&path, &env) {
            let all: String = problems
                .iter()
                .map(|problem| format!("{problem}\n"))
                .collect();
            panic!("{}:\n{all}", block.place);
        }
    }
}

#[tokio::test]
async fn every_argon_host_command_of_the_pages_works() {
    let mut seen = 0;
    for block in blocks("sh") {
        for line in block.code.lines() {
            let Some((_, arguments)) = line.split_once("argon-host ") else {
                continue;
            };
            seen += 1;
            let dir = embedded_bot(&[("a.luau", "")], "");
            fs::copy(dir.path().join("bot.toml"), dir.path().join("greeter.toml")).expect("a copy");
            fs::write(dir.path().join("world.toml"), world().code).expect("a world");
            fs::create_dir(dir.path().join("bots")).expect("a folder");
            fs::write(
                dir.path().join("bots/one.toml"),
                "[server]\nurl = \"embedded\"\nlisten = \"127.0.0.1:0\"\n[scripts]\ndir = \"../scripts\"\n",
            )
            .expect("a config");
            let arguments = arguments.replace("127.0.0.1:7400", "127.0.0.1:0");
            let arguments: Vec<&str> = arguments.split_whitespace().collect();
            let token = "00112233445566778899aabbccddeeff:ZXhhbXBsZQ";
            let mut process = Process::start(dir.path(), &arguments, &[("ARGON_TOKEN", token)]);
            match arguments[0] {
                "run" => drop(process.line("live").await),
                "sim" => drop(process.line("token").await),
                _ => {
                    let status = process.ended().await;
                    assert_eq!(status.code(), Some(0), "{line}\n{}", process.output());
                }
            }
        }
    }
    assert!(seen > 0, "the pages show no command");
}

#[test]
fn the_first_command_names_what_is_there() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let command = readme
        .split("<!-- run-command -->")
        .nth(1)
        .and_then(|rest| rest.split("```").nth(1))
        .and_then(|block| block.strip_prefix("sh\n"))
        .expect("a run command");
    let command = command.trim();
    assert!(command.ends_with("; cargo run --release -- run bot.toml"));
    assert_eq!(command.lines().count(), 1);
    assert!(Path::new(&root().join("bot.toml")).exists());
}

#[test]
fn every_metric_that_the_readme_names_exists() {
    let text = fs::read_to_string(root().join("README.md")).expect("the README");
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let named: Vec<_> = text
        .split(|c| !word(c))
        .filter(|word| {
            ["stream", "inbox", "rest", "script", "voice", "kv"]
                .iter()
                .any(|room| word.starts_with(&format!("argon_{room}_")))
        })
        .collect();
    assert!(named.len() > 3, "{named:?}");
    for name in named {
        let known = argon_host::admin::metrics::METRICS.iter();
        assert!(known.clone().any(|metric| metric.name == name), "{name}");
    }
}
