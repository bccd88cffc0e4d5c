//! Turns: when a request may be sent, so that the platform never refuses one for its rate.
//!
//! # The platform's window
//!
//! For each bot and interface the platform keeps a sliding window of six segments of 10 s. A request
//! takes a permit of the current segment; when a segment leaves the window, 60 s after it began, its
//! permits come back. Without a free permit a request is refused at once. The client sees neither where
//! segments begin nor how late the platform's timer turns them: up to 100 ms each time, and the delays
//! add up, so that six turns take between 60.0 s and 60.6 s.
//!
//! # The rule
//!
//! [`gate::Gate`] lets a request start while fewer than `limit` uses are *held*. A use is held from the
//! moment its request starts until `window + margin` after the moment by which the platform must have
//! counted it: the arrival of the answer's head, or the end of the attempt if none came. The margin is
//! 1 % of the window, exactly the 0.6 s of late turns.
//!
//! **Never refused.** Let a request be sent at `s` and counted at `a >= s`. Each earlier use that is not
//! held any more was counted at some `b` with `b + window + margin <= s`. Its segment began at or
//! before `b`, so it left the window at or before `b + window + margin <= a`. Therefore only held uses
//! can still occupy a permit at `a`, and there are fewer than `limit` of them.
//!
//! **Optimal.** For any moment there is a phase of the platform's segments in which a segment begins
//! right then, and with that phase every use of the following 60 s occupies a permit until their end.
//! A client that ever has more than `limit` uses inside 60 s is thus refused for some phase; one that
//! never has is never refused. So the rule gives away the margin and the time between send and answer,
//! 1 % plus latency / 60 s, and nothing else.
//!
//! **Why the phase is not learnt.** It would let a burst that straddled segments come back up to 10 s
//! earlier, once; the rate over time stays the same. A success says nothing about the phase (the rule
//! makes every phase succeed), the first request of a process does not begin a segment if an earlier
//! process or another host used the interface, and after 100 turns the late timer has carried the
//! phase a whole segment away from where it was seen. That is no ground for a promise.
//!
//! Requests that were never sent give their permit back. A refused request took none.
//!
//! # Concurrency
//!
//! At most 10 requests run at once, 9 while the event stream is open. The platform ends a request a
//! moment after its answer arrives here, so a slot stays taken for `segment / 1000` after an answer, and
//! for `segment / 20` after a request that was given up, which the platform first has to notice.
//!
//! Once several callers have asked, the last [`schedule::RESERVED`] free slots are for callers of whom nothing is
//! on its way, so that one whose requests take half a minute each leaves room for the others.
//!
//! # Order
//!
//! - Lanes: IInteractions before IMessages before the rest. A lane that could start a request is passed
//!   over at most [`schedule::PATIENCE`] times in a row; then it goes first (or second, if two are due).
//! - Interfaces of one lane take turns, the one that has waited longest first.
//! - Callers of one interface: the one with the fewest uses in the window first, so that everybody who
//!   wants more gets the same (max-min fairness); the one served longest ago among equals. Requests of
//!   one caller start in order.
//! - Shares: a caller with share `x` never holds more than `max(1, floor(x * limit))` uses.
//!
//! # Waiting
//!
//! A caller may have [`schedule::QUEUE`] requests waiting; one more is refused at once. A request is refused
//! as soon as it is certain that it cannot start within its deadline, given what waits before it, and
//! at its deadline otherwise. Each refusal says after which time a new try may work. A dropped request
//! leaves the queue, or frees its slot.
//!
//! # Learning
//!
//! The mirror can be wrong: after a restart the platform remembers uses that this process does not
//! know, and another host may use the same token. A refusal closes the interface for the longer of
//! `Retry-After` and a back-off (1 s, doubling to 10 s; the platform's header is always 1). For one
//! window afterwards the interface is *suspect*: one request at a time, so that being wrong costs one
//! refusal, and the back-off shrinks with each success.
//!
//! Verified bots have higher limits that are not published. For a bot that is known to be verified
//! ([`super::Client::set_verified`]) the limit is raised by evidence: a success while `n` uses were
//! certainly still counted (sent within the last 50 s, for a segment's uses come back 50 s after its
//! end at the earliest) proves a limit of `n + 1`. To get the evidence a request is started above the
//! limit, alone, when the window is certainly full; the first refusal ends this for one window, the
//! next for two, and so on up to 64. So a probe costs at most one refusal in a window, and the limit
//! never falls below the contract's.
//!
//! # Parts
//!
//! [`schedule`] and [`gate`] are pure: no clock, no runtime; time goes in as the duration since some start.
//! `turns` puts a lock, a clock and one task around them.

pub mod gate;
pub mod schedule;
mod turns;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::time::Duration;

use crate::contract::Interface;
use crate::contract::limits::{RATE_SEGMENTS, RATE_WINDOW};
pub(super) use turns::{Limiter, Turn, TurnEnd};

/// A script as the limiter sees it, for fair shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(pub u32);

impl Caller {
    /// The host itself, with the whole of each limit.
    pub const HOST: Self = Self(0);
}

/// Every duration of the limiter, derived from the length of a segment.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// One segment of the platform's window.
    pub segment: Duration,
    /// How long a use is held after the platform must have counted it: window and margin.
    pub hold: Duration,
    /// How long a use certainly stays counted after it was sent.
    pub certain: Duration,
    /// How long a slot stays taken after an answer.
    pub linger: Duration,
    /// How long a slot stays taken after a request without an answer.
    pub linger_lost: Duration,
    /// The first back-off after a refusal; it doubles up to one segment.
    pub backoff: Duration,
}

impl Timing {
    /// The platform's segment length.
    pub const SEGMENT: Duration =
        Duration::from_nanos(RATE_WINDOW.as_nanos() as u64 / RATE_SEGMENTS as u64);

    /// All durations for a segment length.
    pub fn new(segment: Duration) -> Self {
        let window = segment * RATE_SEGMENTS;
        Self {
            segment,
            hold: window + window / 100,
            certain: segment * (RATE_SEGMENTS - 1),
            linger: segment / 1000,
            linger_lost: segment / 20,
            backoff: segment / 10,
        }
    }

    /// The whole window.
    pub fn window(&self) -> Duration {
        self.segment * RATE_SEGMENTS
    }
}

/// Why a request got no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What stood in the way.
    pub reason: Reason,
    /// After which time a new try may work.
    pub retry_after: Duration,
}

/// What stood in the way of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The caller already has as many requests waiting as it may.
    QueueFull,
    /// Its turn does not come within the deadline.
    TooLate,
}

/// How the requests stand, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests on their way.
    pub in_flight: usize,
    /// As many may be: 9 while the stream is open, 10 otherwise.
    pub concurrency: usize,
    /// 429s since the start.
    pub refused: u64,
    /// Every interface of the contract, in its order.
    pub interfaces: Vec<InterfaceStats>,
}

/// How one interface stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceStats {
    /// The platform's name, `IMessages`.
    pub name: &'static str,
    /// Uses held now.
    pub used: usize,
    /// Uses that fit: the contract's limit, or more if the bot is verified and more was seen to fit.
    pub limit: u32,
    /// Requests that wait.
    pub queued: usize,
    /// 429s since the start.
    pub refused: u64,
    /// Whether a recent 429 makes the interface careful.
    pub suspect: bool,
}

/// The lane of an interface, 0 first: answers to people, then messages, then the rest.
fn lane(interface: &Interface) -> usize {
    match interface.name {
        "IInteractions" => 0,
        "IMessages" => 1,
        _ => 2,
    }
}

/// Number of lanes.
const LANES: usize = 3;
