//! The router world's types. The catalog goes in borrowed; the contribution comes out by value.

mod tcp;

use sluice_model as model;
use sluice_model::CatalogService;

use super::action::action;
use super::{convert, service};
use crate::bindings::router::sluice::gateway::{catalog, routing as wit};

/// The tags of each instance, as the contract's borrowed lists want them.
pub(crate) fn tags(service: &CatalogService) -> Vec<Vec<&str>> {
    service.instances.iter().map(|instance| instance.tags.iter().map(String::as_str).collect()).collect()
}

/// The instances, with their tags from [`tags`].
pub(crate) fn instances<'a>(service: &'a CatalogService, tags: &'a [Vec<&'a str>]) -> Vec<catalog::Instance<'a>> {
    let instances = service.instances.iter().zip(tags);
    instances
        .map(|(instance, tags)| catalog::Instance {
            id: &instance.id,
            node: &instance.node,
            address: &instance.address,
            port: instance.port,
            tags,
            health: health(instance.health),
        })
        .collect()
}

pub(crate) fn contribution(contribution: wit::Contribution) -> model::Contribution {
    model::Contribution {
        routes: convert(contribution.routes, route),
        services: convert(contribution.services, service::spec),
        steps: convert(contribution.steps, |step| model::StepSpec { name: step.name, action: action(step.action) }),
        tcp_routes: convert(contribution.tcp_routes, tcp::route),
        tcp_services: convert(contribution.tcp_services, tcp::service),
        tcp_steps: convert(contribution.tcp_steps, tcp::step),
        diagnostics: convert(contribution.diagnostics, diagnostic),
    }
}

fn health(health: model::Health) -> catalog::Health {
    match health {
        model::Health::Passing => catalog::Health::Passing,
        model::Health::Warning => catalog::Health::Warning,
        model::Health::Critical => catalog::Health::Critical,
        model::Health::Maintenance => catalog::Health::Maintenance,
    }
}

fn rule(rule: wit::Rule) -> model::RuleSpec {
    model::RuleSpec { text: rule.text, nodes: convert(rule.nodes, node), root: rule.root }
}

fn route(route: wit::Route) -> model::RouteSpec {
    model::RouteSpec {
        name: route.name,
        rule: rule(route.rule),
        priority: route.priority,
        entrypoints: route.entrypoints,
        transport: match route.transport {
            wit::Transport::Any => model::Transport::Any,
            wit::Transport::Plain => model::Transport::Plain,
            wit::Transport::Tls => model::Transport::Tls,
        },
        tls_options: route.tls_options,
        steps: route.steps,
        service: route.service,
        observability: model::Observability {
            access_log: route.observability.access_log,
            metrics: route.observability.metrics,
        },
    }
}

fn node(node: wit::RuleNode) -> model::RuleNode {
    use model::RuleNode;
    match node {
        wit::RuleNode::All(children) => RuleNode::All(children),
        wit::RuleNode::Any(children) => RuleNode::Any(children),
        wit::RuleNode::Not(child) => RuleNode::Not(child),
        wit::RuleNode::Host(host) => RuleNode::Host(host),
        wit::RuleNode::HostExact(host) => RuleNode::HostExact(host),
        wit::RuleNode::HostRegexp(pattern) => RuleNode::HostRegexp(pattern),
        wit::RuleNode::Path(path) => RuleNode::Path(path.pattern, view(path.view)),
        wit::RuleNode::PathPrefix(path) => RuleNode::PathPrefix(path.pattern, view(path.view)),
        wit::RuleNode::PathRegexp(path) => RuleNode::PathRegexp(path.pattern, view(path.view)),
        wit::RuleNode::Method(method) => RuleNode::Method(method),
        wit::RuleNode::Header(header) => RuleNode::Header(header.name, header.value),
        wit::RuleNode::HeaderRegexp(header) => RuleNode::HeaderRegexp(header.name, header.value),
        wit::RuleNode::Query(query) => RuleNode::Query(query.name, query.value, occurrence(query.occurrence)),
        wit::RuleNode::QueryRegexp(query) => {
            RuleNode::QueryRegexp(query.name, query.value, occurrence(query.occurrence))
        }
        wit::RuleNode::ClientIp(range) => RuleNode::ClientIp(range),
        wit::RuleNode::Alpn(protocol) => RuleNode::Alpn(protocol),
    }
}

fn view(view: wit::PathView) -> model::PathView {
    match view {
        wit::PathView::Routing => model::PathView::Routing,
        wit::PathView::Decoded => model::PathView::Decoded,
    }
}

fn occurrence(occurrence: wit::Occurrence) -> model::Occurrence {
    match occurrence {
        wit::Occurrence::Any => model::Occurrence::Any,
        wit::Occurrence::First => model::Occurrence::First,
    }
}

fn diagnostic(diagnostic: wit::Diagnostic) -> model::Diagnostic {
    model::Diagnostic {
        severity: match diagnostic.severity {
            wit::Severity::Warning => model::Severity::Warning,
            wit::Severity::Error => model::Severity::Error,
        },
        object: diagnostic.object,
        tag: diagnostic.tag,
        message: diagnostic.message,
    }
}
