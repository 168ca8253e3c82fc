//! Pieces to a tree: blocks closed by `{{end}}`, pipelines of commands, operands with fields.

use super::lexer::{Kind, Piece, Token, split};
use super::{Env, TemplateError, Value};

/// Deeper nesting of blocks and parentheses is refused, so that evaluating may recurse.
const MAX_DEPTH: usize = 32;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Block),
    With(Block),
    Range(Block),
}

/// A pipeline that decides about a body. `{{else if}}` is an `If` that stands alone in `otherwise`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A value, and the fields asked of it.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Call(String),
    Pipeline(Box<Pipeline>),
}

/// Reads a whole template.
pub(super) fn parse(text: &str, env: &Env<'_>) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: split(text)?.into_iter(), env, depth: 0 };
    match parser.body()? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::Else(_, at) | Stop::End(at)) => Err(error("`end` or `else` without a block", at)),
    }
}

/// What a body ended with.
enum Stop {
    Text,
    End(usize),
    /// What follows `else`.
    Else(Vec<Token>, usize),
}

struct Parser<'a> {
    pieces: std::vec::IntoIter<Piece>,
    env: &'a Env<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn body(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (tokens, at) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { tokens, at } => (tokens, at),
            };
            match keyword(&tokens) {
                Some("end") => return Ok((nodes, Stop::End(at))),
                Some("else") => return Ok((nodes, Stop::Else(without_first(tokens), at))),
                Some("if") => nodes.push(Node::If(self.block(without_first(tokens), at)?)),
                Some("with") => nodes.push(Node::With(self.block(without_first(tokens), at)?)),
                Some("range") => nodes.push(Node::Range(self.block(without_first(tokens), at)?)),
                Some(word @ ("define" | "template" | "block" | "break" | "continue")) => {
                    return Err(error(&format!("`{word}` is not supported in rule templates"), at));
                }
                _ => nodes.push(Node::Action(self.pipeline(tokens, at)?)),
            }
        }
        Ok((nodes, Stop::Text))
    }

    fn block(&mut self, tokens: Vec<Token>, at: usize) -> Result<Block, TemplateError> {
        self.deeper(at)?;
        let pipeline = self.pipeline(tokens, at)?;
        let (body, end) = self.body()?;
        let otherwise = match end {
            Stop::End(_) => Vec::new(),
            Stop::Else(tokens, at) if tokens.is_empty() => match self.body()? {
                (otherwise, Stop::End(_)) => otherwise,
                _ => return Err(error("this `else` is not closed by `{{end}}`", at)),
            },
            Stop::Else(tokens, at) => vec![self.else_block(tokens, at)?],
            Stop::Text => return Err(error("this block is not closed by `{{end}}`", at)),
        };
        self.depth = self.depth.saturating_sub(1);
        Ok(Block { pipeline, body, otherwise })
    }

    fn else_block(&mut self, tokens: Vec<Token>, at: usize) -> Result<Node, TemplateError> {
        match keyword(&tokens) {
            Some("if") => Ok(Node::If(self.block(without_first(tokens), at)?)),
            Some("with") => Ok(Node::With(self.block(without_first(tokens), at)?)),
            _ => Err(error("`else` is followed by `if`, `with` or nothing", at)),
        }
    }

    fn deeper(&mut self, at: usize) -> Result<(), TemplateError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH { Err(error("nested too deeply", at)) } else { Ok(()) }
    }

    fn pipeline(&mut self, tokens: Vec<Token>, at: usize) -> Result<Pipeline, TemplateError> {
        let mut tokens = Tokens { rest: tokens.into_iter().peekable(), at };
        let (variables, declares) = tokens.declaration()?;
        let pipeline = self.commands(&mut tokens, variables, declares)?;
        match tokens.rest.next() {
            None => Ok(pipeline),
            Some(token) => Err(error("unexpected `)`", token.at)),
        }
    }

    /// Up to the end or an unmatched `)`.
    fn commands(
        &mut self,
        tokens: &mut Tokens,
        variables: Vec<String>,
        declares: bool,
    ) -> Result<Pipeline, TemplateError> {
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(tokens)?);
            if tokens.rest.next_if(|token| token.kind == Kind::Pipe).is_none() {
                return Ok(Pipeline { variables, declares, commands });
            }
        }
    }

    fn command(&mut self, tokens: &mut Tokens) -> Result<Vec<Operand>, TemplateError> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(token) = tokens.rest.next_if(|token| !matches!(token.kind, Kind::Pipe | Kind::Close)) {
            tokens.at = token.at;
            match (token.kind, token.spaced, operands.last_mut()) {
                (Kind::Field(name), false, Some(operand)) => operand.fields.push(name),
                (_, false, Some(_)) => return Err(error("operands are separated by blanks", token.at)),
                (kind, ..) => operands.push(self.operand(kind, token.at, tokens)?),
            }
        }
        if operands.is_empty() { Err(error("a value is missing here", tokens.at)) } else { Ok(operands) }
    }

    fn operand(&mut self, kind: Kind, at: usize, tokens: &mut Tokens) -> Result<Operand, TemplateError> {
        let base = match kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => return Ok(Operand { base: Base::Dot, fields: vec![name] }),
            Kind::Variable(name) => Base::Variable(name),
            Kind::Text(text) => Base::Literal(Value::Text(text)),
            Kind::Int(number) => Base::Literal(Value::Int(number)),
            Kind::Name(name) => self.name(name, at)?,
            Kind::Open => {
                self.deeper(at)?;
                let inner = self.commands(tokens, Vec::new(), false)?;
                if tokens.rest.next_if(|token| token.kind == Kind::Close).is_none() {
                    return Err(error("this `(` is not closed", at));
                }
                self.depth = self.depth.saturating_sub(1);
                Base::Pipeline(Box::new(inner))
            }
            _ => return Err(error("a value is missing here", at)),
        };
        Ok(Operand { base, fields: Vec::new() })
    }

    fn name(&self, name: String, at: usize) -> Result<Base, TemplateError> {
        Ok(match name.as_str() {
            "true" => Base::Literal(Value::Bool(true)),
            "false" => Base::Literal(Value::Bool(false)),
            "nil" => Base::Literal(Value::Nil),
            _ if self.env.function(&name).is_some() => Base::Call(name),
            _ => return Err(error(&self.env.refusal(&name), at)),
        })
    }
}

