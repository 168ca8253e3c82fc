//! `[plugins]` and `[[policies]]`: which plugins there are, how they are held in check, and where they are used.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use minisign_verify::PublicKey;

use super::document::{Node, Value};
use super::problem::{Place, Problem};
use super::reader::{Fault, Parsed, Section, suggestion};
use super::values::{choice, duration, integer, json, list_of, nonempty, nonempty_list_of, path, size, text};

/// `[plugins]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugins {
    /// Watched for `*.wasm`; none means built-in ones only.
    pub directory: Option<PathBuf>,
    /// Whether a file has to be signed.
    pub require_signature: RequireSignature,
    /// Who may sign.
    pub trusted_keys: Vec<PublicKey>,
    /// By the name of the plugin.
    pub settings: BTreeMap<String, PluginSettings>,
}

/// Whether files in the plugin directory have to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequireSignature {
    /// Signatures are not looked at.
    #[default]
    Off,
    /// Files that nobody trusted has signed are run, and reported.
    Warn,
    /// They are not run.
    Enforce,
}

/// `[plugins.settings.NAME]`: how the gateway treats a plugin. Nothing said is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSettings {
    /// What becomes of a request when the plugin fails.
    pub failure: Failure,
    /// Whether it may remember by itself what it has seen.
    pub isolation: Isolation,
    /// For one call; the host's default for the kind of plugin where it is none.
    pub deadline: Option<Duration>,
    /// Bytes of memory; the host's default where it is none.
    pub memory: Option<u64>,
    /// What it may do beyond its imports, such as targets it may call.
    pub grants: Vec<String>,
    /// Bytes each policy of it may keep under keys; the host's default where it is none.
    pub state: Option<u64>,
    /// Signatures from before this moment, in seconds since 1970, do not count: an old version stays away.
    pub signed_since: Option<u64>,
}

/// What becomes of a request when a plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// It is answered with 503.
    #[default]
    Closed,
    /// It goes on without the plugin.
    Open,
}

/// Whether a plugin may remember by itself what it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Its instances are used again, which is the quicker way.
    #[default]
    None,
    /// Each call has an instance of its own.
    Request,
}

/// One of `[[policies]]`: a plugin with settings, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Unique among them.
    pub name: String,
    /// The name of the plugin.
    pub plugin: String,
    /// Where it applies without being named by a tag.
    pub attach: Vec<Attachment>,
    /// The plugin's own settings, an object.
    pub config: serde_json::Value,
    /// Where it is written, for problems the plugin itself finds.
    pub place: Place,
}

/// Where a policy applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// `entrypoint:NAME`: every request that arrives there.
    Entrypoint(String),
    /// `service:NAME`: every request that goes there.
    Service(String),
    /// `route:NAME`: every request that matches it.
    Route(String),
}

impl Plugins {
    /// What is said of a plugin, or the defaults.
    #[must_use]
    pub fn settings_of(&self, plugin: &str) -> PluginSettings {
        self.settings.get(plugin).cloned().unwrap_or_default()
    }
}

pub(super) fn plugins(root: &mut Section<'_>, base: &Path) -> Plugins {
    let mut section = root.section_or_empty("plugins");
    let directory = section.read("directory", path(base));
    let modes =
        [("off", RequireSignature::Off), ("warn", RequireSignature::Warn), ("enforce", RequireSignature::Enforce)];
    let require_signature = section.read_or("require-signature", RequireSignature::Off, choice(&modes));
    let trusted_keys = match require_signature {
        RequireSignature::Off => section.read("trusted-keys", list_of(public_key)),
        RequireSignature::Warn | RequireSignature::Enforce => section.require(
            "trusted-keys",
            "list the public keys whose signatures count; without one nothing could be signed",
            nonempty_list_of(public_key),
        ),
    };
    let settings = section
        .named_sections("settings")
        .into_iter()
        .map(|(name, section)| (name, plugin_settings(section)))
        .collect();
    section.finish();
    Plugins { directory, require_signature, trusted_keys: trusted_keys.unwrap_or_default(), settings }
}

