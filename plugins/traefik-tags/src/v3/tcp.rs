//! `tcp.routers`, `tcp.services` and `tcp.middlewares` of one instance.

use sluice_plugin_sdk::router::{ProxyProtocol, TcpAction, TcpRoute, TcpService, TcpTarget, TcpTls};

use super::routers::{self, service, tls_options};
use super::{Instance, health, services};
use crate::accept::object;
use crate::merge::{Candidate, Draft};
use crate::report::{Problem, Report};
use crate::rule::{Parsed, RuleError, matchers_tcp};
use crate::settings::RuleSyntax;
use crate::tags::tree::Node;

/// What Traefik gives the catch-all, so that it is the last resort.
const CATCH_ALL: &str = "HostSNI(`*`)";

/// Adds what an instance says of TCP to the draft.
///
/// # Errors
/// A server that cannot be built, which leaves out the whole instance.
pub(super) fn read(own: &Instance<'_>, draft: &mut Draft, report: &mut Report) -> Result<(), Problem> {
    let named = named_services(own)?;
    let names: Vec<&str> = named.iter().map(|service| service.name.as_str()).collect();
    for node in own.tcp("routers") {
        let route = route(own, node, &names, report);
        draft.tcp_routes.push(Candidate::new(node.name.clone(), &own.id, route));
    }
    for node in own.tcp("middlewares") {
        draft.tcp_steps.push(Candidate::new(node.name.clone(), &own.id, action(node)));
    }
    for node in own.tcp("services") {
        let Some(balancer) = node.child("loadbalancer") else { continue };
        let object = format!("tcp service {}", node.name);
        if balancer.child("terminationdelay").is_some() {
            let message = "`terminationdelay` has no effect: both sides of a connection end when they like";
            report.warning(&object, balancer.tag_of("terminationdelay"), message);
        }
        let speaks_tls = balancer.child("server").and_then(|server| server.flag("tls")) == Some(true);
        if services::transport(balancer).is_some() && !speaks_tls && own.mesh.is_none() {
            let message = "`serverstransport` says how TLS is spoken, and none is: add `loadbalancer.server.tls=true`";
            report.warning(&object, balancer.tag_of("serverstransport"), message);
        }
    }
    draft.tcp_services.extend(named);
    if let Some(node) = own.accepted.root.at(&["tcp", "serverstransports"]) {
        report.warning(&object(own.accepted.instance), &node.tag, "ignored: transports cannot be set by tags");
    }
    Ok(())
}

/// The services of an instance; one of its own name where it has routers and names none.
fn named_services(own: &Instance<'_>) -> Result<Vec<TcpService>, Problem> {
    let named = own.tcp("services");
    if named.is_empty() {
        if own.tcp("routers").is_empty() {
            return Ok(Vec::new());
        }
        let target = target(own, &Node::default())?;
        let name = own.automatic_name();
        return Ok(vec![TcpService {
            name,
            targets: vec![target],
            proxy_protocol: ProxyProtocol::None,
            health_check: None,
            transport: own.mesh.clone(),
        }]);
    }
    let each = named.iter().map(|node| {
        let Some(balancer) = node.child("loadbalancer") else {
            let message = format!("tcp service `{}` has no loadbalancer option; the instance is left out", node.name);
            return Err(Problem::new(&node.tag, message));
        };
        Ok(TcpService {
            name: node.name.clone(),
            targets: vec![target(own, balancer.child("server").unwrap_or(&Node::default()))?],
            proxy_protocol: proxy_protocol(balancer)?,
            health_check: balancer.child("healthcheck").map(health::connection).transpose()?,
            transport: own.mesh.clone().or_else(|| services::transport(balancer)),
        })
    });
    each.collect()
}

fn target(own: &Instance<'_>, server: &Node) -> Result<TcpTarget, Problem> {
    let instance = own.accepted.instance;
    let port = match server.text("port").filter(|text| !text.is_empty()) {
        Some(port) => services::port_number(port).map_err(|message| Problem::new(server.tag_of("port"), message))?,
        None => instance.port,
    };
    Ok(TcpTarget {
        instance: instance.id.clone(),
        address: instance.address.clone(),
        port,
        tls: own.mesh.is_some() || server.flag("tls").unwrap_or(false),
        weight: server.integer("weight").map_or(1, |weight| u32::try_from(weight.max(0)).unwrap_or(u32::MAX)),
    })
}

