//! Splits a template into text and the tokens of its actions, trim markers and comments applied.

use super::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action { tokens: Vec<Token>, at: usize },
}

/// A token inside an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Whether blanks come before it: `.a .b` is two operands, `.a.b` is one.
    pub(super) spaced: bool,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Name(String),
    /// `.name`
    Field(String),
    /// `$name`, the dollar left aside.
    Variable(String),
    Dot,
    Text(String),
    Int(i64),
    Pipe,
    Open,
    Close,
    Comma,
    Declare,
    Assign,
}

/// Reads the whole template.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0_usize;
    let mut trim_start = false;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let open = rest.find("{{");
        let literal = rest.get(..open.unwrap_or(rest.len())).unwrap_or_default();
        let body_at = at.saturating_add(open.unwrap_or(rest.len())).saturating_add(2);
        let body = text.get(body_at..).unwrap_or_default();
        let trim_end = open.is_some() && body.starts_with("- ");
        push_text(&mut pieces, literal, trim_start, trim_end);
        if open.is_none() {
            return Ok(pieces);
        }
        let start = body_at.saturating_add(if trim_end { 2 } else { 0 });
        let mut lexer = Lexer { text, at: start, tokens: Vec::new(), trim_next: false };
        if !lexer.comment()? {
            lexer.action()?;
            pieces.push(Piece::Action { tokens: lexer.tokens, at: body_at });
        }
        at = lexer.at;
        trim_start = lexer.trim_next;
    }
}

fn push_text(pieces: &mut Vec<Piece>, mut text: &str, trim_start: bool, trim_end: bool) {
    if trim_start {
        text = text.trim_start();
    }
    if trim_end {
        text = text.trim_end();
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    /// Whether the action ended in ` -}}`.
    trim_next: bool,
}

impl<'a> Lexer<'a> {
    /// Skips `/* … */}}`, the only thing in its action.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let Some(rest) = self.rest().strip_prefix("/*") else { return Ok(false) };
        let end = rest.find("*/").ok_or_else(|| self.error("this comment is not closed"))?;
        self.advance(end.saturating_add(4));
        if self.closes() { Ok(true) } else { Err(self.error("a comment ends with `*/}}`")) }
    }

    /// Reads tokens up to and with the closing braces.
    fn action(&mut self) -> Result<(), TemplateError> {
        loop {
            if self.closes() {
                return Ok(());
            }
            let rest = self.rest();
            let trimmed = rest.trim_start();
            let spaced = trimmed.len() != rest.len();
            self.advance(rest.len().saturating_sub(trimmed.len()));
            if spaced && self.closes() {
                return Ok(());
            }
            let at = self.at;
            let kind = self.token()?;
            self.tokens.push(Token { kind, spaced, at });
        }
    }

    fn closes(&mut self) -> bool {
        for (marker, trim) in [("}}", false), (" -}}", true)] {
            if self.rest().starts_with(marker) {
                self.advance(marker.len());
                self.trim_next = trim;
                return true;
            }
        }
        // Blanks before the marker were skipped already.
        let dash = self.rest().starts_with("-}}") && self.before().ends_with(char::is_whitespace);
        if dash {
            self.advance(3);
            self.trim_next = true;
        }
        dash
    }

    fn token(&mut self) -> Result<Kind, TemplateError> {
        let Some(first) = self.rest().chars().next() else {
            return Err(self.error("this action is not closed by `}}`"));
        };
        match first {
            '"' => self.quoted(),
            '`' => self.raw(),
            '.' => {
                self.advance(1);
                let name = self.word();
                Ok(if name.is_empty() { Kind::Dot } else { Kind::Field(name) })
            }
            '$' => {
                self.advance(1);
                Ok(Kind::Variable(self.word()))
            }
            '|' => Ok(self.sign(1, Kind::Pipe)),
            '(' => Ok(self.sign(1, Kind::Open)),
            ')' => Ok(self.sign(1, Kind::Close)),
            ',' => Ok(self.sign(1, Kind::Comma)),
            ':' if self.rest().starts_with(":=") => Ok(self.sign(2, Kind::Declare)),
            '=' => Ok(self.sign(1, Kind::Assign)),
            '-' | '+' | '0'..='9' => self.number(),
            c if c.is_alphabetic() || c == '_' => Ok(Kind::Name(self.word())),
            c => Err(self.error(&format!("unexpected `{c}` in an action"))),
        }
    }

    fn sign(&mut self, length: usize, kind: Kind) -> Kind {
        self.advance(length);
        kind
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.advance(end);
        rest.get(..end).unwrap_or_default().to_owned()
    }

    fn number(&mut self) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let digits = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let end = digits.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(digits.len());
        let end = end.saturating_add(rest.len().saturating_sub(digits.len()));
        let number = rest.get(..end).and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| self.error("only whole decimal numbers are supported"))?;
        self.advance(end);
        Ok(Kind::Int(number))
    }

    fn raw(&mut self) -> Result<Kind, TemplateError> {
        let rest = self.rest().get(1..).unwrap_or_default();
        let end = rest.find('`').ok_or_else(|| self.error("this string is not closed"))?;
        self.advance(end.saturating_add(2));
        Ok(Kind::Text(rest.get(..end).unwrap_or_default().to_owned()))
    }

    fn quoted(&mut self) -> Result<Kind, TemplateError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.advance(at.saturating_add(1));
                    return Ok(Kind::Text(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => return Err(self.error("unknown escape; write the string in backticks instead")),
                },
                c => text.push(c),
            }
        }
        Err(self.error("this string is not closed"))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn before(&self) -> &'a str {
        self.text.get(..self.at).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn error(&self, message: &str) -> TemplateError {
        TemplateError::Parse { message: message.to_owned(), at: self.at }
    }
}
