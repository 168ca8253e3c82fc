//! What holds of everything here that reads text, whatever comes in: the targets of `fuzz/`, which every test run calls
//! with the corpora of `corpus/` and mutations of them.
//!
//! That nothing panics, overflows or runs away holds for all. Each target says what else does, by assertions.

use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView, Rule};
use sluice_model::tcp::{ConnectionView, TcpRule};
use sluice_plugin_sdk::router::{Contribution, Health, Instance, Service, Severity};

use crate::arena::{is_sound, spec};
use crate::constraints::Constraints;
use crate::rule::expr::Expr;
use crate::rule::syntax::MAX_DEPTH;
use crate::rule::{Parsed, RuleError, matchers_tcp, matchers_v2, matchers_v3, v1};
use crate::settings::Settings;
use crate::tags::Tag;
use crate::template::{Env, MAX_TEXT, Template, V1_FUNCTIONS, V3_FUNCTIONS, Value};

/// Rules of v1's frontends.
pub fn v1_rule(text: &str) {
    let Ok(rule) = v1::parse(text) else { return };
    assert!(v1::parse(text).is_ok_and(|again| again == rule), "it is read alike each time");
    compiled(rule.expr, text);
    if let Some(slash) = rule.slash {
        compiled(slash, text);
    }
}

/// Rules of v3's routers in v2's syntax.
pub fn v2_rule(text: &str) {
    if let Some(parsed) = in_parentheses(text, matchers_v2::parse) {
        compiled(parsed.expr, text);
    }
}

/// Rules of v3's routers. What is told of one that does not match is a rule again, and says the same.
pub fn v3_rule(text: &str) {
    let Some(parsed) = in_parentheses(text, matchers_v3::parse) else { return };
    let Some(rule) = compiled(parsed.expr, text) else { return };
    for part in mismatches(&rule).into_iter().filter(|part| is_one_call(part)) {
        let read = matchers_v3::parse(&part).map(|parsed| Rule::compile(&spec(&parsed.expr.into_rule(&part))));
        let told = read.is_ok_and(|rule| rule.is_ok_and(|rule| mismatches(&rule) == [part.clone()]));
        assert!(told, "{part}");
    }
}

/// Rules of TCP routers in both syntaxes.
pub fn tcp_rule(text: &str) {
    for parse in [matchers_tcp::parse_v2, matchers_tcp::parse_v3] {
        let Some(parsed) = in_parentheses(text, parse) else { continue };
        let rule = parsed.expr.into_rule(text);
        assert!(is_sound(&rule), "{rule:?}");
        let Ok(rule) = TcpRule::compile(&spec(&rule)) else { continue };
        let connection = ConnectionView { server_name: "a.test", alpn: &[b"h2"], client: [127, 0, 0, 1].into() };
        let matches = rule.matches(&connection);
        assert!(matches || !rule.is_catch_all(), "a catch-all takes every connection");
    }
}

/// Templates of default rules.
pub fn template(text: &str) {
    for functions in [V1_FUNCTIONS, V3_FUNCTIONS] {
        let env = Env { functions, prefix: "traefik" };
        let data = Value::record([
            ("ServiceName", "web".into()),
            ("Name", "web".into()),
            ("Domain", "d.test".into()),
            ("Attributes", Value::texts(["a=b", "c"].into_iter())),
            ("Labels", Value::map([("a.b", "x".into())])),
        ]);
        let Ok(template) = Template::parse(text, &env) else { continue };
        let once = template.render(&data, &env);
        assert_eq!(once, template.render(&data, &env), "the same service always gets the same rule");
        assert!(once.is_ok_and(|rule| rule.len() <= MAX_TEXT) || template.render(&data, &env).is_err());
    }
}

/// Constraints of providers in both languages.
pub fn constraints(text: &str) {
    for read in [Constraints::v3(text), Constraints::v1(&[text.to_owned()])].into_iter().flatten() {
        let tags = [Tag::new("a"), Tag::new("traefik.tags=eu-1,b")];
        assert_eq!(read.accept(&tags, "traefik"), read.accept(&tags, "traefik"));
    }
}

