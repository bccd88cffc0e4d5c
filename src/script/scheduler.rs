//! Coroutines of one script: who waits for what, who runs next.
//!
//! Guarantees: a call that waits suspends only the coroutine that makes it, whatever that coroutine is
//! (a handler, `task.spawn`, `coroutine.wrap`), and gives control back to whoever resumed it; a
//! coroutine is resumed exactly once for each wait; timers fire in order of their time, equal ones in
//! order of their setting; an error ends its own coroutine and nothing else.
//!
//! There is no executor. A binding that waits takes a **ticket** for the running coroutine and the
//! prelude yields it; whoever resumed it goes on. Later [`Guest::redeem`] resumes that very coroutine
//! with the prelude's private token and the result. mlua's async functions would instead yield a poll
//! marker to the innermost resumer, which breaks as soon as that is a `coroutine.wrap` of the script.
//! If the script itself resumes a coroutine that waits, the prelude misses the token, gives the ticket
//! back and raises an error there.
//!
//! A **root** is a coroutine that the host began for a handler, the top level or a timer. It is over
//! when it returns, fails, is cancelled, or yields without anything of the host's that will resume it:
//! then it is the script's to resume.
//! Root coroutines are used again (a reset costs a tenth of a creation) unless the script has taken
//! their handle with `coroutine.running`.
//!
//! Whatever runs, runs on somebody's [`Behalf`]: the event for the log, and the meter of its CPU time.
//! A coroutine whose slice is over waits in a queue of its own and gets the next slice behind what else
//! is ready in this turn (`budget` says when that happens). What a run has left behind that was ended
//! for its use of the CPU ends with it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::SignedDuration;
use mlua::thread::ThreadStatus;
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Thread, Value};

use super::api::log::shorten;
use super::api::timers::CRON;
use super::budget::{self, Allowance, Budget, Meter};
use super::clock::Clock;
use super::dispatch::EventRun;
use super::errors::{Fault, Trouble, failure, local_failure};
use super::guest::Guest;
use super::position::{Path, Site};
use super::recall::{LoadQuestion, Waited};
use super::rhythm::{Beat, Rhythm};
use super::thread::Mail;
use crate::contract::Route;
use crate::rest;

/// Finished coroutines that are kept for the next handler.
const POOL: usize = 64;

/// Why a handler of a version that has ended did not finish.
pub(super) const CUT_OFF: &str =
    "cut off, because the version has ended and the time to finish ([scripts] drain) is over";

/// Makes a Luau value of a call's answer.
pub(super) type Finish = Box<dyn FnOnce(&Lua, &Guest, &Bytes) -> mlua::Result<Value>>;

/// Makes a Luau value, or an error to raise, of what work outside the script's thread came to.
pub(super) type Outcome = Box<dyn FnOnce(&Lua, &Guest) -> Result<Value, Fault> + Send>;

/// What a coroutine waits for.
pub(super) enum Wait {
    /// `task.wait` since this instant; it gets the seconds that passed.
    Sleep(Instant),
    /// An answer of the platform.
    Call {
        /// The route, for errors.
        route: &'static Route,
        /// Makes the value.
        finish: Finish,
        /// Where to keep the answer to a question that changes nothing.
        read: Option<(Site, u64)>,
        /// The question, if the top level asks it.
        of_load: Option<LoadQuestion>,
    },
    /// Other work that the host does for the script.
    Outside,
    /// An event, or the end of the time for it.
    Event {
        /// The handler of that number looks out for it.
        handler: u64,
        /// Where to write down what came.
        asked: Option<(Site, u64)>,
    },
    /// A module that another coroutine loads.
    Module,
    /// An answer of voice.
    Voice,
    /// The end of a track, which may be hours away.
    Track,
    /// Nothing any more.
    Over,
}

impl Wait {
    /// Whether it is one of the [`crate::limits::PENDING_CALLS`].
    fn is_call(&self) -> bool {
        matches!(self, Wait::Call { .. } | Wait::Outside)
    }
}

