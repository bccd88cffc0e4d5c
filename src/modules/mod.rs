//! The scripts folder: which scripts it has, which modules, and which file a `require` means.
//!
//! One room because two readers must agree: what runs the scripts, and what checks them. Reads
//! folders, never the text of a file, and knows nothing of Luau; the text of the modules of `@std` is
//! here ([`STD`]).
//!
//! Guarantee: no path, `..` or symbolic link leads out of the scripts folder, neither for a `require` nor for
//! a script's own file; every file is compared in its canonical form. Links inside the folder are fine.

mod resolve;
mod standard;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use resolve::resolve;
pub use standard::{STD, StdModule, standard};

/// Extensions of a script, the preferred one first.
const EXTENSIONS: [&str; 2] = ["luau", "lua"];

/// A script of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// File or folder name without extension.
    pub name: String,
    /// Its file in the folder, or the folder's init file, as it is called there.
    pub entry: PathBuf,
    /// The same file without the links that lead to it, canonical: what is read, and what a `require` in it
    /// starts from.
    pub path: PathBuf,
    /// Other files with the same script name; a script must be the only one of its name.
    pub rivals: Vec<PathBuf>,
    /// Where a symbolic link leads, when that is outside the folder: such a script is refused.
    pub outside: Option<PathBuf>,
}

/// The scripts of a folder by name: every `*.luau` and `*.lua` directly in it, and every folder with
/// an init file. Hidden files, `*.d.luau` and `*.test.luau` are not scripts.
///
/// # Errors
/// When the folder cannot be read.
pub fn discover(dir: &Path) -> io::Result<Vec<Found>> {
    let root = dir.canonicalize()?;
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if file.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            let inits: Vec<_> = init_files(&path).collect();
            if !inits.is_empty() {
                found.entry(file.to_owned()).or_default().extend(inits);
            }
        } else if let Some(name) = stem(file) {
            found.entry(name.to_owned()).or_default().push(path);
        }
    }
    Ok(found
        .into_iter()
        .filter_map(|(name, mut paths)| {
            paths.sort();
            let entry = paths.pop()?;
            Some(Found {
                name,
                outside: outside(&root, &entry),
                // A link that leads nowhere is told when the file is read.
                path: entry.canonicalize().unwrap_or_else(|_| entry.clone()),
                entry,
                rivals: paths,
            })
        })
        .collect())
}

/// Where a path really is, when that is not below the folder `root`.
fn outside(root: &Path, path: &Path) -> Option<PathBuf> {
    path.canonicalize()
        .ok()
        .filter(|real| !real.starts_with(root))
}

/// The Luau files that the scripts of a folder may consist of.
#[derive(Debug, Default)]
pub struct Files {
    /// Their paths, in order.
    pub paths: Vec<PathBuf>,
    /// The folders below that cannot be read, and why: what is in them is not among the paths.
    pub unread: Vec<(PathBuf, io::Error)>,
}

/// Every Luau file that the scripts of a folder may consist of: the scripts, and the modules in the folder
/// and below. What a link leads to outside is left out.
///
/// # Errors
/// When the folder itself cannot be read.
pub fn files(dir: &Path) -> io::Result<Files> {
    let root = dir.canonicalize()?;
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    for script in discover(dir)? {
        files.push(script.entry);
        files.extend(script.rivals);
    }
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if folder == dir => return Err(error),
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                unread.push((folder, error));
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            // A linked folder may lead around in a circle.
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if stem(name).is_some() && path.is_file() {
                files.push(path);
            }
        }
    }
    files.retain(|file| outside(&root, file).is_none());
    files.sort();
    files.dedup();
    Ok(Files {
        paths: files,
        unread,
    })
}

/// The name of a Luau file without its extension; `None` for other files, type definitions
/// (`*.d.luau`) and tests (`*.test.luau`).
pub fn stem(file: &str) -> Option<&str> {
    EXTENSIONS
        .iter()
        .find_map(|extension| file.strip_suffix(extension)?.strip_suffix('.'))
        .filter(|stem| !stem.is_empty() && !stem.ends_with(".d") && !stem.ends_with(".test"))
}

fn init_files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    EXTENSIONS
        .into_iter()
        .map(|extension| dir.join("init").with_extension(extension))
        .filter(|path| path.is_file())
}

