//! Voice: tokens, sockets, rooms, and people who speak.

use argon_host::sim::{Settings, VoiceStatus};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::socket::{End, Socket, packet};
use super::{World, answer, find, page_events, with_body};

const TOKEN: &str = "/IVoice/v1/StreamToken";
const SUBSCRIBE: &str = "/IVoiceEgress/v20260401/SubscribeTrack";
const UNSUBSCRIBE: &str = "/IVoiceEgress/v20260401/UnsubscribeTrack";
const VOICE: u64 = 1 << 11;

async fn token(world: &World) -> String {
    let (space, lounge) = place(world).await;
    let body = json!({"spaceId": space, "channelId": lounge});
    let answer = world.ok("POST", TOKEN, body).await;
    answer["token"].as_str().expect("a text").to_owned()
}

async fn place(world: &World) -> (String, String) {
    let space = world.space().await["spaceId"].clone();
    let space = space.as_str().expect("a text").to_owned();
    (space, world.channel("Lounge").await)
}

/// What the server heard of somebody in the lounge, as soon as it has `count` packets.
async fn recording(world: &World, who: &str, count: u64) -> Value {
    let lounge = world.channel("Lounge").await;
    let path = format!("recording?channelId={lounge}&participant={who}");
    // Each round is an answer of the server, not a sleep.
    for _ in 0..10_000 {
        let recording = world.sim(&path, Value::Null).await;
        if recording["count"].as_u64() >= Some(count) {
            return recording;
        }
    }
    panic!("{count} packets never came");
}

async fn join(world: &World, name: &str, leave: bool) -> String {
    let (user, lounge) = (world.person(name).await, world.channel("Lounge").await);
    let body = match leave {
        true => json!({"userId": user, "leave": true}),
        false => json!({"userId": user, "channelId": lounge}),
    };
    world.sim("voice", body).await;
    user
}

async fn speak(world: &World, who: &str, packets: &[Vec<u8>]) -> (u16, Value) {
    let lounge = world.channel("Lounge").await;
    let packets: Vec<String> = packets.iter().map(|data| STANDARD.encode(data)).collect();
    let body = json!({"userId": who, "channelId": lounge, "packets": packets, "intervalMs": 1});
    world.control("speak", body).await
}

#[tokio::test]
async fn a_voice_token_is_for_members_and_voice_channels() {
    let world = World::quirky().await;
    let (space, lounge) = place(&world).await;
    let general = world.channel("general").await;
    let body = json!({"spaceId": space, "channelId": lounge});
    let answer = world.ok("POST", TOKEN, body.clone()).await;
    assert_eq!(
        answer["token"].as_str().map(|t| t.split('.').count()),
        Some(3)
    );
    let url = answer["ingressUrl"].as_str().expect("a text");
    assert_eq!(url, format!("ws://{}", world.server.address()));
    for (channel, status, error) in [
        (general, 400, "not_voice_channel"),
        (space.clone(), 404, "channel_not_found"),
    ] {
        let body = json!({"spaceId": space, "channelId": channel});
        let (got, answer) = world.call("POST", TOKEN, body).await;
        assert_eq!((got, &answer["error"]), (status, &error.into()));
    }
    let body_of_unknown = json!({"spaceId": lounge, "channelId": lounge});
    assert_eq!(world.call("POST", TOKEN, body_of_unknown).await.0, 500);
    let gone = json!({"userId": world.bot.user_id, "leave": true});
    world.sim("member", gone).await;
    let (status, answer) = world.call("POST", TOKEN, body).await;
    assert_eq!((status, &answer["error"]), (403, &"not_a_member".into()));
}

