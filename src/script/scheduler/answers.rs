//! Tickets: what coroutines wait for, and how they get it.
//!
//! A binding that waits takes a **ticket** for the running coroutine and the prelude yields it; whoever
//! resumed it goes on. Later [`Guest::redeem`] resumes that very coroutine with the prelude's private
//! token and the result. mlua's async functions would instead yield a poll marker to the innermost
//! resumer, which breaks as soon as that is a `coroutine.wrap` of the script. If the script itself
//! resumes a coroutine that waits, the prelude misses the token, gives the ticket back
//! ([`Guest::abandon`]) and raises an error there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mlua::thread::ThreadStatus;
use mlua::{Lua, Thread, Value};

use super::timers::{Timer, TimerKey};
use super::{Behalf, Purpose, Scheduler, key};
use crate::contract::Route;
use crate::rest;
use crate::script::errors::{Fault, failure, local_failure};
use crate::script::guest::Guest;
use crate::script::position::Site;
use crate::script::recall::LoadQuestion;
use crate::script::thread::Mail;

/// Makes a Luau value of a call's answer.
pub(in crate::script) type Finish = Box<dyn FnOnce(&Lua, &Guest, &Bytes) -> mlua::Result<Value>>;

/// Makes a Luau value, or an error to raise, of what work outside the script's thread came to.
pub(in crate::script) type Outcome = Box<dyn FnOnce(&Lua, &Guest) -> Result<Value, Fault> + Send>;

/// What a coroutine waits for.
pub(in crate::script) enum Wait {
    /// `task.wait` since this instant; it gets the seconds that passed.
    Sleep(Instant),
    /// An answer of the platform.
    Call {
        /// The route, for errors.
        route: &'static Route,
        /// Makes the value.
        finish: Finish,
        /// Where to keep the answer to a question that changes nothing.
        read: Option<(Site, u64)>,
        /// The question, if the top level asks it.
        of_load: Option<LoadQuestion>,
    },
    /// Other work that the host does for the script.
    Outside,
    /// An event, or the end of the time for it.
    Event {
        /// The handler of that number looks out for it.
        handler: u64,
        /// Where to write down what came.
        asked: Option<(Site, u64)>,
    },
    /// A module that another coroutine loads.
    Module,
    /// An answer of voice.
    Voice,
    /// The end of a track, which may be hours away.
    Track,
    /// Nothing any more.
    Over,
}

impl Wait {
    /// Whether it is one of the [`crate::limits::PENDING_CALLS`].
    pub(super) fn is_call(&self) -> bool {
        matches!(self, Wait::Call { .. } | Wait::Outside)
    }
}

pub(super) struct Waiting {
    pub(super) thread: Thread,
    pub(super) wait: Wait,
    pub(super) behalf: Option<Behalf>,
    pub(super) timer: Option<TimerKey>,
    /// A handler that waits for an event or a track.
    pub(super) idle: bool,
}

impl Scheduler {
    /// A ticket for the running coroutine; `patience` redeems it with nil by itself.
    pub(in crate::script) fn ticket(
        &mut self,
        lua: &Lua,
        wait: Wait,
        patience: Option<Duration>,
    ) -> u64 {
        let behalf = self.here(lua);
        self.ticket_on(lua, wait, patience, behalf)
    }

    /// The same on behalf of whom [`Self::here`] said.
    pub(in crate::script) fn ticket_on(
        &mut self,
        lua: &Lua,
        wait: Wait,
        patience: Option<Duration>,
        behalf: Option<Behalf>,
    ) -> u64 {
        self.calls += usize::from(wait.is_call());
        let thread = lua.current_thread();
        let ticket = self.next_serial();
        let timer = patience
            .filter(|_| self.may_wait())
            .and_then(|patience| self.clock.now().checked_add(patience))
            .map(|at| self.set_timer(at, Timer::Ticket(ticket)));
        self.asleep.insert(key(&thread), ticket);
        let idle = matches!(wait, Wait::Event { .. } | Wait::Track)
            && matches!(self.roots.get(&key(&thread)),
                Some(root) if matches!(root.purpose, Purpose::Handler(..)));
        self.idle += usize::from(idle);
        self.tickets.insert(
            ticket,
            Waiting {
                thread,
                wait,
                behalf,
                timer,
                idle,
            },
        );
        ticket
    }

    /// Takes a ticket out of everything that knows it.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Waiting> {
        let waiting = self.tickets.remove(&ticket)?;
        self.asleep.remove(&key(&waiting.thread));
        if let Some(timer) = waiting.timer {
            self.timers.remove(&timer);
        }
        if waiting.wait.is_call() {
            self.calls -= 1;
        }
        self.idle -= usize::from(waiting.idle);
        Some(waiting)
    }

    /// Where to write down what a coroutine's wait for an event came to.
    pub(in crate::script) fn take_asked(&mut self, ticket: u64) -> Option<(Site, u64)> {
        match &mut self.tickets.get_mut(&ticket)?.wait {
            Wait::Event { asked, .. } => asked.take(),
            _ => None,
        }
    }
}

