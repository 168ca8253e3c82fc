//! Compiling: from linked names to a generation. What did not change since the last one is shared with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use hyper::header::HeaderValue;
use sluice_model::balance::Cycle;
use sluice_model::link::{Item, LinkProblem, Linked, LinkedRoute, LinkedService};
use sluice_model::rule::Rule;
use sluice_model::table::{Entry, RouteTable};
use sluice_model::{Diagnostic, RouteSpec, Severity, StepSpec, Transport};

use super::policies::Policies;
use super::{Parts, native};
use crate::config::{Attachment, Config};
use crate::live::{Endpoint, EntrypointTable, Generation, Route, RouteStatus, Service, Step};
use crate::state::Instances;
use crate::telemetry::Telemetry;

/// Compiles generations, remembering the last one.
pub(super) struct Compiler {
    config: Arc<Config>,
    instances: Arc<Instances>,
    telemetry: Arc<Telemetry>,
    entrypoints: Vec<Listening>,
    last_id: u64,
    services: HashMap<Arc<str>, Arc<Service>>,
    routes: HashMap<Arc<str>, Arc<Route>>,
    natives: HashMap<Arc<str>, Native>,
}

/// A native step as declared and compiled.
type Native = (Arc<StepSpec>, Result<Step, String>);

struct Listening {
    name: Arc<str>,
    tls: bool,
    as_default: bool,
}

impl Compiler {
    pub(super) fn new(parts: &Parts) -> Self {
        let listening = parts.config.entrypoints.iter().map(|entrypoint| Listening {
            name: entrypoint.name.as_str().into(),
            tls: entrypoint.tls.is_some(),
            as_default: entrypoint.as_default,
        });
        Self {
            config: Arc::clone(&parts.config),
            instances: Arc::clone(&parts.instances),
            telemetry: Arc::clone(&parts.telemetry),
            entrypoints: listening.collect(),
            last_id: 0,
            services: HashMap::new(),
            routes: HashMap::new(),
            natives: HashMap::new(),
        }
    }

    /// Policies are attached as this configuration says from now on.
    pub(super) fn reconfigure(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// Whether nothing has been compiled yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.last_id == 0
    }

    pub(super) fn compile(&mut self, linked: &Linked, policies: &Policies, cause: &str) -> Generation {
        self.services = linked.services.iter().map(|(name, item)| (Arc::clone(name), self.service(item))).collect();
        self.natives = linked
            .steps
            .iter()
            .filter_map(|(name, item)| self.native(item).map(|step| (Arc::clone(name), (Arc::clone(&item.spec), step))))
            .collect();
        let routes: Vec<RouteStatus> = linked.routes.iter().map(|route| self.route(route, policies)).collect();
        let working = routes.iter().filter_map(|status| status.route.clone());
        self.routes = working.map(|route| (Arc::clone(&route.name), route)).collect();
        self.last_id += 1;
        Generation {
            id: self.last_id,
            published: SystemTime::now(),
            cause: cause.to_owned(),
            entrypoints: self.entrypoints.iter().map(|entrypoint| self.table(entrypoint, &routes, policies)).collect(),
            routes,
            services: self.services.clone(),
            steps: linked.steps.iter().map(|(name, item)| (Arc::clone(name), Arc::clone(&item.spec))).collect(),
            policies: policies.statuses(),
        }
    }

    fn service(&self, item: &LinkedService) -> Arc<Service> {
        let before = self.services.get(&item.name);
        if let Some(before) = before.filter(|before| before.spec == item.spec) {
            return Arc::clone(before);
        }
        let endpoints = item.spec.targets().iter().map(|target| Endpoint {
            instance: self.instances.get(target.into()),
            host: host_header(&target.address, target.port),
        });
        let weights: Vec<u32> = item.spec.targets().iter().map(|target| target.weight).collect();
        Arc::new(Service {
            name: Arc::clone(&item.name),
            spec: Arc::clone(&item.spec),
            endpoints: endpoints.collect(),
            cycle: Cycle::new(&weights),
            turn: before.map_or_else(|| Arc::new(AtomicUsize::new(0)), |before| Arc::clone(&before.turn)),
            pass_host_header: item.spec.balancer().is_none_or(|balancer| balancer.pass_host_header),
            metrics: self.telemetry.service(&item.name),
        })
    }

    /// A step that is native; `None` for policies, which are not compiled here.
    fn native(&self, item: &Item<StepSpec>) -> Option<Result<Step, String>> {
        match self.natives.get(&item.name).filter(|(spec, _)| *spec == item.spec) {
            Some((_, step)) => Some(step.clone()),
            None => native::compile(&item.spec.action).map(|step| step.map(|step| Step::Native(Arc::new(step)))),
        }
    }

