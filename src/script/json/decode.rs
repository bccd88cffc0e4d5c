//! Builds Luau values from JSON tokens on the raw stack, inside one protected call.
//!
//! # Why this is sound
//!
//! [`run`] calls [`mlua::Lua::exec_raw`], which runs the builder under `lua_pcall`. Any function of the
//! Luau API that allocates may raise (the memory limit is reached), and then a C++ exception unwinds
//! through the builder's Rust frames up to that `lua_pcall`. Their ABI allows it (`exec_raw` enters them
//! through an `extern "C-unwind"` function, and the API's functions are declared so), and nothing is
//! lost on the way, because no frame between owns anything: tokens, positions and faults are `Copy`, and
//! what owns memory (the plan, the scratch buffer, the outcome) belongs to the frames outside the
//! protected call and is only borrowed. So it would be just as sound if Luau were built to `longjmp`.
//! The one thing that must not happen is `catch_unwind` in between, which aborts on a foreign exception.
//!
//! The same holds for the budget's error, which ends a script in the middle of a long document.
//!
//! A Rust panic must not cross Luau's frames; the builder has no operation that can panic: indices into
//! the input are checked, indices into the plan are made by the plan. No code of a script runs meanwhile.
//!
//! Stack: every container asks for [`SLOTS`] slots before it pushes anything. Slot 1 holds the words.

use std::os::raw::c_int;

use mlua::ffi::{self, lua_State};
use mlua::{Lua, Table, Value};

use super::plan::{ANY_LIST, ANY_OBJECT, ElementId, Kind, Plan, ShapeId, Size, Word};
use super::scan::{EXACT, Fault, Number, Scanner, Text, unescape};
use super::{DecodeError, MAX_DEPTH};
use crate::script::budget;

/// What the document must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    /// An object of that shape.
    Object(ShapeId),
    /// Anything.
    Any,
}

/// Stack index of the table of words: the only argument of the protected function.
const WORDS: c_int = 1;

/// Stack slots that a container needs: its table, a key, and a value, which takes three while it is a
/// set of flags (the set, a name, `true`); one more is spare.
const SLOTS: c_int = 6;

/// The bytes of scratch that are kept from one document to the next.
const SCRATCH: usize = 16 * 1024;

/// Turns a document into one Luau value.
pub(super) fn run(
    lua: &Lua,
    words: &Table,
    plan: &Plan,
    scratch: &mut Vec<u8>,
    text: &str,
    root: Root,
) -> Result<Value, DecodeError> {
    let mut outcome = Ok(());
    let build = |state| {
        let mut builder = Builder {
            state,
            scan: Scanner::new(text),
            scratch: &mut *scratch,
            plan,
            depth: 0,
        };
        // SAFETY: `state` is the running state of this protected call, its stack holds the words at
        // index 1 and nothing else; see the module documentation for errors raised inside.
        outcome = unsafe { builder.document(root) };
    };
    // SAFETY: the closure leaves values on its own stack only, does not panic, and captures nothing
    // but references, so that an error that unwinds it leaks nothing.
    let value: mlua::Result<Value> = unsafe { lua.exec_raw(words, build) };
    // One huge string must not keep its memory.
    scratch.clear();
    scratch.shrink_to(SCRATCH);
    let value = value?;
    match outcome {
        Ok(()) => Ok(value),
        Err(Fault { message, offset }) => Err(DecodeError::Json { message, offset }),
    }
}

/// A token's text, wherever it lies.
#[derive(Clone, Copy)]
enum Found<'a> {
    Input(&'a str),
    Scratch,
}

/// A key of an object.
#[derive(Clone, Copy)]
enum Key<'a> {
    /// The field at that place of the shape.
    Field(usize),
    /// A key that the shape does not have.
    Unknown(Found<'a>),
}

