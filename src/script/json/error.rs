//! What can go wrong between JSON and Luau.

use std::fmt;

/// Why JSON text could not become a Luau value.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The text is not (the expected) JSON.
    #[error("invalid JSON at byte {offset}: {message}")]
    Json {
        /// Where, in bytes from the start.
        offset: usize,
        /// What is wrong there.
        message: &'static str,
    },
    /// The VM refused, in practice because its memory limit is reached.
    #[error(transparent)]
    Luau(#[from] mlua::Error),
}

/// Why a Luau value could not become JSON: what, and where below the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    message: String,
    /// From the inside out.
    path: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

impl EncodeError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            path: Vec::new(),
        }
    }

    /// The same error, seen from the object that has the value as this field.
    pub(in crate::script) fn in_field(mut self, name: &str) -> Self {
        self.path.push(Step::Field(name.to_owned()));
        self
    }

    /// The same error, seen from the list that has the value at this place, counted from 1.
    pub(super) fn at_index(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place as a script writes it, `controls[1].label`; empty for the value itself.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) if !is_name(name) => path.push_str(&format!("[{name:?}]")),
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        path
    }
}

/// Whether Luau lets the field be written with a dot.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path(), self.message)
        }
    }
}

impl std::error::Error for EncodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_a_script_would_write_it() {
        let error = EncodeError::new("no")
            .in_field("label")
            .at_index(1)
            .in_field("en-US")
            .in_field("controls");
        assert_eq!(error.path(), "controls[\"en-US\"][1].label");
        assert_eq!(error.to_string(), "controls[\"en-US\"][1].label: no");
        assert_eq!(EncodeError::new("no").to_string(), "no");
    }
}
