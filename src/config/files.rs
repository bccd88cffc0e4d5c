//! From the arguments of the command line to the files that describe bots.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// Why the configuration files could not be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No argument was given, and there is no `bot.toml` here.
    #[error(
        "there is no bot.toml in this folder\n  help: name a configuration file, or create bot.toml; two lines are enough:\n        [server]\n        url = \"embedded\""
    )]
    NoDefault,
    /// A named file does not exist.
    #[error("{} does not exist\n  help: name a configuration file, or a folder with *.toml files in it", .0.display())]
    Missing(PathBuf),
    /// A named folder holds no configuration.
    #[error("there is no *.toml file in the folder {}", .0.display())]
    EmptyFolder(PathBuf),
    /// A folder cannot be read.
    #[error("the folder {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The configuration files that the arguments name: `bot.toml` without arguments; a folder means every
/// `*.toml` directly in it, by name. A file that is named twice, however it is written, comes once.
pub fn find(args: &[PathBuf]) -> Result<Vec<PathBuf>, FindError> {
    if args.is_empty() {
        let default = PathBuf::from("bot.toml");
        return if default.is_file() {
            Ok(vec![default])
        } else {
            Err(FindError::NoDefault)
        };
    }
    let mut files: Vec<PathBuf> = Vec::new();
    let mut known = HashSet::new();
    for arg in args {
        let found = if arg.is_dir() {
            in_folder(arg)?
        } else if arg.exists() {
            vec![arg.clone()]
        } else {
            return Err(FindError::Missing(arg.clone()));
        };
        for file in found {
            // What has no canonical form is reported when it is read.
            if known.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, FindError> {
    let unreadable = |source| FindError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(FindError::EmptyFolder(folder.to_owned()));
    }
    files.sort();
    Ok(files)
}
