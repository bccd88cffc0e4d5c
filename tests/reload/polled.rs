//! A folder of whose changes the system tells nothing: `[scripts] reload = "poll"`.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use crate::{Bench, answering, in_steps};

async fn polled(script: &str) -> Bench {
    Bench::start_with(&[("a.luau", script)], "[scripts]\nreload = \"poll\"\n").await
}

#[tokio::test]
async fn a_folder_that_is_looked_through_reloads_what_a_watched_one_does() {
    let mut bench = polled(&answering("1")).await;
    bench.write("a.luau", &answering("2"));
    bench.reloaded("a", 1).await;
    assert_eq!(bench.answer("hi").await, "2");

    bench.write("b.luau", "print(`b runs {require(\"./lib/x\")}`)\n");
    bench.write("lib/x.luau", "return 1\n");
    bench.said("b runs 1").await;
    bench.write("lib/x.luau", "return 2\n");
    bench.said("b runs 2").await;
    fs::remove_file(bench.file("b.luau")).expect("removed");
    bench.said("demo/b: its file is gone").await;
}

#[tokio::test]
async fn a_writer_that_takes_longer_than_from_one_look_to_the_next_is_waited_for() {
    let text = answering("2");
    let mut bench = in_steps(&text, Duration::from_millis(300), async || {
        let bench = polled(&answering("1")).await;
        let mut file = File::create(bench.file("a.luau")).expect("a file");
        (bench, move |part: &[u8]| {
            file.write_all(part).expect("written")
        })
    })
    .await;
    bench.reloaded("a", 1).await;
    assert_eq!(bench.answer("hi").await, "2");
    assert_eq!(
        bench.count("cannot be loaded, version"),
        0,
        "{}",
        bench.host.output()
    );
}
