//! The walk over one script.

use std::collections::HashMap;
use std::path::Path;

use luau_syntax::ast::{
    AstVisitor, Expression, ExpressionKind, Function, LocalId, Statement, TableItem,
};
use luau_syntax::location::Location;
use luau_syntax::parser::ParsedSource;
use reqwest::Url;

use super::assigned::Assigned;
use super::commands::{self, Commands};
use super::hints::{self, Hints};
use super::lists;
use super::literal::{Fields, Literal, literal, range, text};
use super::notes::Notes;
use super::params;
use super::permissions::{self, Uses};
use crate::config::suggest::did_you_mean;
use crate::config::{Problem, Severity, Source};
use crate::contract::{self, EVENTS, Route};
use crate::definitions::libraries::{self, GLOBALS, WITHHELD};
use crate::modules;

/// What the walk over a script brings.
#[derive(Default)]
pub struct Findings {
    /// Every problem.
    pub problems: Vec<Problem>,
    /// What permissions are about.
    pub uses: Uses,
    /// Types that the type checker cannot know by itself.
    pub hints: Hints,
}

/// Walks over a parsed script.
pub fn lint<'s>(
    source: &'s Source<'s>,
    parsed: &'s ParsedSource,
    root: &Path,
    commands: &mut Commands,
) -> Findings {
    let mut assigned = Assigned::default();
    parsed.root().visit(&mut assigned);
    let mut linter = Linter {
        notes: Notes::new(source),
        root,
        commands,
        assigned,
        names: HashMap::new(),
        kinds: HashMap::new(),
        uses: Uses::default(),
        hints: Hints::default(),
    };
    parsed.root().visit(&mut linter);
    Findings {
        problems: linter.notes.into_problems(),
        uses: linter.uses,
        hints: linter.hints,
    }
}

struct Linter<'s, 'c> {
    notes: Notes<'s>,
    root: &'c Path,
    commands: &'c mut Commands,
    assigned: Assigned,
    /// Locals that stand for a name: `argon.messages`, or `event` for an event.
    names: HashMap<LocalId, String>,
    /// The types of the events among them, where the text says them.
    kinds: HashMap<LocalId, String>,
    uses: Uses,
    hints: Hints,
}

/// What the locals that hold an event stand for.
const EVENT: &str = "event";

impl Linter<'_, '_> {
    /// The name an expression stands for: `argon.messages.send`.
    fn name(&self, expression: Expression<'_>) -> Option<String> {
        match expression.kind() {
            ExpressionKind::Grouped(inner) => self.name(inner),
            ExpressionKind::TypeAssertion { expr, .. } => self.name(expr),
            ExpressionKind::Global(name) => {
                Some(String::from_utf8_lossy(name.bytes()).into_owned())
            }
            ExpressionKind::Local { local, .. } => self.names.get(&local.identity()).cloned(),
            ExpressionKind::IndexName { expr, index, .. } => {
                let name = String::from_utf8_lossy(index.bytes());
                Some(format!("{}.{name}", self.name(expr)?))
            }
            ExpressionKind::IndexExpr { expr, index } => {
                Some(format!("{}.{}", self.name(expr)?, text(index)?))
            }
            _ => None,
        }
    }

    /// Lets a local stand for a name, if it always does.
    fn bind(&mut self, local: LocalId, name: String) {
        if !self.assigned.locals.contains(&local) {
            self.names.insert(local, name);
        }
    }

