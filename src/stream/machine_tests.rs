use std::collections::VecDeque;

use super::*;

const MESSAGES: u64 = 1;
const SPACE: &str = "00000000000000000000000000000001";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Bench {
    machine: Machine,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(Timings::default(), MESSAGES, Past::default(), now),
            now,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn next(&self) -> Next {
        self.machine.next(self.now)
    }

    /// Waits as long as the machine says and connects; the position that it asks for.
    fn connect(&mut self) -> Option<String> {
        if let Next::Wait(Some(until)) = self.next() {
            self.now = until;
        }
        let Next::Open { after, .. } = self.next() else {
            panic!("{:?} instead of a connect", self.next());
        };
        self.machine.connecting(self.now);
        after
    }

    fn open(&mut self) -> Option<String> {
        let after = self.connect();
        self.machine.opened(self.now);
        assert!(self.event("ready", "ready"));
        after
    }

    fn event(&mut self, kind: &str, id: &str) -> bool {
        let arrival = self.machine.event(self.now, kind, id);
        if matches!(arrival, Some(Place::Sequence { .. } | Place::Id)) {
            self.machine.passed(id);
        }
        arrival.is_some()
    }

    fn message(&mut self, sequence: u64) -> bool {
        self.event("messageCreate", &format!("{SPACE}_{sequence}"))
    }

    fn end(&mut self, ending: Ending) -> Option<String> {
        self.machine.ended(self.now, &ending, 0.5)
    }

    fn refuse(&mut self, status: u16, code: Option<&str>) {
        self.end(Ending::Refused {
            status,
            code: code.map(str::to_owned),
            retry_after: None,
        });
    }

    fn wait(&self) -> Duration {
        match self.next() {
            Next::Wait(Some(until)) => until - self.now,
            other => panic!("{other:?} instead of a wait"),
        }
    }
}

#[test]
fn a_stream_connects_reads_and_is_live_with_its_first_event() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.next(),
        Next::Open {
            intents: MESSAGES,
            after: None
        }
    );
    bench.connect();
    assert_eq!(bench.machine.state(), State::Connecting { attempt: 1 });
    assert_eq!(bench.next(), Next::Read(None));
    bench.machine.opened(bench.now);
    assert!(!bench.machine.is_live());
    bench.event("ready", "ready");
    assert_eq!(bench.machine.state(), State::Live { since: bench.now });
}

#[test]
fn it_resumes_after_the_last_real_event_and_drops_what_comes_again() {
    let mut bench = Bench::new();
    bench.open();
    assert!(bench.message(1) && bench.message(2));
    assert!(bench.event("callIncoming", "direct_1"));
    assert!(bench.event("heartbeat", &format!("{SPACE}:2")));
    bench.end(Ending::Closed);
    assert_eq!(bench.open().as_deref(), Some("direct_1"));
    assert!(!bench.message(1) && !bench.message(2) && bench.message(3));
    assert!(!bench.event("callIncoming", "direct_1"));
    assert!(bench.event("resumed", "ready"));
    bench.end(Ending::Closed);
    assert_eq!(bench.open(), Some(format!("{SPACE}_3")));
}

#[test]
fn before_the_first_real_event_it_resumes_after_the_connections_own() {
    let mut bench = Bench::new();
    assert_eq!(bench.open(), None);
    bench.event("ready", "ready");
    bench.end(Ending::Closed);
    assert_eq!(bench.open().as_deref(), Some("ready"));
    let cursor = format!("{SPACE}:7");
    bench.event("heartbeat", &cursor);
    bench.end(Ending::Closed);
    assert_eq!(bench.open(), Some(cursor));
    bench.event("ready", "ready");
    assert!(bench.message(8));
    bench.event("heartbeat", &format!("{SPACE}:9"));
    bench.end(Ending::Closed);
    assert_eq!(bench.open(), Some(format!("{SPACE}_8")));
}

#[test]
fn an_event_that_was_not_passed_on_is_not_a_position() {
    let mut bench = Bench::new();
    bench.open();
    bench.message(1);
    let id = format!("{SPACE}_2");
    let arrival = bench.machine.event(bench.now, "messageCreate", &id);
    assert!(matches!(arrival, Some(Place::Sequence { .. })));
    bench.end(Ending::Closed);
    assert_eq!(bench.open(), Some(format!("{SPACE}_1")));
}

#[test]
fn ids_that_other_events_inherit_are_neither_positions_nor_duplicates() {
    let mut bench = Bench::new();
    bench.open();
    assert!(bench.message(1));
    assert!(bench.event("heartbeat", &format!("{SPACE}_1")));
    assert!(bench.event("somethingNew", "ready"));
    assert!(bench.event("somethingNew", ""));
    let cursor = format!("{SPACE}:1");
    let arrival = bench.machine.event(bench.now, "somethingNew", &cursor);
    assert_eq!(arrival, Some(Place::Unknown));
    bench.end(Ending::Closed);
    assert_eq!(bench.open(), Some(format!("{SPACE}_1")));
}

