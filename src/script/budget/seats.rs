//! How many scripts compute at once.
//!
//! The kernel shares the cores among all threads that want them, a slice of some milliseconds each: beside
//! a hundred scripts that compute without end, one that wakes up for an event stands behind fifty others.
//! So whoever computes for long needs one of [`Seats`], of which there are twice as many as cores. A script
//! has [`BURST`] of CPU time without one, which comes back with time ([`RATE`]): handlers that do their work
//! and end never need a seat. Who has a seat gives it up when it has nothing to do, and after [`TURN`] if
//! somebody waits. The next is who has used least of late; a thread waits at a safepoint, and holds nothing
//! that others need.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// CPU time that a script may use at once without a seat.
const BURST: Duration = Duration::from_millis(2);
/// How much longer than it has computed a script must rest to have the same again: half a percent of a core
/// is free for everybody.
const RATE: u32 = 200;
/// CPU time after which a seat goes to whoever waits.
const TURN: Duration = Duration::from_millis(2);
/// The most that a script's use counts against it: who computes all the time is like all others who do.
const MEMORY: Duration = Duration::from_secs(10);
/// How often a thread that waits looks whether it must end.
const LOOK: Duration = Duration::from_millis(20);

/// The process's seats.
static SEATS: LazyLock<Arc<Seats>> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Seats::new(2 * cores))
});

#[derive(Debug)]
struct Seats(Mutex<Line>);

#[derive(Debug)]
struct Line {
    free: usize,
    /// Who waits, who owes least first, and those who owe the same in the order in which they came.
    waiting: BTreeMap<(Instant, u64), Arc<Place>>,
    serial: u64,
}

/// Where one thread waits.
#[derive(Debug, Default)]
struct Place {
    /// It has a seat.
    called: Mutex<bool>,
    bell: Condvar,
}

