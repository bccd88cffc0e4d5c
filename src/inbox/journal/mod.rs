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
//! platform keeps what comes. It is said at once, and every minute while it lasts. At the end it is tried
//! once more.
//!
//! `ops` is what it is asked, `asked` the calls in it, `line` whose turn it is with the key-value store,
//! `handing` what follows a transaction, `room` what keeps the database small, and `records` what keeps
//! small what is kept for handlers that never end.

mod asked;
mod handing;
mod line;
mod ops;
mod records;
mod room;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use crate::inbox::Place;
use crate::inbox::batch::{Batch, ScriptId, encode_slots, milliseconds};
use crate::inbox::came::{Came, News, Note};
use crate::inbox::pace::{LAZY, Pace};
use crate::inbox::queue::{Core, Nap};
use crate::inbox::record;
use crate::inbox::redaction::Redaction;
use crate::inbox::store::{KvAnswer, KvError, Store, Usages, is_full, is_hidden_space};

use asked::{Asked, Written};
use line::{ANSWERS, Line, TURN};
use ops::batches_of;
pub(super) use ops::{CallSite, KvAsk, Op};
use records::Records;
use room::Dropped;

/// Between two attempts while the disk does not take anything.
const RETRY: Duration = Duration::from_secs(1);
/// Between two reports of a trouble that lasts.
const REPORT: Duration = Duration::from_secs(60);
/// Between two rounds of tidying, if there was something to do in between.
const TIDY: Duration = Duration::from_secs(10);
/// The same while there is more room to be given back.
const TIDY_ON: Duration = Duration::from_millis(100);

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
    /// The number of the next row of calls.
    next_call: u64,
    records: Records,
    line: Line,
    came: Came,
    usages: Usages,
    pace: Pace,
    unwritten: Unwritten,
    /// Not before then is anything tried.
    retry_at: Option<Instant>,
    /// What is left at the end has been tried.
    tried_at_end: bool,
    reported: Option<Instant>,
    /// When to tidy next; none if there was nothing to do since.
    tidy_at: Option<Instant>,
    dropped: Dropped,
}

/// What memory knows of finished events and the database does not. Emptied only by a commit, so that a
/// failed one is made up for by the next.
#[derive(Default)]
struct Unwritten {
    /// Batches that are over.
    over: Vec<Batch>,
    /// Batches whose progress has changed, and since when.
    progress: BTreeMap<u64, Instant>,
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.over.is_empty() && self.progress.is_empty()
    }
}

