//! Coroutines of one script: who waits for what, who runs next.
//!
//! Guarantees: a call that waits suspends only the coroutine that makes it, whatever that coroutine is
//! (a handler, `task.spawn`, `coroutine.wrap`), and gives control back to whoever resumed it; a
//! coroutine is resumed exactly once for each wait; timers fire in order of their time, equal ones in
//! order of their setting; an error ends its own coroutine and nothing else.
//!
//! There is no executor: the loop of [`super::thread`] says what runs next.
//! * [`coroutines`] begins a coroutine, resumes it and looks after what becomes of it;
//! * [`answers`] hands out tickets to coroutines that wait, and redeems them;
//! * [`timers`] starts what is to run later;
//! * [`behalf`] knows on whose behalf whatever runs is running: the event for the log, and the meter of
//!   its CPU time.

mod answers;
mod behalf;
mod coroutines;
mod timers;

use std::collections::{BTreeMap, HashMap, VecDeque};

use mlua::Thread;

pub(super) use answers::{Finish, Outcome, Wait};
pub(super) use behalf::Behalf;
pub(super) use coroutines::{CUT_OFF, Purpose};

use super::clock::Clock;
use super::guest::Guest;
use answers::Waiting;
use coroutines::Root;
use timers::{Every, Start, Timer, TimerKey};

/// Everything that a script's coroutines wait for.
///
/// Coroutines are known by their [`key`], which is theirs only as long as somebody holds them. So each of
/// `roots` runs now, or is in `tickets`, `timers`, `deferred` or `preempted`.
#[derive(Default)]
pub(super) struct Scheduler {
    clock: Clock,
    /// Numbers tickets and timers, in the order in which they were made.
    serial: u64,

    /// Coroutines that wait.
    tickets: HashMap<u64, Waiting>,
    /// The ticket of each of them: a coroutine waits for one thing only.
    asleep: HashMap<usize, u64>,
    /// How many of `tickets` are for calls.
    calls: usize,
    /// How many of `tickets` are handlers that wait for an event or a track.
    idle: usize,

    /// What is due when. A timer that redeems a ticket is known to it, and ends with it.
    timers: BTreeMap<TimerKey, Timer>,
    /// What starts at the end of the turn.
    deferred: VecDeque<Start>,
    /// Where the starts of a coroutine are: among the timers, and (`None`) in `deferred`.
    scheduled: HashMap<usize, Vec<Option<TimerKey>>>,
    /// Repeating timers; the next run of each is among the timers until the turn is over.
    every: HashMap<u64, Every>,

    /// Coroutines that the host began and that are not over.
    roots: HashMap<usize, Root>,
    /// How many of `roots` are handlers of events.
    handlers: usize,
    /// Coroutines whose slice was over; each gets another behind the others.
    preempted: VecDeque<(Thread, Behalf)>,
    /// Finished coroutines, for the next roots.
    pool: Vec<Thread>,
    /// On whose behalf the running coroutine runs.
    current: Option<Behalf>,
    /// Time wakes only what runs on behalf of an event: the script's turn is over, or it rehearses.
    retired: bool,
}

/// A coroutine's identity while somebody holds it.
fn key(thread: &Thread) -> usize {
    thread.state() as usize
}

impl Scheduler {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            ..Self::default()
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Handlers that have begun and not finished. Those that wait for an event (or a track) do not count:
    /// they must not keep it from coming, nor the script from ending.
    pub(super) fn handlers(&self) -> usize {
        self.handlers.saturating_sub(self.idle)
    }

    /// Coroutines that wait or are scheduled.
    pub(super) fn held(&self) -> usize {
        self.tickets.len() + self.scheduled.len() + self.preempted.len()
    }

    /// Repeating timers.
    pub(super) fn repeating(&self) -> usize {
        self.every.len()
    }

    /// Calls that wait for their answer.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Whether something can run at once.
    pub(super) fn is_ready(&self) -> bool {
        !self.deferred.is_empty() || !self.preempted.is_empty()
    }

    /// Whether something that runs at the script's end computes and has been preempted.
    pub(super) fn is_unloading(&self) -> bool {
        let mut events = self
            .preempted
            .iter()
            .filter_map(|(_, of)| of.event.as_ref());
        events.any(|event| event.is_unload())
    }

    /// Whether the host will resume a coroutine that is suspended now.
    fn is_held(&self, thread: &Thread) -> bool {
        self.asleep.contains_key(&key(thread)) || self.scheduled.contains_key(&key(thread))
    }

    /// Whether the running coroutine is woken by time: one that runs on behalf of an event always is.
    fn may_wait(&self) -> bool {
        !self.retired || Behalf::is_of_event(self.current.as_ref())
    }

    /// From now on time wakes only what runs on behalf of an event, or has begun and has arranged to go on.
    pub(super) fn only_for_events(&mut self) {
        self.retired = true;
        let (roots, tickets) = (&self.roots, &self.tickets);
        self.timers.retain(|_, timer| match timer {
            Timer::Ticket(ticket) => (tickets.get(ticket))
                .is_some_and(|waiting| Behalf::is_of_event(waiting.behalf.as_ref())),
            Timer::Start(start) => {
                Behalf::is_of_event(start.behalf.as_ref())
                    || roots.contains_key(&key(&start.thread))
            }
            Timer::Every(_) => false,
        });
        let timers = &self.timers;
        self.scheduled.retain(|_, places| {
            places.retain(|place| place.is_none_or(|timer| timers.contains_key(&timer)));
            !places.is_empty()
        });
    }

    /// Handlers that have begun and not finished, those that wait for an event included.
    pub(super) fn unfinished(&self) -> usize {
        self.handlers
    }

    /// Ends what only time or an event would begin: for a script whose turn is over. Answers the tickets
    /// to give back: coroutines that wait for an event, and what runs on behalf of none, calls aside. If what
    /// is unfinished comes again, so do events whose handlers wait for another: these wait on.
    pub(super) fn retire(&mut self, comes_again: bool) -> Vec<u64> {
        self.only_for_events();
        self.every.clear();
        let over = |waiting: &Waiting| match &waiting.wait {
            Wait::Event { .. } => {
                let event = waiting.behalf.as_ref().and_then(|of| of.event.as_ref());
                !(comes_again && event.is_some_and(|event| event.is_kept()))
            }
            wait => !wait.is_call() && !Behalf::is_of_event(waiting.behalf.as_ref()),
        };
        let mut tickets: Vec<u64> = self
            .tickets
            .iter()
            .filter(|(_, waiting)| over(waiting))
            .map(|(ticket, _)| *ticket)
            .collect();
        tickets.sort_unstable();
        tickets
    }
}

impl Guest {
    /// Drops every Luau value, so that the VM can be closed.
    pub(super) fn clear_scheduler(&self) {
        let scheduler = std::mem::take(&mut *self.scheduler.borrow_mut());
        drop(scheduler);
    }
}
