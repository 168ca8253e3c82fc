//! The matchers of Traefik v3 rules.

use std::net::IpAddr;

use sluice_plugin_sdk::router::{Occurrence, PathView};

use super::expr::{Expr, Leaf};
use super::syntax::{self, Call};
use super::{Parsed, RuleError};

/// Paths are matched with reserved characters still encoded.
pub(super) const VIEW: PathView = PathView::Routing;

type Build = fn(&[&str], &mut Vec<String>) -> Result<Expr, String>;

/// Name, fewest and most arguments, meaning.
const MATCHERS: &[(&str, usize, usize, Build)] = &[
    ("Host", 1, 1, host),
    ("HostRegexp", 1, 1, |args, _| Ok(Leaf::HostRegexp(text(args, 0)).into())),
    ("Path", 1, 1, |args, _| Ok(Leaf::Path(absolute(args)?, VIEW).into())),
    ("PathPrefix", 1, 1, |args, _| Ok(Leaf::PathPrefix(absolute(args)?, VIEW).into())),
    ("PathRegexp", 1, 1, |args, _| Ok(Leaf::PathRegexp(text(args, 0), VIEW).into())),
    ("Method", 1, 1, |args, _| Ok(Leaf::Method(text(args, 0).to_ascii_uppercase()).into())),
    ("Header", 2, 2, |args, notes| Ok(header(args, notes, Leaf::Header))),
    ("HeaderRegexp", 2, 2, |args, notes| Ok(header(args, notes, Leaf::HeaderRegexp))),
    ("Query", 1, 2, |args, _| Ok(Leaf::Query(text(args, 0), text(args, 1), Occurrence::Any).into())),
    ("QueryRegexp", 1, 2, query_regexp),
    ("ClientIP", 1, 1, client_ip),
];

/// Reads a v3 rule.
///
/// # Errors
/// A place that does not follow the grammar, an unknown matcher, or arguments a matcher does not take.
pub(crate) fn parse(rule: &str) -> Result<Parsed, RuleError> {
    let mut notes = Vec::new();
    let expr = syntax::parse(rule)?.resolve(&mut |call: Call| {
        let (name, fewest, most, build) = find(MATCHERS.iter(), &call, |row| row.0).copied()?;
        check_arguments(&call, name, fewest, most)?;
        let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
        build(&args, &mut notes).map_err(|message| RuleError::new(call.span.clone(), message))
    })?;
    Ok(Parsed { expr, notes })
}

/// The row of the matcher that is called: its name as listed, all lower, all upper, or with only the first letter
/// capital.
pub(super) fn find<'a, R>(
    mut rows: impl Iterator<Item = &'a R>,
    call: &Call,
    name: fn(&R) -> &'static str,
) -> Result<&'a R, RuleError> {
    rows.find(|row| spells(&call.name, name(row))).ok_or_else(|| {
        RuleError::new(
            call.span.clone(),
            format!("unknown matcher `{}`; names are spelled as in `PathPrefix`", call.name),
        )
    })
}

fn spells(written: &str, name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let capital = match lower.split_at_checked(1) {
        Some((first, rest)) => format!("{}{rest}", first.to_ascii_uppercase()),
        None => String::new(),
    };
    written == name || written == lower || written == name.to_ascii_uppercase() || written == capital
}

/// The number of arguments, and that none is empty.
pub(super) fn check_arguments(call: &Call, name: &str, fewest: usize, most: usize) -> Result<(), RuleError> {
    let fail = |message| Err(RuleError::new(call.span.clone(), message));
    if call.args.len() < fewest || call.args.len() > most {
        let wanted = if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") };
        return fail(format!("`{name}` takes {wanted} arguments, not {}; join matchers by `||`", call.args.len()));
    }
    if call.args.iter().any(String::is_empty) {
        return fail(format!("an argument of `{name}` is empty"));
    }
    Ok(())
}

fn text(args: &[&str], at: usize) -> String {
    args.get(at).copied().unwrap_or_default().to_owned()
}

fn host(args: &[&str], notes: &mut Vec<String>) -> Result<Expr, String> {
    let host = text(args, 0).to_ascii_lowercase();
    if !host.is_ascii() {
        return Err(format!("host `{host}` is not ASCII; write its xn-- form"));
    }
    if has_port_or_brackets(&host) {
        notes.push(format!("host `{host}` never matches: hosts are compared without port and brackets"));
        return Ok(Expr::never());
    }
    Ok(Leaf::Host(host.strip_suffix('.').unwrap_or(&host).to_owned()).into())
}

/// A host is compared without its port, and an IPv6 address without its brackets.
pub(super) fn has_port_or_brackets(host: &str) -> bool {
    host.starts_with('[') || host.matches(':').count() == 1
}

fn absolute(args: &[&str]) -> Result<String, String> {
    let path = text(args, 0);
    if path.starts_with('/') { Ok(path) } else { Err(format!("path `{path}` has to begin with `/`")) }
}

pub(super) fn header(args: &[&str], notes: &mut Vec<String>, leaf: fn(String, String) -> Leaf) -> Expr {
    let name = text(args, 0);
    if name.eq_ignore_ascii_case("host") {
        notes.push("the Host header is not visible to header matchers; use `Host`".to_owned());
        return Expr::never();
    }
    leaf(name, text(args, 1)).into()
}

