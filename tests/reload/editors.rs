//! The ways in which editors and tools save a file. After each save exactly one new version runs, and
//! nothing is ever said about a text that was not finished.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::{Bench, answering, in_steps, run};

/// Saves three times in the same way.
async fn saved_by(save: impl Fn(&Path, &str)) {
    let mut bench = Bench::start(&[("a.luau", &answering("1"))]).await;
    for version in 2..=4u32 {
        // Long enough to be written in several steps.
        let text = format!(
            "{}{}",
            answering(&version.to_string()),
            "-- a line of comment\n".repeat(2000)
        );
        save(&bench.file("a.luau"), &text);
        bench.reloaded("a", version as usize - 1).await;
        assert_eq!(bench.answer("hi").await, version.to_string());
    }
    assert_eq!(
        bench.count("cannot be loaded"),
        0,
        "{}",
        bench.host.output()
    );
}

#[tokio::test]
async fn truncated_and_written() {
    saved_by(|path, text| fs::write(path, text).expect("a file")).await;
}

#[tokio::test]
async fn written_beside_and_renamed_over() {
    saved_by(|path, text| {
        let beside = path.with_extension("luau.tmp");
        fs::write(&beside, text).expect("a file");
        fs::rename(beside, path).expect("renamed");
    })
    .await;
}

/// What vim does with `backupcopy=no`: the file is renamed to its backup, written anew, synced, closed,
/// and the backup removed.
#[tokio::test]
async fn renamed_to_a_backup_and_written_anew() {
    saved_by(|path, text| {
        let backup = path.with_extension("luau~");
        fs::rename(path, &backup).expect("renamed");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .expect("a file");
        for part in text.as_bytes().chunks(8192) {
            file.write_all(part).expect("written");
        }
        file.sync_all().expect("synced");
        drop(file);
        fs::remove_file(backup).expect("removed");
    })
    .await;
}

#[tokio::test]
async fn vim_itself() {
    saved_by(|path, text| {
        let beside = path.with_extension("txt");
        fs::write(&beside, text).expect("a file");
        let read = format!("silent %d | silent 0r {} | silent $d", beside.display());
        let file = path.to_str().expect("text");
        run(
            "vim",
            &[
                "-u",
                "NONE",
                "-es",
                "-c",
                "set backup backupdir=.",
                "-c",
                &read,
                "-c",
                "wq",
                file,
            ],
            path.parent().expect("a folder"),
        );
    })
    .await;
}

#[tokio::test]
async fn sed_in_place() {
    let mut bench = Bench::start(&[("a.luau", &answering("one"))]).await;
    for (times, change) in [(1, "s/one/two/"), (2, "s/two/three/")] {
        run(
            "sed",
            &["-i", change, "a.luau"],
            &bench.dir.path().join("scripts"),
        );
        bench.reloaded("a", times).await;
    }
    assert_eq!(bench.answer("hi").await, "three");
    assert_eq!(
        bench.count("cannot be loaded"),
        0,
        "{}",
        bench.host.output()
    );
}

#[tokio::test]
async fn copied_over() {
    saved_by(|path, text| {
        let beside = path.with_extension("txt");
        fs::write(&beside, text).expect("a file");
        let name = |path: &Path| path.to_str().expect("text").to_owned();
        run("cp", &[&name(&beside), &name(path)], Path::new("/"));
    })
    .await;
}

#[tokio::test]
async fn checked_out_by_git() {
    let mut bench = Bench::start(&[
        ("a.luau", &answering("a1")),
        ("b.luau", "argon.on(\"memberJoin\", print)\n"),
    ])
    .await;
    let scripts = bench.dir.path().join("scripts");
    let git = |args: &[&str]| {
        let own = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        run("git", &[&own[..], args].concat(), &scripts);
    };
    git(&["init", "-q", "-b", "one"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["checkout", "-q", "-b", "two"]);
    bench.write("a.luau", &answering("a2"));
    bench.write("b.luau", "argon.on(\"memberJoin\", print)\n-- changed\n");
    bench.reloaded("a", 1).await;
    bench.reloaded("b", 1).await;
    git(&["commit", "-q", "-a", "-m", "two"]);
    for (branch, times, answer) in [("one", 2, "a1"), ("two", 3, "a2")] {
        git(&["checkout", "-q", branch]);
        // Both scripts, each once.
        bench.reloaded("a", times).await;
        bench.reloaded("b", times).await;
        assert_eq!(bench.answer("hi").await, answer);
    }
    assert_eq!(
        bench.count("cannot be loaded"),
        0,
        "{}",
        bench.host.output()
    );
    assert_eq!(bench.count("unloaded"), 0, "{}", bench.host.output());
}

/// One that keeps the file open: its pauses are longer than any debounce.
#[tokio::test]
async fn written_slowly_in_steps() {
    saved_by(|path, text| {
        let mut file = File::create(path).expect("a file");
        let step = text.len() / 4 + 1;
        for part in text.as_bytes().chunks(step) {
            file.write_all(part).expect("written");
            file.flush().expect("flushed");
            std::thread::sleep(Duration::from_millis(150));
        }
    })
    .await;
}

/// One that opens it anew for each step, so that each step looks like a save: the first steps are the
/// beginning of the text, which is not Luau yet.
#[tokio::test]
async fn appended_in_steps() {
    let text = answering("2");
    let mut bench = in_steps(&text, Duration::from_millis(60), async || {
        let bench = Bench::start(&[("a.luau", &answering("1"))]).await;
        let path = bench.file("a.luau");
        fs::write(&path, "").expect("a file");
        let append = move |part: &[u8]| {
            let mut file = OpenOptions::new().append(true).open(&path).expect("a file");
            file.write_all(part).expect("written");
        };
        (bench, append)
    })
    .await;
    bench.reloaded("a", 1).await;
    assert_eq!(bench.answer("hi").await, "2");
    assert_eq!(
        bench.count("cannot be loaded"),
        0,
        "{}",
        bench.host.output()
    );
}

#[tokio::test]
async fn touched_or_saved_without_a_change() {
    let mut bench = Bench::start(&[("a.luau", &answering("same"))]).await;
    run("touch", &["a.luau"], &bench.dir.path().join("scripts"));
    bench.write("a.luau", &answering("same"));
    bench.write("b.luau", "print(\"b is here\")\n");
    bench.said("b is here").await;
    bench.write("a.luau", &answering("other"));
    bench.reloaded("a", 1).await;
    assert_eq!(bench.answer("hi").await, "other");
}
