//! What changed in one version's `script.state` while the next one loaded, on its way into the tables that
//! the next one has.

use std::collections::HashMap;

use mlua::{Lua, Table, Value};

use super::{Copies, Plain, Snapshot};

impl Snapshot {
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

/// Brings what changed from `first` to `last` into a new version's tables. `first` was the snapshot before
/// `last`, and `copies` are the tables that were made of it.
pub(in crate::script) fn hand_over(
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
