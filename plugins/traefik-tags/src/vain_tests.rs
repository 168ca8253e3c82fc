//! What tags of Traefik's ask for in vain: each is told with its tag, and costs nothing but what it asks for. The README
//! has the same list.

use sluice_plugin_sdk::router::{Contribution, Severity};

use crate::testing::{contribution, names, service_with, step};

const ROUTER: &str = "traefik.http.routers.r.rule=Host(`a`)";
const USES: &str = "traefik.http.routers.r.middlewares=m";
const TCP: [&str; 3] = [
    "traefik.tcp.routers.t.rule=HostSNI(`*`)",
    "traefik.tcp.routers.t.service=s",
    "traefik.tcp.services.s.loadbalancer.server.port=1",
];

/// What comes of tags, the last of which is told with this text.
fn told(tags: &[&str], severity: Severity, part: &str) -> Contribution {
    let made = contribution("{}", &service_with("web", &[tags]));
    let tag = tags.last().copied().unwrap_or_default();
    let found = made.diagnostics.iter().filter(|found| found.severity == severity && found.message.contains(part));
    assert_eq!(found.map(|found| found.tag.as_str()).collect::<Vec<_>>(), [tag], "{part}: {:?}", made.diagnostics);
    made
}

#[test]
fn routers_and_middlewares_work_without_it() {
    for (tag, part) in [
        ("traefik.http.routers.r.tls.certresolver=le", "certificates are configured at the entrypoint"),
        ("traefik.http.routers.r.tls.domains[0].main=a", "certificates are configured at the entrypoint"),
        ("traefik.http.routers.r.observability.tracing=true", "nothing is traced"),
        ("traefik.http.routers.r.observability.traceverbosity=detailed", "nothing is traced"),
        ("traefik.http.serverstransports.x.insecureskipverify=true", "cannot be set by tags"),
    ] {
        assert_eq!(names(&told(&[ROUTER, tag], Severity::Warning, part).routes), ["r"], "{tag}");
    }
    for (options, part) in [
        (&["ratelimit.average=1", "ratelimit.redis.endpoints=a:6379"][..], "each gateway counts by itself"),
        (&["stripprefix.prefixes=/a", "stripprefix.forceslash=false"], "a path always begins with `/`"),
        (&["ipwhitelist.sourcerange=10.0.0.0/8"], "use `ipallowlist`"),
        (&["contenttype.autodetect=true"], "the middleware itself asks for the guess"),
        (&["headers.sslredirect=true"], "use the middleware `redirectscheme`"),
        (&["headers.featurepolicy=none"], "use `permissionspolicy`"),
    ] {
        let options: Vec<_> = options.iter().map(|option| format!("traefik.http.middlewares.m.{option}")).collect();
        let tags: Vec<_> = [ROUTER, USES].into_iter().chain(options.iter().map(String::as_str)).collect();
        let made = told(&tags, Severity::Warning, part);
        assert_eq!(names(&made.routes), ["r"], "{options:?}");
        assert!(step(&made, "m").is_some(), "{options:?}");
    }
}

#[test]
fn connections_pass_without_it() {
    for (tag, part) in [
        ("traefik.tcp.services.s.loadbalancer.terminationdelay=100", "both sides of a connection end when they like"),
        ("traefik.tcp.services.s.loadbalancer.serverstransport=inner", "add `loadbalancer.server.tls=true`"),
    ] {
        let tags: Vec<_> = TCP.into_iter().chain([tag]).collect();
        assert_eq!(told(&tags, Severity::Warning, part).tcp_routes.len(), 1, "{tag}");
    }
}

#[test]
fn what_is_not_spoken_is_left_out_alone() {
    let connect = told(&[ROUTER, "traefik.consulcatalog.connect=true"], Severity::Error, "`connect-aware = true`");
    assert!(connect.routes.is_empty(), "the instance takes nothing but Connect's TLS");
    let udp = contribution("{}", &service_with("web", &[&[ROUTER, "traefik.udp.routers.u.entrypoints=dns"]]));
    assert!(udp.diagnostics.iter().any(|found| found.severity == Severity::Error && found.message.contains("UDP")));
    assert_eq!(names(&udp.routes), ["r"]);
    for (tag, part) in [
        ("traefik.consulcatalog.connect=true", "the instance itself is asked"),
        ("traefik.consulcatalog.canary=true", "only instances with tags of the v3 dialect"),
        ("traefik.portName=http", "the port comes from the catalog"),
        ("traefik.docker.network=front", "Traefik's Docker provider"),
        ("traefik.wieght=3", "unknown option, ignored"),
    ] {
        assert_eq!(names(&told(&[tag], Severity::Warning, part).routes), ["web"], "{tag}");
    }
}
