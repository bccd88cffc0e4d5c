//! The clock of every connection: one thread, absolute deadlines, no tokio, no locks, no allocation.
//!
//! Each connection is a [`Lane`]: a ring of packets that were made ahead, and an [`Outlet`]. When a
//! packet is due it goes out, and the next one is due exactly its length later, so nothing drifts.
//! Beginnings are spread over the milliseconds of a frame, so that many connections do not all want to
//! send at once.
//!
//! Being late: a packet that is late by less than its own length goes out and the schedule stays; one
//! that is later moves the schedule, so that the audio is delayed. Nothing is ever sent in a burst to
//! catch up, and nothing is left out. When no packet is ready, silence goes out instead.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtrb::Consumer;

use super::packet::{RATE, SILENCE, SILENCE_SAMPLES};
use super::priority;
use super::stats::Counters;

/// Beginnings are spread over so many milliseconds.
const SPREAD: u128 = 20;
/// Lanes that wait to be added or removed; whoever adds one more waits.
const CHANGES: usize = 64;

/// What a lane sends.
#[derive(Debug, Clone)]
pub enum Frame {
    /// A packet of that many samples; an empty one (DTX) only takes the time.
    Packet(Bytes, u32),
    /// The platform's silence.
    Silence,
    /// Nothing more until there is something again.
    Rest,
}

/// Where packets go. Must neither wait nor allocate.
pub trait Outlet: Send {
    /// Takes a packet that was due at that time; false when there is no room for it.
    fn send(&mut self, packet: Bytes, due: Instant) -> bool;
    /// Whether it takes packets now. While it does not, the lane stands still.
    fn is_open(&self) -> bool;
}

/// Gives the calling thread what the pacer's has: the highest priority that the system lets it have, and
/// timers without slack.
pub fn be_punctual() {
    priority::pace();
}

/// One connection.
pub struct Lane {
    /// Identity.
    pub id: u64,
    /// Made ahead.
    pub frames: Consumer<Frame>,
    /// Where they go.
    pub outlet: Box<dyn Outlet>,
    /// Who makes them, to be woken.
    pub maker: Thread,
    /// What is counted.
    pub counters: Arc<Counters>,
}

struct Running {
    lane: Lane,
    /// When the next packet goes out; `None` while it rests.
    due: Option<Instant>,
}

enum Change {
    Add(Box<Lane>),
    Remove(u64),
}

/// The lanes and their deadlines: stepped by the thread, or by hand.
pub struct Schedule {
    origin: Instant,
    lanes: Vec<Running>,
}

