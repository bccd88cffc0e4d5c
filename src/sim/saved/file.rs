//! A file that a world is kept in.
//!
//! It is written beside itself and renamed, so that whoever reads it finds a whole snapshot, also after a
//! crash; and only its owner may read it, because it holds tokens. A lock file keeps a second server from
//! the same state.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Refused;

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("the state file {path} cannot be {verb}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read` or `written`.
        verb: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it is no state.
    #[error(
        "the state file {path} is not usable: {source}; it was left as it is: mend it, move it away, or name another file"
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Refused,
    },
    /// Another server has it.
    #[error(
        "the state file {path} is in use by another embedded server: stop it, or name another file"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// A state file that no other server uses.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl StateFile {
    /// Claims the file; it need not exist yet, its folder must.
    pub fn claim(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io {
            path: path.to_owned(),
            verb: "written",
            source,
        };
        let lock = File::create(beside(path, "lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; `None` if there is no file yet.
    pub fn read(&self) -> Result<Option<Vec<u8>>, FileError> {
        match std::fs::read(&self.path) {
            Ok(json) => Ok(Some(json)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError::Io {
                path: self.path.clone(),
                verb: "read",
                source,
            }),
        }
    }

    /// Replaces what is in it. Blocks until it is on the disk.
    pub fn write(&self, json: &[u8]) -> Result<(), FileError> {
        let new = beside(&self.path, "new");
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&new)?;
            file.write_all(json)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(|source| FileError::Io {
            path: self.path.clone(),
            verb: "written",
            source,
        })
    }
}

/// `folder/name.ending` for `folder/name`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
