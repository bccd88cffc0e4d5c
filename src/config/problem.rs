//! A problem of a file that a user wrote, with its place and the way out.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used as it is.
    Error,
    /// It can be used, but probably does not do what its author wants.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// Something wrong in a configuration or a script, ready to be shown.
///
/// `Display` prints the place, the message, the source line with the spot marked, and the remedy:
///
/// ```text
/// bot.toml:3:1: error: unknown key "nmae" in [bot]
///   3 | nmae = "demo"
///     | ^^^^
///   help: did you mean "name"?
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 when the problem is the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 when the problem is the file as a whole.
    pub column: usize,
    /// How many characters of the line are concerned, at least 1.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line itself, with secrets masked.
    pub source_line: Option<String>,
}

impl Problem {
    /// A problem of the file as a whole.
    pub fn of_file(severity: Severity, path: &Path, message: impl Into<String>) -> Self {
        Self {
            severity,
            path: path.to_owned(),
            line: 0,
            column: 0,
            width: 1,
            message: message.into(),
            help: None,
            source_line: None,
        }
    }

    /// The same problem with a remedy.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem with a remedy if there is one.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Sorts by file, line and column, and drops what was said twice.
    pub fn sort(problems: &mut Vec<Problem>) {
        problems.sort_by(|a, b| {
            (&a.path, a.line, a.column, a.severity, &a.message)
                .cmp(&(&b.path, b.line, b.column, b.severity, &b.message))
        });
        problems.dedup();
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.line == 0 {
            write!(f, "{path}: {}: {}", self.severity, self.message)?;
        } else {
            let (line, column) = (self.line, self.column);
            write!(
                f,
                "{path}:{line}:{column}: {}: {}",
                self.severity, self.message
            )?;
            if let Some(text) = &self.source_line {
                let (column, width) = (self.column, self.width);
                write!(
                    f,
                    "\n{}",
                    Excerpt {
                        line,
                        text,
                        column,
                        width
                    }
                )?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// A source line with its number, and a mark below what is meant.
pub struct Excerpt<'a> {
    /// The line's number.
    pub line: usize,
    /// The line.
    pub text: &'a str,
    /// Where the mark begins, in characters from 1.
    pub column: usize,
    /// How many characters are marked, at most up to the end of the line.
    pub width: usize,
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text, .. } = self;
        let number = line.to_string();
        let before = self.column.saturating_sub(1);
        // Tabs stay tabs, so that the mark stands under its text whatever their width.
        let pad: String = text
            .chars()
            .chain(std::iter::repeat(' '))
            .take(before)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let rest = text.chars().count().saturating_sub(before);
        let mark = "^".repeat(self.width.min(rest).max(1));
        let gutter = " ".repeat(number.len());
        write!(f, "  {number} | {text}\n  {gutter} | {pad}{mark}")
    }
}

/// A text with its path, which turns byte offsets into lines and columns.
pub struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    /// Byte offset at which each line begins.
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Indexes a text.
    pub fn new(path: &'a Path, text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { path, text, starts }
    }

    /// The text's path.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Line and column of a byte offset, both from 1, the column in characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.floor(offset);
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// The byte offset of a line (from 0) and a byte column (from 0), as parsers of Luau count.
    pub fn offset(&self, line: usize, byte_column: usize) -> usize {
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        self.floor(start + byte_column)
    }

    /// The text of a line, from 1, without its end.
    pub fn line(&self, line: usize) -> &'a str {
        let Some(&start) = self.starts.get(line - 1) else {
            return "";
        };
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// A problem at a range of bytes.
    pub fn problem(
        &self,
        severity: Severity,
        range: Range<usize>,
        message: impl Into<String>,
    ) -> Problem {
        let (line, column) = self.position(range.start);
        let end = self.floor(range.end.max(range.start));
        let start = self.floor(range.start);
        Problem {
            severity,
            path: self.path.to_owned(),
            line,
            column,
            width: self.text[start..end]
                .chars()
                .take_while(|&c| c != '\n' && c != '\r')
                .count()
                .max(1),
            message: message.into(),
            help: None,
            source_line: Some(self.line(line).to_owned()),
        }
    }

    /// The nearest character boundary at or before a byte offset.
    fn floor(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_place_line_mark_and_remedy() {
        let text = "[bot]\n\tnmae = \"ü\"\n";
        let source = Source::new(Path::new("bot.toml"), text);
        let problem = source
            .problem(Severity::Error, 7..11, "unknown key \"nmae\" in [bot]")
            .help("did you mean \"name\"?");
        assert_eq!(
            problem.to_string(),
            "bot.toml:2:2: error: unknown key \"nmae\" in [bot]\n  2 | \tnmae = \"ü\"\n    | \t^^^^\n  help: did you mean \"name\"?"
        );
    }

    #[test]
    fn columns_count_characters_and_lines_may_end_in_crlf() {
        let text = "a = \"ä\" # x\r\nb";
        let source = Source::new(Path::new("f"), text);
        assert_eq!(source.position(text.find('#').unwrap_or(0)), (1, 9));
        assert_eq!(source.line(1), "a = \"ä\" # x");
        assert_eq!(source.position(text.len() + 5), (2, 2));
        // In the middle of a character: its beginning.
        assert_eq!(source.position(6), (1, 6));
    }

    #[test]
    fn a_problem_of_the_whole_file_has_no_line() {
        let problem =
            Problem::of_file(Severity::Error, Path::new("x.toml"), "is missing").help("create it");
        assert_eq!(
            problem.to_string(),
            "x.toml: error: is missing\n  help: create it"
        );
    }
}
