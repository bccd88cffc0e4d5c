//! One interface: the uses that its window holds, and the requests that wait for it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::schedule::{Moment, Ticket};
use super::{Caller, Timing, lane};
use crate::contract::Interface;

/// The longest pause between probes for a higher limit, in windows.
const LONGEST_PROBE_PAUSE: u32 = 64;

/// Doublings that take the first back-off to a whole segment.
const MOST_DOUBLINGS: u32 = 4;

/// A permit of the platform's window that is or may be taken.
#[derive(Debug)]
struct Use {
    ticket: Ticket,
    caller: Caller,
    sent: Moment,
    /// When it is held no more; `None` while its request is on its way.
    until: Option<Moment>,
    /// Whether the platform has answered it, so that it certainly was counted.
    answered: bool,
}

/// The waiting requests of one caller, in their order.
#[derive(Debug)]
struct Line {
    caller: Caller,
    waiting: VecDeque<Ticket>,
    /// The caller's latest start here, as a serial number.
    served: u64,
}

/// One interface. Its rule and the reasons are in the module doc of the limiter.
#[derive(Debug)]
pub struct Gate {
    interface: &'static Interface,
    timing: Timing,
    /// The uses that fit; never below the contract's.
    limit: u32,
    /// Held uses, in the order of their starts.
    uses: Vec<Use>,
    lines: Vec<Line>,
    on_the_way: usize,
    /// The latest start here, as a serial number.
    pub(super) served: u64,
    closed_until: Moment,
    suspect_until: Option<Moment>,
    /// Doublings of the back-off.
    level: u32,
    last_refusal: Option<Moment>,
    probe_after: Moment,
    probe_pause: Duration,
    probing: Option<Ticket>,
    refused: u64,
}

/// A request that could start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Whose request it is.
    pub caller: Caller,
    /// Whether it would go above the known limit.
    pub probe: bool,
}

impl Gate {
    /// An interface that nothing is known to have used.
    pub fn new(interface: &'static Interface, timing: Timing) -> Self {
        Self {
            interface,
            timing,
            limit: interface.per_minute,
            uses: Vec::new(),
            lines: Vec::new(),
            on_the_way: 0,
            served: 0,
            closed_until: Moment::ZERO,
            suspect_until: None,
            level: 0,
            last_refusal: None,
            probe_after: Moment::ZERO,
            probe_pause: timing.window(),
            probing: None,
            refused: 0,
        }
    }

    /// Its lane, 0 first.
    pub fn lane(&self) -> usize {
        lane(self.interface)
    }

