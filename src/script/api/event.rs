//! The methods of events: `reply`, `react`, `ack`, `defer`, `modal`, `edit`.
//!
//! | | messages (and what names one) | interactions |
//! |---|---|---|
//! | `reply` | `IMessages/Send` with `replyTo` | `IInteractions/Reply` |
//! | `react` | `IReactions/Add` | on the message that has the control |
//! | `ack`, `defer`, `modal` | – | `IInteractions/Ack`, `Defer`, `Modal` |
//! | `edit` | the last reply to this event; without one, the bot's own message itself | a control's or select's message; otherwise the last reply |
//!
//! A `modalSubmit` cannot be acked on the platform, and a modal cannot be answered by another: `ack`,
//! `defer` and `modal` say so at the call instead of failing on the wire.

use mlua::{Lua, Table, Value};

use super::routes::{Params, invalid};
use super::{Kit, text, wrong};
use crate::contract::{self, Route, Type, shapes};
use crate::script::errors::Fault;
use crate::script::guest::Guest;

static MODAL: Type = Type::Object(&shapes::MODAL_DEFINITION);

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let methods = kit.lua.create_table()?;
    methods.raw_set(
        "reply",
        kit.waiting(
            |guest, lua, (event, content, options): (Value, Value, Value)| {
                reply(guest, lua, &Event::of(event, "reply")?, content, options)
            },
        )?,
    )?;
    methods.raw_set(
        "react",
        kit.waiting(|guest, lua, (event, emoji): (Value, Value)| {
            let event = Event::of(event, "react")?;
            let mut params = Params::new();
            params.insert("channelId".into(), event.field("channelId")?.into());
            params.insert("messageId".into(), event.message_id()?.into());
            params.insert(
                "emoji".into(),
                text(&emoji, "event:react: the emoji")?.into(),
            );
            guest.call(lua, route("IReactions", "Add")?, params, None)
        })?,
    )?;
    for (name, method) in [("ack", "Ack"), ("defer", "Defer")] {
        methods.raw_set(
            name,
            kit.waiting(move |guest, lua, event: Value| {
                let params = Event::of(event, name)?.to_answer(name)?;
                guest.call(lua, route("IInteractions", method)?, params, None)
            })?,
        )?;
    }
    methods.raw_set(
        "modal",
        kit.waiting(|guest, lua, (event, definition): (Value, Value)| {
            let mut params = Event::of(event, "modal")?.to_answer("modal")?;
            let route = route("IInteractions", "Modal")?;
            let definition = guest
                .codec
                .encode(&definition, &MODAL)
                .map_err(|error| invalid(guest, lua, route, format!("modal: {error}")))?;
            params.insert("modal".into(), definition);
            guest.call(lua, route, params, None)
        })?,
    )?;
    methods.raw_set(
        "edit",
        kit.waiting(|guest, lua, (event, content): (Value, Value)| {
            edit(guest, lua, &Event::of(event, "edit")?, content)
        })?,
    )?;
    methods.set_readonly(true);
    let metatable = kit.guest.event_methods();
    metatable.raw_set("__index", methods)?;
    metatable.raw_set("__metatable", "locked")?;
    metatable.set_readonly(true);
    Ok(())
}

fn route(interface: &str, name: &str) -> Result<&'static Route, Fault> {
    contract::route(interface, name)
        .ok_or_else(|| Fault::text(format!("the contract has no route {interface}/{name}")))
}

/// An event as its methods see it.
struct Event {
    table: Table,
    kind: String,
    method: &'static str,
}

impl Event {
    fn of(value: Value, method: &'static str) -> Result<Self, Fault> {
        let Value::Table(table) = value else {
            return Err(Fault::text(format!(
                "call it with a colon: event:{method}(…); got {} for the event",
                super::type_name(&value)
            )));
        };
        let kind = table
            .raw_get::<Option<String>>("type")?
            .unwrap_or_else(|| "event".to_owned());
        Ok(Self {
            table,
            kind,
            method,
        })
    }

    fn cannot(&self, why: &str) -> Fault {
        Fault::text(format!("event:{}: {} {why}", self.method, self.kind))
    }

    fn optional(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.table.raw_get(name)? {
            Value::String(text) => Ok(Some(text.to_string_lossy())),
            _ => Ok(None),
        }
    }

    fn field(&self, name: &str) -> Result<String, Fault> {
        match self.optional(name)? {
            Some(value) => Ok(value),
            None => Err(self.cannot(&format!("has no {name}"))),
        }
    }

