//! A long life in little time: the server's clock goes forward by the hour, the stream is cut in every
//! hour and the voice socket in every second one, when its token is over, and nothing piles up.
//!
//! ```sh
//! cargo test --test durable day -- --ignored --nocapture
//! ```
//!
//! The host's own clock is real: it opens its stream four times a minute at most, so that a day of 24 cuts
//! takes six minutes.

use std::path::Path;

use serde_json::json;

use crate::restart::CONFIG;
use crate::support::{Process, Sim, World, bot};

/// Sings in a voice channel for good, and answers.
const SCRIPT: &str = r#"
argon.on("messageCreate", function(event)
    local text = event.message.text
    local channel = text:match("^sing in (.+)$")
    if channel then
        local voice = argon.voice.join{ spaceId = event.spaceId, channelId = channel }
        voice:on("reconnected", function() print("voice is back") end)
        voice:play("audio/tone.opus", { loop = true })
    end
    event:reply(`heard {text}`)
end)
"#;

/// What the host's process has.
#[derive(Debug, Clone, Copy)]
struct Size {
    resident_kib: u64,
    threads: usize,
    files: usize,
}

impl Size {
    fn of(process: &Process) -> Self {
        let proc = format!("/proc/{}", process.id());
        let count = |what: &str| {
            let entries =
                std::fs::read_dir(format!("{proc}/{what}")).expect("the process is there");
            entries.count()
        };
        let status =
            std::fs::read_to_string(format!("{proc}/status")).expect("the process is there");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next());
        Self {
            resident_kib: resident
                .and_then(|text| text.parse().ok())
                .expect("a number"),
            threads: count("task"),
            files: count("fd"),
        }
    }
}

async fn live_for(hours: u32) {
    let sim = Sim::start_with(&["--limits", "off"]).await;
    let dir = bot(CONFIG, &[("singer.luau", SCRIPT)]);
    let audio = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/voice/data/tone.opus");
    std::fs::create_dir(dir.path().join("audio")).expect("a folder");
    std::fs::copy(audio, dir.path().join("audio/tone.opus")).expect("a song");
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut host = crate::restart::run(dir.path(), &sim).await;
    let lounge = world.channel("Lounge");
    world
        .write(0, "general", &format!("sing in {lounge}"))
        .await;
    events.bot_message().await;
    let mut early = None;
    for hour in 1..=hours {
        world.act("time", json!({ "advance": 3600 })).await;
        world.act("fault", json!({ "kind": "drop" })).await;
        // Once at the start, and once more after each cut.
        let connects = 1 + hour as usize;
        while host
            .output()
            .matches("the event stream is connected")
            .count()
            < connects
        {
            host.line("").await;
        }
        if hour % 2 == 0 {
            world.act("fault", json!({ "kind": "voiceCut" })).await;
            host.line("voice is back").await;
        }
        for n in 0..20 {
            let text = format!("hour {hour} no {n}");
            world.write(0, "general", &text).await;
            let answer = events.bot_message().await;
            assert_eq!(answer["text"], format!("heard {text}"));
        }
        let size = Size::of(&host);
        println!("hour {hour}: {size:?}");
        if hour == 2 {
            early = Some(size);
        }
    }
    let (early, late) = (early.expect("two hours"), Size::of(&host));
    // A thread or a connection of a pool comes and goes.
    assert!(late.threads <= early.threads + 3, "{early:?} → {late:?}");
    assert!(late.files <= early.files + 3, "{early:?} → {late:?}");
    assert!(
        late.resident_kib <= early.resident_kib + 8 * 1024,
        "{early:?} → {late:?}"
    );
    host.signal("TERM");
    assert!(host.ended().await.success());
}

#[tokio::test]
async fn hours_of_disconnects_leave_nothing_behind() {
    live_for(3).await;
}

#[tokio::test]
#[ignore = "six minutes; on request"]
async fn a_day_of_disconnects_leaves_nothing_behind() {
    live_for(24).await;
}
