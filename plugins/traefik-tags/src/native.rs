//! What the gateway makes of contributions, as far as it decides which route answers: for tests, natively.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::sync::Arc;

use sluice_model::path::NormalPath;
use sluice_model::rule::{HeaderValues, RequestView, Rule};
use sluice_model::table::{Entry, RouteTable};
use sluice_plugin_sdk::router::{Action, Contribution, Route};

use crate::arena::spec;

/// A request before anything has looked at it.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// With or without a port, in any letter case.
    pub(crate) host: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a dyn HeaderValues,
    pub(crate) client: IpAddr,
}

/// What a client would see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    NotFound,
    Redirect,
    /// `answers` says that a step of the route may answer in the service's place.
    Served {
        route: String,
        service: String,
        answers: bool,
    },
}

/// Which route answers; none where the path is refused.
pub(crate) fn answer(contributions: &[Contribution], request: &Request<'_>) -> Option<Answer> {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target, None),
    };
    let path = NormalPath::parse(path).ok()?;
    let routes = contributions.iter().flat_map(|one| &one.routes);
    let table = RouteTable::new(routes.filter_map(|route| entry(route, contributions)).collect());
    let host = request.host.to_ascii_lowercase();
    let view = RequestView {
        host: without_port(&host),
        path: &path,
        query,
        method: request.method,
        headers: request.headers,
        client: request.client,
    };
    let Some(route) = table.find(&view) else { return Some(Answer::NotFound) };
    let has = |fits: fn(&Action) -> bool| {
        let mut used = contributions.iter().flat_map(|one| &one.steps).filter(|step| route.steps.contains(&step.name));
        used.any(|step| fits(&step.action))
    };
    if has(|action| *action == Action::RedirectSlash) {
        return Some(Answer::Redirect);
    }
    let answers = has(|action| matches!(action, Action::RedirectRegexp(_) | Action::RedirectScheme(_)));
    Some(Answer::Served { route: route.name.clone(), service: route.service.clone(), answers })
}

/// A route as the gateway would take it: with a usable rule and everything it refers to.
fn entry<'a>(route: &'a Route, contributions: &[Contribution]) -> Option<Entry<&'a Route>> {
    let has_step = |name: &String| contributions.iter().flat_map(|one| &one.steps).any(|step| step.name == *name);
    let has_service = contributions.iter().flat_map(|one| &one.services).any(|service| service.name == route.service);
    let usable = has_service && route.steps.iter().all(has_step);
    let rule = Rule::compile(&spec(&route.rule)).ok().filter(|_| usable)?;
    Some(Entry { priority: route.priority, name: route.name.as_str().into(), rule: Arc::new(rule), value: route })
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    }
}
