//! One script as its own thread sees it: the state that every library of its API shares.
//!
//! A [`Guest`] lives on its thread and is never sent. No borrow of its cells is held while Luau runs:
//! every Luau call may come back into it.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use mlua::{Function, Lua, LuaString, Table};
use tokio::runtime;

use super::api;
use super::api::log::shorten;
use super::api::require::Modules;
use super::api::timers::CRON;
use super::api::voice::Voices;
use super::budget::{Allowed, Budget, Line, LogQuota};
use super::clock::Clock;
use super::commands::CommandSpec;
use super::dispatch::{BadTypes, EventRun, Handlers};
use super::errors::{Fault, Trouble};
use super::json::Codec;
use super::modals::Modals;
use super::recall::Load;
use super::registry::{Own, Shared};
use super::rehearsal::Rehearsal;
use super::repeats::Repeats;
use super::rollback::Tally;
use super::scheduler::{Purpose, Scheduler};
use super::scripts::Files;
use super::state::{self, Copies, Known, Snapshot};
use super::status::Status;
use super::thread::Mailbox;
use super::vm::{self, Tools};
use crate::config::Permissions;
use crate::fetch;
use crate::inbox::{Event, Kv, Subscription, Timers};
use crate::limits::{COROUTINES, EVENT_TYPES, HANDLERS};
use crate::rest;
use crate::voice;

/// What the host gives a version of a script.
pub(super) struct Birth {
    pub(super) name: String,
    /// Counts the versions of this script from 1.
    pub(super) version: u64,
    /// Where it notes its files.
    pub(super) files: Files,
    /// What its `script.state` begins with.
    pub(super) state: Snapshot,
    /// Where it notes how its handlers do.
    pub(super) tally: Arc<Tally>,
    /// The scripts folder, canonical.
    pub(super) root: PathBuf,
    /// The script's own file, canonical.
    pub(super) entry: PathBuf,
    pub(super) config: serde_json::Value,
    pub(super) rest: rest::Client,
    pub(super) caller: rest::Caller,
    pub(super) runtime: runtime::Handle,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) status: Arc<Status>,
    /// The script's, over all its versions.
    pub(super) modals: Modals,
    /// Handlers that may run at once.
    pub(super) handlers: usize,
    /// What it may use of the CPU and of memory.
    pub(super) allowed: Allowed,
    /// The API calls that it may make.
    pub(super) permissions: Permissions,
    pub(super) voice: Option<voice::Host>,
    /// Its requests to other hosts.
    pub(super) http: fetch::Client,
    /// The bot's key-value store.
    pub(super) kv: Kv,
    /// Which runs its timers were given.
    pub(super) timers: Timers,
    /// When the process began.
    pub(super) started: Timestamp,
    pub(super) clock: Clock,
    /// The recording that it runs on, if nothing it asks may leave the process.
    pub(super) rehearsal: Option<Arc<Rehearsal>>,
}

/// Field names that every event needs, interned once.
pub(super) struct Keys {
    pub(super) kind: LuaString,
    pub(super) id: LuaString,
    pub(super) message: LuaString,
    pub(super) sender: LuaString,
    pub(super) user_id: LuaString,
    pub(super) replayed: LuaString,
}

impl Keys {
    fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self {
            kind: lua.create_string("type")?,
            id: lua.create_string("id")?,
            message: lua.create_string("message")?,
            sender: lua.create_string("sender")?,
            user_id: lua.create_string("userId")?,
            replayed: lua.create_string("replayed")?,
        })
    }
}

