//! Between the real-time threads and a session: a ring of packets, and one bell for everything.
//!
//! The ring takes [`PACKETS`]; when the network does not take them in time and it is full, the newest
//! packet is dropped and counted, because audio that comes late is worth nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::voice::mixer::Event;
use crate::voice::pacer::Outlet;

/// Packets that wait for the socket.
const PACKETS: usize = 32;

/// The bell and whether packets are wanted.
#[derive(Default)]
pub struct Line {
    waker: AtomicWaker,
    open: AtomicBool,
}

impl Line {
    /// Something is in one of the rings.
    pub fn ring(&self) {
        self.waker.wake();
    }

    /// Whether the socket takes packets now.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }
}

/// A packet, and when it was due.
pub struct Due {
    /// The packet.
    pub packet: Bytes,
    /// Its time.
    pub at: Instant,
}

struct Out {
    packets: Producer<Due>,
    line: Arc<Line>,
}

impl Outlet for Out {
    fn send(&mut self, packet: Bytes, due: Instant) -> bool {
        let taken = self.packets.push(Due { packet, at: due }).is_ok();
        self.line.ring();
        taken
    }

    fn is_open(&self) -> bool {
        self.line.open.load(Ordering::Acquire)
    }
}

/// What a session takes from the real-time threads.
pub struct Intake {
    /// To be sent at once.
    pub packets: Consumer<Due>,
    /// What the mixer tells.
    pub events: Consumer<Event>,
    /// The bell.
    pub line: Arc<Line>,
}

impl Intake {
    /// An intake and the pacer's end of it.
    pub fn new(events: Consumer<Event>) -> (Self, Box<dyn Outlet>) {
        let (to, packets) = RingBuffer::new(PACKETS);
        let line = Arc::new(Line::default());
        let out = Out {
            packets: to,
            line: Arc::clone(&line),
        };
        let intake = Self {
            packets,
            events,
            line,
        };
        (intake, Box::new(out))
    }

    /// Waits until one of the rings has something.
    pub async fn ready(&mut self) {
        let intake = self;
        std::future::poll_fn(move |context| {
            intake.line.waker.register(context.waker());
            match intake.packets.is_empty() && intake.events.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    }
}
