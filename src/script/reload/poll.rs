//! Looks through the scripts folder now and then, where the system tells nothing of changes.
//!
//! notify has a poller, too. It compares the time of a change in whole seconds, so that of two saves within
//! one second the later may never be seen, or else reads every file of the folder at each look.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::settle::Touch;
use super::watch::Touched;
use crate::modules;
use crate::script::graph::Stamp;

/// How often the folder is looked through.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// A thread that looks through a folder until this is dropped.
pub(super) struct Poll {
    /// Never used: its end is what the thread waits for.
    _stop: Sender<()>,
}

impl Poll {
    /// Looks through the folder `root`, which the config calls `named`.
    pub(super) fn start(root: &Path, named: &Path, touched: Arc<Touched>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (root, named) = (root.to_owned(), named.to_owned());
        let mut unread = BTreeSet::new();
        let mut seen = stamps(&root, &mut unread)?;
        let look = move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                // A link may lead elsewhere now.
                if named.canonicalize().is_ok_and(|now| now != root) {
                    touched.note(Instant::now(), [(Path::new(""), Touch::Beside)]);
                }
                // A share that does not answer is looked at again.
                let Ok(now) = stamps(&root, &mut unread) else {
                    continue;
                };
                touched.note(Instant::now(), changes(&seen, &now));
                seen = now;
            }
        };
        thread::Builder::new()
            .name("scripts-poll".into())
            .spawn(look)?;
        Ok(Self { _stop: stop })
    }
}

type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// Looks at every file. A folder that cannot be read is named in the log once, and added to `unread`.
fn stamps(root: &Path, unread: &mut BTreeSet<PathBuf>) -> io::Result<Stamps> {
    let files = modules::files(root)?;
    for (folder, error) in files.unread {
        if unread.insert(folder.clone()) {
            tracing::warn!(target: "reload",
                "changes in {} are not seen, because it cannot be read: {error}", folder.display());
        }
    }
    let stamped = |file: PathBuf| {
        let stamp = Stamp::of(&file);
        (file, stamp)
    };
    Ok(files.paths.into_iter().map(stamped).collect())
}

/// What has happened between two looks.
fn changes<'s>(before: &'s Stamps, after: &'s Stamps) -> impl Iterator<Item = (&'s Path, Touch)> {
    let touched = after
        .iter()
        .filter(|(file, stamp)| before.get(*file) != Some(stamp))
        .map(|(file, _)| (file.as_path(), Touch::Polled));
    let gone = before
        .keys()
        .filter(|file| !after.contains_key(*file))
        .map(|file| (file.as_path(), Touch::Gone));
    touched.chain(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_changed_or_gone_between_two_looks_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::create_dir(file("lib")).unwrap();
        for name in ["a.luau", "b.luau", "lib/c.luau", "notes.md"] {
            std::fs::write(file(name), "1").unwrap();
        }
        let stamps = || stamps(dir.path(), &mut BTreeSet::new()).unwrap();
        let before = stamps();
        assert_eq!(changes(&before, &stamps()).count(), 0);
        std::fs::write(file("a.luau"), "22").unwrap();
        std::fs::remove_file(file("b.luau")).unwrap();
        std::fs::write(file("lib/d.luau"), "1").unwrap();
        std::fs::write(file("notes.md"), "22").unwrap();
        let after = stamps();
        let seen: Vec<_> = changes(&before, &after).collect();
        assert_eq!(
            seen,
            [
                (file("a.luau").as_path(), Touch::Polled),
                (file("lib/d.luau").as_path(), Touch::Polled),
                (file("b.luau").as_path(), Touch::Gone),
            ]
        );
    }
}
