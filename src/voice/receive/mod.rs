//! What is heard of one participant: for handlers, recordings, and whether they speak.
//!
//! [`Ear`] belongs to the session that receives; [`Hearing`] is shared with the connection's handle.
//! Packets reach a handler in order. A handler that is [`MOST_PENDING`] packets behind misses the
//! newest, counted in `unheard`. Decoded audio of a handler is without short gaps: what is lost (up to
//! [`PAUSE`]) is made up by libopus, the last frame of it from the next packet's forward error correction
//! where it has it. Pauses are told by the time stamp.

pub mod recorder;
pub mod speech;
pub mod timeline;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use opus::{Channels, Decoder};

use super::packet::{self, LONGEST, RATE};
use super::stats::Counters;
use super::{Error, Happening};
use crate::limits::voice::{LISTENERS, RECORDINGS};
use recorder::Recorder;
use speech::Detector;
use timeline::{PAUSE, Placed, Timeline};

/// Packets that wait for a handler of a script: 5 s of 20 ms.
const MOST_PENDING: usize = 256;

/// Where what is heard goes. Must not wait.
pub type Notify = Arc<dyn Fn(Happening) + Send + Sync>;

/// How a handler wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As it came.
    Opus,
    /// Decoded: signed 16 bit, 48 kHz, one channel.
    Pcm,
}

/// A handler of a script.
struct Listener {
    owner: u64,
    id: u64,
    format: Format,
    notify: Notify,
    pending: Arc<AtomicUsize>,
}

/// A packet for a handler; dropped, it makes room for another.
#[derive(Debug)]
pub struct Heard {
    /// Whose handler it is for.
    pub owner: u64,
    /// Which of them.
    pub listener: u64,
    /// Who said it.
    pub user: Arc<str>,
    /// The packet, or samples.
    pub data: Bytes,
    /// Its length at 48 kHz.
    pub samples: u32,
    /// Samples since the first packet.
    pub at: u64,
    pending: Arc<AtomicUsize>,
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Default)]
struct Lists {
    listeners: Vec<Listener>,
    recorders: Vec<Recorder>,
    /// How many are about to listen or to record.
    expected: usize,
    /// Nothing is heard any more.
    over: bool,
}

impl Lists {
    fn check(&self, user: &str) -> Result<(), Error> {
        if !self.over {
            return Ok(());
        }
        let message = format!(
            "{user} is not heard any more: try again, or join again if the voice is closed"
        );
        Err(Error::new("closed", message))
    }

    fn may_record(&mut self, user: &str) -> Result<(), Error> {
        self.check(user)?;
        self.let_go();
        if self.recorders.len() >= RECORDINGS {
            let message =
                format!("{RECORDINGS} recordings of a person run at most: stop one first");
            return Err(Error::new("too_many_recordings", message));
        }
        Ok(())
    }

    /// Forgets the recordings that were stopped.
    fn let_go(&mut self) {
        self.recorders.retain(|recorder| !recorder.is_stopped());
    }
}

/// Who wants to hear one participant.
pub struct Hearing {
    /// The participant.
    pub user: Arc<str>,
    lists: Mutex<Lists>,
}

impl Hearing {
    /// Nobody listens yet.
    pub fn new(user: &str) -> Self {
        Self {
            user: user.into(),
            lists: Mutex::default(),
        }
    }

    fn lists(&self) -> std::sync::MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody is about to listen or to record: it is in use until [`Self::unexpect`].
    pub fn expect(&self) {
        self.lists().expected += 1;
    }

    /// Whoever was about to listen or to record does, or never will.
    pub fn unexpect(&self) {
        self.lists().expected -= 1;
    }

    /// Adds a handler of an owner.
    ///
    /// # Errors
    /// When there are [`LISTENERS`], or nothing is heard any more.
    pub fn listen(&self, owner: u64, id: u64, format: Format, notify: Notify) -> Result<(), Error> {
        let mut lists = self.lists();
        lists.check(&self.user)?;
        if lists.listeners.len() >= LISTENERS {
            let message =
                format!("{LISTENERS} handlers listen to a person at most: end one with off()");
            return Err(Error::new("too_many_listeners", message));
        }
        lists.listeners.push(Listener {
            owner,
            id,
            format,
            notify,
            pending: Arc::default(),
        });
        Ok(())
    }

