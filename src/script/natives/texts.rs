//! `string`, `utf8`, `os.date` and `tonumber`: what goes over a whole text.

use std::ffi::{c_char, c_int};

use memchr::memmem;
use mlua::{ffi, lua_CFunction, lua_State};

use super::{Bounded, Text, safepoint, text};
use crate::limits::{
    DATE_FORMAT_BYTES, FORMAT_BYTES, FORMAT_VALUES, NEEDLE_BYTES, NUMERAL_BYTES, Native,
    PACK_FORMAT_BYTES, PACK_TEXT_BYTES, PATTERN_BYTES, PATTERN_WORK, REPLACEMENT_BYTES,
};

/// Bytes that Luau's own function may handle at once. (In the tests of this file's equality with Luau,
/// hardly any.)
const SHORT: usize = if cfg!(test) { 4 } else { 1 << 12 };
/// Bytes of text times bytes of what is looked for, up to which Luau's own search may take its worst.
const LITTLE_WORK: usize = if cfg!(test) { 8 } else { 1 << 23 };
/// Bytes of text between two safepoints.
const PART: usize = if cfg!(test) { 7 } else { 1 << 20 };
/// What a pattern's special characters are.
const SPECIALS: &[u8] = b"^$*+?.([%-";

pub(super) fn bounded(native: &Native) -> Option<Bounded> {
    Some(match (native.library, native.name) {
        ("string", "find") => find,
        ("string", "match" | "gmatch") => pattern,
        ("string", "gsub") => gsub,
        ("string", "split") => split,
        ("string", "lower") => lower,
        ("string", "upper") => upper,
        ("string", "reverse") => reverse,
        ("string", "format") => format,
        ("string", "pack") => pack,
        ("string", "unpack" | "packsize") => pack_format,
        ("utf8", "len") => utf8_len,
        ("utf8", "offset") => utf8_offset,
        ("os", "date") => date,
        ("", "tonumber") => tonumber,
        _ => return None,
    })
}

unsafe fn find(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 4, and keep their texts.
    unsafe {
        let (Some(hay), Some(needle)) = (text(state, 1), text(state, 2)) else {
            return pattern(state, original);
        };
        let literal =
            ffi::lua_toboolean(state, 4) != 0 || !needle.iter().any(|byte| SPECIALS.contains(byte));
        if !literal {
            return pattern(state, original);
        }
        if needle.len() < 2 || hay.len().saturating_mul(needle.len()) <= LITTLE_WORK {
            return original(state);
        }
        if needle.len() > NEEDLE_BYTES {
            refuse(state, c"find", c"the text to look for", NEEDLE_BYTES);
        }
        let first = ffi::luaL_optinteger_(state, 3, 1);
        let first = usize::try_from(relative(first, hay.len()).max(1) - 1).unwrap_or_default();
        let found = hay
            .get(first..)
            .and_then(|rest| search(state, rest, &memmem::Finder::new(needle)));
        match found {
            Some(at) => {
                ffi::lua_pushinteger_(state, (first + at + 1) as c_int);
                ffi::lua_pushinteger_(state, (first + at + needle.len()) as c_int);
                2
            }
            None => {
                ffi::lua_pushnil(state);
                1
            }
        }
    }
}

/// Where the needle is, with a safepoint for each part of the text.
unsafe fn search(state: *mut lua_State, hay: &[u8], needle: &memmem::Finder) -> Option<usize> {
    let more = needle.needle().len().saturating_sub(1);
    let mut start = 0;
    while start + more < hay.len() {
        let end = hay.len().min(start + PART.max(more) + more);
        if let Some(at) = needle.find(&hay[start..end]) {
            return Some(start + at);
        }
        start = end - more;
        // SAFETY: as the caller promises; what is borrowed lies on Luau's stack.
        unsafe { safepoint(state) };
    }
    None
}

