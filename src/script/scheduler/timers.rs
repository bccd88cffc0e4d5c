//! What is to run later: at the end of the turn, after a while, again and again.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use mlua::{Function, Lua, MultiValue, Thread, Value};

use super::answers::Wait;
use super::{Behalf, Purpose, Scheduler, key};
use crate::script::api::timers::CRON;
use crate::script::guest::Guest;
use crate::script::recall::Waited;
use crate::script::rhythm::{Beat, Rhythm};

/// When, and a serial number for order and uniqueness.
pub(super) type TimerKey = (Instant, u64);

pub(super) enum Timer {
    /// Redeem a ticket: the sleep or the patience is over.
    Ticket(u64),
    /// Start or resume a coroutine of the script's own.
    Start(Start),
    /// A run of a repeating timer.
    Every(u64),
}

pub(super) struct Start {
    pub(super) thread: Thread,
    arguments: MultiValue,
    pub(super) behalf: Option<Behalf>,
}

pub(super) struct Every {
    name: Rc<str>,
    rhythm: Rhythm,
    function: Function,
    pub(super) busy: bool,
    timer: TimerKey,
}

impl Scheduler {
    /// When the next timer is due.
    pub(in crate::script) fn next_timer(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|(key, _)| key.0)
    }

    pub(super) fn set_timer(&mut self, at: Instant, timer: Timer) -> TimerKey {
        let key = (at, self.next_serial());
        self.timers.insert(key, timer);
        key
    }

    /// Starts `thread` at the end of this turn.
    pub(in crate::script) fn defer(&mut self, thread: Thread, arguments: MultiValue) {
        self.scheduled.entry(key(&thread)).or_default().push(None);
        let behalf = self.beginning(&thread);
        self.deferred.push_back(Start {
            thread,
            arguments,
            behalf,
        });
    }

    /// Starts `thread` after a while.
    pub(in crate::script) fn delay(
        &mut self,
        after: Duration,
        thread: Thread,
        arguments: MultiValue,
    ) {
        let behalf = self.beginning(&thread);
        let at = self.clock.now().checked_add(after);
        if let Some(at) = at.filter(|_| self.may_wait()) {
            let coroutine = key(&thread);
            let start = Start {
                thread,
                arguments,
                behalf,
            };
            let timer = self.set_timer(at, Timer::Start(start));
            let scheduled = self.scheduled.entry(coroutine).or_default();
            scheduled.push(Some(timer));
        }
    }

    /// A coroutine is about to start from there.
    fn unschedule(&mut self, thread: &Thread, place: Option<TimerKey>) {
        if let Some(places) = self.scheduled.get_mut(&key(thread)) {
            if let Some(at) = places.iter().position(|known| *known == place) {
                places.swap_remove(at);
            }
            if places.is_empty() {
                self.scheduled.remove(&key(thread));
            }
        }
    }

    /// Takes back every start of a coroutine.
    pub(super) fn take_back(&mut self, coroutine: usize) {
        self.preempted
            .retain(|(thread, _)| key(thread) != coroutine);
        for place in self.scheduled.remove(&coroutine).unwrap_or_default() {
            match place {
                Some(timer) => {
                    self.timers.remove(&timer);
                }
                None => self
                    .deferred
                    .retain(|start| key(&start.thread) != coroutine),
            }
        }
    }

    /// Calls `function` again and again; the answer is for [`Self::stop_every`].
    pub(in crate::script) fn every(
        &mut self,
        name: String,
        rhythm: Rhythm,
        function: Function,
    ) -> u64 {
        let id = self.next_serial();
        if self.retired {
            return id;
        }
        let at = rhythm.first(self.clock.now(), self.clock.calendar());
        let timer = self.set_timer(at, Timer::Every(id));
        self.every.insert(
            id,
            Every {
                name: name.into(),
                rhythm,
                function,
                busy: false,
                timer,
            },
        );
        id
    }

    /// The name of a new repeating timer: what it is, and the first number that none of these has, nor a run
    /// by the calendar that goes on.
    pub(in crate::script) fn name_timer(&self, what: &str) -> String {
        let runs = self.roots.values().filter_map(|root| match &root.purpose {
            Purpose::Handler(run, name) if run.kind == CRON => name.strip_prefix("cron:"),
            _ => None,
        });
        let timers = self.every.values().map(|every| &*every.name);
        let number = |name: &str| name.strip_prefix(what)?.strip_prefix('#')?.parse().ok();
        let taken: HashSet<usize> = timers.chain(runs).filter_map(number).collect();
        // As many numbers as are taken, and one more, cannot all be taken.
        let free = (0..=taken.len()).find(|number| !taken.contains(number));
        format!("{what}#{}", free.unwrap_or_default())
    }

    pub(super) fn every_of(&mut self, name: &str) -> Option<&mut Every> {
        self.every.values_mut().find(|every| *every.name == *name)
    }

    /// Whether there is a repeating timer of that name.
    pub(in crate::script) fn has_every(&self, name: &str) -> bool {
        self.every.values().any(|every| *every.name == *name)
    }

    /// The function of a timer whose run begins; none if it is gone, or a run of it goes on.
    pub(in crate::script) fn begin_run(&mut self, name: &str) -> Option<Function> {
        let every = self.every_of(name).filter(|every| !every.busy)?;
        every.busy = true;
        Some(every.function.clone())
    }

    /// Ends a repeating timer; a run that has begun goes on. Answers whether there was one.
    pub(in crate::script) fn stop_every(&mut self, id: u64) -> bool {
        let Some(every) = self.every.remove(&id) else {
            return false;
        };
        self.timers.remove(&every.timer);
        true
    }
}

