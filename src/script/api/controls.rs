//! `argon.onControl`, `argon.onSelect`, `argon.onModal`, and the modals that are on their way.
//!
//! The platform names a submitted modal by the `modalInteractionId` that `Modal` returned, the
//! documentation by the definition's `customId`. Both are accepted: the definitions of the last
//! [`REMEMBERED`] modals are kept by both, and a submission gets its definition's `customId` back. The
//! definition also says what each value is: text, a list, or a boolean. `event.values` keeps the
//! platform's list and has each value under its component's `customId` beside.
//!
//! In each of the three, a name that ends in `*` matches every id that begins like it.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use mlua::{Lua, Table, Value};

use super::routes::Params;
use super::{Kit, function, text};
use crate::contract::{MODAL_COMPONENT_TYPE, Route};
use crate::script::dispatch::Kind;

/// Modals whose definition is kept; the oldest goes when one more is opened.
pub(super) const REMEMBERED: usize = 1000;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    for (name, event, field) in [
        ("onControl", "controlInteraction", "controlId"),
        ("onSelect", "selectInteraction", "customId"),
        ("onModal", "modalSubmit", "customId"),
    ] {
        let call = kit.function(move |guest, lua, (id, handler): (Value, Value)| {
            let pattern = Pattern::new(text(&id, &format!("argon.{name}: the id"))?);
            let function = function(handler, &format!("argon.{name}: the handler"))?;
            guest.wants(event)?;
            let kind = Kind::Identified {
                function,
                field,
                pattern,
            };
            let serial = guest.handlers.borrow_mut().add(event, kind);
            super::events::subscription(guest, lua, serial)
        })?;
        kit.argon.raw_set(name, call)?;
    }
    Ok(())
}

/// Which ids a handler is for.
pub(in crate::script) enum Pattern {
    /// Just this one.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

impl Pattern {
    fn new(text: String) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Exact(text),
        }
    }

    pub(in crate::script) fn matches(&self, id: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == id,
            Pattern::Prefix(prefix) => id.starts_with(prefix.as_str()),
        }
    }
}

/// What a submission needs to know of a modal's definition.
pub(in crate::script) struct Modal {
    custom_id: String,
    /// The kind of each component, by its `customId`.
    components: HashMap<String, &'static str>,
}

impl Modal {
    /// The modal that a call opens, if it opens one.
    pub(super) fn of_call(route: &Route, params: &Params) -> Option<Self> {
        if route.label() != "IInteractions/Modal" {
            return None;
        }
        let modal = params.get("modal")?;
        let components = modal.get("components")?.as_array()?;
        Some(Self {
            custom_id: modal.get("customId")?.as_str()?.to_owned(),
            components: components
                .iter()
                .filter_map(|component| {
                    let kind = component.get("type")?;
                    let kind = match kind.as_i64() {
                        Some(number) => MODAL_COMPONENT_TYPE.name_of(number)?,
                        None => {
                            let number = MODAL_COMPONENT_TYPE.number(kind.as_str()?)?;
                            MODAL_COMPONENT_TYPE.name_of(number)?
                        }
                    };
                    Some((component.get("customId")?.as_str()?.to_owned(), kind))
                })
                .collect(),
        })
    }
}

