//! Coroutines while they run: begun, resumed, preempted, over.
//!
//! A **root** is a coroutine that the host began for a handler, the top level or a timer. It is over
//! when it returns, fails, is cancelled, or yields without anything of the host's that will resume it:
//! then it is the script's to resume.
//! Root coroutines are used again (a reset costs a tenth of a creation) unless the script has taken
//! their handle with `coroutine.running`.
//!
//! A coroutine whose slice is over waits in a queue of its own and gets the next slice behind what else
//! is ready in this turn (`budget` says when that happens).

use std::rc::Rc;

use mlua::thread::ThreadStatus;
use mlua::{Function, IntoLuaMulti, Lua, Thread};

use super::{Behalf, Scheduler, key};
use crate::script::api::log::shorten;
use crate::script::api::timers::CRON;
use crate::script::budget::{self, Allowance, Meter};
use crate::script::dispatch::EventRun;
use crate::script::errors::Trouble;
use crate::script::guest::Guest;
use crate::script::position::Path;

/// Finished coroutines that are kept for the next handler.
const POOL: usize = 64;

/// Why a handler of a version that has ended did not finish.
pub(in crate::script) const CUT_OFF: &str =
    "cut off, because the version has ended and the time to finish ([scripts] drain) is over";

/// What the host began a coroutine for.
pub(in crate::script) enum Purpose {
    /// The script's top level.
    Top,
    /// A handler of an event, by its name for positions.
    Handler(Rc<EventRun>, Rc<str>),
    /// A run of a repeating timer; the timer and the time that it was due at, for positions.
    Every(u64, String),
    /// A handler of something in voice.
    Voice,
}

pub(super) struct Root {
    pub(super) purpose: Purpose,
    pub(super) meter: Rc<Meter>,
    /// The script has its handle: never used again.
    pub(super) exposed: bool,
}

impl Scheduler {
    /// The script has this coroutine's handle from now on.
    pub(in crate::script) fn expose(&mut self, thread: &Thread) {
        if let Some(root) = self.roots.get_mut(&key(thread)) {
            root.exposed = true;
        }
    }

    /// What a coroutine is that waits, and whether it is idle.
    fn waiting(&self, coroutine: usize) -> Option<(Thread, bool)> {
        let waiting = self.tickets.get(self.asleep.get(&coroutine)?)?;
        Some((waiting.thread.clone(), waiting.idle))
    }
}

