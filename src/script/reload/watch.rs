//! Watches the scripts folder and tells when it is worth a look.
//!
//! What the system reports only says *when* to look; what has changed is found by looking at the folder
//! itself ([`super::super::graph`]). So an event that is lost, doubled, or names the wrong one of two
//! linked paths does no harm beyond its delay.
//!
//! Where the system does not watch (its limit of watches is reached, a file system without
//! notification), the folder is looked through every [`POLL`] instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{
    AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode,
};
use notify::{PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::settle::{Settle, Touch};
use crate::modules::stem;

/// How often a folder that cannot be watched is looked through.
const POLL: Duration = Duration::from_millis(500);

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
struct Touched {
    settle: Mutex<Settle>,
    news: Notify,
}

impl Touched {
    fn settle(&self) -> MutexGuard<'_, Settle> {
        self.settle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Watching = Box<dyn Watcher + Send + Sync>;

/// The eye on a scripts folder.
pub(crate) struct Eye {
    touched: Arc<Touched>,
    watcher: Option<Watching>,
    /// Folders outside the scripts folder that links lead to.
    beside: BTreeSet<PathBuf>,
}

impl Eye {
    /// Watches a folder and everything below it. `named` is the folder as the config names it: if that
    /// is a link, it is watched as well.
    pub(crate) fn open(root: &Path, named: &Path, watch: Watch) -> Self {
        let mut eye = Self {
            touched: Arc::default(),
            watcher: None,
            beside: BTreeSet::new(),
        };
        eye.watch(root, named, watch);
        eye
    }

    /// An eye that sees nothing.
    pub(crate) fn closed() -> Self {
        Self {
            touched: Arc::default(),
            watcher: None,
            beside: BTreeSet::new(),
        }
    }

    fn watch(&mut self, root: &Path, named: &Path, watch: Watch) {
        let begun = match watch {
            Watch::Notified => self.notified(root).or_else(|error| {
                let why = match error.kind {
                    notify::ErrorKind::MaxFilesWatch => {
                        "the system's limit of watched files is reached (fs.inotify.max_user_watches)"
                            .to_owned()
                    }
                    _ => error.to_string(),
                };
                tracing::warn!(target: "reload",
                    "{} cannot be watched: {why}; looking through it every {} ms instead",
                    root.display(), POLL.as_millis());
                self.polled(root)
            }),
            Watch::Polled => self.polled(root),
        };
        match begun {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::error!(target: "reload",
                    "{} cannot be watched: {error}; scripts are reloaded by SIGHUP only",
                    root.display());
            }
        }
        if named.is_symlink()
            && let Some(parent) = named.parent()
        {
            self.also(parent.to_owned());
        }
    }

    fn notified(&self, root: &Path) -> notify::Result<Watching> {
        let mut watcher = RecommendedWatcher::new(self.handler(), notify::Config::default())?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Box::new(watcher))
    }

    fn polled(&self, root: &Path) -> notify::Result<Watching> {
        let config = notify::Config::default().with_poll_interval(POLL);
        let mut watcher = PollWatcher::new(self.handler(), config)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Box::new(watcher))
    }

    fn handler(&self) -> impl FnMut(notify::Result<notify::Event>) + Send + 'static {
        let touched = Arc::clone(&self.touched);
        move |event| {
            let now = Instant::now();
            let mut any = false;
            {
                let mut settle = touched.settle();
                match event {
                    Ok(event) => {
                        for (path, touch) in touches(&event) {
                            settle.note(now, path, touch);
                            any = true;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(target: "reload", "watching: {error}");
                        settle.note(now, Path::new(""), Touch::Beside);
                        any = true;
                    }
                }
            }
            if any {
                touched.news.notify_one();
            }
        }
    }

    /// Watches a folder outside as well, without what is below it.
    pub(crate) fn also(&mut self, folder: PathBuf) {
        if self.beside.contains(&folder) {
            return;
        }
        if let Some(watcher) = &mut self.watcher {
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.beside.insert(folder);
                }
                Err(error) => {
                    tracing::debug!(target: "reload", "{} cannot be watched: {error}", folder.display());
                }
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
    pub(crate) fn look(&self, now: Instant) -> BTreeSet<PathBuf> {
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
    let came = |at: usize| {
        file(at, Touch::Whole).or_else(|| {
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
        // The poller looks at what is there: whether somebody still writes, it cannot know.
        EventKind::Create(CreateKind::Any) | EventKind::Modify(ModifyKind::Metadata(_)) => {
            vec![file(0, Touch::Vague)]
        }
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => {
            vec![file(0, written())]
        }
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            vec![went(0)]
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => vec![came(0)],
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => vec![went(0), came(1)],
        EventKind::Any | EventKind::Other | EventKind::Modify(_) => vec![file(0, Touch::Vague)],
    };
    found.into_iter().flatten().collect()
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