    /// The first parameter of a function literal is an event, of this type if it is known.
    fn handler(&mut self, function: Option<Expression<'_>>, kind: Option<&str>) {
        let parameter = function
            .and_then(Expression::as_function)
            .and_then(|function: &Function<'_>| function.args.first().copied());
        if let Some(parameter) = parameter {
            self.event(parameter.identity(), kind);
            if let Some(kind) = kind {
                let payload = contract::event(kind).map(|event| event.payload.name);
                self.hints.add(parameter, payload.unwrap_or("any"));
            }
        }
    }

    /// Lets a local stand for an event.
    fn event(&mut self, local: LocalId, kind: Option<&str>) {
        self.bind(local, EVENT.to_owned());
        if let Some(kind) = kind {
            self.kinds.insert(local, kind.to_owned());
        }
    }

    /// The file uses a route.
    fn uses(&mut self, route: &'static Route, at: Location) {
        let source = self.notes.source();
        let place = source.problem(Severity::Error, range(source, at), "");
        self.uses.routes.push((route, place));
    }

    /// The file calls a server whose address stands in the text.
    fn request(&mut self, request: Option<Expression<'_>>) {
        let Some(Literal::Table(items)) = request.map(literal) else {
            return;
        };
        let Some(url) = Fields::of(items).get("url") else {
            return;
        };
        if let Some(address) = text(url).and_then(|text| Url::parse(&text).ok()) {
            let source = self.notes.source();
            let place = source.problem(Severity::Error, range(source, url.location()), "");
            self.uses.urls.push((address, place));
        }
    }

    /// `parent.name` is used: is there such a thing?
    fn member(&mut self, parent: &str, name: &str, at: Location) {
        let path = format!("{parent}.{name}");
        if let Some((_, instead)) = WITHHELD.iter().find(|(withheld, _)| *withheld == path) {
            let message = format!("there is no {path} in scripts");
            self.notes.error(at, message, Some((*instead).to_owned()));
            return;
        }
        if !matches!(parent.split('.').next(), Some("argon" | "script" | "task")) {
            return;
        }
        let known = libraries::children(parent);
        if known.is_empty() || known.iter().any(|child| child == name) {
            return;
        }
        let help = did_you_mean(name, known.iter().map(String::as_str)).or_else(|| {
            let home = self.home_of(name)?;
            Some(format!("did you mean {home}?"))
        });
        let help = help.unwrap_or_else(|| format!("{parent} has {}", known.join(", ")));
        self.notes
            .error(at, format!("unknown name {path}"), Some(help));
    }

    /// The one route or function of that name anywhere.
    fn home_of(&self, name: &str) -> Option<String> {
        let routes = contract::ROUTES
            .iter()
            .filter(|route| route.luau_name() == name)
            .map(|route| format!("argon.{}", route.permission_name()));
        let members = libraries::members()
            .filter(|member| member.path.rsplit(['.', ':']).next() == Some(name))
            .map(|member| member.path.to_owned());
        let mut homes = routes.chain(members);
        let home = homes.next()?;
        homes.next().is_none().then_some(home)
    }

    fn call(&mut self, expression: Expression<'_>) {
        let Some(call) = expression.as_call() else {
            return;
        };
        let args = call.args;
        if call.self_call {
            self.method(call.func, args);
            return;
        }
        let Some(path) = self.name(call.func) else {
            // A function of the script's own.
            self.hints.guess(call.func.location(), args);
            return;
        };
        lists::hint(&mut self.hints, self.notes.source(), &path, call.func, args);
        if let Some(route) = route(&path) {
            self.route(route, &path, args, call.func.location());
            return;
        }
        let Some(member) = libraries::member(&path) else {
            return;
        };
        self.count(&path, member.arguments, args, call.func.location());
        if let Some((at, known)) = member.options
            && let Some(Literal::Table(items)) = args.get(at).copied().map(literal)
        {
            self.options(&path, known, items);
        }
        match path.as_str() {
            "argon.on" | "argon.once" | "argon.waitFor" => {
                self.event_type(&path, args.first().copied());
                let kind = args.first().copied().and_then(text);
                self.handler(args.get(1).copied(), kind.as_deref());
            }
            "argon.onControl" | "argon.onSelect" | "argon.onModal" => {
                self.identifier(&path, args.first().copied());
                let kind = match path.as_str() {
                    "argon.onControl" => "controlInteraction",
                    "argon.onSelect" => "selectInteraction",
                    _ => "modalSubmit",
                };
                self.handler(args.get(1).copied(), Some(kind));
            }
            "argon.voice.join" | "argon.calls.answer" => {
                let (interface, name) = match path.as_str() {
                    "argon.voice.join" => ("IVoice", "StreamToken"),
                    _ => ("ICalls", "Accept"),
                };
                if let Some(route) = contract::route(interface, name) {
                    self.uses(route, call.func.location());
                }
            }
            "argon.command" => {
                if let Some(route) = contract::route("ICommands", "Register") {
                    self.uses(route, call.func.location());
                }
                self.command(args.first().copied());
            }
            "argon.http.request" => self.request(args.first().copied()),
            "require" => self.require(args.first().copied()),
            _ => {}
        }
    }

    /// `event:reply(…)`.
    fn method(&mut self, func: Expression<'_>, args: &[Expression<'_>]) {
        let ExpressionKind::IndexName {
            expr,
            index,
            index_location,
            ..
        } = func.kind()
        else {
            return;
        };
        let Some(object) = self.name(expr) else {
            return;
        };
        let name = String::from_utf8_lossy(index.bytes()).into_owned();
        if object != EVENT {
            if matches!(object.split('.').next(), Some("argon" | "task" | "script")) {
                let path = format!("{object}.{name}");
                if route(&path).is_some() || libraries::member(&path).is_some() {
                    let help = format!("write {path}(…)");
                    let message = format!("{path} is called with a dot, not a colon");
                    self.notes.error(index_location, message, Some(help));
                }
            }
            return;
        }
        let known = libraries::children(EVENT);
        if !known.contains(&name) {
            let help = did_you_mean(&name, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("events have {}", known.join(", ")));
            let message = format!("events have no method \"{name}\"");
            self.notes.error(index_location, message, Some(help));
            return;
        }
        let path = format!("event:{name}");
        if let Some(member) = libraries::member(&path) {
            self.count(&path, member.arguments, args, index_location);
        }
        let kind = match expr.kind() {
            ExpressionKind::Local { local, .. } => self.kinds.get(&local.identity()),
            _ => None,
        };
        if let Some(route) = permissions::of_method(&name, kind.map(String::as_str)) {
            self.uses(route, index_location);
        }
        if name == "modal"
            && let Some(route) = contract::route("IInteractions", "Modal")
            && let Some(field) = route.param("modal")
            && let contract::Type::Object(shape) = field.ty
            && let Some(argument) = args.first()
            && let Literal::Table(items) = literal(*argument)
        {
            let fields: Vec<_> = shape.fields.iter().collect();
            params::table(
                &mut self.notes,
                "event:modal",
                &fields,
                &[],
                items,
                argument.location(),
            );
        }
    }

