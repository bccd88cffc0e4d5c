//! `argon.on`, `argon.once`, `argon.waitFor`.

use std::cell::Cell;

use mlua::{Lua, Table, Value};

use super::{Kit, function, nearest, only, seconds, table, text};
use crate::contract;
use crate::script::dispatch::Kind;
use crate::script::errors::Fault;
use crate::script::guest::Guest;
use crate::script::position::Known;
use crate::script::recall::{Question, Recall, WAIT_FOR};
use crate::script::scheduler::{Behalf, Wait};

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    for (name, once) in [("on", false), ("once", true)] {
        let call = kit.function(
            move |guest, lua, (event, handler, options): (Value, Value, Value)| {
                let event = event_type(guest, &event, name)?;
                let function = function(handler, &format!("argon.{name}: the handler"))?;
                let options = table(options, &format!("argon.{name}: the options"))?;
                let own = own(options, name)?;
                guest.wants(&event)?;
                let handler = Kind::Event {
                    function,
                    own,
                    once,
                };
                let serial = guest.handlers.borrow_mut().add(&event, handler);
                subscription(guest, lua, serial)
            },
        )?;
        kit.argon.raw_set(name, call)?;
    }
    let wait_for = kit.waiting(
        |guest, lua, (event, predicate, timeout): (Value, Value, Value)| {
            let event = event_type(guest, &event, "waitFor")?;
            let predicate = match predicate {
                Value::Nil => None,
                other => Some(function(other, "argon.waitFor: the predicate")?),
            };
            let patience = match timeout {
                Value::Nil => None,
                other => Some(seconds(&other, "argon.waitFor: the timeout", 0.0)?),
            };
            guest.may_wait()?;
            guest.wants(&event)?;
            let behalf = guest.scheduler.borrow().here(lua);
            let site = behalf.as_ref().and_then(Behalf::site);
            let args = serde_json::to_string(&event).unwrap_or_default();
            let question = Question::new(WAIT_FOR, &args);
            let Recall { site, known, .. } = guest.recall(site, &question);
            if let Known::Answer(answer) = known {
                let body = answer.map_err(|error| guest.refusal(lua, &error))?;
                return Ok(guest.outside_on(lua, behalf, async move {
                    move |lua: &Lua, guest: &Guest| guest.waited_before(lua, &body)
                }));
            }
            let kind = Kind::Wait {
                ticket: Cell::new(0),
                predicate,
            };
            let serial = guest.handlers.borrow_mut().add(&event, kind);
            let wait = Wait::Event {
                handler: serial,
                asked: site.map(|site| (site, question.hash)),
            };
            let mut scheduler = guest.scheduler.borrow_mut();
            let ticket = scheduler.ticket_on(lua, wait, patience, behalf);
            drop(scheduler);
            guest
                .handlers
                .borrow_mut()
                .set_ticket(&event, serial, ticket);
            Ok(ticket)
        },
    )?;
    kit.argon.raw_set("waitFor", wait_for)
}

/// The name of an event. One that the contract does not know is only warned about, because the platform
/// adds events over time.
fn event_type(guest: &Guest, value: &Value, name: &str) -> Result<String, Fault> {
    let event = text(value, &format!("argon.{name}: the event type"))?;
    if event != "*" && contract::event(&event).is_none() && guest.may_log(event.len()) {
        let known = contract::EVENTS.iter().map(|event| event.name);
        let hint = nearest(&event, known)
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        tracing::warn!(target: "script", script = %guest.name,
            "argon.{name}: no event is called {event}{hint}");
    }
    Ok(event)
}

fn own(options: Option<Table>, name: &str) -> Result<bool, Fault> {
    let Some(options) = options else {
        return Ok(false);
    };
    only(
        &options,
        &format!("argon.{name}: the options table"),
        &["own"],
    )?;
    match options.raw_get("own")? {
        Value::Nil => Ok(false),
        Value::Boolean(own) => Ok(own),
        other => Err(super::wrong(
            &format!("argon.{name}: own"),
            "true or false",
            &other,
        )),
    }
}

/// The handle of a handler: `{ off = function }`.
pub(super) fn subscription(guest: &Guest, lua: &mlua::Lua, serial: u64) -> Result<Table, Fault> {
    let handle = lua.create_table_with_capacity(0, 1)?;
    let handlers = guest.handlers.clone();
    let off = guest.tools.function(lua, move |_, _: mlua::MultiValue| {
        handlers.borrow_mut().remove(serial);
        Ok(())
    })?;
    handle.raw_set("off", off)?;
    Ok(handle)
}
