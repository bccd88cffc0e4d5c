//! The schedule against the model of the platform, in simulated time.

use std::collections::HashMap;
use std::time::Duration;

use super::model::{Random, Window};
use super::schedule::{Moment, Outcome, PATIENCE, QUEUE, RESERVED, Schedule, Ticket};
use super::world::{Happening, World, interface, ms, schedule};
use super::{Caller, Reason, Timing};
use crate::contract::INTERFACES;

const SECOND: Duration = Duration::from_secs(1);
const FOREVER: Duration = Duration::from_secs(100_000);

#[test]
fn whatever_the_schedule_and_the_phase_nothing_is_refused() {
    for seed in 0..18 {
        let latency = [2, 40, 300, 3000][seed as usize % 4];
        let mut world = World::new(seed, latency, ms(100));
        world.lossy = seed % 3 == 0;
        if seed % 2 == 0 {
            world.at_once = 9;
            world.schedule.set_stream_open(Duration::ZERO, true);
        }
        let mut random = Random(seed ^ 0xabcd);
        // Bursts with pauses between, over several windows, on a few interfaces at once.
        let mut when = Duration::ZERO;
        while when < SECOND * 400 {
            let gate = random.below(INTERFACES.len() as u64) as usize;
            let burst = 1 + random.below(u64::from(INTERFACES[gate].per_minute) * 3 / 2);
            let spread = random.below(20_000) + 1;
            for _ in 0..burst {
                let at = when + ms(random.below(spread));
                let caller = Caller(random.below(3) as u32);
                let deadline = at + ms(random.below(150_000));
                world.at(at, Happening::Asked(gate, caller, deadline));
            }
            when += ms(random.below(8_000));
        }
        world.run(SECOND * 700);
        assert_eq!(world.refused_by_platform, 0, "seed {seed}");
        assert!(world.order.len() > 500, "seed {seed}: nothing was tried");
    }
}

#[test]
fn a_saturated_interface_reaches_98_percent_of_what_the_platform_admits() {
    for (seed, name, latency) in [
        (1, "IMessages", 50),
        (2, "IMessages", 150),
        (3, "ICommands", 100),
        (4, "IBotSelf", 20),
        (5, "IEvents", 100),
    ] {
        for late in [Duration::ZERO, ms(100)] {
            let mut world = World::new(seed, latency, late);
            world.greedy = true;
            let gate = interface(name);
            let limit = u64::from(INTERFACES[gate].per_minute);
            for _ in 0..limit * 2 {
                world.ask(Duration::ZERO, name, Caller(1), FOREVER);
            }
            let minutes = 60;
            world.run(SECOND * 60 * minutes);
            // Six turns free a whole limit, and one limit is there at the start.
            let achievable = limit as f64 * (1.0 + f64::from(world.windows[gate].turns) / 6.0);
            let reached = world.admitted_on(name) as f64;
            // The edges of an hour: a window of the platform may have begun without us.
            let share = (reached + limit as f64 / 2.0).min(achievable) / achievable;
            assert!(share >= 0.98, "{name} seed {seed} late {late:?}: {share}");
            assert_eq!(world.refused_by_platform, 0, "{name} seed {seed}");
        }
    }
}

#[test]
fn callers_that_all_want_more_get_the_same() {
    let mut world = World::new(7, 30, ms(100));
    world.greedy = true;
    // The first one comes early and with a lot; the others must not suffer for it.
    for _ in 0..500 {
        world.ask(Duration::ZERO, "IMessages", Caller(1), FOREVER);
    }
    for caller in [2, 3] {
        for _ in 0..150 {
            world.ask(SECOND, "IMessages", Caller(caller), FOREVER);
        }
    }
    world.run(SECOND * 600);
    let gate = interface("IMessages");
    let count = |caller| world.admitted[&(gate, Caller(caller))] as f64;
    // Beyond the first window, which the first caller had for itself.
    let (one, two, three) = (count(1) - 120.0, count(2), count(3));
    assert!((two / three - 1.0).abs() < 0.02, "{two} {three}");
    assert!(one <= two, "who came early is not ahead: {one} {two}");
    assert!(one > two * 0.7, "nor starved: {one} {two}");
}

