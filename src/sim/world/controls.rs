//! The platform's rules for the controls of a message and for modals (protocol.md, "Controls", "Modals").
//!
//! Sizes and ranges stand in the contract; the rules here are those that no single field can say. Input
//! has passed the contract's type check.

use std::collections::HashSet;

use serde_json::Value;

use crate::contract::limits::{BUTTONS_PER_ROW, CONTROL_ROWS};
use crate::contract::shapes::{CONTROL_ROW, MODAL_DEFINITION};
use crate::contract::{BUTTON_VARIANT, CONTROL_TYPE, MODAL_COMPONENT_TYPE};
use crate::sim::params::within_limits;

/// Checks the rows of controls of one message; the error says what is wrong.
pub fn check_controls(rows: &[Value]) -> Result<(), String> {
    if rows.len() > CONTROL_ROWS {
        return Err(format!("more than {CONTROL_ROWS} rows"));
    }
    let mut identifiers = HashSet::new();
    for row in rows {
        within_limits(row, &CONTROL_ROW, "row")?;
        let controls = row["controls"].as_array().map_or(&[][..], Vec::as_slice);
        let selects = controls.iter().filter(|c| !is_button(c)).count();
        if selects > 0 && controls.len() > 1 {
            return Err("a row with a select holds nothing else".to_owned());
        }
        if controls.len() > BUTTONS_PER_ROW {
            return Err(format!("more than {BUTTONS_PER_ROW} buttons in a row"));
        }
        for control in controls {
            let identifier = if is_button(control) {
                check_button(control)?
            } else {
                Some(check_select(control, &CONTROL_TYPE)?)
            };
            if let Some(identifier) = identifier
                && !identifiers.insert(identifier)
            {
                return Err(format!("{identifier} names two controls"));
            }
        }
    }
    Ok(())
}

/// Whether a control is a button.
pub fn is_button(control: &Value) -> bool {
    name_of(&CONTROL_TYPE, control) == "button"
}

fn name_of(kinds: &crate::contract::Enum, value: &Value) -> &'static str {
    let number = value["type"].as_i64().unwrap_or(-1);
    kinds.name_of(number).unwrap_or("unknown")
}

/// A button's identifier; a link has none.
fn check_button(button: &Value) -> Result<Option<&str>, String> {
    if button["label"].as_str().is_none() {
        return Err("a button needs a label".to_owned());
    }
    let variant = button["variant"].as_i64().unwrap_or(0);
    match BUTTON_VARIANT.name_of(variant) {
        Some("callback") => button["id"]
            .as_str()
            .map(Some)
            .ok_or_else(|| "a callback button needs an id".to_owned()),
        Some("link") => match button["url"].as_str() {
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => Ok(None),
            _ => Err("a link button needs an http(s) url".to_owned()),
        },
        _ => Err("an unknown button variant".to_owned()),
    }
}

/// A select's identifier; the same rules hold on a message and in a modal.
fn check_select<'a>(select: &'a Value, kinds: &crate::contract::Enum) -> Result<&'a str, String> {
    let id = select["customId"]
        .as_str()
        .ok_or_else(|| "a select needs a customId".to_owned())?;
    let options = select["options"].as_array();
    if name_of(kinds, select) == "stringSelect" {
        let Some(options) = options.filter(|options| !options.is_empty()) else {
            return Err(format!("{id}: a string select needs options"));
        };
        let mut values = HashSet::new();
        if let Some(twice) = options
            .iter()
            .find(|option| !values.insert(option["value"].as_str()))
        {
            return Err(format!("{id}: two options are worth {}", twice["value"]));
        }
    } else if options.is_some_and(|options| !options.is_empty()) {
        return Err(format!("{id}: only a string select has options"));
    }
    let (least, most) = choices(select);
    if least > most {
        return Err(format!("{id}: minValues is over maxValues"));
    }
    Ok(id)
}

/// How many values a select takes: one unless it says otherwise.
pub fn choices(select: &Value) -> (usize, usize) {
    let number = |name: &str| select[name].as_u64().map(|number| number as usize);
    let most = number("maxValues").unwrap_or(1);
    (number("minValues").unwrap_or(1.min(most)), most)
}

/// Checks a modal's definition; the error says what is wrong.
pub fn check_modal(modal: &Value) -> Result<(), String> {
    within_limits(modal, &MODAL_DEFINITION, "modal")?;
    let mut identifiers = HashSet::new();
    let components = modal["components"].as_array();
    for component in components.map_or(&[][..], Vec::as_slice) {
        let id = component["customId"].as_str().unwrap_or_default();
        if !identifiers.insert(id) {
            return Err(format!("{id} names two components"));
        }
        match name_of(&MODAL_COMPONENT_TYPE, component) {
            "textInput" => {
                let bound = |name: &str, default| component[name].as_i64().unwrap_or(default);
                if bound("minLength", 0) > bound("maxLength", i64::MAX) {
                    return Err(format!("{id}: minLength is over maxLength"));
                }
            }
            "checkbox" => {}
            _ => {
                check_select(component, &MODAL_COMPONENT_TYPE)?;
            }
        }
    }
    Ok(())
}

