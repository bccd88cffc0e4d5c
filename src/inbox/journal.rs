//! The journal's thread: the only one that touches the database.
//!
//! It takes everything that was asked of it since the last time and makes one transaction of it (group
//! commit): the events of the stream with the stream's place, what scripts have finished, their calls
//! and answers, the key-value store. Only when that is committed are the events handed out and the
//! askers told. What nobody waits for goes with the next commit, at the latest after
//! [`super::pace::LAZY`].
//!
//! The order of asking is the order in the database, so that what is in it is always a beginning of what
//! happened: an answer is never there without the question before it.
//!
//! **When the disk does not take it** (full, failing): what somebody waits for is refused with the
//! reason; events, progress and answers are kept and tried again every second. Nothing is handed out
//! meanwhile; once [`super::CAPACITY_EVENTS`] wait, the stream stops reading its socket and the platform
//! keeps what comes. It is said at once, and every minute while it lasts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch::{self, Batch, ScriptId, decode_events, encode_event, encode_slots};
use super::pace::{LAZY, Pace};
use super::queue::{Core, Nap, Ready};
use super::record::{self, Failed, Redaction};
use super::sightings::{Sighting, Sightings};
use super::store::{KvAnswer, KvError, KvOp, Recorded, Store, Usages, disk_error, is_full};
use super::window::{Scope, Window};
use super::{Event, Place};

/// Between two attempts while the disk does not take anything.
const RETRY: Duration = Duration::from_secs(1);
/// Between two reports of a trouble that lasts.
const REPORT: Duration = Duration::from_secs(60);
/// Between two rounds of tidying, if there was something to do in between.
const TIDY: Duration = Duration::from_secs(10);
/// Events handed out again in one go.
const REFILL: usize = 512;

/// Told when something is committed, or why it is not.
pub(super) type Receipt = Box<dyn FnOnce(Result<(), KvError>) + Send>;
/// Told what came of it.
pub(super) type KvReply = Box<dyn FnOnce(Result<KvAnswer, KvError>) + Send>;

/// A call at its place in a handler.
#[derive(Debug, Clone)]
pub(super) struct CallSite {
    pub(super) seq: u64,
    pub(super) script: ScriptId,
    pub(super) position: String,
    pub(super) question: u64,
}

/// What the journal is asked.
pub(super) enum Op {
    /// An event came. Number 0 stands for one that is not kept.
    Event {
        seq: u64,
        event: Arc<Event>,
        place: Place,
        sighting: Option<Sighting>,
        scripts: Arc<[ScriptId]>,
    },
    /// An event came that nobody gets.
    Passed { id: String, place: Place },
    /// The stream was opened, at that time (milliseconds since 1970).
    Opened { at: i64 },
    /// Nothing is missing in this channel any more, or in any.
    Settled { channel: Option<u128> },
    /// A script was given a number.
    Script { id: ScriptId, name: String },
    /// A script is done with an event.
    Done {
        seq: u64,
        script: ScriptId,
        failed: Option<Box<Failed>>,
    },
    /// A call is about to be made.
    Intent { site: CallSite, receipt: Receipt },
    /// A call was answered.
    Answer { site: CallSite, answer: Bytes },
    /// The key-value store; with a call site, what came of it is recorded there as an answer.
    Kv {
        space: String,
        op: KvOp,
        site: Option<CallSite>,
        reply: KvReply,
    },
    /// A subscriber wants what it has not been given yet.
    Refill { key: u64 },
    /// These scripts are all there are.
    Keep { names: HashSet<String> },
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Op::Event { .. } => "Event",
            Op::Passed { .. } => "Passed",
            Op::Opened { .. } => "Opened",
            Op::Settled { .. } => "Settled",
            Op::Script { .. } => "Script",
            Op::Done { .. } => "Done",
            Op::Intent { .. } => "Intent",
            Op::Answer { .. } => "Answer",
            Op::Kv { .. } => "Kv",
            Op::Refill { .. } => "Refill",
            Op::Keep { .. } => "Keep",
        })
    }
}

