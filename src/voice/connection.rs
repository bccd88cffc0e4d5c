//! One voice connection, for everybody outside: a cheap handle that gives commands.
//!
//! It belongs to a script's name and lives in the host, not in a VM: a reload does not touch it. Files
//! are opened on threads of their own; the mixer gets them ready made.
//!
//! Bounds: [`MOST_TRACKS`] tracks play at once, [`MOST_WAITING`] wait in the queue, [`COMMANDS`] commands
//! wait for the mixer, and [`PUSHED`] of pushed samples; one more of the first three is an error, and a
//! push waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rtrb::{Producer, RingBuffer};
use tokio::runtime;
use tokio::sync::{oneshot, watch};

use super::encoder::Settings;
use super::engine::Seat;
use super::host::Inner as Host;
use super::mixer::{Command, Event, MOST_TRACKS, Options, State as TrackState, Track, View};
use super::packet::RATE;
use super::program::COMMANDS;
use super::receive::recorder::{Recorder, Recording};
use super::receive::{Ear, Format, Hearing};
use super::session::dial::Endpoint;
use super::session::{Report, Session, Tokens};
use super::source::feed::{self, Feed, Opened, Plan, SampleFeed};
use super::stats::Counters;
use super::{Error, Happening};

/// Tracks that wait in the queue.
pub const MOST_WAITING: usize = 1_000;
/// Participants that are heard at once.
pub const MOST_HEARD: usize = 32;
/// Samples (of one channel) of a script that wait: half a second.
pub const PUSHED: usize = RATE as usize / 2;
/// Tracks that the mixer has ready behind the one that plays.
const READY: usize = 2;
/// How soon a push looks again for room.
const LOOK: Duration = Duration::from_millis(10);
/// How long leaving may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// Where a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// A voice channel.
    Channel {
        /// The space.
        space: String,
        /// The channel.
        channel: String,
    },
    /// A call.
    Call {
        /// The call.
        call: String,
        /// Who called.
        caller: String,
    },
}

impl Room {
    /// The channel's or the call's id.
    pub fn id(&self) -> &str {
        match self {
            Room::Channel { channel, .. } => channel,
            Room::Call { call, .. } => call,
        }
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its first socket is being opened.
    Joining,
    /// It can be heard.
    Connected,
    /// Its socket was lost, and is being opened again.
    Reconnecting,
    /// It is over.
    Over,
}

/// How a source is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Play {
    /// A factor, from 0 to 4.
    pub volume: f32,
    /// Begins again at its end.
    pub looped: bool,
    /// Seconds.
    pub fade_in: f64,
    /// Seconds that it overlaps with the one before in the queue.
    pub crossfade: f64,
    /// Seconds from the file's beginning.
    pub start: f64,
    /// What is left of it while somebody who is listened to speaks.
    pub duck: Option<f32>,
    /// LUFS to bring it to.
    pub normalize: Option<f64>,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            volume: 1.0,
            looped: false,
            fade_in: 0.0,
            crossfade: 0.0,
            start: 0.0,
            duck: None,
            normalize: None,
        }
    }
}

/// Seconds as samples.
pub fn samples(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 1e9) * f64::from(RATE)).round() as u64
}

/// A handle of a connection.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    id: u64,
    script: String,
    room: Room,
    settings: Settings,
    counters: Arc<Counters>,
    host: Weak<Host>,
    runtime: runtime::Handle,
    commands: SyncSender<Command>,
    /// Its place among the real-time threads, until it is over.
    seat: Mutex<Option<Seat>>,
    stop: watch::Sender<bool>,
    phase: watch::Sender<Phase>,
    state: Mutex<State>,
    push: tokio::sync::Mutex<Option<Producer<f32>>>,
}

#[derive(Default)]
struct State {
    /// Everything that is not over.
    tracks: Vec<Playing>,
    /// The rest of the queue.
    waiting: VecDeque<Waiting>,
    /// How many of the queue are in the mixer, waiting.
    ready: usize,
    /// The next one, which is being opened.
    opening: Option<u64>,
    heard: Vec<Heard>,
    speaking: usize,
}

