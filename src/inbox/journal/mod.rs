//! The journal's thread: the only one that touches the database.
//!
//! It takes everything that was asked of it since the last time and makes one transaction of it (group
//! commit): the events of the stream with the stream's place, what scripts have finished, their calls
//! and answers, the key-value store. Only when that is committed are the events handed out and the
//! askers told. What nobody waits for goes with the next commit, at the latest after
//! [`crate::inbox::pace::LAZY`].
//!
//! The order of asking is the order in the database, so that what is in it is always a beginning of what
//! happened: an answer is never there without the question before it.
//!
//! **When the disk does not take it** (full, failing): what somebody waits for is refused with the
//! reason; events, progress and answers are kept and tried again every second. Nothing is handed out
//! meanwhile; once [`crate::inbox::CAPACITY_EVENTS`] wait, the stream stops reading its socket and the
//! platform keeps what comes. It is said at once, and every minute while it lasts.
//!
//! `ops` is what it is asked, `handing` what follows a transaction, `room` what keeps the database small.

mod handing;
mod ops;
mod room;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::inbox::Place;
use crate::inbox::batch::{Batch, ScriptId, encode_slots};
use crate::inbox::pace::{LAZY, Pace};
use crate::inbox::queue::{Core, Nap};
use crate::inbox::record;
use crate::inbox::redaction::Redaction;
use crate::inbox::sightings::Sightings;
use crate::inbox::store::{KvAnswer, KvError, Store, Usages, is_full};
use crate::inbox::window::{Scope, Window};

use ops::batches_of;
pub(super) use ops::{CallSite, Op};
use room::Dropped;

/// Between two attempts while the disk does not take anything.
const RETRY: Duration = Duration::from_secs(1);
/// Between two reports of a trouble that lasts.
const REPORT: Duration = Duration::from_secs(60);
/// Between two rounds of tidying, if there was something to do in between.
const TIDY: Duration = Duration::from_secs(10);

/// How a journal is kept.
#[derive(Debug, Clone)]
pub(in crate::inbox) struct Bounds {
    /// Payload bytes of unfinished events.
    pub(in crate::inbox) backlog: u64,
    /// Bytes of a space of the key-value store.
    pub(in crate::inbox) quota: u64,
    pub(in crate::inbox) redaction: Redaction,
}

pub(in crate::inbox) struct Journal {
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

/// Says at the end of the thread, also at that of a panic, that it has ended.
struct End(Arc<Core>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Journal {
    pub(in crate::inbox) fn new(
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
    pub(in crate::inbox) fn run(mut self) {
        let _end = End(Arc::clone(&self.core));
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
        let failed = self.take_note(ops, now);
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
        // What was asked goes into the recording of a failure, also when both come together.
        let counts = |batches: &BTreeMap<u64, Batch>, site: &CallSite| {
            is_open(batches, site) || failed.contains(&(site.seq, site.script))
        };
        let begun = Instant::now();
        let fresh = store.transaction(|store| {
            for op in ops {
                match op {
                    Op::Script { id, name } => store.name_script(*id, name)?,
                    Op::Timer { script, timer, at } => store.set_timer(*script, timer, *at)?,
                    Op::Intent { site, .. } if counts(batches, site) => {
                        store.intend(site.seq, site.script, &site.position, site.question)?;
                        callers.insert((site.seq, site.script));
                    }
                    Op::Answer { site, answer } if counts(batches, site) => {
                        record_answer(store, callers, site, answer)?;
                    }
                    Op::Kv {
                        space, op, site, ..
                    } => {
                        let reply = store.kv(usages, bounds.quota, space, op)?;
                        if let (Ok(answer), Some(site)) = (&reply, site)
                            && *answer != KvAnswer::Conflict
                            && counts(batches, site)
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
                        let recording = failed.recording(name, &calls, &bounds.redaction);
                        store.add_failure(&recording)?;
                        store.forget_calls(*seq, *script)?;
                        callers.remove(&(*seq, *script));
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
    /// Answers the pairs that are done and have failed.
    fn take_note(&mut self, ops: &[Op], now: Instant) -> HashSet<(u64, ScriptId)> {
        let mut failures = HashSet::new();
        for op in ops {
            match op {
                Op::Done {
                    seq,
                    script,
                    failed,
                } => {
                    if failed.is_some() {
                        failures.insert((*seq, *script));
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
                Op::Gone { channel } => {
                    self.sightings.forget(*channel);
                    self.unwritten.channels.insert(*channel);
                }
                Op::Script { id, name } => {
                    self.names.insert(*id, name.clone());
                }
                Op::Keep { names } => self.keep(names, now),
                _ => {}
            }
        }
        failures
    }

    fn passes(&mut self, id: &str, place: &Place) {
        match *place {
            Place::Connection | Place::Timer | Place::Unknown => return,
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
