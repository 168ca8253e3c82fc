//! `entrypoints.NAME.tls` and `[tls]`: certificates, and what is demanded of clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::{Node, Value};
use super::problem::Problem;
use super::reader::{Parsed, Section};
use super::values::{boolean, choice, list_of, nonempty, path};

/// `[tls]`: for every entrypoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Shown where an entrypoint has none for the name.
    pub certificates: Vec<Certificate>,
    /// `[tls.options.NAME]`, which routes name by `tls.options`.
    pub options: BTreeMap<String, TlsOptions>,
}

/// The TLS of an entrypoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntrypointTls {
    /// Empty, and none in `[tls]` either, means one generated and self-signed.
    pub certificates: Vec<Certificate>,
    /// For hosts whose routes name no options.
    pub options: TlsOptions,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Shown where no certificate is for the name; the first one where none is marked.
    pub default: bool,
}

/// How connections are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Protocols offered, most wanted first; none means `h2` and `http/1.1`, and nothing for TCP routes.
    pub alpn: Option<Vec<String>>,
    /// Whether clients that ask for a name without a certificate are refused.
    pub strict_sni: bool,
    /// Present where clients are asked for a certificate.
    pub client_auth: Option<ClientAuth>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2
    #[default]
    Tls12,
    /// 1.3
    Tls13,
}

/// Which client certificates are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM files with the authorities that issue them; at least one.
    pub ca: Vec<PathBuf>,
    /// Whether a client needs one.
    pub mode: ClientAuthMode,
}

/// Whether a client needs a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// Without one there is no connection.
    #[default]
    Require,
    /// One that is shown has to be good.
    Optional,
}

/// Reads `[tls]`.
pub(super) fn tls(root: &mut Section<'_>, base: &Path) -> Tls {
    let mut section = root.section_or_empty("tls");
    let certificates = certificates(&mut section, base);
    let mut named = BTreeMap::new();
    for (name, mut options) in section.named_sections("options") {
        if name == "default" {
            let problem = Problem::new(options.place().clone(), "tls.options.default", "this name is taken");
            options.report(
                problem.hint("the options of hosts without others stand at the entrypoint: `entrypoints.NAME.tls`"),
            );
        }
        named.insert(name, read_options(&mut options, base));
        options.finish();
    }
    section.finish();
    Tls { certificates, options: named }
}

/// Reads `entrypoints.NAME.tls`.
pub(super) fn entrypoint_tls(mut section: Section<'_>, base: &Path) -> EntrypointTls {
    let certificates = certificates(&mut section, base);
    let options = read_options(&mut section, base);
    section.finish();
    EntrypointTls { certificates, options }
}

fn certificates(section: &mut Section<'_>, base: &Path) -> Vec<Certificate> {
    let mut certificates = Vec::new();
    for mut pair in section.listed_sections("certificates") {
        let cert = pair.require("cert", "name the PEM file with the chain", path(base));
        let key = pair.require("key", "name the PEM file with the private key", path(base));
        let default = pair.read_or("default", false, boolean);
        pair.finish();
        certificates.extend(cert.zip(key).map(|(cert, key)| Certificate { cert, key, default }));
    }
    certificates
}

fn read_options(section: &mut Section<'_>, base: &Path) -> TlsOptions {
    const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    TlsOptions {
        min_version: section.read_or("min-version", TlsVersion::default(), choice(VERSIONS)),
        alpn: section.read("alpn", list_of(nonempty)),
        strict_sni: section.read_or("strict-sni", false, boolean),
        client_auth: section.section("client-auth").and_then(|section| client_auth(section, base)),
    }
}

fn client_auth(mut section: Section<'_>, base: &Path) -> Option<ClientAuth> {
    const MODES: &[(&str, ClientAuthMode)] =
        &[("require", ClientAuthMode::Require), ("optional", ClientAuthMode::Optional)];
    let hint = "name the PEM file with the authority that issues the clients' certificates";
    let place = section.place().clone();
    let ca = section.require("ca", hint, one_or_more(base));
    let mode = section.read_or("mode", ClientAuthMode::default(), choice(MODES));
    if ca.as_ref().is_some_and(Vec::is_empty) {
        section.report(Problem::new(place, section.key("ca"), "no authority is named").hint(hint));
    }
    section.finish();
    Some(ClientAuth { ca: ca?, mode })
}

/// One path, or a list of them.
fn one_or_more(base: &Path) -> impl Fn(&Node) -> Parsed<Vec<PathBuf>> {
    move |node| match node.value {
        Value::Text(_) => path(base)(node).map(|path| vec![path]),
        _ => list_of(path(base))(node),
    }
}
