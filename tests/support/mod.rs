//! Shared by the behaviour tests: the real binary as a child process, and a person in the embedded
//! server's world.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long anything may take before a test calls it broken: generous, because CI is slow, more than the
/// minute after which the platform lets a bot connect again, and never used to wait for a known moment.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// The dialect that the embedded servers of this test binary speak.
pub fn dialect() -> &'static str {
    match env!("CARGO_CRATE_NAME") {
        "documented" => "documented",
        _ => "server",
    }
}

/// A running `argon-host`, or another program.
pub struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the binary in `dir`; both outputs are read line by line.
    pub fn start(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_argon-host"));
        command.args(args);
        Self::start_as(dir, command, env)
    }

    /// Starts a command that becomes the binary, in `dir`.
    pub fn start_as(dir: &Path, mut command: Command, env: &[(&str, &str)]) -> Self {
        command
            .current_dir(dir)
            .env_remove("RUST_LOG")
            .env_remove("ARGON_TOKEN")
            .envs(env.iter().copied());
        Self::spawn(command)
    }

    /// Starts any program; both outputs are read line by line.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = mpsc::unbounded_channel();
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        follow(stdout, sender.clone(), output.clone());
        follow(stderr, sender, output.clone());
        Self {
            child,
            lines,
            output,
        }
    }

    /// The next output line that contains `needle`; panics with the whole output if none comes.
    pub async fn line(&mut self, needle: &str) -> String {
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(needle) {
                    return Some(line);
                }
            }
            None
        })
        .await;
        match found {
            Ok(Some(line)) => line,
            _ => panic!("no line with {needle:?} in the output:\n{}", self.output()),
        }
    }

    /// Everything that was printed so far.
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the child.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill: run the test command of the README, which installs procps");
        assert!(sent.success(), "the process is there");
    }

    /// Stops every thread of the child, as they are; what has been sent to it lies in its sockets.
    pub async fn freeze(&self) {
        self.signal("STOP");
        // The signal is taken by one thread, and reaches the others when that one next runs.
        let tasks = format!("/proc/{}/task", self.child.id());
        let stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = task.expect("a thread").path().join("stat");
            // A thread that has ended meanwhile has none: then all of them are looked at again.
            let stat = std::fs::read_to_string(stat).unwrap_or_default();
            // proc_pid_stat(5): the name may have brackets of its own, the state follows the last one.
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('T'))
        };
        while !std::fs::read_dir(&tasks).expect("threads").all(stopped) {
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the end and for the last line.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, async {
            while self.lines.recv().await.is_some() {}
        })
        .await
        .unwrap_or_else(|_| panic!("the process goes on:\n{}", self.output()));
        self.child.wait().expect("the child's status")
    }
}

/// Ends the child; when the test fails, what the child printed is shown with the failure.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the process's output:\n{}", self.output());
        }
    }
}

fn follow(
    pipe: impl std::io::Read + Send + 'static,
    sender: mpsc::UnboundedSender<String>,
    output: Arc<Mutex<String>>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut all = output.lock().unwrap_or_else(PoisonError::into_inner);
            all.push_str(&line);
            all.push('\n');
            drop(all);
            let _ = sender.send(line);
        }
    });
}

/// An embedded server as a process of its own, with one bot.
pub struct Sim {
    process: Process,
    /// The base URL.
    pub base: String,
    /// The bot's token.
    pub token: String,
    _dir: tempfile::TempDir,
}

impl Sim {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        Self::start_with(&["--dialect", dialect()]).await
    }

    /// Starts it on a free port with more arguments, in the default dialect.
    pub async fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let args = [&["sim", "--listen", "127.0.0.1:0"], more].concat();
        let mut process = Process::start(dir.path(), &args, &[]);
        let base = last_word(&process.line("base url").await);
        let token = last_word(&process.line("token").await);
        Self {
            process,
            base,
            token,
            _dir: dir,
        }
    }
}

/// A number that the environment may set.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a whole number")),
        Err(_) => default,
    }
}

/// The last word of a line.
pub fn last_word(line: &str) -> String {
    line.split_whitespace().last().expect("a word").to_owned()
}

/// The embedded server's world, seen by the people in it.
pub struct World {
    http: reqwest::Client,
    pub base: String,
    state: Value,
}

impl World {
    /// The world behind that address.
    pub async fn at(base: &str) -> Self {
        let http = reqwest::Client::new();
        let base = base.trim_end_matches('/').to_owned();
        let state = get(&http, &format!("{base}/_sim/state")).await;
        Self { http, base, state }
    }

    fn space(&self) -> &Value {
        &self.state["spaces"][0]
    }

    pub fn space_id(&self) -> String {
        text(&self.space()["spaceId"])
    }

    pub fn channel(&self, name: &str) -> String {
        let channels = self.space()["channels"].as_array().expect("channels");
        let channel = channels.iter().find(|channel| channel["name"] == name);
        text(&channel.unwrap_or_else(|| panic!("no channel {name}"))["channelId"])
    }

