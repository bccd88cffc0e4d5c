//! `script.state` on its way from one version of a script to the next: plain data, copied out of one VM
//! and into another.
//!
//! A [`Snapshot`] holds no Luau value, so that it can cross threads and outlive its VM. Tables that are
//! shared, or contain themselves, come out so again. What is no data (functions, coroutines, userdata),
//! metatables, and what is beyond [`MOST_VALUES`] or [`MOST_BYTES`] is left out, and named with its path.
//!
//! # The hand-over
//!
//! The new version's top level runs while the old version still works, on a first snapshot. At the swap
//! comes the final one, and [`hand_over`] brings what changed in between into the new version's tables,
//! in place, because its top level may have kept references to them. What the new version's top level
//! itself has changed stays as it made it. Which table of the final snapshot is which of the first, the tables
//! say and not the keys that lead to them: [`Known`].

use std::collections::HashMap;

use mlua::{Lua, Table, Value};

/// The most values in a snapshot.
pub(super) const MOST_VALUES: usize = 1_000_000;
/// The most bytes of text and buffers in a snapshot.
pub(super) const MOST_BYTES: usize = 32 << 20;
/// The most paths that a warning names.
const MOST_NAMED: usize = 8;
/// Of a longer path than this, in bytes, only the end is shown.
const LONG_PATH: usize = 200;
/// The longest key in a path, characters.
const LONGEST_KEY: usize = 60;

/// A value without Luau.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Boolean(bool),
    Number(f64),
    Vector([f32; 3]),
    Text(Box<[u8]>),
    Buffer(Box<[u8]>),
    /// Index in [`Snapshot::tables`].
    Table(usize),
}

/// A copy of `script.state`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    /// The tables; the first is `script.state` itself. Entries in the order of the table.
    tables: Vec<Vec<(Plain, Plain)>>,
    /// For each of them its index in the snapshot before, if it was there.
    before: Vec<Option<usize>>,
}

/// The tables of the last snapshot, as long as they are there. They are held weakly: what the script has let
/// go must not stay in memory for it, and until it is gone nothing else has its address.
#[derive(Default)]
pub(super) struct Known(Option<(Table, usize)>);

impl Known {
    fn new(lua: &Lua, tables: &[Met]) -> mlua::Result<Self> {
        let weak = lua.create_table()?;
        weak.raw_set("__mode", "v")?;
        let list = lua.create_table_with_capacity(tables.len(), 0)?;
        list.set_metatable(Some(weak))?;
        for (index, met) in (1..).zip(tables) {
            list.raw_set(index, &met.table)?;
        }
        Ok(Self(Some((list, tables.len()))))
    }

    /// Where each of these tables, numbered by their address, was in the last snapshot.
    fn before(&self, numbers: &HashMap<usize, usize>) -> mlua::Result<Vec<Option<usize>>> {
        let mut before = vec![None; numbers.len()];
        if let Some((list, length)) = &self.0 {
            for index in 0..*length {
                let table: Option<Table> = list.raw_get(index + 1)?;
                let address = table.map(|table| table.to_pointer() as usize);
                if let Some(number) = address.and_then(|address| numbers.get(&address)) {
                    before[*number] = Some(index);
                }
            }
        }
        Ok(before)
    }
}

/// What a snapshot had to leave out: paths with the reason, the first few of them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LeftOut {
    named: Vec<String>,
    more: usize,
}

impl LeftOut {
    fn add(&mut self, path: impl FnOnce() -> String, why: &str) {
        if self.named.len() < MOST_NAMED {
            self.named.push(format!("{} ({why})", path()));
        } else {
            self.more += 1;
        }
    }

    /// What was left out, for people; `None` when everything was copied.
    pub(super) fn text(&self) -> Option<String> {
        let all = self.named.join(", ");
        match (self.named.is_empty(), self.more) {
            (true, _) => None,
            (false, 0) => Some(all),
            (false, more) => Some(format!("{all} and {more} more")),
        }
    }
}