    /// The message the event is about.
    fn message(&self) -> Result<Option<String>, Fault> {
        if let Value::Table(message) = self.table.raw_get("message")?
            && let Value::String(id) = message.raw_get("messageId")?
        {
            return Ok(Some(id.to_string_lossy()));
        }
        self.optional("messageId")
    }

    fn message_id(&self) -> Result<String, Fault> {
        self.message()?
            .ok_or_else(|| self.cannot("is not about a message"))
    }

    fn is_interaction(&self) -> Result<bool, Fault> {
        Ok(self.optional("interactionId")?.is_some())
    }

    /// Parameters of an answer to an interaction that is still open.
    fn to_answer(&self, method: &str) -> Result<Params, Fault> {
        if self.kind == "modalSubmit" {
            return Err(self.cannot(match method {
                "modal" => "cannot be answered by another modal; use event:reply",
                _ => "needs no answer of this kind, the platform refuses it; use event:reply",
            }));
        }
        if !self.is_interaction()? {
            return Err(self.cannot("is not an interaction"));
        }
        let id = self.field("interactionId")?;
        Ok(Params::from_iter([("interactionId".to_owned(), id.into())]))
    }
}

/// What `content` and `options` say, for that route.
fn message(
    guest: &Guest,
    lua: &Lua,
    route: &'static Route,
    method: &str,
    content: Value,
    options: Value,
) -> Result<Params, Fault> {
    let refuse =
        |error: crate::script::json::EncodeError| invalid(guest, lua, route, error.to_string());
    let mut params = match content {
        Value::String(_) => {
            let text = guest.codec.encode(&content, &Type::String);
            let text = text.map_err(|error| refuse(error.in_field("text")))?;
            Params::from_iter([("text".to_owned(), text)])
        }
        Value::Integer(_) | Value::Number(_) => {
            Params::from_iter([("text".to_owned(), content.to_string()?.into())])
        }
        Value::Table(table) => guest.codec.encode_params(&table, route).map_err(refuse)?,
        other => {
            return Err(wrong(
                &format!("event:{method}: the content"),
                "a string or { text, entities, controls }",
                &other,
            ));
        }
    };
    match options {
        Value::Nil => {}
        Value::Table(table) => {
            params.extend(guest.codec.encode_params(&table, route).map_err(refuse)?);
        }
        other => {
            return Err(wrong(
                &format!("event:{method}: the options"),
                "a table",
                &other,
            ));
        }
    }
    Ok(params)
}

fn reply(
    guest: &Guest,
    lua: &Lua,
    event: &Event,
    content: Value,
    options: Value,
) -> Result<u64, Fault> {
    let interaction = event.is_interaction()?;
    let route = if interaction {
        route("IInteractions", "Reply")?
    } else {
        route("IMessages", "Send")?
    };
    guest.may_call(lua, route)?;
    let reply_to = if interaction {
        None
    } else {
        Some(event.message_id()?)
    };
    let channel = event.field("channelId")?;
    let mut params = message(guest, lua, route, "reply", content, options)?;
    params.entry("channelId").or_insert_with(|| channel.into());
    if let Some(id) = reply_to {
        params.entry("replyTo").or_insert_with(|| id.into());
    }
    let table = event.table.clone();
    let finish = Box::new(move |lua: &Lua, guest: &Guest, answer: &bytes::Bytes| {
        let value = guest.decode(lua, route, answer)?;
        if let Value::Table(answer) = &value {
            guest
                .replies
                .raw_set(table, answer.raw_get::<Value>("messageId")?)?;
        }
        Ok(value)
    });
    guest.call(lua, route, params, Some(finish))
}

fn edit(guest: &Guest, lua: &Lua, event: &Event, content: Value) -> Result<u64, Fault> {
    let route = route("IInteractions", "EditMessage")?;
    guest.may_call(lua, route)?;
    let reply: Option<String> = guest.replies.raw_get(&event.table)?;
    let own = || -> Result<Option<String>, Fault> {
        if event.is_interaction()? || (event.kind == "messageCreate" && guest.is_own(&event.table))
        {
            event.message()
        } else {
            Ok(None)
        }
    };
    let target = if event.is_interaction()? {
        own()?.or(reply)
    } else {
        match reply {
            Some(reply) => Some(reply),
            None => own()?,
        }
    };
    let target = target
        .ok_or_else(|| event.cannot("has nothing of the bot's to edit; call event:reply first"))?;
    let mut params = message(guest, lua, route, "edit", content, Value::Nil)?;
    params.insert("channelId".into(), event.field("channelId")?.into());
    params.insert("messageId".into(), target.into());
    guest.call(lua, route, params, None)
}
