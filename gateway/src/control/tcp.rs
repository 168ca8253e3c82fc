//! Compiling TCP routes, services and steps. What outlives a generation (turns, counts of connections) is handed on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ipnet::IpNet;
use sluice_model::balance::Cycle;
use sluice_model::link::{Item, LinkedTcp, LinkedTcpRoute};
use sluice_model::tcp::{TcpAction, TcpEntry, TcpRule, TcpServiceSpec, TcpStepSpec, TcpTable, TcpTarget, TcpTls};
use sluice_model::{Scheme, Shards, Transport};

use super::Parts;
use super::compile::{Listening, no_entrypoint};
use super::services::known_transport;
use super::tls_hosts::OptionNames;
use crate::live::{RouteStatus, Tcp, TcpRoute, TcpRouteStatus, TcpService, TcpStep, TcpTables};
use crate::state::{AllConnectionCounts, CheckKey, CheckState, Checks, InstanceKey};
use crate::telemetry::Telemetry;

/// Compiles TCP routes, remembering what it compiled last.
pub(super) struct TcpCompiler {
    counts: AllConnectionCounts,
    checks: Arc<Checks>,
    /// Names of the transports there are.
    transports: Vec<String>,
    services: HashMap<Arc<str>, Arc<TcpService>>,
    rules: HashMap<Arc<str>, Arc<TcpRoute>>,
}

type Steps = HashMap<Arc<str>, Result<TcpStep, String>>;

impl TcpCompiler {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            counts: AllConnectionCounts::default(),
            checks: Arc::clone(&parts.checks),
            transports: parts.config.all_transports().into_iter().map(|transport| transport.name).collect(),
            services: HashMap::new(),
            rules: HashMap::new(),
        }
    }

    pub(super) fn compile(
        &mut self,
        linked: &LinkedTcp,
        entrypoints: &[Listening],
        names: &OptionNames,
        telemetry: &Telemetry,
    ) -> Tcp {
        let services = linked.services.iter().map(|(name, item)| (Arc::clone(name), self.service(item, telemetry)));
        self.services = services.collect();
        let steps: Steps = linked.steps.iter().map(|(name, item)| (Arc::clone(name), self.step(item))).collect();
        let routes: Vec<_> = linked.routes.iter().map(|route| self.route(route, entrypoints, names, &steps)).collect();
        let working = routes.iter().filter_map(|status: &TcpRouteStatus| status.route.clone());
        self.rules = working.map(|route| (Arc::clone(&route.name), route)).collect();
        Tcp {
            routes,
            services: self.services.clone(),
            steps: linked.steps.iter().map(|(name, item)| (Arc::clone(name), Arc::clone(&item.spec))).collect(),
        }
    }

    fn service(&self, item: &Item<TcpServiceSpec>, telemetry: &Telemetry) -> Arc<TcpService> {
        let before = self.services.get(&item.name);
        if let Some(before) = before.filter(|before| before.spec == item.spec) {
            return Arc::clone(before);
        }
        let checks = item.spec.targets.iter().map(|target| self.check(&item.spec, target)).collect();
        let weights: Vec<u32> = item.spec.targets.iter().map(|target| target.weight).collect();
        Arc::new(TcpService {
            name: Arc::clone(&item.name),
            spec: Arc::clone(&item.spec),
            checks,
            cycle: Cycle::new(&weights),
            turn: before.map_or_else(|| Arc::new(AtomicUsize::new(0)), |before| Arc::clone(&before.turn)),
            metrics: telemetry.tcp_service(&item.name),
        })
    }

    fn check(&self, spec: &TcpServiceSpec, target: &TcpTarget) -> Option<Arc<CheckState>> {
        let check = spec.health_check.clone()?;
        let scheme = if target.tls { Scheme::Https } else { Scheme::Http };
        let transport = spec.transport.as_deref().filter(|_| target.tls).map(Arc::from);
        let instance = InstanceKey { scheme, address: target.address.clone(), port: target.port, transport };
        Some(self.checks.get(CheckKey { instance, check }))
    }

    fn step(&self, item: &Item<TcpStepSpec>) -> Result<TcpStep, String> {
        match &item.spec.action {
            TcpAction::InFlight(most) => Ok(TcpStep::InFlight(self.counts.get(&item.name), *most)),
            TcpAction::AllowList(ranges) => {
                let ranges = ranges.iter().map(|text| range(text)).collect::<Result<Vec<_>, _>>()?;
                Ok(TcpStep::AllowList(ranges.into()))
            }
        }
    }

    fn route(
        &self,
        linked: &LinkedTcpRoute,
        entrypoints: &[Listening],
        names: &OptionNames,
        steps: &Steps,
    ) -> TcpRouteStatus {
        let mut errors = linked.errors.clone();
        let asked = entrypoints.iter().filter(|entrypoint| entrypoint.is_asked_for(&linked.spec.entrypoints));
        let entrypoints: Vec<Arc<str>> = asked.map(|entrypoint| Arc::clone(&entrypoint.name)).collect();
        if entrypoints.is_empty() {
            errors.push(no_entrypoint(&linked.spec.entrypoints));
        }
        let options = names.number(&linked.spec.tls_options).map_err(|error| errors.push(error)).unwrap_or(0);
        let rule = self.rule(linked).map_err(|error| errors.push(error)).ok();
        let chosen: Vec<TcpStep> = linked
            .steps
            .iter()
            .filter_map(|name| match steps.get(name) {
                Some(Ok(step)) => Some(step.clone()),
                Some(Err(error)) => {
                    errors.push(format!("tcp step `{name}`: {error}"));
                    None
                }
                None => None,
            })
            .collect();
        let service = linked.service.as_ref().and_then(|name| self.services.get(name));
        if let Some(service) = service {
            let known = known_transport(service.spec.transport.as_deref(), &self.transports);
            errors.extend(known.err().map(|error| format!("tcp service `{}`: {error}", service.name)));
        }
        let route = service.zip(rule).filter(|_| errors.is_empty()).map(|(service, rule)| {
            let (name, spec, service) = (Arc::clone(&linked.name), Arc::clone(&linked.spec), Arc::clone(service));
            Arc::new(TcpRoute { name, spec, rule, options, steps: chosen.into(), service })
        });
        let LinkedTcpRoute { name, spec, origin, steps, .. } = linked.clone();
        TcpRouteStatus { name, spec, origin, steps, route, entrypoints, errors, warnings: Vec::new() }
    }

    fn rule(&self, linked: &LinkedTcpRoute) -> Result<Arc<TcpRule>, String> {
        match self.rules.get(&linked.name).filter(|before| before.spec.rule == linked.spec.rule) {
            Some(before) => Ok(Arc::clone(&before.rule)),
            None => TcpRule::compile(&linked.spec.rule)
                .map(Arc::new)
                .map_err(|error| format!("rule `{}`: {error}", linked.spec.rule.text)),
        }
    }
}

