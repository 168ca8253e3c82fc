//! Compiling: from linked names to a generation. What did not change since the last one is shared with it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use sluice_model::link::{self, Item, LinkProblem, Linked, LinkedRoute, LinkedService, Touched};
use sluice_model::rule::Rule;
use sluice_model::{Diagnostic, Severity, Shards, StepSpec};

use super::policies::Policies;
use super::services::ServiceCompiler;
use super::status::Place;
use super::tables::{Prelude, Tables};
use super::tcp::{self, TcpCompiler};
use super::tls_hosts::{self, OptionNames};
use super::{Parts, configured, consul_provider, native};
use crate::config::{Attachment, Config};
use crate::live::{Broken, Generation, Route, RouteStatus, Step, Tcp, TlsHosts, Unnoted};
use crate::telemetry::Telemetry;

/// Compiles generations, remembering the last one.
pub(super) struct Compiler {
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    entrypoints: Vec<Listening>,
    last_id: u64,
    services: ServiceCompiler,
    steps: Shards<Arc<StepSpec>>,
    natives: HashMap<Arc<str>, Native>,
    broken_steps: Shards<String>,
    routes: Shards<Arc<RouteStatus>>,
    /// Those that name TLS options.
    with_options: BTreeSet<Arc<str>>,
    /// By the entrypoint's position.
    tables: Vec<Tables>,
    tls_options: OptionNames,
    tcp: TcpCompiler,
    tcp_now: Arc<Tcp>,
}

/// A native step as declared and compiled.
type Native = (Arc<StepSpec>, Result<Step, String>);

/// An entrypoint, as far as routes ask for it.
pub(super) struct Listening {
    pub(super) name: Arc<str>,
    /// Whether it is TLS as a whole.
    pub(super) tls: bool,
    as_default: bool,
    pub(super) unnoted: Unnoted,
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
            steps: Shards::default(),
            natives: HashMap::new(),
            broken_steps: Shards::default(),
            routes: Shards::default(),
            with_options: BTreeSet::new(),
            tables: parts.config.entrypoints.iter().map(|_| Tables::default()).collect(),
            tls_options: OptionNames::new(&parts.config),
            tcp: TcpCompiler::new(parts),
            tcp_now: Arc::default(),
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

    /// Compiles what a change has touched; answers the problems it has, or has no longer, as well.
    pub(super) fn compile(
        &mut self,
        linked: &Linked,
        touched: &Touched,
        policies: &Policies,
        cause: &str,
    ) -> (Generation, Vec<(Place, Vec<LinkProblem>)>) {
        self.compile_steps(linked, &touched.steps);
        let services = self.services.compile(linked, &touched.services, &|service| self.own_chain(service, policies));
        self.services.keep(&touched.services, &services);
        self.compile_routes(linked, &touched.routes, policies);
        let tcp = self.compile_tcp(linked, touched.tcp);
        for (entrypoint, tables) in self.entrypoints.iter().zip(&mut self.tables) {
            tables.update(entrypoint, &self.routes, touched, &tcp);
        }
        let (tls, warned) = self.tls_hosts();
        let tables = self.entrypoints.iter().zip(&self.tables).zip(tls);
        let entrypoints = tables.map(|((entrypoint, tables), tls)| {
            let prelude = self.working_prelude(entrypoint, linked, policies);
            tables.publish(entrypoint, prelude, tls)
        });
        let entrypoints = entrypoints.collect();
        self.last_id += 1;
        let generation = Generation {
            id: self.last_id,
            published: SystemTime::now(),
            cause: cause.to_owned(),
            entrypoints,
            routes: self.routes.clone(),
            broken_services: self.services.broken().clone(),
            services: self.services.working().clone(),
            steps: self.steps.clone(),
            broken_steps: self.broken_steps.clone(),
            policies: policies.statuses(),
            tcp,
        };
        let problems = problems(&generation, touched.routes.union(&warned), policies);
        (generation, problems)
    }

    fn compile_steps(&mut self, linked: &Linked, touched: &BTreeSet<Arc<str>>) {
        for name in touched {
            let item = linked.steps.get(name);
            let native = item.and_then(|item| Some((Arc::clone(&item.spec), self.native(item)?)));
            let broken = native.as_ref().and_then(|(_, step)| step.clone().err());
            self.broken_steps.set(name, broken);
            self.steps.set(name, item.map(|item| Arc::clone(&item.spec)));
            match native {
                Some(native) => self.natives.insert(Arc::clone(name), native),
                None => self.natives.remove(name),
            };
        }
    }

    fn compile_routes(&mut self, linked: &Linked, touched: &BTreeSet<Arc<str>>, policies: &Policies) {
        for name in touched {
            let status = linked.routes.get(name).map(|route| Arc::new(self.route(route, policies)));
            if status.as_ref().is_some_and(|status| !status.spec.tls_options.is_empty()) {
                self.with_options.insert(Arc::clone(name));
            } else {
                self.with_options.remove(name);
            }
            self.routes.set(name, status);
        }
    }

    fn compile_tcp(&mut self, linked: &Linked, touched: bool) -> Arc<Tcp> {
        if touched {
            let tcp = self.tcp.compile(&linked.tcp, &self.entrypoints, &self.tls_options, &self.telemetry);
            self.tcp_now = Arc::new(tcp);
        }
        let mut tcp = Arc::clone(&self.tcp_now);
        tcp::warn_of_shadows(&mut tcp, &self.routes, &self.entrypoints);
        tcp
    }

