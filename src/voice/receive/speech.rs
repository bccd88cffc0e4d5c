//! Whether somebody speaks, by energy with hysteresis; pure.
//!
//! Speech begins when [`LOUD`] is exceeded for [`BEGINS`], and ends when nothing exceeded [`QUIET`] for
//! [`ENDS`], or nothing came at all for that time.

use std::time::{Duration, Instant};

/// Root mean square above which somebody may have begun to speak: −45 dBFS.
const LOUD: f32 = 0.005_6;
/// Below it, a speaker may have ended: −52 dBFS.
const QUIET: f32 = 0.002_5;
/// How long it must be loud, samples: 40 ms.
const BEGINS: usize = 1_920;
/// How long it must be quiet.
const ENDS: Duration = Duration::from_millis(400);

/// The ear for one participant.
#[derive(Debug, Default)]
pub struct Detector {
    speaking: bool,
    /// Samples in a row that were loud.
    loud: usize,
    /// When it was last not quiet.
    heard: Option<Instant>,
}

impl Detector {
    /// Hears samples of one channel. Answers when somebody begins or ends to speak.
    pub fn hear(&mut self, samples: &[f32], now: Instant) -> Option<bool> {
        let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
        let level = (energy / samples.len().max(1) as f32).sqrt();
        self.loud = if level > LOUD {
            self.loud + samples.len()
        } else {
            0
        };
        if level > QUIET {
            self.heard = Some(now);
        }
        if !self.speaking && self.loud >= BEGINS {
            self.speaking = true;
            return Some(true);
        }
        self.wait(now)
    }

    /// Time passes. Answers when somebody has ended to speak.
    pub fn wait(&mut self, now: Instant) -> Option<bool> {
        if self.deadline().is_none_or(|end| now < end) {
            return None;
        }
        self.end()
    }

    /// Nothing is heard any more. Answers when somebody has ended to speak.
    pub fn end(&mut self) -> Option<bool> {
        std::mem::take(self).speaking.then_some(false)
    }

    /// When the speech ends, if nothing more is heard.
    pub fn deadline(&self) -> Option<Instant> {
        self.heard
            .filter(|_| self.speaking)
            .map(|heard| heard + ENDS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Detector;

    #[test]
    fn speech_begins_after_two_loud_frames_and_ends_after_a_while() {
        let (mut detector, begun) = (Detector::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        let frame = |level: f32| [level; 960];
        assert_eq!(detector.hear(&frame(0.1), at(0)), None);
        assert_eq!(detector.hear(&frame(0.0), at(20)), None);
        assert_eq!(detector.hear(&frame(0.1), at(40)), None);
        assert_eq!(detector.hear(&frame(0.1), at(60)), Some(true));
        // Between the two levels it goes on.
        assert_eq!(detector.hear(&frame(0.004), at(300)), None);
        assert_eq!(detector.hear(&frame(0.001), at(600)), None);
        assert_eq!(detector.deadline(), Some(at(700)));
        assert_eq!(detector.wait(at(699)), None);
        assert_eq!(detector.wait(at(700)), Some(false));
        assert_eq!(detector.deadline(), None);
    }
}
