//! A configuration as written: a tree of values that know where they stand, with overrides laid over it.
//!
//! Takes TOML text, environment variables and flags; gives one tree. It knows nothing of what the keys mean.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems, SourceText};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What is written at a place.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// From a variable or a flag: what it means depends on who reads it.
    Override(String),
}

/// Keys in alphabetical order; problems are put in the order of the file at the end.
pub(super) type Table = BTreeMap<String, Entry>;

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Place,
    pub(super) node: Node,
}

impl Value {
    /// The kind in words, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Override(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads TOML. Every syntax error is a problem of its own.
pub(super) fn parse(name: &str, text: &str) -> Result<Node, Problems> {
    let source = Arc::new(SourceText { name: name.to_owned(), text: text.to_owned() });
    let at = |span: Range<usize>| Place::Text { source: Arc::clone(&source), span };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::default();
    for error in &errors {
        let place = at(error.span().unwrap_or(0..0));
        problems.push(Problem::new(place, "", format!("not valid TOML: {}", error.message())));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let place = at(0..0);
    convert_table(table.get_ref(), &at, &mut problems, place).ok_or(problems)
}

/// Reads one TOML value, as an override gives it for a list or a table. Everything in it stands at `place`.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut problems = Problems::default();
    let node = convert(&value, &|_| place.clone(), &mut problems);
    problems.is_empty().then_some(node).flatten()
}

/// Lays a value over the tree, at a path that need not exist yet.
pub(super) fn set(root: &mut Node, path: &[String], text: &str, place: &Place) {
    let Some((first, rest)) = path.split_first() else {
        root.value = Value::Override(text.to_owned());
        root.place = place.clone();
        return;
    };
    if !matches!(root.value, Value::Table(_)) {
        root.value = Value::Table(Table::new());
        root.place = place.clone();
    }
    if let Value::Table(table) = &mut root.value {
        let entry = table.entry(first.clone()).or_insert_with(|| Entry {
            key: place.clone(),
            node: Node { value: Value::Table(Table::new()), place: place.clone() },
        });
        set(&mut entry.node, rest, text, place);
    }
}

type At<'a> = &'a dyn Fn(Range<usize>) -> Place;

fn convert(value: &Spanned<DeValue<'_>>, at: At<'_>, problems: &mut Problems) -> Option<Node> {
    let place = at(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let Ok(number) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
                let message = format!("`{integer}` does not fit into 64 bits");
                problems.push(Problem::new(place, "", message));
                return None;
            };
            Value::Integer(number)
        }
        DeValue::Float(float) => Value::Float(float.as_str().parse().ok()?),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        // Nothing here means a date, and a plugin that wants one reads text.
        DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
        DeValue::Array(items) => Value::List(items.iter().filter_map(|item| convert(item, at, problems)).collect()),
        DeValue::Table(table) => return convert_table(table, at, problems, place),
    };
    Some(Node { value, place })
}

/// Goes on after a value it cannot represent, and is none if there was one.
fn convert_table(table: &DeTable<'_>, at: At<'_>, problems: &mut Problems, place: Place) -> Option<Node> {
    let mut entries = Table::new();
    for (key, value) in table {
        if let Some(node) = convert(value, at, problems) {
            let key_place = at(key.span());
            entries.insert(key.get_ref().to_string(), Entry { key: key_place, node });
        }
    }
    problems.is_empty().then_some(Node { value: Value::Table(entries), place })
}
