//! What a script may use of the CPU and of memory, and how it is held to that.
//!
//! Guarantees:
//!
//! * **CPU.** A run (a handler of an event, a run of a timer, the top level) has a [`Meter`]; all its
//!   slices and the coroutines it starts count on it. Past the limit the next safepoint raises an error
//!   that names the line, and so does every safepoint after it, until nothing of the run is left:
//!   `while true do pcall(f) end` outlives one error, but not all of them.
//! * **Slices.** A coroutine that the host resumed and that has computed for one to two milliseconds
//!   yields at its next safepoint, if it is the one that runs and nothing is between it and the host
//!   (a sort comparator, a `gsub` callback, a metamethod, a coroutine of the script's own cannot yield
//!   to the host). It goes on behind the others that are ready. The prelude is never interrupted, nor
//!   is the top level until its first wait.
//! * **Fairness.** Who computes for long takes turns with the others who do, so that whoever has little to
//!   do finds the cores free: `seats`.
//! * **Memory.** The limit is on what is alive: a script that has reached it is collected first, in
//!   steps that can be interrupted, and gets an error only if it still holds more. Garbage may take half
//!   as much again; there the allocator itself refuses. What is counted are the script's values: Luau
//!   takes memory from the allocator in pages of one size of value each, of which an empty script has
//!   650 KiB, most of them never touched, for 100 KiB of values.
//!
//! Safepoints are Luau's (loop edges, calls, returns, positions of a pattern match) and those of the
//! bounded natives and of the JSON codec. They look at one flag, which the [`watch`] thread raises, as does allocating much; only
//! then are clocks read.
//! CPU time is the thread's own, so that a script does not pay for the time in which others run. It is
//! read once a [`watch::TICK`] at most, so a run's sum is exact to a tick for each of its slices.

mod clock;
mod log;
mod meter;
mod seats;
mod watch;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Lua, Thread, ffi};

use super::errors::PRELUDE;
pub(crate) use clock::lower_priority;
pub(super) use log::{Line, LogQuota};
pub(super) use meter::{Allowance, Meter};
use seats::Share;
pub(super) use watch::Alarm;

thread_local! {
    /// The budget of the VM that runs on this thread right now.
    static CURRENT: Cell<*const Budget> = const { Cell::new(ptr::null()) };
}

/// What one script may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// Bytes of live data.
    pub(super) memory: usize,
    /// CPU time of one run.
    pub(super) cpu_per_event: Duration,
    /// CPU time of the top level until its first wait.
    pub(super) load_time: Duration,
}

/// The budget of one VM. It lives on the VM's thread.
pub(super) struct Budget {
    allowed: Allowed,
    alarm: Arc<Alarm>,
    running: RefCell<Option<Running>>,
    /// The running coroutine has yielded because its slice was over.
    preempted: Cell<bool>,
    /// The thread's CPU clock when it was read last, and the tick of that.
    clock: Cell<(Duration, u64)>,
    /// The heap is collected when it has grown to so many bytes.
    collect_at: Cell<usize>,
    /// Bytes allocated since the flag was raised for them.
    fresh: Cell<usize>,
    /// The tick at which the usage was told last.
    told: Cell<u64>,
    share: Share,
}

/// What runs.
struct Running {
    meter: Rc<Meter>,
    /// The coroutine that may be preempted, or null.
    coroutine: *const ffi::lua_State,
    /// The thread's CPU clock at the beginning of the slice, up to a tick early.
    begun: Duration,
}

/// What a safepoint does.
enum Verdict {
    GoOn,
    Yield,
    Raise(Reason),
}

/// What the error of a script begins with that has more data than it may.
pub(in crate::script) const TOO_MUCH_MEMORY: &str = "not enough memory";

enum Reason {
    Cpu(Allowance, Duration),
    Memory { alive: usize, allowed: usize },
    Ended,
}

impl Budget {
    /// Puts the VM under a budget. Nothing of the script has run in it yet.
    pub(super) fn new(lua: &Lua, allowed: Allowed) -> mlua::Result<Rc<Self>> {
        let alarm = Alarm::new()
            .ok_or_else(|| mlua::Error::runtime("the system has no thread for the watchdog"))?;
        // SAFETY: `state` is a state of this VM, whose callbacks nobody reads meanwhile.
        unsafe {
            lua.exec_raw::<()>((), |state| {
                (*ffi::lua_callbacks(state)).interrupt = Some(interrupt);
                (*ffi::lua_callbacks(state)).onallocate = Some(allocated);
            })?;
        }
        Ok(Rc::new(Self {
            collect_at: Cell::new(allowed.memory),
            allowed,
            alarm,
            running: RefCell::default(),
            preempted: Cell::new(false),
            clock: Cell::new((Duration::ZERO, u64::MAX)),
            fresh: Cell::new(0),
            told: Cell::new(u64::MAX),
            share: Share::new(),
        }))
    }

