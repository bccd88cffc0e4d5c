//! Does what the state machine says: the thread of one bot's stream.
//!
//! Each connection has a single-threaded runtime of its own on this thread. Dropping the runtime drops
//! the HTTP client's connection task and closes its socket before the next connection is thought of, so
//! that there are never two; and nothing can fill the parser while it is polled (see
//! [`crate::allocator`]). It is the cheaper way as well: reading, parsing and appending an event
//! cross no thread.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::catch_up::{self, CatchUp, Finding};
use super::connection::{Connection, Message, Signal, Target};
use super::ending::{Ending, Refusal};
use super::machine::{Machine, Next, messages_bit};
use super::ownership::Owner;
use super::settings::{Host, Settings, State};
use super::shared::{Shared, Sign};
use crate::allocator::EVENT_BYTES;
use crate::inbox::{Event, Inbox, Place, Sighting};

/// An append that takes longer than this was held up by a full inbox.
const STALL: Duration = Duration::from_millis(500);
/// After a lookup that failed, interactions pass unasked for this long, so that a REST API that is down
/// does not stop the stream at every click.
const LOOKUP_PAUSE: Duration = Duration::from_secs(30);

/// Findings of a search that wait for the stream's thread; when there are more, the search waits.
const FINDINGS: usize = 16;

/// Everything that the stream's thread owns.
pub struct Runner {
    pub settings: Settings,
    pub target: Target,
    pub inbox: Arc<Inbox>,
    pub host: Arc<dyn Host>,
    pub shared: Arc<Shared>,
    pub intents: watch::Receiver<u64>,
    pub signs: mpsc::Receiver<Sign>,
    pub stop: watch::Receiver<bool>,
    /// The runtime that the host's futures run on.
    pub outside: tokio::runtime::Handle,
    pub machine: Machine,
    /// The last event of this connection that had an id of its own, to know one that was sent without.
    pub last: Option<Arc<Event>>,
    pub lookups_from: Instant,
    /// When the last event with a place came.
    pub heard: Option<Instant>,
    /// The look through the history that this connection began.
    pub search: Option<Task>,
    /// What it found and is not dealt with yet: few, because the search waits.
    pub findings: VecDeque<Finding>,
}

/// A search in the background, which ends with this.
#[derive(Debug)]
pub struct Task {
    handle: JoinHandle<()>,
    findings: mpsc::Receiver<Finding>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Runner {
    /// Runs until the bot is stopped or its token refused.
    pub fn run(mut self) {
        loop {
            let next = self.machine.next(Instant::now());
            match next {
                Next::Finish => break,
                Next::Open { intents, after } => self.connect(intents, after.as_deref()),
                Next::Wait(until) => {
                    on_own_runtime(self.something_else(until));
                }
                // Only a connection is read or closed, and `connect` has done with it.
                Next::Read(_) | Next::Close(_) => break,
            }
        }
        self.publish();
        if self.machine.state() != State::Refused(Refusal::Token) {
            self.shared.state.send_replace(State::Stopped);
        }
    }

    /// One connection from its opening to its closed socket.
    fn connect(&mut self, intents: u64, after: Option<&str>) {
        let open = OpenAtHost::new(&self.host);
        self.machine.connecting(Instant::now());
        self.publish();
        self.shared.connects.fetch_add(1, Relaxed);
        self.shared
            .resumes
            .fetch_add(u64::from(after.is_some()), Relaxed);
        tracing::debug!(
            intents,
            after = after.unwrap_or(""),
            "opening the event stream"
        );
        let ending = match on_own_runtime(self.attempt(intents, after)) {
            Some(ending) => ending,
            None => Ending::Lost("the system gave no event loop for the connection".into()),
        };
        drop(open);
        // What was found and not dealt with is found again.
        self.search = None;
        self.findings.clear();
        // The last events may have come together with the end.
        self.inbox.wake();
        self.last = None;
        let now = Instant::now();
        let given_up = self.machine.ended(now, &ending, rand::random());
        self.publish();
        self.shared.note_ending(&ending);
        self.log_ending(&ending, now);
        if ending == Ending::Oversized {
            self.shared.oversized.fetch_add(1, Relaxed);
        }
        if let Some(position) = given_up {
            self.shared.gaps.fetch_add(1, Relaxed);
            tracing::warn!(
                %position,
                "two connections ended at the event after this one; going on without resuming, so \
                 that events may be missing"
            );
        }
    }

    async fn attempt(&mut self, intents: u64, after: Option<&str>) -> Ending {
        let connection = Connection::new(&self.target, &self.settings.timings, intents, after);
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(ending) => return ending,
        };
        loop {
            while let Some(finding) = self.findings.pop_front() {
                self.deal_with(finding).await;
            }
            let until = match self.machine.next(Instant::now()) {
                Next::Read(until) => until,
                // To the server what is parsed is delivered: it would never come again.
                Next::Close(_) if connection.more_at_hand() => None,
                Next::Close(ending) => return ending,
                Next::Open { .. } | Next::Wait(_) | Next::Finish => return Ending::Stopped,
            };
            let signal = select! {
                biased;
                signal = connection.next() => signal,
                () = self.something_else(until) => continue,
            };
            match signal {
                Signal::Opened => {
                    self.machine.opened(Instant::now());
                    self.look_for_what_is_missing(intents);
                }
                Signal::Event(message) => {
                    self.message(message).await;
                    if !connection.more_at_hand() {
                        self.inbox.wake();
                    }
                }
                Signal::Damaged(what) => tracing::warn!("{what}"),
                Signal::Ended(ending) => return ending,
                Signal::Failed(error) => return connection.ending(*error).await,
            }
        }
    }