/// A call that opens a modal and has no answer yet. It is over when this is dropped, be it answered,
/// refused or cancelled.
pub(super) struct Opening(Rc<Cell<usize>>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The modals of a script that may still be submitted.
#[derive(Default)]
pub(in crate::script) struct Modals {
    /// Calls that open a modal and have no answer yet.
    opening: Rc<Cell<usize>>,
    /// By `modalInteractionId`.
    opened: HashMap<String, Rc<Modal>>,
    /// By the definition's `customId`: the last one of that name.
    named: HashMap<String, Rc<Modal>>,
    order: VecDeque<(String, String)>,
}

impl Modals {
    /// A call that opens a modal begins.
    pub(super) fn open(&self) -> Opening {
        self.opening.set(self.opening.get() + 1);
        Opening(Rc::clone(&self.opening))
    }

    /// Whether a submission may come whose modal is not known yet: the event can overtake the answer
    /// to the call that opened it.
    pub(in crate::script) fn are_opening(&self) -> bool {
        self.opening.get() > 0
    }

    /// A modal was opened under that `modalInteractionId`.
    pub(super) fn opened(&mut self, modal: Modal, id: Option<String>) {
        let modal = Rc::new(modal);
        let id = id.unwrap_or_default();
        self.order.push_back((id.clone(), modal.custom_id.clone()));
        self.named
            .insert(modal.custom_id.clone(), Rc::clone(&modal));
        self.opened.insert(id, modal);
        if self.order.len() > REMEMBERED
            && let Some((id, name)) = self.order.pop_front()
        {
            self.opened.remove(&id);
            if !self.order.iter().any(|(_, kept)| *kept == name) {
                self.named.remove(&name);
            }
        }
    }

    /// Completes a `modalSubmit` event.
    pub(in crate::script) fn submitted(&self, lua: &Lua, event: &Table) -> mlua::Result<()> {
        let id: Option<String> = event.raw_get("customId")?;
        let interaction: Option<String> = event.raw_get("interactionId")?;
        let id = id.unwrap_or_default();
        let modal = self
            .opened
            .get(&id)
            .or_else(|| self.opened.get(interaction.as_deref().unwrap_or_default()))
            .or_else(|| self.named.get(&id));
        if let Some(modal) = modal
            && modal.custom_id != id
        {
            event.raw_set("modalInteractionId", id)?;
            event.raw_set("customId", modal.custom_id.as_str())?;
        }
        let values = match event.raw_get("values")? {
            Value::Table(values) => values,
            _ => {
                let values = lua.create_table()?;
                event.raw_set("values", &values)?;
                values
            }
        };
        for index in 1..=values.raw_len() {
            let Value::Table(entry) = values.raw_get(index)? else {
                continue;
            };
            let Value::String(name) = entry.raw_get("customId")? else {
                continue;
            };
            let list = match entry.raw_get("values")? {
                Value::Table(list) => list,
                _ => lua.create_table()?,
            };
            let kind = modal.and_then(|modal| modal.components.get(&*name.to_str().ok()?).copied());
            values.raw_set(name, typed(kind, list)?)?;
        }
        Ok(())
    }
}

/// A component's value as what it is: text, a boolean, or the list of what was chosen. Of a component
/// that nobody defined here, one value is taken as text.
fn typed(kind: Option<&str>, list: Table) -> mlua::Result<Value> {
    let first: Value = list.raw_get(1)?;
    Ok(match kind {
        Some("textInput") => match first {
            Value::Nil => Value::String(list_lua(&list)?.create_string("")?),
            text => text,
        },
        Some("checkbox") => {
            let on = matches!(&first, Value::String(text)
                if text.to_string_lossy().eq_ignore_ascii_case("true") || *text == "1");
            Value::Boolean(on || first == Value::Boolean(true))
        }
        Some(_) => Value::Table(list),
        None if list.raw_len() == 1 => first,
        None => Value::Table(list),
    })
}

fn list_lua(list: &Table) -> mlua::Result<Lua> {
    list.weak_lua()
        .try_upgrade()
        .ok_or_else(|| mlua::Error::runtime("the VM is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use serde_json::json;

    fn modal(custom_id: &str) -> Modal {
        let route = contract::route("IInteractions", "Modal").unwrap();
        let params = json!({"interactionId": "i", "modal": {"customId": custom_id, "title": "T",
            "components": [
                {"type": 0, "customId": "name", "label": "N"},
                {"type": "checkbox", "customId": "agree", "label": "A"},
                {"type": 1, "customId": "pick", "label": "P"}]}});
        Modal::of_call(route, params.as_object().unwrap()).unwrap()
    }

    fn submit(modals: &Modals, custom_id: &str) -> (Lua, Table) {
        let lua = Lua::new();
        let event: Table = lua
            .load(format!(
                "return {{ customId = '{custom_id}', interactionId = 'other', values = {{
                    {{ customId = 'name', values = {{ 'Ann' }} }},
                    {{ customId = 'agree', values = {{ 'true' }} }},
                    {{ customId = 'pick', values = {{ 'a' }} }} }} }}"
            ))
            .eval()
            .unwrap();
        modals.submitted(&lua, &event).unwrap();
        (lua, event)
    }

    #[test]
    fn a_submission_is_found_by_either_id_and_typed_by_its_definition() {
        let mut modals = Modals::default();
        modals.opened(modal("feedback"), Some("m-1".into()));
        for id in ["m-1", "feedback"] {
            let (_lua, event) = submit(&modals, id);
            assert_eq!(event.raw_get::<String>("customId").unwrap(), "feedback");
            let values: Table = event.raw_get("values").unwrap();
            assert_eq!(values.raw_get::<String>("name").unwrap(), "Ann");
            assert!(values.raw_get::<bool>("agree").unwrap());
            let pick: Vec<String> = values.raw_get("pick").unwrap();
            assert_eq!(pick, ["a"]);
            assert_eq!(values.raw_len(), 3, "the platform's list is still there");
        }
    }

    #[test]
    fn only_the_last_thousand_modals_are_remembered() {
        let mut modals = Modals::default();
        for index in 0..=REMEMBERED {
            modals.opened(modal("feedback"), Some(format!("m-{index}")));
        }
        assert!(!modals.opened.contains_key("m-0"));
        assert!(modals.opened.contains_key("m-1"));
        assert!(modals.named.contains_key("feedback"));
    }

    #[test]
    fn a_star_matches_what_begins_like_it() {
        assert!(Pattern::new("poll:*".into()).matches("poll:3"));
        assert!(!Pattern::new("poll:*".into()).matches("poll"));
        assert!(Pattern::new("poll".into()).matches("poll"));
        assert!(!Pattern::new("poll".into()).matches("poll:3"));
    }
}
