//! `argon.<interface>.<method>`: every route of the contract, one to one.
//!
//! A call is built, and so validated, where it is made; then it goes to the client on the host's
//! runtime, and the coroutine sleeps. A call beyond [`PENDING_CALLS`] raises `too_many_calls`, one whose
//! answer has no room beside those that wait ([`crate::limits::ANSWER_BYTES`]) `too_many_answers`, one that
//! the script's `allow` and `deny` do not permit raises `permission_denied`: every call of a script,
//! those of event methods included, passes [`Guest::call`], which asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mlua::{Lua, Table, Value};

use super::{Kit, only, table, wrong};
use crate::contract::{self, Retry, Route};
use crate::limits::PENDING_CALLS;
use crate::rest;
use crate::script::errors::{Fault, failure, local_failure};
use crate::script::guest::Guest;
use crate::script::modals::Modal;
use crate::script::position::{self, Known};
use crate::script::recall::{Question, Recall};
use crate::script::scheduler::{Behalf, Finish, Wait};
use crate::script::thread::Mail;

/// The JSON parameters of a call.
pub(super) type Params = serde_json::Map<String, serde_json::Value>;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let mut interfaces: BTreeMap<String, Table> = BTreeMap::new();
    for route in contract::ROUTES {
        let interface = match interfaces.entry(route.interface.luau_name()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(kit.lua.create_table()?),
        };
        let function = if route.label() == "IEvents/Stream" {
            kit.function(|_, _, (): ()| -> Result<(), Fault> {
                Err(Fault::text(
                    "argon.events.stream: the host has the event stream open already; use argon.on",
                ))
            })?
        } else {
            kit.waiting(move |guest, lua, (params, options): (Value, Value)| {
                start(guest, lua, route, &params, options)
            })?
        };
        interface.raw_set(route.luau_name(), function)?;
    }
    for (name, table) in interfaces {
        kit.argon.raw_set(name, table)?;
    }
    Ok(())
}

fn start(
    guest: &Guest,
    lua: &Lua,
    route: &'static Route,
    params: &Value,
    options: Value,
) -> Result<u64, Fault> {
    guest.may_call(lua, route)?;
    let refuse = |message| invalid(guest, lua, route, message);
    let retry = retry(options).map_err(|fault| match fault {
        Fault::Text(message) => refuse(message),
        other => other,
    })?;
    let params = match params {
        Value::Nil => Params::new(),
        Value::Table(table) => guest
            .codec
            .encode_params(table, route)
            .map_err(|error| invalid(guest, lua, route, error.to_string()))?,
        other => {
            let message = format!(
                "the parameters must be a table, got {}",
                super::type_name(other)
            );
            return Err(invalid(guest, lua, route, message));
        }
    };
    guest.call_with(lua, route, params, None, retry)
}

/// Whether a call is sent again though it may have taken effect.
fn retry(options: Value) -> Result<bool, Fault> {
    let Some(options) = table(options, "the options")? else {
        return Ok(false);
    };
    only(&options, "the table of options", &["retry"])?;
    match options.raw_get("retry")? {
        Value::Nil => Ok(false),
        Value::Boolean(retry) => Ok(retry),
        other => Err(wrong("retry", "true or false", &other)),
    }
}

/// Why a call is not sent again.
fn uncertain(route: &Route) -> rest::Error {
    let message = "it was sent before the bot was restarted, and nobody knows whether it took effect; \
                   to send it again in such a case, make the call with { retry = true }";
    local_failure(&route.label(), "uncertain", message.to_owned())
}

/// A mistake in the parameters, as the error value that a failed call has.
pub(super) fn invalid(guest: &Guest, lua: &Lua, route: &Route, message: String) -> Fault {
    guest.refusal(
        lua,
        &local_failure(&route.label(), "invalid_params", message),
    )
}

impl Guest {
    /// A failed call as an error to raise.
    pub(super) fn refusal(&self, lua: &Lua, error: &rest::Error) -> Fault {
        match failure(lua, &self.tools.failure, error) {
            Ok(value) => Fault::Value(value),
            Err(error) => Fault::Lua(error),
        }
    }

    /// Refuses a call that the script has no permission for.
    pub(super) fn may_call(&self, lua: &Lua, route: &Route) -> Result<(), Fault> {
        let name = route.permission_name();
        if self.permissions.allows(&name) {
            return Ok(());
        }
        let remedy = self.permissions.remedy(&self.name, &name);
        let message = format!("the script {} may not call {name}: {remedy}", self.name);
        let error = local_failure(&route.label(), "permission_denied", message);
        Err(self.refusal(lua, &error))
    }

    /// Refuses one call too many.
    pub(super) fn room_for_call(&self, lua: &Lua, label: &str) -> Result<(), Fault> {
        if self.scheduler.borrow().calls() < PENDING_CALLS {
            return Ok(());
        }
        let message = format!(
            "{PENDING_CALLS} calls of this script wait for an answer: wait for some of them first"
        );
        Err(self.refusal(lua, &local_failure(label, "too_many_calls", message)))
    }

