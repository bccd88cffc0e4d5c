//! The files that one version of a script consists of: what it read, and where it looked.
//!
//! The thread of the version records them as it loads and requires; the keeper asks whether the folder
//! still says the same ([`Graph::is_stale`]). Two things make a version stale: a file that it read has
//! another text now, or a path that it required leads to another file, to one at last, or to none. What
//! is compared is the text itself, so that a file which was only touched, or saved without a change,
//! reloads nothing; a file whose stamp is the same is not read.
//!
//! The texts are kept, so that a version can be loaded again as it was after its files have changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::modules::resolve;

/// What the system says about a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: (u64, u64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            modified: meta.modified().ok(),
            length: meta.len(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                // The change time moves when a writer sets the modification time back.
                (meta.dev(), meta.ino(), meta.ctime_nsec() ^ meta.ctime())
            },
        })
    }
}

#[derive(Debug, Clone)]
struct File {
    stamp: Option<Stamp>,
    text: Arc<[u8]>,
}

/// The files of a version.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    files: BTreeMap<PathBuf, File>,
    /// What each required path led to, by the requiring file and the path; `None` is nowhere.
    lookups: BTreeMap<(PathBuf, String), Option<PathBuf>>,
    /// The version is one that ran before: its files are as they were then.
    frozen: bool,
}

impl Graph {
    /// The same files once more, for a version that is to be as it was.
    pub(super) fn frozen(&self) -> Self {
        Self {
            frozen: true,
            ..self.clone()
        }
    }

