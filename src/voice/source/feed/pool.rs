//! The threads that read files, shared by the whole process.
//!
//! A file whose ring is full has no thread. When the mixer has taken half of it, [`Wake::wake`] wakes the
//! dispatcher, which gives the file's [`Job`] to a thread that rests, or to a new one; afterwards the
//! dispatcher gets it back. So a slow disk or a hostile file keeps a thread busy with itself and nobody
//! else waiting, and yet hundreds of songs share the few threads that read at the same moment: one for
//! each song cost 100 KiB of stack and heap.
//!
//! Bound: never more threads than files; those that have rested for [`REST`] end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

/// How long a thread waits for another file before it ends.
const REST: Duration = Duration::from_secs(10);
/// How soon the dispatcher sees that a file is not needed any more, or that the system has threads again.
const LOOK: Duration = Duration::from_millis(200);

/// Something that is read in steps.
pub(super) trait Job: Send {
    /// Reads on; false when it is over.
    fn step(&mut self) -> bool;
    /// Whether nobody needs it any more: the next step ends it.
    fn is_abandoned(&self) -> bool;
}

/// How the mixer says that there is room again. Neither waits nor allocates.
pub(super) struct Wake {
    wanted: AtomicBool,
    dispatcher: Thread,
}

impl Wake {
    /// There is room.
    pub(super) fn wake(&self) {
        if !self.wanted.load(Ordering::Relaxed) && !self.wanted.swap(true, Ordering::AcqRel) {
            self.dispatcher.unpark();
        }
    }

    /// One that wakes only the calling thread.
    #[cfg(test)]
    pub(super) fn of_nobody() -> Arc<Self> {
        Arc::new(Self {
            wanted: AtomicBool::new(false),
            dispatcher: thread::current(),
        })
    }
}

struct Reading {
    job: Box<dyn Job>,
    wake: Arc<Wake>,
}

/// Begins to read. The job is made with what wakes it.
///
/// # Errors
/// When the system has no more threads.
pub(super) fn begin(job: impl FnOnce(Arc<Wake>) -> Box<dyn Job>) -> io::Result<()> {
    static POOL: Mutex<Option<Arc<Pool>>> = Mutex::new(None);
    let pool = {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        match &*pool {
            Some(pool) => Arc::clone(pool),
            None => Arc::clone(pool.insert(Pool::start()?)),
        }
    };
    pool.begin(job)
}

/// A thread without a reading, and how it gets one.
struct Resting {
    thread: ThreadId,
    next: SyncSender<Reading>,
}

struct Pool {
    dispatcher: Thread,
    /// What has been read until its ring was full; each reading is there once.
    back: Sender<Reading>,
    /// The last one is taken first, so that those that are not needed end.
    resting: Mutex<Vec<Resting>>,
}

impl Pool {
    fn start() -> io::Result<Arc<Self>> {
        let (back, returned) = channel();
        let (to_dispatcher, pool) = sync_channel::<Arc<Self>>(1);
        let dispatcher = thread::Builder::new()
            .name("voice:files".into())
            .stack_size(128 << 10)
            .spawn(move || {
                if let Ok(pool) = pool.recv() {
                    dispatch(&pool, &returned);
                }
            })?;
        let pool = Arc::new(Self {
            dispatcher: dispatcher.thread().clone(),
            back,
            resting: Mutex::default(),
        });
        // It waits for that.
        let _ = to_dispatcher.send(Arc::clone(&pool));
        Ok(pool)
    }

