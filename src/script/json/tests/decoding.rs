//! What each JSON value becomes.

use super::*;
use crate::contract::{self, Shape, Type, schema::field};

static FIELDS: Shape = Shape {
    name: "Fields",
    fields: &[
        field("id", Type::Id64),
        field("count", Type::Int64),
        field("kind", Type::Enum(&contract::CHANNEL_TYPE)),
        field("flags", Type::Flags(&contract::USER_FLAGS)),
        field("rights", Type::Flags(&contract::ENTITLEMENTS)),
        field("mood", Type::Choice(contract::TYPING_KINDS)),
        field("list", Type::List(&Type::Id64)),
        field("map", Type::Map(&Type::Enum(&contract::CHANNEL_TYPE))),
        field("text", Type::String),
    ],
};

/// Decodes by [`FIELDS`] and runs a script on it as `v`.
fn check(json: &str, script: &str) {
    let (lua, codec) = vm();
    let table = codec.decode(&lua, json.as_bytes(), &FIELDS).unwrap();
    lua.globals().set("v", table).unwrap();
    if let Err(error) = lua.load(script).exec() {
        panic!("{json}: {script}: {error}");
    }
}

fn fault(json: &[u8]) -> (usize, &'static str) {
    let (lua, codec) = vm();
    match codec.decode_any(&lua, json) {
        Err(DecodeError::Json { offset, message }) => (offset, message),
        other => panic!("{}: {other:?}", String::from_utf8_lossy(json)),
    }
}

