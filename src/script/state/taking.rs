//! A copy of `script.state`, out of its VM: what is kept, what is left out and where that was.

use std::collections::HashMap;

use mlua::{Lua, Table, Value};

use super::{Plain, Snapshot};

/// The most values in a snapshot.
pub(super) const MOST_VALUES: usize = 1_000_000;
/// The most bytes of text and buffers in a snapshot.
pub(super) const MOST_BYTES: usize = 32 << 20;
/// The most paths that a warning names.
const MOST_NAMED: usize = 8;
/// Of a longer path than this, in bytes, only the end is shown.
pub(super) const LONG_PATH: usize = 200;
/// The longest key in a path, characters.
pub(super) const LONGEST_KEY: usize = 60;

/// The tables of the last snapshot, as long as they are there. They are held weakly: what the script has let
/// go must not stay in memory for it, and until it is gone nothing else has its address.
#[derive(Default)]
pub(in crate::script) struct Known(Option<(Table, usize)>);

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
pub(in crate::script) struct LeftOut {
    pub(super) named: Vec<String>,
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
    pub(in crate::script) fn text(&self) -> Option<String> {
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
    pub(in crate::script) fn take(
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
