//! The sample scripts with voice, as people meet them.

use std::path::Path;

use serde_json::json;

use crate::hearing::{base64, tone};
use crate::stage::{Stage, packets_of};

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A bot with one of the samples, and its sounds.
async fn sample(name: &str) -> Stage {
    let file = format!("{name}.luau");
    let script =
        std::fs::read_to_string(repository(&format!("scripts/{file}"))).expect("the sample");
    let stage = Stage::with(&[(&file, &script)]).await;
    let to = stage.dir().join("scripts/audio");
    std::fs::create_dir(&to).expect("a folder");
    for sound in std::fs::read_dir(repository("scripts/audio")).expect("the sounds") {
        let sound = sound.expect("a file").path();
        std::fs::copy(&sound, to.join(sound.file_name().expect("a name"))).expect("a copy");
    }
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn the_radio_plays_skips_pauses_and_shows_what_plays() {
    let stage = sample("radio").await;
    let world = &stage.world;
    let lounge = world.channel("Lounge");
    let mut events = world.events().await;
    world
        .command(0, "general", "play", json!({ "channel": lounge }))
        .await;
    let panel = events.bot_message().await;
    let text = panel["text"].as_str().expect("a text");
    assert!(text.contains("morning") && text.contains("0:08"), "{text}");
    assert_eq!(
        panel["controls"][0]["controls"].as_array().map(Vec::len),
        Some(4)
    );
    let morning = packets_of(&repository("scripts/audio/morning.opus"));
    let heard = stage.audible(&format!("channelId={lounge}"), 10).await;
    assert_eq!(heard[..10], morning[..10]);

    let click = |what: &str| {
        let control = format!("radio:{what}:{lounge}");
        json!({
            "userId": world.person(0), "channelId": world.channel("general"),
            "messageId": panel["messageId"], "controlId": control,
        })
    };
    for (what, shown) in [
        ("skip", "Now playing: evening"),
        ("pause", "Paused: evening"),
        ("louder", "110 %"),
    ] {
        world.act("click", click(what)).await;
        let wanted = |event: &serde_json::Value| {
            let text = event["message"]["text"].as_str().unwrap_or_default();
            event["type"] == "edit" && text.contains(shown)
        };
        // The command is done a moment after the click; the panel follows within seconds.
        events.next(shown, wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_greeted_in_its_language_and_echoed() {
    let stage = sample("echo_call").await;
    let world = &stage.world;
    let caller = world.person(0);
    let call = world
        .act("call", json!({ "userId": caller, "locale": "de-AT" }))
        .await;
    let call = call["callId"].as_str().expect("an id").to_owned();
    let room = format!("callId={call}");
    let greeting = packets_of(&repository("scripts/audio/hello-de.opus"));
    let music = packets_of(&repository("scripts/audio/waiting.opus"));
    let heard = stage.audible(&room, greeting.len()).await;
    assert_eq!(heard[..greeting.len()], greeting);
    let said = tone(500.0, 50);
    let body = json!({ "userId": caller, "callId": call, "packets": base64(&said) });
    world.act("speak", body).await;
    // The echo, and then music, which is softer and so encoded anew.
    let heard = stage.audible(&room, greeting.len() + 50 + 20).await;
    let echoed = heard.iter().filter(|packet| said.contains(packet)).count();
    assert!(
        echoed >= 45,
        "only {echoed} of 50 packets were echoed:\n{}",
        stage.process.output()
    );
    let last = heard.last().expect("a packet");
    assert!(!said.contains(last) && !music.contains(last));
    world
        .act("hangup", json!({ "userId": caller, "callId": call }))
        .await;
}
