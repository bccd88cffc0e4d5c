//! `argon.every(seconds, f)` and `argon.cron(pattern, f, { timezone })`: functions that run again and
//! again.
//!
//! A run that still goes on when the next is due keeps that one from starting. The first run of `every` is
//! one period from now. `cron` takes the five fields of Vixie cron, in UTC unless a time zone is given, and
//! gives its function the time that the run was due at, in seconds since 1970. Where a clock is put
//! forward, a fixed time that is left out runs right after the gap; where it is put back, it runs the first
//! time only; patterns with `*` or `/` in minute or hour follow the clock.
//!
//! # Once for each due time
//!
//! A run by the calendar is an event of its script in the inbox ([`CRON`]), kept in the same transaction as
//! the time that was given. So it runs once for each due time whatever ends in between, and a run that did
//! not come to its end runs again with the same answers and the same `randomId`s. A timer's identity is its
//! pattern, its time zone and its place among those that are the same. One that is off is forgotten, and
//! its place free: what is set there later counts from then. What was due while there was no process is
//! missed: left out, or made up for once (`missed`).
//!
//! Runs of `every` begin and end with the process. What they send has a `randomId` that follows from the
//! timer and the due time.

use std::rc::Rc;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mlua::{Function, Lua, MultiValue, Table, Value};
use serde::{Deserialize, Serialize};

use super::{Kit, function, only, seconds, table, text};
use crate::inbox::{Delivery, Event};
use crate::limits::TIMERS;
use crate::script::errors::Fault;
use crate::script::guest::Guest;
use crate::script::rhythm::{Missed, Rhythm};
use crate::script::schedule::Schedule;
use crate::script::scheduler::Purpose;

/// The type of the events that are runs. No event of the platform has a dot in its name.
pub(in crate::script) const CRON: &str = "argon.cron";

/// A timer whose last run lies so far ahead was set by a wrong clock.
const WRONG: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let every = kit.function(|guest, lua, (period, handler): (Value, Value)| {
        let period = seconds(&period, "argon.every: the period", 0.001)?;
        let function = function(handler, "argon.every: the handler")?;
        has_room(guest)?;
        let name = format!("every:{}", period.as_secs_f64());
        let name = guest.scheduler.borrow().name_timer(&name);
        repeat(guest, lua, name, Rhythm::Period(period), function)
    })?;
    kit.argon.raw_set("every", every)?;

    let cron = kit.function(
        |guest, lua, (pattern, handler, options): (Value, Value, Value)| {
            let pattern = text(&pattern, "argon.cron: the pattern")?;
            let function = function(handler, "argon.cron: the handler")?;
            let options = table(options, "argon.cron: the options")?;
            let (mut zone, mut missed) = (TimeZone::UTC, Missed::Skip);
            if let Some(options) = options {
                let known = ["timezone", "missed"];
                only(&options, "argon.cron: the table of options", &known)?;
                zone = time_zone(&options.raw_get("timezone")?)?;
                missed = what_of_missed(&options.raw_get("missed")?)?;
            }
            has_room(guest)?;
            let name = format!("{pattern}@{}", zone.iana_name().unwrap_or("UTC"));
            let mut schedule =
                Schedule::new(&pattern, zone, guest.clock.calendar()).map_err(|problem| {
                    Fault::text(format!(
                        "argon.cron: {pattern:?} is no cron pattern (minute, hour, day of the month, month, \
                         day of the week): {problem}"
                    ))
                })?;
            let name = guest.scheduler.borrow().name_timer(&name);
            missed.settle(&mut schedule, given(guest, &name), guest.started);
            repeat(guest, lua, name, Rhythm::Cron(Box::new(schedule)), function)
        },
    )?;
    kit.argon.raw_set("cron", cron)
}

/// Up to when runs of the timer were given. A new one counts from now.
fn given(guest: &Guest, name: &str) -> Timestamp {
    let now = guest.clock.calendar();
    let given = (guest.timers.given(name))
        .and_then(|at| Timestamp::from_millisecond(i64::try_from(at).ok()?).ok());
    // One that lies far ahead is from a clock that was wrong.
    match given.filter(|given| given.duration_since(now) < WRONG) {
        Some(given) => given,
        None => {
            guest.timers.begin(name, milliseconds(now));
            now
        }
    }
}

fn milliseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

