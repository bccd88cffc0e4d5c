//! Writing: recordings.

use std::io::{self, Write};

use bytes::Bytes;
use ogg::{PacketWriteEndInfo, PacketWriter};

use crate::voice::packet::{self, RATE};

/// What a recording lets decoders skip: how far libopus's encoder is behind, samples.
const PRE_SKIP: u16 = 312;

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

    /// Ends the stream. One that has no more than decoders skip ends with silence: a stream has audio.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self) -> io::Result<W> {
        if self.granule <= u64::from(PRE_SKIP) {
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use bytes::Bytes;
    use ogg::PacketReader;

    use super::{PRE_SKIP, Writer};

    #[test]
    fn a_stream_ends_behind_what_is_skipped() {
        // Packets of 2.5 ms, and where the stream ends.
        for (packets, end) in [(0, 960), (1, 1_080), (2, 1_200), (3, 360), (400, 48_000)] {
            let mut writer = Writer::begin(Vec::new(), 2, 1).expect("memory");
            for _ in 0..packets {
                let packet = Bytes::from_static(&[0xe0, 0xff, 0xfe]);
                writer.write(packet, 120).expect("memory");
            }
            let file = writer.finish().expect("memory");
            let mut reader = PacketReader::new(Cursor::new(file));
            let mut last = 0;
            while let Some(packet) = reader.read_packet().expect("a whole file") {
                last = packet.absgp_page();
            }
            assert_eq!(last, end, "{packets} packets");
            assert!(last > u64::from(PRE_SKIP));
        }
    }
}
