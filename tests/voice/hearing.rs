//! Listening, recording, calls.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opus::{Application, Channels, Encoder};
use serde_json::json;

use crate::sound::frequency;
use crate::stage::{SILENCE, Stage, data, packets_of};

/// A tone of one channel as packets of 20 ms.
pub fn tone(hz: f32, packets: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Audio).expect("an encoder");
    let sample = |at: usize| 0.3 * (at as f32 * hz * std::f32::consts::TAU / 48_000.0).sin();
    let frame = |number: usize| {
        (0..960)
            .map(|at| sample(number * 960 + at))
            .collect::<Vec<f32>>()
    };
    (0..packets)
        .map(|number| {
            encoder
                .encode_vec_float(&frame(number), 1_275)
                .expect("Opus")
        })
        .collect()
}

pub fn base64(packets: &[Vec<u8>]) -> Vec<String> {
    packets
        .iter()
        .map(|packet| STANDARD.encode(packet))
        .collect()
}

/// Says packets as the first person in the lounge.
pub async fn speak(stage: &Stage, packets: &[Vec<u8>]) {
    let world = &stage.world;
    let body = json!({
        "userId": world.person(0), "channelId": world.channel("Lounge"), "packets": base64(packets),
    });
    let spoken = world.act("speak", body).await;
    assert_eq!(spoken["spoken"], packets.len(), "{spoken}");
}

