//! `table`: what goes over a whole table.

use std::ffi::c_int;

use mlua::{ffi, lua_CFunction, lua_State};

use super::{Bounded, Text, safepoint, text};
use crate::limits::Native;

/// Elements that Luau's own function may handle at once. (In the tests of this file's equality with Luau,
/// hardly any.)
const FEW: usize = if cfg!(test) { 4 } else { 8192 };
/// Elements that `table.move` moves between two safepoints. Each part may have to grow the table.
const PART: i64 = if cfg!(test) { 3 } else { 1 << 18 };

pub(super) fn bounded(native: &Native) -> Option<Bounded> {
    Some(match (native.library, native.name) {
        ("table", "concat") => concat,
        ("table", "find") => find,
        ("table", "foreach") => foreach,
        ("table", "foreachi") => foreachi,
        ("table", "move") => r#move,
        ("table", "sort") => sort,
        _ => return None,
    })
}

unsafe fn concat(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 4; every value that is pushed is consumed by the buffer, which
    // lies above them. Raising leaves nothing behind.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            return original(state);
        }
        let mut separator = (c"".as_ptr(), 0);
        separator.0 = ffi::luaL_optlstring(state, 2, separator.0, &raw mut separator.1);
        let first = ffi::luaL_optinteger_(state, 3, 1);
        let last = if ffi::lua_isnoneornil(state, 4) != 0 {
            ffi::lua_objlen_(state, 1)
        } else {
            ffi::luaL_checkinteger_(state, 4)
        };
        if i64::from(last) - i64::from(first) < FEW as i64 {
            return original(state);
        }
        ffi::lua_settop(state, 4);
        let mut result = Text::new();
        ffi::luaL_buffinit(state, result.raw());
        for index in first..=last {
            let kind = ffi::lua_rawgeti_(state, 1, index);
            if kind != ffi::LUA_TSTRING && kind != ffi::LUA_TNUMBER {
                ffi::luaL_error(
                    state,
                    c"invalid value (%s) at index %d in table for 'concat'".as_ptr(),
                    ffi::luaL_typename(state, -1),
                    index,
                );
            }
            ffi::luaL_addvalue(result.raw());
            if index < last && separator.1 > 0 {
                ffi::luaL_addlstring(result.raw(), separator.0, separator.1);
            }
            safepoint(state);
        }
        ffi::luaL_pushresult(result.raw());
        1
    }
}

unsafe fn find(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 3; one value is pushed and popped for each element.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE || ffi::lua_gettop(state) < 2 {
            return original(state);
        }
        let first = ffi::luaL_optinteger_(state, 3, 1);
        let length = ffi::lua_objlen_(state, 1);
        if first < 1 || (first <= length && length <= FEW as c_int) {
            return original(state);
        }
        for index in first..=c_int::MAX {
            if ffi::lua_rawgeti_(state, 1, index) == ffi::LUA_TNIL {
                break;
            }
            if ffi::lua_equal(state, 2, -1) != 0 {
                ffi::lua_pushinteger_(state, index);
                return 1;
            }
            ffi::lua_settop(state, -2);
            safepoint(state);
        }
        ffi::lua_pushnil(state);
        1
    }
}

unsafe fn foreach(state: *mut lua_State, _: lua_CFunction) -> c_int {
    // SAFETY: the arguments are checked; key and value are at 3 and 4 in each turn, what is called and
    // its arguments above them.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        ffi::lua_settop(state, 2);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 1) != 0 {
            ffi::lua_pushvalue(state, 2);
            ffi::lua_pushvalue(state, 3);
            ffi::lua_pushvalue(state, 4);
            ffi::lua_call(state, 2, 1);
            if ffi::lua_type(state, -1) != ffi::LUA_TNIL {
                return 1;
            }
            ffi::lua_settop(state, 3);
            safepoint(state);
        }
        0
    }
}

