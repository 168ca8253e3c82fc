//! Compiling: from linked names to a generation. What did not change since the last one is shared with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use sluice_model::link::{self, Item, LinkProblem, Linked, LinkedRoute, LinkedService};
use sluice_model::rule::Rule;
use sluice_model::table::{Entry, RouteTable};
use sluice_model::{Diagnostic, Severity, StepSpec, Transport};

use super::policies::Policies;
use super::services::{Compiled, ServiceCompiler};
use super::tcp::{self, TcpCompiler};
use super::tls_hosts::{self, OptionNames};
use super::{Parts, configured, consul_provider, native};
use crate::config::{Attachment, Config};
use crate::live::{Broken, EntrypointTable, Generation, Route, RouteStatus, Step, Tcp, Unnoted};
use crate::telemetry::Telemetry;

/// Compiles generations, remembering the last one.
pub(super) struct Compiler {
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    entrypoints: Vec<Listening>,
    last_id: u64,
    services: ServiceCompiler,
    routes: HashMap<Arc<str>, Arc<Route>>,
    natives: HashMap<Arc<str>, Native>,
    tls_options: OptionNames,
    tcp: TcpCompiler,
}

/// A native step as declared and compiled.
type Native = (Arc<StepSpec>, Result<Step, String>);

/// An entrypoint, as far as routes ask for it.
pub(super) struct Listening {
    pub(super) name: Arc<str>,
    /// Whether it is TLS as a whole.
    pub(super) tls: bool,
    as_default: bool,
    unnoted: Unnoted,
}

