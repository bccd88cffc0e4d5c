//! `argon.every(seconds, f)`: a function that runs again and again.
//!
//! The first run is one period from now. A run that still goes on when the next is due keeps that one
//! from starting; runs that were missed are not made up for.

use mlua::{MultiValue, Value};

use super::{Kit, function, seconds};

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let every = kit.function(|guest, lua, (period, handler): (Value, Value)| {
        let period = seconds(&period, "argon.every: the period", 0.001)?;
        let function = function(handler, "argon.every: the handler")?;
        let id = guest.scheduler.borrow_mut().every(period, function);
        let scheduler = guest.scheduler.clone();
        let off = guest.tools.function(lua, move |_, _: MultiValue| {
            scheduler.borrow_mut().stop_every(id);
            Ok(())
        })?;
        let handle = lua.create_table_with_capacity(0, 1)?;
        handle.raw_set("off", off)?;
        Ok(handle)
    })?;
    kit.argon.raw_set("every", every)
}
