//! The subscribers: what is ready for each, and what it takes.
//!
//! A subscriber has at most [`READY_EVENTS`] ready events and [`READY_BYTES`] of them in memory. One
//! that falls behind that gets the rest from the database when it has taken half of them. So a slow
//! script costs memory for itself only, and holds nobody up.
//!
//! An event of a type that a script does not want is given to it all the same, but not kept for it, and
//! its thread is not woken: a handler of an event before it may want it by the time it is taken.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::thread::Thread;

use super::{Core, State};
use crate::inbox::Event;
use crate::inbox::batch::ScriptId;
use crate::inbox::journal::Op;
use crate::inbox::store::Recorded;

/// The most events that are ready for one subscriber.
const READY_EVENTS: usize = 1024;
/// The most bytes, of payload and of what handlers asked before, that are ready for one subscriber, one event
/// more always.
pub(in crate::inbox) const READY_BYTES: usize = 8 << 20;
/// The most events that lie there for a subscriber which wanted none of them.
const UNWANTED: usize = 64;

/// An event that was committed.
pub(in crate::inbox) struct Arrived {
    /// 0 for one that is not kept.
    pub(in crate::inbox) seq: u64,
    pub(in crate::inbox) event: Arc<Event>,
    pub(in crate::inbox) scripts: Arc<[ScriptId]>,
    /// Nobody but these scripts gets it.
    pub(in crate::inbox) alone: bool,
}

/// An event that can be taken.
#[derive(Debug)]
pub(in crate::inbox) struct Ready {
    /// 0 for one that is not kept.
    pub(in crate::inbox) seq: u64,
    pub(in crate::inbox) event: Arc<Event>,
    /// What its handlers asked before.
    pub(in crate::inbox) calls: Vec<Recorded>,
}

impl Ready {
    /// What it takes in memory.
    pub(in crate::inbox) fn bytes(&self) -> usize {
        let calls = self.calls.iter().map(Recorded::bytes);
        self.event.payload.len() + calls.sum::<usize>()
    }
}

#[derive(Debug)]
pub(super) struct Subscriber {
    key: u64,
    pub(super) script: ScriptId,
    /// Woken when there is something to take; nobody's while the script is paused.
    thread: Option<Thread>,
    /// Which of its handles may take: the last one made.
    claim: u64,
    pub(super) interest: Interest,
    pub(super) ready: VecDeque<Ready>,
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
pub(super) struct Interest {
    all: bool,
    kinds: HashSet<String>,
}

impl Interest {
    pub(super) fn has(&self, kind: &str) -> bool {
        self.all || self.kinds.contains(kind)
    }
}

impl Subscriber {
    /// What is ready and of a type that it wants.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Ready> {
        let wanted = |one: &&Ready| self.interest.has(&one.event.kind);
        self.ready.iter().filter(wanted)
    }

    /// Makes room by letting go of the oldest event that it did not want.
    fn forget_unwanted(&mut self) {
        if self.woken || self.ready.len() < UNWANTED {
            return;
        }
        // Usually the first: had it wanted one of them, its thread would have been woken.
        let mut ready = self.ready.iter();
        let unwanted = ready.position(|one| one.seq == 0 && !self.interest.has(&one.event.kind));
        if let Some(ready) = unwanted.and_then(|at| self.ready.remove(at)) {
            self.bytes -= ready.bytes();
        }
    }

    /// Takes an event away that has been dropped.
    fn withdraw(&mut self, seq: u64) {
        let at = self.ready.iter().position(|one| one.seq == seq);
        if let Some(ready) = at.and_then(|at| self.ready.remove(at)) {
            self.bytes -= ready.bytes();
        }
    }

    /// Its thread, if it must be woken.
    fn wake(&mut self) -> Option<Thread> {
        let thread = self.thread.clone().filter(|_| !self.woken)?;
        self.woken = true;
        Some(thread)
    }

    /// A new handle is the only one that takes. Answers its claim.
    fn pass(&mut self, thread: Option<Thread>) -> u64 {
        self.thread = thread;
        self.woken = false;
        self.claim += 1;
        self.claim
    }

    fn has_room(&self) -> bool {
        self.ready.len() < READY_EVENTS && self.bytes < READY_BYTES
    }