    fn route(&self, linked: &LinkedRoute, policies: &Policies) -> RouteStatus {
        let mut errors = linked.errors.clone();
        let entrypoints: Vec<Arc<str>> = self
            .entrypoints
            .iter()
            .filter(|entrypoint| answers(entrypoint, &linked.spec))
            .map(|entrypoint| Arc::clone(&entrypoint.name))
            .collect();
        if entrypoints.is_empty() {
            errors.push(format!("no entrypoint answers it; it asks for {}", asked_for(&linked.spec)));
        }
        if !linked.spec.tls_options.is_empty() {
            errors.push(format!("tls options `{}` do not exist", linked.spec.tls_options));
        }
        let service = linked.service.as_ref().and_then(|name| self.services.get(name));
        let declared = service.map(|service| &service.spec);
        if declared.is_some_and(|spec| spec.balancer().is_none() || !spec.steps.is_empty()) {
            errors.push(format!("service `{}` is of a kind that is not supported yet", linked.spec.service));
        }
        let chain = self.chain(linked, policies, &mut errors);
        let rule = self.rule(linked).map_err(|error| errors.push(error)).ok();
        let route = service.zip(rule).filter(|_| errors.is_empty()).map(|(service, rule)| {
            let same = |before: &&Arc<Route>| {
                before.spec == linked.spec
                    && Arc::ptr_eq(&before.service, service)
                    && before.chain.len() == chain.len()
                    && before.chain.iter().zip(&chain).all(|(a, b)| a.is_same(b))
            };
            self.routes.get(&linked.name).filter(same).map_or_else(
                || {
                    Arc::new(Route {
                        name: Arc::clone(&linked.name),
                        spec: Arc::clone(&linked.spec),
                        rule,
                        chain: chain.clone().into(),
                        service: Arc::clone(service),
                    })
                },
                Arc::clone,
            )
        });
        let LinkedRoute { name, spec, origin, steps, .. } = linked.clone();
        RouteStatus { name, spec, origin, steps, route, entrypoints, errors }
    }

    fn rule(&self, linked: &LinkedRoute) -> Result<Arc<Rule>, String> {
        match self.routes.get(&linked.name).filter(|before| before.spec.rule == linked.spec.rule) {
            Some(before) => Ok(Arc::clone(&before.rule)),
            None => Rule::compile(&linked.spec.rule)
                .map(Arc::new)
                .map_err(|error| format!("rule `{}`: {error}", linked.spec.rule.text)),
        }
    }

    /// Attached policies, then the route's own steps.
    fn chain(&self, linked: &LinkedRoute, policies: &Policies, errors: &mut Vec<String>) -> Vec<Step> {
        let attached = self.attached(|attachment| match attachment {
            Attachment::Entrypoint(_) => false,
            Attachment::Service(name) => linked.service.as_deref().is_some_and(|service| is_called(service, name)),
            Attachment::Route(name) => is_called(&linked.name, name),
        });
        let names = attached.chain(linked.steps.iter().map(Arc::clone));
        names.filter_map(|name| self.step(&name, policies).map_err(|error| errors.push(error)).ok()).collect()
    }

    fn attached(&self, applies: impl Fn(&Attachment) -> bool) -> impl Iterator<Item = Arc<str>> {
        let policies = self.config.policies.iter().filter(move |policy| policy.attach.iter().any(&applies));
        policies.map(|policy| format!("{}@{}", policy.name, sluice_model::link::CONFIG_PROVIDER).into())
    }

    fn step(&self, name: &str, policies: &Policies) -> Result<Step, String> {
        if let Some(policy) = policies.get(name) {
            return policy.clone().map(Step::Policy).map_err(|error| format!("policy `{name}`: {error}"));
        }
        match self.natives.get(name) {
            Some((_, step)) => step.clone().map_err(|error| format!("step `{name}`: {error}")),
            None => Err(format!("step `{name}` does not exist")),
        }
    }

    fn table(&self, entrypoint: &Listening, routes: &[RouteStatus], policies: &Policies) -> EntrypointTable {
        let answered = routes.iter().filter(|status| status.entrypoints.contains(&entrypoint.name));
        let entries = answered.filter_map(|status| {
            let route = status.route.as_ref()?;
            Some(Entry {
                priority: route.spec.priority,
                name: Arc::clone(&route.name),
                rule: Arc::clone(&route.rule),
                value: Arc::clone(route),
            })
        });
        let attached = self.attached(|attachment| *attachment == Attachment::Entrypoint(entrypoint.name.to_string()));
        // One that does not work must not open the entrypoint: it fails closed for every route there.
        let prelude = attached.map(|name| self.step(&name, policies));
        match prelude.collect::<Result<Arc<[Step]>, String>>() {
            Ok(prelude) => EntrypointTable { table: RouteTable::new(entries.collect()), prelude },
            Err(error) => {
                tracing::error!(entrypoint = %entrypoint.name, %error, "an attached policy does not work; the entrypoint routes nothing");
                EntrypointTable::default()
            }
        }
    }
}

/// Why routes of a generation do not work.
pub(super) fn problems(generation: &Generation) -> impl Iterator<Item = LinkProblem> {
    generation.routes.iter().flat_map(|status| {
        let provider: Arc<str> = status.name.rsplit_once('@').map_or("", |(_, provider)| provider).into();
        let diagnostic = |message: &String| Diagnostic {
            severity: Severity::Error,
            object: format!("route {}", status.spec.name),
            tag: String::new(),
            message: message.clone(),
        };
        let problem = move |message| LinkProblem {
            provider: Arc::clone(&provider),
            origin: Arc::clone(&status.origin),
            diagnostic: diagnostic(message),
        };
        status.errors.iter().map(problem)
    })
}

/// Whether an entrypoint answers a route.
fn answers(entrypoint: &Listening, route: &RouteSpec) -> bool {
    let named = if route.entrypoints.is_empty() {
        entrypoint.as_default
    } else {
        route.entrypoints.iter().any(|name| **name == *entrypoint.name)
    };
    named && (entrypoint.tls || route.transport != Transport::Tls)
}

fn asked_for(route: &RouteSpec) -> String {
    let named = if route.entrypoints.is_empty() { "the default ones".to_owned() } else { route.entrypoints.join(", ") };
    if route.transport == Transport::Tls { format!("{named}, with TLS") } else { named }
}

/// Whether a qualified name is `name`, which may leave its provider out.
fn is_called(qualified: &str, name: &str) -> bool {
    qualified == name || qualified.rsplit_once('@').is_some_and(|(local, _)| local == name)
}

fn host_header(address: &str, port: u16) -> HeaderValue {
    let text = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("invalid"))
}
