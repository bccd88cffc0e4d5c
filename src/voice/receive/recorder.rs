//! Writes what somebody says into an Ogg Opus file, on a thread of its own.
//!
//! Packets go in as they came; gaps become silence of the same length. The queue takes [`QUEUE`]
//! items; when the disk is so slow that it is full, what is lost becomes silence. A recording ends when
//! it is stopped, when the connection is over, or at its longest length; then the file is whole.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use super::timeline::GRID;
use crate::voice::ogg::Writer;
use crate::voice::packet::RATE;

/// Packets and gaps that wait for the disk: 10 s of 20 ms.
const QUEUE: usize = 512;
/// The longest recording unless the script says otherwise, seconds; and at most.
pub const SECONDS: (f64, f64) = (3_600.0, 86_400.0);
/// What every Ogg file begins with (RFC 3533, 6).
const MAGIC: &[u8] = b"OggS";
/// Samples of silence, and the packets for them: CELT, full band, an empty frame.
const SILENCE: [(u64, [u8; 3]); 4] = [
    (960, [0xf8, 0xff, 0xfe]),
    (480, [0xf0, 0xff, 0xfe]),
    (240, [0xe8, 0xff, 0xfe]),
    (120, [0xe0, 0xff, 0xfe]),
];

enum Item {
    Packet(Bytes, u32),
    Gap(u64),
}

/// How a recording stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// The file is whole.
    Done,
    /// The disk.
    Failed(String),
}

/// A handle for the script.
#[derive(Clone)]
pub struct Recording {
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
}

struct Shared {
    samples: AtomicU64,
    stopped: AtomicBool,
}

impl Recording {
    /// Samples in the file.
    pub fn samples(&self) -> u64 {
        self.shared.samples.load(Ordering::Relaxed)
    }

    /// Ends it; [`Self::done`] tells when the file is whole.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
    }

    /// Waits until the file is whole.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn done(mut self) -> Result<u64, String> {
        let shared = self.shared;
        match self
            .state
            .wait_for(|state| *state != State::Running)
            .await
            .as_deref()
        {
            Ok(State::Failed(error)) => Err(error.clone()),
            Ok(_) | Err(_) => Ok(shared.samples.load(Ordering::Relaxed)),
        }
    }
}

/// The receiving end's side of a recording.
pub struct Recorder {
    items: SyncSender<Item>,
    shared: Arc<Shared>,
    /// Samples that could not be queued.
    owed: u64,
    /// Samples left until the longest length.
    left: u64,
    /// When it began, until the first packet: what was not said before is no part of it.
    began: Option<Instant>,
}

impl Recorder {
    /// Creates the file, or begins that of an older recording anew, and starts the thread. Silence is
    /// recorded since `began`.
    ///
    /// # Errors
    /// When the file is there and no Ogg file, cannot be created, or the system has no more threads.
    pub fn start(path: &Path, seconds: f64, began: Instant) -> io::Result<(Self, Recording)> {
        let file = BufWriter::new(create(path)?);
        // What comes may be mono or stereo, packet by packet: a stereo header suits both.
        let writer = Writer::begin(file, 2, rand::random())?;
        let (items, queue) = sync_channel(QUEUE);
        let (sender, state) = watch::channel(State::Running);
        let shared = Arc::new(Shared {
            samples: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("voice:record".into())
            .spawn(move || {
                sender.send_replace(match write(writer, &queue, &of_thread) {
                    Ok(()) => State::Done,
                    Err(error) => State::Failed(error.to_string()),
                });
            })?;
        let recorder = Self {
            items,
            shared: Arc::clone(&shared),
            owed: 0,
            left: (seconds * f64::from(RATE)) as u64,
            began: Some(began),
        };
        Ok((recorder, Recording { shared, state }))
    }

    /// Adds a packet behind that many samples of nothing. False when the recording is over.
    pub fn push(
        &mut self,
        mut gap: u64,
        packet: Option<&Bytes>,
        samples: u32,
        now: Instant,
    ) -> bool {
        if let Some(began) = self.began.take() {
            let silent = now.saturating_duration_since(began).as_micros() as u64;
            gap = gap.min(silent * u64::from(RATE) / 1_000_000 / GRID * GRID);
        }
        if self.shared.stopped.load(Ordering::Acquire) || self.left < gap + u64::from(samples) {
            return false;
        }
        self.left -= gap + u64::from(samples);
        self.owed += gap;
        let Some(packet) = packet else {
            self.owed += u64::from(samples);
            return true;
        };
        if self.owed > 0 {
            match self.items.try_send(Item::Gap(self.owed)) {
                Ok(()) => self.owed = 0,
                Err(TrySendError::Full(_)) => {
                    self.owed += u64::from(samples);
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.items.try_send(Item::Packet(packet.clone(), samples)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.owed += u64::from(samples);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Whether the script has stopped it.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }
}

/// A new file, or the emptied one of an older recording that is over. What is anything else stays as it is.
/// An empty one is what a host that was killed early leaves of a recording.
fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    let mut file = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
        created => created?,
    };
    // Where the file system has no locks, nothing is known of others.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        let message = "another recording writes to it: stop that first, or record to another name";
        return Err(io::Error::other(message));
    }
    let mut begin = Vec::new();
    Read::by_ref(&mut file)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut begin)?;
    if !begin.is_empty() && begin != MAGIC {
        let message = "it is there and no Ogg file: record to another name, or remove it";
        return Err(io::Error::other(message));
    }
    file.set_len(0)?;
    file.rewind()?;
    Ok(file)
}

fn write(
    mut writer: Writer<BufWriter<File>>,
    queue: &Receiver<Item>,
    shared: &Shared,
) -> io::Result<()> {
    for item in queue {
        match item {
            Item::Packet(packet, samples) => writer.write(packet, samples)?,
            Item::Gap(mut left) => {
                for (samples, packet) in &SILENCE {
                    while left >= *samples {
                        writer.write(Bytes::from_static(packet), *samples as u32)?;
                        left -= samples;
                    }
                }
            }
        }
        shared.samples.store(writer.samples(), Ordering::Relaxed);
    }
    let file = writer
        .finish()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_older_recording_is_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.ogg");
        for before in [&b"text that somebody wrote"[..], b"Ogg", b"OggX and more"] {
            std::fs::write(&path, before).expect("a file");
            let error = Recorder::start(&path, 1.0, Instant::now())
                .err()
                .expect("refused");
            assert!(error.to_string().contains("no Ogg file"), "{error}");
            assert_eq!(std::fs::read(&path).expect("the file"), before);
        }
        std::fs::remove_file(&path).expect("removed");
        let older = [MAGIC, &[0; 10_000]].concat();
        let mut lengths = Vec::new();
        for before in [None, Some(&older[..]), Some(b"")] {
            if let Some(before) = before {
                std::fs::write(&path, before).expect("a file");
            }
            let (recorder, recording) =
                Recorder::start(&path, 1.0, Instant::now()).expect("a recording");
            let error = Recorder::start(&path, 1.0, Instant::now())
                .err()
                .expect("refused");
            assert!(error.to_string().contains("another recording"), "{error}");
            drop(recorder);
            recording.done().await.expect("a whole file");
            let file = std::fs::read(&path).expect("the file");
            assert!(file.starts_with(MAGIC));
            lengths.push(file.len());
        }
        assert!(
            lengths.iter().all(|length| *length == lengths[0]),
            "{lengths:?}"
        );
    }
}
