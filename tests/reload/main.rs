//! Reloading, through the real binary: a script is edited while its bot runs.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod editors;
mod folder;
mod handover;
#[cfg(unix)]
mod links;
mod polled;
mod stress;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{Events, Process, World, embedded_bot, run_embedded};

/// How much longer than it means to a writer may pause.
const HELD_UP: Duration = Duration::from_millis(140);

/// A running bot whose scripts are edited.
struct Bench {
    dir: tempfile::TempDir,
    host: Process,
    world: World,
    events: Events,
}

impl Bench {
    async fn start(scripts: &[(&str, &str)]) -> Self {
        Self::start_with(scripts, "").await
    }

    async fn start_with(scripts: &[(&str, &str)], config: &str) -> Self {
        let dir = embedded_bot(scripts, config);
        let (host, world) = run_embedded(dir.path(), &["--log", "info,reload=debug"]).await;
        let events = world.events().await;
        Self {
            dir,
            host,
            world,
            events,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("scripts").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// What the bot answers to a message.
    async fn answer(&mut self, message: &str) -> String {
        self.world.write(0, "general", message).await;
        let answer = self.events.bot_message().await;
        answer["text"].as_str().expect("text").to_owned()
    }

    /// Waits until the output has this text, whether it came before or comes now.
    async fn said(&mut self, text: &str) {
        while self.count(text) == 0 {
            self.host.line("").await;
        }
    }

    /// Waits until the event stream has been connected so often: the first time at the start, in whatever order
    /// with the line that says that the bot is live; again for each new intent.
    async fn connected(&mut self, times: usize) {
        while self.count("the event stream is connected") < times {
            self.host.line("").await;
        }
    }

    /// Waits until so many new versions of a script have begun to run. A load that a further touch of the
    /// file has overtaken takes a number of its own, so that the numbers of versions say less.
    async fn reloaded(&mut self, script: &str, times: usize) {
        while self.reloads(script) < times {
            self.host.line("runs, after").await;
        }
        assert_eq!(self.reloads(script), times, "{}", self.host.output());
    }

    fn reloads(&self, script: &str) -> usize {
        self.count_in(&format!("demo/{script}: version"), "runs, after")
    }

    /// How many lines have both texts.
    fn count_in(&self, one: &str, other: &str) -> usize {
        let output = self.host.output();
        let both = output
            .lines()
            .filter(|line| line.contains(one) && line.contains(other));
        both.count()
    }

    /// How often a text is in the output.
    fn count(&self, text: &str) -> usize {
        self.host.output().matches(text).count()
    }
}

/// A script that answers every message with this text.
fn answering(text: &str) -> String {
    format!("argon.on(\"messageCreate\", function(event)\n\tevent:reply(\"{text}\")\nend)\n")
}

/// Writes a text in five steps with a pause behind each, as a slow writer. On a busy machine the writer itself
/// may be held up for so long that it has to be taken for one that has finished: then all is done anew, with
/// another bot.
async fn in_steps<W: FnMut(&[u8])>(
    text: &str,
    pause: Duration,
    start: impl AsyncFn() -> (Bench, W),
) -> Bench {
    for _ in 0..5 {
        let (bench, mut write) = start().await;
        let mut longest = Duration::ZERO;
        let mut last = Instant::now();
        for part in text.as_bytes().chunks(text.len() / 5 + 1) {
            write(part);
            longest = longest.max(last.elapsed());
            last = Instant::now();
            std::thread::sleep(pause);
        }
        drop(write);
        if longest < pause + HELD_UP {
            return bench;
        }
    }
    panic!("the machine is too busy for a writer that pauses for {pause:?}");
}

/// Runs a program to its end.
fn run(program: &str, args: &[&str], dir: &Path) {
    let output = std::process::Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}: run the test command of the README, which installs it")
        });
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}
