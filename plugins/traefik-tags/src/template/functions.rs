//! What templates may call: Go's own functions, v1's three, and the ones of sprig that rules are written with: all that
//! make text of text, lists and numbers. Those that look at the clock, at chance or at the environment are [`REFUSED`],
//! so that the same service always gets the same rule, and rules tell nothing of the gateway.
//!
//! To add one, write it and add its row.

mod coding;
mod lists;
mod numbers;
mod text;
mod words;

use std::cmp::Ordering;

use super::eval::check_length;
use super::{Env, Value};

/// A function: its arguments, the piped value last, to a value.
pub(crate) type Function = fn(&[Value], &Env<'_>) -> Result<Value, String>;

/// Functions by name.
pub(crate) type Table = &'static [(&'static str, Function)];

/// Longer lists than any rule needs.
const MAX_ITEMS: usize = 4096;

/// Go's own, except for the ones that escape or call.
pub(super) const BUILTINS: Table = &[
    ("and", |args, _| Ok(args.iter().find(|arg| !arg.truth()).or(args.last()).cloned().unwrap_or(Value::Nil))),
    ("or", |args, _| Ok(args.iter().find(|arg| arg.truth()).or(args.last()).cloned().unwrap_or(Value::Nil))),
    ("not", |args, _| one(args).map(|arg| Value::Bool(!arg.truth()))),
    ("eq", equal),
    ("ne", |args, _| two(args).and_then(|(a, b)| Ok(Value::Bool(!same(a, b)?)))),
    ("lt", |args, _| compare(args, Ordering::is_lt)),
    ("le", |args, _| compare(args, Ordering::is_le)),
    ("gt", |args, _| compare(args, Ordering::is_gt)),
    ("ge", |args, _| compare(args, Ordering::is_ge)),
    ("len", length),
    ("index", index),
    ("slice", slice),
    ("print", |args, _| concat(args)),
    ("println", |args, _| concat(args).map(|text| Value::Text(format!("{text}\n")))),
    ("printf", printf),
];

/// The functions of v1's `frontEndRule`.
pub(crate) const V1_FUNCTIONS: &[Table] = &[&[
    ("getTag", |args, _| get_tag(args, "")),
    ("hasTag", has_tag),
    ("getAttribute", |args, env| get_tag(args, &format!("{}.", env.prefix))),
]];

/// `normalize`, and the functions of sprig.
pub(crate) const V3_FUNCTIONS: &[Table] =
    &[USUAL, text::FUNCTIONS, words::FUNCTIONS, coding::FUNCTIONS, lists::FUNCTIONS, numbers::FUNCTIONS];

