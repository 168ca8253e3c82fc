//! The templates of v1 and v2 rules: literal text with `{name:regex}` variables, turned into regular expressions.

/// A template, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(String),
    Regexp(String),
}

/// What `{name}` without an expression stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Variable {
    /// Up to the next dot of a host.
    Label,
    /// One segment of a path.
    Segment,
    /// Any value of a query parameter.
    Value,
}

impl Variable {
    fn default_regexp(self) -> &'static str {
        match self {
            Self::Label => "[^.]+",
            Self::Segment => "[^/]+",
            Self::Value => ".*",
        }
    }
}

/// Why a template can never match.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("its braces are not balanced; a comma inside an expression also tears it apart")]
    Braces,
    #[error("a variable needs a name and, after a colon, an expression, as in {{id:[0-9]+}}")]
    Variable,
}

impl Pattern {
    /// Reads a template.
    ///
    /// # Errors
    /// Unbalanced braces, or a variable without a name or with an empty expression.
    pub(crate) fn parse(text: &str, variable: Variable) -> Result<Self, PatternError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, braced) = rest.split_at_checked(open).unwrap_or((rest, ""));
            let close = closing_brace(braced).ok_or(PatternError::Braces)?;
            let inner = braced.get(1..close).ok_or(PatternError::Braces)?;
            push_literal(&mut pieces, literal);
            pieces.push(Piece::Regexp(variable_regexp(inner, variable)?));
            rest = braced.get(close.saturating_add(1)..).unwrap_or_default();
        }
        push_literal(&mut pieces, rest);
        Ok(Self { pieces })
    }

    /// The text itself, where there is no variable in it.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// A regular expression for it, without anchors.
    pub(crate) fn regexp(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => quote(text),
                Piece::Regexp(regexp) => format!("(?:{regexp})"),
            })
            .collect()
    }
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
}

/// Where the brace `text` begins with is closed.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open = open.saturating_add(1),
            '}' => open = open.checked_sub(1)?,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

fn variable_regexp(inner: &str, variable: Variable) -> Result<String, PatternError> {
    let (name, regexp) = inner.split_once(':').unwrap_or((inner, variable.default_regexp()));
    if name.is_empty() || regexp.is_empty() {
        return Err(PatternError::Variable);
    }
    Ok(regexp.to_owned())
}

/// Escapes what a regular expression would not read literally.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_become_groups_and_the_rest_is_quoted() {
        for (text, variable, regexp) in [
            ("{region:[a-z]+}.cart.test", Variable::Label, r"(?:[a-z]+)\.cart\.test"),
            ("{any}.cart.test", Variable::Label, r"(?:[^.]+)\.cart\.test"),
            ("/item/{id}", Variable::Segment, "/item/(?:[^/]+)"),
            ("/r{n:[0-9]{2}}/x", Variable::Segment, "/r(?:[0-9]{2})/x"),
            ("{v}", Variable::Value, "(?:.*)"),
            ("/a+b(c)", Variable::Segment, r"/a\+b\(c\)"),
        ] {
            assert_eq!(Pattern::parse(text, variable).map(|found| found.regexp()), Ok(regexp.into()), "{text}");
        }
    }

    #[test]
    fn text_without_variables_is_literal() {
        assert_eq!(
            Pattern::parse("/a.b", Variable::Segment).ok().and_then(|it| it.literal().map(str::to_owned)),
            Some("/a.b".into())
        );
        assert_eq!(Pattern::parse("/{a}", Variable::Segment).ok().and_then(|it| it.literal().map(str::to_owned)), None);
    }

    #[test]
    fn unusable_templates_are_errors() {
        for (text, error) in [
            ("/{bad", PatternError::Braces),
            ("/bad}", PatternError::Braces),
            ("{r:[a-z]{2", PatternError::Braces),
            ("3}}.cart.test", PatternError::Braces),
            ("/{}", PatternError::Variable),
            ("/{:[0-9]}", PatternError::Variable),
            ("/{id:}", PatternError::Variable),
        ] {
            assert_eq!(Pattern::parse(text, Variable::Segment), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_text_matches_itself_only(text in "[ -~é]{0,12}", other in "[ -~é]{0,12}") {
            let regex = regex_lite::Regex::new(&format!("^{}$", quote(&text)));
            prop_assert!(regex.is_ok());
            for (candidate, expected) in [(&text, true), (&other, text == other)] {
                prop_assert_eq!(regex.as_ref().is_ok_and(|regex| regex.is_match(candidate)), expected);
            }
        }

        #[test]
        fn parsing_never_panics(text in "[a{}:é/]{0,20}") {
            if let Ok(pattern) = Pattern::parse(&text, Variable::Segment) {
                prop_assert_eq!(pattern.literal().is_some(), !text.contains('{'));
            }
        }
    }
}
