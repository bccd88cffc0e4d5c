//! All interfaces together: slots, lanes, callers, deadlines. Pure: time comes in as an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::gate::Gate;
use super::{Caller, LANES, Reason, Refusal, Stats, Timing};
use crate::contract::INTERFACES;
use crate::contract::limits::CONCURRENT_REQUESTS;

/// A point in time: the duration since some start that all calls agree on.
pub type Moment = Duration;

/// One request's name inside the limiter.
pub type Ticket = u64;

/// Requests of one caller that may wait, over all interfaces.
pub const QUEUE: usize = 1000;

/// Slots that only callers get of whom nothing is on its way, once several call.
pub const RESERVED: usize = 2;

/// How often a lane that could start a request is passed over in a row.
pub const PATIENCE: u32 = 8;

/// What became of a request that had started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It never reached the platform.
    Unsent,
    /// The platform took it; the head of its answer arrived at `by`.
    Answered {
        /// The latest moment at which the platform can have counted it.
        by: Moment,
    },
    /// It went out, no answer came.
    Lost,
    /// A 429.
    Refused {
        /// The answer's `Retry-After`, zero without one.
        retry_after: Duration,
    },
}

#[derive(Debug)]
struct Entry {
    gate: usize,
    caller: Caller,
    deadline: Moment,
    started: bool,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Requests whose turn it is, to be sent now and reported by [`Schedule::finished`].
    pub started: Vec<Ticket>,
    /// Requests that get no turn.
    pub refused: Vec<(Ticket, Refusal)>,
    /// When to step again, if nothing else happens before.
    pub wake: Option<Moment>,
}

/// The limiter's state. The module doc of the limiter says what it guarantees and why.
#[derive(Debug)]
pub struct Schedule {
    timing: Timing,
    gates: Vec<Gate>,
    tickets: HashMap<Ticket, Entry>,
    /// Deadlines of waiting requests.
    deadlines: BTreeSet<(Moment, Ticket)>,
    shares: HashMap<Caller, f64>,
    waiting: HashMap<Caller, usize>,
    concurrency: usize,
    in_flight: usize,
    /// The same by caller; none that has nothing on its way.
    on_the_way: HashMap<Caller, usize>,
    /// Who asked first, beside the host, and whether anybody else ever did.
    first: Option<Caller>,
    several: bool,
    /// Slots that stay taken for a while after their request.
    lingering: Vec<Moment>,
    passed_over: [u32; LANES],
    next_ticket: Ticket,
    serial: u64,
    verified: bool,
    refused: u64,
}