    /// Waits for anything but the connection: the time, new intents, a sign from the handle, the end.
    async fn something_else(&mut self, until: Option<Instant>) {
        let time = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => pending().await,
            }
        };
        select! {
            () = stopped(&mut self.stop) => self.machine.stop(),
            mask = changed(&mut self.intents) => self.machine.intents(Instant::now(), mask),
            sign = received(&mut self.signs) => match sign {
                Sign::MessageSent => self.machine.message_sent(Instant::now()),
                Sign::HistorySeen { written } => {
                    self.machine.history_seen(Instant::now(), written);
                }
            },
            finding = found(&mut self.search) => self.findings.push_back(finding),
            () = time => {}
        }
    }

    /// The connection was opened: there may be a gap before what it brings.
    fn look_for_what_is_missing(&mut self, intents: u64) {
        let at = catch_up::now();
        self.shared.hear(Instant::now());
        self.shared.resumed.store(false, Relaxed);
        self.shared.forget_flows();
        let is_first = {
            let mut sightings = self.shared.sightings();
            let is_first = sightings.since().is_none();
            sightings.open_gap(at);
            is_first
        };
        self.inbox.opened(at);
        let reach = self.settings.catch_up;
        if is_first || reach.is_zero() || intents & messages_bit() == 0 {
            return self.settle(None);
        }
        let (findings, here) = mpsc::channel(FINDINGS);
        let search = CatchUp {
            host: Arc::clone(&self.host),
            shared: Arc::clone(&self.shared),
            timings: self.settings.timings,
            reach,
            away: self.heard.map_or(Duration::MAX, |heard| heard.elapsed()),
            findings,
        };
        let span = tracing::Span::current();
        self.search = Some(Task {
            handle: self.outside.spawn(search.run().instrument(span)),
            findings: here,
        });
    }

    async fn deal_with(&mut self, finding: Finding) {
        match finding {
            Finding::Settled(channel) => {
                self.settle(channel);
                if channel.is_none() {
                    // That was the last one.
                    self.search = None;
                }
            }
            Finding::Gone(channel) => {
                self.shared.sightings().forget(channel);
                self.inbox.gone(channel);
            }
            Finding::Message(sighting, event) => {
                let Sighting {
                    channel, message, ..
                } = sighting;
                if self.shared.sightings().has(channel, message) {
                    return;
                }
                if self
                    .append(&Arc::new(event), Place::Unknown, Some(sighting))
                    .await
                {
                    self.shared.recovered.fetch_add(1, Relaxed);
                    self.inbox.wake();
                }
            }
        }
    }

    fn settle(&self, channel: Option<u128>) {
        let mut sightings = self.shared.sightings();
        match channel {
            Some(channel) => sightings.settle(channel),
            None => sightings.settle_all(),
        }
        drop(sightings);
        self.inbox.settled(channel);
    }

    async fn message(&mut self, message: Message) {
        let received = Instant::now();
        self.shared.note_event(&message.kind, received);
        self.shared.hear(received);
        let was_live = self.machine.is_live();
        let place = self.machine.event(received, &message.kind, &message.id);
        if !was_live {
            self.publish();
        }
        if place == Some(Place::Connection) && self.machine.position() == message.id {
            // As long as nothing else came, it says where to go on.
            self.inbox.pass(&message.id, Place::Id);
        }
        let mut event = Event {
            id: message.id,
            kind: message.kind,
            payload: message.payload,
            received,
        };
        if place.is_none() && !self.has_inherited_its_id(&event) {
            self.shared.duplicates.fetch_add(1, Relaxed);
            tracing::debug!(id = %event.id, kind = %event.kind, "an event came twice");
            return;
        }
        let place = place.unwrap_or(Place::Unknown);
        if place == Place::Unknown {
            event.id.clear();
        }
        if event.payload.len() > EVENT_BYTES {
            self.shared.oversized.fetch_add(1, Relaxed);
            tracing::warn!(
                id = %event.id,
                kind = %event.kind,
                bytes = event.payload.len(),
                "an event over {} MiB was skipped",
                EVENT_BYTES >> 20
            );
            self.inbox.pass(&event.id, place);
            self.dealt_with(&event, place);
            return;
        }
        match event.kind.as_str() {
            "ready" => log_ready(&event.payload),
            "resumed" => self.shared.resumed.store(true, Relaxed),
            _ => {}
        }
        let sighting = match event.kind.as_str() {
            "messageCreate" => Sighting::of_message_create(&event.payload),
            _ => None,
        };
        if self.search.is_some()
            && let Place::Sequence { scope, .. } = place
        {
            let sent = sighting.map(|sighting| sighting.sent);
            self.shared.flow(scope, received, sent);
        }
        let event = Arc::new(event);
        if is_placed(place) {
            self.last = Some(Arc::clone(&event));
        }
        if self.is_foreign(&event).await {
            self.shared.foreign.fetch_add(1, Relaxed);
            tracing::debug!(id = %event.id, kind = %event.kind, "another bot's interaction");
            self.inbox.pass(&event.id, place);
        } else if sighting.is_some_and(|message| self.was_recovered(message)) {
            self.shared.duplicates.fetch_add(1, Relaxed);
            tracing::debug!(id = %event.id, "a message that was found in the history before");
            self.inbox.pass(&event.id, place);
        } else if !self.append(&event, place, sighting).await {
            return;
        }
        self.dealt_with(&event, place);
        if received.elapsed() > STALL {
            self.machine.stalled(Instant::now());
        }
    }

    fn dealt_with(&mut self, event: &Event, place: Place) {
        if is_placed(place) {
            self.machine.passed(&event.id);
            self.heard = Some(event.received);
        }
    }

    /// Whether the event bears the id of the one before it and is another event: then the server sent
    /// it without an id, and the parser filled in the last.
    fn has_inherited_its_id(&self, event: &Event) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.id == event.id && (last.kind != event.kind || last.payload != event.payload)
        })
    }

    /// Leaves the journal asleep. False when the bot was stopped while the inbox was full.
    async fn append(
        &mut self,
        event: &Arc<Event>,
        place: Place,
        sighting: Option<Sighting>,
    ) -> bool {
        select! {
            biased;
            () = self.inbox.push_seen(Arc::clone(event), place, sighting) => {
                self.shared.appended.fetch_add(1, Relaxed);
                if let Some(sighting) = sighting {
                    self.shared.sightings().see(sighting);
                }
                true
            }
            () = stopped(&mut self.stop) => {
                self.machine.stop();
                false
            }
        }
    }

    /// Whether the message was handed out before, because the history was quicker than the stream.
    fn was_recovered(&self, sighting: Sighting) -> bool {
        let sightings = self.shared.sightings();
        sightings.has_recovered(sighting.channel, sighting.message)
    }

    async fn is_foreign(&mut self, event: &Event) -> bool {
        if !event.kind.ends_with("Interaction") {
            return false;
        }
        let owner = self.shared.ownership().owner(&event.kind, &event.payload);
        match owner {
            Owner::Us => false,
            Owner::Other => true,
            Owner::Awaited => self.is_foreign_after_all(event).await,
            Owner::AuthorOf {
                channel_id,
                message_id,
            } => match self.author_is_us(channel_id, message_id).await {
                Ok(ours) => {
                    self.shared.ownership().remember(message_id, ours);
                    !ours
                }
                Err(reason) => {
                    tracing::debug!(
                        id = %event.id,
                        message_id,
                        %reason,
                        "whose message it is could not be found out; the interaction passes"
                    );
                    false
                }
            },
        }
    }

    /// Waits until it is known which command that is. One that is still not known passes.
    async fn is_foreign_after_all(&mut self, event: &Event) -> bool {
        let mut news = self.shared.commands.subscribe();
        let patience = tokio::time::sleep(self.settings.timings.lookup);
        tokio::pin!(patience);
        loop {
            match self.shared.ownership().owner(&event.kind, &event.payload) {
                Owner::Awaited => {}
                owner => return owner == Owner::Other,
            }
            select! {
                _ = news.changed() => {}
                () = &mut patience => return false,
                () = stopped(&mut self.stop) => {
                    self.machine.stop();
                    return false;
                }
            }
        }
    }

    async fn author_is_us(&mut self, channel: String, message: i64) -> Result<bool, String> {
        if Instant::now() < self.lookups_from {
            return Err("the last lookup failed".into());
        }
        self.shared.lookups.fetch_add(1, Relaxed);
        let host = Arc::clone(&self.host);
        let time = self.settings.timings.lookup;
        let lookup = self
            .outside
            .spawn(async move { tokio::time::timeout(time, host.author(&channel, message)).await });
        let answer = select! {
            answer = lookup => answer,
            () = stopped(&mut self.stop) => {
                self.machine.stop();
                return Err("the bot stops".into());
            }
        };
        let failure = match answer {
            Ok(Ok(Ok(Some(author)))) => return Ok(self.shared.is_us(&author)),
            // Deleted since, perhaps: nobody can tell any more, so it counts as ours from now on.
            Ok(Ok(Ok(None))) => return Ok(true),
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => format!("no answer within {} s", time.as_secs_f64()),
            Err(_) => "the lookup broke off".to_owned(),
        };
        self.lookups_from = Instant::now() + LOOKUP_PAUSE;
        Err(failure)
    }

    fn publish(&self) {
        // Before the state, so that who sees a live stream sees what it does without.
        let left_out = self.machine.left_out();
        self.shared
            .left_out
            .send_if_modified(|shown| std::mem::replace(shown, left_out) != left_out);
        let state = self.machine.state();
        self.shared.state.send_if_modified(|shown| {
            let differs = *shown != state;
            if differs {
                *shown = state;
            }
            differs
        });
    }

    fn log_ending(&self, ending: &Ending, now: Instant) {
        match self.machine.state() {
            State::Waiting { until, .. } => {
                let seconds = until.saturating_duration_since(now).as_secs_f64();
                if *ending == Ending::IntentsChanged || ending.is_missing_intents() {
                    tracing::info!("the event stream is reopened in {seconds:.1} s: {ending}");
                } else {
                    tracing::warn!(
                        "the event stream is down: {ending}; reconnect in {seconds:.1} s"
                    );
                }
            }
            State::Refused(refusal) => tracing::error!("{refusal}"),
            State::Connecting { .. } | State::Live { .. } | State::Stopped => {
                tracing::debug!("the event stream is closed: {ending}");
            }
        }
    }
}

