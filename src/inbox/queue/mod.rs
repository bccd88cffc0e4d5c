//! What is between the stream, the journal and the scripts: what the journal is to do, and for each
//! subscriber the events that are ready to be taken.
//!
//! This is the way to the journal, and how far everybody is; `subscribers` is the way from it.

mod subscribers;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::inbox::batch::ScriptId;
use crate::inbox::counters::Counters;
use crate::inbox::delivery::closed;
use crate::inbox::journal::Op;
use crate::inbox::sightings::Sighting;
use crate::inbox::{CAPACITY_BYTES, CAPACITY_EVENTS, Event, Place};

use subscribers::Subscriber;
pub(in crate::inbox) use subscribers::{Arrived, READY_BYTES, Ready, Taken};

/// What the inbox and its journal share.
#[derive(Debug)]
pub(in crate::inbox) struct Core {
    state: Mutex<State>,
    /// The journal's thread, once it runs.
    journal: std::sync::OnceLock<Thread>,
    /// Wakes the appender when there is room again.
    pub(in crate::inbox) room: Notify,
    /// Whether the journal's thread has ended. Set under the lock of the state.
    over: watch::Sender<bool>,
    pub(in crate::inbox) counters: Counters,
}

/// How the journal's thread sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::inbox) enum Nap {
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
pub(in crate::inbox) struct State {
    /// What the journal is to do, in order.
    pub(in crate::inbox) ops: Vec<Op>,
    /// Somebody waits for something in `ops`.
    pub(in crate::inbox) urgent: bool,
    /// Since when there is something in `ops` that nobody waits for.
    pub(in crate::inbox) lazy_since: Option<Instant>,
    pub(in crate::inbox) nap: Nap,
    pub(in crate::inbox) closing: bool,
    /// Events that are not committed, and their bytes.
    pending: usize,
    pending_bytes: usize,
    next_seq: u64,
    subscribers: Vec<Subscriber>,
    next_key: u64,
    /// Holders of the key-value store so far.
    holders: u64,
    scripts: HashMap<String, ScriptId>,
    of_script: HashMap<ScriptId, Standing>,
    /// For which scripts an event of that type is, as far as it was asked.
    interested: HashMap<String, Arc<[ScriptId]>>,
    /// The last `ready` of the stream.
    pub(in crate::inbox) ready: Option<Arc<Event>>,
    /// The time up to which each timer's runs were given.
    timers: HashMap<ScriptId, HashMap<String, u64>>,
}

/// How a script stands, whoever subscribes for it.
#[derive(Debug, Default)]
struct Standing {
    /// Events that it is not done with.
    open: u64,
    /// Of these the ones in its hands.
    held: HashSet<u64>,
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

    fn set_timer(&mut self, script: ScriptId, timer: &str, at: u64) {
        let timers = self.timers.entry(script).or_default();
        timers.insert(timer.to_owned(), at);
        self.ops.push(Op::Timer {
            script,
            timer: timer.to_owned(),
            at: Some(at),
        });
    }

    /// The number of a new holder of the key-value store.
    pub(in crate::inbox) fn next_holder(&mut self) -> u64 {
        self.holders += 1;
        self.holders
    }

    /// Whether the script has the event in its hands.
    pub(in crate::inbox) fn holds(&self, seq: u64, script: ScriptId) -> bool {
        let standing = self.of_script.get(&script);
        standing.is_some_and(|standing| standing.held.contains(&seq))
    }

    fn standing(&mut self, script: ScriptId) -> &mut Standing {
        self.of_script.entry(script).or_default()
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.pending == 0
            || (self.pending < CAPACITY_EVENTS && self.pending_bytes + bytes <= CAPACITY_BYTES)
    }
}

