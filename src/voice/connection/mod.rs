//! One voice connection, for everybody outside: a cheap handle that gives commands.
//!
//! It belongs to a script's name and lives in the host, not in a VM: a reload does not touch it. Files
//! are opened on threads of their own; the mixer gets them ready made.
//!
//! Bounds: those of [`crate::limits::voice`], where one more is an error, and [`push::PUSHED`] of pushed
//! samples, where a push waits.
//!
//! | file | owns |
//! |---|---|
//! | here | the connection itself: its state, its phases, its end |
//! | `tracks` | playing, and the handle of a track |
//! | `queue` | tracks that play one after another |
//! | `push` | samples that a script makes |
//! | `hearing` | listening and recording |

mod hearing;
mod push;
mod queue;
mod tracks;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{OnceCell, watch};

use super::encoder::Settings;
use super::engine::Seat;
use super::host::Inner as Host;
use super::mixer::{Command, Event, Options, State as TrackState};
use super::receive::Hearing;
use super::session::Report;
use super::stats::Counters;
use super::{Error, Happening};
use crate::limits::voice::COMMANDS;
use push::Pushing;
pub use tracks::{Play, TrackHandle, samples};

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
    /// Set when the server knows that a call is over by this side, or did not answer.
    hung_up: OnceCell<()>,
    state: Mutex<State>,
    push: tokio::sync::Mutex<Option<Pushing>>,
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
    opening: Option<Waiting>,
    /// How often everything was stopped.
    stops: u64,
    heard: Vec<Heard>,
    speaking: usize,
}

struct Playing {
    track: TrackHandle,
    /// It waits in the mixer's queue.
    queued: bool,
}

/// A track that the mixer does not know yet: what it is to be is changed here.
struct Waiting {
    track: TrackHandle,
    options: Options,
    paused: bool,
}

struct Heard {
    hearing: Arc<Hearing>,
    /// Its own session; the connection's own socket hears the caller of a call.
    stop: Option<watch::Sender<bool>>,
    /// Whether that is open.
    opened: watch::Receiver<hearing::First>,
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
            hung_up: OnceCell::new(),
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
        self.0.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Error::new("busy", format!("{COMMANDS} commands of this voice connection wait to be done: give them more slowly")),
            TrySendError::Disconnected(_) => Error::closed(),
        })?;
        self.wake();
        Ok(())
    }

    fn host(&self) -> Result<Arc<Host>, Error> {
        self.0.host.upgrade().ok_or_else(Error::closed)
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

    /// The connection is over.
    fn ended(&self, reason: Option<String>) {
        // First: whoever hears of the end may join again at once.
        if let Some(host) = self.0.host.upgrade() {
            host.forget(self.0.id);
        }
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
        let asked = reason.is_none();
        if let Some(reason) = reason {
            tracing::info!(target: "script", script = %self.0.script, "voice: the connection is over: {reason}");
            self.tell(Happening::Disconnected { reason, last: true });
        }
        self.tell(Happening::Closed);
        // The end of its socket does not end a call: the caller would wait in it.
        if asked && matches!(self.0.room, Room::Call { .. }) {
            let connection = self.clone();
            self.0
                .runtime
                .spawn(async move { connection.hang_up().await });
        }
    }

    /// Ends it, and hangs up a call, without waiting for either.
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
        self.hang_up().await;
    }

    /// Hangs up a call, once; waits for whoever does it already.
    async fn hang_up(&self) {
        if let (Room::Call { call, .. }, Ok(host)) = (&self.0.room, self.host()) {
            let hang_up = || host.hang_up(&self.0.script, call);
            self.0.hung_up.get_or_init(hang_up).await;
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
        if self.opening.as_ref().is_none_or(|next| next.track.id != id) {
            self.ready = self.ready.saturating_sub(1);
        }
        Some(track)
    }

    /// A track that the mixer does not know yet.
    fn waiting(&mut self, id: u64) -> Option<&mut Waiting> {
        let mut waiting = self.opening.iter_mut().chain(&mut self.waiting);
        waiting.find(|waiting| waiting.track.id == id)
    }

    /// Stops the track that is being opened, if it is the one: whoever opens it finds that out.
    fn stop_opening(&self, is: impl FnOnce(u64) -> bool) -> Option<u64> {
        let next = self.opening.as_ref().filter(|next| is(next.track.id))?;
        next.track.view.set_state(TrackState::Stopped);
        Some(next.track.id)
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
