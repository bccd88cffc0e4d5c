//! Keeps the mix below [`CEILING`] without clicks and without delay.
//!
//! A frame is limited as a whole: its peak is known before it is encoded. When it is too loud, the gain
//! slides down within [`ATTACK`]; what is still too loud in that time is cut at the ceiling. The gain
//! comes back by [`RELEASE`] a second. A frame that is quiet enough is not touched at all.

use super::ramp::Ramp;

/// The highest sample, −1 dBFS: the platform's true peak limit.
pub const CEILING: f32 = 0.891_25;
/// How fast the gain goes down, samples: 2 ms.
const ATTACK: u32 = 96;
/// How fast the gain comes back, a second.
const RELEASE: f32 = 1.0;

/// The state between frames.
#[derive(Debug)]
pub struct Limiter {
    gain: Ramp,
}

impl Default for Limiter {
    /// Nothing is limited yet.
    fn default() -> Self {
        Self {
            gain: Ramp::still(1.0),
        }
    }
}

impl Limiter {
    /// Limits a frame of interleaved samples.
    pub fn apply(&mut self, samples: &mut [f32], channels: usize) {
        let peak = samples
            .iter()
            .fold(0f32, |peak, sample| peak.max(sample.abs()));
        let needed = if peak > CEILING { CEILING / peak } else { 1.0 };
        let length = (samples.len() / channels) as u32;
        let now = self.gain.now();
        if needed < now {
            self.gain.go(needed, ATTACK.min(length));
        } else if now < 1.0 {
            let back = now + RELEASE * length as f32 / 48_000.0;
            self.gain.go(back.min(needed), length);
        } else if peak <= CEILING {
            return;
        }
        self.gain.apply(samples, channels);
        for sample in samples {
            *sample = sample.clamp(-CEILING, CEILING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CEILING, Limiter};

    fn tone(level: f32, from: usize, count: usize) -> Vec<f32> {
        let at = |n: usize| (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        (from..from + count).map(|n| at(n) * level).collect()
    }

    #[test]
    fn what_is_quiet_enough_is_not_touched() {
        let mut limiter = Limiter::default();
        let mut frame = tone(0.88, 0, 960);
        let before = frame.clone();
        limiter.apply(&mut frame, 1);
        assert_eq!(frame, before);
    }

    #[test]
    fn what_is_too_loud_ends_below_the_ceiling_and_the_gain_comes_back() {
        let mut limiter = Limiter::default();
        for frame in 0..10 {
            let mut samples = tone(3.0, frame * 960, 960);
            limiter.apply(&mut samples, 1);
            let peak = samples.iter().fold(0f32, |peak, s| peak.max(s.abs()));
            assert!(peak <= CEILING + 1e-6, "{peak}");
        }
        let mut last = Vec::new();
        for frame in 0..60 {
            last = tone(0.5, frame * 960, 960);
            limiter.apply(&mut last, 1);
        }
        assert_eq!(last, tone(0.5, 59 * 960, 960));
    }
}
