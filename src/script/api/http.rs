//! `argon.http.request{ url, method?, headers?, query?, body?, json?, timeout? }`: requests to the hosts
//! that the script's config names.
//!
//! The answer is `{ status, ok, headers, body, json }`: header names in lower case, `ok` for a status of
//! 200 to 299, `json` the decoded body of an answer that says it is JSON. Whatever the status is, it is an
//! answer; what raises is a request that was not sent or not answered, as the error value of a failed
//! call, with the request in the place of the route.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mlua::{Lua, Table, Value};

use super::{Kit, only, table, text, wrong};
use crate::fetch::{self, Answer, Draft};
use crate::script::errors::{Fault, local_failure};
use crate::script::guest::Guest;

const WHAT: &str = "argon.http.request";

const FIELDS: &[&str] = &[
    "url", "method", "headers", "query", "body", "json", "timeout",
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
    let draft = draft(guest, &request)?;
    let request = guest
        .http
        .prepare(draft)
        .map_err(|error| failed(guest, lua, WHAT, error))?;
    let label = request.label();
    guest.room_for_call(lua, &label)?;
    let client = guest.http.clone();
    let status = Arc::clone(&guest.status);
    Ok(guest.outside(lua, async move {
        let answer = client.send(request).await;
        let counter = match answer {
            Ok(_) => &status.http_answered,
            Err(_) => &status.http_failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        move |lua: &Lua, guest: &Guest| match answer {
            Ok(answer) => Ok(Value::Table(value(guest, lua, &answer)?)),
            Err(error) => Err(failed(guest, lua, &label, error)),
        }
    }))
}

fn failed(guest: &Guest, lua: &Lua, label: &str, error: fetch::Error) -> Fault {
    guest.refusal(lua, &local_failure(label, error.code, error.message))
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
