//! The v1 rule grammar: `Matcher:arg,arg;Matcher:arg`. Parts are joined by AND, the arguments of most matchers by OR,
//! and some matchers also change the path on its way upstream.

use sluice_plugin_sdk::router::{Occurrence, PathView};

use super::RuleError;
use super::expr::{Expr, Leaf};
use super::pattern::{Pattern, Variable};

/// v1 looks at the fully decoded path.
const VIEW: PathView = PathView::Decoded;

/// What a v1 rule says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct V1Rule {
    pub(crate) expr: Expr,
    /// Matches the requests that differ from `expr` only by the final slash of their path, where that can happen.
    pub(crate) slash: Option<Expr>,
    pub(crate) modifiers: Modifiers,
    /// Arguments that are accepted but can never match.
    pub(crate) notes: Vec<String>,
}

/// What a v1 rule does to the path, in the order in which it does it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Modifiers {
    pub(crate) strip_regexps: Vec<String>,
    /// Longest first.
    pub(crate) strip: Vec<String>,
    pub(crate) add: Option<String>,
    /// Expression and replacement.
    pub(crate) replace_regexp: Option<(String, String)>,
    pub(crate) replace: Option<String>,
}

/// Reads a v1 rule.
///
/// # Errors
/// An unknown matcher, arguments a matcher does not take, or a matcher none of whose arguments can ever match.
pub(crate) fn parse(rule: &str) -> Result<V1Rule, RuleError> {
    let mut reader = Reader::default();
    let mut start = 0_usize;
    for part in rule.split(';') {
        let span = start..start.saturating_add(part.len());
        start = span.end.saturating_add(1);
        if !part.trim().is_empty() {
            reader.part(part).map_err(|message| RuleError::new(span, message))?;
        }
    }
    if reader.parts == 0 {
        return Err(RuleError::new(0..rule.len(), "the rule is empty"));
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    parts: usize,
    matchers: Vec<Expr>,
    /// The same as `matchers`, with the final slash of every whole path toggled.
    toggled: Vec<Expr>,
    has_path: bool,
    modifiers: Modifiers,
    notes: Vec<String>,
}

impl Reader {
    fn part(&mut self, part: &str) -> Result<(), String> {
        let (name, args) = part.split_once(':').unwrap_or((part, ""));
        let name = name.trim();
        // Several colons after the name are tolerated.
        let args: Vec<&str> =
            args.trim_start_matches(':').split(',').map(str::trim).filter(|arg| !arg.is_empty()).collect();
        if args.is_empty() {
            return Err(format!("`{name}` needs an argument, as in `Host:example.org`"));
        }
        self.parts = self.parts.saturating_add(1);
        self.matcher(name, &args)
    }

    fn matcher(&mut self, name: &str, args: &[&str]) -> Result<(), String> {
        match name {
            "Host" => self.any_of(name, args, host)?,
            "HostRegexp" => self.any_of(name, args, host_regexp)?,
            "Path" => self.whole_path(name, args)?,
            "PathStrip" => {
                self.whole_path(name, args)?;
                self.strip(args);
            }
            "PathStripRegex" => {
                self.whole_path(name, args)?;
                self.strip_regexps(args);
            }
            "PathPrefix" => self.any_of(name, args, path_prefix)?,
            "PathPrefixStrip" => {
                self.any_of(name, args, path_prefix)?;
                self.strip(args);
            }
            "PathPrefixStripRegex" => {
                self.any_of(name, args, path_prefix)?;
                self.strip_regexps(args);
            }
            "Method" => self.any_of(name, args, |method| Ok(Leaf::Method(method.to_ascii_uppercase())))?,
            "Headers" => self.headers(name, args, Leaf::Header)?,
            "HeadersRegexp" => self.headers(name, args, Leaf::HeaderRegexp)?,
            "Query" => self.query(args)?,
            "AddPrefix" => self.modifiers.add = last(args),
            "ReplacePath" => self.modifiers.replace = last(args),
            "ReplacePathRegex" => self.replace_path_regex(args),
            _ => return Err(format!("unknown matcher `{name}`; names are case-sensitive, as in `PathPrefix`")),
        }
        Ok(())
    }

    fn push(&mut self, expr: Expr) {
        self.toggled.push(expr.clone());
        self.matchers.push(expr);
    }

    fn any_of(&mut self, name: &str, args: &[&str], build: fn(&str) -> Result<Leaf, String>) -> Result<(), String> {
        let leaves = self.usable(name, args, build)?;
        self.push(Expr::any(leaves.into_iter().map(Expr::from).collect()));
        Ok(())
    }

    /// The arguments that can match. v1 keeps the others silently, here they are noted; if none is left, the whole
    /// rule could never match, and that is an error.
    fn usable<T>(&mut self, name: &str, args: &[&str], build: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut found = Vec::new();
        let mut reasons = Vec::new();
        for arg in args {
            match build(arg) {
                Ok(one) => found.push(one),
                Err(reason) => reasons.push(format!("`{name}:{arg}` never matches: {reason}")),
            }
        }
        if found.is_empty() {
            return Err(reasons.join("; "));
        }
        self.notes.extend(reasons);
        Ok(found)
    }

    fn whole_path(&mut self, name: &str, args: &[&str]) -> Result<(), String> {
        let paths = self.usable(name, args, |arg| Ok((path(arg)?, toggled(arg).map(|arg| path(&arg)).transpose()?)))?;
        let (exact, other): (Vec<_>, Vec<_>) = paths.into_iter().unzip();
        self.matchers.push(Expr::any(exact.into_iter().map(Expr::from).collect()));
        self.toggled.push(Expr::any(other.into_iter().flatten().map(Expr::from).collect()));
        self.has_path = true;
        Ok(())
    }

    fn strip(&mut self, args: &[&str]) {
        self.modifiers.strip.extend(args.iter().filter(|arg| path_prefix(arg).is_ok()).map(|arg| (*arg).to_owned()));
    }

    fn strip_regexps(&mut self, args: &[&str]) {
        let patterns = args.iter().filter_map(|arg| template(arg).ok());
        self.modifiers.strip_regexps.extend(patterns.map(|pattern| format!("^{}", pattern.regexp())));
    }

    fn headers(&mut self, name: &str, args: &[&str], leaf: fn(String, String) -> Leaf) -> Result<(), String> {
        let (pairs, odd) = args.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(format!("`{name}` takes pairs of a name and a value, as in `{name}:X-Plan,gold`"));
        }
        for [header, value] in pairs {
            if header.eq_ignore_ascii_case("host") {
                return Err(format!("`{name}:{header}` never matches: the Host header is matched by `Host`"));
            }
            self.push(leaf((*header).to_owned(), (*value).to_owned()).into());
        }
        Ok(())
    }

    fn query(&mut self, args: &[&str]) -> Result<(), String> {
        for pair in args {
            let expr = query(pair)?;
            self.push(expr.into());
        }
        Ok(())
    }

    fn replace_path_regex(&mut self, args: &[&str]) {
        let Some(value) = last(args) else { return };
        let mut parts = value.split(' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(regexp), Some(replacement), None) => {
                self.modifiers.replace_regexp = Some((regexp.to_owned(), replacement.to_owned()));
            }
            _ => self.notes.push(format!(
                "`ReplacePathRegex:{value}` was ignored: it takes an expression, one blank and a replacement"
            )),
        }
    }

    fn finish(mut self) -> V1Rule {
        self.modifiers.strip.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        V1Rule {
            slash: self.has_path.then(|| Expr::all(self.toggled)).filter(can_match),
            expr: Expr::all(self.matchers),
            modifiers: self.modifiers,
            notes: self.notes,
        }
    }
}