/// Functions of sprig that no rule may call, and why.
const REFUSED: &[(&str, &[&str])] = &[
    ("it would show what is in the gateway's environment", &["env", "expandenv"]),
    (
        "a rule must not depend on when it is made",
        &[
            "now",
            "ago",
            "date",
            "dateInZone",
            "date_in_zone",
            "dateModify",
            "date_modify",
            "mustDateModify",
            "must_date_modify",
            "duration",
            "durationRound",
            "htmlDate",
            "htmlDateInZone",
            "toDate",
            "mustToDate",
            "unixEpoch",
        ],
    ),
    (
        "the same service has to get the same rule each time",
        &["randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "shuffle", "uuidv4"],
    ),
    (
        "rules are no place for keys and secrets",
        &[
            "bcrypt",
            "buildCustomCert",
            "decryptAES",
            "derivePassword",
            "encryptAES",
            "genCA",
            "genCAWithKey",
            "genPrivateKey",
            "genSelfSignedCert",
            "genSelfSignedCertWithKey",
            "genSignedCert",
            "genSignedCertWithKey",
            "htpasswd",
        ],
    ),
    ("rules ask no name server", &["getHostByName"]),
];

/// What most rules are written with.
const USUAL: Table = &[
    ("normalize", |args, _| one(args).map(|arg| normalize(&arg.to_string()).as_str().into())),
    ("lower", |args, _| one(args).map(|arg| arg.to_string().to_lowercase().as_str().into())),
    ("upper", |args, _| one(args).map(|arg| arg.to_string().to_uppercase().as_str().into())),
    ("trim", |args, _| one(args).map(|arg| arg.to_string().trim().into())),
    ("trimAll", |args, _| texts2(args).map(|(set, text)| text.trim_matches(|c| set.contains(c)).into())),
    ("trimPrefix", |args, _| texts2(args).map(|(prefix, text)| text.strip_prefix(&*prefix).unwrap_or(&text).into())),
    ("trimSuffix", |args, _| texts2(args).map(|(suffix, text)| text.strip_suffix(&*suffix).unwrap_or(&text).into())),
    ("contains", |args, _| texts2(args).map(|(part, text)| Value::Bool(text.contains(&part)))),
    ("hasPrefix", |args, _| texts2(args).map(|(prefix, text)| Value::Bool(text.starts_with(&prefix)))),
    ("hasSuffix", |args, _| texts2(args).map(|(suffix, text)| Value::Bool(text.ends_with(&suffix)))),
    ("replace", replace),
    ("nospace", |args, _| one(args).map(|arg| Value::Text(arg.to_string().split_whitespace().collect()))),
    ("quote", |args, _| one(args).map(|arg| Value::Text(format!("{:?}", arg.to_string())))),
    ("toString", |args, _| one(args).map(|arg| Value::Text(arg.to_string()))),
    ("trunc", truncate),
    ("default", |args, _| two(args).map(|(fallback, value)| if value.truth() { value } else { fallback }.clone())),
    ("empty", |args, _| one(args).map(|arg| Value::Bool(!arg.truth()))),
    ("coalesce", |args, _| Ok(args.iter().find(|arg| arg.truth()).cloned().unwrap_or(Value::Nil))),
    ("ternary", ternary),
    ("list", list),
    ("splitList", |args, _| texts2(args).and_then(|(separator, text)| split(&separator, &text))),
    ("join", join),
    ("fail", |args, _| one(args).and_then(|reason| Err(reason.to_string()))),
    ("kindOf", |args, _| one(args).map(|arg| arg.go_kind().into())),
    ("kindIs", |args, _| two(args).map(|(kind, arg)| Value::Bool(arg.go_kind() == kind.to_string()))),
    ("deepEqual", |args, _| two(args).map(|(a, b)| Value::Bool(a == b))),
    ("all", |args, _| Ok(Value::Bool(args.iter().all(Value::truth)))),
    ("any", |args, _| Ok(Value::Bool(args.iter().any(Value::truth)))),
    ("first", |args, _| one(args).and_then(items).map(|items| items.first().cloned().unwrap_or(Value::Nil))),
    ("last", |args, _| one(args).and_then(items).map(|items| items.last().cloned().unwrap_or(Value::Nil))),
    ("rest", |args, _| one(args).and_then(items).map(|items| Value::List(items.iter().skip(1).cloned().collect()))),
    ("initial", |args, _| {
        one(args).and_then(items).map(|items| Value::List(items.split_last().map_or(&[][..], |(_, all)| all).to_vec()))
    }),
    ("has", |args, _| two(args).and_then(|(item, list)| items(list).map(|items| Value::Bool(items.contains(item))))),
    ("get", index_map),
    ("hasKey", has_key),
];

/// Why a function that exists elsewhere cannot be called.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(_, names)| names.contains(&name)).map(|(reason, _)| *reason)
}

/// Every run of characters that are neither letters nor digits becomes one dash, none at the ends.
pub(crate) fn normalize(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphabetic() && !c.is_numeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn one(args: &[Value]) -> Result<&Value, String> {
    match args {
        [arg] => Ok(arg),
        _ => Err(format!("takes one argument, not {}", args.len())),
    }
}

fn two(args: &[Value]) -> Result<(&Value, &Value), String> {
    match args {
        [first, second] => Ok((first, second)),
        _ => Err(format!("takes two arguments, not {}", args.len())),
    }
}

fn texts2(args: &[Value]) -> Result<(String, String), String> {
    two(args).map(|(first, second)| (first.to_string(), second.to_string()))
}

fn integer(value: &Value) -> Result<i64, String> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(format!("takes an integer, not a {}", other.kind())),
    }
}

fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(items) => Ok(items),
        other => Err(format!("takes a list, not a {}", other.kind())),
    }
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    if a.kind() == b.kind() {
        return Ok(a == b);
    }
    Err(format!("a {} and a {} cannot be compared", a.kind(), b.kind()))
}

/// Whether the first equals one of the others.
fn equal(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    match args {
        [first, others @ ..] if !others.is_empty() => {
            let found = others.iter().map(|other| same(first, other)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Bool(found.contains(&true)))
        }
        _ => Err("takes at least two arguments".to_owned()),
    }
}

fn compare(args: &[Value], test: fn(Ordering) -> bool) -> Result<Value, String> {
    match two(args)? {
        (Value::Int(a), Value::Int(b)) => Ok(Value::Bool(test(a.cmp(b)))),
        (Value::Text(a), Value::Text(b)) => Ok(Value::Bool(test(a.cmp(b)))),
        (a, b) => Err(format!("a {} and a {} have no order", a.kind(), b.kind())),
    }
}

fn length(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let length = match one(args)? {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        other => return Err(format!("a {} has no length", other.kind())),
    };
    i64::try_from(length).map(Value::Int).map_err(|_| "too long".to_owned())
}

/// `index list 0`, `index map "key"`, one level for each further argument.
fn index(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (first, keys) = args.split_first().ok_or("takes a value and what to look up in it")?;
    keys.iter().try_fold(first.clone(), |value, key| match (&value, key) {
        (Value::List(items), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| format!("there is no item {at}"))
        }
        (Value::Map(_), Value::Text(key)) => value.field(key),
        (value, key) => Err(format!("a {} cannot be looked up by a {}", value.kind(), key.kind())),
    })
}

