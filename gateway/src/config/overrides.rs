//! Environment variables and `--set` flags that stand above the file.
//!
//! Takes their texts and the tree of the file; lays each over the place it means. A variable that means no key is a
//! problem: a misspelt override that does nothing is worse than none.

use toml::de::{DeTable, DeValue};

use super::document::{self, Node, Value};
use super::problem::{Place, Problem, Problems};

/// Every key that a variable can name, `*` standing for a name the operator chose. Lists and tables are set as a
/// whole, in TOML. A test compares this with what the readers ask for.
pub(super) const KEYS: &[&str] = &[
    "access-log.format",
    "access-log.output",
    "admin.address",
    "admin.token-file",
    "entrypoints.*.address",
    "entrypoints.*.as-default",
    "entrypoints.*.encode-query-semicolons",
    "entrypoints.*.encoded-characters.allow-encoded-back-slash",
    "entrypoints.*.encoded-characters.allow-encoded-hash",
    "entrypoints.*.encoded-characters.allow-encoded-percent",
    "entrypoints.*.encoded-characters.allow-encoded-question-mark",
    "entrypoints.*.encoded-characters.allow-encoded-semicolon",
    "entrypoints.*.encoded-characters.allow-encoded-slash",
    "entrypoints.*.header-names",
    "entrypoints.*.limits.body-bytes",
    "entrypoints.*.limits.body-rate",
    "entrypoints.*.limits.connections",
    "entrypoints.*.limits.h2-header-bytes",
    "entrypoints.*.limits.h2-streams",
    "entrypoints.*.limits.header-bytes",
    "entrypoints.*.limits.header-count",
    "entrypoints.*.limits.keep-alive-requests",
    "entrypoints.*.limits.uri-bytes",
    "entrypoints.*.observability.access-logs",
    "entrypoints.*.observability.metrics",
    "entrypoints.*.proxy-protocol",
    "entrypoints.*.proxy-protocol.trusted-ips",
    "entrypoints.*.redirect",
    "entrypoints.*.redirect.permanent",
    "entrypoints.*.redirect.scheme",
    "entrypoints.*.redirect.to",
    "entrypoints.*.steps",
    "entrypoints.*.timeouts.body-idle",
    "entrypoints.*.timeouts.header",
    "entrypoints.*.timeouts.keep-alive",
    "entrypoints.*.timeouts.keep-alive-age",
    "entrypoints.*.timeouts.send-idle",
    "entrypoints.*.timeouts.tls-handshake",
    "entrypoints.*.tls",
    "entrypoints.*.tls.alpn",
    "entrypoints.*.tls.certificates",
    "entrypoints.*.tls.client-auth",
    "entrypoints.*.tls.client-auth.ca",
    "entrypoints.*.tls.client-auth.mode",
    "entrypoints.*.tls.min-version",
    "entrypoints.*.tls.strict-sni",
    "entrypoints.*.trusted-ips",
    "log.format",
    "log.level",
    "metrics.prefix",
    "overload.connection-percent",
    "overload.idle-percent",
    "overload.keep-alive-percent",
    "overload.memory",
    "overload.request-percent",
    "plugins.directory",
    "plugins.require-signature",
    "plugins.settings.*.deadline",
    "plugins.settings.*.failure",
    "plugins.settings.*.grants",
    "plugins.settings.*.isolation",
    "plugins.settings.*.memory",
    "plugins.settings.*.signed-since",
    "plugins.settings.*.state",
    "plugins.trusted-keys",
    "policies",
    "providers.consul-catalog",
    "providers.consul-catalog.address",
    "providers.consul-catalog.allow-empty-services",
    "providers.consul-catalog.ca",
    "providers.consul-catalog.cert",
    "providers.consul-catalog.connect-aware",
    "providers.consul-catalog.connect-by-default",
    "providers.consul-catalog.constraints",
    "providers.consul-catalog.datacenter",
    "providers.consul-catalog.default-rule",
    "providers.consul-catalog.domain",
    "providers.consul-catalog.exposed-by-default",
    "providers.consul-catalog.frontend-rule",
    "providers.consul-catalog.insecure-skip-verify",
    "providers.consul-catalog.keep-trailing-slash",
    "providers.consul-catalog.key",
    "providers.consul-catalog.namespace",
    "providers.consul-catalog.password-file",
    "providers.consul-catalog.prefix",
    "providers.consul-catalog.repair-commas",
    "providers.consul-catalog.require-consistent",
    "providers.consul-catalog.router",
    "providers.consul-catalog.rule-syntax",
    "providers.consul-catalog.scheme",
    "providers.consul-catalog.service-name",
    "providers.consul-catalog.stale",
    "providers.consul-catalog.strict-checks",
    "providers.consul-catalog.token-file",
    "providers.consul-catalog.username",
    "providers.consul-catalog.wait",
    "providers.file.allow-empty-services",
    "providers.file.constraints",
    "providers.file.default-rule",
    "providers.file.domain",
    "providers.file.exposed-by-default",
    "providers.file.frontend-rule",
    "providers.file.keep-trailing-slash",
    "providers.file.path",
    "providers.file.prefix",
    "providers.file.repair-commas",
    "providers.file.router",
    "providers.file.rule-syntax",
    "providers.file.strict-checks",
    "runtime.workers",
    "shutdown.close-spread",
    "shutdown.drain",
    "shutdown.pre-stop",
    "state.directory",
    "tls.certificates",
    "tls.options.*.alpn",
    "tls.options.*.client-auth",
    "tls.options.*.client-auth.ca",
    "tls.options.*.client-auth.mode",
    "tls.options.*.min-version",
    "tls.options.*.strict-sni",
    "transports",
    "upstream.connect-timeout",
    "upstream.idle-timeout",
    "upstream.max-idle-per-instance",
    "upstream.mirror-credentials",
    "upstream.response-timeout",
];

