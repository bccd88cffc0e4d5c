//! Events that were committed together: how they lie in the database, and who has finished with them.
//!
//! One commit stores its events as one row, because a row costs more than what is in it: two blobs, the
//! *slots* (for each event its size and the scripts that it is for), which a start reads, and the
//! *events*, which are read only when they are handed out. The row goes when every script is done with
//! every event in it, and with it what handlers of its events asked. Until then one bit for each pair of
//! event and script tells how far it is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Event;

/// The most events in a batch.
pub(super) const EVENTS: usize = 256;
/// The most payload bytes in a batch of more than one event.
pub(super) const BYTES: usize = 512 << 10;

/// A script in the database.
pub(super) type ScriptId = u32;

/// What is known of an event without reading it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// The scripts that it is for.
    pub(super) scripts: Arc<[ScriptId]>,
    /// Payload bytes.
    pub(super) bytes: usize,
    /// The bit of the first script.
    bit: usize,
}

/// Who has finished with what.
#[derive(Debug)]
pub(super) struct Batch {
    /// The number of the first event; the others follow without a gap.
    pub(super) first: u64,
    pub(super) slots: Vec<Slot>,
    /// The rows of what the handlers of its events asked, in order.
    pub(super) calls: Vec<u64>,
    /// Bytes in these rows.
    pub(super) asked: u64,
    done: Vec<u64>,
    /// Pairs that are not done.
    open: usize,
}

impl Batch {
    pub(super) fn new(
        first: u64,
        events: impl IntoIterator<Item = (Arc<[ScriptId]>, usize)>,
    ) -> Self {
        let mut bits = 0;
        let slots: Vec<_> = events
            .into_iter()
            .map(|(scripts, bytes)| {
                let bit = bits;
                bits += scripts.len();
                Slot {
                    scripts,
                    bytes,
                    bit,
                }
            })
            .collect();
        Self {
            first,
            slots,
            calls: Vec::new(),
            asked: 0,
            done: vec![0; bits.div_ceil(64)],
            open: bits,
        }
    }

    /// Takes in what was stored of the progress.
    pub(super) fn restore(&mut self, done: &[u8]) {
        for (word, bytes) in self.done.iter_mut().zip(done.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let done: u32 = self.done.iter().map(|word| word.count_ones()).sum();
        self.open = self.open.saturating_sub(done as usize);
    }

    /// The progress, to be stored.
    pub(super) fn progress(&self) -> Vec<u8> {
        self.done
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        self.slots
            .get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    fn bit(&self, seq: u64, script: ScriptId) -> Option<usize> {
        let slot = self.slot(seq)?;
        let at = slot.scripts.iter().position(|&one| one == script)?;
        Some(slot.bit + at)
    }

    /// The script is done with the event; whether that is news.
    pub(super) fn finish(&mut self, seq: u64, script: ScriptId) -> bool {
        let Some(bit) = self.bit(seq, script) else {
            return false;
        };
        let word = &mut self.done[bit / 64];
        let news = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        self.open -= usize::from(news);
        news
    }

    /// Whether the event is for the script, done or not.
    pub(super) fn has(&self, seq: u64, script: ScriptId) -> bool {
        self.bit(seq, script).is_some()
    }

    /// Whether the event is for the script, which is not done with it.
    pub(super) fn is_open(&self, seq: u64, script: ScriptId) -> bool {
        self.bit(seq, script)
            .is_some_and(|bit| self.done[bit / 64] & (1 << (bit % 64)) == 0)
    }

    /// Whether everybody is done with everything.
    pub(super) fn is_over(&self) -> bool {
        self.open == 0
    }

    /// Every pair that is not done.
    pub(super) fn open_pairs(&self) -> impl Iterator<Item = (u64, ScriptId)> {
        (self.first..)
            .zip(&self.slots)
            .flat_map(move |(seq, slot)| {
                let open = move |&(at, _): &(usize, &ScriptId)| {
                    let bit = slot.bit + at;
                    self.done[bit / 64] & (1 << (bit % 64)) == 0
                };
                let pairs = slot.scripts.iter().enumerate().filter(open);
                pairs.map(move |(_, &script)| (seq, script))
            })
    }

    /// The numbers of the events that somebody is not done with.
    pub(super) fn open_events(&self) -> Vec<u64> {
        let mut open: Vec<_> = self.open_pairs().map(|(seq, _)| seq).collect();
        open.dedup();
        open
    }

    /// Payload bytes of all of its events.
    pub(super) fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes).sum()
    }
}

