//! Lists: what `table.insert`, `table.sort` and `table.find` are given is of the list's type.
//!
//! All three are generic in the element. Luau's checker looks at a literal or a function before it has
//! bound the element, so that `{ type = "bold" }` becomes a table with any text in `type`, which no list
//! of entities takes, and the parameters of a comparison become `unknown`. The list says what they are:
//! the text that the checker reads gets it (`table.sort<<typeof(list[1])>>(list, …)`), and then literals
//! and functions are checked against it exactly. That holds as well for a list whose elements nobody has
//! written down: then its element is whatever the checker has found so far.

use luau_syntax::ast::{Expression, ExpressionKind};

use super::hints::Hints;
use super::literal::range;
use crate::config::Source;

/// Tells the checker what a call of the function `path` is about, if it is one of these.
pub fn hint(
    hints: &mut Hints,
    source: &Source<'_>,
    path: &str,
    func: Expression<'_>,
    args: &[Expression<'_>],
) {
    let list = args.first().and_then(|list| named(source, *list));
    let Some(element) = list.map(|list| format!("typeof({list}[1])")) else {
        return;
    };
    match (path, args) {
        ("table.insert", [_, value] | [_, _, value]) if is_inferred_first(*value) => {
            hints.fits(value.location(), &element);
        }
        ("table.sort" | "table.find", _) => hints.instantiate(func.location().end, &element),
        _ => {}
    }
}

/// Whether the checker makes up its mind about an expression before it knows what is wanted.
fn is_inferred_first(value: Expression<'_>) -> bool {
    match value.kind() {
        ExpressionKind::Table { .. }
        | ExpressionKind::String { .. }
        | ExpressionKind::FunctionLiteral(_)
        | ExpressionKind::If { .. } => true,
        ExpressionKind::Grouped(inner) => is_inferred_first(inner),
        _ => false,
    }
}

/// The text of an expression that names something and computes nothing: `self.lists[key]`.
fn named<'s>(source: &'s Source<'_>, expression: Expression<'_>) -> Option<&'s str> {
    fn is_name(expression: Expression<'_>) -> bool {
        match expression.kind() {
            ExpressionKind::Local { .. } | ExpressionKind::Global(_) => true,
            ExpressionKind::IndexName { expr, .. } => is_name(expr),
            ExpressionKind::IndexExpr { expr, index } => {
                let is_key = matches!(
                    index.kind(),
                    ExpressionKind::String { .. } | ExpressionKind::Number { .. }
                );
                is_name(expr) && (is_key || is_name(index))
            }
            _ => false,
        }
    }
    let text = source.text().get(range(source, expression.location()))?;
    // A hint is within one line.
    (is_name(expression) && !text.contains('\n')).then_some(text)
}
