//! On whose behalf a coroutine runs: the event for the log and for positions, and the meter of its CPU
//! time.
//!
//! What a coroutine begins or asks, it does on the same behalf; after a wait its time counts anew only as
//! far as [`Budget::meter_after_wait`] says. What a run has left behind that was ended for its use of the
//! CPU ends with it.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use mlua::{Function, Lua, Table, Thread, Value};

use super::timers::Timer;
use super::{Scheduler, key};
use crate::script::budget::{Budget, Meter};
use crate::script::dispatch::EventRun;
use crate::script::guest::Guest;
use crate::script::position::{Path, Site};

/// On whose behalf a coroutine runs.
#[derive(Clone)]
pub(in crate::script) struct Behalf {
    /// The event, if it began with one.
    pub(in crate::script) event: Option<Rc<EventRun>>,
    /// Which coroutine of the event's handlers it is.
    pub(super) path: Option<Rc<Path>>,
    /// Where its CPU time counts.
    pub(in crate::script) meter: Rc<Meter>,
}

impl Behalf {
    /// The place of what is asked next; none where nothing of it is kept.
    pub(in crate::script) fn site(&self) -> Option<Site> {
        let (event, path) = (self.event.as_ref()?, self.path.as_ref()?);
        event.is_kept().then(|| Site::next(event, path))
    }

    /// The same position for a run of a timer, of which nothing is kept.
    pub(in crate::script) fn passing_position(&self) -> Option<String> {
        let path = self.path.as_ref().filter(|_| self.event.is_none())?;
        Some(path.next())
    }

    /// The same for a coroutine that it begins.
    fn begin(&self, thread: &Thread) -> Self {
        Self {
            path: self.path.as_ref().map(|path| path.child(key(thread))),
            ..self.clone()
        }
    }

    /// Whether somebody runs on behalf of an event.
    pub(super) fn is_of_event(behalf: Option<&Self>) -> bool {
        behalf.is_some_and(|behalf| behalf.event.is_some())
    }

    /// The same after a wait.
    pub(super) fn after_wait(&self, budget: &Budget) -> Self {
        Self {
            event: self.event.clone(),
            path: self.path.clone(),
            meter: budget.meter_after_wait(&self.meter),
        }
    }
}

impl Scheduler {
    /// On whose behalf a coroutine runs that the running one begins.
    pub(in crate::script) fn beginning(&self, thread: &Thread) -> Option<Behalf> {
        self.current.as_ref().map(|behalf| behalf.begin(thread))
    }

    /// On whose behalf the running coroutine asks something. To be called once for what is asked: a
    /// coroutine that the script resumed by itself becomes a child here.
    pub(in crate::script) fn here(&self, lua: &Lua) -> Option<Behalf> {
        let behalf = self.current.as_ref()?;
        let thread = lua.current_thread();
        Some(match &behalf.path {
            Some(path) if path.thread() != key(&thread) => behalf.begin(&thread),
            _ => behalf.clone(),
        })
    }

    /// The coroutines that wait or will start on a run's behalf.
    fn threads_of(&self, meter: &Rc<Meter>) -> Vec<Thread> {
        let waiting = self
            .tickets
            .values()
            .map(|it| (&it.thread, it.behalf.as_ref()));
        let starts = self.timers.values().filter_map(|timer| match timer {
            Timer::Start(start) => Some(start),
            Timer::Ticket(_) | Timer::Every(_) => None,
        });
        let starting = starts
            .chain(&self.deferred)
            .map(|it| (&it.thread, it.behalf.as_ref()));
        let preempted = self.preempted.iter().map(|(thread, of)| (thread, Some(of)));
        waiting
            .chain(starting)
            .chain(preempted)
            .filter(|(_, behalf)| behalf.is_some_and(|of| Rc::ptr_eq(&of.meter, meter)))
            .map(|(thread, _)| thread.clone())
            .collect()
    }

    /// On whose behalf a coroutine waits.
    fn behalf_of(&self, ticket: u64) -> Option<Behalf> {
        self.tickets.get(&ticket)?.behalf.clone()
    }
}

impl Guest {
    /// Runs Luau on somebody's behalf. `coroutine` is what the host resumes; null if it calls a function.
    pub(super) fn on_behalf_of<R>(
        &self,
        behalf: &Behalf,
        coroutine: *const mlua::lua_State,
        run: impl FnOnce() -> R,
    ) -> R {
        let mut scheduler = self.scheduler.borrow_mut();
        let outer = scheduler.current.replace(behalf.clone());
        drop(scheduler);
        let entered = self.budget.enter(&behalf.meter, coroutine);
        let result = run();
        drop(entered);
        self.scheduler.borrow_mut().current = outer;
        result
    }

    /// Answers whether a run has been ended since this was asked last; then what waits on its behalf
    /// ends, too.
    pub(super) fn is_ended(&self, behalf: &Behalf) -> bool {
        let news = behalf.meter.is_news();
        if news {
            self.status.ended.fetch_add(1, Ordering::Relaxed);
            // A top level that is ended fails to load: what comes of that is said then.
            if !behalf.meter.is_of_load() {
                self.strike("a handler used more CPU time than it may");
            }
            let left = self.scheduler.borrow().threads_of(&behalf.meter);
            for thread in left {
                self.end(&thread);
                self.forget(&thread);
            }
        }
        news
    }

    /// Asks a predicate of a coroutine that waits, on that coroutine's behalf.
    pub(in crate::script) fn ask(
        &self,
        ticket: u64,
        predicate: &Function,
        event: &Table,
    ) -> mlua::Result<(bool, Value)> {
        let call = || self.tools.protected.call((predicate, event));
        let behalf = self.scheduler.borrow().behalf_of(ticket);
        match behalf {
            Some(behalf) => {
                let behalf = behalf.after_wait(&self.budget);
                let verdict = self.on_behalf_of(&behalf, std::ptr::null(), call);
                // Whether the script's coroutine lives on to see the error or not.
                self.is_ended(&behalf);
                verdict
            }
            None => call(),
        }
    }
}
