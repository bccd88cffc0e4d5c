//! Ogg Opus files (RFC 7845): reading, seeking, and writing recordings.
//!
//! A file is indexed once when it is opened, by its page headers alone: links (a chained file has
//! several, one after another), their pre-skip and length, and a page about every second to seek to. The
//! packets themselves come from the `ogg` crate, which checks every page's checksum. Only the first
//! Opus stream of a link is read; mapping families beyond mono and stereo are refused. A file with a packet
//! over [`LARGEST_PACKET`] is refused at once: whoever reads a packet holds it as a whole.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use ogg::{OggReadError, PacketReader, PacketWriteEndInfo, PacketWriter};

use super::packet::{self, RATE};

/// What is decoded before the target of a seek, so that the decoder has settled (RFC 7845, 4.6).
const PRE_ROLL: u64 = RATE as u64 * 80 / 1000;
/// What a recording lets decoders skip: how far libopus's encoder is behind, samples.
const PRE_SKIP: u16 = 312;
/// Distance of the index's entries, samples.
const INDEX_STEP: u64 = RATE as u64;
/// Pages that are looked at for an index; the index of a longer file ends there.
const MOST_PAGES: usize = 1 << 22;
/// The highest granule position that is believed: over a year. The sum of all links cannot overflow.
const MOST_GRANULE: u64 = 1 << 41;
/// The largest packet of any stream in the file, bytes: a comment with a cover picture fits.
const LARGEST_PACKET: u64 = 16 << 20;
/// The largest packet of audio: 48 frames of 1,275 bytes, their lengths, and some padding.
const LARGEST_AUDIO: usize = 64 << 10;
/// Packets of one page that are held at once; a page has at most 255 of them.
const PAGE_PACKETS: usize = 255;

/// Why a file is not played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not Ogg, or broken.
    #[error("broken Ogg: {0}")]
    Ogg(OggReadError),
    /// Ogg, but no Opus in it.
    #[error("it has no Opus stream")]
    NotOpus,
    /// The header is not understood.
    #[error("its Opus header is not understood: {0}")]
    Header(&'static str),
    /// A packet is too large.
    #[error("it has a packet of over {0} bytes")]
    Large(u64),
    /// A packet is none.
    #[error("a broken Opus packet: {0}")]
    Packet(#[from] packet::Invalid),
}

impl From<OggReadError> for Error {
    fn from(error: OggReadError) -> Self {
        match error {
            OggReadError::ReadError(error) => Error::Io(error),
            other => Error::Ogg(other),
        }
    }
}

/// A packet of a file, with what of it is heard.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    /// As it is in the file.
    pub data: Bytes,
    /// Its length at 48 kHz.
    pub samples: u32,
    /// Samples at its beginning that are not heard: pre-skip, or before the target of a seek.
    pub skip: u32,
    /// Samples at its end that are not heard: the last page says where the audio ends.
    pub trim: u32,
    /// It comes before the target of a seek, to settle a decoder: never sent.
    pub settling: bool,
}

/// The identification header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    pre_skip: u16,
    /// Output gain, dB in Q7.8.
    gain: i16,
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
struct Link {
    serial: u32,
    /// Where its first page is.
    offset: u64,
    head: Head,
    /// Granule position of its first sample, pre-skip included.
    first: u64,
    /// Granule position of its end.
    end: u64,
    /// Pages to seek to: where they are, and the granule position before them.
    pages: Vec<(u64, u64)>,
}

