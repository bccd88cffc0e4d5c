//! Broken and malicious files: what is read of them ends, with or without an error, and harms nobody.
//!
//! The mutations are the same in every run. Others, and more of them: `VOICE_SEED=7 VOICE_MUTATIONS=5000
//! cargo test --test voice hostile`, or `VOICE_SECONDS=600` for as many as there is time for.

use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon_host::voice::ogg::Reader;
use argon_host::voice::source::Source;
use argon_host::voice::source::feed::{self, Plan, Pulled};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::stage::data;

const FILES: [&str; 9] = [
    "tone.opus",
    "chained.opus",
    "mono_speech_60.opus",
    "stereo_2.5.opus",
    "tone_8bit.wav",
    "tone.mp3",
    "tone.flac",
    "tone.ogg",
    "tone.m4a",
];
/// Those of them that the project itself demuxes.
const OPUS: usize = 4;
/// Mutations of each file, if the environment says nothing else.
const MUTATIONS: u64 = 40;
/// Only a hang takes so long.
const HANG: Duration = Duration::from_secs(60);
/// The longest file has 27 KiB: this is far more than its decoder needs.
const MOST_MEMORY: u64 = 256 << 20;
/// Samples that are read of a file at most: a header may promise years.
const MOST_SAMPLES: usize = 48_000 * 60;

/// Values at the edges of what lengths, counts and positions can be.
const EDGES: [u64; 8] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX - 1,
];

