//! Where received packets lie in time; pure.
//!
//! The socket keeps packets in order and loses none, but it brings them unevenly, and a participant who
//! says nothing sends nothing. A packet follows the one before, unless it comes more than
//! [`TOLERANCE`] after it should have: then there was a gap of that length.

use std::time::Instant;

use crate::voice::packet::RATE;

/// How late a packet may come and still follow the one before, samples: 120 ms.
pub const TOLERANCE: u64 = RATE as u64 * 120 / 1000;
/// Gaps are whole multiples of the shortest packet, samples.
const GRID: u64 = 120;

/// The timeline of one participant.
#[derive(Debug, Default)]
pub struct Timeline {
    origin: Option<Instant>,
    end: u64,
}

impl Timeline {
    /// Places a packet of that many samples that came now. Answers the samples that are missing before it.
    pub fn place(&mut self, now: Instant, samples: u32) -> u64 {
        let origin = *self.origin.get_or_insert(now);
        let micros = now.saturating_duration_since(origin).as_micros() as u64;
        let came = micros * u64::from(RATE) / 1_000_000;
        let late = came.saturating_sub(self.end);
        let gap = if late > TOLERANCE {
            late / GRID * GRID
        } else {
            0
        };
        self.end += gap + u64::from(samples);
        gap
    }

    /// Samples from the first packet to the end of the last.
    pub fn end(&self) -> u64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Timeline;

    #[test]
    fn jitter_is_no_gap_but_silence_is() {
        let (mut timeline, begun) = (Timeline::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        assert_eq!(timeline.place(at(0), 960), 0);
        // 60 ms late, then three at once.
        for ms in [80, 80, 80, 81] {
            assert_eq!(timeline.place(at(ms), 960), 0);
        }
        assert_eq!(timeline.end(), 5 * 960);
        // 900 ms of nothing.
        assert_eq!(timeline.place(at(1_000), 960), 900 * 48);
        assert_eq!(timeline.end(), 1_020 * 48);
    }
}
