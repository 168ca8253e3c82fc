//! Metrics of requests: handles that are resolved once, and what a worker does when a request is over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, Version};

use super::access_log::{AccessRecord, WorkerLog};
use super::exposition::{Family, MetricKind};
use super::series::{BOUNDS, Key, Series};

/// Series of one service: statuses an upstream really uses with methods clients really use.
const SERVICE_SLOTS: usize = 32;
/// An entrypoint sees what all services answer, and scanners.
const ENTRYPOINT_SLOTS: usize = 128;

/// The handle of one service.
#[derive(Debug)]
pub struct ServiceMetrics {
    series: Series,
}

/// The handle of one entrypoint.
#[derive(Debug)]
pub(super) struct EntrypointMetrics {
    pub(super) name: String,
    series: Series,
    connections: Box<[Connections]>,
}

/// A worker opens and closes its own connections, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Connections(AtomicI64);

/// Requests that ended badly, by reason. Only those come here, so a lock that nobody else wants is cheap enough.
#[derive(Debug)]
pub(super) struct Errors {
    name: &'static str,
    help: &'static str,
    shards: Box<[Mutex<BTreeMap<&'static str, u64>>]>,
}

/// One worker's way to the metrics and to the access log.
#[derive(Debug)]
pub struct WorkerTelemetry {
    pub(super) shard: usize,
    pub(super) entrypoints: Arc<[Arc<EntrypointMetrics>]>,
    pub(super) errors: Arc<Errors>,
    pub(super) rejected: Arc<Errors>,
    pub(super) log: Option<WorkerLog>,
}

/// Counts what clients are refused, from within a connection.
#[derive(Clone, Debug)]
pub struct Rejections {
    shard: usize,
    rejected: Arc<Errors>,
}

/// A client's connection, counted as open until this is dropped.
#[derive(Debug)]
pub struct Connection {
    counted: Option<Arc<EntrypointMetrics>>,
    shard: usize,
}

/// What a request was, when it is over.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The entrypoint's position in the configuration.
    pub entrypoint: usize,
    /// As the client sent it.
    pub method: &'a Method,
    /// Of the client's connection.
    pub version: Version,
    /// What the client got.
    pub status: u16,
    /// From its arrival to its last byte.
    pub duration: Duration,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// Absent where no service was chosen.
    pub service: Option<&'a ServiceMetrics>,
    /// Why it failed, as a short code or word.
    pub flag: Option<&'static str>,
}

impl ServiceMetrics {
    pub(super) fn new(shards: usize) -> Self {
        Self { series: Series::new(shards, SERVICE_SLOTS) }
    }

    pub(super) fn write(&self, name: &str, families: &mut RequestFamilies) {
        families.add("service", name, &self.series);
    }
}

impl EntrypointMetrics {
    pub(super) fn new(name: String, shards: usize) -> Self {
        let connections = (0..shards.max(1)).map(|_| Connections::default()).collect();
        Self { name, series: Series::new(shards, ENTRYPOINT_SLOTS), connections }
    }

    pub(super) fn write(&self, families: &mut RequestFamilies, open: &mut Family) {
        families.add("entrypoint", &self.name, &self.series);
        let sum: i64 = self.connections.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum();
        open.add([("entrypoint", self.name.clone())], u64::try_from(sum).unwrap_or(0));
    }

    fn count_connection(&self, shard: usize, change: i64) {
        if let Some(connections) = self.connections.get(shard % self.connections.len()) {
            connections.0.fetch_add(change, Ordering::Relaxed);
        }
    }
}

impl Errors {
    pub(super) fn new(shards: usize, name: &'static str, help: &'static str) -> Self {
        Self { name, help, shards: (0..shards.max(1)).map(|_| Mutex::default()).collect() }
    }

    fn count(&self, shard: usize, reason: &'static str) {
        if let Some(shard) = self.shards.get(shard % self.shards.len()) {
            *shard.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
        }
    }

    pub(super) fn family(&self) -> Family {
        let mut totals: BTreeMap<&'static str, u64> = BTreeMap::new();
        for shard in &self.shards {
            for (reason, count) in shard.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                *totals.entry(reason).or_default() += count;
            }
        }
        let mut family = Family::new(MetricKind::Counter, self.name, self.help);
        for (reason, count) in totals {
            family.add([("reason", reason.to_owned())], count);
        }
        family
    }
}