impl Core {
    /// Of a database with these scripts, and these pairs of event and script that are not done.
    pub(in crate::inbox) fn new(
        scripts: HashMap<String, ScriptId>,
        open: impl IntoIterator<Item = (u64, ScriptId)>,
        next_seq: u64,
        timers: HashMap<ScriptId, HashMap<String, u64>>,
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
                holders: 0,
                next_key: 0,
                scripts,
                of_script,
                interested: HashMap::new(),
                ready: None,
                timers,
            }),
            journal: std::sync::OnceLock::new(),
            room: Notify::new(),
            over: watch::Sender::new(false),
            counters: Counters::default(),
        })
    }

    pub(in crate::inbox) fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between statements; a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::inbox) fn set_journal(&self, thread: Thread) {
        // Set once, right after the thread was made.
        let _ = self.journal.set(thread);
    }

    pub(in crate::inbox) fn wake_journal(&self) {
        if let Some(journal) = self.journal.get() {
            journal.unpark();
        }
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// The journal's thread has ended, whatever ended it: nobody waits for it in vain.
    pub(in crate::inbox) fn end(&self) {
        let ops = {
            let mut state = self.lock();
            self.over.send_replace(true);
            std::mem::take(&mut state.ops)
        };
        for op in ops {
            op.refuse(closed());
        }
        self.room.notify_one();
    }

    /// Completes when the journal's thread has ended.
    pub(in crate::inbox) async fn ended(&self) {
        // The sender is here.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Asks the journal for something that somebody waits for.
    pub(in crate::inbox) fn ask(&self, op: Op) {
        let mut state = self.lock();
        if self.is_over() {
            drop(state);
            op.refuse(closed());
            return;
        }
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
    pub(in crate::inbox) fn tell(&self, op: Op) {
        let mut state = self.lock();
        if !self.is_over() {
            state.ops.push(op);
            self.mention(state);
        }
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
    pub(in crate::inbox) fn push(
        &self,
        event: Arc<Event>,
        place: Place,
        sighting: Option<Sighting>,
    ) -> Result<(), Arc<Event>> {
        let mut state = self.lock();
        if self.is_over() {
            // Nobody is given it, and the bot ends.
            return Ok(());
        }
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

    pub(in crate::inbox) fn script(&self, name: &str) -> ScriptId {
        self.lock().script(name)
    }

    pub(in crate::inbox) fn timer(&self, script: ScriptId, timer: &str) -> Option<u64> {
        self.lock().timers.get(&script)?.get(timer).copied()
    }

    pub(in crate::inbox) fn set_timer(&self, script: ScriptId, timer: &str, at: u64) {
        let mut state = self.lock();
        state.set_timer(script, timer, at);
        self.mention(state);
    }

    /// The timer is over.
    pub(in crate::inbox) fn forget_timer(&self, script: ScriptId, timer: &str) {
        let mut state = self.lock();
        let timers = state.timers.get_mut(&script);
        if timers.is_some_and(|all| all.remove(timer).is_some()) {
            state.ops.push(Op::Timer {
                script,
                timer: timer.to_owned(),
                at: None,
            });
            self.mention(state);
        }
    }

    /// Keeps a run of a timer for its script, with the time that was given, unless it was given before.
    pub(in crate::inbox) fn give_run(
        &self,
        script: ScriptId,
        timer: &str,
        due: u64,
        event: Arc<Event>,
    ) -> bool {
        let mut state = self.lock();
        let given = state.timers.get(&script).and_then(|all| all.get(timer));
        if given.is_some_and(|&given| given >= due) {
            return false;
        }
        let seq = state.next_seq;
        state.next_seq += 1;
        state.standing(script).open += 1;
        state.pending += 1;
        state.pending_bytes += event.payload.len();
        state.ops.push(Op::Event {
            seq,
            event,
            place: Place::Timer,
            sighting: None,
            scripts: [script].into(),
        });
        state.set_timer(script, timer, due);
        self.urge(state);
        true
    }

    /// An event that nobody gets: only its place counts.
    pub(in crate::inbox) fn pass(&self, id: String, place: Place) {
        self.tell(Op::Passed { id, place });
    }

    /// Lets the journal begin with what was pushed.
    pub(in crate::inbox) fn flush(&self) {
        let state = self.lock();
        if state.urgent {
            self.urge(state);
        }
    }

    /// The script is done with the event, as `op` says.
    pub(in crate::inbox) fn done(&self, seq: u64, script: ScriptId, op: Op) {
        self.counters.done.fetch_add(1, Relaxed);
        if seq == 0 {
            return;
        }
        let mut state = self.lock();
        let standing = state.standing(script);
        // Unless it was dropped meanwhile.
        if standing.held.remove(&seq) {
            standing.open = standing.open.saturating_sub(1);
        }
        state.ops.push(op);
        self.mention(state);
    }

    /// The script let go of an event without being done with it.
    pub(in crate::inbox) fn abandoned(&self, seq: u64, script: ScriptId) {
        self.counters.abandoned.fetch_add(1, Relaxed);
        if seq > 0 {
            self.lock().standing(script).held.remove(&seq);
        }
    }

    /// The number of the next event that is kept.
    pub(in crate::inbox) fn next_number(&self) -> u64 {
        self.lock().next_seq
    }

    /// Deliveries that are not done: events, each as often as there are scripts that it is for.
    pub(in crate::inbox) fn unfinished(&self) -> u64 {
        let state = self.lock();
        state.of_script.values().map(|standing| standing.open).sum()
    }

    /// Events that are not in the hands of every script that they are for.
    pub(in crate::inbox) fn all_waiting(&self) -> usize {
        let state = self.lock();
        let ready = (state.subscribers.iter())
            .map(|one| one.wanted().count())
            .max();
        state.pending + ready.unwrap_or(0)
    }
}
