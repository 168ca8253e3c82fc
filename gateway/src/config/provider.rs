//! `[providers.*]`: where services come from, and how their tags are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice_model::Health;

use super::document::{Node, Value};
use super::problem::Problem;
use super::reader::{Fault, Parsed, Section};
use super::values::{boolean, choice, duration, list_of, nonempty, path, remote_address, text};

/// The providers that are configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Providers {
    /// `[providers.consul-catalog]`
    pub consul_catalog: Option<ConsulCatalog>,
    /// `[providers.file]`
    pub file: Option<FileCatalog>,
}

/// Services of a Consul agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulCatalog {
    /// `host:port` of the agent.
    pub address: String,
    /// Whether the agent speaks TLS.
    pub tls: Option<ConsulTls>,
    /// Consul's default where it is none.
    pub datacenter: Option<String>,
    /// Consul Enterprise only.
    pub namespace: Option<String>,
    /// A file with the ACL token.
    pub token_file: Option<PathBuf>,
    /// Whether any server may answer, not only the leader.
    pub stale: bool,
    /// Whether the leader makes sure that it still is one before it answers.
    pub require_consistent: bool,
    /// A user and the file with the password, for an agent behind a proxy that asks for them.
    pub login: Option<(String, PathBuf)>,
    /// Which service of the Connect mesh the gateway is.
    pub service_name: String,
    /// How long one blocking query waits at the agent.
    pub wait: Duration,
    /// How tags are read.
    pub tags: TagOptions,
}

/// How to trust a Consul agent, and what to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsulTls {
    /// A PEM file of authorities; the system's where it is none.
    pub ca: Option<PathBuf>,
    /// A client certificate with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Believe any certificate.
    pub insecure_skip_verify: bool,
}

/// Services of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCatalog {
    /// The file.
    pub path: PathBuf,
    /// How tags are read.
    pub tags: TagOptions,
}

/// What a router plugin is told about a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagOptions {
    /// The plugin that reads the tags.
    pub router: String,
    /// The first element of every tag that counts.
    pub prefix: String,
    /// Whether services without an `enable` tag are routed.
    pub exposed_by_default: bool,
    /// The second half of the v1 default rule.
    pub domain: String,
    /// The v1 template for services without a rule.
    pub frontend_rule: Option<String>,
    /// The v3 template for services without a rule.
    pub default_rule: Option<String>,
    /// Which instances count, by their tags.
    pub constraints: Option<Constraints>,
    /// Whether services none of whose instances is healthy keep their routes, which answer 503.
    pub allow_empty_services: bool,
    /// Which states count as healthy; the dialect's own default where it is none.
    pub strict_checks: Option<Vec<Health>>,
    /// The syntax of v3 rules that name none.
    pub rule_syntax: RuleSyntax,
    /// Whether `Path` of v1 leaves a path that differs by its final slash alone, instead of redirecting it.
    pub keep_trailing_slash: bool,
    /// Whether tags that were torn at their commas, as Registrator does, are put together again.
    pub repair_commas: bool,
    /// Whether instances may be members of a Consul Connect mesh.
    pub connect_aware: bool,
    /// Whether those are that do not say otherwise.
    pub connect_by_default: bool,
}

/// The two syntaxes of rules in the v3 dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleSyntax {
    /// Traefik 2's.
    V2,
    /// Traefik 3's.
    #[default]
    V3,
}

/// Conditions on tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraints {
    /// Dialect v1: `tag==glob` and `tag!=glob`, all of which have to hold.
    List(Vec<String>),
    /// Dialect v3: an expression over ``Tag(`x`)`` and ``TagRegex(`x`)``.
    Expression(String),
}

/// The words for states of instances, as Consul spells them.
const STATES: [(&str, Health); 4] = [
    ("passing", Health::Passing),
    ("warning", Health::Warning),
    ("critical", Health::Critical),
    ("maintenance", Health::Maintenance),
];

const RULE_SYNTAXES: [(&str, RuleSyntax); 2] = [("v2", RuleSyntax::V2), ("v3", RuleSyntax::V3)];