/// Checks what a person filled into a component; the error is for the person.
pub fn check_answer(component: &Value, values: &[String]) -> Result<(), String> {
    let id = component["customId"].as_str().unwrap_or_default();
    let label = component["label"].as_str().unwrap_or(id);
    let required = component["required"].as_bool().unwrap_or(false);
    let kind = name_of(&MODAL_COMPONENT_TYPE, component);
    if values.iter().all(String::is_empty) && kind != "checkbox" {
        return match required {
            true => Err(format!("{label} must be filled in")),
            false => Ok(()),
        };
    }
    match kind {
        "textInput" => {
            let [text] = values else {
                return Err(format!("{label} takes one text"));
            };
            let length = text.encode_utf16().count() as i64;
            let least = component["minLength"].as_i64().unwrap_or(0);
            let most = component["maxLength"].as_i64().unwrap_or(4000);
            if !(least..=most).contains(&length) {
                return Err(format!("{label} takes {least} to {most} characters"));
            }
        }
        "checkbox" => {
            if !matches!(values, [] | [_]) || !values.iter().all(|v| v == "true" || v == "false") {
                return Err(format!("{label} takes true or false"));
            }
        }
        _ => check_choice(component, values)?,
    }
    Ok(())
}

/// Checks what a person chose from a select: the number of values, and that a string select offers
/// them.
pub fn check_choice(select: &Value, values: &[String]) -> Result<(), String> {
    let id = select["customId"].as_str().unwrap_or_default();
    let (least, most) = choices(select);
    if !(least..=most).contains(&values.len()) {
        return Err(format!("{id} takes {least} to {most} values"));
    }
    let distinct: HashSet<&String> = values.iter().collect();
    if distinct.len() != values.len() {
        return Err(format!("{id} takes each value once"));
    }
    if let Some(options) = select["options"].as_array().filter(|o| !o.is_empty()) {
        for value in values {
            if !options.iter().any(|option| option["value"] == **value) {
                return Err(format!("{id} has no option {value}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check_answer, check_controls, check_modal};

    fn button(id: &str) -> Value {
        json!({"type": 0, "variant": 0, "id": id, "label": "Go"})
    }

    fn select(id: &str) -> Value {
        json!({"type": 1, "customId": id, "options": [{"label": "A", "value": "a"}]})
    }

    fn rows(rows: &[&[Value]]) -> Vec<Value> {
        rows.iter().map(|row| json!({ "controls": row })).collect()
    }

    #[test]
    fn what_the_platform_accepts_passes() {
        let link = json!({"type": 0, "variant": 1, "label": "Go", "url": "https://example.com"});
        let users = json!({"type": 2, "customId": "who"});
        let good = rows(&[&[button("a"), button("b"), link], &[select("s")], &[users]]);
        assert_eq!(check_controls(&good), Ok(()));
        assert_eq!(check_controls(&[]), Ok(()));
    }

    #[test]
    fn what_the_platform_refuses_fails() {
        let mut coloured = button("c");
        coloured["colour"] = json!({"l": 0.9, "c": 0.1, "h": 10});
        let mut twice = select("s");
        twice["options"] = json!([{"label": "A", "value": "a"}, {"label": "B", "value": "a"}]);
        let mut offers = json!({"type": 2, "customId": "who"});
        offers["options"] = json!([{"label": "A", "value": "a"}]);
        let script = json!({"type": 0, "variant": 1, "label": "Go", "url": "javascript:1"});
        let six: Vec<Value> = (0..6).map(|n| button(&n.to_string())).collect();
        let bad: &[&[&[Value]]] = &[
            &[&[]],
            &[&six],
            &[&[button("a"), select("s")]],
            &[&[select("s"), select("t")]],
            &[&[button("a")], &[button("a")]],
            &[&[button("")]],
            &[&[button(&"x".repeat(101))]],
            &[&[json!({"type": 0, "id": "a"})]],
            &[&[json!({"type": 0, "label": "Go"})]],
            &[&[json!({"type": 9, "label": "Go"})]],
            &[&[coloured]],
            &[&[twice]],
            &[&[offers]],
            &[&[script]],
            &[&[json!({"type": 1, "customId": "s"})]],
        ];
        for case in bad {
            assert!(check_controls(&rows(case)).is_err(), "{case:?}");
        }
        let many: Vec<[Value; 1]> = (0..6).map(|n| [button(&n.to_string())]).collect();
        let many: Vec<&[Value]> = many.iter().map(|row| &row[..]).collect();
        assert!(check_controls(&rows(&many)).is_err(), "six rows");
    }

    #[test]
    fn a_modal_needs_a_title_and_one_to_five_components_with_names_of_their_own() {
        let text = |id: &str| json!({"type": 0, "customId": id, "label": "L"});
        let modal = |components: Vec<Value>| json!({"customId": "m", "title": "T", "components": components});
        assert_eq!(check_modal(&modal(vec![text("a"), text("b")])), Ok(()));
        assert!(check_modal(&modal(vec![])).is_err());
        assert!(check_modal(&modal(vec![text("a"), text("a")])).is_err());
        let six = (0..6).map(|n| text(&n.to_string())).collect();
        assert!(check_modal(&modal(six)).is_err());
        let mut long = modal(vec![text("a")]);
        long["title"] = "x".repeat(46).into();
        assert!(check_modal(&long).is_err());
        assert!(check_modal(&Value::Null).is_err());
    }

    #[test]
    fn answers_are_checked_against_the_component() {
        let text =
            json!({"type": 0, "customId": "t", "label": "T", "required": true, "maxLength": 3});
        let given =
            |texts: &[&str]| -> Vec<String> { texts.iter().map(|&text| text.to_owned()).collect() };
        assert!(check_answer(&text, &given(&["abc"])).is_ok());
        assert!(check_answer(&text, &given(&["abcd"])).is_err());
        assert!(check_answer(&text, &given(&[""])).is_err());
        let check = json!({"type": 5, "customId": "c", "label": "C"});
        assert!(check_answer(&check, &given(&["true"])).is_ok());
        assert!(check_answer(&check, &given(&["maybe"])).is_err());
        let mut choice = select("s");
        choice["label"] = "S".into();
        assert!(check_answer(&choice, &given(&["a"])).is_ok());
        assert!(check_answer(&choice, &given(&["b"])).is_err());
    }
}
