//! The one event stream of a bot, from the platform's socket to the inbox.
//!
//! Guarantees:
//! - There is never more than one connection, not even for a moment: each lives on a runtime of its own
//!   that is dropped, with its socket, before the next is made (`runner`).
//! - Connects stay inside the platform's budget of five a minute, whatever the reason for them
//!   (`backoff`).
//! - An event that comes twice reaches the inbox once; one that comes out of order reaches it (`dedupe`).
//! - After a break the stream resumes: the platform's own position, and the last real event's id for a
//!   server that goes by that (`machine`).
//! - When the platform refuses privileged intents, the stream goes on without them until others are wanted
//!   (`machine`, [`Handle::left_out`]).
//! - A stream that is silent, deaf (`deaf`), unreadable or too large (`connection`, `allocator`) is
//!   noticed, reported and replaced.
//! - Interactions of other bots are left out (`ownership`). Everything else passes as it came: unknown
//!   types, unknown fields, connection events, also payloads that are no JSON, which the scripts report.
//! - A message that the platform wrote into a socket that was not read any more is found in the history
//!   (`catch_up`).
//! - The payload is moved from the parser to the inbox, never copied, and parsed only where a decision
//!   needs it: `ready` for the log, interactions for their owner, messages for their ids.
//! - When the inbox is full the stream stops reading its socket and the platform keeps what comes.
//!
//! An event may have 8 MiB. The crate that parses has no such bound; `allocator` says how memory is
//! bounded all the same, at some 20 MiB for each of the parser's buffers.
//!
//! A stream has a thread of its own (of some 30 KiB, one for each bot) rather than a task on the shared
//! runtime: it is what makes the first guarantee and the bound on memory hold, and it saves the way
//! between threads for each event.

mod backoff;
mod catch_up;
mod connection;
mod deaf;
mod dedupe;
mod ending;
mod event_id;
mod machine;
mod ownership;
mod runner;
mod settings;
mod shared;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};

pub use ending::Refusal;
pub use settings::{BoxFuture, Denied, Host, Settings, State, Stats, Timings};

use crate::inbox::{Inbox, Past};
use connection::Target;
use machine::Machine;
use runner::Runner;
use shared::{Shared, Sign};

/// Signs that wait for the stream's thread. When there are more they are dropped: the oldest decide.
const SIGNS: usize = 64;

/// Why a stream could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base address is no URL.
    #[error("the server's address cannot be used ({0}); check `url` in [server]")]
    Address(String),
    /// The token cannot stand in a header.
    #[error("the token has characters that no token has; check `token` or `token_file` in [bot]")]
    Token,
    /// Called outside a tokio runtime.
    #[error("a stream is started from within the runtime")]
    NoRuntime(#[from] tokio::runtime::TryCurrentError),
    /// The system gave no thread.
    #[error("the system gave no thread for the event stream")]
    Thread(#[from] std::io::Error),
}

/// Starts a bot's stream: connects at once and appends to `inbox` until it is stopped, or the token is
/// refused. `past` says where the stream was in a process before this one. `intents` is the mask to ask
/// for; when it changes, the stream is reopened within the budget.
/// Must be called within a tokio runtime; the host's futures run there.
pub fn spawn(
    settings: Settings,
    inbox: Arc<Inbox>,
    mut past: Past,
    mut intents: watch::Receiver<u64>,
    host: Arc<dyn Host>,
) -> Result<Handle, Error> {
    let target = Target::new(&settings)?;
    let outside = tokio::runtime::Handle::try_current()?;
    let now = Instant::now();
    let sightings = std::mem::take(&mut past.sightings);
    let ages = past.windows.iter().map(|(_, _, age)| *age);
    let heard = ages.min().and_then(|age| now.checked_sub(age));
    let machine = Machine::new(settings.timings, *intents.borrow_and_update(), past, now);
    let shared = Shared::new(settings.user_id.clone(), machine.state(), sightings);
    let shared = Arc::new(shared);
    let (signs, signs_here) = mpsc::channel(SIGNS);
    let (stop, stop_here) = watch::channel(false);
    let (end, ended) = oneshot::channel();
    let runner = Runner {
        settings,
        target,
        inbox,
        host,
        shared: Arc::clone(&shared),
        intents,
        signs: signs_here,
        stop: stop_here,
        outside,
        machine,
        last: None,
        lookups_from: now,
        heard,
        search: None,
        findings: VecDeque::new(),
    };
    let last_word = LastWord {
        shared: Arc::clone(&shared),
        _end: end,
    };
    // What is logged on the thread belongs to the bot whose span this is.
    let span = tracing::Span::current();
    std::thread::Builder::new()
        .name("argon-stream".into())
        .spawn(move || {
            let _last_word = last_word;
            span.in_scope(|| runner.run());
        })?;
    Ok(Handle {
        shared,
        signs,
        stop,
        ended,
    })
}

/// Says that the stream is over, also when its thread panics.
struct LastWord {
    shared: Arc<Shared>,
    _end: oneshot::Sender<()>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the event stream's thread panicked; the bot gets no more events");
            self.shared.state.send_replace(State::Stopped);
        }
    }
}

/// A running stream. Dropping it stops the stream without waiting for its end.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    signs: mpsc::Sender<Sign>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl Handle {
    /// What the stream is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Intents (a mask) that are wanted and that the stream does without, because the platform refused
    /// them, now and from now on. It asks for them again when other intents are wanted.
    pub fn left_out(&self) -> watch::Receiver<u64> {
        self.shared.left_out.subscribe()
    }

    /// The platform accepted a message of this bot (a Send or a Reply was answered with this id). It
    /// makes the message's controls the bot's own, and should come back as an event: a stream on which
    /// it does not is deaf. Never waits; the second part is dropped when 64 signs are waiting, because
    /// the oldest decides.
    pub fn message_sent(&self, message_id: i64) {
        self.shared.ownership().remember(message_id, true);
        let _ = self.signs.try_send(Sign::MessageSent);
    }

    /// The bot's commands, all of them, after each change to them: uses of any other are another bot's
    /// and are dropped. Until the first call, and after none, every command passes.
    pub fn set_commands(&self, ids: Option<impl IntoIterator<Item = String>>) {
        self.shared.ownership().set_commands(ids);
        self.shared.commands.send_replace(());
    }

    /// Commands of these names (lower-case) are about to be registered: a use of one of them under an id
    /// that is not known may come before the answer that says the id, and waits for it, for at most
    /// [`Timings::lookup`]; then it passes. Until [`Self::set_commands`].
    pub fn await_commands(&self, names: impl IntoIterator<Item = String>) {
        self.shared.ownership().await_commands(names);
    }

    /// This command is the bot's, beside those that are known.
    pub fn add_command(&self, id: &str) {
        self.shared.ownership().add_command(id);
        self.shared.commands.send_replace(());
    }

    /// A page of history showed that a message was written at this time; the newest of the page is
    /// enough. If nothing came of it and the next heartbeats do not move, the stream is deaf. Never
    /// waits; dropped when 64 signs are waiting.
    pub fn history_seen(&self, written: SystemTime) {
        let age = written.elapsed().unwrap_or_default();
        if let Some(written) = Instant::now().checked_sub(age) {
            let _ = self.signs.try_send(Sign::HistorySeen { written });
        }
    }

    /// What the stream has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Stops the stream; when this returns, its connection is closed and nothing is appended any more.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // An error is the end of the thread, which drops its side: what is waited for.
        let _ = self.ended.await;
    }
}
