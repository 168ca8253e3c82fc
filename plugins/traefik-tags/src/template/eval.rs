//! Walks a parsed template. Every step and every byte of output is counted.

use super::parser::{Base, Block, Node, Operand, Pipeline};
use super::{Env, Value};

/// More evaluated nodes than any rule needs.
const MAX_STEPS: usize = 10_000;

/// Longer texts than any rule is.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// Chooses between the value tested and the dot outside.
type PickDot = for<'v> fn(&'v Value, &'v Value) -> &'v Value;

/// Renders the nodes with `data` as dot.
pub(super) fn render(nodes: &[Node], data: &Value, env: &Env<'_>) -> Result<String, String> {
    let mut state = State { env, output: String::new(), steps: 0, variables: vec![(String::new(), data.clone())] };
    state.nodes(nodes, data)?;
    Ok(state.output)
}

struct State<'a> {
    env: &'a Env<'a>,
    output: String,
    steps: usize,
    /// Innermost last. `$` itself has an empty name.
    variables: Vec<(String, Value)>,
}

impl State<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        for node in nodes {
            self.step()?;
            match node {
                Node::Text(text) => self.write(text)?,
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.write(&value.to_string())?;
                    } else {
                        self.assign(pipeline, value)?;
                    }
                }
                Node::If(block) => self.branch(block, dot, |_, dot| dot)?,
                Node::With(block) => self.branch(block, dot, |value, _| value)?,
                Node::Range(block) => self.range(block, dot)?,
            }
        }
        Ok(())
    }

    /// `if` and `with`, which differ in the dot of their body.
    fn branch(&mut self, block: &Block, dot: &Value, body_dot: PickDot) -> Result<(), String> {
        let scope = self.variables.len();
        let value = self.pipeline(&block.pipeline, dot)?;
        self.assign(&block.pipeline, value.clone())?;
        if value.truth() {
            self.nodes(&block.body, body_dot(&value, dot))?;
        } else {
            self.nodes(&block.otherwise, dot)?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn range(&mut self, block: &Block, dot: &Value) -> Result<(), String> {
        let items: Vec<(Value, Value)> = match self.pipeline(&block.pipeline, dot)? {
            Value::Nil => Vec::new(),
            Value::List(items) => (0_i64..).map(Value::Int).zip(items).collect(),
            Value::Map(entries) => entries.into_iter().map(|(key, value)| (Value::Text(key), value)).collect(),
            other => return Err(format!("`range` cannot go over a {}", other.kind())),
        };
        if items.is_empty() {
            return self.nodes(&block.otherwise, dot);
        }
        let scope = self.variables.len();
        for (key, item) in items {
            match block.pipeline.variables.as_slice() {
                [] => {}
                [name] => self.variables.push((name.clone(), item.clone())),
                [first, second, ..] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
            }
            self.nodes(&block.body, &item)?;
            self.variables.truncate(scope);
        }
        Ok(())
    }

    fn assign(&mut self, pipeline: &Pipeline, value: Value) -> Result<(), String> {
        let Some(name) = pipeline.variables.first() else { return Ok(()) };
        if pipeline.declares {
            self.variables.push((name.clone(), value));
            return Ok(());
        }
        let variable = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        variable.ok_or_else(|| format!("there is no variable `${name}`"))?.1 = value;
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        piped.ok_or_else(|| "a value is missing".to_owned())
    }

    fn command(&mut self, command: &[Operand], dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        self.step()?;
        let Some((first, rest)) = command.split_first() else { return Err("a value is missing".to_owned()) };
        if let Base::Call(name) = &first.base {
            let mut args = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
            args.extend(piped);
            return self.fields(self.call(name, &args)?, &first.fields);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err("a value that is no function was given arguments".to_owned());
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Literal(value) => value.clone(),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).ok_or_else(|| format!("there is no variable `${name}`"))?
            }
            Base::Call(name) => self.call(name, &[])?,
            Base::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.fields(value, &operand.fields)
    }

    fn fields(&self, value: Value, fields: &[String]) -> Result<Value, String> {
        fields.iter().try_fold(value, |value, name| value.field(name))
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        let function = self.env.function(name).ok_or_else(|| format!("there is no function `{name}`"))?;
        function(args, self.env).map_err(|message| format!("`{name}`: {message}"))
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS { Err(format!("more than {MAX_STEPS} steps")) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        check_length(self.output.len().saturating_add(text.len()))?;
        self.output.push_str(text);
        Ok(())
    }
}

/// Refuses texts nobody needs, before they are made.
pub(super) fn check_length(bytes: usize) -> Result<(), String> {
    if bytes > MAX_TEXT { Err(format!("a text of more than {MAX_TEXT} bytes")) } else { Ok(()) }
}
