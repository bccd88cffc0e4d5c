//! Which file a `require` means.

use std::path::{Component, Path, PathBuf};

use super::{EXTENSIONS, chunk_name, init_files};

/// The canonical file that `wanted` means when the file `from` requires it.
///
/// `./` and `../` start at the folder of the requiring file. For an init file Luau's own rule comes
/// first (the folder is the module, so `./x` is its neighbour), then the folder itself, because that is
/// what people mean who see `init.luau` as a file like any other. `@self/x` is in the folder.
///
/// `root` and `from` must be canonical.
///
/// # Errors
/// A sentence that begins with `wanted` or quotes it, and says why there is no such file.
pub fn resolve(root: &Path, from: &Path, wanted: &str) -> Result<PathBuf, String> {
    let folder = from.parent().unwrap_or(root);
    let is_init = from.file_stem().is_some_and(|stem| stem == "init") && folder != root;
    let bases: Vec<(&Path, &str)> = if let Some(rest) = wanted.strip_prefix("@self/") {
        if !is_init {
            return Err(format!(
                "{wanted}: @self is the folder of a script's init file, and {} is none; write \"./…\"",
                chunk_name(root, from)
            ));
        }
        vec![(folder, rest)]
    } else if let Some(alias) = wanted.strip_prefix('@') {
        let alias = alias.split('/').next().unwrap_or_default();
        return Err(format!(
            "{wanted}: there is no @{alias}; write \"@std/…\" or \"@self/…\""
        ));
    } else if wanted.starts_with("./") || wanted.starts_with("../") {
        if is_init {
            let outer = folder.parent().unwrap_or(root);
            vec![(outer, wanted), (folder, wanted)]
        } else {
            vec![(folder, wanted)]
        }
    } else {
        return Err(format!(
            "{wanted}: the path must begin with \"./\", \"../\", \"@self/\" or \"@std/\""
        ));
    };
    let mut outside = false;
    for (base, path) in bases {
        let Some(target) = inside(root, &base.join(path)) else {
            outside = true;
            continue;
        };
        let candidates = candidates(&target);
        match candidates.as_slice() {
            [] => {}
            [file] => {
                let file = file
                    .canonicalize()
                    .map_err(|error| format!("{wanted}: {error}"))?;
                if file.starts_with(root) {
                    return Ok(file);
                }
                outside = true;
            }
            [one, other, ..] => {
                return Err(format!(
                    "{wanted} could be {} or {}: remove or rename one",
                    chunk_name(root, one),
                    chunk_name(root, other)
                ));
            }
        }
    }
    if outside {
        return Err(format!("{wanted} is outside the scripts folder"));
    }
    let mut problem = format!("there is no module {wanted}");
    if EXTENSIONS
        .iter()
        .any(|extension| wanted.ends_with(&format!(".{extension}")))
    {
        problem += " (leave the extension out)";
    }
    Err(problem)
}

/// The path without `.` and `..`, if it stays below `root`.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean.starts_with(root).then_some(clean)
}

fn candidates(target: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if let Some(name) = target.file_name().and_then(|name| name.to_str()) {
        all.extend(
            EXTENSIONS
                .into_iter()
                .map(|extension| target.with_file_name(format!("{name}.{extension}")))
                .filter(|path| path.is_file()),
        );
    }
    all.extend(init_files(target));
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::folder;
    use super::*;

    #[test]
    fn modules_are_found_as_files_and_folders_from_the_requiring_file() {
        let (_dir, root) = folder(&[
            "a.luau",
            "lib/x.lua",
            "lib/y/init.luau",
            "bot/init.luau",
            "bot/z.luau",
        ]);
        let find = |from: &str, wanted: &str| {
            resolve(&root, &root.join(from), wanted).map(|path| chunk_name(&root, &path))
        };
        assert_eq!(find("a.luau", "./lib/x").as_deref(), Ok("lib/x.lua"));
        assert_eq!(find("lib/x.lua", "./y").as_deref(), Ok("lib/y/init.luau"));
        assert_eq!(find("lib/x.lua", "../a").as_deref(), Ok("a.luau"));
        assert_eq!(
            find("bot/init.luau", "@self/z").as_deref(),
            Ok("bot/z.luau")
        );
        assert_eq!(find("bot/init.luau", "./lib/x").as_deref(), Ok("lib/x.lua"));
        assert_eq!(find("bot/init.luau", "./z").as_deref(), Ok("bot/z.luau"));
        assert_eq!(
            find("bot/init.luau", "../lib/x").as_deref(),
            Ok("lib/x.lua")
        );
    }

    #[test]
    fn a_refused_require_says_why() {
        let (_dir, root) = folder(&["a.luau", "d.luau", "d.lua"]);
        let why = |wanted: &str| resolve(&root, &root.join("a.luau"), wanted).unwrap_err();
        assert_eq!(
            why("../../etc/passwd"),
            "../../etc/passwd is outside the scripts folder"
        );
        assert_eq!(why("./b"), "there is no module ./b");
        assert_eq!(
            why("./a.luau"),
            "there is no module ./a.luau (leave the extension out)"
        );
        assert!(why("@lib/x").starts_with("@lib/x: there is no @lib"));
        assert!(why("lib").contains("must begin with"));
        assert!(why("@self/x").contains("init file"));
        assert_eq!(
            why("./d"),
            "./d could be d.luau or d.lua: remove or rename one"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let (_dir, root) = folder(&["a.luau"]);
        let (_other, outside) = folder(&["secret.luau"]);
        std::os::unix::fs::symlink(&outside, root.join("lib")).unwrap();
        assert_eq!(
            resolve(&root, &root.join("a.luau"), "./lib/secret"),
            Err("./lib/secret is outside the scripts folder".to_owned())
        );
    }
}