#[tokio::test]
async fn a_socket_needs_a_token_that_is_not_older_than_two_hours() {
    let world = World::start().await;
    let token = token(&world).await;
    for path in ["connect", "subscribe?token=a.b.c", "duplex?token="] {
        assert_eq!(
            Socket::open(&world, path, None).await.err(),
            Some(401),
            "{path}"
        );
    }
    for path in [
        "connect?channels=3",
        "connect?frame_duration_ms=30",
        "subscribe",
    ] {
        let refused = Socket::open(&world, path, Some(&token)).await.err();
        assert_eq!(refused, Some(400), "{path}");
    }
    let open = Socket::open(&world, "connect", Some(&token)).await;
    let mut open = open.expect("the token may be in the header");
    open.says("ready").await;
    // However long all this takes: the token has ten minutes left.
    world.sim("time", json!({"advance": 6_600})).await;
    let path = format!("connect?token={token}");
    let mut newer = Socket::ready(&world, &path).await;
    world.sim("time", json!({"advance": 600})).await;
    assert_eq!(Socket::open(&world, &path, None).await.err(), Some(401));
    // An open socket outlives its token.
    newer.send(packet(1)).await;
    recording(&world, &world.bot.user_id, 1).await;
}

#[tokio::test]
async fn what_a_bot_says_is_recorded_and_it_is_seen_in_the_channel() {
    let world = World::start().await;
    let mut stream = world.stream(VOICE).await;
    let path = format!(
        "connect?token={}&stereo=true&frame_duration_ms=20&track_name=music",
        token(&world).await
    );
    let mut socket = Socket::ready(&world, &path).await;
    let joined = stream.next().await;
    assert_eq!(joined.kind, "voiceJoin");
    assert_eq!(joined.data["user"]["userId"], world.bot.user_id);
    for mark in 0..3 {
        socket.send(packet(mark)).await;
    }
    let heard = recording(&world, &world.bot.user_id, 3).await;
    assert_eq!(heard["track"]["channels"], 2);
    assert_eq!(heard["track"]["name"], "music");
    let packets = heard["packets"].as_array().expect("a list");
    let data: Vec<&str> = packets.iter().filter_map(|p| p["data"].as_str()).collect();
    let sent: Vec<String> = (0..3).map(|mark| STANDARD.encode(packet(mark))).collect();
    assert_eq!(data, sent);
    let times: Vec<f64> = packets.iter().filter_map(|p| p["ms"].as_f64()).collect();
    assert!(times.is_sorted() && times[0] == 0.0, "{times:?}");
    socket.close().await;
    assert_eq!(stream.next().await.kind, "voiceLeave");
}

#[tokio::test]
async fn a_bad_packet_ends_the_connection() {
    let world = World::start().await;
    let dtx = vec![0xf8, 0xff];
    let odd = vec![0xf9, 1, 2, 3];
    for bad in [vec![], dtx, odd, vec![0xff, 0, 1], vec![0xf8; 3_826]] {
        let path = format!("connect?token={}", token(&world).await);
        let mut socket = Socket::ready(&world, &path).await;
        socket.send(bad).await;
        // What comes behind it must not hide the reason.
        socket.send(packet(1)).await;
        let error = socket.says("error").await;
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|m| m.contains("Opus"))
        );
        assert_eq!(socket.end().await, End::Closed(1008));
    }
}

#[tokio::test]
async fn the_other_build_says_type_and_cuts_the_connection() {
    let world = World::with(Settings {
        voice_status: VoiceStatus::Type,
        ..Settings::default()
    })
    .await;
    let path = format!("connect?token={}", token(&world).await);
    let mut socket = Socket::open(&world, &path, None).await.expect("open");
    let Some(Message::Text(ready)) = socket.message().await else {
        panic!("ready was due");
    };
    let ready: Value = serde_json::from_str(&ready).expect("JSON");
    assert_eq!(
        (&ready["type"], &ready["status"]),
        (&"ready".into(), &Value::Null)
    );
    socket.send(vec![0xf8]).await;
    assert_eq!(socket.end().await, End::Cut);
    for kind in ["subscribe", "duplex"] {
        let url = format!("{}/audio/{kind}", world.server.base_url());
        let (status, body) = answer(world.http.get(url)).await;
        assert_eq!((status, &body["error"]), (404, &"not_found".into()));
    }
}