    fn push(&mut self, ready: Ready) {
        self.bytes += ready.bytes();
        self.given = self.given.max(ready.seq + 1);
        self.ready.push_back(ready);
    }
}

/// What a taker gets.
pub(in crate::inbox) struct Taken {
    pub(in crate::inbox) ready: Ready,
    pub(in crate::inbox) script: ScriptId,
    pub(in crate::inbox) replayed: bool,
}

impl State {
    /// Takes an event from a script that was not done with it. In its hands it stays, but nothing comes of it
    /// any more.
    pub(in crate::inbox) fn withdraw(&mut self, seq: u64, script: ScriptId) {
        let standing = self.standing(script);
        standing.open = standing.open.saturating_sub(1);
        if standing.held.remove(&seq) {
            return;
        }
        for subscriber in &mut self.subscribers {
            if subscriber.script == script {
                subscriber.withdraw(seq);
            }
        }
    }

    fn subscriber(&mut self, key: u64) -> Option<&mut Subscriber> {
        self.subscribers.iter_mut().find(|one| one.key == key)
    }

    /// The script of a subscriber that waits to be given more, and the number to go on from.
    pub(in crate::inbox) fn wants_from(&mut self, key: u64) -> Option<(ScriptId, u64)> {
        self.subscriber(key).map(|one| (one.script, one.given))
    }
}

impl Core {
    /// The events are committed: puts them where they are wanted, and wakes who wants them.
    pub(in crate::inbox) fn hand_out(&self, events: impl Iterator<Item = Arrived>) {
        let mut wake: Vec<Thread> = Vec::new();
        {
            let mut state = self.lock();
            for Arrived {
                seq,
                event,
                scripts,
                alone,
            } in events
            {
                state.pending -= 1;
                state.pending_bytes -= event.payload.len();
                for subscriber in &mut state.subscribers {
                    let wanted = scripts.contains(&subscriber.script);
                    if alone && !wanted {
                        continue;
                    }
                    // What is not kept for it goes before what is.
                    let seq = if wanted { seq } else { 0 };
                    if seq > 0 || subscriber.interest.has(&event.kind) {
                        wake.extend(subscriber.wake());
                    } else if subscriber.thread.is_none() {
                        // No handler runs that could come to want it.
                        continue;
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
    pub(in crate::inbox) fn hand_out_again(
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

    pub(in crate::inbox) fn subscribe(
        &self,
        script: &str,
        thread: Option<Thread>,
    ) -> (u64, ScriptId) {
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

    pub(in crate::inbox) fn unsubscribe(&self, key: u64) {
        let mut state = self.lock();
        state.subscribers.retain(|one| one.key != key);
        state.interested.clear();
    }

    /// Passes the place from the holder of that claim to a thread. Answers the claim of the new handle,
    /// which takes nothing where the holder's did not.
    pub(in crate::inbox) fn pass_to(&self, key: u64, claim: u64, thread: Thread) -> u64 {
        let mut state = self.lock();
        match state.subscriber(key) {
            Some(subscriber) if subscriber.claim == claim => subscriber.pass(Some(thread)),
            _ => claim,
        }
    }

    /// Takes the place from whoever has it. Answers the claim of the new handle.
    pub(in crate::inbox) fn pass_to_nobody(&self, key: u64) -> u64 {
        let mut state = self.lock();
        state
            .subscriber(key)
            .map_or(0, |subscriber| subscriber.pass(None))
    }

    /// The subscriber wants events of these types, too.
    pub(in crate::inbox) fn want<'k>(&self, key: u64, kinds: impl IntoIterator<Item = &'k str>) {
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

    pub(in crate::inbox) fn take(&self, key: u64, claim: u64) -> Option<Taken> {
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
            subscriber.bytes -= ready.bytes();
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
    pub(in crate::inbox) fn waiting(&self, key: u64) -> u64 {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(key) else {
            return 0;
        };
        let script = subscriber.script;
        let passing = subscriber.wanted().filter(|one| one.seq == 0).count() as u64;
        let standing = state.standing(script);
        passing + standing.open.saturating_sub(standing.held.len() as u64)
    }
}
