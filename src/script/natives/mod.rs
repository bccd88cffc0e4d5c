//! Luau's natives with an end: no call runs for long without a safepoint.
//!
//! A native function has no safepoint: while it runs, no budget, reload or shutdown takes hold. Those that
//! could run for more than a tenth of a second at the memory limit are listed in
//! [`crate::limits::NATIVES`] and replaced by one of ours with the same name in errors and tracebacks.
//! Ours looks at its arguments and then is Luau's own, called in the same frame: a small call costs a few
//! nanoseconds more and does exactly the same, errors included. A big one is worked off with safepoints,
//! or refused where the limits say so.
//!
//! What stays Luau's own runs at the speed of memory (`string.rep`, `..`, `buffer.fill`, `table.clone`),
//! or is bounded by the million values that a call takes (`unpack`, `string.byte`, `math.max`).

mod tables;
#[cfg(test)]
mod tests;
mod texts;

use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;

use mlua::{Lua, Table, ffi, lua_CFunction, lua_State};

use super::budget;
use crate::limits::{NATIVES, Native};

/// A replacement. It gets the running coroutine and Luau's own function.
type Bounded = unsafe fn(*mut lua_State, lua_CFunction) -> c_int;

/// Puts the bounded natives in the place of Luau's.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    for native in NATIVES {
        let library = match native.library {
            "" => lua.globals(),
            name => lua.globals().raw_get::<Table>(name)?,
        };
        replace(lua, &library, native)?;
    }
    Ok(())
}

fn replace(lua: &Lua, library: &Table, native: &'static Native) -> mlua::Result<()> {
    let ours = tables::bounded(native)
        .or_else(|| texts::bounded(native))
        .ok_or_else(|| mlua::Error::runtime(format!("{} has no replacement", native.name)))?;
    let name = name_of(native);
    let mut found = false;
    // SAFETY: the stack has room for three more values (`exec_raw` sees to that); the library's table is
    // the only argument. The name lives as long as the process.
    unsafe {
        lua.exec_raw::<()>(library, |state| {
            ffi::lua_rawgetfield(state, 1, name.as_ptr());
            if let Some(original) = ffi::lua_tocfunction(state, -1) {
                ffi::lua_pushlightuserdata(state, ours as *mut c_void);
                ffi::lua_pushlightuserdata(state, original as *mut c_void);
                ffi::lua_pushcclosured(state, call, name.as_ptr(), 2);
                ffi::lua_rawsetfield(state, 1, name.as_ptr());
                found = true;
            }
            ffi::lua_settop(state, 0);
        })?;
    }
    found
        .then_some(())
        .ok_or_else(|| mlua::Error::runtime(format!("Luau has no native {}", native.name)))
}

/// The name as Luau keeps it: a C string that is never freed.
fn name_of(native: &Native) -> &'static CString {
    static NAMES: std::sync::OnceLock<Vec<CString>> = std::sync::OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let name = |native: &Native| CString::new(native.name).unwrap_or_default();
        NATIVES.iter().map(name).collect()
    });
    let index = NATIVES
        .iter()
        .position(|known| std::ptr::eq(known, native))
        .unwrap_or_default();
    &names[index]
}

/// What scripts call: the replacement is its first upvalue, Luau's own function the second.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: `replace` has put these two pointers there, and nothing else makes a closure of `call`.
    unsafe {
        let ours = ffi::lua_tolightuserdata(state, ffi::lua_upvalueindex(1));
        let original = ffi::lua_tolightuserdata(state, ffi::lua_upvalueindex(2));
        let ours: Bounded = std::mem::transmute::<*mut c_void, Bounded>(ours);
        let original = std::mem::transmute::<*mut c_void, lua_CFunction>(original);
        ours(state, original)
    }
}

/// A safepoint of a native: raises if the script must end here.
///
/// # Safety
/// As for [`budget::safepoint`].
#[inline]
unsafe fn safepoint(state: *mut lua_State) {
    // SAFETY: as the caller promises; a native cannot be preempted.
    unsafe { budget::safepoint(state, false) };
}

/// The text of an argument, if it is a string.
///
/// # Safety
/// `index` must be an argument of the running native. It keeps the string while it runs.
unsafe fn text<'a>(state: *mut lua_State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: Luau's strings do not move, and their length is theirs.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TSTRING {
            return None;
        }
        let mut length = 0;
        let start = ffi::lua_tolstring(state, index, &raw mut length);
        Some(slice::from_raw_parts(start.cast(), length))
    }
}

/// Luau's buffer for a string that is being made. What it holds lies on the coroutine's stack, so that
/// an error leaks nothing.
struct Text(MaybeUninit<ffi::luaL_Strbuf>);

impl Text {
    fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    fn raw(&mut self) -> *mut ffi::luaL_Strbuf {
        self.0.as_mut_ptr()
    }
}
