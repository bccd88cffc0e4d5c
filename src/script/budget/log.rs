//! How much a script may log.

use std::time::Instant;

use crate::limits::{LOG_BYTES, LOG_BYTES_PER_SECOND, LOG_LINES, LOG_LINES_PER_SECOND};

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::script) enum Line {
    /// It is logged; so many were left out before it.
    Fits(u64),
    /// It is the first that is left out.
    First,
    /// It is left out, like the one before.
    LeftOut,
}

/// Two buckets, one of lines and one of bytes, which fill up with time.
#[derive(Debug)]
pub(in crate::script) struct LogQuota {
    lines: f64,
    bytes: f64,
    filled: Instant,
    left_out: u64,
}

impl LogQuota {
    pub(in crate::script) fn new(now: Instant) -> Self {
        Self {
            lines: LOG_LINES.into(),
            bytes: LOG_BYTES.into(),
            filled: now,
            left_out: 0,
        }
    }

    /// Judges a line of so many bytes.
    pub(in crate::script) fn line(&mut self, bytes: usize, now: Instant) -> Line {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        let fill = |level: f64, rate: u32, most: u32| {
            (level + passed.as_secs_f64() * f64::from(rate)).min(most.into())
        };
        self.lines = fill(self.lines, LOG_LINES_PER_SECOND, LOG_LINES);
        self.bytes = fill(self.bytes, LOG_BYTES_PER_SECOND, LOG_BYTES);
        let bytes = bytes as f64;
        if self.lines < 1.0 || self.bytes < bytes {
            self.left_out += 1;
            return if self.left_out == 1 {
                Line::First
            } else {
                Line::LeftOut
            };
        }
        self.lines -= 1.0;
        self.bytes -= bytes;
        Line::Fits(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// In which an empty bucket of lines is full again.
    const FULL: Duration = Duration::from_secs((LOG_LINES / LOG_LINES_PER_SECOND) as u64);

    #[test]
    fn a_burst_fits_and_what_is_more_is_counted() {
        let now = Instant::now();
        let mut quota = LogQuota::new(now);
        for _ in 0..LOG_LINES {
            assert_eq!(quota.line(1, now), Line::Fits(0));
        }
        assert_eq!(quota.line(1, now), Line::First);
        assert_eq!(quota.line(1, now), Line::LeftOut);
        let later = now + FULL;
        assert_eq!(quota.line(1, later), Line::Fits(2));
        assert_eq!(quota.line(1, later), Line::Fits(0));
    }

    #[test]
    fn bytes_count_as_well() {
        let now = Instant::now();
        let mut quota = LogQuota::new(now);
        assert_eq!(quota.line(LOG_BYTES as usize, now), Line::Fits(0));
        assert_eq!(quota.line(1, now), Line::First);
    }
}