const PREFIX: &str = "SLUICE_";

/// Variables with a meaning of their own, or that belong to the tools around the gateway.
const RESERVED: &[&str] = &["SLUICE_CONFIG", "SLUICE_BIN"];

/// What people try first when they want to see more, in place of `SLUICE_LOG_LEVEL`.
const LOG_LEVEL: &str = "SLUICE_LOG";

/// Kubernetes sets these for every pod beside a Service that is named `sluice`; `TEST` is for test harnesses.
const FOREIGN: &[&str] = &["SLUICE_PORT", "SLUICE_SERVICE_", "SLUICE_TEST_"];

/// Lays variables over the tree, in the order of their names.
pub(super) fn variables(root: &mut Node, variables: &[(String, String)], problems: &mut Problems) {
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| concerns_configuration(name)).collect();
    ours.sort();
    for (name, value) in ours {
        let place = Place::Variable(name.clone());
        let name = if name == LOG_LEVEL { "SLUICE_LOG_LEVEL" } else { name };
        let suffix = name.get(PREFIX.len()..).unwrap_or_default();
        match path_of(suffix, root) {
            Some(path) => document::set(root, &path, value, &place),
            None => {
                problems.push(Problem::new(place, "", "means no key").hint(nearest_variable(suffix)));
            }
        }
    }
}

/// Lays `key=value` flags over the tree, in the order they were given.
pub(super) fn flags(root: &mut Node, flags: &[String], problems: &mut Problems) {
    for flag in flags {
        let place = Place::Flag(flag.clone());
        let path = flag.split_once('=').and_then(|(key, value)| {
            let path = dotted_path(key.trim())?;
            Some((path, value.trim()))
        });
        match path {
            Some((path, value)) => document::set(root, &path, value, &place),
            None => problems.push(
                Problem::new(place, "", "not `key=value`")
                    .hint("write such as `--set entrypoints.web.address=127.0.0.1:8000`"),
            ),
        }
    }
}

fn concerns_configuration(name: &str) -> bool {
    name.starts_with(PREFIX) && !RESERVED.contains(&name) && !FOREIGN.iter().any(|foreign| name.starts_with(foreign))
}

/// Which key a variable means. Of several the one with the most fixed letters, since a chosen name may look like keys.
fn path_of(suffix: &str, root: &Node) -> Option<Vec<String>> {
    let folded = fold(suffix);
    let mut best: Option<(usize, Vec<String>)> = None;
    for key in KEYS {
        let Some(path) = path_by(key, &folded, root) else {
            continue;
        };
        let fixed = key.len();
        if best.as_ref().is_none_or(|(longest, _)| fixed > *longest) {
            best = Some((fixed, path));
        }
    }
    best.map(|(_, path)| path)
}

/// The path that `key` gives if `folded` is one of its spellings.
fn path_by(key: &str, folded: &str, root: &Node) -> Option<Vec<String>> {
    let Some((before, after)) = key.split_once(".*.") else {
        return (fold(key) == folded).then(|| key.split('.').map(str::to_owned).collect());
    };
    let name = folded
        .strip_prefix(&fold(before))?
        .strip_suffix(&fold(after))?
        .strip_prefix('_')?
        .strip_suffix('_')
        .filter(|name| !name.is_empty())?;
    let mut path: Vec<String> = before.split('.').map(str::to_owned).collect();
    let existing = names_at(root, &path).into_iter().find(|existing| fold(existing) == name);
    path.push(existing.unwrap_or_else(|| name.to_lowercase().replace('_', "-")));
    path.extend(after.split('.').map(str::to_owned));
    Some(path)
}