    /// Lets the allocator refuse what is far beyond the limit. Not before everything is set up: with a limit,
    /// mlua makes each step of that in a protected call.
    pub(super) fn limit_memory(&self, lua: &Lua) -> mlua::Result<()> {
        let most = self.allowed.memory.saturating_add(self.allowed.memory / 2);
        lua.set_memory_limit(most).map(drop)
    }

    /// The flag that ends the script from outside.
    pub(super) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    /// A meter for a new run.
    pub(super) fn meter(&self, allowance: Allowance) -> Rc<Meter> {
        let limit = match allowance {
            Allowance::Load => self.allowed.load_time,
            Allowance::Event => self.allowed.cpu_per_event,
        };
        Rc::new(Meter::new(allowance, limit))
    }

    /// The meter on which a coroutine counts after it has waited.
    pub(super) fn meter_after_wait(&self, meter: &Rc<Meter>) -> Rc<Meter> {
        if meter.starts_afresh_after_a_wait() {
            let afresh = self.meter(Allowance::Event);
            afresh.finish();
            afresh
        } else {
            Rc::clone(meter)
        }
    }

    /// Luau runs on that meter until the answer is dropped. `coroutine` is what the host resumes; null
    /// if it calls a function.
    pub(super) fn enter(&self, meter: &Rc<Meter>, coroutine: *const ffi::lua_State) -> Entered<'_> {
        let preemptible = meter.allowance == Allowance::Event;
        let outermost = self.running.borrow().is_none();
        // While the watchdog slept, no tick told how old the reading is.
        let woken = outermost && self.alarm.begin();
        if woken || watch::ticks() != self.clock.get().1 {
            let used = self.since_last_read();
            if let Some(outer) = &*self.running.borrow() {
                outer.meter.charge(used);
            }
        }
        if outermost {
            self.share
                .go_on(self.clock.get().0, || self.alarm.is_ended());
        }
        let outer = self.running.replace(Some(Running {
            meter: Rc::clone(meter),
            coroutine: if preemptible { coroutine } else { ptr::null() },
            begun: self.clock.get().0,
        }));
        let other = CURRENT.replace(self);
        if meter.is_exhausted() {
            self.alarm.set(true);
        }
        Entered {
            budget: self,
            outer,
            other,
        }
    }

    /// Whether the coroutine that was resumed last has been preempted; asked once.
    pub(super) fn take_preempted(&self) -> bool {
        self.preempted.take()
    }

    /// The thread's CPU time and the bytes of the heap, if a tick has passed since this was asked last.
    pub(super) fn usage(&self, lua: &Lua) -> Option<(Duration, usize)> {
        let tick = watch::ticks();
        if self.told.replace(tick) == tick {
            return None;
        }
        Some((clock::thread_cpu(), heap_of(lua)?))
    }

    /// The thread has nothing to do.
    pub(super) fn rest(&self) {
        self.share.rest();
    }

    /// CPU time of the thread since this was asked last.
    fn since_last_read(&self) -> Duration {
        let now = clock::thread_cpu();
        let (before, _) = self.clock.replace((now, watch::ticks()));
        let used = now.saturating_sub(before);
        self.share.spend(used);
        used
    }

    /// A look at everything. `state` is the running coroutine.
    fn look(&self, state: *mut ffi::lua_State) -> Verdict {
        self.alarm.set(false);
        if self.alarm.is_ended() {
            self.alarm.set(true);
            return Verdict::Raise(Reason::Ended);
        }
        let running = self.running.borrow();
        let Some(running) = &*running else {
            return Verdict::GoOn;
        };
        if running.meter.charge(self.since_last_read()) {
            self.alarm.set(true);
            let meter = &running.meter;
            return Verdict::Raise(Reason::Cpu(meter.allowance, meter.limit));
        }
        if let Some(reason) = self.look_at_memory(state) {
            return Verdict::Raise(reason);
        }
        self.share
            .go_on(self.clock.get().0, || self.alarm.is_ended());
        let slice = self.clock.get().0.saturating_sub(running.begun);
        if slice > watch::TICK && ptr::eq(running.coroutine, state) && may_yield(state) {
            self.preempted.set(true);
            return Verdict::Yield;
        }
        Verdict::GoOn
    }

    /// Whether the next safepoint will raise for a use of the CPU, or from outside. Leaves the flag up.
    fn must_end(&self) -> bool {
        let running = self.running.borrow();
        let Some(running) = &*running else {
            return false;
        };
        self.alarm.is_ended() || running.meter.charge(self.since_last_read())
    }

    fn look_at_memory(&self, state: *mut ffi::lua_State) -> Option<Reason> {
        let allowed = self.allowed.memory;
        if heap(state) <= self.collect_at.get() {
            return None;
        }
        // What died since the cycle that is under way began is only found by the next one.
        for _ in 0..2 {
            self.collect(state);
            if heap(state) <= allowed {
                break;
            }
        }
        let alive = heap(state);
        // Not again before it has grown by a good part: collecting costs in proportion to what is alive.
        self.collect_at.set(allowed.max(alive + allowed / 16));
        (alive > allowed).then_some(Reason::Memory { alive, allowed })
    }

    /// One cycle of collection, or what the host lets it do of it.
    fn collect(&self, state: *mut ffi::lua_State) {
        /// KiB of work in a step.
        const STEP: c_int = 1024;
        // SAFETY: `state` is at a safepoint, where Luau itself collects, too.
        while !self.alarm.is_ended() && unsafe { ffi::lua_gc(state, ffi::LUA_GCSTEP, STEP) } == 0 {}
    }
}

