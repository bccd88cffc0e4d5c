//! `argon.every(seconds, f)` and `argon.cron(pattern, f, { timezone })`: functions that run again and
//! again.
//!
//! A run that still goes on when the next is due keeps that one from starting; runs that were missed are
//! not made up for. The first run of `every` is one period from now. `cron` takes the five fields of
//! Vixie cron, in UTC unless a time zone is given, and gives its function the time that the run was due
//! at, in seconds since 1970. Where a clock is put forward, a fixed time that is left out runs right after
//! the gap; where it is put back, it runs the first time only; patterns with `*` or `/` in minute or hour
//! follow the clock.

use jiff::tz::TimeZone;
use mlua::{Function, Lua, MultiValue, Table, Value};

use super::{Kit, function, only, seconds, table, text};
use crate::limits::TIMERS;
use crate::script::errors::Fault;
use crate::script::guest::Guest;
use crate::script::rhythm::Rhythm;
use crate::script::schedule::Schedule;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let every = kit.function(|guest, lua, (period, handler): (Value, Value)| {
        let period = seconds(&period, "argon.every: the period", 0.001)?;
        let function = function(handler, "argon.every: the handler")?;
        repeat(guest, lua, Rhythm::Period(period), function)
    })?;
    kit.argon.raw_set("every", every)?;

    let cron = kit.function(
        |guest, lua, (pattern, handler, options): (Value, Value, Value)| {
            let pattern = text(&pattern, "argon.cron: the pattern")?;
            let function = function(handler, "argon.cron: the handler")?;
            let zone = match table(options, "argon.cron: the options")? {
                None => TimeZone::UTC,
                Some(options) => {
                    only(&options, "argon.cron: the table of options", &["timezone"])?;
                    zone(&options.raw_get("timezone")?)?
                }
            };
            let schedule = Schedule::new(&pattern, zone, guest.clock.calendar()).map_err(|problem| {
                Fault::text(format!(
                    "argon.cron: {pattern:?} is no cron pattern (minute, hour, day of the month, month, \
                     day of the week): {problem}"
                ))
            })?;
            repeat(guest, lua, Rhythm::Cron(Box::new(schedule)), function)
        },
    )?;
    kit.argon.raw_set("cron", cron)
}

fn zone(name: &Value) -> Result<TimeZone, Fault> {
    if name.is_nil() {
        return Ok(TimeZone::UTC);
    }
    let name = text(name, "argon.cron: the time zone")?;
    TimeZone::get(&name)
        .map_err(|_| Fault::text(format!("argon.cron: no time zone is called {name:?}")))
}

/// Starts the timer. The table that comes back ends it with `off()`.
fn repeat(guest: &Guest, lua: &Lua, rhythm: Rhythm, function: Function) -> Result<Table, Fault> {
    if guest.scheduler.borrow().repeating() >= TIMERS {
        return Err(Fault::text(format!(
            "the script has {TIMERS} repeating timers already: end some with their off function first"
        )));
    }
    let id = guest.scheduler.borrow_mut().every(rhythm, function);
    let scheduler = guest.scheduler.clone();
    let off = guest.tools.function(lua, move |_, _: MultiValue| {
        scheduler.borrow_mut().stop_every(id);
        Ok(())
    })?;
    let handle = lua.create_table_with_capacity(0, 1)?;
    handle.raw_set("off", off)?;
    Ok(handle)
}