/// How a journal is kept.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Payload bytes of unfinished events.
    pub(super) backlog: u64,
    /// Bytes of a space of the key-value store.
    pub(super) quota: u64,
    pub(super) redaction: Redaction,
}

pub(super) struct Journal {
    core: Arc<Core>,
    store: Store,
    bounds: Bounds,
    names: HashMap<ScriptId, String>,
    /// Batches that are not over, by their first number.
    batches: BTreeMap<u64, Batch>,
    /// Payload bytes in `batches`.
    bytes: u64,
    /// Pairs that have calls in the database.
    callers: HashSet<(u64, ScriptId)>,
    windows: HashMap<Scope, Window>,
    sightings: Sightings,
    usages: Usages,
    pace: Pace,
    unwritten: Unwritten,
    /// Not before then is anything tried.
    retry_at: Option<Instant>,
    reported: Option<Instant>,
    tidied: Instant,
    worked: bool,
    dropped: Dropped,
}

/// What memory knows and the database does not. Emptied only by a commit, so that a failed one is made
/// up for by the next.
#[derive(Default)]
struct Unwritten {
    /// Batches that are over.
    over: Vec<u64>,
    /// Batches whose progress has changed, and since when.
    progress: BTreeMap<u64, Instant>,
    /// Pairs that are done and have calls.
    calls: Vec<(u64, ScriptId)>,
    scopes: HashSet<Scope>,
    channels: HashSet<u128>,
    position: Option<String>,
    /// Whether a gap was opened or closed.
    gap: bool,
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.over.is_empty()
            && self.progress.is_empty()
            && self.calls.is_empty()
            && self.scopes.is_empty()
            && self.channels.is_empty()
            && self.position.is_none()
            && !self.gap
    }
}

/// What was dropped at the bound and not reported yet.
#[derive(Default)]
struct Dropped {
    by_script: BTreeMap<ScriptId, u64>,
    reported: Option<Instant>,
}

/// Events of one commit that go out when it is made.
struct Arrived {
    seq: u64,
    event: Arc<Event>,
    scripts: Arc<[ScriptId]>,
}

impl Journal {
    pub(super) fn new(
        core: Arc<Core>,
        store: Store,
        bounds: Bounds,
        batches: Vec<Batch>,
        names: HashMap<ScriptId, String>,
        windows: impl IntoIterator<Item = (Scope, Window)>,
        sightings: Sightings,
    ) -> rusqlite::Result<Self> {
        let bytes = batches.iter().map(|batch| batch.bytes() as u64).sum();
        core.counters.worked(0, &[], bytes);
        let callers = store.callers()?;
        let now = Instant::now();
        Ok(Self {
            core,
            store,
            bounds,
            names,
            batches: batches
                .into_iter()
                .map(|batch| (batch.first, batch))
                .collect(),
            bytes,
            callers,
            windows: windows.into_iter().collect(),
            sightings,
            usages: Usages::default(),
            pace: Pace::new(now),
            unwritten: Unwritten::default(),
            retry_at: None,
            reported: None,
            tidied: now,
            worked: true,
            dropped: Dropped::default(),
        })
    }

    /// Works until the inbox is closed.
    pub(super) fn run(mut self) {
        while let Some(ops) = self.wait() {
            self.work(ops);
        }
        if let Err(error) = self.store.tidy() {
            tracing::debug!("the journal could not be tidied at its end: {error}");
        }
    }

