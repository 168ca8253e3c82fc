//! Traefik's breaker expressions: metrics compared with literals, joined by `&&`, `||` and parentheses.
//!
//! The language is as strict about numbers as Traefik's: a quantile is a float, milliseconds and statuses are integers.
//! Only a ratio may also be compared with an integer, which Traefik refuses and which can mean but one thing.

use std::fmt;
use std::ops::Range;

/// Deeper nesting is refused: evaluation recurses.
pub(crate) const MAX_DEPTH: usize = 32;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// Every part holds.
    All(Vec<Expression>),
    /// One part holds.
    Any(Vec<Expression>),
    /// A metric compares like this with a number.
    Compare(Metric, Relation, f64),
}

/// What can be measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The share of answers with 502 or 504.
    NetworkErrorRatio,
    /// The number of answers with some statuses over the number of answers with others.
    ResponseCodeRatio(Range<u16>, Range<u16>),
    /// The latency that this percentage of answers stayed within.
    LatencyAtQuantileMs(f64),
    /// Requests in the window.
    RequestThreshold,
}

/// How a value compares with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// Where measured values come from.
pub trait Metrics {
    /// The value of a metric now.
    fn value(&self, metric: &Metric) -> f64;
}

impl Expression {
    /// Reads an expression, and what the operator should know about it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let mut parser = Parser { text, rest: text, depth: 0, notes: Vec::new() };
        let parsed = parser.any().and_then(|expression| match parser.next() {
            Token::End => Ok(expression),
            token => Err(format!("`{token}` is not expected there")),
        });
        parsed.map(|expression| (expression, parser.notes)).map_err(|error| format!("expression `{text}`: {error}"))
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, metrics: &impl Metrics) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(metrics)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(metrics)),
            Self::Compare(metric, relation, limit) => relation.holds(metrics.value(metric), *limit),
        }
    }

    /// The comparisons that hold, with what was measured, for people.
    #[must_use]
    pub fn reason(&self, metrics: &impl Metrics) -> String {
        let mut found = Vec::new();
        self.collect(metrics, &mut found);
        found.join(", ")
    }

    fn collect(&self, metrics: &impl Metrics, found: &mut Vec<String>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.collect(metrics, found)),
            Self::Compare(metric, relation, limit) => {
                let value = metrics.value(metric);
                if relation.holds(value, *limit) {
                    found.push(format!("{metric} is {value:.3} {relation} {limit}"));
                }
            }
        }
    }

    /// Whether it looks at latencies, which cost memory.
    #[must_use]
    pub fn needs_latency(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::needs_latency),
            Self::Compare(metric, ..) => matches!(metric, Metric::LatencyAtQuantileMs(_)),
        }
    }
}

