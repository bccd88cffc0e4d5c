//! Walks the tree of a TOML file: hands out values by key, and collects every problem on the way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Foreign;
use super::expand::{Env, expand};
use super::keys::{SECTIONS, SectionKeys};
use super::mask::mask_line;
use super::problem::{Problem, Severity, Source};
use super::suggest::did_you_mean;

/// A value with its place in the file.
pub type Node<'t> = Spanned<DeValue<'t>>;

/// Reads one file.
pub struct Reader<'a> {
    source: Source<'a>,
    env: &'a Env<'a>,
    /// Where tokens are written, in bytes.
    secrets: Vec<Range<usize>>,
    /// What was found so far.
    pub problems: Vec<Problem>,
}

/// One section of the file; an absent one reads as empty.
pub struct Section<'t> {
    keys: &'static SectionKeys,
    /// As people write it: `[bot]`.
    label: String,
    table: Option<&'t DeTable<'t>>,
    /// Where a problem of the whole section is shown.
    span: Range<usize>,
}

impl<'t> Section<'t> {
    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The key's value.
    pub fn node(&self, key: &str) -> Option<&'t Node<'t>> {
        debug_assert!(
            self.keys.key(key).is_some(),
            "{key} is not in the table of keys"
        );
        self.table?.get(key)
    }

    /// Where the key's value stands, or else the section.
    pub fn span(&self, key: &str) -> Range<usize> {
        self.node(key).map_or(self.span.clone(), Spanned::span)
    }
}

impl<'a> Reader<'a> {
    /// A reader of the file at `path` with this text.
    pub fn new(path: &'a Path, text: &'a str, env: &'a Env<'a>) -> Self {
        Self {
            source: Source::new(path, text),
            env,
            secrets: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Parses the file. What can be recovered of a file with syntax errors is still read, so that
    /// its other problems are seen in the same run.
    pub fn parse(&mut self) -> Spanned<DeTable<'a>> {
        let text = self.source.text();
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let mut problem = self.problem(Severity::Error, span.clone(), error.message());
            // An unclosed multi-line string may be the token's; its lines cannot be told apart.
            let before = text.get(..span.start).unwrap_or(text);
            if before.contains("\"\"\"") || before.contains("'''") {
                problem.source_line = None;
            }
            self.problems.push(problem);
        }
        root
    }

    /// Declares a part of the file secret: no problem shows it.
    pub fn hide(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    /// Notes an error.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let problem = self.problem(Severity::Error, span, message);
        self.problems.push(problem.maybe_help(help));
    }

    /// Notes a warning.
    pub fn warn(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let problem = self.problem(Severity::Warning, span, message);
        self.problems.push(problem.maybe_help(help));
    }

