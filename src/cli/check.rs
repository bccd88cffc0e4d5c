//! `argon-host check`: finds mistakes in config and scripts without connecting.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Failure, complain, environment, say};
use crate::check;
use crate::observe::LogFormat;

pub(super) fn run(configs: &[PathBuf], format: LogFormat) -> Result<(), Failure> {
    let paths = crate::config::find(configs).map_err(|error| {
        complain(error, format);
        Failure::Usage
    })?;
    let problems = check::run(&paths, &environment);
    for problem in &problems {
        say(problem, format)?;
    }
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let parts = [(errors, "error"), (problems.len() - errors, "warning")];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts
        .map(|(count, what)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    let summary = match parts.is_empty() {
        true => "no problems".to_owned(),
        false => parts.join(", "),
    };
    // The findings are the result, on stdout; how many they are is for who looks on.
    let _ = writeln!(io::stderr(), "{summary}");
    if errors > 0 {
        Err(Failure::Work)
    } else {
        Ok(())
    }
}
