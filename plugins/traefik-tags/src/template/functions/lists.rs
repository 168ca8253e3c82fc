//! sprig's functions on lists and maps.

use super::super::value::Value;
use super::{MAX_ITEMS, Table, items, list, one, two};

pub(super) const FUNCTIONS: Table = &[
    ("tuple", list),
    ("append", |args, _| two(args).and_then(|(list, item)| joined(items(list)?, std::slice::from_ref(item)))),
    ("push", |args, _| two(args).and_then(|(list, item)| joined(items(list)?, std::slice::from_ref(item)))),
    ("prepend", |args, _| two(args).and_then(|(list, item)| joined(std::slice::from_ref(item), items(list)?))),
    ("concat", |args, _| args.iter().try_fold(Value::List(Vec::new()), |all, one| joined(items(&all)?, items(one)?))),
    ("uniq", |args, _| one(args).and_then(items).map(unique)),
    ("compact", |args, _| one(args).and_then(items).map(|items| kept(items, Value::truth))),
    ("without", |args, _| without(args)),
    ("reverse", |args, _| one(args).and_then(items).map(|items| Value::List(items.iter().rev().cloned().collect()))),
    ("sortAlpha", |args, _| one(args).and_then(items).map(sorted)),
    ("toStrings", |args, _| one(args).and_then(items).map(|items| texts(items.iter().map(ToString::to_string)))),
    ("dict", |args, _| dictionary(args)),
    ("keys", |args, _| one(args).and_then(entries).map(|entries| texts(entries.keys().cloned()))),
    ("values", |args, _| one(args).and_then(entries).map(|entries| Value::List(entries.values().cloned().collect()))),
    ("pick", |args, _| selected(args, true)),
    ("omit", |args, _| selected(args, false)),
    ("pluck", |args, _| pluck(args)),
];

type Entries = std::collections::BTreeMap<String, Value>;

fn entries(value: &Value) -> Result<&Entries, String> {
    match value {
        Value::Map(entries) => Ok(entries),
        other => Err(format!("takes a map, not a {}", other.kind())),
    }
}

fn texts(items: impl Iterator<Item = String>) -> Value {
    Value::List(items.map(Value::Text).collect())
}

/// Both lists in one. Lists of lists could grow without bound.
fn joined(first: &[Value], second: &[Value]) -> Result<Value, String> {
    if first.len().saturating_add(second.len()) > MAX_ITEMS {
        return Err(format!("more than {MAX_ITEMS} items"));
    }
    let nested = |item: &Value| matches!(item, Value::List(_) | Value::Map(_) | Value::Record(_));
    if first.iter().chain(second).any(nested) {
        return Err("takes plain values".to_owned());
    }
    Ok(Value::List(first.iter().chain(second).cloned().collect()))
}

fn kept(items: &[Value], keep: impl Fn(&Value) -> bool) -> Value {
    Value::List(items.iter().filter(|item| keep(item)).cloned().collect())
}

fn unique(items: &[Value]) -> Value {
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        if !found.contains(item) {
            found.push(item.clone());
        }
    }
    Value::List(found)
}

fn sorted(items: &[Value]) -> Value {
    let mut shown: Vec<String> = items.iter().map(ToString::to_string).collect();
    shown.sort_unstable();
    texts(shown.into_iter())
}

/// `without list item …`
fn without(args: &[Value]) -> Result<Value, String> {
    let (list, others) = args.split_first().ok_or("takes a list and what to leave out of it")?;
    Ok(kept(items(list)?, |item| !others.contains(item)))
}

/// `dict "name" value …`
fn dictionary(args: &[Value]) -> Result<Value, String> {
    let pairs = args.chunks(2).map(|pair| match pair {
        [_, Value::List(_) | Value::Map(_) | Value::Record(_)] => Err("takes plain values".to_owned()),
        [key, value] => Ok((key.to_string(), value.clone())),
        // As in sprig, a name without a value has an empty one.
        pair => Ok((pair.iter().map(ToString::to_string).collect(), "".into())),
    });
    Ok(Value::Map(pairs.collect::<Result<_, String>>()?))
}

/// `pick map "name" …` and `omit map "name" …`
fn selected(args: &[Value], named: bool) -> Result<Value, String> {
    let (map, names) = args.split_first().ok_or("takes a map and names")?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let kept = entries(map)?.iter().filter(|(name, _)| names.contains(name) == named);
    Ok(Value::Map(kept.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

/// `pluck "name" map …`: what the maps have under a name.
fn pluck(args: &[Value]) -> Result<Value, String> {
    let (name, maps) = args.split_first().ok_or("takes a name and maps")?;
    let name = name.to_string();
    let mut found = Vec::new();
    for map in maps {
        found.extend(entries(map)?.get(&name).cloned());
    }
    joined(&found, &[])
}
