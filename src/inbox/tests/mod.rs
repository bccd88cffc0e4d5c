use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::journal::KvAsk;
use super::*;

mod much;

/// How long anything may take before a test calls it broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn event(id: u64) -> Event {
    sized(id, 2)
}

fn sized(id: u64, bytes: usize) -> Event {
    Event {
        id: id.to_string(),
        kind: "messageCreate".into(),
        payload: "x".repeat(bytes),
        received: Instant::now(),
    }
}

fn place(sequence: u64) -> Place {
    Place::Sequence {
        scope: Scope::Direct,
        sequence,
        anew: false,
    }
}

/// Appends where there must be room.
fn append(inbox: &Inbox, id: u64) {
    append_at(inbox, event(id), place(id));
}

fn append_at(inbox: &Inbox, event: Event, place: Place) {
    let appended = pin!(inbox.append(event, place));
    assert!(poll(appended).is_ready(), "no room");
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn subscribe(inbox: &Inbox, script: &str) -> Subscription {
    let subscription = inbox.subscribe(script, thread::current());
    subscription.want(["*"]);
    subscription
}

/// The next event, which comes soon.
fn next(subscription: &Subscription) -> Delivery {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(delivery) = subscription.take() {
            return delivery;
        }
        assert!(Instant::now() < end, "no event came");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// The ids of so many events, which are done then.
fn ids(subscription: &Subscription, count: u64) -> Vec<String> {
    (0..count)
        .map(|_| {
            let delivery = next(subscription);
            let id = delivery.id.clone();
            delivery.done();
            id
        })
        .collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Waits until everything that was asked before is in the database, and handed out.
///
/// Twice: those who asked are told before what is handed out again.
fn settle(inbox: &Inbox) {
    for _ in 0..2 {
        let (tell, told) = mpsc::channel();
        let op = KvOp::Get { key: "x".into() };
        inbox.kv().ask("test".into(), op, None, move |_| {
            let _ = tell.send(());
        });
        told.recv_timeout(PATIENCE).expect("the journal works");
    }
}

/// The state of a bot in a folder.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> std::path::PathBuf {
        path_in(self.0.path(), "bot")
    }

    fn open(&self) -> (Arc<Inbox>, Past) {
        self.open_as("ann", Settings::default())
    }

    fn open_as(&self, user: &str, settings: Settings) -> (Arc<Inbox>, Past) {
        let opened = open(&self.path()).expect("it opens");
        opened.start(user, false, settings).expect("it starts")
    }
}

fn close(inbox: Arc<Inbox>) {
    if let Some(thread) = inbox.begin_to_close() {
        thread.join().expect("the journal ends");
    }
}

#[test]
fn a_timer_that_is_over_leaves_nothing_behind() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let timers = inbox.timers("bot");
    let now = batch::milliseconds(std::time::SystemTime::now());
    for timer in ["over", "goes on"] {
        timers.begin(timer, now);
        assert_eq!(timers.given(timer), Some(now));
    }
    timers.forget("over");
    timers.forget("never was");
    assert_eq!(timers.given("over"), None);
    drop(timers);
    close(inbox);
    let (inbox, _) = home.open();
    let timers = inbox.timers("bot");
    assert_eq!(timers.given("over"), None);
    assert_eq!(timers.given("goes on"), Some(now));
}

#[test]
fn every_subscriber_gets_every_event_once_and_in_order() {
    let inbox = Inbox::new();
    let slow = subscribe(&inbox, "slow");
    let fast = subscribe(&inbox, "fast");
    let mut seen = Vec::new();
    for n in 0..100 {
        append(&inbox, n);
        seen.extend(ids(&fast, 1));
    }
    assert_eq!(seen, numbers(0..100));
    assert_eq!(slow.waiting(), 100);
    assert_eq!(ids(&slow, 100), numbers(0..100));
    assert!(slow.take().is_none() && fast.take().is_none());
    let progress = inbox.progress();
    assert_eq!(
        (progress.appended, progress.done, progress.abandoned),
        (100, 200, 0)
    );
    assert_eq!(progress.waiting, 0);
}

