//! sprig's functions on the words of a text: their spelling, and how much of them is shown.

use super::super::eval::check_length;
use super::super::value::Value;
use super::{Env, Table, integer, one, texts2, two};

pub(super) const FUNCTIONS: Table = &[
    ("snakecase", |args, _| one(args).map(|arg| Value::Text(joined(&arg.to_string(), '_')))),
    ("kebabcase", |args, _| one(args).map(|arg| Value::Text(joined(&arg.to_string(), '-')))),
    ("camelcase", |args, _| one(args).map(|arg| Value::Text(camel(&arg.to_string())))),
    ("abbrev", abbreviated),
    ("wrap", |args, env| wrapped(args, env)),
    ("indent", |args, _| indented(args, "")),
    ("nindent", |args, _| indented(args, "\n")),
    ("trimall", |args, _| texts2(args).map(|(set, text)| text.trim_matches(|c| set.contains(c)).into())),
    ("urlquery", |args, _| one(args).map(|arg| Value::Text(escaped(&arg.to_string())))),
];

/// What stands between words already.
fn is_connector(c: char) -> bool {
    matches!(c, '_' | '-' | ' ')
}

/// The words in lower case with a connector between: one begins at a capital, at the last of several capitals before
/// another letter, and at a number.
fn joined(text: &str, connector: char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().filter(|before| !is_connector(*before));
        let ends_acronym = || chars.get(at.saturating_add(1)).is_some_and(|next| next.is_lowercase());
        let begins = before.is_some_and(|before| {
            c.is_numeric() && !before.is_numeric() || c.is_uppercase() && (before.is_lowercase() || ends_acronym())
        });
        if begins {
            out.push(connector);
        }
        if is_connector(*c) {
            out.push(connector);
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

/// The words with a capital each and nothing between.
fn camel(text: &str) -> String {
    let words = text.split(is_connector).filter(|word| !word.is_empty());
    let mut out = String::with_capacity(text.len());
    for word in words {
        let shouted = !word.chars().any(char::is_lowercase);
        let mut letters = word.chars();
        out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        letters.for_each(|c| if shouted { out.extend(c.to_lowercase()) } else { out.push(c) });
    }
    out
}

/// `abbrev 5 text`: at most that many bytes, the last three of them dots where something is left out.
fn abbreviated(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (width, text) = two(args)?;
    let (width, text) = (usize::try_from(integer(width)?).unwrap_or(0), text.to_string());
    if width < 4 || text.len() <= width {
        return Ok(Value::Text(text));
    }
    let end = (0..=width.saturating_sub(3)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Ok(Value::Text(format!("{}...", text.get(..end).unwrap_or_default())))
}

/// `wrap 80 text`: lines of at most that many characters, where words allow it.
fn wrapped(args: &[Value], _: &Env<'_>) -> Result<Value, String> {
    let (width, text) = two(args)?;
    let (width, text) = (usize::try_from(integer(width)?).unwrap_or(1).max(1), text.to_string());
    let (mut out, mut line) = (String::with_capacity(text.len()), 0_usize);
    for word in text.split(' ') {
        let length = word.chars().count();
        if line > 0 && line.saturating_add(length).saturating_add(1) > width {
            out.push('\n');
            line = 0;
        } else if !out.is_empty() {
            out.push(' ');
            line = line.saturating_add(1);
        }
        out.push_str(word);
        line = line.saturating_add(length);
    }
    Ok(Value::Text(out))
}

/// `indent 4 text`: blanks before every line.
fn indented(args: &[Value], before: &str) -> Result<Value, String> {
    let (count, text) = two(args)?;
    let (count, text) = (usize::try_from(integer(count)?).unwrap_or(0), text.to_string());
    let lines = text.matches('\n').count().saturating_add(1);
    check_length(count.saturating_mul(lines).saturating_add(text.len()).saturating_add(before.len()))?;
    let blanks = " ".repeat(count);
    Ok(Value::Text(format!("{before}{blanks}{}", text.replace('\n', &format!("\n{blanks}")))))
}

/// As Go writes a value of a query.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of the library sprig uses.
    #[test]
    fn words_are_told_apart_as_in_go() {
        for (text, wanted) in [
            ("FirstName", "first_name"),
            ("HTTPServer", "http_server"),
            ("NoHTTPS", "no_https"),
            ("Wi_thF", "wi_th_f"),
            ("_AnotherTES_TCaseP", "_another_tes_t_case_p"),
            ("ALL", "all"),
            ("_HELLO_WORLD_", "_hello_world_"),
            ("HELLO____WORLD", "hello____world"),
            ("TW", "tw"),
            ("_C", "_c"),
            ("http2xx", "http_2xx"),
            ("HTTP2XX", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("HTTP20XStatus", "http_20x_status"),
            ("HTTP-20xStatus", "http_20x_status"),
            ("sentence case", "sentence_case"),
            ("numbers2and55with000", "numbers_2and_55with_000"),
            ("Éa", "éa"),
            ("", ""),
        ] {
            assert_eq!(joined(text, '_'), wanted, "{text}");
            assert_eq!(joined(text, '-'), wanted.replace('_', "-"), "{text}");
        }
        for (text, wanted) in [
            ("http_server", "HttpServer"),
            ("no_https", "NoHttps"),
            ("some words", "SomeWords"),
            ("GOLANG_IS_GREAT", "GolangIsGreat"),
            ("webShop", "WebShop"),
        ] {
            assert_eq!(camel(text), wanted, "{text}");
        }
    }
}
