//! Every route of the contract, called from Luau, reaches the embedded server with the right method,
//! path, query and JSON.

mod support;

use argon_host::contract::{Field, ROUTES, Route, Type};
use serde_json::{Map, Value, json};
use support::{embedded_bot, run_embedded};

const GUID: &str = "3f1c2a8e-5b7d-4e6f-9a0b-1c2d3e4f5a6b";
/// Above 2^53: exact only if nobody makes a floating point number of it.
const ID64: i64 = 9_007_199_254_740_993;

/// A parameter's value as written in Luau, and as it must stand on the wire.
fn sample(field: &Field) -> (String, Value) {
    match (field.name, field.ty) {
        ("emoji", _) => ("\"👍\"".to_owned(), json!("👍")),
        ("name", _) => ("\"sample\"".to_owned(), json!("sample")),
        ("modal", _) => (
            r#"{ customId = "m", title = "T", components = {
                { type = "textInput", customId = "c", label = "L", style = "paragraph" } } }"#
                .to_owned(),
            json!({ "customId": "m", "title": "T", "components": [
                { "type": 0, "customId": "c", "label": "L", "style": 1 }] }),
        ),
        ("controls", _) => (
            r#"{ { controls = { { type = "button", variant = "callback", id = "b", label = "B",
                colour = { l = 0.5, c = 0.1, h = 120 } } } } }"#
                .to_owned(),
            json!([{ "controls": [{ "type": 0, "variant": 0, "id": "b", "label": "B",
                "colour": { "l": 0.5, "c": 0.1, "h": 120 } }] }]),
        ),
        ("entities", _) => (
            r#"{ { type = "bold", offset = 0, length = 4 } }"#.to_owned(),
            json!([{ "type": 10, "offset": 0, "length": 4, "version": 1 }]),
        ),
        ("options", _) => (
            r#"{ { name = "o", type = "integer", description = "D", required = true } }"#
                .to_owned(),
            json!([{ "name": "o", "type": 1, "description": "D", "required": true }]),
        ),
        (_, Type::Guid) => (format!("\"{GUID}\""), json!(GUID)),
        (_, Type::Id64) => (format!("\"{ID64}\""), json!(ID64)),
        (_, Type::List(Type::Id64)) => (format!("{{ \"{ID64}\", 7 }}"), json!([ID64, 7])),
        (_, Type::String) => ("\"some text\"".to_owned(), json!("some text")),
        (_, Type::Int32) => ("7".to_owned(), json!(7)),
        (_, Type::Bool) => ("true".to_owned(), json!(true)),
        (_, Type::Choice(words)) => (format!("\"{}\"", words[1]), json!(words[1])),
        (_, Type::Enum(values)) => {
            let (number, name) = values.values[1];
            (format!("\"{name}\""), json!(number))
        }
        (name, ty) => panic!("no sample for the parameter {name} of type {ty:?}"),
    }
}

/// The routes that scripts call; the stream is the host's.
fn callable() -> impl Iterator<Item = &'static Route> {
    ROUTES
        .iter()
        .filter(|route| route.interface.name != "IEvents")
}

fn luau_call(route: &Route) -> String {
    let params: Vec<_> = route
        .params()
        .map(|field| format!("{} = {}", field.name, sample(field).0))
        .collect();
    format!(
        "    pcall(argon.{}.{}, {{ {} }})\n",
        route.interface.luau_name(),
        route.luau_name(),
        params.join(", ")
    )
}

#[tokio::test]
async fn every_route_reaches_the_wire_as_the_contract_says() {
    let calls: String = callable().map(luau_call).collect();
    let script = format!(
        "argon.on(\"messageCreate\", function(event)\n    if event.message.text ~= \"go\" then return end\n{calls}    event:reply(\"all called\")\nend)\n"
    );
    let dir = embedded_bot(&[("all.luau", &script)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let before = world.get("requests?after=0").await;
    let before = before["requests"]
        .as_array()
        .expect("requests")
        .last()
        .map_or(json!(0), |r| r["n"].clone());

    let mut events = world.events().await;
    world.write(0, "general", "go").await;
    let done = |event: &Value| event["message"]["text"] == "all called";
    events.next("every call returned", done).await;

    let seen = world.get(&format!("requests?after={before}")).await;
    let seen = seen["requests"].as_array().expect("requests");
    let mut wrong = Vec::new();
    for route in callable() {
        let Some(request) = seen.iter().find(|request| {
            request["path"] == json!(route.path()) && request["method"] == route.method.as_str()
        }) else {
            wrong.push(format!(
                "{} {} never came",
                route.method.as_str(),
                route.path()
            ));
            continue;
        };
        let query: Map<String, Value> = route
            .query
            .iter()
            .map(|field| (field.name.to_owned(), as_query(&sample(field).1)))
            .collect();
        let body: Value = route.body.map_or(Value::Null, |shape| {
            shape
                .fields
                .iter()
                .map(|f| (f.name.to_owned(), sample(f).1))
                .collect::<Map<_, _>>()
                .into()
        });
        if request["query"] != json!(query) {
            wrong.push(format!(
                "{}: query {} instead of {query:?}",
                route.label(),
                request["query"]
            ));
        }
        if !same(&request["body"], &body) {
            wrong.push(format!(
                "{}: body {} instead of {body}",
                route.label(),
                request["body"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn as_query(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        other => json!(other.to_string()),
    }
}

/// Equality in which 120 and 120.0 are one number, but large integers stay exact.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same(v, w))
        }
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
            x.as_f64() == y.as_f64()
        }
        _ => a == b,
    }
}

#[tokio::test]
async fn the_stream_belongs_to_the_host() {
    let script = r#"
        argon.on("messageCreate", function(event)
            if event.message.text == "go" then
                local ok, failure = pcall(argon.events.stream, { intents = 1 })
                event:reply(`{ok} {failure}`)
            end
        end)
    "#;
    let dir = embedded_bot(&[("stream.luau", script)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let mut events = world.events().await;
    world.write(0, "general", "go").await;
    let answer = events.bot_message().await;
    let answer = answer["text"].as_str().expect("text");
    assert!(
        answer.starts_with("false") && answer.contains("argon.on"),
        "{answer}"
    );
}