    /// Whether a call has as many arguments as it needs. Its last one may have many values.
    fn count(
        &mut self,
        path: &str,
        arguments: Option<(usize, usize)>,
        args: &[Expression<'_>],
        at: Location,
    ) {
        let Some((least, most)) = arguments else {
            return;
        };
        let open = args.last().is_some_and(|last| {
            last.as_call().is_some() || matches!(last.kind(), ExpressionKind::Varargs)
        });
        if args.len() < least && !open {
            let message = format!("{path} needs {least} argument(s), it gets {}", args.len());
            let help = libraries::member(path).map(|member| format!("{path}{}", member.signature));
            self.notes.error(at, message, help);
        } else if args.len() > most {
            let message = format!("{path} takes {most} argument(s), it gets {}", args.len());
            let help = libraries::member(path).map(|member| format!("{path}{}", member.signature));
            self.notes.error(at, message, help);
        }
    }

    fn route(&mut self, route: &'static Route, path: &str, args: &[Expression<'_>], at: Location) {
        if route.label() == "IEvents/Stream" {
            let help = "the host has it open already: use argon.on".to_owned();
            self.notes.error(
                at,
                format!("{path} cannot be called by a script"),
                Some(help),
            );
            return;
        }
        let fields: Vec<_> = route.params().collect();
        match args {
            [] => {
                for field in fields.iter().filter(|field| !field.optional) {
                    let message = format!("{path}: \"{}\" is missing", field.name);
                    let help = format!("write {path}{{ {} = … }}", field.name);
                    self.notes.error(at, message, Some(help));
                }
            }
            [argument] => match literal(*argument) {
                Literal::Table(items) => {
                    let at = argument.location();
                    params::table(&mut self.notes, path, &fields, &[], items, at);
                }
                Literal::Computed | Literal::Nil => {}
                other => {
                    let message =
                        format!("{path} takes a table of parameters, not {}", other.kind());
                    let example = fields.first().map_or("", |field| field.name);
                    let help = format!("write {path}{{ {example} = … }}");
                    self.notes.error(argument.location(), message, Some(help));
                }
            },
            more => {
                let message = format!(
                    "{path} takes one table of parameters, it gets {} values",
                    more.len()
                );
                self.notes.error(at, message, None);
            }
        }
    }

