//! `require`, inside the scripts folder and of the modules of `@std`.
//!
//! A module runs once for each script (VM), in the coroutine that asks for it first, so that its top
//! level may wait; who asks meanwhile waits for it. What it returns, or the error it ends with, is
//! kept. Modules that need each other in a circle are an error that shows the circle. A module of
//! `@std` runs with one argument that others do not get: the host's validation, so that what it builds
//! is judged by the contract where it is built (`problem`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mlua::thread::ThreadStatus;
use mlua::{Function, Lua, MultiValue, Thread, Value};

use super::Kit;
use crate::modules::{chunk_name, standard};
use crate::script::errors::{Fault, Trouble, line_of};
use crate::script::graph::Graph;
use crate::script::guest::Guest;
use crate::script::scheduler::Wait;
use crate::script::vm;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    kit.globals
        .raw_set("require", kit.guest.tools.require.clone())?;
    let find = kit.for_prelude(|guest, lua, path: Value| {
        let wanted = super::text(&path, "require: the path")?;
        find(guest, lua, &wanted)
    })?;
    kit.host.raw_set("find", find)?;
    let wait = kit.plain_for_prelude(|guest, lua, module: String| {
        let ticket = guest.scheduler.borrow_mut().ticket(lua, Wait::Module, None);
        if let Some(Module {
            state: State::Loading { waiting, .. },
            ..
        }) = guest.modules.borrow_mut().all.get_mut(&module)
        {
            waiting.push(ticket);
        }
        Ok(ticket)
    })?;
    kit.host.raw_set("await", wait)?;
    let settle =
        kit.plain_for_prelude(|guest, _, (module, ok, value): (String, bool, Value)| {
            let waiting = guest
                .modules
                .borrow_mut()
                .settle(&module, ok, value.clone());
            for ticket in waiting {
                let result = if ok {
                    Ok(value.clone())
                } else {
                    Err(value.clone())
                };
                guest.redeem(ticket, result);
            }
            Ok(())
        })?;
    kit.host.raw_set("settle", settle)
}

/// The modules of a script, by chunk name.
pub(in crate::script) struct Modules {
    root: PathBuf,
    entry: PathBuf,
    /// What was read and looked for, which the host sees.
    graph: Arc<Mutex<Graph>>,
    all: HashMap<String, Module>,
}

struct Module {
    path: PathBuf,
    source: Arc<[u8]>,
    state: State,
    /// The module that this one is asking for right now.
    asks_for: Option<String>,
}

enum State {
    Loading {
        /// The coroutine that runs it.
        by: Thread,
        /// Tickets of those who wait for it.
        waiting: Vec<u64>,
    },
    Loaded(Value),
    Failed(Value),
    /// The script's own file: nobody can have its value.
    Entry,
}

/// Why a file cannot be loaded.
pub(in crate::script) enum Problem {
    Unreadable(String),
    Syntax(mlua::Error, Arc<[u8]>),
}

impl Problem {
    pub(in crate::script) fn into_trouble(self) -> Trouble {
        match self {
            Problem::Unreadable(message) => Trouble::plain(message),
            Problem::Syntax(error, source) => Trouble::syntax(&error, &source),
        }
    }
}

impl Modules {
    pub(in crate::script) fn new(root: PathBuf, entry: PathBuf, graph: Arc<Mutex<Graph>>) -> Self {
        Self {
            root,
            entry,
            graph,
            all: HashMap::new(),
        }
    }

    /// The script's own file, compiled.
    pub(in crate::script) fn entry(&mut self, lua: &Lua) -> Result<Function, Problem> {
        let path = self.entry.clone();
        let (name, source, function) = self.compile(lua, &path)?;
        self.all.insert(
            name,
            Module {
                path,
                source,
                state: State::Entry,
                asks_for: None,
            },
        );
        Ok(function)
    }

    /// The text of a line of one of the script's files.
    pub(in crate::script) fn line(&self, file: &str, line: u32) -> Option<String> {
        line_of(&self.all.get(file)?.source, line)
    }

    /// A module has ended. Answers the tickets of those who wait for it.
    fn settle(&mut self, name: &str, ok: bool, value: Value) -> Vec<u64> {
        for module in self.all.values_mut() {
            if module.asks_for.as_deref() == Some(name) {
                module.asks_for = None;
            }
        }
        let Some(module) = self.all.get_mut(name) else {
            return Vec::new();
        };
        let state = if ok {
            State::Loaded(value)
        } else {
            State::Failed(value)
        };
        match std::mem::replace(&mut module.state, state) {
            State::Loading { waiting, .. } => waiting,
            _ => Vec::new(),
        }
    }

    /// The circle that would close if `from` waited for `to`, which is being loaded.
    fn circle(&self, from: &str, to: &str) -> Option<String> {
        let mut chain = vec![from, to];
        let mut at = to;
        while at != from {
            at = self.all.get(at)?.asks_for.as_deref()?;
            if chain.len() > self.all.len() + 1 {
                return None;
            }
            chain.push(at);
        }
        Some(chain.join(" → "))
    }

