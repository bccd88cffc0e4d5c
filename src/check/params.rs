//! Tables of literals against the contract's parameters.

use luau_syntax::ast::{Expression, TableItem};
use luau_syntax::location::Location;

use super::literal::{Fields, Literal, literal, text};
use super::notes::Notes;
use crate::config::suggest::did_you_mean;
use crate::contract::{Enum, Field, Limit, Type, Union};

/// Up to here every whole number has a number of its own in Luau.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Checks a table against fields. `extra` names keys that are not the platform's.
pub fn table<'ast>(
    notes: &mut Notes<'_>,
    what: &str,
    fields: &[&'static Field],
    extra: &[&str],
    items: &'ast [TableItem<'ast>],
    at: Location,
) {
    let given = Fields::of(items);
    for (name, place, value) in &given.named {
        match fields.iter().find(|field| field.name == name) {
            Some(field) => self::value(notes, &format!("{what}: {name}"), field, *value),
            None if extra.contains(&name.as_str()) => {}
            None => {
                let known = || {
                    fields
                        .iter()
                        .map(|field| field.name)
                        .chain(extra.iter().copied())
                };
                let help = did_you_mean(name, known()).unwrap_or_else(|| match known().next() {
                    Some(_) => format!("it has {}", known().collect::<Vec<_>>().join(", ")),
                    None => "it has no parameters".to_owned(),
                });
                notes.error(
                    *place,
                    format!("{what}: unknown field \"{name}\""),
                    Some(help),
                );
            }
        }
    }
    if let Some(value) = given.listed.first() {
        let message = format!("{what}: a value without a name");
        let help = "write name = value".to_owned();
        notes.error(value.location(), message, Some(help));
    }
    if given.open {
        return;
    }
    for field in fields.iter().filter(|field| !field.optional) {
        let absent = match given.get(field.name) {
            None => true,
            Some(value) => matches!(literal(value), Literal::Nil),
        };
        // A misspelt name is said once.
        let misspelt = given.named.iter().any(|(name, _, _)| {
            !fields.iter().any(|field| field.name == name)
                && crate::config::suggest::nearest(name, [field.name]).is_some()
        });
        if absent && !misspelt {
            notes.error(at, format!("{what}: \"{}\" is missing", field.name), None);
        }
    }
}

fn value(notes: &mut Notes<'_>, what: &str, field: &Field, given: Expression<'_>) {
    check(notes, what, &field.ty, field.limit, given);
}

fn check(notes: &mut Notes<'_>, what: &str, ty: &Type, limit: Limit, given: Expression<'_>) {
    let at = given.location();
    let found = literal(given);
    // Nil is an absent field.
    if matches!(found, Literal::Computed | Literal::Nil) {
        return;
    }
    let wrong = |notes: &mut Notes<'_>, wanted: &str| {
        notes.error(
            at,
            format!("{what} must be {wanted}, not {}", found.kind()),
            None,
        );
    };
    match (ty, &found) {
        (Type::Any, _) => {}
        (Type::String | Type::Guid | Type::Time, Literal::Text(text)) => {
            if matches!(ty, Type::Guid) && text.is_empty() {
                notes.error(at, format!("{what} is empty"), None);
            }
            length(notes, what, text, limit, at);
        }
        (Type::String | Type::Guid | Type::Time, _) => wrong(notes, "a string"),
        (Type::Id64, Literal::Text(text)) => {
            if text.parse::<i64>().is_err() {
                notes.error(at, format!("{what} must be a whole number in digits"), None);
            }
        }
        (Type::Id64, Literal::Number(number)) => {
            if number.fract() != 0.0 || number.abs() > EXACT {
                let message = format!("{what} is not exact as a number");
                let help = "ids exceed 2^53: write it as a string".to_owned();
                notes.error(at, message, Some(help));
            }
        }
        (Type::Id64, _) => wrong(notes, "an id, a string or a whole number"),
        (Type::Int32 | Type::Uint32 | Type::Int64, Literal::Number(number)) => {
            whole(notes, what, ty, *number, at);
            range(notes, what, *number, limit, at);
        }
        (Type::Int32 | Type::Uint32 | Type::Int64, _) => wrong(notes, "a whole number"),
        (Type::Float, Literal::Number(number)) => range(notes, what, *number, limit, at),
        (Type::Float, _) => wrong(notes, "a number"),
        (Type::Bool, Literal::Boolean) => {}
        (Type::Bool, _) => wrong(notes, "true or false"),
        (Type::Choice(words), Literal::Text(word)) => {
            if !words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                unknown_word(notes, what, word, words, at);
            }
        }
        (Type::Choice(_), _) => wrong(notes, "a string"),
        (Type::Enum(names), found) => enumeration(notes, what, names, found, at),
        // Sets come from the platform; scripts send none.
        (Type::Flags(_), _) => {}
        (Type::Object(shape), Literal::Table(items)) => {
            let fields: Vec<_> = shape.fields.iter().collect();
            table(notes, what, &fields, &[], items, at);
        }
        (Type::Union(union), Literal::Table(items)) => variant(notes, what, union, items, at),
        (Type::Map(_), Literal::Table(_)) => {}
        (Type::Object(_) | Type::Map(_) | Type::Union(_), _) => wrong(notes, "a table"),
        (Type::List(of), Literal::Table(items)) => list(notes, what, of, limit, items, at),
        (Type::List(_), _) => wrong(notes, "a list"),
    }
}

