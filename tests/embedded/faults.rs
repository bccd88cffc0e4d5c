//! The host against everything that can go wrong between it and the platform: it survives each fault,
//! and every message is answered exactly once where the platform's promises allow it.

use std::collections::BTreeMap;

use crate::support::{Process, World, embedded_bot, run_embedded};
use serde_json::{Value, json};

/// Answers every message, and says so when it is through with one.
const ECHO: &str = r#"
argon.on("messageCreate", function(event)
    local text = event.message.text
    local ok, failure = pcall(function()
        event:reply("echo " .. text)
    end)
    print(`through with <{text}> {if ok then "well" else tostring(failure)}`)
end)
"#;

/// A running host whose script answers `text` with `echo text`, and its world.
pub struct Bot {
    pub host: Process,
    pub world: World,
    _dir: tempfile::TempDir,
}

impl Bot {
    async fn start() -> Self {
        Self::with(ECHO, "").await
    }

    /// With that script, and more keys of `[server]`.
    pub async fn with(script: &str, more: &str) -> Self {
        let dir = embedded_bot(&[("echo.luau", script)], more);
        let (host, world) = run_embedded(dir.path(), &[]).await;
        Self {
            host,
            world,
            _dir: dir,
        }
    }

    async fn arm(&self, fault: Value) {
        self.world.act("fault", fault).await;
    }

    /// Takes every fault back.
    pub async fn clear(&self) {
        let cleared = reqwest::Client::new()
            .delete(format!("{}/_sim/faults", self.world.base))
            .send()
            .await
            .expect("an answer");
        assert!(cleared.status().is_success());
    }

    /// Waits until that many faults have struck.
    async fn struck(&self, count: u64) {
        let all = async { while self.world.get("faults").await["struck"] != count {} };
        tokio::time::timeout(crate::support::PATIENCE, all)
            .await
            .expect("the fault strikes");
    }

    async fn write(&self, texts: &[&str]) {
        for text in texts {
            self.world.write(0, "general", text).await;
        }
    }

    /// Waits until the script is through with each message, in any order; the lines that it said so with.
    pub async fn through(&mut self, texts: &[&str]) -> Vec<String> {
        let mut open: Vec<_> = texts.iter().map(|text| format!("<{text}>")).collect();
        let mut said = Vec::new();
        while !open.is_empty() {
            let line = self.host.line("through with ").await;
            open.retain(|text| !line.contains(text.as_str()));
            said.push(line);
        }
        said
    }

    /// How often each message was answered.
    pub async fn answers(&self) -> BTreeMap<String, usize> {
        let channel = self.world.channel("general");
        let path = format!("messages?channelId={channel}&limit=500");
        let page = self.world.get(&path).await;
        let mut count = BTreeMap::new();
        for message in page["messages"].as_array().expect("messages") {
            if let Some(text) = message["text"]
                .as_str()
                .and_then(|t| t.strip_prefix("echo "))
            {
                *count.entry(text.to_owned()).or_default() += 1;
            }
        }
        count
    }

    /// Writes, waits and counts: every message is answered once.
    pub async fn answers_once(&mut self, texts: &[&str]) {
        self.write(texts).await;
        self.through(texts).await;
        let answers = self.answers().await;
        for text in texts {
            assert_eq!(answers.get(*text), Some(&1), "{text}: {answers:?}");
        }
    }

    /// Requests to the method, with status and fault.
    async fn requests(&self, method: &str) -> Vec<(u64, Value)> {
        let log = self.world.get("requests").await;
        let all = log["requests"].as_array().expect("requests").iter();
        all.filter(|request| request["path"].as_str().expect("a path").ends_with(method))
            .map(|request| {
                (
                    request["status"].as_u64().expect("a status"),
                    request["fault"].clone(),
                )
            })
            .collect()
    }
}

