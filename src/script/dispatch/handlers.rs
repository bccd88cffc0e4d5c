//! The handlers of a script, by the type of event that they are for.
//!
//! The list of handlers of a type is built when the first such event comes and kept until a handler
//! is added or removed.

use std::cell::{Cell, LazyCell};
use std::collections::HashMap;
use std::rc::Rc;

use mlua::Function;
use serde_json::Value as Json;

use crate::inbox::Event;
use crate::script::api::controls::Pattern;
use crate::script::modals::Modals;

/// What a handler is for.
pub(in crate::script) enum Kind {
    /// `argon.on` and `argon.once`.
    Event {
        function: Function,
        own: bool,
        once: bool,
    },
    /// `argon.waitFor`; the ticket is known once the handler is in place.
    Wait {
        ticket: Cell<u64>,
        predicate: Option<Function>,
    },
    /// `argon.command`: the name, lower-case, and the space if it is one space's.
    Command {
        function: Function,
        name: String,
        space: Option<String>,
    },
    /// `argon.onControl`, `onSelect`, `onModal`: what the event's field must match.
    Identified {
        function: Function,
        field: &'static str,
        pattern: Pattern,
    },
}

pub(super) struct Handler {
    pub(super) serial: u64,
    /// What it is called in positions.
    pub(super) name: Rc<str>,
    pub(super) kind: Kind,
    pub(super) off: Cell<bool>,
}

/// The handlers of a script.
#[derive(Default)]
pub(in crate::script) struct Handlers {
    by_type: HashMap<String, Vec<Rc<Handler>>>,
    any: Vec<Rc<Handler>>,
    lists: HashMap<String, Rc<[Rc<Handler>]>>,
    /// The handlers there are, by what they are for.
    names: HashMap<String, Namesakes>,
    serial: u64,
    count: usize,
}

/// Handlers that are for the same. Their numbers begin anew when none of them is left, so that a script that
/// adds and removes handlers for ever takes no more memory for it: a position is one of an event, and those
/// whose handlers an event meets are there together, so none of them has the number of another.
#[derive(Default)]
struct Namesakes {
    there: usize,
    /// The number of the next.
    next: u64,
}

impl Handlers {
    /// Adds a handler for a type, or for every type (`*`). Answers its number.
    pub(in crate::script) fn add(&mut self, event: &str, kind: Kind) -> u64 {
        self.serial += 1;
        self.count += 1;
        let handler = Rc::new(Handler {
            serial: self.serial,
            name: self.name(event, &kind),
            kind,
            off: Cell::new(false),
        });
        if event == "*" {
            self.any.push(handler);
            self.lists.clear();
        } else {
            self.lists.remove(event);
            self.by_type
                .entry(event.to_owned())
                .or_default()
                .push(handler);
        }
        self.serial
    }

    /// The name of a new handler: what it is for, and how many of these were added before it since there was
    /// none. Those that wait for an event run on behalf of whoever waits, and have none.
    fn name(&mut self, event: &str, kind: &Kind) -> Rc<str> {
        let name = match kind {
            Kind::Wait { .. } => return "".into(),
            Kind::Event { once: true, .. } => format!("once:{event}"),
            Kind::Event { .. } => format!("on:{event}"),
            Kind::Command { name, space, .. } => match space {
                Some(space) => format!("command:{name}@{space}"),
                None => format!("command:{name}"),
            },
            Kind::Identified { pattern, .. } => format!("{event}:{pattern}"),
        };
        let namesakes = self.names.entry(name.clone()).or_default();
        let number = namesakes.next;
        namesakes.there += 1;
        namesakes.next += 1;
        format!("{name}#{number}").into()
    }

    /// A handler of that name is gone.
    fn release(&mut self, name: &str) {
        let Some((name, _)) = name.rsplit_once('#') else {
            return;
        };
        if let Some(namesakes) = self.names.get_mut(name) {
            namesakes.there -= 1;
            if namesakes.there == 0 {
                self.names.remove(name);
            }
        }
    }

    /// Whether one of those for the event's type is for an event of this command or id. Also true if there is
    /// none for the type.
    pub(in crate::script) fn are_for(&self, event: &Event, modals: &Modals) -> bool {
        let handlers = self.by_type.get(&event.kind).map_or(&[][..], Vec::as_slice);
        if handlers.is_empty() || !self.any.is_empty() {
            return true;
        }
        let payload = LazyCell::new(|| serde_json::from_str(&event.payload).unwrap_or(Json::Null));
        let text = |field: &str| payload[field].as_str().unwrap_or_default();
        handlers.iter().any(|handler| match &handler.kind {
            Kind::Event { .. } | Kind::Wait { .. } => true,
            Kind::Command { name, .. } => text("commandName").to_lowercase() == *name,
            // The platform calls it by another id than its handler.
            Kind::Identified { pattern, .. } if event.kind == "modalSubmit" => {
                pattern.matches(&modals.custom_id(&event.payload))
            }
            Kind::Identified { field, pattern, .. } => pattern.matches(text(field)),
        })
    }

    /// How many there are.
    pub(in crate::script) fn count(&self) -> usize {
        self.count
    }

    /// Gives a waiting handler its ticket.
    pub(in crate::script) fn set_ticket(&mut self, event: &str, serial: u64, value: u64) {
        let handlers = if event == "*" {
            Some(&self.any)
        } else {
            self.by_type.get(event)
        };
        let handler = handlers.and_then(|all| all.iter().find(|one| one.serial == serial));
        if let Some(Kind::Wait { ticket, .. }) = handler.map(|handler| &handler.kind) {
            ticket.set(value);
        }
    }

