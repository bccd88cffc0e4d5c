//! What is between the stream, the journal and the scripts: what the journal is to do, and for each
//! subscriber the events that are ready to be taken.
//!
//! A subscriber has at most [`READY_EVENTS`] ready events and [`READY_BYTES`] of payload in memory. One
//! that falls behind that gets the rest from the database when it has taken half of them. So a slow
//! script costs memory for itself only, and holds nobody up.
//!
//! An event of a type that a script does not want is given to it all the same, but not kept for it, and
//! its thread is not woken: a handler of an event before it may want it by the time it is taken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use tokio::sync::Notify;

use super::batch::ScriptId;
use super::counters::Counters;
use super::journal::Op;
use super::sightings::Sighting;
use super::store::Recorded;
use super::{CAPACITY_BYTES, CAPACITY_EVENTS, Event, Place};

/// The most events that are ready for one subscriber.
pub(super) const READY_EVENTS: usize = 1024;
/// The most bytes of payload that are ready for one subscriber, one event more always.
const READY_BYTES: usize = 8 << 20;
/// The most events that lie there for a subscriber which wanted none of them.
const UNWANTED: usize = 64;

/// What the inbox and its journal share.
#[derive(Debug)]
pub(super) struct Core {
    state: Mutex<State>,
    /// The journal's thread, once it runs.
    journal: std::sync::OnceLock<Thread>,
    /// Wakes the appender when there is room again.
    pub(super) room: Notify,
    pub(super) counters: Counters,
}

/// How the journal's thread sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Nap {
    /// It does not.
    Awake,
    /// Until a time that is near.
    Timed,
    /// Until something urgent comes, or what is there has waited long enough.
    Lazy,
    /// Until something comes.
    #[default]
    Idle,
}

#[derive(Debug)]
pub(super) struct State {
    /// What the journal is to do, in order.
    pub(super) ops: Vec<Op>,
    /// Somebody waits for something in `ops`.
    pub(super) urgent: bool,
    /// Since when there is something in `ops` that nobody waits for.
    pub(super) lazy_since: Option<Instant>,
    pub(super) nap: Nap,
    pub(super) closing: bool,
    /// Events that are not committed, and their bytes.
    pending: usize,
    pending_bytes: usize,
    next_seq: u64,
    subscribers: Vec<Subscriber>,
    next_key: u64,
    scripts: HashMap<String, ScriptId>,
    of_script: HashMap<ScriptId, Standing>,
    /// For which scripts an event of that type is, as far as it was asked.
    interested: HashMap<String, Arc<[ScriptId]>>,
    /// The last `ready` of the stream.
    pub(super) ready: Option<Arc<Event>>,
}

/// How a script stands, whoever subscribes for it.
#[derive(Debug, Default)]
struct Standing {
    /// Events that it is not done with.
    open: u64,
    /// Of these the ones in its hands.
    held: HashSet<u64>,
    /// Events that were dropped since somebody asked.
    dropped: u64,
}

/// An event that can be taken.
#[derive(Debug)]
pub(super) struct Ready {
    /// 0 for one that is not kept.
    pub(super) seq: u64,
    pub(super) event: Arc<Event>,
    /// What its handlers asked before.
    pub(super) calls: Vec<Recorded>,
}

#[derive(Debug)]
struct Subscriber {
    key: u64,
    script: ScriptId,
    /// Woken when there is something to take; nobody's while the script is paused.
    thread: Option<Thread>,
    /// Which of its handles may take: the last one made.
    claim: u64,
    interest: Interest,
    ready: VecDeque<Ready>,
    bytes: usize,
    /// Its thread has been woken and has not found `ready` empty since.
    woken: bool,
    /// Events before this number are not new to the script: handed out again.
    since: u64,
    /// The number up to which everything was put into `ready`, exclusive.
    given: u64,
    /// There is more in the database.
    behind: bool,
    /// The journal has been asked for it.
    refilling: bool,
}

/// The event types that a subscriber wants.
#[derive(Debug, Default)]
struct Interest {
    all: bool,
    kinds: HashSet<String>,
}

impl Interest {
    fn has(&self, kind: &str) -> bool {
        self.all || self.kinds.contains(kind)
    }
}

impl Subscriber {
    /// Makes room by letting go of the oldest event that it did not want.
    fn forget_unwanted(&mut self) {
        if !self.woken
            && self.ready.len() >= UNWANTED
            && let Some(ready) = self.ready.pop_front()
        {
            self.bytes -= ready.event.payload.len();
        }
    }