impl Link {
    /// Samples that are heard.
    fn heard(&self) -> u64 {
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

/// A file that is read.
pub struct Reader {
    packets: PacketReader<BufReader<File>>,
    links: Vec<Link>,
    /// The link that is read.
    link: usize,
    /// Granule position of what is read next.
    granule: u64,
    /// Header packets that are still to come in this link.
    headers: u8,
    /// Samples that are not heard yet, and whether a seek is why.
    skip: u64,
    sought: bool,
    page: VecDeque<AudioPacket>,
}

impl Reader {
    /// Opens a file and indexes it.
    ///
    /// # Errors
    /// When it is not Ogg Opus with one or two channels.
    pub fn open(file: File) -> Result<Self, Error> {
        let mut file = BufReader::with_capacity(8 << 10, file);
        let links = index(&mut file)?;
        let Some(first) = links.first() else {
            return Err(Error::NotOpus);
        };
        let (offset, skip, granule) = (first.offset, u64::from(first.head.pre_skip), first.first);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            packets: PacketReader::new(file),
            links,
            link: 0,
            granule,
            headers: 2,
            skip,
            sought: false,
            page: VecDeque::new(),
        })
    }

    /// Samples that are heard in all.
    pub fn duration(&self) -> u64 {
        self.links.iter().map(Link::heard).sum()
    }

    /// The gain that the header asks for, as a factor.
    pub fn gain(&self) -> f32 {
        let gain = self.links[self.link].head.gain;
        10f32.powf(f32::from(gain) / (20.0 * 256.0))
    }

    /// Goes to the packet in which so many heard samples from the beginning are reached; beyond the end is
    /// the end. Answers where that packet begins: a file is played from whole packets, so that they can be
    /// sent as they are.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn seek(&mut self, target: u64) -> Result<u64, Error> {
        let mut before = 0;
        let last = self.links.len() - 1;
        let found = self.links.iter().enumerate().find(|(at, link)| {
            let here = target < before + link.heard() || *at == last;
            before += if here { 0 } else { link.heard() };
            here
        });
        let (at, link) = found.expect("the last link is always taken");
        let inside = (target - before).min(link.heard());
        let goal = link.first + u64::from(link.head.pre_skip) + inside;
        let from = goal.saturating_sub(PRE_ROLL);
        let page = link
            .pages
            .iter()
            .rev()
            .find(|(_, granule)| *granule <= from);
        let (offset, granule) = match page {
            Some(&page) if inside > 0 => page,
            _ => (link.offset, link.first),
        };
        self.link = at;
        self.headers = if offset == link.offset { 2 } else { 0 };
        self.granule = granule;
        self.sought = inside > 0;
        self.skip = goal - granule;
        self.page.clear();
        self.packets.seek_bytes(SeekFrom::Start(offset))?;
        if inside == 0 {
            return Ok(before);
        }
        loop {
            let known = self.page.len();
            self.read_page()?;
            let mut new = self.page.iter_mut().skip(known);
            if let Some(first) = new.find(|packet| !packet.settling) {
                let lead = u64::from(std::mem::take(&mut first.skip));
                return Ok(before + inside.saturating_sub(lead));
            }
            if self.page.len() == known {
                return Ok(before + inside);
            }
            // A file that promises more than it has must not be held as a whole.
            let old = self.page.len().saturating_sub(PAGE_PACKETS);
            self.page.drain(..old);
        }
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// When the file is broken here; nothing more comes after it.
    pub fn read(&mut self) -> Result<Option<AudioPacket>, Error> {
        if self.page.is_empty() {
            self.read_page()?;
        }
        Ok(self.page.pop_front())
    }

