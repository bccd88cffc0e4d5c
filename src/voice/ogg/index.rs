//! The index of a file, made of its page headers alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};

use ogg::OggReadError;

use super::Error;
use crate::voice::packet::{self, RATE};

/// Distance of the index's entries, samples.
const INDEX_STEP: u64 = RATE as u64;
/// Pages that are looked at for an index; the index of a longer file ends there.
const MOST_PAGES: usize = 1 << 22;
/// The highest granule position that is believed: over a year. The sum of all links cannot overflow.
const MOST_GRANULE: u64 = 1 << 41;
/// The largest packet of any stream in the file, bytes: a comment with a cover picture fits.
const LARGEST_PACKET: u64 = 16 << 20;

/// The identification header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) pre_skip: u16,
    /// Output gain, dB in Q7.8.
    pub(super) gain: i16,
}

impl Head {
    fn parse(data: &[u8]) -> Result<Option<Self>, Error> {
        let Some(rest) = data.strip_prefix(b"OpusHead") else {
            return Ok(None);
        };
        let &[
            version,
            channels,
            skip0,
            skip1,
            _,
            _,
            _,
            _,
            gain0,
            gain1,
            family,
            ..,
        ] = rest
        else {
            return Err(Error::Header("it is too short"));
        };
        if version >> 4 != 0 {
            return Err(Error::Header("its version is newer than 1"));
        }
        if family != 0 || !(1..=2).contains(&channels) {
            return Err(Error::Header("it has more than two channels"));
        }
        Ok(Some(Self {
            pre_skip: u16::from_le_bytes([skip0, skip1]),
            gain: i16::from_le_bytes([gain0, gain1]),
        }))
    }
}

/// One logical stream of the file.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) serial: u32,
    /// Where its first page is.
    pub(super) offset: u64,
    pub(super) head: Head,
    /// Granule position of its first sample, pre-skip included.
    pub(super) first: u64,
    /// Granule position of its end.
    end: u64,
    /// Pages to seek to: where they are, and the granule position before them.
    pub(super) pages: Vec<(u64, u64)>,
}

impl Link {
    /// Samples that are heard.
    pub(super) fn heard(&self) -> u64 {
        (self.end - self.first).saturating_sub(u64::from(self.head.pre_skip))
    }
}

/// A page's header.
struct PageHead {
    continued: bool,
    first: bool,
    granule: u64,
    serial: u32,
    body: u64,
    /// Lengths of the packets that begin in it, for the first page of a stream.
    lacing: Vec<u8>,
}

impl PageHead {
    const NO_GRANULE: u64 = u64::MAX;

    fn read(file: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 27];
        if let Err(error) = file.read_exact(&mut head) {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(None),
                _ => Err(error),
            };
        }
        if &head[..4] != b"OggS" || head[4] != 0 {
            return Ok(None);
        }
        let mut lacing = vec![0; usize::from(head[26])];
        file.read_exact(&mut lacing)?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let granule = u64::from(number(6)) | u64::from(number(10)) << 32;
        Ok(Some(Self {
            continued: head[5] & 1 != 0,
            first: head[5] & 2 != 0,
            granule: match granule {
                0..=MOST_GRANULE => granule,
                _ => Self::NO_GRANULE,
            },
            serial: number(14),
            body: lacing.iter().map(|&len| u64::from(len)).sum(),
            lacing,
        }))
    }
}

impl PageHead {
    /// Bytes of the last packet, if it goes on with the next page.
    fn unended(&self) -> u64 {
        let last = self.lacing.iter().rev().take_while(|&&len| len == 255);
        255 * last.count() as u64
    }
}
/// Reads the page headers of a whole file.
pub(super) fn index(file: &mut BufReader<File>) -> Result<Vec<Link>, Error> {
    let mut links: Vec<Link> = Vec::new();
    // Bytes of the packet of each stream that goes on with its next page, and of all of them.
    let mut open: HashMap<u32, u64> = HashMap::new();
    let mut held = 0;
    let mut offset = 0;
    for page in 0..MOST_PAGES {
        let Some(head) = PageHead::read(file)? else {
            if page == 0 {
                return Err(Error::Ogg(OggReadError::NoCapturePatternFound));
            }
            break;
        };
        let size = 27 + head.lacing.len() as u64 + head.body;
        let before = open.remove(&head.serial).unwrap_or(0);
        held -= before;
        let mut unended = head.unended();
        if unended > 0 {
            // Without an end in this page, it is all of one packet.
            if unended == head.body {
                unended += before;
            }
            held += unended;
            open.insert(head.serial, unended);
            if held > LARGEST_PACKET {
                return Err(Error::Large(LARGEST_PACKET));
            }
        }
        if head.first {
            let mut start = vec![0; head.body.min(64) as usize];
            file.read_exact(&mut start)?;
            // Streams that run beside the first one of a link are left out: they begin before its end.
            let between = links.last().is_none_or(|link| link.end > link.first);
            if let (Some(found), true) = (Head::parse(&start)?, between) {
                links.push(Link {
                    serial: head.serial,
                    offset,
                    head: found,
                    first: u64::MAX,
                    end: u64::MAX,
                    pages: Vec::new(),
                });
            }
            file.seek_relative((head.body - start.len() as u64) as i64)?;
        } else if let Some(link) = links.last_mut().filter(|link| link.serial == head.serial) {
            enter(link, &head, offset, file)?;
        } else {
            file.seek_relative(head.body as i64)?;
        }
        offset += size;
    }
    // A link without audio is none.
    links.retain(|link| link.first != u64::MAX);
    Ok(links)
}

/// Notes a page of a link.
fn enter(
    link: &mut Link,
    head: &PageHead,
    offset: u64,
    file: &mut BufReader<File>,
) -> Result<(), Error> {
    // Header packets end on pages with the granule position 0.
    if head.granule == PageHead::NO_GRANULE || (head.granule == 0 && link.first == u64::MAX) {
        file.seek_relative(head.body as i64)?;
        return Ok(());
    }
    if link.first == u64::MAX {
        // The first page with audio tells where the stream begins: its end less its packets.
        let mut body = vec![0; head.body as usize];
        file.read_exact(&mut body)?;
        let sum = samples_of(head, &body);
        link.first = head.granule.saturating_sub(sum);
        link.end = head.granule;
        return Ok(());
    }
    file.seek_relative(head.body as i64)?;
    let last = link.pages.last().map_or(link.first, |page| page.1);
    if !head.continued && link.end >= last + INDEX_STEP {
        link.pages.push((offset, link.end));
    }
    link.end = link.end.max(head.granule);
    Ok(())
}

/// Samples of the packets that end in a page.
fn samples_of(head: &PageHead, body: &[u8]) -> u64 {
    let mut sum = 0;
    let (mut from, mut to) = (0, 0);
    for &len in &head.lacing {
        to += usize::from(len);
        if len < 255 {
            let packet = body.get(from..to).unwrap_or_default();
            sum += packet::parse(packet).map_or(0, |layout| u64::from(layout.samples()));
            from = to;
        }
    }
    sum
}
