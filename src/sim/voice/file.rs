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
/// What players skip at the beginning, samples: how far libopus's encoder is behind (RFC 7845, 4.2).
const PRE_SKIP: u16 = 312;
/// The same when the beginning is missing: a decoder that begins in the middle needs 80 ms to settle.
const SETTLE: u16 = 3_840;
/// How much sound a page has, samples: players wait for the end of a page (RFC 7845, 6).
const PAGE: u64 = 48_000;
/// A pause shorter than this between two packets is the network's.
const PAUSE: Duration = Duration::from_millis(60);

/// The packets of the first Opus stream in a file. The error says what is wrong with it.
pub fn read(file: &[u8]) -> Result<Vec<Bytes>, String> {
    if file.is_empty() {
        return Err("it is empty".to_owned());
    }
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
    let whole = recording.count == recording.packets.len() as u64;
    let skip = if whole { PRE_SKIP } else { SETTLE };
    head.extend_from_slice(&skip.to_le_bytes());
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
    // A stream ends behind what is skipped.
    let spoken: u64 = sound.iter().map(|(_, samples)| samples).sum();
    if spoken <= u64::from(skip) {
        sound.push((SILENCE, SILENCE_MS * SAMPLES_PER_MS));
    }
    let (mut position, mut page) = (0, 0);
    let last = sound.len().saturating_sub(1);
    for (at, (data, samples)) in sound.into_iter().enumerate() {
        position += samples;
        let end = if at == last {
            PacketWriteEndInfo::EndStream
        } else if position - page >= PAGE {
            page = position;
            PacketWriteEndInfo::EndPage
        } else {
            PacketWriteEndInfo::NormalPacket
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

    use super::super::rooms::{RECORDED_PACKETS, Rooms, Track};
    use super::{Cursor, PRE_SKIP, PacketReader, SETTLE, SILENCE, read, write};
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

    /// The file of a recording of packets of 20 ms and one of 2.5 ms.
    fn recorded(packets: usize, short: bool) -> Vec<u8> {
        let (room, ada) = (Id::from_u128(1), Id::from_u128(2));
        let mut rooms = Rooms::default();
        rooms.join(room, ada, Some(Track::microphone()));
        let began = Instant::now();
        let long = (0..packets).map(|_| SILENCE);
        let sent = long.chain(short.then_some(&[0xe0, 0xff, 0xfe][..]));
        for (number, packet) in (0..).zip(sent) {
            let at = began + Duration::from_millis(20 * number);
            assert!(rooms.send(room, ada, Bytes::from_static(packet), at));
        }
        write(rooms.recording(room, ada).expect("a recording")).expect("a file")
    }

    /// What the header lets players skip, and where the last page says that the sound ends.
    fn ends(file: &[u8]) -> (u16, u64) {
        let mut reader = PacketReader::new(Cursor::new(file));
        let head = reader.read_packet_expected().expect("a header").data;
        let mut end = 0;
        while let Some(packet) = reader.read_packet().expect("a whole file") {
            end = packet.absgp_page();
        }
        (u16::from_le_bytes([head[10], head[11]]), end)
    }

    #[test]
    fn a_file_says_what_to_skip_and_where_it_ends() {
        assert_eq!(ends(&recorded(50, true)), (PRE_SKIP, 50 * 960 + 120));
        // Shorter than what is skipped: it is made longer.
        assert_eq!(ends(&recorded(0, true)), (PRE_SKIP, 120 + 960));
        // Its beginning is not kept any more.
        let kept = RECORDED_PACKETS as u64 * 960;
        assert_eq!(ends(&recorded(RECORDED_PACKETS + 9, false)), (SETTLE, kept));
    }

    #[test]
    fn opusinfo_has_nothing_against_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        for (packets, short) in [(500, true), (0, true), (1, false)] {
            let path = dir.path().join("said.ogg");
            std::fs::write(&path, recorded(packets, short)).expect("a file");
            let info = std::process::Command::new("opusinfo").arg(&path).output();
            let info = info
                .expect("opusinfo: run the test command of the README, which installs opus-tools");
            let said = [info.stdout, info.stderr].concat();
            let said = String::from_utf8_lossy(&said).to_lowercase();
            assert!(
                info.status.success() && !said.contains("warning"),
                "{packets} packets: {said}"
            );
        }
    }

    #[test]
    fn what_is_no_opus_file_is_refused() {
        for (file, what) in [
            (&b"RIFF and more than a page's head"[..], "Ogg"),
            (b"", "empty"),
            (b"OggS\0\x02 cut", "Ogg"),
        ] {
            let error = read(file).expect_err("no file");
            assert!(error.contains(what), "{error}");
        }
    }
}
