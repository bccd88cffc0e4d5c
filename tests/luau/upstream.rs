//! Luau's own conformance scripts, in our VM and in a plain one.
//!
//! `conformance/upstream/*.luau` are upstream's, unchanged, as the crate luau-vm 0.739.0 carries them
//! (licence beside them). Left out are those that need functions of upstream's test program (its C API,
//! debugger, coverage, native code, collector) or parts of the language that are off by default, and three
//! that are about what scripts do not have (`errors` is written around `loadstring`, `iter_fenv` and
//! `safeenv` around `getfenv`).
//!
//! `differences.txt` beside them lists the lines that do not run here, each with its reason. The plain VM
//! runs all but those whose reason is the build or upstream's test program.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::support::Bot;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/luau/conformance/upstream")
}

/// Lines of a script that do not run.
struct Difference {
    file: String,
    lines: RangeInclusive<usize>,
    /// Nor in a plain VM.
    everywhere: bool,
}

/// `FILE LINES REASON` on each line; the reason begins with `both:` where the lines do not run in a plain
/// VM either.
fn differences() -> Vec<Difference> {
    let text = fs::read_to_string(folder().join("differences.txt")).expect("the list");
    let entries = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|entry| {
            let mut words = entry.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{entry}"));
            let (file, lines, reason) = (word(), word(), word());
            let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
            let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{entry}"));
            Difference {
                file: file.to_owned(),
                lines: number(first)..=number(last),
                everywhere: reason.starts_with("both:"),
            }
        })
        .collect()
}

struct Script {
    file: String,
    source: Vec<u8>,
}

/// The scripts, without the lines that `left_out` names. Lines keep their numbers.
fn scripts(left_out: impl Fn(&Difference) -> bool) -> Vec<Script> {
    let differences = differences();
    let mut scripts: Vec<Script> = fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "luau"))
        .map(|path| {
            let file = path.file_name().expect("a name").to_string_lossy();
            let source = fs::read(&path).expect("a text");
            let mine: Vec<_> = differences
                .iter()
                .filter(|difference| difference.file == file && left_out(difference))
                .collect();
            let lines = source.split(|&byte| byte == b'\n').enumerate();
            let kept: Vec<&[u8]> = lines
                .map(|(index, line)| {
                    let out = mine.iter().any(|it| it.lines.contains(&(index + 1)));
                    if out { &b""[..] } else { line }
                })
                .collect();
            Script {
                file: file.into_owned(),
                source: kept.join(&b'\n'),
            }
        })
        .collect();
    scripts.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(scripts.len() >= 30);
    for difference in &differences {
        let known = scripts.iter().any(|script| script.file == difference.file);
        assert!(known, "{} is not there", difference.file);
    }
    scripts
}

#[test]
fn a_plain_vm_passes_them_whole() {
    let mut failures = Vec::new();
    for Script { file, source } in scripts(|difference| difference.everywhere) {
        let lua = mlua::Lua::new();
        prepare(&lua).expect("it can be prepared");
        let run = || -> mlua::Result<String> {
            let compiler = mlua::chunk::Compiler::new().set_debug_level(1);
            let chunk = lua.load(&source).set_name(format!("={file}"));
            let chunk = chunk.set_mode(mlua::chunk::ChunkMode::Text);
            let chunk = chunk.set_compiler(compiler).into_function()?;
            lua.create_thread(chunk)?.resume(())
        };
        match run() {
            Ok(said) => assert_eq!(said, "OK", "{file}"),
            Err(error) => failures.push(format!("{file}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What the scripts need that only a program has: the compiler and the collector.
fn prepare(lua: &mlua::Lua) -> mlua::Result<()> {
    let globals = lua.globals();
    let silent = lua.create_function(|_, _: mlua::MultiValue| Ok(()))?;
    globals.set("print", silent)?;
    let collect = lua.create_function(|lua, what: Option<String>| match what.as_deref() {
        None | Some("collect") => lua.gc_collect().map(|()| 0.0),
        Some("count") => Ok(lua.used_memory() as f64 / 1024.0),
        Some("stop" | "restart") => Ok(0.0),
        Some(_) => Err(mlua::Error::runtime("invalid option")),
    })?;
    globals.set("collectgarbage", collect)?;
    let load = lua.create_function(|lua, (code, name): (mlua::LuaString, Option<String>)| {
        let name = name.unwrap_or_else(|| code.to_string_lossy());
        let chunk = lua.load(code.as_bytes().to_vec()).set_name(name);
        match chunk.set_mode(mlua::chunk::ChunkMode::Text).into_function() {
            Ok(function) => Ok((Some(function), None)),
            Err(mlua::Error::SyntaxError { message, .. }) => Ok((None, Some(message))),
            Err(error) => Err(error),
        }
    })?;
    globals.set("loadstring", load)?;
    let native = lua.create_function(|_, ()| Ok(true))?;
    globals.set("is_native_if_supported", native)?;
    lua.sandbox(true)?;
    let globals = lua.globals();
    globals.raw_set("_G", &globals)
}

/// A source as UTF-8. Two are Latin-1, whose special characters stand in strings: there they are escaped.
fn text(source: Vec<u8>) -> String {
    String::from_utf8(source).unwrap_or_else(|error| {
        let bytes = error.as_bytes().iter();
        let escaped = bytes.map(|&byte| match byte {
            0..=0x7f => char::from(byte).to_string(),
            _ => format!("\\{byte}"),
        });
        escaped.collect()
    })
}

/// On the first line of each script: it is silent, and collects by making garbage.
const BEFORE: &str = "local say = print local function print() end local function collectgarbage() \
    for i = 1, 2e5 do local _ = { i } end return 0 end local function is_native_if_supported() return \
    true end ";

#[tokio::test(flavor = "multi_thread")]
async fn ours_passes_them_but_for_the_listed_lines() {
    let files: Vec<(String, String)> = scripts(|_| true)
        .into_iter()
        .map(|Script { file, source }| {
            let mut source = text(source);
            let end = source.rfind("return").expect("it ends with a result");
            source.replace_range(end.., "say('conforms')");
            (file, format!("{BEFORE}{source}"))
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(n, s)| (&**n, &**s)).collect();
    let bot = Bot::start_heavy(&borrowed).await;
    let mut failures = Vec::new();
    for (file, _) in &files {
        let name = file.trim_end_matches(".luau");
        bot.log.wait(name, 1).await;
        let said = bot.log.of(name);
        if said != ["conforms"] {
            failures.push(said.join("\n"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