#[tokio::test]
async fn one_token_does_not_serve_two_kinds_of_socket() {
    let world = World::start().await;
    let (token, ada) = (token(&world).await, world.person("Ada").await);
    let mut connect = Socket::ready(&world, &format!("connect?token={token}")).await;
    let path = format!("subscribe?token={token}&target_identity={ada}");
    let mut second = Socket::open(&world, &path, None).await.expect("open");
    let error = second.says("error").await;
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("duplex"))
    );
    assert_eq!(second.end().await, End::Closed(1008));

    // The first one goes on; a newer one of its kind takes its place.
    connect.send(packet(1)).await;
    recording(&world, &world.bot.user_id, 1).await;
    let mut newer = Socket::ready(&world, &format!("connect?token={token}")).await;
    connect.says("error").await;
    assert_eq!(connect.end().await, End::Closed(1008));
    newer.send(packet(2)).await;
    recording(&world, &world.bot.user_id, 2).await;
}

#[tokio::test]
async fn a_listener_follows_one_person_who_comes_and_goes() {
    let world = World::start().await;
    let ada = world.person("Ada").await;
    let path = format!("duplex?token={}&target_identity={ada}", token(&world).await);
    let mut socket = Socket::ready(&world, &path).await;
    socket.says("waiting").await;
    let (status, refused) = speak(&world, &ada, &[packet(1)]).await;
    assert_eq!(status, 400, "not there yet: {refused}");

    join(&world, "Ada", false).await;
    let subscribed = socket.says("subscribed").await;
    assert_eq!(subscribed["participant_identity"], ada);
    assert!(subscribed["track_sid"].is_string());
    let boris = join(&world, "Boris", false).await;
    speak(&world, &boris, &[packet(9)]).await;
    // DTX comes from people.
    let said = [packet(1), vec![0xf8], packet(2)];
    assert_eq!(
        speak(&world, &ada, &said).await,
        (200, json!({"spoken": 3}))
    );
    for packet in said {
        assert_eq!(socket.hears().await, packet);
    }

    join(&world, "Ada", true).await;
    socket.says("target_left").await;
    socket.says("waiting").await;
    join(&world, "Ada", false).await;
    let again = socket.says("subscribed").await;
    assert_ne!(again["track_sid"], subscribed["track_sid"]);
    let (_, heard) = speak(&world, &ada, &[packet(3)]).await;
    assert_eq!(
        (heard, socket.hears().await),
        (json!({"spoken": 1}), packet(3))
    );
}

#[tokio::test]
async fn two_bots_in_a_channel_hear_each_other() {
    let world = World::start().await;
    let other = world.server.add_bot("echo", true);
    let (space, lounge) = place(&world).await;
    let body = json!({"spaceId": space, "channelId": lounge});
    let request = with_body(world.request(&other, "POST", TOKEN), body);
    let theirs = answer(request).await.1["token"].clone();
    let theirs = theirs.as_str().expect("a text");
    let path = format!(
        "duplex?token={}&target_identity={}",
        token(&world).await,
        other.user_id
    );
    let mut first = Socket::ready(&world, &path).await;
    first.says("waiting").await;
    let path = format!(
        "duplex?token={theirs}&target_identity={}",
        world.bot.user_id
    );
    let mut second = Socket::ready(&world, &path).await;
    second.says("subscribed").await;
    first.says("subscribed").await;
    first.send(packet(1)).await;
    second.send(packet(2)).await;
    assert_eq!(second.hears().await, packet(1));
    assert_eq!(first.hears().await, packet(2));
    second.close().await;
    first.says("target_left").await;
}