impl Schedule {
    /// Nothing to send.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            lanes: Vec::new(),
        }
    }

    /// Adds a lane, at rest.
    pub fn add(&mut self, lane: Lane) {
        self.lanes.push(Running { lane, due: None });
    }

    /// Drops a lane.
    pub fn remove(&mut self, id: u64) {
        self.lanes.retain(|running| running.lane.id != id);
    }

    /// Sends what is due. Answers when the next packet is.
    pub fn tick(&mut self, clock: impl Fn() -> Instant) -> Option<Instant> {
        let mut now = clock();
        let mut next: Option<Instant> = None;
        for at in 0..self.lanes.len() {
            if !self.lanes[at].lane.outlet.is_open() {
                self.lanes[at].due = None;
                continue;
            }
            let running = &mut self.lanes[at];
            if let Some(due) = running.due.filter(|&due| due <= now) {
                running.due = running.send(due, now);
                // Sending takes time, too, and whoever comes after many others is later than they are.
                now = clock();
            }
            // After a rest, which may have ended meanwhile.
            if running.due.is_none() && !running.lane.frames.is_empty() {
                self.lanes[at].due = Some(self.beginning(now));
            }
            next = match (next, self.lanes[at].due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        next
    }

    /// The next millisecond of a frame in which the fewest lanes send.
    fn beginning(&self, now: Instant) -> Instant {
        let phase =
            |at: Instant| (at.saturating_duration_since(self.origin).as_micros() / 1000) % SPREAD;
        let mut lanes = [0u32; SPREAD as usize];
        for due in self.lanes.iter().filter_map(|running| running.due) {
            lanes[phase(due) as usize] += 1;
        }
        let first = phase(now) + 1;
        let step = (0..SPREAD).min_by_key(|step| lanes[((first + step) % SPREAD) as usize]);
        let whole = now.saturating_duration_since(self.origin).as_millis() + 1 + step.unwrap_or(0);
        self.origin + Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

impl Running {
    /// Sends the packet that is due; answers when the next one is.
    fn send(&mut self, due: Instant, now: Instant) -> Option<Instant> {
        let counters = &self.lane.counters;
        let (packet, samples) = match self.lane.frames.pop() {
            Ok(Frame::Packet(packet, samples)) => (packet, samples),
            Ok(Frame::Silence) => {
                counters.silence.add(1);
                (Bytes::from_static(&SILENCE), SILENCE_SAMPLES)
            }
            Ok(Frame::Rest) => return None,
            Err(_) => {
                counters.missed.add(1);
                counters.silence.add(1);
                // It was not made ahead, so it does not count as paced.
                counters.made.add(u64::from(SILENCE_SAMPLES));
                (Bytes::from_static(&SILENCE), SILENCE_SAMPLES)
            }
        };
        counters.paced.add(u64::from(samples));
        self.lane.maker.unpark();
        let late = now.saturating_duration_since(due);
        if !packet.is_empty() && !self.lane.outlet.send(packet, due) {
            counters.dropped.add(1);
        }
        let length = Duration::from_nanos(u64::from(samples) * 1_000_000_000 / u64::from(RATE));
        Some(if late < length { due } else { now } + length)
    }
}

/// A handle to the pacer's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Pacer {
    changes: SyncSender<Change>,
    thread: Thread,
}

impl Pacer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start() -> std::io::Result<Self> {
        let (changes, changed) = sync_channel(CHANGES);
        let builder = thread::Builder::new()
            .name("voice:pacer".into())
            .stack_size(256 << 10);
        let thread = builder.spawn(move || {
            be_punctual();
            run(&changed);
        })?;
        Ok(Self {
            changes,
            thread: thread.thread().clone(),
        })
    }

    /// Adds a lane.
    pub fn add(&self, lane: Lane) {
        self.change(Change::Add(Box::new(lane)));
    }

    /// Drops a lane.
    pub fn remove(&self, id: u64) {
        self.change(Change::Remove(id));
    }

    fn change(&self, change: Change) {
        // Fails only when the thread has died of a panic.
        let _ = self.changes.send(change);
        self.wake();
    }

    /// A lane at rest has something to send, or an outlet is open again.
    pub fn wake(&self) {
        self.thread.unpark();
    }
}

fn run(changed: &Receiver<Change>) {
    let mut schedule = Schedule::new(Instant::now());
    loop {
        loop {
            match changed.try_recv() {
                Ok(Change::Add(lane)) => schedule.add(*lane),
                Ok(Change::Remove(id)) => schedule.remove(id),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        match schedule.tick(Instant::now) {
            Some(due) => thread::park_timeout(due.saturating_duration_since(Instant::now())),
            // Wakes now and then to see whether the handles are gone.
            None => thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rtrb::{Producer, RingBuffer};

    use super::{Frame, Lane, Outlet, Schedule};
    use crate::allocator;
    use crate::voice::packet::SILENCE;
    use crate::voice::stats::Counters;
    use bytes::Bytes;
    use std::time::{Duration, Instant};

    /// Remembers what it was given; room for it is made beforehand.
    struct Ear(Arc<Mutex<(bool, Vec<Bytes>)>>);

    impl Outlet for Ear {
        fn send(&mut self, packet: Bytes, _: Instant) -> bool {
            let mut heard = self.0.lock().expect("one thread");
            heard.1.push(packet);
            true
        }

        fn is_open(&self) -> bool {
            self.0.lock().expect("one thread").0
        }
    }

    struct Stand {
        schedule: Schedule,
        begun: Instant,
        frames: Producer<Frame>,
        heard: Arc<Mutex<(bool, Vec<Bytes>)>>,
        counters: Arc<Counters>,
    }

    impl Stand {
        fn new() -> Self {
            let begun = Instant::now();
            let mut schedule = Schedule::new(begun);
            let (frames, to) = RingBuffer::new(1_024);
            let heard = Arc::new(Mutex::new((true, Vec::with_capacity(4_096))));
            let counters = Arc::new(Counters::default());
            schedule.add(Lane {
                id: 1,
                frames: to,
                outlet: Box::new(Ear(Arc::clone(&heard))),
                maker: std::thread::current(),
                counters: Arc::clone(&counters),
            });
            Self {
                schedule,
                begun,
                frames,
                heard,
                counters,
            }
        }

        fn make(&mut self, count: usize, samples: u32) {
            for number in 0..count {
                let packet = Bytes::from(vec![0xf8, number as u8, 0]);
                self.frames
                    .push(Frame::Packet(packet, samples))
                    .expect("room");
            }
        }

        fn at(&self, ms: f64) -> Instant {
            self.begun + Duration::from_secs_f64(ms / 1e3)
        }

        /// At a moment.
        fn tick(&mut self, at: Instant) -> Option<Instant> {
            self.schedule.tick(|| at)
        }

        fn heard(&self) -> usize {
            self.heard.lock().expect("one thread").1.len()
        }
    }

    #[test]
    fn packets_go_out_when_they_are_due_and_nothing_drifts() {
        let mut stand = Stand::new();
        stand.make(1_000, 960);
        let mut due = stand
            .schedule
            .tick(|| stand.begun)
            .expect("something to send");
        assert_eq!(due, stand.at(1.0));
        for number in 0..999 {
            // Always a little late.
            let next = stand.tick(due + Duration::from_micros(300));
            assert_eq!(next, Some(stand.at(1.0 + 20.0 * (number + 1) as f64)));
            assert_eq!(stand.heard(), number + 1);
            due = next.expect("more");
        }
    }

    #[test]
    fn whoever_is_very_late_goes_on_from_there_without_a_burst() {
        let mut stand = Stand::new();
        stand.make(10, 960);
        stand.tick(stand.begun);
        stand.tick(stand.at(1.0));
        // A second passes.
        let late = stand.at(1_021.0);
        let next = stand.tick(late);
        assert_eq!(next, Some(late + Duration::from_millis(20)));
        assert_eq!(stand.heard(), 2);
        assert_eq!(stand.tick(late), next);
        assert_eq!(stand.heard(), 2, "no burst");
    }

    #[test]
    fn a_missing_packet_is_silence_and_a_rest_is_nothing() {
        let mut stand = Stand::new();
        stand.make(1, 480);
        stand.tick(stand.begun);
        assert_eq!(stand.tick(stand.at(1.0)), Some(stand.at(11.0)));
        stand.tick(stand.at(11.0));
        assert_eq!(stand.heard.lock().expect("one thread").1[1], SILENCE[..]);
        assert_eq!(
            (stand.counters.missed.get(), stand.counters.silence.get()),
            (1, 1)
        );
        stand.frames.push(Frame::Rest).expect("room");
        assert_eq!(stand.tick(stand.at(31.0)), None);
        stand.make(1, 960);
        assert_eq!(stand.tick(stand.at(500.0)), Some(stand.at(501.0)));
    }

    #[test]
    fn a_closed_outlet_keeps_the_packets() {
        let mut stand = Stand::new();
        stand.make(3, 960);
        stand.tick(stand.begun);
        stand.tick(stand.at(1.0));
        stand.heard.lock().expect("one thread").0 = false;
        assert_eq!(stand.tick(stand.at(21.0)), None);
        stand.heard.lock().expect("one thread").0 = true;
        assert_eq!(stand.tick(stand.at(5_000.0)), Some(stand.at(5_001.0)));
        stand.tick(stand.at(5_001.0));
        assert_eq!(
            stand.heard.lock().expect("one thread").1[1][1],
            1,
            "the next one"
        );
    }

    #[test]
    fn lanes_begin_at_different_times() {
        let begun = Instant::now();
        let mut schedule = Schedule::new(begun);
        let mut producers = Vec::new();
        for id in 0..40 {
            let (mut frames, to) = RingBuffer::new(4);
            frames.push(Frame::Silence).expect("room");
            producers.push(frames);
            schedule.add(Lane {
                id,
                frames: to,
                outlet: Box::new(Ear(Arc::new(Mutex::new((true, Vec::new()))))),
                maker: std::thread::current(),
                counters: Arc::default(),
            });
        }
        schedule.tick(|| begun);
        let mut phases = [0; 20];
        for running in &schedule.lanes {
            let due = running.due.expect("it began") - begun;
            phases[due.as_millis() as usize % 20] += 1;
        }
        assert_eq!(phases, [2; 20]);
    }

    #[test]
    fn a_tick_neither_allocates_nor_frees() {
        let mut stand = Stand::new();
        stand.make(50, 960);
        let ((), requests) = allocator::count(|| {
            for ms in 0..1_200 {
                stand.tick(stand.at(f64::from(ms)));
            }
        });
        assert_eq!(requests, 0);
        assert_eq!(stand.counters.paced.get(), 60 * 960);
    }
}
