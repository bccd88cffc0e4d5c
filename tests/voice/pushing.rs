//! Samples that a script makes: all of them are heard, and then nothing is sent.

use crate::sound::sounds;
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
