//! Kinds of middlewares that are policies: with which settings, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value as Json, json};
use sluice_plugin_sdk::router::{Action, Severity};

use crate::testing::{contribution, service_with, step};

const SHA: &str = "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

/// The policy that middleware `m` with these options comes to, or why it is left out.
fn policy(options: &[&str]) -> Result<(String, Json), String> {
    let tags: Vec<_> = options.iter().map(|option| format!("traefik.http.middlewares.m.{option}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    let result = contribution("{}", &service_with("web", &[&tags]));
    match step(&result, "m") {
        Some(Action::Policy(policy)) => Ok((policy.plugin.clone(), serde_json::from_str(&policy.settings).unwrap())),
        Some(other) => unreachable!("{other:?}"),
        None => {
            let error = result.diagnostics.iter().find(|found| found.severity == Severity::Error).unwrap();
            assert!(tags.contains(&error.tag.as_str()), "{options:?}: the tag at fault is `{}`", error.tag);
            Err(error.message.clone())
        }
    }
}

fn check(plugin: &str, cases: &[(&[&str], Json)]) {
    for (options, settings) in cases {
        assert_eq!(policy(options), Ok((plugin.to_owned(), settings.clone())), "{options:?}");
    }
}

fn check_refused(cases: &[(&[&str], &str)]) {
    for (options, expected) in cases {
        let error = policy(options).unwrap_err();
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[test]
fn basic_and_digest_authentication() {
    let users = format!("basicauth.users={SHA}, bob:$apr1$x$y");
    let digest = "digestauth.users=ann:traefik:a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4";
    check(
        "auth",
        &[
            (&[&users], json!({ "kind": "basic", "users": [SHA, "bob:$apr1$x$y"] })),
            (
                &[
                    "basicauth.usersfile=/etc/users",
                    "basicauth.realm=shop",
                    "basicauth.removeheader=true",
                    "basicauth.headerfield=X-User",
                ],
                json!({ "kind": "basic", "users": [], "users-file": "/etc/users", "realm": "shop", "remove-header": true, "header-field": "X-User" }),
            ),
            (&[digest], json!({ "kind": "digest", "users": ["ann:traefik:a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4"] })),
        ],
    );
    check_refused(&[
        (&["basicauth.realm=x"], "there is no user"),
        (&["basicauth.users=ann"], "user `ann` is not of the form `name:hash`"),
        (&["digestauth.users=ann:x"], "user `ann` is not of the form `name:realm:HA1`"),
    ]);
}

#[test]
fn forward_authentication() {
    let address = "forwardauth.address=http://auth:4181/verify";
    check(
        "forward-auth",
        &[
            (&[address], json!({ "address": "http://auth:4181/verify" })),
            (
                &[
                    address,
                    "forwardauth.trustforwardheader=true",
                    "forwardauth.authresponseheaders=X-A, X-B",
                    "forwardauth.authresponseheadersregex=^X-",
                    "forwardauth.authrequestheaders=X-C",
                    "forwardauth.addauthcookiestoresponse=sid",
                    "forwardauth.forwardbody=true",
                    "forwardauth.maxbodysize=10",
                    "forwardauth.maxresponsebodysize=-1",
                    "forwardauth.preservelocationheader=true",
                    "forwardauth.preserverequestmethod=true",
                    "forwardauth.authsigninurl=https://login",
                    "forwardauth.headerfield=X-User",
                ],
                json!({ "header-field": "X-User",
                    "address": "http://auth:4181/verify", "trust-forward-header": true,
                    "auth-response-headers": ["X-A", "X-B"], "auth-response-headers-regex": "^X-",
                    "auth-request-headers": ["X-C"], "add-auth-cookies-to-response": ["sid"], "forward-body": true,
                    "max-body-size": 10, "preserve-location-header": true, "preserve-request-method": true,
                    "auth-signin-url": "https://login" }),
            ),
        ],
    );
    check_refused(&[
        (&["forwardauth.address=auth"], "is not the URL of a server"),
        (&["forwardauth.trustforwardheader=true"], "is not the URL of a server"),
        (&["forwardauth.address=https://a/", "forwardauth.tls.ca=/a"], "tags cannot make the gateway read files"),
    ]);
}

#[test]
fn circuit_breakers() {
    let expression = "circuitbreaker.expression=NetworkErrorRatio() > 0.5";
    let plain = json!({ "mode": "expression", "expression": "NetworkErrorRatio() > 0.5" });
    check(
        "circuit-breaker",
        &[
            (&[expression], plain.clone()),
            (&[expression, "circuitbreaker.fallbackduration=0", "circuitbreaker.responsecode=0"], plain),
            (
                &[
                    expression,
                    "circuitbreaker.checkperiod=10ms",
                    "circuitbreaker.fallbackduration=5",
                    "circuitbreaker.recoveryduration=1m",
                    "circuitbreaker.responsecode=429",
                ],
                json!({ "mode": "expression", "expression": "NetworkErrorRatio() > 0.5", "check-period": "10ms",
                    "fallback-duration": 5, "recovery-duration": "1m", "response-code": 429 }),
            ),
        ],
    );
    check_refused(&[
        (&["circuitbreaker.expression=NetworkErrorRatio() > 1"], "never holds"),
        (&["circuitbreaker.checkperiod=1s"], "a metric such as"),
        (&[expression, "circuitbreaker.checkperiod=-1s"], "must not be negative"),
        (&[expression, "circuitbreaker.responsecode=99"], "`responsecode` is 99"),
    ]);
}

#[test]
fn error_pages() {
    check(
        "degrade",
        &[
            (
                &["errors.status=500-599, 404", "errors.service=pages"],
                json!({ "status": ["500-599", "404"], "service": "pages", "query": "/", "switch": false, "mark": "" }),
            ),
            (
                &[
                    "errors.status=500",
                    "errors.service=pages@file",
                    "errors.query=/{status}",
                    "errors.statusrewrites.500-503=418",
                    "errors.errorrequestheaders=X-A",
                ],
                json!({ "status": ["500"], "service": "pages@file", "query": "/{status}", "switch": false, "mark": "",
                    "status-rewrites": { "500-503": 418 }, "error-request-headers": ["X-A"] }),
            ),
        ],
    );
    check_refused(&[
        (&["errors.status=5xx", "errors.service=pages"], "`5xx` is neither a status nor a range"),
        (&["errors.service=pages"], "it has no `status`"),
        (&["errors.status=500"], "it has no `service`"),
        (&["errors.status=500", "errors.service=pages", "errors.statusrewrites.500=99"], "from 200 to 599"),
    ]);
}

#[test]
fn requests_at_once() {
    check(
        "concurrency",
        &[
            (&["inflightreq.amount=5"], json!({ "amount": 5, "source": { "kind": "host" } })),
            (
                &["inflightreq.amount=5", "inflightreq.sourcecriterion.ipstrategy.depth=2"],
                json!({ "amount": 5, "source": { "kind": "client-ip", "ipstrategy": { "depth": 2 } } }),
            ),
        ],
    );
    check_refused(&[(&["inflightreq.amount=-1"], "must not be negative")]);
}

#[test]
fn addresses_that_may_pass() {
    for kind in ["ipallowlist", "ipwhitelist"] {
        let range = format!("{kind}.sourcerange=10.0.0.0/8, ::1");
        let excluded = format!("{kind}.ipstrategy.excludedips=10.0.0.1");
        check(
            "ip-allow-list",
            &[
                (&[&range], json!({ "source-range": ["10.0.0.0/8", "::1"] })),
                (
                    &[&range, &excluded],
                    json!({ "source-range": ["10.0.0.0/8", "::1"], "ipstrategy": { "excludedips": ["10.0.0.1"] } }),
                ),
            ],
        );
    }
    let range = "ipallowlist.sourcerange=10.0.0.0/8";
    let settings = json!({ "source-range": ["10.0.0.0/8"], "reject-status-code": 404 });
    check("ip-allow-list", &[(&[range, "ipallowlist.rejectstatuscode=404"], settings)]);
    check_refused(&[
        (&["ipallowlist.sourcerange=10.0.0.0/33"], "`10.0.0.0/33` is neither an address nor a range"),
        (&["ipallowlist.rejectstatuscode=404"], "`sourcerange` is empty"),
        (&[range, "ipallowlist.rejectstatuscode=299"], "which is no status"),
        (&[range, "ipallowlist.ipstrategy.excludedips=x"], "`x` is neither an address"),
        (&[range, "ipallowlist.ipstrategy.depth=-1"], "`depth` has to be between"),
    ]);
}

#[test]
fn sources_of_limits() {
    let settings = json!({ "mode": "traefik-v3", "average": 1, "burst": 1,
        "source": { "kind": "client-ip", "ipstrategy": { "depth": 1, "ipv6subnet": 64 } } });
    let options = [
        "ratelimit.average=1",
        "ratelimit.sourcecriterion.ipstrategy.depth=1",
        "ratelimit.sourcecriterion.ipstrategy.ipv6subnet=64",
    ];
    check("rate-limit", &[(&options, settings)]);
}
