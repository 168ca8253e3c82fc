//! What can be seen of the gateway from outside: metrics, the access log, and its own log.
//!
//! Takes what happened from workers and the control plane; gives text. Handles are resolved when something is compiled,
//! never per request, and nothing here can make a request wait or fail.

mod access_line;
pub mod access_log;
pub mod exposition;
pub mod log;
mod plugin;
mod process;
mod request;
mod series;
mod tcp;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use access_log::{AccessLogWriter, AccessRecord, protocol};
pub use exposition::{Family, Labels, MetricKind};
pub use plugin::{PluginLogger, PluginMetrics};
pub use request::{Connection, Finished, Rejections, ServiceMetrics, WorkerTelemetry};
pub use tcp::TcpMetrics;

use plugin::PluginFamilies;
use request::{EntrypointMetrics, Errors, RequestFamilies};
use tcp::{TcpFamilies, TlsMetrics};

use crate::config::Config;

/// Names for which there are series, of services or of plugins. What comes after that is counted together.
const MAX_NAMES: usize = 10_000;

/// What the names beyond [`MAX_NAMES`] are counted as.
const OVERFLOW: &str = "_other";

/// A series stays for this many looks after its service is gone, so that its last counts are seen.
const LOOKS_AFTER_END: u8 = 2;

/// All metrics, and the way to the access log. One for the process.
#[derive(Debug)]
pub struct Telemetry {
    prefix: String,
    shards: usize,
    entrypoints: Arc<[Arc<EntrypointMetrics>]>,
    errors: Arc<Errors>,
    rejected: Arc<Errors>,
    services: Handles<ServiceMetrics>,
    plugins: Handles<PluginMetrics>,
    tcp_services: Handles<TcpMetrics>,
    tls: TlsMetrics,
    access_log: Option<AccessLogWriter>,
}

/// Handles by name. A handle that nobody else holds is at its end.
#[derive(Debug)]
struct Handles<T> {
    by_name: Mutex<BTreeMap<String, Handle<T>>>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Handle<T> {
    metrics: Arc<T>,
    looks_since_end: u8,
}

impl Telemetry {
    /// Metrics for the configured entrypoints and that many workers, and the access log where one is configured.
    ///
    /// # Errors
    /// The access log cannot be opened.
    pub fn new(config: &Config, workers: usize) -> std::io::Result<Self> {
        let names = config.entrypoints.iter().map(|entrypoint| entrypoint.name.clone()).collect();
        let access_log = config.access_log.as_ref().map(AccessLogWriter::start).transpose()?;
        Ok(Self::with(config.metrics.prefix.clone(), workers, names, access_log))
    }

    fn with(prefix: String, shards: usize, names: Vec<String>, access_log: Option<AccessLogWriter>) -> Self {
        let entrypoints = names.into_iter().map(|name| Arc::new(EntrypointMetrics::new(name, shards))).collect();
        Self {
            prefix,
            shards,
            entrypoints,
            errors: Arc::new(Errors::new(shards, "request_errors", "Requests that failed, by reason")),
            rejected: Arc::new(Errors::new(shards, "rejected", "What clients were refused or cut off for, by reason")),
            services: Handles::default(),
            plugins: Handles::default(),
            tcp_services: Handles::default(),
            tls: TlsMetrics::default(),
            access_log,
        }
    }

    /// The handle of a service. Whoever keeps it keeps its series.
    pub fn service(&self, name: &str) -> Arc<ServiceMetrics> {
        self.services.get(name, || ServiceMetrics::new(self.shards))
    }

    /// The handle of a TCP service. Whoever keeps it keeps its series.
    pub fn tcp_service(&self, name: &str) -> Arc<TcpMetrics> {
        self.tcp_services.get(name, TcpMetrics::default)
    }

    /// The certificates an entrypoint shows: their names, and when they end in seconds since 1970.
    pub fn certificates(&self, entrypoint: &str, shown: Vec<(String, i64)>) {
        self.tls.certificates(entrypoint, shown);
    }

    /// Counts that the files of an entrypoint's certificates were read again.
    pub fn certificates_reloaded(&self, entrypoint: &str, ok: bool) {
        self.tls.reloaded(entrypoint, if ok { "ok" } else { "failed" });
    }

    /// The handle of a plugin, the same for all its versions.
    pub fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        self.plugins.get(name, || PluginMetrics::new(self.shards))
    }

    /// Counts that a version of a plugin was tried, and whether it is now in force.
    pub fn plugin_reload(&self, name: &str, ok: bool) {
        self.plugin(name).reloaded(ok);
    }

