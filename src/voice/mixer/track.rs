//! One track in the mixer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::ramp::Ramp;
use crate::voice::packet::RATE;
use crate::voice::source::feed::{Feed, Pulled};

/// How long a gain takes to change when nothing else is said, samples: 20 ms.
pub const SMOOTH: u32 = RATE / 50;
/// How long a track takes to begin in the middle, to pause and to stop, samples: 10 ms. A pause may take
/// the rest of a packet longer.
pub const EDGE: u32 = RATE / 100;

/// Where a track stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// It is heard.
    Playing,
    /// It stands still.
    Paused,
    /// It came to its end.
    Finished,
    /// It was stopped before its end.
    Stopped,
    /// Its file could not be read any further.
    Failed,
}

impl State {
    const ALL: [State; 6] = [
        State::Queued,
        State::Playing,
        State::Paused,
        State::Finished,
        State::Stopped,
        State::Failed,
    ];

    /// Whether it will not be heard any more.
    pub fn is_over(self) -> bool {
        matches!(self, State::Finished | State::Stopped | State::Failed)
    }
}

/// What everybody may know of a track at any time, without asking the mixer.
#[derive(Debug)]
pub struct View {
    state: AtomicU8,
    position: AtomicU64,
    /// Samples, if it is known.
    duration: Option<u64>,
}

impl View {
    /// Of a track that waits.
    pub fn new(duration: Option<u64>) -> Self {
        Self {
            state: AtomicU8::new(State::Queued as u8),
            position: AtomicU64::new(0),
            duration,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    /// Samples from the file's beginning.
    pub fn position(&self) -> u64 {
        let position = self.position.load(Ordering::Relaxed);
        match self.duration {
            // A loop counts on.
            Some(duration) if duration > 0 && position > duration => position % duration,
            _ => position,
        }
    }

    /// Samples in all, if that is known.
    pub fn duration(&self) -> Option<u64> {
        self.duration
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    pub(crate) fn set_position(&self, samples: u64) {
        self.position.store(samples, Ordering::Relaxed);
    }
}

/// How a track is played.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A factor.
    pub volume: f32,
    /// Another factor, that brings the file to a loudness.
    pub normal: f32,
    /// How long it takes to begin, samples.
    pub fade_in: u32,
    /// In the queue: how long it overlaps with the one before, samples.
    pub crossfade: u32,
    /// What is left of it while somebody speaks, if it gives way at all.
    pub duck: Option<f32>,
    /// Where it begins, samples.
    pub start: u64,
}

/// What happens when a track has faded out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Go,
    Pause,
    Stop,
    /// The next one of the queue is heard instead.
    Cross,
}

/// A track as the mixer has it.
pub struct Track {
    /// Identity.
    pub id: u64,
    /// What others see.
    pub view: Arc<View>,
    feed: Box<Feed>,
    /// What was read before a seek, fading out.
    before: Option<(Box<Feed>, Ramp)>,
    volume: Ramp,
    /// Begins, pauses, ends and crossfades.
    edge: Ramp,
    then: Then,
    /// Normalisation and the file's own gain.
    base: f32,
    duck: Option<f32>,
    crossfade: u32,
    position: u64,
    /// It ran dry: it begins softly again.
    dry: bool,
    paused: bool,
}

impl Track {
    /// A track that has not begun.
    pub fn new(id: u64, view: Arc<View>, feed: Box<Feed>, options: Options) -> Self {
        let mut edge = Ramp::still(1.0);
        let soft = if options.start > 0 { EDGE } else { 0 };
        if options.fade_in.max(soft) > 0 {
            edge = Ramp::still(0.0);
            edge.go(1.0, options.fade_in.max(soft));
        }
        view.set_position(options.start);
        Self {
            id,
            view,
            base: options.normal * feed.gain(),
            feed,
            before: None,
            volume: Ramp::still(options.volume),
            edge,
            then: Then::Go,
            duck: options.duck,
            crossfade: options.crossfade,
            position: options.start,
            dry: false,
            paused: false,
        }
    }

    /// Whether it wants to be heard now.
    pub fn is_active(&self) -> bool {
        !self.paused && !self.feed.is_resting()
    }

