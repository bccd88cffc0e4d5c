//! Where the walk is, and what it found.

use std::fmt::{Display, Write};

/// Problems beyond this many are counted, not listed.
const LISTED: usize = 10;

/// The place in the parameters and the problems so far.
#[derive(Default)]
pub(super) struct Check {
    path: String,
    listed: Vec<String>,
    more: usize,
}

impl Check {
    /// Runs `inside` one field further down.
    pub fn field<T>(&mut self, name: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let at = self.path.len();
        if at > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = inside(self);
        self.path.truncate(at);
        result
    }

    /// Runs `inside` one element further down; `index` counts from 0. The path counts from 1, as the
    /// scripts do whose mistakes these are.
    pub fn index<T>(&mut self, index: usize, inside: impl FnOnce(&mut Self) -> T) -> T {
        let at = self.path.len();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "[{}]", index + 1);
        let result = inside(self);
        self.path.truncate(at);
        result
    }

    /// Notes a problem here.
    pub fn problem(&mut self, what: impl Display) {
        if self.listed.len() < LISTED {
            self.listed.push(if self.path.is_empty() {
                what.to_string()
            } else {
                format!("{}: {what}", self.path)
            });
        } else {
            self.more += 1;
        }
    }

    /// Notes a problem with a field of this object.
    pub fn problem_at(&mut self, field: &str, what: impl Display) {
        self.field(field, |check| check.problem(what));
    }

    /// The verdict.
    pub fn finish(self) -> Result<(), String> {
        if self.listed.is_empty() {
            return Ok(());
        }
        let mut text = self.listed.join("; ");
        if self.more > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "; and {} more problems", self.more);
        }
        Err(text)
    }
}
