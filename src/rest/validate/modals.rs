//! Rules of modals. An invalid one would be a bare 500 that still uses the interaction up.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::controls::{name, not_blank, ordered, refuse, select_options};
use super::problem::Check;
use crate::contract::{MODAL_COMPONENT_TYPE, TEXT_STYLE};

/// Fields that belong to some kinds of component only.
const OWN_FIELDS: &[(&str, &[&str])] = &[
    ("style", &["textInput"]),
    ("minLength", &["textInput"]),
    ("maxLength", &["textInput"]),
    ("value", &["textInput"]),
    ("default", &["checkbox"]),
    ("minValues", SELECTS),
    ("maxValues", SELECTS),
];
const SELECTS: &[&str] = &[
    "stringSelect",
    "userSelect",
    "archetypeSelect",
    "channelSelect",
];

/// The form as a whole.
pub(super) fn modal(modal: &mut Map<String, Value>, check: &mut Check) {
    not_blank(modal, "title", check);
    not_blank(modal, "customId", check);
    let components = modal.get("components").and_then(Value::as_array);
    let mut seen = HashSet::new();
    for (at, component) in components.into_iter().flatten().enumerate() {
        if let Some(id) = component.get("customId").and_then(Value::as_str)
            && !seen.insert(id)
        {
            check.field("components", |check| {
                check.index(at, |check| {
                    check.problem_at(
                        "customId",
                        format_args!("{id:?} is used twice; identifiers must be unique"),
                    );
                });
            });
        }
    }
}

/// One component.
pub(super) fn component(component: &mut Map<String, Value>, check: &mut Check) {
    let Some(kind) = name(component, "type", &MODAL_COMPONENT_TYPE) else {
        return; // reported
    };
    not_blank(component, "label", check);
    not_blank(component, "customId", check);
    for (field, kinds) in OWN_FIELDS {
        if !kinds.contains(&kind) {
            refuse(component, &[field], kind, check);
        }
    }
    ordered(component, "minLength", "maxLength", check);
    ordered(component, "minValues", "maxValues", check);
    select_options(component, kind, check);
    if kind == "textInput" {
        text_input(component, check);
    }
}

fn text_input(component: &mut Map<String, Value>, check: &mut Check) {
    if !component.contains_key("style")
        && let Some(short) = TEXT_STYLE.number("short")
    {
        component.insert("style".to_owned(), Value::from(short));
    }
    let most = component.get("maxLength").and_then(Value::as_i64);
    if most == Some(0) {
        check.problem_at("maxLength", "is 0; nothing could be written");
    }
    if let (Some(most), Some(value)) = (most, component.get("value").and_then(Value::as_str)) {
        let units = value.encode_utf16().count() as i64;
        if most > 0 && units > most {
            check.problem_at(
                "value",
                format_args!("has {units} characters, more than maxLength ({most})"),
            );
        }
    }
}