struct Playing {
    track: TrackHandle,
    /// It waits in the mixer's queue.
    queued: bool,
}

struct Waiting {
    track: TrackHandle,
    options: Options,
}

struct Heard {
    hearing: Arc<Hearing>,
    /// Its own session; the connection's own socket hears the caller of a call.
    stop: Option<watch::Sender<bool>>,
}

/// A handle of a track.
#[derive(Clone)]
pub struct TrackHandle {
    id: u64,
    view: Arc<View>,
    plan: Arc<Plan>,
    name: Arc<str>,
    connection: Connection,
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) id: u64,
    pub(super) script: String,
    pub(super) room: Room,
    pub(super) settings: Settings,
    pub(super) counters: Arc<Counters>,
    pub(super) host: Weak<Host>,
    pub(super) runtime: runtime::Handle,
    pub(super) commands: SyncSender<Command>,
}

impl Connection {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            id: parts.id,
            script: parts.script,
            room: parts.room,
            settings: parts.settings,
            counters: parts.counters,
            host: parts.host,
            runtime: parts.runtime,
            commands: parts.commands,
            seat: Mutex::new(None),
            stop: watch::Sender::new(false),
            phase: watch::Sender::new(Phase::Joining),
            state: Mutex::default(),
            push: tokio::sync::Mutex::new(None),
        }))
    }

    /// Identity.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The script that it belongs to.
    pub fn script(&self) -> &str {
        &self.0.script
    }

    /// Where it is.
    pub fn room(&self) -> &Room {
        &self.0.room
    }

    /// How its audio is encoded.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Tracks that are not over, in the order in which they came.
    pub fn tracks(&self) -> Vec<TrackHandle> {
        let state = self.state();
        let playing = state.tracks.iter().map(|playing| &playing.track);
        playing
            .chain(state.waiting.iter().map(|waiting| &waiting.track))
            .cloned()
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_seat(&self, seat: Seat) {
        *self.0.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
    }

    pub(super) fn wake(&self) {
        if let Some(seat) = &*self.0.seat.lock().unwrap_or_else(PoisonError::into_inner) {
            seat.wake();
        }
    }

    pub(super) fn stop_signal(&self) -> watch::Receiver<bool> {
        self.0.stop.subscribe()
    }

    pub(super) fn is_connected(&self) {
        self.0.phase.send_replace(Phase::Connected);
    }

    fn tell(&self, what: Happening) {
        if let Some(host) = self.0.host.upgrade() {
            host.tell(&self.0.script, self.0.id, what);
        }
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        if self.phase() == Phase::Over {
            return Err(Error::closed());
        }
        self.0.commands.try_send(command).map_err(|_| {
            Error::new("busy", format!("{COMMANDS} commands of this voice connection wait to be done: give them more slowly"))
        })?;
        self.wake();
        Ok(())
    }

    fn host(&self) -> Result<Arc<Host>, Error> {
        self.0.host.upgrade().ok_or_else(Error::closed)
    }

    /// Opens a file and plays it beside the others. Comes back when it is open.
    ///
    /// # Errors
    /// When the file cannot be played, or too many tracks play.
    pub async fn play(&self, source: &str, play: Play) -> Result<TrackHandle, Error> {
        let too_many = || {
            Error::new(
                "too_many_tracks",
                format!("{MOST_TRACKS} tracks play at once at most: stop one first"),
            )
        };
        let playing = |state: &State| {
            state
                .tracks
                .iter()
                .filter(|playing| !playing.queued)
                .count()
        };
        if playing(&self.state()) >= MOST_TRACKS {
            return Err(too_many());
        }
        let (track, options, opened) = self.open(source, play).await?;
        let ready = Track::new(
            track.id,
            Arc::clone(&track.view),
            Box::new(opened.feed),
            options,
        );
        {
            let mut state = self.state();
            if playing(&state) >= MOST_TRACKS {
                return Err(too_many());
            }
            state.tracks.push(Playing {
                track: track.clone(),
                queued: false,
            });
        }
        self.enter(&track, Command::Play(Box::new(ready)))?;
        Ok(track)
    }

    /// Gives the mixer a track; forgets it again if that fails.
    fn enter(&self, track: &TrackHandle, command: Command) -> Result<(), Error> {
        let result = self.command(command);
        if result.is_err() {
            self.state()
                .tracks
                .retain(|playing| playing.track.id != track.id);
        }
        result
    }

    /// Opens a file and plays it when those before it in the queue are over. Comes back when the file is
    /// known to be good.
    ///
    /// # Errors
    /// When the file cannot be played, or too many wait.
    pub async fn queue(&self, source: &str, play: Play) -> Result<TrackHandle, Error> {
        if self.state().waiting.len() >= MOST_WAITING {
            let message = format!("{MOST_WAITING} tracks wait in the queue at most");
            return Err(Error::new("too_many_tracks", message));
        }
        // What was opened is let go: the queue opens it again when its turn is near.
        let (track, options, _) = self.open(source, play).await?;
        if self.phase() == Phase::Over {
            return Err(Error::closed());
        }
        self.state().waiting.push_back(Waiting {
            track: track.clone(),
            options,
        });
        self.refill();
        Ok(track)
    }

    /// Opens the next of the queue when the mixer needs it.
    fn refill(&self) {
        let (track, options) = {
            let mut state = self.state();
            if state.opening.is_some() || state.ready >= READY {
                return;
            }
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            state.opening = Some(next.track.id);
            state.tracks.push(Playing {
                track: next.track.clone(),
                queued: true,
            });
            (next.track, next.options)
        };
        let connection = self.clone();
        let of_thread = track.clone();
        let opened = move |opened| connection.reopened(&of_thread, options, opened);
        if let Err(error) = feed::open((*track.plan).clone(), opened) {
            self.reopened(&track, options, Err(error.into()));
        }
    }

    fn reopened(
        &self,
        track: &TrackHandle,
        options: Options,
        opened: Result<Opened, super::source::Error>,
    ) {
        let stopped = {
            let mut state = self.state();
            state.opening = None;
            let stopped = track.view.state().is_over();
            state.ready += usize::from(opened.is_ok() && !stopped);
            stopped
        };
        match opened {
            _ if stopped => {}
            Ok(opened) => {
                let ready = Track::new(
                    track.id,
                    Arc::clone(&track.view),
                    Box::new(opened.feed),
                    options,
                );
                if self.command(Command::Queue(Box::new(ready))).is_err() {
                    track.view.set_state(TrackState::Stopped);
                    self.over(track.id, None);
                }
            }
            Err(error) => {
                track.view.set_state(TrackState::Failed);
                self.over(track.id, Some(error.to_string()));
            }
        }
        self.refill();
    }

    async fn open(
        &self,
        source: &str,
        play: Play,
    ) -> Result<(TrackHandle, Options, Opened), Error> {
        if self.phase() == Phase::Over {
            return Err(Error::closed());
        }
        let host = self.host()?;
        let path = host.existing(source).await?;
        let normal = match play.normalize {
            Some(target) => host.gain_to(&path, source, target).await?,
            None => 1.0,
        };
        let start = samples(play.start);
        let plan = Plan {
            path,
            channels: self.0.settings.channels(),
            start,
            looped: play.looped,
        };
        let opened = opened(plan.clone(), source).await?;
        let track = TrackHandle {
            id: host.next_id(),
            view: Arc::new(View::new(opened.duration)),
            plan: Arc::new(plan),
            name: source.into(),
            connection: self.clone(),
        };
        let options = Options {
            volume: play.volume,
            normal,
            fade_in: samples(play.fade_in) as u32,
            crossfade: samples(play.crossfade).min(u64::from(u32::MAX)) as u32,
            duck: play.duck,
            start: opened.start,
        };
        Ok((track, options, opened))
    }

    /// Ends what plays from the queue; the next one begins.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn skip(&self) -> Result<(), Error> {
        self.command(Command::Skip)
    }

    /// Ends every track and empties the queue.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn stop_all(&self) -> Result<(), Error> {
        let (waiting, opening) = {
            let mut state = self.state();
            let waiting: Vec<_> = state
                .waiting
                .drain(..)
                .map(|waiting| waiting.track)
                .collect();
            let opening = state.opening.and_then(|id| state.track(id));
            (waiting, opening)
        };
        for track in waiting {
            track.view.set_state(TrackState::Stopped);
            self.tell(Happening::Finished { track, error: None });
        }
        if let Some(track) = opening {
            track.view.set_state(TrackState::Stopped);
            self.over(track.id, None);
        }
        self.command(Command::StopAll)
    }

    /// Plays samples (signed 16 bit, little endian, interleaved, 48 kHz). Comes back when they have found
    /// room.
    ///
    /// # Errors
    /// When the connection is over, or ends meanwhile.
    pub async fn push(&self, data: &[u8]) -> Result<(), Error> {
        let channels = self.0.settings.channels();
        let mut producer = self.0.push.lock().await;
        if producer.is_none() {
            let (to, pushed) = RingBuffer::new(PUSHED * channels);
            let feed = Feed::Samples(SampleFeed::live(pushed, channels));
            let options = Options {
                volume: 1.0,
                normal: 1.0,
                fade_in: 0,
                crossfade: 0,
                duck: None,
                start: 0,
            };
            let id = self.host()?.next_id();
            let track = Track::new(id, Arc::new(View::new(None)), Box::new(feed), options);
            self.command(Command::Play(Box::new(track)))?;
            *producer = Some(to);
        }
        let Some(to) = producer.as_mut() else {
            return Ok(());
        };
        let mut samples = data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0);
        let mut left = samples.len();
        while left > 0 {
            if to.is_abandoned() {
                // The track was ended by stop: the next push begins another.
                *producer = None;
                return Ok(());
            }
            let room = to.slots().min(left);
            if room == 0 {
                if self.phase() == Phase::Over {
                    return Err(Error::closed());
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
            if let Ok(chunk) = to.write_chunk_uninit(room) {
                left -= chunk.fill_from_iter(&mut samples);
            }
            self.wake();
        }
        Ok(())
    }

    /// Calls a handler with what somebody says. Comes back when the socket is open.
    ///
    /// # Errors
    /// When the participant cannot be heard.
    pub async fn listen(
        &self,
        user: &str,
        owner: u64,
        listener: u64,
        format: Format,
    ) -> Result<(), Error> {
        let hearing = self.hear(user).await?;
        let connection = self.clone();
        let notify = Arc::new(move |what| connection.tell(what));
        hearing.listen(owner, listener, format, notify);
        Ok(())
    }

    /// Ends the handlers of one owner, or one of them.
    pub fn forget(&self, owner: u64, listener: Option<u64>) {
        let heard: Vec<_> = self
            .state()
            .heard
            .iter()
            .map(|heard| Arc::clone(&heard.hearing))
            .collect();
        for hearing in heard {
            hearing.forget(owner, listener);
        }
        self.hear_less();
    }

    /// Closes the sockets that nobody needs any more.
    pub fn hear_less(&self) {
        self.state().heard.retain(|heard| {
            // Also lets go of the recordings that were stopped.
            let unused = heard.hearing.is_unused();
            let Some(stop) = heard.stop.as_ref().filter(|_| unused) else {
                return true;
            };
            stop.send_replace(true);
            false
        });
    }

    /// Writes what somebody says to a file.
    ///
    /// # Errors
    /// When the participant cannot be heard, or the file not be written.
    pub async fn record(
        &self,
        user: Option<&str>,
        file: &str,
        seconds: f64,
    ) -> Result<Recording, Error> {
        let caller = match &self.0.room {
            Room::Call { caller, .. } => Some(caller.as_str()),
            Room::Channel { .. } => None,
        };
        let user = user.or(caller).ok_or_else(|| {
            Error::new(
                "invalid_params",
                "voice:record in a channel needs to know whom: voice:record(userId, path)",
            )
        })?;
        let path = self.host()?.writable(file).await?;
        let hearing = self.hear(user).await?;
        let started = self
            .0
            .runtime
            .spawn_blocking(move || Recorder::start(&path, seconds))
            .await;
        let started = started.map_err(|error| Error::new("host", error.to_string()))?;
        let (recorder, recording) =
            started.map_err(|error| Error::new("file", format!("{file:?}: {error}")))?;
        hearing.record(recorder);
        Ok(recording)
    }

    async fn hear(&self, user: &str) -> Result<Arc<Hearing>, Error> {
        if self.phase() == Phase::Over {
            return Err(Error::closed());
        }
        let host = self.host()?;
        let (hearing, tokens, stop) = {
            let mut state = self.state();
            if let Some(heard) = state
                .heard
                .iter()
                .find(|heard| heard.hearing.user.eq_ignore_ascii_case(user))
            {
                return Ok(Arc::clone(&heard.hearing));
            }
            let Room::Channel { space, channel } = &self.0.room else {
                let message = "only the caller can be heard in a call";
                return Err(Error::new("invalid_params", message));
            };
            if state.heard.len() >= MOST_HEARD {
                let message = format!("{MOST_HEARD} people are listened to at once at most");
                return Err(Error::new("too_many_listeners", message));
            }
            let hearing = Arc::new(Hearing::new(user));
            let (stop, stopped) = watch::channel(false);
            state.heard.push(Heard {
                hearing: Arc::clone(&hearing),
                stop: Some(stop),
            });
            (
                hearing,
                host.tokens(&self.0.script, space, channel),
                stopped,
            )
        };
        let (sender, first) = oneshot::channel();
        let session = self.listening(user, &hearing, tokens, stop)?;
        self.0.runtime.spawn(session.run(sender));
        let opened = first.await.unwrap_or_else(|_| Err(Error::closed()));
        if let Err(error) = opened {
            self.state()
                .heard
                .retain(|heard| !Arc::ptr_eq(&heard.hearing, &hearing));
            return Err(error);
        }
        Ok(hearing)
    }

    fn listening(
        &self,
        user: &str,
        hearing: &Arc<Hearing>,
        tokens: Tokens,
        stop: watch::Receiver<bool>,
    ) -> Result<Session, Error> {
        let connection = self.clone();
        let of_session = Arc::clone(hearing);
        let report = move |report| match report {
            Report::TargetLeft => connection.target_left(&of_session.user),
            Report::Over(reason) => connection.heard_enough(&of_session, reason),
            Report::Lost(_) | Report::Back | Report::Mixer(_) => {}
        };
        Ok(Session {
            endpoint: Endpoint::Subscribe(user.to_owned()),
            tokens,
            intake: None,
            ear: Some(self.ear(hearing)?),
            stop,
            report: Box::new(report),
            opened: Box::new(|| {}),
            counters: Arc::default(),
        })
    }

    /// An ear for the connection's own socket: the caller of a call.
    pub(super) fn caller_ear(&self, caller: &str) -> Result<Ear, Error> {
        let hearing = Arc::new(Hearing::new(caller));
        self.state().heard.push(Heard {
            hearing: Arc::clone(&hearing),
            stop: None,
        });
        self.ear(&hearing)
    }

    fn ear(&self, hearing: &Arc<Hearing>) -> Result<Ear, Error> {
        let connection = self.clone();
        let tell = move |what| connection.speaks(what);
        Ear::new(
            Arc::clone(hearing),
            Arc::clone(&self.0.counters),
            Arc::new(tell),
        )
        .map_err(|error| Error::new("opus", error.to_string()))
    }

    fn speaks(&self, what: Happening) {
        if let Happening::Speaking(_, speaking) = &what {
            let ducked = {
                let mut state = self.state();
                state.speaking = if *speaking {
                    state.speaking + 1
                } else {
                    state.speaking.saturating_sub(1)
                };
                state.speaking > 0
            };
            // A connection that is over ducks nothing.
            let _ = self.command(Command::Duck(ducked));
        }
        self.tell(what);
    }

    fn target_left(&self, user: &Arc<str>) {
        self.tell(Happening::TargetLeft(Arc::clone(user)));
    }

    /// A listening session is over: the server ended it.
    fn heard_enough(&self, hearing: &Arc<Hearing>, reason: Option<String>) {
        hearing.close();
        self.state()
            .heard
            .retain(|heard| !Arc::ptr_eq(&heard.hearing, hearing));
        if let Some(reason) = reason {
            tracing::warn!(target: "script", script = %self.0.script,
                "voice: {} is not heard any more: {reason}", hearing.user);
        }
    }

    /// What the connection's own session says.
    pub(super) fn report(&self, report: Report) {
        match report {
            Report::Lost(reason) => {
                self.0.phase.send_replace(Phase::Reconnecting);
                self.tell(Happening::Disconnected {
                    reason,
                    last: false,
                });
            }
            Report::Back => {
                self.0.phase.send_replace(Phase::Connected);
                self.tell(Happening::Reconnected);
            }
            Report::TargetLeft => {
                let caller = self
                    .state()
                    .heard
                    .first()
                    .map(|heard| Arc::clone(&heard.hearing.user));
                if let Some(caller) = caller {
                    self.target_left(&caller);
                }
            }
            Report::Mixer(Event::Began(id)) => {
                let track = self.state().unqueue(id);
                self.refill();
                if let Some(track) = track {
                    self.tell(Happening::Began(track));
                }
            }
            Report::Mixer(Event::Over(track, _)) => {
                let error = track.error().map(str::to_owned);
                self.over(track.id, error);
                self.refill();
            }
            Report::Mixer(Event::Waste(feed)) => drop(feed),
            Report::Over(reason) => self.ended(reason),
        }
    }

    /// A track is over.
    fn over(&self, id: u64, error: Option<String>) {
        let track = {
            let mut state = self.state();
            state.unqueue(id);
            let at = state
                .tracks
                .iter()
                .position(|playing| playing.track.id == id);
            at.map(|at| state.tracks.remove(at).track)
        };
        // What scripts push is no track of theirs.
        if let Some(track) = track {
            self.tell(Happening::Finished { track, error });
        }
    }

    /// The connection is over.
    fn ended(&self, reason: Option<String>) {
        self.0.phase.send_replace(Phase::Over);
        self.0
            .seat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let state = std::mem::take(&mut *self.state());
        for heard in &state.heard {
            heard.hearing.close();
            if let Some(stop) = &heard.stop {
                stop.send_replace(true);
            }
        }
        let waiting = state.waiting.iter().map(|waiting| &waiting.track);
        for track in state
            .tracks
            .iter()
            .map(|playing| &playing.track)
            .chain(waiting)
        {
            if !track.view.state().is_over() {
                track.view.set_state(TrackState::Stopped);
            }
            self.tell(Happening::Finished {
                track: track.clone(),
                error: None,
            });
        }
        if let Some(reason) = reason {
            tracing::info!(target: "script", script = %self.0.script, "voice: the connection is over: {reason}");
            self.tell(Happening::Disconnected { reason, last: true });
        }
        if let Some(host) = self.0.host.upgrade() {
            host.forget(self.0.id);
        }
    }

    /// Ends it, without waiting for the goodbye.
    pub fn close(&self) {
        self.0.stop.send_replace(true);
    }

    /// Ends it, and hangs up a call. Comes back when the server knows, at most after [`GOODBYE`].
    pub async fn leave(&self) {
        self.close();
        let mut phase = self.0.phase.subscribe();
        let over = phase.wait_for(|phase| *phase == Phase::Over);
        // A server that does not answer is left alone.
        let _ = tokio::time::timeout(GOODBYE, over).await;
        if let (Room::Call { call, .. }, Ok(host)) = (&self.0.room, self.host()) {
            host.hang_up(&self.0.script, call).await;
        }
    }
}

