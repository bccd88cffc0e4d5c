//! Faults at random, the same for the same seed.
//!
//! The fate of the n-th request of an interface, of the n-th event, of the n-th batch of events and of the
//! n-th voice socket and packet is a hash of the seed, the name and n (SplitMix64): no state but the counters, so that two interfaces
//! that take turns differently in two runs still meet the same fates each.

use std::collections::HashMap;
use std::time::Duration;

use super::kinds::GOING_AWAY;
use super::spec::{Kind, STREAM, VoiceFault};
use super::sse::Form;

/// The longest delay of a request.
const DELAY: Duration = Duration::from_millis(300);
/// The longest time that a stream carries no byte.
const STALL: Duration = Duration::from_millis(1_500);
/// The longest time that a voice socket carries none: longer than a jitter buffer.
const VOICE_STALL: Duration = Duration::from_millis(500);

/// A seed and how often fate was asked.
#[derive(Debug)]
pub struct Chaos {
    /// What it began with.
    pub seed: u64,
    asked: HashMap<&'static str, u64>,
}

impl Chaos {
    /// Fates of that seed, from the first on.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            asked: HashMap::new(),
        }
    }

    /// Two numbers in [0, 1) for the next thing of that name.
    fn roll(&mut self, name: &'static str) -> (f64, f64) {
        let n = self.asked.entry(name).or_default();
        *n += 1;
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let first = mix(mix(self.seed ^ name).wrapping_add(*n));
        (unit(first), unit(mix(first)))
    }

    /// What the next request of the interface meets.
    pub fn request(&mut self, interface: &'static str) -> Option<Kind> {
        let (roll, size) = self.roll(interface);
        // A stream may be opened five times a minute, so that its refusals are rare and mild.
        if interface == STREAM {
            return (roll < 0.1).then_some(Kind::Answer(503));
        }
        Some(match roll {
            ..0.01 => Kind::Answer(500),
            ..0.04 => Kind::Answer(502),
            ..0.07 => Kind::Answer(503),
            ..0.10 => Kind::Answer(429),
            ..0.13 => Kind::Lose,
            ..0.23 => Kind::Delay(DELAY.mul_f64(size)),
            _ => return None,
        })
    }

    /// What the next event meets.
    pub fn event(&mut self) -> Option<Kind> {
        let (roll, size) = self.roll("event");
        Some(match roll {
            ..0.03 => Kind::Duplicate,
            ..0.06 => Kind::Reorder,
            ..0.13 => {
                let forms = Form::ALL;
                let at = (size * forms.len() as f64) as usize;
                match forms[at.min(forms.len() - 1)].0 {
                    // Only a stream's beginning can have one.
                    Form::Bom => return None,
                    form => Kind::Sse(form),
                }
            }
            _ => return None,
        })
    }

    /// What happens to a stream after its next batch of events.
    pub fn batch(&mut self) -> Option<Kind> {
        let (roll, size) = self.roll("batch");
        Some(match roll {
            ..0.005 => Kind::Drop,
            ..0.01 => Kind::End,
            ..0.04 => Kind::Stall(STALL.mul_f64(size)),
            _ => return None,
        })
    }

    /// What an attempt to open a voice socket meets.
    pub fn voice_opening(&mut self) -> Option<Kind> {
        let (roll, _) = self.roll("voice socket");
        (roll < 0.1).then_some(Kind::VoiceRefuse(503))
    }

    /// What a voice socket meets after its next packet. There are 50 packets a second.
    pub fn voice_packet(&mut self) -> Option<Kind> {
        let (roll, size) = self.roll("voice packet");
        Some(Kind::Voice(match roll {
            ..0.000_5 => VoiceFault::Close(GOING_AWAY),
            ..0.001 => VoiceFault::Cut,
            ..0.001_5 => VoiceFault::Error,
            ..0.003 => VoiceFault::Stall(VOICE_STALL.mul_f64(size)),
            _ => return None,
        }))
    }
}

/// SplitMix64's output function.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 53 bits as a number in [0, 1).
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::{Chaos, GOING_AWAY, Kind, VoiceFault};

    #[test]
    fn a_seed_gives_the_same_fates_whatever_comes_between() {
        let mut alone = Chaos::new(7);
        let mut busy = Chaos::new(7);
        for _ in 0..1_000 {
            busy.request("ISpaces");
            busy.event();
            assert_eq!(alone.request("IMessages"), busy.request("IMessages"));
        }
        let fates = |seed| {
            let mut chaos = Chaos::new(seed);
            let all = (0..1_000).map(|_| chaos.request("IMessages"));
            all.collect::<Vec<_>>()
        };
        assert_ne!(fates(7), fates(8));
    }

    #[test]
    fn every_kind_of_fate_comes_and_most_things_are_spared() {
        let mut chaos = Chaos::new(1);
        let fates: Vec<_> = (0..2_000).map(|_| chaos.request("IMessages")).collect();
        let share = |wanted: &dyn Fn(&Option<Kind>) -> bool| {
            fates.iter().filter(|fate| wanted(fate)).count() as f64 / 2_000.0
        };
        assert!((0.7..0.84).contains(&share(&|fate| fate.is_none())));
        assert!((0.01..0.06).contains(&share(&|fate| *fate == Some(Kind::Lose))));
        for status in [500, 502, 503, 429] {
            assert!(share(&|fate| *fate == Some(Kind::Answer(status))) > 0.0);
        }
        let batches: Vec<_> = (0..2_000).map(|_| chaos.batch()).collect();
        assert!(batches.contains(&Some(Kind::Drop)) && batches.contains(&Some(Kind::End)));
        let voice: Vec<_> = (0..20_000).map(|_| chaos.voice_packet()).collect();
        for fault in [
            VoiceFault::Close(GOING_AWAY),
            VoiceFault::Cut,
            VoiceFault::Error,
        ] {
            assert!(voice.contains(&Some(Kind::Voice(fault))), "{fault:?}");
        }
    }
}
