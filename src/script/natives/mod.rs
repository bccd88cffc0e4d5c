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
use std::sync::LazyLock;

use mlua::{Lua, ffi, lua_CFunction, lua_State};

use super::budget;
use crate::limits::{NATIVES, Native};

/// A replacement. It gets the running coroutine and Luau's own function.
type Bounded = unsafe fn(*mut lua_State, lua_CFunction) -> c_int;

/// Puts the bounded natives in the place of Luau's.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    let mut missing = None;
    // SAFETY: the stack has room for four values (a new C function's has 20), and each turn leaves none.
    // The names live as long as the process.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            for (native, names) in NATIVES.iter().zip(names()) {
                if !replace(state, native, names) {
                    missing = Some(native.name);
                }
                ffi::lua_settop(state, 0);
            }
        })?;
    }
    match missing {
        None => Ok(()),
        Some(name) => Err(mlua::Error::runtime(format!(
            "{name} is no native of Luau, or has no replacement"
        ))),
    }
}

/// Replaces one native. Answers whether both are there.
///
/// # Safety
/// The stack of `state` is empty, with room for four values. It holds leftovers afterwards.
unsafe fn replace(state: *mut lua_State, native: &Native, names: &Names) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if native.library.is_empty() {
            ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX);
        } else {
            ffi::lua_getglobal(state, names.library.as_ptr());
        }
        ffi::lua_rawgetfield(state, 1, names.name.as_ptr());
        let ours = tables::bounded(native).or_else(|| texts::bounded(native));
        let (Some(ours), Some(original)) = (ours, ffi::lua_tocfunction(state, -1)) else {
            return false;
        };
        ffi::lua_pushlightuserdata(state, ours as *mut c_void);
        ffi::lua_pushlightuserdata(state, original as *mut c_void);
        ffi::lua_pushcclosured(state, call, names.name.as_ptr(), 2);
        ffi::lua_rawsetfield(state, 1, names.name.as_ptr());
        true
    }
}

/// What a native is called, as Luau keeps it: C strings that are never freed.
struct Names {
    library: CString,
    name: CString,
}

/// The names of [`NATIVES`], in their order.
fn names() -> &'static [Names] {
    static ALL: LazyLock<Vec<Names>> = LazyLock::new(|| {
        let text = |text| CString::new(text).unwrap_or_default();
        let all = NATIVES.iter().map(|native| Names {
            library: text(native.library),
            name: text(native.name),
        });
        all.collect()
    });
    &ALL
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
