//! What is wrong with a configuration, where, and how to mend it.
//!
//! Takes nothing from the outside; every other file of this folder makes these and only `cli` and the admin API print
//! them. A problem never stops the search for the next one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text that was read, with the name people know it by.
#[derive(PartialEq, Eq)]
pub struct SourceText {
    /// The path as it was given.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// A stretch of a file, in bytes.
    Text {
        /// The file.
        source: Arc<SourceText>,
        /// The bytes.
        span: Range<usize>,
    },
    /// A file as a whole: it cannot be read, or is not what it should be.
    File(String),
    /// An environment variable.
    Variable(String),
    /// A `--set` flag.
    Flag(String),
    /// Nothing an operator wrote.
    #[default]
    Nowhere,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// The key it concerns, such as `entrypoints.web.address`; empty where there is none.
    pub key: String,
    /// What is wrong, with the offending value.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Everything that is wrong; never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl fmt::Debug for SourceText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SourceText({})", self.name)
    }
}

impl Place {
    /// Line and column, both from 1, columns counted in characters. Only a stretch of a file has them.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        let Self::Text { source, span } = self else {
            return None;
        };
        let before = source.text.get(..span.start).unwrap_or(source.text.as_str());
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
        Some((line, column))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { source, .. } => {
                let (line, column) = self.line_and_column().unwrap_or((1, 1));
                write!(out, "{}:{line}:{column}", source.name)
            }
            Self::File(name) => out.write_str(name),
            Self::Variable(name) => write!(out, "environment variable {name}"),
            Self::Flag(text) => write!(out, "--set {text}"),
            Self::Nowhere => out.write_str("configuration"),
        }
    }
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(place: Place, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place, key: key.into(), message: message.into(), hint: None }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(out, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes them out.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// Puts them in the order of the file; what is not in a file comes last.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|problem| match &problem.place {
            Place::Text { span, .. } => span.start,
            _ => usize::MAX,
        });
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
