//! The life of a bot's stream as a pure state machine: told what happened and when, it says what to do
//! next. No clock, no socket, no randomness of its own.
//!
//! ```text
//!              ┌────────────── ended: 429, failure, deliberate ─────────────┐
//!              v                                                            │
//!   Waiting ──(time and budget)──> Connecting ──(200)──> Open ──(first event)──> live
//!      ^                               │ 401: Refused(Token), for good
//!      ├──(without the privileged ones)┤ missing_intents
//!      └──(intents changed)── Refused(Intents) <── missing_intents, none of them privileged
//! ```
//!
//! Invariants:
//! - A connect happens only from `Waiting`, and `Waiting` is reached only after the connection before
//!   has been reported as ended: there are never two.
//! - Every connect takes a permit of the [`Budget`]. Failures leave one permit in reserve, so that a
//!   deliberate reconnect (new intents) is not held up by a bad minute; a stream that works is not
//!   closed before a permit for the next one is there.
//! - The position to resume after is the id of the last real event that was passed on or dropped on
//!   purpose; until there is one, that of the connection's last own event, so that a bot which has only
//!   seen `ready` misses nothing either. The platform keeps its own position and ignores ours, so that
//!   sending it serves both ways to resume. After two connections that died of the same next event (too large, unreadable), the
//!   position is given up: the bot goes on without what lies between.

use std::time::{Duration, Instant};

use super::backoff::{Backoff, Budget};
use super::deaf::Deaf;
use super::dedupe::Dedupe;
use super::ending::{Ending, Refusal};
use super::event_id::EventId;
use super::settings::{State, Timings};
use crate::contract;
use crate::inbox::{Past, Place, Scope};

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Open a connection, after saying so with [`Machine::connecting`].
    Open {
        /// The intent mask to ask for.
        intents: u64,
        /// The position to resume after.
        after: Option<String>,
    },
    /// Not connected: ask again at this time, or when something was reported.
    Wait(Option<Instant>),
    /// Connected: read on, and ask again at this time, or when something was reported.
    Read(Option<Instant>),
    /// Close the connection, then report this ending.
    Close(Ending),
    /// It is over.
    Finish,
}

/// The state of one bot's stream.
#[derive(Debug)]
pub struct Machine {
    timings: Timings,
    phase: Phase,
    stopping: bool,
    wanted: u64,
    /// Privileged intents that the platform refused; left out until others are wanted.
    left_out: u64,
    /// When `wanted` changed last.
    changed: Option<Instant>,
    budget: Budget,
    backoff: Backoff,
    dedupe: Dedupe,
    deaf: Deaf,
    /// The id to resume after; empty when there is none.
    position: String,
    /// Whether it is a real event's.
    placed: bool,
    /// Connections in a row that may have died of the event after `position`.
    poisoned: u32,
}

#[derive(Debug)]
enum Phase {
    Waiting {
        until: Instant,
        reason: String,
        /// May use the permit in reserve.
        deliberate: bool,
    },
    Connecting {
        asked: u64,
    },
    Open {
        asked: u64,
        since: Instant,
        live: bool,
        last_event: Instant,
    },
    Refused(Refusal),
    Stopped,
}

/// Connections that may die of the same event before the position is given up.
const POISONED_MOST: u32 = 2;

/// Permits that failures leave for a deliberate reconnect.
const RESERVE: usize = 1;

impl Machine {
    /// A stream that connects at once, and goes on where `past` ended.
    pub fn new(timings: Timings, intents: u64, past: Past, now: Instant) -> Self {
        let mut dedupe = Dedupe::default();
        dedupe.restore(past.windows, now);
        let permits = contract::route("IEvents", "Stream")
            .map_or(1, |route| route.interface.per_minute as usize);
        Self {
            phase: Phase::Waiting {
                until: now,
                reason: "starting".into(),
                deliberate: true,
            },
            stopping: false,
            wanted: intents,
            left_out: 0,
            changed: None,
            budget: Budget::new(permits, timings.budget_window),
            backoff: Backoff::new(timings.backoff, timings.backoff_most, timings.throttled),
            dedupe,
            deaf: Deaf::new(timings.deaf),
            // What `ready` or a heartbeat said gives way to the next one's.
            placed: matches!(
                EventId::parse(&past.position),
                EventId::Sequenced(..) | EventId::Other
            ),
            position: past.position,
            poisoned: 0,
            timings,
        }
    }