/// The blob of the slots.
pub(super) fn encode_slots(slots: &[Slot]) -> Vec<u8> {
    let mut out = Vec::with_capacity(slots.len() * 12);
    for slot in slots {
        put(&mut out, slot.bytes);
        put(&mut out, slot.scripts.len());
        for script in slot.scripts.iter() {
            out.extend_from_slice(&script.to_le_bytes());
        }
    }
    out
}

/// None for bytes that are no slots.
pub(super) fn decode_slots(mut bytes: &[u8]) -> Option<Vec<(Arc<[ScriptId]>, usize)>> {
    let mut slots = Vec::new();
    while !bytes.is_empty() {
        let size = take(&mut bytes)?;
        let count = take(&mut bytes)?;
        let scripts = bytes.split_off(..count.checked_mul(4)?)?;
        let scripts = scripts.as_chunks::<4>().0;
        slots.push((
            scripts.iter().map(|id| u32::from_le_bytes(*id)).collect(),
            size,
        ));
    }
    Some(slots)
}

/// Appends one event to the blob of the events.
pub(super) fn encode_event(out: &mut Vec<u8>, event: &Event) {
    let age = event.received.elapsed();
    let received = SystemTime::now().checked_sub(age);
    let received = received.map_or(0, milliseconds);
    out.extend_from_slice(&received.to_le_bytes());
    for text in [&event.id, &event.kind, &event.payload] {
        put(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

/// None for bytes that are no events.
pub(super) fn decode_events(mut bytes: &[u8]) -> Option<Vec<Event>> {
    let (now, now_ms) = (Instant::now(), milliseconds(SystemTime::now()));
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let received = bytes.split_off(..8)?;
        let received = u64::from_le_bytes(received.try_into().ok()?);
        let age = Duration::from_millis(now_ms.saturating_sub(received));
        let mut text = || -> Option<String> {
            let length = take(&mut bytes)?;
            String::from_utf8(bytes.split_off(..length)?.to_vec()).ok()
        };
        events.push(Event {
            id: text()?,
            kind: text()?,
            payload: text()?,
            received: now.checked_sub(age).unwrap_or(now),
        });
    }
    Some(events)
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Appends a size. Sizes fit in 32 bits: an event and an answer have 8 MiB at most.
pub(super) fn put(out: &mut Vec<u8>, size: usize) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    out.extend_from_slice(&size.to_le_bytes());
}

/// What [`put`] appended.
pub(super) fn take(bytes: &mut &[u8]) -> Option<usize> {
    let size = bytes.split_off(..4)?;
    usize::try_from(u32::from_le_bytes(size.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        Batch::new(
            10,
            [
                (vec![1, 2].into(), 5),
                (vec![2].into(), 6),
                (vec![1, 2, 3].into(), 7),
            ],
        )
    }

    #[test]
    fn a_batch_is_over_when_every_script_is_done_with_every_event() {
        let mut batch = batch();
        let pairs: Vec<_> = batch.open_pairs().collect();
        assert_eq!(
            pairs,
            [(10, 1), (10, 2), (11, 2), (12, 1), (12, 2), (12, 3)]
        );
        assert!(!batch.finish(9, 1) && !batch.finish(13, 1) && !batch.finish(11, 1));
        for (seq, script) in pairs {
            assert!(!batch.is_over() && batch.is_open(seq, script));
            assert!(batch.finish(seq, script));
            assert!(!batch.finish(seq, script), "only once");
        }
        assert!(batch.is_over());
    }

    #[test]
    fn progress_and_slots_come_back_from_the_database() {
        let mut one = batch();
        one.finish(10, 2);
        one.finish(12, 1);
        let slots = decode_slots(&encode_slots(&one.slots)).unwrap();
        let mut two = Batch::new(10, slots);
        two.restore(&one.progress());
        let open: Vec<_> = two.open_pairs().collect();
        assert_eq!(open, [(10, 1), (11, 2), (12, 2), (12, 3)]);
        assert_eq!(two.open_events(), [10, 11, 12]);
        assert_eq!(two.bytes(), 18);
    }

    #[test]
    fn events_come_back_as_they_were_and_damage_is_noticed() {
        let event = Event {
            id: "a_1".into(),
            kind: "messageCreate".into(),
            payload: "{\"ü\":1}".into(),
            received: Instant::now() - Duration::from_secs(5),
        };
        let mut bytes = Vec::new();
        encode_event(&mut bytes, &event);
        encode_event(&mut bytes, &event);
        let events = decode_events(&bytes).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].payload, event.payload);
        let age = events[1].received.elapsed().as_secs_f64();
        assert!((4.9..60.0).contains(&age), "{age}");
        for length in (1..bytes.len()).filter(|length| *length != bytes.len() / 2) {
            assert!(decode_events(&bytes[..length]).is_none(), "{length}");
        }
        assert!(decode_slots(&[1, 0, 0]).is_none());
    }
}
