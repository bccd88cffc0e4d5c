//! Rules of buttons, selects and their rows.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::problem::Check;
use crate::contract::{BUTTON_VARIANT, CONTROL_TYPE};

/// Fields that only a button has; the platform refuses a select with one of them.
const BUTTON_FIELDS: &[&str] = &["variant", "label", "id", "url", "colour"];
/// Fields that only a select has; the platform refuses a button with one of them.
const SELECT_FIELDS: &[&str] = &[
    "customId",
    "placeholder",
    "minValues",
    "maxValues",
    "options",
];

/// A row is up to five buttons (the contract's count) or one select.
pub(super) fn row(row: &mut Map<String, Value>, check: &mut Check) {
    let Some(controls) = row.get("controls").and_then(Value::as_array) else {
        return;
    };
    let selects = controls
        .iter()
        .filter_map(|control| control.get("type")?.as_i64())
        .filter(|&number| CONTROL_TYPE.name_of(number) != Some("button"))
        .count();
    if selects > 0 && controls.len() > 1 {
        check.problem_at(
            "controls",
            "a row holds either buttons or exactly one select",
        );
    }
}

/// One button or select.
pub(super) fn control(control: &mut Map<String, Value>, check: &mut Check) {
    let Some(kind) = name(control, "type", &CONTROL_TYPE) else {
        return; // reported
    };
    if kind == "button" {
        refuse(control, SELECT_FIELDS, kind, check);
        button(control, check);
    } else {
        refuse(control, BUTTON_FIELDS, kind, check);
        require(control, "customId", kind, check);
        ordered(control, "minValues", "maxValues", check);
        select_options(control, kind, check);
    }
}

fn button(button: &mut Map<String, Value>, check: &mut Check) {
    require(button, "label", "button", check);
    if !button.contains_key("variant") {
        let link = button.contains_key("url") && !button.contains_key("id");
        let variant = if link { "link" } else { "callback" };
        if let Some(number) = BUTTON_VARIANT.number(variant) {
            button.insert("variant".to_owned(), Value::from(number));
        }
    }
    match name(button, "variant", &BUTTON_VARIANT) {
        Some("link") => {
            require(button, "url", "link button", check);
            refuse(button, &["id"], "link button", check);
        }
        Some(_) => {
            require(button, "id", "callback button", check);
            refuse(button, &["url"], "callback button", check);
        }
        None => {}
    }
    if let Some(url) = button.get("url").and_then(Value::as_str) {
        let web = reqwest::Url::parse(url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !web {
            check.problem_at("url", "is not an http or https address");
        }
    }
}

/// One option of a string select.
pub(super) fn option(option: &mut Map<String, Value>, check: &mut Check) {
    not_blank(option, "label", check);
    not_blank(option, "value", check);
}

/// A string select has options with unique values, the other selects fill themselves.
pub(super) fn select_options(select: &Map<String, Value>, kind: &str, check: &mut Check) {
    if kind != "stringSelect" {
        refuse(select, &["options"], kind, check);
        return;
    }
    require(select, "options", kind, check);
    let options = select.get("options").and_then(Value::as_array);
    let mut seen = HashSet::new();
    for (at, option) in options.into_iter().flatten().enumerate() {
        if let Some(value) = option.get("value").and_then(Value::as_str)
            && !seen.insert(value)
        {
            check.field("options", |check| {
                check.index(at, |check| {
                    check.problem_at(
                        "value",
                        format_args!("{value:?} is used twice; values must be unique"),
                    );
                });
            });
        }
    }
}

/// The name behind an enum field's number.
pub(super) fn name(
    object: &Map<String, Value>,
    field: &str,
    known: &'static crate::contract::Enum,
) -> Option<&'static str> {
    known.name_of(object.get(field)?.as_i64()?)
}

/// A field that this kind cannot do without; blank text does not count.
pub(super) fn require(object: &Map<String, Value>, field: &str, kind: &str, check: &mut Check) {
    match object.get(field) {
        None => check.problem_at(field, format_args!("is missing; a {kind} needs it")),
        Some(_) => not_blank(object, field, check),
    }
}

/// Text of white space only is refused by the platform as empty.
pub(super) fn not_blank(object: &Map<String, Value>, field: &str, check: &mut Check) {
    let text = object.get(field).and_then(Value::as_str);
    if text.is_some_and(|text| text.trim().is_empty()) {
        check.problem_at(field, "is blank");
    }
}

/// Fields that this kind must not have.
pub(super) fn refuse(object: &Map<String, Value>, fields: &[&str], kind: &str, check: &mut Check) {
    for field in fields {
        if object.contains_key(*field) {
            check.problem_at(field, format_args!("does not belong to a {kind}"));
        }
    }
}

/// A lower bound may not exceed its upper one.
pub(super) fn ordered(object: &Map<String, Value>, low: &str, high: &str, check: &mut Check) {
    let number = |name| object.get(name).and_then(Value::as_i64);
    if let (Some(min), Some(max)) = (number(low), number(high))
        && min > max
    {
        check.problem_at(low, format_args!("is {min}, more than {high} ({max})"));
    }
}