    /// What there is to do, when it is time for it; none at the end.
    fn wait(&mut self) -> Option<Vec<Op>> {
        let core = Arc::clone(&self.core);
        let mut state = core.lock();
        loop {
            let now = Instant::now();
            let lazy = state.lazy_since.map(|since| since + LAZY);
            let mut due = if state.urgent {
                Some(self.pace.due(now))
            } else {
                lazy
            };
            if state.closing {
                let nothing = state.ops.is_empty() && self.unwritten.is_empty();
                if nothing || self.retry_at.is_some() {
                    return None;
                }
                due = Some(now);
            } else if let Some(at) = self.retry_at {
                due = Some(at);
            }
            if due.is_some_and(|at| at <= now) {
                state.nap = Nap::Awake;
                state.urgent = false;
                state.lazy_since = None;
                return Some(std::mem::take(&mut state.ops));
            }
            state.nap = match (state.urgent, lazy) {
                _ if self.retry_at.is_some() => Nap::Timed,
                (true, _) => Nap::Timed,
                (false, Some(_)) => Nap::Lazy,
                (false, None) => Nap::Idle,
            };
            drop(state);
            let tidy = self.worked.then_some(self.tidied + TIDY);
            match due.into_iter().chain(tidy).min() {
                Some(at) => {
                    std::thread::park_timeout(at.saturating_duration_since(Instant::now()));
                }
                None => std::thread::park(),
            }
            if tidy.is_some_and(|at| at <= Instant::now()) {
                self.tidy();
            }
            state = core.lock();
        }
    }

    fn work(&mut self, ops: Vec<Op>) {
        let now = Instant::now();
        self.pace.committed(now, ops.len());
        self.worked = true;
        self.retry_at = None;
        let mut replies = Vec::new();
        let result = self.commit(&ops, now, &mut replies);
        match result {
            Ok(fresh) => {
                self.written(fresh, now);
                let counters = &self.core.counters;
                counters.worked(ops.len(), &replies, self.bytes);
                self.answer(ops, replies);
            }
            Err(error) => {
                self.core.counters.failed_commits.fetch_add(1, Relaxed);
                self.usages.forget();
                self.retry_at = Some(now + RETRY);
                self.trouble(&error, now);
                self.refuse(ops, &error);
            }
        }
    }

