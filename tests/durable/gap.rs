//! What the server has written into a socket that nobody read any more.

use serde_json::Value;

use crate::restart::{CONFIG, run, said, start};
use crate::support::{Process, Sim, World, bot};

const ECHO: &str = r#"
argon.on("messageCreate", function(event)
    event:reply(`{event.message.text} by {event.message.sender.username} {event.recovered} {event.replayed}`)
end)
"#;

/// Waits until the server takes every event for delivered.
async fn delivered(world: &World) {
    let all = |snapshot: &Value| {
        let spaces = snapshot["feed"]["spaces"].as_object().expect("spaces");
        let bots = snapshot["feed"]["bots"].as_object().expect("bots");
        bots.values().all(|bot| {
            let positions = bot["positions"].as_array().expect("positions");
            positions.iter().all(|position| {
                let space = position[0].as_str().expect("a space");
                position[1] == spaces[space]["next"]
            })
        })
    };
    while !all(&world.get("snapshot").await) {
        tokio::task::yield_now().await;
    }
}

/// A bot that has answered `one`, and is killed with two messages in its socket.
async fn killed_with_two_in_the_socket(sim: &Sim, dir: &std::path::Path) -> World {
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut process = run(dir, sim).await;
    world.write(0, "general", "one").await;
    events.bot_message().await;
    delivered(&world).await;
    process.freeze().await;
    world.write(1, "general", "two").await;
    world.write(1, "random", "three").await;
    delivered(&world).await;
    process.signal("KILL");
    process.ended().await;
    world
}

async fn answers(process: &mut Process, world: &World, count: usize) -> Vec<String> {
    let mut events = world.events().await;
    while said(world).await.len() < count - 1 {
        events.bot_message().await;
    }
    process.signal("TERM");
    process.ended().await;
    let random = world.channel("random");
    let page = world.get(&format!("messages?channelId={random}")).await;
    let messages = page["messages"].as_array().expect("messages").iter();
    let of_bots = messages.filter(|message| message["sender"]["isBot"] == true);
    let mut all: Vec<_> = of_bots
        .map(|message| message["text"].as_str().expect("a text").to_owned())
        .collect();
    all.extend(said(world).await);
    all.sort();
    all
}

#[tokio::test]
async fn what_was_in_the_socket_of_a_killed_bot_is_found_in_the_history() {
    let sim = Sim::start_with(&["--dialect", "server"]).await;
    let dir = bot(CONFIG, &[("echo.luau", ECHO)]);
    let world = killed_with_two_in_the_socket(&sim, dir.path()).await;
    let mut process = start(dir.path(), &sim);
    process
        .line("2 messages that the event stream did not bring")
        .await;
    let all = answers(&mut process, &world, 3).await;
    let expected = [
        "one by ada nil nil",
        "three by boris true true",
        "two by boris true true",
    ];
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_server_that_replays_brings_what_was_in_the_socket_and_the_history_is_left_alone() {
    let sim = Sim::start_with(&["--dialect", "documented"]).await;
    let dir = bot(CONFIG, &[("echo.luau", ECHO)]);
    let world = killed_with_two_in_the_socket(&sim, dir.path()).await;
    let mut process = start(dir.path(), &sim);
    process.line("live after").await;
    let all = answers(&mut process, &world, 3).await;
    let expected = [
        "one by ada nil nil",
        "three by boris nil nil",
        "two by boris nil nil",
    ];
    assert_eq!(all, expected);
    let requests = world.get("requests?after=0").await.to_string();
    assert!(!requests.contains("History"), "{requests}");
}

#[tokio::test]
async fn nothing_is_fetched_when_catching_up_is_off() {
    let sim = Sim::start_with(&["--dialect", "server"]).await;
    let config = format!("{CONFIG}[events]\ncatch_up = \"0s\"\n");
    let dir = bot(&config, &[("echo.luau", ECHO)]);
    let world = killed_with_two_in_the_socket(&sim, dir.path()).await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "four").await;
    let all = answers(&mut process, &world, 3).await;
    assert_eq!(all, ["four by ada nil nil", "one by ada nil nil"]);
    let requests = world.get("requests?after=0").await.to_string();
    assert!(!requests.contains("History"), "{requests}");
}

/// Says for each message how often it came, and whether it came after the one that was written before it.
const REPORT: &str = r#"
local last, seen, trouble = {}, {}, {}
argon.on("messageCreate", function(event)
    local text = event.message.text
    local number = tonumber(text)
    if number == nil then
        local count = 0
        for _ in seen do
            count += 1
        end
        event:reply(`{count} seen {table.concat(trouble, " ")}`)
        return
    end
    local channel = event.message.channelId
    local key = `{channel}/{text}`
    if seen[key] then
        table.insert(trouble, `{text}-twice`)
    elseif number ~= (last[channel] or 0) + 1 then
        table.insert(trouble, `{text}-after-{last[channel]}`)
    end
    seen[key] = true
    last[channel] = number
end)
"#;

const TWO_SPACES: &str = r#"
[[space]]
name = "Workshop"
[[space.channel]]
name = "general"
[[space]]
name = "Attic"
[[space.channel]]
name = "boxes"
[[person]]
name = "Ada"
[[bot]]
name = "demo"
token = "0123456789abcdef0123456789abcdef:c2VjcmV0LW9mLXRoZS10ZXN0"
"#;

#[tokio::test]
async fn a_backlog_that_takes_longer_than_the_search_is_handled_once_and_in_order() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("world.toml");
    std::fs::write(&file, TWO_SPACES).expect("a file");
    let file = file.to_str().expect("a path");
    let sim = Sim::start_with(&["--dialect", "server", "--world", file]).await;
    let dir = bot(CONFIG, &[("report.luau", REPORT)]);
    let world = World::at(&sim.base).await;
    let state = world.get("state").await;
    let channel = |space: usize| state["spaces"][space]["channels"][0]["channelId"].clone();
    let write = async |space: usize, text: String| {
        let body = serde_json::json!({
            "userId": world.person(0), "channelId": channel(space), "text": text,
        });
        world.act("message", body).await;
    };
    let mut process = run(dir.path(), &sim).await;
    for space in [0, 1] {
        write(space, "1".into()).await;
    }
    delivered(&world).await;
    process.signal("TERM");
    process.ended().await;

    // The stream takes more than seven seconds for that, and the search begins after one.
    for number in 2..=700 {
        write(0, number.to_string()).await;
        if number % 10 == 0 {
            write(1, (number / 10 + 1).to_string()).await;
        }
    }
    let mut events = world.events().await;
    let _process = run(dir.path(), &sim).await;
    delivered(&world).await;
    write(0, "report".into()).await;
    let report = events.bot_message().await;
    // The first two came to the process before.
    assert_eq!(report["text"], "769 seen 2-after-nil 2-after-nil");
}
