//! Options of services, one by one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use sluice_plugin_sdk::router::{
    Balancer, CheckProtocol, Contribution, CookieValue, SameSite, Scheme, ServiceKind, Severity, Split, Strategy,
};

use crate::testing::{contribution, names, service_with, severities};

/// One instance with these options of the service `s`.
fn with(options: &[&str]) -> Contribution {
    let tags: Vec<_> = options.iter().map(|option| format!("traefik.http.services.s.{option}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    contribution("", &service_with("web", &[&tags]))
}

fn balancer(options: &[&str]) -> Balancer {
    let options: Vec<_> = options.iter().map(|option| format!("loadbalancer.{option}")).collect();
    let result = with(&options.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(severities(&result), [], "{options:?}: {:?}", result.diagnostics);
    result.services[0].balancer().unwrap().clone()
}

#[test]
fn strategies() {
    for (name, wanted) in [
        ("wrr", Strategy::RoundRobin),
        ("p2c", Strategy::TwoChoices),
        ("hrw", Strategy::Rendezvous),
        ("leasttime", Strategy::LeastTime),
        ("drr", Strategy::Rebalancing),
        ("peakewma", Strategy::PeakEwma),
        ("maglev", Strategy::Maglev),
    ] {
        assert_eq!(balancer(&[&format!("strategy={name}")]).strategy, wanted, "{name}");
    }
    let unknown = with(&["loadbalancer.strategy=best"]);
    assert!(unknown.services.is_empty(), "a service that cannot be used costs only itself");
    assert_eq!((names(&unknown.routes), severities(&unknown)), (vec!["web"], vec![Severity::Error]));
    assert_eq!(unknown.diagnostics[0].tag, "traefik.http.services.s.loadbalancer.strategy=best");
}

#[test]
fn cookies() {
    assert_eq!(balancer(&["sticky=true"]).sticky, None, "as in Traefik");
    let plain = balancer(&["sticky.cookie=true"]).sticky.unwrap();
    // printf %s _TRAEFIK_BACKEND_s@consulcatalog | sha1sum
    assert_eq!((plain.name.as_str(), plain.value, plain.path.as_str()), ("_e1bc8", CookieValue::Digest, "/"));
    let full = balancer(&[
        "sticky.cookie.name=sid",
        "sticky.cookie.secure=true",
        "sticky.cookie.httponly=true",
        "sticky.cookie.samesite=none",
        "sticky.cookie.maxage=-1",
        "sticky.cookie.path=/app",
        "sticky.cookie.domain=shop.test",
    ]);
    let full = full.sticky.unwrap();
    assert_eq!((full.name.as_str(), full.secure, full.http_only), ("sid", true, true));
    assert_eq!((full.same_site, full.max_age), (Some(SameSite::None), Some(-1)));
    assert_eq!((full.path.as_str(), full.domain.as_deref()), ("/app", Some("shop.test")));
}

#[test]
fn health_checks() {
    let check = balancer(&["healthcheck.path=/h"]).health_check.unwrap();
    assert_eq!((check.protocol, check.method.as_str(), check.status), (CheckProtocol::Http, "GET", None));
    assert_eq!((check.interval_ns, check.unhealthy_interval_ns), (30_000_000_000, 30_000_000_000));
    assert!(check.follow_redirects && !check.at_once && check.passes == 1 && check.failures == 1);
    let check = balancer(&[
        "healthcheck.mode=grpc",
        "healthcheck.interval=2s",
        "healthcheck.unhealthyinterval=500ms",
        "healthcheck.timeout=1",
        "healthcheck.port=81",
        "healthcheck.scheme=h2c",
        "healthcheck.status=204",
        "healthcheck.method=head",
        "healthcheck.hostname=in.test",
        "healthcheck.followredirects=false",
        "healthcheck.headers.X-A=1",
    ]);
    let check = check.health_check.unwrap();
    assert_eq!((check.protocol, check.scheme, check.port), (CheckProtocol::Grpc, Some(Scheme::H2c), Some(81)));
    assert_eq!(
        (check.interval_ns, check.unhealthy_interval_ns, check.timeout_ns),
        (2_000_000_000, 500_000_000, 1_000_000_000)
    );
    assert_eq!((check.status, check.method.as_str(), check.host.as_str()), (Some(204), "HEAD", "in.test"));
    assert_eq!((check.headers[0].name.as_str(), check.headers[0].value.as_str()), ("X-A", "1"));
    let own = balancer(&["healthcheck.mode=tcp"]).health_check.unwrap();
    assert_eq!((own.passes, own.failures), (2, 3));
    for bad in ["mode=icmp", "path=http://a/", "scheme=ftp", "port=70000", "status=99"] {
        let result = with(&[&format!("loadbalancer.healthcheck.{bad}")]);
        assert!(result.services.is_empty(), "{bad}");
        assert_eq!(result.diagnostics[0].object, "service s", "{bad}");
    }
}

#[test]
fn what_requests_say_of_health() {
    let plain = balancer(&[]);
    assert_eq!((plain.passive_check, plain.outlier_ejection, plain.panic_percent), (None, None, 0));
    let full = balancer(&[
        "passivehealthcheck.failurewindow=3s",
        "passivehealthcheck.maxfailedattempts=4",
        "outlierejection.maxpercent=30",
        "panicthreshold=0",
        "slowstart=10s",
    ]);
    let (passive, outliers) = (full.passive_check.unwrap(), full.outlier_ejection.unwrap());
    assert_eq!((passive.window_ns, passive.failures), (3_000_000_000, 4));
    assert_eq!((outliers.failures, outliers.base_ns, outliers.most_percent), (5, 30_000_000_000, 30));
    assert_eq!((full.panic_percent, full.slow_start_ns), (0, 10_000_000_000));
    for (options, percent) in [
        (&["healthcheck.path=/"][..], 0),
        (&["passivehealthcheck.maxfailedattempts=1"], 0),
        (&["outlierejection=true"], 50),
        (&["healthcheck.path=/", "panicthreshold=30"], 30),
        (&["panicthreshold=300"], 100),
    ] {
        assert_eq!(balancer(options).panic_percent, percent, "{options:?}");
    }
}

#[test]
fn limits_and_transports() {
    let limit = balancer(&["maxrequests=7"]).limit.unwrap();
    assert_eq!((limit.active, limit.waiting, limit.wait_ns), (7, 100, 100_000_000));
    let limit = balancer(&["maxrequests=7", "queue.size=0", "queue.timeout=1s"]).limit.unwrap();
    assert_eq!((limit.waiting, limit.wait_ns), (0, 1_000_000_000));
    assert_eq!(balancer(&["maxrequests=0"]).limit, None);
    assert_eq!(balancer(&["serverstransport=mtls@file"]).transport.as_deref(), Some("mtls"));
    assert_eq!(balancer(&["serverstransport=default@internal"]).transport, None);
}

#[test]
fn a_path_of_the_url_is_kept_on_request() {
    let path = |options: &[&str]| balancer(options).targets[0].path.clone();
    assert_eq!(path(&["server.url=http://a/x/y/"]), "");
    assert_eq!(path(&["server.url=http://a/x/y/", "server.preservepath=true"]), "/x/y");
}

#[test]
fn services_of_services() {
    let kind = |options: &[&str]| {
        let result = with(options);
        assert_eq!(severities(&result), [], "{options:?}: {:?}", result.diagnostics);
        result.services[0].kind.clone()
    };
    let ServiceKind::Weighted(weighted) = kind(&[
        "weighted.services[10].name=c",
        "weighted.services[0].name=a",
        "weighted.services[0].weight=3",
        "weighted.services[2].name=b@file",
        "weighted.sticky.cookie.name=half",
        "weighted.healthcheck=true",
    ]) else {
        panic!("not weighted")
    };
    let parts: Vec<_> = weighted.parts.iter().map(|part| (part.service.as_str(), part.weight)).collect();
    assert_eq!(parts, [("a", 3), ("b@file", 1), ("c", 1)]);
    assert!(weighted.health_check && weighted.sticky.is_some_and(|cookie| cookie.name == "half"));
    let ServiceKind::Weighted(hashed) = kind(&["highestrandomweight.services[0].name=a"]) else {
        panic!("not weighted")
    };
    assert_eq!(hashed.split, Split::Hashed);
    let ServiceKind::Mirroring(mirroring) = kind(&[
        "mirroring.service=a",
        "mirroring.mirrors[0].name=b",
        "mirroring.mirrors[0].percent=10",
        "mirroring.maxbodysize=-1",
    ]) else {
        panic!("not mirroring")
    };
    assert_eq!((mirroring.service.as_str(), mirroring.mirror_body, mirroring.most_body), ("a", true, 64 << 20));
    assert_eq!((mirroring.mirrors[0].service.as_str(), mirroring.mirrors[0].percent), ("b", 10));
    let ServiceKind::Failover(failover) =
        kind(&["failover.service=a", "failover.fallback=b", "failover.errors.status=502, 500-501"])
    else {
        panic!("not failover")
    };
    let ranges: Vec<_> = failover.statuses.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!((ranges, failover.most_body), (vec![(502, 502), (500, 501)], 1 << 20));
}

#[test]
fn services_of_services_that_cannot_be() {
    for bad in [
        "weighted.services[0].weight=1",
        "weighted.services[0].weight=-1",
        "weighted.healthcheck=true",
        "mirroring.mirrors[0].name=b",
        "mirroring.mirrors[0].percent=101",
        "failover.service=a",
        "failover.errors.status=all",
    ] {
        let result = with(&[bad]);
        assert!(result.services.is_empty(), "{bad}");
        assert_eq!(result.diagnostics[0].object, "service s", "{bad}");
    }
}

#[test]
fn services_have_steps_of_their_own() {
    let result = with(&["loadbalancer.server.port=81", "middlewares=a, b@file"]);
    assert_eq!(result.services[0].steps, ["a", "b@file"]);
}
