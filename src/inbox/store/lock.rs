//! One process at a time: a lock of the system on a file beside the database. It ends with the process,
//! however that ends; the file stays, and means nothing by itself.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The lock, for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

pub(super) enum Error {
    /// Somebody else has it: the process, as far as it said who it is.
    Held(Option<u32>),
    Io(io::Error),
}

impl Lock {
    pub(super) fn take(database: &Path) -> Result<Self, Error> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(database.with_extension("lock"))
            .map_err(Error::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(Error::Held(text.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(Error::Io(error)),
        }
        // Who it is helps people; the lock does not depend on it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
