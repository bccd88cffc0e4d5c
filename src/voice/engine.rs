//! The real-time threads of the process, shared by all bots: one pacer, and a worker for each core.
//! They start with the first connection.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::pacer::{Lane, Pacer};
use super::program::Program;
use super::worker::Worker;

/// A cheap handle. The threads end when the last one is gone.
#[derive(Clone, Default)]
pub struct Engine(Arc<Mutex<Option<Threads>>>);

#[derive(Clone)]
struct Threads {
    pacer: Pacer,
    workers: Vec<Worker>,
}

impl Threads {
    fn start() -> io::Result<Self> {
        let pacer = Pacer::start()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..cores).map(|number| Worker::start(number, pacer.clone()));
        Ok(Self {
            workers: workers.collect::<io::Result<_>>()?,
            pacer,
        })
    }
}

/// A program and its lane in the engine. Dropped, they leave.
pub struct Seat {
    id: u64,
    pacer: Pacer,
    worker: Worker,
}

impl Seat {
    /// There is a command, or an outlet is open again.
    pub fn wake(&self) {
        self.worker.thread().unpark();
        self.pacer.wake();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pacer.remove(self.id);
        self.worker.remove(self.id);
    }
}

impl Engine {
    /// Gives a program a place. `lane` is told which thread makes its packets.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn seat(
        &self,
        program: Program,
        lane: impl FnOnce(std::thread::Thread) -> Lane,
    ) -> io::Result<Seat> {
        let threads = {
            let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*threads {
                Some(threads) => threads.clone(),
                None => threads.insert(Threads::start()?).clone(),
            }
        };
        let worker = threads.workers.iter().min_by_key(|worker| worker.load());
        let worker = worker
            .expect("there is a core, so there is a worker")
            .clone();
        let id = program.id;
        threads.pacer.add(lane(worker.thread().clone()));
        worker.add(program);
        Ok(Seat {
            id,
            pacer: threads.pacer,
            worker,
        })
    }
}
