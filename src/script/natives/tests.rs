//! Ours and Luau's own, side by side: the same random calls in a VM with bounded natives and in a plain
//! one must give the same values and the same errors. The parts are small here, so that short texts and
//! tables are worked off in many of them.

use mlua::Lua;

use super::install;

/// Makes random calls and answers what they gave, as text.
const CALLS: &str = r#"
local seed, count = ...
local function random(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed // 8192 % n
end
local function one(list) return list[random(#list) + 1] end
local PIECES = { "a", "b", "ab", "aab", "\0", "ä", "日本", "\xff", "\x80", ",", "A", "%", "z" }
local function text(most)
    local parts = {}
    for i = 1, random(most + 1) do parts[i] = one(PIECES) end
    return table.concat(parts)
end
local PATTERNS = { "a", "a*b", "[^a]+", "(a)(b)", "%w-b", "()", "^a", "b$", "%f[%w]%w+", "[%z\1-\127]", "(.)%1",
    "%b,a", "[a-b]*", "[", "%", "(a", "%2", ".-,", "[]a]+", "[^%%]" }
local function pattern() return if random(4) == 0 then text(3) else one(PATTERNS) end
local function int() return random(40) - 15 end
local function maybe(make) if random(3) == 0 then return nil end return make() end
local function value()
    return one({ 1, 2, 3.5, "a", "b", "10", true, -7, 0/0, 1e300 })
end
local Pair = { __eq = function(a, b) return a.x == b.x end, __lt = function(a, b) return a.x < b.x end }
local function list(make)
    local t = {}
    for i = 1, random(25) do t[i] = make() end
    for i = 1, random(3) do t[random(60) - 10] = make() end
    return t
end
local function pair() return setmetatable({ x = random(5) }, Pair) end
local calls = {
    function() return table.concat(list(value), maybe(function() return text(1) end), maybe(int), maybe(int)) end,
    function() return table.concat(list(function() return random(100) end), ",") end,
    function() return table.find(list(value), value(), maybe(int)) end,
    function() return table.find(list(pair), pair()) end,
    function() return table.move(list(value), int(), int(), int(), maybe(function() return list(value) end)) end,
    function() return table.move(table.freeze(list(value)), int(), int(), int()) end,
    function() local t = list(function() return random(30) end) table.sort(t) return t end,
    function() local t = list(function() return text(2) end) table.sort(t) return t end,
    function() local t = list(value) table.sort(t) return t end,
    function()
        local t, xs = list(pair), {}
        table.sort(t)
        for i, p in ipairs(t) do xs[i] = p.x end
        return xs
    end,
    function() local t = list(function() return random(9) end) table.sort(t, function(a, b) return a > b end) return t end,
    function() local t = list(function() return random(9) end) table.sort(t, rawequal) return t end,
    function() local seen = {} return table.foreach(list(value), function(k, v) seen[k] = v end), seen end,
    function() return table.foreach(list(value), type) end,
    function() local seen = {} return table.foreachi(list(value), function(k, v) seen[k] = v end), seen end,
    function() return table.foreachi(list(value), rawequal) end,
    function() return string.find(text(20), text(3), maybe(int), random(2) == 0) end,
    function() return string.find(text(20), pattern(), maybe(int)) end,
    function() return string.match(text(20), pattern(), maybe(int)) end,
    function()
        local all = {}
        for a, b in string.gmatch(text(20), pattern()) do table.insert(all, { a, b }) end
        return all
    end,
    function() return string.gsub(text(20), pattern(), one({ "x", "%0%1", "%%", "%2", "" }), maybe(int)) end,
    function() return string.gsub(text(20), pattern(), { a = "1", b = true, ab = false }) end,
    function() return string.gsub(text(20), pattern(), function(a, b) return b or a end) end,
    function() return string.split(text(25), maybe(function() return text(2) end)) end,
    function() return string.lower(text(25)), string.upper(text(25)), string.reverse(text(25)) end,
    function() return string.format(one({ "%s|%s", "%d %q", "%*%%", "%5.2f", "%x", "%", "%y", "%10s" }), value(), value()) end,
    function() return string.pack(one({ "i4", "z", "s1", "c5", "!8 d", "x", "<I2", "y" }), value()) end,
    function() return string.unpack(one({ "i4", "z", "s1", "c5", "x", "<I2" }), text(8), maybe(int)) end,
    function() return string.packsize(one({ "i4", "z", "c5", "xx", "!8 d" })) end,
    function() return utf8.len(text(25), maybe(int), maybe(int)) end,
    function() return utf8.len(string.rep("日本", 10), maybe(int), maybe(int)) end,
    function() return utf8.offset(text(25), int(), maybe(int)) end,
    function() return utf8.offset(string.rep("ä", 20), int()) end,
    function() return os.date(one({ "!%Y", "!%c", "!*t", "%Ez" }), random(1000000)) end,
    function() return tonumber(text(4)), tonumber(one({ "12", "0x1f", " 7 ", "1e3", "z" }), maybe(function() return 2 + random(34) end)) end,
    function() return table.concat({}, nil, int(), int()), table.find({}, nil) end,
    function() return one({ table.concat, table.find, table.move, table.sort, table.foreach, string.find, string.split,
        string.rep, string.lower, utf8.len, utf8.offset, string.format, os.date, string.gsub })(value(), value(), value()) end,
}
local function show(v, depth)
    if type(v) ~= "table" then return (typeof(v) .. ":" .. if type(v) == "function" then "" else tostring(v)) end
    if depth > 2 then return "…" end
    local keys = {}
    for k in pairs(v) do table.insert(keys, (typeof(k) .. tostring(k))) end
    local parts = {}
    for i = -20, 80 do if v[i] ~= nil then table.insert(parts, i .. "=" .. show(v[i], depth + 1)) end end
    for _, k in ipairs({ "year", "n", "x" }) do table.insert(parts, tostring(v[k])) end
    return "{" .. #keys .. "; " .. table.concat(parts, " ") .. "}"
end
local out = {}
for i = 1, count do
    local which = random(#calls) + 1
    local got = table.pack(pcall(calls[which]))
    local parts = { which }
    for j = 1, got.n do table.insert(parts, show(got[j], 0)) end
    table.insert(out, table.concat(parts, " "))
end
return table.concat(out, "\n")
"#;

fn transcript(lua: &Lua, seed: u32) -> String {
    let chunk = lua.load(CALLS).set_name("@calls.luau");
    let text: mlua::LuaString = chunk.call((seed, 4000)).unwrap();
    text.to_string_lossy()
}

#[test]
fn every_bounded_native_gives_what_luau_gives() {
    let plain = Lua::new();
    let bounded = Lua::new();
    install(&bounded).unwrap();
    for seed in 1..=6 {
        let expected = transcript(&plain, seed);
        let got = transcript(&bounded, seed);
        for (expected, got) in expected.lines().zip(got.lines()) {
            assert_eq!(expected, got, "seed {seed}");
        }
        assert!(expected.lines().count() >= 4000);
        assert_eq!(expected, got);
    }
}

#[test]
fn a_bounded_native_has_luaus_name() {
    let lua = Lua::new();
    install(&lua).unwrap();
    let names: String = lua
        .load(
            "local names = {}
             for _, f in {string.find, table.sort, utf8.len, tonumber} do
                 table.insert(names, (debug.info(f, 'n')))
             end
             return table.concat(names, ' ')",
        )
        .eval()
        .unwrap();
    assert_eq!(names, "find sort len tonumber");
}

#[test]
fn what_is_refused_says_what_may_be() {
    let lua = Lua::new();
    install(&lua).unwrap();
    for (code, message) in [
        (
            "string.find('x', string.rep('[a', 20000))",
            "x:1: the pattern has 40000 bytes, and a pattern may have 10000",
        ),
        (
            "string.match(string.rep('x', 1e6), '[' .. string.rep('a', 98) .. ']')",
            "x:1: this pattern is too much work for a text of 1000000 bytes: for it, a text may have 167772",
        ),
        (
            "string.find(string.rep('x', 3e6), string.rep('x', 2e6), 1, true)",
            "x:1: find: the text to look for may have 1048576 bytes",
        ),
        (
            "string.gsub('x', 'x', string.rep('x', 2e6))",
            "x:1: gsub: the replacement may have 1048576 bytes",
        ),
        (
            "string.format(string.rep('x', 2e7))",
            "x:1: format: its text may have 16777216 bytes",
        ),
        (
            "string.pack('c9999999', '')",
            "x:1: pack: a text of fixed size may have 1048576 bytes",
        ),
        (
            "os.date(string.rep('%c', 20000))",
            "x:1: date: the format may have 20000 bytes",
        ),
    ] {
        let error = lua.load(code).set_name("@x").exec().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(message), "{code}: {text}");
    }
}
