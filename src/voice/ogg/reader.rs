//! Reading and seeking.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};

use bytes::Bytes;
use ogg::PacketReader;

use super::index::{Link, index};
use super::{AudioPacket, Error};
use crate::voice::packet::{self, RATE};

/// What is decoded before the target of a seek, so that the decoder has settled (RFC 7845, 4.6).
const PRE_ROLL: u64 = RATE as u64 * 80 / 1000;
/// The largest packet of audio: 48 frames of 1,275 bytes, their lengths, and some padding.
const LARGEST_AUDIO: usize = 64 << 10;
/// Packets of one page that are held at once; a page has at most 255 of them.
const PAGE_PACKETS: usize = 255;

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
