//! Walks the tree of a world file: hands out values by key, and notes every problem with its place.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::keys::SectionKeys;
use crate::config::suggest::did_you_mean;
use crate::config::units;
use crate::config::{Problem, Severity, Source};

/// A value with its place.
pub type Node<'t> = Spanned<DeValue<'t>>;
/// A text with its place.
pub type Text = (Range<usize>, String);

/// Reads one file.
pub struct Reader<'a> {
    source: Source<'a>,
    /// What was found so far.
    pub problems: Vec<Problem>,
}

/// A table of the file whose unknown keys were noted.
pub struct Section<'t> {
    /// As people write it: `[[bot]]`.
    label: String,
    table: &'t DeTable<'t>,
    /// Where a problem of the whole table is shown.
    pub span: Range<usize>,
}

impl Section<'_> {
    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }
}

impl<'a> Reader<'a> {
    /// A reader of the file at `path` with this text.
    pub fn new(path: &'a Path, text: &'a str) -> Self {
        Self {
            source: Source::new(path, text),
            problems: Vec::new(),
        }
    }

    /// Parses the file; what can be recovered of one with syntax errors is still there.
    pub fn parse(&mut self) -> Spanned<DeTable<'a>> {
        let text = self.source.text();
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            self.error(span, error.message(), None);
        }
        root
    }

    /// Notes an error. A line that may show a token is not repeated.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let problem = self.source.problem(Severity::Error, span, message);
        let mut problem = problem.maybe_help(help);
        let shows_token = |line: &String| line.contains("tok") || line.contains(':');
        if problem.source_line.as_ref().is_some_and(shows_token) {
            problem.source_line = None;
        }
        self.problems.push(problem);
    }

    /// The table as a section, after its unknown keys were noted.
    pub fn section<'t>(
        &mut self,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        keys: &SectionKeys,
        label: String,
    ) -> Section<'t> {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if keys.key(name).is_none() {
                let help = did_you_mean(name, keys.names()).unwrap_or_else(|| {
                    format!(
                        "{label} has {}",
                        keys.names().collect::<Vec<_>>().join(", ")
                    )
                });
                let message = format!("unknown key \"{name}\" in {label}");
                self.error(key.span(), message, Some(help));
            }
        }
        Section { label, table, span }
    }

    /// The tables of `[[KEY]]`.
    pub fn sections<'t>(
        &mut self,
        within: &Section<'t>,
        key: &str,
        keys: &SectionKeys,
    ) -> Vec<Section<'t>> {
        let label = format!("[[{}]]", keys.name);
        let Some(node) = within.table.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = node.get_ref() else {
            let message = format!("\"{key}\" is a list of tables, each under {label}");
            self.error(node.span(), message, None);
            return Vec::new();
        };
        let mut found = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    found.push(self.section(table, item.span(), keys, label.clone()));
                }
                _ => self.error(item.span(), format!("{label} is a table"), None),
            }
        }
        found
    }

    /// A text that is not empty.
    pub fn text(&mut self, section: &Section<'_>, key: &str) -> Option<Text> {
        let node = section.table.get(key)?;
        self.as_text(node, &format!("\"{key}\" in {}", section.label))
    }

    /// A text that must be there.
    pub fn needed(&mut self, section: &Section<'_>, key: &str) -> Option<Text> {
        if !section.has(key) {
            let message = format!("{} needs \"{key}\"", section.label);
            self.error(section.span.clone(), message, None);
        }
        self.text(section, key)
    }

    fn as_text(&mut self, node: &Node<'_>, what: &str) -> Option<Text> {
        match node.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => {
                return Some((node.span(), text.to_string()));
            }
            DeValue::String(_) => self.error(node.span(), format!("{what} is empty"), None),
            _ => self.error(node.span(), format!("{what} must be a string"), None),
        }
        None
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, section: &Section<'_>, key: &str, default: bool) -> bool {
        let Some(node) = section.table.get(key) else {
            return default;
        };
        node.get_ref().as_bool().unwrap_or_else(|| {
            let message = format!("\"{key}\" in {} must be true or false", section.label);
            self.error(node.span(), message, None);
            default
        })
    }

    /// A duration; zero when it is absent.
    pub fn duration(&mut self, section: &Section<'_>, key: &str) -> Duration {
        let Some((span, text)) = self.text(section, key) else {
            return Duration::ZERO;
        };
        units::duration(&text).unwrap_or_else(|| {
            let message = format!("\"{key}\" in {} is no duration", section.label);
            let help = "write it as \"500ms\", \"10s\" or \"2m\"".to_owned();
            self.error(span, message, Some(help));
            Duration::ZERO
        })
    }

    /// A list of texts; `None` when it is absent.
    pub fn texts(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<Text>> {
        let node = section.table.get(key)?;
        let what = format!("\"{key}\" in {}", section.label);
        let DeValue::Array(items) = node.get_ref() else {
            self.error(
                node.span(),
                format!("{what} must be a list of strings"),
                None,
            );
            return None;
        };
        let what = format!("an element of {what}");
        let texts = items.iter().filter_map(|item| self.as_text(item, &what));
        Some(texts.collect())
    }

    /// Notes a name that is none of those there are.
    pub fn unknown<'n>(
        &mut self,
        text: &Text,
        what: &str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) {
        let help = did_you_mean(&text.1, names.clone())
            .unwrap_or_else(|| format!("there are {}", names.collect::<Vec<_>>().join(", ")));
        let message = format!("there is no {what} \"{}\"", text.1);
        self.error(text.0.clone(), message, Some(help));
    }
}
