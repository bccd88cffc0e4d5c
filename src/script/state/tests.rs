//! `script.state` from one VM to another.

use super::taking::{LONG_PATH, LONGEST_KEY, LeftOut, MOST_VALUES};
use super::*;
use crate::allocator;

fn eval(lua: &Lua, code: &str) -> Table {
    lua.load(code).eval().unwrap()
}

fn take(lua: &Lua, table: &Table, known: &mut Known) -> Snapshot {
    let (snapshot, left_out) = Snapshot::take(lua, table, known).unwrap();
    assert_eq!(left_out.text(), None);
    snapshot
}

/// One that nothing comes after.
fn take_once(lua: &Lua, table: &Table) -> (Snapshot, LeftOut) {
    Snapshot::take(lua, table, &mut Known::default()).unwrap()
}

#[test]
fn data_comes_out_in_another_vm_as_it_went_in() {
    let (here, there) = (Lua::new(), Lua::new());
    let state = eval(
        &here,
        r#"local shared = { "x" }
        local state = { n = 1.5, i = 3, yes = true, text = "a\0b", list = { 1, 2, { deep = "d" } },
            a = shared, b = shared, bytes = buffer.fromstring("abc"), v = vector.create(1, 2, 3) }
        state.self = state
        return state"#,
    );
    let root = there.create_table().unwrap();
    take(&here, &state, &mut Known::default())
        .put(&there, &root)
        .unwrap();
    there.globals().raw_set("s", root).unwrap();
    there
        .load(
            r#"assert(s.n == 1.5 and s.i == 3 and s.yes == true and s.text == "a\0b")
            assert(s.list[3].deep == "d" and #s.list == 3)
            assert(s.a == s.b and s.a[1] == "x" and s.self == s)
            assert(buffer.tostring(s.bytes) == "abc" and s.v == vector.create(1, 2, 3))"#,
        )
        .exec()
        .unwrap();
}

#[test]
fn what_is_no_data_is_left_out_and_named_with_its_path() {
    let lua = Lua::new();
    let state = eval(
        &lua,
        r#"return { ok = 1, f = print, nested = { ["odd name"] = { [1] = coroutine.create(print) } },
            proxy = setmetatable({ x = 1 }, {}) }"#,
    );
    let (snapshot, left_out) = take_once(&lua, &state);
    let mut named = left_out.named.clone();
    named.sort();
    assert_eq!(
        named,
        [
            "script.state.f (function)",
            "script.state.nested[\"odd name\"][1] (thread)",
            "script.state.proxy (its metatable)",
        ]
    );
    let root = lua.create_table().unwrap();
    snapshot.put(&lua, &root).unwrap();
    assert!(root.raw_get::<Value>("f").unwrap().is_nil());
    let proxy: Table = root.raw_get("proxy").unwrap();
    assert_eq!(proxy.raw_get::<i64>("x").unwrap(), 1);
}

#[test]
fn what_a_snapshot_takes_grows_with_the_values_and_not_with_their_depth() {
    const NODES: usize = 50_000;
    let lua = Lua::new();
    let state = eval(
        &lua,
        &format!(
            "local first = {{}} local last = first
            for i = 1, {NODES} do last.next = {{ i = i }} last = last.next end
            last.stop = print return first"
        ),
    );
    let (taken, bytes) = allocator::bytes(|| take_once(&lua, &state));
    let (snapshot, left_out) = taken;
    assert_eq!(snapshot.tables.len(), NODES + 1);
    assert!(bytes < NODES * 2000, "{bytes} bytes for {NODES} tables");
    let text = left_out.text().unwrap();
    assert!(text.starts_with("script.state….next.next"), "{text}");
    assert!(text.ends_with(".next.stop (function)"), "{text}");
    assert!(text.len() < 2 * LONG_PATH, "{text}");
}

#[test]
fn a_path_leads_through_keys_and_shortens_what_is_long() {
    let lua = Lua::new();
    let state = eval(
        &lua,
        "return { [{ [1] = print }] = 1, [string.rep('k', 1000)] = { [true] = print },
            deep = { [print] = 1 } }",
    );
    let (_, left_out) = take_once(&lua, &state);
    let mut named = left_out.named;
    named.sort();
    let key = "k".repeat(LONGEST_KEY);
    assert_eq!(
        named,
        [
            "a key of script.state.deep (function)".to_owned(),
            format!("script.state.{key}…[true] (function)"),
            "script.state[a key][1] (function)".to_owned(),
        ]
    );
}

