//! The problems of one file, as they are found.

use std::path::Path;

use luau_syntax::location::Location;

use super::literal::range;
use crate::config::{Problem, Severity, Source};

/// Where problems of one file go.
pub struct Notes<'s> {
    source: &'s Source<'s>,
    problems: Vec<Problem>,
}

impl<'s> Notes<'s> {
    /// None yet.
    pub fn new(source: &'s Source<'s>) -> Self {
        Self {
            source,
            problems: Vec::new(),
        }
    }

    /// The file with its text.
    pub fn source(&self) -> &'s Source<'s> {
        self.source
    }

    /// What was noted.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Notes an error.
    pub fn error(&mut self, at: Location, message: impl Into<String>, help: Option<String>) {
        self.note(Severity::Error, at, message.into(), help);
    }

    /// Notes a warning.
    pub fn warn(&mut self, at: Location, message: impl Into<String>, help: Option<String>) {
        self.note(Severity::Warning, at, message.into(), help);
    }

    fn note(&mut self, severity: Severity, at: Location, message: String, help: Option<String>) {
        let problem = self
            .source
            .problem(severity, range(self.source, at), message);
        self.problems.push(problem.maybe_help(help));
    }
}
