//! What an expression says in itself, without being run.

use std::ops::Range;

use luau_syntax::ast::{Expression, ExpressionKind, TableItem, UnaryOp};
use luau_syntax::location::Location;

use crate::config::Source;

/// An expression as far as its text alone tells.
pub enum Literal<'ast> {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A table constructor.
    Table(&'ast [TableItem<'ast>]),
    /// A function.
    Function,
    /// Something that is computed.
    Computed,
}

impl Literal<'_> {
    /// What it is, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Literal::Nil => "nil",
            Literal::Boolean => "a boolean",
            Literal::Number(_) => "a number",
            Literal::Text(_) => "a string",
            Literal::Table(_) => "a table",
            Literal::Function => "a function",
            Literal::Computed => "computed",
        }
    }
}

/// Reads an expression.
pub fn literal<'ast>(expression: Expression<'ast>) -> Literal<'ast> {
    match expression.kind() {
        ExpressionKind::Grouped(inner) => literal(inner),
        ExpressionKind::TypeAssertion { expr, .. } => literal(expr),
        ExpressionKind::Nil => Literal::Nil,
        ExpressionKind::Boolean(_) => Literal::Boolean,
        ExpressionKind::Number { value, .. } => Literal::Number(value),
        ExpressionKind::Integer { value, .. } => Literal::Number(value as f64),
        ExpressionKind::Unary {
            op: UnaryOp::Negate,
            rhs,
        } => match literal(rhs) {
            Literal::Number(value) => Literal::Number(-value),
            _ => Literal::Computed,
        },
        ExpressionKind::String { value, .. } => {
            Literal::Text(String::from_utf8_lossy(value.as_bytes()).into_owned())
        }
        ExpressionKind::Table { items } => Literal::Table(items),
        ExpressionKind::FunctionLiteral(_) => Literal::Function,
        _ => Literal::Computed,
    }
}

/// The text of a string literal.
pub fn text(expression: Expression<'_>) -> Option<String> {
    match literal(expression) {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

/// A table constructor as named fields.
pub struct Fields<'ast> {
    /// Key, place of the key, value.
    pub named: Vec<(String, Location, Expression<'ast>)>,
    /// Values without a key.
    pub listed: Vec<Expression<'ast>>,
    /// Whether other keys are computed, so that a field that is not seen may still be there.
    pub open: bool,
}

impl<'ast> Fields<'ast> {
    /// Reads the items of a table constructor.
    pub fn of(items: &'ast [TableItem<'ast>]) -> Self {
        let mut fields = Self {
            named: Vec::new(),
            listed: Vec::new(),
            open: false,
        };
        for item in items {
            match *item {
                TableItem::List { value } => fields.listed.push(value),
                TableItem::Record { key, value } | TableItem::General { key, value } => {
                    match literal(key) {
                        Literal::Text(name) => fields.named.push((name, key.location(), value)),
                        _ => fields.open = true,
                    }
                }
            }
        }
        fields
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<Expression<'ast>> {
        let mut found = self.named.iter().filter(|(key, _, _)| key == name);
        found.next_back().map(|&(_, _, value)| value)
    }
}

/// The bytes of a location.
pub fn range(source: &Source<'_>, location: Location) -> Range<usize> {
    let at = |line: u32, column: u32| source.offset(line as usize, column as usize);
    at(location.begin.line, location.begin.column)..at(location.end.line, location.end.column)
}