impl Seats {
    fn new(free: usize) -> Self {
        Self(Mutex::new(Line {
            free,
            waiting: BTreeMap::new(),
            serial: 0,
        }))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a seat. Answers whether there is one; there is none if `ended`.
    fn take(&self, place: &Arc<Place>, owes: Instant, ended: impl Fn() -> bool) -> bool {
        let mut line = self.line();
        if line.free > 0 {
            line.free -= 1;
            return true;
        }
        line.serial += 1;
        let key = (owes, line.serial);
        line.waiting.insert(key, Arc::clone(place));
        drop(line);
        loop {
            if place.wait(LOOK) {
                return true;
            }
            // Who is not in the line any more has been called.
            if ended() && self.line().waiting.remove(&key).is_some() {
                return false;
            }
        }
    }

    /// Gives a seat to the next.
    fn give(&self) {
        let mut line = self.line();
        match line.waiting.pop_first() {
            Some((_, place)) => place.call(),
            None => line.free += 1,
        }
    }

    fn is_wanted(&self) -> bool {
        !self.line().waiting.is_empty()
    }
}

impl Place {
    fn call(&self) {
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Whether it is called within that time; asked once for each call.
    fn wait(&self, time: Duration) -> bool {
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .bell
            .wait_timeout_while(called, time, |called| !*called);
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// What one script has of the seats.
#[derive(Debug)]
pub(super) struct Share {
    seats: Arc<Seats>,
    place: Arc<Place>,
    /// When it will owe nothing any more.
    owes: Cell<Instant>,
    /// The thread's CPU clock when it got its seat.
    seated: Cell<Option<Duration>>,
}

impl Share {
    pub(super) fn new() -> Self {
        Self::of(&SEATS)
    }

    fn of(seats: &Arc<Seats>) -> Self {
        Self {
            seats: Arc::clone(seats),
            place: Arc::default(),
            owes: Cell::new(Instant::now()),
            seated: Cell::new(None),
        }
    }

    /// It has computed.
    pub(super) fn spend(&self, time: Duration) {
        let now = Instant::now();
        self.owes
            .set((self.owes.get().max(now) + time * RATE).min(now + MEMORY));
    }

    /// It goes on computing: with a seat, if it needs one, for which it may have to wait. `cpu` is its
    /// thread's CPU clock.
    pub(super) fn go_on(&self, cpu: Duration, ended: impl Fn() -> bool) {
        match self.seated.get() {
            Some(since) if cpu.saturating_sub(since) < TURN || !self.seats.is_wanted() => return,
            Some(_) => self.rest(),
            None if self.owes.get() <= Instant::now() + BURST * RATE => return,
            None => {}
        }
        let got = self.seats.take(&self.place, self.owes.get(), ended);
        self.seated.set(got.then_some(cpu));
    }

    /// It computes no more.
    pub(super) fn rest(&self) {
        if self.seated.take().is_some() {
            self.seats.give();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    const MS: Duration = Duration::from_millis(1);

    /// Uses so much that it needs a seat.
    fn busy(seats: &Arc<Seats>) -> Share {
        let share = Share::of(seats);
        share.spend(Duration::from_secs(1));
        share
    }

    fn waiting(seats: &Seats) -> usize {
        seats.line().waiting.len()
    }

    #[test]
    fn short_work_needs_no_seat_and_long_work_does() {
        let seats = Arc::new(Seats::new(0));
        let share = Share::of(&seats);
        share.spend(MS);
        share.go_on(MS, || false);
        assert_eq!(share.seated.get(), None);
        share.spend(2 * MS);
        share.go_on(3 * MS, || true);
        assert_eq!(share.seated.get(), None, "it was ended while it waited");
        assert_eq!(waiting(&seats), 0);
    }

    #[test]
    fn a_seat_is_kept_while_nobody_waits_and_given_up_at_rest() {
        let seats = Arc::new(Seats::new(1));
        let share = busy(&seats);
        share.go_on(MS, || false);
        share.go_on(100 * MS, || false);
        assert_eq!(share.seated.get(), Some(MS));
        share.rest();
        assert_eq!(seats.line().free, 1);
        share.go_on(MS, || false);
        drop(share);
        assert_eq!(seats.line().free, 1);
    }

    #[test]
    fn who_used_least_is_next_and_a_turn_ends() {
        let seats = Arc::new(Seats::new(1));
        let first = busy(&seats);
        first.go_on(MS, || false);
        let (tell, told) = mpsc::channel();
        let mut threads = Vec::new();
        for (name, used) in [("hog", 900 * MS), ("light", 30 * MS), ("hog", 901 * MS)] {
            let (seats, tell, before) = (Arc::clone(&seats), tell.clone(), waiting(&seats));
            threads.push(thread::spawn({
                let seats = Arc::clone(&seats);
                move || {
                    let share = Share::of(&seats);
                    share.spend(used);
                    share.go_on(MS, || false);
                    tell.send(name).unwrap();
                    share.rest();
                }
            }));
            while waiting(&seats) == before {
                thread::yield_now();
            }
        }
        first.go_on(2 * MS, || false);
        assert!(told.try_recv().is_err(), "its turn is not over");
        first.go_on(10 * MS, || false);
        first.rest();
        let order: Vec<_> = (0..3).map(|_| told.recv().unwrap()).collect();
        assert_eq!(order[0], "light");
        threads.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(seats.line().free, 1);
    }

    #[test]
    fn who_must_end_waits_no_more() {
        let seats = Arc::new(Seats::new(1));
        let first = busy(&seats);
        first.go_on(MS, || false);
        let ended = Arc::new(AtomicBool::new(false));
        let waits = thread::spawn({
            let (seats, ended) = (Arc::clone(&seats), Arc::clone(&ended));
            move || {
                let share = busy(&seats);
                share.go_on(MS, || ended.load(Ordering::Acquire));
                share.seated.get()
            }
        });
        while waiting(&seats) == 0 {
            thread::yield_now();
        }
        ended.store(true, Ordering::Release);
        assert_eq!(waits.join().unwrap(), None);
        first.rest();
        assert_eq!(seats.line().free, 1);
    }

    #[test]
    fn no_seat_is_lost_however_many_come_and_go() {
        const FREE: usize = 2;
        let seats = Arc::new(Seats::new(FREE));
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let seats = Arc::clone(&seats);
                thread::spawn(move || {
                    let share = busy(&seats);
                    for turn in 0..500 {
                        share.spend(MS);
                        share.go_on(3 * turn * MS, || (turn + n) % 7 == 0);
                        thread::yield_now();
                        if turn % 3 == 0 {
                            share.rest();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(seats.line().free, FREE);
        assert_eq!(waiting(&seats), 0);
    }
}
