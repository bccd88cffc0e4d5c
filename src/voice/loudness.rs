//! How loud a file is, by EBU R128 (`ebur128`), measured once and remembered.
//!
//! The gain that brings a file to a loudness is limited so that its true peak stays at or below
//! [`TRUE_PEAK`]. A file is measured again when its size or its time of change is another.
//!
//! Bound: [`REMEMBERED`] files; then all are forgotten.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use ebur128::{EbuR128, Mode};

use super::packet::{LONGEST, RATE};
use super::source::{Error, Source};

/// The highest true peak, dBTP (protocol.md, Voice).
pub const TRUE_PEAK: f64 = -1.0;
/// Files that are remembered.
const REMEMBERED: usize = 4_096;
/// The gain is at most so much, dB: silence stays silence.
const MOST_GAIN: f64 = 30.0;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness, LUFS; negative infinity for silence.
    pub lufs: f64,
    /// True peak, dBTP.
    pub peak: f64,
}

impl Loudness {
    /// The factor that brings it to `target` LUFS.
    pub fn gain_to(self, target: f64) -> f32 {
        if !self.lufs.is_finite() {
            return 1.0;
        }
        let gain = (target - self.lufs)
            .min(TRUE_PEAK - self.peak)
            .min(MOST_GAIN);
        10f64.powf(gain / 20.0) as f32
    }
}

/// What is remembered.
#[derive(Default)]
pub struct Cache(Mutex<HashMap<PathBuf, Known>>);

/// A file's loudness, and its size and time of change at that time.
struct Known(u64, Option<SystemTime>, Loudness);

impl Cache {
    /// How loud a file is. Reads the whole file if that is not known: not for a thread in a hurry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(&self, path: &Path) -> Result<Loudness, Error> {
        let metadata = path.metadata()?;
        let key = |metadata: &Metadata| (metadata.len(), metadata.modified().ok());
        let (size, changed) = key(&metadata);
        let files = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = files()
            .get(path)
            .filter(|known| (known.0, known.1) == (size, changed))
        {
            return Ok(known.2);
        }
        let loudness = measure(path)?;
        let mut files = files();
        if files.len() >= REMEMBERED {
            files.clear();
        }
        files.insert(path.to_owned(), Known(size, changed, loudness));
        Ok(loudness)
    }
}

/// Reads a whole file.
fn measure(path: &Path) -> Result<Loudness, Error> {
    const CHANNELS: usize = 2;
    let fault = |error: ebur128::Error| Error::Io(io::Error::other(error.to_string()));
    let mut meter =
        EbuR128::new(CHANNELS as u32, RATE, Mode::I | Mode::TRUE_PEAK).map_err(fault)?;
    match Source::open(path, CHANNELS)? {
        Source::Samples(mut decoded) => {
            let mut block = Vec::new();
            loop {
                block.clear();
                let more = decoded.read(&mut block)?;
                meter.add_frames_f32(&block).map_err(fault)?;
                if !more {
                    break;
                }
            }
        }
        Source::Opus(mut reader) => {
            let mut decoder = opus::Decoder::new(RATE, opus::Channels::Stereo)
                .map_err(|error| Error::Broken(error.to_string()))?;
            let gain = reader.gain();
            let mut room = vec![0.0; LONGEST as usize * CHANNELS];
            while let Some(packet) = reader.read()? {
                let samples = decoder
                    .decode_float(&packet.data, &mut room, false)
                    .map_err(|error| Error::Broken(error.to_string()))?;
                let heard = packet.skip as usize
                    ..samples
                        .saturating_sub(packet.trim as usize)
                        .max(packet.skip as usize);
                let heard = &mut room[heard.start * CHANNELS..heard.end * CHANNELS];
                heard.iter_mut().for_each(|sample| *sample *= gain);
                meter.add_frames_f32(heard).map_err(fault)?;
            }
        }
    }
    let peaks = (0..CHANNELS as u32).map(|channel| meter.true_peak(channel));
    let peak = peaks.filter_map(Result::ok).fold(0f64, f64::max);
    Ok(Loudness {
        lufs: meter.loudness_global().map_err(fault)?,
        peak: 20.0 * peak.max(1e-9).log10(),
    })
}

#[cfg(test)]
mod tests {
    use super::Loudness;

    #[test]
    fn the_gain_reaches_the_target_unless_the_peak_forbids_it() {
        let close = |gain: f32, db: f64| (f64::from(gain) - 10f64.powf(db / 20.0)).abs() < 1e-4;
        let quiet = Loudness {
            lufs: -30.0,
            peak: -20.0,
        };
        assert!(close(quiet.gain_to(-16.0), 14.0));
        let peaky = Loudness {
            lufs: -30.0,
            peak: -5.0,
        };
        assert!(close(peaky.gain_to(-16.0), 4.0));
        let loud = Loudness {
            lufs: -8.0,
            peak: 0.5,
        };
        assert!(close(loud.gain_to(-16.0), -8.0));
        let silent = Loudness {
            lufs: f64::NEG_INFINITY,
            peak: -180.0,
        };
        assert_eq!(silent.gain_to(-16.0), 1.0);
    }
}
