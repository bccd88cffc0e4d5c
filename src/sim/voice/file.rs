//! Ogg Opus files (RFC 7845): what people speak from one, and what was recorded as one. Packets are moved,
//! never decoded.

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};

use super::packet;
use super::rooms::Recording;

/// Opus counts time in samples at 48 kHz, whatever the sound's own rate.
const SAMPLES_PER_MS: u64 = 48;
/// The platform's silence: 20 ms.
const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];
const SILENCE_MS: u64 = 20;
/// A pause shorter than this between two packets is the network's.
const PAUSE: Duration = Duration::from_millis(60);

/// The packets of the first Opus stream in a file. The error says what is wrong with it.
pub fn read(file: &[u8]) -> Result<Vec<Bytes>, String> {
    let mut reader = PacketReader::new(Cursor::new(file));
    let mut stream = None;
    let mut headers = 0;
    let mut packets = Vec::new();
    loop {
        let next = reader.read_packet();
        let Some(next) = next.map_err(|error| format!("it is no whole Ogg file: {error}"))? else {
            break;
        };
        if stream.is_none() && next.data.starts_with(b"OpusHead") {
            stream = Some(next.stream_serial());
        }
        if stream != Some(next.stream_serial()) {
            continue;
        }
        // `OpusHead` and `OpusTags`, then sound.
        headers += 1;
        if headers <= 2 || next.data.is_empty() {
            continue;
        }
        let number = packets.len();
        packet::check(&next.data).map_err(|error| format!("packet {number}: {error}"))?;
        packets.push(Bytes::from(next.data));
    }
    match (stream, packets.is_empty()) {
        (None, _) => Err("there is no Opus in it".to_owned()),
        (_, true) => Err("there is no sound in it".to_owned()),
        _ => Ok(packets),
    }
}

/// What was recorded, as a file with silence where nobody sent anything.
pub fn write(recording: &Recording) -> std::io::Result<Vec<u8>> {
    let mut writer = PacketWriter::new(Vec::new());
    let serial = 1;
    let mut head = b"OpusHead\x01".to_vec();
    head.push(recording.track.channels);
    head.extend_from_slice(&0_u16.to_le_bytes()); // nothing to skip
    head.extend_from_slice(&48_000_u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]); // no gain, one stream
    let mut tags = b"OpusTags".to_vec();
    for text in ["argon-host", ""] {
        tags.extend_from_slice(&(text.len() as u32).to_le_bytes());
        tags.extend_from_slice(text.as_bytes());
    }
    writer.write_packet(head, serial, PacketWriteEndInfo::EndPage, 0)?;
    writer.write_packet(tags, serial, PacketWriteEndInfo::EndPage, 0)?;

    let mut sound: Vec<(&[u8], u64)> = Vec::with_capacity(recording.packets.len());
    let mut end = recording.packets.front().map(|first| first.at);
    for sent in &recording.packets {
        let pause = end.map_or(Duration::ZERO, |end| sent.at.saturating_duration_since(end));
        if pause > PAUSE {
            let frames = pause.as_millis() as u64 / SILENCE_MS;
            sound.extend((0..frames).map(|_| (SILENCE, SILENCE_MS * SAMPLES_PER_MS)));
        }
        let length = packet::duration(&sent.data);
        sound.push((
            &sent.data,
            length.as_micros() as u64 * SAMPLES_PER_MS / 1_000,
        ));
        end = end.map(|end| end.max(sent.at) + length);
    }
    let mut position = 0;
    let last = sound.len().saturating_sub(1);
    for (at, (data, samples)) in sound.into_iter().enumerate() {
        position += samples;
        let end = match at == last {
            true => PacketWriteEndInfo::EndStream,
            false => PacketWriteEndInfo::NormalPacket,
        };
        writer.write_packet(data.to_vec(), serial, end, position)?;
    }
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::Instant;

    use super::super::rooms::{Rooms, Track};
    use super::{SILENCE, read, write};
    use crate::sim::world::Id;

    #[test]
    fn a_recording_is_a_file_with_its_pauses() {
        let (room, ada) = (Id::from_u128(1), Id::from_u128(2));
        let mut rooms = Rooms::default();
        rooms.join(room, ada, Some(Track::microphone()));
        let began = Instant::now();
        let sent = |n: u8| Bytes::from(vec![0xf8, 0xff, n]);
        for (n, ms) in [(1, 0), (2, 25), (3, 140)] {
            let at = began + Duration::from_millis(ms);
            assert!(rooms.send(room, ada, sent(n), at));
        }
        let recording = rooms.recording(room, ada).expect("a recording");
        let file = write(recording).expect("a file");
        let silence = Bytes::from_static(SILENCE);
        // 95 ms of nothing: four whole frames.
        let mut wanted = vec![sent(1), sent(2)];
        wanted.extend([&silence; 4].map(Clone::clone));
        wanted.push(sent(3));
        assert_eq!(read(&file), Ok(wanted));
    }

    #[test]
    fn what_is_no_opus_file_is_refused() {
        for (file, what) in [
            (&b"RIFF and more than a page's head"[..], "Ogg"),
            (b"", "no Opus"),
            (b"OggS\0\x02 cut", "Ogg"),
        ] {
            let error = read(file).expect_err("no file");
            assert!(error.contains(what), "{error}");
        }
    }
}
