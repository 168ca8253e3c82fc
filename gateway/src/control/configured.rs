//! What the configuration file says of steps and routes, as if a provider had said it: its policies, and the redirects
//! of entrypoints.

use std::sync::Arc;

use sluice_model::action::RedirectScheme;
use sluice_model::contribution::{Observability, PathView, RouteSpec, RuleNode, RuleSpec};
use sluice_model::link::{CONFIG_PROVIDER, Declared};
use sluice_model::service::{ServiceKind, ServiceSpec};
use sluice_model::{Action, Contribution, StepSpec, Transport};

use crate::config::{Config, Entrypoint, Redirect};

/// The service of routes that answer by themselves. It has no instances.
const NOBODY: &str = "nobody";

/// Everything of the file that is linked with what providers say.
pub(super) fn declared(config: &Config) -> Arc<Declared> {
    let policies = config.policies.iter().map(|policy| StepSpec {
        name: policy.name.clone(),
        action: Action::Policy { plugin: policy.plugin.clone(), settings: policy.config.to_string() },
    });
    let mut contribution = Contribution { steps: policies.collect(), ..Contribution::default() };
    for (entrypoint, redirect) in redirects(config) {
        contribution.steps.push(StepSpec { name: name(entrypoint, redirect), action: action(redirect) });
        contribution.routes.push(catch_all(entrypoint, redirect));
    }
    if !contribution.routes.is_empty() {
        let kind = ServiceKind::Balancer(Box::default());
        contribution.services.push(ServiceSpec { name: NOBODY.to_owned(), kind, steps: Vec::new() });
    }
    Arc::new(Declared::new(&CONFIG_PROVIDER.into(), "configuration", contribution))
}

/// The qualified name of the step that redirects an entrypoint, where there is one.
pub(super) fn redirect_step(entrypoint: &Entrypoint) -> Option<Arc<str>> {
    let redirect = entrypoint.redirect.as_ref()?;
    Some(format!("{}@{CONFIG_PROVIDER}", name(entrypoint, redirect)).into())
}

fn redirects(config: &Config) -> impl Iterator<Item = (&Entrypoint, &Redirect)> {
    config.entrypoints.iter().filter_map(|entrypoint| Some((entrypoint, entrypoint.redirect.as_ref()?)))
}

/// As Traefik names the router it makes for this.
fn name(entrypoint: &Entrypoint, redirect: &Redirect) -> String {
    format!("{}-to-{}", entrypoint.name, redirect.to.trim_start_matches(':'))
}

fn action(redirect: &Redirect) -> Action {
    // A scheme's own port is not written.
    let is_default = matches!((redirect.scheme.as_str(), redirect.port), ("http", 80) | ("https", 443));
    Action::RedirectScheme(RedirectScheme {
        scheme: redirect.scheme.clone(),
        port: (!is_default).then_some(redirect.port),
        permanent: redirect.permanent,
        except_entrypoint: None,
    })
}

/// The step stands before every route of the entrypoint. This route is for requests that have no other one.
fn catch_all(entrypoint: &Entrypoint, redirect: &Redirect) -> RouteSpec {
    RouteSpec {
        name: name(entrypoint, redirect),
        rule: RuleSpec {
            text: "PathPrefix(`/`)".to_owned(),
            nodes: vec![RuleNode::PathPrefix("/".to_owned(), PathView::Routing)],
            root: 0,
        },
        priority: i64::MIN,
        entrypoints: vec![entrypoint.name.clone()],
        transport: Transport::Any,
        tls_options: String::new(),
        observability: Observability::default(),
        steps: Vec::new(),
        service: NOBODY.to_owned(),
    }
}
