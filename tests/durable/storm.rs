//! What is done to a host in the chaos tests, from a seed, and the oracle that judges it afterwards.
//!
//! The oracle is the server and the bot's database: every message that a person wrote was handled by every
//! script, each answer to it appears once, a counter in the key-value store was raised once for each
//! message and script, and what a script was told to be stored is stored. Every command that somebody ran
//! and every button that somebody clicked is answered once by the script that it belongs to; with a server
//! that keeps the position itself, one that was lost with its connection is not answered at all, and one
//! that a handler has begun on is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::restart::CONFIG;
use crate::support::{Process, Sim, World, bot};

/// The scripts that are subscribed.
const SCRIPTS: [&str; 2] = ["first", "second"];

/// Counts, stores and answers. What is refused for certain (a full disk, a bare 500 of this server) is
/// asked once more; a refusal that leaves open what happened is given up and said. Most handlers take their
/// time between two steps, so that whatever happens meets some in the middle.
const SCRIPT: &str = r#"
local function insist(what, f)
    while true do
        local ok, failure = pcall(f)
        if ok then return end
        if failure.status ~= 500 and failure.code ~= "disk" then
            print(`gave up {what}: {failure}`)
            return
        end
        task.wait(0.05)
    end
end
local function answer(interaction, what)
    local id = interaction.interactionId
    print(`took <{what} {id}>`)
    insist(`patience {id}`, function() interaction:defer() end)
    insist(`answer {what} {id}`, function() interaction:reply(`{script.name} {what} {id}`) end)
end
argon.command{ name = `{script.name}-ask`, description = "Asks", run = function(interaction)
    answer(interaction, "ran")
end }
argon.onControl(`press-{script.name}`, function(interaction) answer(interaction, "pressed") end)
argon.on("messageCreate", function(event)
    local text = event.message.text
    local number = tonumber(string.match(text, "%d+")) or 0
    local function pause() task.wait(number % 4 * 0.3) end
    insist(`count {text}`, function()
        argon.kv.update("count", function(count) return (count or 0) + 1 end)
    end)
    pause()
    insist(`store {text}`, function() argon.kv.set("seen/" .. text, true) end)
    print(`stored <{text}>`)
    pause()
    insist(`answer {text}`, function()
        event:reply({ text = `{script.name} {text}`, controls = { { controls = {
            { type = "button", variant = "callback", id = `press-{script.name}`, label = "Press" },
        } } } })
    end)
end)
"#;

/// Where people write.
const CHANNELS: [&str; 3] = ["general", "random", "news"];

/// How long the backlog may take at the end: a whole window of the rate limit, and a stream that was
/// refused five times waits a minute.
const AFTERMATH: Duration = Duration::from_secs(180);