impl Relation {
    #[expect(clippy::float_cmp, reason = "as Traefik compares")]
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Equal => value == limit,
            Self::Unequal => value != limit,
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::Greater => value > limit,
            Self::AtLeast => value >= limit,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkErrorRatio => out.write_str("NetworkErrorRatio()"),
            Self::ResponseCodeRatio(codes, of) => {
                write!(out, "ResponseCodeRatio({}, {}, {}, {})", codes.start, codes.end, of.start, of.end)
            }
            Self::LatencyAtQuantileMs(quantile) => write!(out, "LatencyAtQuantileMS({quantile:?})"),
            Self::RequestThreshold => out.write_str("RequestThreshold()"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Integer(&'a str),
    Float(&'a str),
    /// Punctuation and operators.
    Sign(&'a str),
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Integer(text) | Self::Float(text) | Self::Sign(text) => out.write_str(text),
            Self::End => out.write_str("the end"),
        }
    }
}

/// Longer ones first.
const SIGNS: [&str; 12] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "(", ")", ",", "!"];

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
    notes: Vec<String>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        let rest = self.rest.trim_start();
        let first = rest.chars().next();
        let length = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let until = |end: usize| rest.get(..end).unwrap_or(rest);
        match first {
            None => Token::End,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                Token::Word(until(length(|c| c.is_ascii_alphanumeric() || c == '_')))
            }
            Some(c) if c.is_ascii_digit() || c == '.' => number(rest),
            Some(c) => {
                Token::Sign(SIGNS.into_iter().find(|sign| rest.starts_with(sign)).unwrap_or(until(c.len_utf8())))
            }
        }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        if let Token::Word(text) | Token::Integer(text) | Token::Float(text) | Token::Sign(text) = token {
            self.rest = self.rest.trim_start().get(text.len()..).unwrap_or_default();
        }
        token
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        match self.next() {
            Token::Sign(found) if found == sign => Ok(()),
            token => Err(format!("`{sign}` is expected, not `{token}`")),
        }
    }

    fn any(&mut self) -> Result<Expression, String> {
        self.joined("||", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Result<Expression, String> {
        self.joined("&&", Self::unit, Expression::All)
    }

    fn joined(
        &mut self,
        sign: &str,
        part: fn(&mut Self) -> Result<Expression, String>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, String> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.peek() == Token::Sign(sign) {
            self.next();
            parts.push(part(self)?);
        }
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            last => Ok(join(parts.into_iter().chain(last).collect())),
        }
    }

    fn unit(&mut self) -> Result<Expression, String> {
        if self.peek() != Token::Sign("(") {
            return self.comparison();
        }
        self.next();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} parentheses are open at once"));
        }
        let inner = self.any()?;
        self.depth -= 1;
        self.expect(")")?;
        Ok(inner)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let metric = self.metric()?;
        let relation = match self.next() {
            Token::Sign("==") => Relation::Equal,
            Token::Sign("!=") => Relation::Unequal,
            Token::Sign("<") => Relation::Less,
            Token::Sign("<=") => Relation::AtMost,
            Token::Sign(">") => Relation::Greater,
            Token::Sign(">=") => Relation::AtLeast,
            token => return Err(format!("`{metric}` has to be compared with a number, as by `>`; found `{token}`")),
        };
        let limit = self.limit(&metric, relation)?;
        Ok(Expression::Compare(metric, relation, limit))
    }

    fn metric(&mut self) -> Result<Metric, String> {
        let name = match self.next() {
            Token::Word(name) => name,
            token => return Err(format!("a metric such as `NetworkErrorRatio()` is expected, not `{token}`")),
        };
        self.expect("(")?;
        let metric = match name {
            "NetworkErrorRatio" => Metric::NetworkErrorRatio,
            "RequestThreshold" => Metric::RequestThreshold,
            "LatencyAtQuantileMS" => Metric::LatencyAtQuantileMs(self.quantile()?),
            "ResponseCodeRatio" => Metric::ResponseCodeRatio(
                self.status()?..self.another_status()?,
                self.another_status()?..self.another_status()?,
            ),
            _ => {
                return Err(format!(
                    "there is no metric `{name}`; there are NetworkErrorRatio, ResponseCodeRatio, \
                     LatencyAtQuantileMS and RequestThreshold"
                ));
            }
        };
        self.expect(")")?;
        Ok(metric)
    }

    fn quantile(&mut self) -> Result<f64, String> {
        match self.next() {
            Token::Float(text) => text.parse().map_err(|_| format!("`{text}` is not a number")),
            token => Err(format!("a quantile is a float such as `50.0`, not `{token}`")),
        }
    }

    fn status(&mut self) -> Result<u16, String> {
        match self.next() {
            Token::Integer(text) => text.parse().map_err(|_| format!("`{text}` is not a status")),
            token => Err(format!("a status is an integer such as `500`, not `{token}`")),
        }
    }

    fn another_status(&mut self) -> Result<u16, String> {
        self.expect(",")?;
        self.status()
    }

    fn limit(&mut self, metric: &Metric, relation: Relation) -> Result<f64, String> {
        let is_ratio = matches!(metric, Metric::NetworkErrorRatio | Metric::ResponseCodeRatio(..));
        let (text, is_float) = match self.next() {
            Token::Float(text) => (text, true),
            Token::Integer(text) => (text, false),
            token => return Err(format!("`{metric}` has to be compared with a number, not with `{token}`")),
        };
        let limit: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
        match (is_ratio, is_float) {
            (true, true) | (false, false) => {}
            (false, true) => return Err(format!("`{metric}` is an integer, so it cannot be compared with `{text}`")),
            // A mistaken percentage would be a breaker that never opens.
            (true, false) if *metric == Metric::NetworkErrorRatio && relation.never_holds_up_to_one(limit) => {
                return Err(format!(
                    "`{metric} {relation} {text}` never holds: a ratio is between 0.0 and 1.0; write it as `0.5`"
                ));
            }
            (true, false) => self.notes.push(format!(
                "expression `{}`: `{metric}` is a float; `{text}` is read as `{text}.0`, which Traefik refuses",
                self.text
            )),
        }
        Ok(limit)
    }
}

impl Relation {
    fn never_holds_up_to_one(self, limit: f64) -> bool {
        match self {
            Self::Greater => limit >= 1.0,
            Self::AtLeast | Self::Equal => limit > 1.0,
            Self::Unequal | Self::Less | Self::AtMost => false,
        }
    }
}

