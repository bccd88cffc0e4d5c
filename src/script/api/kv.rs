//! `argon.kv`: values that outlive the process, of this script or (`argon.kv.shared(name)`) of several.
//!
//! `set(key, value, { ttl })`, `get(key)`, `delete(key)`, `update(key, f)` and
//! `list(prefix, { limit, after })`. A value is what JSON can say. What `set`, `delete` and `update`
//! return from is on disk; a full disk or a full store raises an error value with the code `disk` or
//! `quota_exceeded`, and a listing that is too large one with `response_too_large`: no listing has fewer
//! entries than were asked for while there are more.
//!
//! In a handler, what came of each operation is written down in the same transaction, so that a handler
//! that runs again after a crash neither counts twice nor reads what it has written itself. `update`
//! reads, calls the function and writes only if nobody else wrote meanwhile; otherwise it begins again.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Lua, Table, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{Kit, only, seconds, table, text, wrong};
use crate::inbox::{KEY_BYTES, KvAnswer, KvOp, PAGE, PAGE_BYTES, VALUE_BYTES, kv_json};
use crate::rest;
use crate::script::answers::Unread;
use crate::script::errors::{Fault, local_failure};
use crate::script::guest::Guest;
use crate::script::position::{Known, Record, Site};
use crate::script::recall::{Question, Recall};
use crate::script::scheduler::Behalf;
use crate::script::vm::raw;

/// Entries in a listing, if the script asks for no other number.
const LISTED: usize = 100;
/// The longest name of a shared store, bytes.
const NAME_BYTES: usize = 64;

/// Begins something in a namespace; answers the ticket.
type Start<A> = fn(&Guest, &Lua, &str, A) -> Result<u64, Fault>;
type Arguments = (Value, Value, Value);

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let kv = store(kit.guest, kit.lua, &format!("script:{}", kit.guest.name))?;
    let guest = Rc::clone(kit.guest);
    let shared = kit.function(move |_, lua, name: Value| {
        let name = text(&name, "argon.kv.shared: the name")?;
        if name.is_empty() || name.len() > NAME_BYTES {
            let message = format!("argon.kv.shared: a name has 1 to {NAME_BYTES} bytes");
            return Err(Fault::text(message));
        }
        let store = store(&guest, lua, &format!("shared:{name}"))?;
        store.set_readonly(true);
        Ok(store)
    })?;
    kv.raw_set("shared", shared)?;
    kit.argon.raw_set("kv", kv)
}

/// The functions of one namespace.
fn store(guest: &Rc<Guest>, lua: &Lua, space: &str) -> mlua::Result<Table> {
    let kv = lua.create_table()?;
    let waiting = |start: Start<Arguments>| {
        let (guest, space) = (Rc::clone(guest), space.to_owned());
        guest.clone().tools.waiting(lua, move |lua, arguments| {
            start(&guest, lua, &space, arguments)
        })
    };
    kv.raw_set("get", waiting(get)?)?;
    kv.raw_set("set", waiting(set)?)?;
    kv.raw_set("delete", waiting(delete)?)?;
    kv.raw_set("list", waiting(list)?)?;
    let step = |start: Start<Step>| {
        let (guest, space) = (Rc::clone(guest), space.to_owned());
        raw(lua, move |lua, step| start(&guest, lua, &space, step))
    };
    let update = guest
        .tools
        .updater
        .call::<Value>((step(read)?, step(write)?))?;
    kv.raw_set("update", update)?;
    Ok(kv)
}

fn get(guest: &Guest, lua: &Lua, space: &str, (key, _, _): Arguments) -> Result<u64, Fault> {
    let key = checked_key(&key, "get")?;
    ask(guest, lua, space, "get", KvOp::Get { key }, value_of)
}

fn set(
    guest: &Guest,
    lua: &Lua,
    space: &str,
    (key, value, options): Arguments,
) -> Result<u64, Fault> {
    let key = checked_key(&key, "set")?;
    let ttl = match table(options, "argon.kv.set: the options")? {
        Some(options) => {
            only(&options, "argon.kv.set: the options table", &["ttl"])?;
            match options.raw_get("ttl")? {
                Value::Nil => None,
                ttl => Some(seconds(&ttl, "argon.kv.set: ttl", 0.001)?),
            }
        }
        None => None,
    };
    let op = change(guest, key, &value, "set", ttl, None)?;
    ask(guest, lua, space, "set", op, |_, _, _| Ok(Value::Nil))
}

