use std::time::Duration;

use rusqlite::params;

use super::*;
use crate::inbox::REPLAY_LIFETIME;
use crate::inbox::batch::{Batch, encode_event, encode_slots};
use crate::inbox::came::Note;
use crate::inbox::{Event, Scope, Window};

/// A database as the version with a row for each call wrote it: two unfinished events with three calls, a
/// window, a channel, and a call whose event is gone.
fn of_version_3(path: &Path) {
    let mut old = Connection::open(path).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    let transaction = old.transaction().unwrap();
    for step in &MIGRATIONS[..3] {
        step.take(&transaction).unwrap();
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .unwrap();
    transaction.pragma_update(None, "user_version", 3).unwrap();
    let now = milliseconds(SystemTime::now());
    transaction
        .execute(
            "INSERT INTO world (bot, passing, position, seen, since) VALUES ('ann', 0, 'd_9', ?1, 5)",
            [now],
        )
        .unwrap();
    transaction
        .execute_batch("INSERT INTO script VALUES (1, 'one'), (2, 'two')")
        .unwrap();
    let event = Event {
        id: "d_9".into(),
        kind: "messageCreate".into(),
        payload: "{}".into(),
        received: std::time::Instant::now(),
    };
    let mut blob = Vec::new();
    encode_event(&mut blob, &event);
    encode_event(&mut blob, &event);
    let batch = Batch::new(40, [([1].into(), 2), ([1, 2].into(), 2)]);
    transaction
        .execute(
            "INSERT INTO batch VALUES (40, 1, ?1, ?2)",
            params![encode_slots(&batch.slots), blob],
        )
        .unwrap();
    let calls = [
        (40, 1, "a:0", Some("yes")),
        (41, 2, "a:0", None),
        (41, 2, "b:0", Some("no")),
        (7, 1, "a:0", None),
    ];
    for (seq, script, position, answer) in calls {
        let answer = answer.map(str::as_bytes);
        transaction
            .execute(
                "INSERT INTO call VALUES (?1, ?2, ?3, -1, 77, ?4)",
                params![seq, script, position, answer],
            )
            .unwrap();
    }
    let window = Window::starting_with(9).to_bytes();
    transaction
        .execute(
            "INSERT INTO scope VALUES (1, x'', ?1, ?2)",
            params![window, now],
        )
        .unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_file_of_an_older_version_is_brought_up_to_date_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    of_version_3(&path);
    let mut store = Store::open(&path).unwrap();
    store.enter("ann", false).unwrap();
    let batches = store.batches().unwrap();
    let [batch] = &batches[..] else {
        panic!("{batches:?}");
    };
    assert_eq!(
        batch.open_pairs().collect::<Vec<_>>(),
        [(40, 1), (41, 1), (41, 2)]
    );
    let calls = store.calls(&batch.calls, |_, _| true).unwrap();
    let told = |seq, script| -> Vec<_> {
        let all = calls.of(seq, script).into_iter();
        all.map(|one| (one.position, one.question, one.begun, one.answer))
            .collect()
    };
    let of = |position: &str, answer: Option<&'static [u8]>| {
        (
            position.to_owned(),
            u64::MAX,
            77,
            answer.map(bytes::Bytes::from_static),
        )
    };
    assert_eq!(told(40, 1), [of("a:0", Some(b"yes"))]);
    assert_eq!(told(41, 2), [of("a:0", None), of("b:0", Some(b"no"))]);
    assert!(told(41, 1).is_empty());
    assert_eq!(
        store.call_rows().unwrap().len(),
        1,
        "of an event that is gone nothing is kept"
    );
    let came = store.came(REPLAY_LIFETIME).unwrap();
    assert_eq!(
        (came.position(), came.sightings().since()),
        ("d_9", Some(5))
    );
    assert_eq!(came.windows().count(), 1);
    drop(store);
    assert!(check_header(&path).is_ok());
    let version: u32 = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version as usize, MIGRATIONS.len());
}

