//! The embedded server alone: events to one stream, simple REST calls, start-up, memory.
//!
//! `cargo bench --bench sim` prints them. The server runs on one thread of this process, so that its CPU
//! time is that of one core and can be told from the clients'; start-up and memory are those of
//! `argon-host sim`. Linux only: the figures come from /proc.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use argon_host::sim::{LimitScale, Server, Settings};

const ROUNDS: usize = 5;
const EVENTS: usize = 200_000;
const CALLS: usize = 50_000;
/// Requests on the way at once, over as many connections: below the platform's ten.
const CONNECTIONS: usize = 8;
/// A call that changes nothing.
const CALL: &str = "/IBotSelf/v1/GetMe";

fn main() {
    let sim = Sim::start();
    events(&sim);
    calls(&sim);
    start_up_and_memory();
}

/// The server on a thread of its own.
struct Sim {
    address: SocketAddr,
    token: String,
    /// Kernel's id of the thread.
    thread: String,
}

impl Sim {
    fn start() -> Self {
        let (started, starts) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let settings = Settings {
                    batch: Duration::ZERO,
                    limits: LimitScale::Off,
                    ..Settings::default()
                };
                let server = Server::start(settings).await.expect("a free port");
                let token = server.add_bot("demo", true).token.expose().to_owned();
                let thread = fs::read_link("/proc/thread-self").expect("Linux");
                let thread = thread
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                let sim = Sim {
                    address: server.address(),
                    token,
                    thread,
                };
                started.send(sim).expect("main waits");
                std::future::pending::<()>().await;
            });
        });
        starts.recv().expect("the server starts")
    }

    /// CPU time of the server's thread.
    fn cpu(&self) -> Duration {
        let path = format!("/proc/self/task/{}/schedstat", self.thread);
        let text = fs::read_to_string(path).expect("schedstat");
        let nanoseconds = text.split_whitespace().next().expect("a number");
        Duration::from_nanos(nanoseconds.parse().expect("a number"))
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bot {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )
    }

    fn send(&self, request: &str) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(self.address).expect("a connection");
        socket.set_nodelay(true).expect("a socket");
        socket.write_all(request.as_bytes()).expect("a connection");
        BufReader::new(socket)
    }
}

/// The body of the next answer.
fn answer(reader: &mut BufReader<TcpStream>) -> String {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("an answer");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("text")
}

/// Median, best and worst of some rounds, as operations a second of the server's CPU time and of time.
fn report(what: &str, count: usize, mut rounds: Vec<(Duration, Duration)>) {
    rounds.sort();
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    let (cpu, wall) = rounds[rounds.len() / 2];
    println!(
        "{what}: median {:.0} a second of one core (best {:.0}, worst {:.0}), {:.0} a second by the clock, \
         {:.2} µs of CPU each ({} rounds of {count})",
        rate(cpu),
        rate(rounds[0].0),
        rate(rounds[rounds.len() - 1].0),
        rate(wall),
        cpu.as_secs_f64() * 1e6 / count as f64,
        rounds.len(),
    );
}

/// From the act of a person to the socket of one stream.
fn events(sim: &Sim) {
    let state = answer(&mut sim.send(&sim.request("GET", "/_sim/state", "")));
    let id = |name: &str, before: &str| {
        // The default world has each name once, and every object its keys in alphabetical order.
        let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
        let list = state["spaces"][0][before]
            .as_array()
            .expect("a list")
            .clone();
        let found = list
            .into_iter()
            .find(|item| item.to_string().contains(&format!("\"{name}\"")));
        found.expect("the default world")
    };
    let channel = id("general", "channels")["channelId"].clone();
    let user = id("Ada", "members")["userId"].clone();
    let mut stream = sim.send(&sim.request("GET", "/IEvents/v1/Stream?intents=1", ""));
    let mut line = String::new();
    while !line.contains("event: ready") {
        line.clear();
        stream.read_line(&mut line).expect("a stream");
    }

    let body = serde_json::json!({
        "channelId": channel, "userId": user, "count": EVENTS, "text": "a message like any other",
    });
    let flood = sim.request("POST", "/_sim/flood", &body.to_string());
    let mut bytes = vec![0; 1 << 20];
    let rounds = (0..ROUNDS).map(|_| {
        let (began, cpu) = (Instant::now(), sim.cpu());
        let mut written = sim.send(&flood);
        let mut seen = 0;
        // An event ends with an empty line; it may be cut between two reads.
        let mut after_end = false;
        while seen < EVENTS {
            let read = stream.read(&mut bytes).expect("a stream");
            assert!(read > 0, "the stream goes on");
            for &byte in &bytes[..read] {
                match byte {
                    b'\n' if after_end => {
                        seen += 1;
                        after_end = false;
                    }
                    b'\n' => after_end = true,
                    b'\r' => {}
                    _ => after_end = false,
                }
            }
        }
        let spent = (sim.cpu() - cpu, began.elapsed());
        answer(&mut written);
        spent
    });
    report("events to one stream", EVENTS, rounds.collect());
}

/// Calls that read something small.
fn calls(sim: &Sim) {
    let request = sim.request("GET", CALL, "");
    let rounds = (0..ROUNDS).map(|_| {
        let (began, cpu) = (Instant::now(), sim.cpu());
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut reader = sim.send(&request);
                    for left in (0..CALLS / CONNECTIONS).rev() {
                        let body = answer(&mut reader);
                        assert!(body.contains("demobot"), "{body}");
                        if left > 0 {
                            let socket = reader.get_mut();
                            socket.write_all(request.as_bytes()).expect("a connection");
                        }
                    }
                });
            }
        });
        (sim.cpu() - cpu, began.elapsed())
    });
    report(&format!("GET {CALL}"), CALLS, rounds.collect());
}

/// Of `argon-host sim`, with the default world.
fn start_up_and_memory() {
    let mut starts = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_argon-host"))
            .args(["sim", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // The last line that it prints.
        let last = lines
            .map_while(Result::ok)
            .find(|line| line.starts_with("listen"));
        starts.push(began.elapsed());
        last.expect("a ready server");
        // Long enough for what it does after its start; nothing is measured meanwhile.
        thread::sleep(Duration::from_secs(1));
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        memory.push(kilobytes.unwrap_or(0_u64));
        child.kill().expect("the child");
        child.wait().expect("the child");
    }
    starts.sort();
    memory.sort_unstable();
    println!(
        "argon-host sim ready: median {:.0} ms (best {:.0}, worst {:.0}); idle: {:.1} MB resident",
        starts[ROUNDS / 2].as_secs_f64() * 1e3,
        starts[0].as_secs_f64() * 1e3,
        starts[ROUNDS - 1].as_secs_f64() * 1e3,
        memory[ROUNDS / 2] as f64 * 1_024.0 / 1e6,
    );
}