    fn options(&mut self, path: &str, known: &[&str], items: &[TableItem<'_>]) {
        for (name, at, _) in Fields::of(items).named {
            if !known.contains(&name.as_str()) {
                let help = did_you_mean(&name, known.iter().copied())
                    .unwrap_or_else(|| format!("it has {}", known.join(", ")));
                let message = format!("{path}: unknown option \"{name}\"");
                self.notes.error(at, message, Some(help));
            }
        }
    }

    fn event_type(&mut self, path: &str, argument: Option<Expression<'_>>) {
        let Some(argument) = argument else { return };
        let at = argument.location();
        let name = match literal(argument) {
            Literal::Text(name) => name,
            Literal::Computed => return,
            other => {
                let message = format!(
                    "{path}: the event type must be a string, not {}",
                    other.kind()
                );
                self.notes.error(at, message, None);
                return;
            }
        };
        if name == "*" || contract::event(&name).is_some() {
            return;
        }
        match did_you_mean(&name, EVENTS.iter().map(|event| event.name)) {
            Some(help) => {
                self.notes
                    .error(at, format!("unknown event \"{name}\""), Some(help));
            }
            None => {
                // The platform adds events over time, and unknown ones are passed through.
                let message = format!("\"{name}\" is no event that is known today");
                let help = "the reference lists the events; \"*\" is every event".to_owned();
                self.notes.warn(at, message, Some(help));
            }
        }
    }

    fn identifier(&mut self, path: &str, argument: Option<Expression<'_>>) {
        let Some(argument) = argument else { return };
        let at = argument.location();
        match literal(argument) {
            Literal::Text(id) => {
                let length = id.trim_end_matches('*').encode_utf16().count();
                if id.is_empty() || length > contract::limits::CUSTOM_ID {
                    let most = contract::limits::CUSTOM_ID;
                    let message =
                        format!("{path}: an id has 1 to {most} characters, this has {length}");
                    self.notes.error(at, message, None);
                }
            }
            Literal::Computed => {}
            other => {
                let message = format!("{path}: the id must be a string, not {}", other.kind());
                self.notes.error(at, message, None);
            }
        }
    }

    fn command(&mut self, definition: Option<Expression<'_>>) {
        let Some(definition) = definition else { return };
        match literal(definition) {
            Literal::Table(items) => {
                let at = definition.location();
                commands::definition(&mut self.notes, self.commands, items, at);
                let given = Fields::of(items);
                let run = given.get("run");
                self.handler(run, Some("commandInteraction"));
                let options = run
                    .and_then(Expression::as_function)
                    .and_then(|function: &Function<'_>| function.args.get(1).copied());
                if let (Some(options), Some(ty)) = (options, hints::of_options(&given)) {
                    self.hints.add(options, &ty);
                }
            }
            Literal::Computed => {}
            other => {
                let message = format!("argon.command takes a table, not {}", other.kind());
                self.notes.error(definition.location(), message, None);
            }
        }
    }

    fn require(&mut self, path: Option<Expression<'_>>) {
        let Some(path) = path else { return };
        let Some(wanted) = text(path) else { return };
        let at = path.location();
        if let Some(std) = modules::standard(&wanted) {
            if let Err(why) = std {
                let name = wanted.rsplit('/').next().unwrap_or_default();
                let help = did_you_mean(name, modules::STD.iter().map(|module| module.name));
                self.notes.error(at, format!("require: {why}"), help);
            }
            return;
        }
        // The same question that the running script will ask, in canonical paths.
        let root = self.root.canonicalize().unwrap_or_default();
        let from = self.notes.path().strip_prefix(self.root);
        let from = root.join(from.unwrap_or(self.notes.path()));
        match modules::resolve(&root, &from, &wanted) {
            Ok(file) => self.uses.modules.push(file),
            Err(why) => self.no_module(&from, &wanted, &why, at),
        }
    }

    fn no_module(&mut self, from: &Path, wanted: &str, why: &str, at: Location) {
        let name = wanted.rsplit('/').next().unwrap_or_default();
        let near = neighbours(from, wanted);
        let help = did_you_mean(name, near.iter().map(String::as_str))
            .unwrap_or_else(|| "\"./\" is the folder of this file".to_owned());
        self.notes.error(at, format!("require: {why}"), Some(help));
    }
}

/// The names of the modules in the folder that the path `wanted` of the file `from` leads to.
fn neighbours(from: &Path, wanted: &str) -> Vec<String> {
    let below = wanted.strip_prefix("@self/").unwrap_or(wanted);
    let folder = from.parent().unwrap_or(Path::new("")).join(below);
    let entries = folder.parent().and_then(|folder| folder.read_dir().ok());
    let names = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        modules::stem(name.to_str()?).map(str::to_owned)
    });
    names.collect()
}

