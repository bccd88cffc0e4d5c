//! The mixer of one connection: pure, without clock, threads, locks and allocation.
//!
//! Guarantees: a track that plays alone at gain 1 gives its packets untouched ([`Mixer::packet`]);
//! otherwise [`Mixer::mix`] adds what the tracks have, sample by sample. Queued tracks follow one another
//! without a gap within one frame; a crossfade keeps the power. Every change of a gain is a ramp (20 ms
//! unless told otherwise); pausing, stopping and jumping fade for 10 ms; a track that runs dry fades out
//! and in. Tracks that are over leave as [`Event::Over`], so that nothing is freed here.
//!
//! Bounds: [`TRACKS`] at once and [`MOST_QUEUED`] waiting (the queue's rest waits outside).

pub mod limiter;
pub mod ramp;
pub mod track;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::ogg::AudioPacket;
use super::packet::RATE;
use super::source::feed::{Feed, Pulled, passes};
use crate::limits::voice::TRACKS;
use limiter::Limiter;
use ramp::Ramp;
pub use track::{Options, State, Track, View};

/// Tracks that wait in the mixer: enough that one can follow another at once.
pub const MOST_QUEUED: usize = 4;
/// How fast tracks give way to speech and come back, samples.
const DUCK: (u32, u32) = (RATE / 8, RATE / 2);

/// What the mixer is asked to do.
pub enum Command {
    /// Play beside the others.
    Play(Box<Track>),
    /// Play after the others in the queue.
    Queue(Box<Track>),
    /// Stand still.
    Pause(u64),
    /// Go on.
    Resume(u64),
    /// End within that many samples.
    Stop(u64, u32),
    /// Change the volume within that many samples.
    Volume(u64, f32, u32),
    /// Go on from that position with this feed.
    Seek(u64, Box<Feed>, u64),
    /// End what plays from the queue; the next one begins.
    Skip,
    /// End everything.
    StopAll,
    /// Somebody speaks, or nobody any more.
    Duck(bool),
}

/// What the mixer tells. What is in it is freed by who gets it.
pub enum Event {
    /// A track of the queue has begun.
    Began(u64),
    /// A track is over, and how it ended: its view says so when that is heard.
    Over(Box<Track>, State),
    /// A feed is not needed any more.
    Waste(Box<Feed>),
}

/// The mixer.
pub struct Mixer {
    channels: usize,
    /// Unordered. `playing` is the one of them that came from the queue.
    #[expect(
        clippy::vec_box,
        reason = "tracks come and go in their boxes, so that nothing is allocated"
    )]
    tracks: Vec<Box<Track>>,
    playing: Option<u64>,
    queue: VecDeque<Box<Track>>,
    duck: Ramp,
    limiter: Limiter,
    scratch: Box<[f32]>,
}

/// The mixer's events, each with the time at which it is heard. The room is made once.
pub struct Events {
    list: VecDeque<(u64, Event)>,
    /// When what is mixed now is heard, samples of the connection.
    pub now: u64,
}

impl Events {
    /// Room for that many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            list: VecDeque::with_capacity(capacity),
            now: 0,
        }
    }

    /// Whether there is room for what a step may tell.
    pub fn may_step(&self) -> bool {
        self.list.capacity() - self.list.len() >= EVENTS_OF_A_STEP
    }

    /// The next event, if it was heard by then.
    pub fn heard(&mut self, by: u64) -> Option<Event> {
        let heard = self.list.front().is_some_and(|(at, _)| *at <= by);
        let (_, event) = heard.then(|| self.list.pop_front()).flatten()?;
        if let Event::Over(track, state) = &event {
            track.view.set_state(*state);
        }
        Some(event)
    }

    fn tell(&mut self, event: Event) {
        debug_assert!(
            self.list.len() < self.list.capacity(),
            "the room for a step was asked for"
        );
        self.list.push_back((self.now, event));
    }
}

/// Room that a step may need among the events.
const EVENTS_OF_A_STEP: usize = TRACKS * 2 + MOST_QUEUED * 2 + 2;

impl Mixer {
    /// A mixer with nothing to do, for 1 or 2 channels and frames of at most that many samples of each.
    pub fn new(channels: usize, frame: usize) -> Self {
        Self {
            channels,
            tracks: Vec::with_capacity(TRACKS),
            playing: None,
            queue: VecDeque::with_capacity(MOST_QUEUED),
            duck: Ramp::still(0.0),
            limiter: Limiter::default(),
            scratch: vec![0.0; frame * channels].into(),
        }
    }

