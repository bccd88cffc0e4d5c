//! Where received packets lie in time; pure.
//!
//! The socket keeps packets in order, but it brings them unevenly, the server may have lost some on its
//! side, and a participant who says nothing sends nothing. Packets have no numbers: only the time at
//! which they come tells. It is compared with that of the quickest packet so far.
//!
//! * Not a frame later than that: the packet follows the one before.
//! * More than [`PAUSE`] later: there was a pause of that length.
//! * In between: it may be the network, or a loss. The packet is held until as many have come as would
//!   have waited in the network with it, and [`WITNESSES`] more, or [`PATIENCE`] has passed. If they are
//!   all late, frames are missing before it; if one has caught up, none are.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::voice::packet::RATE;

/// Later than this is a pause, samples: 120 ms.
pub const PAUSE: u64 = RATE as u64 * 120 / 1000;
/// Packets that decide why one is late, beside those that may have waited with it.
const WITNESSES: u64 = 3;
/// How long they are waited for.
const PATIENCE: Duration = Duration::from_millis(400);
/// Pauses are whole multiples of the shortest packet, samples.
pub const GRID: u64 = 120;

/// A packet in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The packet.
    pub data: Bytes,
    /// Its length, samples.
    pub samples: u32,
    /// Samples that are missing before it.
    pub gap: u64,
    /// Samples from the first packet to its beginning.
    pub at: u64,
}

/// The timeline of one participant.
#[derive(Debug, Default)]
pub struct Timeline {
    origin: Option<Instant>,
    /// The end of what is placed, samples.
    end: u64,
    /// How far behind its end the quickest packet came, samples.
    quickest: i64,
    /// The length of the last packet that is placed.
    frame: u32,
    /// A late packet and those after it.
    held: Vec<(Bytes, u32)>,
    /// How late the least late of them is, samples.
    late: u64,
    /// How many are waited for.
    wanted: u64,
    /// When they are waited for no longer.
    until: Option<Instant>,
}

impl Timeline {
    /// A packet of that many samples has come. Gives those whose place is known now.
    pub fn hear(&mut self, now: Instant, data: &Bytes, samples: u32, placed: &mut Vec<Placed>) {
        let origin = *self.origin.get_or_insert(now);
        let micros = now.saturating_duration_since(origin).as_micros() as u64;
        let came = (micros * u64::from(RATE) / 1_000_000) as i64;
        let waiting: u64 = self.held.iter().map(|(_, held)| u64::from(*held)).sum();
        let behind = came - (self.end + waiting) as i64;
        self.quickest = self.quickest.min(behind);
        let late = (behind - self.quickest) as u64;
        // A quarter of a frame sooner is as late, or the network's unevenness would hide losses.
        let least = u64::from(self.frame - self.frame / 4).max(1);
        if self.held.is_empty() {
            if late > PAUSE {
                self.place(data.clone(), samples, late / GRID * GRID, placed);
            } else if late < least || self.frame == 0 {
                self.place(data.clone(), samples, 0, placed);
            } else {
                self.late = late;
                self.wanted = late / u64::from(self.frame) + WITNESSES;
                self.until = Some(now + PATIENCE);
                self.held.push((data.clone(), samples));
            }
            return;
        }
        self.late = self.late.min(late);
        self.held.push((data.clone(), samples));
        if self.late < least {
            self.release(0, placed);
        } else if self.held.len() as u64 > self.wanted {
            let frame = u64::from(self.frame);
            let missing = (self.late + frame / 4) / frame;
            self.release(missing * frame, placed);
        }
    }

    /// Time passes. Gives what has waited too long: nothing says that something is missing.
    pub fn wait(&mut self, now: Instant, placed: &mut Vec<Placed>) {
        if self.until.is_some_and(|until| until <= now) {
            self.release(0, placed);
        }
    }

    /// When [`Self::wait`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }

    fn release(&mut self, mut gap: u64, placed: &mut Vec<Placed>) {
        self.until = None;
        for (data, samples) in std::mem::take(&mut self.held) {
            self.place(data, samples, std::mem::take(&mut gap), placed);
        }
    }

    fn place(&mut self, data: Bytes, samples: u32, gap: u64, placed: &mut Vec<Placed>) {
        let at = self.end + gap;
        self.end = at + u64::from(samples);
        self.frame = samples;
        placed.push(Placed {
            data,
            samples,
            gap,
            at,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::Timeline;

    /// The gaps before packets of 20 ms that come at these times, and where the last one ends, ms.
    fn gaps(times: &[u64]) -> (Vec<u64>, u64) {
        let (mut timeline, begun) = (Timeline::default(), Instant::now());
        let mut placed = Vec::new();
        for ms in times {
            let now = begun + Duration::from_millis(*ms);
            timeline.wait(now, &mut placed);
            timeline.hear(now, &Bytes::new(), 960, &mut placed);
        }
        timeline.wait(begun + Duration::from_secs(3_600), &mut placed);
        assert_eq!(placed.len(), times.len(), "each packet is placed");
        let end = placed.last().map_or(0, |last| last.at + 960) / 48;
        (placed.iter().map(|one| one.gap / 48).collect(), end)
    }

    #[test]
    fn unevenness_is_no_gap_but_a_pause_is() {
        // 80 ms late, then all at once.
        assert_eq!(gaps(&[0, 100, 100, 100, 101, 102, 120]), (vec![0; 7], 140));
        // 900 ms of nothing.
        assert_eq!(gaps(&[0, 20, 940]), (vec![0, 0, 900], 960));
        // Late alone, before a pause.
        assert_eq!(gaps(&[0, 60, 1_000]), (vec![0, 0, 960], 1_020));
    }

    #[test]
    fn packets_that_stay_late_tell_of_lost_ones() {
        let lost = |missing: &[u64]| {
            let all = (0..20).filter(|number| !missing.contains(number));
            gaps(&all.map(|number| number * 20).collect::<Vec<_>>())
        };
        for (missing, at, gap) in [(&[5][..], 5, 20), (&[5, 6, 7], 5, 60), (&[9, 10], 9, 40)] {
            let (gaps, end) = lost(missing);
            assert_eq!((gaps[at], end), (gap, 400), "{missing:?}: {gaps:?}");
            assert_eq!(gaps.iter().sum::<u64>(), gap);
        }
        // The first one was slow, which does not hide a loss.
        assert_eq!(
            gaps(&[0, 5, 25, 45, 85, 105, 125, 145, 165, 185]).0,
            [0, 0, 0, 0, 20, 0, 0, 0, 0, 0]
        );
    }
}
