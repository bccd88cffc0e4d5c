//! Reading a file ahead, step by step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rtrb::{Producer, RingBuffer};

use super::opus::{OpusFeed, PACKETS};
use super::pool::{self, Job, Wake};
use super::samples::{AHEAD, SampleFeed};
use super::{End, Feed, Opened, Plan};
use crate::voice::ogg::{AudioPacket, Reader};
use crate::voice::source::decode::Decoded;
use crate::voice::source::{Error, Source};

/// Opens a file on a thread that may wait, tells `opened`, and reads ahead.
///
/// # Errors
/// When the system has no more threads.
pub fn open(
    plan: Plan,
    opened: impl FnOnce(Result<Opened, Error>) + Send + 'static,
) -> std::io::Result<()> {
    spawn(opened, move |end, wake| begin(&plan, end, wake))
}

/// Begins to read; a panic is an error of its feed.
fn spawn(
    opened: impl FnOnce(Result<Opened, Error>) + Send + 'static,
    begin: impl FnOnce(&Arc<End>, &Arc<Wake>) -> Result<(Opened, Box<dyn Ahead>), Error>
    + Send
    + 'static,
) -> std::io::Result<()> {
    pool::begin(|wake| {
        Box::new(File {
            begin: Some(Box::new(begin)),
            opened: Some(Box::new(opened)),
            ahead: None,
            end: Arc::default(),
            wake,
        })
    })
}

/// Fills a ring.
trait Ahead: Send {
    /// Reads until the ring is full; false at the end.
    fn fill(&mut self) -> Result<bool, Error>;
    /// Whether the mixer has dropped its end.
    fn is_abandoned(&self) -> bool;
}

type Told = dyn FnOnce(Result<Opened, Error>) + Send;
type Begin = dyn FnOnce(&Arc<End>, &Arc<Wake>) -> Result<(Opened, Box<dyn Ahead>), Error> + Send;

/// A file that is opened and read.
struct File {
    /// Until it is open.
    begin: Option<Box<Begin>>,
    /// Until somebody was told.
    opened: Option<Box<Told>>,
    /// From then on.
    ahead: Option<Box<dyn Ahead>>,
    end: Arc<End>,
    wake: Arc<Wake>,
}

impl File {
    fn read(&mut self) -> Result<bool, Error> {
        if let Some(begin) = self.begin.take() {
            let (opened, ahead) = begin(&self.end, &self.wake)?;
            self.ahead = Some(ahead);
            self.tell(Ok(opened));
        }
        match &mut self.ahead {
            Some(ahead) if !ahead.is_abandoned() => ahead.fill(),
            _ => Ok(false),
        }
    }

    fn tell(&mut self, result: Result<Opened, Error>) {
        if let Some(opened) = self.opened.take() {
            opened(result);
        }
    }
}

impl Job for File {
    fn step(&mut self) -> bool {
        let read = catch_unwind(AssertUnwindSafe(|| self.read()));
        let read = read.unwrap_or_else(|_| Err(Error::Broken("its decoder failed".into())));
        if let Ok(true) = read {
            return true;
        }
        let result = read.map(|_| ());
        self.end.set(&result);
        if let Err(error) = result {
            self.tell(Err(error));
        }
        false
    }

    fn is_abandoned(&self) -> bool {
        self.ahead
            .as_ref()
            .is_some_and(|ahead| ahead.is_abandoned())
    }
}

