//! What becomes of events on their way to the inbox.

use std::sync::atomic::Ordering;
use std::time::Duration;

use argon_host::stream::{State, Timings};

use super::{Bench, SPACE, THEM, US, id, quick, soon, stall};

#[tokio::test]
async fn every_line_end_comments_and_lines_of_data_are_read() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    for (sequence, end) in [(1, "\n"), (2, "\r\n"), (3, "\r")] {
        let text = format!(
            ": a comment~event:messageCreate~data: {{\"a\":~: another~unknown: field~data:1}}~id: {}~~",
            id(sequence)
        );
        connection.send(text.replace('~', end).as_bytes()).await;
    }
    // After a carriage return only the next byte shows that no line feed follows.
    connection.send(b":\n").await;
    for sequence in 1..=3 {
        let event = bench.event().await;
        assert_eq!(event.id, id(sequence));
        assert_eq!(event.kind, "messageCreate");
        assert_eq!(event.payload, "{\"a\":\n1}");
    }
}

#[tokio::test]
async fn text_may_be_split_anywhere() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let text = format!(
        "event: messageCreate\r\ndata: {{\"text\":\"ä€😀\"}}\r\nid: {}\r\n\r\n",
        id(1)
    );
    for byte in text.as_bytes() {
        connection.send(&[*byte]).await;
    }
    let event = bench.event().await;
    assert_eq!((event.id, &*event.payload), (id(1), "{\"text\":\"ä€😀\"}"));
}

#[tokio::test]
async fn a_byte_order_mark_costs_no_event_after_it() {
    let mut bench = Bench::start().await;
    let mut connection = bench.server.accept().await;
    connection.open_silently().await;
    bench
        .state(|state| matches!(state, State::Connecting { .. }))
        .await;
    connection.send("\u{feff}".as_bytes()).await;
    connection.event("ready", "ready", "{}").await;
    connection.event("messageCreate", &id(1), "{}").await;
    assert_eq!(bench.ids(2).await, ["ready".into(), id(1)]);
    assert_eq!(bench.handle.stats().connects, 1);
}

#[tokio::test]
async fn events_of_a_megabyte_and_of_the_largest_size_pass_unharmed() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    for (sequence, bytes) in [(1, 1 << 20), (2, 8 << 20), (3, 2)] {
        let payload = "ä".repeat(bytes / 2);
        connection
            .event("messageCreate", &id(sequence), &payload)
            .await;
        let event = bench.event().await;
        assert_eq!(event.id, id(sequence));
        assert!(event.payload == payload);
    }
    assert_eq!(bench.handle.stats().oversized, 0);
}

#[tokio::test]
async fn an_event_that_is_complete_and_too_large_is_skipped_alone() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let payload = "x".repeat((8 << 20) + 1);
    connection.event("messageCreate", &id(1), &payload).await;
    connection.event("messageCreate", &id(2), "{}").await;
    assert_eq!(bench.event().await.id, id(2));
    assert_eq!(bench.handle.stats().oversized, 1);
    assert_eq!(bench.handle.stats().connects, 1);
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_and_the_stream_goes_on() {
    for line in ["data: ", "data: x\n", "id: "] {
        let mut bench = Bench::start().await;
        let mut connection = bench.open().await;
        connection.event("messageCreate", &id(1), "{}").await;
        assert_eq!(bench.event().await.id, id(1));
        connection.send(line.as_bytes()).await;
        // Many lines of data, in the second round; else one line.
        let piece = match line {
            "data: x\n" => format!("data: {}\n", "x".repeat(400 << 10)),
            _ => "x".repeat(400 << 10),
        };
        let mut sent = 0;
        while sent < 100 << 20 && connection.try_send(piece.as_bytes()).await.is_ok() {
            sent += piece.len();
        }
        // What the client took, and what the sockets between hold.
        assert!(sent < 40 << 20, "{} MiB were taken", sent >> 20);
        let mut next = bench.open().await;
        next.event("messageCreate", &id(2), "{}").await;
        assert_eq!(bench.event().await.id, id(2));
        assert_eq!(bench.handle.stats().oversized, 1);
    }
}

