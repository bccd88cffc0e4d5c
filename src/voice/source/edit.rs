//! Which part of an MP4 file is heard: encoders put samples before it (priming) and behind it (padding).
//!
//! The file says so in its edit list (ISO/IEC 14496-12, 8.6.6), or in the comment `iTunSMPB` that
//! Apple's encoders write. symphonia 0.6 gives every sample and reads no edit list, so its three numbers
//! are read here; another demuxer for them would be one more reader of hostile files. What is not
//! understood trims nothing.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

/// Boxes of one level that are looked at.
const MOST_BOXES: usize = 1_024;
/// Entries of an edit list that are looked at.
const MOST_EDITS: u32 = 16;

/// A time: so many units, and how many of them are a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span(u64, u32);

impl Span {
    fn frames(self, rate: u32) -> u64 {
        let (units, scale) = (u128::from(self.0), u128::from(self.1.max(1)));
        let frames = (units * u128::from(rate) + scale / 2) / scale;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

/// What is heard of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    skip: Span,
    keep: Option<Span>,
}

impl Edit {
    /// Everything.
    pub const NONE: Self = Self {
        skip: Span(0, 1),
        keep: None,
    };

    /// Frames at the beginning that are not heard.
    pub fn skip(self, rate: u32) -> u64 {
        self.skip.frames(rate)
    }

    /// Frames that are heard behind them; without a number, all.
    pub fn keep(self, rate: u32) -> Option<u64> {
        self.keep.map(|keep| keep.frames(rate))
    }

    /// As `iTunSMPB` says it: hexadecimal numbers; the second is the priming, the fourth the length, both in
    /// frames at the file's rate.
    pub fn of_comment(text: &str, rate: u32) -> Option<Self> {
        let mut numbers = text.split_whitespace().skip(1);
        let mut number = || u64::from_str_radix(numbers.next()?, 16).ok();
        let (priming, _padding, length) = (number()?, number()?, number()?);
        (length > 0).then_some(Self {
            skip: Span(priming, rate),
            keep: Some(Span(length, rate)),
        })
    }