    fn problem(
        &self,
        severity: Severity,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Problem {
        let mut problem = self.source.problem(severity, span, message);
        let start = self.source.offset(problem.line - 1, 0);
        let line = self.source.line(problem.line);
        let hidden = self
            .secrets
            .iter()
            .find(|secret| secret.start < start + line.len() && secret.end > start)
            .map(|secret| {
                secret.start.max(start) - start..secret.end.min(start + line.len()) - start
            });
        problem.source_line = Some(mask_line(line, hidden));
        problem
    }

    /// A section at the top of the file.
    pub fn section<'t>(
        &mut self,
        root: &'t DeTable<'t>,
        keys: &'static SectionKeys,
    ) -> Section<'t> {
        self.open(root.get(keys.name), keys, format!("[{}]", keys.name))
    }

    /// The section in `node`, after its unknown keys have been noted.
    pub fn open<'t>(
        &mut self,
        node: Option<&'t Node<'t>>,
        keys: &'static SectionKeys,
        label: String,
    ) -> Section<'t> {
        let span = node.map_or(0..0, Spanned::span);
        let table = match node.map(Spanned::get_ref) {
            None => None,
            Some(DeValue::Table(table)) => Some(table),
            Some(other) => {
                self.wrong_type(span.clone(), &format!("{label} is a section"), other);
                None
            }
        };
        for key in table.into_iter().flat_map(DeTable::keys) {
            let name: &str = key.get_ref();
            if keys.key(name).is_none() {
                self.unknown_key(key.span(), name, keys, &label);
            }
        }
        Section {
            keys,
            label,
            table,
            span,
        }
    }

    /// A text that another room reads.
    pub fn foreign(&self, span: Range<usize>, text: String) -> Foreign {
        let place = self.problem(Severity::Error, span, "");
        Foreign { text, place }
    }

    fn unknown_key(&mut self, span: Range<usize>, name: &str, keys: &SectionKeys, label: &str) {
        let help = did_you_mean(name, keys.names())
            .or_else(|| {
                let home = SECTIONS.iter().find(|other| other.key(name).is_some())?;
                Some(format!("\"{name}\" belongs in [{}]", home.name))
            })
            .or_else(|| {
                let names: Vec<_> = keys.names().collect();
                Some(format!("{label} has {}", names.join(", ")))
            });
        self.error(span, format!("unknown key \"{name}\" in {label}"), help);
    }

    /// Reads one key of a section; `None` when it is absent, or wrong and noted.
    pub fn read<'t, T>(
        &mut self,
        section: &Section<'t>,
        key: &str,
        parse: impl FnOnce(&mut Self, &str, &'t Node<'t>) -> Option<T>,
    ) -> Option<T> {
        let node = section.node(key)?;
        parse(self, &format!("\"{key}\" in {}", section.label), node)
    }

    fn wrong_type(&mut self, span: Range<usize>, expected: &str, found: &DeValue<'_>) {
        let help = match found {
            DeValue::String(_) if expected.contains("a list") => "write it in brackets: [\"…\"]",
            DeValue::String(_) if !expected.contains("section") => "write it without quotes",
            _ if expected.ends_with("a string") => "write it in double quotes",
            _ => return self.error(span, format!("{expected}, not {}", type_name(found)), None),
        };
        let message = format!("{expected}, not {}", type_name(found));
        self.error(span, message, Some(help.to_owned()));
    }

    /// Expands variables; notes what cannot be expanded.
    pub fn expand(&mut self, what: &str, span: Range<usize>, raw: &str) -> Option<String> {
        match expand(raw, self.env) {
            Ok(text) => Some(text),
            Err(error) => {
                let help = match &error {
                    super::expand::ExpandError::Unset(name) => Some(format!(
                        "set {name} before the start, or write a default: \"${{{name}:-…}}\""
                    )),
                    _ => Some("write \"$$\" for a plain dollar sign".to_owned()),
                };
                self.error(span, format!("{what}: {error}"), help);
                None
            }
        }
    }

    /// A string, expanded.
    pub fn string<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<String> {
        let DeValue::String(raw) = node.get_ref() else {
            self.wrong_type(
                node.span(),
                &format!("{what} must be a string"),
                node.get_ref(),
            );
            return None;
        };
        self.expand(what, node.span(), raw)
    }

    /// A string that is not empty, expanded.
    pub fn text<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<String> {
        let text = self.string(what, node)?;
        if text.is_empty() {
            self.error(node.span(), format!("{what} is empty"), None);
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn boolean<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<bool> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            let expected = format!("{what} must be true or false");
            self.wrong_type(node.span(), &expected, node.get_ref());
        }
        value
    }

    /// A number, whole or not.
    pub fn number<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<f64> {
        match node.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => self.integer(what, node).map(|value| value as f64),
            other => {
                self.wrong_type(node.span(), &format!("{what} must be a number"), other);
                None
            }
        }
    }

    /// A whole number.
    pub fn integer<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<i64> {
        let DeValue::Integer(integer) = node.get_ref() else {
            let expected = format!("{what} must be a whole number");
            self.wrong_type(node.span(), &expected, node.get_ref());
            return None;
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if value.is_none() {
            self.error(node.span(), format!("{what} is out of range"), None);
        }
        value
    }

    /// A duration with a unit.
    pub fn duration<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<std::time::Duration> {
        const HELP: &str = "write a number and its unit: \"500ms\", \"10s\", \"2m\" or \"1h\"";
        let DeValue::String(_) = node.get_ref() else {
            let found = type_name(node.get_ref());
            let message = format!("{what} must be a duration, not {found}");
            self.error(node.span(), message, Some(HELP.to_owned()));
            return None;
        };
        let text = self.string(what, node)?;
        let value = super::units::duration(&text);
        if value.is_none() {
            let message = format!("{what} is not a duration");
            self.error(node.span(), message, Some(HELP.to_owned()));
        }
        value
    }

    /// A size in bytes: a whole number, or a number with a unit.
    pub fn size<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<u64> {
        const HELP: &str = "write a number and its unit: \"512KiB\", \"64MiB\" or \"1GiB\"";
        let (value, message) = match node.get_ref() {
            DeValue::Integer(_) => {
                let value = self.integer(what, node)?;
                (u64::try_from(value).ok(), format!("{what} is negative"))
            }
            DeValue::String(_) => {
                let text = self.string(what, node)?;
                (super::units::size(&text), format!("{what} is not a size"))
            }
            other => (
                None,
                format!("{what} must be a size, not {}", type_name(other)),
            ),
        };
        if value.is_none() {
            self.error(node.span(), message, Some(HELP.to_owned()));
        }
        value
    }

    /// A socket address.
    pub fn address<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<std::net::SocketAddr> {
        let text = self.string(what, node)?;
        // `localhost` is an address to people, and always the loopback.
        let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
        let address = numeric.parse().ok();
        if address.is_none() {
            let help = "write an IP address and a port: \"127.0.0.1:7400\" or \"[::1]:7400\"";
            let message = format!("{what} is not an address");
            self.error(node.span(), message, Some(help.to_owned()));
        }
        address
    }

    /// A list of strings with the place of each; elements that are none are noted and left out.
    pub fn strings<'t>(
        &mut self,
        what: &str,
        node: &'t Node<'t>,
    ) -> Option<Vec<(Range<usize>, String)>> {
        let DeValue::Array(items) = node.get_ref() else {
            let expected = format!("{what} must be a list of strings");
            self.wrong_type(node.span(), &expected, node.get_ref());
            return None;
        };
        let what = format!("an element of {what}");
        let texts = items
            .iter()
            .filter_map(|item| Some((item.span(), self.string(&what, item)?)))
            .collect();
        Some(texts)
    }

    /// Any value, as JSON; dates become strings.
    pub fn json<'t>(&mut self, what: &str, node: &'t Node<'t>) -> Option<Value> {
        Some(match node.get_ref() {
            DeValue::String(raw) => Value::String(self.expand(what, node.span(), raw)?),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(value) => Value::String(value.to_string()),
            DeValue::Integer(_) => Value::Number(self.integer(what, node)?.into()),
            DeValue::Float(float) => {
                let number = float.as_str().parse().ok().and_then(Number::from_f64);
                if number.is_none() {
                    self.error(node.span(), format!("{what} is not a finite number"), None);
                }
                Value::Number(number?)
            }
            DeValue::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.json(what, item)).collect();
                Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(table) => {
                let mut object = BTreeMap::new();
                for (key, value) in table {
                    object.insert(key.get_ref().to_string(), self.json(what, value));
                }
                let fields = object.into_iter().map(|(key, value)| Some((key, value?)));
                Value::Object(fields.collect::<Option<Map<_, _>>>()?)
            }
        })
    }
}

/// A value's type with its article.
fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
