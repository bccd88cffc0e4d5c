//! Types, by Luau's own checker and linter: the one file that knows the crate `luau-analysis`.
//!
//! A [`Types`] has Luau's globals and our definitions loaded once and checks any number of scripts
//! folders with them. A `require` means what it means when the scripts run ([`modules::resolve`]). Files
//! are strict, unless they begin with another mode (`--!nonstrict`, `--!nocheck`) or the folder has a
//! `.luaurc` that says so.
//!
//! The checker is large and recursive, and an author's text must not harm the host: it runs on a thread
//! of its own with [`STACK`] bytes of stack, for at most [`PATIENCE`] seconds a file, and a panic in it
//! is a warning that names the file.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;

use luau_analysis::diagnostics::error::types::UnknownProperty;
use luau_analysis::diagnostics::{TypeError, TypeErrorData};
use luau_analysis::frontend::resolver::ModuleInfo;
use luau_analysis::types::TypeId;
use luau_analysis::{
    DefinitionEnvironment, FileResolver, Frontend, FrontendOptions, ModuleName, NullConfigResolver,
    SemanticModel, SourceCode, SourceCodeType, TypeCheckLimits,
};
use luau_common::{BString, flags};
use luau_config::{AliasOptions, Config, ConfigOptions, Mode};
use luau_syntax::ast::Expression;
use serde_json::Value;

use super::hints::{self, Hints};
use super::literal::{range, text};
use crate::config::suggest::did_you_mean;
use crate::config::{Problem, Severity, Source};
use crate::definitions::{self, Reader};
use crate::modules;

/// Stack of the checking thread, bytes of address space. The checker's own recursion limits assume
/// small frames; unoptimised ones are not.
const STACK: usize = 64 << 20;

/// Its name.
const THREAD: &str = "types";

/// Seconds that the checker may take for one file. A script of 200 lines takes a few milliseconds.
const PATIENCE: f64 = 10.0;

/// How often a file is checked at most, each time with less of what the checker has inferred wrongly.
const PASSES: usize = 8;

/// The settings of an author's folder.
const SETTINGS: &str = ".luaurc";

/// A file with its text.
pub struct File {
    /// Where it is, as problems shall name it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What the checker is to know of it.
    pub hints: Hints,
    /// `config` of the script that it is; modules have none.
    pub config: Option<Value>,
}

/// Checks the files of a scripts folder on a thread of their own. Modules that they require and that
/// are not among them are read from the disk.
pub fn check(folders: &[(PathBuf, Vec<File>)], reader: Reader) -> Vec<Problem> {
    quiet();
    let work = || {
        let mut types = Types::new(reader);
        let mut problems = Vec::new();
        for (root, files) in folders {
            problems.extend(types.folder(root, files));
        }
        problems
    };
    let checked = thread::scope(|scope| {
        let builder = thread::Builder::new().name(THREAD.to_owned());
        match builder.stack_size(STACK).spawn_scoped(scope, work) {
            Ok(thread) => thread
                .join()
                .map_err(|_| "the type checker failed".to_owned()),
            Err(error) => Err(format!("no thread can be started: {error}")),
        }
    });
    checked.unwrap_or_else(|why| {
        let root = folders
            .first()
            .map_or(Path::new(""), |(root, _)| root.as_path());
        vec![unchecked(root, &format!("types are not checked: {why}"))]
    })
}

/// The checker with globals and definitions loaded.
struct Types {
    frontend: Frontend<Folder, NullConfigResolver>,
    reader: Reader,
}

impl Types {
    fn new(reader: Reader) -> Self {
        features();
        let options = FrontendOptions {
            run_lint_checks: true,
            module_time_limit_sec: Some(PATIENCE),
            ..FrontendOptions::default()
        };
        let mut frontend = Frontend::new(
            Folder::default(),
            NullConfigResolver {
                default_config: settings(),
            },
            options,
        );
        // Both are texts of this program, which tests load: they cannot fail.
        let globals = frontend.register_builtin_globals(DefinitionEnvironment::Globals);
        let scope = frontend.global_scope(DefinitionEnvironment::Globals);
        let own = frontend.load_definition_file(scope, definitions::luau(reader), "@argon", false);
        let tools = frontend.load_definition_file(scope, hints::DECLARED, "@hints", false);
        debug_assert!(
            globals.is_ok()
                && own.is_ok_and(|own| own.success)
                && tools.is_ok_and(|tools| tools.success)
        );
        Self { frontend, reader }
    }