#[tokio::test]
async fn a_bot_that_is_kicked_loses_its_socket() {
    let world = World::start().await;
    let (space, lounge) = place(&world).await;
    let path = format!("connect?token={}", token(&world).await);
    let mut socket = Socket::ready(&world, &path).await;
    let me = &world.bot.user_id;
    let kick = format!("/IMembers/v1/Kick?spaceId={space}&channelId={lounge}&userId={me}");
    world.ok("POST", &kick, Value::Null).await;
    socket.says("error").await;
    assert_eq!(socket.end().await, End::Closed(1008));
}

#[tokio::test]
async fn an_egress_token_hears_one_person_until_it_is_taken_back() {
    let world = World::quirky().await;
    let (space, lounge) = place(&world).await;
    let ada = join(&world, "Ada", false).await;
    let body = json!({"spaceId": space, "channelId": lounge, "userId": ada});
    let track = world.ok("POST", SUBSCRIBE, body).await;
    assert_eq!(track["wsUrl"], world.server.base_url());
    let token = track["token"].as_str().expect("a text");
    let boris = world.person("Boris").await;
    for path in [
        format!("connect?token={token}"),
        format!("subscribe?token={token}&target_identity={boris}"),
    ] {
        assert_eq!(Socket::open(&world, &path, None).await.err(), Some(403));
    }
    let mut socket = Socket::ready(&world, &format!("subscribe?token={token}")).await;
    socket.says("subscribed").await;
    speak(&world, &ada, &[packet(1)]).await;
    assert_eq!(socket.hears().await, packet(1));

    let body = json!({"trackId": track["trackId"]});
    let (status, refused) = world.call("DELETE", UNSUBSCRIBE, body.clone()).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &"missing_space_id".into())
    );
    let path = format!("{UNSUBSCRIBE}?spaceId={space}");
    let ended = world.ok("DELETE", &path, body.clone()).await;
    assert_eq!(ended, json!({"deleted": true}));
    socket.says("error").await;
    assert_eq!(socket.end().await, End::Closed(1008));
    let again = world.ok("DELETE", &path, body).await;
    assert_eq!(again, json!({"deleted": false}));
    let path = format!("subscribe?token={token}");
    assert_eq!(Socket::open(&world, &path, None).await.err(), Some(401));
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_is_cut() {
    let world = World::start().await;
    let me = world.bot.user_id.clone();
    let path = format!("connect?token={}", token(&world).await);
    let mut socket = Socket::ready(&world, &path).await;
    for round in 1..=4 {
        world.sim("time", json!({"advance": 30})).await;
        assert!(matches!(socket.message().await, Some(Message::Ping(_))));
        // The pong leaves before the packet.
        socket.send(packet(1)).await;
        recording(&world, &me, round).await;
    }
    // From here on nobody reads, so nobody answers.
    for _ in 0..10_000 {
        world.sim("time", json!({"advance": 30})).await;
        let space = world.space().await;
        let members = space["members"].as_array().expect("a list");
        let there = members.iter().find(|member| member["userId"] == *me);
        if there.is_some_and(|bot| bot["voiceChannelId"].is_null()) {
            return;
        }
    }
    panic!("a dead client stayed in the channel");
}

#[tokio::test]
async fn speaking_is_checked_and_names_what_is_wrong() {
    let world = World::start().await;
    let ada = join(&world, "Ada", false).await;
    let (status, refused) = speak(&world, &ada, &[packet(1), vec![0xf9, 1]]).await;
    assert_eq!(status, 400);
    let message = refused["message"].as_str().expect("a text");
    assert!(message.contains("packets[1]"), "{message}");
    let lounge = world.channel("Lounge").await;
    for body in [
        json!({"userId": ada, "packets": []}),
        json!({"userId": ada, "channelId": lounge, "packets": ["?"]}),
        json!({"userId": ada, "channelId": lounge, "packets": [], "intervalMs": -1}),
    ] {
        assert_eq!(world.control("speak", body).await.0, 400);
    }
    let path = format!("recording?channelId={lounge}");
    assert_eq!(world.control(&path, Value::Null).await.0, 400);
}

