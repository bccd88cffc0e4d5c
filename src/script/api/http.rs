//! `argon.http.request{ url, method?, headers?, query?, body?, json?, timeout? }`: requests to the hosts
//! that the script's config names.
//!
//! The answer is `{ status, ok, headers, body, json }`: header names in lower case, `ok` for a status of
//! 200 to 299, `json` the decoded body of an answer that says it is JSON. Whatever the status is, it is an
//! answer; what raises is a request that was not sent or not answered, as the error value of a failed
//! call, with the request in the place of the route.
//!
//! In a handler that runs again, what was answered before has the same answer. A method that RFC 9110
//! calls idempotent is sent again if its answer is not known; `POST` and `PATCH` are written down before
//! they are sent, and raise `uncertain` then, unless the request has `retry = true`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use mlua::{Lua, Table, Value};
use serde::{Deserialize, Serialize};

use super::{Kit, only, table, text, wrong};
use crate::fetch::{self, Answer, Draft};
use crate::rest;
use crate::script::errors::{Fault, local_failure};
use crate::script::guest::Guest;
use crate::script::position::{self, Known, LARGEST_READ};
use crate::script::recall::{Question, Recall};
use crate::script::scheduler::Behalf;

const WHAT: &str = "argon.http.request";

const FIELDS: &[&str] = &[
    "url", "method", "headers", "query", "body", "json", "timeout", "retry",
];

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let http = kit.lua.create_table()?;
    http.raw_set("request", kit.waiting(start)?)?;
    kit.argon.raw_set("http", http)
}

fn start(guest: &Guest, lua: &Lua, request: Value) -> Result<u64, Fault> {
    let request = match request {
        Value::Table(request) => request,
        other => return Err(wrong(&format!("{WHAT}: the request"), "a table", &other)),
    };
    only(&request, &format!("{WHAT}: the request"), FIELDS)?;
    let repeats = match request.raw_get("retry")? {
        Value::Nil => false,
        Value::Boolean(repeats) => repeats,
        other => return Err(wrong(&format!("{WHAT}: retry"), "true or false", &other)),
    };
    let draft = draft(guest, &request)?;
    let request = guest
        .http
        .prepare(draft)
        .map_err(|error| guest.refusal(lua, &local_failure(WHAT, error.code, error.message)))?;
    let label = request.label();
    guest.room_for_call(lua, &label)?;
    let once = !request.is_idempotent() && !repeats;
    let behalf = guest.scheduler.borrow().here(lua);
    let site = behalf.as_ref().and_then(Behalf::site);
    let args = args(&request);
    let question = Question {
        what: &label,
        args: &args,
        hash: hash(&request),
    };
    let Recall {
        site,
        known,
        of_load,
    } = guest.recall(site, &question);
    let question = question.hash;
    let known = match known {
        Known::Answer(answer) => Some(answer),
        Known::Sent(_) if once => Some(Err(uncertain(&label))),
        Known::Sent(_) | Known::Nothing => None,
    };
    if let Some(answer) = known {
        return Ok(guest.outside_on(lua, behalf, async move {
            move |lua: &Lua, guest: &Guest| finish(guest, lua, &answer)
        }));
    }
    let written = site.map(|site| {
        let ledger = site.ledger().clone();
        let intent = once.then(|| ledger.intend(&site.position, question));
        (ledger, site.position, intent)
    });
    let (client, mailbox) = (guest.http.clone(), Arc::clone(&guest.mailbox));
    let status = Arc::clone(&guest.status);
    Ok(guest.outside_on(lua, behalf, async move {
        let send = async |request| match client.send(request).await {
            Ok(answer) => {
                status.http_answered.fetch_add(1, Ordering::Relaxed);
                mailbox.answers.admit(&label, Ok(written_down(&answer)))
            }
            Err(error) => {
                status.http_failed.fetch_add(1, Ordering::Relaxed);
                let error = local_failure(&label, error.code, error.message);
                (Err(error), None)
            }
        };
        let (answer, held) = match written {
            None => send(request).await,
            Some((ledger, position, intent)) => {
                let intended = match intent {
                    Some(intent) => intent.await,
                    None => Ok(()),
                };
                let (answer, held) = match intended {
                    Ok(()) => send(request).await,
                    Err(error) => {
                        let message = format!("it was not sent, because {error}");
                        (Err(local_failure(&label, error.code(), message)), None)
                    }
                };
                // A refusal is an answer, too: the handler that comes here again goes on as it did then.
                let small = |answer: &Bytes| once || answer.len() <= LARGEST_READ;
                if let Some(answer) = position::encode(&answer).filter(small) {
                    ledger.answered(&position, question, answer);
                }
                (answer, held)
            }
        };
        move |lua: &Lua, guest: &Guest| {
            let _held = held;
            if let Some(of_load) = of_load {
                guest.answered_load(of_load, &answer);
            }
            finish(guest, lua, &answer)
        }
    }))
}

/// The request for people: what may be secret in its address and headers is left out.
fn args(request: &fetch::Request) -> String {
    let (_, _, body) = request.essence();
    if body.is_empty() {
        return "{}".to_owned();
    }
    let body = serde_json::from_slice(body)
        .unwrap_or_else(|_| serde_json::Value::from(String::from_utf8_lossy(body)));
    serde_json::json!({ "body": body }).to_string()
}