#[test]
fn what_a_subscriber_does_not_want_is_not_kept_for_it() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let early = subscribe(&inbox, "early");
    let picky = inbox.subscribe("picky", thread::current());
    picky.want(["typingStart"]);
    append(&inbox, 0);
    let late = subscribe(&inbox, "late");
    append(&inbox, 1);
    settle(&inbox);
    // It may have changed its mind by the time it takes it.
    assert_eq!(next(&picky).id, "0");
    drop((early, picky, late));
    close(inbox);
    let (inbox, _) = home.open();
    let picky = subscribe(&inbox, "picky");
    assert_eq!(ids(&subscribe(&inbox, "late"), 1), numbers(1..2));
    assert_eq!(ids(&subscribe(&inbox, "early"), 2), numbers(0..2));
    settle(&inbox);
    assert!(picky.take().is_none());
}

#[test]
fn what_a_subscriber_does_not_want_does_not_wait_for_it() {
    let inbox = Inbox::new();
    let script = inbox.subscribe("script", thread::current());
    script.want(["messageCreate"]);
    let heartbeat = Event {
        kind: "heartbeat".to_owned(),
        ..event(1)
    };
    append_at(&inbox, heartbeat, Place::Connection);
    settle(&inbox);
    assert_eq!((script.waiting(), inbox.progress().waiting), (0, 0));
    script.want(["heartbeat"]);
    assert_eq!((script.waiting(), inbox.progress().waiting), (1, 1));
    assert_eq!(next(&script).kind, "heartbeat");
}

#[test]
fn what_nobody_wants_is_not_kept_but_is_known_to_have_come() {
    let home = Home::new();
    let (inbox, _) = home.open();
    append(&inbox, 7);
    assert_eq!(inbox.progress().appended, 1);
    close(inbox);
    let (inbox, past) = home.open();
    let script = subscribe(&inbox, "script");
    settle(&inbox);
    assert!(script.take().is_none());
    assert_eq!(past.position, "7");
    let [(Scope::Direct, window, _)] = &past.windows[..] else {
        panic!("{past:?}");
    };
    assert_eq!(window.clone().mark(7), Some(false));
}

#[test]
fn what_was_not_done_comes_again_first_and_is_marked() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let (one, two) = (subscribe(&inbox, "one"), subscribe(&inbox, "two"));
    for n in 0..10 {
        append(&inbox, n);
    }
    assert_eq!(ids(&one, 3), numbers(0..3));
    let held = next(&one);
    assert!(!held.is_replayed());
    next(&one).done();
    drop((held, one, two));
    close(inbox);

    let (inbox, past) = home.open();
    assert_eq!(past.position, "9");
    let (one, two) = (subscribe(&inbox, "one"), subscribe(&inbox, "two"));
    append(&inbox, 10);
    let again = next(&one);
    assert!(again.is_replayed());
    assert_eq!(again.id, "3");
    again.done();
    assert_eq!(ids(&one, 5), numbers(5..10));
    let new = next(&one);
    assert_eq!((&*new.id, new.is_replayed()), ("10", false));
    new.done();
    assert_eq!(ids(&two, 11), numbers(0..11));
    close(inbox);

    let (inbox, _) = home.open();
    let one = subscribe(&inbox, "one");
    settle(&inbox);
    assert!(one.take().is_none());
}

#[test]
fn a_script_that_begins_again_in_the_same_process_gets_what_it_had_not_done() {
    let inbox = Inbox::new();
    let first = subscribe(&inbox, "script");
    for n in 0..4 {
        append(&inbox, n);
    }
    assert_eq!(ids(&first, 1), numbers(0..1));
    let (held, dropped) = (next(&first), next(&first));
    drop(first);
    drop(dropped);
    let second = subscribe(&inbox, "script");
    let again = next(&second);
    assert_eq!((&*again.id, again.is_replayed()), ("2", true));
    again.done();
    assert_eq!(ids(&second, 1), numbers(3..4));
    settle(&inbox);
    assert!(second.take().is_none(), "1 is in other hands still");
    held.done();
    assert_eq!(inbox.progress().abandoned, 1);
}

#[test]
fn a_script_that_lags_behind_gets_the_rest_from_the_disk_in_order() {
    let inbox = Inbox::new();
    let (slow, fast) = (subscribe(&inbox, "slow"), subscribe(&inbox, "fast"));
    const EVENTS: u64 = 5000;
    for n in 0..EVENTS {
        append(&inbox, n);
        next(&fast).done();
    }
    assert_eq!(slow.waiting(), EVENTS);
    for n in 0..EVENTS {
        if n == EVENTS / 2 {
            append(&inbox, EVENTS);
        }
        let delivery = next(&slow);
        assert_eq!(
            (&*delivery.id, delivery.is_replayed()),
            (&*n.to_string(), false)
        );
        delivery.done();
    }
    assert_eq!(ids(&slow, 1), [EVENTS.to_string()]);
}

