//! `[entrypoints.NAME]` and `[admin]`: what the gateway listens on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::document::Node;
use super::ingress::{EncodedCharacters, HeaderNames, encoded_characters, header_names};
use super::limits::{Limits, Timeouts, limits, timeouts};
use super::problem::{Place, Problem};
use super::reader::{Fault, Parsed, Section};
use super::redirect::{self, Redirect};
use super::tls::{EntrypointTls, entrypoint_tls};
use super::values::{boolean, list_of, listen_address, network, nonempty, path};

/// A socket that requests arrive on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrypoint {
    /// As in `[entrypoints.NAME]`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether routes that name no entrypoint are reached here. True for all where the file says it of none.
    pub as_default: bool,
    /// Present where connections are TLS.
    pub tls: Option<EntrypointTls>,
    /// Clients whose `Forwarded` and `X-Forwarded-*` headers are believed.
    pub trusted_ips: Vec<IpNet>,
    /// Present where load balancers in front say who the client is before its first byte.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What becomes of headers with unusual names.
    pub header_names: HeaderNames,
    /// Which characters a path may have encoded.
    pub encoded_characters: EncodedCharacters,
    /// Whether a `;` in a query belongs to a value; it separates parameters otherwise.
    pub encode_query_semicolons: bool,
    /// Where every client is sent, before anything else.
    pub redirect: Option<Redirect>,
    /// Names of steps of providers, such as `secured@consulcatalog`, that every request passes before its route's own.
    pub steps: Vec<String>,
    /// What is noted of requests whose routes do not say it.
    pub observability: Observability,
    /// How much one client may send.
    pub limits: Limits,
    /// How long one client may take.
    pub timeouts: Timeouts,
}

/// `observability`: what is noted of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observability {
    /// A line in the access log, where there is one.
    pub access_logs: bool,
    /// Counts in the metrics.
    pub metrics: bool,
}

/// `proxy-protocol`: HAProxy's, versions 1 and 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Peers that speak it, and have to; others are served as they are.
    pub trusted_ips: Vec<IpNet>,
}

/// `[admin]`: API, dashboard and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// A file with the token that requests have to bring.
    pub token_file: Option<PathBuf>,
}

/// Where admin listens if the section does not say.
const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Every name that is written, and each usable entrypoint with the place of its address.
pub(super) fn entrypoints(root: &mut Section<'_>, base: &Path) -> (Vec<String>, Vec<(Entrypoint, Place)>) {
    let (mut names, mut entrypoints): (_, Vec<(Entrypoint, Place)>) = (Vec::new(), Vec::new());
    let mut redirects = Vec::new();
    for (name, section) in root.named_sections("entrypoints") {
        names.push(name.clone());
        if let Some((entrypoint, place, redirect)) = entrypoint(name, section, base) {
            redirects.push(redirect);
            entrypoints.push((entrypoint, place));
        }
    }
    for (at, written) in redirects.into_iter().enumerate() {
        let redirect = written.and_then(|written| redirect::resolve(written, &entrypoints, root));
        if let Some((entrypoint, _)) = entrypoints.get_mut(at) {
            entrypoint.redirect = redirect;
        }
    }
    let none_is_default = entrypoints.iter().all(|(entrypoint, _)| !entrypoint.as_default);
    if none_is_default {
        for (entrypoint, _) in &mut entrypoints {
            entrypoint.as_default = true;
        }
    }
    (names, entrypoints)
}

/// None where it has no usable address; its other keys are checked all the same.
fn entrypoint(
    name: String,
    mut section: Section<'_>,
    base: &Path,
) -> Option<(Entrypoint, Place, Option<redirect::Written>)> {
    let hint = "write `address = \"127.0.0.1:8000\"`";
    let address = section.require("address", hint, placed(listen_address));
    let as_default = section.read_or("as-default", false, boolean);
    let tls = section.section("tls").map(|tls| entrypoint_tls(tls, base));
    let trusted_ips = section.read_or("trusted-ips", Vec::new(), list_of(network));
    let proxy_protocol = section.section("proxy-protocol").map(proxy_protocol);
    let header_names = section.read_or("header-names", HeaderNames::default(), header_names);
    let encoded_characters = encoded_characters(section.section_or_empty("encoded-characters"));
    let encode_query_semicolons = section.read_or("encode-query-semicolons", false, boolean);
    let redirect = section.section("redirect").and_then(redirect::redirect);
    let steps = section.read_or("steps", Vec::new(), list_of(step));
    let observability = observability(section.section_or_empty("observability"));
    let limits = limits(section.section_or_empty("limits"));
    let timeouts = timeouts(section.section_or_empty("timeouts"));
    section.finish();
    let (address, place) = address?;
    let entrypoint = Entrypoint {
        name,
        address,
        as_default,
        tls,
        trusted_ips,
        proxy_protocol,
        header_names,
        encoded_characters,
        encode_query_semicolons,
        redirect: None,
        steps,
        observability,
        limits,
        timeouts,
    };
    Some((entrypoint, place, redirect))
}

/// A step is a provider's, or a policy of this file.
fn step(node: &Node) -> Parsed<String> {
    let name = nonempty(node)?;
    match name.split_once('@') {
        Some((local, provider)) if !local.is_empty() && !provider.is_empty() => Ok(name),
        _ => Fault::at(&node.place, format!("`{name}` does not say whose step it is"))
            .hint("write `NAME@consulcatalog`, `NAME@file`, or `NAME@config` for one of [[policies]]")
            .into(),
    }
}

fn observability(mut section: Section<'_>) -> Observability {
    let access_logs = section.read_or("access-logs", true, boolean);
    let metrics = section.read_or("metrics", true, boolean);
    section.finish();
    Observability { access_logs, metrics }
}

fn proxy_protocol(mut section: Section<'_>) -> ProxyProtocol {
    let hint = "name the load balancers: `trusted-ips = [\"10.0.0.0/8\"]`";
    let trusted_ips = section.require("trusted-ips", hint, list_of(network)).unwrap_or_default();
    section.finish();
    ProxyProtocol { trusted_ips }
}

/// Reads `[admin]`, with the place of its address. Listening beyond this machine takes a token.
pub(super) fn admin(root: &mut Section<'_>, base: &Path) -> Option<(Admin, Place)> {
    let mut section = root.section("admin")?;
    let default = (ADMIN_ADDRESS, section.place().clone());
    let (address, place) = section.read_or("address", default, placed(listen_address));
    let token_file = section.read("token-file", path(base));
    if token_file.is_none() && !address.ip().is_loopback() {
        let message = format!("`{address}` is reachable from other machines without a token");
        let problem = Problem::new(place.clone(), section.key("address"), message)
            .hint("listen on 127.0.0.1, or name a file with a secret: `token-file = \"admin.token\"`");
        section.report(problem);
    }
    section.finish();
    let admin = Admin { address, token_file };
    Some((admin, place))
}

/// Keeps the place of what `parse` reads.
fn placed<T>(parse: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<(T, Place)> {
    move |node| Ok((parse(node)?, node.place.clone()))
}