    /// Every problem of the files of a scripts folder.
    fn folder(&mut self, root: &Path, files: &[File]) -> Vec<Problem> {
        self.frontend.clear();
        let mut problems = Vec::new();
        let folder = Folder::new(root, files);
        let (config, problem) = folder.settings();
        self.frontend.config_resolver_mut().default_config = config;
        problems.extend(problem);
        let names: Vec<_> = files
            .iter()
            .map(|file| folder.name_of(&file.path))
            .collect();
        *self.frontend.file_resolver_mut() = folder;
        self.environments();
        for (name, file) in names.iter().zip(files) {
            match catch_unwind(AssertUnwindSafe(|| self.file(name, file))) {
                Ok(found) => problems.extend(found),
                Err(_) => {
                    problems.push(unchecked(
                        &file.path,
                        "the type checker failed at this file",
                    ));
                    // What it was doing is half done.
                    let folder = std::mem::take(self.frontend.file_resolver_mut());
                    *self = Self::new(self.reader);
                    *self.frontend.file_resolver_mut() = folder;
                    self.environments();
                }
            }
        }
        problems
    }

    /// Gives each script with a `config` an environment of its own, in which `script` has its type.
    fn environments(&mut self) {
        self.frontend.clear_builtin_environments();
        for (name, declared) in self.frontend.file_resolver().declared.clone() {
            let scope = self.frontend.add_environment(name);
            // With a key that no type can be written for, the general `script` stays.
            let _ = self
                .frontend
                .load_definition_file(scope, declared, "@config", false);
        }
    }

    fn file(&mut self, name: &ModuleName, file: &File) -> Vec<Problem> {
        let source = Source::new(&file.path, &file.text);
        let mut hints = file.hints.clone();
        let mut passes = 0;
        let result = loop {
            passes += 1;
            let result = match self.frontend.check(name, None) {
                Ok(result) => result,
                Err(error) => {
                    let message = format!("types could not be checked: {error}");
                    return vec![unchecked(source.path(), &message)];
                }
            };
            let mut wrong = Vec::new();
            if let Some(model) = self.frontend.semantic_model(name) {
                let own = result
                    .errors
                    .iter()
                    .filter(|error| error.module_name == *name);
                let own = own.filter(|error| is_of_inference(error, &model));
                wrong.extend(own.map(|error| hints.original(error.location)));
            }
            let mut free = || wrong.iter().filter(|at| hints.free(**at)).count();
            if passes == PASSES || free() == 0 {
                break result;
            }
            let text = hints.write_into(&file.text);
            self.frontend.file_resolver_mut().set_text(&file.path, text);
            self.frontend.mark_dirty(name, None);
        };
        let place = |at| range(&source, hints.original(at));
        let Some(model) = self.frontend.semantic_model(name) else {
            return Vec::new();
        };
        let errors: Vec<_> = result
            .errors
            .iter()
            .filter(|error| error.module_name == *name)
            .collect();
        // What the checker made of a broken text is a guess.
        if errors
            .iter()
            .any(|error| matches!(error.data, TypeErrorData::SyntaxError(_)))
        {
            return Vec::new();
        }
        let mut problems = Vec::new();
        let certain = |error: &&TypeError| {
            is_certain(error, &hints) && !is_of_unknown(error, &model, &file.text)
        };
        for error in errors.into_iter().filter(certain) {
            let message = match &error.data {
                TypeErrorData::ModuleHasCyclicDependency(circle) => {
                    self.frontend.file_resolver().circle(name, &circle.cycle)
                }
                _ => tidy(&model.error_message(&without_guess(error)).to_string()),
            };
            let mut at = place(error.location);
            let mut help = None;
            if let Some((table, key)) = missing_key(error) {
                // The name alone, not all that stands before it.
                let marked = source.text().get(at.clone());
                if marked.is_some_and(|marked| marked.ends_with(key)) {
                    at.start = at.end - key.len();
                }
                let table = model.type_ref(table).map(|table| table.to_string());
                help = table.and_then(|table| did_you_mean(key, definitions::keys_of(&table)));
            }
            let problem = source.problem(severity(error), at, message);
            problems.push(problem.maybe_help(help));
        }
        let lints = result.lint_result;
        for lint in lints.errors.iter().chain(&lints.warnings) {
            let at = place(lint.location);
            let message = format!("{} ({:?})", lint.text, lint.code);
            problems.push(source.problem(Severity::Warning, at, message));
        }
        if result.timeout_hits.contains(name) {
            let message = format!("its types are too complex to be checked in {PATIENCE} s");
            problems.push(unchecked(source.path(), &message));
        }
        problems
    }
}

