//! Finds mistakes in a bot without running it: its configuration, and every script and module of its
//! scripts folder.
//!
//! Each file is parsed (all of its syntax errors, not the first alone), then walked once: names below
//! `argon`, `script`, `task` and `event:` are looked up in the contract and in the table of libraries,
//! events and `require` paths by their literal text, and tables of literals are compared with the
//! contract's parameters: unknown and missing fields, wrong types, unknown enum names, documented
//! limits. Routes and hosts that a script names, itself or through a module, are compared with its
//! permissions. Only what is certain is reported: a value that is computed may be anything.
//!
//! A local that is set once to such a name (`local messages = argon.messages`) is followed.
//!
//! Then Luau's own type checker and linter see the same files ([`types`]). Where both find something at
//! one place, the walk has the word: it speaks in the platform's terms and knows the remedy.

mod assigned;
mod commands;
mod hints;
mod lint;
mod lists;
mod literal;
mod notes;
mod params;
mod permissions;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use luau_syntax::parser::{ParseError, ParseOptions, ParsedSource};
use serde_json::Value;

use crate::config::suggest::did_you_mean;
use crate::config::{self, Config, Env, Problem, Severity, Source};
use crate::definitions::Reader;
use crate::modules;
use crate::sim::FaultSpec;

use commands::Commands;
use hints::Hints;
use lint::Findings;
use types::File;

/// Checks the bots of these configuration files with their scripts. The problems come by file and line;
/// what several bots share is reported once.
pub fn run(configs: &[PathBuf], env: &Env<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut bots = Vec::new();
    let mut folders = Vec::new();
    for path in configs {
        let inspection = config::inspect(path, env);
        problems.extend(inspection.problems);
        let Some(config) = inspection.config else {
            continue;
        };
        problems.extend(faults(&config));
        if config.scripts.dir.is_dir() {
            let files = scripts(&config, &mut problems);
            folders.push((config.scripts.dir.clone(), files));
        }
        bots.push(config);
    }
    problems.extend(config::conflicts(&bots));
    add_types(&mut problems, &folders);
    Problem::sort(&mut problems);
    problems
}

/// Checks scripts that are about to run, with the modules that they require: what the host shows beside
/// a version that it loads. `scripts` are files of the folder `root` with what arrives as
/// `script.config`. What only all scripts together can say (permissions, commands that two of them
/// register) is left out. Paths of the problems are relative to `root`, as in errors at run time.
pub fn versions(root: &Path, scripts: &[(PathBuf, Value)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut files: BTreeMap<PathBuf, File> = BTreeMap::new();
    for (script, config) in scripts {
        let mut next = vec![(script.clone(), Some(config.clone()))];
        while let Some((path, config)) = next.pop() {
            // A file that is gone again, or no text, is the loader's to report.
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            if files.contains_key(&path) {
                continue;
            }
            let findings = self::script(&path, &text, root, &mut Commands::default());
            problems.extend(findings.problems);
            next.extend(findings.uses.modules.into_iter().map(|path| (path, None)));
            let hints = findings.hints;
            let file = File {
                path: path.clone(),
                text,
                hints,
                config,
            };
            files.insert(path, file);
        }
    }
    add_types(
        &mut problems,
        &[(root.to_owned(), files.into_values().collect())],
    );
    for problem in &mut problems {
        problem.path = modules::chunk_name(root, &problem.path).into();
    }
    Problem::sort(&mut problems);
    problems
}

/// Adds what the type checker finds. A file that has a syntax error says nothing about types, and what
/// the walk found first is not said again in other words.
fn add_types(problems: &mut Vec<Problem>, folders: &[(PathBuf, Vec<File>)]) {
    let found = types::check(folders, Reader::Checker);
    let new = |problem: &Problem| !problems.iter().any(|known| overlap(known, problem));
    let found: Vec<_> = found.into_iter().filter(new).collect();
    problems.extend(found);
}

/// Whether two problems are about the same characters of a line.
fn overlap(a: &Problem, b: &Problem) -> bool {
    a.path == b.path
        && a.line == b.line
        && a.column < b.column + b.width
        && b.column < a.column + a.width
}

/// What is wrong with the faults of the embedded server that a configuration asks for.
pub fn faults(config: &Config) -> Vec<Problem> {
    let specs = config.server.faults.iter();
    let wrong = specs.filter_map(|spec| {
        let error = spec.text.parse::<FaultSpec>().err()?;
        Some(spec.problem(error.to_string()))
    });
    wrong.collect()
}

/// Checks the scripts folder of a bot; its files.
fn scripts(config: &Config, problems: &mut Vec<Problem>) -> Vec<File> {
    let dir = &config.scripts.dir;
    let read = modules::discover(dir).and_then(|found| Ok((found, modules::files(dir)?)));
    let (found, files) = match read {
        Ok(read) => read,
        Err(error) => {
            let message = format!("the folder cannot be read: {error}");
            problems.push(Problem::of_file(Severity::Error, dir, message));
            return Vec::new();
        }
    };
    for (folder, error) in files.unread {
        let message = format!("the folder cannot be read, nor the modules in it: {error}");
        problems.push(Problem::of_file(Severity::Warning, &folder, message));
    }
    let names: BTreeSet<&str> = found.iter().map(|script| script.name.as_str()).collect();
    if names.is_empty() {
        let message = format!("there is no script in {}", dir.display());
        let problem = Problem::of_file(Severity::Warning, &config.path, message);
        problems.push(problem.help("put a .luau file into it"));
    }
    script_sections(config, &names, problems);
    let mut commands = Commands::default();
    let mut uses = BTreeMap::new();
    let mut texts = Vec::new();
    for path in files.paths {
        // Commands of a script that is switched off are nobody's; a module's are every script's.
        let settings = found
            .iter()
            .find(|script| script.entry == path || script.rivals.contains(&path))
            .map(|script| config.script(&script.name));
        let enabled = settings.as_ref().is_none_or(|settings| settings.enabled);
        match std::fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    let mut own = Commands::default();
                    let commands = if enabled { &mut commands } else { &mut own };
                    let findings = script(&path, &text, dir, commands);
                    problems.extend(findings.problems);
                    let canonical = path.canonicalize();
                    uses.insert(canonical.unwrap_or_else(|_| path.clone()), findings.uses);
                    texts.push(File {
                        path,
                        text,
                        hints: findings.hints,
                        config: settings.map(|settings| settings.config),
                    });
                }
                Err(_) => {
                    let problem = Problem::of_file(Severity::Error, &path, "is not UTF-8 text");
                    problems.push(problem.help("save it as UTF-8"));
                }
            },
            Err(error) => {
                let message = format!("cannot be read: {error}");
                problems.push(Problem::of_file(Severity::Error, &path, message));
            }
        }
    }
    problems.extend(permissions::refused(config, &found, &uses));
    for script in &found {
        if let Some(outside) = &script.outside {
            let message = format!(
                "is a link to {}, outside the scripts folder",
                outside.display()
            );
            let problem = Problem::of_file(Severity::Error, &script.entry, message);
            problems.push(problem.help(
                "copy the file here, or set \"dir\" in [scripts] to the folder that it is in",
            ));
        }
        for rival in &script.rivals {
            let name = &script.name;
            let message = format!("{} is a script \"{name}\", too", rival.display());
            let problem = Problem::of_file(Severity::Error, &script.entry, message);
            problems.push(problem.help("rename or remove one of them"));
        }
    }
    texts
}

