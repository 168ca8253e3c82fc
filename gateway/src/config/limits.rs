//! `limits` and `timeouts` of an entrypoint: how much one client may send and how long it may take.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::reader::Section;
use super::values::{duration, duration_or_off, integer, size, size_or_off};

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
    /// Bytes of a request body that have to come each second, after a grace of 10 s; zero means any number.
    pub body_rate: u32,
    /// Requests on one connection; none means any number.
    pub keep_alive_requests: Option<u32>,
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
    /// Of a connection, after which it is closed between two requests; none means for ever. Each one gets up to a tenth
    /// less or more, so that those opened together do not come back together.
    pub keep_alive_age: Option<Duration>,
    /// Between two pieces of a request body; none means for ever.
    pub body_idle: Option<Duration>,
    /// While the client takes none of the answer; none means for ever.
    pub send_idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: NonZeroUsize::MIN.saturating_add(49_999),
            header_bytes: 32 << 10,
            header_count: 100,
            uri_bytes: 8 << 10,
            body_bytes: None,
            body_rate: 240,
            keep_alive_requests: Some(10_000),
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
            keep_alive_age: Some(Duration::from_secs(3600)),
            body_idle: Some(Duration::from_secs(30)),
            send_idle: Some(Duration::from_secs(30)),
        }
    }
}

/// Reads `[entrypoints.NAME.limits]`.
pub(super) fn limits(mut section: Section<'_>) -> Limits {
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
        body_rate: section.read_or("body-rate", default.body_rate, integer(0..=1 << 30)),
        keep_alive_requests: section
            .read("keep-alive-requests", integer(0..=u32::MAX))
            .map_or(default.keep_alive_requests, |requests| (requests > 0).then_some(requests)),
        h2_streams: section.read_or("h2-streams", default.h2_streams, integer(1..=10_000)),
        h2_header_bytes: section
            .read("h2-header-bytes", size(1 << 10..=1 << 20))
            .map_or(default.h2_header_bytes, |bytes| bytes as u32),
    };
    section.finish();
    limits
}

/// Reads `[entrypoints.NAME.timeouts]`.
pub(super) fn timeouts(mut section: Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        tls_handshake: section.read_or("tls-handshake", default.tls_handshake, duration),
        header: section.read_or("header", default.header, duration),
        keep_alive: section.read_or("keep-alive", default.keep_alive, duration),
        keep_alive_age: section.read_or("keep-alive-age", default.keep_alive_age, duration_or_off),
        body_idle: section.read_or("body-idle", default.body_idle, duration_or_off),
        send_idle: section.read_or("send-idle", default.send_idle, duration_or_off),
    };
    section.finish();
    timeouts
}
