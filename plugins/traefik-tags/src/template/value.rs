//! The values templates compute with.

use std::collections::BTreeMap;
use std::fmt;

/// A value in a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Value>),
    /// A missing key reads as an empty text.
    Map(BTreeMap<String, Value>),
    /// A missing field is an error.
    Record(BTreeMap<String, Value>),
}

impl Value {
    /// A record of named fields.
    pub(crate) fn record<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self::Record(entries(fields))
    }

    /// A map; the last of equal keys counts.
    pub(crate) fn map<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        Self::Map(entries(fields))
    }

    /// A list of texts.
    pub(crate) fn texts<'a>(items: impl Iterator<Item = &'a str>) -> Self {
        Self::List(items.map(Self::from).collect())
    }

    /// Whether Go takes it for true: anything that is not empty or zero.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Record(_) => true,
        }
    }

    /// What `.name` after it means.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Map(entries) => Ok(entries.get(name).cloned().unwrap_or_else(|| Self::from(""))),
            Self::Record(fields) => fields.get(name).cloned().ok_or_else(|| format!("there is no field `.{name}`")),
            _ => Err(format!("`.{name}` is asked of a value without fields")),
        }
    }

    /// What Go calls its kind.
    pub(super) fn go_kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Text(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Record(_) => "struct",
        }
    }

    /// What kind of value it is, for error texts.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Text(_) => "text",
            Self::List(_) => "list",
            Self::Map(_) | Self::Record(_) => "map",
        }
    }
}

fn entries<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> BTreeMap<String, Value> {
    let mut entries = BTreeMap::new();
    for (name, value) in fields {
        entries.insert(name.to_owned(), value);
    }
    entries
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => Ok(()),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) | Self::Record(entries) => {
                f.write_str("map[")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if at == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}
