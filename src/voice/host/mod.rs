//! The voice connections of one bot.
//!
//! [`Host`] owns them, by script and room; a [`Client`] is one version of one script. What happens in a
//! connection is told to every version of its script that is there (the old one, while it drains, and
//! the new one); what a handler hears, only to the version that it belongs to.
//!
//! A script that is deleted takes its connections with it. One that only fails to come back (its new version
//! does not load after the old one was ended, or it is in quarantine) may be mended at any moment, so its
//! music plays on; but nobody can stop it meanwhile, so after [`ORPHANED`] without a version its connections
//! are ended. A call that ends by this side, or is accepted and cannot be connected, is hung up.
//!
//! Bounds: [`CONNECTIONS`](crate::limits::voice::CONNECTIONS) for a script. A bot speaks once in a room: a second script that joins the
//! same room gets an error.
//!
//! | file | owns |
//! |---|---|
//! | here | the host, its connections and whom it tells |
//! | `client` | a version of a script: joining, answering, its end |
//! | `admission` | taking a connection in, and starting it |

mod admission;
mod client;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::runtime;

use super::connection::{Connection, Ids, Phase, Room};
use super::engine::Engine;
use super::loudness;
use super::session::Tokens;
use super::slots::{Slot, Slots};
use super::source::path;
use super::stats::Stats;
use super::{Error, Event, Happening};
use crate::contract;
use crate::rest::{Call, Caller, Client as Rest};
pub use client::Client;

/// How long the connections of a script last that has no running version.
pub const ORPHANED: Duration = Duration::from_secs(60);

/// Where a script's events go. Must not wait.
pub type Post = Arc<dyn Fn(Event) + Send + Sync>;

/// The voice of one bot. A cheap handle.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(super) struct Inner {
    engine: Engine,
    rest: Rest,
    runtime: runtime::Handle,
    root: PathBuf,
    ids: Ids,
    loudness: loudness::Cache,
    state: Mutex<State>,
}

/// How one connection of a script stands, or a place where one was.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The script.
    pub script: String,
    /// Which of its connections this is, from 1: a number that the next one takes over.
    pub slot: usize,
    /// Where it is and how far; none when it is over and no other has its number.
    pub place: Option<(Room, Phase)>,
    /// What it and those with its number before have counted: it only grows.
    pub stats: Stats,
}

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    scripts: HashMap<String, Script>,
    slots: Slots,
    /// No more connections: the bot ends.
    closed: bool,
}

#[derive(Default)]
struct Script {
    versions: Vec<(u64, Post)>,
    caller: Option<Caller>,
    /// It was deleted; what is left of it ends.
    gone: bool,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("root", &self.0.root)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// No connection. Files are those inside `root`, the bot's folder.
    pub fn new(engine: Engine, rest: Rest, runtime: runtime::Handle, root: &Path) -> Self {
        Self(Arc::new(Inner {
            engine,
            rest,
            runtime,
            // A folder that is not there has no files.
            root: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
            ids: Ids::default(),
            loudness: loudness::Cache::default(),
            state: Mutex::default(),
        }))
    }

    /// A version of a script: its events go to `post` until the client is dropped.
    pub fn client(&self, script: &str, caller: Caller, post: Post) -> Client {
        let id = self.0.ids.next();
        let mut state = self.0.state();
        let entry = state.scripts.entry(script.to_owned()).or_default();
        entry.versions.push((id, post));
        entry.caller = Some(caller);
        entry.gone = false;
        drop(state);
        Client {
            host: Arc::clone(&self.0),
            script: script.to_owned(),
            caller,
            id,
        }
    }

    /// Ends the connections of a script that is gone for good.
    pub fn close_script(&self, script: &str) {
        // Before they are looked for: a connection that is not among them yet finds it.
        if let Some(script) = self.0.state().scripts.get_mut(script) {
            script.gone = true;
        }
        for connection in self.0.of(|connection| connection.script() == script) {
            connection.close();
        }
    }

    /// Every connection.
    pub fn connections(&self) -> Vec<Connection> {
        self.0.of(|_| true)
    }

    /// How every connection stands, for those who watch the process.
    pub fn snapshot(&self) -> Vec<Standing> {
        let state = self.0.state();
        let standing = |(script, slot, of): (&str, usize, &Slot)| {
            let mut connections = state.connections.iter();
            let connection = connections.find(|one| of.taken == Some(one.id()));
            let mut stats = of.past;
            if let Some(connection) = connection {
                stats.add(&connection.counters().read());
            }
            Standing {
                script: script.to_owned(),
                slot,
                place: connection.map(|one| (one.room().clone(), one.phase())),
                stats,
            }
        };
        state.slots.all().map(standing).collect()
    }