    fn resolve(&self, from: &Path, wanted: &str) -> Result<PathBuf, String> {
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        graph.resolve(&self.root, from, wanted)
    }

    fn compile(&self, lua: &Lua, path: &Path) -> Result<Chunk, Problem> {
        let name = chunk_name(&self.root, path);
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        let source = graph
            .read(path)
            .map_err(|error| Problem::Unreadable(format!("{name} cannot be read: {error}")))?;
        drop(graph);
        load(lua, name, source)
    }

    /// Drops every Luau value.
    pub(in crate::script) fn clear(&mut self) {
        self.all.clear();
    }
}

/// A chunk's name, its text, and its function.
type Chunk = (String, Arc<[u8]>, Function);

fn load(lua: &Lua, name: String, source: Arc<[u8]>) -> Result<Chunk, Problem> {
    match vm::load(lua, &name, &source) {
        Ok(function) => Ok((name, source, function)),
        Err(error) => Err(Problem::Syntax(error, source)),
    }
}

/// Finds what `wanted` means for the file that calls `require`. Answers a state and what goes with it.
fn find(guest: &Guest, lua: &Lua, wanted: &str) -> Result<MultiValue, Fault> {
    let from = caller(guest, lua).ok_or_else(|| {
        Fault::text("require: it must be called by a function of a script's file")
    })?;
    let mut modules = guest.modules.borrow_mut();
    let from_path = modules
        .all
        .get(&from)
        .map_or(&modules.entry, |module| &module.path);
    let refuse = |problem| Fault::text(format!("require: {problem}"));
    let std = standard(wanted).transpose().map_err(refuse)?;
    let (name, path) = match std {
        Some(module) => (module.chunk_name(), PathBuf::from(module.chunk_name())),
        None => {
            let path = modules.resolve(from_path, wanted).map_err(refuse)?;
            (chunk_name(&modules.root, &path), path)
        }
    };
    let answer = |values: (&str, Value, &str)| Ok(mlua::IntoLuaMulti::into_lua_multi(values, lua)?);
    match modules.all.get(&name).map(|module| &module.state) {
        Some(State::Loaded(value)) => return answer(("loaded", value.clone(), &name)),
        Some(State::Failed(error)) => return answer(("failed", error.clone(), &name)),
        Some(State::Entry) => {
            let chain = modules
                .circle(&from, &name)
                .unwrap_or_else(|| format!("{from} → {name}"));
            return Err(Fault::text(format!(
                "require: {chain}: the script's own file cannot be a module of it"
            )));
        }
        // Whoever ran it was cancelled: it is run again.
        Some(State::Loading { by, .. }) if !is_alive(by) => {}
        Some(State::Loading { by, .. }) => {
            let circle = modules.circle(&from, &name);
            let same = *by == lua.current_thread();
            if circle.is_some() || same {
                let chain = circle.unwrap_or_else(|| format!("{from} → {name} → {from}"));
                return Err(Fault::text(format!(
                    "require: the modules need each other in a circle: {chain}"
                )));
            }
            ask(&mut modules, &from, &name);
            return answer(("loading", Value::Nil, &name));
        }
        None => {}
    }
    let compiled = match std {
        Some(module) => load(lua, name, module.source.as_bytes().into()),
        None => modules.compile(lua, &path),
    };
    let (name, source, function) = compiled.map_err(|problem| {
        // The message of a syntax error begins with its own file and line.
        let trouble = problem.into_trouble();
        Fault::text(match &trouble.place {
            Some(place) => format!("{}:{}: {}", place.file, place.line, trouble.message),
            None => trouble.message,
        })
    })?;
    ask(&mut modules, &from, &name);
    let waiting = match modules.all.remove(&name).map(|module| module.state) {
        Some(State::Loading { waiting, .. }) => waiting,
        _ => Vec::new(),
    };
    modules.all.insert(
        name.clone(),
        Module {
            path,
            source,
            state: State::Loading {
                by: lua.current_thread(),
                waiting,
            },
            asks_for: None,
        },
    );
    drop(modules);
    let state = if std.is_some() { "std" } else { "new" };
    answer((state, Value::Function(function), &name))
}

/// Whether a coroutine runs or can be resumed.
fn is_alive(thread: &Thread) -> bool {
    matches!(
        thread.status(),
        ThreadStatus::Resumable | ThreadStatus::Running | ThreadStatus::Normal
    )
}

fn ask(modules: &mut Modules, from: &str, name: &str) {
    if let Some(module) = modules.all.get_mut(from) {
        module.asks_for = Some(name.to_owned());
    }
}

/// The chunk of the innermost script function on the stack: the file that called `require`.
fn caller(guest: &Guest, lua: &Lua) -> Option<String> {
    let modules = guest.modules.borrow();
    (1..)
        .map_while(|level| {
            lua.inspect_stack(level, |debug| {
                debug.source().source.map(|source| source.into_owned())
            })
        })
        .flatten()
        .find_map(|source| {
            let name = source.strip_prefix('@')?;
            modules.all.contains_key(name).then(|| name.to_owned())
        })
}