    /// How it stands.
    pub fn stats(&self) -> super::InterfaceStats {
        super::InterfaceStats {
            name: self.interface.name,
            used: self.uses.len(),
            limit: self.limit,
            queued: self.queued(),
            refused: self.refused,
            suspect: self.suspect_until.is_some(),
        }
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    /// Forgets what is over.
    pub fn advance(&mut self, now: Moment) {
        self.uses
            .retain(|held| held.until.is_none_or(|until| until > now));
        if self.suspect_until.is_some_and(|until| until <= now) {
            self.suspect_until = None;
            self.level = 0;
        }
    }

    /// Puts a request at the end of its caller's line, or at its head if it had its turn before.
    pub fn enqueue(&mut self, caller: Caller, ticket: Ticket, again: bool) {
        match self.lines.iter_mut().find(|line| line.caller == caller) {
            Some(line) if again => line.waiting.push_front(ticket),
            Some(line) => line.waiting.push_back(ticket),
            None => self.lines.push(Line {
                caller,
                waiting: VecDeque::from([ticket]),
                served: 0,
            }),
        }
    }

    /// Takes a waiting request out.
    pub fn leave(&mut self, caller: Caller, ticket: Ticket) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.caller == caller) {
            line.waiting.retain(|&waiting| waiting != ticket);
        }
        self.lines.retain(|line| !line.waiting.is_empty());
    }

    /// Every waiting request.
    pub fn waiting(&self) -> impl Iterator<Item = Ticket> {
        self.lines
            .iter()
            .flat_map(|line| line.waiting.iter().copied())
    }

    /// The uses that a caller with this share may hold.
    fn cap(&self, share: f64, limit: u32) -> usize {
        // The addend makes up for shares such as 0.1, which no binary fraction hits.
        ((share * f64::from(limit) + 1e-9).floor() as usize).max(1)
    }

    fn held_by(&self, caller: Caller) -> usize {
        self.uses
            .iter()
            .filter(|held| held.caller == caller)
            .count()
    }

    /// Who would start now, if anybody may. `has_slot` says for whom there is one.
    pub fn candidate(
        &self,
        now: Moment,
        has_slot: impl Fn(Caller) -> bool,
        shares: &HashMap<Caller, f64>,
        verified: bool,
    ) -> Option<Candidate> {
        if self.lines.is_empty() || now < self.closed_until {
            return None;
        }
        // Careful: one at a time, so that being wrong costs one refusal.
        if (self.suspect_until.is_some() || self.probing.is_some()) && self.on_the_way > 0 {
            return None;
        }
        let probe = self.uses.len() >= self.limit as usize;
        if probe && !(verified && self.may_probe(now)) {
            return None;
        }
        let limit = self.limit + u32::from(probe);
        self.lines
            .iter()
            .filter(|line| has_slot(line.caller))
            .map(|line| {
                (
                    self.held_by(line.caller),
                    line.served,
                    line.caller,
                    shares.get(&line.caller).copied().unwrap_or(1.0),
                )
            })
            .filter(|&(held, .., share)| held < self.cap(share, limit))
            .min_by_key(|&(held, served, caller, _)| (held, served, caller))
            .map(|(_, _, caller, _)| Candidate { caller, probe })
    }

    /// Whether a request above the limit would prove something and is not too early.
    fn may_probe(&self, now: Moment) -> bool {
        // Time for the answer to arrive while the uses are still certain.
        let arrival = now + self.timing.backoff;
        now >= self.probe_after
            && self.suspect_until.is_none()
            && self.on_the_way == 0
            && self.certain(arrival) >= self.limit as usize
    }

    /// Uses that the platform still counts at `now`, whatever its phase.
    fn certain(&self, now: Moment) -> usize {
        self.uses
            .iter()
            .filter(|held| held.answered && held.sent + self.timing.certain > now)
            .count()
    }

    /// Starts the next request of a candidate.
    pub fn start(&mut self, now: Moment, chosen: Candidate, serial: u64) -> Option<Ticket> {
        let line = self
            .lines
            .iter_mut()
            .find(|line| line.caller == chosen.caller)?;
        let ticket = line.waiting.pop_front()?;
        line.served = serial;
        self.lines.retain(|line| !line.waiting.is_empty());
        self.served = serial;
        self.on_the_way += 1;
        if chosen.probe {
            self.probing = Some(ticket);
        }
        self.uses.push(Use {
            ticket,
            caller: chosen.caller,
            sent: now,
            until: None,
            answered: false,
        });
        Some(ticket)
    }

    fn end(&mut self, ticket: Ticket) -> Option<usize> {
        self.on_the_way = self.on_the_way.saturating_sub(1);
        if self.probing == Some(ticket) {
            self.probing = None;
        }
        self.uses.iter().position(|held| held.ticket == ticket)
    }

    /// It never went out: its permit is free.
    pub fn unsent(&mut self, ticket: Ticket) {
        if let Some(at) = self.end(ticket) {
            self.uses.remove(at);
        }
    }

    /// It went out and nobody knows more: the platform counted it at `by` at the latest.
    pub fn lost(&mut self, ticket: Ticket, by: Moment) {
        if let Some(at) = self.end(ticket) {
            self.uses[at].until = Some(by + self.timing.hold);
        }
    }

    /// The platform took it; it counted it at `by` at the latest.
    pub fn answered(&mut self, ticket: Ticket, by: Moment, verified: bool) {
        if let Some(at) = self.end(ticket) {
            self.uses[at].until = Some(by + self.timing.hold);
            self.uses[at].answered = true;
        }
        if self.suspect_until.is_some() {
            self.level = self.level.saturating_sub(1);
        }
        if verified {
            let proven = u32::try_from(self.certain(by)).unwrap_or(u32::MAX);
            if proven > self.limit {
                self.limit = proven;
                self.probe_pause = self.timing.window();
            }
        }
    }

    /// The platform refused it.
    pub fn refuse(&mut self, ticket: Ticket, now: Moment, retry_after: Duration) {
        self.refused += 1;
        let probed = self.probing == Some(ticket);
        let sent = self.end(ticket).map(|at| self.uses.remove(at).sent);
        if probed {
            // Expected, and it tells nothing bad about the mirror.
            self.probe_after = now + self.probe_pause;
            self.probe_pause =
                (self.probe_pause * 2).min(self.timing.window() * LONGEST_PROBE_PAUSE);
            return;
        }
        self.closed_until = self.closed_until.max(now + retry_after);
        self.suspect_until = Some(now + self.timing.hold);
        // What was learnt is not true any more; what the contract promises is.
        let held = u32::try_from(self.uses.len()).unwrap_or(u32::MAX);
        self.limit = self.limit.min(held).max(self.interface.per_minute);
        // Requests that were on their way together are refused together: that is one lesson.
        if self.last_refusal.is_none_or(|last| sent > Some(last)) {
            let pause = (self.timing.backoff * (1 << self.level)).min(self.timing.segment);
            self.closed_until = self.closed_until.max(now + pause);
            self.level = (self.level + 1).min(MOST_DOUBLINGS);
        }
        self.last_refusal = Some(now);
    }

    /// Back to the contract's limit.
    pub fn forget_learnt(&mut self) {
        self.limit = self.interface.per_minute;
        self.probe_after = Moment::ZERO;
        self.probe_pause = self.timing.window();
    }

    /// The earliest moment at which a new request of a caller could start, if nothing before it is
    /// given up and nobody else asks.
    pub fn earliest(&self, now: Moment, caller: Caller, share: f64, again: bool) -> Moment {
        let own = self.lines.iter().find(|line| line.caller == caller);
        let before = own.map_or(0, |line| line.waiting.len());
        let before = if again { 0 } else { before };
        let everyone = self.free_again(now, before, self.limit as usize, |_| true);
        let cap = self.cap(share, self.limit);
        let alone = self.free_again(now, before, cap, |held| held.caller == caller);
        self.closed_until.max(everyone).max(alone)
    }

    /// When a new request would start if everything that waits goes first.
    pub fn expected(&self, now: Moment, caller: Caller, share: f64) -> Moment {
        let everyone = self.free_again(now, self.queued(), self.limit as usize, |_| true);
        self.earliest(now, caller, share, false).max(everyone)
    }

    /// When the `n`-th permit from now is free (0 is the next), of `cap` permits, some held.
    fn free_again(
        &self,
        now: Moment,
        n: usize,
        cap: usize,
        counts: impl Fn(&Use) -> bool,
    ) -> Moment {
        let mut held: Vec<Moment> = self
            .uses
            .iter()
            .filter(|held| counts(held))
            .map(|held| held.until.unwrap_or(now + self.timing.hold))
            .collect();
        held.sort_unstable();
        // A use beyond the cap has to end before one permit of the cap is free.
        let held = &held[held.len().saturating_sub(cap)..];
        let free = cap - held.len();
        let round = u32::try_from(n / cap).unwrap_or(u32::MAX);
        let at = n % cap;
        let first = if at < free { now } else { held[at - free] };
        first.max(now) + self.timing.hold.saturating_mul(round)
    }

    /// The next moment at which waiting requests may find something changed.
    pub fn next_change(&self, now: Moment, verified: bool) -> Option<Moment> {
        if self.lines.is_empty() {
            return None;
        }
        self.uses
            .iter()
            .filter_map(|held| held.until)
            .chain([self.closed_until])
            .chain(self.suspect_until)
            .chain(verified.then_some(self.probe_after))
            .filter(|&at| at > now)
            .min()
    }

    /// Whether it stays closed until then.
    pub fn closed_at(&self, at: Moment) -> bool {
        at < self.closed_until
    }
}
