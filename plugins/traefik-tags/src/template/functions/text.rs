//! sprig's functions on texts. Regular expressions are Go's in all that rules are written with.

use regex_lite::{NoExpand, Regex};

use super::super::eval::check_length;
use super::super::value::Value;
use super::{Env, Table, integer, one, split, texts2, two};

pub(super) const FUNCTIONS: Table = &[
    ("title", |args, _| one(args).map(|arg| words(&arg.to_string(), |first| first.to_uppercase().collect()))),
    ("untitle", |args, _| one(args).map(|arg| words(&arg.to_string(), |first| first.to_lowercase().collect()))),
    ("swapcase", |args, _| one(args).map(|arg| Value::Text(arg.to_string().chars().flat_map(swapped).collect()))),
    ("initials", |args, _| one(args).map(|arg| Value::Text(initials(&arg.to_string())))),
    ("squote", |args, _| one(args).map(|arg| Value::Text(format!("'{arg}'")))),
    ("repeat", repeat),
    ("substr", part),
    ("cat", cat),
    ("plural", plural),
    ("split", |args, _| texts2(args).map(|(separator, text)| numbered(text.split(&*separator)))),
    ("splitn", split_some),
    ("regexMatch", |args, _| regex2(args).map(|(regex, text)| Value::Bool(regex.is_match(&text)))),
    ("mustRegexMatch", |args, _| regex2(args).map(|(regex, text)| Value::Bool(regex.is_match(&text)))),
    ("regexFind", |args, _| regex2(args).map(|(regex, text)| found(&regex, &text))),
    ("mustRegexFind", |args, _| regex2(args).map(|(regex, text)| found(&regex, &text))),
    ("regexFindAll", find_all),
    ("regexReplaceAll", |args, _| replace(args, false)),
    ("mustRegexReplaceAll", |args, _| replace(args, false)),
    ("regexReplaceAllLiteral", |args, _| replace(args, true)),
    ("regexSplit", split_by_regex),
    ("regexQuoteMeta", |args, _| one(args).map(|arg| Value::Text(regex_lite::escape(&arg.to_string())))),
];

/// A text with the first letter of every word made another.
fn words(text: &str, first: impl Fn(char) -> String) -> Value {
    let (mut changed, mut inside) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        let letter = c.is_alphanumeric() || c == '_' || c == '\'';
        if letter && !inside {
            changed.push_str(&first(c));
        } else {
            changed.push(c);
        }
        inside = letter;
    }
    Value::Text(changed)
}

fn swapped(c: char) -> Vec<char> {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

fn initials(text: &str) -> String {
    text.split_whitespace().filter_map(|word| word.chars().next()).collect()
}

/// `repeat 3 text`
fn repeat(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (count, text) = two(args)?;
    let (count, text) = (usize::try_from(integer(count)?).unwrap_or(0), text.to_string());
    check_length(count.saturating_mul(text.len()))?;
    Ok(Value::Text(text.repeat(count)))
}

/// `substr 0 5 text`, in bytes; a negative end is the text's.
fn part(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [start, end, text] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let text = text.to_string();
    let start = usize::try_from(integer(start)?).unwrap_or(0);
    let end = usize::try_from(integer(end)?).map_or(text.len(), |end| end.min(text.len()));
    let part = text.get(start..end).ok_or_else(|| format!("there is no part from {start} to {end}"))?;
    Ok(part.into())
}

/// Everything with blanks between.
fn cat(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let parts: Vec<String> = args.iter().filter(|arg| **arg != Value::Nil).map(ToString::to_string).collect();
    check_length(parts.iter().map(String::len).sum::<usize>().saturating_add(parts.len()))?;
    Ok(Value::Text(parts.join(" ")))
}

/// `plural "one" "many" 2`
fn plural(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [one, many, count] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    Ok(if integer(count)? == 1 { one } else { many }.clone())
}

/// A map of `_0`, `_1`, …
fn numbered<'a>(parts: impl Iterator<Item = &'a str>) -> Value {
    let names: Vec<(String, Value)> =
        parts.take(super::MAX_ITEMS).enumerate().map(|(at, part)| (format!("_{at}"), part.into())).collect();
    Value::map(names.iter().map(|(name, part)| (name.as_str(), part.clone())))
}

/// `splitn "." 2 text`
fn split_some(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [separator, count, text] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let (separator, text) = (separator.to_string(), text.to_string());
    Ok(match usize::try_from(integer(count)?) {
        Ok(count) => numbered(text.splitn(count, &*separator)),
        Err(_) => numbered(text.split(&*separator)),
    })
}

fn regex(pattern: &Value) -> Result<Regex, String> {
    Regex::new(&pattern.to_string()).map_err(|error| error.to_string())
}

fn regex2(args: &[Value]) -> Result<(Regex, String), String> {
    let (pattern, text) = two(args)?;
    Ok((regex(pattern)?, text.to_string()))
}

fn found(regex: &Regex, text: &str) -> Value {
    regex.find(text).map_or("", |found| found.as_str()).into()
}

/// `regexFindAll "[a-z]+" text -1`
fn find_all(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [pattern, text, count] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let text = text.to_string();
    let count = usize::try_from(integer(count)?).unwrap_or(super::MAX_ITEMS).min(super::MAX_ITEMS);
    Ok(Value::texts(regex(pattern)?.find_iter(&text).take(count).map(|found| found.as_str())))
}

/// `regexReplaceAll "a(x*)b" text "${1}W"`
fn replace(args: &[Value], literal: bool) -> Result<Value, String> {
    let [pattern, text, new] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let (regex, text, new) = (regex(pattern)?, text.to_string(), new.to_string());
    // A replacement may hold the whole match as often as it has bytes.
    let most = if literal { new.len() } else { new.len().saturating_mul(text.len().max(1)) };
    check_length(text.len().saturating_add(regex.find_iter(&text).count().saturating_mul(most)))?;
    let replaced =
        if literal { regex.replace_all(&text, NoExpand(&new)) } else { regex.replace_all(&text, new.as_str()) };
    Ok(Value::Text(replaced.into_owned()))
}

/// `regexSplit "z+" text -1`
fn split_by_regex(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [pattern, text, count] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let (regex, text) = (regex(pattern)?, text.to_string());
    match usize::try_from(integer(count)?) {
        Ok(count) => Ok(Value::texts(regex.splitn(&text, count.min(super::MAX_ITEMS)))),
        Err(_) if regex.as_str().is_empty() => split("", &text),
        Err(_) => Ok(Value::texts(regex.split(&text).take(super::MAX_ITEMS))),
    }
}
