//! Voice channels and calls: what others say is heard in the page, what the page says reaches others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::page::Page;
use crate::sound::{packets, peak, write_wav};
use crate::support::{PATIENCE, Sim, World};

/// Audible samples that a tone must bring to the page's speakers: a tenth of a second.
const AUDIBLE: u32 = 4_800;

fn in_lounge(world: &World, person: usize) -> String {
    format!(
        "#as={}&in={}",
        world.person(person),
        world.channel("Lounge")
    )
}

fn heard(who: &str) -> String {
    format!(
        "[...document.querySelectorAll('[data-speaker=\"{who}\"]')].some((each) => Number(each.dataset.heard) > {AUDIBLE})"
    )
}

fn base64(packets: Vec<Vec<u8>>) -> Vec<String> {
    packets
        .iter()
        .map(|packet| STANDARD.encode(packet))
        .collect()
}

/// What the server recorded of somebody in the lounge, once the loudest sample is no silence.
async fn loud_recording(world: &World, who: &str) {
    let path = format!(
        "recording?channelId={}&participant={who}",
        world.channel("Lounge")
    );
    let loud = async {
        loop {
            let recording = world.get(&path).await;
            let packets = recording["packets"].as_array().expect("a list").iter();
            let packets: Vec<Vec<u8>> = packets
                .map(|packet| STANDARD.decode(packet["data"].as_str().expect("a text")))
                .map(|packet| packet.expect("base64"))
                .collect();
            if peak(&packets) > 0.1 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, loud)
        .await
        .expect("something loud was said");
}

#[tokio::test]
async fn what_somebody_says_in_a_voice_channel_is_heard_in_the_page() {
    let sim = Sim::start().await;
    let world = World::at(&sim.base).await;
    let page = Page::open_at(&sim.base, &in_lounge(&world, 0), (1280, 800)).await;
    page.click("#voice button", "Join as Ada").await;
    page.sees("#voice button", "Microphone").await;

    let (boris, lounge) = (world.person(1), world.channel("Lounge"));
    world
        .act("voice", json!({ "userId": boris, "channelId": lounge }))
        .await;
    page.reads("#voice .speaker", "Boris").await;
    let speech = json!({ "userId": boris, "channelId": lounge, "packets": base64(packets(500)) });
    let ring = format!(
        "document.querySelector('#voice .speaking[data-speaker=\"{boris}\"] .level[aria-valuenow]:not([aria-valuenow=\"0\"])')"
    );
    let (_, ringed) = tokio::join!(
        world.act("speak", speech),
        page.until("Boris has a ring while he speaks", &ring),
    );
    assert_eq!(ringed, json!(true));
    page.until("what Boris said has left for the speakers", &heard(&boris))
        .await;
    page.until(
        "the ring goes when he is done",
        "!document.querySelector('.speaking')",
    )
    .await;

    // Somebody who is thrown out is out in the page, too.
    world
        .act("voice", json!({ "userId": world.person(0), "leave": true }))
        .await;
    page.sees("#voice button", "Join as Ada").await;
    page.done();
}

#[tokio::test]
async fn the_page_speaks_with_the_microphone_and_with_a_file() {
    let sim = Sim::start().await;
    let world = World::at(&sim.base).await;
    let (ada, boris) = (world.person(0), world.person(1));
    let page = Page::open_at(&sim.base, &in_lounge(&world, 0), (1280, 800)).await;
    page.click("#voice button", "Join as Ada").await;
    page.click("#voice button", "Microphone").await;
    page.sees("#voice button", "Microphone on").await;
    loud_recording(&world, &ada).await;
    page.click("#voice button", "Microphone on").await;
    page.sees("#voice button", "Microphone").await;

    // Two people in two windows: the one hears what the other plays.
    let second = Page::open_at(&sim.base, &in_lounge(&world, 1), (1280, 800)).await;
    second.click("#voice button", "Join as Boris").await;
    second.sees("#voice button", "Speak a file…").await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("tone.wav");
    write_wav(&file, 2);
    second.give_file("[data-voice-file]", &file).await;
    second.sees("#voice button", "Stop tone.wav").await;
    page.until("Ada hears the file", &heard(&boris)).await;
    loud_recording(&world, &boris).await;
    second.sees("#voice button", "Speak a file…").await;

    let broken = dir.path().join("broken.wav");
    std::fs::write(&broken, "no sound").expect("a file");
    second.give_file("[data-voice-file]", &broken).await;
    second
        .reads(
            "#notices",
            "broken.wav is no sound that this browser can read",
        )
        .await;

    second.click("#voice button", "Leave as Boris").await;
    page.until(
        "Boris is gone",
        "document.querySelectorAll('#voice .speaker').length === 1",
    )
    .await;
    page.done();
    second.done();
}

#[tokio::test]
async fn a_bot_is_called_heard_and_spoken_to() {
    let sim = Sim::start().await;
    let world = World::at(&sim.base).await;
    let page = Page::open(&sim.base).await;
    page.click("#chat-head button", "Members").await;
    page.click("#members button", "Call demo").await;
    page.reads("#call", "demo · it rings").await;

    let call = world.get("calls").await["calls"][0].clone();
    let http = reqwest::Client::new();
    let bot = |method: &str, body: Value| {
        http.post(format!("{}/ICalls/v20260401/{method}", sim.base))
            .header("authorization", format!("Bot {}", sim.token))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
    };
    let accepted = bot("Accept", json!({ "callId": call["callId"] })).await;
    let accepted = accepted.expect("an answer").text().await.expect("a body");
    let accepted: Value = serde_json::from_str(&accepted).expect("JSON");
    page.reads("#call", "in a call").await;

    let token = accepted["token"].as_str().expect("a token");
    let url = format!(
        "{}/audio/duplex?token={token}&target_identity={}",
        sim.base.replacen("http", "ws", 1),
        world.person(0)
    );
    let (socket, _) = tokio_tungstenite::connect_async(url)
        .await
        .expect("a socket");
    let (mut mouth, mut ear) = socket.split();
    page.click("#call button", "Microphone").await;
    let bot_id = call["botId"].as_str().expect("an id");
    let says = async {
        for packet in packets(100) {
            mouth
                .send(Message::Binary(packet.into()))
                .await
                .expect("a socket");
            // The sender paces itself: a packet is 20 ms of sound.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let hears = async {
        let mut heard = Vec::new();
        while peak(&heard) <= 0.1 {
            match ear
                .next()
                .await
                .expect("an open socket")
                .expect("an open socket")
            {
                Message::Binary(packet) if packet.len() > 2 => heard.push(packet.to_vec()),
                _ => {}
            }
        }
    };
    let all = async { tokio::join!(says, hears) };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("the bot hears the caller");
    page.until("the caller hears the bot", &heard(bot_id)).await;

    page.click("#call button", "Hang up").await;
    page.reads("#call", "the call is over after").await;
    assert_eq!(world.get("calls").await["calls"][0]["state"], "ended");

    // Again, and the bot does not want to.
    page.click("#call button", "Call again").await;
    page.reads("#call", "it rings").await;
    let call = world.get("calls").await["calls"][1].clone();
    let rejected = json!({ "callId": call["callId"], "reason": "busy" });
    bot("Reject", rejected).await.expect("an answer");
    page.reads("#call", "did not take the call: busy").await;
    page.click("#call button", "Dismiss").await;
    page.until("the card is gone", "document.querySelector('#call').hidden")
        .await;
    page.done();
}