    /// Reads the packets of a page: only its end says where they are.
    fn read_page(&mut self) -> Result<(), Error> {
        while let Some(packet) = self.packets.read_packet()? {
            let serial = packet.stream_serial();
            if packet.first_in_stream() && serial != self.links[self.link].serial {
                // The next link of a chain, if it is Opus.
                if let Some(next) = self
                    .links
                    .iter()
                    .skip(self.link + 1)
                    .position(|link| link.serial == serial)
                {
                    self.link += 1 + next;
                    let link = &self.links[self.link];
                    self.granule = link.first;
                    self.skip = u64::from(link.head.pre_skip);
                    self.sought = false;
                    self.headers = 1;
                }
                continue;
            }
            if serial != self.links[self.link].serial {
                continue;
            }
            if self.headers > 0 {
                self.headers -= 1;
                continue;
            }
            let (last_in_page, last_in_stream) = (packet.last_in_page(), packet.last_in_stream());
            let end = packet.absgp_page();
            if packet.data.len() > LARGEST_AUDIO {
                return Err(Error::Large(LARGEST_AUDIO as u64));
            }
            let layout = packet::parse(&packet.data)?;
            let placed = self.place(Bytes::from(packet.data), layout.samples());
            self.page.push_back(placed);
            if last_in_stream {
                self.trim_to(end);
            }
            if last_in_page || self.page.len() >= PAGE_PACKETS * 2 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn place(&mut self, data: Bytes, samples: u32) -> AudioPacket {
        let skip = self.skip.min(u64::from(samples)) as u32;
        self.skip -= u64::from(skip);
        self.granule += u64::from(samples);
        AudioPacket {
            data,
            samples,
            skip,
            trim: 0,
            settling: self.sought && skip == samples,
        }
    }

    /// The stream ends at that granule position: what lies behind is not heard.
    fn trim_to(&mut self, end: u64) {
        let mut over = self.granule.saturating_sub(end);
        for packet in self.page.iter_mut().rev() {
            let trim = over.min(u64::from(packet.samples - packet.skip));
            packet.trim = trim as u32;
            over -= trim;
        }
    }
}

/// Reads the page headers of a whole file.
fn index(file: &mut BufReader<File>) -> Result<Vec<Link>, Error> {
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

/// Writes one Ogg Opus stream.
pub struct Writer<W: Write> {
    pages: PacketWriter<'static, W>,
    serial: u32,
    /// Granule position at the end of what was written.
    granule: u64,
    /// Where the page that is being filled began.
    page_began: u64,
    /// The last packet: only the end decides how its page ends.
    held: Option<Bytes>,
}

impl<W: Write> Writer<W> {
    /// Writes the headers. The audio has that many channels at most.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin(to: W, channels: u8, serial: u32) -> io::Result<Self> {
        let mut pages = PacketWriter::new(to);
        let mut head = b"OpusHead".to_vec();
        head.extend([1, channels]);
        head.extend(PRE_SKIP.to_le_bytes());
        head.extend(RATE.to_le_bytes());
        head.extend([0, 0, 0]);
        pages.write_packet(head, serial, PacketWriteEndInfo::EndPage, 0)?;
        let vendor = concat!("argon-host ", env!("CARGO_PKG_VERSION"));
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor.as_bytes());
        tags.extend(0u32.to_le_bytes());
        pages.write_packet(tags, serial, PacketWriteEndInfo::EndPage, 0)?;
        Ok(Self {
            pages,
            serial,
            granule: 0,
            page_began: 0,
            held: None,
        })
    }

    /// Samples that were written.
    pub fn samples(&self) -> u64 {
        self.granule
    }

    /// Adds a packet of that many samples. A page is closed every second.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&mut self, data: Bytes, samples: u32) -> io::Result<()> {
        if let Some(held) = self.held.take() {
            let full = self.granule >= self.page_began + u64::from(RATE);
            let end = if full {
                self.page_began = self.granule;
                PacketWriteEndInfo::EndPage
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            self.pages
                .write_packet(Vec::from(held), self.serial, end, self.granule)?;
        }
        self.granule += u64::from(samples);
        self.held = Some(data);
        Ok(())
    }

    /// Ends the stream. Without any packet, one of silence is written: a stream has audio.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self) -> io::Result<W> {
        if self.held.is_none() {
            self.write(
                Bytes::from_static(&packet::SILENCE),
                packet::SILENCE_SAMPLES,
            )?;
        }
        let last = Vec::from(self.held.take().unwrap_or_default());
        self.pages.write_packet(
            last,
            self.serial,
            PacketWriteEndInfo::EndStream,
            self.granule,
        )?;
        let mut to = self.pages.into_inner();
        to.flush()?;
        Ok(to)
    }
}
