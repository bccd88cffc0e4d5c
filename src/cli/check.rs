//! `argon-host check`: finds mistakes in config and scripts without connecting.

use std::path::PathBuf;

use super::{Failure, environment, print_problems};
use crate::check;
use crate::config::Severity;

pub(super) fn run(configs: &[PathBuf]) -> Result<(), Failure> {
    let paths = crate::config::find(configs).map_err(|error| {
        eprintln!("argon-host: {error}");
        Failure::Usage
    })?;
    let problems = check::run(&paths, &environment);
    let failed = print_problems(&problems);
    let errors = problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .count();
    match (errors, problems.len() - errors) {
        (0, 0) => eprintln!("no problems"),
        (errors, warnings) => eprintln!("{errors} errors, {warnings} warnings"),
    }
    if failed { Err(Failure::Work) } else { Ok(()) }
}
