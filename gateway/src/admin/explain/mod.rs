//! Why a request goes where it goes: which route wins, why each other one lost, the chain, the service.
//!
//! Takes a [`Question`] and a generation, in force or tried by `sluice check`; gives JSON. It asks the same table and
//! the same rules as requests do, and sends nothing anywhere.

mod question;

pub use question::Question;

use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use sluice_model::path::NormalPath;
use sluice_model::rule::RequestView;
use sluice_model::{Severity, Transport};

use super::answer::{self, Body, message};
use super::{View, discovery, http_view, services};
use crate::config::{Config, Entrypoint};
use crate::control::Status;
use crate::live::{EntrypointTable, Generation, RouteStatus};
use question::Asked;

/// Refused tags that are shown where no route answers: one of them may be why.
const MOST_REFUSALS: usize = 20;

/// `GET /api/explain?method=…&url=…&header=…&client=…&entrypoint=…`
pub(super) fn show(view: &View, query: &str) -> Response<Body> {
    let generation = view.live.load();
    let answer = Question::from_query(query)
        .and_then(|question| explain(&view.config, &generation, &view.tracker.status(), &question));
    match answer {
        Ok(answer) => answer::json(&answer),
        Err(reason) => message(StatusCode::BAD_REQUEST, &reason),
    }
}

/// Answers a question about a generation.
///
/// # Errors
/// What is wrong with the question.
pub fn explain(
    config: &Config,
    generation: &Generation,
    status: &Status,
    question: &Question,
) -> Result<Value, String> {
    let asked = question.check()?;
    let at = entrypoint_of(config, generation, &asked)?;
    let (Some(entrypoint), Some(table)) = (config.entrypoints.get(at), generation.entrypoints.get(at)) else {
        return Err("no generation has been published yet".to_owned());
    };
    let routes = match &table.secure {
        Some(secure) if asked.tls && entrypoint.tls.is_none() => secure,
        _ => &table.table,
    };
    let path = NormalPath::parse(&asked.path).map_err(|error| format!("the request is answered 400: {error}"))?;
    let request = RequestView {
        host: &asked.host,
        path: &path,
        query: asked.query.as_deref(),
        method: &asked.method,
        headers: &asked,
        client: asked.client,
    };
    let winner = routes.find(&request).map(|route| Arc::clone(&route.name));
    let winner = winner.and_then(|name| generation.routes.get(&name)).map(AsRef::as_ref);
    let mut ranked: Vec<&RouteStatus> = generation.routes.values().map(AsRef::as_ref).collect();
    ranked.sort_by(|a, b| b.spec.priority.cmp(&a.spec.priority).then_with(|| a.name.cmp(&b.name)));
    let candidates = ranked.into_iter().map(|route| candidate(route, (entrypoint, asked.tls), &request, winner));
    let service = winner.and_then(|route| Some(services::service(&route.route.as_ref()?.service)));
    Ok(json!({
        "request": {
            "method": asked.method,
            "entrypoint": entrypoint.name,
            "tls": asked.tls,
            "host": asked.host,
            "path": path.as_str(),
            "query": asked.query,
            "client": asked.client.to_string(),
        },
        "generation": generation.id,
        "route": winner.map(|route| &*route.name),
        "chain": winner.map(|route| chain(generation, table, route)),
        "service": service,
        "candidates": candidates.collect::<Vec<_>>(),
        "refused": if winner.is_none() { refusals(status) } else { Vec::new() },
    }))
}