    /// Does what it is asked. Commands for tracks that are over do nothing.
    pub fn command(&mut self, command: Command, events: &mut Events) {
        match command {
            Command::Play(track) => {
                if self.tracks.len() == TRACKS {
                    events.tell(Event::Over(track, State::Stopped));
                } else {
                    track.begin();
                    self.tracks.push(track);
                }
            }
            Command::Queue(track) => {
                if self.queue.len() == MOST_QUEUED {
                    events.tell(Event::Over(track, State::Stopped));
                } else {
                    self.queue.push_back(track);
                }
                if self.playing.is_none() {
                    self.begin_next(events);
                }
            }
            Command::Pause(id) => self.with(id, Track::pause, |track| track.hold(true)),
            Command::Resume(id) => self.with(id, Track::resume, |track| track.hold(false)),
            Command::Stop(id, samples) => {
                self.with(id, |track| track.stop(samples), |_| {});
                if let Some(at) = self.queue.iter().position(|track| track.id == id)
                    && let Some(track) = self.queue.remove(at)
                {
                    events.tell(Event::Over(track, State::Stopped));
                }
            }
            Command::Volume(id, volume, samples) => {
                self.with(
                    id,
                    |track| track.set_volume(volume, samples),
                    |track| track.preset_volume(volume),
                );
            }
            Command::Seek(id, feed, position) => {
                let track = self
                    .tracks
                    .iter_mut()
                    .chain(&mut self.queue)
                    .find(|track| track.id == id);
                let waste = match track {
                    Some(track) => track.replace(feed, position),
                    None => Some(feed),
                };
                if let Some(waste) = waste {
                    events.tell(Event::Waste(waste));
                }
            }
            Command::Skip => {
                if let Some(id) = self.playing.take() {
                    self.with(id, |track| track.stop(0), |_| {});
                }
                self.begin_next(events);
            }
            Command::StopAll => {
                self.playing = None;
                for track in &mut self.tracks {
                    track.stop(0);
                }
                while let Some(track) = self.queue.pop_front() {
                    events.tell(Event::Over(track, State::Stopped));
                }
            }
            Command::Duck(on) => match on {
                true => self.duck.go(1.0, DUCK.0),
                false => self.duck.go(0.0, DUCK.1),
            },
        }
    }

    /// Does something with a track that has begun, or something else with one whose turn has not come.
    fn with(&mut self, id: u64, begun: impl FnOnce(&mut Track), queued: impl FnOnce(&mut Track)) {
        let is = |track: &&mut Box<Track>| track.id == id;
        if let Some(track) = self.tracks.iter_mut().find(is) {
            begun(track);
        } else if let Some(track) = self.queue.iter_mut().find(is) {
            queued(track);
        }
    }

    fn begin_next(&mut self, events: &mut Events) -> Option<&mut Track> {
        if self.tracks.len() == TRACKS {
            return None;
        }
        let next = self.queue.pop_front()?;
        next.begin();
        self.playing = Some(next.id);
        events.tell(Event::Began(next.id));
        self.tracks.push(next);
        self.tracks.last_mut().map(|track| &mut **track)
    }

    /// Lets go of what has faded out, and begins what is next in the queue.
    pub fn settle(&mut self, events: &mut Events) {
        let mut at = 0;
        while let Some(track) = self.tracks.get_mut(at) {
            if let Some(waste) = track.take_waste() {
                events.tell(Event::Waste(waste));
            }
            if let Some(state) = track.settle() {
                self.over(at, state, events);
            } else if track.is_active() && track.feed().is_exhausted() {
                let state = track_end(track);
                self.over(at, state, events);
            } else {
                at += 1;
            }
        }
        self.cross(events);
        if self.is_idle() {
            // Nobody hears it change.
            self.duck = Ramp::still(self.duck.target());
        }
        if self.playing.is_none() {
            self.begin_next(events);
        }
    }

    /// Begins a crossfade when it is time for it.
    fn cross(&mut self, events: &mut Events) {
        let (Some(id), Some(next)) = (self.playing, self.queue.front()) else {
            return;
        };
        // Nothing fades into a track that stands still.
        if next.is_paused() {
            return;
        }
        let wanted = next.crossfade();
        let track = self.tracks.iter_mut().find(|track| track.id == id);
        let Some(track) = track.filter(|track| wanted > 0 && track.is_active()) else {
            return;
        };
        if let Some(left) = track.left().filter(|&left| left <= u64::from(wanted)) {
            let left = left as u32;
            track.cross_out(left);
            if let Some(next) = self.begin_next(events) {
                next.cross_in(left);
            }
        }
    }

