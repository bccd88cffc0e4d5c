//! The thread of one version of a script, and its loop.
//!
//! A version runs its top level, then waits for its **turn** ([`Mail::Begin`]), which gives it the script's
//! place in the inbox and the last state of the version before. It has the turn until [`Mail::Retire`]:
//! then it takes no more events, its timers and `waitFor`s end, what `script.onUnload` was given runs,
//! its state goes out, and its handlers may finish. The version that follows begins after that, so that
//! events start in their order across versions.
//!
//! A turn of the loop: answers that have come → timers that are due → what was deferred → one event of
//! the inbox, while fewer handlers run than allowed → one slice of what was preempted → otherwise the thread parks until the next timer.
//! Appends to the inbox, answers of the platform and the host's commands unpark it. The kernel, not
//! Luau, keeps scripts from delaying each other.
//!
//! A script whose handlers do not finish stops taking events at its limit, and what waits for it stays
//! on disk: nothing is lost, and nobody else waits. It says loudly, at most every [`HELD_WARNING`], which
//! script it is. Ending handlers that take too long is the matter of a script's limits, not of this loop.
//!
//! The mailbox is bounded by what can be in it: one answer or outcome for each pending call
//! ([`crate::limits::PENDING_CALLS`]) with at most [`crate::limits::ANSWER_BYTES`] in all of them
//! (`answers`), the events of voice (bounded where they are posted) and the host's few commands. Nothing
//! Luau is ever in it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mlua::Lua;
use tokio::sync::{oneshot, watch};

use super::Trouble;
use super::answers::{Answers, Unread};
use super::api::voice::VoiceMail;
use super::budget::Alarm;
use super::guest::{Birth, Guest};
use super::registry::State;
use super::rehearsal;
use super::scheduler::{CUT_OFF, Outcome};
use super::state::Snapshot;
use super::version::PATIENCE;
use crate::inbox::{Delivery, Event, Subscription};
use crate::rest;

/// Stack of a script's thread, bytes of address space (pages that are not touched cost nothing). Luau
/// ends a recursion through the host (a task that spawns a task, a `__tostring` that logs itself) after
/// 200 levels; in an unoptimised build a level takes tens of kilobytes.
const STACK: usize = 32 << 20;

/// How long a script may hold its events back before that is worth a warning.
const HELD_PATIENCE: Duration = Duration::from_secs(1);
/// The least time between two of these warnings.
const HELD_WARNING: Duration = Duration::from_secs(60);

/// Something for a script's thread.
pub(super) enum Mail {
    /// The answer to a call, which counts until it is read.
    Answer(u64, Result<Bytes, rest::Error>, Option<Unread>),
    /// Something of voice.
    Voice(VoiceMail),
    /// What other work for the script came to.
    Outcome(u64, Outcome),
    /// Events may be handed out.
    Open,
    /// A copy of `script.state` is wanted.
    Copy(oneshot::Sender<Snapshot>),
    /// It is this version's turn.
    Begin(Turn),
    /// The turn is over: take no more events; end when the handlers are over, at the latest then.
    Retire {
        until: Instant,
        /// What becomes of the events whose handlers are not over then; none if what was said before
        /// stands, or, where nothing was, that they come again.
        unfinished: Option<Unfinished>,
        /// Who gets the last state.
        state: Option<oneshot::Sender<Snapshot>>,
    },
}

/// What becomes of an event whose handlers are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// It has failed, because the bot goes on without this version.
    Fails,
    /// It comes again at the next start, because the bot ends.
    ComesAgain,
}

/// What a version gets when its turn begins.
pub(super) struct Turn {
    /// The script's place in the inbox; the version becomes its taker.
    pub(super) place: Subscription,
    /// The last state of the version before.
    pub(super) state: Option<Snapshot>,
    /// The stream's last `ready`, for a version that comes when the bot is connected already.
    pub(super) ready: Option<Arc<Event>>,
}

