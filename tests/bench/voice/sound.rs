//! What is played: ten seconds of stereo, different in both channels, made here.

use std::f32::consts::TAU;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use argon_host::voice::encoder::{Encoder, Settings};
use argon_host::voice::ogg::Writer;
use bytes::Bytes;

/// The file's name in its folder.
pub const NAME: &str = "sound.opus";
const SECONDS: usize = 10;
const RATE: f32 = 48_000.0;
/// Samples of a packet of 20 ms.
const FRAME: usize = 960;

/// The file in a folder of its own, which is gone when it is dropped.
pub struct Sound(tempfile::TempDir);

impl Sound {
    /// Chords with overtones that fade, and a noise on every beat.
    pub fn make() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let file = File::create(dir.path().join(NAME)).expect("a file");
        let mut writer = Writer::begin(BufWriter::new(file), 2, 1).expect("a header");
        let mut encoder = Encoder::new(&Settings::new(true)).expect("an encoder");
        let mut noise = 1u32;
        for number in 0..SECONDS * 50 {
            let mut frame = Vec::with_capacity(2 * FRAME);
            for at in number * FRAME..(number + 1) * FRAME {
                // xorshift32
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let hiss = noise as f32 / u32::MAX as f32 - 0.5;
                frame.push(channel(at as f32 / RATE, 0, hiss));
                frame.push(channel(at as f32 / RATE, 1, hiss));
            }
            let packet = encoder.encode(&frame).expect("a packet");
            writer
                .write(Bytes::copy_from_slice(packet), FRAME as u32)
                .expect("a disk");
        }
        writer.finish().expect("a disk");
        Self(dir)
    }

    /// The folder.
    pub fn dir(&self) -> &std::path::Path {
        self.0.path()
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.0.path().join(NAME)
    }
}

fn channel(time: f32, side: usize, hiss: f32) -> f32 {
    // Two chords a second, a third apart between the sides.
    let chord = (time * 2.0) as usize % 4;
    let since = time * 2.0 % 1.0;
    let root = [220.0, 174.6, 261.6, 196.0][chord] * [1.0, 1.26][side];
    let mut sum = 0.0;
    for (note, ratio) in [1.0, 1.25, 1.5].into_iter().enumerate() {
        for overtone in 1..6 {
            let tone = (TAU * root * ratio * overtone as f32 * time + note as f32).sin();
            sum += tone / (overtone * overtone) as f32;
        }
    }
    let beat = (-30.0 * (time * 4.0 % 1.0)).exp() * hiss;
    0.12 * sum * (-2.0 * since).exp() + [0.3, 0.2][side] * beat
}