impl WorkerTelemetry {
    /// Counts a connection until what it returns is dropped.
    #[must_use]
    pub fn connection(&self, entrypoint: usize) -> Connection {
        let counted = self.entrypoints.get(entrypoint).cloned();
        if let Some(entrypoint) = &counted {
            entrypoint.count_connection(self.shard, 1);
        }
        Connection { counted, shard: self.shard }
    }

    /// Counts a request that is over.
    pub fn finished(&self, request: &Finished<'_>) {
        let key = Key::new(request.status, request.method);
        if let Some(entrypoint) = self.entrypoints.get(request.entrypoint) {
            entrypoint.series.record(self.shard, key, request.duration, request.sent);
        }
        if let Some(service) = request.service {
            service.series.record(self.shard, key, request.duration, request.sent);
        }
        if let Some(reason) = request.flag {
            self.errors.count(self.shard, reason);
        }
    }

    /// Counts a connection that ended before there was a request, by reason.
    pub fn connection_failed(&self, reason: &'static str) {
        self.errors.count(self.shard, reason);
        self.rejected.count(self.shard, reason);
    }

    /// Counts what a client was refused: a request, or its connection.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.count(self.shard, reason);
    }

    /// The same for who outlives a borrow of this.
    #[must_use]
    pub fn rejections(&self) -> Rejections {
        Rejections { shard: self.shard, rejected: Arc::clone(&self.rejected) }
    }

    /// Whether [`access`](Self::access) does anything; what it takes need not be gathered otherwise.
    #[must_use]
    pub fn wants_access_log(&self) -> bool {
        self.log.is_some()
    }

    /// Writes a line into the access log.
    pub fn access(&self, record: &AccessRecord<'_>) {
        if let Some(log) = &self.log {
            log.write(record);
        }
    }
}

impl Rejections {
    /// Counts one.
    pub fn count(&self, reason: &'static str) {
        self.rejected.count(self.shard, reason);
    }
}

impl Default for Rejections {
    /// Counts for nobody.
    fn default() -> Self {
        Self { shard: 0, rejected: Arc::new(Errors::new(1, "rejected", "")) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(entrypoint) = &self.counted {
            entrypoint.count_connection(self.shard, -1);
        }
    }
}

/// The three families that entrypoints and services have alike.
pub(super) struct RequestFamilies {
    requests: Family,
    durations: Family,
    bytes: Family,
}

impl RequestFamilies {
    pub(super) fn entrypoints() -> Self {
        Self {
            requests: Family::new(MetricKind::Counter, "entrypoint_requests", "Requests answered at an entrypoint"),
            durations: Family::new(
                MetricKind::Histogram,
                "entrypoint_request_duration_seconds",
                "From a request's arrival at an entrypoint to the last byte of its answer",
            ),
            bytes: Family::new(
                MetricKind::Counter,
                "entrypoint_responses_bytes",
                "Bytes of bodies sent at an entrypoint",
            ),
        }
    }

    pub(super) fn services() -> Self {
        Self {
            requests: Family::new(MetricKind::Counter, "service_requests", "Requests that went to a service"),
            durations: Family::new(
                MetricKind::Histogram,
                "service_request_duration_seconds",
                "From a request's arrival to the last byte of its answer, by service",
            ),
            bytes: Family::new(MetricKind::Counter, "service_responses_bytes", "Bytes of bodies sent for a service"),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Family> {
        vec![self.requests, self.durations, self.bytes]
    }

    fn add(&mut self, label: &'static str, name: &str, series: &Series) {
        for (key, totals) in series.totals() {
            let mut labels = vec![(label, name.to_owned())];
            labels.extend(key.labels());
            self.requests.add(labels.clone(), totals.count());
            self.bytes.add(labels.clone(), totals.bytes);
            let sum = totals.sum_ns as f64 / 1e9;
            self.durations.add_histogram(labels, &BOUNDS, &totals.buckets, sum);
        }
    }
}
