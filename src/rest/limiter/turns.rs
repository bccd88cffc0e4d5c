//! The limiter's outside: a lock and a clock around [`Schedule`], and one task that wakes it.
//!
//! The lock is held for the length of one pure step. The task exists only while requests wait; it
//! sleeps until the schedule's next change. Queues are bounded by the schedule.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::schedule::{Moment, Outcome, Schedule, Ticket};
use super::{Caller, Refusal, Stats, Timing};

/// The limiter of one bot.
pub(in crate::rest) struct Limiter {
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    state: Mutex<State>,
    /// Tells the task that there is less time to sleep than it thinks.
    earlier: Notify,
    /// Tells that slots became free.
    freed: Notify,
}

struct State {
    schedule: Schedule,
    waiting: HashMap<Ticket, oneshot::Sender<Result<(), Refusal>>>,
    wake: Option<Moment>,
    /// Whether the task runs.
    driven: bool,
}

impl Limiter {
    pub fn new(timing: Timing) -> Self {
        Self {
            shared: Arc::new(Shared {
                start: Instant::now(),
                state: Mutex::new(State {
                    schedule: Schedule::new(timing),
                    waiting: HashMap::new(),
                    wake: None,
                    driven: false,
                }),
                earlier: Notify::new(),
                freed: Notify::new(),
            }),
        }
    }

    /// Waits for a turn on an interface. `again` is for a request that had a turn before.
    pub async fn turn(
        &self,
        runtime: &Handle,
        interface: usize,
        caller: Caller,
        deadline: Instant,
        again: bool,
    ) -> Result<Turn, Refusal> {
        let (granted, mut turn) = {
            let mut state = self.shared.lock();
            let deadline = deadline.saturating_duration_since(self.shared.start);
            let now = self.shared.now();
            let ticket = state
                .schedule
                .submit(now, interface, caller, deadline, again)?;
            let (grant, granted) = oneshot::channel();
            state.waiting.insert(ticket, grant);
            let turn = Turn {
                shared: Arc::clone(&self.shared),
                ticket,
                sent: false,
                reported: false,
            };
            self.shared.step(&mut state);
            if !state.driven && !state.waiting.is_empty() {
                state.driven = true;
                runtime.spawn(drive(Arc::clone(&self.shared)));
            }
            (granted, turn)
        };
        match granted.await {
            Ok(Ok(())) => Ok(turn),
            Ok(Err(refusal)) => {
                turn.reported = true;
                Err(refusal)
            }
            // The sender lives in the state, which `turn` keeps alive until it was used.
            Err(_) => unreachable!("a waiting request is granted or refused"),
        }
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Schedule) -> T) -> T {
        let mut state = self.shared.lock();
        let result = change(&mut state.schedule);
        self.shared.step(&mut state);
        result
    }

    pub fn stats(&self) -> Stats {
        let now = self.shared.now();
        self.shared.lock().schedule.stats(now)
    }

    /// Whether the event stream takes one of the slots.
    pub fn set_stream_open(&self, open: bool) {
        let now = self.shared.now();
        self.change(|schedule| schedule.set_stream_open(now, open));
    }

    /// Waits until at most `most` slots are taken, by the platform's count.
    pub async fn at_most(&self, most: usize) {
        loop {
            let freed = self.shared.freed.notified();
            let (busy, next) = self.shared.lock().schedule.busy(self.shared.now());
            if busy <= most {
                return;
            }
            let next = async {
                match next {
                    Some(next) => tokio::time::sleep_until(self.shared.start + next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = freed => {}
                () = next => {}
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// Lets the schedule act and passes its decisions on.
    fn step(&self, state: &mut State) {
        let before = state.wake;
        loop {
            let now = self.now();
            let step = state.schedule.poll(now);
            state.wake = step.wake;
            for (ticket, refusal) in step.refused {
                if let Some(waiting) = state.waiting.remove(&ticket) {
                    // A dropped receiver wants no answer.
                    let _ = waiting.send(Err(refusal));
                }
            }
            let mut gone = false;
            for ticket in step.started {
                let grant = state.waiting.remove(&ticket);
                if grant.is_none_or(|grant| grant.send(Ok(())).is_err()) {
                    state.schedule.abandon(now, ticket, false);
                    gone = true;
                }
            }
            if !gone {
                break;
            }
        }
        if state
            .wake
            .is_some_and(|wake| before.is_none_or(|before| wake < before))
            || state.waiting.is_empty()
        {
            self.earlier.notify_one();
        }
    }

    fn report(&self, ticket: Ticket, outcome: impl FnOnce(&mut Schedule, Moment)) {
        let mut state = self.lock();
        state.waiting.remove(&ticket);
        outcome(&mut state.schedule, self.now());
        self.step(&mut state);
        self.freed.notify_waiters();
    }
}

/// Steps the schedule when its time comes, as long as requests wait.
async fn drive(shared: Arc<Shared>) {
    loop {
        let wake = {
            let mut state = shared.lock();
            shared.step(&mut state);
            if state.waiting.is_empty() {
                state.driven = false;
                return;
            }
            state.wake
        };
        // Waiting requests have deadlines, so that there is a time to wake; the alternative is only
        // there not to sleep for ever if that were wrong.
        let until = shared.start + wake.unwrap_or_else(|| shared.now() + Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = shared.earlier.notified() => {}
        }
    }
}

/// A turn: the permission to send one request, now. Report its end with [`Turn::end`]; dropping it
/// frees the place in the queue or the slot.
#[must_use = "a turn that is dropped goes back unused"]
pub(in crate::rest) struct Turn {
    shared: Arc<Shared>,
    ticket: Ticket,
    sent: bool,
    reported: bool,
}

impl Turn {
    /// The request goes out: from here on the platform may have counted it.
    pub fn sending(&mut self) {
        self.sent = true;
    }

    /// Says what became of the request. `answered` is when the head of an answer arrived.
    pub fn end(mut self, outcome: TurnEnd) {
        self.reported = true;
        let outcome = match outcome {
            TurnEnd::Unsent => Outcome::Unsent,
            TurnEnd::Answered(at) => Outcome::Answered {
                by: at.saturating_duration_since(self.shared.start),
            },
            TurnEnd::Lost => Outcome::Lost,
            TurnEnd::Refused(retry_after) => Outcome::Refused { retry_after },
        };
        let ticket = self.ticket;
        self.shared.report(ticket, |schedule, now| {
            schedule.finished(now, ticket, outcome);
        });
    }
}

/// How a turn ended, in the clock of the runtime.
#[derive(Debug, Clone, Copy)]
pub(in crate::rest) enum TurnEnd {
    /// Nothing was sent.
    Unsent,
    /// The platform took the request; the head of its answer arrived then.
    Answered(Instant),
    /// Sent, without an answer.
    Lost,
    /// A 429 with this `Retry-After`.
    Refused(Duration),
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.reported {
            let (ticket, sent) = (self.ticket, self.sent);
            self.shared.report(ticket, |schedule, now| {
                schedule.abandon(now, ticket, sent);
            });
        }
    }
}