impl Schedule {
    /// A limiter that knows of no use.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            gates: INTERFACES
                .iter()
                .map(|interface| Gate::new(interface, timing))
                .collect(),
            tickets: HashMap::new(),
            deadlines: BTreeSet::new(),
            shares: HashMap::new(),
            waiting: HashMap::new(),
            concurrency: CONCURRENT_REQUESTS,
            in_flight: 0,
            on_the_way: HashMap::new(),
            first: None,
            several: false,
            lingering: Vec::new(),
            passed_over: [0; LANES],
            next_ticket: 0,
            serial: 0,
            verified: false,
            refused: 0,
        }
    }

    /// Whether the event stream takes one of the slots. The platform notices the end of a stream as late
    /// as that of a request without an answer.
    pub fn set_stream_open(&mut self, now: Moment, open: bool) {
        let most = CONCURRENT_REQUESTS - usize::from(open);
        if most > self.concurrency {
            self.lingering.push(now + self.timing.linger_lost);
        }
        self.concurrency = most;
    }

    /// Whether the platform counts the bot as verified, so that its limits may be higher.
    pub fn set_verified(&mut self, verified: bool) {
        if self.verified && !verified {
            self.gates.iter_mut().for_each(Gate::forget_learnt);
        }
        self.verified = verified;
    }

    /// The most of each limit that a caller may use, more than 0 and at most 1; 1 for unknown callers.
    pub fn set_share(&mut self, caller: Caller, share: f64) {
        self.shares.insert(caller, share.clamp(0.0, 1.0));
    }

    fn share(&self, caller: Caller) -> f64 {
        self.shares.get(&caller).copied().unwrap_or(1.0)
    }

    /// Asks for a turn on an interface (its place in the contract's list) until `deadline`. A request
    /// that had a turn and asks `again`, to be retried, goes before its caller's others.
    ///
    /// # Errors
    /// The caller's queue is full, or the turn certainly comes too late.
    pub fn submit(
        &mut self,
        now: Moment,
        interface: usize,
        caller: Caller,
        deadline: Moment,
        again: bool,
    ) -> Result<Ticket, Refusal> {
        let share = self.share(caller);
        let gate = &mut self.gates[interface];
        gate.advance(now);
        let expected = gate.expected(now, caller, share);
        let refusal = |reason| Refusal {
            reason,
            retry_after: expected.saturating_sub(now).max(self.timing.backoff),
        };
        if !again && self.waiting.get(&caller).copied().unwrap_or(0) >= QUEUE {
            return Err(refusal(Reason::QueueFull));
        }
        // A verified bot's limit may turn out to be higher: nothing is certain.
        let too_late = !self.verified && gate.earliest(now, caller, share, again) > deadline;
        if too_late || gate.closed_at(deadline) {
            return Err(refusal(Reason::TooLate));
        }
        if caller != Caller::HOST {
            self.several |= *self.first.get_or_insert(caller) != caller;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        gate.enqueue(caller, ticket, again);
        *self.waiting.entry(caller).or_default() += 1;
        self.deadlines.insert((deadline, ticket));
        self.tickets.insert(
            ticket,
            Entry {
                gate: interface,
                caller,
                deadline,
                started: false,
            },
        );
        Ok(ticket)
    }

    /// Starts what may start, refuses what cannot any more.
    pub fn poll(&mut self, now: Moment) -> Step {
        let mut step = Step::default();
        self.lingering.retain(|&until| until > now);
        for gate in &mut self.gates {
            gate.advance(now);
        }
        while let Some(ticket) = self.start_one(now) {
            step.started.push(ticket);
        }
        // After the starts: a deadline of this very moment is still met.
        while let Some(&(deadline, ticket)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.refuse_waiting(now, ticket, &mut step);
        }
        let closed: Vec<Ticket> = self
            .gates
            .iter()
            .filter(|gate| gate.closed_at(now))
            .flat_map(|gate| gate.waiting().map(move |ticket| (gate, ticket)))
            .filter(|(gate, ticket)| {
                let entry = self.tickets.get(ticket);
                entry.is_some_and(|entry| gate.closed_at(entry.deadline))
            })
            .map(|(_, ticket)| ticket)
            .collect();
        for ticket in closed {
            self.refuse_waiting(now, ticket, &mut step);
        }
        step.wake = self.wake(now);
        step
    }

    /// Starts the request whose turn it is.
    fn start_one(&mut self, now: Moment) -> Option<Ticket> {
        let taken = self.in_flight + self.lingering.len();
        let free = self.concurrency.saturating_sub(taken);
        if free == 0 {
            return None;
        }
        let for_all = !self.several || free > RESERVED;
        let has_slot = |caller| for_all || !self.on_the_way.contains_key(&caller);
        let candidates: Vec<_> = self
            .gates
            .iter()
            .enumerate()
            .filter_map(|(at, gate)| {
                let candidate = gate.candidate(now, has_slot, &self.shares, self.verified)?;
                Some((at, gate.lane(), gate.served, candidate))
            })
            .collect();
        let could = |lane: usize| candidates.iter().any(|&(_, at, ..)| at == lane);
        let lane = (0..LANES).filter(|&lane| could(lane)).max_by_key(|&lane| {
            let due = self.passed_over[lane] >= PATIENCE;
            // The most passed over first among those that are due, else the uppermost.
            (
                due,
                if due { self.passed_over[lane] } else { 0 },
                LANES - lane,
            )
        })?;
        for other in 0..LANES {
            let passed = other != lane && could(other);
            self.passed_over[other] = if passed {
                self.passed_over[other] + 1
            } else {
                0
            };
        }
        let &(at, .., candidate) = candidates
            .iter()
            .filter(|&&(_, at, ..)| at == lane)
            .min_by_key(|&&(_, _, served, _)| served)?;
        self.serial += 1;
        let ticket = self.gates[at].start(now, candidate, self.serial)?;
        self.in_flight += 1;
        self.stop_waiting(ticket);
        if let Some(entry) = self.tickets.get_mut(&ticket) {
            entry.started = true;
            *self.on_the_way.entry(entry.caller).or_default() += 1;
        }
        Some(ticket)
    }

    /// Takes a ticket out of the deadlines and its caller's count.
    fn stop_waiting(&mut self, ticket: Ticket) {
        let Some(entry) = self.tickets.get(&ticket) else {
            return;
        };
        self.deadlines.remove(&(entry.deadline, ticket));
        if let Some(count) = self.waiting.get_mut(&entry.caller) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&entry.caller);
            }
        }
    }

    fn refuse_waiting(&mut self, now: Moment, ticket: Ticket, step: &mut Step) {
        self.stop_waiting(ticket);
        let Some(entry) = self.tickets.remove(&ticket) else {
            return;
        };
        let gate = &mut self.gates[entry.gate];
        gate.leave(entry.caller, ticket);
        let share = self.shares.get(&entry.caller).copied().unwrap_or(1.0);
        let expected = gate.expected(now, entry.caller, share);
        let refusal = Refusal {
            reason: Reason::TooLate,
            retry_after: expected.saturating_sub(now).max(self.timing.backoff),
        };
        step.refused.push((ticket, refusal));
    }

    fn wake(&self, now: Moment) -> Option<Moment> {
        let (deadline, _) = self.deadlines.first()?;
        self.gates
            .iter()
            .filter_map(|gate| gate.next_change(now, self.verified))
            .chain(self.lingering.iter().copied())
            .chain([*deadline])
            .min()
    }

    /// Reports a request that had started. Unknown tickets are ignored.
    pub fn finished(&mut self, now: Moment, ticket: Ticket, outcome: Outcome) {
        if !self.tickets.get(&ticket).is_some_and(|entry| entry.started) {
            return;
        }
        let Some(entry) = self.tickets.remove(&ticket) else {
            return;
        };
        self.in_flight -= 1;
        if let Some(count) = self.on_the_way.get_mut(&entry.caller) {
            *count -= 1;
            if *count == 0 {
                self.on_the_way.remove(&entry.caller);
            }
        }
        let gate = &mut self.gates[entry.gate];
        match outcome {
            Outcome::Unsent => gate.unsent(ticket),
            Outcome::Answered { by } => {
                self.lingering.push(now + self.timing.linger);
                gate.answered(ticket, by, self.verified);
            }
            Outcome::Lost => {
                self.lingering.push(now + self.timing.linger_lost);
                gate.lost(ticket, now);
            }
            Outcome::Refused { retry_after } => {
                self.refused += 1;
                self.lingering.push(now + self.timing.linger);
                gate.refuse(ticket, now, retry_after);
            }
        }
    }

    /// Gives a request up: out of the queue, or, once it has started, out of its slot. `sent` says
    /// whether it may have reached the platform.
    pub fn abandon(&mut self, now: Moment, ticket: Ticket, sent: bool) {
        let Some(entry) = self.tickets.get(&ticket) else {
            return;
        };
        if entry.started {
            let outcome = if sent { Outcome::Lost } else { Outcome::Unsent };
            self.finished(now, ticket, outcome);
            return;
        }
        let (gate, caller) = (entry.gate, entry.caller);
        self.stop_waiting(ticket);
        self.tickets.remove(&ticket);
        self.gates[gate].leave(caller, ticket);
    }

    /// How everything stands.
    pub fn stats(&mut self, now: Moment) -> Stats {
        for gate in &mut self.gates {
            gate.advance(now);
        }
        Stats {
            in_flight: self.in_flight,
            concurrency: self.concurrency,
            refused: self.refused,
            interfaces: self.gates.iter().map(Gate::stats).collect(),
        }
    }

    /// How many slots are taken, those of requests that have just ended among them, and when the first of
    /// these comes free.
    pub fn busy(&self, now: Moment) -> (usize, Option<Moment>) {
        let lingering = self.lingering.iter().copied().filter(|&until| until > now);
        (self.in_flight + lingering.clone().count(), lingering.min())
    }
}