/// Luau's own matcher has a safepoint for each position that it tries, but none while it repeats a class
/// over the text, closes captures or reads the pattern.
unsafe fn pattern(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 and 2, and keep their texts.
    unsafe {
        if let (Some(subject), Some(pattern)) = (text(state, 1), text(state, 2))
            && subject.len() + pattern.len() > 256
        {
            if pattern.len() > PATTERN_BYTES {
                ffi::luaL_error(
                    state,
                    c"the pattern has %d bytes, and a pattern may have %d".as_ptr(),
                    pattern.len() as c_int,
                    PATTERN_BYTES as c_int,
                );
            }
            let cost = cost(pattern);
            if subject.len().saturating_mul(cost) > PATTERN_WORK {
                ffi::luaL_error(
                    state,
                    c"this pattern is too much work for a text of %d bytes: for it, a text may have %d"
                        .as_ptr(),
                    subject.len() as c_int,
                    (PATTERN_WORK / cost) as c_int,
                );
            }
        }
        original(state)
    }
}

/// Steps that a pattern may cost for each byte of the text without a safepoint: the length of its longest
/// item, or its captures.
fn cost(pattern: &[u8]) -> usize {
    let mut longest = 1;
    let captures = pattern.iter().filter(|&&byte| byte == b'(').count();
    let mut at = 0;
    while at < pattern.len() {
        let start = at;
        at += match pattern[at] {
            b'%' => 2,
            _ => 1,
        };
        if pattern[start] == b'[' {
            // As Luau finds the end: `]` is one of the class if it comes first, and so is what is escaped.
            at += usize::from(pattern.get(at) == Some(&b'^'));
            loop {
                at += match pattern.get(at) {
                    Some(b'%') => 2,
                    _ => 1,
                };
                if at >= pattern.len() || pattern[at] == b']' {
                    break;
                }
            }
            at += 1;
        }
        longest = longest.max(at - start);
    }
    longest.max(captures)
}

unsafe fn gsub(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 4, and keep their texts.
    unsafe {
        if text(state, 3).is_some_and(|replacement| replacement.len() > REPLACEMENT_BYTES) {
            refuse(state, c"gsub", c"the replacement", REPLACEMENT_BYTES);
        }
        pattern(state, original)
    }
}

unsafe fn split(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 and 2, and keep their texts; the table is at 3, and one value is
    // pushed and stored for each piece.
    unsafe {
        let Some(hay) = text(state, 1).filter(|hay| hay.len() > SHORT) else {
            return original(state);
        };
        let separator = match ffi::lua_type(state, 2) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => b",",
            ffi::LUA_TSTRING => text(state, 2).unwrap_or_default(),
            _ => return original(state),
        };
        if separator.len() > NEEDLE_BYTES {
            refuse(state, c"split", c"the separator", NEEDLE_BYTES);
        }
        ffi::lua_settop(state, 2);
        ffi::lua_createtable(state, 0, 0);
        let mut pieces = 0;
        let mut add = |piece: &[u8]| {
            pieces += 1;
            ffi::lua_pushlstring(state, piece.as_ptr().cast(), piece.len());
            ffi::lua_rawseti_(state, 3, pieces);
            safepoint(state);
        };
        if separator.is_empty() {
            for byte in hay.chunks(1) {
                add(byte);
            }
            return 1;
        }
        let finder = memmem::Finder::new(separator);
        let mut rest = hay;
        while let Some(at) = search(state, rest, &finder) {
            add(&rest[..at]);
            rest = &rest[at + separator.len()..];
        }
        add(rest);
        1
    }
}

unsafe fn lower(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: as `transform` asks. `tolower` in the C locale, which the host never leaves, is ASCII's.
    unsafe {
        transform(state, original, |from, to, _| {
            for (from, to) in from.iter().zip(to) {
                *to = from.to_ascii_lowercase();
            }
        })
    }
}

unsafe fn upper(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: as for `lower`.
    unsafe {
        transform(state, original, |from, to, _| {
            for (from, to) in from.iter().zip(to) {
                *to = from.to_ascii_uppercase();
            }
        })
    }
}