#[test]
fn a_trail_is_written_whole_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let now = milliseconds(SystemTime::now());
    let sequence = |sequence| Note::Sequence {
        scope: Scope::Space(3),
        sequence,
        anew: false,
    };
    let mut store = Store::open(&path).unwrap();
    store.enter("ann", false).unwrap();
    let mut came = store.came(REPLAY_LIFETIME).unwrap();
    for (number, at) in [(4, now - 10_000), (5, now - 5_000)] {
        came.note(sequence(number), at);
        came.note(Note::Position("x"), at);
        came.close_row();
        let crate::inbox::came::News::Row(notes) = came.news() else {
            panic!("a row");
        };
        store.add_trail(at, notes).unwrap();
        came.committed();
    }
    drop(store);
    for _ in 0..2 {
        let mut store = Store::open(&path).unwrap();
        store.enter("ann", false).unwrap();
        let came = store.came(REPLAY_LIFETIME).unwrap();
        assert_eq!(came.position(), "x");
        let windows: Vec<_> = came.windows().collect();
        let [(Scope::Space(3), window, seen)] = windows[..] else {
            panic!("{windows:?}");
        };
        assert_eq!((window.highest(), seen), (5, now - 5_000));
        let left: u32 = (store.connection)
            .query_row("SELECT count(*) FROM trail", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0);
    }
    // What nothing came of for long is forgotten.
    let mut store = Store::open(&path).unwrap();
    store.enter("ann", false).unwrap();
    assert_eq!(
        store
            .came(Duration::from_secs(1))
            .unwrap()
            .windows()
            .count(),
        0
    );
}

#[test]
fn room_that_is_free_is_given_back_a_little_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let mut store = Store::open(&path).unwrap();
    let pages = FREE_PAGES + 3 * VACUUM_PAGES;
    let fill = format!(
        "CREATE TABLE t (x BLOB); INSERT INTO t VALUES (zeroblob({})); DELETE FROM t",
        pages * 4096
    );
    store.connection.execute_batch(&fill).unwrap();
    let mut rounds = 0;
    while store.tidy().unwrap() {
        rounds += 1;
    }
    assert!((3..=4).contains(&rounds), "{rounds}");
    store.finish().unwrap();
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 1 << 20, "{bytes}");
    assert!(!dir.path().join("x.db-wal").exists());
}

#[test]
fn a_commit_waits_for_what_it_is_told_to_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("x.db")).unwrap();
    for (sync, level) in [(Sync::Normal, 1), (Sync::Full, 2)] {
        store.sync(sync).unwrap();
        // https://sqlite.org/pragma.html#pragma_synchronous
        let told: u32 = (store.connection)
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(told, level, "{sync:?}");
    }
}

#[test]
fn what_has_expired_leaves_its_room_to_what_is_written_next() {
    let store = Store::in_memory().unwrap();
    let mut usages = Usages::default();
    let quota = 1000;
    let mut write = |key: &str, bytes: usize| {
        let op = KvOp::Set {
            key: key.into(),
            value: format!("\"{}\"", "x".repeat(bytes)),
            ttl: Some(Duration::from_secs(3600)),
            revision: None,
        };
        store.kv(&mut usages, quota, "script:a", &op).unwrap()
    };
    assert!(write("old", 900).is_ok());
    assert_eq!(write("new", 200).unwrap_err().code(), "quota_exceeded");
    // As if the hour were over.
    let an_hour_later = "UPDATE kv SET expires = 1";
    store.connection.execute_batch(an_hour_later).unwrap();
    assert!(write("new", 200).is_ok());
    assert!(write("newer", 700).is_ok());
    assert_eq!(write("newest", 200).unwrap_err().code(), "quota_exceeded");
    // What is replaced, too, may have expired.
    store.connection.execute_batch(an_hour_later).unwrap();
    assert!(write("new", 900).is_ok());
    assert_eq!(write("newest", 200).unwrap_err().code(), "quota_exceeded");
}
