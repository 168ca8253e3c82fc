//! Options of v1 that are policies: with which settings, in which order, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value as Json, json};
use sluice_plugin_sdk::router::{Action, Contribution, Severity};

use crate::testing::{contribution, route, service_with, severities};

const SHA: &str = "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

fn v1(options: &[&str]) -> Contribution {
    let tags: Vec<_> = options.iter().map(|option| format!("traefik.{option}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    contribution("{}", &service_with("Web", &[&tags]))
}

/// The policies of the plain frontend, in order.
fn policies(result: &Contribution) -> Vec<(String, Json)> {
    let steps = route(result, "web").map_or(&[][..], |route| route.steps.as_slice());
    let actions = steps.iter().filter_map(|name| result.steps.iter().find(|step| step.name == *name));
    let policies = actions.filter_map(|step| match &step.action {
        Action::Policy(policy) => Some((policy.plugin.clone(), serde_json::from_str(&policy.settings).unwrap())),
        _ => None,
    });
    policies.collect()
}

fn check(plugin: &str, cases: &[(&[&str], Json)]) {
    for (options, settings) in cases {
        assert_eq!(policies(&v1(options)), [(plugin.to_owned(), settings.clone())], "{options:?}");
    }
}

/// The frontend is left out, and the diagnostic names the tag.
fn check_left_out(cases: &[(&[&str], &str)]) {
    for (options, expected) in cases {
        let result = v1(options);
        assert!(route(&result, "web").is_none(), "{options:?} was served");
        let error = result.diagnostics.iter().find(|found| found.severity == Severity::Error).unwrap();
        assert!(error.message.contains(expected) && error.object == "route web", "{options:?}: {error:?}");
    }
}

#[test]
fn authentication_is_the_first_kind_there_is() {
    let basic = format!("frontend.auth.basic.users={SHA}");
    let forward = "frontend.auth.forward.address=http://auth";
    check(
        "auth",
        &[
            (&[&basic, forward], json!({ "kind": "basic", "users": [SHA] })),
            (
                &[
                    "frontend.auth.basic.usersFile=/u",
                    "frontend.auth.basic.removeHeader=true",
                    "frontend.auth.headerField=X-User",
                ],
                json!({ "kind": "basic", "users": [], "users-file": "/u", "remove-header": true, "header-field": "X-User" }),
            ),
            (&["frontend.auth.digest.users=a:traefik:b"], json!({ "kind": "digest", "users": ["a:traefik:b"] })),
        ],
    );
    let options =
        [forward, "frontend.auth.forward.authResponseHeaders=X-A,X-B", "frontend.auth.forward.trustForwardHeader=true"];
    let settings =
        json!({ "address": "http://auth", "auth-response-headers": ["X-A", "X-B"], "trust-forward-header": true });
    check("forward-auth", &[(&options, settings)]);
    let deprecated = v1(&[&format!("frontend.auth.basic={SHA}"), "frontend.auth.basic.users=bob:x"]);
    assert_eq!(policies(&deprecated), [("auth".to_owned(), json!({ "kind": "basic", "users": [SHA] }))]);
    assert_eq!(severities(&deprecated), [Severity::Warning]);
    check_left_out(&[
        (&["frontend.auth.basic.users=ann"], "user `ann` is not of the form"),
        (&["frontend.auth.basic=ann:a:b"], "user `ann` is not of the form"),
        (&["frontend.auth.basic.removeHeader=true"], "there is no user"),
        (&["frontend.auth.forward.trustForwardHeader=true"], "is not the URL of a server"),
        (
            &["frontend.auth.forward.address=https://a/", "frontend.auth.forward.tls.ca=/a"],
            "tags cannot make the gateway read",
        ),
    ]);
    assert_eq!(severities(&v1(&["frontend.auth.headerField=X-User"])), [Severity::Warning]);
}

#[test]
fn white_lists() {
    let any = |any: bool| json!({ "source-range": ["10.0.0.0/8", "::1"], "use-x-forwarded-for": any });
    check(
        "ip-allow-list",
        &[
            (&["frontend.whiteList.sourceRange=10.0.0.0/8, ::1"], any(false)),
            (&["frontend.whiteList.sourceRange=10.0.0.0/8,::1", "frontend.whiteList.useXForwardedFor=true"], any(true)),
            (&["frontend.whitelistSourceRange=10.0.0.0/8,::1"], any(false)),
            (&["frontend.whiteList.sourceRange=10.0.0.0/8,::1", "frontend.whitelistSourceRange=::2"], any(false)),
        ],
    );
    check_left_out(&[
        (&["frontend.whiteList.sourceRange=10.0.0.0/33"], "`10.0.0.0/33` is neither"),
        (&["frontend.whiteList.sourceRange=,"], "it names no address"),
    ]);
}

#[test]
fn error_pages_have_a_step_each_and_a_wrong_one_costs_only_itself() {
    let page = |status: &str, service: &str, query: &str| {
        let settings = json!({ "status": [status], "service": service, "query": query, "switch": false, "mark": "" });
        ("degrade".to_owned(), settings)
    };
    let result = v1(&[
        "frontend.errors.b.status=404",
        "frontend.errors.b.backend=lost",
        "frontend.errors.a.status=500-599",
        "frontend.errors.a.backend=pages",
        "frontend.errors.a.query=/{status}.html",
    ]);
    assert_eq!(policies(&result), [page("500-599", "pages", "/{status}.html"), page("404", "lost", "/")]);
    assert!(result.diagnostics.is_empty());
    for (options, expected) in [
        (&["frontend.errors.e.status=502"][..], "it needs `errors.e.backend`"),
        (&["frontend.errors.e.backend=pages"], "it needs `errors.e.status`"),
        (&["frontend.errors.e.status=x", "frontend.errors.e.backend=pages"], "neither a status nor a range"),
        (&["frontend.errors.e.status=502", "frontend.errors.e.backend=web"], "cannot answer for itself"),
        (&["frontend.errors.e.status=502", "frontend.errors.e.backend=Pages"], "write `pages`"),
    ] {
        let result = v1(options);
        assert!(route(&result, "web").is_some() && policies(&result).is_empty(), "{options:?}");
        let error = result.diagnostics.first().unwrap();
        assert!(error.message.contains(expected), "{options:?}: {error:?}");
    }
}

#[test]
fn circuit_breakers() {
    let settings = json!({ "mode": "expression", "expression": "NetworkErrorRatio() > 0.5" });
    check(
        "circuit-breaker",
        &[
            (&["backend.circuitbreaker.expression=NetworkErrorRatio() > 0.5"], settings.clone()),
            (&["backend.circuitbreaker=NetworkErrorRatio() > 0.5"], settings.clone()),
            (
                &[
                    "backend.circuitbreaker=NetworkErrorRatio() > 0.9",
                    "backend.circuitbreaker.expression=NetworkErrorRatio() > 0.5",
                ],
                settings,
            ),
        ],
    );
    let noted = v1(&["backend.circuitbreaker.expression=NetworkErrorRatio() >= 1"]);
    assert_eq!((policies(&noted).len(), severities(&noted)), (1, vec![Severity::Warning]));
    check_left_out(&[(&["backend.circuitbreaker.expression=NetworkErrorRatio() > 1"], "never holds")]);
}

#[test]
fn requests_at_once() {
    check(
        "concurrency",
        &[
            (&["backend.maxconn.amount=3"], json!({ "amount": 3, "source": { "kind": "host" } })),
            (
                &["backend.maxconn.amount=3", "backend.maxconn.extractorfunc=request.header.X-A"],
                json!({ "amount": 3, "source": { "kind": "header", "name": "X-A" } }),
            ),
            // The spelling with a capital letter is not an option.
            (
                &["backend.maxconn.amount=3", "backend.maxconn.extractorFunc=client.ip"],
                json!({ "amount": 3, "source": { "kind": "host" } }),
            ),
        ],
    );
    assert!(policies(&v1(&["backend.maxconn.amount=0"])).is_empty());
    assert_eq!(severities(&v1(&["backend.maxconn.amount=many"])), [Severity::Warning]);
    assert_eq!(severities(&v1(&["backend.maxconn.extractorfunc=client.ip"])), [Severity::Warning]);
    check_left_out(&[(&["backend.maxconn.amount=3", "backend.maxconn.extractorfunc=ip"], "the source is none of")]);
}

#[test]
fn they_come_in_v1s_order() {
    let result = v1(&[
        "frontend.rateLimit.extractorFunc=client.ip",
        "frontend.rateLimit.rateSet.a.period=1",
        "frontend.rateLimit.rateSet.a.average=1",
        "frontend.rateLimit.rateSet.a.burst=1",
        "backend.maxconn.amount=3",
        "backend.circuitbreaker.expression=NetworkErrorRatio() > 0.5",
        &format!("frontend.auth.basic.users={SHA}"),
        "frontend.whiteList.sourceRange=10.0.0.0/8",
        "frontend.errors.e.status=502",
        "frontend.errors.e.backend=pages",
    ]);
    let order: Vec<_> = policies(&result).into_iter().map(|(plugin, _)| plugin).collect();
    assert_eq!(order, ["degrade", "ip-allow-list", "auth", "circuit-breaker", "concurrency", "rate-limit"]);
}
