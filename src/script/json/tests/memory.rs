//! A VM that runs out of memory in the middle of a document.

use super::*;
use crate::contract;

/// Decodes with a little more memory each time, until it is enough: every allocation of the decoder
/// has then been the one that failed.
fn starve(mut decode: impl FnMut(&Lua, &Codec) -> Result<Value, DecodeError>, expected: &Json) {
    let (lua, codec) = vm();
    let mut failures = 0;
    for spare in (0..).step_by(16) {
        lua.gc_collect().unwrap();
        lua.set_memory_limit(lua.used_memory() + spare).unwrap();
        let outcome = decode(&lua, &codec);
        lua.set_memory_limit(0).unwrap();
        match outcome {
            Ok(value) => {
                assert_means(&value, expected, "after starving");
                break;
            }
            Err(DecodeError::Luau(mlua::Error::MemoryError(_))) => failures += 1,
            Err(other) => panic!("{spare} bytes to spare: {other:?}"),
        }
    }
    assert!(failures > 20, "only {failures} allocations failed");
    // The VM and the codec are none the worse.
    let value = decode(&lua, &codec).unwrap();
    assert_means(&value, expected, "afterwards");
    assert_eq!(lua.load("return 1 + 1").eval::<i64>().unwrap(), 2);
}

#[test]
fn running_out_of_memory_anywhere_is_an_error_and_nothing_else() {
    let deep = (0..60).fold(Json::from(1), |inside, _| serde_json::json!([inside]));
    let long = "x".repeat(300);
    let json = serde_json::json!({
        "list": (0..40).map(|n| serde_json::json!({ "n": n, "\"escaped\"": format!("\n{n}") })).collect::<Vec<_>>(),
        "deep": deep,
        "long": long,
    });
    let text = json.to_string();
    starve(|lua, codec| codec.decode_any(lua, text.as_bytes()), &json);
}

#[test]
fn running_out_of_memory_while_words_are_interned_is_made_good_later() {
    let event = contract::event("messageCreate").unwrap();
    let text = r#"{"channelId":"c","message":{"messageId":1,"sender":{"flags":5},"text":"hi"}}"#;
    let expected = serde_json::json!({
        "channelId": "c",
        "message": { "messageId": "1", "sender": { "flags": { "bot": true, "verified": true } }, "text": "hi" },
    });
    starve(
        |lua, codec| {
            codec
                .decode(lua, text.as_bytes(), event.payload)
                .map(Value::Table)
        },
        &expected,
    );
}