impl Guest {
    /// Runs what was put off to the end of the turn; what is put off meanwhile waits for the next.
    pub(in crate::script) fn run_deferred(&self) {
        /// So that a flood of them leaves the rest of the script its turn.
        const MOST: Duration = Duration::from_millis(2);
        let begun = Instant::now();
        // One by one: what starts may cancel what comes after it.
        let due = self.scheduler.borrow().deferred.len();
        for index in 0..due {
            if index % 16 == 15 && begun.elapsed() > MOST {
                return;
            }
            let start = self.scheduler.borrow_mut().deferred.pop_front();
            let Some(start) = start else { return };
            let behalf = start.behalf.clone();
            self.start_later(start, None, behalf);
        }
    }

    fn start_later(&self, start: Start, place: Option<TimerKey>, behalf: Option<Behalf>) {
        self.scheduler.borrow_mut().unschedule(&start.thread, place);
        self.resume(&start.thread, start.arguments, behalf);
    }

    /// Runs the timers that are due at `now`. Answers whether there were any.
    pub(in crate::script) fn run_timers(&self, lua: &Lua, now: Instant) -> bool {
        let mut any = false;
        loop {
            let (at, timer) = {
                let mut scheduler = self.scheduler.borrow_mut();
                match scheduler.timers.first_entry() {
                    Some(entry) if entry.key().0 <= now => entry.remove_entry(),
                    _ => return any,
                }
            };
            any = true;
            match timer {
                Timer::Ticket(ticket) => self.patience_over(ticket, now),
                Timer::Start(start) => {
                    let behalf = start.behalf.as_ref().map(|of| of.after_wait(&self.budget));
                    self.start_later(start, Some(at), behalf);
                }
                Timer::Every(id) => self.run_every(lua, id, now),
            }
        }
    }

    fn patience_over(&self, ticket: u64, now: Instant) {
        self.waited(ticket, &Waited::Nothing);
        let waiting = self.scheduler.borrow_mut().take(ticket);
        let Some(waiting) = waiting else { return };
        let value = match waiting.wait {
            Wait::Sleep(since) => Value::Number(now.duration_since(since).as_secs_f64()),
            _ => Value::Nil,
        };
        self.wake(waiting, Ok(value));
    }

    fn run_every(&self, lua: &Lua, id: u64, now: Instant) {
        let calendar = self.clock.calendar();
        let mut scheduler = self.scheduler.borrow_mut();
        let Some(every) = scheduler.every.get_mut(&id) else {
            return;
        };
        let planned = every.timer.0;
        // The version before it has its turn still, and the same timer perhaps.
        let waits = !self.has_turn();
        let beat = match every.rhythm {
            // What is due by the calendar is not left out.
            Rhythm::Cron(_) if waits => Beat {
                next: now + Duration::from_secs(1),
                runs: false,
                due: None,
            },
            _ => every.rhythm.beat(planned, now, calendar),
        };
        let (name, function) = (Rc::clone(&every.name), every.function.clone());
        let begins = beat.runs && !waits && !every.busy;
        every.busy |= begins && beat.due.is_none();
        let timer = scheduler.set_timer(beat.next, Timer::Every(id));
        if let Some(every) = scheduler.every.get_mut(&id) {
            every.timer = timer;
        }
        drop(scheduler);
        match beat.due {
            _ if !begins => {}
            Some(due) => self.give_run(&name, due),
            None => {
                let late = SignedDuration::try_from(now - planned).unwrap_or_default();
                let due = calendar.checked_sub(late).unwrap_or(calendar);
                let position = format!("{name}@{}", due.as_millisecond());
                self.begin(lua, &function, (), Purpose::Every(id, position));
            }
        }
    }
}
