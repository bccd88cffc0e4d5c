//! `argon-host types`: writes the definitions that editors complete and check scripts with.

use std::fs;
use std::path::Path;

use super::{Failure, complain, say};
use crate::definitions;
use crate::observe::LogFormat;

pub(super) fn run(dir: &Path, format: LogFormat) -> Result<(), Failure> {
    let fail = |path: &Path, error: std::io::Error| {
        complain(
            format_args!("cannot write {}: {error}", path.display()),
            format,
        );
        Failure::Work
    };
    fs::create_dir_all(dir).map_err(|error| fail(dir, error))?;
    for (name, text) in [
        ("argon.d.luau", definitions::luau()),
        (".luaurc", definitions::luaurc()),
    ] {
        let path = dir.join(name);
        // A .luaurc may hold the author's own settings.
        if name == ".luaurc" && path.exists() {
            say(format_args!("kept   {}", path.display()));
            continue;
        }
        fs::write(&path, text).map_err(|error| fail(&path, error))?;
        say(format_args!("wrote  {}", path.display()));
    }
    Ok(())
}