    /// Whether a script writes it, and has written something that was not heard.
    pub fn is_pushed(&self) -> bool {
        self.feed.is_live() && self.is_active()
    }

    /// Whether it can give that many samples now.
    pub fn is_ready(&mut self, wanted: usize) -> bool {
        self.feed.is_ready(wanted)
    }

    /// How long it overlaps with the track before it in the queue.
    pub fn crossfade(&self) -> u32 {
        self.crossfade
    }

    /// Samples until its end, if its length is known.
    pub fn left(&self) -> Option<u64> {
        self.view
            .duration()
            .map(|all| all.saturating_sub(self.position))
    }

    /// Why its file could not be read to its end.
    pub fn error(&self) -> Option<&str> {
        self.feed.error()
    }

    pub(super) fn set_volume(&mut self, volume: f32, samples: u32) {
        self.volume.go(volume, samples.max(SMOOTH));
    }

    pub(super) fn pause(&mut self) {
        if self.then == Then::Go && !self.paused {
            self.then = Then::Pause;
            // To the end of a packet: those behind it can be sent untouched when it goes on.
            self.edge.go(0.0, self.feed.whole(EDGE));
        }
    }

    pub(super) fn resume(&mut self) {
        let ends = matches!(self.then, Then::Stop | Then::Cross);
        if !ends && (self.paused || self.then == Then::Pause) {
            self.then = Then::Go;
            self.paused = false;
            // Unless it was paused before it began: then it begins as it would have.
            if self.edge.target() != 1.0 {
                self.edge.go(1.0, EDGE);
            }
            self.view.set_state(State::Playing);
        }
    }

    /// Lets it stand still, or go on, before its turn has come.
    pub fn hold(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether it stands still.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Its turn has come.
    pub(super) fn begin(&self) {
        self.view.set_state(if self.paused {
            State::Paused
        } else {
            State::Playing
        });
    }

    /// Changes the volume before its turn has come: nobody hears it change.
    pub(super) fn preset_volume(&mut self, volume: f32) {
        self.volume = Ramp::still(volume);
    }

    /// Ends it within that many samples.
    pub(super) fn stop(&mut self, samples: u32) {
        self.then = Then::Stop;
        self.edge.go(
            0.0,
            if self.is_active() {
                samples.max(EDGE)
            } else {
                0
            },
        );
    }

    /// Fades it in as the track before it fades out.
    pub(super) fn cross_in(&mut self, samples: u32) {
        self.edge = Ramp::still(0.0);
        self.edge.go_with_power(1.0, samples.max(EDGE));
    }

    /// Fades it out as the next one fades in.
    pub(super) fn cross_out(&mut self, samples: u32) {
        self.then = Then::Cross;
        self.edge.go_with_power(0.0, samples.max(EDGE));
    }

    /// Goes on with another feed, from that position. Gives back a feed that is not needed any more.
    pub(super) fn replace(&mut self, feed: Box<Feed>, position: u64) -> Option<Box<Feed>> {
        let old = std::mem::replace(&mut self.feed, feed);
        self.position = position;
        self.view.set_position(position);
        if self.paused || self.view.state() == State::Queued {
            // Nothing of the old one is heard. What has not begun begins softly there.
            if self.edge.is_one() && position > 0 {
                self.edge = Ramp::still(0.0);
                self.edge.go(1.0, EDGE);
            }
            return Some(old);
        }
        let mut ramp = Ramp::still(self.edge.now());
        ramp.go(0.0, EDGE);
        let waste = self.before.replace((old, ramp)).map(|(feed, _)| feed);
        if self.then == Then::Go {
            self.edge = Ramp::still(0.0);
            self.edge.go(1.0, EDGE);
        }
        waste
    }

    /// What is left of a feed after a seek, once it has faded out.
    pub(super) fn take_waste(&mut self) -> Option<Box<Feed>> {
        self.before
            .take_if(|(_, ramp)| ramp.is_still())
            .map(|(feed, _)| feed)
    }

    /// How it has ended, if it has faded out to that end; or it pauses now.
    pub(super) fn settle(&mut self) -> Option<State> {
        // What a script stops may have no samples left to fade with.
        let silent = self.then == Then::Stop && self.feed.is_resting();
        if !self.edge.is_still() && !silent {
            return None;
        }
        match self.then {
            Then::Go => None,
            Then::Pause => {
                self.paused = true;
                self.then = Then::Go;
                self.view.set_state(State::Paused);
                None
            }
            Then::Stop => Some(State::Stopped),
            Then::Cross => Some(State::Finished),
        }
    }

    /// Whether its packets may be sent as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.base == 1.0
            && self.volume.is_one()
            && self.edge.is_one()
            && self.then == Then::Go
            && self.before.is_none()
            && !self.dry
    }