    /// As the edit list of that track says it; `None` when there is none, or it is more than one cut.
    pub fn of_track(file: &mut (impl Read + Seek), track: u32) -> Option<Self> {
        let end = file.seek(SeekFrom::End(0)).ok()?;
        let movie = child(file, 0..end, b"moov", |_, _| true)?;
        let movie_scale = scale(file, movie.clone(), b"mvhd")?;
        let mine = |file: &mut _, found: &Range<u64>| {
            scale(file, found.clone(), b"tkhd").is_some_and(|id| id == track)
        };
        let track = child(file, movie, b"trak", mine)?;
        let media = child(file, track.clone(), b"mdia", |_, _| true)?;
        let media_scale = scale(file, media, b"mdhd")?;
        let edits = child(file, track, b"edts", |_, _| true)?;
        let list = child(file, edits, b"elst", |_, _| true)?;
        let mut cut = None;
        for (length, begin) in entries(file, list)? {
            // An empty edit delays the track: nobody waits for silence.
            let Ok(begin) = u64::try_from(begin) else {
                continue;
            };
            if cut.is_some() {
                return None;
            }
            cut = Some(Self {
                skip: Span(begin, media_scale),
                // In fragmented files it is 0: not known.
                keep: (length > 0).then_some(Span(length, movie_scale)),
            });
        }
        cut
    }
}

/// The bytes of the first box of that kind that is wanted.
fn child<R: Read + Seek>(
    file: &mut R,
    within: Range<u64>,
    kind: &[u8; 4],
    wanted: impl Fn(&mut R, &Range<u64>) -> bool,
) -> Option<Range<u64>> {
    let mut at = within.start;
    for _ in 0..MOST_BOXES {
        let head: [u8; 8] = bytes(file, at, within.end)?;
        let (mut size, mut body) = (u64::from(number(&head[..4])?), at + 8);
        if size == 1 {
            size = u64::from_be_bytes(bytes(file, body, within.end)?);
            body += 8;
        } else if size == 0 {
            size = within.end - at;
        }
        let end = at.checked_add(size)?;
        if end < body || end > within.end {
            return None;
        }
        let found = body..end;
        if &head[4..] == kind && wanted(file, &found) {
            return Some(found);
        }
        at = end;
    }
    None
}

/// The number behind the two times of a header box: a scale, or a track's id.
fn scale<R: Read + Seek>(file: &mut R, within: Range<u64>, kind: &[u8; 4]) -> Option<u32> {
    let header = child(file, within, kind, |_, _| true)?;
    let [version]: [u8; 1] = bytes(file, header.start, header.end)?;
    let times = if version == 1 { 16 } else { 8 };
    let number: [u8; 4] = bytes(file, header.start + 4 + times, header.end)?;
    Some(u32::from_be_bytes(number))
}

/// Length (in the movie's scale) and beginning (in the track's) of each edit.
fn entries<R: Read + Seek>(file: &mut R, list: Range<u64>) -> Option<Vec<(u64, i64)>> {
    let [version]: [u8; 1] = bytes(file, list.start, list.end)?;
    let count = u32::from_be_bytes(bytes(file, list.start + 4, list.end)?);
    let mut at = list.start + 8;
    let mut entries = Vec::new();
    for _ in 0..count.min(MOST_EDITS) {
        if version == 1 {
            let length = u64::from_be_bytes(bytes(file, at, list.end)?);
            let begin = i64::from_be_bytes(bytes(file, at + 8, list.end)?);
            entries.push((length, begin));
            at += 20;
        } else {
            let length = u32::from_be_bytes(bytes(file, at, list.end)?);
            let begin = i32::from_be_bytes(bytes(file, at + 4, list.end)?);
            entries.push((u64::from(length), i64::from(begin)));
            at += 12;
        }
    }
    Some(entries)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn bytes<const N: usize>(file: &mut (impl Read + Seek), at: u64, end: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if at.checked_add(N as u64)? > end {
        return None;
    }
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Edit, Span};

    fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = (body.len() as u32 + 8).to_be_bytes();
        [&size[..], kind, body].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A file with two tracks; the second has these edits.
    fn file(edits: &[[u32; 3]]) -> Cursor<Vec<u8>> {
        let edits: Vec<u32> = edits.iter().flatten().copied().collect();
        let list = [words(&[0, edits.len() as u32 / 3]), words(&edits)].concat();
        let track = |id, list: &[u8]| {
            let head = atom(b"tkhd", &words(&[0, 0, 0, id, 0]));
            let edits = atom(b"edts", &atom(b"elst", list));
            let media = atom(b"mdia", &atom(b"mdhd", &words(&[0, 0, 0, 44_100, 0])));
            atom(b"trak", &[head, edits, media].concat())
        };
        let first = track(1, &words(&[0, 0]));
        let movie = atom(b"mvhd", &words(&[0, 0, 0, 1_000, 0]));
        let movie = atom(b"moov", &[movie, first, track(2, &list)].concat());
        Cursor::new([atom(b"ftyp", b"M4A "), atom(b"mdat", &[7; 99]), movie].concat())
    }

    #[test]
    fn one_cut_is_understood_and_everything_else_trims_nothing() {
        let edit = Edit::of_track(&mut file(&[[500, 1_024, 0x1_0000]]), 2).expect("an edit");
        assert_eq!(
            (edit.skip(44_100), edit.keep(44_100)),
            (1_024, Some(22_050))
        );
        // At half the rate, as a decoder without spectral band replication gives it.
        assert_eq!((edit.skip(22_050), edit.keep(22_050)), (512, Some(11_025)));
        let delayed = Edit::of_track(&mut file(&[[9, u32::MAX, 0], [500, 1_024, 0]]), 2);
        assert_eq!(delayed, Some(edit));
        let two = Edit::of_track(&mut file(&[[5, 1_024, 0], [5, 9_000, 0]]), 2);
        assert_eq!(two, None);
        assert_eq!(Edit::of_track(&mut file(&[]), 1), None);
        assert_eq!(Edit::of_track(&mut file(&[]), 3), None);
        let open = Edit::of_track(&mut file(&[[0, 1_024, 0]]), 2).expect("an edit");
        assert_eq!((open.skip, open.keep), (Span(1_024, 44_100), None));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_trims_nothing_and_harms_nobody() {
        let whole = file(&[[500, 1_024, 0]]).into_inner();
        for length in 0..whole.len() - 1 {
            let mut part = Cursor::new(&whole[..length]);
            assert_eq!(Edit::of_track(&mut part, 2), None, "{length}");
        }
    }

    #[test]
    fn the_comment_of_itunes_is_understood() {
        let text = " 00000000 00000840 000001CA 00000000003F31F6 00000000 00000000";
        let edit = Edit::of_comment(text, 44_100).expect("an edit");
        assert_eq!(
            (edit.skip(44_100), edit.keep(44_100)),
            (0x840, Some(0x3F_31F6))
        );
        for nonsense in ["", "0 0", "x y z w", "0 0 0 0"] {
            assert_eq!(Edit::of_comment(nonsense, 44_100), None);
        }
    }
}