    /// A track is over.
    fn over(&mut self, at: usize, state: State, events: &mut Events) {
        let track = self.tracks.swap_remove(at);
        if self.playing == Some(track.id) {
            self.playing = None;
        }
        events.tell(Event::Over(track, state));
    }

    /// Whether nothing wants to be heard.
    pub fn is_idle(&self) -> bool {
        !self.tracks.iter().any(|track| track.is_active())
    }

    /// Whether every track has so many samples (of one channel) at hand, or its end.
    pub fn is_ready(&mut self, frames: usize) -> bool {
        let mut active = self.tracks.iter_mut().filter(|track| track.is_active());
        active.all(|track| track.is_ready(frames))
    }

    /// Whether at least one has, or has the rest of what a script pushed: it may be all that ever comes.
    pub fn is_partly_ready(&mut self, frames: usize) -> bool {
        let mut active = self.tracks.iter_mut().filter(|track| track.is_active());
        active.any(|track| track.is_pushed() || track.is_ready(frames))
    }

    /// Whether something of what a script pushed waits to be heard.
    pub fn has_pushed(&self) -> bool {
        self.tracks.iter().any(|track| track.is_pushed())
    }

    /// Whether a track plays alone at gain 1, so that its packets can be sent untouched.
    fn plain(&mut self) -> Option<usize> {
        let mut active = (0..self.tracks.len()).filter(|&at| self.tracks[at].is_active());
        let (only, None) = (active.next()?, active.next()) else {
            return None;
        };
        let track = &self.tracks[only];
        let ducked = track.gives_way() && !(self.duck.is_still() && self.duck.target() == 0.0);
        (track.is_plain() && !ducked).then_some(only)
    }

    /// A packet to send untouched, and how many of its samples are heard. `Err` when there is none yet
    /// but will be; `None` when the tracks must be mixed.
    pub fn packet(&mut self) -> Option<Result<AudioPacket, Starving>> {
        let at = self.plain()?;
        let track = &mut self.tracks[at];
        let over = track.is_ready(usize::MAX);
        let feed = track.feed().packets()?;
        let amid = feed.is_amid();
        let packet = match feed.peek() {
            Some(packet) if passes(packet) => feed.take()?,
            Some(_) => return None,
            // At its end: mixing finds that out.
            None if over || amid => return None,
            None => return Some(Err(Starving)),
        };
        track.advance(u64::from(packet.samples - packet.skip - packet.trim));
        Some(Ok(packet))
    }

    /// Mixes the next frame into `out` (interleaved).
    pub fn mix(&mut self, out: &mut [f32], events: &mut Events) {
        out.fill(0.0);
        let channels = self.channels;
        let mut at = 0;
        // Where in the frame the queue goes on: afterwards, or the new track would be mixed twice.
        let mut follows = None;
        while let Some(track) = self.tracks.get_mut(at) {
            if !track.is_active() {
                at += 1;
                continue;
            }
            let scratch = &mut self.scratch[..out.len()];
            match track.add_to(out, scratch, channels, &self.duck) {
                Pulled::All | Pulled::Starved(_) => at += 1,
                Pulled::Ended(frames) => {
                    let state = track_end(track);
                    let was_playing = self.playing == Some(track.id);
                    self.over(at, state, events);
                    if was_playing {
                        follows = Some(frames * channels);
                    }
                }
            }
        }
        if let Some(from) = follows {
            self.follow(&mut out[from..], events);
        }
        for _ in 0..out.len() / channels {
            self.duck.step();
        }
        self.limiter.apply(out, channels);
    }

    /// The queue goes on within the frame.
    fn follow(&mut self, mut out: &mut [f32], events: &mut Events) {
        let channels = self.channels;
        while !out.is_empty() && self.begin_next(events).is_some() {
            let at = self.tracks.len() - 1;
            let track = &mut self.tracks[at];
            // It takes part in this frame with what it has at hand.
            if !track.is_active() || !track.is_ready(out.len() / channels) {
                return;
            }
            let scratch = &mut self.scratch[..out.len()];
            let Pulled::Ended(frames) = track.add_to(out, scratch, channels, &self.duck) else {
                return;
            };
            let state = track_end(track);
            self.over(at, state, events);
            out = &mut out[frames * channels..];
        }
    }
}

/// How a track whose feed is exhausted has ended.
fn track_end(track: &Track) -> State {
    match track.error() {
        Some(_) => State::Failed,
        None => State::Finished,
    }
}

/// The reading thread has not come so far yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starving;