#[test]
fn a_share_is_never_exceeded_in_any_window() {
    let mut world = World::new(8, 30, ms(100));
    world.greedy = true;
    world.schedule.set_share(Caller(1), 0.25);
    world.schedule.set_share(Caller(2), 0.001);
    for caller in [1, 2, 3] {
        for _ in 0..300 {
            world.ask(Duration::ZERO, "IMessages", Caller(caller), FOREVER);
        }
    }
    world.run(SECOND * 300);
    for (caller, most) in [(1, 30), (2, 1)] {
        let starts: Vec<Moment> = world
            .order
            .iter()
            .filter(|(_, _, by)| *by == Caller(caller))
            .map(|(at, ..)| *at)
            .collect();
        assert!(starts.len() > most);
        for window in starts.windows(most + 1) {
            assert!(window[most] - window[0] >= SECOND * 60, "caller {caller}");
        }
    }
}

#[test]
fn a_share_alone_does_not_keep_others_from_the_rest() {
    let mut schedule = schedule();
    schedule.set_share(Caller(1), 0.5);
    let gate = interface("IBotSelf");
    for _ in 0..15 {
        schedule
            .submit(SECOND, gate, Caller(1), FOREVER, false)
            .expect("room");
        schedule
            .submit(SECOND, gate, Caller(2), FOREVER, false)
            .expect("room");
    }
    let mut started = 0;
    loop {
        let step = schedule.poll(SECOND * 2);
        if step.started.is_empty() {
            break;
        }
        for ticket in step.started {
            started += 1;
            schedule.finished(SECOND, ticket, Outcome::Answered { by: SECOND });
        }
    }
    assert_eq!(started, 15);
}

/// Fills every slot, queues requests, then frees one slot after the other and notes who starts.
fn order_of(requests: &[(&str, usize)]) -> Vec<usize> {
    let mut schedule = schedule();
    let mut running: Vec<Ticket> = Vec::new();
    for _ in 0..10 {
        schedule
            .submit(
                Duration::ZERO,
                interface("ITyping"),
                Caller(1),
                FOREVER,
                false,
            )
            .expect("room");
    }
    running.extend(schedule.poll(Duration::ZERO).started);
    assert_eq!(running.len(), 10);
    for &(name, count) in requests {
        for _ in 0..count {
            schedule
                .submit(Duration::ZERO, interface(name), Caller(1), FOREVER, false)
                .expect("room");
        }
    }
    let mut gates = HashMap::new();
    let mut order = Vec::new();
    let mut now = Duration::ZERO;
    let total: usize = requests.iter().map(|(_, count)| count).sum();
    while order.len() < total {
        now += ms(50);
        let ticket = running.remove(0);
        schedule.finished(now, ticket, Outcome::Answered { by: now });
        let before: Vec<usize> = schedule
            .stats(now)
            .interfaces
            .iter()
            .map(|interface| interface.queued)
            .collect();
        let started = schedule.poll(now + ms(10)).started;
        assert_eq!(started.len(), 1);
        let after = schedule.stats(now);
        for (at, interface) in after.interfaces.iter().enumerate() {
            if interface.queued < before[at] {
                order.push(at);
                gates.insert(started[0], at);
            }
        }
        running.extend(started);
    }
    order
}

#[test]
fn answers_to_people_go_before_messages_before_the_rest() {
    let order = order_of(&[("ISpaces", 2), ("IMessages", 2), ("IInteractions", 2)]);
    let expected: Vec<usize> = [
        "IInteractions",
        "IInteractions",
        "IMessages",
        "IMessages",
        "ISpaces",
        "ISpaces",
    ]
    .map(interface)
    .into();
    assert_eq!(order, expected);
}

#[test]
fn a_lower_lane_waits_for_at_most_eight_starts() {
    let order = order_of(&[("ISpaces", 3), ("IInteractions", 40)]);
    let spaces = interface("ISpaces");
    let places: Vec<usize> = (0..order.len()).filter(|&at| order[at] == spaces).collect();
    let step = PATIENCE as usize + 1;
    assert_eq!(places, [step - 1, 2 * step - 1, 3 * step - 1]);
}

#[test]
fn interfaces_of_one_lane_take_turns() {
    let order = order_of(&[("ISpaces", 3), ("IChannels", 3)]);
    let (spaces, channels) = (interface("ISpaces"), interface("IChannels"));
    assert_eq!(order[..2].iter().filter(|&&at| at == spaces).count(), 1);
    assert_eq!(order[2..4].iter().filter(|&&at| at == channels).count(), 1);
}

