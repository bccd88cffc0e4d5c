//! Every format through play, mix, encode, the server's recording, and a decoder.

use argon_host::voice::source::Source;

use crate::sound::{frequency, level, sounds};
use crate::stage::{Stage, data};

/// A second of 1 kHz, −12.04 dBFS.
const FILES: [&str; 6] = [
    "tone.flac",
    "tone_8bit.wav",
    "tone.mp3",
    "tone.ogg",
    "tone.m4a",
    "tone.opus",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_keeps_its_frequency_level_and_length_in_every_format() {
    let list: Vec<String> = FILES.iter().map(|name| format!("'audio/{name}'")).collect();
    let body = format!(
        "for _, file in {{ {} }} do
            -- Not at volume 1, so that Opus is decoded, too.
            local track = voice:play(file, {{ volume = 0.5 }})
            assert(track:wait() == 'finished')
            task.wait(0.3)
        end
        local stats = voice:stats()
        assert(stats.encoded > 300 and stats.encodeMs > 0 and stats.sent > 300)",
        list.join(", ")
    );
    let stage = Stage::start("stereo = true, bitrate = 128000", &body).await;
    stage.play().await;
    let (_, packets) = stage.heard().await;
    let sounds = sounds(&packets);
    assert_eq!(sounds.len(), FILES.len());
    for (file, sound) in FILES.iter().zip(&sounds) {
        let length = sound.length() as i64;
        assert!((length - 48_000).abs() <= 960, "{file}: {length} samples");
        for channel in 0..2 {
            let samples = &sound.channel(channel)[4_800..43_200];
            let (hz, db) = (frequency(samples), level(samples));
            assert!((hz - 1_000.0).abs() < 1.0, "{file}: {hz} Hz");
            assert!((db - (-12.04 - 6.02)).abs() < 0.5, "{file}: {db} dBFS");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_brought_to_a_loudness() {
    let stage = Stage::start(
        "stereo = true, bitrate = 128000",
        "for _, target in { -20, -30 } do
            voice:play('audio/tone.flac', { normalize = target }):wait()
            task.wait(0.3)
        end",
    )
    .await;
    stage.play().await;
    let (_, packets) = stage.heard().await;
    let sounds = sounds(&packets);
    assert_eq!(sounds.len(), 2);
    for (sound, target) in sounds.iter().zip([-20.0, -30.0]) {
        let mut meter = ebur128::EbuR128::new(2, 48_000, ebur128::Mode::I).expect("a meter");
        meter.add_frames_f32(&sound.samples).expect("samples");
        let lufs = meter.loudness_global().expect("a loudness");
        assert!(
            (lufs - target).abs() < 0.5,
            "{lufs} LUFS instead of {target}"
        );
    }
}

/// A decoded file, from that sample on.
fn decoded(file: &str, from: u64) -> Vec<f32> {
    let source = Source::open(&data().join(file), 1).expect("a file");
    let Source::Samples(mut samples) = source else {
        panic!("{file} is decoded");
    };
    assert_eq!(samples.duration(), Some(48_000), "{file}");
    if from > 0 {
        samples.seek(from).expect("a position");
    }
    let mut out = Vec::new();
    while samples.read(&mut out).expect("it is whole") {}
    out
}

/// What encoders put before and behind the audio is not heard, and a position is where it should be.
#[test]
fn decoded_files_have_their_exact_length_from_anywhere() {
    for file in FILES.iter().filter(|file| !file.ends_with(".opus")) {
        let whole = decoded(file, 0);
        assert_eq!(whole.len(), 48_000, "{file}");
        let half = decoded(file, 24_000);
        assert_eq!(half.len(), 24_000, "{file}");
        // Away from the edge of the resampler.
        for at in 500..23_000 {
            let off = (half[at] - whole[24_000 + at]).abs();
            assert!(off < 0.005, "{file}: {off} at {at}");
        }
    }
}