    /// Sends a call for the running coroutine. `finish` makes the value of the answer; without it, it is
    /// the contract's shape.
    ///
    /// In a handler of an event that comes again if it does not come to an end, what changes something is
    /// written down before it is sent, and its answer after. What was answered before is not sent again;
    /// what was sent without its answer being known is, if the contract says that this does no harm;
    /// otherwise it raises `uncertain`.
    pub(super) fn call(
        &self,
        lua: &Lua,
        route: &'static Route,
        params: Params,
        finish: Option<Finish>,
    ) -> Result<u64, Fault> {
        self.call_with(lua, route, params, finish, false)
    }

    /// As [`Guest::call`]; with `retry` it is sent again whatever harm that does.
    fn call_with(
        &self,
        lua: &Lua,
        route: &'static Route,
        mut params: Params,
        finish: Option<Finish>,
        retry: bool,
    ) -> Result<u64, Fault> {
        self.may_call(lua, route)?;
        self.room_for_call(lua, &route.label())?;
        let behalf = self.scheduler.borrow().here(lua);
        let site = behalf.as_ref().and_then(Behalf::site);
        let label = route.label();
        // Without `randomId`, which follows from where it is asked.
        let args = serde_json::to_string(&params).unwrap_or_default();
        let question = Question::new(&label, &args);
        if route.retry == Retry::RandomId {
            let bot = self.shared.identity();
            let bot = bot.as_ref().map_or("", |bot| &*bot.user_id);
            let of_timer = behalf.as_ref().and_then(Behalf::passing_position);
            let id = match (&site, of_timer) {
                (Some(site), _) => Some(site.random_id(bot, &self.name)),
                (None, Some(position)) => {
                    Some(position::random_id(bot, ["", ""], &self.name, &position))
                }
                (None, None) => None,
            };
            if let Some(id) = id {
                params.entry("randomId").or_insert_with(|| id.into());
            }
        }
        // A modal that is opened must be known when it comes back.
        let modal = Modal::of_call(route, &params);
        let call = rest::Call::new(route, params).map_err(|error| self.refusal(lua, &error))?;
        let mut opening = modal.map(|modal| self.modals.open(modal));
        let mut note = move |answer: &Result<Bytes, rest::Error>| {
            if let (Some(opening), Ok(answer)) = (&mut opening, answer) {
                opening.answered(answer);
            }
        };
        let finish: Finish = finish.unwrap_or_else(|| {
            Box::new(move |lua, guest, answer| guest.decode(lua, route, answer))
        });
        let Recall {
            site,
            known,
            of_load,
        } = self.recall(site, &question);
        let question = question.hash;
        let (known, repeated) = match known {
            Known::Nothing => (None, None),
            Known::Answer(answer) => (Some(answer), None),
            Known::Sent(at) => match position::age(at) {
                age if retry || position::may_repeat(route, age) => (None, Some(age)),
                _ => (Some(Err(uncertain(route))), None),
            },
        };
        let reads = route.retry == Retry::Idempotent;
        let read = site.clone().filter(|_| reads && known.is_none());
        let wait = Wait::Call {
            route,
            finish,
            read: read.map(|site| (site, question)),
            of_load,
        };
        let ticket = self
            .scheduler
            .borrow_mut()
            .ticket_on(lua, wait, None, behalf);
        let mailbox = Arc::clone(&self.mailbox);
        if let Some(answer) = known {
            note(&answer);
            mailbox.post(Mail::Answer(ticket, answer, None));
            return Ok(ticket);
        }
        let written = site.filter(|_| !reads).map(|site| {
            let record = site.record(question);
            let intent = record.intend();
            (record, intent)
        });
        let client = self.rest.clone();
        let call = call.caller(self.caller);
        let call = match repeated {
            Some(age) => call.repeated(age),
            None => call,
        };
        let call = if retry { call.retry() } else { call };
        self.runtime.spawn(async move {
            let call = async || {
                mailbox
                    .answers
                    .admit(&route.label(), client.call(call).await)
            };
            let (answer, held) = match written {
                None => call().await,
                Some((record, intent)) => {
                    let (answer, held) = match intent.await {
                        Ok(()) => call().await,
                        Err(error) => {
                            let message = format!("it was not sent, because {error}");
                            let error = local_failure(&route.label(), error.code(), message);
                            (Err(error), None)
                        }
                    };
                    record.answered(&answer);
                    (answer, held)
                }
            };
            note(&answer);
            mailbox.post(Mail::Answer(ticket, answer, held));
            // What opened a modal is over only now that the mail is there.
            drop(note);
        });
        Ok(ticket)
    }

    /// An answer as the contract's shape; nil where the platform answers nothing.
    pub(super) fn decode(
        &self,
        lua: &Lua,
        route: &Route,
        answer: &bytes::Bytes,
    ) -> mlua::Result<Value> {
        match route.response {
            Some(shape) if !answer.is_empty() => self
                .codec
                .decode(lua, answer, shape)
                .map(Value::Table)
                .map_err(mlua::Error::external),
            _ => Ok(Value::Nil),
        }
    }
}