/// Version 2 where nothing is said of the version.
fn proxy_protocol(balancer: &Node) -> Result<ProxyProtocol, Problem> {
    let Some(node) = balancer.child("proxyprotocol") else { return Ok(ProxyProtocol::None) };
    match node.integer("version").unwrap_or(2) {
        1 => Ok(ProxyProtocol::V1),
        2 => Ok(ProxyProtocol::V2),
        other => Err(Problem::new(node.tag_of("version"), format!("PROXY protocol has versions 1 and 2, not {other}"))),
    }
}

fn route(own: &Instance<'_>, node: &Node, services: &[&str], report: &mut Report) -> Result<TcpRoute, Problem> {
    let object = format!("tcp route {}", node.name);
    let Some(text) = node.text("rule").filter(|rule| !rule.is_empty()) else {
        return Err(Problem::new(&node.tag, "a TCP router needs a rule, such as HostSNI(`*`)"));
    };
    let tag = node.tag_of("rule");
    let parsed = parse(own, node, text).map_err(|message| Problem::new(tag, message))?;
    let (tls, tls_options) = tls(node, &object, report);
    if tls == TcpTls::None && matchers_tcp::asks_for_a_name(&parsed.expr) {
        let message = "only TLS connections have a server name: add `tls=true` or `tls.passthrough=true`, \
                       or write HostSNI(`*`)";
        return Err(Problem::new(tag, message));
    }
    for note in &parsed.notes {
        report.warning(&object, tag, note.clone());
    }
    let by_default = if text == CATCH_ALL { -1 } else { i64::try_from(text.len()).unwrap_or(i64::MAX) };
    Ok(TcpRoute {
        name: node.name.clone(),
        priority: routers::priority(node, by_default)?,
        rule: parsed.expr.into_rule(text),
        entrypoints: routers::entrypoints(own, node, &object, report)?,
        tls,
        tls_options,
        steps: node.list("middlewares"),
        service: service(node, services)?,
    })
}

fn parse(own: &Instance<'_>, node: &Node, text: &str) -> Result<Parsed, String> {
    let parse: fn(&str) -> Result<Parsed, RuleError> = match routers::rule_syntax(own, node)? {
        RuleSyntax::V2 => matchers_tcp::parse_v2,
        RuleSyntax::V3 => matchers_tcp::parse_v3,
    };
    parse(text).map_err(|error| format!("rule `{text}`: {error}"))
}

fn tls(node: &Node, object: &str, report: &mut Report) -> (TcpTls, String) {
    let Some(tls) = node.child("tls") else { return (TcpTls::None, String::new()) };
    let options = tls_options(tls, object, report);
    if tls.flag("passthrough") != Some(true) {
        return (TcpTls::Terminate, options);
    }
    if !options.is_empty() {
        report.warning(object, tls.tag_of("options"), "`options` has no effect with `passthrough`");
    }
    (TcpTls::Passthrough, String::new())
}

/// What a middleware comes to.
fn action(node: &Node) -> Result<TcpAction, Problem> {
    let kind = match node.children.as_slice() {
        [kind] => kind,
        [] => return Err(Problem::new(&node.tag, "it has no kind, such as `ipallowlist`")),
        [first, second, ..] => {
            let message = format!("it is both `{}` and `{}`; give each its own name", first.name, second.name);
            return Err(Problem::new(&second.tag, message));
        }
    };
    if kind.is("inflightconn") {
        return match kind.integer("amount").and_then(|amount| u64::try_from(amount).ok()).filter(|amount| *amount > 0) {
            Some(amount) => Ok(TcpAction::InFlight(amount)),
            None => Err(Problem::new(kind.tag_of("amount"), "`amount` has to be above 0")),
        };
    }
    match kind.list("sourcerange") {
        ranges if ranges.is_empty() => Err(Problem::new(kind.tag_of("sourcerange"), "`sourcerange` must not be empty")),
        ranges => Ok(TcpAction::AllowList(ranges)),
    }
}