unsafe fn foreachi(state: *mut lua_State, _: lua_CFunction) -> c_int {
    // SAFETY: as in `foreach`.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        ffi::lua_settop(state, 2);
        for index in 1..=ffi::lua_objlen_(state, 1) {
            ffi::lua_pushvalue(state, 2);
            ffi::lua_pushinteger_(state, index);
            ffi::lua_rawgeti_(state, 1, index);
            ffi::lua_call(state, 2, 1);
            if ffi::lua_type(state, -1) != ffi::LUA_TNIL {
                return 1;
            }
            ffi::lua_settop(state, 2);
            safepoint(state);
        }
        0
    }
}

/// Moves part after part, in the order in which no part overwrites what is still to be moved.
unsafe fn r#move(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 5; each part is a call of Luau's own function in this frame, whose
    // result is dropped.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            return original(state);
        }
        let first = i64::from(ffi::luaL_checkinteger_(state, 2));
        let last = i64::from(ffi::luaL_checkinteger_(state, 3));
        let to = i64::from(ffi::luaL_checkinteger_(state, 4));
        let count = last - first + 1;
        let most = i64::from(c_int::MAX);
        // What Luau refuses, it refuses itself.
        if count <= PART || !(first > 0 || last < most + first) || to > most - count + 1 {
            return original(state);
        }
        ffi::lua_settop(state, 5);
        let target = if ffi::lua_isnoneornil(state, 5) != 0 {
            1
        } else {
            ffi::luaL_checktype(state, 5, ffi::LUA_TTABLE);
            5
        };
        let same = ffi::lua_rawequal(state, 1, target) != 0;
        let upwards = to > last || to <= first || !same;
        let mut moved = 0;
        while moved < count {
            let part = PART.min(count - moved);
            let offset = if upwards { moved } else { count - moved - part };
            for (index, value) in [
                (2, first + offset),
                (3, first + offset + part - 1),
                (4, to + offset),
            ] {
                ffi::lua_pushinteger_(state, value as c_int);
                ffi::lua_replace(state, index);
            }
            original(state);
            ffi::lua_settop(state, 5);
            moved += part;
            safepoint(state);
        }
        ffi::lua_pushvalue(state, target);
        1
    }
}

unsafe fn sort(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 and 2.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            return original(state);
        }
        match ffi::lua_type(state, 2) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => {
                if is_cheap(state) {
                    return original(state);
                }
                ffi::lua_settop(state, 1);
                ffi::lua_pushcclosured(state, less, c"sort".as_ptr(), 0);
            }
            // A function of the script's has safepoints.
            ffi::LUA_TFUNCTION if ffi::lua_iscfunction(state, 2) != 0 => {
                ffi::lua_settop(state, 2);
                ffi::lua_pushcclosured(state, ask, c"sort".as_ptr(), 1);
            }
            _ => return original(state),
        }
        original(state)
    }
}

/// Whether comparing the elements without a comparator is quick: they are few, and short or no text.
unsafe fn is_cheap(state: *mut lua_State) -> bool {
    const SHORT: usize = 256;
    // SAFETY: the table is at 1; one value is pushed and popped for each element.
    unsafe {
        let length = ffi::lua_objlen_(state, 1);
        if length > FEW as c_int {
            return false;
        }
        (1..=length).all(|index| {
            let kind = ffi::lua_rawgeti_(state, 1, index);
            let cheap = match kind {
                ffi::LUA_TSTRING => text(state, -1).is_some_and(|text| text.len() <= SHORT),
                kind => kind == ffi::LUA_TNUMBER,
            };
            ffi::lua_settop(state, -2);
            cheap
        })
    }
}

/// `a < b`, with a safepoint.
unsafe extern "C-unwind" fn less(state: *mut lua_State) -> c_int {
    // SAFETY: `table.sort` calls it with the two elements.
    unsafe {
        safepoint(state);
        ffi::lua_pushboolean(state, ffi::lua_lessthan(state, 1, 2));
        1
    }
}

/// A native comparator, with a safepoint.
unsafe extern "C-unwind" fn ask(state: *mut lua_State) -> c_int {
    // SAFETY: `table.sort` calls it with the two elements; the comparator is the upvalue.
    unsafe {
        safepoint(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, 2, 1);
        1
    }
}
