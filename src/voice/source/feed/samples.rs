//! Samples: of a decoded file, or pushed by a script.

use std::sync::Arc;

use rtrb::Consumer;

use super::pool::Wake;
use super::{End, Pulled};
use crate::voice::packet::RATE;

/// Samples (of one channel) that are decoded ahead: a quarter of a second.
pub(super) const AHEAD: usize = RATE as usize / 4;

/// Samples: of a decoded file, or pushed by a script.
pub struct SampleFeed {
    pub(super) samples: Consumer<f32>,
    pub(super) channels: usize,
    /// Who reads the file; nobody for what a script pushes.
    pub(super) reader: Option<Arc<Wake>>,
    pub(super) end: Arc<End>,
}

impl SampleFeed {
    /// A feed that is written from outside; it ends when the producer is dropped.
    pub fn live(samples: Consumer<f32>, channels: usize) -> Self {
        Self {
            samples,
            channels,
            reader: None,
            end: Arc::default(),
        }
    }

    pub(super) fn read(&mut self, out: &mut [f32]) -> Pulled {
        // Asked first: what was written before the end must not be missed.
        let over = self.end.is_over() || (self.reader.is_none() && self.samples.is_abandoned());
        let there = self.samples.slots().min(out.len());
        if let Ok(chunk) = self.samples.read_chunk(there) {
            let (first, second) = chunk.as_slices();
            out[..first.len()].copy_from_slice(first);
            out[first.len()..there].copy_from_slice(second);
            chunk.commit_all();
        }
        if let Some(reader) = &self.reader
            && self.samples.slots() < AHEAD * self.channels / 2
        {
            reader.wake();
        }
        match there / self.channels {
            _ if there == out.len() => Pulled::All,
            frames if over => Pulled::Ended(frames),
            frames => Pulled::Starved(frames),
        }
    }
}