    fn begin(self: &Arc<Self>, job: impl FnOnce(Arc<Wake>) -> Box<dyn Job>) -> io::Result<()> {
        let wake = Arc::new(Wake {
            wanted: AtomicBool::new(false),
            dispatcher: self.dispatcher.clone(),
        });
        let job = job(Arc::clone(&wake));
        self.give(Reading { job, wake }).map_err(|(error, _)| error)
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a reading to a thread; gives it back when the system has none.
    fn give(self: &Arc<Self>, reading: Reading) -> Result<(), (io::Error, Reading)> {
        let rested = self.resting().pop();
        let next = match rested {
            Some(rested) => rested.next,
            None => match self.hire() {
                Ok(next) => next,
                Err(error) => return Err((error, reading)),
            },
        };
        // It waits for one: a thread ends only after it has taken itself from the list.
        let _ = next.send(reading);
        Ok(())
    }

    fn hire(self: &Arc<Self>) -> io::Result<SyncSender<Reading>> {
        let (next, readings) = sync_channel(1);
        let (pool, of_thread) = (Arc::clone(self), next.clone());
        thread::Builder::new()
            .name("voice:read".into())
            .stack_size(512 << 10)
            .spawn(move || pool.work(&of_thread, &readings))?;
        Ok(next)
    }

    /// A thread's life.
    fn work(&self, next: &SyncSender<Reading>, readings: &Receiver<Reading>) {
        let thread = thread::current().id();
        let mut given = readings.recv().ok();
        while let Some(mut reading) = given {
            // From here on, whoever takes something asks anew.
            reading.wake.wanted.store(false, Ordering::Release);
            if reading.job.step() {
                // The dispatcher lives as long as the process.
                let _ = self.back.send(reading);
                self.dispatcher.unpark();
            }
            let next = next.clone();
            self.resting().push(Resting { thread, next });
            given = match readings.recv_timeout(REST) {
                Ok(reading) => Some(reading),
                Err(_) => {
                    let mut resting = self.resting();
                    let at = resting.iter().position(|resting| resting.thread == thread);
                    if let Some(at) = at {
                        resting.remove(at);
                        return;
                    }
                    drop(resting);
                    // Somebody has just taken it from the list.
                    readings.recv().ok()
                }
            };
        }
    }
}

/// Keeps the readings whose rings are full.
fn dispatch(pool: &Arc<Pool>, returned: &Receiver<Reading>) {
    let mut full: Vec<Reading> = Vec::new();
    loop {
        full.extend(returned.try_iter());
        let mut at = 0;
        while let Some(reading) = full.get(at) {
            if !reading.wake.wanted.load(Ordering::Acquire) && !reading.job.is_abandoned() {
                at += 1;
                continue;
            }
            if let Err((error, reading)) = pool.give(full.swap_remove(at)) {
                tracing::warn!("voice: a file waits for a thread to read it: {error}");
                full.push(reading);
                break;
            }
        }
        thread::park_timeout(if full.is_empty() { REST } else { LOOK });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::thread::{self, ThreadId};

    use super::{Job, Pool, Wake};

    /// Tells which thread each step has, and that it is gone.
    struct Told {
        steps: Sender<ThreadId>,
        gone: Option<Sender<()>>,
        abandoned: bool,
        left: u32,
    }

    impl Job for Told {
        fn step(&mut self) -> bool {
            // Fails when the test has seen enough.
            let _ = self.steps.send(thread::current().id());
            self.left -= 1;
            self.left > 0
        }

        fn is_abandoned(&self) -> bool {
            self.abandoned
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            if let Some(gone) = self.gone.take() {
                let _ = gone.send(());
            }
        }
    }

    fn told(steps: &Sender<ThreadId>, left: u32) -> Told {
        Told {
            steps: steps.clone(),
            gone: None,
            abandoned: false,
            left,
        }
    }

    #[test]
    fn files_that_are_full_have_no_thread_and_read_on_when_they_are_woken() {
        let (steps, stepped) = channel();
        let pool = Pool::start().expect("a thread");
        let wakes = Mutex::new(Vec::new());
        let mut threads = HashSet::new();
        for _ in 0..100 {
            pool.begin(|wake| {
                wakes.lock().expect("one thread").push(wake);
                Box::new(told(&steps, 3))
            })
            .expect("a thread");
            threads.insert(stepped.recv().expect("a step"));
        }
        let wakes: Vec<Arc<Wake>> = wakes.into_inner().expect("one thread");
        for _ in 0..2 {
            for wake in &wakes {
                wake.wake();
                threads.insert(stepped.recv().expect("another step"));
            }
        }
        // One after another: a thread that has just returned one file may not rest yet when the next comes.
        assert!(threads.len() < 20, "{} threads", threads.len());
    }

    #[test]
    fn a_file_that_waits_for_its_disk_keeps_nobody_else_waiting() {
        struct Slow(Receiver<()>);
        impl Job for Slow {
            fn step(&mut self) -> bool {
                // Ends with the test.
                let _ = self.0.recv();
                false
            }
            fn is_abandoned(&self) -> bool {
                false
            }
        }
        let pool = Pool::start().expect("a thread");
        let (disks, waiting): (Vec<_>, Vec<_>) = (0..20).map(|_| channel()).unzip();
        for slow in waiting {
            pool.begin(|_| Box::new(Slow(slow))).expect("a thread");
        }
        let (steps, stepped) = channel();
        pool.begin(|_| Box::new(told(&steps, 1))).expect("a thread");
        stepped.recv().expect("it is read");
        drop(disks);
    }

    #[test]
    fn what_nobody_needs_any_more_is_let_go() {
        let (steps, stepped) = channel();
        let (gone, went) = channel();
        let pool = Pool::start().expect("a thread");
        pool.begin(|_| {
            let mut job = told(&steps, 2);
            (job.gone, job.abandoned) = (Some(gone), true);
            Box::new(job)
        })
        .expect("a thread");
        // Nobody wakes it.
        for _ in 0..2 {
            stepped.recv().expect("a step");
        }
        went.recv().expect("it is dropped");
    }
}
