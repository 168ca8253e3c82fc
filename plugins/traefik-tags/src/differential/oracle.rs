//! What has to come of a case, said naively: every request looks at every route of every service.

use std::collections::{BTreeMap, BTreeSet};

use sluice_plugin_sdk::router::{Action, Contribution, Health, Scheme, Target};

use super::case::{Case, Constraint, Inst, Middleware, Options, Request, Said, Svc, V3};
use super::rules::{V1Rule, V3Rule};

/// What may answer a request.
#[derive(Clone, Debug, PartialEq)]
struct Frontend {
    matcher: Matcher,
    priority: i64,
    service: String,
    steps: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Matcher {
    V1(V1Rule),
    /// The same rule for the other slash: a redirect.
    Slash(V1Rule),
    V3(V3Rule),
    /// Any of these hosts, to the dot or without.
    Hosts {
        exact: Option<String>,
        loose: Option<String>,
    },
}

/// All that is left of a catalog.
#[derive(Default)]
struct World {
    frontends: Vec<(String, Frontend)>,
    servers: BTreeMap<String, BTreeSet<String>>,
    /// Middlewares by name; `None` for those that cannot be used.
    steps: BTreeMap<String, Option<Middleware>>,
    chains: BTreeMap<String, Vec<&'static str>>,
}

/// For each request what a client would see.
pub(super) fn answers(case: &Case) -> Vec<Vec<String>> {
    let mut world = World::default();
    case.services.iter().for_each(|service| world.add(service, &case.options));
    let mut frontends = std::mem::take(&mut world.frontends);
    frontends.retain(|(_, one)| world.serves(one));
    frontends.sort_by(|a, b| b.1.priority.cmp(&a.1.priority).then_with(|| a.0.cmp(&b.0)));
    let answer = |request: &Request| match frontends.iter().find(|(_, one)| one.matcher.matches(request)) {
        None => vec!["404".to_owned()],
        Some((_, Frontend { matcher: Matcher::Slash(_), .. })) => vec!["301".to_owned()],
        Some((name, one)) => {
            let mut shown = vec![format!("{name} -> {}", one.service)];
            shown.extend(one.steps.iter().map(|step| world.shown_step(step)));
            shown.extend(world.servers.get(&one.service).into_iter().flatten().cloned());
            shown
        }
    };
    case.requests.iter().map(answer).collect()
}

impl Matcher {
    fn matches(&self, request: &Request) -> bool {
        match self {
            Self::V1(rule) => rule.matches(request),
            Self::Slash(rule) => rule.redirects(request),
            Self::V3(rule) => rule.matches(request),
            Self::Hosts { exact, loose } => {
                let host = request.bare_host();
                let undotted = host.strip_suffix('.').unwrap_or(&host);
                exact.as_deref() == Some(host.as_str()) || loose.as_deref() == Some(undotted)
            }
        }
    }
}

/// The versions of one name, with the ids behind each.
struct Versions<T>(Vec<(T, BTreeSet<String>)>);

impl<T: PartialEq + Clone> Versions<T> {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, value: T, ids: &[&str]) {
        let ids = ids.iter().map(|&id| id.to_owned());
        match self.0.iter_mut().find(|(known, _)| *known == value) {
            Some((_, voters)) => voters.extend(ids),
            None => self.0.push((value, ids.collect())),
        }
    }

    /// The version of most instances; of several the one with the smallest id.
    fn winner(&self) -> Option<T> {
        let best = self.0.iter().max_by(|a, b| a.1.len().cmp(&b.1.len()).then_with(|| b.1.first().cmp(&a.1.first())));
        best.map(|(value, _)| value.clone())
    }
}

type Said2<T> = BTreeMap<String, Versions<T>>;

