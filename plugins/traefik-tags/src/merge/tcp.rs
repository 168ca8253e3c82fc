//! The same for TCP routes, services and steps.

use std::collections::BTreeMap;

use sluice_plugin_sdk::router::{TcpRoute, TcpService, TcpStep, TcpTarget};

use super::{Draft, pick, settle};
use crate::report::{Problem, Report};
use crate::settings::Settings;
use crate::vote::Ballot;

/// Routes, services and steps of TCP.
pub(super) type Merged = (Vec<TcpRoute>, Vec<TcpService>, Vec<TcpStep>);

pub(super) fn merge(draft: &mut Draft, settings: &Settings, report: &mut Report) -> Merged {
    let services = join_services(std::mem::take(&mut draft.tcp_services), report);
    let steps = settle("tcp step", std::mem::take(&mut draft.tcp_steps), report);
    let routes = settle("tcp route", std::mem::take(&mut draft.tcp_routes), report);
    for (name, step) in &steps {
        if let Err(problem) = step {
            let message = format!("{problem}; routes that use it are left out");
            report.error(&format!("tcp step {name}"), &problem.tag, message);
        }
    }
    let mut working = Vec::new();
    for (name, route) in routes {
        let broken = |step: &&String| matches!(steps.get(settings.local_name(step)), Some(Err(_)));
        let route = route.and_then(|route| match route.steps.iter().find(broken) {
            Some(step) => Err(Problem::new("", format!("its step `{step}` cannot be used"))),
            None => Ok(route),
        });
        match route {
            Ok(route) => working.push(route),
            Err(problem) => report.error(&format!("tcp route {name}"), &problem.tag, problem.message),
        }
    }
    let steps = steps.into_iter().filter_map(|(name, action)| Some(TcpStep { name, action: action.ok()? })).collect();
    (working, services, steps)
}

fn join_services(said: Vec<TcpService>, report: &mut Report) -> Vec<TcpService> {
    let mut by_name: BTreeMap<String, Vec<TcpService>> = BTreeMap::new();
    for service in said {
        by_name.entry(service.name.clone()).or_default().push(service);
    }
    by_name.into_iter().filter_map(|(name, versions)| join_service(name, versions, report)).collect()
}

fn join_service(name: String, said: Vec<TcpService>, report: &mut Report) -> Option<TcpService> {
    let mut heads = Ballot::default();
    let mut targets: Vec<TcpTarget> = Vec::new();
    for service in said {
        let voters = service.targets.iter().map(|target| target.instance.as_str());
        heads.add((service.proxy_protocol, service.health_check, service.transport), voters, |a, b| a == b);
        for target in service.targets {
            if !targets.iter().any(|known| (&known.address, known.port) == (&target.address, target.port)) {
                targets.push(target);
            }
        }
    }
    targets.sort_by(|a, b| a.instance.cmp(&b.instance));
    let (proxy_protocol, health_check, transport) = pick("tcp service", &name, heads, report)?;
    Some(TcpService { name, targets, proxy_protocol, health_check, transport })
}