impl Snapshot {
    /// Copies a table and everything in it. `known` is of the snapshot before, and then of this one.
    pub(super) fn take(
        lua: &Lua,
        root: &Table,
        known: &mut Known,
    ) -> mlua::Result<(Self, LeftOut)> {
        let mut taking = Taking::default();
        taking.number(root, None, None);
        let mut at = 0;
        while let Some(table) = taking.met.get(at).map(|met| met.table.clone()) {
            taking.tables.push(Vec::new());
            // Raw: `pairs` of mlua asks no metamethod.
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair?;
                let of_key = Place {
                    table: at,
                    entry: None,
                };
                let Some(key) = taking.plain(&key, of_key, None) else {
                    continue;
                };
                let place = Place {
                    table: at,
                    entry: Some(taking.tables[at].len()),
                };
                if let Some(value) = taking.plain(&value, place, Some(&key)) {
                    taking.tables[at].push((key, value));
                }
            }
            at += 1;
        }
        let before = known.before(&taking.numbers)?;
        // For want of memory in the VM: then every table of the next snapshot is taken for a new one.
        *known = Known::new(lua, &taking.met).unwrap_or_default();
        let Taking {
            tables, left_out, ..
        } = taking;
        Ok((Self { tables, before }, left_out))
    }

    /// Puts a copy into an empty table.
    pub(super) fn put(&self, lua: &Lua, root: &Table) -> mlua::Result<Copies> {
        let mut copies = Copies::default();
        if !self.tables.is_empty() {
            copies.made.insert(0, root.clone());
            self.fill(lua, vec![0], &mut copies)?;
        }
        Ok(copies)
    }

    /// Fills tables that have just been made, and those that they contain.
    fn fill(&self, lua: &Lua, mut open: Vec<usize>, copies: &mut Copies) -> mlua::Result<()> {
        while let Some(index) = open.pop() {
            let Some(table) = copies.made.get(&index).cloned() else {
                continue;
            };
            for (key, value) in &self.tables[index] {
                let key = self.value(lua, key, &mut open, copies)?;
                let value = self.value(lua, value, &mut open, copies)?;
                table.raw_set(key, value)?;
            }
        }
        Ok(())
    }

    /// A Luau value; a table that is new comes empty, and into `open`.
    fn value(
        &self,
        lua: &Lua,
        plain: &Plain,
        open: &mut Vec<usize>,
        copies: &mut Copies,
    ) -> mlua::Result<Value> {
        Ok(match plain {
            Plain::Boolean(on) => Value::Boolean(*on),
            Plain::Number(number) => Value::Number(*number),
            Plain::Vector([x, y, z]) => Value::Vector(mlua::Vector::new(*x, *y, *z)),
            Plain::Text(text) => Value::String(lua.create_string(text)?),
            Plain::Buffer(bytes) => Value::Buffer(lua.create_buffer(bytes)?),
            Plain::Table(index) => {
                let table = match copies.made.get(index) {
                    Some(table) => table.clone(),
                    None => {
                        let table = lua.create_table()?;
                        copies.made.insert(*index, table.clone());
                        open.push(*index);
                        table
                    }
                };
                Value::Table(table)
            }
        })
    }

    /// The entries of a table by their keys, those aside whose key is a table: nobody but the version
    /// that made such a key can look it up.
    fn by_key(&self, table: usize) -> HashMap<Key<'_>, (&Plain, &Plain)> {
        self.tables[table]
            .iter()
            .filter_map(|(key, value)| Some((Key::of(key)?, (key, value))))
            .collect()
    }
}

/// What makes a key findable.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Boolean(bool),
    Bits(u64),
    Text(&'a [u8]),
}

impl<'a> Key<'a> {
    fn of(plain: &'a Plain) -> Option<Self> {
        match plain {
            Plain::Boolean(on) => Some(Self::Boolean(*on)),
            Plain::Number(number) => Some(Self::Bits(number.to_bits())),
            Plain::Text(text) => Some(Self::Text(text)),
            Plain::Vector(_) | Plain::Buffer(_) | Plain::Table(_) => None,
        }
    }
}

/// The tables that were made of a snapshot's, by index.
#[derive(Default)]
pub(super) struct Copies {
    made: HashMap<usize, Table>,
}

/// Where a value is: in which table, and which of its entries; none for a key. A path has as many steps as
/// tables contain each other, so it is put together only when it is told: all paths of a long list together
/// would be many times the list.
#[derive(Clone, Copy)]
struct Place {
    table: usize,
    entry: Option<usize>,
}

