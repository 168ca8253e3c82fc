//! `http.routers`: each becomes a route, or the automatic one does.

use sluice_plugin_sdk::router::{Action, Balancer, Observability, Route, ServiceSpec, Transport};

use super::Instance;
use crate::merge::{Candidate, Draft};
use crate::report::{Problem, Report};
use crate::rule::{Parsed, RuleError, matchers_v2, matchers_v3};
use crate::settings::RuleSyntax;
use crate::tags::after_prefix;
use crate::tags::tree::Node;
use crate::template::Value;

/// What labels begin with in templates.
const TRAEFIK: &str = "traefik";

/// The service of Traefik's that answers nothing, for routers whose steps answer everything.
const NOOP: &str = "noop@internal";

/// What it is here: each provider has its own.
const NOBODY: &str = "noop-internal";

/// Traefik keeps the priorities above this for itself.
const MAX_PRIORITY: i64 = i64::MAX - 1000;

/// Adds the routes of an instance to the draft.
pub(super) fn read(own: &Instance<'_>, services: &[Candidate<ServiceSpec>], draft: &mut Draft, report: &mut Report) {
    let named = own.http("routers");
    for node in named {
        add(own, node, services, draft, report);
    }
    if let ([], [service]) = (named, services) {
        let node = Node { name: own.automatic_name(), ..Node::default() };
        add(own, &node, std::slice::from_ref(service), draft, report);
    }
}

/// Adds a router. By the default rule a service may be reached that is the gateway itself, so such a router is guarded
/// against its own requests.
fn add(own: &Instance<'_>, node: &Node, services: &[Candidate<ServiceSpec>], draft: &mut Draft, report: &mut Report) {
    let mut route = route(own, node, services, report);
    if let (Ok(route), None) = (&mut route, own_rule(node)) {
        let guard = format!("{}-loop-guard", node.name);
        let mark = format!("{:x}", super::fnv1(node.name.as_bytes()));
        draft.steps.push(Candidate::new(guard.clone(), &own.id, Ok(Action::LoopGuard(mark))));
        route.steps.insert(0, guard);
    }
    if route.as_ref().is_ok_and(|route| route.service == NOOP) {
        let balancer =
            Balancer { unavailable: "there is no service behind this route\n".to_owned(), ..Balancer::default() };
        draft.services.push(Candidate::new(NOBODY, &own.id, Ok(ServiceSpec::balanced(NOBODY, balancer))));
        route.iter_mut().for_each(|route| route.service = NOBODY.to_owned());
    }
    draft.routes.push(Candidate::new(node.name.clone(), &own.id, route));
}

fn route(
    own: &Instance<'_>,
    node: &Node,
    services: &[Candidate<ServiceSpec>],
    report: &mut Report,
) -> Result<Route, Problem> {
    let object = format!("route {}", node.name);
    let (text, tag) = rule_text(own, node)?;
    let parsed = parse(own, node, &text).map_err(|message| Problem::new(tag, message))?;
    for note in &parsed.notes {
        report.warning(&object, tag, note.clone());
    }
    let (transport, tls_options) = match node.child("tls") {
        Some(tls) => (Transport::Tls, tls_options(tls, &object, report)),
        None => (Transport::Plain, String::new()),
    };
    let services: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    Ok(Route {
        name: node.name.clone(),
        priority: priority(node, i64::try_from(text.len()).unwrap_or(MAX_PRIORITY))?,
        rule: parsed.expr.into_rule(&text),
        entrypoints: entrypoints(own, node, &object, report)?,
        transport,
        tls_options,
        steps: node.list("middlewares"),
        service: service(node, &services)?,
        observability: observability(node, &object, report),
    })
}

/// What is to be noted of its requests. There is no tracer.
fn observability(node: &Node, object: &str, report: &mut Report) -> Observability {
    let Some(options) = node.child("observability") else { return Observability::default() };
    for option in options.children.iter().filter(|option| option.is("tracing") || option.is("traceverbosity")) {
        report.warning(object, &option.tag, format!("`{}` has no effect: nothing is traced", option.name));
    }
    Observability { access_log: options.flag("accesslogs"), metrics: options.flag("metrics") }
}

/// The rule and the tag it comes from. Without one it is the provider's default rule.
fn rule_text<'n>(own: &Instance<'_>, node: &'n Node) -> Result<(String, &'n str), Problem> {
    match own_rule(node) {
        Some(rule) => Ok((rule.to_owned(), node.tag_of("rule"))),
        None => Ok((default_rule(own).map_err(|message| Problem::new(&node.tag, message))?, node.tag.as_str())),
    }
}