    /// One transaction of everything. Answers the batches that are new, and gives `replies` one for each
    /// operation on the key-value store.
    fn commit(
        &mut self,
        ops: &[Op],
        now: Instant,
        replies: &mut Vec<Result<KvAnswer, KvError>>,
    ) -> rusqlite::Result<Vec<Batch>> {
        let finished = self.take_note(ops, now);
        let fresh = batches_of(ops);
        let quiet = fresh.is_empty();
        self.make_room(
            fresh.iter().map(|(batch, _)| batch.bytes() as u64).sum(),
            now,
        );
        // A call that is forgotten goes with the progress that says why.
        let touched: HashSet<u64> = (self.unwritten.calls.iter())
            .filter_map(|&(seq, _)| self.batch_of(seq).map(|batch| batch.first))
            .collect();
        let progress: Vec<u64> = (self.unwritten.progress.iter())
            .filter(|&(first, &since)| {
                quiet || touched.contains(first) || now.duration_since(since) >= LAZY
            })
            .map(|(&first, _)| first)
            .collect();
        let Self {
            store,
            batches,
            usages,
            unwritten,
            windows,
            sightings,
            bounds,
            names,
            callers,
            ..
        } = self;
        let nothing = fresh.is_empty() && unwritten.is_empty();
        if nothing && !ops.iter().any(Op::needs_database) {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let fresh = store.transaction(|store| {
            for op in ops {
                match op {
                    Op::Script { id, name } => store.name_script(*id, name)?,
                    Op::Intent { site, .. } if is_open(batches, site) => {
                        store.intend(site.seq, site.script, &site.position, site.question)?;
                        callers.insert((site.seq, site.script));
                    }
                    Op::Answer { site, answer }
                        if is_open(batches, site)
                            && !finished.contains(&(site.seq, site.script)) =>
                    {
                        record_answer(store, callers, site, answer)?;
                    }
                    Op::Kv {
                        space, op, site, ..
                    } => {
                        let reply = store.kv(usages, bounds.quota, space, op)?;
                        if let (Ok(answer), Some(site)) = (&reply, site)
                            && *answer != KvAnswer::Conflict
                            && is_open(batches, site)
                        {
                            record_answer(store, callers, site, &record::of_kv(op, answer))?;
                        }
                        replies.push(reply);
                    }
                    Op::Done {
                        seq,
                        script,
                        failed: Some(failed),
                    } => {
                        let calls = store.calls(*seq, *script)?;
                        let name = names.get(script).map_or("", String::as_str);
                        let failure = failed.recording(name, &calls, &bounds.redaction);
                        store.add_failure(&failure)?;
                    }
                    _ => {}
                }
            }
            for (batch, events) in &fresh {
                store.insert_batch(batch.first, &encode_slots(&batch.slots), events)?;
            }
            for &first in &unwritten.over {
                store.delete_batch(first)?;
            }
            for first in &progress {
                if let Some(batch) = batches.get(first) {
                    store.set_progress(batch)?;
                }
            }
            for &(seq, script) in &unwritten.calls {
                store.forget_calls(seq, script)?;
            }
            for scope in &unwritten.scopes {
                if let Some(window) = windows.get(scope) {
                    store.set_window(*scope, window)?;
                }
            }
            for &channel in &unwritten.channels {
                store.set_channel(channel, sightings.channel(channel))?;
            }
            if let Some(position) = &unwritten.position {
                store.set_position(position)?;
            }
            if unwritten.gap {
                store.set_gap(sightings)?;
            }
            Ok(fresh)
        })?;
        self.core.counters.commits.note(begun.elapsed());
        self.unwritten.over.clear();
        self.unwritten.calls.clear();
        self.unwritten.scopes.clear();
        self.unwritten.channels.clear();
        self.unwritten.position = None;
        self.unwritten.gap = false;
        for first in &progress {
            self.unwritten.progress.remove(first);
        }
        Ok(fresh.into_iter().map(|(batch, _)| batch).collect())
    }

    /// Takes into memory what is true whatever the disk does: what is done, and the stream's place.
    /// Answers the pairs that are done and leave nothing behind.
    fn take_note(&mut self, ops: &[Op], now: Instant) -> HashSet<(u64, ScriptId)> {
        let mut finished = HashSet::new();
        for op in ops {
            match op {
                Op::Done {
                    seq,
                    script,
                    failed,
                } => {
                    if failed.is_none() {
                        finished.insert((*seq, *script));
                    }
                    self.finish(*seq, *script, now);
                }
                Op::Event {
                    event,
                    place,
                    sighting,
                    ..
                } => {
                    self.passes(&event.id, place);
                    if let Some(sighting) = sighting {
                        self.unwritten.channels.insert(sighting.channel);
                        let forgotten = self.sightings.see(*sighting);
                        self.unwritten.channels.extend(forgotten);
                    }
                }
                Op::Passed { id, place } => self.passes(id, place),
                Op::Opened { at } => {
                    self.sightings.open_gap(*at);
                    self.unwritten.gap = true;
                }
                Op::Settled { channel } => self.settle(*channel),
                Op::Script { id, name } => {
                    self.names.insert(*id, name.clone());
                }
                Op::Keep { names } => self.keep(names, now),
                _ => {}
            }
        }
        finished
    }

    fn passes(&mut self, id: &str, place: &Place) {
        match *place {
            Place::Connection | Place::Unknown => return,
            Place::Id => {}
            Place::Sequence {
                scope,
                sequence,
                anew,
            } => {
                let window = self.windows.get_mut(&scope).filter(|_| !anew);
                if window.and_then(|window| window.mark(sequence)).is_none() {
                    self.windows.insert(scope, Window::starting_with(sequence));
                }
                self.unwritten.scopes.insert(scope);
            }
        }
        self.unwritten.position = Some(id.to_owned());
    }

    fn settle(&mut self, channel: Option<u128>) {
        match channel {
            Some(channel) => {
                self.sightings.settle(channel);
                self.unwritten.channels.insert(channel);
            }
            None => {
                self.sightings.settle_all();
                self.unwritten.gap = true;
                let all = self.sightings.channels().map(|(id, _)| id);
                self.unwritten.channels.extend(all);
            }
        }
    }

    fn batch_of(&self, seq: u64) -> Option<&Batch> {
        self.batches
            .range(..=seq)
            .next_back()
            .map(|(_, batch)| batch)
    }

    fn finish(&mut self, seq: u64, script: ScriptId, now: Instant) {
        let Some((&first, batch)) = self.batches.range_mut(..=seq).next_back() else {
            return;
        };
        if !batch.finish(seq, script) {
            return;
        }
        if self.callers.remove(&(seq, script)) {
            self.unwritten.calls.push((seq, script));
        }
        if batch.is_over() {
            self.bytes -= batch.bytes() as u64;
            self.batches.remove(&first);
            self.unwritten.progress.remove(&first);
            self.unwritten.over.push(first);
        } else {
            self.unwritten.progress.entry(first).or_insert(now);
        }
    }

    /// Drops the oldest events until there is room within the bound for so many bytes more.
    fn make_room(&mut self, more: u64, now: Instant) {
        while self.bytes + more > self.bounds.backlog
            && let Some((_, batch)) = self.batches.first_key_value()
        {
            let pairs: Vec<_> = batch.open_pairs().collect();
            for (seq, script) in pairs {
                *self.dropped.by_script.entry(script).or_default() += 1;
                self.core.counters.dropped.fetch_add(1, Relaxed);
                self.core.lock().dropped(script);
                self.finish(seq, script, now);
            }
        }
        self.report_dropped(now);
    }

    fn report_dropped(&mut self, now: Instant) {
        let dropped = &mut self.dropped;
        if dropped.by_script.is_empty() || dropped.reported.is_some_and(|at| now < at + REPORT) {
            return;
        }
        dropped.reported = Some(now);
        for (script, count) in std::mem::take(&mut dropped.by_script) {
            let name = self.names.get(&script).map_or("", String::as_str);
            tracing::error!(
                script = name,
                count,
                "the bot's unfinished events exceed {} MiB: the oldest of this script are dropped; make \
                 its handlers end sooner, disable it, or raise \"backlog\" in [state]",
                self.bounds.backlog >> 20
            );
        }
    }

    /// Drops what is for scripts that are gone.
    fn keep(&mut self, names: &HashSet<String>, now: Instant) {
        let gone: Vec<_> = (self.batches.values())
            .flat_map(Batch::open_pairs)
            .filter(|(_, script)| {
                !self
                    .names
                    .get(script)
                    .is_some_and(|name| names.contains(name))
            })
            .collect();
        let mut counts: BTreeMap<ScriptId, u64> = BTreeMap::new();
        for (seq, script) in gone {
            *counts.entry(script).or_default() += 1;
            self.core.lock().forgotten(script);
            self.finish(seq, script, now);
        }
        for (script, count) in counts {
            let name = self.names.get(&script).map_or("", String::as_str);
            tracing::warn!(
                script = name,
                count,
                "there is no such script any more: its unfinished events are dropped"
            );
        }
    }

    /// The transaction is committed.
    fn written(&mut self, fresh: Vec<Batch>, now: Instant) {
        for batch in fresh {
            self.bytes += batch.bytes() as u64;
            self.batches.insert(batch.first, batch);
        }
        if self.reported.take().is_some() {
            tracing::info!("the bot's state can be written again");
        }
        if !self.unwritten.progress.is_empty() {
            let mut state = self.core.lock();
            state.lazy_since.get_or_insert(now);
        }
    }

    /// Hands out the events and tells everybody who asked.
    fn answer(&mut self, ops: Vec<Op>, replies: Vec<Result<KvAnswer, KvError>>) {
        let mut replies = replies.into_iter();
        let mut arrived = Vec::new();
        let mut refills = Vec::new();
        let mut receipts = Vec::new();
        for op in ops {
            match op {
                Op::Event {
                    seq,
                    event,
                    scripts,
                    ..
                } => arrived.push(Arrived {
                    seq,
                    event,
                    scripts,
                }),
                Op::Intent { receipt, .. } => receipts.push(receipt),
                Op::Kv { reply, .. } => {
                    if let Some(result) = replies.next() {
                        reply(result);
                    }
                }
                Op::Refill { key } => refills.push(key),
                _ => {}
            }
        }
        if !arrived.is_empty() {
            self.core.hand_out(
                arrived
                    .into_iter()
                    .map(|one| (one.seq, one.event, one.scripts)),
            );
        }
        for receipt in receipts {
            receipt(Ok(()));
        }
        for key in refills {
            self.refill(key);
        }
    }

    /// Gives a subscriber more of what it has not had yet.
    fn refill(&mut self, key: u64) {
        let Some((script, from)) = self.core.lock().wants_from(key) else {
            return;
        };
        let mut found = Vec::new();
        let mut complete = true;
        let begin = self.batch_of(from).map_or(from, |batch| batch.first);
        for batch in self.batches.range(begin..).map(|(_, batch)| batch) {
            if found.len() >= REFILL {
                complete = false;
                break;
            }
            let open: Vec<u64> = (batch.open_pairs())
                .filter(|&(seq, one)| one == script && seq >= from)
                .map(|(seq, _)| seq)
                .collect();
            if open.is_empty() {
                continue;
            }
            match self.read(batch.first) {
                Ok(events) => {
                    let mut events = events.into_iter().map(Arc::new);
                    let mut at = batch.first;
                    for seq in open {
                        // Both grow.
                        let skip = usize::try_from(seq - at).unwrap_or(usize::MAX);
                        let Some(event) = events.nth(skip) else { break };
                        at = seq + 1;
                        found.push((seq, event, self.calls_of(seq, script)));
                    }
                }
                Err(error) => tracing::error!(
                    first = batch.first,
                    "events of the bot's state cannot be read and are left out: {error}"
                ),
            }
        }
        let found = found
            .into_iter()
            .map(|(seq, event, calls)| Ready { seq, event, calls });
        self.core.hand_out_again(key, found, complete);
    }

    fn read(&self, first: u64) -> Result<Vec<Event>, String> {
        let blob = self
            .store
            .events(first)
            .map_err(|error| error.to_string())?;
        let blob = blob.ok_or("they are not there")?;
        decode_events(&blob).ok_or_else(|| "they are damaged".to_owned())
    }

    fn calls_of(&self, seq: u64, script: ScriptId) -> Vec<Recorded> {
        if !self.callers.contains(&(seq, script)) {
            return Vec::new();
        }
        self.store.calls(seq, script).unwrap_or_else(|error| {
            tracing::error!("what a handler asked before cannot be read: {error}");
            Vec::new()
        })
    }

    /// The transaction failed: keeps what must not be lost, and tells the others.
    fn refuse(&mut self, ops: Vec<Op>, error: &rusqlite::Error) {
        let mut kept = Vec::new();
        let mut refused: Vec<Box<dyn FnOnce(KvError)>> = Vec::new();
        for op in ops {
            match op {
                Op::Intent { receipt, .. } => refused.push(Box::new(|why| receipt(Err(why)))),
                Op::Kv { reply, .. } => refused.push(Box::new(|why| reply(Err(why)))),
                // Its effect on memory stays.
                Op::Done { failed: None, .. }
                | Op::Passed { .. }
                | Op::Opened { .. }
                | Op::Settled { .. }
                | Op::Keep { .. } => {}
                op => kept.push(op),
            }
        }
        {
            let mut state = self.core.lock();
            kept.append(&mut state.ops);
            state.ops = kept;
            state.urgent = true;
        }
        for refuse in refused {
            refuse(disk_error(error));
        }
    }

    fn trouble(&mut self, error: &rusqlite::Error, now: Instant) {
        if self.reported.is_some_and(|at| now < at + REPORT) {
            return;
        }
        self.reported = Some(now);
        let what = if is_full(error) {
            "the disk is full".to_owned()
        } else {
            error.to_string()
        };
        tracing::error!(
            "the bot's state cannot be written ({what}): events wait until it can, and what scripts \
             store or send meanwhile is refused; nothing is lost while the platform keeps what comes"
        );
    }

    /// What can wait until there is little to do.
    fn tidy(&mut self) {
        self.worked = false;
        self.tidied = Instant::now();
        let result = self
            .compact()
            .and_then(|()| {
                let usages = &mut self.usages;
                self.store.transaction(|store| store.expire(usages))
            })
            .and_then(|()| self.store.tidy());
        if let Err(error) = result {
            self.usages.forget();
            tracing::debug!("the journal could not be tidied: {error}");
        }
        self.report_dropped(self.tidied);
    }

    /// Stores what is left of batches that are nearly over by itself, so that one handler that takes
    /// long does not keep hundreds of events on disk.
    fn compact(&mut self) -> rusqlite::Result<()> {
        let sparse: Vec<u64> = (self.batches.values())
            .filter(|batch| {
                batch.slots.len() >= 8 && batch.open_events().len() * 4 <= batch.slots.len()
            })
            .map(|batch| batch.first)
            .take(64)
            .collect();
        for first in sparse {
            let (Some(batch), Ok(events)) = (self.batches.get(&first), self.read(first)) else {
                continue;
            };
            let mut single = Vec::new();
            for seq in batch.open_events() {
                let at = usize::try_from(seq - first).unwrap_or(usize::MAX);
                let (Some(slot), Some(event)) = (batch.slots.get(at), events.get(at)) else {
                    continue;
                };
                let scripts: Arc<[ScriptId]> = (slot.scripts.iter().copied())
                    .filter(|&script| batch.is_open(seq, script))
                    .collect();
                let mut blob = Vec::new();
                encode_event(&mut blob, event);
                single.push((Batch::new(seq, [(scripts, slot.bytes)]), blob));
            }
            self.store.transaction(|store| {
                store.delete_batch(first)?;
                for (batch, events) in &single {
                    store.insert_batch(batch.first, &encode_slots(&batch.slots), events)?;
                }
                Ok(())
            })?;
            if let Some(old) = self.batches.remove(&first) {
                self.bytes -= old.bytes() as u64;
            }
            self.unwritten.progress.remove(&first);
            for (batch, _) in single {
                self.bytes += batch.bytes() as u64;
                self.batches.insert(batch.first, batch);
            }
        }
        Ok(())
    }
}

impl Op {
    /// Whether it reads or writes by itself, beyond what it changes in memory.
    fn needs_database(&self) -> bool {
        match self {
            Op::Script { .. } | Op::Intent { .. } | Op::Answer { .. } | Op::Kv { .. } => true,
            Op::Done { failed, .. } => failed.is_some(),
            _ => false,
        }
    }
}

/// The events that are kept, in batches, each with its blob.
fn batches_of(ops: &[Op]) -> Vec<(Batch, Vec<u8>)> {
    let mut batches = Vec::new();
    let mut slots: Vec<(Arc<[ScriptId]>, usize)> = Vec::new();
    let mut blob = Vec::new();
    let mut first = 0;
    for op in ops {
        let Op::Event {
            seq,
            event,
            scripts,
            ..
        } = op
        else {
            continue;
        };
        if *seq == 0 {
            continue;
        }
        let full = slots.len() >= batch::EVENTS
            || (!slots.is_empty() && blob.len() + event.payload.len() > batch::BYTES);
        if full {
            batches.push((
                Batch::new(first, slots.drain(..)),
                std::mem::take(&mut blob),
            ));
        }
        if slots.is_empty() {
            first = *seq;
        }
        slots.push((Arc::clone(scripts), event.payload.len()));
        encode_event(&mut blob, event);
    }
    if !slots.is_empty() {
        batches.push((Batch::new(first, slots), blob));
    }
    batches
}

fn is_open(batches: &BTreeMap<u64, Batch>, site: &CallSite) -> bool {
    let batch = batches.range(..=site.seq).next_back();
    batch.is_some_and(|(_, batch)| batch.is_open(site.seq, site.script))
}

fn record_answer(
    store: &Store,
    callers: &mut HashSet<(u64, ScriptId)>,
    site: &CallSite,
    answer: &[u8],
) -> rusqlite::Result<()> {
    callers.insert((site.seq, site.script));
    store.answer(site.seq, site.script, &site.position, site.question, answer)
}
