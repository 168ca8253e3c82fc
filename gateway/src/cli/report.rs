//! Problems as people and programs want to see them.

use std::fmt;
use std::io::{IsTerminal, Write};

use miette::{Diagnostic, GraphicalReportHandler, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value, json};

use crate::config::{Place, Problem};

/// Lists problems on the standard error: with the lines they are about on a terminal, one a line elsewhere.
pub(super) fn complain(problems: &[Problem]) {
    let mut text = String::new();
    let draw = std::io::stderr().is_terminal();
    for problem in problems {
        match drawn(problem).filter(|_| draw) {
            Some(drawing) => text.push_str(&drawing),
            None => text.push_str(&format!("{problem}\n")),
        }
    }
    text.push_str(&match problems.len() {
        1 => "1 problem\n".to_owned(),
        count => format!("{count} problems\n"),
    });
    // There is nobody left to tell if this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Lists what works and should be written otherwise, one a line on the standard error.
pub(super) fn warn(warnings: &[Problem]) {
    let text: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    // There is nobody left to tell if this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// `{ "ok": …, "problems": [ … ], "warnings": [ … ] }`
pub(super) fn json(problems: &[Problem], warnings: &[Problem]) -> Value {
    let problem = |problem: &Problem| {
        let (line, column) = problem.place.line_and_column().unzip();
        let file = match &problem.place {
            Place::Text { source, .. } => Some(source.name.as_str()),
            Place::File(name) => Some(name.as_str()),
            _ => None,
        };
        json!({
            "place": problem.place.to_string(),
            "file": file,
            "line": line,
            "column": column,
            "key": problem.key,
            "message": problem.message,
            "hint": problem.hint,
        })
    };
    json!({
        "ok": problems.is_empty(),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(problem).collect::<Vec<_>>(),
    })
}

/// The problem under its line, where it has one.
fn drawn(problem: &Problem) -> Option<String> {
    let Place::Text { source, span } = &problem.place else {
        return None;
    };
    let drawing = Drawing {
        problem,
        source: NamedSource::new(source.name.clone(), source.text.clone()),
        span: (span.start, span.len().max(1)),
    };
    let mut text = String::new();
    GraphicalReportHandler::new().with_width(120).render_report(&mut text, &drawing).ok()?;
    Some(text)
}

#[derive(Debug)]
struct Drawing<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
    span: (usize, usize),
}

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.problem.key.is_empty() {
            write!(out, "{}: ", self.problem.key)?;
        }
        out.write_str(&self.problem.message)
    }
}

impl std::error::Error for Drawing<'_> {}

impl Diagnostic for Drawing<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = self.problem.hint.as_ref()?;
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let here = LabeledSpan::new(Some("here".to_owned()), self.span.0, self.span.1);
        Some(Box::new(std::iter::once(here)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::config::SourceText;

    fn problem() -> Problem {
        let text = "[log]\nlevle = \"info\"\n".to_owned();
        let source = Arc::new(SourceText { name: "sluice.toml".into(), text });
        Problem::new(Place::Text { source, span: 6..11 }, "log", "unknown key `levle`").hint("did you mean `level`?")
    }

    #[test]
    fn a_drawing_shows_the_line_and_the_hint() {
        let text = drawn(&problem()).unwrap();
        for part in ["log: unknown key `levle`", "sluice.toml:2:1", "levle = \"info\"", "did you mean `level`?"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(drawn(&Problem::new(Place::Nowhere, "", "x")), None);
    }

    #[test]
    fn programs_get_numbers() {
        let shown = json!({
            "place": "sluice.toml:2:1", "file": "sluice.toml", "line": 2, "column": 1,
            "key": "log", "message": "unknown key `levle`", "hint": "did you mean `level`?",
        });
        assert_eq!(json(&[problem()], &[]), json!({ "ok": false, "problems": [shown], "warnings": [] }));
        assert_eq!(json(&[], &[problem()]), json!({ "ok": true, "problems": [], "warnings": [shown] }));
    }
}