fn delete(guest: &Guest, lua: &Lua, space: &str, (key, _, _): Arguments) -> Result<u64, Fault> {
    let op = KvOp::Delete {
        key: checked_key(&key, "delete")?,
        revision: None,
    };
    ask(guest, lua, space, "delete", op, |_, _, _| Ok(Value::Nil))
}

fn list(
    guest: &Guest,
    lua: &Lua,
    space: &str,
    (prefix, options, _): Arguments,
) -> Result<u64, Fault> {
    let prefix = match prefix {
        Value::Nil => String::new(),
        prefix => text(&prefix, "argon.kv.list: the prefix")?,
    };
    let (mut limit, mut after) = (LISTED, None);
    if let Some(options) = table(options, "argon.kv.list: the options")? {
        only(
            &options,
            "argon.kv.list: the options table",
            &["limit", "after"],
        )?;
        if let Some(asked) = options
            .raw_get::<Option<f64>>("limit")
            .map_err(Fault::from)?
        {
            if !(1.0..=PAGE as f64).contains(&asked) || asked.fract() != 0.0 {
                let message =
                    format!("argon.kv.list: limit must be a whole number from 1 to {PAGE}");
                return Err(Fault::text(message));
            }
            limit = asked as usize;
        }
        after = match options.raw_get("after")? {
            Value::Nil => None,
            after => Some(text(&after, "argon.kv.list: after")?),
        };
    }
    let op = KvOp::List {
        prefix,
        limit,
        after,
    };
    ask(guest, lua, space, "list", op, move |lua, guest, answer| {
        let found = answer.entries.unwrap_or_default();
        // Fewer than were asked for say that there are no more.
        if answer.more && found.len() < limit {
            return Err(too_large(guest, lua, found.len()));
        }
        let entries = lua.create_table()?;
        for (at, found) in found.iter().enumerate() {
            let entry = lua.create_table_with_capacity(0, 2)?;
            entry.raw_set("key", &*found.key)?;
            entry.raw_set("value", decode(lua, guest, Some(found.value))?)?;
            entries.raw_set(at + 1, entry)?;
        }
        Ok(Value::Table(entries))
    })
}

/// One answer had no room for the entries that were asked for, but for so many.
fn too_large(guest: &Guest, lua: &Lua, fit: usize) -> Fault {
    let message = format!(
        "the first {fit} of the entries have {} MiB already, as many as one answer may: ask for fewer with \
         `limit`",
        PAGE_BYTES >> 20
    );
    let error = local_failure("argon.kv.list", "response_too_large", message);
    guest.refusal(lua, &error)
}

/// What the prelude's `update` hands over: key, value, revision, position.
type Step = (Value, Value, Option<f64>, Option<String>);

/// The first half of `update`: `{ done, value }` when it was done before, or
/// `{ value, revision, position }`.
fn read(guest: &Guest, lua: &Lua, space: &str, (key, _, _, position): Step) -> Result<u64, Fault> {
    let key = checked_key(&key, "update")?;
    guest.room_for_call(lua, "argon.kv.update")?;
    let behalf = guest.scheduler.borrow().here(lua);
    let args = args(space, &[&key]);
    let question = Question::new(UPDATE, &args);
    let mut known = None;
    let position = match position {
        // Again, because somebody else wrote in between.
        Some(position) => Some(position),
        None => {
            let site = behalf.as_ref().and_then(Behalf::site);
            let recall = guest.recall(site, &question);
            if let Known::Answer(answer) = recall.known {
                known = Some(answer.map_err(|error| guest.refusal(lua, &error))?);
            }
            recall.site.map(|site| site.position)
        }
    };
    let site = site_at(behalf.as_ref(), position.as_deref());
    let record = site.map(|site| site.record(question.hash));
    let found = move |lua: &Lua, guest: &Guest, answer: Answer<'_>, done: bool| {
        let found = lua.create_table()?;
        found.raw_set("done", done)?;
        found.raw_set("value", decode(lua, guest, answer.value)?)?;
        found.raw_set("revision", answer.revision.unwrap_or(0))?;
        found.raw_set("position", position)?;
        mlua::Result::Ok(Value::Table(found))
    };
    let done = known.is_some();
    let told = match known {
        Some(known) => told_before(&known),
        None => send(
            guest,
            space,
            "update",
            KvOp::Get { key },
            None,
            question.hash,
        ),
    };
    Ok(guest.outside_on(lua, behalf, async move {
        let result = told.await;
        move |lua: &Lua, guest: &Guest| match result {
            Ok(Ok(told)) => Ok(found(lua, guest, parse(&told.answer.text())?, done)?),
            Ok(Err(error)) => Err(refused(guest, lua, &error, record)),
            Err(_) => Err(stopped(guest, lua, "update")),
        }
    }))
}

