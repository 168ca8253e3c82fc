//! The matchers of Traefik v2 rules (`ruleSyntax=v2`): several arguments mean OR, hosts and paths are templates.

use sluice_plugin_sdk::router::Occurrence;

use super::expr::{Expr, Leaf};
use super::matchers_v3::{VIEW, check_arguments, client_ip, find, has_port_or_brackets, header};
use super::pattern::{Pattern, Variable};
use super::syntax::{self, Call};
use super::{Parsed, RuleError};

type Build = fn(&str, &mut Vec<String>) -> Result<Expr, String>;

/// What a matcher does with its arguments.
#[derive(Clone, Copy)]
enum Form {
    /// One of them has to match.
    Or(Build),
    /// All of them have to match.
    And(Build),
    /// A name and a value.
    Pair(fn(String, String) -> Leaf),
}

const MATCHERS: &[(&str, Form)] = &[
    ("Host", Form::Or(host)),
    ("HostHeader", Form::Or(host)),
    ("HostRegexp", Form::Or(host_regexp)),
    ("Path", Form::Or(path)),
    ("PathPrefix", Form::Or(path_prefix)),
    ("Method", Form::Or(|method, _| Ok(Leaf::Method(method.to_ascii_uppercase()).into()))),
    ("Headers", Form::Pair(Leaf::Header)),
    ("HeadersRegexp", Form::Pair(Leaf::HeaderRegexp)),
    ("Query", Form::And(|pair, _| query(pair))),
    ("ClientIP", Form::Or(|range, notes| client_ip(&[range], notes))),
];

/// Reads a v2 rule.
///
/// # Errors
/// A place that does not follow the grammar, an unknown matcher, or arguments a matcher does not take.
pub(crate) fn parse(rule: &str) -> Result<Parsed, RuleError> {
    let mut notes = Vec::new();
    let expr = syntax::parse(rule)?.resolve(&mut |call: Call| {
        let (name, form) = find(MATCHERS.iter(), &call, |row| row.0)?;
        let most = if matches!(form, Form::Pair(_)) { 2 } else { usize::MAX };
        let fewest = if matches!(form, Form::Pair(_)) { 2 } else { 1 };
        check_arguments(&call, name, fewest, most)?;
        build(*form, &call, &mut notes).map_err(|message| RuleError::new(call.span.clone(), message))
    })?;
    Ok(Parsed { expr, notes })
}

fn build(form: Form, call: &Call, notes: &mut Vec<String>) -> Result<Expr, String> {
    let mut each = |build: Build| call.args.iter().map(|arg| build(arg, notes)).collect::<Result<Vec<_>, _>>();
    Ok(match form {
        Form::Or(build) => Expr::any(each(build)?),
        Form::And(build) => Expr::all(each(build)?),
        Form::Pair(leaf) => {
            let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
            header(&args, notes, leaf)
        }
    })
}

fn host(host: &str, notes: &mut Vec<String>) -> Result<Expr, String> {
    let host = host.to_ascii_lowercase();
    if !host.is_ascii() {
        return Err(format!("host `{host}` is not ASCII; write its xn-- form"));
    }
    if has_port_or_brackets(&host) {
        notes.push(format!("host `{host}` never matches: hosts are compared without port and brackets"));
        return Ok(Expr::never());
    }
    // v2 has no wildcards; the exact form does not read them.
    Ok(if host.contains('*') { Leaf::HostExact(host) } else { Leaf::Host(host) }.into())
}

fn host_regexp(template: &str, _: &mut Vec<String>) -> Result<Expr, String> {
    let pattern = Pattern::parse(template, Variable::Label).map_err(|error| format!("`{template}`: {error}"))?;
    Ok(match pattern.literal() {
        Some(host) if host.is_ascii() => Leaf::HostExact(host.to_ascii_lowercase()),
        _ => Leaf::HostRegexp(format!("(?i)^{}$", pattern.regexp())),
    }
    .into())
}

fn path(template: &str, _: &mut Vec<String>) -> Result<Expr, String> {
    let pattern = absolute(template)?;
    Ok(match pattern.literal() {
        Some(path) => Leaf::Path(path.to_owned(), VIEW),
        None => Leaf::PathRegexp(format!("^{}$", pattern.regexp()), VIEW),
    }
    .into())
}

fn path_prefix(template: &str, _: &mut Vec<String>) -> Result<Expr, String> {
    let pattern = absolute(template)?;
    Ok(match pattern.literal() {
        Some(path) => Leaf::PathPrefix(path.to_owned(), VIEW),
        None => Leaf::PathRegexp(format!("^{}", pattern.regexp()), VIEW),
    }
    .into())
}

