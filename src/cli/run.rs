//! `argon-host run`: the bots of all given configs in one process.

use std::path::PathBuf;

use super::{Failure, environment, print_problems};
use crate::app::{self, Shutdown};
use crate::config;

pub(super) fn run(paths: &[PathBuf]) -> Result<(), Failure> {
    let paths = config::find(paths).map_err(|error| {
        eprintln!("argon-host: {error}");
        Failure::Usage
    })?;

    // Every config is read before any bot starts, so that one mistake does not leave half of them up.
    let mut configs = Vec::new();
    let mut failed = false;
    for path in &paths {
        match config::load(path, &environment) {
            Ok((config, mut warnings)) => {
                warnings.extend(config.not_yet());
                failed |= print_problems(&warnings);
                configs.push(config);
            }
            Err(problems) => failed |= print_problems(&problems),
        }
    }
    if failed {
        return Err(Failure::Usage);
    }

    super::runtime()?.block_on(async {
        let shutdown = Shutdown::on_signals();
        app::run(configs, shutdown).await.map_err(|error| {
            tracing::error!("{error}");
            Failure::Work
        })
    })
}