/// Where a thread gets its mail.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<VecDeque<Mail>>,
    thread: OnceLock<Thread>,
    alarm: OnceLock<Arc<Alarm>>,
    /// What of its mail are answers.
    pub(super) answers: Answers,
    /// The top level has ended well.
    loaded: AtomicBool,
}

impl Mailbox {
    /// Leaves mail and wakes the thread.
    pub(super) fn post(&self, mail: Mail) {
        self.mail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(mail);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether the top level has ended well.
    pub(super) fn has_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Ends whatever Luau the thread runs, with an error at its next safepoint.
    pub(super) fn end(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.end();
        }
    }

    pub(super) fn take(&self) -> VecDeque<Mail> {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts a version's thread. The sender tells how far it is, and is dropped when the thread ends.
pub(super) fn spawn(birth: Birth, state: watch::Sender<State>) -> std::io::Result<()> {
    let name = format!("script:{}", birth.name);
    let builder = thread::Builder::new().name(name).stack_size(STACK);
    // What is logged on the thread belongs to the bot whose span this is.
    let span = tracing::Span::current();
    builder.spawn(move || {
        crate::allocator::small_from_system();
        let _of_bot = span.enter();
        super::budget::lower_priority(&birth.name);
        let shared = Arc::clone(&birth.shared);
        let fail = |trouble: Trouble| {
            state.send_replace(State::Failed(trouble));
        };
        // A panic is a mistake of the host's: it ends this script and no other.
        match catch_unwind(AssertUnwindSafe(|| run(birth, &state))) {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => fail(trouble),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                fail(Trouble::plain(format!(
                    "a mistake in argon-host ended it: {message}"
                )));
            }
        }
        shared.news.notify_one();
    })?;
    Ok(())
}

fn run(birth: Birth, state: &watch::Sender<State>) -> Result<(), Trouble> {
    // The thread is known before the mailbox is read, so that no mail is left lying.
    let mailbox = Arc::clone(&birth.mailbox);
    mailbox.thread.get_or_init(thread::current);
    let (lua, guest) = Guest::new(birth)
        .map_err(|error| Trouble::plain(format!("its VM cannot be set up: {error}")))?;
    mailbox.alarm.get_or_init(|| guest.budget.alarm());
    let result = Turns {
        lua: &lua,
        guest: &guest,
        mailbox: &mailbox,
        place: None,
        state,
        stop: None,
        unfinished: Unfinished::ComesAgain,
        last_state: None,
        loaded: false,
        held: Held::default(),
        early: Vec::new(),
        untimely: VecDeque::new(),
        first_new: 0,
        ready: None,
        left_out: Duration::ZERO,
        rehearsed: false,
    }
    .run();
    guest.clear();
    result
}

/// Events that wait for the top level. A further one comes again at the next start.
const UNTIMELY: usize = 1024;
/// Why such an event found no handler.
const TOO_SOON: &str = "no handler was there for it, because the version has ended before its top level: let \
                        the top level add its handlers before it waits";
/// Submissions of modals that are kept until the calls that open modals are answered.
const EARLY: usize = 64;

struct Turns<'a> {
    lua: &'a Lua,
    guest: &'a Rc<Guest>,
    mailbox: &'a Mailbox,
    /// Where events are taken while it is this version's turn.
    place: Option<Subscription>,
    state: &'a watch::Sender<State>,
    /// When the thread ends, whatever still runs.
    stop: Option<Instant>,
    /// What becomes of what still runs then.
    unfinished: Unfinished,
    /// Who waits for the last state, and until when for what changes it yet.
    last_state: Option<(oneshot::Sender<Snapshot>, Instant)>,
    /// The host knows that the top level has ended.
    loaded: bool,
    held: Held,
    /// Submissions that came while a modal was being opened: perhaps that one, whose id is in the
    /// answer that has not come. At most [`EARLY`]; a further one is handed out as it is.
    early: Vec<Delivery>,
    /// Events that had waited for this version and that its top level has not asked for yet. At most
    /// [`UNTIMELY`].
    untimely: VecDeque<Delivery>,
    /// The number of the first event that came after the turn had begun. A top level may go on for ever:
    /// what comes meanwhile gets the handlers that there are.
    first_new: u64,
    /// When the `ready` came that this version was given at its turn. Those up to it may still lie in the
    /// inbox: the version knows of them.
    ready: Option<Instant>,
    /// Time that was left out in a rehearsal, and whether that has come to its end.
    left_out: Duration,
    rehearsed: bool,
}