    /// What to do at `now`.
    pub fn next(&self, now: Instant) -> Next {
        match &self.phase {
            Phase::Stopped | Phase::Refused(Refusal::Token) => Next::Finish,
            Phase::Waiting { .. } | Phase::Refused(_) if self.stopping => Next::Finish,
            Phase::Refused(Refusal::Intents { .. }) => Next::Wait(None),
            Phase::Connecting { .. } | Phase::Open { .. } if self.stopping => {
                Next::Close(Ending::Stopped)
            }
            Phase::Waiting {
                until, deliberate, ..
            } => {
                let reserve = if *deliberate { 0 } else { RESERVE };
                let at = (*until).max(self.budget.free_at(now, reserve));
                if at > now {
                    return Next::Wait(Some(at));
                }
                Next::Open {
                    intents: self.to_ask(),
                    after: (!self.position.is_empty()).then(|| self.position.clone()),
                }
            }
            Phase::Connecting { .. } => Next::Read(None),
            Phase::Open {
                asked, last_event, ..
            } => self.next_when_open(now, *asked, *last_event),
        }
    }

    fn next_when_open(&self, now: Instant, asked: u64, last_event: Instant) -> Next {
        let stuck_at = last_event + self.timings.event_silence;
        if stuck_at <= now {
            return Next::Close(Ending::Stuck(self.timings.event_silence));
        }
        let mut wake = stuck_at;
        if self.to_ask() != asked {
            let settled = self.changed.map_or(now, |at| at + self.timings.debounce);
            let due = settled.max(self.budget.free_at(now, 0));
            if due <= now {
                return Next::Close(Ending::IntentsChanged);
            }
            wake = wake.min(due);
        }
        if asked & messages_bit() != 0
            && let Some(due) = self.deaf.due()
        {
            let due = due.max(self.budget.free_at(now, RESERVE));
            if due <= now
                && let Some(evidence) = self.deaf.verdict(now)
            {
                return Next::Close(Ending::Deaf(evidence));
            }
            wake = wake.min(due);
        }
        Next::Read(Some(wake))
    }

    /// A connection is being opened now, as [`Next::Open`] said.
    pub fn connecting(&mut self, now: Instant) {
        self.budget.spend(now);
        self.phase = Phase::Connecting {
            asked: self.to_ask(),
        };
    }

    /// The server accepted the stream.
    pub fn opened(&mut self, now: Instant) {
        let Phase::Connecting { asked } = self.phase else {
            return;
        };
        self.budget.answered(now);
        self.backoff.accepted();
        self.deaf.opened(now);
        self.phase = Phase::Open {
            asked,
            since: now,
            live: false,
            last_event: now,
        };
    }

    /// A complete event came. Where it stands in the stream; none if it came before. One with a place of
    /// its own is to be reported with [`Machine::passed`].
    pub fn event(&mut self, now: Instant, kind: &str, id: &str) -> Option<Place> {
        if let Phase::Open {
            live, last_event, ..
        } = &mut self.phase
        {
            *live = true;
            *last_event = now;
        }
        let text = id;
        let id = EventId::parse(text);
        if contract::CONNECTION_EVENTS.contains(&kind) {
            if kind == "heartbeat"
                && let EventId::Cursor(cursor) = id
            {
                self.deaf.heartbeat(now, cursor);
                self.dedupe.cursor(cursor);
            }
            if !self.placed && matches!(id, EventId::Ready | EventId::Cursor(_)) {
                self.position.clear();
                self.position.push_str(text);
            }
            return Some(Place::Connection);
        }
        let (scope, sequence) = match id {
            EventId::Sequenced(scope, sequence) => (scope, sequence),
            EventId::Other => return Some(Place::Id),
            EventId::None | EventId::Ready | EventId::Cursor(_) => return Some(Place::Unknown),
        };
        let place = self.dedupe.place(scope, sequence, now)?;
        if matches!(scope, Scope::Space(_)) {
            self.deaf.heard(now);
        }
        Some(place)
    }

    /// A new event with this id is in the inbox, or was dropped on purpose: the stream goes on after it.
    pub fn passed(&mut self, id: &str) {
        self.position.clear();
        self.position.push_str(id);
        self.placed = true;
        self.poisoned = 0;
    }

    /// The id to resume after; empty when there is none.
    pub fn position(&self) -> &str {
        &self.position
    }

    /// Reading was held up by ourselves until `now`: silence before it proves nothing.
    pub fn stalled(&mut self, now: Instant) {
        if let Phase::Open { last_event, .. } = &mut self.phase {
            *last_event = now;
        }
        self.deaf.stalled(now);
    }