impl Guest {
    /// A coroutine of the host's for `function`.
    pub(in crate::script) fn begin(
        &self,
        lua: &Lua,
        function: &Function,
        arguments: impl IntoLuaMulti,
        purpose: Purpose,
    ) {
        let (event, path, allowance) = match &purpose {
            Purpose::Handler(run, name) => (
                Some(Rc::clone(run)),
                Some(Path::root(name)),
                Allowance::Event,
            ),
            Purpose::Top => (None, None, Allowance::Load),
            Purpose::Every(_, name) => (None, Some(Path::root(name)), Allowance::Event),
            Purpose::Voice => (None, None, Allowance::Event),
        };
        let behalf = Behalf {
            event,
            path,
            meter: self.budget.meter(allowance),
        };
        let reused = {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.handlers += usize::from(behalf.event.is_some());
            scheduler.pool.pop()
        };
        let thread = match reused {
            Some(thread) => thread.reset(function.clone()).map(|()| thread),
            None => lua.create_thread(function.clone()),
        };
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                self.report(&error, behalf.event.as_deref());
                self.over(purpose);
                return;
            }
        };
        if let Some(path) = &behalf.path {
            path.is_of(key(&thread));
        }
        self.scheduler.borrow_mut().roots.insert(
            key(&thread),
            Root {
                purpose,
                meter: Rc::clone(&behalf.meter),
                exposed: false,
            },
        );
        self.resume(&thread, arguments, Some(behalf));
    }

    /// Resumes a coroutine and looks after what becomes of it.
    pub(in crate::script) fn resume(
        &self,
        thread: &Thread,
        arguments: impl IntoLuaMulti,
        behalf: Option<Behalf>,
    ) {
        let behalf = behalf.unwrap_or_else(|| Behalf {
            event: None,
            path: None,
            meter: self.budget.meter(Allowance::Event),
        });
        let (result, preempted) = self.on_behalf_of(&behalf, thread.state(), || {
            let result = thread.resume::<()>(arguments);
            (result, self.budget.take_preempted())
        });
        let ended = behalf.meter.is_exhausted();
        let waits = result.is_ok() && thread.status() == ThreadStatus::Resumable;
        // A run that is ended raises in each of its coroutines: the first error says it all.
        let news = ended && self.is_ended(&behalf);
        if waits && ended {
            // It has yielded in spite of everything.
            self.end(thread);
        } else if waits && preempted {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.preempted.push_back((thread.clone(), behalf));
            return;
        }
        let root = {
            let mut scheduler = self.scheduler.borrow_mut();
            if waits && scheduler.is_held(thread) {
                return;
            }
            let root = scheduler.roots.remove(&key(thread));
            if let Some(root) = &root
                && !waits
                && !root.exposed
                && scheduler.pool.len() < POOL
            {
                scheduler.pool.push(thread.clone());
            }
            root
        };
        match &result {
            Err(error) if matches!(&root, Some(root) if matches!(root.purpose, Purpose::Top)) => {
                self.failed(self.read_error(error));
            }
            Err(error) if news => self.ended(&self.read_error(error), behalf.event.as_deref()),
            Err(error) if !ended => self.report(error, behalf.event.as_deref()),
            Ok(()) if news => {
                let message = "a run was ended for its use of CPU time (limits.cpu_per_event)";
                self.ended(&Trouble::plain(message), behalf.event.as_deref());
            }
            _ => {}
        }
        if let Some(root) = root {
            root.meter.finish();
            self.over(root.purpose);
        }
    }

    /// Gives the coroutine that was preempted first another slice. Answers whether there was one.
    pub(in crate::script) fn run_preempted(&self) -> bool {
        let next = self.scheduler.borrow_mut().preempted.pop_front();
        let Some((thread, behalf)) = next else {
            return false;
        };
        // The script may have resumed it meanwhile: then it is over, or has yielded on its own.
        if thread.status() == ThreadStatus::Resumable && budget::is_interrupted(&thread) {
            self.resume(&thread, (), Some(behalf));
        } else if !self.scheduler.borrow().is_held(&thread) {
            self.forget(&thread);
        }
        true
    }

    /// Closes a coroutine of a run that has been ended.
    pub(super) fn end(&self, thread: &Thread) {
        self.take_back(thread);
        if thread.status() == ThreadStatus::Resumable
            && let Err(error) = self.tools.close.call::<()>(thread)
        {
            tracing::debug!(target: "script", script = %self.name, "a coroutine does not close: {error}");
        }
    }

    /// A root is over.
    pub(super) fn over(&self, purpose: Purpose) {
        match purpose {
            Purpose::Top => self.loaded(),
            Purpose::Voice => {}
            Purpose::Handler(run, name) => {
                let mut scheduler = self.scheduler.borrow_mut();
                scheduler.handlers -= 1;
                let timer = name.strip_prefix("cron:").filter(|_| run.kind == CRON);
                if let Some(every) = timer.and_then(|timer| scheduler.every_of(timer)) {
                    every.busy = false;
                }
                drop(scheduler);
                run.finished();
            }
            Purpose::Every(id, _) => {
                if let Some(every) = self.scheduler.borrow_mut().every.get_mut(&id) {
                    every.busy = false;
                }
            }
        }
    }

    /// A coroutine that will not be resumed by the host any more.
    pub(super) fn forget(&self, thread: &Thread) {
        let root = self.scheduler.borrow_mut().roots.remove(&key(thread));
        if let Some(root) = root {
            root.meter.finish();
            self.over(root.purpose);
        }
    }

    /// Takes back everything the host would do with a coroutine.
    pub(in crate::script) fn cancel(&self, thread: &Thread) {
        self.take_back(thread);
        self.forget(thread);
    }

    fn take_back(&self, thread: &Thread) {
        let at = key(thread);
        let ticket = {
            let mut scheduler = self.scheduler.borrow_mut();
            scheduler.take_back(at);
            scheduler.asleep.get(&at).copied()
        };
        if let Some(ticket) = ticket {
            self.abandon(ticket);
        }
    }

    /// Logs an error that nobody caught.
    pub(in crate::script) fn report(&self, error: &mlua::Error, run: Option<&EventRun>) {
        self.trouble(&self.read_error(error), run);
    }

    fn read_error(&self, error: &mlua::Error) -> Trouble {
        let mut trouble = Trouble::read(error, |file, line| self.source_line(file, line));
        trouble.message = shorten(trouble.message.as_bytes());
        trouble
    }

    /// The version ends, and the bot goes on: the events of the handlers that have not finished have failed.
    /// The wait for the end of a track just ends, like that for an event.
    pub(in crate::script) fn cut_off(&self) {
        let roots = std::mem::take(&mut self.scheduler.borrow_mut().roots);
        for (coroutine, root) in roots {
            if let Purpose::Handler(run, _) = &root.purpose {
                let waiting = self.scheduler.borrow().waiting(coroutine);
                let (thread, idle) = waiting.unzip();
                if idle != Some(true) {
                    self.trouble(&self.cut_off_at(thread.as_ref()), Some(run));
                }
            }
            self.over(root.purpose);
        }
    }

    /// That a handler is cut off, where it waits.
    fn cut_off_at(&self, thread: Option<&Thread>) -> Trouble {
        let frames = thread.and_then(|thread| self.tools.traceback.call::<String>(thread).ok());
        let frames = frames.unwrap_or_default();
        self.read_error(&mlua::Error::RuntimeError(format!(
            "{CUT_OFF}\nstack traceback:\n{frames}"
        )))
    }
}