/// As variables spell keys: upper case, with underscores for everything between words.
fn fold(text: &str) -> String {
    text.to_uppercase().replace(['-', '.'], "_")
}

fn names_at(root: &Node, path: &[String]) -> Vec<String> {
    let mut node = root;
    for name in path {
        let Value::Table(table) = &node.value else {
            return Vec::new();
        };
        let Some(entry) = table.get(name) else {
            return Vec::new();
        };
        node = &entry.node;
    }
    match &node.value {
        Value::Table(table) => table.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// The variable that was probably meant.
fn nearest_variable(suffix: &str) -> String {
    let folded = fold(suffix);
    let name = folded
        .strip_prefix("ENTRYPOINTS_")
        .or_else(|| folded.strip_prefix("PLUGINS_SETTINGS_"))
        .and_then(|rest| rest.split('_').next())
        .unwrap_or("NAME");
    let spelled = |key: &&str| fold(&key.replace('*', name));
    let nearest =
        KEYS.iter().map(spelled).min_by_key(|key| strsim::damerau_levenshtein(key, &folded)).unwrap_or_default();
    format!("did you mean `{PREFIX}{nearest}`?")
}

/// `a.b."c.d"` as TOML reads keys.
fn dotted_path(key: &str) -> Option<Vec<String>> {
    let text = format!("{key} = 0");
    let document = DeTable::parse(&text).ok()?;
    let mut table = document.into_inner();
    let mut path = Vec::new();
    loop {
        if table.len() != 1 {
            return None;
        }
        let (name, value) = table.into_iter().next()?;
        path.push(name.into_inner().into_owned());
        match value.into_inner() {
            DeValue::Table(below) => table = below,
            DeValue::Integer(_) => return Some(path),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn tree(text: &str) -> Node {
        document::parse("test", text).unwrap()
    }

    fn path(suffix: &str, text: &str) -> Option<String> {
        path_of(suffix, &tree(text)).map(|path| path.join("/"))
    }

    #[test]
    fn a_variable_finds_the_name_as_the_file_spells_it() {
        let file = "[entrypoints.Web_Secure]\naddress = \":1\"\n";
        assert_eq!(path("ENTRYPOINTS_WEB_SECURE_ADDRESS", file).unwrap(), "entrypoints/Web_Secure/address");
        assert_eq!(path("ENTRYPOINTS_WEB_SECURE_ADDRESS", "").unwrap(), "entrypoints/web-secure/address");
    }

    #[test]
    fn the_longest_key_wins_over_a_name_that_looks_like_keys() {
        assert_eq!(path("ENTRYPOINTS_WEB_LIMITS_HEADER_BYTES", "").unwrap(), "entrypoints/web/limits/header-bytes");
        assert_eq!(path("ENTRYPOINTS__ADDRESS", ""), None);
        assert_eq!(path("ENTRYPOINTS_ADDRESS", ""), None);
    }

    #[test]
    fn flags_are_dotted_keys_of_toml() {
        assert_eq!(dotted_path("a.\"b.c\".d").unwrap(), ["a", "b.c", "d"]);
        for wrong in ["", "a..b", "a = 1\nb", "a]", "#"] {
            assert!(dotted_path(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn every_key_has_its_variable() {
        let file = tree(
            r#"
            access-log = {}
            admin = {}
            entrypoints."*" = { address = ":1", proxy-protocol = { trusted-ips = [] }, redirect = { to = ":443" }, tls = { client-auth = { ca = "x" } } }
            tls.options."*" = { client-auth = { ca = "x" } }
            providers = { consul-catalog = {}, file = { path = "x" } }
            plugins.settings."*" = {}
            "#,
        );
        let config = super::super::load::read_tree(file);
        assert!(config.is_ok(), "{config:?}");
        let asked: std::collections::BTreeSet<String> =
            super::super::reader::asked::take().into_iter().map(|key| key.replace("\"*\"", "*")).collect();
        let is_section = |key: &String| {
            let below = format!("{key}.");
            asked.iter().any(|other| other.starts_with(&below))
        };
        let known = |key: &&String| KEYS.contains(&key.as_str());
        let missing: Vec<_> = asked.iter().filter(|key| !known(key) && !is_section(key)).collect();
        assert!(missing.is_empty(), "without a variable: {missing:?}");
        let stale: Vec<_> = KEYS.iter().filter(|key| !asked.contains(**key)).collect();
        assert!(stale.is_empty(), "no longer read: {stale:?}");
    }

    #[test]
    fn kubernetes_service_links_are_not_ours() {
        assert!(!concerns_configuration("SLUICE_PORT_8000_TCP_ADDR"));
        assert!(!concerns_configuration("SLUICE_SERVICE_HOST"));
        assert!(concerns_configuration("SLUICE_LOG_LEVEL"));
    }
}
