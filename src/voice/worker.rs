//! Threads that make packets ahead: mixing and encoding, spread over the cores.
//!
//! A connection belongs to the worker that had the fewest when it came. A worker fills every program's
//! ring and sleeps until the pacer has sent something or a command comes, but at least [`ROUND`]: going
//! through hundreds of programs for each packet that one of them has sent cost more than everything else
//! together. It measures how much of its time it works, and lowers the complexity of its encoders before
//! deadlines are missed ([`Governor`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::encoder::Governor;
use super::pacer::Pacer;
use super::priority;
use super::program::{Program, Wants};

/// The shortest time between two rounds through the programs, and how soon a worker looks again for a
/// file that is being read. Far below what programs make ahead.
const ROUND: Duration = Duration::from_millis(4);
/// How often a worker looks how busy it is.
const MEASURE: Duration = Duration::from_millis(250);
/// Programs that wait to be added or removed; whoever adds one more waits.
const CHANGES: usize = 64;

enum Change {
    Add(Box<Program>),
    Remove(u64),
}

/// A handle to a worker's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Worker {
    changes: SyncSender<Change>,
    thread: Thread,
    programs: Arc<AtomicUsize>,
}

impl Worker {
    /// Starts a thread.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(number: usize, pacer: Pacer) -> std::io::Result<Self> {
        let (changes, changed) = sync_channel(CHANGES);
        // libopus puts its working memory on the stack.
        let builder = thread::Builder::new()
            .name(format!("voice:mix:{number}"))
            .stack_size(1 << 20);
        let thread = builder.spawn(move || {
            priority::work();
            run(&changed, &pacer);
        })?;
        Ok(Self {
            changes,
            thread: thread.thread().clone(),
            programs: Arc::default(),
        })
    }

    /// How many programs it has.
    pub fn load(&self) -> usize {
        self.programs.load(Ordering::Relaxed)
    }

    /// Adds a program.
    pub fn add(&self, program: Program) {
        self.programs.fetch_add(1, Ordering::Relaxed);
        self.change(Change::Add(Box::new(program)));
    }

    /// Drops a program.
    pub fn remove(&self, id: u64) {
        self.programs.fetch_sub(1, Ordering::Relaxed);
        self.change(Change::Remove(id));
    }

    fn change(&self, change: Change) {
        // Fails only when the thread has died of a panic.
        let _ = self.changes.send(change);
        self.thread.unpark();
    }

    /// What wakes it.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

fn run(changed: &Receiver<Change>, pacer: &Pacer) {
    let mut programs: Vec<Program> = Vec::new();
    let mut load = Load::new(Instant::now());
    loop {
        loop {
            match changed.try_recv() {
                Ok(Change::Add(program)) => programs.push(*program),
                Ok(Change::Remove(id)) => programs.retain(|program| program.id != id),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let began = Instant::now();
        let mut wants = Wants::Nothing;
        for program in &mut programs {
            if program.fill(load.governor.cap(), &mut || pacer.wake()) == Wants::Data {
                wants = Wants::Data;
            }
            load.missed |= program.has_missed();
        }
        let now = Instant::now();
        load.note(now - began, now);
        if !programs.is_empty() {
            thread::sleep(ROUND.saturating_sub(now - began));
        }
        match wants {
            // It has slept enough.
            Wants::Data => {}
            Wants::Nothing if programs.is_empty() => thread::park_timeout(Duration::from_secs(1)),
            Wants::Nothing => thread::park_timeout(MEASURE),
        }
    }
}

/// How busy a thread is.
struct Load {
    governor: Governor,
    since: Instant,
    busy: Duration,
    missed: bool,
}

impl Load {
    fn new(now: Instant) -> Self {
        Self {
            governor: Governor::default(),
            since: now,
            busy: Duration::ZERO,
            missed: false,
        }
    }

    /// The thread has worked for that time until now.
    fn note(&mut self, worked: Duration, now: Instant) {
        self.busy += worked;
        let since = now.saturating_duration_since(self.since);
        if since < MEASURE {
            return;
        }
        let busy = self.busy.as_secs_f64() / since.as_secs_f64();
        self.governor.note(busy, self.missed);
        (self.since, self.busy, self.missed) = (now, Duration::ZERO, false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Load;

    #[test]
    fn a_thread_without_time_lowers_its_complexity_and_raises_it_again() {
        let mut now = Instant::now();
        let mut load = Load::new(now);
        let mut rounds = |load: &mut Load, worked: u64, seconds: u64| {
            for _ in 0..seconds * 100 {
                now += Duration::from_millis(10);
                load.note(Duration::from_millis(worked), now);
            }
        };
        rounds(&mut load, 2, 1);
        assert_eq!(load.governor.cap(), 10);
        // 80 % of the time: nothing is missed yet.
        rounds(&mut load, 8, 1);
        assert!(load.governor.cap() < 10);
        rounds(&mut load, 5, 1);
        let there = load.governor.cap();
        rounds(&mut load, 5, 1);
        assert_eq!(load.governor.cap(), there, "half of the time is enough");
        load.missed = true;
        rounds(&mut load, 5, 1);
        assert_eq!(load.governor.cap(), there - 2, "once for a missed frame");
        rounds(&mut load, 2, 10);
        assert_eq!(load.governor.cap(), 10);
    }
}
