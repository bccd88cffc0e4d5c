//! `argon-host replay`: recorded events run through the scripts as they are now, offline.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, kv, say};
use crate::app;
use crate::config::Config;
use crate::inbox::{Recording, Redaction, View};
use crate::observe::LogFormat;
use crate::script::Findings;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The id of an event that failed or is not finished; or a file with recordings, as `failures`
    /// prints them (- is stdin).
    what: String,
    /// The bot's config file.
    #[arg(default_value = "bot.toml")]
    config: PathBuf,
    /// Only the recordings of this script.
    #[arg(long, value_name = "NAME")]
    script: Option<String>,
}

pub(super) fn run(options: &Options, format: LogFormat) -> Result<(), Failure> {
    let config = kv::load(&options.config, format)?;
    let mut recordings = find(&config, &options.what, format)?;
    if let Some(script) = &options.script {
        recordings.retain(|recording| recording.script == *script);
    }
    if recordings.is_empty() {
        let what = &options.what;
        let error = match &options.script {
            Some(script) => format!("there is no recording of {what} by the script {script}"),
            None => format!(
                "there is no recording of {what}: recordings are kept of events whose handlers \
                 failed (`argon-host failures` shows them) and of those that are not finished"
            ),
        };
        return Err(kv::failed(error, format));
    }
    let runtime = super::runtime()?;
    let mut failed = 0;
    let all = recordings.len();
    for recording in recordings {
        let Recording {
            kind, id, script, ..
        } = &recording;
        tracing::info!(target: "replay", script = %script, "{kind} {id} begins");
        let verdict = match runtime.block_on(app::rehearse(&config, &recording)) {
            Ok(findings) => {
                failed += usize::from(!is_well(&findings));
                verdict(&recording, &findings)
            }
            Err(error) => {
                failed += 1;
                error.to_string()
            }
        };
        say(format_args!("{kind} {id}, {script}: {verdict}"), format)?;
    }
    if all > 1 {
        say(format_args!("{failed} of {all} failed"), format)?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Work),
    }
}

fn is_well(findings: &Findings) -> bool {
    findings.errors.is_empty()
        && findings.unanswered == 0
        && findings.waiting == 0
        && !findings.unhandled
}

/// What came of it, in a line and the errors.
fn verdict(recording: &Recording, findings: &Findings) -> String {
    let recorded = recording.errors.join("\n");
    let errors = findings.errors.join("\n");
    let mut verdict = match (errors.is_empty(), recorded.is_empty()) {
        _ if findings.unhandled => "the script has no handler for it".to_owned(),
        (true, true) => "no error".to_owned(),
        (true, false) => format!("no error; when it was recorded:\n{recorded}"),
        (false, true) => format!("failed:\n{errors}"),
        (false, false) if errors == recorded => {
            format!("failed as when it was recorded:\n{errors}")
        }
        (false, false) => {
            format!("failed:\n{errors}\nbut when it was recorded:\n{recorded}")
        }
    };
    if findings.unanswered > 0 {
        verdict.push_str(&format!(
            "\nquestions without an answer in the recording: {}",
            findings.unanswered
        ));
    }
    if findings.waiting > 0 {
        verdict.push_str(&format!(
            "\nhandlers that wait for something that the recording does not have: {}",
            findings.waiting
        ));
    }
    verdict
}

/// The recordings of a file, or of an event in the bot's state.
fn find(config: &Config, what: &str, format: LogFormat) -> Result<Vec<Recording>, Failure> {
    let texts: Vec<(String, String)> = if what == "-" || Path::new(what).is_file() {
        let lines = kv::lines(Path::new(what), format)?.into_iter();
        lines
            .map(|(number, line)| (format!("{what}:{number}"), line))
            .collect()
    } else {
        let redaction = Redaction::new(config.state.redact.iter().cloned());
        let found = View::open(&kv::path(config))
            .and_then(|mut view| view.recordings(what, &redaction))
            .map_err(|error| kv::failed(error, format))?;
        found
            .into_iter()
            .map(|text| (what.to_owned(), text))
            .collect()
    };
    let read = |(place, text): (String, String)| {
        serde_json::from_str(&text).map_err(|error| {
            let error = format!("{place}: this is no recording of an event: {error}");
            kv::failed(error, format)
        })
    };
    texts.into_iter().map(read).collect()
}