    /// Notes how long compiling a plugin took.
    pub fn plugin_compiled(&self, name: &str, took: Duration) {
        self.plugin(name).compiled(took);
    }

    /// What worker number `index` needs. Each worker has its own.
    #[must_use]
    pub fn worker(&self, index: usize) -> WorkerTelemetry {
        WorkerTelemetry {
            shard: index,
            entrypoints: Arc::clone(&self.entrypoints),
            errors: Arc::clone(&self.errors),
            rejected: Arc::clone(&self.rejected),
            log: self.access_log.as_ref().map(AccessLogWriter::worker),
        }
    }

    /// Opens the access log again, after its file was moved away.
    pub fn reopen(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Writes what is left of the access log and ends it. To be called last.
    pub fn flush(&self) {
        if let Some(log) = &self.access_log {
            log.close();
        }
    }

    /// Everything as OpenMetrics, with `more` families of those who know what is not counted here. Each call counts as
    /// one look for series that are at their end.
    #[must_use]
    pub fn render(&self, more: Vec<Family>) -> String {
        let mut families = vec![self.build_info(), self.workers()];
        families.extend(self.requests());
        families.push(self.errors.family());
        families.push(self.rejected.family());
        families.extend(self.tcp_families());
        families.extend(self.tls.families());
        families.extend(self.plugin_families());
        families.push(self.refused());
        families.extend(self.dropped_lines());
        families.extend(more);
        exposition::render(&self.prefix, families, process::families())
    }

    fn requests(&self) -> Vec<Family> {
        let mut open = Family::new(MetricKind::Gauge, "open_connections", "Connections open at an entrypoint");
        let mut entrypoints = RequestFamilies::entrypoints();
        for entrypoint in self.entrypoints.iter() {
            entrypoint.write(&mut entrypoints, &mut open);
        }
        let mut services = RequestFamilies::services();
        self.services.look(|name, service| service.write(name, &mut services));
        let mut families = entrypoints.into_vec();
        families.push(open);
        families.extend(services.into_vec());
        families
    }

    fn tcp_families(&self) -> Vec<Family> {
        let mut families = TcpFamilies::new();
        self.tcp_services.look(|name, service| families.add(name, service));
        families.into_vec()
    }

    fn plugin_families(&self) -> Vec<Family> {
        let mut families = PluginFamilies::new();
        self.plugins.look(|name, plugin| plugin.write(name, &mut families));
        families.into_vec()
    }

    fn build_info(&self) -> Family {
        let mut family = Family::new(MetricKind::Gauge, "build_info", "Which gateway this is");
        family.add([("version", env!("CARGO_PKG_VERSION").to_owned())], 1);
        family
    }

    fn workers(&self) -> Family {
        let help = "Threads that serve requests";
        Family::single(MetricKind::Gauge, "runtime_workers", help, self.shards as f64)
    }

    fn refused(&self) -> Family {
        let help = "Handles that were given no series of their own, since there are too many names";
        let mut family = Family::new(MetricKind::Counter, "metrics_overflow", help);
        family.add([("family", "service".to_owned())], self.services.refused.load(Ordering::Relaxed));
        family.add([("family", "plugin".to_owned())], self.plugins.refused.load(Ordering::Relaxed));
        family.add([("family", "tcp".to_owned())], self.tcp_services.refused.load(Ordering::Relaxed));
        family
    }

    fn dropped_lines(&self) -> Option<Family> {
        let log = self.access_log.as_ref()?;
        let help = "Lines of the access log that were not written, since it could not keep up";
        let mut family = Family::new(MetricKind::Counter, "accesslog_dropped", help);
        family.add([], log.dropped());
        Some(family)
    }
}

impl Default for Telemetry {
    /// For one worker, without entrypoints and access log.
    fn default() -> Self {
        Self::with("sluice".to_owned(), 1, Vec::new(), None)
    }
}

impl<T> Handles<T> {
    fn get(&self, name: &str, make: impl Fn() -> T) -> Arc<T> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !by_name.contains_key(name);
        let name = if is_new && by_name.len() >= MAX_NAMES {
            self.refused.fetch_add(1, Ordering::Relaxed);
            OVERFLOW
        } else {
            name
        };
        let handle =
            by_name.entry(name.to_owned()).or_insert_with(|| Handle { metrics: Arc::new(make()), looks_since_end: 0 });
        handle.looks_since_end = 0;
        Arc::clone(&handle.metrics)
    }

