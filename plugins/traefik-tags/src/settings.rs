//! The provider's options: JSON in, checked values out. Everything that can be refused is refused here, with a text for
//! the operator.

use serde::Deserialize;
use sluice_plugin_sdk::router::Health;

use crate::connect::Connect;
use crate::constraints::Constraints;
use crate::template::{Env, Template, V1_FUNCTIONS, V3_FUNCTIONS};
use crate::transports::Transport;

const DEFAULT_FRONTEND_RULE: &str = "Host:{{.ServiceName}}.{{.Domain}}";
const DEFAULT_RULE: &str = "Host(`{{ normalize .Name }}`)";

/// One provider's options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The provider's name, as in `go@consulcatalog`.
    pub(crate) provider: String,
    /// The first element of every tag of ours.
    pub(crate) prefix: String,
    pub(crate) exposed_by_default: bool,
    /// The second part of the default rule of v1.
    pub(crate) domain: String,
    /// The rule of v1 services without one.
    pub(crate) frontend_rule: Template,
    /// The rule of v3 routers without one.
    pub(crate) default_rule: Template,
    pub(crate) bare_services: BareServices,
    /// The syntax of v3 rules that name none.
    pub(crate) rule_syntax: RuleSyntax,
    /// Whether `Path` of v1 answers a path that differs by its final slash with a redirect.
    pub(crate) redirects_slashes: bool,
    /// Whether tags torn at their commas are put together again.
    pub(crate) repairs_commas: bool,
    pub(crate) constraints: Constraints,
    /// The states an instance may be in; `None` means what each dialect takes by default.
    pub(crate) checks: Option<Vec<Health>>,
    /// Whether services without healthy instances keep their routes.
    pub(crate) allow_empty_services: bool,
    /// `None` means they are not known and not checked.
    pub(crate) entrypoints: Option<Vec<Entrypoint>>,
    /// How TLS can be spoken to others.
    pub(crate) transports: Vec<Transport>,
    pub(crate) connect: Connect,
}

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Entrypoint {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tls: bool,
    /// What clients reach it by.
    pub(crate) port: Option<u16>,
    /// Whether routes that name none are reached here.
    #[serde(default)]
    pub(crate) as_default: bool,
}

/// Which default rule serves a service without tags of either dialect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BareServices {
    V1,
    V3,
    Both,
}

/// The two syntaxes of v3's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RuleSyntax {
    V2,
    #[default]
    V3,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    #[serde(default = "default_provider")]
    provider: String,
    #[serde(default = "default_prefix")]
    prefix: String,
    #[serde(default = "default_exposed")]
    exposed_by_default: bool,
    #[serde(default)]
    domain: String,
    frontend_rule: Option<String>,
    default_rule: Option<String>,
    constraints: Option<RawConstraints>,
    strict_checks: Option<Vec<String>>,
    #[serde(default)]
    allow_empty_services: bool,
    #[serde(default)]
    rule_syntax: RuleSyntax,
    #[serde(default)]
    keep_trailing_slash: bool,
    #[serde(default)]
    repair_commas: bool,
    entrypoints: Option<Vec<Entrypoint>>,
    #[serde(default)]
    transports: Vec<Transport>,
    #[serde(default)]
    connect_aware: bool,
    #[serde(default)]
    connect_by_default: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawConstraints {
    V1(Vec<String>),
    V3(String),
}

fn default_provider() -> String {
    "consulcatalog".to_owned()
}

fn default_prefix() -> String {
    "traefik".to_owned()
}

fn default_exposed() -> bool {
    true
}

impl Settings {
    /// Reads a provider's options.
    ///
    /// # Errors
    /// What is wrong and how to mend it, for the operator.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let raw: Raw = sluice_plugin_sdk::parse_settings(json)?;
        if raw.prefix.is_empty() {
            return Err("prefix must not be empty".to_owned());
        }
        let bare_services = raw.bare_services();
        let template = |name: &str, text: Option<String>, default: &str, functions| {
            let env = Env { functions, prefix: &raw.prefix };
            Template::parse(text.as_deref().unwrap_or(default), &env).map_err(|error| format!("{name}: {error}"))
        };
        Ok(Self {
            frontend_rule: template("frontend-rule", raw.frontend_rule, DEFAULT_FRONTEND_RULE, V1_FUNCTIONS)?,
            default_rule: template("default-rule", raw.default_rule, DEFAULT_RULE, V3_FUNCTIONS)?,
            provider: raw.provider,
            prefix: raw.prefix,
            exposed_by_default: raw.exposed_by_default,
            domain: raw.domain,
            bare_services,
            rule_syntax: raw.rule_syntax,
            redirects_slashes: !raw.keep_trailing_slash,
            repairs_commas: raw.repair_commas,
            constraints: match raw.constraints {
                None => Constraints::None,
                Some(RawConstraints::V1(list)) => Constraints::v1(&list)?,
                Some(RawConstraints::V3(text)) => Constraints::v3(&text)?,
            },
            allow_empty_services: raw.allow_empty_services,
            checks: raw.strict_checks.map(|names| states(&names)).transpose()?,
            entrypoints: raw.entrypoints,
            transports: raw.transports,
            connect: match (raw.connect_aware, raw.connect_by_default) {
                (false, _) => Connect::Unaware,
                (true, false) => Connect::OnRequest,
                (true, true) => Connect::ByDefault,
            },
        })
    }

    pub(crate) fn v1_env(&self) -> Env<'_> {
        Env { functions: V1_FUNCTIONS, prefix: &self.prefix }
    }

    pub(crate) fn v3_env(&self) -> Env<'_> {
        Env { functions: V3_FUNCTIONS, prefix: &self.prefix }
    }

    /// The entrypoint of that name.
    pub(crate) fn entrypoint(&self, name: &str) -> Option<&Entrypoint> {
        self.entrypoints.iter().flatten().find(|one| one.name == name)
    }

    /// The entrypoints of a list that exist, and those that do not.
    pub(crate) fn known_entrypoints(&self, names: Vec<String>) -> (Vec<String>, Vec<String>) {
        let known = |name: &String| self.entrypoints.is_none() || self.entrypoint(name).is_some();
        names.into_iter().partition(known)
    }

    /// The entrypoints a route with these is reached at: without any, the default ones.
    pub(crate) fn reached_at<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a Entrypoint> {
        let is_named = |one: &&Entrypoint| if names.is_empty() { one.as_default } else { names.contains(&one.name) };
        self.entrypoints.iter().flatten().filter(is_named)
    }

    /// A reference without the suffix that names this provider.
    pub(crate) fn local_name<'a>(&self, reference: &'a str) -> &'a str {
        let name = reference.strip_suffix(self.provider.as_str()).and_then(|name| name.strip_suffix('@'));
        name.unwrap_or(reference)
    }
}