#[tokio::test]
async fn a_lost_answer_never_doubles_a_message() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "lose", "interface": "IMessages", "count": 2 }))
        .await;
    bot.answers_once(&["one"]).await;
    let sends = bot.requests("IMessages/v1/Send").await;
    let lost = sends.iter().filter(|(_, fault)| fault == "lose").count();
    assert_eq!((sends.len(), lost), (3, 2), "{sends:?}");
}

#[tokio::test]
async fn refused_requests_are_repeated_until_they_are_accepted() {
    let mut bot = Bot::start().await;
    for (status, count) in [(503, 2), (502, 1)] {
        let fault =
            json!({ "kind": "answer", "interface": "IMessages", "status": status, "count": count });
        bot.arm(fault).await;
    }
    bot.answers_once(&["through a proxy"]).await;
    let sends = bot.requests("IMessages/v1/Send").await;
    let statuses: Vec<_> = sends.into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses, [503, 503, 502, 200]);

    bot.arm(json!({ "kind": "answer", "interface": "IMessages", "status": 429 }))
        .await;
    bot.answers_once(&["not so fast"]).await;
}

#[tokio::test]
async fn a_bare_500_reaches_the_script_and_harms_nothing_else() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "answer", "interface": "IMessages", "status": 500 }))
        .await;
    bot.write(&["lost"]).await;
    let line = bot.host.line("through with <lost>").await;
    assert!(line.contains("IMessages/Send: 500"), "{line}");
    bot.answers_once(&["next"]).await;
    assert_eq!(bot.answers().await.get("lost"), None);
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "delay", "interface": "IMessages", "seconds": 0.4 }))
        .await;
    bot.answers_once(&["slow", "quick"]).await;
}

#[tokio::test]
async fn a_dropped_stream_goes_on_without_losing_an_event() {
    let mut bot = Bot::start().await;
    for (n, kind) in ["drop", "end"].into_iter().enumerate() {
        let before = format!("before {kind}");
        bot.write(&[&before]).await;
        bot.arm(json!({ "kind": kind })).await;
        bot.struck(n as u64 + 1).await;
        bot.through(&[&before]).await;
        let after = [
            format!("{kind} 1"),
            format!("{kind} 2"),
            format!("{kind} 3"),
        ];
        bot.answers_once(&after.each_ref().map(String::as_str))
            .await;
        let answers = bot.answers().await;
        assert_eq!(answers.get(&before), Some(&1), "{answers:?}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_opened_again() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "refuse", "status": 503, "count": 2 }))
        .await;
    bot.arm(json!({ "kind": "drop" })).await;
    bot.struck(1).await;
    bot.answers_once(&["while nobody listens"]).await;
    let streams = bot.requests("IEvents/v1/Stream").await;
    let statuses: Vec<_> = streams.into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses, [200, 503, 503, 200]);
}

#[tokio::test]
async fn a_stalled_stream_goes_on_where_it_stopped() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "stall", "seconds": 60 })).await;
    bot.struck(1).await;
    bot.write(&["first", "second"]).await;
    bot.world.act("time", json!({ "advance": 61 })).await;
    bot.write(&["third"]).await;
    bot.through(&["first", "second", "third"]).await;
    let answers = bot.answers().await;
    assert_eq!(
        answers.values().copied().collect::<Vec<_>>(),
        [1, 1, 1],
        "{answers:?}"
    );
    assert_eq!(
        bot.requests("IEvents/v1/Stream").await.len(),
        1,
        "the same stream"
    );
}

#[tokio::test]
async fn events_in_every_form_are_read() {
    let mut bot = Bot::start().await;
    let forms = [
        "badJson",
        "splitUtf8",
        "cr",
        "crlf",
        "comments",
        "multiline",
        "big",
        "unknownType",
    ];
    for (n, form) in forms.into_iter().enumerate() {
        bot.arm(json!({ "kind": "sse", "form": form })).await;
        let texts = [format!("Grüße 🎲 {form}"), format!("after {form}")];
        bot.answers_once(&texts.each_ref().map(String::as_str))
            .await;
        let faults = bot.world.get("faults").await;
        assert_eq!(faults["struck"], n + 1, "{form}: {faults}");
    }

    bot.arm(json!({ "kind": "sse", "form": "bom" })).await;
    bot.arm(json!({ "kind": "drop" })).await;
    bot.struck(forms.len() as u64 + 2).await;
    bot.answers_once(&["after a mark"]).await;
    assert_eq!(bot.requests("IEvents/v1/Stream").await.len(), 2);
}

