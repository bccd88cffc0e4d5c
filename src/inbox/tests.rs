use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::*;

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

/// Appends where there must be room.
fn append(inbox: &Inbox, event: Event) {
    assert!(
        poll(pin!(inbox.append(event)).as_mut()).is_ready(),
        "no room"
    );
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn ids(subscription: &Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.take())
        .map(|delivery| {
            let id = delivery.id.clone();
            delivery.done();
            id
        })
        .collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn every_subscriber_gets_every_event_once_and_in_order() {
    let inbox = Inbox::new();
    let slow = inbox.subscribe(thread::current());
    let fast = inbox.subscribe(thread::current());
    let mut seen = Vec::new();
    for n in 0..100 {
        append(&inbox, event(n));
        seen.extend(ids(&fast));
    }
    assert_eq!(seen, numbers(0..100));
    assert_eq!(inbox.progress().waiting, 100);
    assert_eq!(ids(&slow), numbers(0..100));
    assert!(slow.take().is_none() && fast.take().is_none());
    let progress = inbox.progress();
    assert_eq!(
        (progress.appended, progress.done, progress.abandoned),
        (100, 200, 0)
    );
    assert_eq!(progress.waiting, 0);
}

#[test]
fn a_late_subscriber_gets_only_what_comes_after_it() {
    let inbox = Inbox::new();
    let early = inbox.subscribe(thread::current());
    append(&inbox, event(0));
    let late = inbox.subscribe(thread::current());
    append(&inbox, event(1));
    assert_eq!(ids(&late), numbers(1..2));
    assert_eq!(ids(&early), numbers(0..2));
    assert_eq!(inbox.progress().waiting, 0);
}

#[test]
fn without_subscribers_nothing_is_kept() {
    let inbox = Inbox::new();
    append(&inbox, event(0));
    assert_eq!(inbox.progress().appended, 1);
    assert_eq!(inbox.progress().waiting, 0);
}

#[test]
fn a_full_inbox_makes_the_appender_wait_until_the_slowest_has_taken() {
    let inbox = Inbox::new();
    let slow = inbox.subscribe(thread::current());
    let fast = inbox.subscribe(thread::current());
    for n in 0..CAPACITY_EVENTS as u64 {
        append(&inbox, event(n));
    }
    let mut waiting = pin!(inbox.append(event(CAPACITY_EVENTS as u64)));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(ids(&fast).len(), CAPACITY_EVENTS);
    assert!(
        poll(waiting.as_mut()).is_pending(),
        "the slow one still needs them"
    );
    for _ in 1..CAPACITY_EVENTS / 4 {
        slow.take().unwrap().done();
    }
    assert!(
        poll(waiting.as_mut()).is_pending(),
        "not woken for each event"
    );
    slow.take().unwrap().done();
    assert!(poll(waiting.as_mut()).is_ready());
    assert_eq!(inbox.progress().waiting, CAPACITY_EVENTS / 4 * 3 + 1);
}

#[test]
fn bytes_bound_the_inbox_too_and_one_event_of_any_size_fits_an_empty_one() {
    let inbox = Inbox::new();
    let subscription = inbox.subscribe(thread::current());
    append(&inbox, sized(0, CAPACITY_BYTES + 1));
    let mut waiting = pin!(inbox.append(event(1)));
    assert!(poll(waiting.as_mut()).is_pending());
    subscription.take().unwrap().done();
    assert!(poll(waiting.as_mut()).is_ready());
    append(&inbox, sized(2, CAPACITY_BYTES - 2));
    assert!(poll(pin!(inbox.append(event(3))).as_mut()).is_pending());
    assert_eq!(ids(&subscription), numbers(1..3));
}

#[test]
fn a_cancelled_append_appends_nothing_and_passes_its_turn_on() {
    let inbox = Inbox::new();
    let subscription = inbox.subscribe(thread::current());
    append(&inbox, sized(0, CAPACITY_BYTES));
    let mut second = pin!(inbox.append(event(2)));
    {
        let mut first = pin!(inbox.append(event(1)));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        subscription.take().unwrap().done();
    }
    assert!(poll(second.as_mut()).is_ready());
    assert_eq!(ids(&subscription), numbers(2..3));
    assert_eq!(inbox.progress().appended, 2);
}

#[test]
fn dropping_the_subscriber_that_held_it_up_frees_every_waiting_appender() {
    let inbox = Inbox::new();
    let stuck = inbox.subscribe(thread::current());
    append(&inbox, sized(0, CAPACITY_BYTES));
    let mut first = pin!(inbox.append(event(1)));
    let mut second = pin!(inbox.append(event(2)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    drop(stuck);
    assert!(poll(first.as_mut()).is_ready());
    assert!(poll(second.as_mut()).is_ready());
    assert_eq!(inbox.progress().waiting, 0);
}

#[test]
fn dropping_one_subscriber_takes_nothing_from_another() {
    let inbox = Inbox::new();
    let leaving = inbox.subscribe(thread::current());
    let staying = inbox.subscribe(thread::current());
    for n in 0..10 {
        append(&inbox, event(n));
    }
    leaving.take().unwrap().done();
    staying.take().unwrap().done();
    staying.take().unwrap().done();
    drop(leaving);
    assert_eq!(inbox.progress().waiting, 8);
    assert_eq!(ids(&staying), numbers(2..10));
    assert_eq!(inbox.progress().waiting, 0);
}

#[test]
fn a_delivery_dropped_without_done_is_counted_as_abandoned() {
    let inbox = Inbox::new();
    let subscription = inbox.subscribe(thread::current());
    append(&inbox, event(0));
    drop(subscription.take());
    let progress = inbox.progress();
    assert_eq!((progress.done, progress.abandoned), (0, 1));
}

#[test]
fn threads_that_take_while_others_come_and_go_miss_nothing() {
    const EVENTS: u64 = 30_000;
    let inbox = Inbox::new();
    let (ready, started) = std::sync::mpsc::channel();
    let takers: Vec<_> = (0..3)
        .map(|_| {
            let (inbox, ready) = (Arc::clone(&inbox), ready.clone());
            thread::spawn(move || {
                let subscription = inbox.subscribe(thread::current());
                ready.send(()).unwrap();
                let mut next = 0;
                while next < EVENTS {
                    match subscription.take() {
                        Some(delivery) => {
                            assert_eq!(delivery.id, next.to_string());
                            next += 1;
                            delivery.done();
                        }
                        None => thread::park(),
                    }
                }
                assert!(subscription.take().is_none());
            })
        })
        .collect();
    for _ in 0..3 {
        started.recv().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        for n in 0..EVENTS {
            let passing = (n % 1000 == 0).then(|| inbox.subscribe(thread::current()));
            inbox.append(event(n)).await;
            drop(passing);
        }
    });
    for taker in takers {
        taker.join().unwrap();
    }
    assert_eq!(inbox.progress().waiting, 0);
    assert_eq!(inbox.progress().done, 3 * EVENTS);
}

#[test]
fn a_place_passes_to_another_taker_between_two_events() {
    let inbox = Inbox::new();
    let first = inbox.subscribe(thread::current());
    for n in 0..4 {
        append(&inbox, event(n));
    }
    let held = first.take().unwrap();
    let second = first.pass_to(thread::current());
    assert!(first.take().is_none(), "it has been passed on");
    assert_eq!(second.waiting(), 3);
    assert_eq!(ids(&second), numbers(1..4));
    held.done();
    drop(first);
    append(&inbox, event(4));
    assert_eq!(ids(&second), numbers(4..5));
    assert_eq!(inbox.progress().done, 5);
}

#[test]
fn a_laggard_that_starves_the_others_loses_its_oldest_events_after_a_while() {
    let inbox = Inbox::new();
    let stuck = inbox.subscribe(thread::current());
    let brisk = inbox.subscribe(thread::current());
    for n in 0..CAPACITY_EVENTS as u64 {
        append(&inbox, event(n));
    }
    let begun = Instant::now();
    let mut waiting = pin!(inbox.append(event(CAPACITY_EVENTS as u64)));
    assert!(poll(waiting.as_mut()).is_pending());
    inbox.relieve(begun + PATIENCE * 2);
    assert!(
        poll(waiting.as_mut()).is_pending(),
        "nobody starves: both lag behind"
    );
    assert_eq!(ids(&brisk).len(), CAPACITY_EVENTS);
    inbox.relieve(begun);
    assert!(poll(waiting.as_mut()).is_pending(), "too early");
    inbox.relieve(begun + PATIENCE * 2);
    assert!(poll(waiting.as_mut()).is_ready());
    assert_eq!(stuck.take_dropped(), CAPACITY_EVENTS as u64 / 4);
    assert_eq!((stuck.take_dropped(), brisk.take_dropped()), (0, 0));
    // From now on at once.
    for n in 0..CAPACITY_EVENTS as u64 {
        append(&inbox, event(n));
        brisk.take().unwrap().done();
    }
    let dropped = stuck.take_dropped();
    assert!(dropped > CAPACITY_EVENTS as u64 / 2, "{dropped}");
    let first: u64 = ids(&stuck)[0].parse().unwrap();
    assert!(first > 0, "the oldest are gone, the newest are there");
    assert_eq!(brisk.take_dropped(), 0);
}

#[test]
fn a_place_without_a_taker_never_makes_the_appender_wait() {
    let inbox = Inbox::new();
    let paused = inbox.reserve();
    let brisk = inbox.subscribe(thread::current());
    for n in 0..CAPACITY_EVENTS as u64 * 2 {
        append(&inbox, event(n));
        brisk.take().unwrap().done();
    }
    let back = paused.pass_to(thread::current());
    let dropped = back.take_dropped();
    let kept = ids(&back);
    assert_eq!(dropped + kept.len() as u64, CAPACITY_EVENTS as u64 * 2);
    assert_eq!(
        kept.last().unwrap(),
        &(CAPACITY_EVENTS * 2 - 1).to_string(),
        "the newest are kept"
    );
}

#[test]
fn the_last_ready_is_remembered() {
    let inbox = Inbox::new();
    assert!(inbox.ready().is_none());
    append(
        &inbox,
        Event {
            kind: "ready".into(),
            ..event(7)
        },
    );
    append(&inbox, event(8));
    assert_eq!(inbox.ready().unwrap().id, "7");
}
