//! Threads that make packets ahead: mixing and encoding, spread over the cores.
//!
//! A connection belongs to the worker that had the fewest when it came. A worker fills every program's
//! ring and sleeps until the pacer has sent something or a command comes. It measures how much of its
//! time it works, and lowers the complexity of its encoders before deadlines are missed
//! ([`Governor`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::encoder::Governor;
use super::pacer::Pacer;
use super::program::{Program, Wants};

/// How soon a worker looks again for a file that is being read.
const SOON: Duration = Duration::from_millis(4);
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
        let thread = builder.spawn(move || run(&changed, &pacer))?;
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
    let mut governor = Governor::default();
    let mut measured = (Instant::now(), Duration::ZERO, 0);
    loop {
        loop {
            match changed.try_recv() {
                Ok(Change::Add(program)) => programs.push(*program),
                Ok(Change::Remove(id)) => programs.retain(|program| program.id != id),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let mut wants = Wants::Nothing;
        for program in &mut programs {
            if program.fill(governor.cap(), &mut || pacer.wake()) == Wants::Data {
                wants = Wants::Data;
            }
        }
        let since = measured.0.elapsed();
        if since >= MEASURE {
            let busy = programs.iter().map(Program::busy).sum::<Duration>();
            let missed = programs.iter().map(Program::missed).sum::<u64>();
            // A program that has left takes its time with it.
            let worked = busy.saturating_sub(measured.1);
            governor.note(
                worked.as_secs_f64() / since.as_secs_f64(),
                missed > measured.2,
            );
            measured = (Instant::now(), busy, missed);
        }
        match wants {
            Wants::Data => thread::park_timeout(SOON),
            Wants::Nothing if programs.is_empty() => thread::park_timeout(Duration::from_secs(1)),
            Wants::Nothing => thread::park_timeout(MEASURE),
        }
    }
}