/// SplitMix64, so that a seed gives the same plan whatever else is in the program.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In [0, `below`).
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// Something that is done to the host or the server.
#[derive(Debug, Clone)]
pub enum Act {
    /// `kill -9`, and a new start.
    Kill,
    /// SIGTERM, and a new start.
    Stop,
    /// It does not run for so long, so that what it is sent waits in its socket; then `kill -9`, and a new
    /// start.
    Freeze(Duration),
    /// A script is changed, and stays good.
    Edit(&'static str),
    /// A script is broken, and mended.
    Break(&'static str),
    /// Every script is loaded again.
    Hangup,
    /// Nothing can be written for so long.
    DiskFull(Duration),
    /// The server's clock goes forward by so many seconds.
    Jump(u64),
    /// The host's clock is put forward by so many seconds, or back, while it does not run: `kill -9`, and a
    /// new start. A process cannot be given a clock of its own without help of the system; so what it has
    /// stored is made older, which is the same to the process that reads it.
    Clock(i64),
}

impl Act {
    /// Mostly kills.
    pub fn of_any_kind(random: &mut Random) -> Self {
        let script = SCRIPTS[random.below(2) as usize];
        match random.below(18) {
            0..6 => Act::Kill,
            6 => Act::Stop,
            7..9 => Act::Freeze(random.milliseconds(200, 1_500)),
            9..11 => Act::Edit(script),
            11 => Act::Break(script),
            12 => Act::Hangup,
            // What is refused is tried again after a second.
            13..15 => Act::DiskFull(random.milliseconds(1_000, 4_000)),
            15 => Act::Jump(1 + random.below(10)),
            // Within what the windows live, or what came before would be forgotten.
            _ => Act::Clock(random.below(600) as i64 - 300),
        }
    }

    /// A kill, or one in the middle of what comes.
    pub fn of_killing(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Act::Freeze(random.milliseconds(20, 200)),
            _ => Act::Kill,
        }
    }
}

/// A host, a server, and somebody who writes all the time.
pub struct Storm {
    sim: Sim,
    dir: tempfile::TempDir,
    host: Process,
    world: World,
    /// Whether the server sends again what a connection lost.
    replays: bool,
    writer: Option<(Arc<AtomicBool>, JoinHandle<Done>)>,
    stored: BTreeSet<String>,
    /// Interactions that a handler has begun on.
    taken: BTreeSet<String>,
    given_up: Vec<String>,
    edits: u64,
    pub kills: u64,
    pub written: Vec<String>,
    /// Commands and clicks: the answer to each.
    pub asked: Vec<String>,
}

/// What people did.
#[derive(Default)]
struct Done {
    written: Vec<String>,
    asked: Vec<String>,
}

impl Storm {
    /// A server of that dialect with these arguments, and a host that runs at it.
    pub async fn start(dialect: &str, more: &[&str]) -> Self {
        let sim = ["--limits", "off", "--dialect", dialect];
        let sim = Sim::start_with(&[&sim, more].concat()).await;
        let scripts = SCRIPTS.map(|name| (format!("{name}.luau"), SCRIPT));
        let scripts: Vec<_> = scripts
            .iter()
            .map(|(name, text)| (&**name, *text))
            .collect();
        let config = format!("{CONFIG}[scripts]\nrollback = 0\n");
        let dir = bot(&config, &scripts);
        let world = World::at(&sim.base).await;
        let mut host = launch(dir.path(), &sim);
        host.line("live after").await;
        Self {
            sim,
            dir,
            host,
            world,
            replays: dialect == "documented",
            writer: None,
            stored: BTreeSet::new(),
            taken: BTreeSet::new(),
            given_up: Vec::new(),
            edits: 0,
            kills: 0,
            written: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Somebody writes a message about every `pace` from now on.
    pub async fn let_people_write(&mut self, seed: u64, pace: Duration) {
        let world = World::at(&self.sim.base).await;
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let begun = self.written.len();
        let mut random = Random::new(seed);
        let writer = tokio::spawn(async move {
            let mut done = Done::default();
            while !end.load(Ordering::Relaxed) {
                let channel = CHANNELS[random.below(3) as usize];
                let (person, script) =
                    (random.below(3) as usize, SCRIPTS[random.below(2) as usize]);
                let answer = match random.below(4) {
                    0 => ask(&world, person, channel, script).await,
                    1 => press(&world, person, channel, script).await,
                    _ => None,
                };
                match answer {
                    Some(answer) => done.asked.push(answer),
                    None => {
                        let text = format!("no {};", begun + done.written.len());
                        world.write(person, channel, &text).await;
                        done.written.push(text);
                    }
                }
                tokio::time::sleep(pace.mul_f64(random.below(200) as f64 / 100.0)).await;
            }
            done
        });
        self.writer = Some((over, writer));
    }

    async fn let_people_rest(&mut self) {
        if let Some((over, writer)) = self.writer.take() {
            over.store(true, Ordering::Relaxed);
            let done = writer.await.expect("people write");
            self.written.extend(done.written);
            self.asked.extend(done.asked);
        }
    }

    pub async fn act(&mut self, act: &Act) {
        match act {
            Act::Kill => {
                self.kills += 1;
                self.end("KILL").await;
                self.host = launch(self.dir.path(), &self.sim);
            }
            Act::Stop => {
                self.end("TERM").await;
                self.host = launch(self.dir.path(), &self.sim);
            }
            Act::Freeze(time) => {
                self.host.freeze().await;
                tokio::time::sleep(*time).await;
                self.kills += 1;
                self.end("KILL").await;
                self.host = launch(self.dir.path(), &self.sim);
            }
            Act::Clock(seconds) => {
                self.kills += 1;
                self.end("KILL").await;
                make_older(self.dir.path(), *seconds);
                self.host = launch(self.dir.path(), &self.sim);
            }
            Act::Edit(script) => self.edit(script),
            Act::Break(script) => {
                self.write_script(script, "argon.on(");
                tokio::time::sleep(Duration::from_millis(300)).await;
                self.edit(script);
            }
            Act::Hangup => self.host.signal("HUP"),
            Act::DiskFull(time) => {
                limit_files(&self.host, "0");
                tokio::time::sleep(*time).await;
                limit_files(&self.host, "unlimited");
            }
            Act::Jump(seconds) => {
                self.world.act("time", json!({ "advance": seconds })).await;
            }
        }
    }

    fn edit(&mut self, script: &str) {
        self.edits += 1;
        let text = format!("-- version {}\n{SCRIPT}", self.edits);
        self.write_script(script, &text);
    }

    fn write_script(&self, script: &str, text: &str) {
        let path = self.dir.path().join(format!("scripts/{script}.luau"));
        std::fs::write(path, text).expect("a script");
    }

    async fn end(&mut self, signal: &str) {
        self.host.signal(signal);
        self.host.ended().await;
        self.take_note();
    }

    /// What the scripts of the process that has ended have said.
    fn take_note(&mut self) {
        for line in self.host.output().lines() {
            if let Some((script, rest)) = line.split_once(": stored <")
                && let Some(script) = script.rsplit('/').next()
            {
                let text = rest.trim_end_matches('>');
                self.stored.insert(format!("{script} seen/{text}"));
            } else if let Some((script, rest)) = line.split_once(": took <")
                && let Some(script) = script.rsplit('/').next()
            {
                self.taken
                    .insert(format!("{script} {}", rest.trim_end_matches('>')));
            } else if line.contains("gave up ") {
                self.given_up.push(line.to_owned());
            }
            assert!(!line.contains("panicked"), "{line}");
        }
    }

    /// Peace: the faults end, the host comes to the end of what it has to do, and is judged.
    pub async fn judge(&mut self) {
        self.let_people_rest().await;
        let faults = format!("{}/_sim/faults", self.world.base);
        let cleared = reqwest::Client::new().delete(faults).send().await;
        assert!(cleared.expect("an answer").status().is_success());
        // A fresh one, with all of its limits.
        self.act(&Act::Kill).await;
        let begun = Instant::now();
        let mut faults = self.faults().await;
        let mut before = usize::MAX;
        while faults.iter().any(|fault| fault.starts_with("missing")) && begun.elapsed() < AFTERMATH
        {
            if faults.len() != before {
                before = faults.len();
                println!("{before} to go after {:?}", begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            faults = self.faults().await;
        }
        // What comes a second time would come now, after what comes a first time.
        self.world.write(0, "general", "the last one;").await;
        self.written.push("the last one;".to_owned());
        while !self
            .missing(&self.answers().await, "the last one;")
            .is_empty()
            && begun.elapsed() < AFTERMATH
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.end("TERM").await;
        faults = self.faults().await;
        faults.extend(self.strangers().await);
        faults.extend(self.faults_of_store());
        assert!(
            faults.is_empty(),
            "{} faults in {} messages after {} kills:\n{}\ngiven up:\n{}\nthe last host said:\n{}",
            faults.len(),
            self.written.len(),
            self.kills,
            faults.join("\n"),
            self.given_up.join("\n"),
            self.host.output(),
        );
    }

    fn missing(&self, answers: &BTreeMap<String, usize>, text: &str) -> Vec<String> {
        let wanted = SCRIPTS.iter().map(|script| format!("{script} {text}"));
        wanted
            .filter(|answer| !answers.contains_key(answer))
            .collect()
    }

    /// What is wrong with the answers: missing, or there more than once.
    async fn faults(&self) -> Vec<String> {
        let answers = self.answers().await;
        let mut faults = Vec::new();
        for text in &self.written {
            for answer in self.missing(&answers, text) {
                if !self
                    .given_up
                    .iter()
                    .any(|line| line.contains(&format!("answer {text}")))
                {
                    faults.push(format!("missing: {answer}"));
                }
            }
        }
        for answer in &self.asked {
            let gave_up = || {
                let what = answer.split_once(' ').map_or("", |(_, what)| what);
                let line = format!("gave up answer {what}");
                self.given_up.iter().any(|told| told.contains(&line))
            };
            let owed = self.replays || self.taken.contains(answer);
            if owed && !answers.contains_key(answer) && !gave_up() {
                faults.push(format!("missing: {answer}"));
            }
        }
        let doubled = answers.iter().filter(|(_, count)| **count > 1);
        faults.extend(doubled.map(|(answer, count)| format!("{count} times: {answer}")));
        faults
    }

    /// Answers that nobody has asked for.
    async fn strangers(&self) -> Vec<String> {
        let of_messages = self.written.iter();
        let of_messages =
            of_messages.flat_map(|text| SCRIPTS.map(|script| format!("{script} {text}")));
        let wanted: BTreeSet<String> = of_messages.chain(self.asked.iter().cloned()).collect();
        let answers = self.answers().await.into_keys();
        let strangers = answers.filter(|answer| !wanted.contains(answer));
        strangers
            .map(|answer| format!("not asked for: {answer}"))
            .collect()
    }

    /// How often each answer is there.
    async fn answers(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for channel in CHANNELS {
            let channel = self.world.channel(channel);
            let mut before = String::new();
            loop {
                let path = format!("messages?channelId={channel}&limit=500{before}");
                let page = self.world.get(&path).await;
                let messages = page["messages"].as_array().expect("messages");
                for message in messages.iter().filter(|one| one["sender"]["isBot"] == true) {
                    let text = message["text"].as_str().expect("a text");
                    *count.entry(text.to_owned()).or_default() += 1;
                }
                let Some(first) = messages.first().filter(|_| messages.len() == 500) else {
                    break;
                };
                let id = &first["messageId"];
                let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                before = format!("&before={id}");
            }
        }
        count
    }

    /// What is wrong with the key-value store.
    fn faults_of_store(&self) -> Vec<String> {
        let export = Command::new(env!("CARGO_BIN_EXE_argon-host"))
            .args(["kv", "export"])
            .current_dir(self.dir.path())
            .envs([
                ("ARGON_TOKEN", &*self.sim.token),
                ("ARGON_URL", &*self.sim.base),
            ])
            .output()
            .expect("the export runs");
        let text = String::from_utf8(export.stdout).expect("text");
        let entries = text.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let part = |name: &str| entry[name].as_str().expect("a text").to_owned();
            let space = part("space");
            let script = space.rsplit([':', '/']).next().unwrap_or(&space).to_owned();
            (format!("{script} {}", part("key")), entry["value"].clone())
        });
        let entries: BTreeMap<String, Value> = entries.collect();
        let mut faults = Vec::new();
        for script in SCRIPTS {
            let count = &entries
                .get(&format!("{script} count"))
                .cloned()
                .unwrap_or_default();
            let wanted = self.written.len();
            if *count != wanted && self.given_up.is_empty() {
                faults.push(format!("{script} has counted {count} of {wanted} messages"));
            }
            for text in &self.written {
                let key = format!("{script} seen/{text}");
                if !entries.contains_key(&key) {
                    faults.push(format!("not stored: {key}"));
                }
            }
        }
        let lost = self.stored.iter().filter(|key| !entries.contains_key(*key));
        faults.extend(lost.map(|key| format!("acknowledged and not stored: {key}")));
        faults
    }
}

/// Makes the times that the host has stored by its own clock so many seconds older.
fn make_older(dir: &Path, seconds: i64) {
    let database = rusqlite::Connection::open(dir.join(".argon/demo.db")).expect("the state");
    for (table, column) in [
        ("scope", "seen"),
        ("trail", "at"),
        ("kv", "expires"),
        ("timer", "given"),
    ] {
        let sql = format!("UPDATE {table} SET {column} = {column} - ?1");
        let changed = database.execute(&sql, [seconds * 1000]);
        changed.expect("the state can be written");
    }
}

/// Somebody runs a script's command. Answers what it has to say; none while the command is not known.
async fn ask(world: &World, person: usize, channel: &str, script: &str) -> Option<String> {
    let body = json!({
        "userId": world.person(person), "channelId": world.channel(channel),
        "name": format!("{script}-ask"), "options": {},
    });
    let id = world.try_act("command", body).await?["interactionId"].clone();
    Some(format!("{script} ran {}", id.as_str()?))
}

/// Somebody presses the button of the newest message of a script. Answers what it has to say; none without
/// such a message.
async fn press(world: &World, person: usize, channel: &str, script: &str) -> Option<String> {
    let channel = world.channel(channel);
    let page = world
        .get(&format!("messages?channelId={channel}&limit=50"))
        .await;
    let control = format!("press-{script}");
    let message = page["messages"].as_array()?.iter().rev().find(|message| {
        let controls = message["controls"].to_string();
        message["sender"]["isBot"] == true && controls.contains(&control)
    })?;
    let body = json!({
        "userId": world.person(person), "channelId": channel,
        "messageId": message["messageId"], "controlId": control,
    });
    let id = world.try_act("click", body).await?["interactionId"].clone();
    Some(format!("{script} pressed {}", id.as_str()?))
}

/// The host, so that writing beyond a limit is an error and not its end.
pub fn launch(dir: &Path, sim: &Sim) -> Process {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; exec \"$0\" run",
        env!("CARGO_BIN_EXE_argon-host"),
    ]);
    let env = [("ARGON_TOKEN", &*sim.token), ("ARGON_URL", &*sim.base)];
    Process::start_as(dir, command, &env)
}

/// How large the files may be that the host writes: what a full disk is to a process that is not root.
pub fn limit_files(host: &Process, bytes: &str) {
    let set = Command::new("prlimit")
        .args([format!("--pid={}", host.id()), format!("--fsize={bytes}:")])
        .status()
        .expect("prlimit of util-linux, which every Debian has");
    assert!(set.success(), "the limit is set");
}
