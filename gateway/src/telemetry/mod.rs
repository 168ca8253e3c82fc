//! Stand-in while the real one is being written.
#![allow(missing_docs)]
use std::sync::Arc;
use std::time::Duration;
#[derive(Debug, Default)]
pub struct Telemetry;
#[derive(Debug, Default)]
pub struct ServiceMetrics;
#[derive(Debug, Default)]
pub struct PluginMetrics;
#[derive(Debug, Default)]
pub struct WorkerTelemetry;
pub struct PluginLogger(String);
pub struct Connection;
impl Telemetry {
    pub fn new(_: &crate::config::Config, _: usize) -> std::io::Result<Self> { Ok(Self) }
    pub fn flush(&self) {}
    pub fn exposition(&self, _: &crate::admin::View) -> String { String::new() }
    pub fn service(&self, _: &str) -> Arc<ServiceMetrics> { Arc::default() }
    pub fn plugin(&self, _: &str) -> Arc<PluginMetrics> { Arc::default() }
    pub fn plugin_reload(&self, _: &str, _: bool) {}
    pub fn plugin_compiled(&self, _: &str, _: Duration) {}
    pub fn worker(&self, _: usize) -> WorkerTelemetry { WorkerTelemetry }
}
impl WorkerTelemetry {
    pub fn connection(&self, _: usize) -> Connection { Connection }
    pub fn finished(&self, _: &Finished<'_>) {}
    pub fn wants_access_log(&self) -> bool { false }
}
pub struct Finished<'a> {
    pub entrypoint: usize,
    pub method: &'a hyper::Method,
    pub version: hyper::Version,
    pub status: u16,
    pub duration: Duration,
    pub sent: u64,
    pub service: Option<&'a ServiceMetrics>,
    pub flag: Option<&'static str>,
}
impl PluginMetrics {
    pub fn calls(&self) -> u64 { 0 }
    pub fn failures(&self) -> u64 { 0 }
    pub fn mean(&self) -> Option<Duration> { None }
    pub fn record(&self, _: &'static str, _: Duration, _: Option<&'static str>) {}
    pub fn should_log_failure(&self) -> bool { true }
}
impl PluginLogger {
    pub fn shared(name: &str) -> Arc<dyn sluice_wasm::PluginLog> { Arc::new(Self(name.to_owned())) }
}
impl sluice_wasm::PluginLog for PluginLogger {
    fn write(&self, _: sluice_wasm::Level, message: &str) { tracing::info!(plugin = self.0, "{message}"); }
}