fn own_rule(node: &Node) -> Option<&str> {
    node.text("rule").filter(|rule| !rule.is_empty())
}

fn default_rule(own: &Instance<'_>) -> Result<String, String> {
    let labels = labels(own.accepted.tags.iter().filter_map(|tag| tag.split()), &own.settings.prefix);
    let data = Value::record([("Name", own.service.name.as_str().into()), ("Labels", labels)]);
    let rendered = own.settings.default_rule.render(&data, &own.settings.v3_env());
    rendered.map_err(|error| format!("the default rule: {error}"))
}

/// The tags a default rule can look at. Those with the provider's prefix are there under Traefik's own as well, which is
/// what templates call them whatever the prefix is.
pub(crate) fn labels<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>, prefix: &str) -> Value {
    let mut named: Vec<(String, Value)> = Vec::new();
    for (key, value) in tags {
        if let Some(rest) = after_prefix(key, prefix).filter(|_| prefix != TRAEFIK) {
            named.push((format!("{TRAEFIK}.{rest}"), value.into()));
        }
        named.push((key.to_owned(), value.into()));
    }
    Value::map(named.iter().map(|(key, value)| (key.as_str(), value.clone())))
}

fn parse(own: &Instance<'_>, node: &Node, text: &str) -> Result<Parsed, String> {
    let parse: fn(&str) -> Result<Parsed, RuleError> = match rule_syntax(own, node)? {
        RuleSyntax::V2 => matchers_v2::parse,
        RuleSyntax::V3 => matchers_v3::parse,
    };
    parse(text).map_err(|error| format!("rule `{text}`: {error}"))
}

/// The syntax a router names, else the provider's.
pub(super) fn rule_syntax(own: &Instance<'_>, node: &Node) -> Result<RuleSyntax, String> {
    match node.text("rulesyntax").unwrap_or_default() {
        "" => Ok(own.settings.rule_syntax),
        "v2" => Ok(RuleSyntax::V2),
        "v3" => Ok(RuleSyntax::V3),
        other => Err(format!("rule syntax `{other}` is neither v2 nor v3")),
    }
}

/// As set, else the default: the length of the rule in bytes.
pub(super) fn priority(node: &Node, by_default: i64) -> Result<i64, Problem> {
    match node.integer("priority").unwrap_or(0) {
        0 => Ok(by_default),
        priority if priority > MAX_PRIORITY => {
            Err(Problem::new(node.tag_of("priority"), format!("priorities above {MAX_PRIORITY} are reserved")))
        }
        priority => Ok(priority),
    }
}

pub(super) fn entrypoints(
    own: &Instance<'_>,
    node: &Node,
    object: &str,
    report: &mut Report,
) -> Result<Vec<String>, Problem> {
    let (known, unknown) = own.settings.known_entrypoints(node.list("entrypoints"));
    if known.is_empty() && !unknown.is_empty() {
        let message = format!("none of its entrypoints exists: {}", unknown.join(", "));
        return Err(Problem::new(node.tag_of("entrypoints"), message));
    }
    for name in unknown {
        report.warning(object, node.tag_of("entrypoints"), format!("entrypoint `{name}` does not exist"));
    }
    Ok(known)
}

/// The options a router's `tls` names; empty for the entrypoint's own.
pub(super) fn tls_options(tls: &Node, object: &str, report: &mut Report) -> String {
    for option in tls.children.iter().filter(|option| option.is("certresolver") || option.is("domains")) {
        let message = format!("`{}` has no effect: certificates are configured at the entrypoint", option.name);
        report.warning(object, &option.tag, message);
    }
    tls.text("options").filter(|options| *options != "default").unwrap_or_default().to_owned()
}

/// As set, else the only service of the instance.
pub(super) fn service(node: &Node, services: &[&str]) -> Result<String, Problem> {
    match (node.text("service").filter(|name| !name.is_empty()), services) {
        (Some(name), _) if name.ends_with("@internal") && name != NOOP => {
            let message = format!(
                "`{name}` is Traefik's own: API, dashboard, ping and metrics are on [admin], which no route leads to"
            );
            Err(Problem::new(node.tag_of("service"), message))
        }
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            let message =
                format!("the instance has {} services, so the router has to name one by `service`", services.len());
            Err(Problem::new(&node.tag, message))
        }
    }
}