fn route(path: &str) -> Option<&'static Route> {
    let (interface, name) = path.strip_prefix("argon.")?.split_once('.')?;
    contract::luau_route(interface, name)
}

impl<'ast> AstVisitor<'ast> for Linter<'_, '_> {
    fn visit_local_statement(&mut self, statement: Statement<'ast>) -> bool {
        let Some(local) = statement.as_local() else {
            return true;
        };
        for (binding, value) in local.bindings.iter().zip(local.values) {
            let waits = value
                .as_call()
                .and_then(|call| self.name(call.func))
                .is_some_and(|path| path == "argon.waitFor");
            if waits {
                let arguments = value.as_call().map_or(&[][..], |call| call.args);
                let kind = arguments.first().copied().and_then(text);
                self.event(binding.identity(), kind.as_deref());
            } else if let Some(name) = self.name(*value)
                && matches!(
                    name.split('.').next(),
                    Some("argon" | "script" | "task" | "require")
                )
            {
                self.bind(binding.identity(), name);
            }
        }
        true
    }

    fn visit_call_expression(&mut self, expression: Expression<'ast>) -> bool {
        self.call(expression);
        true
    }

    fn visit_index_name_expression(&mut self, expression: Expression<'ast>) -> bool {
        if let ExpressionKind::IndexName {
            expr,
            index,
            index_location,
            ..
        } = expression.kind()
            && let Some(parent) = self.name(expr)
            && parent != EVENT
        {
            let name = String::from_utf8_lossy(index.bytes()).into_owned();
            self.member(&parent, &name, index_location);
            // However it is called: pcall(argon.messages.send, …) sends, too.
            if let Some(route) = route(&format!("{parent}.{name}")) {
                self.uses(route, expression.location());
            }
        }
        true
    }

    fn visit_global_expression(&mut self, expression: Expression<'ast>) -> bool {
        if let ExpressionKind::Global(name) = expression.kind()
            && !self.assigned.globals.contains(name.bytes())
        {
            let name = String::from_utf8_lossy(name.bytes()).into_owned();
            let at = expression.location();
            if let Some((_, instead)) = WITHHELD.iter().find(|(withheld, _)| *withheld == name) {
                let message = format!("there is no {name} in scripts");
                self.notes.error(at, message, Some((*instead).to_owned()));
            } else if !GLOBALS.contains(&name.as_str()) {
                let help = did_you_mean(&name, GLOBALS.iter().copied());
                let message = format!("\"{name}\" is not defined");
                self.notes.error(at, message, help);
            }
        }
        true
    }
}