unsafe fn reverse(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: as `transform` asks.
    unsafe {
        transform(state, original, |_, to, (all, at)| {
            let from = all[all.len() - at - to.len()..all.len() - at].iter().rev();
            for (from, to) in from.zip(to) {
                *to = *from;
            }
        })
    }
}

/// Makes a text of the same length, part by part. `part` gets the part, where the result goes, and the
/// whole text with the place of the part.
unsafe fn transform(
    state: *mut lua_State,
    original: lua_CFunction,
    part: impl Fn(&[u8], &mut [u8], (&[u8], usize)),
) -> c_int {
    // SAFETY: the argument at 1 keeps its text; the buffer has room for as much.
    unsafe {
        let Some(from) = text(state, 1).filter(|text| text.len() > SHORT) else {
            return original(state);
        };
        ffi::lua_settop(state, 1);
        let mut result = Text::new();
        let start: *mut c_char = ffi::luaL_buffinitsize(state, result.raw(), from.len());
        for (index, piece) in from.chunks(PART).enumerate() {
            let at = index * PART;
            let to = start.add(at).cast::<u8>();
            to.write_bytes(0, piece.len());
            part(
                piece,
                std::slice::from_raw_parts_mut(to, piece.len()),
                (from, at),
            );
            safepoint(state);
        }
        ffi::luaL_pushresultsize(result.raw(), from.len());
        1
    }
}

unsafe fn format(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: only looks at the arguments.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count > FORMAT_VALUES as c_int {
            ffi::luaL_error(
                state,
                c"string.format takes at most %d values".as_ptr(),
                FORMAT_VALUES as c_int,
            );
        }
        let bytes: usize = (1..=count)
            .filter_map(|index| text(state, index))
            .map(<[u8]>::len)
            .sum();
        if bytes > FORMAT_BYTES {
            refuse(state, c"format", c"its text", FORMAT_BYTES);
        }
        original(state)
    }
}

unsafe fn pack(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: only looks at the first argument.
    unsafe {
        if text(state, 1).is_some_and(|format| {
            format.len() <= PACK_FORMAT_BYTES && longest_text(format) > PACK_TEXT_BYTES
        }) {
            refuse(state, c"pack", c"a text of fixed size", PACK_TEXT_BYTES);
        }
        pack_format(state, original)
    }
}

unsafe fn pack_format(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: only looks at the first argument.
    unsafe {
        if text(state, 1).is_some_and(|format| format.len() > PACK_FORMAT_BYTES) {
            refuse(state, c"pack", c"the format", PACK_FORMAT_BYTES);
        }
        original(state)
    }
}

/// The greatest size that a `c` in a format of `string.pack` names.
fn longest_text(format: &[u8]) -> usize {
    let size = |digits: &[u8]| {
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0, |size: usize, byte| {
                size.saturating_mul(10).saturating_add((byte - b'0').into())
            })
    };
    let sizes = memchr::memchr_iter(b'c', format).map(|at| size(&format[at + 1..]));
    sizes.max().unwrap_or_default()
}

unsafe fn utf8_len(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 3. Each part is a call of Luau's own function in this frame, of
    // which one or two values are left.
    unsafe {
        let Some(whole) = text(state, 1).filter(|text| text.len() > PART) else {
            return original(state);
        };
        let length = whole.len() as c_int;
        let first = utf8_relative(ffi::luaL_optinteger_(state, 2, 1), length);
        let last = utf8_relative(ffi::luaL_optinteger_(state, 3, -1), length);
        // What Luau refuses, it refuses itself.
        if first < 1 || first > length + 1 || last > length {
            return original(state);
        }
        ffi::lua_settop(state, 1);
        let mut count = 0;
        let mut from = first;
        while from <= last {
            // A part ends where a character begins, or where none can: Luau finds that out.
            let mut to = (i64::from(from) + PART as i64 - 1).min(last.into()) as c_int;
            let continues = |at: c_int| whole.get(at as usize).is_some_and(|b| b & 0xC0 == 0x80);
            for _ in 0..4 {
                if to < last && continues(to) {
                    to += 1;
                }
            }
            ffi::lua_pushinteger_(state, from);
            ffi::lua_pushinteger_(state, to);
            if original(state) == 2 {
                return 2;
            }
            count += ffi::lua_tointeger_(state, -1);
            ffi::lua_settop(state, 1);
            from = to + 1;
            safepoint(state);
        }
        ffi::lua_pushinteger_(state, count);
        1
    }
}

