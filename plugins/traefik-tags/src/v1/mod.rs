//! The v1 dialect: one service for a Consul name, a plain frontend, and one more for each segment, all read from the
//! union of the tags of the accepted instances.

mod backend;
mod frontend;
mod options;
mod pass_tls_cert;
mod policies;
mod server;
mod steps;
mod support;

use std::collections::BTreeMap;

use sluice_plugin_sdk::router::{Action, Balancer, Service, ServiceSpec, Target};

use crate::accept::{V1Instance, object};
use crate::merge::{Candidate, Draft};
use crate::report::{Problem, Report};
use crate::settings::Settings;
use frontend::Frontend;
use options::{Options, Scope};

/// What all v1 instances of a service say together.
pub(crate) fn contribute(
    service: &Service,
    accepted: &[V1Instance<'_>],
    settings: &Settings,
    draft: &mut Draft,
    report: &mut Report,
) {
    let (usable, targets) = usable(accepted, &service.name, settings, report);
    if targets.is_empty() {
        return;
    }
    let name = service.name.to_lowercase();
    let options = Options::union(&usable, &settings.prefix, &name, report);
    let group = Group {
        settings,
        attributes: attributes(&usable),
        voters: targets.iter().map(|target| target.instance.clone()).collect(),
        catalog_name: &service.name,
        balancer: backend::balancer(&options, &name, targets, report),
        name,
        is_bare: support::is_bare(&options, &usable, &settings.prefix),
        policies: policies::declared(&options),
        mesh: usable.iter().find_map(|one| server::mesh(one, &service.name, settings).ok().flatten()),
    };
    support::report_ignored(&options, &group.name, report);
    for (name, action) in &group.policies {
        draft.steps.push(Candidate::new(name, &group.voters, action.clone()));
    }
    group.frontends(&options, draft, report);
}

/// The v1 instances of a service.
struct Group<'a> {
    settings: &'a Settings,
    /// All their tags, for templates.
    attributes: Vec<&'a str>,
    voters: Vec<String>,
    /// As the catalog spells it.
    catalog_name: &'a str,
    /// What is said of its instances as a whole.
    balancer: Balancer,
    /// In lower case, the name of the plain route and of the service.
    name: String,
    /// Whether no tag is of either dialect.
    is_bare: bool,
    /// Declared by tags.
    policies: BTreeMap<String, Result<Action, Problem>>,
    /// The transport to those of its instances that are members of the Connect mesh.
    mesh: Option<String>,
}

impl Group<'_> {
    /// The plain frontend is always there, even where only segments have tags.
    fn frontends(&self, options: &Options<'_>, draft: &mut Draft, report: &mut Report) {
        let plain = Scope::plain(options);
        let manner = self.add(&plain, self.name.clone(), None, draft, report);
        for segment in options.segments() {
            let scope = Scope::segment(options, segment);
            self.add(&scope, format!("{}-{segment}", self.name), Some(&manner), draft, report);
        }
    }

    /// Adds a frontend, and its own service where it speaks to instances unlike the plain frontend. Says how it does.
    fn add(
        &self,
        scope: &Scope<'_>,
        name: String,
        plain: Option<&Manner>,
        draft: &mut Draft,
        report: &mut Report,
    ) -> Manner {
        let frontend = Frontend::new(self, scope, name);
        let manner = Manner {
            passes_host: scope.flag("passHostHeader", true, &frontend.object, report),
            transport: pass_tls_cert::transport(&frontend, report),
        };
        let service = if plain.is_none_or(|plain| *plain == manner) { &self.name } else { &frontend.name };
        let (routes, steps) = match &manner.transport {
            Err(problem) => (vec![(frontend.name.clone(), Err(problem.clone()))], Vec::new()),
            Ok(_) => frontend.read(service, report),
        };
        if plain.is_none() || *service != self.name {
            let balancer = Balancer {
                pass_host_header: manner.passes_host,
                transport: self.mesh.clone().or_else(|| manner.transport.clone().unwrap_or_default()),
                ..self.balancer.clone()
            };
            let spec = ServiceSpec::balanced(service, balancer);
            draft.services.push(Candidate::new(service, &self.voters, Ok(spec)));
        }
        draft.routes.extend(routes.into_iter().map(|(name, route)| Candidate::new(name, &self.voters, route)));
        draft.steps.extend(steps.into_iter().map(|step| Candidate::new(step.name, &self.voters, Ok(step.action))));
        manner
    }
}

/// How a frontend speaks to instances.
#[derive(PartialEq)]
struct Manner {
    passes_host: bool,
    /// Not the usual one, or why the frontend must not be served.
    transport: Result<Option<String>, Problem>,
}

/// The instances requests can be sent to, and how; one that cannot be used is left out alone.
fn usable<'s, 'a>(
    accepted: &'s [V1Instance<'a>],
    service: &str,
    settings: &Settings,
    report: &mut Report,
) -> (Vec<&'s V1Instance<'a>>, Vec<Target>) {
    let (mut usable, mut targets) = (Vec::new(), Vec::new());
    for one in accepted {
        match server::target(one, service, settings, report) {
            Ok(target) => {
                usable.push(one);
                targets.push(target);
            }
            Err(problem) => report.error(&object(one.instance), &problem.tag, problem.message),
        }
    }
    (usable, targets)
}

/// Every tag of every instance, once.
fn attributes<'a>(instances: &[&V1Instance<'a>]) -> Vec<&'a str> {
    let mut all = Vec::new();
    for tag in instances.iter().flat_map(|one| &one.tags) {
        if !all.contains(&tag.text) {
            all.push(tag.text);
        }
    }
    all
}

#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod tests;
