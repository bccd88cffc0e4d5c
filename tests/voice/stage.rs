//! A bot with voice, and what the embedded server heard of it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::{self, PATIENCE, Process, Sim, World, embedded_bot, run_embedded};

/// The files of the tests.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/voice/data")
}

/// A running bot, with the test files in its folder `audio`.
pub struct Stage {
    pub process: Process,
    pub world: World,
    dir: tempfile::TempDir,
    bot: String,
}

impl Stage {
    /// Starts a bot whose script is `stage`: what is written as `!go` runs `body` in a handler, with
    /// `voice` joined in the lounge (with those options). It says `done` when it is over.
    pub async fn start(options: &str, body: &str) -> Self {
        Self::with(&[("stage.luau", &script(options, body))]).await
    }

    /// Starts a bot with these scripts.
    pub async fn with(scripts: &[(&str, &str)]) -> Self {
        let dir = embedded_bot(scripts, "");
        copy_audio(dir.path());
        let (process, world) = run_embedded(dir.path(), &[]).await;
        Self::of(process, world, dir).await
    }

    /// Starts a bot with these scripts at a server of its own.
    pub async fn at(sim: &Sim, scripts: &[(&str, &str)]) -> Self {
        let (url, token) = (&sim.base, &sim.token);
        let config = format!("[bot]\ntoken = \"{token}\"\n[server]\nurl = \"{url}\"\n");
        let dir = support::bot(&config, scripts);
        copy_audio(dir.path());
        let world = World::at(url).await;
        let mut process = Process::start(dir.path(), &["run"], &[]);
        process.line("live").await;
        Self::of(process, world, dir).await
    }

    async fn of(process: Process, world: World, dir: tempfile::TempDir) -> Self {
        let state = world.get("state").await;
        let members = state["spaces"][0]["members"]
            .as_array()
            .expect("members")
            .clone();
        let bot = members
            .iter()
            .find(|member| member["isBot"] == true)
            .expect("the bot");
        Self {
            bot: bot["userId"].as_str().expect("an id").to_owned(),
            process,
            world,
            dir,
        }
    }

    /// Runs the script's body. Does not wait for it.
    pub async fn go(&self) {
        let text = format!("!go {}", self.world.channel("Lounge"));
        self.world.write(0, "general", &text).await;
    }

    /// Runs the script's body and waits until it says that it is over; panics with what it says else.
    pub async fn play(&self) {
        let mut events = self.world.events().await;
        self.go().await;
        let said = events.bot_message().await;
        assert_eq!(said["text"], "done", "{}", self.process.output());
    }

    /// What the server heard so far: when each packet came (ms), and the packets.
    pub async fn heard(&self) -> (Vec<f64>, Vec<Vec<u8>>) {
        let lounge = self.world.channel("Lounge");
        self.recording(&format!("channelId={lounge}")).await
    }

    /// Waits until so many packets that are not silence were heard in a room; all of them so far.
    pub async fn audible(&self, room: &str, count: usize) -> Vec<Vec<u8>> {
        let listening = async {
            loop {
                let (_, mut heard) = self.recording(room).await;
                heard.retain(|packet| packet != SILENCE);
                if heard.len() >= count {
                    return heard;
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, listening).await;
        heard.unwrap_or_else(|_| panic!("{count} packets never came:\n{}", self.process.output()))
    }

    /// The bot's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The same of a room.
    pub async fn recording(&self, room: &str) -> (Vec<f64>, Vec<Vec<u8>>) {
        let path = format!("recording?{room}&participant={}", self.bot);
        let recording = self.world.get(&path).await;
        let packets: &Vec<Value> = recording["packets"].as_array().expect("packets");
        let times = packets
            .iter()
            .map(|packet| packet["ms"].as_f64().expect("a time"));
        let data = packets.iter().map(|packet| {
            let data = packet["data"].as_str().expect("base64");
            STANDARD.decode(data).expect("base64")
        });
        (times.collect(), data.collect())
    }
}

/// The script of [`Stage::start`].
pub fn script(options: &str, body: &str) -> String {
    format!(
            "argon.on('messageCreate', function(event)
                local text = event.message.text or ''
                if text:sub(1, 3) ~= '!go' then return end
                local channelId = text:sub(5)
                local spaceId = event.spaceId :: string
                local ok, problem = pcall(function()
                    local voice = argon.voice.join{{ spaceId = spaceId, channelId = channelId, {options} }}
                    {body}
                end)
                event:reply(ok and 'done' or tostring(problem))
            end)"
    )
}

fn copy_audio(dir: &Path) {
    let audio = dir.join("audio");
    std::fs::create_dir(&audio).expect("a folder");
    for file in std::fs::read_dir(data()).expect("the files") {
        let file = file.expect("a file").path();
        std::fs::copy(&file, audio.join(file.file_name().expect("a name"))).expect("a copy");
    }
}

/// The platform's silence.
pub const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];

/// The packets of an Ogg Opus file, read without the project's own reader; links after one another.
pub fn packets_of(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::File::open(path).expect("a file");
    let mut reader = ogg::PacketReader::new(std::io::BufReader::new(file));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("Ogg") {
        if !packet.data.starts_with(b"OpusHead") && !packet.data.starts_with(b"OpusTags") {
            packets.push(packet.data);
        }
    }
    packets
}