/// Luau runs on a meter until this is dropped.
#[must_use = "dropping it ends the slice"]
pub(super) struct Entered<'a> {
    budget: &'a Budget,
    outer: Option<Running>,
    other: *const Budget,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let outer = self.outer.take();
        let alarm = &self.budget.alarm;
        match &outer {
            None => alarm.pause(),
            Some(outer) => alarm.set(outer.meter.is_exhausted()),
        }
        if alarm.is_ended() {
            alarm.set(true);
        }
        self.budget.running.replace(outer);
        CURRENT.set(self.other);
    }
}

/// Bytes of the heap, garbage included, if there is room to ask.
fn heap_of(lua: &Lua) -> Option<usize> {
    let mut bytes = 0;
    // SAFETY: reads a counter, and leaves nothing on the stack.
    let asked = unsafe { lua.exec_raw::<()>((), |state| bytes = heap(state)) };
    asked.ok().map(|()| bytes)
}

/// Bytes of the heap, garbage included.
fn heap(state: *mut ffi::lua_State) -> usize {
    // SAFETY: reads a counter of the VM that runs on this thread.
    let kib = unsafe { ffi::lua_gc(state, ffi::LUA_GCCOUNT, 0) };
    usize::try_from(kib).unwrap_or_default() << 10
}

/// Whether a coroutine that is suspended was interrupted, and has not called `yield`.
pub(super) fn is_interrupted(thread: &Thread) -> bool {
    // SAFETY: the handle keeps the coroutine, which does not run.
    unsafe { frame(thread.state(), 0).is_some_and(|(_, line)| line >= 0) }
}

/// Whether the coroutine can yield here, and is not in the prelude, which has taken a ticket for a wait
/// that has not begun yet.
fn may_yield(state: *mut ffi::lua_State) -> bool {
    // SAFETY: `state` is the running coroutine, at a safepoint.
    unsafe {
        if ffi::lua_isyieldable(state) == 0 {
            return false;
        }
        frame(state, 0).is_some_and(|(name, _)| name != PRELUDE.as_bytes())
    }
}

/// Chunk name and line of a frame of the stack, while that frame is there. The line of a native is -1.
///
/// # Safety
/// `state` must be a coroutine of a VM that runs on this thread; its frames must outlive the name.
unsafe fn frame<'a>(state: *mut ffi::lua_State, level: c_int) -> Option<(&'a [u8], c_int)> {
    // SAFETY: a plain C structure, which `lua_getinfo` fills in.
    let mut debug: ffi::lua_Debug = unsafe { std::mem::zeroed() };
    // SAFETY: as the caller promises. It pushes nothing for these fields.
    if unsafe { ffi::lua_getinfo(state, level, c"sl".as_ptr(), &raw mut debug) } == 0 {
        return None;
    }
    // SAFETY: Luau gives the name of a chunk, which its function keeps; a native's is a literal.
    let source = unsafe { CStr::from_ptr(debug.source) }.to_bytes();
    let name = source
        .strip_prefix(b"@")
        .or_else(|| source.strip_prefix(b"="))
        .unwrap_or(source);
    Some((name, debug.currentline))
}