    /// Ends the handlers of an owner, or one of them.
    pub fn forget(&self, owner: u64, id: Option<u64>) {
        let gone =
            |listener: &Listener| listener.owner == owner && id.is_none_or(|id| listener.id == id);
        self.lists().listeners.retain(|listener| !gone(listener));
    }

    /// Whether nobody listens or is about to, and nothing is recorded.
    pub fn is_unused(&self) -> bool {
        let mut lists = self.lists();
        lists.let_go();
        lists.expected == 0 && lists.listeners.is_empty() && lists.recorders.is_empty()
    }

    /// Whether there is room for a recording.
    ///
    /// # Errors
    /// When there are [`RECORDINGS`], or nothing is heard any more.
    pub fn may_record(&self) -> Result<(), Error> {
        self.lists().may_record(&self.user)
    }

    /// Adds a recording.
    ///
    /// # Errors
    /// As [`Self::may_record`].
    pub fn record(&self, recorder: Recorder) -> Result<(), Error> {
        let mut lists = self.lists();
        lists.may_record(&self.user)?;
        lists.recorders.push(recorder);
        Ok(())
    }

    /// Nothing is heard any more. Ends every recording: what was said so far is in the files.
    pub fn close(&self) {
        let mut lists = self.lists();
        lists.listeners.clear();
        lists.recorders.clear();
        lists.over = true;
    }
}

/// The receiving end for one participant.
pub struct Ear {
    hearing: Arc<Hearing>,
    counters: Arc<Counters>,
    /// Tells everybody that somebody speaks.
    tell: Notify,
    decoder: Decoder,
    timeline: Timeline,
    speech: Detector,
    samples: Box<[f32]>,
}

impl Ear {
    /// An ear that has heard nothing.
    ///
    /// # Errors
    /// When libopus has no memory.
    pub fn new(
        hearing: Arc<Hearing>,
        counters: Arc<Counters>,
        tell: Notify,
    ) -> Result<Self, opus::Error> {
        Ok(Self {
            decoder: Decoder::new(RATE, Channels::Mono)?,
            hearing,
            counters,
            tell,
            timeline: Timeline::default(),
            speech: Detector::default(),
            samples: vec![0.0; LONGEST as usize].into(),
        })
    }

    /// A packet has come.
    pub fn hear(&mut self, data: &Bytes, now: Instant) {
        self.counters.received.add(1);
        // What is no packet is worth nothing to anybody.
        let Ok(layout) = packet::parse(data) else {
            return;
        };
        let mut placed = Vec::new();
        self.timeline.hear(now, data, layout.samples(), &mut placed);
        self.hear_placed(placed, now);
    }

    fn hear_placed(&mut self, placed: Vec<Placed>, now: Instant) {
        let hearing = Arc::clone(&self.hearing);
        for packet in placed {
            // It was one when it came.
            let Ok(layout) = packet::parse(&packet.data) else {
                continue;
            };
            let Placed {
                data,
                samples,
                gap,
                at,
            } = packet;
            let dtx = layout.is_dtx();
            let kept = (!dtx).then_some(&data);
            let mut lists = hearing.lists();
            lists
                .recorders
                .retain_mut(|recorder| recorder.push(gap, kept, samples, now));
            if !dtx {
                self.deliver(&lists, Format::Opus, &data, samples, at);
            }
            if gap > 0 && gap <= PAUSE {
                self.conceal(&lists, &data, gap as u32, layout.frame_samples, at - gap);
            }
            self.decode(&lists, &data, samples, at, false);
            drop(lists);
            let heard = self.speech.hear(&self.samples[..samples as usize], now);
            self.spoke(heard);
        }
    }

    /// Makes up what is missing.
    fn conceal(&mut self, lists: &Lists, next: &Bytes, gap: u32, frame: u32, from: u64) {
        let mut done = 0;
        while done < gap {
            let length = frame.min(gap - done);
            // The last one may be in the next packet.
            let last = done + length == gap && length == frame;
            let data = if last { next.clone() } else { Bytes::new() };
            self.decode(lists, &data, length, from + u64::from(done), true);
            done += length;
        }
    }