struct Waiting {
    thread: Thread,
    wait: Wait,
    behalf: Option<Behalf>,
    timer: Option<TimerKey>,
    /// A handler that waits for an event or a track.
    idle: bool,
}

/// On whose behalf a coroutine runs.
#[derive(Clone)]
pub(super) struct Behalf {
    /// The event, if it began with one.
    pub(super) event: Option<Rc<EventRun>>,
    /// Which coroutine of the event's handlers it is.
    path: Option<Rc<Path>>,
    /// Where its CPU time counts.
    pub(super) meter: Rc<Meter>,
}

impl Behalf {
    /// The place of what is asked next; none where nothing of it is kept.
    pub(super) fn site(&self) -> Option<Site> {
        let (event, path) = (self.event.as_ref()?, self.path.as_ref()?);
        event.is_kept().then(|| Site::next(event, path))
    }

    /// The same position for a run of a timer, of which nothing is kept.
    pub(super) fn passing_position(&self) -> Option<String> {
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
    fn is_of_event(behalf: Option<&Self>) -> bool {
        behalf.is_some_and(|behalf| behalf.event.is_some())
    }

    /// The same after a wait.
    fn after_wait(&self, budget: &Budget) -> Self {
        Self {
            event: self.event.clone(),
            path: self.path.clone(),
            meter: budget.meter_after_wait(&self.meter),
        }
    }
}

/// What the host began a coroutine for.
pub(super) enum Purpose {
    /// The script's top level.
    Top,
    /// A handler of an event, by its name for positions.
    Handler(Rc<EventRun>, Rc<str>),
    /// A run of a repeating timer; the timer and the time that it was due at, for positions.
    Every(u64, String),
    /// A handler of something in voice.
    Voice,
}

struct Root {
    purpose: Purpose,
    meter: Rc<Meter>,
    /// The script has its handle: never used again.
    exposed: bool,
}

/// When, and a serial number for order and uniqueness.
type TimerKey = (Instant, u64);

enum Timer {
    /// Redeem a ticket: the sleep or the patience is over.
    Ticket(u64),
    /// Start or resume a coroutine of the script's own.
    Start(Start),
    /// A run of a repeating timer.
    Every(u64),
}

struct Start {
    thread: Thread,
    arguments: MultiValue,
    behalf: Option<Behalf>,
}

struct Every {
    name: Rc<str>,
    rhythm: Rhythm,
    function: Function,
    busy: bool,
    timer: TimerKey,
}

/// Everything that a script's coroutines wait for.
#[derive(Default)]
pub(super) struct Scheduler {
    clock: Clock,
    tickets: HashMap<u64, Waiting>,
    /// The ticket of a coroutine that waits; it can wait for one thing only.
    asleep: HashMap<usize, u64>,
    roots: HashMap<usize, Root>,
    timers: BTreeMap<TimerKey, Timer>,
    every: HashMap<u64, Every>,
    deferred: VecDeque<Start>,
    /// Where a coroutine is among the timers, and (`None`) in `deferred`.
    scheduled: HashMap<usize, Vec<Option<TimerKey>>>,
    /// Coroutines whose slice was over; each gets another behind the others.
    preempted: VecDeque<(Thread, Behalf)>,
    pool: Vec<Thread>,
    serial: u64,
    calls: usize,
    handlers: usize,
    /// Handlers among them that wait for an event or a track.
    idle: usize,
    /// On whose behalf the running coroutine runs.
    current: Option<Behalf>,
    /// The script's turn is over: what does not run on behalf of an event is not woken any more.
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