#[test]
fn events_of_the_connection_are_handed_out_and_not_kept() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    let ready = Event {
        kind: "ready".into(),
        ..event(1)
    };
    append_at(&inbox, ready, Place::Connection);
    assert_eq!(next(&script).kind, "ready");
    assert_eq!(inbox.ready().expect("it is remembered").id, "1");
    close(inbox);
    let (inbox, past) = home.open();
    let script = subscribe(&inbox, "script");
    settle(&inbox);
    assert!(script.take().is_none());
    assert_eq!(past.position, "");
}

#[test]
fn when_too_much_waits_to_be_written_the_appender_waits() {
    let inbox = Inbox::new();
    let script = subscribe(&inbox, "script");
    settle(&inbox);
    let (stalled, until) = mpsc::channel::<()>();
    let op = KvOp::Get { key: "x".into() };
    let (began, begun) = mpsc::channel();
    inbox.kv().ask("test".into(), op, None, move |_| {
        let _ = began.send(());
        let _ = until.recv();
    });
    begun.recv_timeout(PATIENCE).expect("the journal works");
    for n in 0..CAPACITY_EVENTS as u64 {
        append(&inbox, n);
    }
    let last = CAPACITY_EVENTS as u64;
    let mut waiting = pin!(inbox.append(event(last), place(last)));
    assert!(poll(waiting.as_mut()).is_pending());
    drop(stalled);
    assert_eq!(ids(&script, last), numbers(0..last));
    assert!(poll(waiting.as_mut()).is_ready());
    assert_eq!(ids(&script, 1), [last.to_string()]);
}

#[test]
fn whoever_waits_for_a_journal_that_has_ended_is_told() {
    let inbox = Inbox::new();
    let kv = Kv::new(Arc::clone(&inbox.core));
    let script = subscribe(&inbox, "script");
    append(&inbox, 1);
    let delivery = next(&script);
    let core = Arc::clone(&inbox.core);
    assert!(poll(pin!(inbox.ended())).is_pending());
    close(inbox);
    assert!(poll(pin!(core.ended())).is_ready());
    let mut intent = pin!(delivery.ledger().intend("here", 1));
    assert!(matches!(poll(intent.as_mut()), Poll::Ready(Err(_))));
    let (told, answers) = mpsc::channel();
    let ask = KvOp::Get { key: "k".into() };
    kv.ask("script".into(), ask, None, move |answer| {
        told.send(answer).unwrap();
    });
    assert!(answers.try_recv().expect("an answer at once").is_err());
    // An appender does not wait for room that nobody makes.
    for n in [2, 3] {
        let event = sized(n, CAPACITY_BYTES);
        assert!(core.push(event.into(), place(n), None).is_ok());
    }
}

#[test]
fn what_is_kept_for_a_paused_script_stays_whatever_else_comes() {
    let inbox = Inbox::new();
    let paused = inbox.subscribe("script", thread::current());
    paused.want(["messageCreate"]);
    let paused = paused.pass_to_nobody();
    // More than is kept of what nobody wants.
    for n in 0..100 {
        append(&inbox, n);
        let kind = "typingStart".into();
        let typing = Event {
            kind,
            ..event(1000 + n)
        };
        append_at(&inbox, typing, place(1000 + n));
    }
    settle(&inbox);
    let back = paused.pass_to(thread::current());
    assert_eq!(back.waiting(), 100);
    assert_eq!(ids(&back, 100), numbers(0..100));
}

#[test]
fn beyond_the_bound_the_oldest_unfinished_events_go_and_are_counted() {
    let home = Home::new();
    let settings = Settings {
        backlog: 10_000,
        ..Settings::default()
    };
    let (inbox, _) = home.open_as("ann", settings);
    let script = subscribe(&inbox, "script");
    let mut held = Vec::new();
    for n in 0..20 {
        append_at(&inbox, sized(n, 1000), place(n));
        if n < 2 {
            held.push(next(&script));
        }
        settle(&inbox);
    }
    let progress = inbox.progress();
    assert_eq!((progress.dropped, progress.unfinished), (10, 10));
    // What it had begun goes on; what it had not is not begun any more.
    held.remove(0).done();
    let delivery = next(&script);
    assert_eq!(delivery.id, "10");
    assert_eq!(script.waiting(), 9);
    drop((held, delivery));
    drop(script);
    close(inbox);
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    assert_eq!(ids(&script, 10), numbers(10..20));
}