    fn decode(&mut self, lists: &Lists, data: &Bytes, samples: u32, at: u64, lost: bool) {
        let room = &mut self.samples[..samples as usize];
        if self
            .decoder
            .decode_float(data, room, lost && !data.is_empty())
            .is_err()
        {
            room.fill(0.0);
        }
        if lists
            .listeners
            .iter()
            .any(|listener| listener.format == Format::Pcm)
        {
            let pcm: Vec<u8> = room
                .iter()
                .flat_map(|sample| to_s16(*sample).to_le_bytes())
                .collect();
            self.deliver(lists, Format::Pcm, &Bytes::from(pcm), samples, at);
        }
    }

    fn deliver(&self, lists: &Lists, format: Format, data: &Bytes, samples: u32, at: u64) {
        for listener in lists
            .listeners
            .iter()
            .filter(|listener| listener.format == format)
        {
            if listener.pending.fetch_add(1, Ordering::AcqRel) >= MOST_PENDING {
                listener.pending.fetch_sub(1, Ordering::AcqRel);
                self.counters.unheard.add(1);
                continue;
            }
            (listener.notify)(Happening::Heard(Arc::new(Heard {
                owner: listener.owner,
                listener: listener.id,
                user: Arc::clone(&self.hearing.user),
                data: data.clone(),
                samples,
                at,
                pending: Arc::clone(&listener.pending),
            })));
        }
    }

    /// Time passes.
    pub fn wait(&mut self, now: Instant) {
        let mut placed = Vec::new();
        self.timeline.wait(now, &mut placed);
        self.hear_placed(placed, now);
        let ended = self.speech.wait(now);
        self.spoke(ended);
    }

    /// When [`Self::wait`] is to be called, if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.speech.deadline(), self.timeline.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Nothing is heard any more, for now: who spoke has ended.
    pub fn rest(&mut self) {
        let ended = self.speech.end();
        self.spoke(ended);
    }

    fn spoke(&self, change: Option<bool>) {
        if let Some(speaking) = change {
            (self.tell)(Happening::Speaking(
                Arc::clone(&self.hearing.user),
                speaking,
            ));
        }
    }
}