/// The entrypoint that is named, else the one the URL's port belongs to, else the first of its protocol.
fn entrypoint_of(config: &Config, generation: &Generation, asked: &Asked) -> Result<usize, String> {
    let entrypoints = &config.entrypoints;
    let names = || entrypoints.iter().map(|entrypoint| entrypoint.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &asked.entrypoint {
        let found = entrypoints.iter().position(|entrypoint| entrypoint.name == *name);
        return found.ok_or_else(|| format!("there is no entrypoint `{name}`; there are {}", names()));
    }
    // A plain one takes TLS as well where a route asks for it.
    let takes_tls = |at: usize| generation.entrypoints.get(at).is_some_and(|table| table.secure.is_some());
    let fits = |(at, entrypoint): &(usize, &Entrypoint)| {
        if asked.tls { entrypoint.tls.is_some() || takes_tls(*at) } else { entrypoint.tls.is_none() }
    };
    let tests: [&dyn Fn(&Entrypoint) -> bool; 3] =
        [&|entrypoint| Some(entrypoint.address.port()) == asked.port, &|entrypoint| entrypoint.as_default, &|_| true];
    let fitting = || entrypoints.iter().enumerate().filter(fits);
    let found = tests.iter().find_map(|test| fitting().find(|(_, entrypoint)| test(entrypoint)));
    let scheme = if asked.tls { "https" } else { "http" };
    found.map(|(at, _)| at).ok_or_else(|| format!("no entrypoint takes {scheme}; name one of {}", names()))
}

/// A route, and why it answers or does not.
fn candidate(
    route: &RouteStatus,
    arrival: (&Entrypoint, bool),
    request: &RequestView<'_>,
    winner: Option<&RouteStatus>,
) -> Value {
    let (outcome, reasons) = outcome(route, arrival, request, winner);
    json!({
        "name": *route.name,
        "rule": route.spec.rule.text,
        "priority": route.spec.priority,
        "service": route.spec.service,
        "outcome": outcome,
        "reasons": reasons,
    })
}

fn outcome(
    route: &RouteStatus,
    (entrypoint, tls): (&Entrypoint, bool),
    request: &RequestView<'_>,
    winner: Option<&RouteStatus>,
) -> (&'static str, Vec<String>) {
    let Some(compiled) = &route.route else { return ("disabled", route.errors.clone()) };
    if let Some(reason) = elsewhere(route, entrypoint, tls) {
        return ("other-entrypoint", vec![reason]);
    }
    let mismatches = compiled.rule.mismatches(request);
    match winner {
        _ if !mismatches.is_empty() => ("no-match", mismatches.iter().map(ToString::to_string).collect()),
        Some(winner) if winner.name == route.name => ("wins", Vec::new()),
        Some(winner) if winner.spec.priority > route.spec.priority => {
            let (theirs, ours) = (winner.spec.priority, route.spec.priority);
            ("outranked", vec![format!("it matches, but its priority {ours} is below {theirs} of {}", winner.name)])
        }
        Some(winner) => {
            let message = format!("it matches with the same priority as {}, whose name comes first", winner.name);
            ("outranked", vec![message])
        }
        None => ("not-served", vec![format!("it matches, but entrypoint {} routes nothing", entrypoint.name)]),
    }
}

/// Why a route does not answer connections of this kind at all.
fn elsewhere(route: &RouteStatus, entrypoint: &Entrypoint, tls: bool) -> Option<String> {
    if !route.entrypoints.iter().any(|name| **name == *entrypoint.name) {
        let names: Vec<&str> = route.entrypoints.iter().map(AsRef::as_ref).collect();
        return Some(format!("it answers on {}, not on {}", names.join(", "), entrypoint.name));
    }
    match route.spec.transport {
        Transport::Tls if !tls => Some("it takes TLS connections only".to_owned()),
        Transport::Plain if tls && entrypoint.tls.is_none() => Some("it takes plain connections only".to_owned()),
        _ => None,
    }
}

/// The steps and policies of the entrypoint, those attached to the route, and its own steps.
fn chain(generation: &Generation, table: &EntrypointTable, route: &RouteStatus) -> Vec<Value> {
    let names = table.prelude_names.iter().chain(&route.chain);
    names.map(|name| http_view::shown_step(generation, name)).collect()
}

fn refusals(status: &Status) -> Vec<Value> {
    let all = status.refusals.iter().flat_map(|(provider, list)| list.iter().map(move |refusal| (provider, refusal)));
    let errors = all.filter(|(_, refusal)| refusal.diagnostic.severity == Severity::Error);
    let shown = errors.take(MOST_REFUSALS).map(|(provider, refusal)| {
        let mut shown = discovery::refusal(refusal);
        if let Some(object) = shown.as_object_mut() {
            object.insert("provider".to_owned(), json!(**provider));
        }
        shown
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
