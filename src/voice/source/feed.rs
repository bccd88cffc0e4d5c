//! A file on its way to the mixer: a thread reads ahead into a wait-free ring.
//!
//! The ring is the bound: [`PACKETS`] packets or [`AHEAD`] samples; when it is full, the thread sleeps
//! until the mixer has taken half. When the mixer drops its end, the thread ends. A seek is a new feed
//! that takes the place of the old one, so a feed knows no commands. A panic in a decoder ends the feed
//! with an error.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use opus::{Channels, Decoder};
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Error, Source};
use crate::voice::ogg::{AudioPacket, Reader};
use crate::voice::packet::{self, LONGEST, RATE};

/// Packets that are read ahead: 1.28 s of 20 ms.
const PACKETS: usize = 64;
/// Samples (of one channel) that are decoded ahead: a quarter of a second.
const AHEAD: usize = RATE as usize / 4;
/// What a decoder is fed after a jump, samples (RFC 7845, 4.6).
const SETTLE: u32 = RATE * 80 / 1000;
/// The reading thread looks this often whether it is still needed.
const LOOK: Duration = Duration::from_millis(200);

/// How a file is read.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file.
    pub path: PathBuf,
    /// Channels of the mix, 1 or 2.
    pub channels: usize,
    /// Where to begin, samples.
    pub start: u64,
    /// Whether it begins again at its end.
    pub looped: bool,
}

/// An opened file.
pub struct Opened {
    /// What the mixer reads.
    pub feed: Feed,
    /// Its length, samples, if it is known.
    pub duration: Option<u64>,
    /// Where it really begins, samples.
    pub start: u64,
}

/// How a feed ended.
#[derive(Debug, Default)]
pub struct End {
    over: AtomicBool,
    error: OnceLock<String>,
}

impl End {
    fn set(&self, result: &Result<(), Error>) {
        if let Err(error) = result {
            // Set once: a feed ends once.
            let _ = self.error.set(error.to_string());
        }
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Why the file could not be read to its end.
    pub fn error(&self) -> Option<&str> {
        self.error.get().map(String::as_str)
    }
}

/// How much a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// All that was wanted.
    All,
    /// So many samples of each channel; more will come.
    Starved(usize),
    /// So many, and no more.
    Ended(usize),
}

/// The mixer's end.
pub enum Feed {
    /// Packets.
    Opus(Box<OpusFeed>),
    /// Samples.
    Samples(SampleFeed),
}

/// Opens a file on a thread of its own, tells `opened`, and reads ahead.
///
/// # Errors
/// When the system has no more threads.
pub fn open(
    plan: Plan,
    opened: impl FnOnce(Result<Opened, Error>) + Send + 'static,
) -> std::io::Result<()> {
    spawn(opened, move |end, tell| read(&plan, end, tell))
}

/// Runs a reader on a thread of its own; a panic in it is an error of its feed.
fn spawn(
    opened: impl FnOnce(Result<Opened, Error>) + Send + 'static,
    reader: impl FnOnce(&Arc<End>, &mut dyn FnMut(Result<Opened, Error>)) -> Result<(), Error>
    + Send
    + 'static,
) -> std::io::Result<()> {
    let builder = thread::Builder::new()
        .name("voice:read".into())
        .stack_size(512 << 10);
    builder.spawn(move || {
        let end = Arc::new(End::default());
        let mut opened = Some(opened);
        let mut tell = |result| {
            if let Some(opened) = opened.take() {
                opened(result);
            }
        };
        let run = AssertUnwindSafe(|| reader(&end, &mut tell));
        let result =
            catch_unwind(run).unwrap_or_else(|_| Err(Error::Broken("its decoder failed".into())));
        end.set(&result);
        if let Err(error) = result {
            tell(Err(error));
        }
    })?;
    Ok(())
}

fn read(
    plan: &Plan,
    end: &Arc<End>,
    tell: &mut dyn FnMut(Result<Opened, Error>),
) -> Result<(), Error> {
    let mut source = Source::open(&plan.path, plan.channels)?;
    let duration = source.duration();
    let start = match plan.start {
        0 => 0,
        start => source.seek(start)?,
    };
    match source {
        Source::Opus(reader) => {
            let (to, packets) = RingBuffer::new(PACKETS);
            let feed = OpusFeed::new(packets, Arc::clone(end), plan.channels, reader.gain())?;
            let feed = Feed::Opus(Box::new(feed));
            tell(Ok(Opened {
                feed,
                duration,
                start,
            }));
            read_packets(*reader, to, plan.looped)
        }
        Source::Samples(decoded) => {
            let (to, samples) = RingBuffer::new(AHEAD * plan.channels);
            let feed = Feed::Samples(SampleFeed {
                samples,
                channels: plan.channels,
                reader: Some(thread::current()),
                end: Arc::clone(end),
            });
            tell(Ok(Opened {
                feed,
                duration,
                start,
            }));
            read_samples(*decoded, to, plan.looped)
        }
    }
}

