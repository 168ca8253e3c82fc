//! The default router plugin: turns the tags of a catalog service into routes, in both of Traefik's dialects.
//!
//! It takes one service with all its instances and the options of its provider, and gives routes, services, steps and
//! diagnostics. It never looks at other services (the host links contributions), never compiles a regular expression
//! (the host does), and never fails: what cannot be used is left out alone and reported with its tag.
//!
//! # Which dialect
//!
//! Each instance is read in one dialect: v3 where a tag begins with `<prefix>.http`, `.tcp` or `.udp`, else v1. Tags of
//! the other dialect are ignored and reported.
//!
//! A service whose accepted instances carry tags of neither dialect gets one route by a default rule. If the operator
//! has set only v1's options (`domain`, `frontend-rule`) it is v1's rule, if only v3's (`default-rule`) it is that one,
//! otherwise either may match: `Pay.Core` is then reached as `pay.core` and as `pay-core`, as with either Traefik.
//!
//! # Walk
//!
//! `accept` sorts out the instances, `v1` and `v3` say what their tags mean, `merge` settles contradictions
//! between instances and leaves out what cannot work. `tags`, `rule` and `template` are the languages tags are
//! written in; `constraints` and `settings` are the provider's options.

mod accept;
#[cfg(any(test, fuzzing))]
mod arena;
mod certificate;
#[cfg(test)]
mod conformance_tests;
mod connect;
mod constraints;
#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod headers;
mod merge;
#[cfg(test)]
mod native;
#[cfg(test)]
mod properties;
mod report;
mod rule;
mod settings;
mod sticky;
mod tags;
mod template;
#[cfg(test)]
mod testing;
mod transports;
mod v1;
mod v3;
#[cfg(test)]
mod vain_tests;
mod vote;

use std::collections::BTreeMap;

use sluice_plugin_sdk::router::{Contribution, Diagnostic, Router, Service, ServiceKind, ServiceSpec, Severity};

use merge::Draft;
use report::Report;
use settings::Settings;

/// The plugin: the options of every provider.
#[derive(Debug, Default)]
pub struct TraefikTags {
    providers: BTreeMap<u32, Settings>,
}

impl Router for TraefikTags {
    fn configure(&mut self, handle: u32, settings: &str) -> Result<(), String> {
        self.providers.insert(handle, Settings::parse(settings)?);
        Ok(())
    }

    fn contribute(&mut self, handle: u32, service: Service) -> Contribution {
        match self.providers.get(&handle) {
            Some(settings) => contribute(&service, settings),
            None => not_configured(handle, &service),
        }
    }
}

sluice_plugin_sdk::export_router!(TraefikTags);

/// What the tags of a service mean.
fn contribute(service: &Service, settings: &Settings) -> Contribution {
    let mut report = Report::default();
    let repaired = settings.repairs_commas.then(|| tags::repair::service(service, &settings.prefix, &mut report));
    let service = repaired.as_ref().unwrap_or(service);
    let mut draft = Draft::default();
    let accepted = accept::accept(service, settings, &mut report);
    v1::contribute(service, &accepted.v1, settings, &mut draft, &mut report);
    for instance in &accepted.v3 {
        v3::contribute(service, instance, settings, &mut draft, &mut report);
    }
    let mut contribution = merge::merge(draft, settings, report);
    if let Some(reason) = accepted.empty {
        contribution.services.iter_mut().for_each(|service| empty(service, &reason));
    }
    contribution
}

/// Leaves a service without targets, which answers with the reason.
fn empty(service: &mut ServiceSpec, reason: &str) {
    if let ServiceKind::Balancer(balancer) = &mut service.kind {
        balancer.targets.clear();
        balancer.unavailable = reason.to_owned();
    }
}

fn not_configured(handle: u32, service: &Service) -> Contribution {
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        object: format!("service {}", service.name),
        tag: String::new(),
        message: format!("provider {handle} was never configured"),
    };
    Contribution { diagnostics: vec![diagnostic], ..Contribution::default() }
}

#[cfg(test)]
mod tests {
    use sluice_plugin_sdk::router::Health;

    use super::*;
    use crate::testing::{names, service_with};

    #[test]
    fn every_provider_has_its_own_options() {
        let mut plugin = TraefikTags::default();
        assert_eq!(plugin.configure(1, r#"{"prefix":"edge"}"#), Ok(()));
        assert_eq!(plugin.configure(2, ""), Ok(()));
        let service =
            service_with("web", &[&["edge.http.routers.e.rule=Path(`/`)", "traefik.http.routers.t.rule=Path(`/`)"]]);
        assert_eq!(names(&plugin.contribute(1, service.clone()).routes), ["e"]);
        assert_eq!(names(&plugin.contribute(2, service).routes), ["t"]);
    }

    #[test]
    fn refused_options_leave_the_old_ones_in_use() {
        let mut plugin = TraefikTags::default();
        assert_eq!(plugin.configure(1, r#"{"exposed-by-default":false}"#), Ok(()));
        assert!(plugin.configure(1, r#"{"exposed":true}"#).is_err());
        assert!(plugin.contribute(1, service_with("web", &[&[]])).routes.is_empty());
    }

    #[test]
    fn services_without_healthy_instances_answer_for_themselves_on_request() {
        let mut plugin = TraefikTags::default();
        assert_eq!(plugin.configure(1, r#"{"allow-empty-services":true}"#), Ok(()));
        assert_eq!(plugin.configure(2, ""), Ok(()));
        for tag in ["traefik.frontend.rule=Host:a", "traefik.http.routers.web.rule=Host(`a`)"] {
            let mut service = service_with("web", &[&[tag], &[tag]]);
            service.instances.iter_mut().for_each(|instance| instance.health = Health::Critical);
            let kept = plugin.contribute(1, service.clone());
            let reason = kept.services.first().and_then(|service| service.balancer()).map(|it| it.unavailable.clone());
            assert_eq!(names(&kept.routes), ["web"], "{tag}");
            assert!(kept.services.iter().all(|service| service.targets().is_empty()), "{tag}");
            assert_eq!(reason.as_deref(), Some("no available server: none of 2 instances of web is healthy\n"));
            assert!(plugin.contribute(2, service.clone()).routes.is_empty(), "as Traefik");
            service.instances.iter_mut().take(1).for_each(|instance| instance.health = Health::Passing);
            let one = plugin.contribute(1, service);
            assert_eq!(one.services.first().map(|service| service.targets().len()), Some(1), "{tag}");
        }
    }

    #[test]
    fn a_provider_that_was_never_configured_is_an_error() {
        let result = TraefikTags::default().contribute(7, service_with("web", &[&[]]));
        assert!(result.routes.is_empty());
        assert_eq!(result.diagnostics.iter().map(|found| found.severity).collect::<Vec<_>>(), [Severity::Error]);
    }
}
