//! The steps of a v1 frontend. Every kind has a file with the options it reads; a new one needs its row in [`OUTER`] or
//! [`INNER`], at its place in v1's order.

mod auth;
mod buffering;
mod circuit_breaker;
pub(super) mod errors;
mod headers;
mod max_conn;
mod rate_limit;
mod redirect;
mod tls_client_cert;
mod white_list;

use serde_json::Value;
use sluice_plugin_sdk::router::{Action, PolicyUse, Replacement, Step};

use super::frontend::Frontend;
use crate::report::{Problem, Report};
use crate::rule::v1::Modifiers;

/// Reads the options of one kind of step; `None` where the frontend has no such step. A problem costs the frontend.
pub(super) type Read = fn(&Frontend<'_>, &mut Report) -> Result<Option<Action>, Problem>;

/// What a request meets before the attached policies, by the end of the step's name. v1's order: [`errors`], of which
/// there may be several, then whitelist, redirect, headers, tls-client-cert, auth.
pub(super) const OUTER: &[(&str, Read)] = &[
    ("whitelist", white_list::action),
    ("redirect", redirect::action),
    ("headers", headers::action),
    ("tls-client-cert", tls_client_cert::action),
    ("auth", auth::action),
];

/// What a request meets after the attached policies. v1's order: circuitbreaker, buffering, maxconn, ratelimit.
pub(super) const INNER: &[(&str, Read)] = &[
    ("circuitbreaker", circuit_breaker::action),
    ("buffering", buffering::action),
    ("maxconn", max_conn::action),
    ("ratelimit", rate_limit::action),
];

/// What a rule does to the path, as steps named after the route, in the order they apply whatever their order in the
/// rule.
pub(super) fn of_modifiers(route: &str, modifiers: Modifiers) -> Vec<Step> {
    let Modifiers { strip_regexps, strip, add, replace_regexp, replace } = modifiers;
    let replace_regexp = replace_regexp.map(|(pattern, replacement)| Replacement { pattern, replacement });
    let steps = [
        ("strip-regex", (!strip_regexps.is_empty()).then_some(Action::StripPrefixRegexp(strip_regexps))),
        ("strip", (!strip.is_empty()).then_some(Action::StripPrefix(strip))),
        ("add-prefix", add.map(Action::AddPrefix)),
        ("replace-regex", replace_regexp.map(Action::ReplacePathRegexp)),
        ("replace", replace.map(Action::ReplacePath)),
    ];
    steps.into_iter().filter_map(|(what, action)| Some(named(route, what, action?))).collect()
}

/// The steps a frontend's options ask for, in order.
pub(super) fn of_options(
    rows: &[(&str, Read)],
    frontend: &Frontend<'_>,
    report: &mut Report,
) -> Result<Vec<Step>, Problem> {
    let mut steps = Vec::new();
    for (what, read) in rows {
        steps.extend(read(frontend, report)?.map(|action| named(&frontend.name, what, action)));
    }
    Ok(steps)
}

/// A step of a route.
pub(super) fn named(route: &str, what: &str, action: Action) -> Step {
    Step { name: format!("{route}-{what}"), action }
}

fn policy(plugin: &str, settings: &Value) -> Action {
    Action::Policy(PolicyUse { plugin: plugin.to_owned(), settings: settings.to_string() })
}
