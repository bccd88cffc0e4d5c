//! Three scripts at full quota: the limit is used, not hit.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use argon_host::inbox::Inbox;
use argon_host::rest::{self, Client, Observer};
use argon_host::script::{self, ScriptSettings};
use argon_host::sim;
use bytes::Bytes;
use serde_json::Value;
use support::{PATIENCE, World};

/// A hundredth of the platform's segment, on both sides: 60 s of quota pass in 0.6 s.
const SEGMENT: Duration = Duration::from_millis(100);
const CALLS_PER_SCRIPT: usize = 3_334;

/// Makes calls of many interfaces, as many at a time as it can, and counts what came back.
const BUSY: &str = r#"
local NAME = script.name
local CALLS = script.config.calls
local space = script.config.space
local channel = script.config.channel

local kinds = {
    function(n) return argon.messages.send({ channelId = channel, text = `{NAME} {n}` }).messageId ~= nil end,
    function() return argon.messages.history({ channelId = channel, limit = 1 }).messages ~= nil end,
    function() argon.typing.start({ channelId = channel, kind = "thinking" }) return true end,
    function() return argon.channels.list({ spaceId = space }).channels ~= nil end,
    function() return argon.commands.list().commands ~= nil end,
    function() return argon.reactions.batchGet({ channelId = channel, messageIds = { "1" } }).messages ~= nil end,
    function() return argon.spaces.get({ spaceId = space }).name ~= nil end,
    function() return argon.archetypes.list({ spaceId = space }).archetypes ~= nil end,
    function() return argon.botSelf.getMe().userId ~= nil end,
}
-- In proportion to the limits, so that every window fills at about the same rate.
local weights = { 4, 4, 4, 4, 4, 4, 2, 2, 1 }
local order = {}
for kind, weight in weights do
    for _ = 1, weight do table.insert(order, kind) end
end

local n, done, failed = 0, 0, 0
local function worker()
    while n < CALLS do
        n += 1
        local mine = n
        local ok, answer = pcall(kinds[order[mine % #order + 1]], mine)
        if ok and answer then
            done += 1
        else
            failed += 1
            print("failed:", answer)
        end
    end
end

argon.on("messageCreate", function(event)
    if event.message.text ~= "go" then return end
    local workers = 60
    for _ = 1, 60 do
        task.spawn(function()
            worker()
            workers -= 1
            if workers == 0 then
                argon.messages.send({ channelId = channel, text = `finished {NAME} {done} {failed}` })
            end
        end)
    end
end)
"#;

struct Nobody;

impl Observer for Nobody {
    fn succeeded(&self, _: &'static argon_host::contract::Route, _: &Bytes) {}
    fn unauthorized(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mixed_calls_get_no_429_and_fair_shares() {
    let server = sim::Server::start(sim::Settings {
        segment: SEGMENT,
        ..sim::Settings::default()
    })
    .await
    .expect("the embedded server starts");
    let bot = server.add_bot("busy", false);
    let world = World::at(&server.base_url()).await;
    let client = Client::new(rest::Settings {
        base_url: server.base_url(),
        token: bot.token.clone(),
        segment: SEGMENT,
        observer: Arc::new(Nobody),
    })
    .expect("a client");

    let names = ["anna", "bert", "carl"];
    let dir = tempfile::tempdir().expect("a folder");
    let mut scripts = BTreeMap::new();
    for name in names {
        std::fs::write(dir.path().join(format!("{name}.luau")), BUSY).expect("a script");
        let config = serde_json::json!({
            "calls": CALLS_PER_SCRIPT, "space": world.space_id(), "channel": world.channel("general"),
        });
        scripts.insert(
            name.to_owned(),
            ScriptSettings {
                config,
                ..ScriptSettings::default()
            },
        );
    }
    let inbox = Inbox::new();
    let host = script::Host::load(
        script::Settings {
            scripts,
            ..script::Settings::of_folder(dir.path())
        },
        client.clone(),
        inbox.clone(),
        tokio::runtime::Handle::current(),
    )
    .await
    .expect("the scripts folder is there");
    host.open(script::Identity {
        user_id: bot.user_id.clone(),
        username: bot.username.clone(),
    });

    let mut events = world.events().await;
    inbox.append(go(&world), argon_host::inbox::Place::Id).await;
    let mut finished = Vec::new();
    let mut progress_at_first_finish = None;
    while finished.len() < names.len() {
        let event = tokio::time::timeout(
            PATIENCE,
            events.next("calls", |event| {
                event["type"] == "message" && event["message"]["sender"]["isBot"] == true
            }),
        )
        .await
        .expect("the calls go on");
        let text = event["message"]["text"].as_str().expect("text").to_owned();
        if let Some(result) = text.strip_prefix("finished ") {
            finished.push(result.to_owned());
            if progress_at_first_finish.is_none() {
                progress_at_first_finish = Some(requests(&world).await);
            }
        }
    }

    finished.sort();
    let expected: Vec<_> = names
        .iter()
        .map(|name| format!("{name} {CALLS_PER_SCRIPT} 0"))
        .collect();
    assert_eq!(finished, expected, "every call came back with its answer");

    let stats = client.stats();
    assert_eq!(stats.refused, 0, "the platform refused nothing: {stats:?}");
    let seen = requests(&world).await;
    assert!(seen.iter().all(|request| request["status"] != 429));

    // While all three wanted the limit, each got its third: what the first had sent when it
    // finished, the others had sent too, but for a tenth.
    let sends = sends_by_script(&progress_at_first_finish.expect("somebody finished"));
    let most = sends.values().max().copied().unwrap_or(0);
    for name in names {
        let own = sends.get(name).copied().unwrap_or(0);
        assert!(own * 10 >= most * 9, "unfair shares: {sends:?}");
    }
    host.stop(Duration::from_secs(10)).await;
    server.stop().await;
}

fn go(world: &World) -> argon_host::inbox::Event {
    let payload = serde_json::json!({
        "spaceId": world.space_id(), "channelId": world.channel("general"),
        "message": { "messageId": 1, "text": "go", "sender": { "userId": world.person(0) } },
    });
    argon_host::inbox::Event {
        id: format!("{}_1", world.space_id().replace('-', "")),
        kind: "messageCreate".to_owned(),
        payload: payload.to_string(),
        received: std::time::Instant::now(),
    }
}

async fn requests(world: &World) -> Vec<Value> {
    let log = world.get("requests?after=0").await;
    log["requests"].as_array().expect("requests").clone()
}

/// How many messages each script has sent, by the name in the text.
fn sends_by_script(requests: &[Value]) -> BTreeMap<String, usize> {
    let mut sends = BTreeMap::new();
    for request in requests {
        if let Some(text) = request["body"]["text"].as_str() {
            let name = text.split(' ').next().unwrap_or("").to_owned();
            *sends.entry(name).or_default() += 1;
        }
    }
    sends
}