fn read_packets(
    mut reader: Reader,
    mut to: Producer<AudioPacket>,
    looped: bool,
) -> Result<(), Error> {
    let mut any = false;
    loop {
        match reader.read()? {
            Some(packet) => {
                any = true;
                // From here on a clone of the bytes allocates nothing.
                drop(packet.data.clone());
                let mut packet = packet;
                while let Err(rtrb::PushError::Full(back)) = to.push(packet) {
                    packet = back;
                    if !wait(&to) {
                        return Ok(());
                    }
                }
            }
            None if looped && any => {
                reader.seek(0)?;
                any = false;
            }
            None => return Ok(()),
        }
    }
}

fn read_samples(
    mut decoded: super::decode::Decoded,
    mut to: Producer<f32>,
    looped: bool,
) -> Result<(), Error> {
    let mut block = Vec::new();
    let mut any = false;
    loop {
        block.clear();
        let more = decoded.read(&mut block)?;
        any |= !block.is_empty();
        let mut from = 0;
        while from < block.len() {
            let room = to.slots().min(block.len() - from);
            if room == 0 {
                if !wait(&to) {
                    return Ok(());
                }
                continue;
            }
            if let Ok(chunk) = to.write_chunk_uninit(room) {
                chunk.fill_from_iter(block[from..from + room].iter().copied());
            }
            from += room;
        }
        if !more {
            if !(looped && any) {
                return Ok(());
            }
            decoded.seek(0)?;
            any = false;
        }
    }
}

/// Waits for room; false when nobody listens any more.
fn wait<T>(to: &Producer<T>) -> bool {
    if to.is_abandoned() {
        return false;
    }
    thread::park_timeout(LOOK);
    true
}

/// Packets of a file, sent as they are or decoded here.
pub struct OpusFeed {
    packets: Consumer<AudioPacket>,
    reader: Thread,
    end: Arc<End>,
    channels: usize,
    /// Of the file's header.
    gain: f32,
    decoder: Decoder,
    /// What was sent untouched last: a decoder that begins in the middle is settled with it.
    sent: VecDeque<AudioPacket>,
    /// Decoded, and which part of it is not read yet (samples of one channel).
    decoded: Box<[f32]>,
    from: usize,
    to: usize,
}

impl OpusFeed {
    fn new(
        packets: Consumer<AudioPacket>,
        end: Arc<End>,
        channels: usize,
        gain: f32,
    ) -> Result<Self, Error> {
        let layout = if channels == 1 {
            Channels::Mono
        } else {
            Channels::Stereo
        };
        let decoder =
            Decoder::new(RATE, layout).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(Self {
            packets,
            reader: thread::current(),
            end,
            channels,
            gain,
            decoder,
            sent: VecDeque::with_capacity((SETTLE / 120) as usize + 1),
            decoded: vec![0.0; LONGEST as usize * channels].into(),
            from: 0,
            to: 0,
        })
    }

    /// The next packet to send as it is, if what was read so far ends with a packet.
    pub fn peek(&mut self) -> Option<&AudioPacket> {
        if self.from < self.to {
            return None;
        }
        while self.packets.peek().is_ok_and(|packet| packet.settling) {
            let packet = self.pop()?;
            self.remember(packet);
        }
        self.packets.peek().ok()
    }

    /// Whether what was read so far ends within a packet.
    pub fn is_amid(&self) -> bool {
        self.from < self.to
    }

    /// Takes the packet that [`Self::peek`] showed.
    pub fn take(&mut self) -> Option<AudioPacket> {
        let packet = self.pop()?;
        self.remember(packet.clone());
        Some(packet)
    }

    fn remember(&mut self, packet: AudioPacket) {
        let mut samples = packet.samples + self.sent.iter().map(|sent| sent.samples).sum::<u32>();
        while let Some(oldest) = self.sent.front()
            && (samples - oldest.samples >= SETTLE || self.sent.len() == self.sent.capacity())
        {
            samples -= oldest.samples;
            self.sent.pop_front();
        }
        self.sent.push_back(packet);
    }