/// The state of one script.
pub(super) struct Guest {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) tally: Arc<Tally>,
    /// `script.state`.
    pub(super) state: Table,
    /// What it began with, and the tables made of that; until this version's turn.
    first: RefCell<Option<(Snapshot, Copies)>>,
    /// The tables of the last copy of it.
    copied: RefCell<Known>,
    /// What `script.onUnload` was given.
    pub(super) unload: RefCell<Vec<Function>>,
    pub(super) config: serde_json::Value,
    pub(super) rest: rest::Client,
    pub(super) caller: rest::Caller,
    pub(super) runtime: runtime::Handle,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) status: Arc<Status>,
    /// What of its CPU time is in `status`, in microseconds.
    told_cpu: Cell<u64>,
    pub(super) most_handlers: usize,
    pub(super) budget: Rc<Budget>,
    pub(super) permissions: Permissions,
    /// Its requests to other hosts.
    pub(super) http: fetch::Client,
    pub(super) kv: Kv,
    pub(super) timers: Timers,
    /// As in [`Birth`].
    pub(super) started: Timestamp,
    pub(super) clock: Clock,
    /// As in [`Birth`].
    pub(super) rehearsal: Option<Arc<Rehearsal>>,
    /// What the top level asked.
    pub(super) load: Rc<Load>,
    pub(super) codec: Codec,
    pub(super) tools: Tools,
    pub(super) keys: Keys,
    /// Metatable of events.
    methods: Table,
    /// The last reply to an event, by event; the keys are weak.
    pub(super) replies: Table,
    pub(super) scheduler: Rc<RefCell<Scheduler>>,
    pub(super) handlers: Rc<RefCell<Handlers>>,
    /// As in [`Birth`].
    pub(super) modals: Modals,
    pub(super) voices: Voices,
    pub(super) modules: RefCell<Modules>,
    pub(super) bad_types: BadTypes,
    log: RefCell<LogQuota>,
    repeats: Repeats,
    own: RefCell<Own>,
    own_changed: Cell<bool>,
    /// The top level is over.
    top_over: Cell<bool>,
    /// An event has come.
    dispatched: Cell<bool>,
    /// Why it failed.
    failure: Cell<Option<Trouble>>,
}

impl Guest {
    /// Builds the VM and the script's API in it. Nothing of the script has run yet.
    pub(super) fn new(birth: Birth) -> mlua::Result<(Lua, Rc<Self>)> {
        let lua = vm::create()?;
        let budget = Budget::new(&lua, birth.allowed)?;
        let host = lua.create_table()?;
        let tools = Tools::new(&lua, &host)?;
        let weak = lua.create_table()?;
        weak.raw_set("__mode", "k")?;
        let replies = lua.create_table()?;
        replies.set_metatable(Some(weak))?;
        let state = lua.create_table()?;
        let copies = birth.state.put(&lua, &state)?;
        let voices = Voices::new(&lua, birth.voice, &birth.name, birth.caller, &birth.mailbox)?;
        let guest = Rc::new(Self {
            repeats: Repeats::new(&birth.name, birth.runtime.clone()),
            name: birth.name,
            version: birth.version,
            tally: birth.tally,
            state,
            first: RefCell::new(Some((birth.state, copies))),
            copied: RefCell::default(),
            unload: RefCell::default(),
            config: birth.config,
            rest: birth.rest,
            caller: birth.caller,
            runtime: birth.runtime,
            mailbox: birth.mailbox,
            shared: birth.shared,
            status: birth.status,
            told_cpu: Cell::new(0),
            most_handlers: birth.handlers.max(1),
            budget,
            permissions: birth.permissions,
            kv: birth.kv,
            timers: birth.timers,
            started: birth.started,
            rehearsal: birth.rehearsal,
            load: Rc::default(),
            http: birth.http,
            codec: Codec::new(&lua)?,
            tools,
            keys: Keys::new(&lua)?,
            methods: lua.create_table()?,
            replies,
            scheduler: Rc::new(RefCell::new(Scheduler::new(birth.clock.clone()))),
            clock: birth.clock,
            handlers: Rc::default(),
            modals: birth.modals,
            voices,
            modules: RefCell::new(Modules::new(birth.root, birth.entry, birth.files)),
            bad_types: RefCell::default(),
            log: RefCell::new(LogQuota::new(Instant::now())),
            own: RefCell::default(),
            own_changed: Cell::new(false),
            top_over: Cell::new(false),
            dispatched: Cell::new(false),
            failure: Cell::new(None),
        });
        api::install(&lua, &guest, &host)?;
        lua.sandbox(true)?;
        // The script's own globals, not the read-only ones behind them.
        let globals = lua.globals();
        globals.raw_set("_G", &globals)?;
        guest.budget.limit_memory(&lua)?;
        Ok((lua, guest))
    }

    /// Metatable of events.
    pub(super) fn event_methods(&self) -> Table {
        self.methods.clone()
    }

    /// Runs the script's top level as far as its first wait.
    pub(super) fn run_top(&self, lua: &Lua) -> Result<(), Trouble> {
        let chunk: Function = self
            .modules
            .borrow_mut()
            .entry(lua)
            .map_err(|problem| problem.into_trouble())?;
        self.begin(lua, &chunk, (), Purpose::Top);
        Ok(())
    }

    /// The top level is over, well or not.
    pub(super) fn loaded(&self) {
        self.top_over.set(true);
    }

