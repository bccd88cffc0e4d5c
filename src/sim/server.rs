//! The running server: what its connections share, how it starts and how it stops.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;

use super::clock::{Clock, Now};
use super::control::view;
use super::events::Feed;
use super::faults::{FaultSpec, Switch};
use super::http;
use super::inspect::{Inspector, Notice, To};
use super::limits::{LimitScale, Limits};
use super::log::Log;
use super::quirks::Quirks;
use super::saved::{self, FileError, Refused, Saved, StateFile};
use super::voice::{Track, Voice, VoiceStatus};
use super::world::{BotAccount, Effect, Id, Plan, World};
use crate::config::Secret;
use crate::contract::limits::{RATE_SEGMENTS, RATE_WINDOW};

/// Events that wait for a slow playground page; when there are more it is told to reload.
const PAGE_BACKLOG: usize = 1_024;
/// The distance between two writes of the state file, at least: what a killed process may lose.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long [`Server::stop`] waits for requests that are being answered.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How the embedded server behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Length of a rate limit segment; the platform's window has 6 of 10 s. Tests shorten it.
    pub segment: Duration,
    /// The interval in which at most 50 events leave a stream; the platform's is 500 ms. Zero takes
    /// the bound away, for benchmarks.
    pub batch: Duration,
    /// Which of the real server's ways it has: all of them, unless the dialect is the documented one.
    pub quirks: Quirks,
    /// What becomes of the rate limits.
    pub limits: LimitScale,
    /// How the voice sockets write their status messages.
    pub voice_status: VoiceStatus,
    /// The world to begin with; `None`: one space with some channels and people.
    pub world: Option<Plan>,
    /// A file to keep the world in. If it is there, the world begins as it was kept.
    pub state: Option<PathBuf>,
}

impl Default for Settings {
    /// As the platform, on any free port of the loopback interface.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            segment: RATE_WINDOW / RATE_SEGMENTS,
            batch: Duration::from_millis(500),
            quirks: Quirks::default(),
            limits: LimitScale::default(),
            voice_status: VoiceStatus::default(),
            world: None,
            state: None,
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not to be had.
    #[error("the embedded server cannot listen on {address}: {source}; {remedy}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] FileError),
}

impl Error {
    fn listen(address: SocketAddr, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program uses this port: stop it or choose another one (port 0 takes any free port)"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine does not have that address: 127.0.0.1 always works"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need special rights: choose a higher one"
            }
            _ => "choose another address",
        };
        Self::Listen {
            address,
            source,
            remedy,
        }
    }
}

/// A bot that can log in.
#[derive(Debug, Clone)]
pub struct Bot {
    /// What it logs in with.
    pub token: Secret,
    /// Its user's GUID.
    pub user_id: String,
    /// Its user's name, which ends in `bot`.
    pub username: String,
    /// Whether it may use privileged intents and routes.
    pub verified: bool,
}

impl From<&BotAccount> for Bot {
    fn from(account: &BotAccount) -> Self {
        Self {
            token: account.token.clone(),
            user_id: account.user.to_string(),
            username: account.username.clone(),
            verified: account.verified,
        }
    }
}

/// World, buffers and voice: one lock, so that an act and its events are one step for everybody.
pub struct State {
    pub world: World,
    pub feed: Feed,
    pub voice: Voice,
}

/// What all connections of one server share.
pub struct Shared {
    pub settings: Settings,
    pub address: SocketAddr,
    pub clock: Clock,
    pub limits: Limits,
    pub faults: Switch,
    state: Mutex<State>,
    /// Whether something may have changed since the state file was written.
    dirty: AtomicBool,
    /// The bots of [`Server::add_bot`], with whether they are verified: a reset adds them again.
    added: Mutex<Vec<(String, bool)>>,
    log: Mutex<Log>,
    /// Wakes the timer when a nearer deadline may have been set.
    timers: Notify,
    /// Changes when a stream has taken events.
    pub taken: watch::Sender<()>,
    /// JSON for playground pages. A page that reads slower than [`PAGE_BACKLOG`] is told to reload.
    pub pages: broadcast::Sender<Arc<str>>,
    /// What inspectors are shown beside that.
    pub inspector: Inspector,
    stop: watch::Sender<bool>,
}