    /// Ends every connection, and lets no new one begin. Comes back when the servers know, or do not
    /// answer.
    pub async fn close(&self) {
        self.0.state().closed = true;
        let mut leaving = tokio::task::JoinSet::new();
        for connection in self.connections() {
            leaving.spawn(async move { connection.leave().await });
        }
        leaving.join_all().await;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, which: impl Fn(&Connection) -> bool) -> Vec<Connection> {
        self.state()
            .connections
            .iter()
            .filter(|one| which(one))
            .cloned()
            .collect()
    }

    /// Whether that version of a script is there.
    pub(super) fn is_running(&self, script: &str, version: u64) -> bool {
        let state = self.state();
        let script = state.scripts.get(script);
        script.is_some_and(|script| script.versions.iter().any(|(id, _)| *id == version))
    }

    /// Ends a connection if no version of its script is there.
    fn end_orphan(&self, connection: &Connection) {
        let running = {
            let state = self.state();
            let script = state.scripts.get(connection.script());
            script.is_some_and(|script| !script.versions.is_empty())
        };
        if running || connection.phase() == Phase::Over {
            return;
        }
        tracing::warn!(target: "script", script = %connection.script(),
            "voice: the connection in {} is ended: its script has not run for {} s",
            connection.room().id(), ORPHANED.as_secs());
        connection.close();
    }

    /// A new connection, unless its script has gone meanwhile: nobody would ever leave it.
    fn owned(&self, connection: Connection) -> Result<Connection, Error> {
        let there = {
            let state = self.state();
            let script = state.scripts.get(connection.script());
            script.is_some_and(|script| !script.gone && !script.versions.is_empty())
        };
        if there {
            return Ok(connection);
        }
        connection.close();
        Err(Error::new("closed", "the script has ended"))
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.next()
    }

    pub(super) fn forget(&self, connection: u64) {
        let mut state = self.state();
        let at = state
            .connections
            .iter()
            .position(|known| known.id() == connection);
        if let Some(at) = at {
            let over = state.connections.remove(at);
            let counted = over.counters().read();
            state.slots.free(over.script(), connection, &counted);
        }
    }

    /// Tells the versions of a script.
    pub(super) fn tell(&self, script: &str, connection: u64, what: Happening) {
        let posts: Vec<Post> = {
            let state = self.state();
            let Some(script) = state.scripts.get(script) else {
                return;
            };
            let concerned = |id: u64| match &what {
                Happening::Heard(heard) => heard.owner == id,
                _ => true,
            };
            script
                .versions
                .iter()
                .filter(|(id, _)| concerned(*id))
                .map(|(_, post)| Arc::clone(post))
                .collect()
        };
        for post in posts {
            post(Event {
                connection,
                what: what.clone(),
            });
        }
    }

    /// A file to play.
    pub(super) async fn existing(&self, source: &str) -> Result<PathBuf, Error> {
        self.path(source, path::existing).await
    }

    /// A file to write.
    pub(super) async fn writable(&self, file: &str) -> Result<PathBuf, Error> {
        self.path(file, path::writable).await
    }

    async fn path(
        &self,
        named: &str,
        resolve: fn(&Path, &str) -> Result<PathBuf, path::Error>,
    ) -> Result<PathBuf, Error> {
        let (root, named) = (self.root.clone(), named.to_owned());
        let resolved = self
            .runtime
            .spawn_blocking(move || resolve(&root, &named))
            .await;
        let resolved = resolved.map_err(|error| Error::new("host", error.to_string()))?;
        resolved.map_err(|error| Error::new("file", error.to_string()))
    }

    /// The factor that brings a file to a loudness.
    pub(super) async fn gain_to(
        self: &Arc<Self>,
        path: &Path,
        source: &str,
        target: f64,
    ) -> Result<f32, Error> {
        let (host, path) = (Arc::clone(self), path.to_owned());
        let measured = self
            .runtime
            .spawn_blocking(move || host.loudness.of(&path))
            .await;
        let measured = measured.map_err(|error| Error::new("host", error.to_string()))?;
        let measured = measured.map_err(|error| {
            Error::new("source", format!("{source:?} cannot be measured: {error}"))
        })?;
        Ok(measured.gain_to(target))
    }

    /// Tokens for a channel, on a script's account.
    pub(super) fn tokens(&self, script: &str, space: &str, channel: &str) -> Tokens {
        let caller = self
            .state()
            .scripts
            .get(script)
            .and_then(|script| script.caller);
        Tokens::Channel {
            client: self.rest.clone(),
            caller: caller.unwrap_or(Caller::HOST),
            space: space.to_owned(),
            channel: channel.to_owned(),
        }
    }

