//! The arrows between rooms that must never exist, read from the source (`src/lib.rs` lists them).

use std::fs;
use std::path::{Path, PathBuf};

/// `(room, rooms it may use)`. A room that is not listed may use every room.
const ALLOWED: &[(&str, &[&str])] = &[
    ("contract", &[]),
    ("config", &["contract"]),
    ("inbox", &["limits", "observe"]),
    ("fetch", &["config"]),
    ("limits", &[]),
    ("modules", &[]),
    ("rest", &["config", "contract", "observe"]),
    ("allocator", &[]),
    (
        "stream",
        &["allocator", "config", "contract", "inbox", "observe"],
    ),
    (
        "script",
        &[
            "allocator",
            "config",
            "contract",
            "fetch",
            "inbox",
            "limits",
            "modules",
            "observe",
            "rest",
            "voice",
        ],
    ),
    (
        "voice",
        &["allocator", "config", "contract", "limits", "rest"],
    ),
    ("sim", &["config", "contract", "guard"]),
    ("admin", &["guard", "observe"]),
    ("guard", &[]),
    ("observe", &[]),
    // `sim` for the faults that a configuration names.
    (
        "check",
        &["config", "contract", "definitions", "modules", "sim"],
    ),
    (
        "definitions",
        &["admin", "config", "contract", "limits", "modules", "sim"],
    ),
];

fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 20, "the source tree was not found");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room of a file: the first part of its path below src, without the extension.
fn room(path: &Path) -> String {
    let relative = path.strip_prefix(root()).expect("a file below src");
    let first = relative.components().next().expect("a path");
    Path::new(first.as_os_str())
        .with_extension("")
        .to_string_lossy()
        .into_owned()
}

/// The rooms that a source text names by `crate::room`, those in `use crate::{a, b::c}` included.
fn named_rooms(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for part in text.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(std::mem::take(&mut name)),
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            rooms.push(name);
        } else {
            rooms.push(part.to_owned());
        }
    }
    rooms
        .iter()
        .map(|name| {
            name.trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

/// Source without comment lines: docs may name any room.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let mut broken = Vec::new();
    for path in sources() {
        let own = room(&path);
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == own) else {
            continue;
        };
        for other in named_rooms(&code(&path)) {
            if other != own && !allowed.contains(&other.as_str()) {
                broken.push(format!("{} uses crate::{other}", path.display()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "forbidden arrows:\n{}",
        broken.join("\n")
    );
}

#[test]
fn luau_stays_in_the_script_room() {
    let outside: Vec<_> = sources()
        .into_iter()
        .filter(|path| room(path) != "script" && code(path).contains("mlua"))
        .collect();
    assert!(outside.is_empty(), "mlua outside src/script: {outside:?}");
}

#[test]
fn the_reader_sees_groups_and_single_names() {
    let text = "use crate::rest::Client;\nuse crate::{stream::{a, b}, inbox, Type};";
    assert_eq!(named_rooms(text), ["rest", "stream", "inbox"]);
}