fn hash(request: &fetch::Request) -> u64 {
    let (method, address, body) = request.essence();
    position::hash([WHAT, method, address, &String::from_utf8_lossy(body)])
}

/// Why a request is not sent again.
fn uncertain(label: &str) -> rest::Error {
    let message = "it was sent before the bot was restarted, and nobody knows whether it took effect; \
                   to send it again in such a case, set retry = true in the request";
    local_failure(label, "uncertain", message.to_owned())
}

/// An answer as it is written down.
#[derive(Serialize, Deserialize)]
struct Written {
    status: u16,
    headers: BTreeMap<String, String>,
    /// A body that is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Any other, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

fn written_down(answer: &Answer) -> Bytes {
    let text = std::str::from_utf8(&answer.body).ok();
    let written = Written {
        status: answer.status,
        headers: answer.headers.iter().cloned().collect(),
        body: text.map(str::to_owned),
        bytes: text.is_none().then(|| BASE64.encode(&answer.body)),
    };
    // Numbers and texts always make JSON.
    Bytes::from(serde_json::to_vec(&written).unwrap_or_default())
}

fn finish(guest: &Guest, lua: &Lua, answer: &Result<Bytes, rest::Error>) -> Result<Value, Fault> {
    let body = answer.as_ref().map_err(|error| guest.refusal(lua, error))?;
    let written: Written = serde_json::from_slice(body)
        .map_err(|error| Fault::text(format!("{WHAT}: the answer cannot be read: {error}")))?;
    let bytes = match (written.body, written.bytes) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(bytes)) => BASE64.decode(bytes).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    let answer = Answer {
        status: written.status,
        headers: written.headers.into_iter().collect(),
        body: bytes.into(),
    };
    Ok(Value::Table(value(guest, lua, &answer)?))
}

fn draft(guest: &Guest, request: &Table) -> Result<Draft, Fault> {
    let field = |name: &str| request.raw_get::<Value>(name).map_err(Fault::from);
    let what = |name: &str| format!("{WHAT}: {name}");
    let method = match field("method")? {
        Value::Nil => "GET".to_owned(),
        other => text(&other, &what("method"))?,
    };
    let (body, content_type) = match (field("body")?, field("json")?) {
        (Value::Nil, Value::Nil) => (None, None),
        (Value::String(body), Value::Nil) => (Some(body.as_bytes().to_vec()), None),
        (Value::Buffer(body), Value::Nil) => (Some(body.to_vec()), None),
        (Value::Nil, json) => {
            let json = guest.codec.encode_any(&json);
            let json = json.map_err(|error| Fault::text(format!("{}: {error}", what("json"))))?;
            (Some(json.into_bytes()), Some("application/json"))
        }
        (other, Value::Nil) => return Err(wrong(&what("body"), "a string or a buffer", &other)),
        _ => {
            let message = format!("{WHAT}: body and json are both given: use one of them");
            return Err(Fault::text(message));
        }
    };
    Ok(Draft {
        method,
        url: text(&field("url")?, &what("url"))?,
        query: pairs(field("query")?, &what("query"))?,
        headers: pairs(field("headers")?, &what("headers"))?,
        body,
        content_type,
        timeout: match field("timeout")? {
            Value::Nil => None,
            other => Some(seconds(&other)?),
        },
    })
}

/// Names and values; a list of values makes a name appear several times.
fn pairs(value: Value, what: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut pairs = Vec::new();
    let Some(table) = table(value, what)? else {
        return Ok(pairs);
    };
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let name = text(&name, &format!("{what}: a name"))?;
        let place = format!("{what}.{name}");
        match value {
            Value::Table(values) => {
                for value in values.sequence_values::<Value>() {
                    pairs.push((name.clone(), scalar(&value?, &place)?));
                }
            }
            value => pairs.push((name, scalar(&value, &place)?)),
        }
    }
    // Luau has no order of fields; this one makes requests comparable. Lists keep theirs.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(pairs)
}

fn scalar(value: &Value, place: &str) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.to_string_lossy()),
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => Ok(value.to_string()?),
        other => Err(wrong(
            place,
            "a string, number, boolean or a list of them",
            other,
        )),
    }
}

fn seconds(value: &Value) -> Result<Duration, Fault> {
    super::seconds(value, &format!("{WHAT}: timeout"), 0.001)
}

fn value(guest: &Guest, lua: &Lua, answer: &Answer) -> Result<Table, Fault> {
    let headers = lua.create_table_with_capacity(0, answer.headers.len())?;
    for (name, value) in &answer.headers {
        headers.raw_set(name.as_str(), value.as_str())?;
    }
    let table = lua.create_table_with_capacity(0, 5)?;
    table.raw_set("status", answer.status)?;
    table.raw_set("ok", (200..300).contains(&answer.status))?;
    table.raw_set("headers", headers)?;
    table.raw_set("body", lua.create_string(&answer.body)?)?;
    if answer.is_json() {
        // A body that is not what it says it is: the text is there, for whoever wants to know.
        if let Ok(json) = guest.codec.decode_any(lua, &answer.body) {
            table.raw_set("json", json)?;
        }
    }
    Ok(table)
}
