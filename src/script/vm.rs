//! The sandboxed Luau VM of one script, and the tools with which libraries are put into it.
//!
//! Guarantees: a script reaches nothing of the machine (no `io`, no `loadstring`, no bytecode, no
//! environment of another function, `os` is clocks only), builtins and libraries are read-only, and
//! a mistake in a call is raised at the line that made it. Memory and CPU are `budget`'s.
//!
//! Scripts run as bytecode. Native code (mlua's `luau-jit`) was measured and left out: it costs each VM
//! 37 KiB and 110 µs, a compiled script 150 KiB and 1.7 ms more, and made event handlers no faster, which
//! spend their time in tables, texts and calls.
//!
//! What a script costs, 200 empty ones begun at once on a machine of two cores (AMD EPYC): 312 KiB resident and
//! 0.5 ms of CPU time. 28 KiB and 0.06 ms of that are the thread, 228 KiB and 0.19 ms a bare sandboxed VM, and
//! 0.1 ms mlua's own `require`, which it compiles anew for each VM and nobody reaches here. The goal for the VM
//! with our libraries is 300 KiB and 0.4 ms; it was set where a bare VM takes 187 KiB and 0.14 ms. Three things
//! keep it small: what mlua makes and we remove is collected before our libraries take its place; the pages of
//! Luau's heap lie close together, and what else the thread asks for comes from the system's allocator, which
//! needs no page for each size (both in `allocator`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{
    FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, MetaMethod, MultiValue, StdLib, Table,
    UserDataMethods, Value,
};

use super::errors::{Fault, PRELUDE, answer};
use super::natives;
use crate::limits::SOURCE_BYTES;

/// The prelude's source.
const SOURCE: &str = include_str!("../../stdlib/prelude.luau");

/// What the host keeps of the prelude.
pub(super) struct Tools {
    /// Wraps a host function that answers at once.
    guard: Function,
    /// Wraps a host function that answers with a ticket.
    waits: Function,
    /// Makes `argon.kv.update` of its two halves.
    pub(super) updater: Function,
    /// The first value a coroutine gets when the scheduler resumes it.
    pub(super) token: Table,
    /// Metatable of failed calls.
    pub(super) failure: Table,
    /// `pcall`, to keep the error value of a function that the host calls.
    pub(super) protected: Function,
    /// The globals that are written in Luau.
    pub(super) print: Function,
    /// Wraps a host function that logs its first argument's text.
    pub(super) log: Function,
    pub(super) require: Function,
    pub(super) cancel: Function,
    /// `debug.traceback`.
    pub(super) traceback: Function,
    /// `coroutine.close`.
    pub(super) close: Function,
}

/// A new VM with the libraries that are safe.
pub(super) fn create() -> mlua::Result<Lua> {
    let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::new())?;
    lua.set_compiler(compiler());
    hide_addresses(&lua)?;
    let globals = lua.globals();
    for name in ["getfenv", "setfenv", "loadstring", "require"] {
        globals.raw_set(name, Value::Nil)?;
    }
    keep_only(&globals, "os", &["clock", "date", "difftime", "time"])?;
    keep_only(&globals, "debug", &["info", "traceback"])?;
    // What is removed makes room for what follows, which is less than what the collector waits for next.
    while !lua.gc_step()? {}
    natives::install(&lua)?;
    Ok(lua)
}

/// Makes `tostring` of a table or function a name that tells nothing of where it lies, which would help
/// whoever looks for a way out of the VM.
fn hide_addresses(lua: &Lua) -> mlua::Result<()> {
    let [a, b, c, d] = rand::random::<[u64; 4]>();
    // SAFETY: the function only writes four numbers into the VM's state, which `state` points into; it
    // neither raises nor touches the stack.
    unsafe {
        lua.exec_raw((), |state| {
            mlua::ffi::lua_setpointerencodekey(state, a, b, c, d)
        })
    }
}

/// Inlining and the like, with line numbers for tracebacks.
fn compiler() -> Compiler {
    Compiler::new()
        .set_optimization_level(1)
        .set_debug_level(1)
        // Otherwise `script.state.count` would be looked up once, when the chunk is loaded.
        .add_mutable_global("script")
        .add_mutable_global("_G")
        // The compiler's own `tonumber` would read a numeral of any length.
        .add_disabled_builtin("tonumber")
}

fn keep_only(globals: &Table, library: &str, names: &[&str]) -> mlua::Result<()> {
    let Some(table) = globals.raw_get::<Option<Table>>(library)? else {
        return Ok(());
    };
    let extra: Vec<Value> = table
        .pairs::<Value, Value>()
        .filter_map(|pair| pair.ok().map(|(key, _)| key))
        .filter(|key| {
            !key.as_string()
                .is_some_and(|key| names.iter().any(|name| *key == **name))
        })
        .collect();
    for key in extra {
        table.raw_set(key, Value::Nil)?;
    }
    Ok(())
}

