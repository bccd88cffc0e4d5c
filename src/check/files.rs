//! The Luau files of a scripts folder, and the file that a `require` means.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::config::{Problem, Severity};

/// Endings of a script, the preferred one first.
const ENDINGS: [&str; 2] = ["luau", "lua"];

/// A file of the scripts folder.
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The script's name, when it is a script's own file and not a module.
    pub script: Option<String>,
}

/// Every Luau file of the folder and the folders below, by path: hidden ones, type definitions
/// (`*.d.luau`) and tests (`*.test.luau`) left out.
pub fn find(dir: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if name.starts_with('.') {
                continue;
            }
            // A link may lead around in a circle; the loader follows one to a file only, too.
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if let Some(stem) = stem(&name)
                && path.is_file()
            {
                files.push(File {
                    script: script_name(dir, &folder, stem),
                    path,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The name of a Luau file without its ending.
fn stem(file: &str) -> Option<&str> {
    ENDINGS
        .iter()
        .find_map(|ending| file.strip_suffix(ending)?.strip_suffix('.'))
        .filter(|stem| !stem.is_empty() && !stem.ends_with(".d") && !stem.ends_with(".test"))
}

/// A file directly in the scripts folder is a script; so is the init file of a folder in it.
fn script_name(dir: &Path, folder: &Path, stem: &str) -> Option<String> {
    if folder == dir {
        return Some(stem.to_owned());
    }
    let is_init = stem == "init" && folder.parent() == Some(dir);
    let name = folder.file_name()?.to_string_lossy().into_owned();
    is_init.then_some(name)
}

/// Scripts that share a name.
pub fn clashes(files: &[File]) -> Vec<Problem> {
    let mut seen: Vec<&File> = Vec::new();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.script.is_some()) {
        match seen.iter().find(|other| other.script == file.script) {
            Some(other) => {
                let name = file.script.as_deref().unwrap_or_default();
                let message = format!("{} is a script \"{name}\", too", other.path.display());
                let problem = Problem::of_file(Severity::Error, &file.path, message);
                problems.push(problem.help("rename or remove one of them"));
            }
            None => seen.push(file),
        }
    }
    problems
}

/// Whether `wanted` means a file, from the file `from` in the scripts folder `root`; or else why not.
///
/// `./` and `../` start at the folder of the requiring file. From an init file they may start at the
/// folder's parent as well, as Luau has it; `@self/` is the init file's own folder.
pub fn resolve(root: &Path, from: &Path, wanted: &str) -> Result<(), String> {
    let folder = from.parent().unwrap_or(root);
    let is_init = from.file_stem().is_some_and(|stem| stem == "init") && folder != root;
    let bases: Vec<PathBuf> = if let Some(rest) = wanted.strip_prefix("@self/") {
        if !is_init {
            return Err(
                "@self is the folder of a script's init file; write \"./…\" here".to_owned(),
            );
        }
        vec![folder.join(rest)]
    } else if wanted.starts_with('@') {
        let alias = wanted.split('/').next().unwrap_or_default();
        return Err(format!("there is no {alias}"));
    } else if wanted.starts_with("./") || wanted.starts_with("../") {
        let outer = folder.parent().filter(|_| is_init);
        outer
            .into_iter()
            .chain([folder])
            .map(|base| base.join(wanted))
            .collect()
    } else {
        return Err("the path must begin with \"./\", \"../\" or \"@self/\"".to_owned());
    };
    let inside: Vec<PathBuf> = bases.iter().filter_map(|path| inside(root, path)).collect();
    if inside.is_empty() {
        return Err("the path leads out of the scripts folder".to_owned());
    }
    if inside.iter().any(|target| is_module(target)) {
        return Ok(());
    }
    let with_ending = ENDINGS
        .iter()
        .any(|ending| wanted.ends_with(&format!(".{ending}")));
    Err(match with_ending {
        true => "there is no such module; leave the extension out".to_owned(),
        false => "there is no such module".to_owned(),
    })
}

/// The path without `.` and `..`, if it stays below the folder.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(root).ok()?;
    let mut clean = Vec::new();
    for part in below.components() {
        match part {
            Component::ParentDir => {
                clean.pop()?;
            }
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    Some(root.join(clean.iter().collect::<PathBuf>()))
}

/// The names of the modules in the folder that the path `wanted` of the file `from` leads to.
pub fn neighbours(from: &Path, wanted: &str) -> Vec<String> {
    let below = wanted.strip_prefix("@self/").unwrap_or(wanted);
    let folder = from.parent().unwrap_or(Path::new("")).join(below);
    let entries = folder.parent().and_then(|folder| folder.read_dir().ok());
    let names = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        stem(&name).map(str::to_owned)
    });
    names.collect()
}

fn is_module(target: &Path) -> bool {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    ENDINGS.iter().any(|ending| {
        target.with_file_name(format!("{name}.{ending}")).is_file()
            || target.join(format!("init.{ending}")).is_file()
    })
}
