//! A file on its way to the mixer: a thread reads ahead into a wait-free ring.
//!
//! The ring is the bound: [`opus::PACKETS`] packets or [`samples::AHEAD`] samples; when it is full, the file has
//! no thread until the mixer has taken half. When the mixer drops its end, the file is closed. A seek is a
//! new feed that takes the place of the old one, so a feed knows no commands. A panic in a decoder ends the
//! feed with an error.
//!
//! | file | owns |
//! |---|---|
//! | here | what the mixer reads, whatever it comes from |
//! | `reader` | a file that is read |
//! | `pool` | the threads that read |
//! | `opus` | packets, sent as they are or decoded |
//! | `samples` | samples of a decoded file or of a script |

mod opus;
mod pool;
mod reader;
mod samples;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use crate::voice::ogg::AudioPacket;
use crate::voice::packet;
pub use opus::OpusFeed;
pub use reader::open;
pub use samples::SampleFeed;

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

    /// Whether it is written by a script: nobody knows whether more will come.
    pub fn is_live(&self) -> bool {
        matches!(self, Feed::Samples(feed) if feed.reader.is_none())
    }

    /// Whether it is written by a script and has nothing now: no reason to send.
    pub fn is_resting(&self) -> bool {
        matches!(self, Feed::Samples(feed) if feed.reader.is_none() && feed.samples.is_empty())
    }

    /// Whether everything was read, and nothing more will come.
    pub fn is_exhausted(&self) -> bool {
        match self {
            Feed::Opus(feed) => feed.end.is_over() && feed.packets.is_empty() && !feed.is_amid(),
            Feed::Samples(feed) => feed.end.is_over() && feed.samples.is_empty(),
        }
    }

    /// That many samples (of one channel), and as many more as the last packet of them has.
    pub fn whole(&mut self, wanted: u32) -> u32 {
        match self {
            // Fewer at hand are no reason to take less.
            Feed::Opus(feed) => wanted.max(feed.whole(wanted as usize) as u32),
            Feed::Samples(_) => wanted,
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
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use rtrb::{Consumer, Producer, RingBuffer};

    use super::pool::Wake;
    use super::{End, Feed, SampleFeed};

    /// A feed of one channel that the test writes; it does not end.
    pub fn written(room: usize) -> (Producer<f32>, Feed) {
        let (to, samples) = RingBuffer::new(room);
        (to, feed(samples, Arc::default()))
    }

    /// A feed of one channel that a script writes.
    pub fn live(room: usize) -> (Producer<f32>, Feed) {
        let (to, samples) = RingBuffer::new(room);
        (to, Feed::Samples(SampleFeed::live(samples, 1)))
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
            reader: Some(Wake::of_nobody()),
            end,
        })
    }
}