/// `slice text 1 3`, of texts in bytes and of lists in items.
fn slice(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (first, ends) = args.split_first().ok_or("takes a value and where to cut it")?;
    let ends = ends.iter().map(|end| usize::try_from(integer(end)?).map_err(|_| "a place is negative".to_owned()));
    let ends = ends.collect::<Result<Vec<_>, String>>()?;
    let length = |whole: usize| (ends.first().copied().unwrap_or(0), ends.get(1).copied().unwrap_or(whole));
    let outside = || "there is no such part".to_owned();
    match first {
        Value::Text(text) => {
            let (start, end) = length(text.len());
            text.get(start..end).map(Value::from).ok_or_else(outside)
        }
        Value::List(items) => {
            let (start, end) = length(items.len());
            items.get(start..end).map(|items| Value::List(items.to_vec())).ok_or_else(outside)
        }
        other => Err(format!("a {} has no parts", other.kind())),
    }
}

fn index_map(args: &[Value], env: &Env<'_>) -> Result<Value, String> {
    two(args)?;
    index(args, env)
}

fn has_key(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    match two(args)? {
        (Value::Map(entries), Value::Text(key)) => Ok(Value::Bool(entries.contains_key(key))),
        (value, key) => Err(format!("a {} has no {} as key", value.kind(), key.kind())),
    }
}

fn concat(args: &[Value]) -> Result<Value, String> {
    let text: String = args.iter().map(ToString::to_string).collect();
    check_length(text.len())?;
    Ok(Value::Text(text))
}

/// `%s`, `%v`, `%d`, `%q` and `%%`, without widths.
fn printf(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (format, args) = args.split_first().ok_or("takes a format")?;
    let (format, mut args, mut text) = (format.to_string(), args.iter(), String::new());
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => text.push('%'),
            Some('s' | 'v' | 'd') => text.push_str(&args.next().ok_or("too few arguments")?.to_string()),
            Some('q') => text.push_str(&format!("{:?}", args.next().ok_or("too few arguments")?.to_string())),
            _ => return Err("knows %s, %v, %d, %q and %% only".to_owned()),
        }
        check_length(text.len())?;
    }
    if args.next().is_some() { Err("too many arguments".to_owned()) } else { Ok(Value::Text(text)) }
}

/// What follows the `=` of the first tag called that, in any letter case; the whole tag where it has none.
fn get_tag(args: &[Value], prefix: &str) -> Result<Value, String> {
    let [name, tags, default] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    Ok(find_tag(&format!("{prefix}{name}"), items(tags)?).map_or_else(|| default.clone(), Value::Text))
}

fn has_tag(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (name, tags) = two(args)?;
    Ok(Value::Bool(find_tag(&name.to_string(), items(tags)?).is_some()))
}

fn find_tag(name: &str, tags: &[Value]) -> Option<String> {
    tags.iter().find_map(|tag| {
        let tag = tag.to_string();
        let (key, value) = tag.split_once('=').unwrap_or((&tag, &tag));
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

fn replace(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [old, new, text] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let (old, new, text) = (old.to_string(), new.to_string(), text.to_string());
    let count = text.matches(&old).count();
    check_length(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::Text(text.replace(&old, &new)))
}

/// `trunc 5 text`; a negative number keeps the end.
fn truncate(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (Value::Int(count), text) = two(args)? else { return Err("takes a number and a text".to_owned()) };
    let (text, length) = (text.to_string(), usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX));
    let skipped = if *count < 0 { text.chars().count().saturating_sub(length) } else { 0 };
    Ok(Value::Text(text.chars().skip(skipped).take(length).collect()))
}

/// `ternary yes no test`
fn ternary(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let [yes, no, test] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    Ok(if test.truth() { yes } else { no }.clone())
}

/// A list of plain values; lists of lists could grow without bound.
fn list(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    if args.iter().any(|arg| matches!(arg, Value::List(_) | Value::Map(_) | Value::Record(_))) {
        return Err("takes plain values".to_owned());
    }
    Ok(Value::List(args.to_vec()))
}

fn split(separator: &str, text: &str) -> Result<Value, String> {
    let parts: Vec<_> = if separator.is_empty() {
        text.chars().map(|c| Value::Text(c.into())).take(MAX_ITEMS.saturating_add(1)).collect()
    } else {
        text.split(separator).map(Value::from).take(MAX_ITEMS.saturating_add(1)).collect()
    };
    if parts.len() > MAX_ITEMS { Err(format!("more than {MAX_ITEMS} items")) } else { Ok(Value::List(parts)) }
}

/// `join separator list`
fn join(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (separator, list) = two(args)?;
    let (separator, parts) = (separator.to_string(), items(list)?.iter().map(ToString::to_string).collect::<Vec<_>>());
    let length: usize = parts.iter().map(|part| part.len().saturating_add(separator.len())).sum();
    check_length(length)?;
    Ok(Value::Text(parts.join(&separator)))
}