impl Guest {
    /// Resumes the coroutine that has the ticket: with the value, or raising the error.
    pub(in crate::script) fn redeem(&self, ticket: u64, result: Result<Value, Value>) {
        let waiting = self.scheduler.borrow_mut().take(ticket);
        if let Some(waiting) = waiting {
            self.wake(waiting, result);
        }
    }

    pub(super) fn wake(&self, waiting: Waiting, result: Result<Value, Value>) {
        self.look_out_no_more(&waiting.wait);
        if waiting.thread.status() != ThreadStatus::Resumable {
            // The script closed it with coroutine.close.
            self.forget(&waiting.thread);
            return;
        }
        let (ok, value) = match result {
            Ok(value) => (true, value),
            Err(value) => (false, value),
        };
        let behalf = waiting.behalf.map(|behalf| behalf.after_wait(&self.budget));
        if matches!(&behalf, Some(behalf) if behalf.meter.is_exhausted()) {
            self.end(&waiting.thread);
            self.forget(&waiting.thread);
            return;
        }
        let token = self.tools.token.clone();
        self.resume(&waiting.thread, (token, ok, value), behalf);
    }

    /// The answer of a call has come.
    pub(in crate::script) fn answered(
        &self,
        lua: &Lua,
        ticket: u64,
        answer: Result<Bytes, rest::Error>,
    ) {
        let Some(mut waiting) = self.scheduler.borrow_mut().take(ticket) else {
            return;
        };
        let wait = std::mem::replace(&mut waiting.wait, Wait::Over);
        let Wait::Call {
            route,
            finish,
            read,
            of_load,
        } = wait
        else {
            return;
        };
        if let Some((site, question)) = read {
            site.read(question, &answer);
        }
        if let Some(of_load) = of_load {
            self.answered_load(of_load, &answer);
        }
        let value = answer.and_then(|bytes| {
            finish(lua, self, &bytes).map_err(|error| {
                let message = format!("the answer cannot be read: {error}");
                local_failure(&route.label(), "invalid_response", message)
            })
        });
        let result = match value {
            Ok(value) => Ok(value),
            Err(error) => match failure(lua, &self.tools.failure, &error) {
                Ok(value) => Err(value),
                Err(error) => {
                    // No memory for the error itself.
                    let event = waiting.behalf.as_ref().and_then(|of| of.event.as_deref());
                    self.report(&error, event);
                    Err(Value::Nil)
                }
            },
        };
        self.wake(waiting, result);
    }

    /// Starts work outside the script's thread for the running coroutine, which sleeps until the outcome
    /// comes by mail. `behalf` is what [`Scheduler::here`] said.
    pub(in crate::script) fn outside_on<F>(
        &self,
        lua: &Lua,
        behalf: Option<Behalf>,
        work: impl Future<Output = F> + Send + 'static,
    ) -> u64
    where
        F: FnOnce(&Lua, &Guest) -> Result<Value, Fault> + Send + 'static,
    {
        let mut scheduler = self.scheduler.borrow_mut();
        let ticket = scheduler.ticket_on(lua, Wait::Outside, None, behalf);
        drop(scheduler);
        let mailbox = Arc::clone(&self.mailbox);
        self.runtime.spawn(async move {
            let outcome = work.await;
            mailbox.post(Mail::Outcome(ticket, Box::new(outcome)));
        });
        ticket
    }

    /// Work outside is done.
    pub(in crate::script) fn came_out(&self, lua: &Lua, ticket: u64, outcome: Outcome) {
        let Some(waiting) = self.scheduler.borrow_mut().take(ticket) else {
            return;
        };
        let result = outcome(lua, self).map_err(|fault| match fault {
            Fault::Value(value) => value,
            Fault::Text(text) => self.error_text(lua, &text),
            Fault::Lua(error) => self.error_text(lua, &error.to_string()),
        });
        self.wake(waiting, result);
    }

    /// A message as a value to raise; nil when there is no memory for it.
    fn error_text(&self, lua: &Lua, message: &str) -> Value {
        match lua.create_string(message) {
            Ok(text) => Value::String(text),
            Err(error) => {
                self.report(&error, None);
                Value::Nil
            }
        }
    }

    /// The prelude found that the script itself resumed the coroutine that has this ticket.
    pub(in crate::script) fn abandon(&self, ticket: u64) {
        let waiting = self.scheduler.borrow_mut().take(ticket);
        if let Some(waiting) = waiting {
            self.look_out_no_more(&waiting.wait);
            self.forget(&waiting.thread);
        }
    }

    fn look_out_no_more(&self, wait: &Wait) {
        if let Wait::Event { handler, .. } = wait {
            self.handlers.borrow_mut().remove(*handler);
        }
    }
}
