//! `argon-host kv export|import` and `argon-host failures`: a bot's state for people, as JSON lines.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, complain, environment, report, say};
use crate::config::{self, Config};
use crate::inbox::{self, KvEntry, View};
use crate::observe::LogFormat;

/// Recordings that `failures` shows.
const SHOWN: usize = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Act {
    /// Write every key of the bot's key-value stores to stdout, a JSON object a line.
    Export {
        /// The bot's config file.
        #[arg(default_value = "bot.toml")]
        config: PathBuf,
    },
    /// Store every key of such a file; the bot must not run.
    Import {
        /// The file, or - for stdin.
        file: PathBuf,
        /// The bot's config file.
        #[arg(default_value = "bot.toml")]
        config: PathBuf,
    },
}

pub(super) fn run(act: &Act, format: LogFormat) -> Result<(), Failure> {
    match act {
        Act::Export { config } => export(config, format),
        Act::Import { file, config } => import(file, config, format),
    }
}

/// The recordings of events whose handlers failed, newest first.
pub(super) fn failures(config: &Path, format: LogFormat) -> Result<(), Failure> {
    let config = load(config, format)?;
    let found = View::open(&path(&config)).and_then(|view| view.failures(SHOWN));
    for failure in found.map_err(|error| failed(error, format))? {
        say(failure, format)?;
    }
    Ok(())
}

fn export(config: &Path, format: LogFormat) -> Result<(), Failure> {
    let config = load(config, format)?;
    let mut said = Ok(());
    let print = |entry: KvEntry| {
        // Text and JSON always make JSON.
        if said.is_ok()
            && let Ok(line) = serde_json::to_string(&entry)
        {
            said = say(line, format);
        }
    };
    View::open(&path(&config))
        .and_then(|view| view.kv(print))
        .map_err(|error| failed(error, format))?;
    said
}

fn import(file: &Path, config: &Path, format: LogFormat) -> Result<(), Failure> {
    let config = load(config, format)?;
    let mut entries: Vec<KvEntry> = Vec::new();
    for (number, line) in lines(file, format)? {
        let place = format_args!("{}:{number}", file.display());
        let problem = |error| {
            let error = format_args!("{place}: this is no entry of a key-value store: {error}");
            failed(error, format)
        };
        entries.push(serde_json::from_str(&line).map_err(problem)?);
    }
    inbox::import_kv(&path(&config), &entries, config.state.kv)
        .map_err(|error| failed(error, format))?;
    say(format_args!("{} keys stored", entries.len()), format)
}

/// The lines of a text file that are not blank, with their numbers; `-` is stdin.
pub(super) fn lines(file: &Path, format: LogFormat) -> Result<Vec<(usize, String)>, Failure> {
    let unreadable = |error| {
        let error = format_args!("cannot read {}: {error}", file.display());
        failed(error, format)
    };
    let reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(
            std::fs::File::open(file).map_err(unreadable)?,
        ))
    };
    let numbered = (1..).zip(reader.lines());
    numbered
        .map(|(number, line)| line.map(|line| (number, line)))
        .filter(|line| {
            line.as_ref()
                .map_or(true, |(_, line)| !line.trim().is_empty())
        })
        .collect::<Result<_, _>>()
        .map_err(unreadable)
}

/// Where the bot's state is.
pub(super) fn path(config: &Config) -> PathBuf {
    inbox::path_in(&config.state.dir, &config.bot.name)
}

pub(super) fn load(path: &Path, format: LogFormat) -> Result<Config, Failure> {
    let problems = match config::load(path, &environment) {
        Ok((config, warnings)) => {
            report(&warnings, format);
            return Ok(config);
        }
        Err(problems) => problems,
    };
    report(&problems, format);
    Err(Failure::Usage)
}

pub(super) fn failed(error: impl std::fmt::Display, format: LogFormat) -> Failure {
    complain(error, format);
    Failure::Work
}