/// A panic of the checker is told as a warning of the file that caused it; the rest is for who looks closer.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if thread::current().name() == Some(THREAD) {
                tracing::debug!(target: "check", "the type checker failed: {panic}");
            } else {
                before(panic);
            }
        }));
    });
}

/// Switches on what upstream's own tools switch on, for the better messages and places. Not the syntax
/// that the scripts' VM does not read: `check` must refuse what does not load.
fn features() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        flags::apply_default();
        flags::LuauIntegerType2.set(false);
        flags::LuauExportValueSyntax.set(false);
    });
}

fn unchecked(path: &Path, message: &str) -> Problem {
    Problem::of_file(Severity::Warning, path, message)
}

/// Whether an error may come from what the checker has inferred for a function literal that a generic
/// function is given. From `s:upper()` in it, it infers that its parameter is some table with an `upper`,
/// which no text is; from `#s` that its parameter is the other function's own `T`.
fn is_of_inference(error: &TypeError, model: &SemanticModel<'_>) -> bool {
    match &error.data {
        TypeErrorData::GenericBoundsMismatch(_)
        | TypeErrorData::NotATable(_)
        | TypeErrorData::PackWhereClauseNeeded(_)
        | TypeErrorData::PropertyAccessViolation(_)
        | TypeErrorData::WhereClauseNeeded(_) => true,
        TypeErrorData::TypeMismatch(mismatch) => {
            let wanted = shown(model, mismatch.wanted_type);
            wanted == "never" || has_unknown(&wanted)
        }
        _ => false,
    }
}

/// Paths that lead nowhere are found by the walk; what a computed path means, nobody knows before it
/// runs. A circle is told where it is, not where somebody leads into it. What the checker could not infer
/// is not the author's mistake: an operand without a type, a function for which it would like annotations.
fn is_certain(error: &TypeError, hints: &Hints) -> bool {
    match &error.data {
        TypeErrorData::UnknownRequire(_)
        | TypeErrorData::CannotInferBinaryOperation(_)
        | TypeErrorData::ExplicitFunctionAnnotationRecommended(_) => false,
        TypeErrorData::ModuleHasCyclicDependency(circle) => !circle.cycle.is_empty(),
        _ => !hints.inserted(error.location),
    }
}

/// Whether an error is about something whose type the checker has not found: it calls that `unknown`, a
/// word that only a script that says it itself means. Whatever is done with such a value may be right.
/// (Upstream's own tests list some of these as mistakes of the checker: parameters of a function that
/// a generic function is given, the key of a table that is not written in it.) What is wanted may be
/// unknown in part, and what is given be none of it all the same.
fn is_of_unknown(error: &TypeError, model: &SemanticModel<'_>, text: &str) -> bool {
    let told = match &error.data {
        TypeErrorData::TypeMismatch(mismatch) => shown(model, mismatch.given_type),
        _ => model.error_message(error).to_string(),
    };
    has_unknown(&told) && !has_unknown(text)
}

fn has_unknown(text: &str) -> bool {
    let mut words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.any(|word| word == "unknown")
}

/// A type in words; nothing for one that is gone.
fn shown(model: &SemanticModel<'_>, ty: TypeId) -> String {
    model
        .type_ref(ty)
        .map(|ty| ty.to_string())
        .unwrap_or_default()
}

/// Where the checker itself gave up, the script may be right.
fn severity(error: &TypeError) -> Severity {
    match error.data {
        TypeErrorData::CodeTooComplex(_)
        | TypeErrorData::ConstraintSolvingIncompleteError(_)
        | TypeErrorData::InternalError(_)
        | TypeErrorData::NormalizationTooComplex(_)
        | TypeErrorData::UnificationTooComplex(_) => Severity::Warning,
        _ => Severity::Error,
    }
}

/// The error without what the checker thinks was meant: the remedy says that.
fn without_guess(error: &TypeError) -> TypeError {
    match &error.data {
        TypeErrorData::UnknownPropButFoundLikeProp(unknown) => {
            let (table, key) = (unknown.table, unknown.key.clone());
            let unknown = TypeErrorData::UnknownProperty(UnknownProperty { table, key });
            TypeError::without_module(error.location, unknown)
        }
        _ => error.clone(),
    }
}

/// The table and the key of it that is not there.
fn missing_key(error: &TypeError) -> Option<(TypeId, &str)> {
    let (table, key) = match &error.data {
        TypeErrorData::UnknownProperty(unknown) => (unknown.table, &unknown.key),
        TypeErrorData::UnknownPropButFoundLikeProp(unknown) => (unknown.table, &unknown.key),
        _ => return None,
    };
    Some((table, std::str::from_utf8(key).ok()?))
}