    fn pop(&mut self) -> Option<AudioPacket> {
        let packet = self.packets.pop().ok();
        if self.packets.slots() < PACKETS / 2 {
            self.reader.unpark();
        }
        packet
    }

    fn read(&mut self, out: &mut [f32]) -> Pulled {
        let wanted = out.len() / self.channels;
        let mut done = 0;
        while done < wanted {
            if self.from == self.to && !self.decode() {
                // The end first: what was written before it must not be missed.
                return match self.end.is_over() && self.packets.is_empty() {
                    true => Pulled::Ended(done),
                    false => Pulled::Starved(done),
                };
            }
            let count = (self.to - self.from).min(wanted - done);
            let from = self.from * self.channels;
            let part = &self.decoded[from..from + count * self.channels];
            out[done * self.channels..][..part.len()].copy_from_slice(part);
            self.from += count;
            done += count;
        }
        Pulled::All
    }

    /// Decodes the next packet; false when there is none.
    fn decode(&mut self) -> bool {
        while let Some(sent) = self.sent.pop_front() {
            self.decode_one(&sent);
        }
        loop {
            let Some(packet) = self.pop() else {
                return false;
            };
            self.decode_one(&packet);
            self.from = packet.skip as usize;
            self.to = (packet.samples - packet.trim) as usize;
            if self.from < self.to {
                return true;
            }
            self.from = 0;
            self.to = 0;
        }
    }

    fn decode_one(&mut self, packet: &AudioPacket) {
        let room = &mut self.decoded[..packet.samples as usize * self.channels];
        // A packet that only looks like one becomes silence.
        if self.decoder.decode_float(&packet.data, room, false).ok()
            != Some(packet.samples as usize)
        {
            room.fill(0.0);
        }
    }

    fn has(&mut self, wanted: usize) -> bool {
        let mut have = self.to - self.from;
        let Ok(chunk) = self.packets.read_chunk(self.packets.slots()) else {
            return false;
        };
        let (first, second) = chunk.as_slices();
        for packet in first.iter().chain(second) {
            if have >= wanted {
                break;
            }
            have += (packet.samples - packet.skip - packet.trim) as usize;
        }
        have >= wanted
    }
}

/// Samples: of a decoded file, or pushed by a script.
pub struct SampleFeed {
    samples: Consumer<f32>,
    channels: usize,
    /// Who reads the file; nobody for what a script pushes.
    reader: Option<Thread>,
    end: Arc<End>,
}

impl SampleFeed {
    /// A feed that is written from outside; it ends when the producer is dropped.
    pub fn live(samples: Consumer<f32>, channels: usize) -> Self {
        Self {
            samples,
            channels,
            reader: None,
            end: Arc::default(),
        }
    }

    fn read(&mut self, out: &mut [f32]) -> Pulled {
        // Asked first: what was written before the end must not be missed.
        let over = self.end.is_over() || (self.reader.is_none() && self.samples.is_abandoned());
        let there = self.samples.slots().min(out.len());
        if let Ok(chunk) = self.samples.read_chunk(there) {
            let (first, second) = chunk.as_slices();
            out[..first.len()].copy_from_slice(first);
            out[first.len()..there].copy_from_slice(second);
            chunk.commit_all();
        }
        if let Some(reader) = &self.reader
            && self.samples.slots() < AHEAD * self.channels / 2
        {
            reader.unpark();
        }
        match there / self.channels {
            _ if there == out.len() => Pulled::All,
            frames if over => Pulled::Ended(frames),
            frames => Pulled::Starved(frames),
        }
    }
}

impl Feed {
    /// Fills `out` (interleaved) as far as there is something; the rest of it is not touched.
    pub fn read(&mut self, out: &mut [f32]) -> Pulled {
        match self {
            Feed::Opus(feed) => feed.read(out),
            Feed::Samples(feed) => feed.read(out),
        }
    }

    /// Whether so many samples (of one channel) can be read now, or the end.
    pub fn is_ready(&mut self, wanted: usize) -> bool {
        let over = match self {
            Feed::Opus(feed) => feed.end.is_over(),
            Feed::Samples(feed) => feed.end.is_over(),
        };
        over || match self {
            Feed::Opus(feed) => feed.has(wanted),
            Feed::Samples(feed) => feed.samples.slots() >= wanted.saturating_mul(feed.channels),
        }
    }

    /// Whether it is written by a script and has nothing now: no reason to send.
    pub fn is_resting(&self) -> bool {
        matches!(self, Feed::Samples(feed) if feed.reader.is_none() && feed.samples.is_empty())
    }