/// Sections of scripts that do not exist.
fn script_sections(config: &Config, names: &BTreeSet<&str>, problems: &mut Vec<Problem>) {
    let Ok(text) = std::fs::read_to_string(&config.path) else {
        return;
    };
    let source = Source::new(&config.path, &text);
    for name in config.script.keys() {
        if names.contains(name.as_str()) {
            continue;
        }
        let dir = config.scripts.dir.display();
        let message = format!("[script.{name}]: there is no script \"{name}\" in {dir}");
        let problem = match header_of(&text, name) {
            Some(range) => source.problem(Severity::Warning, range, message),
            None => Problem::of_file(Severity::Warning, &config.path, message),
        };
        let help = did_you_mean(name, names.iter().copied());
        problems.push(problem.maybe_help(help));
    }
}

/// Where `[script.name]` stands.
fn header_of(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    [
        format!("script.{name}]"),
        format!("script.\"{name}\"]"),
        format!("script.{name}."),
    ]
    .iter()
    .find_map(|header| {
        let at = text.find(header.as_str())?;
        Some(at..at + header.len() - 1)
    })
}

/// Checks one text as a script or module of the folder `root`. `commands` remembers the commands that
/// scripts register, so that a name that is taken twice is found.
fn script(path: &Path, text: &str, root: &Path, commands: &mut Commands) -> Findings {
    let source = Source::new(path, text);
    let options = ParseOptions::default().without_error_limit();
    let parsed = match ParsedSource::parse(text, options) {
        Ok(parsed) => parsed,
        Err(errors) => {
            return Findings {
                problems: syntax(&source, errors.errors()),
                ..Findings::default()
            };
        }
    };
    let problems = syntax(&source, &parsed.metadata().errors);
    let broken: BTreeSet<usize> = problems.iter().map(|problem| problem.line).collect();
    let mut findings = lint::lint(&source, &parsed, root, commands);
    // What the parser made of a broken line is a guess.
    let sound = |problem: &Problem| !broken.contains(&problem.line);
    findings.problems.retain(sound);
    findings.problems.extend(problems);
    findings
}

/// Checks a text that is in no folder, as the examples of the documentation are.
pub fn text(name: &Path, text: &str) -> Vec<Problem> {
    let root = Path::new("");
    let findings = script(name, text, root, &mut Commands::default());
    let mut problems = findings.problems;
    let file = File {
        path: name.to_owned(),
        text: text.to_owned(),
        hints: findings.hints,
        config: None,
    };
    add_types(&mut problems, &[(root.to_owned(), vec![file])]);
    Problem::sort(&mut problems);
    problems
}

/// What an editor's checker says of a text, which has `argon.d.luau` alone.
pub fn text_in_editor(name: &Path, text: &str) -> Vec<Problem> {
    let file = File {
        path: name.to_owned(),
        text: text.to_owned(),
        hints: Hints::default(),
        config: None,
    };
    types::check(&[(PathBuf::new(), vec![file])], Reader::Editor)
}

/// The part of [`text`] that knows the platform and no types.
pub fn walk(name: &Path, text: &str) -> Vec<Problem> {
    let mut problems = script(name, text, Path::new(""), &mut Commands::default()).problems;
    Problem::sort(&mut problems);
    problems
}

fn syntax(source: &Source<'_>, errors: &[ParseError]) -> Vec<Problem> {
    errors
        .iter()
        .map(|error| {
            let range = literal::range(source, error.location);
            source.problem(Severity::Error, range, error.message.to_string())
        })
        .collect()
}