#[test]
fn nine_run_beside_the_stream_and_ten_without_it() {
    for (open, most) in [(true, 9), (false, 10)] {
        let mut schedule = schedule();
        schedule.set_stream_open(Duration::ZERO, open);
        for _ in 0..30 {
            schedule
                .submit(
                    Duration::ZERO,
                    interface("IMessages"),
                    Caller(1),
                    FOREVER,
                    false,
                )
                .expect("room");
        }
        assert_eq!(schedule.poll(Duration::ZERO).started.len(), most);
        assert!(schedule.poll(SECOND).started.is_empty());
    }
}

#[test]
fn the_slot_of_a_stream_that_was_closed_comes_free_when_the_platform_has_noticed() {
    let mut schedule = schedule();
    schedule.set_stream_open(Duration::ZERO, true);
    let messages = interface("IMessages");
    for _ in 0..30 {
        schedule
            .submit(Duration::ZERO, messages, Caller(1), FOREVER, false)
            .expect("room");
    }
    assert_eq!(schedule.poll(Duration::ZERO).started.len(), 9);
    schedule.set_stream_open(SECOND, false);
    let step = schedule.poll(SECOND);
    assert!(step.started.is_empty());
    let noticed = SECOND + Timing::new(Timing::SEGMENT).linger_lost;
    assert_eq!(schedule.busy(SECOND), (10, Some(noticed)));
    assert_eq!(step.wake, Some(noticed));
    assert_eq!(schedule.poll(noticed).started.len(), 1);
    // A second closing frees nothing more.
    schedule.set_stream_open(noticed, false);
    assert_eq!(schedule.busy(noticed), (10, None));
}

#[test]
fn a_full_queue_refuses_at_once_with_an_estimate() {
    let mut schedule = schedule();
    let gate = interface("IMessages");
    for _ in 0..QUEUE {
        schedule
            .submit(Duration::ZERO, gate, Caller(1), FOREVER, false)
            .expect("room");
    }
    let refusal = schedule
        .submit(Duration::ZERO, gate, Caller(1), FOREVER, false)
        .expect_err("full");
    assert_eq!(refusal.reason, Reason::QueueFull);
    // A thousand before it, 120 in a window: the ninth window.
    assert!(refusal.retry_after > SECOND * 60 * 8, "{refusal:?}");
    assert!(refusal.retry_after < SECOND * 61 * 9, "{refusal:?}");
    // Another caller is not concerned, nor is a request that had its turn.
    assert!(
        schedule
            .submit(Duration::ZERO, gate, Caller(2), FOREVER, false)
            .is_ok()
    );
    assert!(
        schedule
            .submit(Duration::ZERO, gate, Caller(1), FOREVER, true)
            .is_ok()
    );
}

/// Uses a whole limit up at `now`.
fn use_up(schedule: &mut Schedule, gate: usize, now: Moment) {
    let limit = INTERFACES[gate].per_minute;
    for _ in 0..limit {
        schedule
            .submit(now, gate, Caller(1), FOREVER, false)
            .expect("room");
    }
    let mut left = limit as usize;
    let mut at = now;
    while left > 0 {
        let started = schedule.poll(at).started;
        assert!(!started.is_empty());
        for ticket in started {
            schedule.finished(now, ticket, Outcome::Answered { by: now });
            left -= 1;
        }
        at += ms(20);
    }
}

#[test]
fn what_certainly_comes_too_late_fails_at_once() {
    let mut schedule = schedule();
    let gate = interface("ISpaces");
    use_up(&mut schedule, gate, Duration::ZERO);
    let now = SECOND * 20;
    let refusal = schedule
        .submit(now, gate, Caller(1), now + SECOND * 30, false)
        .expect_err("too late");
    assert_eq!(refusal.reason, Reason::TooLate);
    assert_eq!(refusal.retry_after, ms(40_600));
    assert!(
        schedule
            .submit(now, gate, Caller(1), now + SECOND * 41, false)
            .is_ok()
    );
}

#[test]
fn a_deadline_in_the_queue_is_kept_to_the_moment() {
    let mut schedule = schedule();
    // Ten slots are taken by requests that nobody answers: what waits could start any time.
    for _ in 0..11 {
        schedule
            .submit(
                Duration::ZERO,
                interface("ISpaces"),
                Caller(1),
                SECOND * 5,
                false,
            )
            .expect("room");
    }
    let step = schedule.poll(Duration::ZERO);
    assert_eq!(step.started.len(), 10);
    assert_eq!(step.wake, Some(SECOND * 5));
    assert!(schedule.poll(ms(4_999)).refused.is_empty());
    let step = schedule.poll(SECOND * 5);
    assert_eq!(step.refused.len(), 1);
    assert_eq!(step.refused[0].1.reason, Reason::TooLate);
    assert_eq!(step.wake, None);
}

