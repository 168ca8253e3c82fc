//! YAML to the shape of JSON. Scalars stay texts, since the reader of a key knows what it has to be.
//!
//! The parser is that of `serde-saphyr`. That crate itself would bring five more, to draw errors and to read encodings
//! other than UTF-8, for a file that is read once.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Aliases multiply what they stand for; no configuration has more values than this.
const MOST_VALUES: usize = 100_000;

/// Reads the first document of a text.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), values: 0 };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd => return Ok(Value::Object(Map::new())),
            first => return reader.value(first),
        }
    }
}

struct Reader<'a, P: Iterator<Item = Result<(Event<'a>, granit_parser::Span), granit_parser::ScanError>>> {
    parser: P,
    anchors: HashMap<usize, Value>,
    values: usize,
}

impl<'a, P: Iterator<Item = Result<(Event<'a>, granit_parser::Span), granit_parser::ScanError>>> Reader<'a, P> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.parser.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(Event::StreamEnd),
        }
    }

    fn value(&mut self, first: Event<'a>) -> Result<Value, String> {
        self.count(1)?;
        let (anchor, value) = match first {
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence()?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping()?),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().ok_or("an alias stands inside what it stands for")?;
                self.count(size(&value))?;
                return Ok(value);
            }
            other => return Err(format!("unexpected {other:?}")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                item => items.push(self.value(item)?),
            }
        }
    }

    /// A later one of two equal keys counts; `<<` merges what is not there yet.
    fn mapping(&mut self) -> Result<Value, String> {
        let (mut entries, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                key => match self.value(key)? {
                    Value::String(key) => key,
                    _ => return Err("a key of a table is not a text".to_owned()),
                },
            };
            let first = self.next()?;
            match (key.as_str(), self.value(first)?) {
                ("<<", Value::Object(base)) => merged.extend(base),
                (_, value) => drop(entries.insert(key, value)),
            }
        }
        merged.extend(entries);
        Ok(Value::Object(merged))
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(more);
        if self.values > MOST_VALUES { Err(format!("more than {MOST_VALUES} values")) } else { Ok(()) }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        _ => Value::String(text.to_owned()),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>().saturating_add(1),
        Value::Object(entries) => entries.values().map(size).sum::<usize>().saturating_add(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn tables_lists_and_scalars() {
        let text = "a:\n  b: true\n  c: ~\n  d: \"~\"\ne: [1, 2s]\nf: &x { g: h }\ni:\n  <<: *x\n  j: *x\nk: |\n  two\n  lines\n";
        let expected = json!({
            "a": { "b": "true", "c": null, "d": "~" },
            "e": ["1", "2s"],
            "f": { "g": "h" },
            "i": { "g": "h", "j": { "g": "h" } },
            "k": "two\nlines\n",
        });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("# nothing\n").unwrap(), json!({}));
    }

    #[test]
    fn what_is_no_yaml_is_an_error() {
        for text in ["a: [", "a: b: c", "? [x]\n: y", "a: *b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn aliases_cannot_explode() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", ")));
        }
        assert!(parse(&text).unwrap_err().contains("values"));
    }
}
