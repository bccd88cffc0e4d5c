//! Types of parameters that follow from other arguments of the same call.
//!
//! `argon.on("messageCreate", function(event) … end)`: that `event` is a `MessageCreateEvent` follows
//! from the first argument. Luau's checker infers the function before it has looked at the name, so
//! that a mistake inside is told at the function as a whole, in terms of what it inferred. The walk over
//! the script knows better, and tells the checker by writing the annotation into the text that the
//! checker reads. Places in that text are turned back into places of the author's.

use std::fmt::Write as _;

use luau_syntax::ast::Local;
use luau_syntax::location::{Location, Position};

use super::literal::{Fields, Literal, literal, text};

/// Annotations for one file.
#[derive(Debug, Default, Clone)]
pub struct Hints {
    /// Where each goes (line and byte column, from 0), and its text; in order once they are applied.
    all: Vec<(u32, u32, String)>,
}

impl Hints {
    /// A parameter has a type, unless its author wrote one.
    pub fn add(&mut self, parameter: &Local<'_>, ty: &str) {
        if parameter.annotation.is_none() {
            let end = parameter.location.end;
            self.all.push((end.line, end.column, format!(": {ty}")));
            self.all.sort();
        }
    }

    /// The text with the annotations in it.
    pub fn write_into(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (number, line) in (0..).zip(text.split_inclusive('\n')) {
            let mut done = 0;
            for (_, column, hint) in self.all.iter().filter(|(at, _, _)| *at == number) {
                let column = *column as usize;
                out.push_str(&line[done..column]);
                out.push_str(hint);
                done = column;
            }
            out.push_str(&line[done..]);
        }
        out
    }

    /// The author's place for one in the text with annotations. One inside an annotation is the end of
    /// the parameter.
    pub fn original(&self, at: Location) -> Location {
        Location {
            begin: self.position(at.begin),
            end: self.position(at.end),
        }
    }

    fn position(&self, at: Position) -> Position {
        let mut column = at.column;
        for (_, from, hint) in self.all.iter().filter(|(line, _, _)| *line == at.line) {
            if column <= *from {
                break;
            }
            column = column.saturating_sub(hint.len() as u32).max(*from);
        }
        Position { column, ..at }
    }
}

/// The type of the `options` that a command's `run` gets, from its definition; `None` where that is
/// computed.
pub fn of_options(definition: &Fields<'_>) -> Option<String> {
    let mut ty = String::from("{ ");
    let given = match definition.get("options").map(literal) {
        None if definition.open => return None,
        None | Some(Literal::Nil) => return Some("{}".to_owned()),
        Some(Literal::Table(items)) => Fields::of(items),
        Some(_) => return None,
    };
    if given.open || !given.named.is_empty() {
        return None;
    }
    for option in given.listed {
        let Literal::Table(items) = literal(option) else {
            return None;
        };
        let option = Fields::of(items);
        let name = option.get("name").and_then(text)?;
        let kind = match option.get("type").and_then(text)?.as_str() {
            "integer" | "number" => "number",
            "boolean" => "boolean",
            "string" | "user" | "channel" | "role" => "string",
            _ => "any",
        };
        let required = match option.get("required") {
            None => option.open,
            // What is computed may be true.
            Some(value) => value.as_boolean().is_none_or(|boolean| boolean.value),
        };
        let mark = if required { "" } else { "?" };
        let _ = write!(ty, "[{name:?}]: {kind}{mark}, ");
    }
    Some(ty + "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(all: &[(u32, u32, &str)]) -> Hints {
        let all = all
            .iter()
            .map(|&(line, column, text)| (line, column, text.to_owned()));
        Hints { all: all.collect() }
    }

    #[test]
    fn annotations_are_written_and_places_behind_them_found_again() {
        let hints = hints(&[(1, 3, ": A"), (1, 6, ": BB")]);
        let text = "x\nf(a, b) c\n";
        assert_eq!(hints.write_into(text), "x\nf(a: A, b: BB) c\n");
        let at = |column| hints.position(Position { line: 1, column }).column;
        // f ( a | : A | , _ b | : BB | ) _ c
        assert_eq!(
            [at(0), at(3), at(4), at(6), at(7), at(9), at(10), at(13)],
            [0, 3, 3, 3, 4, 6, 6, 6]
        );
        assert_eq!((at(14), at(15)), (7, 8));
        let other = Position { line: 0, column: 9 };
        assert_eq!(hints.position(other), other);
    }
}