/// Whether no part of a conjunction is empty.
fn can_match(expr: &Expr) -> bool {
    match expr {
        Expr::All(parts) => parts.iter().all(can_match),
        Expr::Any(parts) => !parts.is_empty(),
        _ => true,
    }
}

fn last(args: &[&str]) -> Option<String> {
    args.last().map(|arg| (*arg).to_owned())
}

fn host(host: &str) -> Result<Leaf, String> {
    if host.contains(':') {
        return Err("hosts are compared without their port".to_owned());
    }
    if host.contains(['{', '}', '*']) {
        return Err(
            "`Host` has neither templates nor wildcards, write `HostRegexp:{name:[a-z]+}.example.org`".to_owned()
        );
    }
    if !host.is_ascii() {
        return Err("it is not ASCII, write its xn-- form".to_owned());
    }
    Ok(Leaf::HostExact(host.to_ascii_lowercase()))
}

fn host_regexp(text: &str) -> Result<Leaf, String> {
    let pattern = Pattern::parse(text, Variable::Label).map_err(|error| error.to_string())?;
    match pattern.literal() {
        Some(literal) => host(literal),
        None => Ok(Leaf::HostRegexp(format!("(?i)^{}$", pattern.regexp()))),
    }
}

fn path(text: &str) -> Result<Leaf, String> {
    let pattern = template(text)?;
    Ok(match pattern.literal() {
        Some(path) => Leaf::Path(path.to_owned(), VIEW),
        None => Leaf::PathRegexp(format!("^{}$", pattern.regexp()), VIEW),
    })
}

