//! The matchers of rules of TCP routers, in both syntaxes: v2 takes several arguments and templates.

use super::expr::{Expr, Leaf};
use super::matchers_v3::{check_arguments, client_ip, find};
use super::pattern::{Pattern, Variable};
use super::syntax::{self, Call};
use super::{Parsed, RuleError};

type Build = fn(&str, &mut Vec<String>) -> Result<Expr, String>;

const V3: &[(&str, Build)] = &[
    ("HostSNI", host_sni),
    ("HostSNIRegexp", |pattern, _| Ok(Leaf::HostRegexp(pattern.to_owned()).into())),
    ("ClientIP", |range, notes| client_ip(&[range], notes)),
    ("ALPN", |protocol, _| Ok(Leaf::Alpn(protocol.to_owned()).into())),
];

const V2: &[(&str, Build)] = &[
    ("HostSNI", host_sni),
    ("HostSNIRegexp", template),
    ("ClientIP", |range, notes| client_ip(&[range], notes)),
    ("ALPN", |protocol, _| Ok(Leaf::Alpn(protocol.to_owned()).into())),
];

/// Reads a rule in v3's syntax.
///
/// # Errors
/// A place that does not follow the grammar, an unknown matcher, or arguments a matcher does not take.
pub(crate) fn parse_v3(rule: &str) -> Result<Parsed, RuleError> {
    parse(rule, V3, 1)
}

/// Reads a rule in v2's syntax.
///
/// # Errors
/// As [`parse_v3`].
pub(crate) fn parse_v2(rule: &str) -> Result<Parsed, RuleError> {
    parse(rule, V2, usize::MAX)
}

fn parse(rule: &str, matchers: &[(&'static str, Build)], most: usize) -> Result<Parsed, RuleError> {
    let mut notes = Vec::new();
    let expr = syntax::parse(rule)?.resolve(&mut |call: Call| {
        let (name, build) = *find(matchers.iter(), &call, |row| row.0)?;
        check_arguments(&call, name, 1, most)?;
        let each = call.args.iter().map(|argument| build(argument, &mut notes)).collect::<Result<_, _>>();
        each.map(Expr::any).map_err(|message| RuleError::new(call.span.clone(), message))
    })?;
    Ok(Parsed { expr, notes })
}

fn host_sni(name: &str, _: &mut Vec<String>) -> Result<Expr, String> {
    if !name.is_ascii() {
        return Err(format!("host `{name}` is not ASCII; write its xn-- form"));
    }
    let name = name.to_ascii_lowercase();
    Ok(Leaf::Host(name.strip_suffix('.').unwrap_or(&name).to_owned()).into())
}

fn template(text: &str, _: &mut Vec<String>) -> Result<Expr, String> {
    let pattern = Pattern::parse(text, Variable::Label).map_err(|error| format!("`{text}`: {error}"))?;
    Ok(Leaf::HostRegexp(format!("(?i)^{}$", pattern.regexp())).into())
}

/// Whether a rule looks at the server name, which plain connections have none of. `*` asks for nothing.
pub(crate) fn asks_for_a_name(expr: &Expr) -> bool {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().any(asks_for_a_name),
        Expr::Not(part) => asks_for_a_name(part),
        Expr::Leaf(Leaf::Host(name)) => name != "*",
        Expr::Leaf(leaf) => matches!(leaf, Leaf::HostRegexp(_) | Leaf::Alpn(_)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_matcher_has_its_meaning() {
        for (rule, meaning) in [
            ("HostSNI(`DB.Test.`)", Leaf::Host("db.test".into())),
            ("HostSNI(`*`)", Leaf::Host("*".into())),
            ("HostSNIRegexp(`^db[0-9]$`)", Leaf::HostRegexp("^db[0-9]$".into())),
            ("ClientIP(`10.0.0.0/8`)", Leaf::ClientIp("10.0.0.0/8".into())),
            ("ALPN(`postgresql`)", Leaf::Alpn("postgresql".into())),
            ("hostsni(`a`)", Leaf::Host("a".into())),
        ] {
            assert_eq!(parse_v3(rule).unwrap().expr, meaning.into(), "{rule}");
        }
        let several = parse_v2("HostSNI(`a`, `b`)").unwrap().expr;
        assert_eq!(several, Expr::Any(vec![Leaf::Host("a".into()).into(), Leaf::Host("b".into()).into()]));
        let template = parse_v2("HostSNIRegexp(`{n:[a-z]+}.test`)").unwrap().expr;
        assert!(matches!(template, Expr::Leaf(Leaf::HostRegexp(pattern)) if pattern.contains("[a-z]+")));
    }

    #[test]
    fn what_requests_have_and_wrong_arguments_are_refused() {
        for rule in ["Host(`a`)", "HostSNI(`a`, `b`)", "HostSNI()", "HostSNI(`ü`)", "ClientIP(`x`)", "Path(`/`)", ""] {
            assert!(parse_v3(rule).is_err(), "{rule}");
        }
    }

    #[test]
    fn names_are_found_wherever_they_are_asked_for() {
        let asks = |rule| asks_for_a_name(&parse_v3(rule).unwrap().expr);
        assert!(asks("HostSNI(`a`) || HostSNI(`*`)") && asks("!HostSNIRegexp(`a`)") && asks("ALPN(`h2`)"));
        assert!(!asks("HostSNI(`*`) && ClientIP(`10.0.0.1`)"));
    }
}
