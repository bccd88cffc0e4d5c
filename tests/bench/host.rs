//! The whole host as a process, against a minimal Argon server in this one.
//!
//! `cargo bench --bench host` prints: CPU time of the process per event, latency from an event on the
//! socket to the request it causes, start-up to the open stream, and resident memory. Linux only: the
//! figures come from /proc.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

const EVENTS: usize = 200_000;
const ROUNDS: usize = 5;
/// Below the platform's 120 messages a minute, so that the limiter does not wait.
const LATENCY_SAMPLES: usize = 100;
const SPACE: &str = "5e9a1f0c2d3b4a5968778695a4b3c2d1";

/// Counts what has a prefix, and answers the last event of a burst.
const PREFIX_SCRIPT: &str = r#"
local seen = 0
argon.on("messageCreate", function(event)
    local message = event.message
    if string.sub(message.text, 1, 1) == "!" then
        seen += 1
        argon.messages.send({ channelId = event.channelId, text = "seen " .. seen })
    end
end)
"#;

fn main() {
    let payload = message("a message like any other", 1);
    println!("payload of a messageCreate: {} bytes", payload.len());
    cpu_per_event();
    latency();
    start_up_and_memory();
}

/// CPU time of the whole process per event, socket to handler.
fn cpu_per_event() {
    let dir = bot_dir(Some(PREFIX_SCRIPT));
    let mut server = Server::start();
    let host = Host::spawn(dir.path(), server.port);
    let mut stream = server.next_stream();

    let mut sequence = 0;
    let mut per_event: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = host.cpu();
            let mut burst = Vec::with_capacity(64 << 10);
            for _ in 0..EVENTS {
                sequence += 1;
                push_event(
                    &mut burst,
                    sequence,
                    &message("a message like any other", sequence),
                );
                if burst.len() > 60 << 10 {
                    stream.write_all(&burst).expect("the host reads");
                    burst.clear();
                }
            }
            sequence += 1;
            push_event(&mut burst, sequence, &message("!end", sequence));
            stream.write_all(&burst).expect("the host reads");
            server.next_send();
            (host.cpu() - before).as_secs_f64() * 1e6 / EVENTS as f64
        })
        .collect();
    per_event.sort_by(f64::total_cmp);
    println!(
        "CPU per event, whole process: median {:.2} µs, min {:.2}, max {:.2} ({ROUNDS} rounds of {EVENTS})",
        per_event[ROUNDS / 2],
        per_event[0],
        per_event[ROUNDS - 1]
    );
}

/// From the write of an event to the arrival of the request that its handler makes.
fn latency() {
    let dir = bot_dir(Some(PREFIX_SCRIPT));
    let mut server = Server::start();
    let _host = Host::spawn(dir.path(), server.port);
    let mut stream = server.next_stream();

    let mut samples: Vec<f64> = (1..=LATENCY_SAMPLES)
        .map(|sequence| {
            // An idle host, as it is most of the time: the threads sleep again.
            thread::sleep(Duration::from_millis(5));
            let mut bytes = Vec::new();
            push_event(&mut bytes, sequence as u64, &message("!x", sequence as u64));
            let sent = Instant::now();
            stream.write_all(&bytes).expect("the host reads");
            server.next_send().duration_since(sent).as_secs_f64() * 1e6
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    println!(
        "event to request on the wire: p50 {:.0} µs, p99 {:.0} µs ({LATENCY_SAMPLES} samples)",
        samples[LATENCY_SAMPLES / 2],
        samples[LATENCY_SAMPLES * 99 / 100]
    );
}

/// From the start of the process to its open stream, and what it then holds in memory.
fn start_up_and_memory() {
    let mut millis = Vec::new();
    let mut resident = 0;
    for _ in 0..11 {
        let dir = bot_dir(None);
        let mut server = Server::start();
        let start = Instant::now();
        let host = Host::spawn(dir.path(), server.port);
        let _stream = server.next_stream();
        millis.push(start.elapsed().as_secs_f64() * 1e3);
        resident = host.resident_kib();
    }
    millis.sort_by(f64::total_cmp);
    println!(
        "start to open stream with the sample scripts: median {:.1} ms, min {:.1}, max {:.1}",
        millis[millis.len() / 2],
        millis[0],
        millis[millis.len() - 1]
    );
    println!(
        "resident with the sample scripts: {:.1} MiB",
        resident as f64 / 1024.0
    );
}

/// A folder with a config and either one script or the sample scripts.
fn bot_dir(script: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let scripts = dir.path().join("scripts");
    fs::create_dir(&scripts).expect("a folder");
    match script {
        Some(text) => fs::write(scripts.join("bench.luau"), text).expect("a script"),
        None => {
            let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
            for entry in fs::read_dir(samples).expect("the samples") {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|ext| ext == "luau") {
                    let name = path.file_name().expect("a name").to_owned();
                    fs::copy(&path, scripts.join(name)).expect("a copy");
                }
            }
        }
    }
    dir
}

struct Host {
    child: Child,
}

impl Host {
    fn spawn(dir: &Path, port: u16) -> Self {
        let token = "00112233445566778899aabbccddeeff:YmVuY2htYXJr";
        let config = format!(
            "[bot]\nname = \"bench\"\ntoken = \"{token}\"\n[server]\nurl = \"http://127.0.0.1:{port}\"\n"
        );
        let path = dir.join("bot.toml");
        fs::write(&path, config).expect("a config");
        let child = Command::new(env!("CARGO_BIN_EXE_argon-host"))
            .arg("run")
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .expect("the host starts");
        Self { child }
    }

    /// User and system time of the process so far, in steps of the kernel's clock tick (10 ms).
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("/proc");
        // The fields after the name, which is in parentheses, begin with number 3.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let ticks: u64 = [11, 12]
            .iter()
            .map(|&i| fields[i].parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 10)
    }

    fn resident_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Just enough of a server: profile, commands, one stream, sends.
struct Server {
    port: u16,
    streams: Receiver<TcpStream>,
    sends: Receiver<Instant>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (stream_sender, streams) = mpsc::channel();
        let (send_sender, sends) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (streams, sends) = (stream_sender.clone(), send_sender.clone());
                thread::spawn(move || serve(connection, &streams, &sends));
            }
        });
        Self {
            port,
            streams,
            sends,
        }
    }

    fn next_stream(&mut self) -> TcpStream {
        let mut stream = self
            .streams
            .recv_timeout(Duration::from_secs(20))
            .expect("the stream opens");
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
            )
            .and_then(|()| {
                stream
                    .write_all(b"event: ready\ndata: {\"intents\":1,\"spaces\":[]}\nid: ready\n\n")
            })
            .expect("the host reads");
        stream
    }

    fn next_send(&mut self) -> Instant {
        self.sends
            .recv_timeout(Duration::from_secs(60))
            .expect("the script answers")
    }
}

