//! Everything that is not Ogg Opus, as samples of 48 kHz: symphonia decodes (WAV, MP3, FLAC, Ogg Vorbis,
//! AAC and M4A), `Channels` mixes down or up, `Resampler` (rubato) changes the rate.
//!
//! A broken packet is left out, as players do; [`MOST_BROKEN`] in a row end the file with an error.
//! The length is exact: what encoders put before and behind the audio is left out (by symphonia for MP3
//! and Vorbis, by [`Edit`] for MP4), and a resampled file has `frames * 48000 / rate` samples, rounded. A seek
//! begins [`SETTLE`] before its target, so that a decoder that builds on the packet before has it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::FORMAT_ID_ISOMP4;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::{MetadataOptions, RawValue};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Time, TimeBase};

use super::Error;
use super::edit::Edit;
use crate::voice::packet::RATE;

/// Broken packets in a row that are left out.
const MOST_BROKEN: u32 = 50;
/// Sample rates that are resampled, Hz.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// What is decoded before the target of a seek, samples at 48 kHz: 100 ms.
const SETTLE: u64 = RATE as u64 / 10;
/// The comment in which Apple's encoders say which part is heard.
const ITUNES: &str = "com.apple.iTunes:iTunSMPB";
/// Frames that go through the resampler at once.
const CHUNK: usize = 1_024;

/// A file being decoded.
pub struct Decoded {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    time_base: Option<TimeBase>,
    /// Of the file as its header says, frames at its own rate.
    frames: Option<u64>,
    rate: u32,
    channels: usize,
    resampler: Option<Resampler>,
    /// The part of it that is heard.
    edit: Edit,
    /// The frame that a seek wants to hear first, until the first packet tells how far that is.
    goal: Option<u64>,
    /// Frames at the file's rate that are dropped next, and those that are still heard behind them.
    drop: u64,
    left: u64,
    broken: u32,
    /// As decoded, and in the wanted channels.
    raw: Vec<f32>,
    mixed: Vec<f32>,
    ended: bool,
}

