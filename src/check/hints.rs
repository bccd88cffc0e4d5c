//! Types that follow from other arguments of the same call.
//!
//! `argon.on("messageCreate", function(event) … end)`: that `event` is a `MessageCreateEvent` follows
//! from the first argument. Luau's checker infers the function before it has looked at the name, so
//! that a mistake inside is told at the function as a whole, in terms of what it inferred. The walk over
//! the script knows better, and tells the checker by writing types into the text that the checker reads.
//! Places in that text are turned back into places of the author's; what the checker has to say of the
//! inserted text alone is nothing of the author's.

use std::fmt::Write as _;

use luau_syntax::ast::{Expression, Local};
use luau_syntax::location::{Location, Position};

use super::literal::{Fields, Literal, literal, text};

/// What the inserted texts use, for the checker alone: the value, which must fit the type.
pub const DECLARED: &str = "declare function __argon_fits<T>(value: T): T\n";

/// Texts to insert into one file.
#[derive(Debug, Default, Clone)]
pub struct Hints {
    /// Where each goes (line and byte column, from 0), and its text, without line ends; in order.
    all: Vec<(u32, u32, String)>,
    /// Calls with function literals: where, and the parameters of these that have no type; inner ones later.
    guessed: Vec<(Location, Vec<Position>)>,
}

impl Hints {
    /// A parameter has a type, unless its author wrote one.
    pub fn add(&mut self, parameter: &Local<'_>, ty: &str) {
        if parameter.annotation.is_none() {
            self.insert(parameter.location.end, format!(": {ty}"));
        }
    }

    /// A value is checked against a type as it is written.
    pub fn fits(&mut self, value: Location, ty: &str) {
        self.insert(value.begin, format!("__argon_fits<<{ty}>>("));
        self.insert(value.end, ")".to_owned());
    }

    /// The type parameter of a function that is called there, behind its name.
    pub fn instantiate(&mut self, at: Position, ty: &str) {
        self.insert(at, format!("<<{ty}>>"));
    }

    /// A function is called with literals of functions, and the checker infers what their parameters are.
    pub fn guess(&mut self, function: Location, args: &[Expression<'_>]) {
        let literals = args.iter().filter_map(|arg| arg.as_function());
        let untyped: Vec<_> = literals
            .flat_map(|literal| literal.args)
            .filter(|parameter| parameter.annotation.is_none())
            .map(|parameter| parameter.location.end)
            .collect();
        if let Some(last) = args.last().filter(|_| !untyped.is_empty()) {
            let call = Location {
                begin: function.begin,
                end: last.location().end,
            };
            self.guessed.push((call, untyped));
        }
    }

    /// What the checker has inferred for the innermost of these calls around a place is wrong: from now on
    /// those parameters may be anything. Answers whether there is such a call, and is none any more.
    pub fn free(&mut self, at: Location) -> bool {
        let order = |at: Position| (at.line, at.column);
        let holds = |(call, _): &(Location, _)| {
            order(call.begin) <= order(at.begin) && order(at.end) <= order(call.end)
        };
        let Some(index) = self.guessed.iter().rposition(holds) else {
            return false;
        };
        for at in self.guessed.remove(index).1 {
            let hinted = |(line, column, _): &(u32, u32, _)| (*line, *column) == order(at);
            if !self.all.iter().any(hinted) {
                self.insert(at, ": any".to_owned());
            }
        }
        true
    }

    fn insert(&mut self, at: Position, text: String) {
        self.all.push((at.line, at.column, text));
        self.all.sort();
    }

    /// The text with all that in it.
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

    /// Whether a place of the text with hints is in what was inserted, and in nothing of the author's.
    pub fn inserted(&self, at: Location) -> bool {
        let original = self.original(at);
        original.begin == original.end && at.begin != at.end
    }

    /// The author's place for one in the text with hints. One inside a hint is where that was inserted.
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
        Hints {
            all: all.collect(),
            ..Hints::default()
        }
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
        let place = |from, to| Location {
            begin: Position {
                line: 1,
                column: from,
            },
            end: Position {
                line: 1,
                column: to,
            },
        };
        assert!(hints.inserted(place(4, 6)) && hints.inserted(place(9, 13)));
        assert!(!hints.inserted(place(2, 6)) && !hints.inserted(place(4, 7)));
        assert!(!hints.inserted(place(14, 15)) && !hints.inserted(place(2, 2)));
    }
}