impl State {
    /// A track of the queue waits in the mixer no more.
    fn unqueue(&mut self, id: u64) -> Option<TrackHandle> {
        let queued = |playing: &&mut Playing| playing.track.id == id && playing.queued;
        let playing = self.tracks.iter_mut().find(queued)?;
        playing.queued = false;
        let track = playing.track.clone();
        if self.opening != Some(id) {
            self.ready = self.ready.saturating_sub(1);
        }
        Some(track)
    }

    fn track(&self, id: u64) -> Option<TrackHandle> {
        let playing = self.tracks.iter().find(|playing| playing.track.id == id)?;
        Some(playing.track.clone())
    }
}

/// Opens a file on a thread of its own.
async fn opened(plan: Plan, source: &str) -> Result<Opened, Error> {
    let (sender, opened) = oneshot::channel();
    let tell = move |opened| {
        // Fails when whoever asked has gone.
        let _ = sender.send(opened);
    };
    feed::open(plan, tell)
        .map_err(|error| Error::new("host", format!("no thread to read {source:?}: {error}")))?;
    let opened = opened
        .await
        .map_err(|_| Error::new("host", "the reading thread has ended"))?;
    opened.map_err(|error| Error::new("source", format!("{source:?} cannot be played: {error}")))
}

impl std::fmt::Debug for TrackHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackHandle")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish()
    }
}

