//! Services, which have more to say than the rest of a contribution together.

use std::time::Duration;

use sluice_model as model;
use sluice_model::service as plain;

use super::convert;
use crate::bindings::router::sluice::gateway::routing as wit;

pub(super) fn spec(service: wit::ServiceSpec) -> model::ServiceSpec {
    let kind = match service.kind {
        wit::ServiceKind::Balancer(balancer) => model::ServiceKind::Balancer(Box::new(self::balancer(balancer))),
        wit::ServiceKind::Weighted(weighted) => model::ServiceKind::Weighted(self::weighted(weighted)),
        wit::ServiceKind::Mirroring(mirroring) => model::ServiceKind::Mirroring(self::mirroring(mirroring)),
        wit::ServiceKind::Failover(failover) => model::ServiceKind::Failover(plain::Failover {
            service: failover.service,
            fallback: failover.fallback,
            statuses: convert(failover.statuses, |range| (range.first, range.last)),
            most_body: failover.most_body,
        }),
    };
    model::ServiceSpec { name: service.name, kind, steps: service.steps }
}

fn balancer(balancer: wit::Balancer) -> model::Balancer {
    model::Balancer {
        targets: convert(balancer.targets, target),
        pass_host_header: balancer.pass_host_header,
        strategy: strategy(balancer.strategy),
        sticky: balancer.sticky.map(cookie),
        health_check: balancer.health_check.map(health_check),
        passive_check: balancer.passive_check.map(|check| plain::PassiveCheck {
            window: Duration::from_nanos(check.window_ns),
            failures: check.failures.max(1),
        }),
        outlier_ejection: balancer.outlier_ejection.map(|ejection| plain::OutlierEjection {
            failures: ejection.failures.max(1),
            base: Duration::from_nanos(ejection.base_ns),
            most: Duration::from_nanos(ejection.most_ns),
            most_percent: ejection.most_percent.min(100),
        }),
        panic_percent: balancer.panic_percent.min(100),
        slow_start: Duration::from_nanos(balancer.slow_start_ns),
        limit: balancer.limit.map(|limit| plain::RequestLimit {
            active: limit.active.max(1),
            waiting: limit.waiting,
            wait: Duration::from_nanos(limit.wait_ns),
        }),
        transport: balancer.transport,
        unavailable: balancer.unavailable,
    }
}

fn target(target: wit::Target) -> model::Target {
    model::Target {
        instance: target.instance,
        scheme: scheme(target.scheme),
        address: target.address,
        port: target.port,
        path: target.path,
        weight: target.weight,
    }
}

fn scheme(scheme: wit::Scheme) -> model::Scheme {
    match scheme {
        wit::Scheme::Http => model::Scheme::Http,
        wit::Scheme::Https => model::Scheme::Https,
        wit::Scheme::H2c => model::Scheme::H2c,
    }
}

fn strategy(strategy: wit::Strategy) -> plain::Strategy {
    use plain::Strategy;
    match strategy {
        wit::Strategy::RoundRobin => Strategy::RoundRobin,
        wit::Strategy::Rebalancing => Strategy::Rebalancing,
        wit::Strategy::TwoChoices => Strategy::TwoChoices,
        wit::Strategy::Rendezvous => Strategy::Rendezvous,
        wit::Strategy::LeastTime => Strategy::LeastTime,
        wit::Strategy::PeakEwma => Strategy::PeakEwma,
        wit::Strategy::Maglev => Strategy::Maglev,
    }
}

fn cookie(cookie: wit::StickyCookie) -> plain::StickyCookie {
    plain::StickyCookie {
        name: cookie.name,
        value: match cookie.value {
            wit::CookieValue::Url => plain::CookieValue::Url,
            wit::CookieValue::Digest => plain::CookieValue::Digest,
        },
        secure: cookie.secure,
        http_only: cookie.http_only,
        same_site: cookie.same_site.map(|site| match site {
            wit::SameSite::None => plain::SameSite::None,
            wit::SameSite::Lax => plain::SameSite::Lax,
            wit::SameSite::Strict => plain::SameSite::Strict,
        }),
        max_age: cookie.max_age,
        path: cookie.path,
        domain: cookie.domain,
    }
}

pub(super) fn health_check(check: wit::HealthCheck) -> plain::HealthCheck {
    plain::HealthCheck {
        protocol: match check.protocol {
            wit::CheckProtocol::Http => plain::CheckProtocol::Http,
            wit::CheckProtocol::Grpc => plain::CheckProtocol::Grpc,
            wit::CheckProtocol::Tcp => plain::CheckProtocol::Tcp,
        },
        path: check.path,
        method: check.method,
        status: check.status,
        headers: convert(check.headers, |header| (header.name, header.value)),
        host: check.host,
        follow_redirects: check.follow_redirects,
        send: check.send,
        expect: check.expect,
        scheme: check.scheme.map(scheme),
        port: check.port,
        interval: Duration::from_nanos(check.interval_ns),
        unhealthy_interval: Duration::from_nanos(check.unhealthy_interval_ns),
        timeout: Duration::from_nanos(check.timeout_ns),
        at_once: check.at_once,
        passes: check.passes.max(1),
        failures: check.failures.max(1),
    }
}

fn weighted(weighted: wit::WeightedServices) -> plain::WeightedServices {
    plain::WeightedServices {
        parts: convert(weighted.parts, |part| plain::Share { service: part.service, weight: part.weight }),
        split: match weighted.split {
            wit::Split::Weighted => plain::Split::Weighted,
            wit::Split::Hashed => plain::Split::Hashed,
        },
        sticky: weighted.sticky.map(cookie),
        health_check: weighted.health_check,
    }
}

fn mirroring(mirroring: wit::Mirroring) -> plain::Mirroring {
    plain::Mirroring {
        service: mirroring.service,
        mirrors: convert(mirroring.mirrors, |mirror| plain::Mirror {
            service: mirror.service,
            percent: mirror.percent.min(100),
        }),
        mirror_body: mirroring.mirror_body,
        most_body: mirroring.most_body,
    }
}