#[test]
fn a_refused_token_is_the_end() {
    let mut bench = Bench::new();
    bench.connect();
    bench.refuse(401, None);
    assert_eq!(bench.next(), Next::Finish);
    bench.machine.intents(bench.now, 3);
    assert_eq!(bench.machine.state(), State::Refused(Refusal::Token));
    assert_eq!(bench.next(), Next::Finish);
}

#[test]
fn refused_intents_wait_for_other_intents() {
    let mut bench = Bench::new();
    bench.machine.intents(bench.now, 0b100);
    bench.connect();
    bench.refuse(403, Some("missing_intents"));
    let refused = State::Refused(Refusal::Intents { mask: 0b100 });
    assert_eq!(bench.machine.state(), refused);
    bench.pass(seconds(3600));
    assert_eq!(bench.next(), Next::Wait(None));
    bench.machine.intents(bench.now, 0b100);
    assert_eq!(bench.next(), Next::Wait(None));
    bench.machine.intents(bench.now, 0b1);
    bench.open();
    assert!(bench.machine.is_live());
}

#[test]
fn refused_privileged_intents_are_left_out_until_others_are_wanted() {
    let mut bench = Bench::new();
    let asked = |bench: &mut Bench| {
        if let Next::Wait(Some(until)) = bench.next() {
            bench.now = until;
        }
        match bench.next() {
            Next::Open { intents, .. } => intents,
            other => panic!("{other:?} instead of a connect"),
        }
    };
    bench.machine.intents(bench.now, 0b10_0011);
    assert_eq!(asked(&mut bench), 0b10_0011);
    bench.connect();
    bench.refuse(403, Some("missing_intents"));
    assert_eq!(bench.machine.left_out(), 0b10_0010);
    assert_eq!(asked(&mut bench), 0b1);
    bench.open();
    bench.pass(seconds(100));
    assert!(matches!(bench.next(), Next::Read(_)), "it stays as it is");

    bench.machine.intents(bench.now, 0b111);
    assert_eq!(bench.machine.left_out(), 0);
    bench.pass(Timings::default().debounce);
    assert_eq!(bench.next(), Next::Close(Ending::IntentsChanged));
    bench.end(Ending::IntentsChanged);
    assert_eq!(asked(&mut bench), 0b111);
    bench.open();
    assert_eq!(bench.machine.left_out(), 0);

    // Nothing but what is refused is wanted: the quietest intent holds the stream.
    bench.machine.intents(bench.now, 0b10);
    bench.end(Ending::Closed);
    assert_eq!(asked(&mut bench), 0b10);
    bench.connect();
    bench.refuse(403, Some("missing_intents"));
    assert_eq!(asked(&mut bench), 1 << 10);
}

#[test]
fn a_stop_ends_every_phase() {
    let mut bench = Bench::new();
    bench.machine.stop();
    assert_eq!(bench.next(), Next::Finish);

    let mut bench = Bench::new();
    bench.open();
    bench.machine.stop();
    assert_eq!(bench.next(), Next::Close(Ending::Stopped));
    bench.end(Ending::Stopped);
    assert_eq!(bench.machine.state(), State::Stopped);
    assert_eq!(bench.next(), Next::Finish);

    let mut bench = Bench::new();
    bench.connect();
    bench.refuse(403, Some("missing_intents"));
    bench.machine.stop();
    assert_eq!(bench.next(), Next::Finish);
}

#[test]
fn a_429_waits_at_least_ten_seconds_and_longer_each_time() {
    let mut bench = Bench::new();
    let mut waits = Vec::new();
    for _ in 0..3 {
        bench.connect();
        bench.refuse(429, Some("rate_limited"));
        waits.push(bench.wait().as_secs());
    }
    assert_eq!(waits, [11, 22, 44]);
}

#[test]
fn failures_back_off_and_a_good_connection_starts_over() {
    let mut bench = Bench::new();
    let mut bounds = Vec::new();
    for _ in 0..7 {
        bench.pass(seconds(120));
        bench.connect();
        bench.refuse(503, None);
        bounds.push(bench.wait().as_secs_f64() * 2.0);
    }
    assert_eq!(bounds, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]);
    assert!(
        matches!(bench.machine.state(), State::Waiting { reason, .. } if reason.contains("503"))
    );
    bench.open();
    bench.pass(seconds(61));
    bench.end(Ending::Closed);
    assert_eq!(bench.wait(), Duration::from_millis(500));
}