/// A table that is copied, or will be.
struct Met {
    table: Table,
    /// Where it was met first; none for `script.state` itself.
    place: Option<Place>,
}

#[derive(Default)]
struct Taking {
    /// Every table met, in the order of its number; the first is `script.state`.
    met: Vec<Met>,
    numbers: HashMap<usize, usize>,
    /// The tables copied so far, the last of them in part.
    tables: Vec<Vec<(Plain, Plain)>>,
    values: usize,
    bytes: usize,
    left_out: LeftOut,
}

impl Taking {
    /// The number of a table at `place`; none is `script.state` itself. `key` is that of its entry, which is
    /// not among the table's entries yet.
    fn number(&mut self, table: &Table, place: Option<Place>, key: Option<&Plain>) -> usize {
        let next = self.met.len();
        let number = *self
            .numbers
            .entry(table.to_pointer() as usize)
            .or_insert(next);
        if number == next {
            if table.metatable().is_some() {
                self.leave_out(place, key, "its metatable");
            }
            self.met.push(Met {
                table: table.clone(),
                place,
            });
        }
        number
    }

    /// A value as it is kept; `key` as in [`Self::number`].
    fn plain(&mut self, value: &Value, place: Place, key: Option<&Plain>) -> Option<Plain> {
        self.values += 1;
        if self.values > MOST_VALUES {
            self.leave_out(Some(place), key, "too many values");
            return None;
        }
        let plain = match value {
            Value::Boolean(on) => Plain::Boolean(*on),
            Value::Integer(whole) => Plain::Number(*whole as f64),
            Value::Number(number) => Plain::Number(*number),
            Value::Vector(vector) => Plain::Vector([vector.x(), vector.y(), vector.z()]),
            Value::String(text) => {
                let text = text.as_bytes();
                if !self.fits(text.len()) {
                    self.leave_out(Some(place), key, "too much text");
                    return None;
                }
                Plain::Text((*text).into())
            }
            Value::Buffer(buffer) => {
                if !self.fits(buffer.len()) {
                    self.leave_out(Some(place), key, "too large");
                    return None;
                }
                Plain::Buffer(buffer.to_vec().into())
            }
            Value::Table(table) => Plain::Table(self.number(table, Some(place), key)),
            other => {
                self.leave_out(Some(place), key, other.type_name());
                return None;
            }
        };
        Some(plain)
    }

