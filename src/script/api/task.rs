//! `task`: coroutines and the time between them, with the meaning that Luau's largest user gave it.
//!
//! `spawn` runs at once until the first wait, `defer` at the end of this turn, `delay` after a while,
//! `wait` suspends the calling coroutine, `cancel` ends another one. What fails in a task is logged and
//! harms nobody else. A task outlives the handler that began it; it is ended, not waited for, when the
//! host stops, except for calls that are under way.

use std::time::Duration;

use mlua::thread::ThreadStatus;
use mlua::{Lua, MultiValue, Thread, Value};

use super::{Kit, seconds};
use crate::script::errors::Fault;
use crate::script::scheduler::Wait;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let task = kit.lua.create_table()?;
    let spawn = kit.function(|guest, lua, (what, arguments): (Value, MultiValue)| {
        let thread = coroutine(lua, what, "task.spawn", false)?;
        let run = guest.scheduler.borrow().beginning(&thread);
        guest.resume(&thread, arguments, run);
        Ok(thread)
    })?;
    task.raw_set("spawn", spawn)?;
    let defer = kit.function(|guest, lua, (what, arguments): (Value, MultiValue)| {
        guest.may_wait()?;
        let thread = coroutine(lua, what, "task.defer", true)?;
        guest
            .scheduler
            .borrow_mut()
            .defer(thread.clone(), arguments);
        Ok(thread)
    })?;
    task.raw_set("defer", defer)?;
    let delay = kit.function(
        |guest, lua, (after, what, arguments): (Value, Value, MultiValue)| {
            guest.may_wait()?;
            let after = time(&after, "task.delay: the delay")?;
            let thread = coroutine(lua, what, "task.delay", true)?;
            guest
                .scheduler
                .borrow_mut()
                .delay(after, thread.clone(), arguments);
            Ok(thread)
        },
    )?;
    task.raw_set("delay", delay)?;
    let wait = kit.waiting(|guest, lua, after: Value| {
        guest.may_wait()?;
        let after = time(&after, "task.wait: the time")?;
        let wait = Wait::Sleep(guest.clock.now());
        Ok(guest.scheduler.borrow_mut().ticket(lua, wait, Some(after)))
    })?;
    task.raw_set("wait", wait)?;
    task.raw_set("cancel", kit.guest.tools.cancel.clone())?;
    task.set_readonly(true);
    kit.globals.raw_set("task", task)?;

    let cancel = kit.for_prelude(|guest, _, what: Value| {
        let Value::Thread(thread) = what else {
            return Err(super::wrong("task.cancel: the task", "a coroutine", &what));
        };
        match thread.status() {
            ThreadStatus::Running | ThreadStatus::Normal => Err(Fault::text(
                "task.cancel: a coroutine that runs cannot be cancelled; return from it instead",
            )),
            _ => {
                guest.cancel(&thread);
                Ok(())
            }
        }
    })?;
    kit.host.raw_set("cancel", cancel)?;
    kit.host.raw_set(
        "abandon",
        kit.plain_for_prelude(|guest, _, ticket: u64| {
            guest.abandon(ticket);
            Ok(())
        })?,
    )?;
    kit.host.raw_set(
        "expose",
        kit.plain_for_prelude(|guest, _, thread: Thread| {
            guest.scheduler.borrow_mut().expose(&thread);
            Ok(())
        })?,
    )
}

/// A function's new coroutine, or a coroutine that can be resumed, now or (`later`) when it has yielded.
fn coroutine(lua: &Lua, what: Value, name: &str, later: bool) -> Result<Thread, Fault> {
    match what {
        Value::Function(function) => Ok(lua.create_thread(function)?),
        Value::Thread(thread)
            if match thread.status() {
                ThreadStatus::Resumable => true,
                ThreadStatus::Running | ThreadStatus::Normal => later,
                _ => false,
            } =>
        {
            Ok(thread)
        }
        Value::Thread(thread) => Err(Fault::text(format!(
            "{name}: the coroutine cannot be resumed: it {}",
            match thread.status() {
                ThreadStatus::Running | ThreadStatus::Normal => "runs",
                _ => "is over",
            }
        ))),
        other => Err(super::wrong(
            &format!("{name}: what it starts"),
            "a function or a coroutine",
            &other,
        )),
    }
}

/// Seconds; none means as soon as possible.
fn time(value: &Value, what: &str) -> Result<Duration, Fault> {
    match value {
        Value::Nil => Ok(Duration::ZERO),
        other => seconds(other, what, 0.0),
    }
}