    /// The top level ended with an error.
    pub(super) fn failed(&self, trouble: Trouble) {
        self.failure.set(Some(trouble));
    }

    /// Why the top level failed, if it did; asked once.
    pub(super) fn take_failure(&self) -> Option<Trouble> {
        self.failure.take()
    }

    /// Whether the top level is over.
    pub(super) fn is_loaded(&self) -> bool {
        self.top_over.get()
    }

    /// An event is handed out.
    pub(super) fn begins_event(&self) {
        self.dispatched.set(true);
    }

    /// Whether an event was ever handed out.
    pub(super) fn has_dispatched(&self) -> bool {
        self.dispatched.get()
    }

    /// The text of a line of one of the script's files.
    pub(super) fn source_line(&self, file: &str, line: u32) -> Option<String> {
        self.modules.borrow().line(file, line)
    }

    /// Logs an error that nobody caught, with the event that caused it; one that repeats as a count.
    pub(super) fn trouble(&self, trouble: &Trouble, run: Option<&EventRun>) {
        self.status.errors.fetch_add(1, Ordering::Relaxed);
        if trouble.is_out_of_memory() {
            self.status.out_of_memory.fetch_add(1, Ordering::Relaxed);
            self.strike("out of memory");
        }
        let text = shorten(trouble.to_string().as_bytes());
        self.failed_at(run, &text);
        if self.repeats.is_new(trouble) && self.may_log(text.len()) {
            self.say(trouble, &text, run);
        }
    }

    /// The host had to end something of the script's: a handler beyond its budget, an allocation beyond its
    /// memory. What is repeated leads into quarantine.
    pub(super) fn strike(&self, why: &str) {
        self.status.strike(self.version, why.to_owned());
        self.shared.news.notify_one();
    }

    /// Logs that a run was ended, whatever else is logged.
    pub(super) fn ended(&self, trouble: &Trouble, run: Option<&EventRun>) {
        self.status.errors.fetch_add(1, Ordering::Relaxed);
        let text = shorten(trouble.to_string().as_bytes());
        self.failed_at(run, &text);
        self.say(trouble, &text, run);
    }