/// Changes a few things at random.
fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        // Headers decide more than what follows them.
        let end = match random.random_bool(0.5) {
            true => bytes.len().min(256),
            false => bytes.len(),
        };
        let at = random.random_range(0..end);
        let until = (at + random.random_range(1..=512)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => {
                let edge = EDGES[random.random_range(0..EDGES.len())];
                let edge = match random.random_bool(0.5) {
                    true => edge.to_le_bytes(),
                    false => edge.to_be_bytes(),
                };
                let width = [1, 2, 4, 8][random.random_range(0..4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            3 => bytes.truncate(at),
            4 => {
                bytes.drain(at..until);
            }
            _ => {
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
}

/// Gives the pages of an Ogg file right checksums (RFC 3533), so that what they say is believed.
fn seal(bytes: &mut [u8]) {
    let mut at = 0;
    while at + 27 <= bytes.len() && bytes[at..].starts_with(b"OggS") {
        let lacing = at + 27..at + 27 + usize::from(bytes[at + 26]);
        let Some(lacing) = bytes.get(lacing) else {
            return;
        };
        let body: usize = lacing.iter().map(|&len| usize::from(len)).sum();
        let end = at + 27 + lacing.len() + body;
        let Some(page) = bytes.get_mut(at..end) else {
            return;
        };
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| {
                sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

/// A page of an Ogg stream (RFC 3533), without its checksum.
fn page(kind: u8, granule: u64, number: u32, lacing: &[u8]) -> Vec<u8> {
    let body: usize = lacing.iter().map(|&len| usize::from(len)).sum();
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend(granule.to_le_bytes());
    page.extend(7u32.to_le_bytes());
    page.extend(number.to_le_bytes());
    page.extend([0; 4]);
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.resize(page.len() + body, 0xff);
    page
}

/// An Opus stream with these pages of audio behind its headers.
fn opus_with(audio: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut head = page(2, 0, 0, &[19]);
    head.truncate(28);
    head.extend(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
    let mut tags = page(0, 0, 1, &[16]);
    tags.truncate(28);
    tags.extend(b"OpusTags\0\0\0\0\0\0\0\0");
    let mut file = [head, tags].concat();
    audio.for_each(|page| file.extend(page));
    seal(&mut file);
    file
}

#[test]
fn a_packet_as_large_as_its_file_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("large.opus");
    // 20 MB that are one packet.
    let pages = (0..308).map(|number| {
        let kind = u8::from(number > 0);
        page(kind, u64::MAX, number + 2, &[255; 255])
    });
    std::fs::write(&path, opus_with(pages)).expect("a file");
    let error = Source::open(&path, 2).err().expect("it is too large");
    assert_eq!(error.to_string(), "it has a packet of over 16777216 bytes");
    // A small one, but no packet of audio is so large.
    let pages = [
        page(0, u64::MAX, 2, &[255; 255]),
        page(1, u64::MAX, 3, &[255; 255]),
        page(5, 960, 4, &[9]),
    ];
    std::fs::write(&path, opus_with(pages.into_iter())).expect("a file");
    let Ok(Source::Opus(mut reader)) = Source::open(&path, 2) else {
        panic!("it is an Opus file");
    };
    let error = reader.read().expect_err("it is too large");
    assert_eq!(error.to_string(), "it has a packet of over 65536 bytes");
}

/// Positions at the end of what 64 bits can count.
#[test]
fn positions_that_make_no_sense_are_not_believed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("late.opus");
    for granule in [u64::MAX - 1, i64::MAX as u64, 1 << 42, 0] {
        let pages = (0..3).map(|number| {
            let kind = if number == 2 { 4 } else { 0 };
            page(
                kind,
                granule - granule.min(2 - number),
                2 + number as u32,
                &[3, 3],
            )
        });
        std::fs::write(&path, opus_with(pages)).expect("a file");
        for start in [0, 1, 48_000, u64::MAX >> 1] {
            assert!(read(&path, start, 2), "{granule} from {start}");
        }
    }
}

/// Reads a file as the mixer does. False when it neither ends nor gives anything any more.
fn read(path: &Path, start: u64, channels: usize) -> bool {
    let (tell, told) = mpsc::channel();
    let plan = Plan {
        path: path.to_owned(),
        channels,
        start,
        looped: false,
    };
    let opened = move |opened| {
        // Fails when the test has failed.
        let _ = tell.send(opened);
    };
    feed::open(plan, opened).expect("a thread");
    let Ok(opened) = told.recv_timeout(HANG) else {
        return false;
    };
    let Ok(mut opened) = opened else {
        return true;
    };
    let mut block = vec![0.0; 960 * channels];
    let mut samples = 0;
    let mut moved = Instant::now();
    while samples < MOST_SAMPLES && moved.elapsed() < HANG {
        match opened.feed.read(&mut block) {
            Pulled::Ended(_) => return true,
            Pulled::Starved(0) => std::thread::yield_now(),
            Pulled::All | Pulled::Starved(_) => {
                assert!(block.iter().all(|sample| sample.is_finite()));
                samples += 960;
                moved = Instant::now();
            }
        }
    }
    samples >= MOST_SAMPLES
}

/// The most memory that this process had at once, as exact as the kernel counts: it may even seem to fall.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|text| text.parse::<u64>().ok())
        .expect("a peak")
        << 10
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: {text} is no whole number")),
    )
}

/// Tries files that were mutated, each with its label and a source of chance; prints how many.
fn with_mutations(files: &[&str], mut attempt: impl FnMut(&str, &str, Vec<u8>, &mut StdRng)) {
    let whole: Vec<Vec<u8>> = files
        .iter()
        .map(|name| std::fs::read(data().join(name)).expect("a file"))
        .collect();
    let first = number("VOICE_SEED").unwrap_or(0);
    let until = number("VOICE_SECONDS").map(|wanted| Instant::now() + Duration::from_secs(wanted));
    let most =
        number("VOICE_MUTATIONS").unwrap_or(if until.is_some() { u64::MAX } else { MUTATIONS });
    let mut done = 0;
    while done < most && until.is_none_or(|until| Instant::now() < until) {
        let seed = first + done;
        for (number, (name, whole)) in files.iter().zip(&whole).enumerate() {
            let mut random = StdRng::seed_from_u64(seed * FILES.len() as u64 + number as u64);
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut random);
            if random.random_bool(0.8) {
                seal(&mut bytes);
            }
            attempt(name, &format!("{name}, seed {seed}"), bytes, &mut random);
        }
        done += 1;
    }
    println!(
        "{} files: seeds {first} to {}",
        done * files.len() as u64,
        first + done
    );
}

/// The project's own reading of Ogg: it may refuse a file, but neither panic nor give more than is there.
#[test]
fn whatever_an_ogg_file_says_the_demuxer_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("any.opus");
    let mut played = 0;
    with_mutations(&FILES[..OPUS], |_, label, bytes, random| {
        std::fs::write(&path, &bytes).expect("a file");
        let file = std::fs::File::open(&path).expect("a file");
        let Ok(mut reader) = Reader::open(file) else {
            return;
        };
        let duration = reader.duration();
        for _ in 0..random.random_range(0..4) {
            let target = match random.random_range(0..3) {
                0 => random.random(),
                1 => duration.saturating_sub(random.random_range(0..2_000)),
                _ => random.random_range(0..=duration),
            };
            if reader.seek(target).is_err() {
                return;
            }
        }
        let mut packets = 0;
        while let Ok(Some(packet)) = reader.read() {
            packets += 1;
            assert!(
                packet.skip + packet.trim <= packet.samples,
                "{label}: {packet:?}"
            );
            // A packet has a byte at least.
            assert!(packets <= bytes.len(), "{label} has no end");
        }
        played += u64::from(packets > 0);
    });
    println!("{played} of them had packets");
    assert!(played > 0, "no mutation was read at all");
}

#[test]
fn whatever_a_file_says_its_reading_ends() {
    // A decoder of others may panic, which ends its track; the project's own code may not.
    let panics = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some("voice:read") {
            return before(info);
        }
        let place = info.location().map(ToString::to_string);
        noted.lock().expect("a list").extend(place);
    }));
    let dir = tempfile::tempdir().expect("a folder");
    let memory = peak();
    let mut channels = 0;
    with_mutations(&FILES, |name, label, bytes, random| {
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).expect("a file");
        let start = match random.random_range(0..4) {
            0 => random.random_range(0..48_000),
            1 => 48_000_000_000_000,
            _ => 0,
        };
        channels = 1 + channels % 2;
        let label = format!("{label}, from {start}, {channels} channels");
        assert!(read(&path, start, channels), "{label} hangs");
        let own: Vec<String> = panics.lock().expect("a list").clone();
        assert!(
            !own.iter().any(|place| place.starts_with("src/")),
            "{label}: {own:?}"
        );
        let more = peak().saturating_sub(memory);
        assert!(more < MOST_MEMORY, "{label} took {more} bytes");
    });
    let mut contained = panics.lock().expect("a list").clone();
    contained.sort();
    contained.dedup();
    println!("contained panics of decoders: {contained:#?}");
}