impl Decoded {
    /// Opens a file; its samples will have that many channels, 1 or 2.
    pub fn open(file: File, path: &Path, channels: usize) -> Result<Self, Error> {
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|text| text.to_str()) {
            hint.with_extension(extension);
        }
        let mut again = file.try_clone()?;
        let stream = MediaSourceStream::new(Box::new(file), Default::default());
        let mut format = symphonia::default::get_probe()
            .probe(
                &hint,
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
            .map_err(|error| match error {
                Symphonia::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                    Error::Io(error)
                }
                _ => Error::Unknown,
            })?;
        let track = format
            .first_track_known_codec(TrackType::Audio)
            .ok_or(Error::Unknown)?;
        let parameters = track.codec_params.as_ref().and_then(|all| all.audio());
        let parameters = parameters.ok_or(Error::Unknown)?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| Error::Broken(error.to_string()))?;
        let rate = parameters.sample_rate.unwrap_or(0);
        let (id, time_base, frames) = (track.id, track.time_base, track.num_frames);
        let is_mp4 = format.format_info().format == FORMAT_ID_ISOMP4;
        let edit = match is_mp4 {
            true => {
                // Both handles have one position.
                let at = again.stream_position()?;
                let edit = Edit::of_track(&mut again, id);
                again.seek(SeekFrom::Start(at))?;
                edit.or_else(|| Edit::of_comment(&comment(&mut *format)?, rate))
            }
            false => None,
        };
        let mut decoded = Self {
            track: id,
            time_base,
            frames,
            rate,
            channels,
            resampler: None,
            edit: edit.unwrap_or(Edit::NONE),
            goal: None,
            drop: 0,
            left: u64::MAX,
            broken: 0,
            raw: Vec::new(),
            mixed: Vec::new(),
            ended: false,
            format,
            decoder,
        };
        decoded.set_rate(rate)?;
        decoded.drop = decoded.edit.skip(rate);
        decoded.left = decoded.edit.keep(rate).unwrap_or(u64::MAX);
        Ok(decoded)
    }

    fn set_rate(&mut self, rate: u32) -> Result<(), Error> {
        if !RATES.contains(&rate) {
            return Err(Error::Broken(format!(
                "a sample rate of {rate} Hz is not supported"
            )));
        }
        self.rate = rate;
        self.resampler = match rate {
            RATE => None,
            _ => Some(Resampler::new(rate, self.channels)?),
        };
        Ok(())
    }

    /// Samples at 48 kHz in all, if the file says so.
    pub fn duration(&self) -> Option<u64> {
        let there = self
            .frames
            .map(|frames| frames.saturating_sub(self.edit.skip(self.rate)));
        let heard = match (there, self.edit.keep(self.rate)) {
            (Some(there), Some(keep)) => there.min(keep),
            (there, keep) => there.or(keep)?,
        };
        Some(scaled(heard, self.rate, RATE))
    }

    /// Goes to that many samples (48 kHz) from the beginning.
    pub fn seek(&mut self, target: u64) -> Result<(), Error> {
        let target = scaled(target, RATE, self.rate);
        let goal = target.saturating_add(self.edit.skip(self.rate));
        let begin = goal.saturating_sub(scaled(SETTLE, RATE, self.rate));
        let seconds = begin as f64 / f64::from(self.rate);
        let time = Time::try_from_secs_f64(seconds).ok_or(Error::Seek)?;
        let to = SeekTo::Time {
            time,
            track_id: Some(self.track),
        };
        match self.format.seek(SeekMode::Accurate, to) {
            Ok(_) => {}
            Err(Symphonia::SeekError(_)) => return Err(Error::Seek),
            Err(error) => return Err(error.into()),
        }
        self.decoder.reset();
        self.ended = false;
        self.set_rate(self.rate)?;
        self.goal = Some(goal);
        let all = self.edit.keep(self.rate).unwrap_or(u64::MAX);
        self.left = all.saturating_sub(target);
        Ok(())
    }

    /// The frame with which a packet begins.
    fn beginning(&self, packet: &Packet) -> f64 {
        let at = packet.pts.get() as f64 + packet.trim_start.get() as f64;
        match self.time_base {
            Some(base) => {
                at * f64::from(base.numer.get()) / f64::from(base.denom.get())
                    * f64::from(self.rate)
            }
            None => at,
        }
    }

    /// Appends some samples, interleaved; false at the end.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, Error> {
        if self.ended {
            return Ok(false);
        }
        if self.left == 0 {
            return self.end(out);
        }
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return self.end(out),
            // A further link of a chain: other parameters would need another decoder.
            Err(Symphonia::ResetRequired) => {
                return Err(Error::Broken(
                    "chained streams of this format are not supported".into(),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        if packet.track_id != self.track {
            return Ok(true);
        }
        let beginning = self.beginning(&packet);
        let audio = match self.decoder.decode(&packet) {
            Ok(audio) => audio,
            Err(Symphonia::DecodeError(problem)) => {
                self.broken += 1;
                if self.broken > MOST_BROKEN {
                    return Err(Error::Broken(problem.to_owned()));
                }
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        self.broken = 0;
        let (rate, from) = (audio.spec().rate(), audio.spec().channels().count());
        audio.copy_to_vec_interleaved(&mut self.raw);
        if rate != self.rate {
            // The header said something else.
            self.drop = scaled(self.drop, self.rate, rate);
            self.left = scaled(self.left, self.rate, rate);
            self.set_rate(rate)?;
        }
        if from == 0 {
            return Ok(true);
        }
        let frames = (self.raw.len() / from) as u64;
        // The first packet after a seek may only prepare the decoder for the next.
        if frames > 0
            && let Some(goal) = self.goal.take()
        {
            self.drop = (goal as f64 - beginning).round().max(0.0) as u64;
        }
        let dropped = self.drop.min(frames);
        self.drop -= dropped;
        let heard = self.left.min(frames - dropped);
        if self.left != u64::MAX {
            self.left -= heard;
        }
        self.mixed.clear();
        convert(
            &self.raw[dropped as usize * from..(dropped + heard) as usize * from],
            from,
            self.channels,
            &mut self.mixed,
        );
        // Decoders may give anything for a hostile file; one such sample would poison the mix.
        for sample in &mut self.mixed {
            *sample = if sample.is_finite() {
                sample.clamp(-4.0, 4.0)
            } else {
                0.0
            };
        }
        match &mut self.resampler {
            Some(resampler) => resampler.push(&self.mixed, out)?,
            None => out.extend_from_slice(&self.mixed),
        }
        Ok(true)
    }

    fn end(&mut self, out: &mut Vec<f32>) -> Result<bool, Error> {
        self.ended = true;
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(out)?;
        }
        Ok(false)
    }
}

/// So many units of one rate in another, rounded; what cannot be counted stays so.
fn scaled(units: u64, from: u32, to: u32) -> u64 {
    if units == u64::MAX {
        return units;
    }
    let from = u128::from(from.max(1));
    let scaled = (u128::from(units) * u128::from(to) + from / 2) / from;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// What Apple's encoders say of the file, if they made it.
fn comment(format: &mut dyn FormatReader) -> Option<String> {
    let mut metadata = format.metadata();
    let all = metadata.skip_to_latest()?;
    let mut tags = all.media.tags.iter();
    let tag = tags.find(|tag| tag.raw.key == ITUNES)?;
    match &tag.raw.value {
        RawValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Mixes interleaved samples of `from` channels to 1 or 2. More than two are mixed as 5.1 and the like
/// are laid out: front left, front right, centre, low frequencies (left out), pairs of surrounds.
fn convert(samples: &[f32], from: usize, to: usize, out: &mut Vec<f32>) {
    const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let stereo = |frame: &[f32]| match *frame {
        [one] => [one, one],
        [left, right] => [left, right],
        [left, right, centre, ref rest @ ..] => {
            let mut sides = [left + HALF_POWER * centre, right + HALF_POWER * centre];
            let surrounds = rest.get(1..).unwrap_or_default();
            for (at, sample) in surrounds.iter().enumerate() {
                sides[at % 2] += HALF_POWER * sample;
            }
            let pairs = surrounds.len().div_ceil(2) as f32;
            sides.map(|side| side / (1.0 + HALF_POWER * (1.0 + pairs)))
        }
        [] => [0.0; 2],
    };
    for frame in samples.chunks_exact(from) {
        match (to, frame) {
            (1, &[one]) => out.push(one),
            (1, frame) => {
                let [left, right] = stereo(frame);
                out.push((left + right) / 2.0);
            }
            (_, frame) => out.extend(stereo(frame)),
        }
    }
}

/// To 48 kHz.
struct Resampler {
    fft: Fft<f32>,
    channels: usize,
    rate: u32,
    /// Input that is not a whole chunk yet.
    waiting: Vec<f32>,
    output: Vec<f32>,
    /// Frames of the filter's delay that are still to be dropped.
    delay: usize,
    /// Frames that came in and went out.
    taken: u64,
    given: u64,
}

impl Resampler {
    fn new(rate: u32, channels: usize) -> Result<Self, Error> {
        let fft = Fft::new(
            rate as usize,
            RATE as usize,
            CHUNK,
            channels,
            FixedSync::Input,
        )
        .map_err(|error| Error::Broken(error.to_string()))?;
        Ok(Self {
            output: vec![0.0; fft.output_frames_max() * channels],
            delay: fft.output_delay(),
            waiting: Vec::new(),
            taken: 0,
            given: 0,
            channels,
            rate,
            fft,
        })
    }

    fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), Error> {
        self.taken += (samples.len() / self.channels) as u64;
        self.waiting.extend_from_slice(samples);
        let mut from = 0;
        loop {
            let size = self.fft.input_frames_next() * self.channels;
            if self.waiting.len() - from < size {
                break;
            }
            let frames = self.chunk(from, size, None)?;
            self.give(frames, u64::MAX, out);
            from += size;
        }
        self.waiting.drain(..from);
        Ok(())
    }

    /// What is still in the filter.
    fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        let all = (self.taken * u64::from(RATE) + u64::from(self.rate) / 2) / u64::from(self.rate);
        while self.given < all {
            let size = self.fft.input_frames_next() * self.channels;
            let partial = self.waiting.len() / self.channels;
            self.waiting.resize(size, 0.0);
            let frames = self.chunk(0, size, Some(partial))?;
            self.waiting.clear();
            self.give(frames, all - self.given, out);
        }
        Ok(())
    }

    /// Resamples one chunk of what waits; answers the frames in `output`.
    fn chunk(&mut self, from: usize, size: usize, partial: Option<usize>) -> Result<usize, Error> {
        let channels = self.channels;
        let fault = |error: &dyn std::fmt::Display| Error::Broken(error.to_string());
        let input = &self.waiting[from..from + size];
        let input =
            InterleavedSlice::new(input, channels, size / channels).map_err(|e| fault(&e))?;
        let frames = self.output.len() / channels;
        let mut output =
            InterleavedSlice::new_mut(&mut self.output, channels, frames).map_err(|e| fault(&e))?;
        let mut indexing = Indexing::new();
        if let Some(partial) = partial {
            indexing = indexing.partial_len(partial);
        }
        let done = self
            .fft
            .process_into_buffer(&input, &mut output, Some(&indexing));
        done.map(|(_, written)| written).map_err(|e| fault(&e))
    }

    fn give(&mut self, frames: usize, most: u64, out: &mut Vec<f32>) {
        let dropped = self.delay.min(frames);
        self.delay -= dropped;
        let kept = ((frames - dropped) as u64).min(most) as usize;
        self.given += kept as u64;
        let from = dropped * self.channels;
        out.extend_from_slice(&self.output[from..from + kept * self.channels]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Resampler, convert};

    #[test]
    fn channels_are_mixed_and_spread() {
        let mixed = |samples: &[f32], from, to| {
            let mut out = Vec::new();
            convert(samples, from, to, &mut out);
            out
        };
        assert_eq!(mixed(&[0.5, -0.5], 1, 2), [0.5, 0.5, -0.5, -0.5]);
        assert_eq!(mixed(&[0.5, -0.1], 2, 1), [0.2]);
        assert_eq!(mixed(&[0.5, -0.1], 2, 2), [0.5, -0.1]);
        // 5.1 at full level does not clip.
        let full = mixed(&[1.0; 6], 6, 2);
        assert!(
            full.iter().all(|side| (side - 1.0).abs() < 1e-6),
            "{full:?}"
        );
    }

    #[test]
    fn resampling_keeps_the_length_and_the_tone() {
        for rate in [8_000, 22_050, 44_100, 96_000] {
            let frames = rate as usize * 2;
            let tone = |at: usize, rate: u32| {
                (at as f64 * 1000.0 * std::f64::consts::TAU / f64::from(rate)).sin() as f32
            };
            let input: Vec<f32> = (0..frames).map(|at| tone(at, rate)).collect();
            let mut resampler = Resampler::new(rate, 1).expect("a rate");
            let mut out = Vec::new();
            for part in input.chunks(777) {
                resampler.push(part, &mut out).expect("resamples");
            }
            resampler.finish(&mut out).expect("resamples");
            assert_eq!(out.len(), 96_000, "{rate}");
            // Aligned with the ideal, away from the edges.
            for (at, sample) in out.iter().enumerate().take(90_000).skip(6_000) {
                assert!((sample - tone(at, 48_000)).abs() < 1e-3, "{rate}: {at}");
            }
        }
    }
}