/// Compiles a script's text. Bytecode is refused: it could break out of the VM; so is what would keep the
/// compiler, which nothing can end, busy for long.
pub(super) fn load(lua: &Lua, name: &str, source: &[u8]) -> mlua::Result<Function> {
    if source.len() > SOURCE_BYTES {
        return Err(mlua::Error::runtime(format!(
            "{name} has {} bytes, and a file of a script may have {SOURCE_BYTES}",
            source.len()
        )));
    }
    lua.load(source)
        .set_name(format!("@{name}"))
        .set_mode(ChunkMode::Text)
        .set_compiler(compiler())
        .into_function()
}

impl Tools {
    /// Runs the prelude. `host` has what it calls.
    pub(super) fn new(lua: &Lua, host: &Table) -> mlua::Result<Self> {
        static BYTECODE: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
        let bytecode = BYTECODE
            .get_or_init(|| compiler().compile(SOURCE).map_err(|e| e.to_string()))
            .as_ref()
            .map_err(|e| mlua::Error::runtime(e.clone()))?;
        let tools: Table = lua
            .load(bytecode.as_slice())
            .set_name(format!("={PRELUDE}"))
            .set_mode(ChunkMode::Binary)
            .call(host)?;
        Ok(Self {
            guard: tools.raw_get("guard")?,
            waits: tools.raw_get("waits")?,
            updater: tools.raw_get("updater")?,
            token: tools.raw_get("token")?,
            traceback: lua
                .globals()
                .raw_get::<Table>("debug")?
                .raw_get("traceback")?,
            failure: tools.raw_get("failure")?,
            protected: tools.raw_get("try")?,
            print: tools.raw_get("print")?,
            log: tools.raw_get("log")?,
            require: tools.raw_get("require")?,
            cancel: tools.raw_get("cancel")?,
            close: tools.raw_get("close")?,
        })
    }

    /// A function that answers at once; a [`Fault`] becomes an error at its caller's line.
    pub(super) fn function<A, R, F>(&self, lua: &Lua, call: F) -> mlua::Result<Function>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
        F: Fn(&Lua, A) -> Result<R, Fault> + 'static,
    {
        self.guard.call(raw(lua, call)?)
    }

    /// A function whose caller sleeps until the ticket that `start` answers is redeemed. `start` is not
    /// called where nothing can wait.
    pub(super) fn waiting<A, F>(&self, lua: &Lua, start: F) -> mlua::Result<Function>
    where
        A: FromLuaMulti,
        F: Fn(&Lua, A) -> Result<u64, Fault> + 'static,
    {
        self.waits.call(raw(lua, start)?)
    }
}

/// A function that answers `true, results…` or `false, error`, for the prelude.
pub(super) fn raw<A, R, F>(lua: &Lua, call: F) -> mlua::Result<Function>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
    F: Fn(&Lua, A) -> Result<R, Fault> + 'static,
{
    lua.create_function(move |lua, arguments: MultiValue| {
        // A panic is a mistake of the host's: the script gets an error like any other.
        let result = catch_unwind(AssertUnwindSafe(|| {
            A::from_lua_multi(arguments, lua)
                .map_err(Fault::from)
                .and_then(|arguments| call(lua, arguments))
        }));
        answer(lua, result.unwrap_or_else(|_| Err(Fault::text(PANICKED))))
    })
}

/// A function that answers what `call` answers.
pub(super) fn plain<A, R, F>(lua: &Lua, call: F) -> mlua::Result<Function>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
    F: Fn(&Lua, A) -> mlua::Result<R> + 'static,
{
    lua.create_function(move |lua, arguments| guarded(|| call(lua, arguments)))
}

/// A metamethod of a userdata, which answers what `call` answers.
pub(super) fn meta<T, A, R, F>(methods: &mut impl UserDataMethods<T>, name: MetaMethod, call: F)
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
    F: Fn(&Lua, &T, A) -> mlua::Result<R> + 'static,
{
    methods.add_meta_method(name, move |lua, this, arguments| {
        guarded(|| call(lua, this, arguments))
    });
}

/// A panic as an error.
fn guarded<R>(call: impl FnOnce() -> mlua::Result<R>) -> mlua::Result<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(mlua::Error::runtime(PANICKED)))
}

