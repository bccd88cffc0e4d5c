//! The watchdog: one thread of the process that reminds running scripts of the time.
//!
//! Reading a clock at each safepoint of a VM costs ten times what the safepoint itself does. So a VM
//! only looks at a flag, and this thread raises the flags of the VMs that run Luau, once each [`TICK`].
//! It sleeps while no VM runs anything: who begins to run Luau wakes it. Order of the two sides: a VM
//! writes `turn`, then reads [`PARKED`]; the watchdog writes [`PARKED`], then reads every `turn`; both
//! sequentially consistent, so that one of them sees the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

/// How often flags are raised: the grain of CPU accounting, and half of the longest slice.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// Ticks without any Luau after which the thread goes to sleep.
const LINGER: u32 = 8;

/// Ticks since the process began to run scripts.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// The watchdog sleeps until it is woken.
static PARKED: AtomicBool = AtomicBool::new(false);
static ALARMS: Mutex<Vec<Watched>> = Mutex::new(Vec::new());
static WATCHDOG: LazyLock<Option<Thread>> = LazyLock::new(|| {
    thread::Builder::new()
        .name("script-watchdog".into())
        .spawn(watch)
        .ok()
        .map(|handle| handle.thread().clone())
});

struct Watched {
    alarm: Weak<Alarm>,
    /// Its `turn` at the last tick.
    seen: u64,
}

/// The flag of one VM.
#[derive(Debug, Default)]
pub(in crate::script) struct Alarm {
    /// The next safepoint must look at the budget.
    raised: AtomicBool,
    /// Odd while the VM runs Luau; changes with each turn.
    turn: AtomicU64,
    /// Whatever runs must end now.
    ended: AtomicBool,
}

impl Alarm {
    /// A flag that the watchdog knows. `None` if the system has no thread for the watchdog.
    pub(super) fn new() -> Option<Arc<Self>> {
        WATCHDOG.as_ref()?;
        let alarm = Arc::new(Self::default());
        lock().push(Watched {
            alarm: Arc::downgrade(&alarm),
            seen: 0,
        });
        Some(alarm)
    }

    /// Whether the safepoint must look at the budget.
    #[inline]
    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, raised: bool) {
        self.raised.store(raised, Ordering::Relaxed);
    }

    /// Ends whatever the VM runs, now and from now on: every safepoint raises.
    pub(in crate::script) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.set(true);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The VM begins to run Luau. Answers whether that woke the watchdog.
    pub(super) fn begin(&self) -> bool {
        // Only the VM's own thread writes it.
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn | 1, Ordering::SeqCst);
        let woken = PARKED.load(Ordering::SeqCst) && PARKED.swap(false, Ordering::SeqCst);
        if woken && let Some(watchdog) = &*WATCHDOG {
            watchdog.unpark();
        }
        woken
    }

    /// The VM runs no Luau any more.
    pub(super) fn pause(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store((turn | 1) + 1, Ordering::Release);
    }
}

/// Ticks since the process began to run scripts.
pub(super) fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Watched>> {
    ALARMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One look at every VM. Answers whether any has run Luau since the last.
fn look(raise: bool) -> bool {
    let mut active = false;
    lock().retain_mut(|watched| {
        let Some(alarm) = watched.alarm.upgrade() else {
            return false;
        };
        let turn = alarm.turn.load(Ordering::SeqCst);
        let running = turn % 2 == 1;
        active |= running || turn != watched.seen;
        watched.seen = turn;
        if running && raise {
            alarm.set(true);
        }
        true
    });
    active
}

fn watch() {
    let mut quiet = 0;
    loop {
        thread::sleep(TICK);
        TICKS.fetch_add(1, Ordering::Relaxed);
        quiet = if look(true) { 0 } else { quiet + 1 };
        if quiet < LINGER {
            continue;
        }
        quiet = 0;
        PARKED.store(true, Ordering::SeqCst);
        if look(false) {
            PARKED.store(false, Ordering::SeqCst);
            continue;
        }
        while PARKED.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_running_vm_is_reminded_also_after_a_long_silence() {
        let alarm = Alarm::new().unwrap();
        for _ in 0..2 {
            // Long enough for the watchdog to fall asleep, if no other test runs scripts.
            thread::sleep(TICK * (LINGER + 20));
            assert!(!alarm.is_raised(), "nothing runs");
            alarm.begin();
            let end = Instant::now() + Duration::from_secs(20);
            while !alarm.is_raised() && Instant::now() < end {
                thread::yield_now();
            }
            assert!(alarm.is_raised());
            alarm.pause();
            alarm.set(false);
        }
    }
}
