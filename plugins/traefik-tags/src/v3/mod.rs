//! The v3 dialect: routers, services and middlewares of `http` and `tcp`, one instance at a time.
//!
//! [`decode`] checks all tags of an instance against the schema; what comes after reads options that are known to fit.

mod composite;
mod health;
mod middlewares;
mod routers;
mod schema;
mod services;
mod tcp;

use sluice_plugin_sdk::router::{Scheme, Service};

use crate::accept::{V3Instance, object};
use crate::connect;
use crate::merge::{Candidate, Draft};
use crate::report::{Problem, Report};
use crate::settings::Settings;
use crate::tags::tree::{self, Entry, Node};
use crate::tags::{self, Tag};
use crate::template::normalize;

pub(crate) use middlewares::settings as plugin_settings;
pub(crate) use middlewares::{error_pages, malformed_address, malformed_user};
pub(crate) use routers::labels;
pub(crate) use services::scheme;

/// Keys that begin like this are read, whatever follows; everything else is none of v3's business.
const READ: &[&str] = &["http", "tcp", "udp", "tls.stores.default", "enable", "consulcatalog."];

/// The tags of an instance as a tree that fits the schema.
///
/// # Errors
/// The first tag that does not fit. Traefik then leaves out the whole instance, and so do we.
pub(crate) fn decode(tags: &[Tag<'_>], prefix: &str) -> Result<Node, Problem> {
    let entries = tags.iter().filter_map(|tag| {
        let (key, value) = tag.option(prefix)?;
        is_read(key).then_some(Entry { key, value, tag: tag.raw })
    });
    let mut root = tree::build(entries)?;
    tags::schema::check(&mut root, &schema::ROOT)?;
    Ok(root)
}

fn is_read(key: &str) -> bool {
    READ.iter().any(|start| key.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start)))
}

/// What one instance says, as far as it can be used.
pub(crate) fn contribute(
    service: &Service,
    accepted: &V3Instance<'_>,
    settings: &Settings,
    draft: &mut Draft,
    report: &mut Report,
) {
    warn_about_v1_tags(accepted, settings, report);
    warn_about_ignored(accepted, report);
    let mesh = match mesh(service, accepted, settings) {
        Ok(mesh) => mesh,
        Err(problem) => return report.error(&object(accepted.instance), &problem.tag, problem.message),
    };
    let own = Instance { service, accepted, settings, id: [accepted.instance.id.clone()], mesh };
    let services = match services::read(&own) {
        Ok(services) => services,
        Err(problem) => return report.error(&object(accepted.instance), &problem.tag, problem.message),
    };
    if let Err(problem) = tcp::read(&own, draft, report) {
        return report.error(&object(accepted.instance), &problem.tag, problem.message);
    }
    if own.speaks("udp") {
        report.error(&object(accepted.instance), "", "UDP routers and services are not supported");
    }
    for node in own.http("middlewares") {
        for (tag, note) in middlewares::notes(node) {
            report.warning(&format!("step {}", node.name), tag, note);
        }
        draft.steps.push(Candidate::new(node.name.clone(), &own.id, middlewares::action(node, settings)));
    }
    routers::read(&own, &services, draft, report);
    draft.services.extend(services);
}

/// An instance with what is needed to read it.
struct Instance<'a> {
    service: &'a Service,
    accepted: &'a V3Instance<'a>,
    settings: &'a Settings,
    /// Its id, as the voters of what it says.
    id: [String; 1],
    /// The transport to it, where it is a member of the Connect mesh.
    mesh: Option<String>,
}

fn mesh(service: &Service, accepted: &V3Instance<'_>, settings: &Settings) -> Result<Option<String>, Problem> {
    let node = accepted.root.child("consulcatalog");
    let said = node.and_then(|node| node.flag("connect"));
    connect::transport(said, &service.name, settings).map_err(|problem| {
        let tag = node.map(|node| node.tag_of("connect")).unwrap_or_default();
        Problem::new(tag, format!("{problem}; the instance is left out"))
    })
}

impl Instance<'_> {
    /// The elements below `http.<kind>`.
    fn http(&self, kind: &str) -> &[Node] {
        self.accepted.root.at(&["http", kind]).map_or(&[], |node| node.children.as_slice())
    }

    /// The elements below `tcp.<kind>`.
    fn tcp(&self, kind: &str) -> &[Node] {
        self.accepted.root.at(&["tcp", kind]).map_or(&[], |node| node.children.as_slice())
    }

    /// The name of the service and router that are not named by tags.
    fn automatic_name(&self) -> String {
        let canary = self.accepted.root.child("consulcatalog").and_then(|node| node.flag("canary")) == Some(true);
        if !canary {
            return normalize(&self.service.name);
        }
        let mut tags: Vec<&str> = self.accepted.tags.iter().map(|tag| tag.raw).collect();
        tags.sort_unstable();
        normalize(&format!("{}-{}", self.service.name, fnv1(tags.concat().as_bytes())))
    }

    /// The scheme to reach it by: members of the mesh take only TLS.
    fn meshed(&self, scheme: Scheme) -> Scheme {
        if self.mesh.is_some() { Scheme::Https } else { scheme }
    }

    /// Whether it is to be reached by HTTP: where nothing is said of HTTP, only if nothing else is said either.
    fn speaks_http(&self) -> bool {
        let said = ["routers", "services", "middlewares"].iter().any(|kind| !self.http(kind).is_empty());
        said || !(self.speaks("tcp") || self.speaks("udp"))
    }

    /// Whether it has routers or services of a protocol besides HTTP.
    fn speaks(&self, protocol: &str) -> bool {
        let node = self.accepted.root.child(protocol);
        node.is_some_and(|node| !node.below("routers").is_empty() || !node.below("services").is_empty())
    }
}

/// FNV-1 with 64 bits, which names canaries.
fn fnv1(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| hash.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(*byte))
}

/// Traefik never reads both dialects; whoever mixes them on one instance should know which one counts.
fn warn_about_v1_tags(accepted: &V3Instance<'_>, settings: &Settings, report: &mut Report) {
    let is_v1 =
        |key: &str| key.starts_with("frontend.") || key.starts_with("frontends.") || key.starts_with("backend.");
    let tags = accepted.tags.iter().filter(|tag| tag.option(&settings.prefix).is_some_and(|(key, _)| is_v1(key)));
    for tag in tags {
        let message = "ignored: this instance has v3 tags, and one instance is read in one dialect";
        report.warning(&object(accepted.instance), tag.raw, message);
    }
}

/// What Traefik reads over too, or what belongs to the entrypoints here.
fn warn_about_ignored(accepted: &V3Instance<'_>, report: &mut Report) {
    for path in [&["tls"][..], &["http", "serverstransports"], &["http", "models"]] {
        if let Some(node) = accepted.root.at(path) {
            let message = format!("ignored: `{}` cannot be set by tags", path.join("."));
            report.warning(&object(accepted.instance), &node.tag, message);
        }
    }
}

#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod tcp_tests;
#[cfg(test)]
mod tests;
