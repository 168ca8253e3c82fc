//! Expressions that say whether a request is to be sent once more, as Traefik's `retryExpression` spells them:
//! `IsNetworkError() && Attempts() <= 2 || ResponseCode() == 503`.

/// A checked expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryExpression {
    root: Node,
}

/// What an expression is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Counts from 1.
    pub number: u64,
    /// The status of the answer, also of one the gateway made up.
    pub code: u16,
    /// The request's method.
    pub method: &'a str,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("retry expression `{text}`: {problem}")]
pub struct ExpressionError {
    text: String,
    problem: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    IsNetworkError,
    Number(Number, Comparison, u64),
    Method(bool, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Attempts,
    ResponseCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Longer operators first: `<=` begins with `<`.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// Parentheses and negations deeper than this are refused: reading them recurses.
const MAX_DEPTH: usize = 32;

impl RetryExpression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parser = Parser { rest: text.trim_start() };
        let parsed = parser.any(0).and_then(|root| match parser.rest {
            "" => Ok(Self { root }),
            rest => Err(format!("`{rest}` is left over")),
        });
        parsed.map_err(|problem| ExpressionError { text: text.to_owned(), problem })
    }

    /// Whether the request is to be sent once more.
    #[must_use]
    pub fn holds(&self, attempt: &Attempt<'_>) -> bool {
        self.root.holds(attempt)
    }
}

impl Node {
    fn holds(&self, attempt: &Attempt<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(attempt)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(attempt)),
            Self::Not(node) => !node.holds(attempt),
            Self::IsNetworkError => matches!(attempt.code, 502 | 504),
            Self::Number(Number::Attempts, comparison, wanted) => comparison.holds(attempt.number, *wanted),
            Self::Number(Number::ResponseCode, comparison, wanted) => {
                comparison.holds(u64::from(attempt.code), *wanted)
            }
            Self::Method(equal, wanted) => (attempt.method == wanted) == *equal,
        }
    }
}

impl Comparison {
    fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// What is still to be read, without blanks before it.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// Takes characters as long as they fit.
    fn word(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn any(&mut self, depth: usize) -> Result<Node, String> {
        let mut nodes = vec![self.all(depth)?];
        while self.take("||") {
            nodes.push(self.all(depth)?);
        }
        Ok(only_or(nodes, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, String> {
        let mut nodes = vec![self.one(depth)?];
        while self.take("&&") {
            nodes.push(self.one(depth)?);
        }
        Ok(only_or(nodes, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is more than {MAX_DEPTH} levels deep"));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err("a `)` is missing".to_owned()) };
        }
        if self.take("!") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        let name = self.word(|c| c.is_ascii_alphanumeric());
        if !(self.take("(") && self.take(")")) {
            return Err(format!("a function such as `Attempts()` is expected at `{name}{}`", self.rest));
        }
        match name {
            "IsNetworkError" => Ok(Node::IsNetworkError),
            "Attempts" => self.number(Number::Attempts),
            "ResponseCode" => self.number(Number::ResponseCode),
            "RequestMethod" => self.method(),
            _ => Err(format!("`{name}` is none of IsNetworkError, Attempts, ResponseCode, RequestMethod")),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        let found = COMPARISONS.iter().find(|(token, _)| self.take(token));
        found.map(|(_, comparison)| *comparison).ok_or_else(|| format!("a comparison is expected at `{}`", self.rest))
    }

    fn number(&mut self, number: Number) -> Result<Node, String> {
        let comparison = self.comparison()?;
        let digits = self.word(|c| c.is_ascii_digit());
        let wanted = digits.parse().map_err(|_| format!("an integer is expected at `{digits}{}`", self.rest))?;
        Ok(Node::Number(number, comparison, wanted))
    }

    fn method(&mut self) -> Result<Node, String> {
        let equal = match self.comparison()? {
            Comparison::Equal => true,
            Comparison::NotEqual => false,
            _ => return Err("methods are compared by `==` and `!=`".to_owned()),
        };
        let quote = ['"', '`'].into_iter().find(|quote| self.rest.starts_with(*quote));
        let quoted = quote.and_then(|quote| self.rest.get(1..)?.split_once(quote));
        let (method, rest) = quoted.ok_or_else(|| format!("a quoted method is expected at `{}`", self.rest))?;
        self.rest = rest.trim_start();
        Ok(Node::Method(equal, method.to_owned()))
    }
}

fn only_or(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match (nodes.len(), nodes.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn holds(text: &str, number: u64, code: u16, method: &str) -> bool {
        RetryExpression::parse(text).unwrap().holds(&Attempt { number, code, method })
    }

    #[test]
    fn every_function_and_comparison() {
        assert!(holds("IsNetworkError()", 1, 502, "GET") && holds("IsNetworkError()", 1, 504, "GET"));
        assert!(!holds("IsNetworkError()", 1, 503, "GET"));
        for (text, first, second, third) in [
            ("Attempts() < 2", true, false, false),
            ("Attempts() <= 2", true, true, false),
            ("Attempts()==2", false, true, false),
            ("Attempts() != 2", true, false, true),
            ("Attempts() > 2", false, false, true),
            ("Attempts() >= 2", false, true, true),
        ] {
            let all = [1, 2, 3].map(|number| holds(text, number, 500, "GET"));
            assert_eq!(all, [first, second, third], "{text}");
        }
        assert!(
            holds(r#"RequestMethod() == "GET""#, 1, 500, "GET") && holds("RequestMethod() != `GET`", 1, 500, "PUT")
        );
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let text = "ResponseCode() == 503 || IsNetworkError() && Attempts() <= 2";
        assert!(holds(text, 9, 503, "GET") && holds(text, 2, 502, "GET") && !holds(text, 3, 502, "GET"));
        let text = "(ResponseCode() == 503 || IsNetworkError()) && !(Attempts() > 2)";
        assert!(holds(text, 2, 503, "GET") && !holds(text, 3, 503, "GET"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "a function such as"),
            ("Attempts()", "a comparison is expected"),
            ("Attempts() <= two", "an integer is expected at `two`"),
            ("Attempts() <= 2 &&", "a function such as"),
            ("Attempts() <= 2 x", "`x` is left over"),
            ("(Attempts() <= 2", "a `)` is missing"),
            ("Latency() > 2", "`Latency` is none of"),
            ("RequestMethod() < \"GET\"", "compared by"),
            ("RequestMethod() == GET", "a quoted method"),
            ("IsNetworkError", "a function such as"),
        ] {
            let error = RetryExpression::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(RetryExpression::parse(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[A-Za-z0-9()&|!<>= `\"é]{0,40}") {
            let _ = RetryExpression::parse(&text);
        }
    }
}