struct Builder<'a> {
    state: *mut lua_State,
    scan: Scanner<'a>,
    scratch: &'a mut Vec<u8>,
    plan: &'a Plan,
    depth: usize,
}

// SAFETY of every `unsafe fn` below: the caller guarantees that `state` is inside a protected call, that
// slot 1 of its frame is the table of words, and that the stack has room as `SLOTS` counts it. A method
// that reports success has pushed exactly one value, or none where it returns `false`; after a fault
// the stack holds leftovers, which `document` drops.
impl<'a> Builder<'a> {
    /// Leaves the document's value alone on the stack, or nothing after a fault.
    unsafe fn document(&mut self, root: Root) -> Result<(), Fault> {
        // SAFETY: a fresh C function has at least `LUA_MINSTACK` (20) free slots.
        unsafe {
            let outcome = self.root(root);
            match outcome {
                Ok(()) => ffi::lua_replace(self.state, WORDS),
                Err(_) => ffi::lua_settop(self.state, 0),
            }
            outcome
        }
    }

    unsafe fn root(&mut self, root: Root) -> Result<(), Fault> {
        // SAFETY: as for `document`.
        unsafe {
            match (root, self.scan.peek()) {
                (Root::Object(shape), Some(b'{')) => self.object(shape)?,
                (Root::Object(_), _) => return Err(self.scan.fault("expected an object")),
                (Root::Any, _) => {
                    if !self.any()? {
                        ffi::lua_pushnil(self.state);
                    }
                }
            }
        }
        self.scan.end()
    }

    /// Pushes the next value as this kind; `false`, and nothing pushed, for null. A value of another
    /// JSON type than the kind's is pushed as it is.
    #[inline]
    unsafe fn value(&mut self, kind: Kind) -> Result<bool, Fault> {
        // SAFETY: one slot is free; containers ask for their own.
        unsafe {
            match (kind, self.scan.peek()) {
                (Kind::Any, _) => return self.any(),
                (Kind::Object(shape), Some(b'{')) => self.object(shape)?,
                (Kind::List(element), Some(b'[')) => self.list(element)?,
                (Kind::Map(element), Some(b'{')) => self.map(element)?,
                (Kind::Number, Some(b'-' | b'0'..=b'9')) => {
                    let number = self.scan.number()?;
                    ffi::lua_pushnumber(self.state, number.value);
                }
                (Kind::Id, Some(b'-' | b'0'..=b'9')) => {
                    let number = self.scan.number()?;
                    if number.integer {
                        self.push(number.text.as_bytes());
                    } else {
                        self.push_number(number);
                    }
                }
                (Kind::Enum(at), Some(b'-' | b'0'..=b'9')) => {
                    let number = self.scan.number()?;
                    match self.plan.enums[at].by_number(number.value) {
                        Some(word) => self.push_word(word),
                        None => self.push_number(number),
                    }
                }
                (Kind::Enum(at), Some(b'"')) => {
                    let text = self.text()?;
                    let word = self.plan.enums[at].by_name(self.bytes(text));
                    self.push_name(word, text);
                }
                (Kind::Choice(at), Some(b'"')) => {
                    let text = self.text()?;
                    let word = self.plan.choices[at].find(self.bytes(text));
                    self.push_name(word, text);
                }
                (Kind::Flags(at), Some(b'-' | b'0'..=b'9')) => {
                    let number = self.scan.number()?;
                    match mask(number.text) {
                        Some(mask) => self.flags(at, mask),
                        None => self.push_number(number),
                    }
                }
                (Kind::Flags(at), Some(b'"')) => self.flag_names(at)?,
                _ => return self.any(),
            }
            Ok(true)
        }
    }

