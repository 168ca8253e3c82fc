//! Where the diagnostics of one service are gathered while its tags are read. Nothing here decides anything.

use sluice_plugin_sdk::router::{Diagnostic, Severity};

/// The diagnostics so far. The same one is kept once: instances usually repeat each other's mistakes.
#[derive(Default)]
pub(crate) struct Report {
    found: Vec<Diagnostic>,
}

impl Report {
    /// Something was repaired, ignored or is spelled in a deprecated way; what `object` names still works.
    pub(crate) fn warning(&mut self, object: &str, tag: &str, message: impl Into<String>) {
        self.push(Severity::Warning, object, tag, message.into());
    }

    /// What `object` names was left out.
    pub(crate) fn error(&mut self, object: &str, tag: &str, message: impl Into<String>) {
        self.push(Severity::Error, object, tag, message.into());
    }

    /// Everything found, in the order it was found.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        self.found
    }

    fn push(&mut self, severity: Severity, object: &str, tag: &str, message: String) {
        let diagnostic = Diagnostic { severity, object: object.to_owned(), tag: tag.to_owned(), message };
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }
}

/// Why one object cannot be used, before it is known whether it will be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    /// The tag at fault as registered, empty where there is none.
    pub(crate) tag: String,
    /// What is wrong and how to mend it.
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(tag: &str, message: impl Into<String>) -> Self {
        Self { tag: tag.to_owned(), message: message.into() }
    }
}