    /// Removes a handler; it does not even see the event that is being handed out.
    pub(in crate::script) fn remove(&mut self, serial: u64) {
        let take_from = |list: &mut Vec<Rc<Handler>>| {
            let at = list.iter().position(|handler| handler.serial == serial)?;
            Some(list.remove(at))
        };
        let taken = if let Some(handler) = take_from(&mut self.any) {
            self.lists.clear();
            Some(handler)
        } else {
            self.by_type.iter_mut().find_map(|(event, list)| {
                let handler = take_from(list)?;
                self.lists.remove(event);
                Some(handler)
            })
        };
        if let Some(handler) = taken {
            handler.off.set(true);
            self.count -= 1;
            self.release(&handler.name);
        }
    }

    /// The handlers of a type in the order of registration.
    pub(super) fn of(&mut self, event: &str) -> Option<Rc<[Rc<Handler>]>> {
        if let Some(list) = self.lists.get(event) {
            return Some(Rc::clone(list));
        }
        let typed = self.by_type.get(event).map_or(&[][..], Vec::as_slice);
        if typed.is_empty() && self.any.is_empty() {
            return None;
        }
        let mut all: Vec<_> = typed.iter().chain(&self.any).cloned().collect();
        all.sort_by_key(|handler| handler.serial);
        let list: Rc<[Rc<Handler>]> = all.into();
        self.lists.insert(event.to_owned(), Rc::clone(&list));
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Inbox;
    use mlua::Lua;
    use std::time::Instant;

    fn wait() -> Kind {
        Kind::Wait {
            ticket: Cell::new(0),
            predicate: None,
        }
    }

    fn serials(handlers: &mut Handlers, event: &str) -> Vec<u64> {
        handlers.of(event).map_or_else(Vec::new, |list| {
            list.iter().map(|handler| handler.serial).collect()
        })
    }

    #[test]
    fn handlers_of_a_type_and_of_every_type_keep_their_order() {
        let mut handlers = Handlers::default();
        let first = handlers.add("ready", wait());
        let any = handlers.add("*", wait());
        let last = handlers.add("ready", wait());
        assert_eq!(serials(&mut handlers, "ready"), [first, any, last]);
        assert_eq!(serials(&mut handlers, "other"), [any]);
        assert_eq!(handlers.count(), 3);
        handlers.remove(any);
        handlers.remove(any);
        assert_eq!(handlers.count(), 2);
        assert_eq!(serials(&mut handlers, "ready"), [first, last]);
        assert!(serials(&mut handlers, "other").is_empty());
    }

    #[test]
    fn handlers_are_for_their_own_command_or_id_or_for_the_whole_type() {
        let lua = Lua::new();
        let function = lua.create_function(|_, ()| Ok(())).unwrap();
        let event = |kind: &str, payload: &str| Event {
            id: String::new(),
            kind: kind.into(),
            payload: payload.into(),
            received: Instant::now(),
        };
        let modals = Modals::new(Inbox::new().kv(), "a");
        let are_for = |handlers: &Handlers, event: &Event| handlers.are_for(event, &modals);
        let mut handlers = Handlers::default();
        let (one, two) = (
            event("controlInteraction", r#"{"controlId": "one"}"#),
            event("controlInteraction", r#"{"controlId": "two"}"#),
        );
        assert!(
            are_for(&handlers, &one),
            "none is there that is for another"
        );
        handlers.add(
            "controlInteraction",
            Kind::Identified {
                function: function.clone(),
                field: "controlId",
                pattern: Pattern::Exact("one".into()),
            },
        );
        assert_eq!(
            (are_for(&handlers, &one), are_for(&handlers, &two)),
            (true, false)
        );
        handlers.add("controlInteraction", wait());
        assert!(are_for(&handlers, &two));
        handlers.add(
            "commandInteraction",
            Kind::Command {
                function,
                name: "one".into(),
                space: None,
            },
        );
        let one = event("commandInteraction", r#"{"commandName": "One"}"#);
        let two = event("commandInteraction", "no JSON");
        assert_eq!(
            (are_for(&handlers, &one), are_for(&handlers, &two)),
            (true, false)
        );
        handlers.add("*", wait());
        assert!(are_for(&handlers, &two));
    }

    #[test]
    fn names_of_handlers_differ_while_they_are_there_and_leave_nothing_behind() {
        let lua = Lua::new();
        let function = lua.create_function(|_, ()| Ok(())).unwrap();
        let on = || Kind::Event {
            function: function.clone(),
            own: false,
            once: false,
        };
        let control = |id: String| Kind::Identified {
            function: function.clone(),
            field: "controlId",
            pattern: Pattern::Exact(id),
        };
        let mut handlers = Handlers::default();
        let first = handlers.add("ready", on());
        handlers.add("ready", on());
        handlers.remove(first);
        let third = handlers.add("ready", on());
        let names = |handlers: &mut Handlers| -> Vec<String> {
            let list = handlers.of("ready").unwrap();
            list.iter().map(|one| one.name.to_string()).collect()
        };
        assert_eq!(names(&mut handlers), ["on:ready#1", "on:ready#2"]);
        handlers.remove(third - 1);
        handlers.remove(third);
        handlers.add("ready", on());
        assert_eq!(names(&mut handlers), ["on:ready#0"]);
        for id in 0..10_000 {
            let serial = handlers.add("controlInteraction", control(format!("poll:{id}")));
            handlers.remove(serial);
            handlers.remove(serial);
        }
        assert_eq!(handlers.names.len(), 1);
        assert_eq!(handlers.count(), 1);
    }
}
