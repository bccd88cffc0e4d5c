//! Ogg Opus that plays alone goes through untouched.

use crate::stage::{SILENCE, Stage, data, packets_of};

/// Length of a packet in milliseconds, by libopus.
fn ms(packet: &[u8]) -> f64 {
    opus::packet::get_nb_samples(packet, 48_000).expect("a packet") as f64 / 48.0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_arrives_unchanged_in_order_and_in_real_time() {
    let files = [
        "stereo_2.5",
        "stereo_5",
        "stereo_10",
        "stereo_20",
        "stereo_40",
        "stereo_60",
        "mono_cbr_20",
        "mono_speech_60",
        "chained",
    ];
    let list: Vec<String> = files
        .iter()
        .map(|name| format!("'audio/{name}.opus'"))
        .collect();
    let body = format!(
        "for _, file in {{ {} }} do
            local track = voice:play(file)
            assert(track:wait() == 'finished')
            assert(math.abs(track.position - track.duration) < 0.0001, file .. track.position)
            task.wait(0.3)
        end",
        list.join(", ")
    );
    let stage = Stage::start("stereo = true", &body).await;
    stage.play().await;
    let expected: Vec<Vec<u8>> = files
        .iter()
        .flat_map(|name| packets_of(&data().join(format!("{name}.opus"))))
        .collect();
    let (times, heard) = stage.heard().await;
    let audible: Vec<&Vec<u8>> = heard.iter().filter(|packet| *packet != SILENCE).collect();
    assert_eq!(audible.len(), expected.len(), "{}", stage.process.output());
    assert!(audible.into_iter().eq(&expected), "a packet was changed");
    // Never faster than real time: packet n cannot come before those before it have been played. The
    // first one may have been delayed by a busy machine, which makes the others look early.
    let mut played = 0.0;
    for (time, packet) in times.iter().zip(&heard) {
        assert!(
            *time >= played - 500.0,
            "a packet came at {time} ms, and {played} ms were played before it"
        );
        played += ms(packet);
    }
}

/// More packets lie before the place than are read ahead, and none of them is heard.
#[tokio::test(flavor = "multi_thread")]
async fn playing_can_begin_behind_many_short_packets() {
    let stage = Stage::start(
        "stereo = true",
        "for _, options in { { startAt = 0.4 }, { startAt = 0.4, volume = 0.5 } } do
            local track = voice:play('audio/stereo_2.5.opus', options)
            for _ = 1, 1000 do
                if track.state == 'finished' then break end
                task.wait(0.01)
            end
            assert(track.state == 'finished', track.state)
        end",
    )
    .await;
    stage.play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_arrive_unchanged_again_after_a_pause() {
    let stage = Stage::start(
        "stereo = true",
        "for _, length in { '2.5', '20', '60' } do
            local track = voice:play(`audio/stereo_{length}.opus`)
            while track.position == 0 do task.wait() end
            track:pause()
            while track.state == 'playing' do task.wait() end
            assert(track.state == 'paused', track.state)
            track:resume()
            assert(track:wait() == 'finished')
        end",
    )
    .await;
    stage.play().await;
    let (_, heard) = stage.heard().await;
    for length in ["2.5", "20", "60"] {
        let all = packets_of(&data().join(format!("stereo_{length}.opus")));
        let changed = all.iter().filter(|packet| !heard.contains(packet));
        let changed: f64 = changed.map(|packet| ms(packet)).sum();
        // What fades out, and what fades in.
        assert!(changed <= 120.0, "{changed} ms of packets of {length} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn playing_can_begin_in_the_middle_and_jump() {
    let stage = Stage::start(
        "stereo = true",
        "local track = voice:play('audio/stereo_20.opus', { startAt = 0.25 })
        assert(track.duration == 0.5, track.duration)
        assert(track:wait() == 'finished')",
    )
    .await;
    stage.play().await;
    let (_, heard) = stage.heard().await;
    let all = packets_of(&data().join("stereo_20.opus"));
    // Half of the file, and the edge that fades in is encoded anew.
    let same = heard
        .iter()
        .filter(|packet| all.contains(packet) && *packet != SILENCE)
        .count();
    assert!((10..=14).contains(&same), "{same} of {}", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_played_is_an_error_at_the_call() {
    let stage = Stage::start(
        "",
        "local function fails(path, expected)
            local ok, e = pcall(function() voice:play(path) end)
            assert(not ok and tostring(e):find(expected, 1, true), path .. ': ' .. tostring(e))
            assert(e.code == 'file' or e.code == 'source', e.code)
        end
        fails('audio/none.ogg', 'No such file')
        fails('../bot.toml', 'outside the bot')
        fails('/etc/hostname', 'outside the bot')
        fails('bot.toml', 'no audio that can be played')
        fails('audio', 'no audio that can be played')
        local ok, e = pcall(function() voice:play('audio/stereo_20.opus', { volum = 1 }) end)
        assert(not ok and tostring(e):find('did you mean volume', 1, true), tostring(e))
        assert(argon.voice.get(channelId) == voice)
        voice:leave()
        assert(voice.state == 'closed')
        assert(argon.voice.get(channelId) == nil)
        local ok, e = pcall(function() voice:play('audio/stereo_20.opus') end)
        assert(not ok and e.code == 'closed', tostring(e))",
    )
    .await;
    stage.play().await;
}
