//! How the database stays small: the bound of what is unfinished, batches that are nearly over, and pages
//! that are free.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{Journal, REPORT, TIDY_ON};
use crate::inbox::batch::{Batch, ScriptId, encode_event, encode_slots};

/// The most that the handlers of a batch may have asked and been answered, in bytes, for it to be written anew.
const COMPACTED: u64 = 16 << 20;

/// What was dropped at the bound and not reported yet.
#[derive(Default)]
pub(super) struct Dropped {
    by_script: BTreeMap<ScriptId, u64>,
    reported: Option<Instant>,
}

impl Journal {
    /// Drops the oldest events until there is room within the bound for so many bytes more.
    pub(super) fn make_room(&mut self, more: u64, now: Instant) {
        while self.bytes + more > self.bounds.backlog
            && let Some((_, batch)) = self.batches.first_key_value()
        {
            let pairs: Vec<_> = batch.open_pairs().collect();
            for (seq, script) in pairs {
                *self.dropped.by_script.entry(script).or_default() += 1;
                self.core.counters.dropped.fetch_add(1, Relaxed);
                self.core.lock().withdraw(seq, script);
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
    pub(super) fn keep(&mut self, names: &HashSet<String>, now: Instant) {
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
            self.core.lock().withdraw(seq, script);
            self.finish(seq, script, now);
        }
        for (script, count) in counts {
            let name = self.names.get(&script).map_or("", String::as_str);
            tracing::warn!(
                script = name,
                count,
                "the script is gone or switched off: its unfinished events are dropped"
            );
        }
    }

    /// What can wait until there is little to do.
    pub(super) fn tidy(&mut self) {
        self.tidy_at = None;
        let result = self
            .prune()
            .and_then(|()| self.compact())
            .and_then(|()| {
                let usages = &mut self.usages;
                self.store.transaction(|store| store.expire(usages))
            })
            .and_then(|()| self.store.tidy());
        let now = Instant::now();
        match result {
            Ok(more) => self.tidy_at = more.then_some(now + TIDY_ON),
            Err(error) => {
                self.usages.forget();
                tracing::debug!("the journal could not be tidied: {error}");
            }
        }
        self.report_dropped(now);
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
            let Some(batch) = self.batches.get(&first) else {
                continue;
            };
            // It is read as a whole: what is more stays where it is until the event is over.
            if batch.asked > COMPACTED {
                continue;
            }
            let Ok(events) = self.read(first) else {
                continue;
            };
            let Ok(calls) = self.store.calls(&batch.calls, |_, _| true) else {
                continue;
            };
            let mut single = Vec::new();
            let mut next_call = self.next_call;
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
                let asked = calls.encode(|one, script| one == seq && batch.is_open(one, script));
                let mut single_batch = Batch::new(seq, [(scripts, slot.bytes)]);
                if !asked.is_empty() {
                    single_batch.calls.push(next_call);
                    single_batch.asked = asked.len() as u64;
                    next_call += 1;
                }
                single.push((single_batch, blob, asked));
            }
            self.store.transaction(|store| {
                store.delete_batch(batch)?;
                for (batch, events, asked) in &single {
                    store.insert_batch(batch.first, &encode_slots(&batch.slots), events)?;
                    if let [id] = batch.calls[..] {
                        store.insert_calls(id, batch.first, asked)?;
                    }
                }
                Ok(())
            })?;
            self.next_call = next_call;
            if let Some(old) = self.batches.remove(&first) {
                self.bytes -= old.bytes() as u64;
            }
            self.unwritten.progress.remove(&first);
            for (batch, ..) in single {
                self.bytes += batch.bytes() as u64;
                self.batches.insert(batch.first, batch);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::inbox::came::Came;
    use crate::inbox::journal::{Bounds, CallSite, Op};
    use crate::inbox::queue::Core;
    use crate::inbox::redaction::Redaction;
    use crate::inbox::store::Store;
    use crate::inbox::{Event, Place};

    const SCRIPTS: [ScriptId; 2] = [1, 2];

    fn journal() -> Journal {
        let mut store = Store::in_memory().unwrap();
        store.enter("ann", false).unwrap();
        let core = Core::new(HashMap::new(), [], 1, HashMap::new());
        let bounds = Bounds {
            backlog: 1 << 20,
            quota: 1 << 20,
            redaction: Redaction::default(),
        };
        Journal::new(
            core,
            store,
            bounds,
            Vec::new(),
            HashMap::new(),
            Came::default(),
        )
        .unwrap()
    }

    fn site(seq: u64, script: ScriptId) -> CallSite {
        CallSite {
            seq,
            script,
            position: format!("a:{seq}"),
            question: seq,
        }
    }

    /// What was asked in the handlers of an event, and the answers.
    fn asked(journal: &Journal, seq: u64, script: ScriptId) -> Vec<Option<bytes::Bytes>> {
        let batches = journal.store.batches().unwrap();
        let batch = batches.iter().find(|batch| batch.has(seq, script));
        let calls = batch.map_or_else(Vec::new, |batch| {
            let calls = journal.store.calls(&batch.calls, |_, _| true).unwrap();
            calls.of(seq, script)
        });
        calls.into_iter().map(|one| one.answer).collect()
    }

    /// What is left open by [`nearly_over`].
    const OPEN: [(u64, ScriptId); 3] = [(3, 1), (9, 2), (17, 1)];

    /// Twenty events of one batch, of which handlers have asked something and most are over.
    fn nearly_over(journal: &mut Journal, answered: &bytes::Bytes) {
        // As the stream does before it gives an event to the journal.
        let event = |seq: u64| {
            let event = Event {
                id: seq.to_string(),
                kind: "messageCreate".into(),
                payload: "{}".into(),
                received: Instant::now(),
            };
            journal
                .core
                .push(Arc::new(event), Place::Unknown, None)
                .unwrap();
            let Some(Op::Event {
                event,
                place,
                sighting,
                ..
            }) = journal.core.lock().ops.pop()
            else {
                panic!("an event");
            };
            Op::Event {
                seq,
                event,
                place,
                sighting,
                scripts: SCRIPTS.into(),
            }
        };
        let events: Vec<_> = (1..=20).map(event).collect();
        journal.work(events);
        let calls = [(3, 1), (3, 2), (9, 2)]
            .into_iter()
            .flat_map(|(seq, script)| {
                let site = site(seq, script);
                let intent = Op::Intent {
                    site: site.clone(),
                    receipt: Box::new(|_| ()),
                };
                let answer = Op::Answer {
                    site,
                    answer: answered.clone(),
                };
                [intent, answer]
            });
        let (even, odd): (Vec<_>, Vec<_>) = calls.enumerate().partition(|(at, _)| at % 2 == 0);
        journal.work(even.into_iter().map(|(_, op)| op).collect());
        journal.work(odd.into_iter().map(|(_, op)| op).collect());
        let done = (1..=20)
            .flat_map(|seq| SCRIPTS.map(|script| (seq, script)))
            .filter(|pair| !OPEN.contains(pair))
            .map(|(seq, script)| Op::Done {
                seq,
                script,
                failed: None,
            });
        journal.work(done.collect());
        assert_eq!(journal.batches.len(), 1);
    }

    #[test]
    fn a_batch_whose_handlers_asked_for_very_much_stays_as_it_is() {
        for (bytes, batches) in [(COMPACTED / 4, OPEN.len()), (COMPACTED, 1)] {
            let mut journal = journal();
            let answered = bytes::Bytes::from(vec![b'x'; usize::try_from(bytes).unwrap()]);
            nearly_over(&mut journal, &answered);
            journal.tidy();
            assert_eq!(journal.batches.len(), batches, "{bytes}");
            assert!(asked(&journal, 9, 2) == [Some(answered)]);
        }
    }

    #[test]
    fn what_handlers_that_are_over_asked_does_not_stay_with_their_batch() {
        let mut journal = journal();
        nearly_over(&mut journal, &"yes".into());
        let answer = bytes::Bytes::from(vec![b'x'; 2 * COMPACTED as usize]);
        journal.work(vec![Op::Answer {
            site: site(9, 2),
            answer,
        }]);
        journal.work(vec![Op::Done {
            seq: 9,
            script: 2,
            failed: None,
        }]);
        assert_eq!(journal.batches.len(), 1);
        journal.tidy();
        assert_eq!(journal.batches.keys().copied().collect::<Vec<_>>(), [3, 17]);
        assert_eq!(asked(&journal, 3, 1), [Some("yes".into())]);
        let rows = journal.store.call_rows().unwrap();
        assert!(rows.iter().all(|(_, _, bytes)| *bytes < 100), "{rows:?}");
    }

    #[test]
    fn what_is_left_of_a_batch_keeps_its_events_and_what_they_asked() {
        let mut journal = journal();
        nearly_over(&mut journal, &"yes".into());
        journal.tidy();
        assert_eq!(
            journal.batches.keys().copied().collect::<Vec<_>>(),
            [3, 9, 17]
        );
        let stored = journal.store.batches().unwrap();
        let pairs: Vec<_> = stored.iter().flat_map(Batch::open_pairs).collect();
        assert_eq!(pairs, OPEN);
        assert_eq!(asked(&journal, 3, 1), [Some("yes".into())]);
        assert_eq!(asked(&journal, 9, 2), [Some("yes".into())]);
        assert!(asked(&journal, 3, 2).is_empty() && asked(&journal, 17, 1).is_empty());
        // What is asked afterwards is written beside it, and all of it goes with the event.
        journal.work(vec![Op::Intent {
            site: site(17, 1),
            receipt: Box::new(|_| ()),
        }]);
        assert_eq!(asked(&journal, 17, 1), [None]);
        let done = OPEN.map(|(seq, script)| Op::Done {
            seq,
            script,
            failed: None,
        });
        journal.work(done.into());
        assert!(journal.store.batches().unwrap().is_empty());
        assert!(journal.store.call_rows().unwrap().is_empty());
    }
}