fn absolute(template: &str) -> Result<Pattern, String> {
    if !template.starts_with('/') {
        return Err(format!("path `{template}` has to begin with `/`"));
    }
    Pattern::parse(template, Variable::Segment).map_err(|error| format!("`{template}`: {error}"))
}

/// `key=value`, where the value may be a template and an empty one means any. The first value of a repeated key counts.
pub(super) fn query(pair: &str) -> Result<Expr, String> {
    let (key, value) =
        pair.split_once('=').ok_or_else(|| format!("`{pair}` has to be `key=value`, or `key=` for any value"))?;
    let pattern = Pattern::parse(value, Variable::Value).map_err(|error| format!("`{pair}`: {error}"))?;
    Ok(match pattern.literal() {
        Some("") => Leaf::QueryRegexp(key.to_owned(), String::new(), Occurrence::First),
        Some(value) => Leaf::Query(key.to_owned(), value.to_owned(), Occurrence::First),
        None => Leaf::QueryRegexp(key.to_owned(), format!("^{}$", pattern.regexp()), Occurrence::First),
    }
    .into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn first() -> Occurrence {
        Occurrence::First
    }

    #[test]
    fn every_matcher_has_its_meaning() {
        for (rule, meaning) in [
            ("Host(`A.test`)", vec![Leaf::Host("a.test".into())]),
            ("HostHeader(`*.test`)", vec![Leaf::HostExact("*.test".into())]),
            ("Host(`a`,`b`)", vec![Leaf::Host("a".into()), Leaf::Host("b".into())]),
            ("HostRegexp(`{z:[a-z]+}.a.test`)", vec![Leaf::HostRegexp(r"(?i)^(?:[a-z]+)\.a\.test$".into())]),
            ("HostRegexp(`a.test`)", vec![Leaf::HostExact("a.test".into())]),
            ("Path(`/item/{id:[0-9]+}`)", vec![Leaf::PathRegexp("^/item/(?:[0-9]+)$".into(), VIEW)]),
            ("Path(`/a`,`/b`)", vec![Leaf::Path("/a".into(), VIEW), Leaf::Path("/b".into(), VIEW)]),
            ("PathPrefix(`/a`)", vec![Leaf::PathPrefix("/a".into(), VIEW)]),
            ("PathPrefix(`/{id}`)", vec![Leaf::PathRegexp("^/(?:[^/]+)".into(), VIEW)]),
            ("Method(`get`,`PUT`)", vec![Leaf::Method("GET".into()), Leaf::Method("PUT".into())]),
            ("Headers(`a`,`b`)", vec![Leaf::Header("a".into(), "b".into())]),
            ("HeadersRegexp(`a`,`b`)", vec![Leaf::HeaderRegexp("a".into(), "b".into())]),
            ("Query(`k=1`)", vec![Leaf::Query("k".into(), "1".into(), first())]),
            ("Query(`k=`)", vec![Leaf::QueryRegexp("k".into(), String::new(), first())]),
            ("Query(`k={v:[0-9]}`)", vec![Leaf::QueryRegexp("k".into(), "^(?:[0-9])$".into(), first())]),
            ("ClientIP(`::1`,`10.0.0.0/8`)", vec![Leaf::ClientIp("::1".into()), Leaf::ClientIp("10.0.0.0/8".into())]),
        ] {
            let wanted = Expr::any(meaning.into_iter().map(Expr::from).collect());
            assert_eq!(parse(rule).unwrap().expr, wanted, "{rule}");
        }
    }

    #[test]
    fn all_pairs_of_a_query_have_to_hold() {
        let pair = |key: &str, value: &str| Expr::from(Leaf::Query(key.into(), value.into(), first()));
        assert_eq!(parse("Query(`a=1`,`b=2`)").unwrap().expr, Expr::All(vec![pair("a", "1"), pair("b", "2")]));
    }

    #[test]
    fn wrong_arguments_and_v3_matchers_are_errors() {
        for rule in [
            "PathRegexp(`/x`)",
            "Header(`a`,`b`)",
            "Headers(`a`)",
            "Query(`k`)",
            "Path(`x`)",
            "Path(`/{x`)",
            "Host()",
            "Host(``)",
            "ClientIP(`x`)",
        ] {
            assert!(parse(rule).is_err(), "{rule}");
        }
    }
}