    /// The platform accepted a message of this bot.
    pub fn message_sent(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.deaf.accepted(now);
        }
    }

    /// REST showed a message that was written at `written`.
    pub fn history_seen(&mut self, now: Instant, written: Instant) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.deaf.shown(now, written);
        }
    }

    /// The scripts need these intents from now on.
    pub fn intents(&mut self, now: Instant, mask: u64) {
        if self.wanted == mask {
            return;
        }
        self.wanted = mask;
        self.left_out = 0;
        self.changed = Some(now);
        if let Phase::Refused(Refusal::Intents { mask: refused }) = self.phase
            && self.to_ask() != refused
        {
            self.wait(
                now + self.timings.debounce,
                "the intents changed".into(),
                true,
                now,
            );
        }
    }

    /// The bot is being stopped.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The connection, or the attempt to make one, is over, and its socket is closed. `roll` is random
    /// in [0, 1). Returns the position that was given up, if one was.
    pub fn ended(&mut self, now: Instant, ending: &Ending, roll: f64) -> Option<String> {
        let (asked, was_open, healthy) = match self.phase {
            Phase::Connecting { asked } => (asked, false, false),
            Phase::Open {
                asked, since, live, ..
            } => {
                let lived = now.saturating_duration_since(since);
                (asked, true, live && lived >= self.timings.healthy)
            }
            _ => return None,
        };
        if !was_open {
            self.budget.answered(now);
        }
        if healthy {
            self.backoff.reset();
        }
        self.after(now, ending, asked, roll);
        // What was never open has not died of an event: a page of a proxy instead of a stream says nothing.
        if !was_open || !ending.may_be_poisoned() {
            return None;
        }
        self.poisoned += 1;
        if self.poisoned < POISONED_MOST || self.position.is_empty() {
            return None;
        }
        self.poisoned = 0;
        self.placed = false;
        Some(std::mem::take(&mut self.position))
    }

    fn after(&mut self, now: Instant, ending: &Ending, asked: u64, roll: f64) {
        let reason = ending.to_string();
        match ending {
            _ if self.stopping => self.phase = Phase::Stopped,
            Ending::Stopped => self.phase = Phase::Stopped,
            Ending::Refused { status: 401, .. } => self.phase = Phase::Refused(Refusal::Token),
            _ if ending.is_missing_intents() && self.to_ask() == asked => {
                // Which of them it will not grant, the platform does not say; a bot may have all of the
                // privileged ones or none.
                match asked & privileged_bits() {
                    0 => self.phase = Phase::Refused(Refusal::Intents { mask: asked }),
                    privileged => {
                        self.left_out |= privileged;
                        self.wait(now + self.timings.settle, reason, true, now);
                    }
                }
            }
            Ending::IntentsChanged => self.wait(now + self.timings.settle, reason, true, now),
            Ending::Refused {
                status: 429,
                retry_after,
                ..
            } => {
                let wait = self.backoff.after_429(*retry_after, roll);
                self.wait(now + wait, reason, false, now);
            }
            _ => {
                if matches!(ending, Ending::Deaf(_)) {
                    self.deaf.judged();
                }
                let asked = match ending {
                    Ending::Refused { retry_after, .. } => retry_after.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                let wait = self.backoff.after_failure(roll);
                let wait = wait.max(asked.min(self.timings.backoff_most));
                self.wait(now + wait.max(self.timings.settle), reason, false, now);
            }
        }
    }

    fn wait(&mut self, until: Instant, reason: String, deliberate: bool, now: Instant) {
        let reserve = if deliberate { 0 } else { RESERVE };
        self.phase = Phase::Waiting {
            until: until.max(self.budget.free_at(now, reserve)),
            reason,
            deliberate,
        };
    }

    /// What others see.
    pub fn state(&self) -> State {
        let attempt = self.backoff.failures().saturating_add(1);
        match &self.phase {
            Phase::Waiting { until, reason, .. } => State::Waiting {
                until: *until,
                reason: reason.clone(),
            },
            Phase::Connecting { .. } | Phase::Open { live: false, .. } => {
                State::Connecting { attempt }
            }
            Phase::Open { since, .. } => State::Live { since: *since },
            Phase::Refused(refusal) => State::Refused(refusal.clone()),
            Phase::Stopped => State::Stopped,
        }
    }

    /// Intents that are wanted and that the platform refused.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn to_ask(&self) -> u64 {
        mask_to_ask(self.wanted & !self.left_out)
    }

    /// Whether the first event of this connection has come.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Open { live: true, .. })
    }
}

/// The platform refuses an empty mask (403 `missing_intents`). No event belongs to `spaceUpdates`, so
/// that it stands for "nothing but what always comes".
fn mask_to_ask(wanted: u64) -> u64 {
    if wanted == 0 {
        return bit("spaceUpdates");
    }
    wanted
}

/// The intent of messages, as a mask.
pub fn messages_bit() -> u64 {
    bit("messages")
}

fn privileged_bits() -> u64 {
    let privileged = contract::INTENTS.iter().filter(|intent| intent.privileged);
    privileged.fold(0, |mask, intent| mask | intent.mask())
}

fn bit(intent: &str) -> u64 {
    contract::intent(intent).map_or(0, contract::Intent::mask)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
