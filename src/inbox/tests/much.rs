//! Scripts that ask for very much.

use super::*;
use crate::limits::RECORD_BYTES;

const MIB: usize = 1 << 20;

/// Bytes of the rows of what handlers have asked.
fn kept(home: &Home) -> u64 {
    let store = Store::open(&home.path()).expect("it opens");
    let rows = store.call_rows().expect("the rows");
    rows.into_iter().map(|(_, _, bytes)| bytes).sum()
}

/// The handlers of an event are answered so many mebibytes.
fn answer(delivery: &Delivery, mebibytes: u64) {
    for n in 0..mebibytes {
        let answer = bytes::Bytes::from(vec![b'1'; MIB]);
        delivery.ledger().answered(&format!("on:{n}"), n, answer);
    }
}

/// The ids of the events that come again, each with how much was recorded of it.
fn again(home: &Home, script: &str) -> Vec<(String, usize)> {
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, script);
    let mut found = Vec::new();
    loop {
        settle(&inbox);
        let Some(mut delivery) = script.take() else {
            drop(script);
            close(inbox);
            return found;
        };
        let recorded = delivery.take_recorded();
        found.push((delivery.id.clone(), recorded.len()));
    }
}

#[test]
fn a_handler_that_asks_without_an_end_is_let_go_and_no_other() {
    let home = Home::new();
    let most = RECORD_BYTES / MIB as u64;
    let (inbox, _) = home.open();
    let (script, other) = (subscribe(&inbox, "script"), subscribe(&inbox, "other"));
    for n in 1..=3 {
        append(&inbox, n);
    }
    let held = [next(&script), next(&script), next(&script)];
    let others = [next(&other), next(&other), next(&other)];
    answer(&held[0], 2);
    answer(&held[1], most - 5);
    answer(&others[1], most - 5);
    settle(&inbox);
    assert_eq!(inbox.progress().unfinished, 6, "there is room for that");
    answer(&held[2], 4);
    settle(&inbox);
    assert_eq!(inbox.progress().unfinished, 5);
    // What it goes on to ask is written down nowhere, and its end is none any more.
    answer(&held[1], 3);
    settle(&inbox);
    let [first, second, third] = held;
    second.done();
    settle(&inbox);
    assert_eq!(inbox.progress().unfinished, 5);
    drop((first, third, others, script, other));
    close(inbox);
    assert_eq!(again(&home, "script"), [("1".into(), 2), ("3".into(), 4)]);
    let own = |n: &str, recorded| (n.to_owned(), recorded);
    let rest = usize::try_from(most).unwrap() - 5;
    assert_eq!(
        again(&home, "other"),
        [own("1", 0), own("2", rest), own("3", 0)]
    );
}

#[test]
fn what_a_start_finds_counts() {
    let home = Home::new();
    let most = RECORD_BYTES / MIB as u64;
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    append(&inbox, 1);
    let delivery = next(&script);
    answer(&delivery, most - 1);
    settle(&inbox);
    drop((delivery, script));
    close(inbox);
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    let delivery = next(&script);
    assert!(delivery.is_replayed());
    answer(&delivery, 1);
    settle(&inbox);
    assert_eq!(
        inbox.progress().unfinished,
        0,
        "now it is more than there may be"
    );
    drop((delivery, script));
    close(inbox);
    assert_eq!(kept(&home), 0);
}

#[test]
fn holders_of_the_store_take_turns() {
    let inbox = Inbox::new();
    let (told, tells) = mpsc::channel();
    let (greedy, modest) = (inbox.kv(), inbox.kv());
    let ask = |holder: &Kv, space: &str, name: &'static str, op: KvOp| {
        let told = told.clone();
        holder.ask(space.into(), op, None, move |result| {
            result.expect("it is done");
            told.send(name).expect("somebody listens");
        });
    };
    // More than one commit reads.
    for n in 0..6 {
        ask(&greedy, "a", "written", set(&format!("{n}"), MIB - 2));
    }
    ask(&modest, "b", "written", set("x", 10));
    for _ in 0..7 {
        assert_eq!(tells.recv_timeout(PATIENCE), Ok("written"));
    }
    let (go, wait) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let op = KvOp::Get { key: "x".into() };
    inbox.kv().ask("c".into(), op, None, move |_| {
        let _ = began.send(());
        let _ = wait.recv();
    });
    begun.recv_timeout(PATIENCE).expect("the journal works");
    for _ in 0..20 {
        let all = KvOp::List {
            prefix: String::new(),
            limit: 100,
            after: None,
        };
        ask(&greedy, "a", "all", all);
    }
    for _ in 0..3 {
        ask(&modest, "b", "one", KvOp::Get { key: "x".into() });
    }
    drop(go);
    let order: Vec<_> = (0..23)
        .map(|_| tells.recv_timeout(PATIENCE).expect("an answer"))
        .collect();
    let ones = order[..6].iter().filter(|one| **one == "one").count();
    assert_eq!(ones, 3, "{order:?}");
}