fn begin(plan: &Plan, end: &Arc<End>, wake: &Arc<Wake>) -> Result<(Opened, Box<dyn Ahead>), Error> {
    let mut source = Source::open(&plan.path, plan.channels)?;
    let duration = source.duration();
    let start = match plan.start {
        0 => 0,
        start => source.seek(start)?,
    };
    let (end, wake) = (Arc::clone(end), Arc::clone(wake));
    let (feed, ahead): (_, Box<dyn Ahead>) = match source {
        Source::Opus(reader) => {
            let (to, packets) = RingBuffer::new(PACKETS);
            let feed = OpusFeed::new(packets, wake, end, plan.channels, reader.gain())?;
            let ahead = Packets {
                reader,
                to,
                held: None,
                looped: plan.looped,
                any: false,
            };
            (Feed::Opus(Box::new(feed)), Box::new(ahead))
        }
        Source::Samples(decoded) => {
            let (to, samples) = RingBuffer::new(AHEAD * plan.channels);
            let feed = SampleFeed {
                samples,
                channels: plan.channels,
                reader: Some(wake),
                end,
            };
            let ahead = Samples {
                decoded,
                to,
                block: Vec::new(),
                from: 0,
                more: true,
                looped: plan.looped,
                any: false,
            };
            (Feed::Samples(feed), Box::new(ahead))
        }
    };
    let opened = Opened {
        feed,
        duration,
        start,
    };
    Ok((opened, ahead))
}

/// The packets of a file.
struct Packets {
    reader: Box<Reader>,
    to: Producer<AudioPacket>,
    /// Read, and without room in the ring.
    held: Option<AudioPacket>,
    looped: bool,
    /// Something was read since the beginning: a file without packets does not loop.
    any: bool,
}

impl Ahead for Packets {
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(packet) = self.held.take()
                && let Err(rtrb::PushError::Full(back)) = self.to.push(packet)
            {
                self.held = Some(back);
                return Ok(true);
            }
            match self.reader.read()? {
                Some(packet) => {
                    self.any = true;
                    // From here on a clone of the bytes allocates nothing.
                    drop(packet.data.clone());
                    self.held = Some(packet);
                }
                None if self.looped && std::mem::take(&mut self.any) => {
                    self.reader.seek(0)?;
                }
                None => return Ok(false),
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        self.to.is_abandoned()
    }
}

/// The samples of a file.
struct Samples {
    decoded: Box<Decoded>,
    to: Producer<f32>,
    /// What was decoded, and from where on it has not found room in the ring.
    block: Vec<f32>,
    from: usize,
    /// Whether there is more behind it.
    more: bool,
    looped: bool,
    /// See [`Packets::any`].
    any: bool,
}

impl Ahead for Samples {
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            let room = self.to.slots().min(self.block.len() - self.from);
            if let Ok(chunk) = self.to.write_chunk_uninit(room) {
                let part = &self.block[self.from..self.from + room];
                self.from += chunk.fill_from_iter(part.iter().copied());
            }
            if self.from < self.block.len() {
                return Ok(true);
            }
            if !self.more {
                if !(self.looped && std::mem::take(&mut self.any)) {
                    return Ok(false);
                }
                self.decoded.seek(0)?;
            }
            self.block.clear();
            self.from = 0;
            self.more = self.decoded.read(&mut self.block)?;
            self.any |= !self.block.is_empty();
        }
    }

    fn is_abandoned(&self) -> bool {
        self.to.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use std::thread;

    use rtrb::RingBuffer;

    use super::{Ahead, Error, Feed, Opened, Producer, SampleFeed, spawn};
    use crate::voice::source::feed::{Pulled, testing};

    /// Gives a sample and panics.
    struct Broken(Producer<f32>);

    impl Ahead for Broken {
        fn fill(&mut self) -> Result<bool, Error> {
            self.0.push(0.5).expect("room");
            panic!("a fault of a decoder");
        }

        fn is_abandoned(&self) -> bool {
            self.0.is_abandoned()
        }
    }

    #[test]
    fn a_panic_of_a_decoder_ends_only_its_own_feed() {
        let (tell, told) = mpsc::channel();
        let opened = move |opened| tell.send(opened).expect("the test waits");
        spawn(opened, |end, wake| {
            let (to, samples) = RingBuffer::new(8);
            let feed = Feed::Samples(SampleFeed {
                samples,
                channels: 1,
                reader: Some(wake.clone()),
                end: end.clone(),
            });
            let opened = Opened {
                feed,
                duration: None,
                start: 0,
            };
            Ok((opened, Box::new(Broken(to))))
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
