//! The definitions of slash commands.

use std::path::PathBuf;

use luau_syntax::ast::{Expression, TableItem};
use luau_syntax::location::Location;

use super::literal::{Fields, Literal, literal, text};
use super::notes::Notes;
use super::params;
use crate::contract;

/// The commands that the scripts of a bot register.
#[derive(Default)]
pub struct Commands {
    seen: Vec<Seen>,
}

struct Seen {
    name: String,
    space: Option<String>,
    path: PathBuf,
    line: usize,
}

/// Checks the definition that `argon.command` gets.
pub fn definition<'ast>(
    notes: &mut Notes<'_>,
    commands: &mut Commands,
    items: &'ast [TableItem<'ast>],
    at: Location,
) {
    let Some(route) = contract::route("ICommands", "Register") else {
        return;
    };
    let fields: Vec<_> = route.params().collect();
    params::table(notes, "argon.command", &fields, &["run"], items, at);
    let given = Fields::of(items);
    match given.get("run").map(literal) {
        None if !given.open => {
            let help = "write run = function(interaction, options) … end".to_owned();
            notes.error(at, "argon.command: \"run\" is missing", Some(help));
        }
        None | Some(Literal::Function | Literal::Computed) => {}
        Some(other) => {
            let message = format!(
                "argon.command: run must be a function, not {}",
                other.kind()
            );
            notes.error(at, message, None);
        }
    }
    if let Some(value) = given.get("name") {
        name(notes, "argon.command: name", value);
        if let Some(text) = text(value) {
            taken(
                notes,
                commands,
                &given,
                &text.to_lowercase(),
                value.location(),
            );
        }
    }
    if let Some(Literal::Table(items)) = given.get("options").map(literal) {
        options(notes, items);
    }
}

/// Names of commands and options are letters, digits, - and _.
fn name(notes: &mut Notes<'_>, what: &str, value: Expression<'_>) {
    let Some(text) = text(value) else { return };
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    if !text.chars().all(fits) {
        let help = match text.strip_prefix('/') {
            Some(rest) => format!("write \"{rest}\": the slash is not part of the name"),
            None => "a name is 1 to 32 lower-case letters, digits, - or _".to_owned(),
        };
        notes.error(
            value.location(),
            format!("{what} cannot be \"{text}\""),
            Some(help),
        );
    }
}

/// Whether the bot has the command already. Names in one space and global ones do not clash.
fn taken(
    notes: &mut Notes<'_>,
    commands: &mut Commands,
    given: &Fields<'_>,
    name: &str,
    at: Location,
) {
    let space = match given
        .get("spaceId")
        .map(|value| (text(value), literal(value)))
    {
        None | Some((_, Literal::Nil)) => None,
        Some((Some(space), _)) => Some(space),
        // It may be any space.
        Some((None, _)) => return,
    };
    let same = commands
        .seen
        .iter()
        .find(|seen| seen.name == name && seen.space == space);
    if let Some(first) = same {
        let message = format!("the command \"{name}\" is registered twice");
        let help = format!(
            "the other one is at {}:{}",
            first.path.display(),
            first.line
        );
        notes.error(at, message, Some(help));
        return;
    }
    commands.seen.push(Seen {
        name: name.to_owned(),
        space,
        path: notes.path().to_owned(),
        line: at.begin.line as usize + 1,
    });
}

fn options<'ast>(notes: &mut Notes<'_>, items: &'ast [TableItem<'ast>]) {
    let mut names: Vec<String> = Vec::new();
    for option in Fields::of(items).listed {
        let Literal::Table(items) = literal(option) else {
            continue;
        };
        let option = Fields::of(items);
        let Some(value) = option.get("name") else {
            continue;
        };
        name(notes, "argon.command: the option's name", value);
        if let Some(text) = text(value) {
            if names.contains(&text) {
                let message = format!("argon.command: the option \"{text}\" is there twice");
                notes.error(value.location(), message, None);
            }
            names.push(text);
        }
        if let Some(Literal::Table(items)) = option.get("subOptions").map(literal) {
            options(notes, items);
        }
    }
}
