//! libopus, with the settings of a connection.

use opus::{Application, Bitrate, Channels, Encoder as Opus};

use super::packet::RATE;

/// The largest packet that is made: one frame, or three of 20 ms.
const LARGEST: usize = 3 * 1_275;

/// What the audio is: chooses libopus's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Faithful to the original.
    Music,
    /// Speech that is understood.
    Voice,
    /// The shortest delay.
    LowDelay,
}

/// How a connection's audio is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Two channels instead of one.
    pub stereo: bool,
    /// What it is.
    pub kind: Kind,
    /// Bits a second.
    pub bitrate: u32,
    /// 0 to 10: more is better and slower. Lowered by itself when there is not enough time.
    pub complexity: u8,
    /// Samples of a packet: 120, 240, 480, 960, 1920 or 2880.
    pub frame: u32,
    /// Forward error correction, for so many per cent of lost packets; 0 is none.
    pub loss: u8,
    /// Nothing is sent while there is nothing to hear.
    pub dtx: bool,
}

impl Settings {
    /// Sound defaults: music with 96 kbit/s, speech with 32 kbit/s.
    pub fn new(stereo: bool) -> Self {
        Self {
            stereo,
            kind: if stereo { Kind::Music } else { Kind::Voice },
            bitrate: if stereo { 96_000 } else { 32_000 },
            complexity: 9,
            frame: RATE / 50,
            loss: 0,
            dtx: false,
        }
    }

    /// 1 or 2.
    pub fn channels(&self) -> usize {
        1 + usize::from(self.stereo)
    }
}

/// The encoder of one connection.
pub struct Encoder {
    opus: Opus,
    complexity: u8,
    packet: Box<[u8]>,
}

impl Encoder {
    /// An encoder with these settings.
    ///
    /// # Errors
    /// What libopus has against them.
    pub fn new(settings: &Settings) -> Result<Self, opus::Error> {
        let channels = if settings.stereo {
            Channels::Stereo
        } else {
            Channels::Mono
        };
        let application = match settings.kind {
            Kind::Music => Application::Audio,
            Kind::Voice => Application::Voip,
            Kind::LowDelay => Application::LowDelay,
        };
        let mut opus = Opus::new(RATE, channels, application)?;
        opus.set_bitrate(Bitrate::Bits(settings.bitrate.min(510_000) as i32))?;
        opus.set_complexity(i32::from(settings.complexity))?;
        opus.set_dtx(settings.dtx)?;
        opus.set_inband_fec(settings.loss > 0)?;
        opus.set_packet_loss_perc(i32::from(settings.loss))?;
        Ok(Self {
            opus,
            complexity: settings.complexity,
            packet: vec![0; LARGEST].into(),
        })
    }

    /// Makes the encoder faster or better from the next frame on.
    pub fn set_complexity(&mut self, complexity: u8) {
        if complexity != self.complexity && self.opus.set_complexity(i32::from(complexity)).is_ok()
        {
            self.complexity = complexity;
        }
    }

    /// One frame of interleaved samples as a packet.
    ///
    /// # Errors
    /// Those of libopus: the frame has a length that it does not know.
    pub fn encode(&mut self, samples: &[f32]) -> Result<&[u8], opus::Error> {
        let length = self.opus.encode_float(samples, &mut self.packet)?;
        Ok(&self.packet[..length])
    }
}

/// How complex the encoders of one thread may be.
///
/// It is asked again and again how much of the time the thread was busy: above [`Governor::HIGH`] the cap
/// goes down by one, after a missed frame by two, below [`Governor::LOW`] up by one.
#[derive(Debug)]
pub struct Governor {
    cap: u8,
}

impl Default for Governor {
    /// No cap.
    fn default() -> Self {
        Self { cap: 10 }
    }
}

impl Governor {
    const HIGH: f64 = 0.7;
    const LOW: f64 = 0.4;

    /// The cap now.
    pub fn cap(&self) -> u8 {
        self.cap
    }

    /// The thread was busy for that part of the time, and missed a frame or not.
    pub fn note(&mut self, busy: f64, missed: bool) {
        self.cap = match () {
            () if missed && busy > Self::LOW => self.cap.saturating_sub(2),
            () if busy > Self::HIGH => self.cap.saturating_sub(1),
            () if busy < Self::LOW => (self.cap + 1).min(10),
            () => self.cap,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Governor;

    #[test]
    fn the_cap_falls_before_there_is_no_time_left_and_comes_back() {
        let mut governor = Governor::default();
        for _ in 0..5 {
            governor.note(0.8, false);
        }
        assert_eq!(governor.cap(), 5);
        governor.note(0.6, false);
        assert_eq!(governor.cap(), 5);
        governor.note(0.95, true);
        assert_eq!(governor.cap(), 3);
        for _ in 0..20 {
            governor.note(0.1, false);
        }
        assert_eq!(governor.cap(), 10);
    }
}