pub async fn join(stage: &Stage) {
    let world = &stage.world;
    world
        .act(
            "voice",
            json!({ "userId": world.person(0), "channelId": world.channel("Lounge") }),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_hears_every_packet_in_order_and_who_speaks() {
    let stage = Stage::start(
        "",
        "local user = event.message.sender.userId
        local heard, count, order, last = {}, 0, true, -1
        voice:on('speaking', function(e)
            assert(e.userId:lower() == user:lower())
            table.insert(heard, e.speaking)
        end)
        local pcm = 0
        voice:listen(user, function(frame) pcm += buffer.len(frame.data) / 2 end, { format = 'pcm' })
        local listening = voice:listen(user, function(frame)
            assert(typeof(frame.data) == 'buffer' and frame.duration == 0.02)
            order = order and frame.time > last
            last = frame.time
            count += 1
        end)
        argon.messages.send{ channelId = event.channelId, text = 'listening' }
        -- Whoever pauses because the machine is busy has stopped, and speaks again.
        while count < 50 or #heard == 0 or heard[#heard] do task.wait(0.01) end
        assert(order and heard[1] == true)
        for at, speaking in heard do assert(speaking == (at % 2 == 1), at) end
        assert(count == 50, count)
        assert(pcm >= 50 * 960, pcm)
        listening.off()",
    )
    .await;
    join(&stage).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "listening", "{}", stage.process.output());
    speak(&stage, &tone(440.0, 50)).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_a_file_that_opusinfo_has_nothing_against() {
    let stage = Stage::start(
        "",
        "local count, user = 0, event.message.sender.userId
        -- Nothing but a recording is written over.
        for path, why in { ['bot.toml'] = 'must end in \".ogg\"', ['.argon/a.ogg'] = 'is hidden',
            ['audio/notes.ogg'] = 'no Ogg file' } do
            local ok, problem = pcall(voice.record, voice, user, path)
            assert(not ok and problem.code == 'file' and string.find(problem.message, why, 1, true), problem)
        end
        local recording = voice:record(user, 'audio/said.ogg')
        voice:listen(user, function() count += 1 end)
        argon.messages.send{ channelId = event.channelId, text = 'recording' }
        while count < 50 do task.wait(0.01) end
        local seconds = recording:stop()
        assert(seconds > 1.9 and seconds < 60, seconds)
        -- What was recorded can be played.
        assert(voice:play('audio/said.ogg'):wait() == 'finished')",
    )
    .await;
    let notes = stage.dir().join("audio/notes.ogg");
    std::fs::write(&notes, "notes").expect("a file");
    join(&stage).await;
    let mut events = stage.world.events().await;
    stage.go().await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "recording", "{}", stage.process.output());
    assert_eq!(std::fs::read(&notes).expect("the file"), b"notes");
    let said_packets = tone(440.0, 50);
    speak(&stage, &said_packets[..25]).await;
    // A second of nothing becomes a second of silence.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    speak(&stage, &said_packets[25..]).await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());

    let file = stage.dir().join("audio/said.ogg");
    let packets = packets_of(&file);
    let kept: Vec<&Vec<u8>> = packets
        .iter()
        .filter(|packet| said_packets.contains(packet))
        .collect();
    assert_eq!(
        kept.len(),
        50,
        "every packet that was said is in the file, unchanged"
    );
    let silent = packets.len() - 50;
    assert!(silent >= 40, "only {silent} packets of silence");
    let info = Command::new("opusinfo").arg(&file).output();
    let info =
        info.expect("opusinfo: run the test command of the README, which installs opus-tools");
    let told =
        String::from_utf8_lossy(&info.stdout).into_owned() + &String::from_utf8_lossy(&info.stderr);
    assert!(
        info.status.success() && !told.to_lowercase().contains("warning"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_talked_in_and_over_when_the_caller_hangs_up() {
    let script = "argon.on('callIncoming', function(event)
            local call = argon.calls.answer(event)
            assert(call.callerId == event.fromUserId and call.callId == event.callId)
            call:on('disconnected', function(e)
                print('hung up', e.final, e.reason)
            end)
            local recording = call:record(nil, 'audio/caller.ogg')
            local count = 0
            call:listen(event.fromUserId, function() count += 1 end)
            call:play('audio/mono_cbr_20.opus'):wait()
            print('greeted')
            while count < 50 do task.wait(0.01) end
            recording:stop()
            call:play('audio/caller.ogg'):wait()
            print('echoed')
        end)";
    let mut stage = Stage::with(&[("call.luau", script)]).await;
    let caller = stage.world.person(0);
    let call = stage
        .world
        .act("call", json!({ "userId": caller, "locale": "en-GB" }))
        .await;
    let call = call["callId"].as_str().expect("an id").to_owned();
    stage.process.line("greeted").await;
    let said = tone(500.0, 50);
    let body = json!({ "userId": caller, "callId": call, "packets": base64(&said) });
    stage.world.act("speak", body).await;
    stage.process.line("echoed").await;
    let (_, heard) = stage.recording(&format!("callId={call}")).await;
    let greeting = packets_of(&data().join("mono_cbr_20.opus"));
    let heard: Vec<Vec<u8>> = heard
        .into_iter()
        .filter(|packet| packet != SILENCE)
        .collect();
    assert_eq!(heard[..greeting.len()], greeting);
    let echo: Vec<&Vec<u8>> = heard
        .iter()
        .filter(|packet| said.contains(packet))
        .collect();
    assert_eq!(echo.len(), 50, "the caller hears what they said");
    stage
        .world
        .act("hangup", json!({ "userId": caller, "callId": call }))
        .await;
    let over = stage.process.line("hung up").await;
    assert!(
        over.contains("true") && over.contains("the call is over"),
        "{over}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_samples_are_played() {
    let stage = Stage::start(
        "stereo = false, bitrate = 64000",
        "local at = 0
        for _ = 1, 10 do
            local frame = buffer.create(4800 * 2)
            for i = 0, 4799 do
                buffer.writei16(frame, i * 2, math.round(8000 * math.sin(at * 800 * 2 * math.pi / 48000)))
                at += 1
            end
            voice:push(frame)
        end
        task.wait(1)
        local ok, e = pcall(function() voice:push(buffer.create(3)) end)
        assert(not ok and tostring(e):find('whole frames', 1, true), tostring(e))",
    )
    .await;
    stage.play().await;
    let (_, packets) = stage.heard().await;
    let sounds = crate::sound::sounds(&packets);
    let all: Vec<f32> = sounds.iter().flat_map(|sound| sound.channel(0)).collect();
    assert!(all.len() >= 48_000, "{} samples", all.len());
    let longest = sounds
        .iter()
        .max_by_key(|sound| sound.samples.len())
        .expect("a sound")
        .channel(0);
    let hz = frequency(&longest[2_400..longest.len() - 2_400]);
    assert!((hz - 800.0).abs() < 2.0, "{hz} Hz");
}
