//! From an event to the handlers of one script.
//!
//! Guarantees: the handlers of an event start in the order of their registration, those of one event
//! before those of the next; they run concurrently from their first wait on; a handler that is added
//! by a handler does not see the same event; an event is done for this script when the last of its
//! handlers is over. A payload is decoded once, and only if the script has a handler for its type;
//! the handlers of one event share the table.

mod handlers;
mod run;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use mlua::{FromLua, Function, Lua, Table, Value};

use super::api::timers::CRON;
use super::errors::Trouble;
use super::guest::Guest;
use super::recall::Waited;
use super::scheduler::Purpose;
use crate::contract;
use crate::inbox::{Delivery, Event};
use handlers::Handler;

pub(super) use handlers::{Handlers, Kind};
pub(super) use run::{EventRun, Marks};

/// The types whose unreadable payload has been logged.
pub(super) type BadTypes = RefCell<std::collections::HashSet<String>>;

impl Guest {
    /// Hands an event to its handlers.
    pub(super) fn dispatch(&self, lua: &Lua, delivery: Delivery) {
        self.begins_event();
        if delivery.kind == CRON {
            return self.take_run(lua, delivery);
        }
        let handlers = self.handlers.borrow_mut().of(&delivery.kind);
        let Some(handlers) = handlers.filter(|list| !list.is_empty()) else {
            if let Some(rehearsal) = &self.rehearsal {
                rehearsal.is_unhandled(&delivery.kind);
            }
            return delivery.done();
        };
        let marks = Marks {
            synthetic: delivery.is_again(),
            replayed: match &self.rehearsal {
                Some(rehearsal) => rehearsal.was_replayed(),
                None => delivery.is_replayed(),
            },
        };
        let event = match self.event_value(lua, &delivery, marks) {
            Ok(event) => event,
            Err(problem) => {
                self.bad_payload(&delivery, &problem);
                return delivery.done();
            }
        };
        let own = delivery.kind == "messageCreate" && self.is_own(&event);
        let command = if delivery.kind == "commandInteraction" {
            self.command_of(&event)
        } else {
            None
        };
        let arrived = delivery.event();
        let run = EventRun::new(delivery, self);
        let mut handled = false;
        for handler in handlers.iter().filter(|handler| !handler.off.get()) {
            let function = match &handler.kind {
                Kind::Wait { ticket, predicate } => {
                    if !own {
                        handled |= self.offer(ticket.get(), predicate.as_ref(), &event, &arrived);
                    }
                    continue;
                }
                Kind::Event { own: false, .. } if own => continue,
                Kind::Event { function, once, .. } => {
                    if *once {
                        self.handlers.borrow_mut().remove(handler.serial);
                    }
                    self.start(lua, handler, function, &event, Value::Nil, &run);
                    handled = true;
                    continue;
                }
                Kind::Command {
                    function,
                    name,
                    space,
                } => {
                    if command
                        .as_ref()
                        .is_none_or(|called| (&called.0, &called.1) != (name, space))
                    {
                        continue;
                    }
                    match self.command_options(lua, &event) {
                        Ok(options) => {
                            self.start(lua, handler, function, &event, Value::Table(options), &run);
                        }
                        Err(error) => self.report(&error, Some(&run)),
                    }
                    handled = true;
                    continue;
                }
                Kind::Identified {
                    function,
                    field,
                    pattern,
                } => match event.raw_get::<Option<String>>(*field) {
                    Ok(Some(id)) if pattern.matches(&id) => function,
                    _ => continue,
                },
            };
            self.start(lua, handler, function, &event, Value::Nil, &run);
            handled = true;
        }
        if handled {
            self.status.events.fetch_add(1, Ordering::Relaxed);
        }
        run.finished();
    }

    /// Hands an event to one handler, which `begin` begins.
    pub(super) fn run_alone(&self, delivery: Delivery, begin: impl FnOnce(Rc<EventRun>)) {
        let run = EventRun::new(delivery, self);
        run.starts();
        begin(Rc::clone(&run));
        self.status.events.fetch_add(1, Ordering::Relaxed);
        run.finished();
    }

