//! Watches the scripts folder and tells when it is worth a look.
//!
//! What the system reports only says *when* to look; what has changed is found by looking at the folder
//! itself ([`super::super::graph`]). So an event that is lost, doubled, or names the wrong one of two
//! linked paths does no harm beyond its delay.
//!
//! Where the system does not watch (its limit of watches is reached, then or later), the folder is looked
//! through every [`POLL`] instead ([`super::poll`]); a file system of which the system tells nothing at all
//! has to be named in the config.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{
    AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode,
};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::poll::{POLL, Poll};
use super::settle::{Settle, Touch};
use crate::modules::stem;

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// By the system's notifications.
    Notified,
    /// By looking through the folder now and then.
    Polled,
}

/// What the watcher's thread and the keeper share.
#[derive(Default)]
pub(super) struct Touched {
    settle: Mutex<Settle>,
    news: Notify,
    /// Why the system does not watch all of the folder any more.
    blind: Mutex<Option<notify::Error>>,
}

impl Touched {
    fn settle(&self) -> MutexGuard<'_, Settle> {
        self.settle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blind(&self) -> MutexGuard<'_, Option<notify::Error>> {
        self.blind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was touched, and wakes the keeper if there is anything.
    pub(super) fn note<'p>(
        &self,
        now: Instant,
        touches: impl IntoIterator<Item = (&'p Path, Touch)>,
    ) {
        let mut any = false;
        let mut settle = self.settle();
        for (path, touch) in touches {
            settle.note(now, path, touch);
            any = true;
        }
        drop(settle);
        if any {
            self.news.notify_one();
        }
    }
}

/// The eye on a scripts folder.
pub(crate) struct Eye {
    touched: Arc<Touched>,
    root: PathBuf,
    /// The folder as the config names it: if that is a link, it is watched as well.
    named: PathBuf,
    /// What watches until it is dropped.
    watching: Option<Box<dyn Send + Sync>>,
}

impl Eye {
    /// Watches a folder and everything below it, and where the config's name for it leads.
    pub(crate) fn open(root: &Path, named: &Path, watch: Watch) -> Self {
        let mut eye = Self {
            root: root.to_owned(),
            named: named.to_owned(),
            ..Self::closed()
        };
        match watch {
            Watch::Polled => eye.poll(),
            Watch::Notified => match eye.notified() {
                Ok(watcher) => eye.watching = Some(Box::new(watcher)),
                Err(error) => eye.fall_back(&error),
            },
        }
        eye
    }

    /// An eye that sees nothing.
    pub(crate) fn closed() -> Self {
        Self {
            touched: Arc::default(),
            root: PathBuf::new(),
            named: PathBuf::new(),
            watching: None,
        }
    }

    /// The system does not watch the folder: it is looked through instead.
    fn fall_back(&mut self, error: &notify::Error) {
        /// inotify's word for "there are as many users of inotify as may be".
        const EMFILE: i32 = 24;
        let why = match &error.kind {
            notify::ErrorKind::MaxFilesWatch => {
                "the system's limit of watched files is reached (fs.inotify.max_user_watches)"
            }
            notify::ErrorKind::Io(io) if io.raw_os_error() == Some(EMFILE) => {
                "the system's limit of programs that watch files is reached \
                 (fs.inotify.max_user_instances)"
            }
            _ => &error.to_string(),
        };
        tracing::warn!(target: "reload",
            "{} cannot be watched: {why}; looking through it every {} ms instead",
            self.root.display(), POLL.as_millis());
        self.poll();
    }

    fn poll(&mut self) {
        let begun = Poll::start(&self.root, &self.named, Arc::clone(&self.touched));
        self.watching = match begun {
            Ok(poll) => Some(Box::new(poll)),
            Err(error) => {
                tracing::error!(target: "reload",
                    "{} cannot be watched: {error}; scripts are reloaded by SIGHUP only",
                    self.root.display());
                None
            }
        };
    }

    fn notified(&self) -> notify::Result<RecommendedWatcher> {
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(self.handler(), config)?;
        watcher.watch(&self.root, RecursiveMode::Recursive)?;
        if self.named.is_symlink()
            && let Some(folder) = self.named.parent()
        {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }

    fn handler(&self) -> impl FnMut(notify::Result<notify::Event>) + Send + 'static {
        let (touched, root) = (Arc::clone(&self.touched), self.root.clone());
        move |event| match event {
            Ok(event) => {
                let seen = touches(&event).into_iter();
                let seen = seen.filter(|(path, _)| !is_hidden(&root, path));
                touched.note(Instant::now(), seen);
            }
            Err(error) => {
                tracing::debug!(target: "reload", "watching: {error}");
                if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
                    *touched.blind() = Some(error);
                }
                touched.note(Instant::now(), [(Path::new(""), Touch::Beside)]);
            }
        }
    }

    /// When it is worth a look, as far as is known; changes with [`Self::news`].
    pub(crate) fn due(&self) -> Option<Instant> {
        self.touched.settle().due()
    }

    /// Completes when something was touched since this was last asked.
    pub(crate) async fn news(&self) {
        self.touched.news.notified().await;
    }

    /// Now is being looked. Answers what is still being written.
    pub(crate) fn look(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        let blind = self.touched.blind().take();
        if let Some(error) = blind {
            self.fall_back(&error);
        }
        self.touched.settle().take(now)
    }

    /// These are looked at again later.
    pub(crate) fn distrust(&self, paths: impl IntoIterator<Item = PathBuf>, quiet: Duration) {
        let now = Instant::now();
        let mut settle = self.touched.settle();
        for path in paths {
            settle.distrust(now, path, quiet);
        }
    }

    /// Whether one of these has been touched and not looked at.
    pub(crate) fn is_any_pending(&self, files: &BTreeSet<PathBuf>) -> bool {
        let settle = self.touched.settle();
        settle.pending().any(|path| files.contains(path))
    }
}

