//! A simulated platform and a client's schedule that exchange requests with random latencies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::model::{Random, Window};
use super::schedule::{Moment, Outcome, Schedule, Ticket};
use super::{Caller, Timing};
use crate::contract::INTERFACES;

/// An interface's place in the contract.
pub(super) fn interface(name: &str) -> usize {
    INTERFACES
        .iter()
        .position(|interface| interface.name == name)
        .expect("the contract has it")
}

/// A schedule with the platform's own timing.
pub(super) fn schedule() -> Schedule {
    Schedule::new(Timing::new(Timing::SEGMENT))
}

/// Milliseconds.
pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What happens in the simulated world.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    Asked(usize, Caller, Moment),
    Arrived(Ticket, usize),
    Answered(Ticket, usize, Caller, bool),
    Broke(Ticket),
    Woke,
}

/// A platform and a client that exchange requests with random latencies.
pub(super) struct World {
    pub now: Moment,
    pub schedule: Schedule,
    pub windows: Vec<Window>,
    pub happenings: BinaryHeap<Reverse<(Moment, u64, Happening)>>,
    pub serial: u64,
    pub alarm: Option<Moment>,
    pub random: Random,
    pub latency: u64,
    pub asked_for: HashMap<Ticket, (usize, Caller)>,
    /// Requests that are sent again as soon as they are answered: callers that always want more.
    pub greedy: bool,
    pub lossy: bool,
    pub at_once: usize,
    pub running: usize,
    pub most_running: usize,
    pub admitted: HashMap<(usize, Caller), u64>,
    pub refused_by_platform: u64,
    pub refused_by_us: u64,
    pub order: Vec<(Moment, usize, Caller)>,
}

impl World {
    pub fn new(seed: u64, latency: u64, late: Duration) -> Self {
        let mut random = Random(seed);
        let windows = INTERFACES
            .iter()
            .map(|interface| {
                let phase = Timing::SEGMENT.mul_f64(random.unit());
                Window::new(
                    interface.per_minute,
                    Timing::SEGMENT,
                    phase,
                    late,
                    random.next(),
                )
            })
            .collect();
        Self {
            now: Duration::ZERO,
            schedule: schedule(),
            windows,
            happenings: BinaryHeap::new(),
            serial: 0,
            alarm: None,
            random,
            latency,
            asked_for: HashMap::new(),
            greedy: false,
            lossy: false,
            at_once: 10,
            running: 0,
            most_running: 0,
            admitted: HashMap::new(),
            refused_by_platform: 0,
            refused_by_us: 0,
            order: Vec::new(),
        }
    }

    pub fn at(&mut self, when: Moment, happening: Happening) {
        self.serial += 1;
        self.happenings
            .push(Reverse((when, self.serial, happening)));
    }

    pub fn ask(&mut self, when: Moment, name: &str, caller: Caller, deadline: Moment) {
        self.at(when, Happening::Asked(interface(name), caller, deadline));
    }

    pub fn one_way(&mut self) -> Duration {
        Duration::from_micros(1 + self.random.below(self.latency * 1000))
    }

    pub fn step(&mut self) {
        let step = self.schedule.poll(self.now);
        for ticket in step.started {
            let (gate, caller) = self.asked_for[&ticket];
            self.order.push((self.now, gate, caller));
            let arrival = self.now + self.one_way();
            self.at(arrival, Happening::Arrived(ticket, gate));
        }
        self.refused_by_us += step.refused.len() as u64;
        if let Some(wake) = step.wake {
            assert!(wake > self.now, "a wake in the past would spin");
            // One alarm at a time, the earliest.
            if self
                .alarm
                .is_none_or(|alarm| alarm <= self.now || wake < alarm)
            {
                self.alarm = Some(wake);
                self.at(wake, Happening::Woke);
            }
        }
    }

    pub fn run(&mut self, until: Moment) {
        while let Some(Reverse((when, ..))) = self.happenings.peek()
            && *when <= until
        {
            let Some(Reverse((when, _, happening))) = self.happenings.pop() else {
                return;
            };
            self.now = when;
            match happening {
                Happening::Woke => {}
                Happening::Asked(gate, caller, deadline) => {
                    match self.schedule.submit(when, gate, caller, deadline, false) {
                        Ok(ticket) => {
                            self.asked_for.insert(ticket, (gate, caller));
                        }
                        Err(_) => self.refused_by_us += 1,
                    }
                }
                Happening::Arrived(ticket, gate) => {
                    self.running += 1;
                    self.most_running = self.most_running.max(self.running);
                    assert!(self.running <= self.at_once, "too many at once");
                    let admitted = self.windows[gate].admit(when);
                    let back = when + self.one_way();
                    if self.lossy && self.random.below(20) == 0 {
                        self.at(back, Happening::Broke(ticket));
                    } else {
                        let (_, caller) = self.asked_for[&ticket];
                        self.at(back, Happening::Answered(ticket, gate, caller, admitted));
                    }
                }
                Happening::Broke(ticket) => {
                    self.running -= 1;
                    self.schedule.finished(when, ticket, Outcome::Lost);
                }
                Happening::Answered(ticket, gate, caller, admitted) => {
                    self.running -= 1;
                    let outcome = if admitted {
                        *self.admitted.entry((gate, caller)).or_default() += 1;
                        Outcome::Answered { by: when }
                    } else {
                        self.refused_by_platform += 1;
                        Outcome::Refused {
                            retry_after: Duration::from_secs(1),
                        }
                    };
                    self.schedule.finished(when, ticket, outcome);
                    if self.greedy
                        && let Ok(ticket) =
                            self.schedule
                                .submit(when, gate, caller, Duration::MAX, false)
                    {
                        self.asked_for.insert(ticket, (gate, caller));
                    }
                }
            }
            self.step();
        }
        self.now = until;
    }

    pub fn admitted_on(&self, name: &str) -> u64 {
        let gate = interface(name);
        let of_gate = self.admitted.iter().filter(|((at, _), _)| *at == gate);
        of_gate.map(|(_, count)| count).sum()
    }
}