    /// Its thread, if it must be woken.
    fn wake(&mut self) -> Option<Thread> {
        let thread = self.thread.clone().filter(|_| !self.woken)?;
        self.woken = true;
        Some(thread)
    }

    fn has_room(&self) -> bool {
        self.ready.len() < READY_EVENTS && self.bytes < READY_BYTES
    }

    fn push(&mut self, ready: Ready) {
        self.bytes += ready.event.payload.len();
        self.given = self.given.max(ready.seq + 1);
        self.ready.push_back(ready);
    }
}

/// What a taker gets.
pub(super) struct Taken {
    pub(super) ready: Ready,
    pub(super) script: ScriptId,
    pub(super) replayed: bool,
}

impl State {
    fn script(&mut self, name: &str) -> ScriptId {
        if let Some(&id) = self.scripts.get(name) {
            return id;
        }
        let id = self.scripts.values().max().map_or(1, |most| most + 1);
        self.scripts.insert(name.to_owned(), id);
        self.ops.push(Op::Script {
            id,
            name: name.to_owned(),
        });
        id
    }

    fn interested(&mut self, kind: &str) -> Arc<[ScriptId]> {
        if let Some(known) = self.interested.get(kind) {
            return Arc::clone(known);
        }
        let mut scripts: Vec<_> = (self.subscribers.iter())
            .filter(|one| one.interest.has(kind))
            .map(|one| one.script)
            .collect();
        scripts.sort_unstable();
        scripts.dedup();
        let scripts: Arc<[ScriptId]> = scripts.into();
        // Types are few; whoever sends others forever must not fill the memory.
        if self.interested.len() >= 1000 {
            self.interested.clear();
        }
        self.interested
            .insert(kind.to_owned(), Arc::clone(&scripts));
        scripts
    }

    fn standing(&mut self, script: ScriptId) -> &mut Standing {
        self.of_script.entry(script).or_default()
    }

    /// A script got rid of an event that it was not done with.
    fn closed(&mut self, script: ScriptId) {
        let standing = self.standing(script);
        standing.open = standing.open.saturating_sub(1);
    }

    /// As [`State::closed`], because there was no room for it.
    pub(super) fn dropped(&mut self, script: ScriptId) {
        self.closed(script);
        self.standing(script).dropped += 1;
    }

    /// As [`State::closed`], because the script is gone.
    pub(super) fn forgotten(&mut self, script: ScriptId) {
        self.closed(script);
    }

    fn subscriber(&mut self, key: u64) -> Option<&mut Subscriber> {
        self.subscribers.iter_mut().find(|one| one.key == key)
    }

    /// The script of a subscriber that waits to be given more, and the number to go on from.
    pub(super) fn wants_from(&mut self, key: u64) -> Option<(ScriptId, u64)> {
        self.subscriber(key).map(|one| (one.script, one.given))
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.pending == 0
            || (self.pending < CAPACITY_EVENTS && self.pending_bytes + bytes <= CAPACITY_BYTES)
    }
}