/// What an event of the system says about the paths that it names.
fn touches(event: &notify::Event) -> Vec<(&Path, Touch)> {
    let path = |at: usize| event.paths.get(at).map(PathBuf::as_path);
    let file = |at: usize, touch: Touch| {
        let path = path(at)?;
        is_luau(path).then(|| match touch {
            // A link is made in one step, and nobody closes it.
            Touch::Written if path.is_symlink() => (path, Touch::Whole),
            touch => (path, touch),
        })
    };
    // What is neither Luau nor a folder (or a link to one) matters to nobody: editors leave much behind.
    let came = |at: usize, touch: Touch| {
        file(at, touch).or_else(|| {
            let path = path(at)?;
            (path.is_dir() || path.is_symlink()).then_some((path, Touch::Beside))
        })
    };
    let went = |at: usize| {
        file(at, Touch::Gone).or_else(|| {
            let path = path(at)?;
            path.extension().is_none().then_some((path, Touch::Beside))
        })
    };
    let found = match event.kind {
        _ if event.need_rescan() => return vec![(Path::new(""), Touch::Beside)],
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => vec![file(0, Touch::Whole)],
        EventKind::Access(_) => vec![],
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => {
            vec![path(0).map(|path| (path, Touch::Beside))]
        }
        EventKind::Create(CreateKind::Any) => vec![came(0, Touch::Vague)],
        EventKind::Modify(ModifyKind::Metadata(_)) => vec![file(0, Touch::Vague)],
        EventKind::Create(_) => vec![came(0, written())],
        EventKind::Modify(ModifyKind::Data(_)) => vec![file(0, written())],
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            vec![went(0)]
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => vec![came(0, Touch::Whole)],
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            vec![went(0), came(1, Touch::Whole)]
        }
        EventKind::Any | EventKind::Other | EventKind::Modify(_) => vec![file(0, Touch::Vague)],
    };
    found.into_iter().flatten().collect()
}

/// Whether a path is in a hidden folder of the scripts folder, such as `.git`.
fn is_hidden(root: &Path, path: &Path) -> bool {
    let hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    path.strip_prefix(root)
        .is_ok_and(|below| below.components().any(hidden))
}

/// Only inotify tells when a file is closed.
fn written() -> Touch {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        Touch::Written
    } else {
        Touch::Vague
    }
}

fn is_luau(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| !name.starts_with('.') && stem(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: EventKind, paths: &[&str]) -> Vec<(String, Touch)> {
        let mut event = notify::Event::new(kind);
        event.paths = paths.iter().map(PathBuf::from).collect();
        touches(&event)
            .into_iter()
            .map(|(path, touch)| (path.display().to_string(), touch))
            .collect()
    }

    /// Waits until something is on its way, and answers when it is whole.
    async fn due(eye: &Eye) -> Instant {
        loop {
            if let Some(due) = eye.due() {
                return due;
            }
            eye.news().await;
        }
    }

    #[tokio::test]
    async fn a_folder_that_the_system_does_not_watch_any_more_is_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("lib")).unwrap();
        let mut eye = Eye::open(&root, &root, Watch::Notified);
        // What notify's own thread does when it finds no more watches for a new folder.
        let full = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
        (eye.handler())(Err(full));
        let when = due(&eye).await;
        assert!(eye.look(when).is_empty());
        assert_eq!(eye.due(), None);
        std::fs::write(root.join("lib/a.luau"), "return 1").unwrap();
        let when = due(&eye).await;
        let of_file = eye.is_any_pending(&BTreeSet::from([root.join("lib/a.luau")]));
        assert!(of_file, "{when:?}");
    }

    #[test]
    fn only_luau_and_folders_matter() {
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert_eq!(
            seen(close, &["/s/a.luau"]),
            [("/s/a.luau".into(), Touch::Whole)]
        );
        for other in [
            "/s/a.luau~",
            "/s/4913",
            "/s/.a.luau.swp",
            "/s/a.d.luau",
            "/s/notes.md",
        ] {
            assert!(seen(close, &[other]).is_empty(), "{other}");
        }
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        assert!(seen(read, &["/s/a.luau"]).is_empty());
        assert_eq!(
            seen(EventKind::Create(CreateKind::Folder), &["/s/lib"]),
            [("/s/lib".into(), Touch::Beside)]
        );
    }

    #[test]
    fn what_is_in_a_hidden_folder_is_nobodys() {
        let root = Path::new("/home/ada/.bots/scripts");
        assert!(is_hidden(root, &root.join(".git/objects/tmp_obj_x")));
        assert!(is_hidden(root, &root.join("lib/.cache")));
        assert!(!is_hidden(root, &root.join("lib/a.luau")));
        assert!(
            !is_hidden(root, Path::new("/home/ada/.bots")),
            "the link's folder"
        );
        assert!(!is_hidden(root, Path::new("")));
    }

    #[test]
    fn a_rename_takes_away_and_brings() {
        let both = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        assert_eq!(
            seen(both, &["/s/a.luau", "/s/b.luau"]),
            [
                ("/s/a.luau".into(), Touch::Gone),
                ("/s/b.luau".into(), Touch::Whole)
            ]
        );
        assert_eq!(
            seen(both, &["/s/a.luau", "/s/a.luau~"]),
            [("/s/a.luau".into(), Touch::Gone)]
        );
    }
}