    /// Keeps an error for the recording of its event.
    fn failed_at(&self, run: Option<&EventRun>, text: &str) {
        if let Some(run) = run {
            run.failed(text.to_owned());
        }
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.failed(text);
        }
    }

    fn say(&self, trouble: &Trouble, text: &str, run: Option<&EventRun>) {
        let place = trouble.place.as_ref().map(tracing::field::display);
        match run {
            Some(run) => tracing::error!(target: "script", script = %self.name, event = %run.kind,
                event_id = %run.id, place, "{text}"),
            None => tracing::error!(target: "script", script = %self.name, place, "{text}"),
        }
    }

    /// Whether a line of so many bytes may be logged. Says so when lines are left out, and how many.
    pub(super) fn may_log(&self, bytes: usize) -> bool {
        let line = self.log.borrow_mut().line(bytes, Instant::now());
        if matches!(line, Line::First | Line::LeftOut) {
            self.status.unlogged.fetch_add(1, Ordering::Relaxed);
        }
        match line {
            Line::Fits(0) => true,
            Line::Fits(lines) => {
                tracing::warn!(target: "script", script = %self.name, lines,
                    "{lines} lines were left out: it logs too much");
                true
            }
            Line::First => {
                tracing::warn!(target: "script", script = %self.name,
                    "it logs too much: lines are left out from here on, and counted");
                false
            }
            Line::LeftOut => false,
        }
    }

    /// A handler will be added for events of this type, which the script wants from now on.
    pub(super) fn wants(&self, event: &str) -> Result<(), Fault> {
        if self.handlers.borrow().count() >= HANDLERS {
            return Err(Fault::text(format!(
                "the script has {HANDLERS} handlers already: end some with their off function first"
            )));
        }
        let mut own = self.own.borrow_mut();
        if own.events.contains(event) {
            return Ok(());
        }
        if own.events.len() >= EVENT_TYPES {
            return Err(Fault::text(format!(
                "the script has handlers for {EVENT_TYPES} types of events already"
            )));
        }
        own.events.insert(event.to_owned());
        self.own_changed.set(true);
        Ok(())
    }

    /// Whether the script has asked for events like this one. It may not hear of them any more, but not only
    /// of those with other ids.
    pub(super) fn has_asked_for(&self, event: &Event) -> bool {
        if event.kind == CRON {
            return self.has_timer_of(event);
        }
        let own = self.own.borrow();
        let asked = own.events.contains(&event.kind) || own.events.contains("*");
        asked && self.handlers.borrow().are_for(event, &self.modals)
    }

    /// Refuses one more coroutine that waits or is scheduled, if there are as many as may be.
    pub(super) fn may_wait(&self) -> Result<(), Fault> {
        let most = COROUTINES + self.most_handlers;
        if self.scheduler.borrow().held() < most {
            return Ok(());
        }
        Err(Fault::text(format!(
            "{most} coroutines of this script wait or are scheduled: let some of them end first"
        )))
    }

    /// The script has a command.
    pub(super) fn has_command(&self, command: CommandSpec) {
        self.own.borrow_mut().commands.push(command);
        self.own_changed.set(true);
    }

    /// How many commands the script has.
    pub(super) fn commands(&self) -> usize {
        self.own.borrow().commands.len()
    }

    /// Whether the script has a command of that name and scope already.
    pub(super) fn knows_command(&self, name: &str, space: Option<&str>) -> bool {
        self.own
            .borrow()
            .commands
            .iter()
            .any(|known| known.name == name && known.space_id.as_deref() == space)
    }

    /// Tells the host and the inbox what the script registered, if that has changed.
    pub(super) fn publish(&self, place: Option<&Subscription>) {
        if self.own_changed.replace(false) {
            if let Some(place) = place {
                self.want_events(place);
            }
            self.shared
                .publish(&self.name, self.version, self.own.borrow().clone());
        }
    }

    /// Tells the inbox which events the script wants.
    pub(super) fn want_events(&self, place: &Subscription) {
        place.want(self.own.borrow().events.iter().map(String::as_str));
    }

    /// This version's turn begins: what changed in the old version's state since this one was born.
    pub(super) fn inherit(&self, lua: &Lua, last: Option<&Snapshot>) {
        let first = self.first.borrow_mut().take();
        if let (Some((first, copies)), Some(last)) = (first, last)
            && let Err(error) = state::hand_over(lua, &self.state, &first, last, &copies)
        {
            tracing::error!(target: "script", script = %self.name,
                "script.state of the version before could not be taken over whole: {error}");
        }
    }

    /// Whether this version's turn has begun.
    pub(super) fn has_turn(&self) -> bool {
        self.first.borrow().is_none()
    }

    /// A copy of `script.state`. What it leaves out is said if `loud`.
    pub(super) fn copy_state(&self, lua: &Lua, loud: bool) -> Snapshot {
        match Snapshot::take(lua, &self.state, &mut self.copied.borrow_mut()) {
            Ok((snapshot, left_out)) => {
                if let Some(left_out) = left_out.text().filter(|_| loud) {
                    tracing::warn!(target: "script", script = %self.name,
                        "not handed to the next version, because it is no plain data or too much: {left_out}");
                }
                snapshot
            }
            Err(error) => {
                tracing::error!(target: "script", script = %self.name,
                    "script.state cannot be copied for the next version: {error}");
                Snapshot::default()
            }
        }
    }

    /// This version's turn is over: nothing begins any more but what it wanted done at its end. `comes_again`
    /// says that its unfinished events do.
    pub(super) fn retire(&self, lua: &Lua, comes_again: bool) {
        let tickets = self.scheduler.borrow_mut().retire(comes_again);
        for ticket in tickets {
            self.abandon(ticket);
        }
        for function in self.unload.take() {
            let run = EventRun::unload(self);
            self.begin(lua, &function, (), Purpose::Handler(run, "unload".into()));
        }
    }

    /// Tells the host what the script uses.
    pub(super) fn account(&self, lua: &Lua) {
        let calls = self.scheduler.borrow().calls();
        self.status.calls.store(calls as u64, Ordering::Relaxed);
        if let Some((cpu, memory)) = self.budget.usage(lua) {
            let cpu = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
            let told = self.told_cpu.replace(cpu);
            self.status
                .cpu
                .fetch_add(cpu.saturating_sub(told), Ordering::Relaxed);
            self.status.memory.store(memory as u64, Ordering::Relaxed);
        }
    }

    /// Drops every Luau value outside the VM.
    pub(super) fn clear(&self) {
        self.repeats.flush();
        self.clear_scheduler();
        self.handlers.take();
        self.unload.take();
        self.first.take();
        self.copied.take();
        self.voices.clear();
        self.modules.borrow_mut().clear();
    }
}