    fn fits(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= MOST_BYTES;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    fn leave_out(&mut self, place: Option<Place>, key: Option<&Plain>, why: &str) {
        let Self {
            left_out,
            met,
            tables,
            ..
        } = self;
        left_out.add(|| path(met, tables, place, key), why);
    }
}

/// The path of a place, or the end of a long one. `place` and `key` as in [`Taking::number`].
fn path(
    met: &[Met],
    tables: &[Vec<(Plain, Plain)>],
    place: Option<Place>,
    key: Option<&Plain>,
) -> String {
    const ROOT: &str = "script.state";
    let Some(Place { mut table, entry }) = place else {
        return ROOT.to_owned();
    };
    let mut steps: Vec<String> = key.map(step).into_iter().collect();
    let mut length = steps.iter().map(String::len).sum::<usize>();
    let mut begin = ROOT;
    while let Some(outer) = met[table].place {
        if length >= LONG_PATH {
            begin = "script.state…";
            break;
        }
        let step = match outer.entry {
            Some(entry) => step(&tables[outer.table][entry].0),
            None => "[a key]".to_owned(),
        };
        length += step.len();
        steps.push(step);
        table = outer.table;
    }
    let role = if entry.is_none() { "a key of " } else { "" };
    steps.extend([begin.to_owned(), role.to_owned()]);
    steps.reverse();
    steps.concat()
}

/// One step of a path: `.name`, `["odd name"]`, `[1]`.
fn step(key: &Plain) -> String {
    match key {
        Plain::Text(name) => {
            let name = String::from_utf8_lossy(name);
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty();
            let shown = match name.char_indices().nth(LONGEST_KEY) {
                Some((end, _)) => format!("{}…", &name[..end]),
                None => name.into_owned(),
            };
            if plain {
                format!(".{shown}")
            } else {
                format!("[{shown:?}]")
            }
        }
        Plain::Number(number) => format!("[{number}]"),
        Plain::Boolean(on) => format!("[{on}]"),
        Plain::Vector(_) => "[vector]".to_owned(),
        Plain::Buffer(_) => "[buffer]".to_owned(),
        Plain::Table(_) => "[table]".to_owned(),
    }
}

/// Brings what changed from `first` to `last` into a new version's tables. `first` was the snapshot before
/// `last`, and `copies` are the tables that were made of it.
pub(super) fn hand_over(
    lua: &Lua,
    root: &Table,
    first: &Snapshot,
    last: &Snapshot,
    copies: &Copies,
) -> mlua::Result<()> {
    if first.tables == last.tables || last.tables.is_empty() {
        return Ok(());
    }
    if first.tables.is_empty() {
        return add_missing(lua, root, last);
    }
    let mut fresh = Copies::default();
    fresh.made.insert(0, root.clone());
    let mut pairs = vec![(0, 0, root.clone())];
    for (new, old) in last.before.iter().enumerate().skip(1) {
        if let Some(old) = *old
            && let Some(table) = copies.made.get(&old)
        {
            fresh.made.insert(new, table.clone());
            pairs.push((old, new, table.clone()));
        }
    }
    let mut open = Vec::new();
    for (old, new, live) in pairs {
        let (before, after) = (first.by_key(old), last.by_key(new));
        let vanished = before.iter().filter(|(key, _)| !after.contains_key(key));
        let keys = after.values().chain(vanished.map(|(_, entry)| entry));
        for &(key, _) in keys {
            let of = |entries: &HashMap<Key<'_>, (&'_ Plain, &'_ Plain)>| -> Option<Plain> {
                let (_, value) = entries.get(&Key::of(key)?)?;
                Some((*value).clone())
            };
            let (before, after) = (of(&before), of(&after));
            let luau_key = last.value(lua, key, &mut open, &mut fresh)?;
            let current: Value = live.raw_get(&luau_key)?;
            let untouched = match (&before, &current) {
                (None, Value::Nil) => true,
                (Some(Plain::Table(index)), Value::Table(table)) => {
                    copies.made.get(index) == Some(table)
                }
                (Some(before), current) => is(before, current),
                (None, _) => false,
            };
            if untouched {
                let value = match &after {
                    Some(after) => last.value(lua, after, &mut open, &mut fresh)?,
                    None => Value::Nil,
                };
                live.raw_set(luau_key, value)?;
            }
        }
    }
    last.fill(lua, open, &mut fresh)
}

/// The new version had no first snapshot: what its top level did not set comes from the last.
fn add_missing(lua: &Lua, root: &Table, last: &Snapshot) -> mlua::Result<()> {
    let whole = lua.create_table()?;
    last.put(lua, &whole)?;
    for pair in whole.pairs::<Value, Value>() {
        let (key, value) = pair?;
        if root.raw_get::<Value>(&key)?.is_nil() {
            root.raw_set(key, value)?;
        }
    }
    Ok(())
}

/// Whether a Luau value is this plain one, tables aside.
fn is(plain: &Plain, value: &Value) -> bool {
    match (plain, value) {
        (Plain::Boolean(a), Value::Boolean(b)) => a == b,
        (Plain::Number(a), Value::Number(b)) => a == b,
        (Plain::Number(a), Value::Integer(b)) => *a == *b as f64,
        (Plain::Text(a), Value::String(b)) => **a == *b.as_bytes(),
        (Plain::Vector(a), Value::Vector(b)) => *a == [b.x(), b.y(), b.z()],
        (Plain::Buffer(a), Value::Buffer(b)) => **a == *b.to_vec(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
        hand_over(
            &new,
            &root,
            &first,
            &take(&old, &state, &mut known),
            &copies,
        )
        .unwrap();
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
        hand_over(
            &new,
            &root,
            &first,
            &take(&old, &state, &mut known),
            &copies,
        )
        .unwrap();
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
        hand_over(
            &new,
            &root,
            &first,
            &take(&old, &state, &mut known),
            &copies,
        )
        .unwrap();
        assert_eq!(root.raw_get::<i64>("count").unwrap(), 7);
        assert_eq!(root.raw_get::<String>("mode").unwrap(), "new");
    }
}