/// A public key of minisign.
fn public_key(node: &Node) -> Parsed<PublicKey> {
    let written = nonempty(node)?;
    PublicKey::from_base64(written.trim()).or_else(|_| {
        Fault::at(&node.place, format!("`{written}` is not a public key of minisign"))
            .hint("write the second line of `minisign.pub`, which begins with `RW`")
            .into()
    })
}

fn plugin_settings(mut section: Section<'_>) -> PluginSettings {
    let failures = [("closed", Failure::Closed), ("open", Failure::Open)];
    let isolations = [("none", Isolation::None), ("request", Isolation::Request)];
    let settings = PluginSettings {
        failure: section.read_or("failure", Failure::Closed, choice(&failures)),
        isolation: section.read_or("isolation", Isolation::None, choice(&isolations)),
        deadline: section.read("deadline", duration),
        // A component needs two Wasm pages or more; 4 GiB is all that its pointers reach.
        memory: section.read("memory", size(128 << 10..=4 << 30)),
        grants: section.read_or("grants", Vec::new(), list_of(nonempty)),
        state: section.read("state", size(4 << 10..=1 << 30)),
        signed_since: section.read("signed-since", integer(0..=u64::MAX >> 1)),
    };
    section.finish();
    settings
}

/// Reads every policy. `entrypoints` are the names that an attachment may use.
pub(super) fn policies(root: &mut Section<'_>, entrypoints: &[&str]) -> Vec<PolicyConfig> {
    let mut names = HashSet::new();
    let mut policies = Vec::new();
    for section in root.listed_sections("policies") {
        policies.extend(policy(section, entrypoints, &mut names));
    }
    policies
}

fn policy(mut section: Section<'_>, entrypoints: &[&str], names: &mut HashSet<String>) -> Option<PolicyConfig> {
    let name = section.require("name", "give it a name of its own", |node| {
        let name = nonempty(node)?;
        if !names.insert(name.clone()) {
            return Fault::at(&node.place, format!("`{name}` is the name of another policy"))
                .hint("counters are kept under this name, so it has to be unique")
                .into();
        }
        Ok(name)
    });
    let plugin = section.require("plugin", "write `plugin = \"rate-limit\"`", nonempty);
    let attach = list_of(|node| attachment(node, entrypoints));
    let attach = section.read_or("attach", Vec::new(), attach);
    let config = section.read_or("config", empty_object(), object);
    let place = section.place().clone();
    section.finish();
    Some(PolicyConfig { name: name?, plugin: plugin?, attach, config, place })
}

fn attachment(node: &Node, entrypoints: &[&str]) -> Parsed<Attachment> {
    let written = text(node)?;
    let fault = Fault::at(&node.place, format!("`{written}` is not a place to attach a policy to"));
    match written.split_once(':').map(|(kind, name)| (kind, name.trim())) {
        None | Some((_, "")) => {}
        Some(("entrypoint", name)) if entrypoints.contains(&name) => {
            return Ok(Attachment::Entrypoint(name.to_owned()));
        }
        Some(("entrypoint", name)) => {
            return Fault::at(&node.place, format!("there is no entrypoint `{name}`"))
                .hint(suggestion(name, entrypoints))
                .into();
        }
        Some(("service", name)) => return Ok(Attachment::Service(name.to_owned())),
        Some(("route", name)) => return Ok(Attachment::Route(name.to_owned())),
        Some(_) => {}
    }
    fault.hint("write `entrypoint:NAME`, `service:NAME` or `route:NAME`").into()
}

fn object(node: &Node) -> Parsed<serde_json::Value> {
    let value = json(node)?;
    if value.is_object() {
        return Ok(value);
    }
    let kind = match &node.value {
        Value::Override(text) => format!("`{text}`"),
        other => other.kind().to_owned(),
    };
    Fault::at(&node.place, format!("expected a table, found {kind}"))
        .hint("write the plugin's settings as `{ average = 100 }`")
        .into()
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// For problems that come to light only when plugins are there: an unknown plugin, settings it refuses.
impl PolicyConfig {
    /// A problem with this policy.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.place.clone(), format!("policy {}", self.name), message)
    }
}