    /// Pushes the next value as it is; `false`, and nothing pushed, for null.
    #[inline]
    unsafe fn any(&mut self) -> Result<bool, Fault> {
        // SAFETY: one slot is free; containers ask for their own.
        unsafe {
            match self.scan.peek() {
                Some(b'"') => match self.scan.string()? {
                    Text::Plain(text) => self.push(text.as_bytes()),
                    Text::Escaped(raw) => {
                        unescape(raw, self.scratch);
                        self.push(self.scratch);
                    }
                },
                Some(b'{') => self.object(ANY_OBJECT)?,
                Some(b'[') => self.list(ANY_LIST)?,
                Some(b'-' | b'0'..=b'9') => {
                    let number = self.scan.number()?;
                    self.push_number(number);
                }
                Some(b't') => {
                    self.scan.literal("true")?;
                    ffi::lua_pushboolean(self.state, 1);
                }
                Some(b'f') => {
                    self.scan.literal("false")?;
                    ffi::lua_pushboolean(self.state, 0);
                }
                Some(b'n') => {
                    self.scan.literal("null")?;
                    return Ok(false);
                }
                Some(_) => return Err(self.scan.fault("expected a JSON value")),
                None => return Err(self.scan.fault("the document ends before a value")),
            }
            Ok(true)
        }
    }

    unsafe fn object(&mut self, id: ShapeId) -> Result<(), Fault> {
        let plan = self.plan;
        let shape = plan.shape(id);
        // SAFETY: `open` makes room for what follows: the table, a key, its value or old value.
        unsafe {
            if !self.open(b'}')? {
                ffi::lua_createtable(self.state, 0, 0);
                return Ok(());
            }
            ffi::lua_createtable(self.state, 0, shape.size.hint());
            let mut entries = 0;
            // Which keys may have been set: a filter without false negatives.
            let mut seen: u64 = 0;
            let mut before = 0;
            loop {
                self.scan.peek();
                let key = match shape.guess(before) {
                    Some((at, token)) if self.scan.accept(token) => Key::Field(at),
                    _ => {
                        let text = self.key()?;
                        let field = shape.find(self.bytes(text), before);
                        field.map_or(Key::Unknown(text), Key::Field)
                    }
                };
                let (bit, kind) = match key {
                    Key::Field(at) => {
                        before = at + 1;
                        (1 << (at % 64), shape.fields[at].kind)
                    }
                    Key::Unknown(text) => (filter_bit(self.bytes(text)), Kind::Any),
                };
                let null = self.scan.peek() == Some(b'n');
                // Only a duplicate key has something to take back.
                if !null || seen & bit != 0 {
                    match key {
                        Key::Field(at) => self.push_word(shape.fields[at].word),
                        Key::Unknown(text) => self.push_found(text),
                    }
                }
                if !null {
                    self.value(kind)?;
                    ffi::lua_rawset(self.state, -3);
                    seen |= bit;
                    entries += 1;
                } else {
                    self.scan.literal("null")?;
                    if seen & bit != 0 {
                        self.take_back();
                    }
                }
                if !self.more(b'}', "expected ',' or '}' after a field")? {
                    break;
                }
            }
            shape.size.learn(entries);
        }
        Ok(())
    }

    unsafe fn map(&mut self, id: ElementId) -> Result<(), Fault> {
        let plan = self.plan;
        let element = plan.element(id);
        // SAFETY: as for `object`.
        unsafe {
            if !self.open(b'}')? {
                ffi::lua_createtable(self.state, 0, 0);
                return Ok(());
            }
            ffi::lua_createtable(self.state, 0, element.size.hint());
            let mut entries = 0;
            loop {
                let key = self.key()?;
                self.push_found(key);
                if self.value(element.kind)? {
                    ffi::lua_rawset(self.state, -3);
                    entries += 1;
                } else {
                    self.take_back();
                }
                if !self.more(b'}', "expected ',' or '}' after a field")? {
                    break;
                }
            }
            element.size.learn(entries);
        }
        Ok(())
    }

