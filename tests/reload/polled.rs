//! A folder of whose changes the system tells nothing: `[scripts] reload = "poll"`.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use crate::{Bench, answering};

#[tokio::test]
async fn a_folder_that_is_looked_through_reloads_what_a_watched_one_does() {
    let scripts = [("a.luau", answering("1"))];
    let scripts = scripts
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    let mut bench = Bench::start_with(&scripts, "[scripts]\nreload = \"poll\"\n").await;
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

    // A writer that takes longer than from one look to the next.
    let text = answering("3");
    let mut file = File::create(bench.file("a.luau")).expect("a file");
    for part in text.as_bytes().chunks(text.len() / 5 + 1) {
        file.write_all(part).expect("written");
        std::thread::sleep(Duration::from_millis(300));
    }
    drop(file);
    bench.reloaded("a", 2).await;
    assert_eq!(bench.answer("hi").await, "3");
    assert_eq!(
        bench.count("cannot be loaded, version"),
        0,
        "{}",
        bench.host.output()
    );
}
