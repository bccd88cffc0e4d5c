//! The running server: what its connections share, how it starts and how it stops.

use std::io;
use std::net::SocketAddr;
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
use super::voice::{Track, Voice, VoiceStatus};
use super::world::{BotAccount, Effect, Plan, World};
use crate::config::Secret;
use crate::contract::limits::{RATE_SEGMENTS, RATE_WINDOW};

/// Events that wait for a slow playground page; when there are more it is told to reload.
const PAGE_BACKLOG: usize = 1_024;
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
}

impl From<&BotAccount> for Bot {
    fn from(account: &BotAccount) -> Self {
        Self {
            token: account.token.clone(),
            user_id: account.user.to_string(),
            username: account.username.clone(),
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
        result
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
        let world = match &settings.world {
            Some(plan) => World::planned(plan, settings.quirks, http::new_token),
            None => World::with_default_space(settings.quirks),
        };
        let feed = Feed::new(settings.quirks);
        let shared = Arc::new(Shared {
            limits: Limits::new(settings.segment, settings.limits),
            faults: Switch::default(),
            settings,
            address,
            clock: Clock::new(),
            state: Mutex::new(State {
                world,
                feed,
                voice: Voice::new(address),
            }),
            log: Mutex::default(),
            timers: Notify::new(),
            taken: watch::Sender::new(()),
            pages: broadcast::Sender::new(PAGE_BACKLOG),
            inspector: Inspector::default(),
            stop: watch::Sender::new(false),
        });
        // The bots of the plan begin to receive events.
        shared.act(|_, _| ());
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
        let account = self
            .shared
            .act(|world, _| world.add_bot(name, verified, http::new_token));
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

    /// Ends open streams, closes the listener, and waits a moment for requests that are being
    /// answered.
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
        // It stops at the same signal.
        let _ = self.timer.await;
    }
}