    /// The version ends before it has handed an event out: it has failed.
    pub(super) fn cut_off_early(&self, delivery: Delivery, why: &str) {
        let run = EventRun::new(delivery, self);
        self.trouble(&Trouble::plain(why), Some(&run));
        run.finished();
    }

    fn start(
        &self,
        lua: &Lua,
        handler: &Handler,
        function: &Function,
        event: &Table,
        extra: Value,
        run: &Rc<EventRun>,
    ) {
        run.starts();
        let purpose = Purpose::Handler(Rc::clone(run), Rc::clone(&handler.name));
        if extra.is_nil() {
            self.begin(lua, function, event, purpose);
        } else {
            self.begin(lua, function, (event, extra), purpose);
        }
    }

    /// Offers an event to a coroutine that waits for one. Answers whether it was taken.
    fn offer(
        &self,
        ticket: u64,
        predicate: Option<&Function>,
        event: &Table,
        arrived: &Event,
    ) -> bool {
        let verdict = match predicate {
            None => Ok((true, Value::Boolean(true))),
            Some(predicate) => self.ask(ticket, predicate, event),
        };
        match verdict {
            Ok((true, Value::Nil | Value::Boolean(false))) => false,
            Ok((true, _)) => {
                self.waited(ticket, &Waited::Event(arrived));
                self.redeem(ticket, Ok(Value::Table(event.clone())));
                true
            }
            Ok((false, error)) => {
                let message = error.to_string().unwrap_or_default();
                self.waited(ticket, &Waited::Refused(&message));
                self.redeem(ticket, Err(error));
                true
            }
            Err(error) => {
                self.report(&error, None);
                false
            }
        }
    }

    /// The payload as a table, with `type`, `id` and the event methods.
    pub(super) fn event_value(
        &self,
        lua: &Lua,
        arrived: &Event,
        marks: Marks,
    ) -> Result<Table, String> {
        let event = match contract::event(&arrived.kind) {
            Some(event) => self.codec.decode_text(lua, &arrived.payload, event.payload),
            None => self
                .codec
                .decode_any(lua, arrived.payload.as_bytes())
                .and_then(|value| Ok(Table::from_lua(value, lua)?)),
        }
        .map_err(|error| error.to_string())?;
        let finish = || {
            event.raw_set(&self.keys.kind, arrived.kind.as_str())?;
            event.raw_set(&self.keys.id, arrived.id.as_str())?;
            if marks.synthetic {
                event.raw_set("synthetic", true)?;
            }
            if arrived.is_recovered() {
                event.raw_set("recovered", true)?;
            }
            if marks.replayed || arrived.is_recovered() {
                event.raw_set(&self.keys.replayed, true)?;
            }
            if arrived.kind == "modalSubmit" {
                self.modals.submitted(lua, &event)?;
            }
            event.set_metatable(Some(self.event_methods()))
        };
        finish().map_err(|error: mlua::Error| error.to_string())?;
        Ok(event)
    }

    /// Whether the bot itself wrote the message.
    pub(super) fn is_own(&self, event: &Table) -> bool {
        let Some(identity) = self.shared.identity() else {
            return false;
        };
        let Ok(Value::Table(message)) = event.raw_get(&self.keys.message) else {
            return false;
        };
        let Ok(Value::Table(sender)) = message.raw_get(&self.keys.sender) else {
            return false;
        };
        matches!(sender.raw_get(&self.keys.user_id), Ok(Value::String(id))
            if id.as_bytes().eq_ignore_ascii_case(identity.user_id.as_bytes()))
    }

    fn bad_payload(&self, delivery: &Delivery, problem: &str) {
        let first = self.bad_types.borrow_mut().insert(delivery.kind.clone());
        if first {
            tracing::error!(target: "script", script = %self.name, event = %delivery.kind,
                event_id = %delivery.id,
                "skipped an event whose payload cannot be read: {problem} (further ones of this type \
                 are logged at debug level)");
        } else {
            tracing::debug!(target: "script", script = %self.name, event = %delivery.kind,
                event_id = %delivery.id, "skipped an event whose payload cannot be read: {problem}");
        }
    }
}