    /// The id of the n-th person (not a bot).
    pub fn person(&self, n: usize) -> String {
        let members = self.space()["members"].as_array().expect("members");
        let mut people = members.iter().filter(|member| member["isBot"] == false);
        text(&people.nth(n).expect("that many people")["userId"])
    }

    /// Acts through the control API; panics unless it succeeds.
    pub async fn act(&self, what: &str, body: Value) -> Value {
        let told = format!("{what} {body}");
        match self.request(what, body).await {
            Ok(answer) => answer,
            Err(problem) => panic!("{told}: {problem}"),
        }
    }

    /// Acts through the control API, where the world may not allow it.
    pub async fn try_act(&self, what: &str, body: Value) -> Option<Value> {
        self.request(what, body).await.ok()
    }

    async fn request(&self, what: &str, body: Value) -> Result<Value, String> {
        let url = format!("{}/_sim/{what}", self.base);
        let response = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("the embedded server answers");
        let status = response.status();
        let answer = response.text().await.expect("a body");
        match status.is_success() {
            true => Ok(serde_json::from_str(&answer).unwrap_or(Value::Null)),
            false => Err(format!("{status} {answer}")),
        }
    }

    pub async fn get(&self, what: &str) -> Value {
        get(&self.http, &format!("{}/_sim/{what}", self.base)).await
    }

    /// Writes a message as the n-th person into a channel.
    pub async fn write(&self, person: usize, channel: &str, message: &str) -> Value {
        let body = json!({
            "userId": self.person(person), "channelId": self.channel(channel), "text": message,
        });
        self.act("message", body).await
    }

    /// Runs a slash command as the n-th person.
    pub async fn command(&self, person: usize, channel: &str, name: &str, options: Value) -> Value {
        let body = json!({
            "userId": self.person(person), "channelId": self.channel(channel),
            "name": name, "options": options,
        });
        self.act("command", body).await
    }

    /// What happens in the world from now on.
    pub async fn events(&self) -> Events {
        let response = self
            .http
            .get(format!("{}/_sim/events", self.base))
            .send()
            .await
            .expect("the embedded server answers");
        assert!(response.status().is_success());
        Events {
            response,
            buffer: String::new(),
        }
    }
}

async fn get(http: &reqwest::Client, url: &str) -> Value {
    let response = http
        .get(url)
        .send()
        .await
        .expect("the embedded server answers");
    assert!(
        response.status().is_success(),
        "{url}: {}",
        response.status()
    );
    let body = response.text().await.expect("a body");
    serde_json::from_str(&body).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// The playground's event stream.
pub struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    /// The next event for which `wanted` is true; panics if none comes.
    pub async fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                while let Some(end) = self.buffer.find('\n') {
                    let line: String = self.buffer.drain(..=end).collect();
                    let Some(data) = line.trim_end().strip_prefix("data:") else {
                        continue;
                    };
                    let event: Value = serde_json::from_str(data.trim()).expect("JSON");
                    if wanted(&event) {
                        return event;
                    }
                }
                let chunk = self.response.chunk().await.expect("the stream goes on");
                let chunk = chunk.expect("the stream goes on");
                self.buffer
                    .push_str(std::str::from_utf8(&chunk).expect("text"));
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("never happened: {what}"))
    }

    /// The next message by a bot.
    pub async fn bot_message(&mut self) -> Value {
        let wanted = |event: &Value| {
            event["type"] == "message" && event["message"]["sender"]["isBot"] == true
        };
        self.next("a bot writes", wanted).await["message"].clone()
    }
}

/// A folder with a bot that runs against the embedded server on a free port.
pub fn embedded_bot(scripts: &[(&str, &str)], more: &str) -> tempfile::TempDir {
    let server = embedded_server();
    let config = format!("[bot]\nname = \"demo\"\n{server}{more}");
    bot(&config, scripts)
}

/// The `[server]` of a bot that runs against the embedded server on a free port.
pub fn embedded_server() -> String {
    let dialect = dialect();
    format!("[server]\nurl = \"embedded\"\nlisten = \"127.0.0.1:0\"\ndialect = \"{dialect}\"\n")
}

/// A folder with a bot.toml and scripts.
pub fn bot(config: &str, scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("bot.toml"), config).expect("a config");
    let folder = dir.path().join("scripts");
    std::fs::create_dir(&folder).expect("a folder");
    for (name, source) in scripts {
        std::fs::write(folder.join(name), source).expect("a script");
    }
    dir
}

/// Starts `argon-host run` on an embedded bot and waits until it is live.
pub async fn run_embedded(dir: &Path, args: &[&str]) -> (Process, World) {
    let mut process = Process::start(dir, &[args, &["run"]].concat(), &[]);
    let line = process.line("playground at ").await;
    let base = line
        .split("playground at ")
        .nth(1)
        .expect("an address")
        .trim();
    let world = World::at(base).await;
    process.line("live").await;
    (process, world)
}