/// As one line: the source line follows it.
fn tidy(message: &str) -> String {
    let lines: Vec<_> = message.lines().map(str::trim).collect();
    lines.join(" ").trim().to_owned()
}

/// What holds for a folder without settings of its own.
fn settings() -> Config {
    let mut config = Config::default();
    config.mode = Mode::Strict;
    config
}

/// The files of a scripts folder, for the checker.
#[derive(Default)]
struct Folder {
    /// Canonical.
    root: PathBuf,
    /// Texts that are at hand, by canonical path.
    texts: HashMap<PathBuf, String>,
    /// How `script` is declared in the scripts that have a `config`.
    declared: HashMap<ModuleName, String>,
}

impl Folder {
    fn new(root: &Path, files: &[File]) -> Self {
        let mut folder = Self {
            root: canonical(root),
            texts: HashMap::new(),
            declared: HashMap::new(),
        };
        for file in files {
            if let Some(declared) = file.config.as_ref().and_then(definitions::script_with) {
                folder.declared.insert(folder.name_of(&file.path), declared);
            }
            folder.set_text(&file.path, file.hints.write_into(&file.text));
        }
        folder
    }

    /// The text that the checker reads of a file.
    fn set_text(&mut self, path: &Path, text: String) {
        self.texts.insert(canonical(path), text);
    }

    /// What the checker calls a file.
    fn name_of(&self, path: &Path) -> ModuleName {
        BString::from(canonical(path).as_os_str().as_encoded_bytes())
    }

    /// What people call a file.
    fn shown(&self, name: &ModuleName) -> String {
        match path_of(name) {
            Some(path) => modules::chunk_name(&self.root, &path),
            None => name.to_string(),
        }
    }

    /// What is said of a file in a circle of modules.
    fn circle(&self, file: &ModuleName, circle: &[ModuleName]) -> String {
        let others: Vec<_> = circle.iter().filter(|other| *other != file).collect();
        if others.is_empty() {
            return "the module requires itself, through others".to_owned();
        }
        let ways = [file].into_iter().chain(others).chain([file]);
        let ways: Vec<_> = ways.map(|name| self.shown(name)).collect();
        format!(
            "modules require each other in a circle: {}",
            ways.join(" → ")
        )
    }

    /// The author's settings, and what is wrong with them.
    fn settings(&self) -> (Config, Option<Problem>) {
        let mut config = settings();
        let path = self.root.join(SETTINGS);
        let Ok(text) = std::fs::read_to_string(&path) else {
            return (config, None);
        };
        // Aliases are for editors: what a `require` means is not a matter of settings.
        let options = ConfigOptions {
            alias_options: Some(AliasOptions::default()),
            ..ConfigOptions::default()
        };
        match config.parse(&text, options) {
            Ok(()) => (config, None),
            Err(error) => {
                let problem = Problem::of_file(Severity::Error, &path, error);
                (settings(), Some(problem))
            }
        }
    }
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The path that a name stands for; `None` for a module of `@std`.
fn path_of(name: &ModuleName) -> Option<PathBuf> {
    let text = std::str::from_utf8(name).ok()?;
    (!text.starts_with('@')).then(|| PathBuf::from(text))
}

impl FileResolver for Folder {
    fn read_source(&mut self, name: &ModuleName) -> Option<SourceCode> {
        let source = match path_of(name) {
            Some(path) => match self.texts.get(&path) {
                Some(text) => BString::from(text.as_str()),
                None => BString::from(std::fs::read(&path).ok()?),
            },
            None => BString::from(modules::standard(&name.to_string())?.ok()?.source),
        };
        Some(SourceCode {
            source,
            kind: SourceCodeType::Module,
        })
    }

    fn resolve_module(
        &mut self,
        from: Option<&ModuleInfo>,
        wanted: Expression<'_>,
        _: &TypeCheckLimits,
    ) -> Option<ModuleInfo> {
        let wanted = text(wanted)?;
        let name = match modules::standard(&wanted) {
            Some(std) => {
                std.ok()?;
                BString::from(wanted)
            }
            None => {
                let from = path_of(&from?.name)?;
                let path = modules::resolve(&self.root, &from, &wanted).ok()?;
                self.name_of(&path)
            }
        };
        Some(ModuleInfo {
            name,
            optional: false,
        })
    }

    fn environment_for_module(&self, name: &ModuleName) -> Option<BString> {
        self.declared.contains_key(name).then(|| name.clone())
    }

    fn human_readable_module_name(&self, name: &ModuleName) -> BString {
        BString::from(self.shown(name))
    }
}