    /// Whether everything was read, and nothing more will come.
    pub fn is_exhausted(&self) -> bool {
        match self {
            Feed::Opus(feed) => {
                feed.end.is_over() && feed.packets.is_empty() && feed.from == feed.to
            }
            Feed::Samples(feed) => feed.end.is_over() && feed.samples.is_empty(),
        }
    }

    /// The gain that the file itself asks for.
    pub fn gain(&self) -> f32 {
        match self {
            Feed::Opus(feed) => feed.gain,
            Feed::Samples(_) => 1.0,
        }
    }

    /// Why the file could not be read to its end.
    pub fn error(&self) -> Option<&str> {
        match self {
            Feed::Opus(feed) => feed.end.error(),
            Feed::Samples(feed) => feed.end.error(),
        }
    }

    /// The next packet that could be sent as it is.
    pub fn packets(&mut self) -> Option<&mut OpusFeed> {
        match self {
            Feed::Opus(feed) => Some(feed),
            Feed::Samples(_) => None,
        }
    }
}

/// Whether a packet of a file can be sent untouched, DTX being sent as nothing.
pub fn passes(packet: &AudioPacket) -> bool {
    let layout = packet::parse(&packet.data);
    layout.is_ok_and(|layout| {
        !matches!(
            layout.sendable(),
            Err(packet::Unsendable::Large(_) | packet::Unsendable::Length(_))
        )
    })
}

/// Feeds without files.
#[cfg(test)]
pub mod testing {
    use super::{Arc, Consumer, End, Feed, Ordering, Producer, RingBuffer, SampleFeed, thread};

    /// A feed of one channel that the test writes; it does not end.
    pub fn written(room: usize) -> (Producer<f32>, Feed) {
        let (to, samples) = RingBuffer::new(room);
        (to, feed(samples, Arc::default()))
    }

    /// A feed with these samples, and no more.
    pub fn finished(samples: impl Iterator<Item = f32>) -> Feed {
        let samples: Vec<f32> = samples.collect();
        let (mut to, from) = RingBuffer::new(samples.len().max(1));
        for sample in samples {
            let _ = to.push(sample);
        }
        let end = Arc::new(End::default());
        end.over.store(true, Ordering::Release);
        feed(from, end)
    }

    fn feed(samples: Consumer<f32>, end: Arc<End>) -> Feed {
        Feed::Samples(SampleFeed {
            samples,
            channels: 1,
            reader: Some(thread::current()),
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{Feed, Opened, Pulled, RingBuffer, SampleFeed, spawn, testing, thread};

    #[test]
    fn a_panic_of_a_decoder_ends_only_its_own_feed() {
        let (tell, told) = mpsc::channel();
        let opened = move |opened| tell.send(opened).expect("the test waits");
        spawn(opened, |end, tell| {
            let (mut to, samples) = RingBuffer::new(8);
            let feed = Feed::Samples(SampleFeed {
                samples,
                channels: 1,
                reader: Some(thread::current()),
                end: end.clone(),
            });
            tell(Ok(Opened {
                feed,
                duration: None,
                start: 0,
            }));
            to.push(0.5).expect("room");
            panic!("a fault of a decoder");
        })
        .expect("a thread");
        let mut broken = told.recv().expect("it opens").expect("it is open").feed;
        let mut other = testing::finished([0.25; 4].into_iter());
        let mut block = [0.0; 4];
        let mut heard = 0;
        loop {
            match broken.read(&mut block) {
                Pulled::Ended(more) => break heard += more,
                Pulled::Starved(more) => heard += more,
                Pulled::All => panic!("it has one sample"),
            }
            thread::yield_now();
        }
        // What came before the fault is heard.
        assert_eq!((heard, block[0]), (1, 0.5));
        assert_eq!(
            broken.error(),
            Some("the file is broken: its decoder failed")
        );
        assert_eq!(other.read(&mut block), Pulled::All);
        assert_eq!((block, other.error()), ([0.25; 4], None));
    }

    #[test]
    fn a_panic_while_a_file_is_opened_is_an_error_of_opening() {
        let (tell, told) = mpsc::channel();
        let opened = move |opened: Result<Opened, _>| {
            tell.send(opened.map(|_| ())).expect("the test waits");
        };
        spawn(opened, |_, _| panic!("a fault of a demuxer")).expect("a thread");
        let error = told.recv().expect("an answer").expect_err("a fault");
        assert_eq!(error.to_string(), "the file is broken: its decoder failed");
    }
}
