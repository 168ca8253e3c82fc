//! Metrics of plugins, and what plugins write into the log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_wasm::{Level, PluginLog};

use super::exposition::{Family, Labels, MetricKind};

/// Upper bounds of one call in seconds: a call takes microseconds where a request takes milliseconds.
const BOUNDS: [f64; 12] = [5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 2.5e-2];
const BOUNDS_NS: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 25_000_000];

/// Everything else a plugin exports is counted under the last name.
const HOOKS: [&str; 4] = ["on-request", "on-response", "on-complete", "other"];

/// Failures come with every request while a plugin is broken; the metrics count them all.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The handle of one plugin, through all its versions.
#[derive(Debug)]
pub struct PluginMetrics {
    shards: Box<[Shard]>,
    /// By hook and kind of failure.
    failures: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    started: Instant,
    /// When a failure may be logged next, in nanoseconds since then.
    next_failure_log: AtomicU64,
    reloads: [AtomicU64; 2],
    compile_ns: AtomicU64,
    /// Bytes of the largest instance when they were last looked at.
    memory: AtomicU64,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([Calls; HOOKS.len()]);

#[derive(Debug, Default)]
struct Calls {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl PluginMetrics {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| Shard::default()).collect(),
            failures: Mutex::default(),
            started: Instant::now(),
            next_failure_log: AtomicU64::new(0),
            reloads: Default::default(),
            compile_ns: AtomicU64::new(0),
            memory: AtomicU64::new(0),
        }
    }

    /// Counts a call of a hook; `failure` is what kind it was, if it failed.
    pub fn record(&self, hook: &'static str, duration: Duration, failure: Option<&'static str>) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(calls) = self.shards.get(this_thread() % self.shards.len()).and_then(|shard| shard.calls(hook)) {
            let bucket = BOUNDS_NS.iter().position(|bound| ns <= *bound).unwrap_or(BOUNDS_NS.len());
            if let Some(bucket) = calls.buckets.get(bucket) {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
            calls.sum_ns.fetch_add(ns, Ordering::Relaxed);
        }
        if let Some(kind) = failure {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures.entry((hook, kind)).or_default() += 1;
        }
    }

    /// Whether a failure should be logged now: the first one, and one a second from then on.
    pub fn should_log_failure(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.may_log_at(now)
    }

    fn may_log_at(&self, now: u64) -> bool {
        let interval = u64::try_from(FAILURE_LOG_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        let later = |next: u64| (now >= next).then_some(now.saturating_add(interval));
        self.next_failure_log.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).is_ok()
    }

    pub(super) fn reloaded(&self, ok: bool) {
        if let Some(count) = self.reloads.get(usize::from(ok)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn compiled(&self, took: Duration) {
        self.compile_ns.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Calls of all hooks.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.sums().0
    }

    /// Calls that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Calls that failed in that way, such as `trap` or `timeout`.
    #[must_use]
    pub fn failures_of(&self, kind: &str) -> u64 {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().filter(|((_, known), _)| *known == kind).map(|(_, count)| count).sum()
    }

    /// A time that so many percent of the calls stayed within, as far as the histogram tells; none where there was no
    /// call, or where they took longer than it reaches.
    #[must_use]
    pub fn within(&self, percent: u64) -> Option<Duration> {
        let mut all = [0_u64; BOUNDS.len() + 1];
        for hook in 0..HOOKS.len() {
            let (buckets, _) = self.total(hook);
            all.iter_mut().zip(buckets).for_each(|(sum, bucket)| *sum += bucket);
        }
        let rank = (all.iter().sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        let within = |bucket: &u64| {
            seen += bucket;
            rank > 0 && seen >= rank
        };
        let place = all.iter().position(within)?;
        BOUNDS_NS.get(place).copied().map(Duration::from_nanos)
    }

    /// Notes how much memory an instance has.
    pub fn has_memory(&self, bytes: usize) {
        self.memory.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of the largest instance there was.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// What a call takes on average; none where there was none.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let (calls, ns) = self.sums();
        ns.checked_div(calls).map(Duration::from_nanos)
    }

    /// Calls of all hooks, and their time in nanoseconds.
    fn sums(&self) -> (u64, u64) {
        let totals = (0..HOOKS.len()).map(|hook| self.total(hook));
        totals.fold((0, 0), |(calls, ns), (buckets, sum_ns)| {
            (calls + buckets.iter().sum::<u64>(), ns.wrapping_add(sum_ns))
        })
    }

    fn total(&self, hook: usize) -> ([u64; BOUNDS.len() + 1], u64) {
        let (mut buckets, mut sum_ns) = ([0; BOUNDS.len() + 1], 0_u64);
        for calls in self.shards.iter().filter_map(|shard| shard.0.get(hook)) {
            for (total, bucket) in buckets.iter_mut().zip(&calls.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            sum_ns = sum_ns.wrapping_add(calls.sum_ns.load(Ordering::Relaxed));
        }
        (buckets, sum_ns)
    }

    pub(super) fn write(&self, name: &str, families: &mut PluginFamilies) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (index, hook) in HOOKS.into_iter().enumerate() {
            let (buckets, sum_ns) = self.total(index);
            let count: u64 = buckets.iter().sum();
            if count == 0 {
                continue;
            }
            let labels: Labels = vec![("plugin", name.to_owned()), ("hook", hook.to_owned())];
            let with = |outcome: &str| [labels.as_slice(), &[("outcome", outcome.to_owned())]].concat();
            let of_hook = failures.iter().filter(|((failed, _), _)| index == hook_index(failed));
            let mut failed = 0;
            for ((_, kind), count) in of_hook {
                failed += count;
                families.calls.add(with(kind), *count);
            }
            families.calls.add(with("ok"), count.saturating_sub(failed));
            families.durations.add_histogram(labels, &BOUNDS, &buckets, sum_ns as f64 / 1e9);
        }
        let plugin = || ("plugin", name.to_owned());
        for (result, count) in ["failed", "ok"].into_iter().zip(&self.reloads) {
            families.reloads.add([plugin(), ("result", result.to_owned())], count.load(Ordering::Relaxed));
        }
        let memory = self.memory();
        if memory > 0 {
            families.memory.add([plugin()], memory);
        }
        let compile = self.compile_ns.load(Ordering::Relaxed);
        if compile > 0 {
            families.compile.add_float([plugin()], compile as f64 / 1e9);
        }
    }
}

impl Shard {
    fn calls(&self, hook: &str) -> Option<&Calls> {
        self.0.get(hook_index(hook))
    }
}

fn hook_index(hook: &str) -> usize {
    HOOKS.iter().position(|known| *known == hook).unwrap_or(HOOKS.len() - 1)
}

/// A number for this thread, so that workers find shards of their own without being told.
fn this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// The families of plugins.
pub(super) struct PluginFamilies {
    calls: Family,
    durations: Family,
    reloads: Family,
    compile: Family,
    memory: Family,
}

impl PluginFamilies {
    pub(super) fn new() -> Self {
        Self {
            calls: Family::new(MetricKind::Counter, "plugin_calls", "Calls of a plugin's hook, by outcome"),
            durations: Family::new(
                MetricKind::Histogram,
                "plugin_call_duration_seconds",
                "How long calls of a plugin's hook take",
            ),
            reloads: Family::new(MetricKind::Counter, "plugin_reloads", "Versions of a plugin that were tried"),
            compile: Family::new(
                MetricKind::Gauge,
                "plugin_compile_seconds",
                "How long compiling the plugin's latest version took",
            ),
            memory: Family::new(MetricKind::Gauge, "plugin_memory_bytes", "Memory of a plugin's largest instance"),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Family> {
        vec![self.calls, self.durations, self.reloads, self.compile, self.memory]
    }
}

/// Takes a plugin's lines into the gateway's own log.
#[derive(Debug)]
pub struct PluginLogger {
    plugin: String,
}

impl PluginLogger {
    /// The log of one plugin.
    #[must_use]
    pub fn shared(plugin: &str) -> Arc<dyn PluginLog> {
        Arc::new(Self { plugin: plugin.to_owned() })
    }
}

impl PluginLog for PluginLogger {
    fn write(&self, level: Level, message: &str) {
        let (plugin, message) = (&self.plugin, escaped(message));
        match level {
            Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
        }
    }
}

/// A line stays one line, and cannot speak to a terminal.
fn escaped(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for letter in message.chars() {
        if letter.is_control() {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_same_in_both_units() {
        for (seconds, ns) in BOUNDS.iter().zip(BOUNDS_NS) {
            assert_eq!((seconds * 1e9).round() as u64, ns);
        }
    }

    #[test]
    fn calls_are_summed_over_threads_and_failures_told_apart() {
        let metrics = PluginMetrics::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| metrics.record("on-request", Duration::from_micros(3), None));
            }
        });
        metrics.record("on-request", Duration::from_micros(3), Some("trap"));
        metrics.record("something-new", Duration::from_micros(3), Some("timeout"));
        assert_eq!((metrics.calls(), metrics.failures()), (5, 2));
        assert_eq!(metrics.mean(), Some(Duration::from_micros(3)));
        assert_eq!(PluginMetrics::new(1).mean(), None);
    }

    #[test]
    fn failures_are_logged_once_a_second() {
        let metrics = PluginMetrics::new(1);
        let second = 1_000_000_000;
        let allowed = [5, 6, second + 4, second + 5, second + 6].map(|now| metrics.may_log_at(now));
        assert_eq!(allowed, [true, false, false, true, false]);
    }

    #[test]
    fn a_plugin_cannot_write_two_lines_or_colours() {
        assert_eq!(escaped("a\nb\u{1b}[31m\u{9b}é"), "a\\nb\\u{1b}[31m\\u{9b}é");
    }
}
