//! Whole connections: token, socket and all, against an embedded server in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_host::config::Secret;
use argon_host::contract::Route;
use argon_host::limits::voice::CONNECTIONS;
use argon_host::rest::{Client, Observer, Settings as Rest};
use argon_host::sim::{LimitScale, Server, Settings as Sim};
use argon_host::voice::stats::BOUNDS;
use argon_host::voice::{Engine, Host, Play, Settings};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::sound::{self, Sound};
use crate::{cpu, per_connection, resident};

/// What the connections do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    Idle,
    /// A file goes through untouched.
    Pass,
    /// The file is decoded, mixed and encoded.
    Mix,
}

pub struct Nobody;

impl Observer for Nobody {
    fn succeeded(&self, _: &'static Route, _: &Bytes) {}
    fn unauthorized(&self) {}
}

/// The server's process: says where it is, and serves until it is killed.
#[tokio::main(flavor = "current_thread")]
pub async fn serve() {
    let settings = Sim {
        limits: LimitScale::Off,
        ..Sim::default()
    };
    let server = Server::start(settings).await.expect("a free port");
    let token = server.add_bot("demo", true).token.expose().to_owned();
    println!("{} {token}", server.base_url());
    std::future::pending::<()>().await;
}

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens the connections, lets them work, and prints what that cost this process.
pub fn run(work: Work, connections: usize, seconds: u64) {
    let program = std::env::current_exe().expect("this program");
    let server = Command::new(program)
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn();
    let mut server = Served(server.expect("the server starts"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("the server's address");
    let (base, token) = line.trim().split_once(' ').expect("an address and a token");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(work_at(work, connections, seconds, base, token));
}

async fn work_at(work: Work, connections: usize, seconds: u64, base: &str, token: &str) {
    let control = reqwest::Client::new();
    let state = control.get(format!("{base}/_sim/state")).send().await;
    let state: Value = read(state.expect("the server answers")).await;
    let space = state["spaces"][0]["spaceId"].as_str().expect("a space");
    let mut channels = Vec::new();
    for number in 0..connections {
        let body = json!({ "spaceId": space, "name": format!("room {number}"), "type": "voice" });
        let made = control
            .post(format!("{base}/_sim/channel"))
            .header("content-type", "application/json")
            .body(body.to_string());
        let made: Value = read(made.send().await.expect("the server answers")).await;
        channels.push(made["channelId"].as_str().expect("a channel").to_owned());
    }
    let client = Client::new(Rest {
        base_url: base.to_owned(),
        token: Secret::new(token),
        segment: Duration::from_millis(1),
        observer: Arc::new(Nobody),
    })
    .expect("a client");
    let sound = Sound::make();
    let runtime = tokio::runtime::Handle::current();
    let host = Host::new(Engine::default(), client.clone(), runtime, sound.dir());
    let settings = Settings {
        complexity: 5,
        ..Settings::new(true)
    };
    let mut scripts = Vec::new();
    let mut all = Vec::new();
    let mut before = 0;
    for (number, channel) in channels.into_iter().enumerate() {
        if number % CONNECTIONS == 0 {
            let script = format!("script {number}");
            scripts.push(host.client(&script, client.caller(1.0), Arc::new(|_| {})));
        }
        let script = scripts.last().expect("a script");
        let joined = script.join(space.to_owned(), channel, settings).await;
        all.push(joined.expect("the server takes it"));
        if number == 0 {
            // Threads, TLS roots and the like are there with the first.
            before = resident();
        }
    }
    let play = Play {
        volume: if work == Work::Mix { 0.5 } else { 1.0 },
        looped: true,
        ..Play::default()
    };
    for connection in all.iter().filter(|_| work != Work::Idle) {
        let playing = connection.play(sound::NAME, play).await;
        playing.expect("the file is there");
    }
    let (begun, used) = (Instant::now(), cpu());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (wall, used) = (begun.elapsed(), cpu() - used);
    let memory = resident().saturating_sub(before) / (connections.max(2) as u64 - 1);
    let stats = host.snapshot().into_iter().map(|one| one.stats);
    let mut sum = argon_host::voice::Stats::default();
    stats.for_each(|one| sum.add(&one));
    println!(
        "{connections} sockets, {:.1} s: {} packets, {} late, {} missed, {} dropped, {} encoded",
        wall.as_secs_f64(),
        sum.sent,
        sum.late,
        sum.missed,
        sum.dropped,
        sum.encoded,
    );
    let all: u64 = sum.lateness.counts.iter().sum();
    let mut so_far = 0;
    let written = BOUNDS.iter().zip(sum.lateness.counts);
    let written = written.map(|(bound, count)| {
        so_far += count;
        let part = so_far as f64 / all.max(1) as f64 * 100.0;
        format!("{part:.2} % by {} ms", bound * 1e3)
    });
    let written: Vec<String> = written.collect();
    println!("written after they were due: {}", written.join(", "));
    println!("memory: {} KiB for each further connection", memory >> 10);
    per_connection(used, wall, connections);
    host.close().await;
}

async fn read(response: reqwest::Response) -> Value {
    assert!(response.status().is_success(), "{}", response.status());
    let body = response.bytes().await.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}
