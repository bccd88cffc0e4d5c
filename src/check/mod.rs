//! Finds mistakes in a bot without running it: its configuration, and every script and module of its
//! scripts folder.
//!
//! Each file is parsed (all of its syntax errors, not the first alone), then walked once: names below
//! `argon`, `script`, `task` and `event:` are looked up in the contract and in the table of libraries,
//! events and `require` paths by their literal text, and tables of literals are compared with the
//! contract's parameters: unknown and missing fields, wrong types, unknown enum names, documented
//! limits. Routes that a script names, itself or through a module, are compared with its permissions. Only what is certain is reported: a value that is computed may be anything. Types of
//! computed values are not checked here.
//!
//! A local that is set once to such a name (`local messages = argon.messages`) is followed.

mod commands;
mod lint;
mod literal;
mod params;
mod permissions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use luau_syntax::parser::{ParseError, ParseOptions, ParsedSource};

use crate::config::suggest::did_you_mean;
use crate::config::{self, Config, Env, Problem, Severity, Source};
use crate::modules;
use crate::sim::FaultSpec;

use commands::Commands;
use permissions::Uses;

/// Checks the bots of these configuration files with their scripts. The problems come by file and line;
/// what several bots share is reported once.
pub fn run(configs: &[PathBuf], env: &Env<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut bots = Vec::new();
    for path in configs {
        let inspection = config::inspect(path, env);
        problems.extend(inspection.problems);
        let Some(config) = inspection.config else {
            continue;
        };
        problems.extend(config.not_yet());
        problems.extend(faults(&config));
        if config.scripts.dir.is_dir() {
            scripts(&config, &mut problems);
        }
        bots.push(config);
    }
    problems.extend(config::conflicts(&bots));
    Problem::sort(&mut problems);
    problems
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

/// Checks the scripts folder of a bot.
fn scripts(config: &Config, problems: &mut Vec<Problem>) {
    let dir = &config.scripts.dir;
    let read = modules::discover(dir).and_then(|found| Ok((found, modules::files(dir)?)));
    let (found, files) = match read {
        Ok(read) => read,
        Err(error) => {
            let message = format!("the folder cannot be read: {error}");
            problems.push(Problem::of_file(Severity::Error, dir, message));
            return;
        }
    };
    let names: BTreeSet<&str> = found.iter().map(|script| script.name.as_str()).collect();
    if names.is_empty() {
        let message = format!("there is no script in {}", dir.display());
        let problem = Problem::of_file(Severity::Warning, &config.path, message);
        problems.push(problem.help("put a .luau file into it"));
    }
    script_sections(config, &names, problems);
    let mut commands = Commands::default();
    let mut uses = BTreeMap::new();
    for path in &files {
        // Commands of a script that is switched off are nobody's; a module's are every script's.
        let enabled = found
            .iter()
            .find(|script| script.path == *path || script.rivals.contains(path))
            .is_none_or(|script| config.script(&script.name).enabled);
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    let mut own = Commands::default();
                    let commands = if enabled { &mut commands } else { &mut own };
                    let (found, used) = script(path, &text, dir, commands);
                    problems.extend(found);
                    uses.insert(path.canonicalize().unwrap_or_else(|_| path.clone()), used);
                }
                Err(_) => {
                    let problem = Problem::of_file(Severity::Error, path, "is not UTF-8 text");
                    problems.push(problem.help("save it as UTF-8"));
                }
            },
            Err(error) => {
                let message = format!("cannot be read: {error}");
                problems.push(Problem::of_file(Severity::Error, path, message));
            }
        }
    }
    problems.extend(permissions::refused(config, &found, &uses));
    for script in &found {
        for rival in &script.rivals {
            let name = &script.name;
            let message = format!("{} is a script \"{name}\", too", rival.display());
            let problem = Problem::of_file(Severity::Error, &script.path, message);
            problems.push(problem.help("rename or remove one of them"));
        }
    }
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
fn script(path: &Path, text: &str, root: &Path, commands: &mut Commands) -> (Vec<Problem>, Uses) {
    let source = Source::new(path, text);
    let options = ParseOptions::default().without_error_limit();
    let parsed = match ParsedSource::parse(text, options) {
        Ok(parsed) => parsed,
        Err(errors) => return (syntax(&source, errors.errors()), Uses::default()),
    };
    let mut problems = syntax(&source, &parsed.metadata().errors);
    let broken: BTreeSet<usize> = problems.iter().map(|problem| problem.line).collect();
    let (found, uses) = lint::lint(&source, &parsed, root, commands);
    // What the parser made of a broken line is a guess.
    problems.extend(
        found
            .into_iter()
            .filter(|problem| !broken.contains(&problem.line)),
    );
    (problems, uses)
}

/// Checks a text that is in no folder, as the examples of the documentation are.
pub fn text(name: &Path, text: &str) -> Vec<Problem> {
    let (mut problems, _) = script(name, text, Path::new(""), &mut Commands::default());
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
