//! Whether bytes are an Opus packet, by their structure (RFC 6716, section 3); pure.
//!
//! The first byte (TOC) says how long a frame is and how many frames follow in which form; the lengths
//! must then add up. The audio itself is not looked at. Beside the RFC's rules the platform has its own
//! bound on the size, and refuses to be sent a DTX packet.

use std::time::Duration;

/// The largest packet that the platform takes, bytes: three frames of the largest size.
pub const MOST_BYTES: usize = 3 * LARGEST_FRAME;
/// A packet of at most this size carries no audio (discontinuous transmission).
pub const DTX_BYTES: usize = 2;

/// The largest frame, bytes (rule R2).
const LARGEST_FRAME: usize = 1_275;
/// The longest audio in a packet, in units of 2.5 ms: 120 ms (rule R5).
const LONGEST: usize = 48;

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Nothing to decode, or a DTX packet that was sent back.
    #[error("a packet of {0} bytes carries no audio; such packets must not be sent")]
    Silent(usize),
    /// More than [`MOST_BYTES`].
    #[error("a packet of {0} bytes is larger than {MOST_BYTES}")]
    Large(usize),
    /// A frame of more than 1,275 bytes.
    #[error("a frame of {0} bytes is larger than {LARGEST_FRAME}")]
    Frame(usize),
    /// Two frames of one size in an odd number of bytes.
    #[error("two frames of the same size cannot have {0} bytes together")]
    Odd(usize),
    /// The frames' lengths point past the end, or do not add up.
    #[error("the lengths of the frames do not fit the packet")]
    Lengths,
    /// No frames, or more than 120 ms of them.
    #[error("{0} frames of this length are none or more than 120 ms")]
    Count(usize),
}

/// Checks what somebody sends: a packet with audio in it.
pub fn check_sent(packet: &[u8]) -> Result<(), Invalid> {
    match packet.len() {
        len if len <= DTX_BYTES => Err(Invalid::Silent(len)),
        _ => check(packet),
    }
}

/// Checks what a person's client may send: DTX packets, too.
pub fn check(packet: &[u8]) -> Result<(), Invalid> {
    if packet.len() > MOST_BYTES {
        return Err(Invalid::Large(packet.len()));
    }
    let Some((&toc, rest)) = packet.split_first() else {
        return Err(Invalid::Silent(0));
    };
    match toc & 3 {
        0 => frame(rest.len()),
        1 if rest.len() % 2 == 1 => Err(Invalid::Odd(rest.len())),
        1 => frame(rest.len() / 2),
        2 => {
            let (first, rest) = length(rest)?;
            frame(rest.len().checked_sub(first).ok_or(Invalid::Lengths)?)
        }
        _ => many(toc, rest),
    }
}

/// How much sound a packet is that [`check`] has passed.
pub fn duration(packet: &[u8]) -> Duration {
    let toc = packet.first().copied().unwrap_or_default();
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |head| usize::from(head & 0x3f)),
    };
    Duration::from_micros(2_500) * (frames * units(toc)) as u32
}

fn frame(len: usize) -> Result<(), Invalid> {
    match len > LARGEST_FRAME {
        true => Err(Invalid::Frame(len)),
        false => Ok(()),
    }
}

/// A frame's length in one byte or two (section 3.2.1), and what comes after it.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Invalid> {
    match *bytes {
        [first, ref rest @ ..] if first < 252 => Ok((usize::from(first), rest)),
        [first, second, ref rest @ ..] => Ok((usize::from(second) * 4 + usize::from(first), rest)),
        _ => Err(Invalid::Lengths),
    }
}

/// Frame code 3 (section 3.2.5): a count, padding, and frames of one size or of a size each.
fn many(toc: u8, bytes: &[u8]) -> Result<(), Invalid> {
    let Some((&head, mut rest)) = bytes.split_first() else {
        return Err(Invalid::Lengths);
    };
    let count = usize::from(head & 0x3f);
    if count == 0 || count * units(toc) > LONGEST {
        return Err(Invalid::Count(count));
    }
    if head & 0x40 != 0 {
        let mut padding = 0;
        loop {
            let Some((&byte, after)) = rest.split_first() else {
                return Err(Invalid::Lengths);
            };
            rest = after;
            // 255 stands for 254 bytes and another length byte.
            padding += usize::from(byte.min(254));
            if byte < 255 {
                break;
            }
        }
        let kept = rest.len().checked_sub(padding).ok_or(Invalid::Lengths)?;
        rest = &rest[..kept];
    }
    if head & 0x80 == 0 {
        return match rest.len() % count {
            0 => frame(rest.len() / count),
            _ => Err(Invalid::Lengths),
        };
    }
    let mut sum = 0;
    for _ in 1..count {
        let (len, after) = length(rest)?;
        rest = after;
        sum += len;
    }
    frame(rest.len().checked_sub(sum).ok_or(Invalid::Lengths)?)
}

/// How long a frame is, in units of 2.5 ms, by the TOC's configuration (section 3.1, table 2).
fn units(toc: u8) -> usize {
    match toc >> 3 {
        config @ 0..=11 => [4, 8, 16, 24][usize::from(config & 3)],
        config @ 12..=15 => [4, 8][usize::from(config & 1)],
        config => [1, 2, 4, 8][usize::from(config & 3)],
    }
}

#[cfg(test)]
mod tests {
    use super::{Invalid, MOST_BYTES, check, check_sent, units};

    /// CELT, full band, 20 ms, mono, with the frame code.
    const fn toc(code: u8) -> u8 {
        31 << 3 | code
    }

