//! The grammar of matcher calls joined by `&&`, `||`, `!` and parentheses, which v3 rules, v2 rules and v3 constraints
//! share. It knows no matcher; what a call means is decided by whoever resolves the calls.

use std::ops::Range;

use super::RuleError;
use super::expr::Expr;

/// Deeper nesting than this is refused: nobody writes it, and everything that walks the tree may recurse.
pub(crate) const MAX_DEPTH: usize = 64;

/// `Name("argument", …)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    /// The bytes of the whole call.
    pub(crate) span: Range<usize>,
}

/// Reads a whole expression.
///
/// # Errors
/// The first place that does not follow the grammar.
pub(crate) fn parse(text: &str) -> Result<Expr<Call>, RuleError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let tree = parser.any()?;
    parser.blanks();
    if parser.at < text.len() {
        return Err(parser.unexpected("`&&`, `||` or the end"));
    }
    Ok(tree)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Expr<Call>, RuleError> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(Expr::any(parts))
    }

    fn all(&mut self) -> Result<Expr<Call>, RuleError> {
        let first = self.unary()?;
        let mut parts = vec![first];
        while self.take("&&") {
            parts.push(self.unary()?);
        }
        Ok(Expr::all(parts))
    }

    fn unary(&mut self) -> Result<Expr<Call>, RuleError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(RuleError::new(self.at..self.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let tree = if self.take("!") {
            Expr::Not(Box::new(self.unary()?))
        } else if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else {
            Expr::Leaf(self.call()?)
        };
        self.depth = self.depth.saturating_sub(1);
        Ok(tree)
    }

    fn call(&mut self) -> Result<Call, RuleError> {
        self.blanks();
        let start = self.at;
        let name = self.name()?;
        self.expect("(")?;
        let mut args = Vec::new();
        while !self.take(")") {
            args.push(self.string()?);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(Call { name, args, span: start..self.at })
    }

    fn name(&mut self) -> Result<String, RuleError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        match rest.get(..end) {
            Some(name) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                self.at = self.at.saturating_add(end);
                Ok(name.to_owned())
            }
            _ => Err(self.unexpected("a matcher such as Host(`example.org`)")),
        }
    }

    /// A string in backticks, as written, or in double quotes with Go's escapes.
    fn string(&mut self) -> Result<String, RuleError> {
        self.blanks();
        let start = self.at;
        if self.take("`") {
            let end = self.rest().find('`').ok_or_else(|| self.unterminated(start))?;
            let value = self.rest().get(..end).unwrap_or_default().to_owned();
            self.at = self.at.saturating_add(end).saturating_add(1);
            return Ok(value);
        }
        if self.take("\"") {
            return self.quoted(start);
        }
        Err(self.unexpected("an argument in backticks or double quotes"))
    }

    fn quoted(&mut self, start: usize) -> Result<String, RuleError> {
        let mut bytes = Vec::new();
        loop {
            let at = self.at;
            match self.next() {
                None | Some('\n') => return Err(self.unterminated(start)),
                Some('"') => break,
                Some('\\') => self.escape(at, &mut bytes)?,
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        String::from_utf8(bytes).map_err(|_| RuleError::new(start..self.at, "the escapes in this string are not UTF-8"))
    }

    fn escape(&mut self, start: usize, bytes: &mut Vec<u8>) -> Result<(), RuleError> {
        let plain = match self.next() {
            Some('a') => 7,
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 11,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => return self.byte(start, 2, 16, bytes),
            Some('u') => return self.scalar(start, 4, bytes),
            Some('U') => return self.scalar(start, 8, bytes),
            Some('0'..='7') => {
                self.at = self.at.saturating_sub(1);
                return self.byte(start, 3, 8, bytes);
            }
            _ => return Err(self.bad_escape(start)),
        };
        bytes.push(plain);
        Ok(())
    }

    fn byte(&mut self, start: usize, digits: usize, radix: u32, bytes: &mut Vec<u8>) -> Result<(), RuleError> {
        let value = self.number(digits, radix).and_then(|value| u8::try_from(value).ok());
        bytes.push(value.ok_or_else(|| self.bad_escape(start))?);
        Ok(())
    }

    fn scalar(&mut self, start: usize, digits: usize, bytes: &mut Vec<u8>) -> Result<(), RuleError> {
        let value = self.number(digits, 16).and_then(char::from_u32).ok_or_else(|| self.bad_escape(start))?;
        bytes.extend_from_slice(value.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn number(&mut self, digits: usize, radix: u32) -> Option<u32> {
        let text = self.rest().get(..digits)?;
        // `from_str_radix` would also take a sign.
        if !text.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        self.at = self.at.saturating_add(digits);
        u32::from_str_radix(text, radix).ok()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at = self.at.saturating_add(c.len_utf8());
        Some(c)
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.at = self.at.saturating_add(rest.len().saturating_sub(trimmed.len()));
    }

    /// Whether `token` came next, blanks before it skipped.
    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), RuleError> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(&format!("`{token}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> RuleError {
        match self.rest().chars().next() {
            None => RuleError::new(self.at..self.at, format!("expected {wanted}, but the rule ends here")),
            Some(found) => {
                let end = self.at.saturating_add(found.len_utf8());
                RuleError::new(self.at..end, format!("expected {wanted}, found `{found}`"))
            }
        }
    }

    fn unterminated(&self, start: usize) -> RuleError {
        RuleError::new(start..self.text.len(), "this string is not closed")
    }

    fn bad_escape(&self, start: usize) -> RuleError {
        RuleError::new(start..self.at, "unknown escape in double quotes; write the string in backticks instead")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Spells a tree back, spans left aside.
    fn spell(tree: &Expr<Call>) -> String {
        let each = |parts: &[Expr<Call>], with: &str| parts.iter().map(spell).collect::<Vec<_>>().join(with);
        match tree {
            Expr::All(parts) => format!("({})", each(parts, " && ")),
            Expr::Any(parts) => format!("({})", each(parts, " || ")),
            Expr::Not(inner) => format!("!{}", spell(inner)),
            Expr::Leaf(call) => {
                let args: Vec<_> = call.args.iter().map(|arg| format!("`{arg}`")).collect();
                format!("{}({})", call.name, args.join(","))
            }
        }
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tighter_than_both() {
        for (text, meaning) in [
            ("A(`1`)", "A(`1`)"),
            ("A(`1`) || B(`2`) && C(`3`)", "(A(`1`) || (B(`2`) && C(`3`)))"),
            ("(A(`1`) || B(`2`)) && C(`3`)", "((A(`1`) || B(`2`)) && C(`3`))"),
            ("!A(`1`) && B(`2`)", "(!A(`1`) && B(`2`))"),
            ("!(A(`1`) || B(`2`))", "!(A(`1`) || B(`2`))"),
            ("!!A(`1`)", "!!A(`1`)"),
            ("A(`1`)&&B(`2`)&&C(`3`)", "(A(`1`) && B(`2`) && C(`3`))"),
            ("  A ( `1` , \"2\" ) ", "A(`1`,`2`)"),
            ("A()", "A()"),
            ("A(`1`,)", "A(`1`)"),
        ] {
            assert_eq!(parse(text).as_ref().map(spell), Ok(meaning.into()), "{text}");
        }
    }

    #[test]
    fn double_quotes_have_gos_escapes() {
        for (text, value) in [
            (r#"A("h.test")"#, "h.test"),
            (r#"A("\\d\t\"\x41\101\u00e9\U0001F600")"#, "\\d\t\"AAé😀"),
            (r"A(`\d`)", r"\d"),
        ] {
            let Expr::Leaf(call) = parse(text).unwrap() else { unreachable!("one call") };
            assert_eq!(call.args, [value], "{text}");
        }
        for text in [r#"A("\.")"#, r#"A("\'")"#, r#"A("\x4")"#, r#"A("\xff")"#, r#"A("\ud800")"#, r#"A("\400")"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_bytes() {
        for (text, span) in [
            ("", 0..0),
            ("A(`1`) and B(`2`)", 7..8),
            ("A('1')", 2..3),
            ("A(`1`", 5..5),
            ("A(`1)", 2..5),
            ("A(`1`) &&", 9..9),
            ("(A(`1`)", 7..7),
            ("A(`1`))", 6..7),
            ("A(é)", 2..4),
            ("A(1)", 2..3),
            ("A", 1..1),
        ] {
            assert_eq!(parse(text).map_err(|error| error.span), Err(span), "{text}");
        }
    }

    #[test]
    fn absurd_nesting_is_refused_and_reasonable_nesting_is_not() {
        assert!(parse(&format!("{}A(`1`){}", "(".repeat(60), ")".repeat(60))).is_ok());
        assert!(parse(&format!("{}A(`1`){}", "(".repeat(100_000), ")".repeat(100_000))).is_err());
        assert!(parse(&format!("{}A(`1`)", "!".repeat(100_000))).is_err());
        assert!(parse(&vec!["A(`1`)"; 10_000].join(" && ")).is_ok(), "long is not deep");
    }

    fn trees() -> impl Strategy<Value = Expr<Call>> {
        let call = ("[A-Z][a-z]{0,3}", prop::collection::vec("[^`]{0,5}", 0..3))
            .prop_map(|(name, args)| Expr::Leaf(Call { name, args, span: 0..0 }));
        call.prop_recursive(4, 30, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::All),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Any),
                inner.prop_map(|part| Expr::Not(Box::new(part))),
            ]
        })
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in r#"[AB(),`"\\ !&|x7éu\n]{0,40}"#) {
            if let Err(error) = parse(&text) {
                prop_assert!(text.get(error.span.clone()).is_some(), "{:?} is no part of {text:?}", error.span);
            }
        }

        #[test]
        fn what_is_spelled_is_read_back(tree in trees()) {
            let text = spell(&tree);
            let read = parse(&text);
            prop_assert_eq!(read.as_ref().map(spell), Ok(text));
        }
    }
}