/// A sample as a signed number of 16 bits.
fn to_s16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use opus::{Application, Channels, Encoder};

    use super::{Ear, Format, Happening, Hearing, RECORDINGS, Recorder};

    /// Ten seconds of a voice, more or less: a buzz that changes its pitch and level.
    fn speech() -> Vec<f32> {
        let mut phase = 0f32;
        (0..480_000)
            .map(|at| {
                let t = at as f32 / 48_000.0;
                phase += (140.0 + 40.0 * (t * 3.0).sin()) / 48_000.0;
                let buzz = (1..12).map(|n| (phase * n as f32 * std::f32::consts::TAU).sin());
                buzz.sum::<f32>() * (0.05 + 0.02 * (t * 7.0).sin())
            })
            .collect()
    }

    /// What a handler of decoded audio hears when every tenth packet is lost; with the samples' places.
    fn heard(samples: &[f32], correction: bool) -> Vec<(u64, Vec<f32>)> {
        let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Voip).expect("Opus");
        encoder
            .set_bitrate(opus::Bitrate::Bits(32_000))
            .and_then(|()| encoder.set_inband_fec(correction))
            .and_then(|()| encoder.set_packet_loss_perc(if correction { 20 } else { 0 }))
            .expect("settings");
        let pieces = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&pieces);
        let notify = move |what| {
            if let Happening::Heard(heard) = what {
                let pcm = heard.data.as_chunks::<2>().0.iter();
                let pcm = pcm.map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0);
                noted
                    .lock()
                    .expect("one thread")
                    .push((heard.at, pcm.collect()));
            }
        };
        let hearing = Arc::new(Hearing::new("u1"));
        hearing
            .listen(1, 1, Format::Pcm, Arc::new(notify))
            .expect("there is room");
        let mut ear = Ear::new(hearing, Arc::default(), Arc::new(|_| {})).expect("an ear");
        let begun = Instant::now();
        for (number, frame) in samples.chunks_exact(960).enumerate() {
            let packet = encoder.encode_vec_float(frame, 1_275).expect("Opus");
            if number % 10 != 9 {
                let now = begun + Duration::from_millis(20 * number as u64);
                ear.hear(&Bytes::from(packet), now);
            }
        }
        ear.wait(begun + Duration::from_secs(60));
        std::mem::take(&mut *pieces.lock().expect("one thread"))
    }

    #[test]
    fn so_many_recordings_of_a_person_run() {
        let dir = tempfile::tempdir().expect("a folder");
        let hearing = Hearing::new("u1");
        let start = |number: usize| {
            let path = dir.path().join(format!("{number}.ogg"));
            Recorder::start(&path, 1.0, Instant::now()).expect("a thread and a file")
        };
        let mut handles = Vec::new();
        for number in 0..RECORDINGS {
            let (recorder, handle) = start(number);
            hearing.record(recorder).expect("there is room");
            handles.push(handle);
        }
        let error = hearing.may_record().expect_err("one too many");
        assert!(error.to_string().contains("stop one first"), "{error}");
        assert!(hearing.record(start(RECORDINGS).0).is_err());
        handles[0].stop();
        hearing.may_record().expect("there is room");
        hearing
            .record(start(RECORDINGS + 1).0)
            .expect("there is room");
        hearing.close();
        let error = hearing
            .record(start(RECORDINGS + 2).0)
            .expect_err("it is over");
        assert!(error.to_string().contains("not heard any more"), "{error}");
    }

    #[test]
    fn who_is_heard_no_more_speaks_no_more() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&told);
        let tell = move |what| {
            if let Happening::Speaking(_, speaking) = what {
                noted.lock().expect("one thread").push(speaking);
            }
        };
        let hearing = Arc::new(Hearing::new("u1"));
        let mut ear = Ear::new(hearing, Arc::default(), Arc::new(tell)).expect("an ear");
        let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Voip).expect("Opus");
        let begun = Instant::now();
        ear.rest();
        for (number, frame) in speech()[..9_600].chunks_exact(960).enumerate() {
            let packet = encoder.encode_vec_float(frame, 1_275).expect("Opus");
            let now = begun + Duration::from_millis(20 * number as u64);
            ear.hear(&Bytes::from(packet), now);
        }
        ear.rest();
        ear.rest();
        ear.wait(begun + Duration::from_secs(60));
        assert_eq!(*told.lock().expect("one thread"), [true, false]);
    }

    #[tokio::test]
    async fn a_recording_begins_when_it_was_begun_and_not_when_somebody_last_spoke() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Voip).expect("Opus");
        let packet = encoder.encode_vec_float(&speech()[..960], 1_275);
        let packet = Bytes::from(packet.expect("Opus"));
        let hearing = Arc::new(Hearing::new("u1"));
        let mut ear =
            Ear::new(Arc::clone(&hearing), Arc::default(), Arc::new(|_| {})).expect("an ear");
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        ear.hear(&packet, begun);
        let path = dir.path().join("a.ogg");
        let (recorder, recording) = Recorder::start(&path, 30.0, at(60)).expect("a recording");
        hearing.record(recorder).expect("there is room");
        // Later silence is recorded as it is.
        for seconds in [62, 67] {
            ear.hear(&packet, at(seconds));
        }
        hearing.close();
        let seconds = recording.done().await.expect("a whole file") as f64 / 48_000.0;
        assert!((7.0..7.1).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn a_lost_packet_is_made_up_and_better_with_error_correction() {
        let samples = speech();
        let error = |correction| {
            let pieces = heard(&samples, correction);
            let mut end = 0;
            let mut all: Vec<f32> = Vec::new();
            for (at, piece) in pieces {
                assert_eq!(at, end, "decoded audio has no holes");
                end += piece.len() as u64;
                all.extend(piece);
            }
            // Lost ones at the very end are not known of.
            assert!(end >= 480_000 - 960, "{end}");
            // libopus looks ahead; how far is found by what fits best.
            let off = |delay: usize| {
                let lost = (0..49).map(|tenth| (tenth * 10 + 9) * 960);
                let mut sum = 0.0;
                for at in lost.flat_map(|from| from..from + 960) {
                    let there = all.get(at + delay).copied().unwrap_or(0.0);
                    sum += f64::from(there - samples[at]).powi(2);
                }
                sum
            };
            (200..500).map(off).fold(f64::INFINITY, f64::min)
        };
        let silent: f64 = (0..49)
            .flat_map(|tenth| (tenth * 10 + 9) * 960..(tenth * 10 + 10) * 960)
            .map(|at: usize| f64::from(samples[at]).powi(2))
            .sum();
        let (made_up, corrected) = (error(false), error(true));
        assert!(made_up < silent, "better than silence: {made_up} {silent}");
        assert!(corrected < made_up * 0.7, "{corrected} {made_up}");
    }
}