#[tokio::test]
async fn doubled_and_reordered_events_are_handled_once() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "duplicate", "count": 8 })).await;
    bot.answers_once(&["1", "2", "3", "4"]).await;

    let channel = bot.world.channel("general");
    bot.world
        .act("fault", json!({ "kind": "reorder", "count": 4 }))
        .await;
    // A second written in one step, so that several leave together.
    let flood =
        json!({ "channelId": channel, "userId": bot.world.person(0), "count": 10, "text": "many" });
    bot.world.act("flood", flood).await;
    for _ in 0..10 {
        bot.host.line("through with <many> well").await;
    }
    bot.answers_once(&["last"]).await;
    assert_eq!(bot.answers().await.get("many"), Some(&10));
    let faults = bot.world.get("faults").await;
    assert_eq!(faults["faults"], json!([]), "all have struck: {faults}");
}

/// A fault of that kind, with what it needs, harmless enough that every message can be answered: the rest
/// is up to the tests above, which look at each kind more closely.
fn faults_of(kind: &Value) -> Vec<Value> {
    let mut faults = vec![json!({ "kind": kind["kind"] })];
    for field in kind["fields"].as_array().expect("fields") {
        let name = field["name"].as_str().expect("a name");
        match name {
            "status" => faults[0][name] = 503.into(),
            "seconds" => faults[0][name] = 0.1.into(),
            "interface" => faults[0][name] = "IMessages".into(),
            "form" => {
                let forms = field["choices"].as_array().expect("forms").iter();
                let with = |form: &Value| {
                    let mut fault = faults[0].clone();
                    fault[name] = form["value"].clone();
                    fault
                };
                faults = forms.map(with).collect();
            }
            "code" | "count" => {}
            other => panic!("a new field {other}: say here what the host is to survive"),
        }
    }
    faults
}

/// A host is driven through every kind that strikes `on`, by the server's own list, so that no kind is left
/// out: each is seen to strike, and every message is answered once. A host for each target: the few
/// messages of one stay within the window of `IMessages`.
async fn survives(on: &str) {
    let mut bot = Bot::start().await;
    let kinds = bot.world.get("faults/kinds").await;
    let kinds = kinds["kinds"].as_array().expect("a list").iter();
    let faults = kinds.filter(|kind| kind["on"] == on).flat_map(faults_of);
    let mut struck = 0;
    for (n, fault) in faults.enumerate() {
        let text = format!("{n}: {fault}").replace('"', "'");
        bot.arm(fault.clone()).await;
        struck += 1;
        if fault["kind"] == "reorder" {
            // Needs two events that leave together.
            let (channel, person) = (bot.world.channel("general"), bot.world.person(0));
            let flood = json!({ "channelId": channel, "userId": person, "count": 4, "text": text });
            bot.world.act("flood", flood).await;
            for _ in 0..4 {
                bot.through(&[&text]).await;
            }
            assert_eq!(bot.answers().await.get(&text), Some(&4), "{fault}");
        } else {
            if fault["kind"] == "refuse" || fault["form"] == "bom" {
                // Strikes when a stream is opened.
                bot.arm(json!({ "kind": "drop" })).await;
                struck += 1;
            }
            bot.answers_once(&[&text]).await;
        }
        bot.struck(struck).await;
        let left = bot.world.get("faults").await;
        assert_eq!(left["faults"], json!([]), "{fault}");
    }
    assert!(struck > 0, "the list has no fault that strikes {on}");
    bot.answers_once(&["peace"]).await;
}

#[tokio::test]
async fn every_fault_of_requests_is_survived() {
    survives("request").await;
}

#[tokio::test]
async fn every_fault_of_streams_is_survived() {
    survives("stream").await;
}

