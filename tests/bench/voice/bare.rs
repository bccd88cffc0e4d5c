//! What the machine itself can do: libopus alone, and a bare thread with deadlines.

use std::hint::black_box;
use std::time::{Duration, Instant};

use argon_host::voice::encoder::{Encoder, Settings};
use argon_host::voice::pacer;
use argon_host::voice::source::Source;
use opus::{Channels, Decoder};

use crate::sound::Sound;
use crate::spread;

/// Encodes the sound again and again in one thread, as the connections that mix do.
pub fn opus(seconds: u64) {
    let sound = Sound::make();
    let Ok(Source::Opus(mut reader)) = Source::open(&sound.path(), 2) else {
        panic!("the sound is an Ogg Opus file");
    };
    let mut decoder = Decoder::new(48_000, Channels::Stereo).expect("a decoder");
    let mut frames = Vec::new();
    while let Some(packet) = reader.read().expect("a whole file") {
        let mut frame = vec![0f32; 2 * packet.samples as usize];
        decoder
            .decode_float(&packet.data, &mut frame, false)
            .expect("Opus");
        frames.push(frame);
    }
    let settings = Settings {
        complexity: 5,
        ..Settings::new(true)
    };
    let mut encoder = Encoder::new(&settings).expect("an encoder");
    let begun = Instant::now();
    let mut encoded = 0u32;
    while begun.elapsed() < Duration::from_secs(seconds) {
        for frame in &frames {
            black_box(encoder.encode(frame).expect("a packet"));
            encoded += 1;
        }
    }
    let each = begun.elapsed() / encoded;
    let streams = Duration::from_millis(20).as_secs_f64() / each.as_secs_f64();
    println!(
        "libopus alone: {encoded} frames in {:.1} µs each: {streams:.0} streams for each core",
        each.as_secs_f64() * 1e6,
    );
}

/// A deadline every 20 ms.
pub fn floor(seconds: u64) {
    let thread = std::thread::spawn(move || {
        pacer::be_punctual();
        let mut due = Instant::now();
        let mut late = Vec::with_capacity(seconds as usize * 50);
        while late.len() < seconds as usize * 50 {
            due += Duration::from_millis(20);
            let mut now = Instant::now();
            while now < due {
                std::thread::park_timeout(due - now);
                now = Instant::now();
            }
            late.push((now - due).as_micros() as u32);
        }
        late
    });
    let late = thread.join().expect("it does not panic");
    println!("a bare thread, {seconds} s: {}", spread(late));
}
