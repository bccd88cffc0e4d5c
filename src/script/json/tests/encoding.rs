//! What scripts may pass, and how they are told what they may not.

use super::*;
use crate::contract::{self, Type};
use serde_json::json;

fn eval(lua: &Lua, script: &str) -> Value {
    lua.load(format!("return {script}")).eval().unwrap()
}

fn encode(script: &str, ty: &Type) -> Result<Json, String> {
    let (lua, codec) = vm();
    codec
        .encode(&eval(&lua, script), ty)
        .map_err(|error| error.to_string())
}

fn any(script: &str) -> Result<String, String> {
    let (lua, codec) = vm();
    codec
        .encode_any(&eval(&lua, script))
        .map_err(|error| error.to_string())
}

#[test]
fn ids_go_out_exact() {
    let id = |script| encode(script, &Type::Id64);
    assert_eq!(
        id("'7281934650187264001'"),
        Ok(json!(7_281_934_650_187_264_001i64))
    );
    assert_eq!(id("12"), Ok(json!(12)));
    assert_eq!(id("2^53"), Ok(json!(9_007_199_254_740_992i64)));
    assert!(id("2^60").unwrap_err().contains("pass it as the string"));
    for bad in [
        "1.5",
        "0/0",
        "1/0",
        "'12x'",
        "''",
        "'9223372036854775808'",
        "true",
        "nil",
        "{}",
    ] {
        let error = id(bad).unwrap_err();
        assert!(error.starts_with("expected an id"), "{bad}: {error}");
    }
}

#[test]
fn integers_are_whole_and_in_range() {
    assert_eq!(encode("-3", &Type::Int32), Ok(json!(-3)));
    assert_eq!(encode("-0", &Type::Int32), Ok(json!(0)));
    assert_eq!(
        encode("'5000000000'", &Type::Int64),
        Ok(json!(5_000_000_000i64))
    );
    let expected = |script| encode(script, &Type::Int32).unwrap_err();
    assert_eq!(expected("1.5"), "expected an integer, found 1.5");
    assert_eq!(expected("0/0"), "expected an integer, found nan");
    assert_eq!(expected("-1/0"), "expected an integer, found -inf");
    assert_eq!(
        expected("'1'"),
        "expected an integer, found the string \"1\""
    );
    assert!(expected("2^31").starts_with("2147483648 is out of range"));
    assert!(
        encode("-1", &Type::Uint32)
            .unwrap_err()
            .contains("out of range")
    );
    assert_eq!(encode("0.5", &Type::Float), Ok(json!(0.5)));
    assert_eq!(
        encode("1/0", &Type::Float).unwrap_err(),
        "JSON has no number inf"
    );
}

#[test]
fn flags_go_out_as_a_mask() {
    let flags = |script| encode(script, &Type::Flags(&contract::ENTITLEMENTS));
    assert_eq!(
        flags("{ viewChannel = true, manageMessages = true }"),
        Ok(json!(1u64 << 56 | 1))
    );
    assert_eq!(
        flags("{ viewChannel = true, readHistory = false }"),
        Ok(json!(1))
    );
    assert_eq!(flags("{ 'viewChannel', 'ReadHistory' }"), Ok(json!(3)));
    assert_eq!(flags("'ViewChannel, readHistory'"), Ok(json!(3)));
    assert_eq!(
        flags("{ bit57 = true, bit63 = true }"),
        Ok(json!(1u64 << 57 | 1 << 63))
    );
    assert_eq!(flags("{}"), Ok(json!(0)));
    assert_eq!(flags("5"), Ok(json!(5)));
    assert!(
        flags("{ veiwChannel = true }")
            .unwrap_err()
            .contains("unknown flag \"veiwChannel\"")
    );
    assert!(
        flags("{ bit64 = true }")
            .unwrap_err()
            .contains("unknown flag")
    );
    assert!(
        flags("{ viewChannel = 1 }")
            .unwrap_err()
            .contains("true or false")
    );
    assert!(
        flags("-1")
            .unwrap_err()
            .contains("expected a set of Entitlements")
    );
}

#[test]
fn names_pass_and_other_values_are_told_what_fits() {
    let kind = |script| encode(script, &Type::Enum(&contract::CHANNEL_TYPE));
    assert_eq!(kind("'voice'"), Ok(json!("voice")));
    assert_eq!(kind("1"), Ok(json!(1)));
    assert_eq!(
        kind("true").unwrap_err(),
        "expected one of text, voice, announcement, found a boolean"
    );
    assert_eq!(
        encode("'typing'", &Type::Choice(contract::TYPING_KINDS)),
        Ok(json!("typing"))
    );
}

#[test]
fn the_contract_decides_what_an_empty_table_is() {
    assert_eq!(encode("{}", &Type::List(&Type::Int32)), Ok(json!([])));
    assert_eq!(encode("{}", &Type::Map(&Type::Int32)), Ok(json!({})));
    assert_eq!(
        encode("{}", &Type::Object(&contract::shapes::BOT_USER)),
        Ok(json!({}))
    );
    assert_eq!(encode("{}", &Type::Any), Ok(json!([])));
}

