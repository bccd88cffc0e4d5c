//! Everything at once: faults between host and server, `kill -9`, restarts, reloads, a full disk, jumps of
//! the server's clock, all from one seed.
//!
//! ```sh
//! ARGON_CHAOS_SECONDS=3600 ARGON_CHAOS_SEED=7 cargo test --test durable chaos -- --nocapture
//! cargo test --test durable kills -- --ignored --nocapture
//! ```
//!
//! A failure names the seed, which brings the same acts in the same order again.

use std::time::{Duration, Instant};

use crate::storm::{Act, Random, Storm};
use crate::support::setting;

/// Says how to see a failure again.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: ARGON_CHAOS_SEED={} brings the same acts", self.0);
        }
    }
}

async fn chaos(dialect: &str) {
    let seed = Seed(setting("ARGON_CHAOS_SEED", 1));
    let lasting = Duration::from_secs(setting("ARGON_CHAOS_SECONDS", 25));
    let chaos = seed.0.to_string();
    let mut storm = Storm::start(dialect, &["--chaos", &chaos]).await;
    let mut random = Random::new(seed.0);
    storm
        .let_people_write(seed.0, Duration::from_millis(300))
        .await;
    let begun = Instant::now();
    while begun.elapsed() < lasting {
        let pause = Duration::from_millis(random.below(3_000));
        let act = Act::of_any_kind(&mut random);
        tokio::time::sleep(pause).await;
        println!("{dialect}, {:?}: {act:?}", begun.elapsed());
        storm.act(&act).await;
    }
    storm.judge().await;
    println!(
        "seed {}, {dialect}: {} messages, {} commands and clicks, {} kills",
        seed.0,
        storm.written.len(),
        storm.asked.len(),
        storm.kills
    );
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_is_said_twice_in_chaos() {
    chaos("server").await;
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_is_said_twice_in_chaos_with_a_server_that_replays() {
    chaos("documented").await;
}

/// So many kills in one run, under load, at any moment of a process's life.
async fn kills(dialect: &str) {
    let seed = Seed(setting("ARGON_CHAOS_SEED", 1));
    let kills = setting("ARGON_KILLS", 500);
    let mut storm = Storm::start(dialect, &[]).await;
    let mut random = Random::new(seed.0);
    storm
        .let_people_write(seed.0, Duration::from_millis(250))
        .await;
    let begun = Instant::now();
    while storm.kills < kills {
        // Mostly short lives; a long one now and then, to come to the end of what was begun.
        let most = if random.below(10) == 0 { 8_000 } else { 1_500 };
        tokio::time::sleep(Duration::from_millis(random.below(most))).await;
        storm.act(&Act::of_killing(&mut random)).await;
        if storm.kills.is_multiple_of(50) {
            println!("{:?}: {} kills", begun.elapsed(), storm.kills);
        }
    }
    storm.judge().await;
    println!(
        "seed {}: {} kills in {:?}, {} messages, {} commands and clicks, none lost, none doubled",
        seed.0,
        storm.kills,
        begun.elapsed(),
        storm.written.len(),
        storm.asked.len()
    );
}

#[tokio::test]
#[ignore = "a quarter of an hour; on request"]
async fn many_kills_with_a_server_that_keeps_the_position() {
    kills("server").await;
}

#[tokio::test]
#[ignore = "a quarter of an hour; on request"]
async fn many_kills_with_a_server_that_replays() {
    kills("documented").await;
}