/// The name of a file's chunk: its path below the scripts folder, with forward slashes.
pub fn chunk_name(root: &Path, file: &Path) -> String {
    let parts: Vec<_> = file
        .strip_prefix(root)
        .unwrap_or(file)
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of these files in canonical form.
    pub(super) fn folder(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "return 1").unwrap();
        }
        (dir, root)
    }

    #[test]
    fn scripts_are_files_and_folders_with_an_init_file() {
        let (_dir, root) = folder(&[
            "a.luau",
            "b.lua",
            "c/init.luau",
            "lib/util.luau",
            "argon.d.luau",
            "a.test.luau",
            ".hidden.luau",
            "readme.md",
        ]);
        let names: Vec<_> = discover(&root)
            .unwrap()
            .into_iter()
            .map(|f| f.name)
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn two_files_of_one_script_name_are_rivals() {
        let (_dir, root) = folder(&["a.luau", "a/init.luau"]);
        let found = discover(&root).unwrap();
        assert_eq!((found.len(), found[0].rivals.len()), (1, 1));
    }

    #[test]
    fn files_are_the_scripts_and_every_module_below() {
        let (_dir, root) = folder(&[
            "a.luau",
            "a.test.luau",
            "lib/x.lua",
            "lib/deep/y.luau",
            "lib/.hidden.luau",
            ".git/z.luau",
            "argon.d.luau",
            "bot/init.luau",
        ]);
        let files: Vec<_> = files(&root)
            .unwrap()
            .paths
            .iter()
            .map(|file| chunk_name(&root, file))
            .collect();
        assert_eq!(
            files,
            ["a.luau", "bot/init.luau", "lib/deep/y.luau", "lib/x.lua"]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_cannot_be_read_hides_no_other() {
        let (_dir, root) = folder(&["a.luau", "lib/x.luau"]);
        // Deeper than any path may be: the one folder that even root cannot read.
        let deep = |name: &str| root.join([name; 12].map(|part| part.repeat(200)).join("/"));
        let (long, longer) = (deep("d"), deep("e"));
        fs::create_dir_all(&long).unwrap();
        fs::create_dir_all(&longer).unwrap();
        fs::rename(root.join("e".repeat(200)), long.join("e")).unwrap();
        let files = files(&root).unwrap();
        let paths: Vec<_> = files
            .paths
            .iter()
            .map(|file| chunk_name(&root, file))
            .collect();
        assert_eq!(paths, ["a.luau", "lib/x.luau"]);
        assert_eq!(files.unread.len(), 1);
        assert!(files.unread[0].0.starts_with(&long), "{:?}", files.unread);
    }

    #[cfg(unix)]
    #[test]
    fn links_inside_are_followed_and_those_to_the_outside_are_told_and_left_out() {
        use std::os::unix::fs::symlink;
        let (_dir, root) = folder(&["a.luau", "lib/part/init.luau"]);
        let (_other, elsewhere) = folder(&["init.luau", "x.luau"]);
        symlink(root.join("lib/part"), root.join("inside")).unwrap();
        symlink(&root, root.join("circle")).unwrap();
        symlink(&elsewhere, root.join("folder")).unwrap();
        symlink(elsewhere.join("x.luau"), root.join("file.luau")).unwrap();
        symlink(elsewhere.join("x.luau"), root.join("lib/module.luau")).unwrap();
        let found = discover(&root).unwrap();
        let outside: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.outside.as_deref()))
            .collect();
        let (init, x) = (elsewhere.join("init.luau"), elsewhere.join("x.luau"));
        assert_eq!(
            outside,
            [
                ("a", None),
                ("file", Some(x.as_path())),
                ("folder", Some(init.as_path())),
                ("inside", None),
            ]
        );
        let files: Vec<_> = files(&root)
            .unwrap()
            .paths
            .iter()
            .map(|file| chunk_name(&root, file))
            .collect();
        assert_eq!(files, ["a.luau", "inside/init.luau", "lib/part/init.luau"]);
        let inside = &found[3];
        assert_eq!(inside.entry, root.join("inside/init.luau"));
        assert_eq!(inside.path, root.join("lib/part/init.luau"));
    }
}
