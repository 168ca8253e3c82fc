//! Catalogs for `cargo xtask differential`: what a real Traefik 3 and the gateway are to agree on.

use std::fs;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sluice_plugin_sdk::router::Health;

use super::case::{Case, Constraint, Inst, Options, Said, cases};

/// Writes catalogs with their requests where `SLUICE_DIFFERENTIAL_EMIT` says.
#[test]
fn catalogs_are_written_on_request() {
    let Some(path) = std::env::var_os("SLUICE_DIFFERENTIAL_EMIT") else { return };
    let wanted = super::cases() as usize;
    let mut runner = TestRunner::deterministic();
    let mut catalogs = Vec::new();
    while catalogs.len() < wanted {
        let case = cases().new_tree(&mut runner).unwrap().current();
        catalogs.extend(shown(comparable(case)));
    }
    fs::write(path, serde_json::to_string_pretty(&catalogs).unwrap()).unwrap();
}

/// The part of a case both are meant to treat alike: Traefik 3 reads no v1 tags, of instances that contradict each other
/// it keeps none, and hiding services is an option of its static configuration.
fn comparable(mut case: Case) -> Case {
    case.options = Options { exposed: true, domain: "", constraint: Constraint::None, warnings: None };
    for service in &mut case.services {
        let usual = service.instances.first().map(|one| one.said.clone());
        service.instances.retain(|one| matches!(one.said, Said::V3(_)) && Some(&one.said) == usual.as_ref());
        for one in &mut service.instances {
            if let Said::V3(said) = &mut one.said {
                said.services.iter_mut().for_each(|(_, port, scheme)| (*port, *scheme) = (None, None));
            }
        }
    }
    case.services.retain(|service| !service.instances.is_empty());
    case
}

/// As Consul calls it.
fn state(health: Health) -> &'static str {
    match health {
        Health::Passing => "passing",
        Health::Warning => "warning",
        Health::Critical => "critical",
        Health::Maintenance => "maintenance",
    }
}

fn shown(case: Case) -> Option<Value> {
    let instance = |one: &Inst| json!({ "id": one.id, "tags": one.tags(), "health": state(one.health) });
    let services = case.services.iter().map(|service| {
        json!({ "name": service.name, "instances": service.instances.iter().map(instance).collect::<Vec<_>>() })
    });
    let requests = case.requests.iter().map(|request| {
        json!({ "method": request.method, "host": request.host, "target": request.target, "plans": request.plans })
    });
    (!case.services.is_empty()).then(|| {
        json!({
            "services": services.collect::<Vec<_>>(),
            "requests": requests.collect::<Vec<_>>(),
        })
    })
}