#[tokio::test]
async fn stopping_the_server_closes_voice() {
    let world = World::start().await;
    let path = format!("connect?token={}", token(&world).await);
    let socket = Socket::ready(&world, &path).await;
    let (end, ()) = tokio::join!(socket.end(), world.server.stop());
    assert_eq!(end, End::Closed(1001));
}

#[tokio::test]
async fn a_person_hears_everybody_else_in_the_room_and_is_heard() {
    let world = World::start().await;
    let (ada, boris) = (
        join(&world, "Ada", false).await,
        join(&world, "Boris", false).await,
    );
    let lounge = world.channel("Lounge").await;
    let chidi = world.person("Chidi").await;
    let bot = &world.bot.user_id;
    for (query, status) in [
        (format!("channelId={lounge}&userId={chidi}"), 400),
        (format!("channelId={lounge}&userId={bot}"), 404),
        (format!("channelId={lounge}"), 400),
        (format!("userId={ada}"), 400),
    ] {
        let refused = Socket::sound(&world, &query).await.err();
        assert_eq!(refused, Some(status), "{query}");
    }
    let sound = |who: &str| format!("channelId={lounge}&userId={who}");
    let mut adas = Socket::sound(&world, &sound(&ada)).await.expect("there");
    let mut boriss = Socket::sound(&world, &sound(&boris)).await.expect("there");
    let path = format!("duplex?token={}&target_identity={ada}", token(&world).await);
    let mut bots = Socket::ready(&world, &path).await;
    bots.says("subscribed").await;

    let framed = |who: &str, packet: Vec<u8>| {
        let id: uuid::Uuid = who.parse().expect("an id");
        [id.as_bytes().to_vec(), packet].concat()
    };
    bots.send(packet(1)).await;
    assert_eq!(adas.hears().await, framed(bot, packet(1)));
    assert_eq!(boriss.hears().await, framed(bot, packet(1)));
    // DTX comes from people's side, too; one's own voice does not come back.
    adas.send(vec![0xf8]).await;
    adas.send(packet(2)).await;
    assert_eq!(bots.hears().await, [0xf8]);
    assert_eq!(bots.hears().await, packet(2));
    assert_eq!(boriss.hears().await, framed(&ada, vec![0xf8]));
    assert_eq!(boriss.hears().await, framed(&ada, packet(2)));
    boriss.send(packet(3)).await;
    assert_eq!(adas.hears().await, framed(&boris, packet(3)));

    join(&world, "Boris", true).await;
    assert_eq!(boriss.end().await, End::Closed(1000));
    adas.send(vec![0xf9, 0]).await;
    match adas.message().await {
        Some(Message::Text(text)) => assert!(text.contains("invalid Opus packet"), "{text}"),
        other => panic!("an error was due and not {other:?}"),
    }
    assert_eq!(adas.end().await, End::Closed(1008));

    // Ada is still there, until a client that leaves goes.
    let here = |space: &Value| find(&space["members"], "displayName", "Ada", "voiceChannelId");
    assert_eq!(here(&world.space().await), lounge);
    let mut page = page_events(&world).await;
    let client = format!("{}&leave=true", sound(&ada));
    let client = Socket::sound(&world, &client).await.expect("there");
    client.close().await;
    while page.next().await.data["type"] != "world" {}
    let members = world.space().await["members"].clone();
    let mut members = members.as_array().expect("a list").iter();
    let gone = members.find(|member| member["userId"] == ada.as_str());
    assert_eq!(gone.expect("a member")["voiceChannelId"], Value::Null);
}