impl Compiler {
    pub(super) fn new(parts: &Parts) -> Self {
        let listening = parts.config.entrypoints.iter().map(|entrypoint| Listening {
            name: entrypoint.name.as_str().into(),
            tls: entrypoint.tls.is_some(),
            as_default: entrypoint.as_default,
            unnoted: Unnoted {
                access_log: !entrypoint.observability.access_logs,
                metrics: !entrypoint.observability.metrics,
            },
        });
        Self {
            config: Arc::clone(&parts.config),
            telemetry: Arc::clone(&parts.telemetry),
            entrypoints: listening.collect(),
            last_id: 0,
            services: ServiceCompiler::new(parts),
            routes: HashMap::new(),
            natives: HashMap::new(),
            tls_options: OptionNames::new(&parts.config),
            tcp: TcpCompiler::new(Arc::clone(&parts.checks)),
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
        self.natives = linked
            .steps
            .iter()
            .filter_map(|(name, item)| self.native(item).map(|step| (Arc::clone(name), (Arc::clone(&item.spec), step))))
            .collect();
        let services = self.services.compile(linked, &|service| self.own_chain(service, policies));
        self.services.remember(&services);
        let mut routes: Vec<RouteStatus> =
            linked.routes.iter().map(|route| self.route(route, &services, policies)).collect();
        let working = routes.iter().filter_map(|status| status.route.clone());
        self.routes = working.map(|route| (Arc::clone(&route.name), route)).collect();
        let mut tcp = self.tcp.compile(&linked.tcp, &self.entrypoints, &self.tls_options, &self.telemetry);
        tcp::warn_of_shadows(&mut tcp, &routes, &self.entrypoints);
        let entrypoints =
            self.entrypoints.iter().map(|entrypoint| self.table(entrypoint, &mut routes, &tcp, (linked, policies)));
        let entrypoints = entrypoints.collect();
        self.last_id += 1;
        Generation {
            id: self.last_id,
            published: SystemTime::now(),
            cause: cause.to_owned(),
            entrypoints,
            routes,
            broken_services: services
                .iter()
                .filter_map(|(name, made)| Some((Arc::clone(name), made.clone().err()?)))
                .collect(),
            services: services.into_iter().filter_map(|(name, made)| Some((name, made.ok()?))).collect(),
            steps: linked.steps.iter().map(|(name, item)| (Arc::clone(name), Arc::clone(&item.spec))).collect(),
            broken_steps: self
                .natives
                .iter()
                .filter_map(|(name, (_, step))| Some((Arc::clone(name), step.clone().err()?)))
                .collect(),
            policies: policies.statuses(),
            tcp,
        }
    }

    /// What a request passes at a service that is part of another: attached policies, then the service's own steps.
    fn own_chain(&self, service: &LinkedService, policies: &Policies) -> Result<Vec<Step>, String> {
        let attached = self.attached(|attachment| match attachment {
            Attachment::Service(name) => is_called(&service.name, name),
            _ => false,
        });
        let names = attached.chain(service.steps.iter().map(Arc::clone));
        names.map(|name| self.step(&name, policies)).collect()
    }

    /// A step that is native; `None` for policies, which are not compiled here.
    fn native(&self, item: &Item<StepSpec>) -> Option<Result<Step, String>> {
        match self.natives.get(&item.name).filter(|(spec, _)| *spec == item.spec) {
            Some((_, step)) => Some(step.clone()),
            None => native::compile(&item.spec.action).map(|step| step.map(|step| Step::Native(Arc::new(step)))),
        }
    }

    fn route(&self, linked: &LinkedRoute, services: &Compiled, policies: &Policies) -> RouteStatus {
        let mut errors = linked.errors.clone();
        let entrypoints: Vec<Arc<str>> = self
            .entrypoints
            .iter()
            .filter(|entrypoint| entrypoint.is_asked_for(&linked.spec.entrypoints))
            .map(|entrypoint| Arc::clone(&entrypoint.name))
            .collect();
        if entrypoints.is_empty() {
            errors.push(no_entrypoint(&linked.spec.entrypoints));
        }
        let service = match linked.service.as_ref().and_then(|name| services.get(name)) {
            Some(Ok(service)) => Some(service),
            // What the linker has found is among the route's errors already.
            Some(Err(error)) if errors.is_empty() => {
                errors.push(format!("service `{}`: {error}", linked.spec.service));
                None
            }
            _ => None,
        };
        let names = self.chain_names(linked);
        let chain = self.chain(&names, policies, &mut errors);
        let rule = self.rule(linked).map_err(|error| errors.push(error)).ok();
        if let Some(rule) = &rule {
            errors.extend(self.tls_options.problem_of(&linked.spec.tls_options, rule));
        }
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
        RouteStatus { name, spec, origin, steps, chain: names, route, entrypoints, errors, warnings: Vec::new() }
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
    fn chain_names(&self, linked: &LinkedRoute) -> Vec<Arc<str>> {
        let attached = self.attached(|attachment| match attachment {
            Attachment::Entrypoint(_) => false,
            Attachment::Service(name) => linked.service.as_deref().is_some_and(|service| is_called(service, name)),
            Attachment::Route(name) => is_called(&linked.name, name),
        });
        attached.chain(linked.steps.iter().chain(&linked.service_steps).map(Arc::clone)).collect()
    }

    fn chain(&self, names: &[Arc<str>], policies: &Policies, errors: &mut Vec<String>) -> Vec<Step> {
        names.iter().filter_map(|name| self.step(name, policies).map_err(|error| errors.push(error)).ok()).collect()
    }

    fn attached(&self, applies: impl Fn(&Attachment) -> bool) -> impl Iterator<Item = Arc<str>> {
        let policies = self.config.policies.iter().filter(move |policy| policy.attach.iter().any(&applies));
        policies.map(|policy| format!("{}@{}", policy.name, link::CONFIG_PROVIDER).into())
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

    fn table(
        &self,
        entrypoint: &Listening,
        routes: &mut [RouteStatus],
        tcp: &Tcp,
        (linked, policies): (&Linked, &Policies),
    ) -> EntrypointTable {
        // One that does not work must not open the entrypoint: it fails closed for every route there.
        let broken = |reason, may_come| Broken { entrypoint: Arc::clone(&entrypoint.name), reason, may_come };
        let prelude = self.prelude(entrypoint, linked).map_err(|(reason, may_come)| broken(reason, may_come));
        let prelude = prelude.and_then(|names| {
            let steps = names.iter().map(|name| self.step(name, policies)).collect::<Result<Arc<[Step]>, String>>();
            steps.map(|steps| (names, steps)).map_err(|reason| broken(reason, false))
        });
        let (prelude_names, prelude) = match prelude {
            Ok(prelude) => prelude,
            Err(error) => {
                tracing::error!(entrypoint = %entrypoint.name, error = %error.reason, "a policy or step of the entrypoint does not work; it routes nothing");
                return EntrypointTable {
                    unnoted: entrypoint.unnoted,
                    broken: Some(Arc::new(error)),
                    ..EntrypointTable::default()
                };
            }
        };
        let tcp = tcp::tables(tcp, &entrypoint.name);
        let asks_for_tls =
            |status: &RouteStatus| status.spec.transport == Transport::Tls && status.is_at(&entrypoint.name);
        let some_tls = tcp.as_ref().is_some_and(|tcp| !tcp.tls.is_empty()) || routes.iter().any(asks_for_tls);
        let (table, secure) = match (entrypoint.tls, some_tls) {
            (true, _) => (route_table(entrypoint, routes, &[]), None),
            (false, false) => (route_table(entrypoint, routes, &[Transport::Tls]), None),
            (false, true) => (
                route_table(entrypoint, routes, &[Transport::Tls]),
                Some(route_table(entrypoint, routes, &[Transport::Plain])),
            ),
        };
        let tls = tls_hosts::hosts(entrypoint, routes, &self.tls_options);
        EntrypointTable { table, secure, tls, tcp, prelude, prelude_names, unnoted: entrypoint.unnoted, broken: None }
    }

    /// What requests pass at an entrypoint: its redirect, attached policies, then the steps it names.
    ///
    /// # Errors
    /// Why one of these cannot be, and whether it still may come.
    fn prelude(&self, entrypoint: &Listening, linked: &Linked) -> Result<Vec<Arc<str>>, (String, bool)> {
        let configured = self.config.entrypoints.iter().find(|known| *known.name == *entrypoint.name);
        let mut names: Vec<_> = configured.and_then(configured::redirect_step).into_iter().collect();
        names.extend(self.attached(|attachment| *attachment == Attachment::Entrypoint(entrypoint.name.to_string())));
        for step in configured.iter().flat_map(|configured| &configured.steps) {
            let may_come = step.rsplit_once('@').is_some_and(|(_, provider)| provider == consul_provider::NAME);
            names.extend(link::steps_of(linked, step).map_err(|reason| (reason, may_come))?);
        }
        Ok(names)
    }
}

impl Listening {
    /// Whether a route that asks for these entrypoints is answered here; none means the default ones.
    pub(super) fn is_asked_for(&self, entrypoints: &[String]) -> bool {
        if entrypoints.is_empty() { self.as_default } else { entrypoints.iter().any(|name| **name == *self.name) }
    }
}

/// The routes of an entrypoint but those of some transports.
fn route_table(entrypoint: &Listening, routes: &[RouteStatus], without: &[Transport]) -> RouteTable<Arc<Route>> {
    let entries = routes.iter().filter(|status| status.is_at(&entrypoint.name)).filter_map(|status| {
        let route = status.route.as_ref().filter(|route| !without.contains(&route.spec.transport))?;
        Some(Entry {
            priority: route.spec.priority,
            name: Arc::clone(&route.name),
            rule: Arc::clone(&route.rule),
            value: Arc::clone(route),
        })
    });
    RouteTable::new(entries.collect())
}

/// What does not work of a generation's routes, and what works otherwise than they say.
pub(super) fn problems(generation: &Generation) -> impl Iterator<Item = LinkProblem> {
    let of_routes = generation.routes.iter().flat_map(|status| {
        let object = format!("route {}", status.spec.name);
        let errors = status.errors.iter().map(|message| (Severity::Error, message));
        let all = errors.chain(status.warnings.iter().map(|message| (Severity::Warning, message)));
        all.map(move |(severity, message)| problem(severity, &status.name, &status.origin, &object, message))
            .collect::<Vec<_>>()
    });
    let of_tcp = generation.tcp.routes.iter().flat_map(|status| {
        let object = format!("tcp route {}", status.spec.name);
        let errors = status.errors.iter().map(|message| (Severity::Error, message));
        let all = errors.chain(status.warnings.iter().map(|message| (Severity::Warning, message)));
        all.map(move |(severity, message)| problem(severity, &status.name, &status.origin, &object, message))
            .collect::<Vec<_>>()
    });
    let of_entrypoints = generation.entrypoints.iter().filter_map(|table| table.broken.as_deref());
    let of_entrypoints = of_entrypoints.map(|broken| {
        let name = format!("{}@{}", broken.entrypoint, link::CONFIG_PROVIDER);
        let severity = if broken.may_come { Severity::Warning } else { Severity::Error };
        let message = format!("{}; the entrypoint routes nothing", broken.reason);
        problem(severity, &name, &"configuration".into(), &format!("entrypoint {}", broken.entrypoint), &message)
    });
    of_routes.chain(of_tcp).chain(of_entrypoints)
}

fn problem(severity: Severity, name: &str, origin: &Arc<str>, object: &str, message: &str) -> LinkProblem {
    let diagnostic =
        Diagnostic { severity, object: object.to_owned(), tag: String::new(), message: message.to_owned() };
    let provider = name.rsplit_once('@').map_or("", |(_, provider)| provider).into();
    LinkProblem { provider, origin: Arc::clone(origin), diagnostic }
}

/// Why a route is reached nowhere.
pub(super) fn no_entrypoint(asked: &[String]) -> String {
    let named = if asked.is_empty() { "the default ones".to_owned() } else { asked.join(", ") };
    format!("no entrypoint answers it; it asks for {named}")
}

/// Whether a qualified name is `name`, which may leave its provider out.
fn is_called(qualified: &str, name: &str) -> bool {
    qualified == name || qualified.rsplit_once('@').is_some_and(|(local, _)| local == name)
}