fn query_regexp(args: &[&str], _: &mut Vec<String>) -> Result<Expr, String> {
    Ok(match args {
        [name, pattern] => Leaf::QueryRegexp((*name).to_owned(), (*pattern).to_owned(), Occurrence::Any).into(),
        // Without an expression it is `Query` with one argument: the value has to be empty.
        _ => Leaf::Query(text(args, 0), String::new(), Occurrence::Any).into(),
    })
}

pub(super) fn client_ip(args: &[&str], _: &mut Vec<String>) -> Result<Expr, String> {
    let range = text(args, 0);
    if is_range(range.trim()) {
        Ok(Leaf::ClientIp(range.trim().to_owned()).into())
    } else {
        Err(format!("`{range}` is neither an IP address nor a CIDR range such as 10.0.0.0/8"))
    }
}

fn is_range(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::arena::is_sound;

    fn leaf(rule: &str) -> Leaf {
        match parse(rule).unwrap_or_else(|error| unreachable!("{rule}: {error}")).expr {
            Expr::Leaf(leaf) => leaf,
            other => unreachable!("{rule}: {other:?} is not one matcher"),
        }
    }

    #[test]
    fn every_matcher_has_its_meaning() {
        let any = Occurrence::Any;
        for (rule, meaning) in [
            ("Host(`Cart.Test.`)", Leaf::Host("cart.test".into())),
            ("Host(`*.cart.test`)", Leaf::Host("*.cart.test".into())),
            ("Host(`*`)", Leaf::Host("*".into())),
            ("Host(`fd00::7`)", Leaf::Host("fd00::7".into())),
            ("HostRegexp(`^EU\\.cart$`)", Leaf::HostRegexp("^EU\\.cart$".into())),
            ("Path(`/{id}`)", Leaf::Path("/{id}".into(), VIEW)),
            ("PathPrefix(`/p%2Fq`)", Leaf::PathPrefix("/p%2Fq".into(), VIEW)),
            ("PathRegexp(`^/x`)", Leaf::PathRegexp("^/x".into(), VIEW)),
            ("Method(`put`)", Leaf::Method("PUT".into())),
            ("Header(`X-Plan`,`gold`)", Leaf::Header("X-Plan".into(), "gold".into())),
            ("HeaderRegexp(`X-Plan`,`^g`)", Leaf::HeaderRegexp("X-Plan".into(), "^g".into())),
            ("Query(`k`,`1`)", Leaf::Query("k".into(), "1".into(), any)),
            ("Query(`k=1`)", Leaf::Query("k=1".into(), String::new(), any)),
            ("QueryRegexp(`k`,`^1`)", Leaf::QueryRegexp("k".into(), "^1".into(), any)),
            ("QueryRegexp(`k`)", Leaf::Query("k".into(), String::new(), any)),
            ("ClientIP(`10.0.0.0/8`)", Leaf::ClientIp("10.0.0.0/8".into())),
            ("ClientIP(`fd00::/8`)", Leaf::ClientIp("fd00::/8".into())),
        ] {
            assert_eq!(leaf(rule), meaning, "{rule}");
        }
    }

    #[test]
    fn names_have_four_spellings() {
        for rule in ["PathPrefix(`/x`)", "pathprefix(`/x`)", "PATHPREFIX(`/x`)", "Pathprefix(`/x`)"] {
            assert_eq!(leaf(rule), Leaf::PathPrefix("/x".into(), VIEW), "{rule}");
        }
        for rule in ["pathPrefix(`/x`)", "PathPREFIX(`/x`)", "Paths(`/x`)", "Headers(`a`,`b`)"] {
            assert!(parse(rule).is_err(), "{rule}");
        }
    }

    #[test]
    fn wrong_arguments_are_errors_with_the_bytes_of_the_call() {
        for rule in [
            "Host(`a`,`b`)",
            "Host()",
            "Host(``)",
            "Host(`münchen.test`)",
            "Path(`x`)",
            "PathPrefix(`shop`)",
            "Header(`a`)",
            "Query(`a`,`b`,`c`)",
            "ClientIP(`10.0.0.0/33`)",
            "ClientIP(`here`)",
        ] {
            let text = format!("Method(`GET`) && {rule}");
            let error = parse(&text).unwrap_err();
            assert_eq!(text.get(error.span.clone()), Some(rule), "{error}");
        }
    }

    #[test]
    fn what_never_matches_is_noted() {
        for rule in ["Host(`[fd00::7]`)", "Host(`a.test:80`)", "Header(`Host`,`a`)", "HeaderRegexp(`hOST`,`a`)"] {
            let parsed = parse(rule).unwrap();
            assert_eq!(parsed.expr, Expr::never(), "{rule}");
            assert_eq!(parsed.notes.len(), 1, "{rule}");
        }
    }

    proptest! {
        #[test]
        fn a_rule_that_parses_lowers_to_a_sound_arena(text in "((Host|Path|Query|!|\\(|\\)|&&|\\|\\|| |`/a`|\\(`/b`\\)|,)){0,12}") {
            if let Ok(parsed) = parse(&text) {
                prop_assert!(is_sound(&parsed.expr.into_rule(&text)));
            }
        }
    }
}