#[tokio::test]
async fn every_fault_of_events_is_survived() {
    survives("event").await;
}

/// Voice has its tests in `tests/voice/lost.rs`; everything is chaos.
#[tokio::test]
async fn no_fault_strikes_what_no_test_knows() {
    let bot = Bot::start().await;
    let kinds = bot.world.get("faults/kinds").await;
    for kind in kinds["kinds"].as_array().expect("a list") {
        let on = kind["on"].as_str().expect("what it strikes");
        let known = ["request", "stream", "event", "voice", "everything"];
        assert!(known.contains(&on), "{kind}");
    }
}

#[tokio::test]
async fn seeded_chaos_leaves_out_and_doubles_nothing_but_what_a_500_refused() {
    let mut bot = Bot::start().await;
    bot.arm(json!({ "kind": "chaos", "seed": 20 })).await;
    let texts: Vec<_> = (0..60).map(|n| format!("message {n}")).collect();
    for text in &texts {
        bot.write(&[text]).await;
    }
    let all: Vec<_> = texts.iter().map(String::as_str).collect();
    bot.through(&all).await;

    let faults = bot.world.get("faults").await;
    assert!(
        faults["struck"].as_u64().expect("a number") > 15,
        "{faults}"
    );
    let answers = bot.answers().await;
    assert!(answers.values().all(|&count| count == 1), "{answers:?}");
    let sends = bot.requests("IMessages/v1/Send").await;
    let refused = sends.iter().filter(|(status, _)| *status == 500).count();
    assert_eq!(answers.len() + refused, texts.len(), "{sends:?}");

    bot.clear().await;
    bot.answers_once(&["peace"]).await;
}

#[tokio::test]
async fn faults_can_be_armed_when_the_server_starts() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = [
        "sim",
        "--listen",
        "127.0.0.1:0",
        "--fault",
        "answer:interface=IMessages,status=503,count=3",
        "--fault",
        "drop",
        "--chaos",
        "7",
    ];
    let mut sim = Process::start(dir.path(), &args, &[]);
    let line = sim.line("base url").await;
    let world = World::at(line.split_whitespace().last().expect("an address")).await;
    // The address is printed when everything is armed.
    let faults = world.get("faults").await;
    assert_eq!(faults["chaos"], 7);
    assert_eq!(
        faults["faults"],
        json!([
            { "id": 1, "kind": "answer", "interface": "IMessages", "status": 503, "left": 3 },
            { "id": 2, "kind": "drop", "left": 1 },
        ])
    );
}

#[tokio::test]
async fn a_bots_own_config_arms_faults_in_the_embedded_server() {
    let more = "faults = [\"lose:interface=IMessages\", \"drop:count=2\"]\nchaos = 3\n";
    let dir = embedded_bot(&[("echo.luau", ECHO)], more);
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let faults = world.get("faults").await;
    assert_eq!(faults["chaos"], 3);
    let lose = json!({ "id": 1, "kind": "lose", "interface": "IMessages", "left": 1 });
    assert_eq!(faults["faults"][0], lose, "nothing was sent yet");
}

#[tokio::test]
async fn a_misspelt_fault_of_a_config_is_shown_at_its_place() {
    let dir = embedded_bot(&[("echo.luau", ECHO)], "faults = [\"drop\", \"dorp\"]\n");
    for command in ["run", "check"] {
        let mut host = Process::start(dir.path(), &[command], &[]);
        let line = host.line("there is no fault \"dorp\"").await;
        assert!(line.contains("bot.toml:7:19: error"), "{line}");
        assert!(!host.ended().await.success(), "{command}");
    }
}

#[tokio::test]
async fn a_misspelt_fault_is_wrong_usage_with_a_suggestion() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut sim = Process::start(dir.path(), &["sim", "--fault", "dorp"], &[]);
    sim.line("there is no fault \"dorp\": did you mean \"drop\"?")
        .await;
    assert_eq!(sim.ended().await.code(), Some(2));
}