    /// Whether it gives way to speech.
    pub(super) fn gives_way(&self) -> bool {
        self.duck.is_some()
    }

    /// Its feed, to take packets from.
    pub(super) fn feed(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Counts what was heard.
    pub(super) fn advance(&mut self, samples: u64) {
        self.position += samples;
        self.view.set_position(self.position);
    }

    /// Adds what it has to the mix, using `scratch` of the same length.
    pub(super) fn add_to(
        &mut self,
        out: &mut [f32],
        scratch: &mut [f32],
        channels: usize,
        duck: &Ramp,
    ) -> Pulled {
        // What pauses or ends takes no more than it fades.
        let most = match self.then {
            Then::Go => scratch.len(),
            Then::Pause | Then::Stop | Then::Cross => {
                scratch.len().min(self.edge.left() as usize * channels)
            }
        };
        let pulled = self.feed.read(&mut scratch[..most]);
        let frames = match pulled {
            Pulled::All => most / channels,
            Pulled::Starved(frames) | Pulled::Ended(frames) => frames,
        };
        let heard = &mut scratch[..frames * channels];
        if self.dry && frames > 0 {
            self.dry = false;
            fade(heard, channels, false);
        }
        if matches!(pulled, Pulled::Starved(_)) {
            self.dry = true;
            fade(heard, channels, true);
        }
        self.advance(frames as u64);
        self.mix(out, frames, scratch, channels, duck);
        if let Some((feed, ramp)) = &mut self.before {
            let frames = match feed.read(scratch) {
                Pulled::All => scratch.len() / channels,
                Pulled::Starved(frames) | Pulled::Ended(frames) => frames,
            };
            let (base, volume) = (self.base, self.volume.now());
            for (to, from) in out
                .chunks_exact_mut(channels)
                .zip(scratch.chunks_exact(channels))
                .take(frames)
            {
                let gain = base * volume * ramp.step();
                for (to, from) in to.iter_mut().zip(from) {
                    *to += from * gain;
                }
            }
            if frames < scratch.len() / channels {
                *ramp = Ramp::still(0.0);
            }
        }
        pulled
    }

    fn mix(&mut self, out: &mut [f32], frames: usize, from: &[f32], channels: usize, duck: &Ramp) {
        let mut duck = *duck;
        let left = self.duck.unwrap_or(1.0);
        if self.volume.is_still() && self.edge.is_still() && duck.is_still() {
            // The same for all: the processor adds many samples at once.
            let ducked = 1.0 + (left - 1.0) * duck.now();
            let gain = self.base * self.volume.now() * self.edge.now() * ducked;
            for (to, from) in out.iter_mut().zip(&from[..frames * channels]) {
                *to += from * gain;
            }
            return;
        }
        for (to, from) in out
            .chunks_exact_mut(channels)
            .zip(from.chunks_exact(channels))
            .take(frames)
        {
            let ducked = 1.0 + (left - 1.0) * duck.step();
            let gain = self.base * self.volume.step() * self.edge.step() * ducked;
            for (to, from) in to.iter_mut().zip(from) {
                *to += from * gain;
            }
        }
    }
}

/// A few milliseconds of fading at the beginning or the end of what there is.
fn fade(samples: &mut [f32], channels: usize, out: bool) {
    let frames = samples.len() / channels;
    let length = frames.min(EDGE as usize / 2);
    for at in 0..length {
        let frame = if out { frames - 1 - at } else { at };
        let gain = at as f32 / length as f32;
        for sample in &mut samples[frame * channels..(frame + 1) * channels] {
            *sample *= gain;
        }
    }
}