#[test]
fn a_snapshot_is_bounded() {
    let lua = Lua::new();
    let state = eval(
        &lua,
        "local t = {} for i = 1, 40 do t[i] = string.rep('x', 1048576 + i) end return t",
    );
    let (snapshot, left_out) = take_once(&lua, &state);
    assert_eq!(snapshot.tables[0].len(), 31);
    let text = left_out.text().unwrap();
    assert!(text.contains("script.state[32] (too much text)"), "{text}");
    assert!(text.ends_with("and 1 more"), "{text}");
    let many = eval(&lua, "return table.create(1000001, true)");
    let (snapshot, left_out) = take_once(&lua, &many);
    assert!(snapshot.tables[0].len() <= MOST_VALUES / 2);
    assert!(left_out.text().is_some());
}

#[test]
fn what_changed_while_the_new_version_loaded_reaches_its_own_tables() {
    let (old, new) = (Lua::new(), Lua::new());
    let state = eval(
        &old,
        "S = { count = 1, gone = 1, users = { ann = 1, bob = 1 }, mode = 'a', list = { 1 } } return S",
    );
    let mut known = Known::default();
    let first = take(&old, &state, &mut known);
    let root = new.create_table().unwrap();
    let copies = first.put(&new, &root).unwrap();
    new.globals().raw_set("s", root.clone()).unwrap();
    // The new version's top level keeps references and changes what it likes.
    new.load("kept = s.users s.mode = 'new' s.added = true s.users.bob = 5 s.list = { 9 }")
        .exec()
        .unwrap();
    old.load(
        "S.count = 7 S.gone = nil S.users.ann = 2 S.users.bob = 3 S.users.eve = { 1 }
         S.mode = 'old' S.fresh = S.users.eve S.list[2] = 2",
    )
    .exec()
    .unwrap();
    let last = take(&old, &state, &mut known);
    hand_over(&new, &root, &first, &last, &copies).unwrap();
    new.load(
        "assert(s.count == 7 and s.gone == nil and s.added == true)
         assert(s.mode == 'new', 'its own change stays')
         assert(s.users == kept, 'references stay good')
         assert(kept.ann == 2 and kept.bob == 5 and kept.eve[1] == 1)
         assert(s.fresh == kept.eve)
         assert(#s.list == 1 and s.list[1] == 9)",
    )
    .exec()
    .unwrap();
}

#[test]
fn a_table_that_moved_is_one_table_still_and_another_in_its_place_is_another() {
    let (old, new) = (Lua::new(), Lua::new());
    let state = eval(
        &old,
        "local a, b = { n = 1 }, { n = 2 }
        S = { queue = { a, b }, byId = { a = a, b = b }, mode = { old = true } } return S",
    );
    let mut known = Known::default();
    let first = take(&old, &state, &mut known);
    let root = new.create_table().unwrap();
    let copies = first.put(&new, &root).unwrap();
    new.globals().raw_set("s", root.clone()).unwrap();
    new.load("a, b, mode = s.byId.a, s.byId.b, s.mode")
        .exec()
        .unwrap();
    old.load(
        "table.remove(S.queue, 1) S.byId.a = nil S.byId.b.n = 3 S.moved = S.byId.b
         table.insert(S.queue, { n = 4 }) S.mode = { new = true }",
    )
    .exec()
    .unwrap();
    // What is gone must not pass for what has its place in memory now.
    old.gc_collect().unwrap();
    old.load("S.later = {} for i = 1, 100 do S.later[i] = { n = 10 } end")
        .exec()
        .unwrap();
    let last = take(&old, &state, &mut known);
    hand_over(&new, &root, &first, &last, &copies).unwrap();
    new.load(
        "assert(s.queue[1] == b and s.byId.b == b and s.moved == b and b.n == 3)
         assert(#s.queue == 2 and s.queue[2].n == 4 and s.byId.a == nil and a.n == 1)
         assert(s.mode ~= mode and s.mode.new and s.mode.old == nil and mode.old)
         for _, later in s.later do assert(later ~= a and later ~= mode and later.n == 10) end",
    )
    .exec()
    .unwrap();
}

#[test]
fn without_a_first_snapshot_the_last_fills_what_is_missing() {
    let (old, new) = (Lua::new(), Lua::new());
    let state = eval(&old, "return { count = 7, mode = 'old' }");
    let root = eval(&new, "return { mode = 'new' }");
    let (first, mut known) = (Snapshot::default(), Known::default());
    let copies = first.put(&new, &root).unwrap();
    let last = take(&old, &state, &mut known);
    hand_over(&new, &root, &first, &last, &copies).unwrap();
    assert_eq!(root.raw_get::<i64>("count").unwrap(), 7);
    assert_eq!(root.raw_get::<String>("mode").unwrap(), "new");
}