#[test]
fn a_place_passes_to_another_taker_between_two_events() {
    let inbox = Inbox::new();
    let first = subscribe(&inbox, "script");
    for n in 0..4 {
        append(&inbox, n);
    }
    let held = next(&first);
    let second = first.pass_to(thread::current());
    assert!(first.take().is_none(), "it has been passed on");
    assert_eq!(second.waiting(), 3);
    assert_eq!(ids(&second, 3), numbers(1..4));
    held.done();
    drop(first);
    append(&inbox, 4);
    assert_eq!(ids(&second, 1), numbers(4..5));
    assert_eq!(inbox.progress().done, 5);
}

#[test]
fn who_comes_late_to_its_turn_does_not_take_the_place_back() {
    let inbox = Inbox::new();
    let place = subscribe(&inbox, "script");
    let late = place.pass_to_nobody();
    let next_one = place.pass_to_nobody();
    let running = next_one.pass_to(thread::current());
    let late = late.pass_to(thread::current());
    append(&inbox, 0);
    assert_eq!(ids(&running, 1), numbers(0..1));
    append(&inbox, 1);
    settle(&inbox);
    assert!(late.take().is_none(), "its turn was over before");
    assert_eq!(ids(&running, 1), numbers(1..2));
}

#[test]
fn scripts_that_are_gone_leave_nothing_behind() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let (stays, goes) = (subscribe(&inbox, "stays"), subscribe(&inbox, "goes"));
    append(&inbox, 1);
    settle(&inbox);
    drop((stays, goes));
    inbox.keep_only(["stays".to_owned()]);
    close(inbox);
    let (inbox, _) = home.open();
    let (stays, goes) = (subscribe(&inbox, "stays"), subscribe(&inbox, "goes"));
    assert_eq!(ids(&stays, 1), numbers(1..2));
    settle(&inbox);
    assert!(goes.take().is_none());
}

#[test]
fn events_belong_to_a_bot_and_those_of_a_passing_world_go_with_it() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    append(&inbox, 1);
    settle(&inbox);
    drop(script);
    close(inbox);

    let (inbox, past) = home.open_as("bea", Settings::default());
    assert_eq!(past.position, "");
    let script = subscribe(&inbox, "script");
    settle(&inbox);
    assert!(script.take().is_none());
    drop(script);
    close(inbox);

    let opened = open(&home.path()).unwrap();
    let (inbox, _) = opened.start("sim", true, Settings::default()).unwrap();
    let script = subscribe(&inbox, "script");
    append(&inbox, 2);
    settle(&inbox);
    drop(script);
    close(inbox);

    let (inbox, past) = home.open();
    assert_eq!(past.position, "1");
    let script = subscribe(&inbox, "script");
    assert_eq!(ids(&script, 1), numbers(1..2));
    drop(script);
    close(inbox);
    let opened = open(&home.path()).unwrap();
    let (inbox, past) = opened.start("sim", true, Settings::default()).unwrap();
    let script = subscribe(&inbox, "script");
    settle(&inbox);
    assert_eq!(past.position, "");
    assert!(script.take().is_none(), "its world was over");
}

#[test]
fn a_passing_world_is_over_at_the_next_start_of_the_same_bot() {
    let home = Home::new();
    let start = || {
        let opened = open(&home.path()).unwrap();
        opened.start("sim", true, Settings::default()).unwrap()
    };
    let (inbox, _) = start();
    let script = subscribe(&inbox, "script");
    append(&inbox, 1);
    settle(&inbox);
    drop(script);
    close(inbox);
    let (inbox, past) = start();
    let script = subscribe(&inbox, "script");
    settle(&inbox);
    assert_eq!(past.position, "");
    assert!(script.take().is_none(), "its world was over");
}

