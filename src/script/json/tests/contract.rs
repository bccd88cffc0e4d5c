//! Every shape of the contract, in both dialects of the platform.

use serde_json::{Map, json};

use super::*;
use crate::contract::{EVENTS, Field, Flags, ROUTES, Shape, Type};

/// How the wire writes what protocol.md has two columns for.
#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    /// Names, and flags in one string.
    Documented,
    /// Integers and masks, words in upper case.
    Server,
}

const ID: i64 = 7_281_934_650_187_264_001;
const DEPTH: usize = 3;

/// A document of this type, and what a script should see of it.
fn sample(ty: &Type, dialect: Dialect, depth: usize) -> (Json, Json) {
    let server = dialect == Dialect::Server;
    match ty {
        Type::String => same(json!("a \"text\" with \u{1f3b2}")),
        Type::Guid => same(json!("3f2504e0-4f89-11d3-9a0c-0305e82c3301")),
        Type::Time => same(json!("2026-03-02T18:04:11.2837465Z")),
        Type::Int32 => same(json!(-5)),
        Type::Uint32 => same(json!(4_294_967_295u32)),
        Type::Int64 => same(json!(5_000_000_000i64)),
        Type::Float => same(json!(0.25)),
        Type::Bool => same(json!(true)),
        Type::Any => same(json!({ "nested": [1, "two", false] })),
        Type::Id64 if server => (json!(ID), json!(ID.to_string())),
        Type::Id64 => same(json!(ID.to_string())),
        Type::Choice(words) => {
            let word = words.last().unwrap();
            match server {
                true => (json!(word.to_uppercase()), json!(word)),
                false => same(json!(word)),
            }
        }
        Type::Enum(contract) => {
            let &(number, name) = contract.values.last().unwrap();
            match server {
                true => (json!(number), json!(name)),
                false => (json!(capitalised(name)), json!(name)),
            }
        }
        Type::Flags(contract) => flags(contract, server),
        Type::Object(shape) => object(shape.fields.iter(), dialect, depth),
        Type::Union(union) => {
            let variants = union.variants.iter().flat_map(|variant| variant.fields);
            object(union.common.iter().chain(variants), dialect, depth)
        }
        Type::List(element) => {
            let (wire, seen) = sample(element, dialect, depth);
            (json!([wire, wire]), json!([seen, seen]))
        }
        Type::Map(element) => {
            let (wire, seen) = sample(element, dialect, depth);
            (json!({ "en-US": wire }), json!({ "en-US": seen }))
        }
    }
}

fn same(value: Json) -> (Json, Json) {
    (value.clone(), value)
}

fn flags(contract: &Flags, server: bool) -> (Json, Json) {
    let (first, last) = (contract.values[0], *contract.values.last().unwrap());
    let wire = match server {
        true => json!(first.0 | last.0),
        false => json!(format!("{}, {}", capitalised(first.1), capitalised(last.1))),
    };
    (wire, json!({ first.1: true, last.1: true }))
}

fn capitalised(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

fn object<'a>(
    fields: impl Iterator<Item = &'a Field>,
    dialect: Dialect,
    depth: usize,
) -> (Json, Json) {
    let (mut wire, mut seen) = (Map::new(), Map::new());
    for field in fields {
        // Shapes may contain themselves.
        if depth > DEPTH && field.optional {
            continue;
        }
        let (on_wire, in_luau) = sample(&field.ty, dialect, depth + 1);
        wire.insert(field.name.into(), on_wire);
        seen.insert(field.name.into(), in_luau);
    }
    (Json::Object(wire), Json::Object(seen))
}

/// Every payload, body and answer.
fn shapes() -> Vec<&'static Shape> {
    let payloads = EVENTS.iter().map(|event| event.payload);
    let of_routes = ROUTES.iter().flat_map(|route| [route.body, route.response]);
    payloads.chain(of_routes.flatten()).collect()
}

#[test]
fn every_shape_reads_the_same_in_both_dialects() {
    let (lua, codec) = vm();
    assert!(shapes().len() > EVENTS.len());
    // Twice, because the codec learns from what it has seen.
    for shape in shapes().into_iter().chain(shapes()) {
        for dialect in [Dialect::Documented, Dialect::Server] {
            let (wire, seen) = sample(&Type::Object(shape), dialect, 0);
            for text in [wire.to_string(), format!("{wire:#}")] {
                let table = codec.decode(&lua, text.as_bytes(), shape).unwrap();
                assert_means(&Value::Table(table), &seen, shape.name);
            }
        }
    }
}

#[test]
fn every_shape_survives_the_way_out_and_back() {
    let (lua, codec) = vm();
    for shape in shapes() {
        let ty: &'static Type = Box::leak(Box::new(Type::Object(shape)));
        let (wire, seen) = sample(ty, Dialect::Server, 0);
        let table = codec
            .decode(&lua, wire.to_string().as_bytes(), shape)
            .unwrap();
        let sent = codec.encode(&Value::Table(table), ty).unwrap();
        let back = codec
            .decode(&lua, sent.to_string().as_bytes(), shape)
            .unwrap();
        assert_means(&Value::Table(back), &seen, shape.name);
    }
}

#[test]
fn every_route_takes_its_own_parameters() {
    let (lua, codec) = vm();
    for route in ROUTES {
        let (_, seen) = object(route.params(), Dialect::Server, 0);
        let Value::Table(table) = codec.decode_any(&lua, seen.to_string().as_bytes()).unwrap()
        else {
            panic!("{}: not an object", route.label());
        };
        let params = codec.encode_params(&table, route).unwrap();
        assert_eq!(params.len(), route.params().count(), "{}", route.label());
        for field in route.params() {
            let sent = &params[field.name];
            let fits = match &field.ty {
                Type::Id64 => sent.as_i64() == Some(ID),
                Type::Flags(_) => sent.is_u64(),
                Type::List(_) => sent.as_array().is_some_and(|items| items.len() == 2),
                _ => !sent.is_null(),
            };
            assert!(fits, "{}: {} = {sent}", route.label(), field.name);
        }
    }
}

#[test]
fn values_of_another_type_than_the_contract_says_come_as_they_are() {
    let (lua, codec) = vm();
    let others = [
        json!(true),
        json!("text"),
        json!(1.5),
        json!(12),
        json!([1, [2]]),
        json!({ "a": { "b": 1 } }),
    ];
    for shape in shapes() {
        for field in shape.fields {
            for other in &others {
                let wire = json!({ field.name: other, "after": 1 });
                let table = codec
                    .decode(&lua, wire.to_string().as_bytes(), shape)
                    .unwrap();
                assert_eq!(table.get::<i64>("after").unwrap(), 1);
                let found: Value = table.get(field.name).unwrap();
                let kept = match (&field.ty, other) {
                    // These are not other types to these fields.
                    (
                        Type::Flags(_) | Type::Enum(_) | Type::Id64,
                        Json::Number(_) | Json::String(_),
                    ) => continue,
                    (Type::List(_), Json::Array(_)) => continue,
                    _ => other,
                };
                assert_means(&found, kept, &format!("{}.{}", shape.name, field.name));
            }
        }
    }
}
