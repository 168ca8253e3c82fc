//! Connections of TCP services, and what becomes of TLS.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::exposition::{Family, MetricKind};

/// The handle of one TCP service. It is touched when a connection begins and ends, not while bytes pass.
#[derive(Debug, Default)]
pub struct TcpMetrics {
    open: AtomicU64,
    by_outcome: Mutex<BTreeMap<&'static str, u64>>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl TcpMetrics {
    /// A connection begins.
    pub fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// It is over. `outcome` is one word; bytes are those from and to the client.
    pub fn closed(&self, outcome: &'static str, received: u64, sent: u64) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        *self.by_outcome.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
        self.received.fetch_add(received, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }
}

/// Families of all TCP services.
pub(super) struct TcpFamilies {
    connections: Family,
    open: Family,
    bytes: Family,
}

impl TcpFamilies {
    pub(super) fn new() -> Self {
        let connections = "Connections to a TCP service that are over, by what became of them";
        let bytes = "Bytes from clients to a TCP service and back";
        Self {
            connections: Family::new(MetricKind::Counter, "tcp_service_connections", connections),
            open: Family::new(MetricKind::Gauge, "tcp_service_open_connections", "Connections open to a TCP service"),
            bytes: Family::new(MetricKind::Counter, "tcp_service_bytes", bytes),
        }
    }

    pub(super) fn add(&mut self, name: &str, metrics: &TcpMetrics) {
        let service = || ("service", name.to_owned());
        for (outcome, count) in metrics.by_outcome.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.connections.add([service(), ("outcome", (*outcome).to_owned())], *count);
        }
        self.open.add([service()], metrics.open.load(Ordering::Relaxed));
        for (direction, count) in [("received", &metrics.received), ("sent", &metrics.sent)] {
            self.bytes.add([service(), ("direction", direction.to_owned())], count.load(Ordering::Relaxed));
        }
    }

    pub(super) fn into_vec(self) -> Vec<Family> {
        vec![self.connections, self.open, self.bytes]
    }
}

/// Certificates in force, and how handshakes and reloads went.
#[derive(Debug, Default)]
pub(super) struct TlsMetrics {
    /// By entrypoint: names and end of validity in seconds since 1970.
    certificates: Mutex<BTreeMap<String, Vec<(String, i64)>>>,
    reloads: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl TlsMetrics {
    pub(super) fn certificates(&self, entrypoint: &str, shown: Vec<(String, i64)>) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(entrypoint.to_owned(), shown);
    }

    pub(super) fn reloaded(&self, entrypoint: &str, result: &'static str) {
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        *reloads.entry((entrypoint.to_owned(), result)).or_default() += 1;
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let help = "When a certificate in force ends, in seconds since 1970";
        let mut ends = Family::new(MetricKind::Gauge, "tls_certificate_not_after_seconds", help);
        let certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        for (entrypoint, shown) in certificates.iter() {
            let mut seen = BTreeMap::new();
            for (names, end) in shown {
                // Of two with the same names the one that ends first matters.
                let earliest = seen.entry(names).or_insert(*end);
                *earliest = (*earliest).min(*end);
            }
            for (names, end) in seen {
                ends.add_float([("entrypoint", entrypoint.clone()), ("names", names.clone())], end as f64);
            }
        }
        let help = "How often files of certificates were read again after a change, by result";
        let mut reloads = Family::new(MetricKind::Counter, "tls_reloads", help);
        for ((entrypoint, result), count) in self.reloads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            reloads.add([("entrypoint", entrypoint.clone()), ("result", (*result).to_owned())], *count);
        }
        vec![ends, reloads]
    }
}