#[test]
fn a_caller_whose_requests_are_slow_leaves_slots_to_the_others() {
    let mut schedule = schedule();
    let ask = |schedule: &mut Schedule, interface_name: &str, caller| {
        let gate = interface(interface_name);
        let asked = schedule.submit(Duration::ZERO, gate, Caller(caller), FOREVER, false);
        asked.expect("room")
    };
    ask(&mut schedule, "ISpaces", 2);
    let first = schedule.poll(Duration::ZERO).started;
    schedule.finished(Duration::ZERO, first[0], Outcome::Unsent);
    let slow: Vec<_> = (0..20)
        .map(|_| ask(&mut schedule, "IMessages", 1))
        .collect();
    let started = schedule.poll(Duration::ZERO).started;
    assert_eq!(started, slow[..10 - RESERVED]);
    let second = [2, 2].map(|caller| ask(&mut schedule, "ISpaces", caller));
    assert_eq!(schedule.poll(Duration::ZERO).started, second[..1]);
    let third = ask(&mut schedule, "IMessages", 3);
    assert_eq!(schedule.poll(Duration::ZERO).started, [third]);
    ask(&mut schedule, "IInteractions", 4);
    assert!(
        schedule.poll(Duration::ZERO).started.is_empty(),
        "none is left"
    );
    // The second caller's other request goes before what the first has waiting.
    schedule.finished(SECOND, second[0], Outcome::Unsent);
    schedule.finished(SECOND, third, Outcome::Unsent);
    let started = schedule.poll(SECOND).started;
    assert!(started.contains(&second[1]) && !started.iter().any(|it| slow.contains(it)));
}

#[test]
fn giving_up_frees_the_place_and_the_slot() {
    let mut schedule = schedule();
    let gate = interface("ISpaces");
    let tickets: Vec<Ticket> = (0..12)
        .map(|_| {
            schedule
                .submit(Duration::ZERO, gate, Caller(1), FOREVER, false)
                .expect("room")
        })
        .collect();
    let started = schedule.poll(Duration::ZERO).started;
    assert_eq!(started, tickets[..10]);
    // The eleventh leaves the queue; the first was granted a turn but never sent.
    schedule.abandon(SECOND, tickets[10], false);
    schedule.abandon(SECOND, tickets[0], false);
    assert_eq!(schedule.poll(SECOND).started, [tickets[11]]);
    assert_eq!(schedule.stats(SECOND).interfaces[gate].used, 10);
    // The second was sent: its permit stays used, its slot is free a little later.
    schedule.abandon(SECOND, tickets[1], true);
    assert_eq!(schedule.stats(SECOND).interfaces[gate].used, 10);
    assert_eq!(schedule.busy(SECOND).0, 10);
    assert_eq!(schedule.busy(SECOND * 2).0, 9);
    // Reporting it once more changes nothing.
    schedule.finished(SECOND, tickets[1], Outcome::Lost);
    assert_eq!(schedule.stats(SECOND).in_flight, 9);
}

#[test]
fn a_permit_of_a_request_that_was_never_sent_comes_back_at_once() {
    let mut schedule = schedule();
    let gate = interface("IEvents");
    for round in 0..20 {
        let now = SECOND * round;
        schedule
            .submit(now, gate, Caller(1), FOREVER, false)
            .expect("room");
        let started = schedule.poll(now).started;
        assert_eq!(started.len(), 1, "round {round}");
        schedule.finished(now, started[0], Outcome::Unsent);
    }
}

#[test]
fn uses_of_an_earlier_process_cost_few_refusals_and_are_waited_for() {
    let mut world = World::new(11, 40, ms(100));
    world.greedy = true;
    let gate = interface("IMessages");
    world.windows[gate].occupy(120);
    for _ in 0..200 {
        world.ask(Duration::ZERO, "IMessages", Caller(1), FOREVER);
    }
    world.run(SECOND * 70);
    let at_first = world.refused_by_platform;
    assert!(at_first <= 10 + 9, "{at_first} refusals");
    assert!(world.admitted_on("IMessages") >= 110, "caught up");
    world.run(SECOND * 400);
    assert_eq!(
        world.refused_by_platform, at_first,
        "the mirror is right again"
    );
    assert!(!world.schedule.stats(world.now).interfaces[gate].suspect);
}

