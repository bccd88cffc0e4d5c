//! Opus packets by their structure (RFC 6716, section 3); pure.
//!
//! The first byte (TOC) says how long a frame is, how many channels it has, and in which form the
//! frames follow; the lengths must then add up. [`parse`] accepts exactly what libopus accepts
//! (`opus_packet_parse`; a test compares them over a million packets). [`Layout::sendable`] adds what
//! the platform asks of packets that are sent (protocol.md, Voice).

/// Samples of one channel in a second: every length in this room counts them.
pub const RATE: u32 = 48_000;
/// The platform's silence: 20 ms, mono.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// How much audio [`SILENCE`] is, samples.
pub const SILENCE_SAMPLES: u32 = RATE / 50;
/// The longest packet of the standard: 120 ms (rule R5), samples.
pub const LONGEST: u32 = RATE * 120 / 1000;

/// The largest frame, bytes (rule R2).
const LARGEST_FRAME: usize = 1_275;
/// The largest packet that the platform takes, bytes.
const LARGEST_SENT: usize = 3_825;
/// A packet of at most this size carries no audio (discontinuous transmission).
const DTX_BYTES: usize = 2;

/// Why bytes are no Opus packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not even a TOC.
    #[error("it is empty")]
    Empty,
    /// A frame is too large.
    #[error("a frame of {0} bytes is larger than {LARGEST_FRAME}")]
    Frame(usize),
    /// The frames' lengths do not fit the packet.
    #[error("the lengths of its frames do not add up")]
    Lengths,
    /// No frame, or too many.
    #[error("it has {0} frames: none, or more than 120 ms")]
    Count(u8),
}

/// Why a packet may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// More bytes than the platform takes.
    #[error("{0} bytes are more than the platform takes")]
    Large(usize),
    /// Discontinuous transmission: nothing is sent instead.
    #[error("it carries no audio")]
    Dtx,
    /// A length that the platform does not know.
    #[error("{0} samples are no length that the platform takes")]
    Length(u32),
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Whether it was coded in stereo.
    pub stereo: bool,
    /// How many frames it has.
    pub frames: u8,
    /// Samples of one frame at 48 kHz.
    pub frame_samples: u32,
    bytes: usize,
}

impl Layout {
    /// Samples of the whole packet at 48 kHz.
    pub fn samples(self) -> u32 {
        u32::from(self.frames) * self.frame_samples
    }

    /// Whether it is a packet without audio, as a sender that says nothing makes them.
    pub fn is_dtx(self) -> bool {
        self.bytes <= DTX_BYTES
    }

    /// Whether the platform takes it.
    ///
    /// # Errors
    /// What is against it.
    pub fn sendable(self) -> Result<(), Unsendable> {
        if self.is_dtx() {
            return Err(Unsendable::Dtx);
        }
        if self.bytes > LARGEST_SENT {
            return Err(Unsendable::Large(self.bytes));
        }
        match self.samples() {
            120 | 240 | 480 | 960 | 1920 | 2880 => Ok(()),
            other => Err(Unsendable::Length(other)),
        }
    }
}

/// Reads a packet's structure.
///
/// # Errors
/// When the bytes break a rule of RFC 6716, section 3.
pub fn parse(packet: &[u8]) -> Result<Layout, Invalid> {
    let (&toc, rest) = packet.split_first().ok_or(Invalid::Empty)?;
    let frame_samples = frame_samples(toc);
    let frames = match toc & 3 {
        0 => {
            frame(rest.len())?;
            1
        }
        1 => {
            if rest.len() % 2 == 1 {
                return Err(Invalid::Lengths);
            }
            frame(rest.len() / 2)?;
            2
        }
        2 => {
            let (first, rest) = length(rest)?;
            frame(rest.len().checked_sub(first).ok_or(Invalid::Lengths)?)?;
            2
        }
        _ => many(rest, frame_samples)?,
    };
    Ok(Layout {
        stereo: toc & 4 != 0,
        frames,
        frame_samples,
        bytes: packet.len(),
    })
}

/// Samples of a frame by the TOC's configuration (section 3.1, table 2).
fn frame_samples(toc: u8) -> u32 {
    let config = toc >> 3;
    match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        12..=15 => [480, 960][usize::from(config % 2)],
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    }
}

fn frame(len: usize) -> Result<(), Invalid> {
    if len > LARGEST_FRAME {
        return Err(Invalid::Frame(len));
    }
    Ok(())
}

/// A frame's length in one byte or two (section 3.2.1), and the bytes behind it.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Invalid> {
    match bytes {
        [short @ ..=251, rest @ ..] => Ok((usize::from(*short), rest)),
        [low, high, rest @ ..] => Ok((4 * usize::from(*high) + usize::from(*low), rest)),
        _ => Err(Invalid::Lengths),
    }
}