/// The second half of `update`: whether nobody wrote in between, and so it is written.
fn write(
    guest: &Guest,
    lua: &Lua,
    space: &str,
    (key, value, revision, position): Step,
) -> Result<u64, Fault> {
    let key = checked_key(&key, "update")?;
    guest.room_for_call(lua, "argon.kv.update")?;
    let args = args(space, &[&key]);
    let question = Question::new(UPDATE, &args).hash;
    // It came from a number of this size.
    let revision = Some(revision.unwrap_or(0.0) as u64);
    let op = match value {
        Value::Nil => KvOp::Delete { key, revision },
        value => change(guest, key, &value, "update", None, revision)?,
    };
    let behalf = guest.scheduler.borrow().here(lua);
    let site = site_at(behalf.as_ref(), position.as_deref());
    let record = site.as_ref().map(|site| site.record(question));
    let told = send(guest, space, "update", op, site.as_ref(), question);
    Ok(guest.outside_on(lua, behalf, async move {
        let result = told.await;
        move |lua: &Lua, guest: &Guest| match result {
            Ok(Ok(told)) => Ok(Value::Boolean(!parse(&told.answer.text())?.conflict)),
            Ok(Err(error)) => Err(refused(guest, lua, &error, record)),
            Err(_) => Err(stopped(guest, lua, "update")),
        }
    }))
}

/// A position that was looked up before.
fn site_at(behalf: Option<&Behalf>, position: Option<&str>) -> Option<Site> {
    let run = behalf?.event.as_ref()?;
    Some(Site::at(run, position?.to_owned()))
}

const UPDATE: &str = "argon.kv.update";

/// What is answered, in the inbox's words.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    revision: Option<u64>,
    #[serde(default)]
    conflict: bool,
    #[serde(borrow)]
    entries: Option<Vec<Entry<'a>>>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Entry<'a> {
    key: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Asks the store for the running coroutine.
fn ask(
    guest: &Guest,
    lua: &Lua,
    space: &str,
    name: &'static str,
    op: KvOp,
    finish: impl FnOnce(&Lua, &Guest, Answer<'_>) -> Result<Value, Fault> + Send + 'static,
) -> Result<u64, Fault> {
    guest.room_for_call(lua, &format!("argon.kv.{name}"))?;
    let behalf = guest.scheduler.borrow().here(lua);
    let site = behalf.as_ref().and_then(Behalf::site);
    let args = args_of(space, &op);
    let label = format!("argon.kv.{name}");
    let question = Question::new(&label, &args);
    let Recall {
        site,
        known,
        of_load,
    } = guest.recall(site, &question);
    let told = match known {
        Known::Answer(Err(error)) => return Err(guest.refusal(lua, &error)),
        Known::Answer(Ok(answer)) => told_before(&answer),
        _ => send(guest, space, name, op, site.as_ref(), question.hash),
    };
    let record = site.map(|site| site.record(question.hash));
    Ok(guest.outside_on(lua, behalf, async move {
        let result = told.await;
        move |lua: &Lua, guest: &Guest| match result {
            Ok(Ok(told)) => {
                let answer = told.answer.text();
                if let Some(of_load) = of_load {
                    guest.answered_load_text(of_load, format!("{{\"ok\":{answer}}}").into());
                }
                finish(lua, guest, parse(&answer)?)
            }
            Ok(Err(error)) => Err(refused(guest, lua, &error, record)),
            Err(_) => Err(stopped(guest, lua, name)),
        }
    }))
}

/// What the store has answered.
struct Told {
    answer: Answered,
    /// It counts until it is read, if it is not of before.
    _held: Option<Unread>,
}

/// An answer of now, or one of before.
enum Answered {
    Now(KvAnswer),
    Before(String),
}

impl Answered {
    /// The answer as JSON text. It is made by who wants it, not by the journal, which has others to answer.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Answered::Now(answer) => Cow::Owned(kv_json(answer)),
            Answered::Before(text) => Cow::Borrowed(text),
        }
    }
}

type Telling = oneshot::Receiver<Result<Told, rest::Error>>;