    fn packet(head: &[u8], payload: usize) -> Vec<u8> {
        let mut packet = head.to_vec();
        packet.resize(head.len() + payload, 7);
        packet
    }

    #[test]
    fn the_platforms_silence_is_a_packet() {
        assert_eq!(check_sent(&[0xf8, 0xff, 0xfe]), Ok(()));
    }

    #[test]
    fn dtx_comes_from_people_but_must_not_be_sent_back() {
        for dtx in [&[toc(0)][..], &[toc(0), 0]] {
            assert_eq!(check(dtx), Ok(()));
            assert_eq!(check_sent(dtx), Err(Invalid::Silent(dtx.len())));
        }
        assert_eq!(check(&[]), Err(Invalid::Silent(0)));
    }

    #[test]
    fn a_packet_lasts_as_long_as_its_frames() {
        let ms = |packet: &[u8]| super::duration(packet).as_secs_f64() * 1e3;
        assert_eq!(ms(&[toc(0), 1]), 20.0);
        assert_eq!(ms(&[toc(1), 1, 1]), 40.0);
        assert_eq!(ms(&[toc(3), 3, 1, 1, 1]), 60.0);
        assert_eq!(ms(&[16 << 3, 1]), 2.5);
    }

    #[test]
    fn one_frame_has_at_most_1275_bytes() {
        assert_eq!(check(&packet(&[toc(0)], 1_275)), Ok(()));
        assert_eq!(check(&packet(&[toc(0)], 1_276)), Err(Invalid::Frame(1_276)));
    }

    #[test]
    fn two_frames_of_one_size_share_the_bytes_evenly() {
        assert_eq!(check_sent(&packet(&[toc(1)], 2)), Ok(()));
        assert_eq!(check_sent(&packet(&[toc(1)], 3)), Err(Invalid::Odd(3)));
        assert_eq!(check(&packet(&[toc(1)], 2_550)), Ok(()));
        assert_eq!(check(&packet(&[toc(1)], 2_552)), Err(Invalid::Frame(1_276)));
    }

    #[test]
    fn the_first_of_two_frames_fits_the_packet() {
        assert_eq!(check(&packet(&[toc(2), 5], 5)), Ok(()));
        assert_eq!(check(&packet(&[toc(2), 5], 4)), Err(Invalid::Lengths));
        // 252 + 4 * 1 = 256 bytes.
        assert_eq!(check(&packet(&[toc(2), 252, 1], 256)), Ok(()));
        assert_eq!(
            check(&packet(&[toc(2), 252, 1], 255)),
            Err(Invalid::Lengths)
        );
        assert_eq!(check(&[toc(2)]), Err(Invalid::Lengths));
        assert_eq!(check(&[toc(2), 253]), Err(Invalid::Lengths));
        assert_eq!(
            check(&packet(&[toc(2), 1], 1_277)),
            Err(Invalid::Frame(1_276))
        );
    }

    #[test]
    fn many_frames_are_counted_and_padded_as_declared() {
        // Three of one size.
        assert_eq!(check(&packet(&[toc(3), 3], 9)), Ok(()));
        assert_eq!(check(&packet(&[toc(3), 3], 10)), Err(Invalid::Lengths));
        // The same with 4 bytes of padding behind.
        assert_eq!(check(&packet(&[toc(3), 0x43, 4], 13)), Ok(()));
        assert_eq!(check(&packet(&[toc(3), 0x43, 4], 3)), Err(Invalid::Lengths));
        // 255 and 1 are 254 + 1 bytes.
        assert_eq!(check(&packet(&[toc(3), 0x41, 255, 1], 255)), Ok(()));
        assert_eq!(
            check(&packet(&[toc(3), 0x41, 255, 1], 254)),
            Err(Invalid::Lengths)
        );
        assert_eq!(check(&[toc(3), 0x41, 255]), Err(Invalid::Lengths));
        // Three of a size each: 2, 3 and the rest.
        assert_eq!(check(&packet(&[toc(3), 0x83, 2, 3], 6)), Ok(()));
        assert_eq!(
            check(&packet(&[toc(3), 0x83, 2, 3], 4)),
            Err(Invalid::Lengths)
        );
        assert_eq!(check(&[toc(3)]), Err(Invalid::Lengths));
    }

    #[test]
    fn a_packet_has_some_frames_and_at_most_120_ms_of_them() {
        assert_eq!(check(&[toc(3), 0]), Err(Invalid::Count(0)));
        assert_eq!(check(&packet(&[toc(3), 6], 6)), Ok(()));
        assert_eq!(check(&packet(&[toc(3), 7], 7)), Err(Invalid::Count(7)));
        // SILK with 60 ms, CELT with 2.5 ms.
        assert_eq!(units(3 << 3), 24);
        assert_eq!(check(&packet(&[3 << 3 | 3, 3], 3)), Err(Invalid::Count(3)));
        assert_eq!(check(&packet(&[16 << 3 | 3, 48], 48)), Ok(()));
    }

    #[test]
    fn no_packet_is_larger_than_three_frames() {
        assert_eq!(MOST_BYTES, 3_825);
        let largest = packet(&[toc(3), 0x43, 0], MOST_BYTES - 3);
        assert_eq!(check(&largest), Ok(()));
        assert_eq!(
            check(&packet(&[toc(3), 3], MOST_BYTES - 1)),
            Err(Invalid::Large(MOST_BYTES + 1))
        );
    }

    #[test]
    fn no_bytes_make_the_check_panic() {
        for code in 0..=255_u8 {
            for second in 0..=255_u8 {
                for len in 0..6 {
                    let _ = check(&packet(&[code, second], len));
                }
            }
        }
    }
}