/// Luau's safepoint.
unsafe extern "C-unwind" fn interrupt(state: *mut ffi::lua_State, gc: c_int) {
    // An error or a yield in the middle of a collection is not possible.
    if gc < 0 {
        // SAFETY: Luau calls it with the running coroutine, at a point where it can raise.
        unsafe { safepoint(state, true) };
    }
}

/// Luau has allocated a block. Much of it is a reason to look at the next safepoint: a tick has room for
/// more than the limit.
unsafe extern "C-unwind" fn allocated(
    _: *mut ffi::lua_State,
    _: *mut c_void,
    _: usize,
    size: usize,
    _: u8,
    _: c_int,
    _: c_int,
) {
    const MUCH: usize = 256 << 10;
    // SAFETY: `Entered` keeps the budget borrowed while it is the current one.
    if let Some(budget) = unsafe { CURRENT.get().as_ref() } {
        let fresh = budget.fresh.get().saturating_add(size);
        if fresh < MUCH {
            budget.fresh.set(fresh);
        } else {
            budget.fresh.set(0);
            budget.alarm.set(true);
        }
    }
}

/// Looks at the budget if the watchdog says so; raises if it is exhausted.
///
/// # Safety
/// `state` must be the running coroutine, at a point where it can raise: no frame between here and Luau
/// owns anything. `may_preempt` only at Luau's own safepoints.
#[inline]
pub(super) unsafe fn safepoint(state: *mut ffi::lua_State, may_preempt: bool) {
    let budget = CURRENT.get();
    // SAFETY: `Entered` keeps the budget borrowed while it is the current one.
    let Some(budget) = (unsafe { budget.as_ref() }) else {
        return;
    };
    if budget.alarm.is_raised() {
        // SAFETY: as the caller promises.
        unsafe { look(budget, state, may_preempt) };
    }
}

/// Whether the script that runs on this thread must end, for a host function that cannot raise where it
/// is: it returns early with whatever error, and the safepoint behind it raises the right one.
pub(super) fn is_over() -> bool {
    // SAFETY: `Entered` keeps the budget borrowed while it is the current one.
    let budget = unsafe { CURRENT.get().as_ref() };
    budget.is_some_and(|budget| budget.alarm.is_raised() && budget.must_end())
}

#[cold]
unsafe fn look(budget: &Budget, state: *mut ffi::lua_State, may_preempt: bool) {
    match budget.look(state) {
        Verdict::GoOn => {}
        Verdict::Yield if !may_preempt => budget.preempted.set(false),
        Verdict::Yield => {
            // SAFETY: `may_yield` has said that it can; Luau looks at the state after the safepoint.
            unsafe { ffi::lua_yield(state, 0) };
        }
        // SAFETY: as the caller promises.
        Verdict::Raise(reason) => unsafe { raise(state, &reason) },
    }
}

/// Raises the reason as an error at the script's own line.
///
/// # Safety
/// As for [`safepoint`]. Nothing here may own memory: the error leaves through these frames.
unsafe fn raise(state: *mut ffi::lua_State, reason: &Reason) -> ! {
    let mut text = [0u8; 320];
    let mut rest = &mut text[..];
    // SAFETY: as the caller promises; the frames stay while this runs.
    let place = (0..)
        .map_while(|level| unsafe { frame(state, level) })
        .find(|&(name, line)| line > 0 && name != PRELUDE.as_bytes());
    // What does not fit is cut off; the longest reason takes half of it.
    if let Some((name, line)) = place {
        let name = &name[..name.len().min(160)];
        let _ = rest.write_all(name);
        let _ = write!(rest, ":{line}: ");
    }
    let _ = match reason {
        Reason::Cpu(Allowance::Event, limit) => write!(
            rest,
            "this run has used its {limit:?} of CPU time and is ended (limits.cpu_per_event)"
        ),
        Reason::Cpu(Allowance::Load, limit) => write!(
            rest,
            "the top level has used its {limit:?} of CPU time and is ended (limits.load_time)"
        ),
        Reason::Memory { alive, allowed } => write!(
            rest,
            "{TOO_MUCH_MEMORY}: the script's data takes {} KiB, and it may take {} KiB (limits.memory)",
            alive >> 10,
            allowed >> 10
        ),
        Reason::Ended => write!(rest, "the host has ended this script"),
    };
    let unused = rest.len();
    let length = text.len() - unused;
    // SAFETY: the text is copied; room for one value is made first.
    unsafe {
        ffi::luaL_checkstack(state, 1, c"no room for an error".as_ptr());
        ffi::lua_pushlstring(state, text.as_ptr().cast(), length);
        ffi::lua_error(state)
    }
}
