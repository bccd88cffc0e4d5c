//! JSON to Luau values and back: `cargo bench --bench json`.

mod frame;

use argon_host::contract;
use argon_host::script::json::Codec;
use mlua::{Lua, Value};

/// A `messageCreate` as the platform's server writes it, with nulls and a field that the contract does not know.
const MESSAGE: &[u8] = include_bytes!("data/message_create.json");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lua = Lua::new();
    lua.sandbox(true)?;
    let codec = Codec::new(&lua)?;
    let event = contract::event("messageCreate").ok_or("no such event")?;
    let send = contract::route("IMessages", "Send").ok_or("no such route")?;
    println!("messageCreate: {} bytes", MESSAGE.len());

    let table = frame::Table::new("JSON");
    table.row("decode messageCreate by the contract", || {
        codec.decode(&lua, MESSAGE, event.payload)
    });
    table.row("decode messageCreate without a contract", || {
        codec.decode_any(&lua, MESSAGE)
    });
    table.row("for comparison: serde_json, nothing built", || {
        serde_json::from_slice::<serde::de::IgnoredAny>(MESSAGE)
    });
    table.row("for comparison: serde_json's tree", || {
        serde_json::from_slice::<serde_json::Value>(MESSAGE)
    });

    let params: mlua::Table = lua
        .load(
            r#"return {
                channelId = "3f2504e2-1c2d-4e5f-8a9b-0305e82c711f",
                text = "You rolled 11 (3 + 4 + 4)",
                replyTo = "7281934650187264001",
                entities = { { type = "bold", offset = 11, length = 2 } },
            }"#,
        )
        .eval()?;
    table.row("encode the parameters of a Send", || {
        codec.encode_params(&params, send)
    });
    let message = Value::Table(codec.decode(&lua, MESSAGE, event.payload)?);
    table.row("encode messageCreate to text", || {
        codec.encode_any(&message)
    });
    Ok(())
}
