//! The checker from the outside: planted mistakes, and scripts that are right.

mod corpus;
mod folder;
mod types;
mod walk;

use std::path::Path;

use argon_host::check;
use argon_host::config::Problem;

fn print(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// `line:column message`, and the remedy behind `→`.
fn told(problems: &[Problem]) -> Vec<String> {
    let told = |p: &Problem| {
        let help = p
            .help
            .as_ref()
            .map(|help| format!(" → {help}"))
            .unwrap_or_default();
        format!("{}:{} {}{help}", p.line, p.column, p.message)
    };
    problems.iter().map(told).collect()
}

#[track_caller]
fn finds(text: &str, expected: &[&str]) {
    let problems = check::walk(Path::new("x.luau"), text);
    assert_eq!(told(&problems), expected, "\n{}", print(&problems));
}

#[track_caller]
fn accepts(text: &str) {
    finds(text, &[]);
}

/// A bot of these files.
fn bot(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

fn check_bot(folder: &tempfile::TempDir) -> Vec<Problem> {
    check::run(&[folder.path().join("bot.toml")], &|_| None)
}

/// `file:line:column message`.
fn places(folder: &tempfile::TempDir, problems: &[Problem]) -> Vec<String> {
    let place = |p: &Problem| {
        let path = p.path.strip_prefix(folder.path()).unwrap_or(&p.path);
        format!("{}:{}:{} {}", path.display(), p.line, p.column, p.message)
    };
    problems.iter().map(place).collect()
}