/// Tells a plain catch-all where it takes connections that routes for requests wait for, as it does with Traefik.
pub(super) fn warn_of_shadows(tcp: &mut Arc<Tcp>, routes: &Shards<Arc<RouteStatus>>, entrypoints: &[Listening]) {
    let is_catch_all = |status: &TcpRouteStatus| {
        status.route.as_ref().is_some_and(|route| route.spec.tls == TcpTls::None && route.rule.is_catch_all())
    };
    if !tcp.routes.iter().any(is_catch_all) {
        return;
    }
    for status in Arc::make_mut(tcp).routes.iter_mut().filter(|status| is_catch_all(status)) {
        for entrypoint in entrypoints.iter().filter(|one| !one.tls && status.entrypoints.contains(&one.name)) {
            let waits =
                |route: &&Arc<RouteStatus>| route.is_at(&entrypoint.name) && route.spec.transport != Transport::Tls;
            let waiting = routes.values().filter(waits).count();
            if waiting > 0 {
                status.warnings.push(format!(
                    "it takes every plain connection of entrypoint `{}`, so {waiting} routes for requests get none there: \
                     give it an entrypoint of its own by `entrypoints`",
                    entrypoint.name
                ));
            }
        }
    }
}

/// The tables of an entrypoint; none where no route is for it.
pub(super) fn tables(tcp: &Tcp, entrypoint: &Arc<str>) -> Option<TcpTables> {
    let table = |is_tls: bool| {
        let here = tcp.routes.iter().filter(|status| status.entrypoints.contains(entrypoint));
        let working = here.filter_map(|status| status.route.as_ref());
        let entries = working.filter(|route| (route.spec.tls != TcpTls::None) == is_tls).map(|route| TcpEntry {
            priority: route.spec.priority,
            name: Arc::clone(&route.name),
            rule: Arc::clone(&route.rule),
            value: Arc::clone(route),
        });
        TcpTable::new(entries.collect())
    };
    let tables = TcpTables { plain: table(false), tls: table(true) };
    (!tables.plain.is_empty() || !tables.tls.is_empty()).then_some(tables)
}

fn range(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| single()).map_err(|_| format!("`{text}` is neither an address nor a range of addresses"))
}