/// Whether the stream goes on after the event.
fn is_placed(place: Place) -> bool {
    matches!(place, Place::Id | Place::Sequence { .. })
}

/// The stream counts as one of the bot's requests while this lives, also when the thread panics.
struct OpenAtHost(Arc<dyn Host>);

impl OpenAtHost {
    fn new(host: &Arc<dyn Host>) -> Self {
        host.stream_open(true);
        Self(Arc::clone(host))
    }
}

impl Drop for OpenAtHost {
    fn drop(&mut self) {
        self.0.stream_open(false);
    }
}

/// Runs a future on a new single-threaded runtime and drops the runtime, with every task and socket
/// that was made on it. None when the system has no resources for one.
fn on_own_runtime<T>(work: impl Future<Output = T>) -> Option<T> {
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(work);
            // Tasks are dropped on the spot; only a name lookup under way is not waited for.
            runtime.shutdown_background();
            Some(result)
        }
        Err(error) => {
            tracing::error!(%error, "no event loop for the stream");
            std::thread::sleep(Duration::from_secs(1));
            None
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the handle is gone: that is a stop too.
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn changed(intents: &mut watch::Receiver<u64>) -> u64 {
    match intents.changed().await {
        Ok(()) => *intents.borrow_and_update(),
        // Nobody will change them any more.
        Err(_) => pending().await,
    }
}

async fn found(search: &mut Option<Task>) -> Finding {
    let finding = match search {
        Some(search) => search.findings.recv().await,
        None => None,
    };
    match finding {
        Some(finding) => finding,
        None => pending().await,
    }
}

async fn received(signs: &mut mpsc::Receiver<Sign>) -> Sign {
    match signs.recv().await {
        Some(sign) => sign,
        None => pending().await,
    }
}

fn log_ready(payload: &str) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Ready {
        #[serde(default)]
        spaces: Vec<Space>,
        /// The documentation's example has these instead.
        #[serde(default)]
        space_ids: Vec<serde::de::IgnoredAny>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Space {
        #[serde(default)]
        space_id: String,
        #[serde(default)]
        pending_approval: bool,
    }

    match serde_json::from_str::<Ready>(payload) {
        Ok(ready) => {
            let spaces = ready.spaces.len().max(ready.space_ids.len());
            tracing::info!(spaces, "the event stream is connected");
            for space in ready.spaces.iter().filter(|space| space.pending_approval) {
                tracing::warn!(
                    space = %space.space_id,
                    "the space has not approved what the bot asks for; some calls there will be refused"
                );
            }
        }
        Err(error) => {
            tracing::info!(%error, "the event stream is connected; its `ready` is unusual")
        }
    }
}
