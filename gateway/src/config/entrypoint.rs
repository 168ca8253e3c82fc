//! `[entrypoints.NAME]` and `[admin]`: what the gateway listens on.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::document::Node;
use super::problem::{Place, Problem};
use super::reader::{Parsed, Section};
use super::tls::{EntrypointTls, entrypoint_tls};
use super::values::{
    boolean, duration, duration_or_off, integer, list_of, listen_address, network, path, size, size_or_off,
};

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
    /// How much one client may send.
    pub limits: Limits,
    /// How long one client may take.
    pub timeouts: Timeouts,
}

/// `[entrypoints.NAME.limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, over all workers.
    pub connections: NonZeroUsize,
    /// Bytes of an HTTP/1 request head.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub header_count: usize,
    /// Bytes of a request target.
    pub uri_bytes: usize,
    /// Bytes of a request body; none means any number.
    pub body_bytes: Option<u64>,
    /// Streams a client may have open on one HTTP/2 connection.
    pub h2_streams: u32,
    /// Bytes of an HTTP/2 header list.
    pub h2_header_bytes: u32,
}

/// `[entrypoints.NAME.timeouts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TLS handshake.
    pub tls_handshake: Duration,
    /// From the first byte of a request, or the opening of a connection, to the end of its head.
    pub header: Duration,
    /// Between two requests on one connection.
    pub keep_alive: Duration,
    /// Between two pieces of a request body; none means for ever.
    pub body_idle: Option<Duration>,
    /// While the client takes none of the answer; none means for ever.
    pub send_idle: Option<Duration>,
}

/// `[admin]`: API, dashboard and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// A file with the token that requests have to bring.
    pub token_file: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: NonZeroUsize::MIN.saturating_add(49_999),
            header_bytes: 32 << 10,
            header_count: 100,
            uri_bytes: 8 << 10,
            body_bytes: None,
            h2_streams: 100,
            h2_header_bytes: 16 << 10,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Some(Duration::from_secs(30)),
            send_idle: Some(Duration::from_secs(30)),
        }
    }
}

/// Where admin listens if the section does not say.
const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Every name that is written, and each usable entrypoint with the place of its address.
pub(super) fn entrypoints(root: &mut Section<'_>, base: &Path) -> (Vec<String>, Vec<(Entrypoint, Place)>) {
    let (mut names, mut entrypoints) = (Vec::new(), Vec::new());
    for (name, section) in root.named_sections("entrypoints") {
        names.push(name.clone());
        entrypoints.extend(entrypoint(name, section, base));
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
fn entrypoint(name: String, mut section: Section<'_>, base: &Path) -> Option<(Entrypoint, Place)> {
    let hint = "write `address = \"127.0.0.1:8000\"`";
    let address = section.require("address", hint, placed(listen_address));
    let as_default = section.read_or("as-default", false, boolean);
    let tls = section.section("tls").map(|tls| entrypoint_tls(tls, base));
    let trusted_ips = section.read_or("trusted-ips", Vec::new(), list_of(network));
    let limits = limits(section.section_or_empty("limits"));
    let timeouts = timeouts(section.section_or_empty("timeouts"));
    section.finish();
    let (address, place) = address?;
    let entrypoint = Entrypoint { name, address, as_default, tls, trusted_ips, limits, timeouts };
    Some((entrypoint, place))
}

fn limits(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    // hyper refuses smaller read buffers than 8 KiB.
    let header_bytes = size(8 << 10..=1 << 20);
    let limits = Limits {
        connections: section
            .read("connections", integer(1..=u32::MAX))
            .and_then(|connections| NonZeroUsize::new(connections as usize))
            .unwrap_or(default.connections),
        header_bytes: section.read("header-bytes", header_bytes).map_or(default.header_bytes, |bytes| bytes as usize),
        header_count: section
            .read("header-count", integer(1..=10_000_u32))
            .map_or(default.header_count, |count| count as usize),
        uri_bytes: section.read("uri-bytes", size(64..=65_534)).map_or(default.uri_bytes, |bytes| bytes as usize),
        body_bytes: section.read_or("body-bytes", default.body_bytes, size_or_off),
        h2_streams: section.read_or("h2-streams", default.h2_streams, integer(1..=10_000)),
        h2_header_bytes: section
            .read("h2-header-bytes", size(1 << 10..=1 << 20))
            .map_or(default.h2_header_bytes, |bytes| bytes as u32),
    };
    section.finish();
    limits
}

fn timeouts(mut section: Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        tls_handshake: section.read_or("tls-handshake", default.tls_handshake, duration),
        header: section.read_or("header", default.header, duration),
        keep_alive: section.read_or("keep-alive", default.keep_alive, duration),
        body_idle: section.read_or("body-idle", default.body_idle, duration_or_off),
        send_idle: section.read_or("send-idle", default.send_idle, duration_or_off),
    };
    section.finish();
    timeouts
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