/// What a script gets for a panic. Its text is in the host's log only: it may name what is not the
/// script's.
const PANICKED: &str = "a mistake in argon-host ended this call; the host's log says more";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_of_the_vm_is_gone() {
        let lua = create().unwrap();
        let found: Vec<String> = lua
            .load(
                "local found = {}
                 for _, name in {'io', 'loadstring', 'loadfile', 'dofile', 'getfenv', 'setfenv',
                                 'package', 'require'} do
                     if _G[name] ~= nil then table.insert(found, name) end
                 end
                 for _, name in {'execute', 'exit', 'getenv', 'remove', 'rename'} do
                     if os[name] ~= nil then table.insert(found, 'os.' .. name) end
                 end
                 for name in debug do
                     if name ~= 'info' and name ~= 'traceback' then table.insert(found, 'debug.' .. name) end
                 end
                 return found",
            )
            .eval()
            .unwrap();
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn no_text_has_the_address_of_a_value() {
        let lua = create().unwrap();
        let value = lua.create_table().unwrap();
        let address = format!("{:x}", value.to_pointer().addr());
        let shown: fn(&Lua, &Table) -> String = |lua, value| {
            let tostring: Function = lua.globals().get("tostring").unwrap();
            tostring.call(value).unwrap()
        };
        let text = shown(&lua, &value);
        assert!(
            text.starts_with("table: 0x") && !text.contains(&address),
            "{text}"
        );
        assert_eq!(
            text,
            shown(&lua, &value),
            "the same value has the same name"
        );
        let other = lua.create_table().unwrap();
        assert_ne!(text, shown(&lua, &other));
    }

    #[test]
    fn pages_of_the_heap_come_from_where_they_lie_close_together() {
        let (lua, pages) = crate::allocator::count_pages(|| create().unwrap());
        assert!(pages > 20, "{pages} of the sizes that the allocator knows");
        let grow = "t = {} for i = 1, 10000 do t[i] = { i } end";
        let (done, more) = crate::allocator::count_pages(|| lua.load(grow).exec());
        done.unwrap();
        // A table has 48 bytes, its one value 16 and a pointer to its page.
        assert!(more > 10_000 * (48 + 24) / (16 << 10), "{more}");
    }

    #[test]
    fn a_panic_in_a_binding_is_an_error_of_that_call_only() {
        let lua = create().unwrap();
        let binding = raw(&lua, |_, fail: bool| {
            assert!(!fail, "the host's own text");
            Ok("fine")
        });
        lua.globals().set("binding", binding.unwrap()).unwrap();
        let said: (bool, String, bool, String) = lua
            .load("local ok, text = binding(true) local again, fine = binding(false) return ok, text, again, fine")
            .eval()
            .unwrap();
        assert_eq!(said, (false, PANICKED.to_owned(), true, "fine".to_owned()));
    }

    #[test]
    fn a_panic_in_a_function_for_the_prelude_is_an_error_too() {
        let lua = create().unwrap();
        let binding = plain(&lua, |_, fail: bool| {
            assert!(!fail, "the host's own text");
            Ok("fine")
        });
        lua.globals().set("binding", binding.unwrap()).unwrap();
        let said: (bool, String, String) = lua
            .load("local ok, text = pcall(binding, true) return ok, tostring(text), binding(false)")
            .eval()
            .unwrap();
        assert!(!said.0 && said.1.contains(PANICKED), "{said:?}");
        assert!(!said.1.contains("own text"), "{said:?}");
        assert_eq!(said.2, "fine");
    }

    #[test]
    fn a_panic_in_a_metamethod_is_an_error_of_that_use_only() {
        struct Fragile;
        impl mlua::UserData for Fragile {
            fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
                meta(methods, MetaMethod::Index, |_, _, fail: bool| {
                    assert!(!fail, "the host's own text");
                    Ok("fine")
                });
            }
        }
        let lua = create().unwrap();
        lua.globals().set("fragile", Fragile).unwrap();
        let said: (bool, String, String) = lua
            .load(
                "local ok, text = pcall(function() return fragile[true] end)
                 return ok, tostring(text), fragile[false]",
            )
            .eval()
            .unwrap();
        assert!(!said.0 && said.1.contains(PANICKED), "{said:?}");
        assert!(!said.1.contains("own text"), "{said:?}");
        assert_eq!(said.2, "fine");
    }

    #[test]
    fn a_script_calls_the_bounded_tonumber() {
        let lua = create().unwrap();
        let script = b"return tonumber(string.rep('9', 20000)), tonumber('12')";
        let got: (Option<f64>, Option<f64>) =
            load(&lua, "x.luau", script).unwrap().call(()).unwrap();
        assert_eq!(got, (None, Some(12.0)));
    }

    #[test]
    fn bytecode_is_not_loaded_as_a_script() {
        let lua = create().unwrap();
        let bytecode = Compiler::new().compile("return 1").unwrap();
        assert!(load(&lua, "x.luau", &bytecode).is_err());
    }
}
