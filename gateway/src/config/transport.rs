//! `[transports.NAME]`: how TLS is spoken to the instances of services that name it, as by
//! `traefik.http.services.NAME.loadbalancer.serverstransport=NAME`. `[transports.default]` is for all that name none.

use std::path::{Path, PathBuf};

use super::Config;
use super::problem::Problem;
use super::reader::{Fault, Parsed, Section};
use super::values::{boolean, nonempty, path};

/// One way of speaking TLS to instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportConfig {
    /// As in `[transports.NAME]`.
    pub name: String,
    /// A PEM file of authorities; the system's where it is none.
    pub ca: Option<PathBuf>,
    /// A client certificate with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Believe any certificate.
    pub insecure_skip_verify: bool,
    /// The name instances have to prove; their address where it is none.
    pub server_name: Option<String>,
}

/// Used by services that name none.
const DEFAULT: &str = "default";

impl TransportConfig {
    /// Whether it is for services that name no other.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT
    }
}

impl Config {
    /// Those of the configuration, and for each entrypoint with certificates `entrypoint:NAME`, which shows these to
    /// instances.
    #[must_use]
    pub fn all_transports(&self) -> Vec<TransportConfig> {
        let usual = self.transports.iter().find(|transport| transport.is_default());
        let of_entrypoints = self.entrypoints.iter().filter_map(|entrypoint| {
            let own = &entrypoint.tls.as_ref()?.certificates;
            let all = || own.iter().chain(&self.tls.certificates);
            let shown = all().find(|certificate| certificate.default).or_else(|| all().next())?;
            let named =
                TransportConfig { name: format!("entrypoint:{}", entrypoint.name), ..TransportConfig::default() };
            let trusting = usual.map_or(named.clone(), |usual| TransportConfig { name: named.name, ..usual.clone() });
            Some(TransportConfig { identity: Some((shown.cert.clone(), shown.key.clone())), ..trusting })
        });
        self.transports.iter().cloned().chain(of_entrypoints).collect()
    }
}

pub(super) fn transports(root: &mut Section<'_>, base: &Path) -> Vec<TransportConfig> {
    root.named_sections("transports").into_iter().map(|(name, section)| transport(name, section, base)).collect()
}

fn transport(name: String, mut section: Section<'_>, base: &Path) -> TransportConfig {
    let ca = section.read("ca", path(base));
    let cert = section.read("cert", path(base));
    let key = section.read("key", path(base));
    if cert.is_some() != key.is_some() {
        let (there, missing) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        let message = format!("`{there}` is set and `{missing}` is not");
        let problem = Problem::new(section.place().clone(), section.key(there), message);
        section.report(problem.hint("a client certificate takes both"));
    }
    let transport = TransportConfig {
        name,
        ca,
        identity: cert.zip(key),
        insecure_skip_verify: section.read_or("insecure-skip-verify", false, boolean),
        server_name: section.read("server-name", server_name),
    };
    section.finish();
    transport
}

fn server_name(node: &super::document::Node) -> Parsed<String> {
    let name = nonempty(node)?;
    match rustls::pki_types::ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => Fault::at(&node.place, format!("`{name}` is neither a host name nor an IP address")).into(),
    }
}
