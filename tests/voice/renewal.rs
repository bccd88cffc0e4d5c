//! A token's end: another socket takes over before it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon_host::config::Secret;
use argon_host::contract::Route;
use argon_host::rest::{self, Caller, Client, Observer};
use argon_host::sim::{LimitScale, Server, Settings as Sim};
use argon_host::voice::Settings;
use argon_host::voice::session::dial::Endpoint;
use argon_host::voice::session::line::Intake;
use argon_host::voice::session::{Report, Session, Tokens};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rtrb::RingBuffer;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::stage::Stage;
use crate::support::World;

struct Nobody;

impl Observer for Nobody {
    fn succeeded(&self, _: &'static Route, _: &Bytes) {}
    fn unauthorized(&self) {}
}

/// Packets that are sent, one every 20 ms.
const PACKETS: u16 = 150;
/// Packets that may be on the wire when the server changes over; more only when the machine is very busy.
const ON_THE_WIRE: u16 = 5;

/// In this process, so that a socket's time can be half a second instead of two hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_takes_over_without_a_gap_and_without_a_word_to_the_script() {
    let settings = Sim {
        limits: LimitScale::Off,
        ..Sim::default()
    };
    let server = Server::start(settings).await.expect("a free port");
    let bot = server.add_bot("demo", true);
    let world = World::at(&server.base_url()).await;
    let client = Client::new(rest::Settings {
        base_url: server.base_url(),
        token: Secret::new(bot.token.expose()),
        segment: Duration::from_millis(1),
        observer: Arc::new(Nobody),
    })
    .expect("a client");
    let lounge = world.channel("Lounge");
    let (_mixer, events) = RingBuffer::new(1);
    let (intake, mut outlet) = Intake::new(events);
    let (stop, stopped) = watch::channel(false);
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let report = move |report| {
        let text = match report {
            Report::Lost(reason) => format!("lost: {reason}"),
            Report::Back => "back".to_owned(),
            Report::Over(Some(reason)) => format!("over: {reason}"),
            Report::Over(None) | Report::TargetLeft | Report::Mixer(_) => return,
        };
        noted.lock().expect("a list").push(text);
    };
    let session = Session {
        endpoint: Endpoint::Connect(Settings::new(false)),
        tokens: Tokens::Channel {
            client,
            caller: Caller::HOST,
            space: world.space_id(),
            channel: lounge.clone(),
        },
        intake: Some(intake),
        ear: None,
        stop: stopped,
        report: Box::new(report),
        opened: Box::new(|| {}),
        counters: Arc::default(),
        renew: Duration::from_millis(500),
    };
    let (sender, first) = oneshot::channel();
    let running = tokio::spawn(session.run(sender));
    first.await.expect("an answer").expect("a socket");
    let mut every = tokio::time::interval(Duration::from_millis(20));
    // What a busy machine has held up is not sent at once: the ring would be full.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..PACKETS {
        every.tick().await;
        while !outlet.is_open() {
            tokio::task::yield_now().await;
        }
        let [high, low] = number.to_be_bytes();
        let packet = Bytes::from(vec![0xf8, high, low]);
        assert!(
            outlet.send(packet, std::time::Instant::now()),
            "the ring is full"
        );
    }
    stop.send_replace(true);
    running.await.expect("the session ends");

    let tokens = world.get("requests").await["requests"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|request| {
            request["path"]
                .as_str()
                .is_some_and(|path| path.contains("StreamToken"))
        })
        .count();
    assert!(tokens >= 3, "{tokens} tokens");
    assert!(told.lock().expect("a list").is_empty(), "{told:?}");
    let me = bot.user_id.clone();
    let heard = world
        .get(&format!("recording?channelId={lounge}&participant={me}"))
        .await;
    let heard: Vec<u16> = heard["packets"]
        .as_array()
        .expect("packets")
        .iter()
        .map(|packet| {
            let data = packet["data"].as_str().expect("base64");
            let data = STANDARD.decode(data).expect("base64");
            u16::from_be_bytes([data[1], data[2]])
        })
        .collect();
    assert_eq!(
        (heard.first(), heard.last()),
        (Some(&0), Some(&(PACKETS - 1)))
    );
    for pair in heard.windows(2) {
        let missing = pair[1]
            .checked_sub(pair[0] + 1)
            .expect("in order, and once");
        assert!(
            missing <= ON_THE_WIRE,
            "{missing} are lost after {}",
            pair[0]
        );
    }
    assert!(heard.len() >= usize::from(PACKETS) - tokens * usize::from(ON_THE_WIRE));
}

/// The server's clock can be moved: an open socket outlives its token, and a lost one gets a fresh one.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_lost_after_two_hours_comes_back_with_a_fresh_token() {
    let stage = Stage::start(
        "stereo = true",
        "local back = 0
        voice:on('reconnected', function() back += 1 end)
        voice:play('audio/tone.opus', { loop = true })
        argon.messages.send{ channelId = event.channelId, text = 'playing' }
        while back == 0 do task.wait(0.01) end
        assert(voice:stats().reconnects == 1)",
    )
    .await;
    let mut events = stage.world.events().await;
    stage.go().await;
    assert_eq!(events.bot_message().await["text"], "playing");
    let two_hours = json!({ "advance": 7_300 });
    stage.world.act("time", two_hours).await;
    stage
        .world
        .act("fault", json!({ "kind": "voiceCut", "count": 1 }))
        .await;
    let said = events.bot_message().await;
    assert_eq!(said["text"], "done", "{}", stage.process.output());
}
