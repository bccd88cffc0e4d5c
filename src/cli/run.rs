//! `argon-host run`: the bots of all given configs in one process.

use std::path::PathBuf;

use super::{Failure, complain, environment, report};
use crate::app::{self, Shutdown};
use crate::check;
use crate::config;
use crate::observe::LogFormat;

pub(super) fn run(paths: &[PathBuf], format: LogFormat) -> Result<(), Failure> {
    let paths = config::find(paths).map_err(|error| {
        complain(error, format);
        Failure::Usage
    })?;

    // Every config is read before any bot starts, so that one mistake does not leave half of them up.
    let mut configs = Vec::new();
    let mut failed = false;
    for path in &paths {
        match config::load(path, &environment) {
            Ok((config, mut warnings)) => {
                warnings.extend(check::faults(&config));
                failed |= report(&warnings, format);
                configs.push(config);
            }
            Err(problems) => failed |= report(&problems, format),
        }
    }
    failed |= report(&config::conflicts(&configs), format);
    if failed {
        return Err(Failure::Usage);
    }

    super::block_on(async {
        let shutdown = Shutdown::on_signals();
        app::run(configs, shutdown).await.map_err(|error| {
            tracing::error!("{error}");
            Failure::Work
        })
    })
}