#[test]
fn a_stream_that_never_completes_an_event_is_closed() {
    let mut bench = Bench::new();
    bench.open();
    bench.pass(seconds(149));
    assert_eq!(bench.next(), Next::Read(Some(bench.now + seconds(1))));
    bench.pass(seconds(1));
    assert_eq!(bench.next(), Next::Close(Ending::Stuck(seconds(150))));
    bench.machine.stalled(bench.now);
    assert!(matches!(bench.next(), Next::Read(_)), "we did not read");
}

#[test]
fn new_intents_reopen_the_stream_once_they_stand() {
    let mut bench = Bench::new();
    bench.open();
    bench.message(7);
    bench.machine.intents(bench.now, 3);
    bench.pass(Duration::from_millis(400));
    bench.machine.intents(bench.now, 5);
    bench.pass(Duration::from_millis(400));
    assert!(matches!(bench.next(), Next::Read(_)));
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.next(), Next::Close(Ending::IntentsChanged));
    bench.end(Ending::IntentsChanged);
    assert_eq!(bench.wait(), Duration::from_millis(500));
    bench.pass(Duration::from_millis(500));
    let after = Some(format!("{SPACE}_7"));
    assert_eq!(bench.next(), Next::Open { intents: 5, after });
}

#[test]
fn intents_that_change_back_in_time_reopen_nothing() {
    let mut bench = Bench::new();
    bench.open();
    bench.machine.intents(bench.now, 3);
    bench.machine.intents(bench.now, MESSAGES);
    bench.pass(seconds(10));
    assert!(matches!(bench.next(), Next::Read(_)));
}

#[test]
fn no_intents_at_all_ask_for_the_quietest_one() {
    let mut bench = Bench::new();
    bench.machine.intents(bench.now, 0);
    let Next::Open { intents, .. } = bench.next() else {
        panic!();
    };
    assert_eq!(intents, 1 << 10);
    assert!(
        contract::EVENTS
            .iter()
            .all(|event| event.intent != Some("spaceUpdates"))
    );
    bench.open();
    bench.pass(seconds(5));
    assert!(
        matches!(bench.next(), Next::Read(_)),
        "asked for what it wants"
    );
}

#[test]
fn failures_leave_one_connect_for_new_intents_and_a_working_stream_waits_for_a_permit() {
    let mut bench = Bench::new();
    let start = bench.now;
    for _ in 0..3 {
        bench.connect();
        bench.refuse(503, None);
    }
    bench.open();
    bench.machine.intents(bench.now, 3);
    bench.pass(seconds(1));
    assert_eq!(
        bench.next(),
        Next::Close(Ending::IntentsChanged),
        "the reserve"
    );
    bench.end(Ending::IntentsChanged);
    bench.open();
    assert!(bench.now - start < seconds(20));

    bench.machine.intents(bench.now, 5);
    bench.pass(seconds(1));
    let Next::Read(Some(until)) = bench.next() else {
        panic!("{:?}", bench.next());
    };
    assert_eq!(until, start + seconds(60), "the first permit is back");
    bench.now = until;
    assert_eq!(bench.next(), Next::Close(Ending::IntentsChanged));
}

#[test]
fn failures_alone_never_use_the_permit_in_reserve() {
    let mut bench = Bench::new();
    let start = bench.now;
    for _ in 0..4 {
        bench.connect();
        bench.refuse(503, None);
    }
    assert!(bench.now < start + seconds(10));
    assert_eq!(bench.now + bench.wait(), start + seconds(60));
}

#[test]
fn a_connect_counts_from_its_answer() {
    let mut bench = Bench::new();
    let start = bench.now;
    bench.connect();
    bench.pass(seconds(3));
    bench.machine.opened(bench.now);
    for mask in 2..=6 {
        bench.machine.intents(bench.now, mask);
        while let Next::Read(Some(until)) = bench.next() {
            bench.now = until;
        }
        assert_eq!(bench.next(), Next::Close(Ending::IntentsChanged));
        bench.end(Ending::IntentsChanged);
        bench.open();
    }
    // The sixth, which the first makes room for.
    assert!(bench.now >= start + seconds(63), "{:?}", bench.now - start);
    assert!(bench.now < start + seconds(64));
}

#[test]
fn a_deaf_stream_is_closed_only_with_the_messages_intent() {
    for (intents, deaf) in [(0b1, true), (0b100, false)] {
        let mut bench = Bench::new();
        bench.machine.intents(bench.now, intents);
        bench.open();
        bench.pass(seconds(20));
        bench.machine.message_sent(bench.now);
        bench.pass(seconds(9));
        assert!(matches!(bench.next(), Next::Read(_)));
        bench.event("heartbeat", &format!("{SPACE}:2"));
        bench.pass(seconds(1));
        assert_eq!(
            matches!(bench.next(), Next::Close(Ending::Deaf(_))),
            deaf,
            "intents {intents}"
        );
    }
}

