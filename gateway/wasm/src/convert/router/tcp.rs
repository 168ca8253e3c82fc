//! TCP routes, services and steps.

use sluice_model::tcp as model;

use super::{convert, rule, wit};
use crate::convert::service::health_check;

pub(super) fn route(route: wit::TcpRoute) -> model::TcpRouteSpec {
    model::TcpRouteSpec {
        name: route.name,
        rule: rule(route.rule),
        priority: route.priority,
        entrypoints: route.entrypoints,
        tls: match route.tls {
            wit::TcpTls::None => model::TcpTls::None,
            wit::TcpTls::Terminate => model::TcpTls::Terminate,
            wit::TcpTls::Passthrough => model::TcpTls::Passthrough,
        },
        tls_options: route.tls_options,
        steps: route.steps,
        service: route.service,
    }
}

pub(super) fn service(service: wit::TcpService) -> model::TcpServiceSpec {
    model::TcpServiceSpec {
        name: service.name,
        targets: convert(service.targets, target),
        proxy_protocol: match service.proxy_protocol {
            wit::ProxyProtocol::None => model::ProxyProtocol::None,
            wit::ProxyProtocol::V1 => model::ProxyProtocol::V1,
            wit::ProxyProtocol::V2 => model::ProxyProtocol::V2,
        },
        health_check: service.health_check.map(health_check),
        transport: service.transport,
    }
}

fn target(target: wit::TcpTarget) -> model::TcpTarget {
    model::TcpTarget {
        instance: target.instance,
        address: target.address,
        port: target.port,
        tls: target.tls,
        weight: target.weight,
    }
}

pub(super) fn step(step: wit::TcpStep) -> model::TcpStepSpec {
    model::TcpStepSpec {
        name: step.name,
        action: match step.action {
            wit::TcpAction::InFlight(amount) => model::TcpAction::InFlight(amount),
            wit::TcpAction::AllowList(ranges) => model::TcpAction::AllowList(ranges),
        },
    }
}
