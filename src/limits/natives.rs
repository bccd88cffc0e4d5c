//! The natives of Luau that are bounded here, each with its rule and the reason.
//!
//! A native function has no safepoint of its own: while it runs, nothing can end it. Each of these could
//! run for longer than a tenth of a second within the default memory limit. The others do not within the
//! largest that the config takes (`cargo bench --bench vm -- natives`).

/// One native that is not quite Luau's own.
#[derive(Debug)]
pub struct Native {
    /// The library.
    pub library: &'static str,
    /// The function.
    pub name: &'static str,
    /// How it differs, for users.
    pub rule: &'static str,
    /// What it would do otherwise.
    pub reason: &'static str,
    /// A chunk that has it do its worst; tests end a script in the middle of it.
    pub worst: &'static str,
}

const fn native(
    library: &'static str,
    name: &'static str,
    rule: &'static str,
    reason: &'static str,
    worst: &'static str,
) -> Native {
    Native {
        library,
        name,
        rule,
        reason,
        worst,
    }
}

/// No difference but that it can be ended.
const SAME: &str = "as in Luau, and can be ended while it runs";
/// The rule of all that take a pattern.
const PATTERN: &str = "patterns of at most 10,000 bytes; text length times the longest class (or the number \
    of captures) at most 16,777,216, otherwise an error";
const SCAN: &str =
    "a class repeated over a text scans text length times class length without a stop";

/// Every native that is bounded.
pub const NATIVES: &[Native] = &[
    native(
        "table",
        "concat",
        SAME,
        "formats millions of numbers in one call",
        "local t = table.create(3e6, 0.1) while true do table.concat(t) end",
    ),
    native(
        "table",
        "find",
        SAME,
        "looks at millions of values, each perhaps with a metamethod",
        "local t = table.create(3e6, 1) while true do table.find(t, 2) end",
    ),
    native(
        "table",
        "foreach",
        SAME,
        "calls a native for each entry",
        "local t = table.create(3e6, 'x') while true do table.foreach(t, string.find) end",
    ),
    native(
        "table",
        "foreachi",
        SAME,
        "calls a native for each entry",
        "local t = table.create(3e6, 'x') while true do table.foreachi(t, string.find) end",
    ),
    native(
        "table",
        "move",
        SAME,
        "a range of 10^9 elements takes 22 s, empty or not",
        "table.move({}, 1, 1e9, 2, {})",
    ),
    native(
        "table",
        "sort",
        SAME,
        "compares millions of values, each perhaps of megabytes, or by a native",
        "local a = string.rep('a', 5e6) local t = table.create(1e5, a .. 'b')
         for i = 1, 1e5, 2 do t[i] = a .. 'c' end table.sort(t)",
    ),
    native(
        "string",
        "find",
        "patterns as in `string.match`; a literal text of at most 1,048,576 bytes, found in linear time",
        "a literal text of 5e5 bytes in 1e6 bytes takes 5 s",
        "local text, hay = string.rep('a', 5e5) .. 'b', string.rep('a', 2e6)
         while true do string.find(hay, text, 1, true) end",
    ),
    native(
        "string",
        "match",
        PATTERN,
        SCAN,
        "local text = string.rep('b', 1.5e5) local class = '[' .. string.rep('a', 100) .. 'b]*c'
         while true do string.match(text, class) end",
    ),
    native(
        "string",
        "gmatch",
        PATTERN,
        SCAN,
        "local text = string.rep('b', 1.5e5) local class = '[' .. string.rep('a', 100) .. 'b]*c'
         for _ in string.gmatch(text, class) do end",
    ),
    native(
        "string",
        "gsub",
        "patterns as in `string.match`; a replacement text of at most 1,048,576 bytes",
        "replaces captures millions of times in one replacement text",
        "local text = string.rep('b', 1.5e5) local class = '[' .. string.rep('a', 100) .. 'b]*c'
         while true do string.gsub(text, class, '') end",
    ),
    native(
        "string",
        "split",
        "a separator of at most 1,048,576 bytes, found in linear time",
        "makes millions of strings in one call, or searches as `string.find` did",
        "local text = string.rep('a,', 1e5) while true do string.split(text, '') end",
    ),
    native(
        "string",
        "lower",
        SAME,
        "goes over the text byte by byte",
        "local text = string.rep('A', 2e7) while true do string.lower(text) end",
    ),
    native(
        "string",
        "upper",
        SAME,
        "goes over the text byte by byte",
        "local text = string.rep('a', 2e7) while true do string.upper(text) end",
    ),
    native(
        "string",
        "reverse",
        SAME,
        "goes over the text byte by byte",
        "local text = string.rep('ab', 1e7) while true do string.reverse(text) end",
    ),
    native(
        "string",
        "format",
        "at most 10,000 values, and 16,777,216 bytes of text",
        "formats a million numbers in one call",
        "local t = table.create(9000, 1e308) local format = string.rep('%99.99f', 9000)
         while true do string.format(format, unpack(t)) end",
    ),
    native(
        "string",
        "pack",
        "a format of at most 100,000 bytes, in it texts (`c10`) of at most 1,048,576",
        "an option of the format that needs no value costs time all the same",
        "local format = string.rep('x', 1e5) while true do string.pack(format) end",
    ),
    native(
        "string",
        "unpack",
        "a format of at most 100,000 bytes",
        "an option of the format that needs no value costs time all the same",
        "local format = string.rep('<', 1e5) while true do string.unpack(format, '') end",
    ),
    native(
        "string",
        "packsize",
        "a format of at most 100,000 bytes",
        "an option of the format that needs no value costs time all the same",
        "local format = string.rep('x', 1e5) while true do string.packsize(format) end",
    ),
    native(
        "utf8",
        "len",
        SAME,
        "goes over the text byte by byte",
        "local text = string.rep('ä', 1e7) while true do utf8.len(text) end",
    ),
    native(
        "utf8",
        "offset",
        SAME,
        "goes over the text byte by byte",
        "local text = string.rep('ä', 1e7) while true do utf8.offset(text, 1e9) end",
    ),
    native(
        "os",
        "date",
        "a format of at most 20,000 bytes",
        "formats a date as often as its format asks",
        "local format = string.rep('%c', 10000) while true do os.date(format) end",
    ),
    native(
        "",
        "tonumber",
        "a numeral of at most 10,000 bytes; a longer text is no number",
        "reads millions of digits",
        "local text = string.rep('9', 9000) while true do tonumber(text) end",
    ),
];