    unsafe fn list(&mut self, id: ElementId) -> Result<(), Fault> {
        let plan = self.plan;
        let element = plan.element(id);
        let size: &Size = &element.size;
        // SAFETY: `open` makes room for the table and an element.
        unsafe {
            if !self.open(b']')? {
                ffi::lua_createtable(self.state, 0, 0);
                return Ok(());
            }
            ffi::lua_createtable(self.state, size.hint(), 0);
            let mut at: c_int = 0;
            loop {
                // A document of 2^31 elements would not fit any VM.
                at = at.saturating_add(1);
                if self.value(element.kind)? {
                    ffi::lua_rawseti_(self.state, -2, at);
                }
                if !self.more(b']', "expected ',' or ']' after an element")? {
                    break;
                }
            }
            size.learn(at);
        }
        Ok(())
    }

    /// Steps into a container and makes room for its table, a key and a value; `false` when it is
    /// empty, and stepped over.
    #[inline]
    unsafe fn open(&mut self, close: u8) -> Result<bool, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(self
                .scan
                .fault("more than 128 containers inside each other"));
        }
        // SAFETY: makes room on the stack or raises a memory error. The depth bounds what is asked.
        unsafe { ffi::lua_rawcheckstack(self.state, SLOTS) };
        self.scan.skip();
        if self.scan.peek() == Some(close) {
            self.scan.skip();
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    /// Steps over a comma, or over the end of the container: `false`. Here is a safepoint, so that a script
    /// can be ended while a long document is read for it.
    #[inline]
    unsafe fn more(&mut self, close: u8, otherwise: &'static str) -> Result<bool, Fault> {
        // SAFETY: an error may leave through these frames (see the module documentation), and everything
        // that is being built stands on the stack.
        unsafe { budget::safepoint(self.state, false) };
        match self.scan.peek() {
            Some(b',') => {
                self.scan.skip();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.scan.skip();
                self.depth -= 1;
                Ok(false)
            }
            _ => Err(self.scan.fault(otherwise)),
        }
    }

    /// Steps over a key and its colon.
    #[inline]
    fn key(&mut self) -> Result<Found<'a>, Fault> {
        if self.scan.peek() != Some(b'"') {
            return Err(self.scan.fault("expected a field's name in quotes"));
        }
        let key = self.text()?;
        self.scan
            .expect(b':', "expected ':' after a field's name")?;
        Ok(key)
    }

    /// Steps over a string. Text in the scratch buffer lasts until the next call.
    #[inline]
    fn text(&mut self) -> Result<Found<'a>, Fault> {
        Ok(match self.scan.string()? {
            Text::Plain(text) => Found::Input(text),
            Text::Escaped(raw) => {
                unescape(raw, self.scratch);
                Found::Scratch
            }
        })
    }

    #[inline]
    fn bytes(&self, text: Found<'a>) -> &[u8] {
        match text {
            Found::Input(text) => text.as_bytes(),
            Found::Scratch => self.scratch,
        }
    }

    #[inline]
    unsafe fn push(&self, text: &[u8]) {
        // SAFETY: one slot is free; the pointer is valid for the length, and Luau copies.
        unsafe { ffi::lua_pushlstring_(self.state, text.as_ptr().cast(), text.len()) }
    }

    #[inline]
    unsafe fn push_found(&self, text: Found<'a>) {
        // SAFETY: one slot is free.
        unsafe { self.push(self.bytes(text)) }
    }

    #[inline]
    unsafe fn push_word(&self, word: Word) {
        // SAFETY: one slot is free, `WORDS` is a table.
        unsafe { ffi::lua_rawgeti_(self.state, WORDS, word) };
    }

    /// Pushes the contract's word if there is one, otherwise what the wire said.
    unsafe fn push_name(&self, word: Option<Word>, otherwise: Found<'a>) {
        // SAFETY: one slot is free.
        unsafe {
            match word {
                Some(word) => self.push_word(word),
                None => self.push_found(otherwise),
            }
        }
    }

    /// Pushes a number, or a decimal string where a number would not be exact.
    unsafe fn push_number(&self, number: Number<'a>) {
        // SAFETY: one slot is free.
        unsafe {
            if number.integer && number.value.abs() >= EXACT && !is_edge(number.text) {
                self.push(number.text.as_bytes());
            } else {
                ffi::lua_pushnumber(self.state, number.value);
            }
        }
    }

    /// Pops a key and sets the field of the table below it to nil, without making one.
    unsafe fn take_back(&self) {
        // SAFETY: the table and the key are on top, and two more slots are free (`SLOTS`).
        unsafe {
            ffi::lua_pushvalue(self.state, -1);
            if ffi::lua_rawget(self.state, -3) == ffi::LUA_TNIL {
                ffi::lua_settop(self.state, -3);
            } else {
                ffi::lua_settop(self.state, -2);
                ffi::lua_pushnil(self.state);
                ffi::lua_rawset(self.state, -3);
            }
        }
    }

    /// Pushes the set of a mask.
    unsafe fn flags(&mut self, at: usize, mut mask: u64) {
        // SAFETY: the root is never a set of flags, so the container around it has made room for the
        // set, a name and `true`.
        unsafe {
            ffi::lua_createtable(self.state, 0, mask.count_ones() as c_int);
            while mask != 0 {
                let bit = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                self.flag_bit(at, bit);
            }
        }
    }

    /// Adds one bit to the set on top.
    unsafe fn flag_bit(&self, at: usize, bit: usize) {
        // SAFETY: see `flags`.
        unsafe {
            match self.plan.flags[at].bits.get(bit) {
                Some(&word) if word != 0 => self.push_word(word),
                _ => {
                    let digits = [b'0' + (bit / 10) as u8, b'0' + (bit % 10) as u8];
                    let name = [b'b', b'i', b't', digits[0], digits[1]];
                    if bit < 10 {
                        self.push(&[b'b', b'i', b't', digits[1]]);
                    } else {
                        self.push(&name);
                    }
                }
            }
            ffi::lua_pushboolean(self.state, 1);
            ffi::lua_rawset(self.state, -3);
        }
    }

    /// Pushes the set of the names in one string; a name that the contract does not know stays.
    unsafe fn flag_names(&mut self, at: usize) -> Result<(), Fault> {
        let text = self.text()?;
        // SAFETY: see `flags`.
        unsafe {
            ffi::lua_createtable(self.state, 0, 0);
            for name in self.bytes(text).split(|&byte| byte == b',') {
                let name = name.trim_ascii();
                let names = std::str::from_utf8(name).unwrap_or_default();
                match self.plan.flags[at]
                    .contract
                    .mask(names)
                    .or_else(|| mask(names))
                {
                    Some(mut mask) => {
                        while mask != 0 {
                            let bit = mask.trailing_zeros() as usize;
                            mask &= mask - 1;
                            self.flag_bit(at, bit);
                        }
                    }
                    None if name.is_empty() => {}
                    None => {
                        self.push(name);
                        ffi::lua_pushboolean(self.state, 1);
                        ffi::lua_rawset(self.state, -3);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The bits of an integer as written, signed or not.
fn mask(text: &str) -> Option<u64> {
    text.parse::<u64>()
        .ok()
        .or_else(|| text.parse::<i64>().ok().map(|signed| signed as u64))
}

/// The bit of a key that the contract does not know, in the filter of an object's keys.
#[inline]
fn filter_bit(key: &[u8]) -> u64 {
    let hash = match key {
        [first, .., last] => key.len() * 7 + usize::from(*first) + usize::from(*last) * 3,
        _ => key.len(),
    };
    1 << (hash % 64)
}

/// 2^53 itself, which is the double of 2^53 + 1 too and therefore no proof of exactness.
fn is_edge(text: &str) -> bool {
    text.trim_start_matches('-') == "9007199254740992"
}