/// One blocking query: an agent that was wiped answers only when it ends, so it bounds how long that goes unseen.
const WAIT: Duration = Duration::from_secs(60);

impl TagOptions {
    /// The same as JSON, under the keys of the configuration file, as router plugins take it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let constraints = self.constraints.as_ref().map(|constraints| match constraints {
            Constraints::List(list) => serde_json::Value::from(list.clone()),
            Constraints::Expression(text) => serde_json::Value::from(text.clone()),
        });
        let strict_checks = self.strict_checks.as_ref().map(|states| {
            let words = STATES.iter().filter(|(_, state)| states.contains(state));
            words.map(|(word, _)| *word).collect::<Vec<_>>()
        });
        let mut settings = serde_json::json!({
            "prefix": self.prefix,
            "exposed-by-default": self.exposed_by_default,
            "domain": self.domain,
            "frontend-rule": self.frontend_rule,
            "default-rule": self.default_rule,
            "constraints": constraints,
            "strict-checks": strict_checks,
            "allow-empty-services": self.allow_empty_services.then_some(true),
            "rule-syntax": (self.rule_syntax == RuleSyntax::V2).then_some("v2"),
            "keep-trailing-slash": self.keep_trailing_slash.then_some(true),
            "repair-commas": self.repair_commas.then_some(true),
            "connect-aware": self.connect_aware.then_some(true),
            "connect-by-default": self.connect_by_default.then_some(true),
        });
        if let Some(object) = settings.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        settings
    }
}

pub(super) fn providers(root: &mut Section<'_>, base: &Path) -> Providers {
    let mut section = root.section_or_empty("providers");
    let consul_catalog = section.section("consul-catalog");
    let file = section.section("file");
    section.finish();
    Providers {
        consul_catalog: consul_catalog.map(|section| consul(section, base)),
        file: file.and_then(|section| file_catalog(section, base)),
    }
}

fn consul(mut section: Section<'_>, base: &Path) -> ConsulCatalog {
    let address = section.read_or("address", "127.0.0.1:8500".to_owned(), remote_address);
    let tls = consul_tls(&mut section, base);
    let catalog = ConsulCatalog {
        address,
        tls,
        datacenter: section.read("datacenter", nonempty),
        namespace: section.read("namespace", nonempty),
        token_file: section.read("token-file", path(base)),
        stale: section.read_or("stale", false, boolean),
        require_consistent: section.read_or("require-consistent", false, boolean),
        login: login(&mut section, base),
        service_name: section.read_or("service-name", "traefik".to_owned(), nonempty),
        wait: section.read_or("wait", WAIT, consul_wait),
        tags: TagOptions {
            connect_aware: section.read_or("connect-aware", false, boolean),
            connect_by_default: section.read_or("connect-by-default", false, boolean),
            ..tag_options(&mut section)
        },
    };
    for (key, excluded, message) in [
        ("require-consistent", catalog.require_consistent && catalog.stale, "excludes `stale`"),
        (
            "connect-by-default",
            catalog.tags.connect_by_default && !catalog.tags.connect_aware,
            "has no effect without `connect-aware = true`",
        ),
    ] {
        if excluded {
            section.report(Problem::new(section.place().clone(), section.key(key), format!("`{key}` {message}")));
        }
    }
    section.finish();
    catalog
}

/// Both or none.
fn login(section: &mut Section<'_>, base: &Path) -> Option<(String, PathBuf)> {
    let user = section.read("username", nonempty);
    let password = section.read("password-file", path(base));
    if user.is_some() != password.is_some() {
        let (there, missing) =
            if user.is_some() { ("username", "password-file") } else { ("password-file", "username") };
        let message = format!("`{there}` is set and `{missing}` is not");
        let problem = Problem::new(section.place().clone(), section.key(there), message);
        section.report(problem.hint("whoever asks for a password asks for both"));
    }
    user.zip(password)
}