/// Answers the requests of one connection until it becomes the event stream or ends.
fn serve(connection: TcpStream, streams: &Sender<TcpStream>, sends: &Sender<Instant>) {
    let _ = connection.set_nodelay(true);
    let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
    let mut writer = connection;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let arrived = Instant::now();
        let mut length = 0;
        let mut line = String::new();
        while {
            line.clear();
            reader.read_line(&mut line).unwrap_or(0)
        } > 2
        {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = request.split_whitespace().nth(1).unwrap_or("");
        let answer = match path.split('?').next().unwrap_or("") {
            "/IEvents/v1/Stream" => {
                let _ = streams.send(writer);
                return;
            }
            "/IMessages/v1/Send" => {
                let _ = sends.send(arrived);
                r#"{"messageId":9007199254740993}"#
            }
            "/IBotSelf/v1/GetMe" => {
                r#"{"botId":"b","userId":"00000000-0000-4000-8000-0000000000b0","username":"benchbot","displayName":"Bench"}"#
            }
            "/ICommands/v1/List" => r#"{"commands":[]}"#,
            "/ICommands/v1/Register" => {
                r#"{"commandId":"00000000-0000-4000-8000-0000000000c0","name":"x","spaceId":null}"#
            }
            _ => "{}",
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if writer.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

fn push_event(out: &mut Vec<u8>, sequence: u64, payload: &str) {
    write!(
        out,
        "event: messageCreate\ndata: {payload}\nid: {SPACE}_{sequence}\n\n"
    )
    .expect("a Vec");
}

/// A messageCreate of about 1.6 KB as the platform's server sends it: numbers for enums, nulls, entities.
fn message(text: &str, sequence: u64) -> String {
    let mut entities = String::new();
    for i in 0..3 {
        if i > 0 {
            entities.push(',');
        }
        entities.push_str(&format!(
            r#"{{"type":{},"offset":{},"length":4,"userId":null,"archetypeId":null,"hashtag":null,"email":null,"domain":null,"path":null,"quotedUserId":null,"colour":null,"numerator":null,"denominator":null,"callId":null,"callerId":null,"durationSeconds":null,"inviterId":null,"fileName":null,"contentType":null,"fileSize":null,"width":null,"height":null,"thumbHash":null}}"#,
            10 + i,
            i * 5
        ));
    }
    format!(
        r#"{{"spaceId":"5e9a1f0c-2d3b-4a59-6877-8695a4b3c2d1","channelId":"0b6ad8b0-6c3f-4d55-9e0e-6f2b7a1f3c11","message":{{"messageId":{},"channelId":"0b6ad8b0-6c3f-4d55-9e0e-6f2b7a1f3c11","spaceId":"5e9a1f0c-2d3b-4a59-6877-8695a4b3c2d1","text":"{text}","timeSent":"2026-05-01T10:00:00.000Z","replyId":null,"sender":{{"userId":"7c7fbe0e-2f0a-4b0e-9d9a-1f5d3a2b4c6d","username":"ada","displayName":"Ada","avatarUrl":null,"flags":0}},"entities":[{entities}],"controls":null,"reactions":[]}}}}"#,
        9_007_199_254_740_993 + sequence
    )
}
