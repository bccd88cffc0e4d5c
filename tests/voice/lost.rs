//! Sockets that are lost.

use serde_json::json;

use crate::stage::{SILENCE, Stage, data, packets_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_is_opened_again_and_the_song_goes_on_where_it_was() {
    let stage = Stage::start(
        "stereo = true",
        "local lost, back = 0, 0
        voice:on('disconnected', function(e)
            assert(not e.final)
            lost += 1
        end)
        voice:on('reconnected', function() back += 1 end)
        local track = voice:play('audio/tone.opus', { loop = true })
        argon.messages.send{ channelId = event.channelId, text = 'playing' }
        while back == 0 do task.wait(0.01) end
        task.wait(0.5)
        assert(lost == 1 and back == 1 and voice:stats().reconnects == 1 and voice.state == 'connected')
        track:stop()
        assert(track:wait() == 'stopped')",
    )
    .await;
    let mut events = stage.world.events().await;
    stage.go().await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "playing", "{}", stage.process.output());
    stage
        .world
        .act("fault", json!({ "kind": "voiceCut", "count": 1 }))
        .await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());

    // What was heard is the file again and again, in order; only what was on the wire is missing.
    let song = packets_of(&data().join("tone.opus"));
    let (times, heard) = stage.heard().await;
    let places: Vec<usize> = heard
        .iter()
        .filter(|packet| *packet != SILENCE)
        .filter_map(|packet| song.iter().position(|known| known == packet))
        .collect();
    assert!(places.len() > 20, "{places:?}");
    let missing: usize = places
        .windows(2)
        .map(|pair| (pair[1] + song.len() - pair[0] - 1) % song.len())
        .sum();
    assert!(missing <= 12, "{missing} packets are missing: {places:?}");
    // By the server's clock. The first attempt comes a quarter of a second after the loss; what is longer
    // than a second is this machine's.
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]);
    let gap = gap.fold(0.0, f64::max);
    println!("nothing was heard for {gap:.0} ms, and {missing} packets of 20 ms are missing");
    assert!(gap < 5_000.0, "nothing was heard for {gap} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_put_out_stays_out_and_says_so() {
    let mut stage = Stage::start(
        "",
        "voice:on('disconnected', function(e) print('out', e.final, e.reason) end)
        voice:play('audio/tone.opus', { loop = true })
        argon.messages.send{ channelId = event.channelId, text = 'playing' }
        while voice.state ~= 'closed' do task.wait(0.01) end
        assert(argon.voice.get(channelId) == nil)",
    )
    .await;
    let mut events = stage.world.events().await;
    stage.go().await;
    events.bot_message().await;
    stage
        .world
        .act("fault", json!({ "kind": "voiceError", "count": 1 }))
        .await;
    let out = stage.process.line("out").await;
    assert!(out.contains("true"), "{out}");
    assert_eq!(events.bot_message().await["text"], "done");
}

/// From the server's own list, so that no kind is left out. Each strikes the socket of a song; the script
/// comes to its end, and the next song is heard.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_voice_is_survived() {
    let stage = Stage::start(
        "",
        // Of an `error` the script is told: it is put out for good.
        "pcall(function()
            voice:play('audio/tone.opus'):wait()
            voice:leave()
        end)",
    )
    .await;
    let kinds = stage.world.get("faults/kinds").await;
    let kinds = kinds["kinds"].as_array().expect("a list").iter();
    let mut struck = 0;
    for kind in kinds.filter(|kind| kind["on"] == "voice") {
        let mut fault = json!({ "kind": kind["kind"] });
        for field in kind["fields"].as_array().expect("fields") {
            match field["name"].as_str().expect("a name") {
                "status" => fault["status"] = 503.into(),
                "seconds" => fault["seconds"] = 0.1.into(),
                "code" | "count" => {}
                other => panic!("a new field {other}: say here what the host is to survive"),
            }
        }
        stage.world.act("fault", fault.clone()).await;
        stage.play().await;
        struck += 1;
        let faults = stage.world.get("faults").await;
        assert_eq!(faults["struck"], struck, "{fault}: {faults}");

        let (_, before) = stage.heard().await;
        stage.play().await;
        let (_, after) = stage.heard().await;
        assert!(after.len() > before.len(), "{fault}: nothing is heard");
    }
    assert!(struck > 0, "the list has no fault of voice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_song_goes_on_through_a_reload_without_a_missing_packet() {
    let script = |version: u32| {
        format!(
            "local version = {version}
            argon.on('messageCreate', function(event)
                local text = event.message.text or ''
                local channelId = text:sub(5)
                if text:sub(1, 3) == '!go' then
                    local voice = argon.voice.join{{ spaceId = event.spaceId :: string, channelId = channelId, stereo = true }}
                    voice:play('audio/tone.opus', {{ loop = true }})
                    event:reply('playing')
                elseif text:sub(1, 3) == '!on' then
                    local voice = argon.voice.get(channelId)
                    assert(voice and voice.state == 'connected')
                    task.wait(0.5)
                    voice:leave()
                    event:reply(`left by {{version}}`)
                end
            end)"
        )
    };
    let mut stage = Stage::with(&[("stage.luau", &script(1))]).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "playing", "{}", stage.process.output());
    std::fs::write(stage.dir().join("scripts/stage.luau"), script(2)).expect("a script");
    stage.process.line("version 2 runs").await;
    let text = format!("!on {}", stage.world.channel("Lounge"));
    stage.world.write(0, "general", &text).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "left by 2", "{}", stage.process.output());

    let song = packets_of(&data().join("tone.opus"));
    let (_, heard) = stage.heard().await;
    let places: Vec<usize> = heard
        .iter()
        .filter_map(|packet| song.iter().position(|known| known == packet))
        .collect();
    assert!(places.len() > 25, "{places:?}");
    for pair in places.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % song.len(), "{places:?}");
    }
}
