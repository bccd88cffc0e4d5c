//! What a call is on the wire: places of parameters, headers, exact ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use argon_host::contract::{ROUTES, Type};
use argon_host::rest::Call;
use serde_json::{Map, Value, json};

use crate::server::{Server, ok};
use crate::{Seen, TOKEN, call, client, client_at};

/// A valid value for a parameter, and what has to arrive for it.
fn sample(ty: &Type, name: &str) -> (Value, Value) {
    match ty {
        Type::Guid => (json!("a b/ä"), json!("a b/ä")),
        Type::String | Type::Time if name == "name" => (json!("Name"), json!("name")),
        Type::String | Type::Time => (json!("x & y"), json!("x & y")),
        Type::Id64 => (json!("9007199254740993"), json!(9_007_199_254_740_993_i64)),
        Type::Bool => (json!(true), json!(true)),
        Type::Enum(known) => (json!(known.values[1].1), json!(known.values[1].0)),
        Type::Flags(known) => (json!([known.values[0].1]), json!(known.values[0].0)),
        Type::Choice(words) => (json!(words[0].to_uppercase()), json!(words[0])),
        Type::Int32 | Type::Uint32 | Type::Int64 => (json!(7.0), json!(7)),
        Type::Float => (json!(0.5), json!(0.5)),
        Type::List(Type::Id64) => (json!(["1", 2]), json!([1, 2])),
        Type::List(_) => (json!([]), json!([])),
        Type::Object(_) => (
            json!({"customId": "m", "title": "t", "components":
                [{"type": "checkbox", "customId": "c", "label": "l"}]}),
            json!({"customId": "m", "title": "t", "components":
                [{"type": 5, "customId": "c", "label": "l"}]}),
        ),
        Type::Any | Type::Map(_) | Type::Union(_) => (json!({}), json!({})),
    }
}

#[tokio::test]
async fn every_route_reaches_the_wire_where_the_contract_says() {
    let server = Server::start(|_, _| ok("{}")).await;
    let client = client(&server.base);
    for route in ROUTES
        .iter()
        .filter(|route| route.interface.name != "IEvents")
    {
        let mut given = Map::new();
        let mut expected = HashMap::new();
        for field in route.params() {
            let (value, mut arrives) = sample(&field.ty, field.name);
            // Only command names are stored in lower case.
            if field.name == "name" && route.interface.name != "ICommands" {
                arrives = value.clone();
            }
            given.insert(field.name.to_owned(), value);
            expected.insert(field.name, arrives);
        }
        client
            .call(Call::new(route, given).expect("valid"))
            .await
            .expect("answered");
        let request = server.seen().pop().expect("it arrived");
        let label = route.label();
        assert_eq!(request.method, route.method.as_str(), "{label}");
        assert_eq!(request.path(), route.path(), "{label}");
        assert_eq!(request.headers["authorization"], format!("Bot {TOKEN}"));
        assert_eq!(
            request.headers["user-agent"],
            concat!("argon-host/", env!("CARGO_PKG_VERSION"))
        );
        let query = request.query();
        assert_eq!(query.len(), route.query.len(), "{label}");
        for field in route.query {
            let wanted = match &expected[field.name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(query[field.name], wanted, "{label}");
        }
        match route.body {
            Some(shape) => {
                assert_eq!(
                    request.headers["content-type"], "application/json",
                    "{label}"
                );
                let body: Value = serde_json::from_str(&request.body).expect("JSON");
                let wanted: Map<String, Value> = shape
                    .fields
                    .iter()
                    .map(|field| (field.name.to_owned(), expected[field.name].clone()))
                    .collect();
                assert_eq!(body, Value::Object(wanted), "{label}");
            }
            None => {
                assert_eq!(request.body, "", "{label}");
                if request.method == "POST" {
                    assert_eq!(request.headers["content-length"], "0", "{label}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_base_with_a_path_is_kept_and_connections_are_reused() {
    let server = Server::start(|_, _| ok("{}")).await;
    let client = client(&format!("{}/api/bot/", server.base));
    for _ in 0..3 {
        client
            .call(call("IBotSelf/GetMe", json!({})))
            .await
            .expect("answered");
    }
    for request in server.seen() {
        assert_eq!(request.target, "/api/bot/IBotSelf/v1/GetMe");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn sixty_four_bit_ids_are_exact_both_ways() {
    let answer = r#"{"messageId":9223372036854775807}"#;
    let server = Server::start(move |_, _| ok(answer)).await;
    let observer = Arc::new(Seen::default());
    let client = client_at(&server.base, Arc::clone(&observer));
    let body = client
        .call(call(
            "IMessages/Send",
            json!({"channelId": "c", "text": "x", "replyTo": i64::MAX, "randomId": i64::MIN.to_string()}),
        ))
        .await
        .expect("answered");
    assert_eq!(&body[..], answer.as_bytes());
    let request = &server.seen()[0].body;
    assert!(
        request.contains("\"replyTo\":9223372036854775807"),
        "{request}"
    );
    assert!(
        request.contains("\"randomId\":-9223372036854775808"),
        "{request}"
    );
    let seen = observer.succeeded.lock().expect("not poisoned").clone();
    assert_eq!(seen, [("IMessages/Send".to_owned(), body)]);
}