#[test]
fn what_handlers_asked_comes_with_the_event_and_goes_with_it() {
    let home = Home::new();
    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    append(&inbox, 1);
    let delivery = next(&script);
    let ledger = delivery.ledger().clone();
    let mut intent = pin!(ledger.intend("a:0", 11));
    while poll(intent.as_mut()).is_pending() {
        thread::yield_now();
    }
    ledger.answered("a:0", 11, "yes".into());
    drop(ledger.intend("a:1", 12));
    settle(&inbox);
    drop((delivery, script));
    close(inbox);

    let (inbox, _) = home.open();
    let script = subscribe(&inbox, "script");
    let mut delivery = next(&script);
    let recorded = delivery.take_recorded();
    let known: Vec<_> = (recorded.iter())
        .map(|call| (&*call.position, call.question, call.answer.as_deref()))
        .collect();
    assert_eq!(known, [("a:0", 11, Some(&b"yes"[..])), ("a:1", 12, None)]);
    let ledger = delivery.ledger().clone();
    delivery.done();
    ledger.answered("a:2", 13, "late".into());
    settle(&inbox);
    drop(script);
    close(inbox);
    let view = rusqlite::Connection::open(home.path()).unwrap();
    for table in ["call", "batch", "progress"] {
        let count: u64 = view
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
}

/// What came of an operation on the key-value store.
fn kv(inbox: &Inbox, op: KvOp) -> Result<KvAnswer, KvError> {
    let (tell, told) = mpsc::channel();
    inbox.kv().ask("test".into(), op, None, move |result| {
        let _ = tell.send(result);
    });
    told.recv_timeout(PATIENCE).expect("the journal works")
}

fn set(key: &str, bytes: usize) -> KvOp {
    KvOp::Set {
        key: key.into(),
        value: format!("\"{}\"", "x".repeat(bytes)),
        ttl: None,
        revision: None,
    }
}

#[test]
fn while_the_disk_is_full_events_wait_and_askers_are_told() {
    let home = Home::new();
    let store = Store::open(&home.path()).unwrap();
    // SQLite says of this what it says of a disk.
    store.limit_pages(200);
    let (inbox, ..) = Inbox::start(store, "ann", false, Settings::default()).unwrap();
    let script = subscribe(&inbox, "script");
    append(&inbox, 1);
    assert_eq!(ids(&script, 1), numbers(1..2));
    assert!(kv(&inbox, set("large", 700_000)).is_ok());
    let refused = kv(&inbox, set("more", 200_000)).unwrap_err();
    assert_eq!(
        (refused.code(), &*refused.to_string()),
        ("disk", "the disk did not take it: it is full")
    );
    append_at(&inbox, sized(2, 200_000), place(2));
    append(&inbox, 3);
    assert!(
        kv(&inbox, set("small", 10)).is_err(),
        "it goes with the events"
    );
    assert!(script.take().is_none());
    let large = KvOp::Delete {
        key: "large".into(),
        revision: None,
    };
    assert_eq!(kv(&inbox, large), Ok(KvAnswer::Deleted(true)));
    assert_eq!(ids(&script, 2), numbers(2..4));
    assert_eq!(inbox.progress().appended, 3);
    drop(script);
    close(inbox);
    let (inbox, past) = home.open();
    assert_eq!(past.position, "3");
    assert!(subscribe(&inbox, "script").take().is_none());
}

#[test]
fn what_a_full_disk_did_not_take_is_tried_once_more_at_the_end() {
    let home = Home::new();
    let store = Store::open(&home.path()).unwrap();
    store.limit_pages(200);
    let (inbox, ..) = Inbox::start(store, "ann", false, Settings::default()).unwrap();
    let script = subscribe(&inbox, "script");
    assert!(kv(&inbox, set("large", 700_000)).is_ok());
    append_at(&inbox, sized(1, 200_000), place(1));
    while inbox.core.counters.failed_commits.load(Relaxed) == 0 {
        thread::yield_now();
    }
    {
        // At once, so that no attempt in between has room.
        let mut state = inbox.core.lock();
        state.ops.push(Op::Kv(KvAsk {
            holder: 0,
            space: "test".into(),
            op: KvOp::Delete {
                key: "large".into(),
                revision: None,
            },
            site: None,
            reply: Box::new(|_| {}),
        }));
        state.closing = true;
    }
    drop(script);
    close(inbox);
    let (inbox, past) = home.open();
    assert_eq!(past.position, "1");
    assert_eq!(ids(&subscribe(&inbox, "script"), 1), numbers(1..2));
}

#[test]
fn a_disk_that_stays_full_does_not_keep_the_host_from_ending() {
    let home = Home::new();
    let store = Store::open(&home.path()).unwrap();
    store.limit_pages(200);
    let (inbox, ..) = Inbox::start(store, "ann", false, Settings::default()).unwrap();
    let script = subscribe(&inbox, "script");
    append_at(&inbox, sized(1, 2_000_000), place(1));
    drop(script);
    close(inbox);
    let (inbox, past) = home.open();
    assert_eq!(past.position, "", "the platform is asked for it again");
    assert!(subscribe(&inbox, "script").take().is_none());
}