fn list<'ast>(
    notes: &mut Notes<'_>,
    what: &str,
    of: &Type,
    limit: Limit,
    items: &'ast [TableItem<'ast>],
    at: Location,
) {
    let given = Fields::of(items);
    if let Some((name, place, _)) = given.named.first() {
        let message = format!("{what} is a list, and \"{name}\" is a name in it");
        let help = "put each element into braces of its own: { { … }, { … } }".to_owned();
        notes.error(*place, message, Some(help));
        return;
    }
    for (index, item) in given.listed.iter().enumerate() {
        check(
            notes,
            &format!("{what}[{}]", index + 1),
            of,
            Limit::None,
            *item,
        );
    }
    // The last element may be a call or `...`, which may have many values.
    let closed = given.listed.last().is_none_or(|last| {
        last.as_call().is_none()
            && !matches!(last.kind(), luau_syntax::ast::ExpressionKind::Varargs)
    });
    if let Limit::Count(least, most) = limit
        && closed
        && !given.open
    {
        let count = given.listed.len();
        if count < least || count > most {
            let message = format!("{what} must have {least} to {most} elements, it has {count}");
            notes.error(at, message, None);
        }
    }
}

fn variant<'ast>(
    notes: &mut Notes<'_>,
    what: &str,
    union: &'static Union,
    items: &'ast [TableItem<'ast>],
    at: Location,
) {
    let tag = Fields::of(items).get(union.tag).and_then(text);
    let own: Vec<&'static Field> = match &tag {
        Some(tag) => {
            let name = union
                .tags
                .names()
                .find(|name| name.eq_ignore_ascii_case(tag));
            union.own_fields(name.unwrap_or(tag)).iter().collect()
        }
        None => return,
    };
    let fields: Vec<_> = union.common.iter().chain(own).collect();
    table(notes, what, &fields, &[], items, at);
}

fn enumeration(
    notes: &mut Notes<'_>,
    what: &str,
    names: &'static Enum,
    found: &Literal<'_>,
    at: Location,
) {
    match found {
        Literal::Text(name) if names.number(name).is_none() => {
            let known: Vec<_> = names.names().collect();
            unknown_word(notes, what, name, &known, at);
        }
        Literal::Number(number)
            if !names
                .values
                .iter()
                .any(|&(known, _)| known as f64 == *number) =>
        {
            let message = format!("{what}: no {} has the number {number}", names.name);
            notes.error(at, message, None);
        }
        Literal::Text(_) | Literal::Number(_) => {}
        other => {
            let message = format!("{what} must be a string, not {}", other.kind());
            notes.error(at, message, None);
        }
    }
}

fn unknown_word(notes: &mut Notes<'_>, what: &str, word: &str, known: &[&str], at: Location) {
    let help = did_you_mean(word, known.iter().copied())
        .unwrap_or_else(|| format!("it is one of {}", known.join(", ")));
    notes.error(at, format!("{what} cannot be \"{word}\""), Some(help));
}

/// Text is measured in UTF-16 code units, as the platform does.
fn length(notes: &mut Notes<'_>, what: &str, text: &str, limit: Limit, at: Location) {
    if let Limit::Length(least, most) = limit {
        let length = text.encode_utf16().count();
        if length < least || length > most {
            let message = format!("{what} must have {least} to {most} characters, it has {length}");
            notes.error(at, message, None);
        }
    }
}

fn whole(notes: &mut Notes<'_>, what: &str, ty: &Type, number: f64, at: Location) {
    let (least, most) = match ty {
        Type::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        Type::Uint32 => (0.0, f64::from(u32::MAX)),
        _ => (-EXACT, EXACT),
    };
    if number.fract() != 0.0 {
        notes.error(at, format!("{what} must be a whole number"), None);
    } else if number < least || number > most {
        notes.error(at, format!("{what} is out of range"), None);
    }
}

fn range(notes: &mut Notes<'_>, what: &str, number: f64, limit: Limit, at: Location) {
    let message = match limit {
        Limit::Range(least, most) if number < least || number > most => {
            format!("{what} must be from {least} to {most}")
        }
        Limit::Below(least, most) if number < least || number >= most => {
            format!("{what} must be at least {least} and below {most}")
        }
        _ => return,
    };
    notes.error(at, message, None);
}