    fn look(&self, mut show: impl FnMut(&str, &T)) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.retain(|name, handle| {
            let is_used = Arc::strong_count(&handle.metrics) > 1;
            handle.looks_since_end = if is_used { 0 } else { handle.looks_since_end.saturating_add(1) };
            let stays = handle.looks_since_end <= LOOKS_AFTER_END;
            if stays {
                show(name, &handle.metrics);
            }
            stays
        });
    }
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { by_name: Mutex::default(), refused: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Method, Version};

    use super::*;

    fn telemetry() -> Telemetry {
        Telemetry::with("sluice".into(), 2, vec!["web".into()], None)
    }

    fn finish(worker: &WorkerTelemetry, service: Option<&ServiceMetrics>, flag: Option<&'static str>) {
        worker.finished(&Finished {
            entrypoint: 0,
            method: &Method::GET,
            version: Version::HTTP_11,
            status: if flag.is_some() { 404 } else { 200 },
            duration: Duration::from_millis(2),
            sent: 10,
            service,
            flag,
        });
    }

    #[test]
    fn a_request_is_counted_at_its_entrypoint_and_its_service() {
        let telemetry = telemetry();
        let service = telemetry.service("go@file");
        let (first, second) = (telemetry.worker(0), telemetry.worker(1));
        let open = first.connection(0);
        drop(second.connection(0));
        finish(&first, Some(&service), None);
        finish(&second, Some(&service), None);
        finish(&second, None, Some("NR"));
        let text = telemetry.render(Vec::new());
        for line in [
            "sluice_entrypoint_requests_total{entrypoint=\"web\",code=\"200\",method=\"GET\",protocol=\"http\"} 2",
            "sluice_entrypoint_requests_total{entrypoint=\"web\",code=\"404\",method=\"GET\",protocol=\"http\"} 1",
            "sluice_service_requests_total{service=\"go@file\",code=\"200\",method=\"GET\",protocol=\"http\"} 2",
            "sluice_service_responses_bytes_total{service=\"go@file\",code=\"200\",method=\"GET\",protocol=\"http\"} 20",
            "sluice_service_request_duration_seconds_sum{service=\"go@file\",code=\"200\",method=\"GET\",protocol=\"http\"} 0.004",
            "sluice_open_connections{entrypoint=\"web\"} 1.0",
            "sluice_request_errors_total{reason=\"NR\"} 1",
            "sluice_runtime_workers 2.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        drop(open);
        assert!(telemetry.render(Vec::new()).contains("sluice_open_connections{entrypoint=\"web\"} 0.0\n"));
    }

    #[test]
    fn series_of_a_vanished_service_go_after_two_looks_and_come_back_with_it() {
        let telemetry = telemetry();
        let service = telemetry.service("go@file");
        finish(&telemetry.worker(0), Some(&service), None);
        let is_there = || telemetry.render(Vec::new()).contains("service=\"go@file\"");
        assert!(is_there());
        drop(service);
        assert!(is_there());
        let back = telemetry.service("go@file");
        assert!(is_there());
        drop(back);
        assert_eq!([is_there(), is_there(), is_there()], [true, true, false]);
    }

    #[test]
    fn names_are_bounded() {
        let telemetry = telemetry();
        let services: Vec<_> = (0..=MAX_NAMES + 1).map(|index| telemetry.service(&index.to_string())).collect();
        assert!(services.iter().rev().take(2).all(|last| Arc::ptr_eq(last, &telemetry.service(OVERFLOW))));
        let text = telemetry.render(Vec::new());
        assert!(text.contains("sluice_metrics_overflow_total{family=\"service\"} 2\n"), "{text}");
    }

    #[test]
    fn plugins_have_their_families() {
        let telemetry = telemetry();
        telemetry.plugin_reload("rate-limit", true);
        telemetry.plugin_reload("rate-limit", false);
        telemetry.plugin_compiled("rate-limit", Duration::from_millis(1500));
        let plugin = telemetry.plugin("rate-limit");
        plugin.record("on-request", Duration::from_micros(1), None);
        plugin.record("on-request", Duration::from_micros(1), Some("trap"));
        let text = telemetry.render(Vec::new());
        for line in [
            "sluice_plugin_calls_total{plugin=\"rate-limit\",hook=\"on-request\",outcome=\"ok\"} 1",
            "sluice_plugin_calls_total{plugin=\"rate-limit\",hook=\"on-request\",outcome=\"trap\"} 1",
            "sluice_plugin_call_duration_seconds_count{plugin=\"rate-limit\",hook=\"on-request\"} 2",
            "sluice_plugin_reloads_total{plugin=\"rate-limit\",result=\"ok\"} 1",
            "sluice_plugin_reloads_total{plugin=\"rate-limit\",result=\"failed\"} 1",
            "sluice_plugin_compile_seconds{plugin=\"rate-limit\"} 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
    }
}
