//! Rules: three languages in, one expression tree out, and from there the arena the host compiles.
//!
//! Parsers take `&str` and give a value or an error with the bytes it concerns. Regular expressions are passed on
//! unchecked: the host compiles them, and leaves out a route whose expression it cannot.

pub(crate) mod expr;
pub(crate) mod matchers_tcp;
pub(crate) mod matchers_v2;
pub(crate) mod matchers_v3;
pub(crate) mod pattern;
pub(crate) mod syntax;
pub(crate) mod v1;

use std::ops::Range;

use expr::Expr;

/// What a rule's text means, and what its author should know about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) expr: Expr,
    /// Parts that are accepted but can never match.
    pub(crate) notes: Vec<String>,
}

/// Why a rule was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} (bytes {} to {} of the rule)", span.start, span.end)]
pub(crate) struct RuleError {
    pub(crate) message: String,
    /// The bytes of the rule's text it concerns.
    pub(crate) span: Range<usize>,
}

impl RuleError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), span }
    }
}