unsafe fn utf8_offset(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: the arguments are at 1 to 3; each part is a call of Luau's own function in this frame, of
    // which one value is left.
    unsafe {
        let Some(whole) = text(state, 1).filter(|text| text.len() > PART) else {
            return original(state);
        };
        let number = ffi::luaL_checkinteger_(state, 2);
        let length = whole.len() as c_int;
        let start = if number >= 0 { 1 } else { length + 1 };
        let mut position = utf8_relative(ffi::luaL_optinteger_(state, 3, start), length);
        let continues = |at: c_int| whole.get(at as usize).is_some_and(|b| b & 0xC0 == 0x80);
        if number == 0 || position < 1 || position > length + 1 || continues(position - 1) {
            return original(state);
        }
        // The first character of a search forwards is where it begins.
        let mut left = number.unsigned_abs() - u32::from(number > 0);
        ffi::lua_settop(state, 1);
        loop {
            let step = left.min(PART as u32) as c_int;
            left -= step as u32;
            ffi::lua_pushinteger_(state, if number > 0 { step + 1 } else { -step });
            ffi::lua_pushinteger_(state, position);
            original(state);
            if left == 0 || ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                return 1;
            }
            position = ffi::lua_tointeger_(state, -1);
            ffi::lua_settop(state, 1);
            safepoint(state);
        }
    }
}

unsafe fn date(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: only looks at the first argument.
    unsafe {
        if text(state, 1).is_some_and(|format| format.len() > DATE_FORMAT_BYTES) {
            refuse(state, c"date", c"the format", DATE_FORMAT_BYTES);
        }
        original(state)
    }
}

unsafe fn tonumber(state: *mut lua_State, original: lua_CFunction) -> c_int {
    // SAFETY: only looks at the first argument.
    unsafe {
        if text(state, 1).is_some_and(|numeral| numeral.len() > NUMERAL_BYTES) {
            ffi::lua_pushnil(state);
            return 1;
        }
        original(state)
    }
}

/// Refuses a text that is too long.
unsafe fn refuse(
    state: *mut lua_State,
    function: &std::ffi::CStr,
    what: &std::ffi::CStr,
    most: usize,
) -> ! {
    // SAFETY: the format takes two texts and a number.
    unsafe {
        ffi::luaL_error(
            state,
            c"%s: %s may have %d bytes".as_ptr(),
            function.as_ptr(),
            what.as_ptr(),
            most as c_int,
        )
    }
}

/// A position in a text as `string` counts: negative from the end.
fn relative(position: c_int, length: usize) -> i64 {
    let position = i64::from(position);
    if position < 0 {
        (position + length as i64 + 1).max(0)
    } else {
        position
    }
}

/// A position in a text as `utf8` counts.
fn utf8_relative(position: c_int, length: c_int) -> c_int {
    if position >= 0 {
        position
    } else if i64::from(position) + i64::from(length) < 0 {
        0
    } else {
        length + position + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_costs_its_longest_class_or_its_captures() {
        for (pattern, expected) in [
            ("", 1),
            ("abc", 1),
            ("%w+", 2),
            ("[abc]", 5),
            ("x[]]y", 3),
            ("x[^]]y", 4),
            ("[%]a]b", 5),
            ("[%]", 4),
            ("[a", 3),
            ("((((a))))", 4),
            ("%", 2),
        ] {
            assert_eq!(cost(pattern.as_bytes()), expected, "{pattern}");
        }
    }

    #[test]
    fn the_longest_text_of_a_pack_format_is_found() {
        assert_eq!(longest_text(b"i4c12c7"), 12);
        assert_eq!(longest_text(b"i4zs"), 0);
        assert_eq!(longest_text(b"c99999999999999999999999"), usize::MAX);
    }
}