impl Shared {
    /// World and buffers.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request log. Never taken while holding [`Shared::state`].
    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes to true when the server stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Does something in the world and tells bots and pages of it, as one step.
    pub fn act<T>(&self, act: impl FnOnce(&mut World, Now) -> T) -> T {
        self.act_in(|state, now| act(&mut state.world, now))
    }

    /// [`Shared::act`] for what needs more than the world.
    pub fn act_in<T>(&self, act: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = self.state();
        // Read under the lock, so that time does not go back from act to act.
        let now = self.clock.now();
        let result = act(&mut state, now);
        self.publish(&mut state, now);
        self.changed();
        result
    }

    /// Has the state file written soon.
    pub fn changed(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// The whole state as JSON.
    pub fn snapshot(&self) -> Result<Vec<u8>, serde_json::Error> {
        let state = self.state();
        saved::write(&state, self.clock.now())
    }

    /// Takes a snapshot up in the place of everything that is. Open streams and voice sockets end.
    ///
    /// # Errors
    /// Says what is wrong and where; then nothing has changed.
    pub fn restore(&self, json: &[u8]) -> Result<(), Refused> {
        let saved = saved::read(json, self.settings.quirks, self.clock.now())?;
        self.begin_anew(saved);
        Ok(())
    }

    fn begin_anew(&self, saved: Saved) {
        let Saved {
            now,
            world,
            feed,
            voice_tokens,
            ..
        } = saved;
        let ahead = now.duration_since(self.clock.now().wall);
        if let Ok(ahead) = Duration::try_from(ahead) {
            self.clock.advance(ahead);
        }
        self.limits.clear();
        {
            let mut state = self.state();
            let now = self.clock.now();
            let connected = state.feed.connected();
            state.world = world;
            state.feed = feed;
            state.voice.restart(voice_tokens);
            self.publish(&mut state, now);
            state.feed.disconnect(&connected, now.mono);
        }
        self.changed();
        self.timers.notify_one();
        // A flood that waits for a stream must not wait any longer.
        self.taken.send_replace(());
        // Fails only when nobody watches.
        let _ = self.pages.send(r#"{"type":"reload"}"#.into());
    }

    /// Makes everything as it was before anything happened: the world of the settings and the bots that
    /// were added to it, each with its token; no faults, no request log. A state file does not count.
    pub fn reset(&self) {
        let old = {
            let state = self.state();
            let bots = state.world.bots().iter();
            bots.map(|bot| (bot.user, bot.token.clone()))
                .collect::<HashMap<_, _>>()
        };
        let token = |user| {
            old.get(&user)
                .cloned()
                .unwrap_or_else(|| http::new_token(user))
        };
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let mut world = first_world(&self.settings, token);
        for (name, verified) in added.iter() {
            world.add_bot(name, *verified, token);
        }
        let mut saved = Saved::fresh(world, self.clock.now());
        saved.feed = self.state().feed.emptied();
        self.begin_anew(saved);
        self.faults.clear(None);
        *self.log() = Log::default();
    }

    /// Writes the state file when something has changed, until the server stops.
    async fn keep_state(self: Arc<Self>, file: Arc<StateFile>) {
        let mut stop = self.stopping();
        loop {
            tokio::select! {
                () = tokio::time::sleep(SAVE_EVERY) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
            if self.dirty.swap(false, Ordering::AcqRel) {
                self.save(&file).await;
            }
        }
    }

    /// Writes the state file; a failure is logged, and tried again with the next change.
    async fn save(&self, file: &Arc<StateFile>) {
        let json = match self.snapshot() {
            Ok(json) => json,
            Err(error) => return tracing::error!("the world cannot be written: {error}"),
        };
        let file = Arc::clone(file);
        let written = tokio::task::spawn_blocking(move || file.write(&json)).await;
        if let Ok(Err(error)) = written {
            self.changed();
            tracing::error!("{error}");
        }
    }

    fn publish(&self, state: &mut State, now: Now) {
        let effects = state.world.take_effects();
        if effects.is_empty() {
            return;
        }
        let watched = self.pages.receiver_count() > 0;
        let inspected = self.inspector.is_watched();
        for effect in &effects {
            if inspected {
                self.inspect(effect, now);
            }
            match effect {
                Effect::Space {
                    space,
                    kind,
                    payload,
                    unseen,
                } => state
                    .feed
                    .push(*space, kind, payload, unseen.clone(), now.mono),
                Effect::Direct { bot, kind, payload } => {
                    state.feed.push_direct(*bot, kind, payload, now.mono);
                }
                Effect::Installed { bot, space } => state.feed.install(*bot, *space),
                Effect::Uninstalled { bot, space } => state.feed.remove(*bot, *space),
                Effect::RoomJoined { room, user, speaks } => {
                    let track = speaks.then(Track::microphone);
                    state.voice.rooms.join(*room, *user, track);
                }
                Effect::RoomLeft { room, user } => state.voice.left(*room, *user),
                Effect::RoomClosed(room) => state.voice.closed(*room),
                Effect::Show(show) if watched => {
                    if let Some(shown) = view::shown(&state.world, show) {
                        // Fails only when the last page has just gone.
                        let _ = self.pages.send(shown.to_string().into());
                    }
                }
                Effect::Show(_) => {}
            }
        }
        state.feed.wake();
        if state.world.take_timers_changed() {
            self.timers.notify_one();
        }
    }

    /// Shows the inspectors what leaves for bots.
    fn inspect(&self, effect: &Effect, now: Now) {
        let (to, kind, payload) = match effect {
            Effect::Space {
                space,
                kind,
                payload,
                ..
            } => (To::Space(*space), kind, payload),
            Effect::Direct { bot, kind, payload } => (To::Bot(*bot), kind, payload),
            _ => return,
        };
        self.inspector.event(to, kind, payload, now.wall);
    }

    /// Ends what has outlived its time.
    pub fn expire(&self) {
        self.act(World::expire);
    }

    /// Expires things when their time comes, until the server stops.
    async fn keep_time(self: Arc<Self>) {
        let mut stop = self.stopping();
        loop {
            let next = self.state().world.next_deadline();
            let due = async {
                match next {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.expire(),
                () = self.timers.notified() => {}
                // Not `changed`: the server may have stopped before this task first ran.
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }
}

/// Where whoever runs the bots tells the playground's pages of them. Cheap to clone; does nothing when the
/// server has stopped.
#[derive(Clone)]
pub struct NoticeBoard(Arc<Shared>);

impl NoticeBoard {
    /// Shows a notice to every page, and keeps it for pages that come later.
    pub fn post(&self, notice: Notice) {
        let now = self.0.clock.now();
        self.0.inspector.notice(notice, now.wall);
    }
}

/// A running embedded server. Dropping it without [`Server::stop`] leaves it running until the
/// runtime ends.
pub struct Server {
    shared: Arc<Shared>,
    listener: JoinHandle<io::Result<()>>,
    timer: JoinHandle<()>,
    /// The state file and the task that writes it now and then.
    keeper: Option<(Arc<StateFile>, JoinHandle<()>)>,
}

/// The world of the settings.
fn first_world(settings: &Settings, token: impl Fn(Id) -> Secret) -> World {
    match &settings.world {
        Some(plan) => World::planned(plan, settings.quirks, token),
        None => World::with_default_space(settings.quirks),
    }
}

impl Server {
    /// Starts a server with the world of the settings.
    ///
    /// # Errors
    /// [`Error::Listen`] when the address cannot be had; it says what to do.
    pub async fn start(settings: Settings) -> Result<Server, Error> {
        let failed = |source| Error::listen(settings.listen, source);
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state_file = match &settings.state {
            Some(path) => Some(StateFile::claim(path)?),
            None => None,
        };
        let clock = Clock::new();
        let milliseconds = clock.now().wall.as_millisecond();
        let feed = Feed::new(settings.quirks, milliseconds.unsigned_abs());
        let shared = Arc::new(Shared {
            limits: Limits::new(settings.segment, settings.limits),
            faults: Switch::default(),
            address,
            clock,
            state: Mutex::new(State {
                world: first_world(&settings, http::new_token),
                feed,
                voice: Voice::new(address),
            }),
            log: Mutex::default(),
            timers: Notify::new(),
            taken: watch::Sender::new(()),
            pages: broadcast::Sender::new(PAGE_BACKLOG),
            inspector: Inspector::default(),
            stop: watch::Sender::new(false),
            dirty: AtomicBool::new(false),
            added: Mutex::default(),
            settings,
        });
        // The bots of the plan begin to receive events.
        shared.act(|_, _| ());
        let keeper = match state_file {
            None => None,
            Some(file) => {
                if let Some(json) = file.read()? {
                    let restored = shared.restore(&json);
                    restored.map_err(|source| FileError::Refused {
                        path: file.path().to_owned(),
                        source,
                    })?;
                }
                let file = Arc::new(file);
                let keep = Arc::clone(&shared).keep_state(Arc::clone(&file));
                Some((file, tokio::spawn(keep)))
            }
        };
        let mut stop = shared.stopping();
        // Events are small writes that must not wait for one another.
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
        });
        let serve = axum::serve(listener, http::router(Arc::clone(&shared)))
            .with_graceful_shutdown(async move {
                let _ = stop.wait_for(|&stop| stop).await;
            });
        Ok(Server {
            listener: tokio::spawn(async move { serve.await }),
            timer: tokio::spawn(Arc::clone(&shared).keep_time()),
            keeper,
            shared,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The base of the Bot API and the playground's address: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Installs a bot into the first space, with every entitlement. The username is the name, with
    /// `bot` at its end. A name that is there already is the same bot, with the same token.
    pub fn add_bot(&self, name: &str, verified: bool) -> Bot {
        let mut added = self
            .shared
            .added
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let account = self
            .shared
            .act(|world, _| world.add_bot(name, verified, http::new_token));
        added.push((name.to_owned(), verified));
        Bot::from(&account)
    }

    /// Every bot that can log in.
    pub fn bots(&self) -> Vec<Bot> {
        let state = self.shared.state();
        state.world.bots().iter().map(Bot::from).collect()
    }

    /// Where notices for the playground go.
    pub fn notices(&self) -> NoticeBoard {
        NoticeBoard(Arc::clone(&self.shared))
    }

    /// Arms a fault.
    pub fn arm(&self, fault: FaultSpec) {
        self.shared.faults.arm(fault);
    }

    /// Faults at random from now on; the same seed gives the same faults.
    pub fn unleash(&self, seed: u64) {
        self.shared.faults.unleash(seed);
    }

    /// Ends open streams, closes the listener, waits a moment for requests that are being answered, and
    /// writes the state file.
    pub async fn stop(self) {
        self.shared.stop.send_replace(true);
        let mut listener = self.listener;
        if tokio::time::timeout(STOP_PATIENCE, &mut listener)
            .await
            .is_err()
        {
            tracing::debug!("a connection to the embedded server did not end in time");
            listener.abort();
        }
        // These stop at the same signal.
        let _ = self.timer.await;
        if let Some((file, keeper)) = self.keeper {
            let _ = keeper.await;
            self.shared.save(&file).await;
        }
    }
}
