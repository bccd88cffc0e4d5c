//! Paths that scripts name: inside the bot's folder, whatever links are in between.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Extensions of recordings.
const EXTENSIONS: [&str; 2] = ["ogg", "opus"];

/// Why a path may not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It leads out.
    #[error("{path:?} is outside the bot's folder: only files in it can be played and written")]
    Outside {
        /// As the script named it.
        path: String,
    },
    /// No recording can have that name.
    #[error("{path:?} cannot be recorded to: the name must end in \".ogg\" or \".opus\"")]
    Extension {
        /// As the script named it.
        path: String,
    },
    /// It is in what people and programs keep out of sight, the host's own state too.
    #[error(
        "{path:?} cannot be recorded to: {part:?} is hidden, because it begins with a dot; choose another \
         folder or name"
    )]
    Hidden {
        /// As the script named it.
        path: String,
        /// The folder or file, without the links in between.
        part: String,
    },
    /// It is not there, or cannot be looked at.
    #[error("{path:?}: {source}")]
    Io {
        /// As the script named it.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A file to read. `root` is canonical.
///
/// # Errors
/// When it is not there, or is outside of `root`, also by a symbolic link.
pub fn existing(root: &Path, path: &str) -> Result<PathBuf, Error> {
    inside(root, path, plain(root, path)?.canonicalize())
}

/// A file to record to: its folder is there; if it is there itself, it is a file. Only names of recordings
/// are let through, so that a script cannot write over the bot's configuration, scripts or state; what is
/// written over is looked at when the file is opened.
///
/// # Errors
/// When it would be outside of `root` or hidden there, its folder is not there, or the name is none of a
/// recording.
pub fn writable(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let wanted = plain(root, path)?;
    let extension = wanted.extension().unwrap_or_default();
    if !EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
    {
        return Err(Error::Extension {
            path: path.to_owned(),
        });
    }
    let (Some(folder), Some(name)) = (wanted.parent(), wanted.file_name()) else {
        return Err(outside(path));
    };
    let file = inside(root, path, folder.canonicalize())?.join(name);
    if let Some(part) = hidden(root, &file) {
        return Err(Error::Hidden {
            path: path.to_owned(),
            part,
        });
    }
    match file.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(Error::Io {
            path: path.to_owned(),
            source: io::Error::other("it is there and no file"),
        }),
        _ => Ok(file),
    }
}

/// The first part of a path below `root` that begins with a dot.
fn hidden(root: &Path, file: &Path) -> Option<String> {
    let below = file.strip_prefix(root).unwrap_or(file);
    below
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .find(|part| part.starts_with('.'))
}

/// The path without a way out by its own words; links are looked at later.
fn plain(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let relative = Path::new(path);
    let normal = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.is_empty() || path.contains('\0') || !relative.components().all(normal) {
        return Err(outside(path));
    }
    Ok(root.join(relative))
}

fn inside(root: &Path, path: &str, real: io::Result<PathBuf>) -> Result<PathBuf, Error> {
    let real = real.map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    if real.starts_with(root) {
        Ok(real)
    } else {
        Err(outside(path))
    }
}

fn outside(path: &str) -> Error {
    Error::Outside {
        path: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, existing, writable};

    #[test]
    fn only_what_is_inside_can_be_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let all = dir.path().canonicalize().expect("a path");
        let root = all.join("bot");
        std::fs::create_dir_all(root.join("audio")).expect("a folder");
        std::fs::write(root.join("audio/a.ogg"), "x").expect("a file");
        std::fs::write(all.join("secret"), "x").expect("a file");
        assert!(existing(&root, "audio/a.ogg").is_ok());
        assert!(existing(&root, "./audio/a.ogg").is_ok());
        assert!(writable(&root, "audio/new.ogg").is_ok());
        assert!(matches!(
            existing(&root, "audio/b.ogg"),
            Err(Error::Io { .. })
        ));
        assert!(matches!(
            writable(&root, "none/new.ogg"),
            Err(Error::Io { .. })
        ));
        std::fs::create_dir(root.join("folder.ogg")).expect("a folder");
        assert!(matches!(
            writable(&root, "folder.ogg"),
            Err(Error::Io { .. })
        ));
        let absolute = all.join("secret");
        let absolute = absolute.to_str().expect("text");
        for path in ["../secret", "audio/../../secret", absolute, "", "a\0b"] {
            assert!(
                matches!(existing(&root, path), Err(Error::Outside { .. })),
                "{path:?}"
            );
            assert!(
                matches!(writable(&root, path), Err(Error::Outside { .. })),
                "{path:?}"
            );
        }
    }

    #[test]
    fn only_names_of_recordings_can_be_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("a path");
        for folder in ["scripts", ".argon", "audio/.old"] {
            std::fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        for path in ["a.ogg", "./a.Opus", "audio/a.b.OGG", "scripts/a.ogg"] {
            assert!(writable(&root, path).is_ok(), "{path}");
        }
        for path in [
            "bot.toml",
            "scripts/other.luau",
            ".argon/demo.db",
            "audio",
            "ogg",
            ".ogg",
            "a.ogg.db",
        ] {
            let refused = writable(&root, path);
            assert!(
                matches!(refused, Err(Error::Extension { .. })),
                "{path}: {refused:?}"
            );
        }
        for path in [".a.ogg", ".argon/a.ogg", "audio/.old/a.opus"] {
            let refused = writable(&root, path);
            assert!(
                matches!(refused, Err(Error::Hidden { .. })),
                "{path}: {refused:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let all = dir.path().canonicalize().expect("a path");
        let root = all.join("bot");
        std::fs::create_dir_all(&root).expect("a folder");
        std::fs::write(all.join("secret"), "x").expect("a file");
        symlink(all.join("secret"), root.join("file")).expect("a link");
        symlink(&all, root.join("folder")).expect("a link");
        symlink(all.join("secret"), root.join("file.ogg")).expect("a link");
        std::fs::create_dir(root.join(".hidden")).expect("a folder");
        symlink(root.join(".hidden"), root.join("shown")).expect("a link");
        for path in ["file", "folder/secret"] {
            assert!(
                matches!(existing(&root, path), Err(Error::Outside { .. })),
                "{path}"
            );
        }
        assert!(matches!(
            writable(&root, "folder/new.ogg"),
            Err(Error::Outside { .. })
        ));
        assert!(matches!(writable(&root, "file.ogg"), Err(Error::Io { .. })));
        assert!(matches!(
            writable(&root, "shown/new.ogg"),
            Err(Error::Hidden { .. })
        ));
    }
}