/// A number as Go writes it, without a sign.
fn number(text: &str) -> Token<'_> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let mut end = digits(0);
    let mut is_float = false;
    if text.get(end..).is_some_and(|rest| rest.starts_with('.')) {
        is_float = true;
        end = digits(end + 1);
    }
    if text.get(end..).is_some_and(|rest| rest.starts_with(['e', 'E'])) {
        let signed = text.get(end + 1..).is_some_and(|rest| rest.starts_with(['+', '-']));
        let after = digits(end + 1 + usize::from(signed));
        if after > end + 1 + usize::from(signed) {
            is_float = true;
            end = after;
        }
    }
    let text = text.get(..end).unwrap_or(text);
    if is_float { Token::Float(text) } else { Token::Integer(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    struct Measured {
        network: f64,
        codes: f64,
        latency: f64,
        requests: f64,
    }

    impl Metrics for Measured {
        fn value(&self, metric: &Metric) -> f64 {
            match metric {
                Metric::NetworkErrorRatio => self.network,
                Metric::ResponseCodeRatio(..) => self.codes,
                Metric::LatencyAtQuantileMs(_) => self.latency,
                Metric::RequestThreshold => self.requests,
            }
        }
    }

    const MEASURED: Measured = Measured { network: 0.5, codes: 0.25, latency: 100.0, requests: 20.0 };

    #[test]
    fn what_traefik_accepts_is_accepted_and_compared() {
        for (text, expected) in [
            ("NetworkErrorRatio() > 0.5", false),
            ("NetworkErrorRatio() > .4", true),
            ("NetworkErrorRatio() > 0.", true),
            ("NetworkErrorRatio() > 1e-1", true),
            ("NetworkErrorRatio() == 0.5", true),
            ("NetworkErrorRatio()!=0.5", false),
            ("NetworkErrorRatio() > 1.5", false),
            ("LatencyAtQuantileMS(50.0) >= 100", true),
            ("LatencyAtQuantileMS(50.0) < 100", false),
            ("ResponseCodeRatio(500, 600, 0, 600) > 0.25", false),
            ("ResponseCodeRatio(500,600,0,600) <= 0.25", true),
            ("RequestThreshold() > 19", true),
            ("NetworkErrorRatio() > 0.9 && RequestThreshold() > 1 || LatencyAtQuantileMS(99.9) == 100", true),
            ("NetworkErrorRatio() > 0.9 && (RequestThreshold() > 1 || LatencyAtQuantileMS(99.9) == 100)", false),
            (" ( ( NetworkErrorRatio ( ) > 0.4 ) ) ", true),
        ] {
            let (expression, notes) = Expression::parse(text).unwrap();
            assert_eq!(expression.holds(&MEASURED), expected, "{text}");
            assert!(notes.is_empty(), "{text}: {notes:?}");
        }
    }

    #[test]
    fn a_ratio_may_be_compared_with_an_integer() {
        for text in ["NetworkErrorRatio() >= 1", "ResponseCodeRatio(500, 600, 0, 600) > 1", "NetworkErrorRatio() > 0"] {
            let (_, notes) = Expression::parse(text).unwrap();
            assert!(notes.first().is_some_and(|note| note.contains("which Traefik refuses")), "{text}: {notes:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (text, expected) in [
            ("", "a metric such as `NetworkErrorRatio()` is expected, not `the end`"),
            ("NetworkErrorRatio() > 1", "never holds"),
            ("NetworkErrorRatio() > 50", "never holds"),
            ("NetworkErrorRatio()", "has to be compared with a number, as by `>`; found `the end`"),
            ("NetworkErrorRatio() > -0.5", "not with `-`"),
            ("NetworkErrorRatio() > 50%", "never holds"),
            ("NetworkErrorRatio() > 0.5%", "`%` is not expected there"),
            ("0.5 < NetworkErrorRatio()", "is expected, not `0.5`"),
            ("!NetworkErrorRatio() > 0.5", "is expected, not `!`"),
            ("NetworkErrorRatio() > 0.5 and RequestThreshold() > 1", "`and` is not expected there"),
            ("networkErrorRatio() > 0.5", "there is no metric `networkErrorRatio`"),
            ("LatencyAtQuantileMS(50) > 100", "a quantile is a float such as `50.0`, not `50`"),
            ("LatencyAtQuantileMS(50.0) > 100.0", "is an integer, so it cannot be compared with `100.0`"),
            ("ResponseCodeRatio(500.0, 600, 0, 600) > 0.25", "a status is an integer"),
            ("ResponseCodeRatio(500, 600, 0) > 0.25", "`,` is expected, not `)`"),
            ("(NetworkErrorRatio() > 0.5", "`)` is expected, not `the end`"),
            ("NetworkErrorRatio() > 0.5)", "`)` is not expected there"),
            ("NetworkErrorRatio > 0.5", "`(` is expected, not `>`"),
            ("NetworkErrorRatio(1) > 0.5", "`)` is expected, not `1`"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(expected) && error.contains(text), "{text}: {error}");
        }
        assert!(Expression::parse(&"(".repeat(100_000)).unwrap_err().contains("parentheses"));
    }

    #[test]
    fn the_reason_names_what_holds() {
        let (expression, _) = Expression::parse("NetworkErrorRatio() > 0.4 || RequestThreshold() > 100").unwrap();
        assert_eq!(expression.reason(&MEASURED), "NetworkErrorRatio() is 0.500 > 0.4");
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[NetworkErrorRatio()<>=&|!0-9.eE, é]{0,40}") {
            let _ = Expression::parse(&text);
        }
    }
}
