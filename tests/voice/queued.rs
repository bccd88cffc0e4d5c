//! What a script does with tracks whose turn has not come.

use crate::sound::{level, sounds};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_track_has_the_volume_the_pause_and_the_place_that_it_was_given() {
    let stage = Stage::start(
        "stereo = true, bitrate = 128000",
        "local first = voice:queue('audio/tone.flac')
        first:setVolume(0.25)
        local second = voice:queue('audio/tone.flac')
        second:pause()
        second:setVolume(0.5)
        local third = voice:queue('audio/tone.flac')
        voice:queue('audio/tone.flac'):stop()
        local last = voice:queue('audio/tone.flac')
        last:pause()
        last:seek(0.75)
        last:resume()
        last:setVolume(0.125)
        assert(last.state == 'queued' and last.position == 0.75, `{last.position}`)
        assert(first:wait() == 'finished')
        -- Its turn has come, and it holds the queue.
        while second.state == 'queued' do task.wait(0.01) end
        assert(second.state == 'paused', second.state)
        repeat
            task.wait(0.01)
            local stats = voice:stats()
        until stats.silence - stats.missed >= 5
        second:resume()
        assert(second:wait() == 'finished' and third:wait() == 'finished' and last:wait() == 'finished')",
    )
    .await;
    stage.play().await;
    let (_, packets) = stage.heard().await;
    let sounds = sounds(&packets);
    let lengths: Vec<usize> = sounds.iter().map(|sound| sound.length()).collect();
    assert_eq!(lengths.len(), 2, "{lengths:?}");
    assert!(lengths[0].abs_diff(48_000) < 960, "{lengths:?}");
    assert!(lengths[1].abs_diff(108_000) < 960, "{lengths:?}");
    // Of −12 dBFS, without the edges. The first one may have begun before its volume came.
    let levels = [
        (0, 9_600..40_000, 0.25),
        (1, 3_000..40_000, 0.5),
        (1, 51_000..90_000, 1.0),
        (1, 99_000..106_000, 0.125),
    ];
    for (sound, part, volume) in levels {
        let db = level(&sounds[sound].channel(0)[part]);
        let expected = -12.04 + 20.0 * f64::log10(volume);
        assert!(
            (db - expected).abs() < 0.5,
            "{db} dBFS instead of {expected}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_fades_into_the_next_one_is_finished() {
    let stage = Stage::start(
        "stereo = true",
        "local first = voice:queue('audio/tone.flac')
        local second = voice:queue('audio/tone.flac', { crossfade = 0.2 })
        assert(first:wait() == 'finished', first.state)
        assert(second:wait() == 'finished', second.state)",
    )
    .await;
    stage.play().await;
}
