//! The faults as connections share them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::{Batch, FaultSpec, Faults, RequestFault, StreamFault, VoiceFault};

/// [`Faults`] behind a lock, and a flag that says whether there is any.
#[derive(Debug)]
pub struct Switch {
    /// False only while nothing is armed. Set under the lock.
    on: AtomicBool,
    faults: Mutex<Faults>,
    /// Changes when a fault was armed, for streams and sockets that have nothing to write.
    armed: watch::Sender<()>,
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            on: AtomicBool::new(false),
            faults: Mutex::default(),
            armed: watch::Sender::new(()),
        }
    }
}

impl Switch {
    fn with<T>(&self, act: impl FnOnce(&mut Faults) -> T) -> T {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut faults);
        self.on.store(!faults.is_quiet(), Ordering::Release);
        result
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Arms a fault; its id.
    pub fn arm(&self, spec: FaultSpec) -> u64 {
        let id = self.with(|faults| faults.arm(spec));
        self.armed.send_replace(());
        id
    }

    /// Faults at random from now on.
    pub fn unleash(&self, seed: u64) {
        self.with(|faults| faults.unleash(seed));
    }

    /// Takes one fault back, or everything; how many there were.
    pub fn clear(&self, id: Option<u64>) -> usize {
        self.with(|faults| faults.clear(id))
    }

    /// What the control API shows.
    pub fn to_json(&self) -> Value {
        self.with(|faults| faults.to_json())
    }

    /// Changes when a fault is armed.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.armed.subscribe()
    }

    /// What the next request of the interface meets.
    pub fn request(&self, interface: &'static str) -> RequestFault {
        match self.is_on() {
            true => self.with(|faults| faults.request(interface)),
            false => RequestFault::default(),
        }
    }

    /// A stream's first bytes with what a fault puts before them.
    pub fn opening(&self, first: Bytes) -> Bytes {
        if !self.is_on() {
            return first;
        }
        match self.with(Faults::opening) {
            [] => first,
            mark => [mark, &first].concat().into(),
        }
    }

    /// What an open stream meets now.
    pub fn stream(&self) -> Option<StreamFault> {
        self.is_on().then(|| self.with(Faults::stream)).flatten()
    }

    /// The status that a voice socket is refused with.
    pub fn voice_opening(&self) -> Option<u16> {
        self.is_on()
            .then(|| self.with(Faults::voice_opening))
            .flatten()
    }

    /// What an open voice socket meets now; `packet`: it has just passed one on.
    pub fn voice(&self, packet: bool) -> Option<VoiceFault> {
        self.is_on()
            .then(|| self.with(|faults| faults.voice(packet)))
            .flatten()
    }

    /// What the next write's events become; `None`: as they are.
    pub fn batch(&self, chunk: &[u8]) -> Option<Batch> {
        self.is_on()
            .then(|| self.with(|faults| faults.batch(chunk)))
    }
}