/// Frame code 3 (section 3.2.5): a count, padding, and frames of one size or of a size each.
fn many(bytes: &[u8], frame_samples: u32) -> Result<u8, Invalid> {
    let (&head, mut rest) = bytes.split_first().ok_or(Invalid::Lengths)?;
    let count = head & 0x3f;
    if count == 0 || u32::from(count) * frame_samples > LONGEST {
        return Err(Invalid::Count(count));
    }
    if head & 0x40 != 0 {
        loop {
            let (&byte, after) = rest.split_first().ok_or(Invalid::Lengths)?;
            // 255 stands for 254 bytes and another length byte. The padding is at the packet's end.
            let kept = after.len().checked_sub(usize::from(byte.min(254)));
            rest = &after[..kept.ok_or(Invalid::Lengths)?];
            if byte < 255 {
                break;
            }
        }
    }
    let last = if head & 0x80 == 0 {
        if rest.len() % usize::from(count) != 0 {
            return Err(Invalid::Lengths);
        }
        rest.len() / usize::from(count)
    } else {
        let mut declared = 0;
        for _ in 1..count {
            let (len, after) = length(rest)?;
            declared += len;
            rest = after;
        }
        rest.len().checked_sub(declared).ok_or(Invalid::Lengths)?
    };
    frame(last)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::{Invalid, Layout, SILENCE, SILENCE_SAMPLES, Unsendable, parse};

    fn layout(packet: &[u8]) -> Layout {
        parse(packet).unwrap_or_else(|error| panic!("{packet:?}: {error}"))
    }

    #[test]
    fn the_platforms_silence_is_20_ms_of_mono() {
        let silence = layout(&SILENCE);
        assert_eq!(silence.samples(), SILENCE_SAMPLES);
        assert!(!silence.stereo);
        assert_eq!(silence.sendable(), Ok(()));
    }

    #[test]
    fn dtx_is_seen_and_not_sent() {
        for packet in [&[0xf8][..], &[0xf8, 0]] {
            assert!(layout(packet).is_dtx());
            assert_eq!(layout(packet).sendable(), Err(Unsendable::Dtx));
        }
        assert_eq!(parse(&[]), Err(Invalid::Empty));
    }

    #[test]
    fn lengths_that_the_platform_does_not_know_are_not_sent() {
        // Two frames of 60 ms, SILK.
        let long = layout(&[0x19, 1, 2, 3, 4]);
        assert_eq!(long.samples(), 5_760);
        assert_eq!(long.sendable(), Err(Unsendable::Length(5_760)));
        let mut large = vec![0xff, 3];
        large.resize(2 + 3 * 1_275, 0);
        assert_eq!(layout(&large).sendable(), Err(Unsendable::Large(3_827)));
    }

    /// What libopus says of a packet: its samples, if it is one.
    fn libopus(packet: &[u8]) -> Option<u32> {
        let frames = opus::packet::parse(packet).ok()?.frames.len();
        let each = opus::packet::get_samples_per_frame(packet, 48_000).ok()?;
        Some((frames * each) as u32)
    }

    /// Packets that are valid, nearly valid, and noise.
    fn packet(random: &mut SmallRng) -> Vec<u8> {
        let length = match random.random_range(0..10) {
            0..6 => random.random_range(0..12),
            6..9 => random.random_range(0..400),
            _ => random.random_range(1_200..4_200),
        };
        let mut packet: Vec<u8> = (0..length).map(|_| random.random()).collect();
        if packet.len() > 1 && random.random_bool(0.5) {
            // Code 3 with few frames.
            packet[0] |= 3;
            packet[1] = packet[1] & 0xc0 | random.random_range(0..8);
        }
        if packet.len() > 2 && random.random_bool(0.3) {
            packet[2] = *[0, 1, 251, 252, 253, 254, 255]
                .get(random.random_range(0..7usize))
                .unwrap_or(&0);
        }
        packet
    }

    /// Packets and seed can be chosen: `VOICE_PACKETS`, `VOICE_SEED`.
    #[test]
    fn exactly_what_libopus_accepts_is_accepted() {
        let number = |name, usual| {
            std::env::var(name)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(usual)
        };
        let (count, seed) = (
            number("VOICE_PACKETS", 1_000_000),
            number("VOICE_SEED", 6_716),
        );
        let mut random = SmallRng::seed_from_u64(seed);
        let mut accepted = 0;
        for _ in 0..count {
            let packet = packet(&mut random);
            let ours = parse(&packet).ok().map(Layout::samples);
            assert_eq!(ours, libopus(&packet), "{packet:02x?}");
            accepted += u64::from(ours.is_some());
        }
        assert!(
            accepted > count / 10 && accepted < count - count / 10,
            "{accepted} of {count}"
        );
    }
}
