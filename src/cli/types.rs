//! `argon-host types`: writes the definitions that editors complete and check scripts with, and the
//! modules of `@std`, whose types are in their text.

use std::fs;
use std::path::Path;

use super::{Failure, complain, say};
use crate::observe::LogFormat;
use crate::{definitions, modules};

pub(super) fn run(dir: &Path, format: LogFormat) -> Result<(), Failure> {
    let fail = |path: &Path, error: std::io::Error| {
        complain(
            format_args!("cannot write {}: {error}", path.display()),
            format,
        );
        Failure::Work
    };
    fs::create_dir_all(dir).map_err(|error| fail(dir, error))?;
    let std = dir.join(definitions::STD_FOLDER);
    fs::create_dir_all(&std).map_err(|error| fail(&std, error))?;
    for module in modules::STD {
        let path = std.join(format!("{}.luau", module.name));
        fs::write(&path, module.source).map_err(|error| fail(&path, error))?;
        say(format_args!("wrote  {}", path.display()), format)?;
    }
    for (name, text) in [
        (
            "argon.d.luau",
            definitions::luau(definitions::Reader::Editor),
        ),
        (".luaurc", definitions::luaurc()),
    ] {
        let path = dir.join(name);
        // A .luaurc may hold the author's own settings.
        if name == ".luaurc" && path.exists() {
            say(format_args!("kept   {}", path.display()), format)?;
            continue;
        }
        fs::write(&path, text).map_err(|error| fail(&path, error))?;
        say(format_args!("wrote  {}", path.display()), format)?;
    }
    Ok(())
}