/// What a commit has written.
#[derive(Default)]
struct Committed {
    /// Batches that are new.
    fresh: Vec<Batch>,
    calls: Written,
    /// Batches whose progress was written.
    progress: Vec<u64>,
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
        came: Came,
    ) -> rusqlite::Result<Self> {
        let bytes = batches.iter().map(|batch| batch.bytes() as u64).sum();
        core.counters.worked(0, std::iter::empty(), bytes);
        let next_call = store.last_call()? + 1;
        let mut records = Records::default();
        for batch in &batches {
            store.each_call(&batch.calls, |entry, bytes| {
                if batch.is_open(entry.seq, entry.script) {
                    records.add(entry.seq, entry.script, bytes);
                }
            })?;
        }
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
            next_call,
            records,
            line: Line::default(),
            came,
            usages: Usages::default(),
            pace: Pace::new(now),
            unwritten: Unwritten::default(),
            retry_at: None,
            tried_at_end: false,
            reported: None,
            tidy_at: Some(now + TIDY),
            dropped: Dropped::default(),
        })
    }

    /// Works until the inbox is closed.
    pub(in crate::inbox) fn run(mut self) {
        let _end = End(Arc::clone(&self.core));
        while let Some(ops) = self.wait() {
            self.work(ops);
        }
        if let Err(error) = self.store.finish() {
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
            let line = self.line.due(now);
            let urgent = state.urgent || line.is_some_and(|at| at <= now);
            let mut due = if urgent {
                Some(self.pace.due(now))
            } else {
                lazy.into_iter().chain(line).min()
            };
            if state.closing {
                self.line.rouse();
                let nothing = state.ops.is_empty()
                    && self.line.is_empty()
                    && self.unwritten.is_empty()
                    && !self.came.is_unwritten();
                // There may be room since the last attempt; after one more, nobody waits for it.
                let in_vain = self.retry_at.is_some() && self.tried_at_end;
                if nothing || in_vain {
                    return None;
                }
                self.tried_at_end = true;
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
            state.nap = match (urgent, lazy) {
                _ if self.retry_at.is_some() => Nap::Timed,
                (true, _) => Nap::Timed,
                (false, Some(_)) => Nap::Lazy,
                (false, None) => Nap::Idle,
            };
            drop(state);
            match due.into_iter().chain(self.tidy_at).min() {
                Some(at) => {
                    std::thread::park_timeout(at.saturating_duration_since(Instant::now()));
                }
                None => std::thread::park(),
            }
            if self.tidy_at.is_some_and(|at| at <= Instant::now()) {
                self.tidy();
            }
            state = core.lock();
        }
    }

    fn work(&mut self, ops: Vec<Op>) {
        let now = Instant::now();
        self.pace.committed(now, ops.len());
        self.tidy_at.get_or_insert(now + TIDY);
        self.retry_at = None;
        let mut others = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Kv(ask) => self.line.push(ask),
                op => others.push(op),
            }
        }
        let mut answered = Vec::new();
        let result = self.commit(&others, now, &mut answered);
        match result {
            Ok(committed) => {
                self.written(committed, now);
                // What the host keeps for itself is no script's doing.
                let of_scripts = answered
                    .iter()
                    .filter(|(ask, _)| !is_hidden_space(&ask.space));
                let counters = &self.core.counters;
                let operations = others.len() + answered.len();
                counters.worked(operations, of_scripts.map(|(_, reply)| reply), self.bytes);
                self.answer(others, answered);
                self.store.look_after_log();
            }
            Err(error) => {
                self.core.counters.failed_commits.fetch_add(1, Relaxed);
                self.usages.forget();
                self.came.failed();
                self.retry_at = Some(now + RETRY);
                self.trouble(&error, now);
                let asked = answered.into_iter().map(|(ask, _)| ask);
                self.refuse(others, asked.collect(), &error);
            }
        }
    }

    /// One transaction of everything, and of as many operations on the key-value store as one may have:
    /// they and what came of them are `answered`.
    fn commit(
        &mut self,
        ops: &[Op],
        now: Instant,
        answered: &mut Vec<(KvAsk, Result<KvAnswer, KvError>)>,
    ) -> rusqlite::Result<Committed> {
        let at = milliseconds(SystemTime::now());
        let failed = self.take_note(ops, now, at);
        self.came.close_row();
        let fresh = batches_of(ops);
        let quiet = fresh.is_empty();
        self.make_room(
            fresh.iter().map(|(batch, _)| batch.bytes() as u64).sum(),
            now,
        );
        let progress: Vec<u64> = (self.unwritten.progress.iter())
            .filter(|&(_, &since)| quiet || now.duration_since(since) >= LAZY)
            .map(|(&first, _)| first)
            .collect();
        let Self {
            store,
            batches,
            usages,
            unwritten,
            came,
            bounds,
            names,
            next_call,
            line,
            ..
        } = self;
        let news = came.news();
        let nothing = fresh.is_empty()
            && unwritten.is_empty()
            && line.due(now).is_none_or(|at| at > now)
            && matches!(news, News::Nothing);
        if nothing && !ops.iter().any(Op::needs_database) {
            return Ok(Committed::default());
        }
        let begun = Instant::now();
        let calls = store.transaction(|store| {
            let mut calls = Asked::new(&failed, batches, &unwritten.over, at);
            for op in ops {
                match op {
                    Op::Script { id, name } => store.name_script(*id, name)?,
                    Op::Timer { script, timer, at } => store.set_timer(*script, timer, *at)?,
                    Op::Intent { site, .. } => calls.note(site, None),
                    Op::Answer { site, answer } => calls.note(site, Some(answer)),
                    _ => {}
                }
            }
            let (mut bytes, started) = (0, Instant::now());
            let mut now = started;
            while bytes < ANSWERS
                && now - started < TURN
                && let Some(ask) = line.pop(now)
            {
                let reply = match store.kv(usages, bounds.quota, &ask.space, &ask.op) {
                    Ok(reply) => reply,
                    Err(error) => {
                        // It is refused with all that wait.
                        line.push(ask);
                        return Err(error);
                    }
                };
                if let (Ok(answer), Some(site)) = (&reply, &ask.site)
                    && *answer != KvAnswer::Conflict
                {
                    calls.note(site, Some(&record::of_kv(&ask.op, answer)));
                }
                let begun = std::mem::replace(&mut now, Instant::now());
                line.took(ask.holder, now, now - begun);
                bytes += reply.as_ref().map_or(0, KvAnswer::bytes);
                answered.push((ask, reply));
            }
            let written = calls.write(store, *next_call)?;
            for op in ops {
                if let Op::Done {
                    seq,
                    script,
                    failed: Some(failed),
                } = op
                {
                    let name = names.get(script).map_or("", String::as_str);
                    let batch = batch_of(batches, *seq)
                        .into_iter()
                        .chain(&unwritten.over)
                        .find(|batch| batch.has(*seq, *script));
                    let asked = batch.map_or_else(Vec::new, |batch| {
                        let new = written.rows.iter().filter(|row| row.batch == batch.first);
                        let new = new.map(|row| row.id);
                        batch.calls.iter().copied().chain(new).collect()
                    });
                    let pair = (*seq, *script);
                    let calls = store.calls(&asked, |seq, script| (seq, script) == pair)?;
                    let calls = calls.of(*seq, *script);
                    let recording = failed.recording(name, &calls, &bounds.redaction);
                    store.add_failure(&recording)?;
                }
            }
            for (batch, events) in &fresh {
                store.insert_batch(batch.first, &encode_slots(&batch.slots), events)?;
            }
            for batch in &unwritten.over {
                store.delete_batch(batch)?;
                for row in written.rows.iter().filter(|row| row.batch == batch.first) {
                    store.delete_calls(&[row.id])?;
                }
            }
            for first in &progress {
                if let Some(batch) = batches.get(first) {
                    store.set_progress(batch)?;
                }
            }
            match news {
                News::Nothing => {}
                News::Row(notes) => store.add_trail(at, notes)?,
                News::Whole => store.set_came(came)?,
            }
            Ok(written)
        })?;
        self.core.counters.commits.note(begun.elapsed());
        Ok(Committed {
            fresh: fresh.into_iter().map(|(batch, _)| batch).collect(),
            calls,
            progress,
        })
    }

    /// Takes into memory what is true whatever the disk does: what is done, and what came. Answers the
    /// pairs that are done and have failed.
    fn take_note(&mut self, ops: &[Op], now: Instant, at: u64) -> HashSet<(u64, ScriptId)> {
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
                    self.passes(&event.id, place, at);
                    if let Some(sighting) = sighting {
                        self.came.note(Note::Message(*sighting), at);
                    }
                }
                Op::Passed { id, place } => self.passes(id, place, at),
                Op::Opened { at: opened } => self.came.note(Note::Opened(*opened), at),
                Op::Settled { channel } => self.came.note(Note::Settled(*channel), at),
                Op::Gone { channel } => self.came.note(Note::Gone(*channel), at),
                Op::Script { id, name } => {
                    self.names.insert(*id, name.clone());
                }
                Op::Keep { names } => self.keep(names, now),
                _ => {}
            }
        }
        failures
    }

    fn passes(&mut self, id: &str, place: &Place, at: u64) {
        match *place {
            Place::Connection | Place::Timer | Place::Unknown => return,
            Place::Id => {}
            Place::Sequence {
                scope,
                sequence,
                anew,
            } => {
                let note = Note::Sequence {
                    scope,
                    sequence,
                    anew,
                };
                self.came.note(note, at);
            }
        }
        self.came.note(Note::Position(id), at);
    }

    fn finish(&mut self, seq: u64, script: ScriptId, now: Instant) {
        let Some((&first, batch)) = self.batches.range_mut(..=seq).next_back() else {
            return;
        };
        if !batch.finish(seq, script) {
            return;
        }
        self.records.remove(seq, script);
        if batch.is_over() {
            self.bytes -= batch.bytes() as u64;
            self.unwritten.progress.remove(&first);
            self.unwritten.over.extend(self.batches.remove(&first));
        } else {
            self.unwritten.progress.entry(first).or_insert(now);
        }
    }

    /// The transaction is committed.
    fn written(&mut self, committed: Committed, now: Instant) {
        self.came.committed();
        self.unwritten.over.clear();
        for first in committed.progress {
            self.unwritten.progress.remove(&first);
        }
        for row in committed.calls.rows {
            self.next_call = row.id + 1;
            if let Some(batch) = self.batches.get_mut(&row.batch) {
                batch.calls.push(row.id);
                batch.asked += row.bytes;
            }
        }
        for batch in committed.fresh {
            self.bytes += batch.bytes() as u64;
            self.batches.insert(batch.first, batch);
        }
        self.bound_records(&committed.calls.sizes, now);
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

/// The batch that the event of this number would be in.
fn batch_of(batches: &BTreeMap<u64, Batch>, seq: u64) -> Option<&Batch> {
    batches.range(..=seq).next_back().map(|(_, batch)| batch)
}