fn path_prefix(text: &str) -> Result<Leaf, String> {
    let pattern = template(text)?;
    Ok(match pattern.literal() {
        Some(path) => Leaf::PathPrefix(path.to_owned(), VIEW),
        None => Leaf::PathRegexp(format!("^{}", pattern.regexp()), VIEW),
    })
}

fn template(text: &str) -> Result<Pattern, String> {
    if !text.starts_with('/') {
        return Err("a path begins with `/`".to_owned());
    }
    Pattern::parse(text, Variable::Segment).map_err(|error| error.to_string())
}

/// The path with its final slash added or removed. `/` has no other form.
fn toggled(path: &str) -> Option<String> {
    match path.strip_suffix('/') {
        Some("") => None,
        Some(without) => Some(without.to_owned()),
        None => Some(format!("{path}/")),
    }
}

/// `key=value`, where the value may be a template and an empty one means any. Only the first value of a repeated key
/// is looked at.
fn query(pair: &str) -> Result<Leaf, String> {
    let (key, value) = pair
        .split_once('=')
        .filter(|(_, value)| !value.contains('='))
        .ok_or_else(|| format!("`Query:{pair}` has to be `key=value`, or `key=` for any value"))?;
    let pattern = Pattern::parse(value, Variable::Value).map_err(|error| format!("`Query:{pair}`: {error}"))?;
    let (key, first) = (key.to_owned(), Occurrence::First);
    Ok(match pattern.literal() {
        Some("") => Leaf::QueryRegexp(key, String::new(), first),
        Some(value) => Leaf::Query(key, value.to_owned(), first),
        None => Leaf::QueryRegexp(key, format!("^{}$", pattern.regexp()), first),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::arena::is_sound;

    fn host_is(name: &str) -> Expr {
        Leaf::HostExact(name.into()).into()
    }

    fn path_is(path: &str) -> Expr {
        Leaf::Path(path.into(), VIEW).into()
    }

    fn expr(rule: &str) -> Expr {
        parse(rule).unwrap_or_else(|error| unreachable!("{rule}: {error}")).expr
    }

    #[test]
    fn every_matcher_has_its_meaning() {
        let first = Occurrence::First;
        for (rule, leaf) in [
            ("Host:Cart.Test", Leaf::HostExact("cart.test".into())),
            ("Host:a.test.", Leaf::HostExact("a.test.".into())),
            ("HostRegexp:{r:[a-z]+}.a.test", Leaf::HostRegexp(r"(?i)^(?:[a-z]+)\.a\.test$".into())),
            ("HostRegexp:{r}.a", Leaf::HostRegexp(r"(?i)^(?:[^.]+)\.a$".into())),
            ("HostRegexp:a.test", Leaf::HostExact("a.test".into())),
            ("Path:/x", Leaf::Path("/x".into(), VIEW)),
            ("Path:/a b", Leaf::Path("/a b".into(), VIEW)),
            ("Path:/item/{id}", Leaf::PathRegexp("^/item/(?:[^/]+)$".into(), VIEW)),
            ("PathStrip:/x", Leaf::Path("/x".into(), VIEW)),
            ("PathStripRegex:/x/{id:[0-9]+}", Leaf::PathRegexp("^/x/(?:[0-9]+)$".into(), VIEW)),
            ("PathPrefix:/x/", Leaf::PathPrefix("/x/".into(), VIEW)),
            ("PathPrefix:/r{n:[0-9]+}", Leaf::PathRegexp("^/r(?:[0-9]+)".into(), VIEW)),
            ("PathPrefixStrip:/x", Leaf::PathPrefix("/x".into(), VIEW)),
            ("PathPrefixStripRegex:/r{n:[0-9]+}", Leaf::PathRegexp("^/r(?:[0-9]+)".into(), VIEW)),
            ("Method:get", Leaf::Method("GET".into())),
            ("Headers:X-Plan,gold", Leaf::Header("X-Plan".into(), "gold".into())),
            ("HeadersRegexp:X-Plan,(gold|iron)", Leaf::HeaderRegexp("X-Plan".into(), "(gold|iron)".into())),
            ("Query:k=1", Leaf::Query("k".into(), "1".into(), first)),
            ("Query:k=", Leaf::QueryRegexp("k".into(), String::new(), first)),
            ("Query:k={v:[0-9]}", Leaf::QueryRegexp("k".into(), "^(?:[0-9])$".into(), first)),
        ] {
            assert_eq!(expr(rule), leaf.into(), "{rule}");
        }
    }

    #[test]
    fn parts_are_anded_and_arguments_ored() {
        assert_eq!(expr("Host: one.test , two.test"), Expr::Any(vec![host_is("one.test"), host_is("two.test")]));
        assert_eq!(expr("Host:one;Host:two"), Expr::All(vec![host_is("one"), host_is("two")]));
        assert_eq!(expr(" Host : one.test ; Path: /deep "), Expr::All(vec![host_is("one.test"), path_is("/deep")]));
    }

    #[test]
    fn pairs_of_headers_and_queries_are_anded() {
        let header = |name: &str, value: &str| Expr::from(Leaf::Header(name.into(), value.into()));
        assert_eq!(expr("Headers:A,1,B,2"), Expr::All(vec![header("A", "1"), header("B", "2")]));
        let query = |name: &str, value: &str| Expr::from(Leaf::Query(name.into(), value.into(), Occurrence::First));
        assert_eq!(expr("Query:a=1,b=2"), Expr::All(vec![query("a", "1"), query("b", "2")]));
    }

    #[test]
    fn empty_parts_and_arguments_and_extra_colons_are_tolerated() {
        for rule in [";;Host:one.test;;", "Host:,one.test,", "Host::one.test"] {
            assert_eq!(expr(rule), host_is("one.test"), "{rule}");
        }
    }

    #[test]
    fn errors_name_the_part() {
        for part in [
            "Host:",
            "Host",
            "Origin:x",
            "Methods:GET",
            "host:x",
            "Headers:X-Plan",
            "Headers:Host,x",
            "HeadersRegexp:a,b,c",
            "Query:k",
            "Query:k=1=2",
            "Query:k={v",
            "Host:a.test:80",
            "Host:{z}.a.test",
            "HostRegexp:{r:[a-z]{2,3}}.cart.test",
            "Path:basket",
            "Path:/{bad",
            "PathPrefixStrip:shop",
        ] {
            let rule = format!("Method:GET;{part}");
            let error = parse(&rule).unwrap_err();
            assert_eq!(rule.get(error.span.clone()), Some(part), "{error}");
        }
        for rule in ["", ";", " ; "] {
            assert!(parse(rule).is_err(), "{rule:?}");
        }
    }

    #[test]
    fn an_unusable_argument_beside_usable_ones_is_noted_and_dropped() {
        let rule = parse("Path:basket,/x").unwrap();
        assert_eq!(rule.expr, path_is("/x"));
        assert_eq!(rule.notes.len(), 1);
    }

    #[test]
    fn whole_paths_have_a_slash_redirect() {
        for (rule, slash) in [
            ("Path:/basket", Some(path_is("/basket/"))),
            ("Path:/basket/", Some(path_is("/basket"))),
            ("PathStrip:/solo", Some(path_is("/solo/"))),
            ("Path:/one,/two/", Some(Expr::Any(vec![path_is("/one/"), path_is("/two")]))),
            ("Host:a;Path:/x", Some(Expr::All(vec![host_is("a"), path_is("/x/")]))),
            ("Path:/i/{id}", Some(Leaf::PathRegexp("^/i/(?:[^/]+)/$".into(), VIEW).into())),
            ("Path:/", None),
            ("Host:a;Path:/", None),
            ("PathPrefix:/x", None),
            ("Host:a", None),
        ] {
            assert_eq!(parse(rule).unwrap().slash, slash, "{rule}");
        }
    }

    #[test]
    fn modifiers_are_collected_whatever_their_order() {
        let rule = "ReplacePath:/one,/two;ReplacePathRegex: ^/i/(.*) /z/$1;AddPrefix:/i;PathPrefixStrip:/m,/m/n";
        let modifiers = parse(rule).unwrap().modifiers;
        assert_eq!(
            modifiers,
            Modifiers {
                strip_regexps: vec![],
                strip: vec!["/m/n".into(), "/m".into()],
                add: Some("/i".into()),
                replace_regexp: Some(("^/i/(.*)".into(), "/z/$1".into())),
                replace: Some("/two".into()),
            }
        );
        let regexps = parse("PathStripRegex:/doc/{id:[0-9]+}").unwrap().modifiers.strip_regexps;
        assert_eq!(regexps, ["^/doc/(?:[0-9]+)"]);
    }

    #[test]
    fn a_rule_of_modifiers_only_matches_every_request() {
        assert_eq!(expr("AddPrefix:/app"), Expr::All(vec![]));
    }

    #[test]
    fn a_path_regexp_replacement_without_replacement_is_ignored_with_a_note() {
        for value in ["^/old/(.*)", "a b c"] {
            let rule = parse(&format!("Host:h;ReplacePathRegex: {value}")).unwrap();
            assert_eq!(rule.modifiers.replace_regexp, None);
            assert_eq!(rule.notes.len(), 1, "{value}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_lowers_soundly(
            text in "((Host|Path|PathPrefixStrip|Query|Headers|AddPrefix)?[:;,= ]?(/a|b\\.c|\\{n\\}|é|k=v)?){0,8}"
        ) {
            match parse(&text) {
                Ok(rule) => prop_assert!(is_sound(&rule.expr.into_rule(&text))),
                Err(error) => prop_assert!(text.get(error.span.clone()).is_some(), "{:?}", error.span),
            }
        }

        #[test]
        fn hosts_read_back(hosts in prop::collection::vec("[a-z]{1,5}\\.test", 1..4)) {
            let wanted = Expr::any(hosts.iter().map(|host| host_is(host)).collect());
            prop_assert_eq!(expr(&format!("Host:{}", hosts.join(","))), wanted);
        }
    }
}