#[test]
fn a_suspicion_that_a_reconnect_did_not_cure_takes_longer_the_next_time() {
    let mut bench = Bench::new();
    for patience in [10, 20, 40] {
        bench.open();
        bench.machine.message_sent(bench.now);
        bench.pass(seconds(patience - 1));
        assert!(matches!(bench.next(), Next::Read(_)), "{patience}");
        bench.pass(seconds(1));
        let Next::Close(ending) = bench.next() else {
            panic!("{:?} after {patience} s", bench.next());
        };
        bench.end(ending);
    }
}

#[test]
fn a_message_that_comes_back_leaves_the_stream_open() {
    let mut bench = Bench::new();
    bench.open();
    bench.pass(seconds(20));
    bench.machine.message_sent(bench.now);
    bench.pass(seconds(1));
    bench.message(5);
    bench.pass(seconds(60));
    assert!(matches!(bench.next(), Next::Read(_)));
}

#[test]
fn a_position_that_two_connections_died_of_is_given_up() {
    let mut bench = Bench::new();
    bench.open();
    bench.message(1);
    let position = format!("{SPACE}_1");
    assert_eq!(bench.end(Ending::Oversized), None);
    assert_eq!(bench.open().as_ref(), Some(&position));
    assert_eq!(bench.end(Ending::Oversized).as_ref(), Some(&position));
    assert_eq!(bench.open(), None);
    bench.message(3);
    assert_eq!(bench.end(Ending::Stuck(seconds(1))), None);
    bench.open();
    bench.message(4);
    assert_eq!(bench.end(Ending::Oversized), None, "it moved on in between");
    assert_eq!(bench.open(), Some(format!("{SPACE}_4")));
}

#[test]
fn a_page_in_the_place_of_a_stream_does_not_cost_the_position() {
    let mut bench = Bench::new();
    bench.open();
    bench.message(1);
    let broken = || Ending::Broken("text/html is no stream".to_owned());
    bench.end(broken());
    let position = Some(format!("{SPACE}_1"));
    for _ in 0..4 {
        assert_eq!(bench.connect(), position);
        assert_eq!(bench.end(broken()), None);
    }
    assert_eq!(bench.open(), position);
}

/// The platform's limit: segments of 10 s, 6 in a window; the segment grid has any phase.
struct Platform {
    start: Instant,
    phase: Duration,
    accepted: VecDeque<u64>,
}

impl Platform {
    fn accepts(&mut self, at: Instant) -> bool {
        let segment = (at - self.start + self.phase).as_millis() as u64 / 10_000;
        while self
            .accepted
            .front()
            .is_some_and(|&used| used + 6 <= segment)
        {
            self.accepted.pop_front();
        }
        self.accepted.push_back(segment);
        self.accepted.len() <= 5
    }
}

#[test]
fn no_series_of_endings_ever_asks_the_platform_for_a_sixth_connect_in_a_minute() {
    let mut random = 7u64;
    let mut random = move |below: u64| {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    for run in 0..40 {
        let mut bench = Bench::new();
        let start = bench.now;
        let mut platform = Platform {
            start,
            phase: Duration::from_millis(random(10_000)),
            accepted: VecDeque::new(),
        };
        let mut connects = 0u64;
        while bench.now < start + seconds(1800) {
            bench.connect();
            connects += 1;
            // The request takes a while to arrive, and its answer a while to come back.
            bench.pass(Duration::from_millis(random(3000)));
            assert!(platform.accepts(bench.now), "run {run}, connect {connects}");
            bench.pass(Duration::from_millis(random(1000)));
            match random(4) {
                0 => bench.refuse(503, None),
                1 => {
                    bench.machine.opened(bench.now);
                    bench.end(Ending::Closed);
                }
                2 => {
                    bench.machine.opened(bench.now);
                    bench.event("ready", "ready");
                    bench.pass(seconds(random(90)));
                    bench.end(Ending::Lost("reset".into()));
                }
                _ => {
                    bench.machine.opened(bench.now);
                    bench.machine.intents(bench.now, 1 + random(1000));
                    bench.machine.intents(bench.now, 2000 + connects);
                    while let Next::Read(Some(until)) = bench.next() {
                        bench.now = until;
                    }
                    let Next::Close(ending) = bench.next() else {
                        panic!()
                    };
                    bench.end(ending);
                }
            }
        }
        assert!(connects > 20, "{connects} connects in half an hour");
    }
}