/// TLS keys mean TLS unless `scheme` says otherwise, which would leave them without effect.
fn consul_tls(section: &mut Section<'_>, base: &Path) -> Option<ConsulTls> {
    let scheme = section.read("scheme", choice(&[("http", false), ("https", true)]));
    let ca = section.read("ca", path(base));
    let cert = section.read("cert", path(base));
    let key = section.read("key", path(base));
    let insecure_skip_verify = section.read_or("insecure-skip-verify", false, boolean);
    if cert.is_some() != key.is_some() {
        let (there, missing) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        let message = format!("`{there}` is set and `{missing}` is not");
        let problem = Problem::new(section.place().clone(), section.key(there), message);
        section.report(problem.hint("a client certificate takes both"));
    }
    let identity = cert.zip(key);
    let asked_for = ca.is_some() || identity.is_some() || insecure_skip_verify;
    if scheme == Some(false) && asked_for {
        let message = "`http` leaves the TLS keys of this section without effect";
        let problem = Problem::new(section.place().clone(), section.key("scheme"), message);
        section.report(problem.hint("write `scheme = \"https\"`, or remove them"));
    }
    scheme.unwrap_or(asked_for).then_some(ConsulTls { ca, identity, insecure_skip_verify })
}

/// Consul itself cuts at ten minutes.
fn consul_wait(node: &Node) -> Parsed<Duration> {
    let wait = duration(node)?;
    if wait < Duration::from_secs(1) || wait > Duration::from_secs(600) {
        return Fault::at(&node.place, "expected a duration from 1s to 10m").into();
    }
    Ok(wait)
}

fn file_catalog(mut section: Section<'_>, base: &Path) -> Option<FileCatalog> {
    let path = section.require("path", "write `path = \"services.toml\"`", path(base));
    let tags = tag_options(&mut section);
    section.finish();
    Some(FileCatalog { path: path?, tags })
}

fn tag_options(section: &mut Section<'_>) -> TagOptions {
    TagOptions {
        router: section.read_or("router", "traefik-tags".to_owned(), nonempty),
        prefix: section.read_or("prefix", "traefik".to_owned(), nonempty),
        exposed_by_default: section.read_or("exposed-by-default", true, boolean),
        domain: section.read_or("domain", String::new(), text),
        frontend_rule: section.read("frontend-rule", text),
        default_rule: section.read("default-rule", text),
        constraints: section.read("constraints", constraints),
        allow_empty_services: section.read_or("allow-empty-services", false, boolean),
        strict_checks: section.read("strict-checks", strict_checks),
        rule_syntax: section.read_or("rule-syntax", RuleSyntax::V3, choice(&RULE_SYNTAXES)),
        keep_trailing_slash: section.read_or("keep-trailing-slash", false, boolean),
        repair_commas: section.read_or("repair-commas", false, boolean),
        connect_aware: false,
        connect_by_default: false,
    }
}

fn constraints(node: &Node) -> Parsed<Constraints> {
    match &node.value {
        Value::List(_) => list_of(nonempty)(node).map(Constraints::List),
        Value::Override(text) if text.trim_start().starts_with('[') => list_of(nonempty)(node).map(Constraints::List),
        _ => text(node).map(Constraints::Expression),
    }
}

/// A list of states, where `any` is all of them; or as in Traefik 1, whether only passing ones count.
fn strict_checks(node: &Node) -> Parsed<Vec<Health>> {
    match &node.value {
        Value::Boolean(true) => return Ok(vec![Health::Passing]),
        Value::Boolean(false) => return Ok(vec![Health::Passing, Health::Warning]),
        _ => {}
    }
    let any = ("any", None);
    let states = STATES.map(|(word, state)| (word, Some(state)));
    let [passing, warning, critical, maintenance] = states;
    let words = [passing, warning, critical, maintenance, any];
    let mut states = Vec::new();
    for state in list_of(choice(&words))(node)? {
        match state {
            Some(state) => states.push(state),
            None => states.extend(STATES.map(|(_, state)| state)),
        }
    }
    states.sort_unstable();
    states.dedup();
    Ok(states)
}