/// Whether events wait because as many handlers run as may.
#[derive(Default)]
struct Held {
    since: Option<Instant>,
    /// When it is said (again), if they still wait then.
    due: Option<Instant>,
    /// Not before this instant is it said again.
    quiet_until: Option<Instant>,
}

impl Turns<'_> {
    fn run(mut self) -> Result<(), Trouble> {
        self.guest.run_top(self.lua)?;
        loop {
            // Asked before the mail is read: who opened a modal goes on before its submission is handed out.
            let opened = self.take_opened();
            let mut busy = self.read_mail();
            for delivery in opened {
                self.guest.dispatch(self.lua, delivery);
            }
            let now = Instant::now();
            busy |= self.guest.run_timers(self.lua, self.guest.clock.now());
            self.guest.run_deferred();
            busy |= self.take_event(now);
            // It may have been the last slice of a handler that kept an event from being taken.
            busy |= self.guest.run_preempted();
            self.give_state(now);
            self.settle()?;
            if self.is_over(now) {
                self.leave();
                return Ok(());
            }
            if !busy && !self.guest.scheduler.borrow().is_ready() && !self.leave_out_time() {
                self.park();
            }
        }
    }

    fn read_mail(&mut self) -> bool {
        let mail = self.mailbox.take();
        let any = !mail.is_empty();
        for mail in mail {
            match mail {
                Mail::Answer(ticket, answer, _held) => {
                    self.guest.answered(self.lua, ticket, answer)
                }
                Mail::Voice(mail) => self.guest.voice_mail(self.lua, mail),
                Mail::Outcome(ticket, outcome) => self.guest.came_out(self.lua, ticket, outcome),
                // What it says is in `Shared::open`.
                Mail::Open => {}
                Mail::Copy(reply) => {
                    // Nobody waits any more: the load was given up.
                    let _ = reply.send(self.guest.copy_state(self.lua, false));
                }
                Mail::Begin(turn) => self.begin(turn),
                Mail::Retire {
                    until,
                    unfinished,
                    state,
                } => {
                    self.unfinished = unfinished.unwrap_or(self.unfinished);
                    self.retire(until, state);
                }
            }
        }
        any
    }

    fn begin(&mut self, turn: Turn) {
        if self.stop.is_some() {
            return;
        }
        let place = turn.place.pass_to(thread::current());
        self.first_new = place.next_number();
        self.guest.want_events(&place);
        self.guest.inherit(self.lua, turn.state.as_ref());
        if let Some(ready) = turn.ready {
            self.ready = Some(ready.received);
            self.guest.dispatch(self.lua, place.again(ready));
        }
        self.place = Some(place);
    }

    fn retire(&mut self, until: Instant, state: Option<oneshot::Sender<Snapshot>>) {
        self.place = None;
        let first = self.stop.is_none();
        self.stop = Some(self.stop.map_or(until, |before| before.min(until)));
        if first {
            self.hand_out_untimely();
            let comes_again = self.unfinished == Unfinished::ComesAgain;
            self.guest.retire(self.lua, comes_again);
        }
        if let Some(reply) = state {
            self.last_state = Some((reply, until.min(Instant::now() + PATIENCE / 2)));
        }
    }

    /// Gives the last state to who waits for it, when what `script.onUnload` was given has come to its end or
    /// its first wait: one that computes for longer than a slice is preempted.
    fn give_state(&mut self, now: Instant) {
        let is_due = |(_, until): &mut _| now >= *until;
        let unloading = || self.guest.scheduler.borrow().is_unloading();
        if let Some((reply, _)) = (self.last_state).take_if(|last| is_due(last) || !unloading()) {
            // Nobody waits any more: the next version began without it.
            let _ = reply.send(self.guest.copy_state(self.lua, true));
        }
    }

    fn take_event(&mut self, now: Instant) -> bool {
        let open = self.guest.shared.open.load(Ordering::Acquire);
        let Some(place) = self.place.as_ref().filter(|_| open) else {
            self.held.due = None;
            return false;
        };
        if self.guest.scheduler.borrow().handlers() >= self.guest.most_handlers {
            let waiting = place.waiting();
            self.hold(now, waiting);
            return false;
        }
        self.held.since = None;
        self.held.due = None;
        // An event may be for what was registered in this very turn.
        self.guest.publish(Some(place));
        if let Some(delivery) = self.timely().and_then(|at| self.untimely.remove(at)) {
            self.guest.dispatch(self.lua, delivery);
            return true;
        }
        match place.take() {
            Some(delivery) if self.is_known(&delivery) => {
                delivery.done();
                true
            }
            Some(delivery) if self.is_untimely(&delivery) => {
                self.keep_untimely(delivery);
                true
            }
            Some(delivery) if self.is_early(&delivery) => {
                self.early.push(delivery);
                true
            }
            Some(delivery) => {
                self.guest.dispatch(self.lua, delivery);
                true
            }
            None => false,
        }
    }

    /// Whether it is a `ready` of which this version was told when its turn began.
    fn is_known(&self, delivery: &Delivery) -> bool {
        delivery.kind == "ready" && self.ready.is_some_and(|told| delivery.received <= told)
    }

    /// Whether it may find its handlers when the top level has gone on.
    fn is_untimely(&self, delivery: &Delivery) -> bool {
        !self.guest.is_loaded()
            && (1..self.first_new).contains(&delivery.ledger().number())
            && !self.guest.has_asked_for(delivery)
    }

    fn keep_untimely(&mut self, delivery: Delivery) {
        if self.untimely.len() < UNTIMELY {
            self.untimely.push_back(delivery);
            return;
        }
        let text = format!(
            "{UNTIMELY} events wait for its top level to add their handlers, as many as may: this one comes \
             again at the next start; let the top level add its handlers before it waits"
        );
        if self.guest.may_log(text.len()) {
            tracing::warn!(target: "script", script = %self.guest.name, event = %delivery.kind,
                event_id = %delivery.id, "{text}");
        }
    }

    /// Where the first of the events is that waited for the top level and need not any more.
    fn timely(&self) -> Option<usize> {
        let mut untimely = self.untimely.iter();
        untimely.position(|delivery| !self.is_untimely(delivery))
    }

    /// The turn is over, and so is the top level: what waited for it gets what handlers there are. Where it
    /// had not come to its end, the events have failed or come again, like any other.
    fn hand_out_untimely(&mut self) {
        for delivery in std::mem::take(&mut self.untimely) {
            if !self.is_untimely(&delivery) {
                self.guest.dispatch(self.lua, delivery);
            } else if self.unfinished == Unfinished::Fails {
                self.guest.cut_off_early(delivery, TOO_SOON);
            }
        }
    }

    /// Whether it may be of a modal whose call has no answer yet.
    fn is_early(&self, delivery: &Delivery) -> bool {
        delivery.kind == "modalSubmit"
            && self.early.len() < EARLY
            && !self.guest.modals.know(&delivery.payload)
            && self.guest.modals.are_opening()
    }

    /// The submissions that waited for the answer to a modal's call, and need not any more.
    fn take_opened(&mut self) -> Vec<Delivery> {
        if self.early.is_empty() {
            return Vec::new();
        }
        let modals = &self.guest.modals;
        // Asked first: what becomes known afterwards wakes this thread.
        let opening = modals.are_opening();
        let is_opened = |delivery: &mut Delivery| !opening || modals.know(&delivery.payload);
        self.early.extract_if(.., is_opened).collect()
    }

    /// No handler may begin. Says so when events wait for one.
    fn hold(&mut self, now: Instant, waiting: u64) {
        if waiting == 0 {
            return;
        }
        let since = *self.held.since.get_or_insert(now);
        let due = (since + HELD_PATIENCE).max(self.held.quiet_until.unwrap_or(since));
        if now < due {
            self.held.due = Some(due);
            return;
        }
        self.held.due = Some(now + HELD_WARNING);
        self.held.quiet_until = self.held.due;
        tracing::warn!(target: "script", script = %self.guest.name, waiting,
            seconds = now.duration_since(since).as_secs(),
            "{} handlers run, as many as may: its events wait on disk; end the handlers that hang, or \
             raise limits.handlers",
            self.guest.most_handlers);
    }

    /// Tells what has changed in this turn.
    fn settle(&mut self) -> Result<(), Trouble> {
        if let Some(trouble) = self.guest.take_failure() {
            return Err(trouble);
        }
        self.guest.publish(self.place.as_ref());
        self.guest.account(self.lua);
        if !self.loaded && self.guest.is_loaded() {
            self.loaded = true;
            if self.guest.rehearsal.is_some() {
                self.guest.scheduler.borrow_mut().only_for_events();
            }
            self.mailbox.loaded.store(true, Ordering::Release);
            self.state.send_replace(State::Loaded);
        }
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        let Some(stop) = self.stop else { return false };
        let scheduler = self.guest.scheduler.borrow();
        let (handlers, calls) = (scheduler.handlers(), scheduler.calls());
        if handlers == 0 && calls == 0 && !scheduler.is_ready() && self.early.is_empty() {
            return true;
        }
        if now >= stop {
            tracing::warn!(target: "script", script = %self.guest.name, handlers, calls,
                "the time to finish is over: handlers and calls that still run are cut off");
            return true;
        }
        false
    }

    /// In a rehearsal nobody waits for a timer. Answers whether there is something to do now.
    fn leave_out_time(&mut self) -> bool {
        let Some(rehearsal) = &self.guest.rehearsal else {
            return false;
        };
        let scheduler = self.guest.scheduler.borrow();
        let (next, unfinished) = (scheduler.next_timer(), scheduler.unfinished());
        let begun = self.guest.has_dispatched();
        // An answer is on its way; or the event is.
        if scheduler.calls() > 0 || (self.loaded && !begun) {
            return false;
        }
        let wanted = !self.loaded || unfinished > 0;
        if let Some(at) = next.filter(|_| wanted && self.left_out < rehearsal::LONGEST) {
            let time = self.guest.clock.until(at);
            self.left_out += time;
            self.guest.clock.skip(time);
            return true;
        }
        if begun && !std::mem::replace(&mut self.rehearsed, true) {
            rehearsal.is_over(unfinished);
        }
        false
    }

    /// The thread ends while the bot goes on: nothing that it has in its hands may be forgotten.
    fn leave(&mut self) {
        if self.unfinished == Unfinished::Fails {
            for delivery in self.early.drain(..) {
                self.guest.cut_off_early(delivery, CUT_OFF);
            }
            self.guest.cut_off();
        }
    }

    fn park(&self) {
        self.guest.budget.rest();
        let timer = self.guest.scheduler.borrow().next_timer();
        let timer = timer.map(|at| Instant::now() + self.guest.clock.until(at));
        // While events are held, nobody else may wake the thread to say so.
        let until = [timer, self.stop, self.held.due]
            .into_iter()
            .flatten()
            .min();
        match until {
            Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
            None => thread::park(),
        }
    }
}