    /// The TLS options of every entrypoint's hosts. Routes that do not get those they name are told, and answered.
    fn tls_hosts(&mut self) -> (Vec<TlsHosts>, BTreeSet<Arc<str>>) {
        let (routes, asking) = (&self.routes, &self.with_options);
        let made = self.entrypoints.iter().map(|one| tls_hosts::hosts(one, routes, asking, &self.tls_options));
        let (hosts, torn): (Vec<_>, Vec<_>) = made.unzip();
        let mut warnings: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        for (name, warning) in torn.into_iter().flatten() {
            warnings.entry(name).or_default().push(warning);
        }
        let mut warned = BTreeSet::new();
        for name in &self.with_options {
            let Some(status) = self.routes.get(name) else { continue };
            let warnings = warnings.remove(name).unwrap_or_default();
            if status.warnings != warnings {
                let status = RouteStatus { warnings, ..RouteStatus::clone(status) };
                self.routes.insert(Arc::clone(name), Arc::new(status));
                warned.insert(Arc::clone(name));
            }
        }
        (hosts, warned)
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

    fn route(&self, linked: &LinkedRoute, policies: &Policies) -> RouteStatus {
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
        let service = match linked.service.as_ref().and_then(|name| self.services.get(name)) {
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
            self.last_route(&linked.name).filter(same).map_or_else(
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

    fn last_route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(name)?.route.as_ref()
    }

    fn rule(&self, linked: &LinkedRoute) -> Result<Arc<Rule>, String> {
        match self.last_route(&linked.name).filter(|before| before.spec.rule == linked.spec.rule) {
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

    /// What requests pass at an entrypoint. One step that does not work must not open it: it fails closed for every route.
    fn working_prelude(&self, entrypoint: &Listening, linked: &Linked, policies: &Policies) -> Prelude {
        let broken = |reason, may_come| Broken { entrypoint: Arc::clone(&entrypoint.name), reason, may_come };
        let prelude = self.prelude(entrypoint, linked).map_err(|(reason, may_come)| broken(reason, may_come));
        let prelude = prelude.and_then(|names| {
            let steps = names.iter().map(|name| self.step(name, policies)).collect::<Result<Arc<[Step]>, String>>();
            steps.map(|steps| (names, steps)).map_err(|reason| broken(reason, false))
        });
        if let Err(error) = &prelude {
            tracing::error!(entrypoint = %entrypoint.name, error = %error.reason, "a policy or step of the entrypoint does not work; it routes nothing");
        }
        prelude
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

/// What does not work of these routes and of what is not compiled by halves, and what works otherwise than it says.
fn problems<'a>(
    generation: &Generation,
    routes: impl Iterator<Item = &'a Arc<str>>,
    policies: &Policies,
) -> Vec<(Place, Vec<LinkProblem>)> {
    let of_routes = routes.map(|name| {
        let found = generation.routes.get(name).map_or_else(Vec::new, |status| {
            let object = || format!("route {}", status.spec.name);
            all_of((&status.name, &status.origin), object, &status.errors, &status.warnings)
        });
        (Place::Route(Arc::clone(name)), found)
    });
    let of_tcp = generation.tcp.routes.iter().flat_map(|status| {
        let object = || format!("tcp route {}", status.spec.name);
        all_of((&status.name, &status.origin), object, &status.errors, &status.warnings)
    });
    let of_entrypoints = generation.entrypoints.iter().filter_map(|table| table.broken.as_deref());
    let of_entrypoints = of_entrypoints.map(|broken| {
        let name = format!("{}@{}", broken.entrypoint, link::CONFIG_PROVIDER);
        let severity = if broken.may_come { Severity::Warning } else { Severity::Error };
        let message = format!("{}; the entrypoint routes nothing", broken.reason);
        problem(severity, &name, &"configuration".into(), &format!("entrypoint {}", broken.entrypoint), &message)
    });
    let of_answers =
        policies.answering().flat_map(|(step, service)| unanswered(generation, step, service).collect::<Vec<_>>());
    let whole = [
        (Place::TcpRoutes, of_tcp.collect()),
        (Place::Entrypoints, of_entrypoints.collect()),
        (Place::Answers, of_answers.collect()),
    ];
    of_routes.chain(whole).collect()
}

/// Tells the routes with a step that would have a service answer which there is none of.
fn unanswered<'a>(
    generation: &'a Generation,
    step: &'a Arc<str>,
    service: &'a str,
) -> impl Iterator<Item = LinkProblem> + 'a {
    let provider = step.rsplit_once('@').map_or("", |(_, provider)| provider);
    let services = &generation.services;
    let is_there = services.get(service).is_some() || services.get(format!("{service}@{provider}").as_str()).is_some();
    let routes = generation.routes.values().filter(move |status| !is_there && status.chain.contains(step));
    routes.map(move |status| {
        let message = format!("step `{step}`: there is no service `{service}` that works, so it answers nothing");
        let object = format!("route {}", status.spec.name);
        problem(Severity::Warning, &status.name, &status.origin, &object, &message)
    })
}

fn all_of(
    (name, origin): (&str, &Arc<str>),
    object: impl Fn() -> String,
    errors: &[String],
    warnings: &[String],
) -> Vec<LinkProblem> {
    let errors = errors.iter().map(|message| (Severity::Error, message));
    let all = errors.chain(warnings.iter().map(|message| (Severity::Warning, message)));
    all.map(|(severity, message)| problem(severity, name, origin, &object(), message)).collect()
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

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
