//! Samples that a script makes: all of them are heard, and then nothing is sent.

use crate::sound::{frequency, sounds};
use crate::stage::Stage;

/// A body with `tone(hz, samples)` and `rest(ends)`, which comes back when so many frames of silence ended a
/// sound; those that were sent because nothing was ready are not counted.
fn body(rest: &str) -> String {
    format!(
        "local function tone(hz, samples)
            local data = buffer.create(samples * 2)
            for at = 0, samples - 1 do
                buffer.writei16(data, at * 2, math.floor(8000 * math.sin(at * hz * 2 * math.pi / 48000)))
            end
            return data
        end
        local function rest(ends)
            repeat
                task.wait(0.01)
                local stats = voice:stats()
                assert(stats.missed < 300, 'silence is sent without end')
            until stats.silence - stats.missed >= ends
        end
        {rest}"
    )
}

/// An odd rest of a frame at the end, and less than a frame in all.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_no_multiple_of_a_frame_is_heard_to_its_end() {
    let stage = Stage::start(
        "stereo = false",
        &body(
            "voice:push(tone(500, 48000 + 500))
            rest(5)
            -- A frame of silence goes before it: more may come.
            voice:push(tone(500, 400))
            rest(5 + 1 + 5)
            voice:push(tone(500, 970))
            voice:stop()
            rest(5 + 1 + 5 + 5)",
        ),
    )
    .await;
    stage.play().await;
    let (_, packets) = stage.heard().await;
    let sounds = sounds(&packets);
    let lengths: Vec<usize> = sounds.iter().map(|sound| sound.length()).collect();
    assert_eq!(lengths.len(), 3, "{lengths:?}");
    // Opus smears the edges by some milliseconds.
    assert!((48_300..48_900).contains(&lengths[0]), "{lengths:?}");
    assert!((100..960).contains(&lengths[1]), "{lengths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_after_a_stop_is_heard() {
    let stage = Stage::start(
        "stereo = false",
        &body(
            "voice:push(tone(500, 19200))
            while voice:stats().encoded < 5 do task.wait(0.01) end
            voice:stop()
            -- While what was stopped fades out.
            voice:push(tone(1000, 19200))
            rest(5)
            voice:stop()
            voice:push(tone(2000, 19200))
            rest(10)
            voice:push(tone(500, 19200))
            rest(15)",
        ),
    )
    .await;
    stage.play().await;
    let (_, packets) = stage.heard().await;
    let sounds = sounds(&packets);
    let tones: Vec<f64> = sounds
        .iter()
        .map(|sound| {
            let left = sound.channel(0);
            let last = left.iter().rposition(|sample| sample.abs() > 0.01);
            let last = last.expect("it is heard");
            (frequency(&left[last - 9_600..last - 960]) / 100.0).round() * 100.0
        })
        .collect();
    assert_eq!(tones, [1_000.0, 2_000.0, 500.0]);
}