#[test]
fn a_refusal_closes_the_interface_for_longer_each_time() {
    let mut schedule = schedule();
    let gate = interface("IMessages");
    let mut now = Duration::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        schedule
            .submit(now, gate, Caller(1), FOREVER, false)
            .expect("room");
        let mut step = schedule.poll(now);
        let refused_at = now;
        while step.started.is_empty() {
            now = step.wake.expect("something waits");
            step = schedule.poll(now);
        }
        pauses.push((now - refused_at).as_secs());
        let retry_after = SECOND;
        schedule.finished(now, step.started[0], Outcome::Refused { retry_after });
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 10]);
}

#[test]
fn a_long_retry_after_is_believed_and_fails_what_cannot_wait() {
    let mut schedule = schedule();
    let gate = interface("IMessages");
    let now = Duration::ZERO;
    for deadline in [100, 200, 30] {
        schedule
            .submit(now, gate, Caller(1), SECOND * deadline, false)
            .expect("room");
    }
    // Only the first two may run at once: keep the third waiting.
    let started = schedule.poll(now).started;
    schedule.finished(
        now,
        started[0],
        Outcome::Refused {
            retry_after: SECOND * 50,
        },
    );
    let late = schedule.submit(now, gate, Caller(1), SECOND * 40, false);
    assert_eq!(late.expect_err("closed").retry_after, SECOND * 50);
    assert!(
        schedule
            .submit(now, gate, Caller(1), SECOND * 60, false)
            .is_ok()
    );
    assert!(schedule.poll(SECOND * 49).started.is_empty());
}

#[test]
fn a_verified_bots_higher_limit_is_found_and_used_with_few_refusals() {
    let mut world = World::new(12, 40, ms(100));
    world.greedy = true;
    let gate = interface("IMessages");
    world.windows[gate] = Window::new(180, Timing::SEGMENT, SECOND * 3, ms(100), 5);
    world.schedule.set_verified(true);
    for _ in 0..500 {
        world.ask(Duration::ZERO, "IMessages", Caller(1), FOREVER);
    }
    world.run(SECOND * 60 * 30);
    let stats = world.schedule.stats(world.now).interfaces[gate].clone();
    assert_eq!(stats.limit, 180);
    // Pauses of 1, 2, 4, 8, 16 windows: half an hour has room for six probes that fail.
    assert!(
        world.refused_by_platform <= 6,
        "{}",
        world.refused_by_platform
    );
    assert!(world.admitted_on("IMessages") as f64 > 0.95 * 180.0 * 30.0);
    // The verification ends: so does what was learnt.
    world.schedule.set_verified(false);
    let stats = world.schedule.stats(world.now);
    assert_eq!(stats.interfaces[gate].limit, 120);
}

#[test]
fn an_unverified_bot_never_probes() {
    let mut world = World::new(13, 40, ms(100));
    world.greedy = true;
    let gate = interface("IMessages");
    world.windows[gate] = Window::new(180, Timing::SEGMENT, SECOND * 3, ms(100), 5);
    for _ in 0..500 {
        world.ask(Duration::ZERO, "IMessages", Caller(1), FOREVER);
    }
    world.run(SECOND * 600);
    assert_eq!(world.schedule.stats(world.now).interfaces[gate].limit, 120);
    assert!(world.admitted_on("IMessages") <= 120 * 10);
}

#[test]
fn a_probe_never_takes_a_verified_bot_below_the_contract() {
    let mut world = World::new(14, 40, ms(100));
    world.greedy = true;
    world.schedule.set_verified(true);
    for _ in 0..500 {
        world.ask(Duration::ZERO, "IMessages", Caller(1), FOREVER);
    }
    world.run(SECOND * 60 * 60);
    let gate = interface("IMessages");
    assert_eq!(world.schedule.stats(world.now).interfaces[gate].limit, 120);
    // 1 + 2 + 4 + 8 + 16 + 32 windows: at most seven in an hour.
    assert!(
        world.refused_by_platform <= 7,
        "{}",
        world.refused_by_platform
    );
    assert!(world.admitted_on("IMessages") as f64 >= 0.98 * 120.0 * 60.0 * 60.0 / 60.3 - 120.0);
}
