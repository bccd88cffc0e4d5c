//! `script.state` on its way from one version of a script to the next: plain data, copied out of one VM
//! and into another.
//!
//! A [`Snapshot`] holds no Luau value, so that it can cross threads and outlive its VM. Tables that are
//! shared, or contain themselves, come out so again. What is no data (functions, coroutines, userdata),
//! metatables, and what is beyond [`taking::MOST_VALUES`] or [`taking::MOST_BYTES`] is left out, and named
//! with its path.
//!
//! # The hand-over
//!
//! The new version's top level runs while the old version still works, on a first snapshot. At the swap
//! comes the final one, and [`hand_over`] brings what changed in between into the new version's tables,
//! in place, because its top level may have kept references to them. What the new version's top level
//! itself has changed stays as it made it. Which table of the final snapshot is which of the first, the tables
//! say and not the keys that lead to them: [`Known`].
//!
//! `taking` copies out of a VM, this file into one, and `handover` brings in what changed since.

mod handover;
mod taking;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use mlua::{Lua, Table, Value};

pub(super) use handover::hand_over;
pub(super) use taking::Known;

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

/// The tables that were made of a snapshot's, by index.
#[derive(Default)]
pub(super) struct Copies {
    made: HashMap<usize, Table>,
}

impl Snapshot {
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
}