/// All tags of an instance, with `|` between them.
pub fn tags(text: &str) {
    let tags: Vec<String> = text.split('|').map(str::to_owned).collect();
    let instance = Instance {
        id: "i".to_owned(),
        node: "node".to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 80,
        tags: tags.clone(),
        health: Health::Passing,
    };
    let service = Service { name: "web".to_owned(), instances: vec![instance] };
    for options in ["{}", r#"{"repair-commas":true,"rule-syntax":"v2","domain":"d"}"#] {
        let Ok(settings) = Settings::parse(options) else { unreachable!("these are options") };
        let made = crate::contribute(&service, &settings);
        assert!(made == crate::contribute(&service, &settings), "the same tags always mean the same");
        whole(&made);
        assert!(settings.repairs_commas || made.diagnostics.iter().all(|found| is_tag(&tags, &found.tag)));
    }
}

/// Whatever a contribution has can be told apart and compiled or refused; whatever it has not is explained.
fn whole(made: &Contribution) {
    for route in &made.routes {
        assert!(is_sound(&route.rule), "{:?}", route.rule);
        Rule::compile(&spec(&route.rule)).ok();
    }
    for route in &made.tcp_routes {
        assert!(is_sound(&route.rule), "{:?}", route.rule);
        TcpRule::compile(&spec(&route.rule)).ok();
    }
    let names = [
        made.routes.iter().map(|route| &route.name).collect::<Vec<_>>(),
        made.services.iter().map(|service| &service.name).collect(),
        made.steps.iter().map(|step| &step.name).collect(),
    ];
    for mut names in names {
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }
    let errors = made.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    errors.for_each(|found| assert!(!found.message.is_empty() && !found.object.is_empty()));
}

fn is_tag(tags: &[String], tag: &str) -> bool {
    tag.is_empty() || tags.iter().any(|known| known == tag)
}

/// Reads a rule; it says the same in parentheses and with blanks around, unless it is nested too deeply then.
fn in_parentheses(text: &str, parse: fn(&str) -> Result<Parsed, RuleError>) -> Option<Parsed> {
    let parsed = parse(text).ok()?;
    match parse(&format!(" ( {text}\n) ")) {
        Ok(again) => assert_eq!(again.expr, parsed.expr),
        Err(error) => assert!(text.matches(['(', '!']).count() >= MAX_DEPTH, "{error}"),
    }
    Some(parsed)
}

/// The rule as the gateway compiles it, where it can.
fn compiled(expr: Expr, text: &str) -> Option<Rule> {
    let rule = expr.into_rule(text);
    assert!(is_sound(&rule), "{rule:?}");
    assert!(rule.nodes.len() <= 8 * (text.len() + 1), "{} nodes", rule.nodes.len());
    let rule = Rule::compile(&spec(&rule)).ok()?;
    mismatches(&rule);
    Some(rule)
}

/// No header has a value.
struct NoHeaders;

impl HeaderValues for NoHeaders {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// The parts of a rule that keep it from matching a request; there are some exactly where it does not match.
fn mismatches(rule: &Rule) -> Vec<String> {
    let Ok(path) = NormalPath::parse("/a/b%2Fc") else { unreachable!("this is a path") };
    let request = RequestView {
        host: "a.test",
        path: &path,
        query: Some("k=v&k=w&l"),
        method: "GET",
        headers: &NoHeaders,
        client: [127, 0, 0, 1].into(),
    };
    let found = rule.mismatches(&request);
    assert_eq!(found.is_empty(), rule.matches(&request));
    found.into_iter().map(|mismatch| mismatch.part).collect()
}

/// Whether it is a single call whose arguments are all between backticks, as v3's rules have them.
fn is_one_call(part: &str) -> bool {
    part.ends_with(')') && part.matches('(').count() == 1 && matches!(part.matches('`').count(), 2 | 4)
}

#[cfg(test)]
mod replay;
