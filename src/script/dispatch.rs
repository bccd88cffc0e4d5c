//! From an event to the handlers of one script.
//!
//! Guarantees: the handlers of an event start in the order of their registration, those of one event
//! before those of the next; they run concurrently from their first wait on; a handler that is added
//! by a handler does not see the same event; an event is done for this script when the last of its
//! handlers is over. A payload is decoded once, and only if the script has a handler for its type;
//! the handlers of one event share the table.
//!
//! The list of handlers of a type is built when the first such event comes and kept until a handler
//! is added or removed.

use std::cell::{Cell, LazyCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mlua::{FromLua, Function, Lua, Table, Value};
use serde_json::Value as Json;

use super::api::controls::Pattern;
use super::api::timers::CRON;
use super::errors::Trouble;
use super::guest::Guest;
use super::modals::Modals;
use super::position::{self, Reads};
use super::recall::{Load, Waited};
use super::registry::Identity;
use super::rollback::Tally;
use super::scheduler::Purpose;
use super::status::Status;
use crate::contract;
use crate::inbox::{Asked, Delivery, Event, Failing, Ledger, Recorded};

/// What is noted of what an event's handlers ask: entries, and bytes of their arguments.
const NOTED: (usize, usize) = (256, 64 << 10);

/// One event in the hands of a script's handlers.
pub(super) struct EventRun {
    /// The SSE id, for the log.
    pub(super) id: String,
    /// The event's type.
    pub(super) kind: String,
    /// The script whose handlers run.
    pub(super) script: String,
    /// Where its handlers' calls are written down.
    pub(super) ledger: Ledger,
    /// What they asked before, by position.
    pub(super) recorded: RefCell<HashMap<String, Recorded>>,
    /// What they have read and is not written down.
    pub(super) reads: RefCell<Reads>,
    /// What they have asked, in words.
    asked: RefCell<Vec<Asked>>,
    /// What they did not catch.
    errors: RefCell<Vec<String>>,
    /// What a recording of it begins with.
    context: Context,
    delivery: Cell<Option<Delivery>>,
    /// Handlers that are not over, and one while the event is being handed out.
    remaining: Cell<usize>,
    /// When it came; none for one that is handed out once more, and for what is no event.
    received: Option<Instant>,
    /// When its first handler started.
    begun: Cell<Option<Instant>>,
    status: Arc<Status>,
    /// Where it is noted how it went; none for what is no event.
    tally: Option<Arc<Tally>>,
}

/// What tells an event from one that has just come.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks {
    /// The host made it.
    synthetic: bool,
    /// Handlers had begun on it before.
    replayed: bool,
}

/// What a recording has beside the event and its handlers.
#[derive(Default)]
struct Context {
    bot: Option<Arc<Identity>>,
    load: Rc<Load>,
}

impl EventRun {
    fn new(mut delivery: Delivery, guest: &Guest) -> Rc<Self> {
        Rc::new(Self {
            id: delivery.id.clone(),
            kind: delivery.kind.clone(),
            script: guest.name.clone(),
            ledger: delivery.ledger().clone(),
            recorded: position::by_position(delivery.take_recorded()),
            reads: RefCell::default(),
            asked: RefCell::default(),
            errors: RefCell::default(),
            context: Context {
                bot: guest.shared.identity(),
                load: Rc::clone(&guest.load),
            },
            received: (!delivery.is_again()).then_some(delivery.received),
            delivery: Cell::new(Some(delivery)),
            remaining: Cell::new(1),
            begun: Cell::new(None),
            status: Arc::clone(&guest.status),
            tally: Some(Arc::clone(&guest.tally)),
        })
    }

    /// Whether the event comes again when its handlers do not come to an end.
    pub(super) fn is_kept(&self) -> bool {
        self.ledger.number() > 0
    }

    /// The end of the script, which is waited for like an event.
    pub(super) fn unload(guest: &Guest) -> Rc<Self> {
        Rc::new(Self {
            id: String::new(),
            kind: "unload".into(),
            script: guest.name.clone(),
            ledger: Ledger::of_nothing(&guest.kv),
            recorded: RefCell::default(),
            reads: RefCell::default(),
            asked: RefCell::default(),
            errors: RefCell::default(),
            context: Context::default(),
            received: None,
            delivery: Cell::new(None),
            remaining: Cell::new(1),
            begun: Cell::new(None),
            status: Arc::clone(&guest.status),
            tally: None,
        })
    }

    /// Whether it is the end of the script.
    pub(super) fn is_unload(&self) -> bool {
        self.tally.is_none()
    }

    /// Notes for people what is asked.
    pub(super) fn note(&self, asked: impl FnOnce() -> Asked) {
        let mut all = self.asked.borrow_mut();
        let bytes: usize = all.iter().map(|one| one.args.len()).sum();
        if all.len() < NOTED.0 && bytes < NOTED.1 {
            all.push(asked());
        }
    }

    /// A handler starts.
    fn starts(&self) {
        self.remaining.set(self.remaining.get() + 1);
        if self.begun.get().is_none() {
            let now = Instant::now();
            self.begun.set(Some(now));
            if let Some(received) = self.received {
                self.status.lag.note(now - received);
            }
        }
    }

    /// A handler failed with an error that nobody caught.
    pub(super) fn failed(&self, error: String) {
        self.errors.borrow_mut().push(error);
    }

    /// One handler is over.
    pub(super) fn finished(&self) {
        let remaining = self.remaining.get().saturating_sub(1);
        self.remaining.set(remaining);
        if remaining == 0
            && let Some(delivery) = self.delivery.take()
        {
            if let Some(begun) = self.begun.get() {
                self.status.handling.note(begun.elapsed());
            }
            let errors = self.errors.take();
            if let Some(tally) = &self.tally {
                tally.note(!errors.is_empty());
            }
            match errors {
                errors if errors.is_empty() => delivery.done(),
                errors => delivery.failed(Failing {
                    bot: (self.context.bot.as_ref())
                        .map_or_else(String::new, |bot| bot.user_id.clone()),
                    errors,
                    reads: self.reads.borrow_mut().take(),
                    asked: self.asked.take(),
                    load: self.context.load.all(),
                }),
            }
        }
    }
}

/// What a handler is for.
pub(super) enum Kind {
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

struct Handler {
    serial: u64,
    /// What it is called in positions.
    name: Rc<str>,
    kind: Kind,
    off: Cell<bool>,
}

/// The handlers of a script.
#[derive(Default)]
pub(super) struct Handlers {
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
    pub(super) fn add(&mut self, event: &str, kind: Kind) -> u64 {
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
    pub(super) fn are_for(&self, event: &Event, modals: &Modals) -> bool {
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
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Gives a waiting handler its ticket.
    pub(super) fn set_ticket(&mut self, event: &str, serial: u64, value: u64) {
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
    pub(super) fn remove(&mut self, serial: u64) {
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
    fn of(&mut self, event: &str) -> Option<Rc<[Rc<Handler>]>> {
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

/// The types whose unreadable payload has been logged.
pub(super) type BadTypes = RefCell<std::collections::HashSet<String>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Inbox;

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