    /// Whether it is of a version that ran before.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The text of a file, read now or as it was.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Arc<[u8]>> {
        if self.frozen
            && let Some(file) = self.files.get(path)
        {
            return Ok(Arc::clone(&file.text));
        }
        // The stamp first: a change in between is seen as one later.
        let stamp = Stamp::of(path);
        let text: Arc<[u8]> = match fs::read(path) {
            Ok(text) => text.into(),
            Err(error) => {
                self.missing(path);
                return Err(error);
            }
        };
        let file = File {
            stamp,
            text: Arc::clone(&text),
        };
        self.files.insert(path.to_owned(), file);
        Ok(text)
    }

    /// A file that could not be read: it counts as empty, so that any text is a change.
    fn missing(&mut self, path: &Path) {
        let file = File {
            stamp: None,
            text: Arc::default(),
        };
        self.files.insert(path.to_owned(), file);
    }

    /// The file that `wanted` means in `from`; see [`resolve`].
    pub(super) fn resolve(
        &mut self,
        root: &Path,
        from: &Path,
        wanted: &str,
    ) -> Result<PathBuf, String> {
        let key = (from.to_owned(), wanted.to_owned());
        if self.frozen
            && let Some(Some(found)) = self.lookups.get(&key)
        {
            return Ok(found.clone());
        }
        let found = resolve(root, from, wanted);
        self.lookups.insert(key, found.as_ref().ok().cloned());
        found
    }

    /// Whether the folder says something else now. Remembers the stamps of files whose text is the same.
    pub(super) fn is_stale(&mut self, root: &Path) -> bool {
        let moved = self
            .lookups
            .iter()
            .any(|((from, wanted), found)| resolve(root, from, wanted).ok() != *found);
        moved || !self.changed().is_empty()
    }

    /// The files whose text is another one now.
    fn changed(&mut self) -> Vec<(&Path, Vec<u8>)> {
        let mut changed = Vec::new();
        for (path, file) in &mut self.files {
            let stamp = Stamp::of(path);
            if stamp.is_some() && stamp == file.stamp {
                continue;
            }
            match fs::read(path) {
                Ok(text) if *text == *file.text && file.stamp.is_some() => file.stamp = stamp,
                Ok(text) => changed.push((path.as_path(), text)),
                Err(_) if file.stamp.is_none() => {}
                Err(_) => changed.push((path.as_path(), Vec::new())),
            }
        }
        changed
    }

    /// Changed files that look as if somebody were in the middle of writing them: nothing, or the
    /// beginning of what was there. With the length that they have now.
    pub(super) fn suspicious(&mut self) -> Vec<(PathBuf, usize)> {
        let texts: BTreeMap<PathBuf, Arc<[u8]>> = self
            .files
            .iter()
            .map(|(path, file)| (path.clone(), Arc::clone(&file.text)))
            .collect();
        self.changed()
            .into_iter()
            .filter(|(path, text)| {
                texts
                    .get(*path)
                    .is_some_and(|before| !before.is_empty() && before.starts_with(text))
            })
            .map(|(path, text)| (path.to_owned(), text.len()))
            .collect()
    }

    /// Every file of it.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// Whether one of these is a file of this version.
    pub(super) fn has_any<'a>(&self, mut paths: impl Iterator<Item = &'a PathBuf>) -> bool {
        paths.any(|path| self.files.contains_key(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (dir, root)
    }

    #[test]
    fn only_another_text_makes_it_stale() {
        let (_dir, root) = folder(&[("a.luau", "one"), ("other.luau", "x")]);
        let mut graph = Graph::default();
        graph.read(&root.join("a.luau")).unwrap();
        assert!(!graph.is_stale(&root));
        fs::write(root.join("other.luau"), "y").unwrap();
        fs::write(root.join("a.luau"), "one").unwrap();
        assert!(!graph.is_stale(&root), "saved without a change");
        fs::write(root.join("a.luau"), "two").unwrap();
        assert!(graph.is_stale(&root));
        fs::write(root.join("a.luau"), "one").unwrap();
        assert!(!graph.is_stale(&root), "and back");
        fs::remove_file(root.join("a.luau")).unwrap();
        assert!(graph.is_stale(&root));
    }

    #[test]
    fn a_path_that_leads_elsewhere_makes_it_stale() {
        let (_dir, root) = folder(&[("a.luau", ""), ("lib/x.luau", "")]);
        let from = root.join("a.luau");
        let mut graph = Graph::default();
        assert!(graph.resolve(&root, &from, "./lib/x").is_ok());
        assert!(graph.resolve(&root, &from, "./lib/y").is_err());
        assert!(!graph.is_stale(&root));
        fs::write(root.join("lib/y.luau"), "").unwrap();
        assert!(graph.is_stale(&root), "what was looked for is there now");
        fs::remove_file(root.join("lib/y.luau")).unwrap();
        assert!(!graph.is_stale(&root));
        fs::write(root.join("lib/x.lua"), "").unwrap();
        assert!(graph.is_stale(&root), "two files of that name");
    }

    #[test]
    fn a_frozen_graph_reads_what_was() {
        let (_dir, root) = folder(&[("a.luau", "one"), ("lib.luau", "two")]);
        let from = root.join("a.luau");
        let mut graph = Graph::default();
        graph.read(&from).unwrap();
        let lib = graph.resolve(&root, &from, "./lib").unwrap();
        graph.read(&lib).unwrap();
        fs::write(&from, "changed").unwrap();
        fs::remove_file(&lib).unwrap();
        let mut then = graph.frozen();
        assert_eq!(*then.read(&from).unwrap(), *b"one");
        assert_eq!(then.resolve(&root, &from, "./lib"), Ok(lib.clone()));
        assert_eq!(*then.read(&lib).unwrap(), *b"two");
    }

    #[test]
    fn a_file_that_is_being_written_anew_is_suspicious() {
        let (_dir, root) = folder(&[("a.luau", "print(1)\nprint(2)\n")]);
        let path = root.join("a.luau");
        let mut graph = Graph::default();
        graph.read(&path).unwrap();
        for (text, odd) in [("", true), ("print(1)\n", true), ("print(3)\n", false)] {
            fs::write(&path, text).unwrap();
            assert_eq!(!graph.suspicious().is_empty(), odd, "{text:?}");
        }
    }
}
