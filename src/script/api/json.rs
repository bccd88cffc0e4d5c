//! `argon.json.encode(value)` and `argon.json.decode(text)`.

use mlua::Value;

use super::Kit;
use crate::limits::JSON_BYTES;
use crate::script::errors::Fault;
use crate::script::json::DecodeError;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let json = kit.lua.create_table()?;
    let encode = kit.function(|guest, _, value: Value| {
        guest
            .codec
            .encode_any(&value)
            .map_err(|error| Fault::text(format!("argon.json.encode: {error}")))
    })?;
    json.raw_set("encode", encode)?;
    let decode = kit.function(|guest, lua, text: Value| {
        let Value::String(text) = text else {
            return Err(super::wrong(
                "argon.json.decode: the text",
                "a string",
                &text,
            ));
        };
        let length = text.as_bytes().len();
        if length > JSON_BYTES {
            return Err(Fault::text(format!(
                "argon.json.decode: the text has {length} bytes, and it may have {JSON_BYTES}"
            )));
        }
        // The codec must not hold a borrow of the VM's memory while it allocates there.
        let text = text.as_bytes().to_vec();
        guest
            .codec
            .decode_any(lua, &text)
            .map_err(|error| match error {
                DecodeError::Luau(error) => Fault::Lua(error),
                error => Fault::text(format!("argon.json.decode: {error}")),
            })
    })?;
    json.raw_set("decode", decode)?;
    kit.argon.raw_set("json", json)
}
