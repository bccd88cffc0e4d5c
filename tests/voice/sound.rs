//! What a listener hears: packets decoded, and measured.

use opus::{Channels, Decoder};

use crate::stage::SILENCE;

/// The sound between silences.
pub struct Sound {
    /// Left and right, one after the other.
    pub samples: Vec<f32>,
}

/// Frames of silence that end a sound, as many as the host sends behind the last one; fewer were sent because
/// the machine was too busy to have a packet ready, and are left out.
const END: usize = 5;

/// Decodes what was sent, and cuts it at the silences.
pub fn sounds(packets: &[Vec<u8>]) -> Vec<Sound> {
    let mut decoder = Decoder::new(48_000, Channels::Stereo).expect("a decoder");
    let mut room = vec![0.0; 5_760 * 2];
    let mut sounds = Vec::new();
    let mut samples = Vec::new();
    let mut silent = 0;
    for packet in packets {
        if packet == SILENCE {
            silent += 1;
            if silent == END && !samples.is_empty() {
                sounds.push(Sound {
                    samples: std::mem::take(&mut samples),
                });
            }
            continue;
        }
        silent = 0;
        let count = decoder
            .decode_float(packet, &mut room, false)
            .expect("Opus");
        samples.extend_from_slice(&room[..count * 2]);
    }
    if !samples.is_empty() {
        sounds.push(Sound { samples });
    }
    sounds
}

impl Sound {
    /// One channel.
    pub fn channel(&self, at: usize) -> Vec<f32> {
        self.samples.iter().skip(at).step_by(2).copied().collect()
    }

    /// Samples of one channel between the first and the last that can be heard.
    pub fn length(&self) -> usize {
        let left = self.channel(0);
        let heard = |sample: &f32| sample.abs() > 0.01;
        let first = left.iter().position(heard).unwrap_or(0);
        left.iter()
            .rposition(heard)
            .map_or(0, |last| last + 1 - first)
    }
}

/// Root mean square, dBFS.
pub fn level(samples: &[f32]) -> f64 {
    let power: f64 = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum();
    10.0 * (power / samples.len() as f64).log10()
}

/// The frequency of a tone, Hz, by its zero crossings.
pub fn frequency(samples: &[f32]) -> f64 {
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(at, pair)| at as f64 + f64::from(-pair[0] / (pair[1] - pair[0])))
        .collect();
    let span = crossings.last().expect("a tone") - crossings[0];
    48_000.0 * (crossings.len() - 1) as f64 / span
}
