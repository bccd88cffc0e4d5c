//! Connecting, losing, refusing, resuming.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon_host::stream::{Refusal, State, Timings};
use tracing_subscriber::fmt::MakeWriter;

use super::{Bench, TOKEN, id, quick, soon, stall};

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_request_asks_for_the_intents_with_the_token_in_its_header_alone() {
    let mut bench = Bench::start().await;
    let mut connection = bench.server.accept().await;
    assert_eq!(connection.target(), "/IEvents/v1/Stream?intents=1");
    assert_eq!(connection.header("accept"), Some("text/event-stream"));
    let authorization = format!("Bot {TOKEN}");
    assert_eq!(connection.header("authorization"), Some(&*authorization));
    assert_eq!(connection.header("last-event-id"), None);
    assert_eq!(bench.host.open.load(Ordering::SeqCst), 1);
    connection.open().await;
    bench
        .state(|state| matches!(state, State::Live { .. }))
        .await;
}

#[tokio::test]
async fn a_stream_that_ends_is_resumed_after_its_last_real_event() {
    let mut bench = Bench::start().await;
    let mut first = bench.open().await;
    first.event("messageCreate", &id(7), "{}").await;
    first
        .event("heartbeat", &id(7).replace('_', ":"), "{}")
        .await;
    assert_eq!(bench.ids(2).await[0], id(7));
    first.end().await;

    let mut second = bench.server.accept().await;
    assert_eq!(second.query("lastEventId"), Some(&*id(7)));
    second.open().await;
    for sequence in [6, 7, 8] {
        second.event("messageCreate", &id(sequence), "{}").await;
    }
    assert_eq!(bench.ids(3).await, ["ready".into(), id(6), id(8)]);
    assert_eq!(bench.handle.stats().duplicates, 1);
    assert_eq!(bench.handle.stats().connects, 2);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_an_event_passes_nothing_of_it_on() {
    let mut bench = Bench::start().await;
    let mut first = bench.open().await;
    first.event("messageCreate", &id(1), "{}").await;
    first.send(b"event: messageCreate\ndata: {\"half\":").await;
    assert_eq!(bench.event().await.id, id(1));
    drop(first);

    let mut second = bench.open().await;
    assert_eq!(second.query("lastEventId"), Some(&*id(1)));
    second.event("messageCreate", &id(2), r#"{"half":1}"#).await;
    let event = bench.event().await;
    assert_eq!((event.id, &*event.payload), (id(2), r#"{"half":1}"#));
}

#[tokio::test]
async fn a_redirect_is_refused_and_takes_the_token_nowhere() {
    let mut elsewhere = super::server::Server::start().await;
    let mut bench = Bench::start().await;
    let location = format!("Location: {}/IEvents/v1/Stream\r\n", elsewhere.url);
    let connection = bench.server.accept().await;
    connection
        .refuse("307 Temporary Redirect", &location, "")
        .await;
    bench.ended("refused").await;
    bench.open().await;
    assert!(!elsewhere.has_another());
}

#[tokio::test]
async fn a_connection_without_a_byte_is_replaced() {
    let silence = Duration::from_secs(1);
    let mut bench = Bench::with(Timings { silence, ..quick() }).await;
    let opened = Instant::now();
    let _stalled = bench.open().await;
    bench.ended("silent").await;
    assert!(opened.elapsed() >= silence);
    bench.open().await;
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up() {
    let silence = Duration::from_secs(1);
    let mut bench = Bench::with(Timings { silence, ..quick() }).await;
    let _mute = bench.server.accept().await;
    bench.open().await;
}

#[tokio::test]
async fn comments_keep_a_quiet_connection_alive() {
    let silence = Duration::from_secs(3);
    let mut bench = Bench::with(Timings { silence, ..quick() }).await;
    let mut connection = bench.open().await;
    let start = Instant::now();
    while start.elapsed() < 2 * silence {
        connection.send(b": still here\n\n").await;
        // Time is the subject: more of it passes than a silent connection has.
        tokio::time::sleep(silence / 20).await;
    }
    connection.event("messageCreate", &id(1), "{}").await;
    assert_eq!(bench.event().await.id, id(1));
    assert_eq!(bench.handle.stats().connects, 1);
}

#[tokio::test]
async fn bytes_that_are_not_utf8_cost_one_connection_and_not_the_bot() {
    let event_silence = Duration::from_secs(2);
    let timings = Timings {
        event_silence,
        ..quick()
    };
    let mut bench = Bench::with(timings).await;
    let mut first = bench.open().await;
    first.event("messageCreate", &id(1), "{}").await;
    first
        .send(b"event: messageCreate\ndata: \xff\xfe\nid: x_2\n\n")
        .await;
    first.event("messageCreate", &id(3), "{}").await;
    assert_eq!(bench.event().await.id, id(1));
    let mut second = bench.open().await;
    assert_eq!(second.query("lastEventId"), Some(&*id(1)));
    second.event("messageCreate", &id(3), "{}").await;
    assert_eq!(bench.event().await.id, id(3));
}

#[tokio::test]
async fn a_refused_token_stops_the_stream_for_good() {
    let mut bench = Bench::start().await;
    let connection = bench.server.accept().await;
    connection
        .refuse("401 Unauthorized", "", r#"{"error":"unauthorized"}"#)
        .await;
    let refused = State::Refused(Refusal::Token);
    bench.state(|state| *state == refused).await;
    let state = bench.handle.state();
    soon(bench.handle.stop()).await;
    assert_eq!(*state.borrow(), refused);
    assert_eq!(bench.host.open.load(Ordering::SeqCst), 0);
    assert!(!bench.server.has_another());
}

#[tokio::test]
async fn refused_intents_wait_for_others() {
    let mut bench = Bench::start().await;
    bench.intents.send_replace(0b11);
    let missing = r#"{"error":"missing_intents"}"#;
    let refuse_until = async |bench: &mut Bench, mask: &str| {
        loop {
            let connection = bench.server.accept().await;
            let asked = connection.query("intents").unwrap().to_owned();
            connection.refuse("403 Forbidden", "", missing).await;
            if asked == mask {
                break;
            }
        }
    };
    refuse_until(&mut bench, "3").await;
    let left_out = bench.handle.left_out();
    let connection = bench.open().await;
    assert_eq!(connection.query("intents"), Some("1"));
    assert_eq!(*left_out.borrow(), 0b10);

    bench.intents.send_replace(0b101);
    refuse_until(&mut bench, "5").await;
    let refused = State::Refused(Refusal::Intents { mask: 0b101 });
    bench.state(|state| *state == refused).await;
    assert_eq!(*left_out.borrow(), 0);
    bench.intents.send_replace(0b1001);
    let connection = bench.open().await;
    assert_eq!(connection.query("intents"), Some("9"));
}

#[tokio::test]
async fn a_429_is_waited_out() {
    let throttled = Duration::from_millis(400);
    let mut bench = Bench::with(Timings {
        throttled,
        ..quick()
    })
    .await;
    let connection = bench.server.accept().await;
    let refused = Instant::now();
    connection
        .refuse(
            "429 Too Many Requests",
            "Retry-After: 0\r\n",
            r#"{"error":"rate_limited"}"#,
        )
        .await;
    bench.open().await;
    assert!(refused.elapsed() >= throttled);
}

#[tokio::test]
async fn errors_of_the_server_and_other_answers_are_tried_again() {
    let mut bench = Bench::start().await;
    for status in [
        "503 Service Unavailable",
        "500 Oops",
        "403 Forbidden",
        "404 Not Found",
    ] {
        bench
            .server
            .accept()
            .await
            .refuse(status, "", "no JSON")
            .await;
    }
    let page = "Content-Type: text/html\r\n";
    bench
        .server
        .accept()
        .await
        .refuse("200 OK", page, "<html>")
        .await;
    drop(bench.server.accept().await);
    bench.open().await;
    assert_eq!(bench.host.most_open.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_a_refusal_quotes_is_not_shown() {
    // The wait is random up to the backoff, and not less than `settle`: the state stays.
    let timings = Timings {
        settle: NEVER,
        ..quick()
    };
    let (half, _) = TOKEN.split_once(':').unwrap();
    for quoted in [TOKEN, half] {
        let mut bench = Bench::with(timings).await;
        let connection = bench.server.accept().await;
        let body = serde_json::json!({ "error": format!("{quoted}") });
        connection
            .refuse("403 Forbidden", "", &body.to_string())
            .await;
        let waiting =
            |state: &State| matches!(state, State::Waiting { reason, .. } if reason != "starting");
        let state = bench.state(waiting).await;
        let State::Waiting { reason, .. } = state else {
            panic!("{state:?}");
        };
        assert_eq!(reason, "the server answered 403");
    }
}

#[tokio::test]
async fn a_series_of_instant_ends_stays_inside_the_budget() {
    let budget_window = Duration::from_millis(800);
    let mut bench = Bench::with(Timings {
        budget_window,
        ..quick()
    })
    .await;
    let mut connects = Vec::new();
    while connects.len() < 14 {
        let mut connection = bench.server.accept().await;
        connects.push(Instant::now());
        connection.open_silently().await;
        connection.end().await;
    }
    // No slack: the client counts a connect from its answer, which is after the server saw it.
    for six in connects.windows(6) {
        assert!(six[5] - six[0] >= budget_window, "{:?}", six[5] - six[0]);
    }
}

#[tokio::test]
async fn new_intents_reopen_the_stream_and_resume() {
    let mut bench = Bench::start().await;
    let mut first = bench.open().await;
    first.event("messageCreate", &id(4), "{}").await;
    assert_eq!(bench.event().await.id, id(4));
    bench.intents.send_replace(12253);
    let second = bench.open().await;
    assert_eq!(second.query("intents"), Some("12253"));
    assert_eq!(second.query("lastEventId"), Some(&*id(4)));
}

#[tokio::test]
async fn a_deaf_stream_is_reopened() {
    let timings = Timings {
        deaf: Duration::from_millis(200),
        ..quick()
    };
    let mut bench = Bench::with(timings).await;
    let mut first = bench.open().await;
    bench.handle.message_sent(1);
    first
        .event("heartbeat", &id(1).replace('_', ":"), "{}")
        .await;
    assert_eq!(bench.event().await.kind, "heartbeat");
    bench.ended("deaf").await;
    bench.open().await;
}

#[tokio::test]
async fn a_stop_closes_the_connection_and_ends_whatever_the_stream_is_doing() {
    // Reading.
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let state = bench.handle.state();
    soon(bench.handle.stop()).await;
    assert_eq!(*state.borrow(), State::Stopped);
    assert_eq!(bench.host.open.load(Ordering::SeqCst), 0);
    // The client's end is closed: sooner or later writing fails.
    soon(async { while connection.try_send(&[b':'; 4096]).await.is_ok() {} }).await;

    // Waiting to connect again.
    let throttled = NEVER;
    let mut bench = Bench::with(Timings {
        throttled,
        ..quick()
    })
    .await;
    bench.server.accept().await.refuse("429 Slow", "", "").await;
    bench
        .state(|state| matches!(state, State::Waiting { .. }))
        .await;
    soon(bench.handle.stop()).await;

    // Waiting for the answer.
    let mut bench = Bench::start().await;
    let _mute = bench.server.accept().await;
    soon(bench.handle.stop()).await;

    // Held up by a full inbox.
    let mut bench = Bench::start().await;
    let mut connection = bench.server.accept().await;
    connection.open().await;
    // `ready` has been handed out, so that the journal takes up nothing more.
    assert_eq!(bench.event().await.kind, "ready");
    let _stalled = stall(&bench.inbox);
    let payload = "x".repeat(7 << 20);
    for sequence in 0..10 {
        connection
            .event("messageCreate", &id(sequence), &payload)
            .await;
    }
    // `ready` is through and nine fit; the tenth is read, and has no room.
    soon(async {
        while bench.handle.stats().kinds.values().sum::<u64>() < 11 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.handle.stats().appended, 10);
    soon(bench.handle.stop()).await;
}

#[tokio::test]
async fn dropping_the_handle_stops_the_stream() {
    let mut bench = Bench::start().await;
    let mut connection = bench.open().await;
    let mut state = bench.handle.state();
    drop(bench.handle);
    soon(state.wait_for(|state| *state == State::Stopped))
        .await
        .unwrap();
    soon(async { while connection.try_send(&[b':'; 4096]).await.is_ok() {} }).await;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_log_of_any_level_shows_the_token() {
    let log = Log::default();
    // For the whole process, because the stream and the HTTP client log on their own threads; the
    // other tests' lines are welcome.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .init();
    let mut bench = Bench::start().await;
    let mut first = bench.open().await;
    first.send(b"event: messageCreate\ndata: {").await;
    first.end().await;
    bench.server.accept().await.refuse("503 Busy", "", "").await;
    drop(bench.server.accept().await);
    bench.open().await;
    tracing::info!("{:?}", bench.handle);
    soon(bench.handle.stop()).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "nothing was logged"
    );
    assert!(log.contains("the event stream is connected"));
    let (user, secret) = TOKEN.split_once(':').unwrap();
    assert!(!log.contains(secret) && !log.contains(user), "{log}");
}
