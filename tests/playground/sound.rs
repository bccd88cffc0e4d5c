//! Sound for the tests: a tone as Opus packets and as a file, and how loud packets are.

use std::f32::consts::TAU;
use std::path::Path;

use opus::{Application, Channels, Decoder, Encoder};

const RATE: u32 = 48_000;
/// Samples of a packet of 20 ms.
const FRAME: usize = 960;

/// 440 Hz at half the full scale.
fn tone(samples: usize) -> Vec<f32> {
    let wave = |at: usize| (at as f32 * 440.0 * TAU / RATE as f32).sin() * 0.5;
    (0..samples).map(wave).collect()
}

/// The tone as so many packets of 20 ms.
pub fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(RATE, Channels::Mono, Application::Audio).expect("libopus");
    let samples = tone(count * FRAME);
    let frames = samples.chunks_exact(FRAME);
    frames
        .map(|frame| encoder.encode_vec_float(frame, 1_275).expect("a packet"))
        .collect()
}

/// The loudest sample in packets, 0 to 1.
pub fn peak(packets: &[Vec<u8>]) -> f32 {
    let mut decoder = Decoder::new(RATE, Channels::Mono).expect("libopus");
    let mut samples = [0.0; 6 * FRAME];
    let mut peak = 0.0_f32;
    for packet in packets {
        let count = decoder.decode_float(packet, &mut samples, false);
        let decoded = &samples[..count.expect("an Opus packet")];
        peak = decoded
            .iter()
            .fold(peak, |peak, sample| peak.max(sample.abs()));
    }
    peak
}

/// Writes some seconds of the tone as a WAV file (16 bits, mono).
pub fn write_wav(path: &Path, seconds: usize) {
    let samples = tone(seconds * RATE as usize);
    let data = samples.len() as u32 * 2;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + data).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 2).to_le_bytes());
    wav.extend(2_u16.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(data.to_le_bytes());
    for sample in samples {
        wav.extend(((sample * 32_767.0) as i16).to_le_bytes());
    }
    std::fs::write(path, wav).expect("a file");
}