#[test]
fn ids_are_decimal_strings_whatever_the_wire_says() {
    check(
        r#"{"id":9007199254740993}"#,
        "assert(v.id == '9007199254740993')",
    );
    check(
        r#"{"id":"9007199254740993"}"#,
        "assert(v.id == '9007199254740993')",
    );
    check(r#"{"id":-1}"#, "assert(v.id == '-1')");
    check(r#"{"id":-0}"#, "assert(v.id == '0')");
    check(r#"{"id":null}"#, "assert(v.id == nil)");
    check(
        r#"{"list":[1,"2"]}"#,
        "assert(v.list[1] == '1' and v.list[2] == '2')",
    );
}

#[test]
fn counts_are_numbers_even_where_that_rounds() {
    check(r#"{"count":9007199254740993}"#, "assert(v.count == 2^53)");
    check(r#"{"count":12}"#, "assert(v.count == 12)");
}

#[test]
fn enums_are_names_and_unknown_ones_stay() {
    check(r#"{"kind":1}"#, "assert(v.kind == 'voice')");
    check(r#"{"kind":"Voice"}"#, "assert(v.kind == 'voice')");
    check(r#"{"kind":"\u0056OICE"}"#, "assert(v.kind == 'voice')");
    check(r#"{"kind":99}"#, "assert(v.kind == 99)");
    check(r#"{"kind":-1}"#, "assert(v.kind == -1)");
    check(r#"{"kind":0.5}"#, "assert(v.kind == 0.5)");
    check(r#"{"kind":"Forum"}"#, "assert(v.kind == 'Forum')");
    check(
        r#"{"map":{"a":0,"b":"TEXT"}}"#,
        "assert(v.map.a == 'text' and v.map.b == 'text')",
    );
}

#[test]
fn choices_are_the_contracts_words_and_unknown_ones_stay() {
    check(r#"{"mood":"THINKING"}"#, "assert(v.mood == 'thinking')");
    check(r#"{"mood":"DREAMING"}"#, "assert(v.mood == 'DREAMING')");
    check(r#"{"mood":3}"#, "assert(v.mood == 3)");
}

#[test]
fn flags_are_sets() {
    check(
        r#"{"flags":5}"#,
        "assert(v.flags.bot and v.flags.verified and not v.flags.system)",
    );
    check(r#"{"flags":0}"#, "assert(next(v.flags) == nil)");
    check(r#"{"flags":"None"}"#, "assert(next(v.flags) == nil)");
    check(r#"{"flags":""}"#, "assert(next(v.flags) == nil)");
    check(
        r#"{"flags":"Bot, Verified"}"#,
        "assert(v.flags.bot and v.flags.verified)",
    );
    check(
        r#"{"flags":"bot,\u0053ystem, Future"}"#,
        "assert(v.flags.bot and v.flags.system and v.flags.Future)",
    );
    check(
        r#"{"flags":"5"}"#,
        "assert(v.flags.bot and v.flags.verified)",
    );
    check(r#"{"flags":64}"#, "assert(v.flags.bit6 == true)");
    check(r#"{"flags":0.5}"#, "assert(v.flags == 0.5)");
    check(
        r#"{"rights":216172782113783809}"#,
        "assert(v.rights.viewChannel and v.rights.manageMessages and v.rights.bit57)",
    );
    check(
        r#"{"rights":-1}"#,
        "assert(v.rights.bit63 and v.rights.bit3 and v.rights.viewChannel)",
    );
}

#[test]
fn numbers_are_exact_or_strings_without_a_contract() {
    check(
        r#"{"x":[9007199254740991,9007199254740992,9007199254740993,-9007199254740993,123456789012345678901234567890]}"#,
        "assert(v.x[1] == 9007199254740991 and v.x[2] == 9007199254740992)
         assert(v.x[3] == '9007199254740993' and v.x[4] == '-9007199254740993')
         assert(v.x[5] == '123456789012345678901234567890')",
    );
    check(
        r#"{"x":[1e3,-0.1,2.5E-3,1e308,5e-324,0,-0,1e400000000000000000000e0]}"#
            .replace(",1e400000000000000000000e0", "")
            .as_str(),
        "assert(v.x[1] == 1000 and v.x[2] == -0.1 and v.x[3] == 0.0025 and v.x[4] == 1e308)
         assert(v.x[5] == 5e-324 and v.x[6] == 0 and v.x[7] == 0)",
    );
}

#[test]
fn text_is_what_the_escapes_mean() {
    check(
        r#"{"text":"a\"\\\/\b\f\n\r\t\u0041\u00e4\u2014\ud83c\udfb2\u0000z"}"#,
        r#"assert(v.text == "a\"\\/\b\f\n\r\tA\u{e4}\u{2014}\u{1f3b2}\0z")"#,
    );
    check(r#"{"text":""}"#, "assert(v.text == '')");
    check(
        "{\"\\u0074ext\":\"caf\u{e9}\"}",
        "assert(v.text == 'caf\\u{e9}')",
    );
}

#[test]
fn lone_surrogates_become_the_replacement_character() {
    for (json, expected) in [
        (r#""\ud83c""#, "\u{fffd}"),
        (r#""\udfb2x""#, "\u{fffd}x"),
        (r#""\ud83cx\udfb2""#, "\u{fffd}x\u{fffd}"),
        (r#""\ud83c\ud83c\udfb2""#, "\u{fffd}\u{1f3b2}"),
        (r#""\ud83c\n""#, "\u{fffd}\n"),
        (r#""\ud83c\u0041""#, "\u{fffd}A"),
    ] {
        let (lua, codec) = vm();
        let found = codec.decode_any(&lua, json.as_bytes()).unwrap();
        assert_means(&found, &Json::from(expected), json);
    }
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    check(r#"{"text":"a","text":"b"}"#, "assert(v.text == 'b')");
    check(
        r#"{"text":"a","text":null}"#,
        "assert(v.text == nil and next(v) == nil)",
    );
    check(r#"{"text":null,"text":"b"}"#, "assert(v.text == 'b')");
    check(r#"{"x":1,"x":null}"#, "assert(next(v) == nil)");
    check(r#"{"x":1,"\u0078":null}"#, "assert(next(v) == nil)");
    check(r#"{"map":{"a":1,"a":null}}"#, "assert(next(v.map) == nil)");
    check(
        r#"{"x":1,"y":null,"z":2}"#,
        "assert(v.x == 1 and v.y == nil and v.z == 2)",
    );
}

#[test]
fn nulls_in_arrays_keep_the_positions() {
    check(
        r#"{"x":[null,1,null,3]}"#,
        "assert(v.x[1] == nil and v.x[2] == 1 and v.x[4] == 3)",
    );
}

#[test]
fn empty_containers_are_empty_tables_that_scripts_may_fill() {
    check(
        r#"{"list":[],"map":{},"x":[ ],"y":{ }}"#,
        "for _, name in {'list', 'map', 'x', 'y'} do
            assert(next(v[name]) == nil); v[name].a = 1; assert(v[name].a == 1)
        end",
    );
}

#[test]
fn unlearning_costs_nothing_but_time() {
    let (lua, codec) = vm();
    // The order of fields, the extra ones and the sizes change from one document to the next.
    for json in [
        r#"{"id":1,"text":"a","x":[1,2,3]}"#,
        r#"{"text":"a","id":1,"x":[1,2,3]}"#,
        r#" { "x" : [ 1 , 2 , 3 ] , "text" : "a" , "id" : 1 } "#,
        r#"{"id":1,"x":[1,2,3],"text":"a"}"#,
    ] {
        let table = codec.decode(&lua, json.as_bytes(), &FIELDS).unwrap();
        let expected = serde_json::json!({ "id": "1", "text": "a", "x": [1, 2, 3] });
        assert_means(&Value::Table(table), &expected, json);
    }
}

#[test]
fn bad_documents_are_refused_with_the_place() {
    for (json, offset) in [
        ("", 0),
        ("  ", 2),
        ("nul", 0),
        ("nulll", 4),
        ("[1,2", 4),
        ("[1 2]", 3),
        ("[1,]", 3),
        ("[,1]", 1),
        ("{", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("{\"a\":1 \"b\":2}", 7),
        ("01", 0),
        ("-", 1),
        ("+1", 0),
        ("1.", 2),
        (".5", 0),
        ("1e", 2),
        ("1e+", 3),
        ("[1e999]", 1),
        ("NaN", 0),
        ("\"abc", 4),
        ("\"a\nb\"", 2),
        ("\"a\\x\"", 3),
        ("\"\\u12g4\"", 2),
        ("\"\\u12", 2),
        ("\"\\", 2),
        ("[1]]", 3),
        ("{} x", 3),
        ("'a'", 0),
        ("[1]\0", 3),
        ("// c\n1", 0),
    ] {
        assert_eq!(fault(json.as_bytes()).0, offset, "{json:?}");
    }
    assert_eq!(fault(b"[\"a\xff\"]"), (3, "invalid UTF-8"));
    assert_eq!(fault(b"\xef\xbb\xbf{}").0, 0);
}

#[test]
fn an_error_reads_as_a_sentence_with_its_place() {
    let (lua, codec) = vm();
    let error = codec.decode(&lua, b"[]", &FIELDS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid JSON at byte 0: expected an object"
    );
    let error = codec.decode_any(&lua, b"{\"a\" 1}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid JSON at byte 5: expected ':' after a field's name"
    );
}

#[test]
fn nesting_ends_at_the_bound_in_both_directions() {
    let (lua, codec) = vm();
    let nested = |open: &str, close: &str, depth| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let value = codec
            .decode_any(&lua, nested(open, close, MAX_DEPTH).as_bytes())
            .unwrap();
        assert_eq!(
            codec.encode_any(&value).unwrap(),
            nested(open, close, MAX_DEPTH)
        );
        let outer = lua.create_table().unwrap();
        outer.set(1, value).unwrap();
        let error = codec.encode_any(&Value::Table(outer)).unwrap_err();
        assert_eq!(error.message(), "more than 128 tables inside each other");
        for depth in [MAX_DEPTH + 1, 100_000] {
            let error = codec
                .decode_any(&lua, open.repeat(depth).as_bytes())
                .unwrap_err();
            assert!(
                error.to_string().contains("more than 128 containers"),
                "{error}"
            );
        }
    }
}

#[test]
fn faults_leave_the_vms_stack_as_it_was() {
    let (lua, codec) = vm();
    // Each leaves values of several levels behind; far more than a stack would hold.
    for _ in 0..100_000 {
        assert!(codec.decode_any(&lua, b"[[[[{\"a\":[1,{\"b\":[2,").is_err());
    }
    let value = codec.decode_any(&lua, b"[1]").unwrap();
    assert_means(&value, &serde_json::json!([1]), "after");
}