/// Sends it to the journal.
fn send(
    guest: &Guest,
    space: &str,
    name: &str,
    op: KvOp,
    site: Option<&Site>,
    question: u64,
) -> Telling {
    let (tell, told) = oneshot::channel();
    let place = site.map(|site| (site.ledger(), &*site.position, question));
    let label = format!("argon.kv.{name}");
    let mailbox = Arc::clone(&guest.mailbox);
    guest.kv.ask(space.to_owned(), op, place, move |result| {
        let result = result
            .map_err(|error| local_failure(&label, error.code(), error.to_string()))
            .and_then(|answer| {
                let held = mailbox.answers.hold(&label, answer.bytes())?;
                Ok(Told {
                    answer: Answered::Now(answer),
                    _held: Some(held),
                })
            });
        let _ = tell.send(result);
    });
    told
}

/// What was answered before.
fn told_before(answer: &[u8]) -> Telling {
    let (tell, told) = oneshot::channel();
    let _ = tell.send(Ok(Told {
        answer: Answered::Before(String::from_utf8_lossy(answer).into_owned()),
        _held: None,
    }));
    told
}

/// The arguments as JSON text, the store first.
fn args(space: &str, rest: &[&str]) -> String {
    let all: Vec<&str> = [&[space], rest].concat();
    // Texts always make JSON.
    serde_json::to_string(&all).unwrap_or_default()
}

fn args_of(space: &str, op: &KvOp) -> String {
    match op {
        KvOp::Get { key } | KvOp::Delete { key, .. } => args(space, &[key]),
        KvOp::Set {
            key, value, ttl, ..
        } => {
            let ttl = ttl.map(|ttl| format!("{ttl:?}"));
            args(space, &[key, value, ttl.as_deref().unwrap_or_default()])
        }
        KvOp::List {
            prefix,
            limit,
            after,
        } => {
            let after = after.as_deref().unwrap_or_default();
            args(space, &[prefix, &limit.to_string(), after])
        }
    }
}

/// The write of a value; nil removes the key.
fn change(
    guest: &Guest,
    key: String,
    value: &Value,
    name: &str,
    ttl: Option<Duration>,
    revision: Option<u64>,
) -> Result<KvOp, Fault> {
    if value.is_nil() {
        return Ok(KvOp::Delete { key, revision });
    }
    let value = guest
        .codec
        .encode_any(value)
        .map_err(|error| Fault::text(format!("argon.kv.{name}: {error}")))?;
    if value.len() > VALUE_BYTES {
        return Err(Fault::text(format!(
            "argon.kv.{name}: the value has {} bytes as JSON, at most {VALUE_BYTES} are allowed: spread \
             it over several keys",
            value.len()
        )));
    }
    Ok(KvOp::Set {
        key,
        value,
        ttl,
        revision,
    })
}

fn checked_key(key: &Value, name: &str) -> Result<String, Fault> {
    let Value::String(text) = key else {
        return Err(wrong(&format!("argon.kv.{name}: the key"), "a string", key));
    };
    let problem = match text.to_str() {
        Ok(key) if key.is_empty() => "it is empty".to_owned(),
        Ok(key) if key.len() > KEY_BYTES => format!("it has {} bytes", key.len()),
        Ok(key) => return Ok(key.to_owned()),
        Err(_) => "it is no UTF-8 text".to_owned(),
    };
    Err(Fault::text(format!(
        "argon.kv.{name}: a key is text of 1 to {KEY_BYTES} bytes, and {problem}"
    )))
}

fn parse(answer: &str) -> Result<Answer<'_>, Fault> {
    serde_json::from_str(answer)
        .map_err(|error| Fault::text(format!("argon.kv: what is stored cannot be read: {error}")))
}

fn value_of(lua: &Lua, guest: &Guest, answer: Answer<'_>) -> Result<Value, Fault> {
    Ok(decode(lua, guest, answer.value)?)
}

fn decode(lua: &Lua, guest: &Guest, value: Option<&RawValue>) -> mlua::Result<Value> {
    match value {
        Some(value) => guest
            .codec
            .decode_any(lua, value.get().as_bytes())
            .map_err(mlua::Error::external),
        None => Ok(Value::Nil),
    }
}

fn refused(guest: &Guest, lua: &Lua, error: &rest::Error, record: Option<Record>) -> Fault {
    if let Some(record) = record {
        record.answered(&Err(error.clone()));
    }
    guest.refusal(lua, error)
}

fn stopped(guest: &Guest, lua: &Lua, name: &str) -> Fault {
    let label = format!("argon.kv.{name}");
    let message = "the host is shutting down".to_owned();
    guest.refusal(lua, &local_failure(&label, "stopped", message))
}