    pub(super) async fn hang_up(&self, script: &str, call: &str) {
        let caller = self
            .state()
            .scripts
            .get(script)
            .and_then(|script| script.caller);
        let mut params = Map::new();
        params.insert("callId".into(), Value::from(call));
        let route = contract::route("ICalls", "Reject").expect("the contract has it");
        let Ok(request) = Call::new(route, params) else {
            return;
        };
        if let Err(error) = self
            .rest
            .call(request.caller(caller.unwrap_or(Caller::HOST)))
            .await
        {
            tracing::debug!("voice: the call was not ended at the server: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Caller, Connection, Event, Happening, Host, Rest, Room};
    use crate::config::Secret;
    use crate::contract::Route;
    use crate::limits::voice::{COMMANDS, CONNECTIONS, HEARD, LISTENERS};
    use crate::rest::{Observer, Settings as RestSettings};
    use crate::voice::Format;
    use crate::voice::connection::Parts;
    use crate::voice::encoder::Settings;
    use crate::voice::mixer::Command;
    use crate::voice::session::Report;
    use crate::voice::stats::Counters;

    struct Nobody;

    impl Observer for Nobody {
        fn succeeded(&self, _: &'static Route, _: &Bytes) {}
        fn unauthorized(&self) {}
    }

    /// A host that never reaches a server.
    fn host() -> Host {
        let rest = Rest::new(RestSettings {
            base_url: "http://127.0.0.1:9".to_owned(),
            token: Secret::new("t"),
            segment: Duration::from_secs(10),
            observer: Arc::new(Nobody),
        });
        let runtime = tokio::runtime::Handle::current();
        Host::new(
            Default::default(),
            rest.expect("settings"),
            runtime,
            Path::new("."),
        )
    }

    fn connection(host: &Host, script: &str, channel: usize) -> Connection {
        without_mixer(host, script, channel).0
    }

    /// A connection, and what its mixer would take.
    fn without_mixer(host: &Host, script: &str, channel: usize) -> (Connection, Receiver<Command>) {
        let (commands, taken) = sync_channel(COMMANDS);
        let connection = Connection::new(Parts {
            id: host.0.next_id(),
            script: script.to_owned(),
            room: Room::Channel {
                space: "s".to_owned(),
                channel: channel.to_string(),
            },
            settings: Settings::new(true),
            counters: Arc::default(),
            host: Arc::downgrade(&host.0),
            runtime: host.0.runtime.clone(),
            commands,
        });
        (connection, taken)
    }

    fn code(error: &super::Error) -> &'static str {
        match error {
            super::Error::Voice { code, .. } => code,
            super::Error::Rest(_) => "rest",
        }
    }

    #[tokio::test]
    async fn a_script_that_does_not_come_back_loses_its_connections_and_one_that_does_keeps_them() {
        let host = host();
        let client = |script| host.client(script, Caller::HOST, Arc::new(|_| {}));
        let clients = ["gone", "back"].map(client);
        let connections = ["gone", "back"].map(|script| connection(&host, script, script.len()));
        drop(clients);
        let _back = client("back");
        // When the time is up.
        for connection in &connections {
            host.0.end_orphan(connection);
        }
        assert_eq!(
            connections.map(|one| *one.stop_signal().borrow()),
            [true, false]
        );
    }

    #[tokio::test]
    async fn a_script_has_so_many_connections_and_a_bot_one_in_a_room() {
        let host = host();
        let admit = |script, channel| host.0.admit(&connection(&host, script, channel));
        for channel in 0..CONNECTIONS {
            admit("many", channel).expect("there is room");
        }
        let error = admit("many", CONNECTIONS).expect_err("one too many");
        assert_eq!(code(&error), "too_many_connections");
        assert!(error.to_string().contains("leave one first"), "{error}");
        admit("other", CONNECTIONS).expect("the bound is of one script");
        let error = admit("other", 7).expect_err("it is taken");
        assert_eq!(code(&error), "already_joined");
        assert!(error.to_string().contains("the script many"), "{error}");
        let error = admit("many", 7).expect_err("it is taken");
        assert!(error.to_string().contains("joining it already"), "{error}");
    }

    #[tokio::test]
    async fn whoever_hears_that_a_connection_is_over_may_join_again() {
        let host = host();
        let (sender, told) = std::sync::mpsc::channel();
        let of_post = host.clone();
        let post = move |event: Event| {
            let again = connection(&of_post, "radio", 1);
            let joined = of_post.0.admit(&again).map_err(|error| error.to_string());
            of_post.0.forget(again.id());
            let _ = sender.send((event.what, joined));
        };
        let _client = host.client("radio", Caller::HOST, Arc::new(post));
        let first = connection(&host, "radio", 1);
        host.0.admit(&first).expect("there is room");
        first.report(Report::Over(Some("kicked".to_owned())));
        let told: Vec<_> = told.try_iter().collect();
        let last = |what: &Happening| matches!(what, Happening::Disconnected { last: true, .. });
        assert!(told.iter().any(|(what, _)| last(what)));
        for (what, joined) in &told {
            assert_eq!(joined, &Ok(()), "{what:?}");
        }
    }

    #[tokio::test]
    async fn so_many_commands_wait_for_the_mixer() {
        let host = host();
        let (connection, taken) = without_mixer(&host, "radio", 1);
        for _ in 0..COMMANDS {
            connection.skip().expect("there is room");
        }
        let error = connection.skip().expect_err("one too many");
        assert_eq!(code(&error), "busy");
        assert!(error.to_string().contains("more slowly"), "{error}");
        taken.try_recv().expect("a command");
        connection.skip().expect("there is room again");
        drop(taken);
        let error = connection.skip().expect_err("the mixer is gone");
        assert_eq!(code(&error), "closed");
    }

    #[tokio::test]
    async fn so_many_people_are_heard_by_so_many_handlers() {
        let host = host();
        let connection = connection(&host, "ears", 1);
        let client = host.client("ears", Caller::HOST, Arc::new(|_| {}));
        let owner = client.id();
        let user = |number: usize| format!("user {number}");
        for number in 0..HEARD {
            connection.caller_ear(&user(number)).expect("an ear");
        }
        let listen = |number: usize, id| {
            let (connection, user) = (connection.clone(), user(number));
            async move { connection.listen(&user, owner, id, Format::Opus).await }
        };
        let error = listen(HEARD, 0).await.expect_err("one too many");
        assert_eq!(code(&error), "too_many_listeners");
        assert!(error.to_string().contains("of somebody first"), "{error}");
        for id in 0..LISTENERS as u64 {
            listen(0, id).await.expect("there is room");
        }
        let error = listen(0, 99).await.expect_err("one too many");
        assert_eq!(code(&error), "too_many_listeners");
        assert!(error.to_string().contains("off()"), "{error}");
        connection.forget(owner, Some(3));
        listen(0, 99).await.expect("there is room again");
    }

    #[tokio::test]
    async fn a_version_that_ended_while_it_began_to_listen_has_no_handler() {
        let host = host();
        let connection = connection(&host, "ears", 1);
        connection.caller_ear("u").expect("an ear");
        let client = || host.client("ears", Caller::HOST, Arc::new(|_| {}));
        let (old, new) = (client(), client());
        let (gone, owner) = (old.id(), new.id());
        drop(old);
        let listen = |owner, id| connection.listen("u", owner, id, Format::Opus);
        let error = listen(gone, 0).await.expect_err("it has ended");
        assert_eq!(code(&error), "closed");
        for id in 1..=LISTENERS as u64 {
            listen(owner, id).await.expect("there is room for all");
        }
    }

    #[tokio::test]
    async fn whoever_listens_to_the_same_person_waits_for_the_same_socket() {
        let host = host();
        let connection = connection(&host, "ears", 1);
        let client = host.client("ears", Caller::HOST, Arc::new(|_| {}));
        let listen = |id| connection.listen("u", client.id(), id, Format::Opus);
        // No server is there.
        let (first, second) = tokio::join!(listen(1), listen(2));
        for result in [first, second] {
            assert_eq!(code(&result.expect_err("there is no server")), "rest");
        }
    }

    #[tokio::test]
    async fn what_connections_have_counted_stays_when_they_are_over() {
        let host = host();
        let counted = |channel, sent| {
            let connection = connection(&host, "radio", channel);
            let counters: &Counters = connection.counters();
            counters.sent.add(sent);
            host.0.admit(&connection).expect("there is room");
            connection
        };
        let (first, second) = (counted(1, 30), counted(2, 12));
        let sent = || -> Vec<u64> {
            let all = host.snapshot();
            all.iter().map(|one| one.stats.sent).collect()
        };
        assert_eq!(sent(), [30, 12]);
        for connection in [first, second] {
            host.0.forget(connection.id());
        }
        assert_eq!(sent(), [30, 12]);
        assert!(host.snapshot().iter().all(|one| one.place.is_none()));
        counted(3, 5);
        assert_eq!(sent(), [35, 12]);
    }
}
