//! Go templates, as far as rules need them: pipelines, `if`, `range`, `with`, variables and functions.
//!
//! Why not a library: the one that exists for Rust starts a thread for every parse, which a plugin cannot. Templates
//! come from tags, so nothing here may run away: there are no named templates to recurse into, nesting is bounded by the
//! parser, and steps and output are counted.

mod eval;
mod functions;
mod lexer;
mod parser;
mod value;

#[cfg(any(test, fuzzing))]
pub(crate) use eval::MAX_TEXT;
pub(crate) use functions::{V1_FUNCTIONS, V3_FUNCTIONS, normalize};
pub(crate) use value::Value;

use functions::{Function, Table};
use parser::Node;

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

/// Why a template gives nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("template does not parse: {message} (at byte {at})")]
    Parse { message: String, at: usize },
    #[error("template fails: {0}")]
    Execute(String),
}

/// Functions a template may call besides Go's own, and what they need to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    pub(crate) functions: &'static [Table],
    /// The provider's tag prefix.
    pub(crate) prefix: &'a str,
}

impl Env<'_> {
    /// The function of that name; Go's own cannot be replaced.
    fn function(&self, name: &str) -> Option<Function> {
        let all = functions::BUILTINS.iter().chain(self.functions.iter().copied().flatten());
        all.into_iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// Why there is no function of that name.
    fn refusal(&self, name: &str) -> String {
        match functions::refusal(name) {
            Some(reason) => format!("`{name}` cannot be called: {reason}"),
            None => format!("there is no function `{name}`"),
        }
    }
}

impl Template {
    /// Reads a template; every function it calls has to exist in `env`.
    ///
    /// # Errors
    /// The first place that is not a template of the supported language.
    pub(crate) fn parse(text: &str, env: &Env<'_>) -> Result<Self, TemplateError> {
        Ok(Self { nodes: parser::parse(text, env)? })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// A field that does not exist, a function that refuses its arguments, or too much work or output.
    pub(crate) fn render(&self, data: &Value, env: &Env<'_>) -> Result<String, TemplateError> {
        eval::render(&self.nodes, data, env).map_err(TemplateError::Execute)
    }
}

#[cfg(test)]
mod tests;
