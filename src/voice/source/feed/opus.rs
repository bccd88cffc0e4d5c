//! Packets of an Ogg Opus file.

use std::collections::VecDeque;
use std::sync::Arc;

use opus::{Channels, Decoder};
use rtrb::Consumer;

use super::pool::Wake;
use super::{End, Pulled};
use crate::voice::ogg::AudioPacket;
use crate::voice::packet::{LONGEST, RATE};
use crate::voice::source::Error;

/// Packets that are read ahead: 1.28 s of 20 ms.
pub(super) const PACKETS: usize = 64;
/// What a decoder is fed after a jump, samples (RFC 7845, 4.6).
const SETTLE: u32 = RATE * 80 / 1000;

/// Packets of a file, sent as they are or decoded here.
pub struct OpusFeed {
    pub(super) packets: Consumer<AudioPacket>,
    reader: Arc<Wake>,
    pub(super) end: Arc<End>,
    channels: usize,
    /// Of the file's header.
    pub(super) gain: f32,
    decoder: Decoder,
    /// What was sent untouched last: a decoder that begins in the middle is settled with it.
    sent: VecDeque<AudioPacket>,
    /// Decoded, and which part of it is not read yet (samples of one channel).
    decoded: Box<[f32]>,
    from: usize,
    to: usize,
}

impl OpusFeed {
    pub(super) fn new(
        packets: Consumer<AudioPacket>,
        reader: Arc<Wake>,
        end: Arc<End>,
        channels: usize,
        gain: f32,
    ) -> Result<Self, Error> {
        let layout = if channels == 1 {
            Channels::Mono
        } else {
            Channels::Stereo
        };
        let decoder =
            Decoder::new(RATE, layout).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(Self {
            packets,
            reader,
            end,
            channels,
            gain,
            decoder,
            sent: VecDeque::with_capacity((SETTLE / 120) as usize + 1),
            decoded: vec![0.0; LONGEST as usize * channels].into(),
            from: 0,
            to: 0,
        })
    }

    /// The next packet to send as it is, if what was read so far ends with a packet.
    pub fn peek(&mut self) -> Option<&AudioPacket> {
        if self.from < self.to {
            return None;
        }
        self.pass_settling();
        self.packets.peek().ok()
    }

    /// Takes what only settles the decoder.
    fn pass_settling(&mut self) {
        while self.packets.peek().is_ok_and(|packet| packet.settling)
            && let Some(packet) = self.pop()
        {
            self.remember(packet);
        }
    }

    /// Whether what was read so far ends within a packet.
    pub fn is_amid(&self) -> bool {
        self.from < self.to
    }

    /// Takes the packet that [`Self::peek`] showed.
    pub fn take(&mut self) -> Option<AudioPacket> {
        let packet = self.pop()?;
        self.remember(packet.clone());
        Some(packet)
    }

    fn remember(&mut self, packet: AudioPacket) {
        let mut samples = packet.samples + self.sent.iter().map(|sent| sent.samples).sum::<u32>();
        while let Some(oldest) = self.sent.front()
            && (samples - oldest.samples >= SETTLE || self.sent.len() == self.sent.capacity())
        {
            samples -= oldest.samples;
            self.sent.pop_front();
        }
        self.sent.push_back(packet);
    }

    fn pop(&mut self) -> Option<AudioPacket> {
        let packet = self.packets.pop().ok();
        if self.packets.slots() < PACKETS / 2 {
            self.reader.wake();
        }
        packet
    }

    pub(super) fn read(&mut self, out: &mut [f32]) -> Pulled {
        let wanted = out.len() / self.channels;
        let mut done = 0;
        while done < wanted {
            if self.from == self.to && !self.decode() {
                // The end first: what was written before it must not be missed.
                return match self.end.is_over() && self.packets.is_empty() {
                    true => Pulled::Ended(done),
                    false => Pulled::Starved(done),
                };
            }
            let count = (self.to - self.from).min(wanted - done);
            let from = self.from * self.channels;
            let part = &self.decoded[from..from + count * self.channels];
            out[done * self.channels..][..part.len()].copy_from_slice(part);
            self.from += count;
            done += count;
        }
        Pulled::All
    }

    /// Decodes the next packet; false when there is none.
    fn decode(&mut self) -> bool {
        while let Some(sent) = self.sent.pop_front() {
            self.decode_one(&sent);
        }
        loop {
            let Some(packet) = self.pop() else {
                return false;
            };
            self.decode_one(&packet);
            self.from = packet.skip as usize;
            self.to = (packet.samples - packet.trim) as usize;
            if self.from < self.to {
                return true;
            }
            self.from = 0;
            self.to = 0;
        }
    }

    fn decode_one(&mut self, packet: &AudioPacket) {
        let room = &mut self.decoded[..packet.samples as usize * self.channels];
        // A packet that only looks like one becomes silence.
        if self.decoder.decode_float(&packet.data, room, false).ok()
            != Some(packet.samples as usize)
        {
            room.fill(0.0);
        }
    }

    pub(super) fn has(&mut self, wanted: usize) -> bool {
        // More of it than the ring holds may come before the first sample: it must not fill the ring.
        self.pass_settling();
        // A full ring never has more than that.
        self.packets.slots() == PACKETS || self.whole(wanted) >= wanted
    }

    /// Samples at hand, by whole packets, up to the first that makes them that many.
    pub(super) fn whole(&mut self, wanted: usize) -> usize {
        let mut have = self.to - self.from;
        let Ok(chunk) = self.packets.read_chunk(self.packets.slots()) else {
            return have;
        };
        let (first, second) = chunk.as_slices();
        for packet in first.iter().chain(second) {
            if have >= wanted {
                break;
            }
            have += (packet.samples - packet.skip - packet.trim) as usize;
        }
        have
    }
}