struct Tokens {
    rest: std::iter::Peekable<std::vec::IntoIter<Token>>,
    /// Of the last token taken, for errors at the end.
    at: usize,
}

impl Tokens {
    /// Takes `$a :=`, `$a, $b :=` or `$a =` off the front, if that is what comes.
    fn declaration(&mut self) -> Result<(Vec<String>, bool), TemplateError> {
        let mut ahead = self.rest.clone();
        let mut variables = Vec::new();
        while let Some(Kind::Variable(name)) = ahead.next().map(|token| token.kind) {
            variables.push(name);
            match ahead.next().map(|token| token.kind) {
                Some(Kind::Comma) => {}
                Some(sign @ (Kind::Declare | Kind::Assign)) if variables.len() <= 2 => {
                    self.rest = ahead;
                    return Ok((variables, sign == Kind::Declare));
                }
                _ => break,
            }
        }
        Ok((Vec::new(), false))
    }
}

fn keyword(tokens: &[Token]) -> Option<&str> {
    match tokens.first() {
        Some(Token { kind: Kind::Name(name), .. }) => Some(name),
        _ => None,
    }
}

fn without_first(tokens: Vec<Token>) -> Vec<Token> {
    tokens.into_iter().skip(1).collect()
}

fn error(message: &str, at: usize) -> TemplateError {
    TemplateError::Parse { message: message.to_owned(), at }
}
