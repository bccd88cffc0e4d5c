//! Rules of a message as a whole: spans inside the text, identifiers unique over all controls.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::problem::Check;

/// A message that is sent or edited.
pub(super) fn message(message: &mut Map<String, Value>, check: &mut Check) {
    if message.get("randomId").and_then(Value::as_i64) == Some(0) {
        check.problem_at(
            "randomId",
            "0 means none, and messages without one are taken for repetitions; leave it out",
        );
    }
    spans_inside_text(message, check);
    unique_identifiers(message, check);
}

/// Offset and length count UTF-16 code units of the text.
fn spans_inside_text(message: &Map<String, Value>, check: &mut Check) {
    let Some(text) = message.get("text").and_then(Value::as_str) else {
        return;
    };
    let Some(entities) = message.get("entities").and_then(Value::as_array) else {
        return;
    };
    let units = text.encode_utf16().count() as i64;
    check.field("entities", |check| {
        for (at, entity) in entities.iter().enumerate() {
            let number = |name: &str| entity.get(name).and_then(Value::as_i64);
            if let (Some(offset), Some(length)) = (number("offset"), number("length"))
                && offset + length > units
            {
                check.index(at, |check| {
                    check.problem(format_args!(
                        "ends at {} but the text has {units} UTF-16 code units",
                        offset + length
                    ));
                });
            }
        }
    });
}

/// The platform finds a control by its identifier alone.
fn unique_identifiers(message: &Map<String, Value>, check: &mut Check) {
    let Some(rows) = message.get("controls").and_then(Value::as_array) else {
        return;
    };
    let mut seen = HashSet::new();
    check.field("controls", |check| {
        for (row_at, row) in rows.iter().enumerate() {
            let controls = row.get("controls").and_then(Value::as_array);
            for (at, control) in controls.into_iter().flatten().enumerate() {
                for name in ["id", "customId"] {
                    if let Some(id) = control.get(name).and_then(Value::as_str)
                        && !seen.insert(id)
                    {
                        check.index(row_at, |check| {
                            check.field("controls", |check| {
                                check.index(at, |check| {
                                    check.problem_at(
                                        name,
                                        format_args!(
                                            "{id:?} is used twice; identifiers must be unique in \
                                             the message"
                                        ),
                                    );
                                });
                            });
                        });
                    }
                }
            }
        }
    });
}