impl TrackHandle {
    /// Identity.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// As the script named the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The connection that it plays in.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Stands still.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn pause(&self) -> Result<(), Error> {
        self.connection.command(Command::Pause(self.id))
    }

    /// Goes on.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn resume(&self) -> Result<(), Error> {
        self.connection.command(Command::Resume(self.id))
    }

    /// Ends it, fading for so many seconds.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn stop(&self, fade: f64) -> Result<(), Error> {
        let waited = {
            let mut state = self.connection.state();
            let at = state
                .waiting
                .iter()
                .position(|waiting| waiting.track.id == self.id);
            at.and_then(|at| state.waiting.remove(at))
        };
        if let Some(Waiting { track, .. }) = waited {
            self.view.set_state(TrackState::Stopped);
            self.connection
                .tell(Happening::Finished { track, error: None });
            return Ok(());
        }
        if self.connection.state().opening == Some(self.id) {
            self.view.set_state(TrackState::Stopped);
            self.connection.over(self.id, None);
            return Ok(());
        }
        self.connection
            .command(Command::Stop(self.id, samples(fade) as u32))
    }

    /// Changes the volume within so many seconds.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn set_volume(&self, volume: f32, fade: f64) -> Result<(), Error> {
        {
            let mut state = self.connection.state();
            if let Some(waiting) = state
                .waiting
                .iter_mut()
                .find(|waiting| waiting.track.id == self.id)
            {
                waiting.options.volume = volume;
                return Ok(());
            }
        }
        self.connection
            .command(Command::Volume(self.id, volume, samples(fade) as u32))
    }

    /// Goes on from that many seconds. Comes back when the file is open there.
    ///
    /// # Errors
    /// When the file cannot be played from there, or the track is over.
    pub async fn seek(&self, seconds: f64) -> Result<(), Error> {
        if self.view.state().is_over() {
            return Err(Error::new(
                "over",
                "this track is over: play it again with startAt",
            ));
        }
        let start = samples(seconds);
        let plan = Plan {
            start,
            ..(*self.plan).clone()
        };
        let opened = opened(plan, &self.name).await?;
        self.connection
            .command(Command::Seek(self.id, Box::new(opened.feed), opened.start))
    }
}

/// Numbers for connections, tracks and listeners.
#[derive(Default)]
pub(super) struct Ids(AtomicU64);

impl Ids {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}
