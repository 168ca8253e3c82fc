//! What TCP tags come to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use sluice_plugin_sdk::router::{CheckProtocol, Contribution, ProxyProtocol, Severity, TcpAction, TcpTls};

use crate::testing::{contribution, service_with, severities};

fn v3(tags: &[&str]) -> Contribution {
    contribution(r#"{"entrypoints":[{"name":"web"},{"name":"db"}]}"#, &service_with("Pay.Db", &[tags]))
}

const RULE: &str = "traefik.tcp.routers.t.rule=HostSNI(`db.test`)";
const TLS: &str = "traefik.tcp.routers.t.tls=true";

#[test]
fn a_router_alone_gets_its_service_and_nothing_of_http() {
    let result = v3(&["traefik.tcp.routers.t.rule=HostSNI(`*`)", "traefik.tcp.routers.t.entrypoints=db"]);
    assert!(result.routes.is_empty() && result.services.is_empty() && result.diagnostics.is_empty());
    let route = &result.tcp_routes[0];
    assert_eq!(
        (route.name.as_str(), route.service.as_str(), route.priority, route.tls),
        ("t", "Pay-Db", -1, TcpTls::None)
    );
    assert_eq!(route.entrypoints, ["db"]);
    let service = &result.tcp_services[0];
    assert_eq!((service.name.as_str(), service.proxy_protocol), ("Pay-Db", ProxyProtocol::None));
    let target = &service.targets[0];
    assert_eq!((target.address.as_str(), target.port, target.tls, target.weight), ("10.0.0.1", 80, false, 1));
}

#[test]
fn every_option_has_its_meaning() {
    let result = v3(&[
        RULE,
        "traefik.tcp.routers.t.priority=7",
        "traefik.tcp.routers.t.tls.options=mtls@file",
        "traefik.tcp.routers.t.middlewares=few, office",
        "traefik.tcp.routers.t.service=s",
        "traefik.tcp.services.s.loadbalancer.server.port=5432",
        "traefik.tcp.services.s.loadbalancer.server.tls=true",
        "traefik.tcp.services.s.loadbalancer.serverstransport=inner@file",
        "traefik.tcp.services.s.loadbalancer.proxyprotocol.version=1",
        "traefik.tcp.middlewares.few.inflightconn.amount=3",
        "traefik.tcp.middlewares.office.ipallowlist.sourcerange=10.0.0.0/8, 192.168.1.7",
    ]);
    assert_eq!(result.diagnostics, []);
    let route = &result.tcp_routes[0];
    assert_eq!((route.priority, route.tls, route.tls_options.as_str()), (7, TcpTls::Terminate, "mtls@file"));
    assert_eq!(route.steps, ["few", "office"]);
    let service = &result.tcp_services[0];
    assert_eq!((service.targets[0].port, service.targets[0].tls), (5432, true));
    assert_eq!((service.proxy_protocol, service.transport.as_deref()), (ProxyProtocol::V1, Some("inner")));
    let actions: Vec<_> = result.tcp_steps.iter().map(|step| step.action.clone()).collect();
    let ranges = vec!["10.0.0.0/8".to_owned(), "192.168.1.7".to_owned()];
    assert_eq!(actions, [TcpAction::InFlight(3), TcpAction::AllowList(ranges)]);
    let through = v3(&[RULE, "traefik.tcp.routers.t.tls.passthrough=true"]);
    assert_eq!(through.tcp_routes[0].tls, TcpTls::Passthrough);
    assert_eq!(through.tcp_routes[0].priority, "HostSNI(`db.test`)".len() as i64);
    let checked = v3(&[
        RULE,
        TLS,
        "traefik.tcp.services.s.loadbalancer.healthcheck.interval=2s",
        "traefik.tcp.services.s.loadbalancer.healthcheck.port=81",
        "traefik.tcp.services.s.loadbalancer.healthcheck.send=PING",
        "traefik.tcp.services.s.loadbalancer.healthcheck.expect=PONG",
    ]);
    let check = checked.tcp_services[0].health_check.as_ref().unwrap();
    assert_eq!((check.protocol, check.interval_ns, check.port), (CheckProtocol::Tcp, 2_000_000_000, Some(81)));
    assert_eq!((check.send.as_str(), check.expect.as_str()), ("PING", "PONG"));
    assert_eq!(checked.diagnostics, []);
    let bare = v3(&[RULE, TLS, "traefik.tcp.services.s.loadbalancer.proxyprotocol=true"]);
    assert_eq!(bare.tcp_services[0].proxy_protocol, ProxyProtocol::V2);
}

#[test]
fn a_bad_router_or_middleware_costs_only_itself_and_its_users() {
    let good = ["traefik.tcp.routers.g.rule=HostSNI(`*`)", "traefik.http.routers.h.rule=Path(`/`)"];
    for bad in [
        &["traefik.tcp.routers.t.rule=HostSNI(`a`)"][..],
        &["traefik.tcp.routers.t.rule=HostSNI(`*`) && ALPN(`h2`)"],
        &["traefik.tcp.routers.t.rule=Host(`a`)", TLS],
        &["traefik.tcp.routers.t.entrypoints=nope", RULE, TLS],
        &[TLS],
        &[RULE, TLS, "traefik.tcp.routers.t.middlewares=m", "traefik.tcp.middlewares.m.inflightconn.amount=0"],
        &[RULE, TLS, "traefik.tcp.routers.t.middlewares=m", "traefik.tcp.middlewares.m.ipallowlist.sourcerange="],
        &[RULE, TLS, "traefik.tcp.routers.t.middlewares=m", "traefik.tcp.middlewares.m=true"],
    ] {
        let result = v3(&[&good, bad].concat());
        assert_eq!(result.tcp_routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["g"], "{bad:?}");
        assert_eq!(result.routes.len(), 1, "{bad:?}");
        assert!(result.diagnostics.iter().any(|found| found.object == "tcp route t"), "{bad:?}");
    }
}

#[test]
fn what_traefik_drops_an_instance_for() {
    for bad in [
        "traefik.tcp.routers.t.rules=HostSNI(`*`)",
        "traefik.tcp.services.s.loadbalancer.server.port=many",
        "traefik.tcp.services.s.loadbalancer.proxyprotocol.version=3",
        "traefik.tcp.services.s.weighted.services[0].name=a",
        "traefik.tcp.middlewares.m.ratelimit.average=1",
    ] {
        let result = v3(&["traefik.http.routers.h.rule=Path(`/`)", bad]);
        assert_eq!((result.routes.len(), result.tcp_routes.len()), (0, 0), "{bad}");
        assert_eq!((severities(&result), result.diagnostics[0].tag.as_str()), (vec![Severity::Error], bad));
    }
}

#[test]
fn instances_are_joined_and_the_majority_decides() {
    let one: &[&str] = &["traefik.tcp.routers.t.rule=HostSNI(`*`)"];
    let other: &[&str] = &["traefik.tcp.routers.t.rule=HostSNI(`*`) && ClientIP(`10.0.0.1`)"];
    let result = contribution("{}", &service_with("db", &[one, other, other]));
    assert_eq!(result.tcp_routes[0].rule.text, "HostSNI(`*`) && ClientIP(`10.0.0.1`)");
    assert_eq!(result.tcp_services[0].targets.len(), 3);
    assert_eq!(severities(&result), [Severity::Warning]);
}