#[test]
fn errors_name_the_place_as_the_script_wrote_it() {
    let (lua, codec) = vm();
    let send = contract::route("IMessages", "Send").unwrap();
    let refused = |script: &str| {
        let Value::Table(table) = eval(&lua, script) else {
            panic!("{script} is no table");
        };
        codec.encode_params(&table, send).unwrap_err()
    };
    let error = refused("{ controls = { { controls = { { type = 'button' }, { label = 5 } } } } }");
    assert_eq!(error.path(), "controls[1].controls[2].label");
    assert_eq!(
        error.to_string(),
        "controls[1].controls[2].label: expected a string, found 5"
    );
    assert_eq!(
        refused("{ text = print }").to_string(),
        "text: expected a string, found a function"
    );
    assert_eq!(
        refused("{ text = '\\xff' }").to_string(),
        "text: the string is not UTF-8; JSON holds text only"
    );
    assert_eq!(
        refused("{ other = { a = print } }").to_string(),
        "other.a: JSON has no function"
    );
    assert_eq!(
        refused("{ 'text' }").to_string(),
        "expected a table with named fields, found the key [1]"
    );
    assert_eq!(refused("{ entities = 'x' }").path(), "entities");
    assert!(
        refused("{ entities = { [3] = {} } }")
            .to_string()
            .contains("no holes: [1] is nil, [3] is not")
    );
    assert!(
        refused("{ entities = { type = 'bold' } }")
            .to_string()
            .contains("expected a list, found the key \"type\"")
    );
    assert_eq!(
        refused("{ entities = { { offset = 0.5 } } }").path(),
        "entities[1].offset"
    );
}

#[test]
fn unknown_parameters_are_left_for_the_client_to_refuse() {
    let (lua, codec) = vm();
    let send = contract::route("IMessages", "Send").unwrap();
    let Value::Table(table) = eval(&lua, "{ text = 'a', colour = { 1, 2 } }") else {
        panic!("no table");
    };
    let params = codec.encode_params(&table, send).unwrap();
    assert_eq!(
        Json::Object(params),
        json!({ "text": "a", "colour": [1, 2] })
    );
}

#[test]
fn plain_data_becomes_plain_json() {
    assert_eq!(
        any("{ b = 1, a = { 1, 2.5, 'x', true } }").unwrap(),
        r#"{"a":[1,2.5,"x",true],"b":1}"#
    );
    assert_eq!(any("nil").unwrap(), "null");
    assert_eq!(any("{}").unwrap(), "[]");
    assert_eq!(
        any("{ 1e15, 2^53, 1e300, -0, 0.1 }").unwrap(),
        "[1000000000000000,9007199254740992,1e+300,0,0.1]"
    );
    assert_eq!(
        any(r#""\0\"\u{e4}\n""#).unwrap(),
        "\"\\u0000\\\"\u{e4}\\n\""
    );
    assert_eq!(
        any("(function() local t = { 1 }; return { t, t } end)()").unwrap(),
        "[[1],[1]]"
    );
    assert_eq!(any("{ [2] = 'b', [1] = 'a' }").unwrap(), r#"["a","b"]"#);
}

#[test]
fn what_json_cannot_hold_is_refused_by_name() {
    for (script, message) in [
        ("print", "JSON has no function"),
        ("coroutine.create(print)", "JSON has no thread"),
        ("buffer.create(1)", "JSON has no buffer"),
        ("vector.create(1, 2, 3)", "JSON has no vector"),
        ("newproxy()", "JSON has no userdata"),
        ("0/0", "JSON has no number nan"),
        ("{ a = { -1/0 } }", "a[1]: JSON has no number -inf"),
        (
            "{ 1, nil, 3 }",
            "a list must have no holes: [2] is nil, [3] is not",
        ),
        ("{ 1, a = 2 }", "expected a list, found the key \"a\""),
        ("{ a = 2, [true] = 1 }", "of type boolean"),
        ("{ [0] = 1 }", "expected a list, found the key [0]"),
        ("{ [1.5] = 1 }", "expected a list, found the key [1.5]"),
        ("{ [1e9] = 1 }", "no holes"),
        ("{ ['\\xff'] = 1 }", "a field's name is not UTF-8"),
    ] {
        let error = any(script).unwrap_err();
        assert!(error.contains(message), "{script}: {error}");
    }
}

#[test]
fn a_table_inside_itself_is_refused_at_once() {
    let script = "(function() local t = { a = {} }; t.a.b = { t }; return t end)()";
    assert_eq!(
        any(script).unwrap_err(),
        "a.b[1]: the table contains itself"
    );
}

#[test]
fn metamethods_are_not_run() {
    let script = "setmetatable({ a = 1 }, {
        __index = function() error('index') end, __iter = function() error('iter') end,
        __len = function() error('len') end, __tostring = function() error('tostring') end })";
    assert_eq!(any(script).unwrap(), r#"{"a":1}"#);
}
