//! JSON text to Luau values and back, driven by the contract.
//!
//! **Decoding** ([`Codec::decode`], [`Codec::decode_any`]) goes from bytes to Luau values in one pass: a
//! scanner (`scan`) hands tokens to a builder (`decode`) that pushes on the raw Luau stack inside one
//! protected call. There is no intermediate tree, and the keys and enum names of the contract are
//! interned once per VM (`plan`). The scanner is our own instead of serde_json's `Deserializer`,
//! because events need what that one does not give: integers and fractions exact whatever their
//! length, text with lone surrogates accepted rather than the whole event lost, the next key found by
//! comparing instead of scanning, and no value with a destructor in any frame that a Luau error may
//! unwind. Tests hold it against serde_json on random and on damaged documents.
//!
//! What a script sees:
//!
//! | on the wire | in Luau |
//! |---|---|
//! | null | absent (`nil`); in an array a hole, so that positions stay |
//! | id (`Id64`), a number or a string | decimal string |
//! | other numbers | number |
//! | enum: a number or a name in any letter case | camelCase name; an unknown one as it came |
//! | flags: a mask or names in one string | set, `{ bot = true }`; unknown bits as `bit57 = true` |
//! | word (`Choice`) in any letter case | the contract's word; an unknown one as it came |
//! | empty array, empty object | empty table |
//! | a field that the contract does not know, or of another JSON type than it says | as it is |
//!
//! "As it is" means numbers as numbers, except integers beyond ±2^53: they are exact decimal strings.
//! A lone surrogate escape becomes U+FFFD. The last of duplicate keys wins. Bytes after the document,
//! invalid UTF-8, numbers beyond a double's range and more than [`MAX_DEPTH`] containers inside each
//! other are errors with a byte offset.
//!
//! **Encoding** ([`Codec::encode`], [`Codec::encode_params`], [`Codec::encode_any`]) refuses what JSON or the
//! contract cannot hold and names the place (`controls[1].label`). It reads tables raw, without
//! metamethods. An empty table is `[]` unless the contract says that an object is wanted. Tables shared
//! by several places are written once for each; tables inside themselves are refused, and so is what
//! would make more than about [`MAX_BYTES`] of JSON.
//!
//! Both look at the script's budget as they go: one that must end ends in the middle of a document.

mod decode;
mod encode;
mod error;
mod plan;
mod scan;

pub use error::{DecodeError, EncodeError};

use std::cell::{Cell, RefCell};

use mlua::{Lua, Table, Value};

use crate::contract::{Route, Shape, Type};

/// The most containers that may stand inside each other, in both directions.
pub const MAX_DEPTH: usize = 128;

/// The most JSON that is encoded from one value, in bytes: as much as one event may have.
pub const MAX_BYTES: usize = crate::limits::JSON_BYTES;

/// The codec of one VM: caches the contract's words as interned strings and learns the order of the
/// platform's fields. Every call must pass the VM it was made for.
pub struct Codec {
    plan: RefCell<plan::Plan>,
    /// The plan's words, interned: `words[i + 1]` is word `i`.
    words: Table,
    /// How many words stand there.
    interned: Cell<usize>,
    /// Where escaped strings are put together; kept, so that it is allocated once.
    scratch: RefCell<Vec<u8>>,
}

impl Codec {
    /// A codec for this VM. What it caches grows with the shapes that are decoded.
    pub fn new(lua: &Lua) -> mlua::Result<Codec> {
        Ok(Codec {
            plan: RefCell::new(plan::Plan::new()),
            words: lua.create_table()?,
            interned: Cell::new(0),
            scratch: RefCell::default(),
        })
    }

    /// A JSON object of this shape as a new table.
    ///
    /// # Errors
    /// The text is no JSON object, or the VM has no memory left.
    pub fn decode(
        &self,
        lua: &Lua,
        json: &[u8],
        shape: &'static Shape,
    ) -> Result<Table, DecodeError> {
        self.decode_text(lua, text(json)?, shape)
    }

    /// As [`Codec::decode`], of bytes that are known to be UTF-8.
    ///
    /// # Errors
    /// As for [`Codec::decode`].
    pub fn decode_text(
        &self,
        lua: &Lua,
        json: &str,
        shape: &'static Shape,
    ) -> Result<Table, DecodeError> {
        let shape = self.ready(shape)?;
        match self.run(lua, json, decode::Root::Object(shape))? {
            Value::Table(table) => Ok(table),
            // `Root::Object` accepts nothing but an object.
            other => Err(DecodeError::Luau(mlua::Error::FromLuaConversionError {
                from: other.type_name(),
                to: "table".into(),
                message: None,
            })),
        }
    }

    /// Any JSON document, without a contract (`argon.json.decode`).
    ///
    /// # Errors
    /// The text is no JSON, or the VM has no memory left.
    pub fn decode_any(&self, lua: &Lua, json: &[u8]) -> Result<Value, DecodeError> {
        self.run(lua, text(json)?, decode::Root::Any)
    }

    /// A Luau value as JSON of this type.
    ///
    /// # Errors
    /// The value does not fit the type or JSON; the error has the path below `value`.
    pub fn encode(&self, value: &Value, ty: &Type) -> Result<serde_json::Value, EncodeError> {
        encode::Encoder::default().typed(value, ty)
    }

    /// The table that a script passed to a route, as JSON by parameter name. Whether parameters are missing,
    /// unknown or over a limit is for the client to say.
    ///
    /// # Errors
    /// A value does not fit its parameter or JSON.
    pub fn encode_params(
        &self,
        table: &Table,
        route: &'static Route,
    ) -> Result<serde_json::Map<String, serde_json::Value>, EncodeError> {
        encode::Encoder::default().params(table, route)
    }

    /// Any Luau value as JSON text (`argon.json.encode`): tables with keys 1..n and empty ones are
    /// arrays, tables with string keys objects, their fields in alphabetical order.
    ///
    /// # Errors
    /// JSON cannot hold the value.
    pub fn encode_any(&self, value: &Value) -> Result<String, EncodeError> {
        Ok(encode::Encoder::default().any(value)?.to_string())
    }

    /// The shape's place in the plan, with all its words in the VM.
    fn ready(&self, shape: &'static Shape) -> Result<plan::ShapeId, DecodeError> {
        let known = self.plan.borrow().find(shape);
        let id = known.unwrap_or_else(|| self.plan.borrow_mut().compile(shape));
        let plan = self.plan.borrow();
        // Not only after compiling: the VM may have had no memory for a word, and has some now.
        while let Some(word) = plan.words().get(self.interned.get()) {
            self.words.raw_set(self.interned.get() + 1, *word)?;
            self.interned.set(self.interned.get() + 1);
        }
        Ok(id)
    }

    fn run(&self, lua: &Lua, json: &str, root: decode::Root) -> Result<Value, DecodeError> {
        let plan = self.plan.borrow();
        let mut scratch = self.scratch.borrow_mut();
        decode::run(lua, &self.words, &plan, &mut scratch, json, root)
    }
}

fn text(json: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(json).map_err(|error| DecodeError::Json {
        offset: error.valid_up_to(),
        message: "invalid UTF-8",
    })
}

#[cfg(test)]
mod tests;