impl Core {
    /// Of a database with these scripts, and these pairs of event and script that are not done.
    pub(super) fn new(
        scripts: HashMap<String, ScriptId>,
        open: impl IntoIterator<Item = (u64, ScriptId)>,
        next_seq: u64,
    ) -> Arc<Self> {
        let mut of_script: HashMap<ScriptId, Standing> = HashMap::new();
        for (_, script) in open {
            of_script.entry(script).or_default().open += 1;
        }
        Arc::new(Self {
            state: Mutex::new(State {
                ops: Vec::new(),
                urgent: false,
                lazy_since: None,
                nap: Nap::default(),
                closing: false,
                pending: 0,
                pending_bytes: 0,
                next_seq,
                subscribers: Vec::new(),
                next_key: 0,
                scripts,
                of_script,
                interested: HashMap::new(),
                ready: None,
            }),
            journal: std::sync::OnceLock::new(),
            room: Notify::new(),
            counters: Counters::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements; a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_journal(&self, thread: Thread) {
        // Set once, right after the thread was made.
        let _ = self.journal.set(thread);
    }

    pub(super) fn wake_journal(&self) {
        if let Some(journal) = self.journal.get() {
            journal.unpark();
        }
    }

    /// Asks the journal for something that somebody waits for.
    pub(super) fn ask(&self, op: Op) {
        let mut state = self.lock();
        state.ops.push(op);
        self.urge(state);
    }

    fn urge(&self, mut state: MutexGuard<'_, State>) {
        state.urgent = true;
        let asleep = matches!(state.nap, Nap::Lazy | Nap::Idle);
        if asleep {
            // One call wakes it.
            state.nap = Nap::Timed;
            drop(state);
            self.wake_journal();
        }
    }

    /// Tells the journal something that it may write when it comes to it.
    pub(super) fn tell(&self, op: Op) {
        let mut state = self.lock();
        state.ops.push(op);
        self.mention(state);
    }

    fn mention(&self, mut state: MutexGuard<'_, State>) {
        if state.lazy_since.is_none() {
            state.lazy_since = Some(Instant::now());
        }
        if state.nap == Nap::Idle {
            state.nap = Nap::Lazy;
            drop(state);
            self.wake_journal();
        }
    }

    /// Takes an event in; gives it back when there is no room. The journal is not woken: see
    /// [`Core::flush`].
    pub(super) fn push(
        &self,
        event: Arc<Event>,
        place: Place,
        sighting: Option<Sighting>,
    ) -> Result<(), Arc<Event>> {
        let mut state = self.lock();
        let bytes = event.payload.len();
        if !state.has_room_for(bytes) {
            return Err(event);
        }
        self.counters.appended.fetch_add(1, Relaxed);
        if event.kind == "ready" {
            state.ready = Some(Arc::clone(&event));
        }
        let scripts = state.interested(&event.kind);
        let wanted = !scripts.is_empty();
        let mut seq = 0;
        if wanted && !matches!(place, Place::Connection) {
            seq = state.next_seq;
            state.next_seq += 1;
            for &script in scripts.iter() {
                state.standing(script).open += 1;
            }
        }
        state.pending += 1;
        state.pending_bytes += bytes;
        state.ops.push(Op::Event {
            seq,
            event,
            place,
            sighting,
            scripts,
        });
        if wanted {
            state.urgent = true;
        } else {
            self.mention(state);
        }
        Ok(())
    }

    /// An event that nobody gets: only its place counts.
    pub(super) fn pass(&self, id: String, place: Place) {
        self.tell(Op::Passed { id, place });
    }

    /// Lets the journal begin with what was pushed.
    pub(super) fn flush(&self) {
        let state = self.lock();
        if state.urgent {
            self.urge(state);
        }
    }

    /// The events are committed: puts them where they are wanted, and wakes who wants them.
    pub(super) fn hand_out(
        &self,
        events: impl Iterator<Item = (u64, Arc<Event>, Arc<[ScriptId]>)>,
    ) {
        let mut wake: Vec<Thread> = Vec::new();
        {
            let mut state = self.lock();
            for (seq, event, scripts) in events {
                state.pending -= 1;
                state.pending_bytes -= event.payload.len();
                for subscriber in &mut state.subscribers {
                    // What is not kept for it goes before what is.
                    let seq = if scripts.contains(&subscriber.script) {
                        seq
                    } else {
                        0
                    };
                    if seq > 0 || subscriber.interest.has(&event.kind) {
                        wake.extend(subscriber.wake());
                    } else {
                        subscriber.forget_unwanted();
                    }
                    if !subscriber.has_room() || (subscriber.behind && seq > 0) {
                        subscriber.behind |= seq > 0;
                        continue;
                    }
                    subscriber.push(Ready {
                        seq,
                        event: Arc::clone(&event),
                        calls: Vec::new(),
                    });
                }
            }
        }
        self.room.notify_one();
        for thread in wake {
            thread.unpark();
        }
    }

    /// Gives a subscriber events that were kept for it. `complete` says that there are no more.
    pub(super) fn hand_out_again(
        &self,
        key: u64,
        events: impl Iterator<Item = Ready>,
        complete: bool,
    ) {
        let mut state = self.lock();
        let State {
            subscribers,
            of_script,
            ..
        } = &mut *state;
        let Some(subscriber) = subscribers.iter_mut().find(|one| one.key == key) else {
            return;
        };
        let standing = of_script.entry(subscriber.script).or_default();
        subscriber.behind = !complete;
        subscriber.refilling = false;
        for ready in events {
            if !subscriber.has_room() {
                subscriber.behind = true;
                break;
            }
            if standing.held.contains(&ready.seq) {
                // Still in the hands of a version of the script before this one.
                continue;
            }
            subscriber.push(ready);
        }
        if let Some(thread) = subscriber.wake() {
            thread.unpark();
        }
    }

    pub(super) fn subscribe(&self, script: &str, thread: Option<Thread>) -> (u64, ScriptId) {
        let mut state = self.lock();
        let script = state.script(script);
        let key = state.next_key;
        state.next_key += 1;
        let since = state.next_seq;
        state.subscribers.push(Subscriber {
            key,
            script,
            thread,
            claim: 0,
            interest: Interest::default(),
            ready: VecDeque::new(),
            bytes: 0,
            woken: false,
            since,
            given: 0,
            behind: true,
            refilling: true,
        });
        state.ops.push(Op::Refill { key });
        self.urge(state);
        (key, script)
    }

    pub(super) fn unsubscribe(&self, key: u64) {
        let mut state = self.lock();
        state.subscribers.retain(|one| one.key != key);
        state.interested.clear();
    }

    /// The claim of the new handle.
    pub(super) fn pass_to(&self, key: u64, thread: Option<Thread>) -> u64 {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(key) else {
            return 0;
        };
        subscriber.thread = thread;
        subscriber.woken = false;
        subscriber.claim += 1;
        subscriber.claim
    }

    /// The subscriber wants events of these types, too.
    pub(super) fn want<'k>(&self, key: u64, kinds: impl IntoIterator<Item = &'k str>) {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(key) else {
            return;
        };
        for kind in kinds {
            if kind == "*" {
                subscriber.interest.all = true;
            } else {
                subscriber.interest.kinds.insert(kind.to_owned());
            }
        }
        state.interested.clear();
    }

    pub(super) fn take(&self, key: u64, claim: u64) -> Option<Taken> {
        let mut state = self.lock();
        let State {
            subscribers,
            of_script,
            ops,
            ..
        } = &mut *state;
        let subscriber = subscribers.iter_mut().find(|one| one.key == key)?;
        if subscriber.claim != claim {
            return None;
        }
        let ready = subscriber.ready.pop_front();
        subscriber.woken = ready.is_some();
        if let Some(ready) = &ready {
            subscriber.bytes -= ready.event.payload.len();
        }
        let more = subscriber.behind
            && !subscriber.refilling
            && subscriber.ready.len() <= READY_EVENTS / 2
            && subscriber.bytes <= READY_BYTES / 2;
        if more {
            subscriber.refilling = true;
            ops.push(Op::Refill { key });
        }
        let taken = ready.map(|ready| {
            if ready.seq > 0 {
                let standing = of_script.entry(subscriber.script).or_default();
                standing.held.insert(ready.seq);
            }
            Taken {
                replayed: ready.seq > 0 && ready.seq < subscriber.since,
                script: subscriber.script,
                ready,
            }
        });
        if more {
            self.urge(state);
        }
        taken
    }

    /// Events that the subscriber has not taken.
    pub(super) fn waiting(&self, key: u64) -> u64 {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(key) else {
            return 0;
        };
        let script = subscriber.script;
        let passing = subscriber.ready.iter().filter(|one| one.seq == 0).count() as u64;
        let standing = state.standing(script);
        passing + standing.open.saturating_sub(standing.held.len() as u64)
    }

    pub(super) fn take_dropped(&self, script: ScriptId) -> u64 {
        std::mem::take(&mut self.lock().standing(script).dropped)
    }

    /// The script is done with the event, as `op` says.
    pub(super) fn done(&self, seq: u64, script: ScriptId, op: Op) {
        self.counters.done.fetch_add(1, Relaxed);
        if seq == 0 {
            return;
        }
        let mut state = self.lock();
        state.closed(script);
        state.standing(script).held.remove(&seq);
        state.ops.push(op);
        self.mention(state);
    }

    /// The script let go of an event without being done with it.
    pub(super) fn abandoned(&self, seq: u64, script: ScriptId) {
        self.counters.abandoned.fetch_add(1, Relaxed);
        if seq > 0 {
            self.lock().standing(script).held.remove(&seq);
        }
    }

    /// Deliveries that are not done: events, each as often as there are scripts that it is for.
    pub(super) fn unfinished(&self) -> u64 {
        let state = self.lock();
        state.of_script.values().map(|standing| standing.open).sum()
    }

    /// Events that are not in the hands of every script that they are for.
    pub(super) fn all_waiting(&self) -> usize {
        let state = self.lock();
        let ready = state.subscribers.iter().map(|one| one.ready.len()).max();
        state.pending + ready.unwrap_or(0)
    }
}