    /// Handlers that have begun and not finished. Those that wait for an event (or a track) do not count: they must
    /// not keep it from coming, nor the script from ending.
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

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|(key, _)| key.0)
    }

    fn set_timer(&mut self, at: Instant, timer: Timer) -> TimerKey {
        let key = (at, self.next_serial());
        self.timers.insert(key, timer);
        key
    }

    /// A ticket for the running coroutine; `patience` redeems it with nil by itself.
    pub(super) fn ticket(&mut self, lua: &Lua, wait: Wait, patience: Option<Duration>) -> u64 {
        let behalf = self.here(lua);
        self.ticket_on(lua, wait, patience, behalf)
    }

    /// The same on behalf of whom [`Self::here`] said.
    pub(super) fn ticket_on(
        &mut self,
        lua: &Lua,
        wait: Wait,
        patience: Option<Duration>,
        behalf: Option<Behalf>,
    ) -> u64 {
        self.calls += usize::from(wait.is_call());
        let thread = lua.current_thread();
        let ticket = self.next_serial();
        let timer = patience
            .filter(|_| self.may_wait())
            .and_then(|patience| self.clock.now().checked_add(patience))
            .map(|at| self.set_timer(at, Timer::Ticket(ticket)));
        self.asleep.insert(key(&thread), ticket);
        let idle = matches!(wait, Wait::Event { .. } | Wait::Track)
            && matches!(self.roots.get(&key(&thread)),
                Some(root) if matches!(root.purpose, Purpose::Handler(..)));
        self.idle += usize::from(idle);
        self.tickets.insert(
            ticket,
            Waiting {
                thread,
                wait,
                behalf,
                timer,
                idle,
            },
        );
        ticket
    }

    /// Takes a ticket out of everything that knows it.
    fn take(&mut self, ticket: u64) -> Option<Waiting> {
        let waiting = self.tickets.remove(&ticket)?;
        self.asleep.remove(&key(&waiting.thread));
        if let Some(timer) = waiting.timer {
            self.timers.remove(&timer);
        }
        if waiting.wait.is_call() {
            self.calls -= 1;
        }
        self.idle -= usize::from(waiting.idle);
        Some(waiting)
    }

    /// Starts `thread` at the end of this turn.
    pub(super) fn defer(&mut self, thread: Thread, arguments: MultiValue) {
        self.scheduled.entry(key(&thread)).or_default().push(None);
        let behalf = self.beginning(&thread);
        self.deferred.push_back(Start {
            thread,
            arguments,
            behalf,
        });
    }

    /// Starts `thread` after a while.
    pub(super) fn delay(&mut self, after: Duration, thread: Thread, arguments: MultiValue) {
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
    fn take_back(&mut self, coroutine: usize) {
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

    /// Whether the host will resume a coroutine that is suspended now.
    fn is_held(&self, thread: &Thread) -> bool {
        self.asleep.contains_key(&key(thread)) || self.scheduled.contains_key(&key(thread))
    }

    /// Calls `function` again and again; the answer is for [`Self::stop_every`].
    pub(super) fn every(&mut self, name: String, rhythm: Rhythm, function: Function) -> u64 {
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
    pub(super) fn name_timer(&self, what: &str) -> String {
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

    fn every_of(&mut self, name: &str) -> Option<&mut Every> {
        self.every.values_mut().find(|every| *every.name == *name)
    }

    /// The function of a timer whose run begins; none if it is gone, or a run of it goes on.
    pub(super) fn begin_run(&mut self, name: &str) -> Option<Function> {
        let every = self.every_of(name).filter(|every| !every.busy)?;
        every.busy = true;
        Some(every.function.clone())
    }

    /// Ends a repeating timer; a run that has begun goes on. Answers whether there was one.
    pub(super) fn stop_every(&mut self, id: u64) -> bool {
        let Some(every) = self.every.remove(&id) else {
            return false;
        };
        self.timers.remove(&every.timer);
        true
    }

    /// Whether the running coroutine is woken by time: one that runs on behalf of an event always is.
    fn may_wait(&self) -> bool {
        !self.retired || Behalf::is_of_event(self.current.as_ref())
    }

    /// From now on only what runs on behalf of an event is woken by time: for a rehearsal.
    pub(super) fn only_for_events(&mut self) {
        self.retired = true;
        self.timers.clear();
    }

    /// Handlers that have begun and not finished, those that wait for an event included.
    pub(super) fn unfinished(&self) -> usize {
        self.handlers
    }

    /// Ends what only time or an event would begin: for a script whose turn is over. Answers the tickets
    /// to give back: coroutines that wait for an event, and what runs on behalf of none, calls aside.
    pub(super) fn retire(&mut self) -> Vec<u64> {
        self.retired = true;
        self.stop_timers();
        let over = |waiting: &Waiting| match &waiting.wait {
            Wait::Event { .. } => true,
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

    fn stop_timers(&mut self) {
        self.every.clear();
        let roots = &self.roots;
        self.timers.retain(|_, timer| match timer {
            Timer::Ticket(_) => true,
            // A handler that has arranged to be resumed may finish.
            Timer::Start(start) => roots.contains_key(&key(&start.thread)),
            Timer::Every(_) => false,
        });
        let timers = &self.timers;
        self.scheduled.retain(|_, places| {
            places.retain(|place| place.is_none_or(|timer| timers.contains_key(&timer)));
            !places.is_empty()
        });
    }

    /// The script has this coroutine's handle from now on.
    pub(super) fn expose(&mut self, thread: &Thread) {
        if let Some(root) = self.roots.get_mut(&key(thread)) {
            root.exposed = true;
        }
    }

    /// On whose behalf a coroutine runs that the running one begins.
    pub(super) fn beginning(&self, thread: &Thread) -> Option<Behalf> {
        self.current.as_ref().map(|behalf| behalf.begin(thread))
    }

    /// On whose behalf the running coroutine asks something. To be called once for what is asked: a
    /// coroutine that the script resumed by itself becomes a child here.
    pub(super) fn here(&self, lua: &Lua) -> Option<Behalf> {
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

    /// Where to write down what a coroutine's wait for an event came to.
    pub(super) fn take_asked(&mut self, ticket: u64) -> Option<(Site, u64)> {
        match &mut self.tickets.get_mut(&ticket)?.wait {
            Wait::Event { asked, .. } => asked.take(),
            _ => None,
        }
    }

    /// What a coroutine is that waits, and whether it is idle.
    fn waiting(&self, coroutine: usize) -> Option<(Thread, bool)> {
        let waiting = self.tickets.get(self.asleep.get(&coroutine)?)?;
        Some((waiting.thread.clone(), waiting.idle))
    }

    /// On whose behalf a coroutine waits.
    pub(super) fn behalf_of(&self, ticket: u64) -> Option<Behalf> {
        self.tickets.get(&ticket)?.behalf.clone()
    }
}

impl Guest {
    /// A coroutine of the host's for `function`.
    pub(super) fn begin(
        &self,
        lua: &Lua,
        function: &Function,
        arguments: impl IntoLuaMulti,
        purpose: Purpose,
    ) {
        let (event, path, allowance) = match &purpose {
            Purpose::Handler(run, name) => (
                Some(Rc::clone(run)),
                Some(Path::root(name)),
                Allowance::Event,
            ),
            Purpose::Top => (None, None, Allowance::Load),
            Purpose::Every(_, name) => (None, Some(Path::root(name)), Allowance::Event),
            Purpose::Voice => (None, None, Allowance::Event),
        };
        let behalf = Behalf {
            event,
            path,
            meter: self.budget.meter(allowance),
        };
        let reused = {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.handlers += usize::from(behalf.event.is_some());
            scheduler.pool.pop()
        };
        let thread = match reused {
            Some(thread) => thread.reset(function.clone()).map(|()| thread),
            None => lua.create_thread(function.clone()),
        };
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                self.report(&error, behalf.event.as_deref());
                self.over(purpose);
                return;
            }
        };
        if let Some(path) = &behalf.path {
            path.is_of(key(&thread));
        }
        self.scheduler.borrow_mut().roots.insert(
            key(&thread),
            Root {
                purpose,
                meter: Rc::clone(&behalf.meter),
                exposed: false,
            },
        );
        self.resume(&thread, arguments, Some(behalf));
    }

    /// Resumes a coroutine and looks after what becomes of it.
    pub(super) fn resume(
        &self,
        thread: &Thread,
        arguments: impl IntoLuaMulti,
        behalf: Option<Behalf>,
    ) {
        let behalf = behalf.unwrap_or_else(|| Behalf {
            event: None,
            path: None,
            meter: self.budget.meter(Allowance::Event),
        });
        let (result, preempted) = self.on_behalf_of(&behalf, thread.state(), || {
            let result = thread.resume::<()>(arguments);
            (result, self.budget.take_preempted())
        });
        let ended = behalf.meter.is_exhausted();
        let waits = result.is_ok() && thread.status() == ThreadStatus::Resumable;
        // A run that is ended raises in each of its coroutines: the first error says it all.
        let news = ended && self.is_ended(&behalf);
        if waits && ended {
            // It has yielded in spite of everything.
            self.end(thread);
        } else if waits && preempted {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.preempted.push_back((thread.clone(), behalf));
            return;
        }
        let root = {
            let mut scheduler = self.scheduler.borrow_mut();
            if waits && scheduler.is_held(thread) {
                return;
            }
            let root = scheduler.roots.remove(&key(thread));
            if let Some(root) = &root
                && !waits
                && !root.exposed
                && scheduler.pool.len() < POOL
            {
                scheduler.pool.push(thread.clone());
            }
            root
        };
        match &result {
            Err(error) if matches!(&root, Some(root) if matches!(root.purpose, Purpose::Top)) => {
                self.failed(self.read_error(error));
            }
            Err(error) if news => self.ended(&self.read_error(error), behalf.event.as_deref()),
            Err(error) if !ended => self.report(error, behalf.event.as_deref()),
            Ok(()) if news => {
                let message = "a run was ended for its use of CPU time (limits.cpu_per_event)";
                self.ended(&Trouble::plain(message), behalf.event.as_deref());
            }
            _ => {}
        }
        if let Some(root) = root {
            root.meter.finish();
            self.over(root.purpose);
        }
    }

    /// Runs Luau on somebody's behalf. `coroutine` is what the host resumes; null if it calls a function.
    fn on_behalf_of<R>(
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
    fn is_ended(&self, behalf: &Behalf) -> bool {
        let news = behalf.meter.is_news();
        if news {
            self.status.ended.fetch_add(1, Ordering::Relaxed);
            self.strike("a handler used more CPU time than it may");
            let left = self.scheduler.borrow().threads_of(&behalf.meter);
            for thread in left {
                self.end(&thread);
                self.forget(&thread);
            }
        }
        news
    }

    /// Asks a predicate of a coroutine that waits, on that coroutine's behalf.
    pub(super) fn ask(
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

    /// Gives the coroutine that was preempted first another slice.
    pub(super) fn run_preempted(&self) {
        let next = self.scheduler.borrow_mut().preempted.pop_front();
        let Some((thread, behalf)) = next else { return };
        // The script may have resumed it meanwhile: then it is over, or has yielded on its own.
        if thread.status() == ThreadStatus::Resumable && budget::is_interrupted(&thread) {
            self.resume(&thread, (), Some(behalf));
        } else if !self.scheduler.borrow().is_held(&thread) {
            self.forget(&thread);
        }
    }

    /// Closes a coroutine of a run that has been ended.
    fn end(&self, thread: &Thread) {
        self.take_back(thread);
        if thread.status() == ThreadStatus::Resumable
            && let Err(error) = self.tools.close.call::<()>(thread)
        {
            tracing::debug!(target: "script", script = %self.name, "a coroutine does not close: {error}");
        }
    }

    /// A root is over.
    fn over(&self, purpose: Purpose) {
        match purpose {
            Purpose::Top => self.loaded(),
            Purpose::Voice => {}
            Purpose::Handler(run, name) => {
                let mut scheduler = self.scheduler.borrow_mut();
                scheduler.handlers -= 1;
                let timer = name.strip_prefix("cron:").filter(|_| run.kind == CRON);
                if let Some(every) = timer.and_then(|timer| scheduler.every_of(timer)) {
                    every.busy = false;
                }
                drop(scheduler);
                run.finished();
            }
            Purpose::Every(id, _) => {
                if let Some(every) = self.scheduler.borrow_mut().every.get_mut(&id) {
                    every.busy = false;
                }
            }
        }
    }

    /// A coroutine that will not be resumed by the host any more.
    fn forget(&self, thread: &Thread) {
        let root = self.scheduler.borrow_mut().roots.remove(&key(thread));
        if let Some(root) = root {
            self.over(root.purpose);
        }
    }

    /// Resumes the coroutine that has the ticket: with the value, or raising the error.
    pub(super) fn redeem(&self, ticket: u64, result: Result<Value, Value>) {
        let waiting = self.scheduler.borrow_mut().take(ticket);
        if let Some(waiting) = waiting {
            self.wake(waiting, result);
        }
    }

    fn wake(&self, waiting: Waiting, result: Result<Value, Value>) {
        self.look_out_no_more(&waiting.wait);
        if waiting.thread.status() != ThreadStatus::Resumable {
            // The script closed it with coroutine.close.
            self.forget(&waiting.thread);
            return;
        }
        let (ok, value) = match result {
            Ok(value) => (true, value),
            Err(value) => (false, value),
        };
        let behalf = waiting.behalf.map(|behalf| behalf.after_wait(&self.budget));
        if matches!(&behalf, Some(behalf) if behalf.meter.is_exhausted()) {
            self.end(&waiting.thread);
            self.forget(&waiting.thread);
            return;
        }
        let token = self.tools.token.clone();
        self.resume(&waiting.thread, (token, ok, value), behalf);
    }

    /// The answer of a call has come.
    pub(super) fn answered(&self, lua: &Lua, ticket: u64, answer: Result<Bytes, rest::Error>) {
        let Some(mut waiting) = self.scheduler.borrow_mut().take(ticket) else {
            return;
        };
        let wait = std::mem::replace(&mut waiting.wait, Wait::Over);
        let Wait::Call {
            route,
            finish,
            read,
            of_load,
        } = wait
        else {
            return;
        };
        if let Some((site, question)) = read {
            site.read(question, &answer);
        }
        if let Some(of_load) = of_load {
            self.answered_load(of_load, &answer);
        }
        let value = answer.and_then(|bytes| {
            finish(lua, self, &bytes).map_err(|error| {
                let message = format!("the answer cannot be read: {error}");
                local_failure(&route.label(), "invalid_response", message)
            })
        });
        let result = match value {
            Ok(value) => Ok(value),
            Err(error) => match failure(lua, &self.tools.failure, &error) {
                Ok(value) => Err(value),
                Err(error) => {
                    // No memory for the error itself.
                    let event = waiting.behalf.as_ref().and_then(|of| of.event.as_deref());
                    self.report(&error, event);
                    Err(Value::Nil)
                }
            },
        };
        self.wake(waiting, result);
    }

    /// Starts work outside the script's thread for the running coroutine, which sleeps until the outcome
    /// comes by mail. `behalf` is what [`Scheduler::here`] said.
    pub(super) fn outside_on<F>(
        &self,
        lua: &Lua,
        behalf: Option<Behalf>,
        work: impl Future<Output = F> + Send + 'static,
    ) -> u64
    where
        F: FnOnce(&Lua, &Guest) -> Result<Value, Fault> + Send + 'static,
    {
        let mut scheduler = self.scheduler.borrow_mut();
        let ticket = scheduler.ticket_on(lua, Wait::Outside, None, behalf);
        drop(scheduler);
        let mailbox = Arc::clone(&self.mailbox);
        self.runtime.spawn(async move {
            let outcome = work.await;
            mailbox.post(Mail::Outcome(ticket, Box::new(outcome)));
        });
        ticket
    }

    /// Work outside is done.
    pub(super) fn came_out(&self, lua: &Lua, ticket: u64, outcome: Outcome) {
        let Some(waiting) = self.scheduler.borrow_mut().take(ticket) else {
            return;
        };
        let result = outcome(lua, self).map_err(|fault| match fault {
            Fault::Value(value) => value,
            Fault::Text(text) => self.error_text(lua, &text),
            Fault::Lua(error) => self.error_text(lua, &error.to_string()),
        });
        self.wake(waiting, result);
    }

    /// A message as a value to raise; nil when there is no memory for it.
    fn error_text(&self, lua: &Lua, message: &str) -> Value {
        match lua.create_string(message) {
            Ok(text) => Value::String(text),
            Err(error) => {
                self.report(&error, None);
                Value::Nil
            }
        }
    }

    /// The prelude found that the script itself resumed the coroutine that has this ticket.
    pub(super) fn abandon(&self, ticket: u64) {
        let waiting = self.scheduler.borrow_mut().take(ticket);
        if let Some(waiting) = waiting {
            self.look_out_no_more(&waiting.wait);
            self.forget(&waiting.thread);
        }
    }

    fn look_out_no_more(&self, wait: &Wait) {
        if let Wait::Event { handler, .. } = wait {
            self.handlers.borrow_mut().remove(*handler);
        }
    }

    /// Takes back everything the host would do with a coroutine.
    pub(super) fn cancel(&self, thread: &Thread) {
        self.take_back(thread);
        self.forget(thread);
    }

    fn take_back(&self, thread: &Thread) {
        let at = key(thread);
        let ticket = {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.take_back(at);
            scheduler.asleep.get(&at).copied()
        };
        if let Some(ticket) = ticket {
            self.abandon(ticket);
        }
    }

    /// Runs what was put off to the end of the turn; what is put off meanwhile waits for the next.
    pub(super) fn run_deferred(&self) {
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
    pub(super) fn run_timers(&self, lua: &Lua, now: Instant) -> bool {
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
        let waits = matches!(every.rhythm, Rhythm::Cron(_)) && !self.has_turn();
        let beat = if waits {
            // The version before it has its turn still, and the same timer perhaps.
            Beat {
                next: now + Duration::from_secs(1),
                runs: false,
                due: None,
            }
        } else {
            every.rhythm.beat(planned, now, calendar)
        };
        let (name, function) = (Rc::clone(&every.name), every.function.clone());
        let begins = beat.runs && !every.busy;
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

    /// Logs an error that nobody caught.
    pub(super) fn report(&self, error: &mlua::Error, run: Option<&EventRun>) {
        self.trouble(&self.read_error(error), run);
    }

    fn read_error(&self, error: &mlua::Error) -> Trouble {
        let mut trouble = Trouble::read(error, |file, line| self.source_line(file, line));
        trouble.message = shorten(trouble.message.as_bytes());
        trouble
    }

    /// The version ends, and the bot goes on: the events of the handlers that have not finished have failed.
    /// The wait for the end of a track just ends, like that for an event.
    pub(super) fn cut_off(&self) {
        let roots = std::mem::take(&mut self.scheduler.borrow_mut().roots);
        for (coroutine, root) in roots {
            if let Purpose::Handler(run, _) = &root.purpose {
                let waiting = self.scheduler.borrow().waiting(coroutine);
                let (thread, idle) = waiting.unzip();
                if idle != Some(true) {
                    self.trouble(&self.cut_off_at(thread.as_ref()), Some(run));
                }
            }
            self.over(root.purpose);
        }
    }

    /// That a handler is cut off, where it waits.
    fn cut_off_at(&self, thread: Option<&Thread>) -> Trouble {
        let frames = thread.and_then(|thread| self.tools.traceback.call::<String>(thread).ok());
        let frames = frames.unwrap_or_default();
        self.read_error(&mlua::Error::RuntimeError(format!(
            "{CUT_OFF}\nstack traceback:\n{frames}"
        )))
    }

    /// Drops every Luau value, so that the VM can be closed.
    pub(super) fn clear_scheduler(&self) {
        let scheduler = std::mem::take(&mut *self.scheduler.borrow_mut());
        drop(scheduler);
    }
}