fn what_of_missed(option: &Value) -> Result<Missed, Fault> {
    let name = match option {
        Value::Nil => return Ok(Missed::Skip),
        option => text(option, "argon.cron: missed")?,
    };
    match name.as_str() {
        "skip" => Ok(Missed::Skip),
        "catchUp" => Ok(Missed::CatchUp),
        _ => Err(Fault::text(format!(
            "argon.cron: missed must be \"skip\" or \"catchUp\", got {name:?}"
        ))),
    }
}

fn time_zone(name: &Value) -> Result<TimeZone, Fault> {
    if name.is_nil() {
        return Ok(TimeZone::UTC);
    }
    let name = text(name, "argon.cron: the time zone")?;
    TimeZone::get(&name)
        .map_err(|_| Fault::text(format!("argon.cron: no time zone is called {name:?}")))
}

/// Refuses one more timer, if there are as many as may be.
fn has_room(guest: &Guest) -> Result<(), Fault> {
    if guest.scheduler.borrow().repeating() < TIMERS {
        return Ok(());
    }
    Err(Fault::text(format!(
        "the script has {TIMERS} repeating timers already: end some with their off function first"
    )))
}

/// Starts the timer. The table that comes back ends it with `off()`.
fn repeat(
    guest: &Guest,
    lua: &Lua,
    name: String,
    rhythm: Rhythm,
    function: Function,
) -> Result<Table, Fault> {
    let by_calendar = matches!(rhythm, Rhythm::Cron(_));
    let mut scheduler = guest.scheduler.borrow_mut();
    let id = scheduler.every(name.clone(), rhythm, function);
    drop(scheduler);
    let (scheduler, timers) = (guest.scheduler.clone(), guest.timers.clone());
    let (shared, script, version) = (guest.shared.clone(), guest.name.clone(), guest.version);
    let off = guest.tools.function(lua, move |_, _: MultiValue| {
        let was_there = scheduler.borrow_mut().stop_every(id);
        // What the next version sets while it loads goes on where this one ended, off or not.
        if was_there && by_calendar && shared.is_newest(&script, version) {
            timers.forget(&name);
        }
        Ok(())
    })?;
    let handle = lua.create_table_with_capacity(0, 1)?;
    handle.raw_set("off", off)?;
    Ok(handle)
}

/// The payload of an event that is a run.
#[derive(Serialize, Deserialize)]
struct Run {
    timer: String,
    /// Milliseconds since 1970.
    due: u64,
}

impl Guest {
    /// A run by the calendar is due: it becomes an event of the script.
    pub(in crate::script) fn give_run(&self, timer: &str, due: Timestamp) {
        let run = Run {
            timer: timer.to_owned(),
            due: milliseconds(due),
        };
        let event = Event {
            id: format!("{timer}@{due}"),
            kind: CRON.to_owned(),
            // Texts and numbers always make JSON.
            payload: serde_json::to_string(&run).unwrap_or_default(),
            received: Instant::now(),
        };
        // One that was given before runs, or has run.
        self.timers.give(timer, run.due, event);
    }

    /// Whether the timer is there whose run the event is.
    pub(in crate::script) fn has_timer_of(&self, event: &Event) -> bool {
        let run = serde_json::from_str::<Run>(&event.payload);
        run.is_ok_and(|run| self.scheduler.borrow().has_every(&run.timer))
    }

    /// Runs what is due, or what did not come to its end before.
    pub(in crate::script) fn take_run(&self, lua: &Lua, delivery: Delivery) {
        let found = serde_json::from_str(&delivery.payload)
            .ok()
            .and_then(|run: Run| {
                let function = self.scheduler.borrow_mut().begin_run(&run.timer)?;
                Some((run, function))
            });
        match found {
            Some((run, function)) => {
                let name: Rc<str> = format!("cron:{}", run.timer).into();
                let due = run.due as f64 / 1e3;
                let begin = |run| self.begin(lua, &function, due, Purpose::Handler(run, name));
                self.run_alone(delivery, begin);
            }
            None => {
                tracing::info!(target: "script", script = %self.name, event_id = %delivery.id,
                    "a run by the calendar is left out: its argon.cron is gone, or runs still");
                if let Some(rehearsal) = &self.rehearsal {
                    rehearsal.is_unhandled(&delivery.id);
                }
                delivery.done();
            }
        }
    }
}
