//! Who is in the room and who may be: kicked, refused, left; limits; and the platform's older dialect.

use serde_json::json;

use crate::hearing::{join, speak, tone};
use crate::sound::level;
use crate::stage::{SILENCE, Stage, data, packets_of, script};
use crate::support::Sim;

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_kicked_stays_out_and_may_join_again() {
    let stage = Stage::start(
        "",
        "local reason
        voice:on('disconnected', function(e)
            assert(e.final)
            reason = e.reason
        end)
        local track = voice:play('audio/tone.opus', { loop = true })
        local me = argon.botSelf.getMe().userId
        argon.members.kick{ spaceId = spaceId, channelId = channelId, userId = me }
        assert(track:wait() == 'stopped')
        while not reason do task.wait(0.01) end
        assert(reason:find('removed from the voice channel', 1, true), reason)
        assert(voice.state == 'closed' and argon.voice.get(channelId) == nil)
        local again = argon.voice.join{ spaceId = spaceId, channelId = channelId }
        assert(again ~= voice and again:play('audio/stereo_20.opus'):wait() == 'finished')",
    )
    .await;
    stage.play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_leaves_is_told_of_and_heard_again_when_they_come_back() {
    let mut stage = Stage::start(
        "",
        "local user = event.message.sender.userId
        local left, heard = 0, 0
        voice:on('targetLeft', function(e)
            assert(e.userId:lower() == user:lower())
            left += 1
            print('has left')
        end)
        voice:listen(user, function() heard += 1 end)
        argon.messages.send{ channelId = event.channelId, text = 'listening' }
        while heard < 20 do task.wait(0.01) end
        assert(left == 1, left)",
    )
    .await;
    join(&stage).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    assert_eq!(events.bot_message().await["text"], "listening");
    speak(&stage, &tone(440.0, 10)).await;
    let ada = stage.world.person(0);
    let leave = json!({ "userId": ada, "leave": true });
    stage.world.act("voice", leave).await;
    stage.process.line("has left").await;
    join(&stage).await;
    speak(&stage, &tone(440.0, 20)).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_tried_again_with_another_and_then_an_error() {
    let script = "argon.on('messageCreate', function(event)
        local text = event.message.text or ''
        if text:sub(1, 3) ~= '!go' then return end
        local ok, e = pcall(function()
            argon.voice.join{ spaceId = event.spaceId :: string, channelId = text:sub(5) }:leave()
        end)
        event:reply(if ok then 'joined' else `{e.code}: {e.message}`)
    end)";
    let stage = Stage::with(&[("stage.luau", script)]).await;
    let mut events = stage.world.events().await;
    for (count, expected) in [
        (1, "joined"),
        (
            3,
            "voice_server: the voice server refused the token (401 Unauthorized)",
        ),
    ] {
        let fault = json!({ "kind": "voiceRefuse", "status": 401, "count": count });
        stage.world.act("fault", fault).await;
        stage.go().await;
        let said = events.bot_message().await;
        assert_eq!(said["text"], expected, "{}", stage.process.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tracks_are_an_error_that_says_so() {
    let stage = Stage::start(
        "stereo = true",
        "for _ = 1, 32 do voice:play('audio/tone.opus', { loop = true, volume = 0.1 }) end
        local ok, e = pcall(function() voice:play('audio/tone.opus') end)
        assert(not ok and e.code == 'too_many_tracks', tostring(e))
        assert(tostring(e):find('32 tracks play at once at most: stop one first', 1, true), tostring(e))
        assert(#voice:tracks() == 32)
        voice:stop()
        while #voice:tracks() > 0 do task.wait(0.01) end
        assert(voice:play('audio/stereo_20.opus'):wait() == 'finished')",
    )
    .await;
    stage.play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_in_the_queue_and_too_many_handlers_are_errors_that_say_so() {
    let stage = Stage::start(
        "stereo = true",
        "local queued, problem = 0, nil
        repeat
            local ok, e = pcall(function() voice:queue('audio/tone.opus') end)
            queued += if ok then 1 else 0
            problem = if ok then nil else e
        until problem
        -- Beside those that wait, one plays and some are ready to follow it.
        assert(queued >= 1001 and queued <= 1010, queued)
        assert(problem.code == 'too_many_tracks', tostring(problem))
        assert(tostring(problem):find('1000 tracks wait in the queue at most: skip or stop', 1, true), tostring(problem))
        voice:stop()
        while #voice:tracks() > 0 do task.wait(0.01) end
        assert(voice:queue('audio/stereo_20.opus'):wait() == 'finished')

        local finished = 0
        local first = voice:on('finished', function() finished += 1 end)
        for _ = 2, 1000 do voice:on('began', function() end) end
        local ok, e = pcall(function() voice:on('began', function() end) end)
        assert(not ok and tostring(e):find('1000 handlers at most: end some with off()', 1, true), tostring(e))
        voice:play('audio/stereo_20.opus'):wait()
        assert(finished == 1, finished)
        first.off()
        voice:on('began', function() end)
        -- Those of a connection that is over count no more.
        voice:leave()
        local again = argon.voice.join{ spaceId = spaceId, channelId = channelId }
        for _ = 1, 1000 do again:on('began', function() end) end",
    )
    .await;
    stage.play().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn music_gives_way_while_somebody_speaks() {
    let stage = Stage::start(
        "stereo = true, bitrate = 128000",
        "local user = event.message.sender.userId
        local spoke = {}
        voice:on('speaking', function(e) table.insert(spoke, e.speaking) end)
        voice:listen(user, function() end)
        local track = voice:play('audio/tone.flac', { loop = true, duck = 0.25 })
        task.wait(0.5)
        argon.messages.send{ channelId = event.channelId, text = 'playing' }
        while #spoke < 2 do task.wait(0.01) end
        assert(spoke[1] == true and spoke[2] == false)
        task.wait(1.2)
        track:stop()
        track:wait()",
    )
    .await;
    join(&stage).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    assert_eq!(events.bot_message().await["text"], "playing");
    speak(&stage, &tone(440.0, 100)).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());
    let (all, frames) = levels(&stage).await;
    // The edges of the sound are soft.
    let loud = level(&all[9_600..19_200]);
    let quiet = frames
        .iter()
        .filter(|db| (*db - (loud - 12.04)).abs() < 1.0);
    let quiet = quiet.count();
    assert!(
        quiet >= 50,
        "only {quiet} frames are 12 dB softer: {frames:.1?}"
    );
    let last = frames[frames.len() - 6];
    assert!((last - loud).abs() < 0.5, "it comes back: {frames:.1?}");
}

/// What the room heard, and how loud each frame of 20 ms is.
async fn levels(stage: &Stage) -> (Vec<f32>, Vec<f64>) {
    let (_, packets) = stage.heard().await;
    let sounds = crate::sound::sounds(&packets);
    let all: Vec<f32> = sounds.iter().flat_map(|sound| sound.channel(0)).collect();
    let frames = all.chunks_exact(960).map(level).collect();
    (all, frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn music_gives_way_no_longer_when_nobody_is_listened_to() {
    let stage = Stage::start(
        "stereo = true, bitrate = 128000",
        "local user = event.message.sender.userId
        local spoke = {}
        voice:on('speaking', function(e) table.insert(spoke, e.speaking) end)
        local listening = voice:listen(user, function() end)
        voice:play('audio/tone.flac', { loop = true, duck = 0.25 })
        argon.messages.send{ channelId = event.channelId, text = 'playing' }
        while #spoke < 1 do task.wait(0.01) end
        -- It is soft by then.
        task.wait(0.5)
        -- Whoever pauses because the machine is busy has stopped, and speaks again.
        while not spoke[#spoke] do task.wait(0.01) end
        listening.off()
        while spoke[#spoke] do task.wait(0.01) end
        task.wait(1.2)
        voice:stop()
        while #voice:tracks() > 0 do task.wait(0.01) end",
    )
    .await;
    join(&stage).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    assert_eq!(events.bot_message().await["text"], "playing");
    speak(&stage, &tone(440.0, 250)).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());
    let (_, frames) = levels(&stage).await;
    let softest = frames[10..frames.len() - 6].iter().copied();
    let softest = softest.fold(f64::INFINITY, f64::min);
    let last = frames[frames.len() - 6];
    assert!(last > softest + 11.0, "it comes back: {frames:.1?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_takes_no_other_with_it_that_is_about_to_listen() {
    let stage = Stage::start(
        "",
        "local user = event.message.sender.userId
        local other = argon.botSelf.getMe().userId
        local ended = voice:listen(other, function() end)
        argon.messages.send{ channelId = event.channelId, text = 'ready' }
        argon.waitFor('messageCreate', function(e) return e.message.text == 'slow' end, 30)
        local heard, listening, problem, recording = 0, nil, nil, nil
        task.spawn(function()
            local ok, result = pcall(function()
                recording = voice:record(user, 'audio/said.ogg')
                return voice:listen(user, function() heard += 1 end)
            end)
            if ok then listening = result else problem = result end
        end)
        while not listening and not problem do
            ended.off()
            task.wait(0.001)
        end
        assert(not problem, tostring(problem))
        argon.messages.send{ channelId = event.channelId, text = 'listening' }
        while heard < 20 do task.wait(0.01) end
        assert(recording:stop() > 0.3)",
    )
    .await;
    join(&stage).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "ready", "{}", stage.process.output());
    let slow = json!({ "kind": "delay", "interface": "IVoice", "seconds": 0.5 });
    stage.world.act("fault", slow).await;
    stage.world.write(0, "general", "slow").await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "listening", "{}", stage.process.output());
    speak(&stage, &tone(440.0, 20)).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());
}

/// A server that says `type` instead of `status`, and has `/audio/connect` only.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_dialect_is_spoken() {
    let sim = Sim::start_with(&["--voice-status", "type"]).await;
    let body = "voice:on('disconnected', function(e) print('out', e.final, e.reason) end)
        voice:play('audio/stereo_20.opus'):wait()
        local ok, e = pcall(function() voice:listen(event.message.sender.userId, print) end)
        assert(not ok and tostring(e):find('the voice server answered 404', 1, true), tostring(e))
        argon.messages.send{ channelId = event.channelId, text = 'played' }
        while voice.state ~= 'closed' do task.wait(0.01) end";
    let mut stage = Stage::at(&sim, &[("stage.luau", &script("stereo = true", body))]).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "played", "{}", stage.process.output());
    let (_, heard) = stage.heard().await;
    let heard = heard.into_iter().filter(|packet| packet != SILENCE);
    let song = packets_of(&data().join("stereo_20.opus"));
    assert!(heard.eq(song), "a packet was changed");
    let fault = json!({ "kind": "voiceError", "count": 1 });
    stage.world.act("fault", fault).await;
    let out = stage.process.line("out").await;
    assert!(
        out.contains("true") && out.contains("a fault ended"),
        "{out}"
    );
    assert_eq!(events.bot_message().await["text"], "done");
}
