//! One bot from start to end.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Map;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tracing::Instrument;

use super::admin::Subject;
use super::commands::Commands;
use super::hub::Hub;
use super::{SHUTDOWN_DRAIN, Shutdown};
use crate::admin::Roll;
use crate::check;
use crate::config::{self, Config, Intents, Secret};
use crate::contract::{self, INTENTS};
use crate::inbox::{self, Inbox};
use crate::rest::{self, Call, Client};
use crate::script::{self, Registrations, ScriptSettings};
use crate::stream;
use crate::voice;

/// First and longest pause between attempts to reach a server that does not answer at start.
pub(super) const UNREACHABLE_PAUSE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(30));

/// Where a bot connects to.
pub(super) struct Connection {
    pub(super) base_url: String,
    pub(super) token: Secret,
    pub(super) embedded: bool,
    /// The world there ends with this process.
    pub(super) passing: bool,
}

/// Why a bot ended that should have gone on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "the server refused the token (401): put a valid one into token or token_file under [bot], \
         or reset it in the platform's developer settings"
    )]
    TokenRefused,
    #[error("the event stream ended by itself")]
    StreamEnded,
    #[error(
        "the journal of the bot's events ended by itself, which is a bug; what it has on disk is \
         complete: start again"
    )]
    JournalEnded,
    #[error(transparent)]
    Stream(#[from] stream::Error),
    #[error(transparent)]
    Scripts(#[from] script::LoadError),
    #[error(transparent)]
    State(#[from] inbox::OpenError),
    #[error("the HTTP client cannot be built: {0}")]
    Client(rest::Error),
    #[error("the bot's profile cannot be read: {0}")]
    Profile(rest::Error),
    #[error("the server's answer to IBotSelf/GetMe has no user id: {0}")]
    ProfileShape(serde_json::Error),
}

/// The bot's own profile.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    user_id: String,
    username: String,
}

/// Runs one bot until `shutdown` or a failure that cannot be mended by waiting.
pub(super) async fn run(
    config: Config,
    connection: Connection,
    engine: voice::Engine,
    shutdown: Shutdown,
    roll: Roll,
) -> Result<(), Error> {
    tokio::select! {
        started = start(&config, connection, engine) => {
            let (bot, commands) = started?;
            roll.enter(&config.bot.name, Arc::new(bot.subject(&config)));
            // Not before: who reads that the bot is live may ask the admin server about it.
            tokio::spawn(bot.announce_live().in_current_span());
            let result = bot.live(&config, &shutdown, commands).await;
            roll.leave(&config.bot.name);
            bot.stop().await;
            result
        }
        () = shutdown.requested() => Ok(()),
    }
}

struct Bot {
    /// When its start began.
    begun: Instant,
    username: String,
    inbox: Arc<Inbox>,
    client: Client,
    hub: Arc<Hub>,
    scripts: script::Host,
    voice: voice::Host,
    state: watch::Receiver<stream::State>,
    intents: watch::Sender<u64>,
    /// Intents that the platform refused.
    left_out: watch::Receiver<u64>,
    registrations: watch::Receiver<Registrations>,
}

async fn start(
    config: &Config,
    connection: Connection,
    engine: voice::Engine,
) -> Result<(Bot, Commands), Error> {
    let begun = Instant::now();
    let state = open_state(config).await?;
    let hub = Arc::new(Hub::new());
    let client = Client::new(rest::Settings {
        base_url: connection.base_url.clone(),
        token: connection.token.clone(),
        segment: rest::limiter::Timing::SEGMENT,
        observer: hub.clone(),
    })
    .map_err(Error::Client)?;
    hub.set_client(client.clone());

    let profile = profile(&client, &connection.base_url).await?;
    let kind = if connection.embedded {
        " (embedded)"
    } else {
        ""
    };
    tracing::info!(
        "signed in as {} at {}{kind}",
        profile.username,
        connection.base_url
    );

    let voice = voice::Host::new(
        engine,
        client.clone(),
        runtime::Handle::current(),
        folder(config),
    );
    let settings = inbox::Settings {
        backlog: config.state.backlog,
        quota: config.state.kv,
        sync: match config.state.sync_full {
            true => inbox::Sync::Full,
            false => inbox::Sync::Normal,
        },
        redaction: inbox::Redaction::new(config.state.redact.iter().cloned()),
    };
    let (inbox, past) = state.start(&profile.user_id, connection.passing, settings)?;
    let scripts = script::Host::load(
        script_settings(config, Some(voice.clone())),
        client.clone(),
        inbox.clone(),
        runtime::Handle::current(),
    )
    .await?;
    announce_scripts(&scripts);
    inbox.keep_only(scripts.reports().into_iter().map(|report| report.name));
    let _checked_later = check_scripts(config, scripts.reports().iter());

    let registrations = scripts.registrations();
    let (intents, intents_seen) = watch::channel(mask(config, &registrations.borrow()));
    let commands = Commands::begin(client.clone(), &scripts, Arc::clone(&hub)).await;

    scripts.open(script::Identity {
        user_id: profile.user_id.clone(),
        username: profile.username.clone(),
    });
    let stream = stream::spawn(
        stream::Settings {
            base_url: connection.base_url,
            token: connection.token,
            user_id: profile.user_id,
            catch_up: config.events.catch_up,
            timings: stream::Timings::default(),
        },
        Arc::clone(&inbox),
        past,
        intents_seen,
        hub.clone(),
    )?;
    let state = stream.state();
    let left_out = stream.left_out();
    hub.set_stream(stream);
    let bot = Bot {
        begun,
        username: profile.username,
        inbox,
        client,
        hub,
        scripts,
        voice,
        state,
        intents,
        left_out,
        registrations,
    };
    Ok((bot, commands))
}

impl Bot {
    /// What the admin server shows of it.
    fn subject(&self, config: &Config) -> Subject {
        Subject {
            username: self.username.clone(),
            state: self.state.clone(),
            hub: Arc::clone(&self.hub),
            inbox: Arc::clone(&self.inbox),
            database: inbox::path_in(&config.state.dir, &config.bot.name),
            client: self.client.clone(),
            scripts: self.scripts.handle(),
            voice: self.voice.clone(),
        }
    }

    /// Says when the first connection of the stream is open.
    fn announce_live(&self) -> impl Future<Output = ()> + Send + use<> {
        announce_live(
            self.begun,
            *self.intents.borrow(),
            self.left_out.clone(),
            self.state.clone(),
            Arc::clone(&self.hub),
        )
    }

    /// Follows the scripts until the end is asked for or the platform refuses the bot.
    async fn live(
        &self,
        config: &Config,
        shutdown: &Shutdown,
        commands: Commands,
    ) -> Result<(), Error> {
        tokio::select! {
            () = shutdown.requested() => Ok(()),
            () = self.hub.unauthorized() => Err(Error::TokenRefused),
            error = self.stream_over() => Err(error),
            () = self.inbox.ended() => Err(Error::JournalEnded),
            never = self.follow_intents(config) => match never {},
            never = self.follow_refusals(config) => match never {},
            never = commands.follow() => match never {},
            never = self.follow_reloads(shutdown) => match never {},
            never = self.follow_versions(config) => match never {},
        }
    }

    /// Checks the types of versions that have their turn while the bot runs.
    async fn follow_versions(&self, config: &Config) -> Infallible {
        let mut swaps = self.scripts.swaps();
        let mut seen = self.scripts.reports();
        loop {
            changed(&mut swaps).await;
            let now = self.scripts.reports();
            let is_new = |report: &&script::Report| {
                !seen
                    .iter()
                    .any(|old| old.name == report.name && old.version == report.version)
            };
            // One check at a time: of what is replaced meanwhile, only the last version is of interest.
            let _ = check_scripts(config, now.iter().filter(is_new)).await;
            seen = now;
        }
    }

    /// Reloads every script when that is asked for.
    async fn follow_reloads(&self, shutdown: &Shutdown) -> Infallible {
        let mut reloads = shutdown.reloads();
        loop {
            changed(&mut reloads).await;
            if let Err(error) = self.scripts.reload(None).await {
                tracing::warn!("{error}");
            }
        }
    }

    /// Completes when the stream is over for good.
    async fn stream_over(&self) -> Error {
        let mut state = self.state.clone();
        let refused = stream::State::Refused(stream::Refusal::Token);
        let over = |state: &stream::State| *state == refused || *state == stream::State::Stopped;
        match state.wait_for(over).await.as_deref() {
            Ok(stream::State::Refused(_)) => Error::TokenRefused,
            _ => Error::StreamEnded,
        }
    }

    /// Tells the stream which intents the scripts need. Waits for nothing else: a handler gets its events
    /// however long the platform takes with the commands.
    async fn follow_intents(&self, config: &Config) -> Infallible {
        let mut registrations = self.registrations.clone();
        loop {
            let mask = mask(config, &registrations.borrow_and_update());
            self.intents
                .send_if_modified(|current| std::mem::replace(current, mask) != mask);
            changed(&mut registrations).await;
        }
    }

    /// Says whose events do not come because the platform refused their intents.
    async fn follow_refusals(&self, config: &Config) -> Infallible {
        let mut left_out = self.left_out.clone();
        let mut registrations = self.registrations.clone();
        let mut said = BTreeSet::new();
        loop {
            let refused = *left_out.borrow_and_update();
            let lines = what_is_refused(config, &registrations.borrow_and_update(), refused);
            for line in lines.difference(&said) {
                tracing::error!("{line}");
            }
            said = lines;
            tokio::select! {
                () = changed(&mut left_out) => {}
                () = changed(&mut registrations) => {}
            }
        }
    }

    async fn stop(self) {
        if let Some(stream) = self.hub.take_stream() {
            stream.stop().await;
        }
        self.scripts.stop(SHUTDOWN_DRAIN).await;
        self.voice.close().await;
        self.inbox.close().await;
        tracing::info!("stopped");
    }
}

/// The bot's state. Before anything else: it tells whether another process runs this bot.
async fn open_state(config: &Config) -> Result<inbox::Opened, Error> {
    let path = inbox::path_in(&config.state.dir, &config.bot.name);
    let open = tokio::task::spawn_blocking(move || inbox::open(&path)).await;
    // The task is not aborted; a panic in it goes on here.
    Ok(open.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?)
}

/// The bot's own profile. A server that cannot be reached is asked again until it answers.
async fn profile(client: &Client, url: &str) -> Result<Profile, Error> {
    let mut pause = UNREACHABLE_PAUSE.0;
    loop {
        let error = match get_me(client).await {
            Ok(answer) => return serde_json::from_slice(&answer).map_err(Error::ProfileShape),
            Err(error) => error,
        };
        if error.is_unauthorized() {
            return Err(Error::TokenRefused);
        }
        if !error.may_pass_by_waiting() {
            return Err(Error::Profile(error));
        }
        tracing::warn!("{url}: {error}; trying again in {} s", pause.as_secs());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(UNREACHABLE_PAUSE.1);
    }
}

async fn get_me(client: &Client) -> Result<Bytes, rest::Error> {
    let route = contract::route("IBotSelf", "GetMe").expect("the contract has IBotSelf/GetMe");
    client.call(Call::new(route, Map::new())?).await
}

/// The bot's folder: where its config is.
fn folder(config: &Config) -> &Path {
    let folder = config.path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// The sections of the config that scripts need, as their room wants them.
pub(super) fn script_settings(config: &Config, voice: Option<voice::Host>) -> script::Settings {
    let of = |script: &config::Script| ScriptSettings {
        enabled: script.enabled,
        config: script.config.clone(),
        rate_share: script.rate_share,
        load_time: script.limits.load_time,
        handlers: script.limits.handlers,
        memory: usize::try_from(script.limits.memory).unwrap_or(usize::MAX),
        cpu_per_event: script.limits.cpu_per_event,
        permissions: script.permissions(),
        http: script.http.clone(),
    };
    script::Settings {
        dir: config.scripts.dir.clone(),
        scripts: config
            .script
            .iter()
            .map(|(name, script)| (name.clone(), of(script)))
            .collect(),
        default: of(&config.script("")),
        reload: script::ReloadSettings {
            watch: match config.scripts.reload {
                config::Reload::Watched => Some(script::Watch::Notified),
                config::Reload::Polled => Some(script::Watch::Polled),
                config::Reload::Off => None,
            },
            drain: config.scripts.drain,
            rollback: config.scripts.rollback,
        },
        voice,
        clock: script::Clock::default(),
        rehearsal: None,
    }
}

/// The stream's intents: what the config names, or what the scripts need.
fn mask(config: &Config, registrations: &Registrations) -> u64 {
    match &config.events.intents {
        Intents::Auto => registrations.intents(),
        Intents::Only(intents) => intents.iter().fold(0, |mask, intent| mask | intent.mask()),
    }
}

/// Completes when the value has changed, and never when it cannot change any more: what it is about has ended.
pub(super) async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Who gets no events because the platform refused these intents, and the way out: a line for each.
fn what_is_refused(config: &Config, registrations: &Registrations, mask: u64) -> BTreeSet<String> {
    match config.events.intents {
        Intents::Only(_) if mask == 0 => BTreeSet::new(),
        Intents::Only(_) => BTreeSet::from([format!(
            "the platform refused {} of `intents` in [events] (missing_intents): only a verified bot may \
             ask for them; have it verified and start the host again, or take them out",
            names_of(mask)
        )]),
        Intents::Auto => (registrations.in_need_of(mask).iter())
            .map(|(script, event)| {
                format!(
                    "{script} gets no {event}: the platform refused the intent (missing_intents), which \
                     only a verified bot may ask for; have it verified and start the host again, or \
                     remove the handler"
                )
            })
            .collect(),
    }
}

/// The names of intents.
fn names_of(mask: u64) -> String {
    let named = INTENTS.iter().filter(|intent| mask & intent.mask() != 0);
    let names: Vec<_> = named.map(|intent| intent.name).collect();
    names.join(", ")
}

/// Says what `check` has against the scripts that run, as warnings. It has a thread of its own, which runs
/// behind everything else: what scripts do is of more interest than what is wrong with their types.
/// The answer completes when all is said.
fn check_scripts<'r>(
    config: &Config,
    scripts: impl Iterator<Item = &'r script::Report>,
) -> oneshot::Receiver<()> {
    let (said, done) = oneshot::channel();
    let Ok(root) = config.scripts.dir.canonicalize() else {
        return done;
    };
    // A script that does not load has said why.
    let loaded = scripts.filter(|report| !matches!(report.state, script::State::Failed(_)));
    let versions: Vec<_> = loaded
        .map(|report| (report.path.clone(), config.script(&report.name).config))
        .collect();
    if versions.is_empty() {
        return done;
    }
    let span = tracing::Span::current();
    let thread = std::thread::Builder::new().name("check".into());
    let spawned = thread.spawn(move || {
        let _of_bot = span.enter();
        script::lower_priority("check");
        let begun = Instant::now();
        let problems = check::versions(&root, &versions);
        tracing::debug!(target: "check", "types checked in {:.1} ms",
            begun.elapsed().as_secs_f64() * 1e3);
        for problem in problems.iter().filter(|problem| problem.is_error()) {
            tracing::warn!(target: "check", "{problem}");
        }
        drop(said);
    });
    if let Err(error) = spawned {
        tracing::warn!(target: "check", "types are not checked: no thread can be started: {error}");
    }
    done
}

/// Says which scripts run and which do not.
fn announce_scripts(scripts: &script::Host) {
    let mut loaded = Vec::new();
    for report in scripts.reports() {
        match report.state {
            script::State::Failed(_) | script::State::Paused(_) => {}
            script::State::Loading | script::State::Loaded => loaded.push(report.name),
        }
    }
    match loaded.len() {
        0 => tracing::warn!("no script is loaded"),
        1 => tracing::info!("1 script loaded: {}", loaded[0]),
        count => tracing::info!("{count} scripts loaded: {}", loaded.join(", ")),
    }
}

/// Says when the first connection of the stream is open.
async fn announce_live(
    begun: Instant,
    mask: u64,
    left_out: watch::Receiver<u64>,
    mut state: watch::Receiver<stream::State>,
    hub: Arc<Hub>,
) {
    let live = |state: &stream::State| matches!(state, stream::State::Live { .. });
    if state.wait_for(live).await.is_ok() {
        let mask = mask & !*left_out.borrow();
        if INTENTS
            .iter()
            .any(|intent| intent.privileged && mask & intent.mask() != 0)
        {
            hub.bot_is_verified();
        }
        let names = match mask {
            0 => "none".to_owned(),
            _ => names_of(mask),
        };
        tracing::info!(
            "live after {} ms; intents: {names}",
            begun.elapsed().as_millis()
        );
    }
}