impl World {
    fn add(&mut self, service: &Svc, options: &Options) {
        let v1: Vec<&Inst> = service.instances.iter().filter(|one| counts(one, options, false)).collect();
        let v3: Vec<&Inst> = service.instances.iter().filter(|one| counts(one, options, true)).collect();
        let (mut frontends, mut steps): (Said2<Frontend>, Said2<(Middleware, Vec<&'static str>)>) = Default::default();
        let mut broken = BTreeSet::new();
        if !v1.is_empty() {
            self.add_v1(service, &v1, options, &mut frontends);
        }
        for one in v3 {
            let Said::V3(said) = &one.said else { continue };
            self.add_v3(service, one, said, &mut frontends);
            let mut before = Vec::new();
            for (name, kind) in &said.middlewares {
                match kind {
                    Middleware::Broken => drop(broken.insert((*name).to_owned())),
                    _ => steps
                        .entry((*name).to_owned())
                        .or_insert_with(Versions::new)
                        .add((kind.clone(), chain_of(kind, &before)), &[&one.id]),
                }
                before.push(*name);
            }
        }
        for name in broken {
            self.steps.insert(name, None);
        }
        for (name, versions) in steps {
            let Some((kind, links)) = versions.winner() else { continue };
            self.steps.insert(name.clone(), Some(kind));
            self.chains.insert(name, links);
        }
        self.frontends.extend(frontends.into_iter().filter_map(|(name, versions)| Some((name, versions.winner()?))));
    }

    fn add_v1(&mut self, service: &Svc, instances: &[&Inst], options: &Options, frontends: &mut Said2<Frontend>) {
        let name = service.name.to_lowercase();
        let ids: Vec<&str> = instances.iter().map(|one| one.id.as_str()).collect();
        let (mut rules, mut priorities, mut segments) = (Versions::new(), Versions::new(), Versions::new());
        let mut bare = true;
        for one in instances {
            let weight = match &one.said {
                Said::V1(_) => one.weight.and_then(|text| text.parse::<u32>().ok()).unwrap_or(1).max(1),
                _ => 1,
            };
            self.server(&name, "http", &one.address, one.port, weight);
            let Said::V1(said) = &one.said else { continue };
            bare = false;
            // What counts is the text: rules that are written alike are one version.
            said.rule.iter().for_each(|rule| rules.add((rule.text(), rule.clone()), &[&one.id]));
            said.priority.iter().for_each(|value| priorities.add(*value, &[&one.id]));
            said.segment.iter().for_each(|rule| segments.add((rule.text(), rule.clone()), &[&one.id]));
        }
        let explicit = priorities.winner().and_then(|text| text.parse::<i64>().ok()).filter(|priority| *priority > 0);
        let mut put = |frontend: String, matcher: Matcher, priority: i64, steps: Vec<String>| {
            let made = Frontend { matcher, priority, service: name.clone(), steps };
            frontends.entry(frontend).or_insert_with(Versions::new).add(made, &ids);
        };
        let mut ruled = |frontend: &str, text: &str, rule: V1Rule, explicit: Option<i64>| {
            if !rule.broken {
                let priority = explicit.unwrap_or(text.len() as i64);
                put(frontend.to_owned(), Matcher::V1(rule.clone()), priority, rule.steps());
                put(format!("{frontend}-slash"), Matcher::Slash(rule), priority, Vec::new());
            }
        };
        if let Some((text, rule)) = segments.winner() {
            ruled(&format!("{name}-seg"), &text, rule, None);
        }
        match rules.winner() {
            Some((text, rule)) => ruled(&name, &text, rule, explicit),
            None => {
                let (matcher, text) = default_v1(&name, service.name, options, bare);
                put(name.clone(), matcher, explicit.unwrap_or(text.len() as i64), Vec::new());
            }
        }
    }

    fn add_v3(&mut self, service: &Svc, one: &Inst, said: &V3, frontends: &mut Said2<Frontend>) {
        let automatic = normalized(service.name);
        let weight = one.weight.and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
        let mut names = Vec::new();
        for (name, port, scheme) in &said.services {
            self.server(name, scheme.unwrap_or("http"), &one.address, port.unwrap_or(one.port), weight);
            names.push((*name).to_owned());
        }
        if names.is_empty() {
            self.server(&automatic, "http", &one.address, one.port, 1);
            names.push(automatic.clone());
        }
        let only = (names.len() == 1).then(|| names[0].clone());
        let mut put = |name: &str, frontend| {
            frontends.entry(name.to_owned()).or_insert_with(Versions::new).add(frontend, &[&one.id]);
        };
        for router in &said.routers {
            let Some(service) = router.service.map(str::to_owned).or_else(|| only.clone()) else { continue };
            if router.rule.is_broken() {
                continue;
            }
            let priority = router.priority.unwrap_or(router.rule.text().len() as i64);
            let steps = router.middlewares.iter().map(|&name| name.to_owned()).collect();
            put(router.name, Frontend { matcher: Matcher::V3(router.rule.clone()), priority, service, steps });
        }
        if let (true, Some(service)) = (said.routers.is_empty(), only) {
            let priority = format!("Host(`{automatic}`)").len() as i64;
            let matcher = Matcher::Hosts { exact: None, loose: Some(automatic.to_lowercase()) };
            let steps = vec![format!("guard {}", loop_mark(&automatic))];
            put(&automatic, Frontend { matcher, priority, service, steps });
        }
    }

    fn server(&mut self, service: &str, scheme: &str, address: &str, port: u16, weight: u32) {
        let shown = format!("{scheme}://{address}:{port} weight {weight}");
        self.servers.entry(service.to_owned()).or_default().insert(shown);
    }

    fn serves(&self, one: &Frontend) -> bool {
        let own_steps = matches!(one.matcher, Matcher::V3(_));
        self.servers.contains_key(&one.service) && (!own_steps || one.steps.iter().all(|name| self.works(name, 0)))
    }

    fn works(&self, step: &str, depth: usize) -> bool {
        let links = self.chains.get(step).map_or(&[][..], Vec::as_slice);
        depth < 8
            && self.steps.get(step).is_some_and(Option::is_some)
            && links.iter().all(|name| self.works(name, depth + 1))
    }

    fn shown_step(&self, step: &str) -> String {
        match self.steps.get(step) {
            Some(Some(Middleware::Strip)) => "strip /a /shop".to_owned(),
            Some(Some(Middleware::Add)) => "add /pre".to_owned(),
            Some(Some(Middleware::Replace)) => "replace /replaced".to_owned(),
            Some(Some(Middleware::Chain)) => {
                let links = self.chains.get(step).map_or(&[][..], Vec::as_slice);
                format!("chain [{}]", links.iter().map(|name| self.shown_step(name)).collect::<Vec<_>>().join(", "))
            }
            // v1 steps and guards against loops have no names of their own.
            _ => step.to_owned(),
        }
    }
}

fn chain_of(kind: &Middleware, before: &[&'static str]) -> Vec<&'static str> {
    if *kind == Middleware::Chain { before.to_vec() } else { Vec::new() }
}

/// Whether an instance is taken, in its dialect.
fn counts(one: &Inst, options: &Options, v3: bool) -> bool {
    let said = match &one.said {
        Said::V3(said) if v3 => Some(said),
        Said::V3(_) => return false,
        _ if v3 => return false,
        _ => None,
    };
    let enabled = match (one.enable, said) {
        (None, _) => options.exposed,
        (Some("yes"), None) => options.exposed,
        (Some("yes"), Some(_)) => false,
        (Some("false"), _) => false,
        // Traefik 3 looks for the very tag when services are hidden.
        (Some("1"), Some(_)) => options.exposed,
        (Some(_), _) => true,
    };
    let listed = one.listed.is_some_and(|list| list.split(',').any(|item| item.trim() == "gold"));
    let constrained = match options.constraint {
        Constraint::None => true,
        Constraint::V1Wanted => listed,
        Constraint::V1Unwanted => !listed,
        Constraint::V3Wanted => one.plain_gold,
        Constraint::V3Unwanted => !one.plain_gold,
    };
    let healthy = match one.health {
        Health::Passing => true,
        Health::Warning => options.warnings.unwrap_or(v3),
        Health::Critical | Health::Maintenance => false,
    };
    enabled && constrained && healthy && said.is_none_or(|said| !said.typo)
}

/// The rule of a service without one, and its text. A service without any tags may be asked for in either way, unless
/// the operator has set the options of one dialect.
fn default_v1(name: &str, catalog_name: &str, options: &Options, bare: bool) -> (Matcher, String) {
    let host = if options.domain.is_empty() { name.to_owned() } else { format!("{name}.{}", options.domain) };
    let text = format!("Host:{host}");
    if bare && options.domain.is_empty() {
        let other = normalized(catalog_name);
        let text = format!("{text} or Host(`{other}`)");
        return (Matcher::Hosts { exact: Some(host), loose: Some(other.to_lowercase()) }, text);
    }
    (Matcher::Hosts { exact: Some(host), loose: None }, text)
}

/// FNV-1 with 64 bits, in hexadecimal: what a router by the default rule knows its own requests by.
fn loop_mark(router: &str) -> String {
    let hash = router
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    format!("{hash:x}")
}

fn normalized(name: &str) -> String {
    name.replace('.', "-")
}

/// A step of the plugin's in the words of the model.
pub(super) fn shown_action(contributions: &[Contribution], name: &str) -> String {
    let steps = contributions.iter().flat_map(|one| &one.steps);
    let Some(step) = steps.clone().find(|step| step.name == name) else { return format!("no step {name}") };
    match &step.action {
        Action::StripPrefix(prefixes) => format!("strip {}", prefixes.join(" ")),
        Action::AddPrefix(prefix) => format!("add {prefix}"),
        Action::ReplacePath(path) => format!("replace {path}"),
        Action::Chain(links) => {
            let links: Vec<_> = links.iter().map(|link| shown_action(contributions, link)).collect();
            format!("chain [{}]", links.join(", "))
        }
        Action::LoopGuard(mark) => format!("guard {mark}"),
        other => format!("{other:?}"),
    }
}

/// A target of the plugin's in the words of the model.
pub(super) fn shown_target(target: &Target) -> String {
    let scheme = match target.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::H2c => "h2c",
    };
    format!("{scheme}://{}:{} weight {}", target.address, target.port, target.weight)
}