#[tokio::test]
async fn faults_of_voice_strike_open_sockets_and_those_to_come() {
    let world = World::start().await;
    let path = format!("connect?token={}", token(&world).await);

    world
        .sim("fault", json!({"kind": "voiceRefuse", "status": 503}))
        .await;
    assert_eq!(Socket::open(&world, &path, None).await.err(), Some(503));

    for (fault, end) in [
        (json!({"kind": "voiceClose"}), End::Closed(1001)),
        (
            json!({"kind": "voiceClose", "code": 4000}),
            End::Closed(4000),
        ),
        (json!({"kind": "voiceCut"}), End::Cut),
    ] {
        let socket = Socket::ready(&world, &path).await;
        world.sim("fault", fault).await;
        assert_eq!(socket.end().await, end);
    }
    let mut socket = Socket::ready(&world, &path).await;
    world.sim("fault", json!({"kind": "voiceError"})).await;
    socket.says("error").await;
    assert_eq!(socket.end().await, End::Closed(1008));

    // One that comes later.
    world.sim("fault", json!({"kind": "voiceCut"})).await;
    let socket = Socket::ready(&world, &path).await;
    assert_eq!(socket.end().await, End::Cut);
}

#[tokio::test]
async fn a_stalled_voice_socket_reads_on_when_the_time_has_passed() {
    let world = World::start().await;
    let path = format!("connect?token={}", token(&world).await);
    let mut socket = Socket::ready(&world, &path).await;
    let stall = json!({"kind": "voiceStall", "seconds": 100});
    world.sim("fault", stall).await;
    // Each round is an answer of the server, not a sleep.
    while world.sim("faults", Value::Null).await["struck"] != 1 {}
    socket.send(packet(7)).await;
    let lounge = world.channel("Lounge").await;
    let query = format!(
        "recording?channelId={lounge}&participant={}",
        world.bot.user_id
    );
    // Rounds enough for a server that reads to have read it.
    for _ in 0..100 {
        assert_eq!(world.sim(&query, Value::Null).await["count"], 0);
    }
    world.sim("time", json!({"advance": 100})).await;
    recording(&world, &world.bot.user_id, 1).await;
    socket.close().await;
}

#[tokio::test]
async fn a_file_is_spoken_and_what_was_heard_is_a_file() {
    let world = World::start().await;
    let ada = join(&world, "Ada", false).await;
    let lounge = world.channel("Lounge").await;
    // From an encoder that is not ours: half a second of a tone.
    let spoken = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/sim/data/tone.opus"
    ));
    let spoken = spoken.expect("the file");
    let body = json!({
        "userId": ada, "channelId": lounge, "ogg": STANDARD.encode(&spoken), "intervalMs": 0,
    });
    let said = world.sim("speak", body).await["spoken"]
        .as_u64()
        .expect("a number");
    assert_eq!(
        said, 26,
        "0.5 s in packets of 20 ms, and what the encoder needs to begin"
    );

    let base = format!(
        "{}/_sim/recording.ogg?channelId={lounge}",
        world.server.base_url()
    );
    let heard = world
        .http
        .get(format!("{base}&participant={ada}"))
        .send()
        .await;
    let heard = heard.expect("an answer");
    assert_eq!(heard.headers()["content-type"], "audio/ogg");
    let heard = heard.bytes().await.expect("a file");
    // Spoken again, it is the same.
    let body = json!({
        "userId": ada, "channelId": lounge, "ogg": STANDARD.encode(&heard), "intervalMs": 0,
    });
    assert_eq!(world.sim("speak", body).await["spoken"], said);

    let nobody = answer(world.http.get(format!("{base}&participant={lounge}"))).await;
    assert_eq!(nobody.0, 404, "{}", nobody.1);
    let wrong = json!({ "userId": ada, "channelId": lounge, "ogg": STANDARD.encode("RIFF") });
    let (status, answer) = world.control("speak", wrong).await;
    let message = answer["message"].as_str().expect("a message");
    assert!(
        status == 400 && message.contains("no whole Ogg file"),
        "{message}"
    );
}