#[tokio::test]
async fn unknown_types_ids_fields_and_payloads_pass_through() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let sent = [
        ("somethingNew", "new-kind-of-id", r#"{"new":[1,{}]}"#),
        ("messageCreate", &*id(1), "no JSON at all {"),
        ("messageCreate", "direct_1", r#"{"unknown":1}"#),
        ("resumed", "ready", r#"{"replayedCount":0}"#),
        ("heartbeat", &*id(1).replace('_', ":"), r#"{"timestamp":1}"#),
    ];
    for (kind, id, payload) in sent {
        connection.event(kind, id, payload).await;
    }
    for (kind, id, payload) in sent {
        let event = bench.event().await;
        assert_eq!(
            (&*event.kind, &*event.id, &*event.payload),
            (kind, id, payload)
        );
    }
}

#[tokio::test]
async fn events_without_an_id_are_neither_dropped_nor_given_another_ones() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    connection.event("messageCreate", &id(1), "{}").await;
    connection.send(b"event: messageCreate\ndata: 1\n\n").await;
    connection.send(b"event: messageCreate\ndata: 2\n\n").await;
    connection.event("messageCreate", &id(1), "{}").await;
    connection.event("messageCreate", &id(2), "{}").await;
    assert_eq!(bench.ids(4).await, [&*id(1), "", "", &*id(2)]);
    assert_eq!(bench.handle.stats().duplicates, 1);
}

#[tokio::test]
async fn each_space_has_its_own_order_and_out_of_order_is_not_a_duplicate() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let other = SPACE.replace('0', "1");
    let sent = [id(5), format!("{other}_5"), "direct_5".into(), id(3), id(4)];
    for id in &sent {
        connection.event("messageCreate", id, "{}").await;
        connection.event("messageCreate", id, "{}").await;
    }
    assert_eq!(bench.ids(5).await, sent);
}

#[tokio::test]
async fn only_our_own_commands_are_passed_on_once_they_are_known() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let command = |id: &str| format!(r#"{{"commandId":"{id}","commandName":"roll"}}"#);
    connection
        .event("commandInteraction", &id(1), &command(THEM))
        .await;
    assert_eq!(bench.event().await.id, id(1), "nothing is registered yet");
    bench.handle.set_commands(Some([US.to_owned()]));
    connection
        .event("commandInteraction", &id(2), &command(THEM))
        .await;
    connection
        .event("commandInteraction", &id(3), &command(US))
        .await;
    assert_eq!(bench.event().await.id, id(3));
    assert_eq!(bench.handle.stats().foreign, 1);
}

#[tokio::test]
async fn a_command_that_is_used_before_its_registration_is_answered_waits_for_its_id() {
    // However long the answers take.
    let timings = Timings {
        lookup: Duration::from_secs(3600),
        ..quick()
    };
    let mut bench = Bench::with(timings).await;
    let mut connection = bench.open().await;
    let command =
        |id: &str, name: &str| format!(r#"{{"commandId":"{id}","commandName":"{name}"}}"#);
    bench.handle.set_commands(Some([]));
    bench.handle.await_commands(["roll".to_owned()]);
    for (sequence, id_of, name) in [(1, US, "another"), (2, US, "roll"), (3, THEM, "roll")] {
        connection
            .event("commandInteraction", &id(sequence), &command(id_of, name))
            .await;
    }
    let read = async |bench: &Bench, count: u64| {
        soon(async {
            while bench.handle.stats().kinds.get("commandInteraction") < Some(&count) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    // The first is another bot's at once; the second has been read and is nobody's yet.
    read(&bench, 2).await;
    assert_eq!(bench.handle.stats().foreign, 1);
    bench.handle.add_command(US);
    assert_eq!(bench.event().await.id, id(2));
    // The third waits until everything is registered, and is another bot's then: had it not been waited for,
    // it would have been passed on.
    read(&bench, 3).await;
    connection.event("messageCreate", &id(4), "{}").await;
    bench.handle.set_commands(Some([US.to_owned()]));
    assert_eq!(bench.event().await.id, id(4));
    assert_eq!(bench.handle.stats().foreign, 2);
}

#[tokio::test]
async fn a_command_whose_registration_is_not_answered_in_time_passes() {
    let timings = Timings {
        lookup: Duration::from_millis(50),
        ..quick()
    };
    let mut bench = Bench::with(timings).await;
    let mut connection = bench.open().await;
    bench.handle.set_commands(Some([]));
    bench.handle.await_commands(["roll".to_owned()]);
    let payload = format!(r#"{{"commandId":"{US}","commandName":"Roll"}}"#);
    connection
        .event("commandInteraction", &id(1), &payload)
        .await;
    assert_eq!(bench.event().await.id, id(1));
}

fn control(message_id: i64) -> String {
    format!(r#"{{"channelId":"the-channel","controlId":"x","messageId":{message_id}}}"#)
}

#[tokio::test]
async fn only_controls_on_our_own_messages_are_passed_on() {
    let mut bench = Bench::start().await;
    bench.handle.message_sent(1);
    bench.host.authors.lock().unwrap().extend([
        (2, Some(THEM.to_owned())),
        (3, Some(US.to_uppercase().replace('-', ""))),
        (4, None),
    ]);
    let mut connection = bench.open().await;
    let mut sequence = 0;
    for kind in ["controlInteraction", "selectInteraction"] {
        for message in [1, 2, 3] {
            sequence += 1;
            connection
                .event(kind, &id(sequence), &control(message))
                .await;
        }
    }
    assert_eq!(bench.ids(4).await, [1, 3, 4, 6].map(id));
    let stats = bench.handle.stats();
    assert_eq!(
        (stats.foreign, stats.lookups),
        (2, 2),
        "each is asked for once"
    );
    for sequence in [7, 8] {
        connection
            .event("controlInteraction", &id(sequence), &control(4))
            .await;
        assert_eq!(bench.event().await.id, id(sequence), "nobody can tell");
    }
    assert_eq!(bench.handle.stats().lookups, 3, "it is asked for once");
}

#[tokio::test]
async fn what_is_parsed_comes_before_the_connection_is_closed() {
    let mut bench = Bench::start().await;
    bench.host.never_answers.store(true, Ordering::SeqCst);
    let mut connection = bench.open().await;
    let click = control(1);
    let piece: String = [("controlInteraction", &*click), ("messageCreate", "{}")]
        .iter()
        .cycle()
        .zip(1..=4)
        .map(|((kind, data), n)| format!("event: {kind}\ndata: {data}\nid: {}\n\n", id(n)))
        .collect();
    // One piece: while the first is looked up, the others wait here.
    connection.send(piece.as_bytes()).await;
    soon(async {
        while bench.handle.stats().lookups < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let Bench {
        handle, mut events, ..
    } = bench;
    soon(handle.stop()).await;
    for n in 1..=4 {
        assert_eq!(soon(events.recv()).await.unwrap().id, id(n));
    }
}

#[tokio::test]
async fn an_author_that_nobody_can_name_holds_the_stream_up_once_and_not_for_long() {
    let timings = Timings {
        lookup: Duration::from_millis(100),
        ..quick()
    };
    let mut bench = Bench::with(timings).await;
    bench.host.never_answers.store(true, Ordering::SeqCst);
    let mut connection = bench.open().await;
    for sequence in 1..=3 {
        let payload = control(sequence as i64);
        connection
            .event("controlInteraction", &id(sequence), &payload)
            .await;
    }
    assert_eq!(bench.ids(3).await, [1, 2, 3].map(id));
    assert_eq!(bench.handle.stats().lookups, 1);
}

#[tokio::test]
async fn a_full_inbox_stops_the_reading_and_nothing_is_lost() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let stalled = stall(&bench.inbox);
    let payload = "x".repeat(1 << 20);
    const EVENTS: u64 = 150;
    let sending = tokio::spawn(async move {
        for sequence in 1..=EVENTS {
            connection
                .event("messageCreate", &id(sequence), &payload)
                .await;
        }
        connection
    });
    soon(async {
        while bench.inbox.progress().waiting < 63 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(bench.handle.stats().appended < EVENTS);
    drop(stalled);
    for expected in 1..=EVENTS {
        assert_eq!(bench.event().await.id, id(expected));
    }
    soon(sending).await.unwrap();
    assert_eq!(bench.handle.stats().connects, 1);
}
