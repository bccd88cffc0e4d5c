//! The thread that reads a file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rtrb::{Producer, RingBuffer};

use super::opus::{OpusFeed, PACKETS};
use super::samples::{AHEAD, SampleFeed};
use super::{End, Feed, Opened, Plan};
use crate::voice::ogg::{AudioPacket, Reader};
use crate::voice::source::decode::Decoded;
use crate::voice::source::{Error, Source};

/// The reading thread looks this often whether it is still needed.
const LOOK: Duration = Duration::from_millis(200);

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

fn read_samples(mut decoded: Decoded, mut to: Producer<f32>, looped: bool) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use std::thread;

    use rtrb::RingBuffer;

    use super::{Feed, Opened, SampleFeed, spawn};
    use crate::voice::source::feed::{Pulled, testing};

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