impl Raw {
    /// An operator who set the options of one dialect only has said which default rule is meant.
    fn bare_services(&self) -> BareServices {
        let v1 = !self.domain.is_empty() || self.frontend_rule.is_some();
        match (v1, self.default_rule.is_some()) {
            (true, false) => BareServices::V1,
            (false, true) => BareServices::V3,
            _ => BareServices::Both,
        }
    }
}

fn states(names: &[String]) -> Result<Vec<Health>, String> {
    let all = [Health::Passing, Health::Warning, Health::Critical, Health::Maintenance];
    let mut found = Vec::new();
    for name in names {
        match name.to_ascii_lowercase().as_str() {
            "passing" => found.push(Health::Passing),
            "warning" => found.push(Health::Warning),
            "critical" => found.push(Health::Critical),
            "maintenance" => found.push(Health::Maintenance),
            "any" => found.extend(all),
            _ => {
                return Err(format!("strict-checks: `{name}` is none of passing, warning, critical, maintenance, any"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn everything_is_optional() {
        let settings = Settings::parse("").unwrap();
        assert_eq!((settings.provider.as_str(), settings.prefix.as_str()), ("consulcatalog", "traefik"));
        assert!(settings.exposed_by_default && settings.checks.is_none() && settings.entrypoints.is_none());
        assert_eq!(settings.bare_services, BareServices::Both);
    }

    #[test]
    fn everything_can_be_set() {
        let settings = Settings::parse(
            r#"{"provider":"file","prefix":"edge","exposed-by-default":false,"domain":"corp.test",
                "frontend-rule":"Host:{{.ServiceName}}","default-rule":"Host(`{{ .Name }}`)","constraints":["tag==x"],
                "strict-checks":["Passing","any"],"rule-syntax":"v2","keep-trailing-slash":true,"repair-commas":true,
                "entrypoints":[{"name":"web","tls":false},{"name":"websecure","tls":true,"port":443}]}"#,
        )
        .unwrap();
        assert_eq!(settings.checks.as_ref().map(Vec::len), Some(5));
        assert_eq!(settings.rule_syntax, RuleSyntax::V2);
        assert!(!settings.redirects_slashes && settings.repairs_commas);
        assert_eq!(settings.entrypoint("websecure").map(|one| (one.tls, one.port)), Some((true, Some(443))));
        assert_eq!(settings.entrypoint("web").map(|one| (one.tls, one.port)), Some((false, None)));
        assert_eq!(settings.local_name("a@file"), "a");
        assert_eq!(settings.local_name("a@other"), "a@other");
        assert_eq!(settings.local_name("afile"), "afile");
        let (known, unknown) = settings.known_entrypoints(vec!["web".into(), "nope".into()]);
        assert_eq!((known, unknown), (vec!["web".to_owned()], vec!["nope".to_owned()]));
    }

    #[test]
    fn the_options_of_one_dialect_decide_about_bare_services() {
        for (json, wanted) in [
            (r#"{"domain":"a"}"#, BareServices::V1),
            (r#"{"frontend-rule":"Host:a"}"#, BareServices::V1),
            (r#"{"default-rule":"Host(`a`)"}"#, BareServices::V3),
            (r#"{"domain":"a","default-rule":"Host(`a`)"}"#, BareServices::Both),
        ] {
            assert_eq!(Settings::parse(json).unwrap().bare_services, wanted, "{json}");
        }
    }

    #[test]
    fn mistakes_are_refused_with_their_option() {
        for (json, part) in [
            (r#"{"prefx":"a"}"#, "unknown field `prefx`"),
            (r#"{"prefix":""}"#, "prefix"),
            (r#"{"frontend-rule":"{{"}"#, "frontend-rule: template does not parse"),
            (r#"{"default-rule":"{{ nope }}"}"#, "default-rule: template does not parse"),
            (r#"{"strict-checks":["fine"]}"#, "strict-checks"),
            (r#"{"rule-syntax":"v1"}"#, "v1"),
            (r#"{"constraints":["x"]}"#, "constraint"),
            (r#"{"constraints":"Tag("}"#, "constraint"),
            (r#"{"entrypoints":[{"name":"a","tsl":true}]}"#, "tsl"),
        ] {
            let error = Settings::parse(json).map(|_| ()).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
