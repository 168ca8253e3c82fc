//! Metrics as text: takes families of samples, gives OpenMetrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder};
use prometheus_client::encoding::{EncodeLabel, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// One metric with all its series.
#[derive(Clone, Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    series: Vec<(Labels, Value)>,
}

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows. `_total` is added to the name.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// Names and values that tell series apart.
pub type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Debug)]
enum Value {
    Integer(u64),
    Float(f64),
    Histogram { sum: f64, count: u64, buckets: Vec<(f64, u64)> },
}

impl Family {
    /// An empty family; `help` is a sentence without its full stop, `name` has neither prefix nor `_total`.
    #[must_use]
    pub fn new(kind: MetricKind, name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind, series: Vec::new() }
    }

    /// Adds a whole number.
    pub fn add(&mut self, labels: impl Into<Labels>, value: u64) {
        self.series.push((labels.into(), Value::Integer(value)));
    }

    /// Adds a number.
    pub fn add_float(&mut self, labels: impl Into<Labels>, value: f64) {
        self.series.push((labels.into(), Value::Float(value)));
    }

    /// Adds a histogram. `counts` are those of each bucket by itself, with one more than there are bounds.
    pub(super) fn add_histogram(&mut self, labels: Labels, bounds: &[f64], counts: &[u64], sum: f64) {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
        let count = counts.iter().sum();
        self.series.push((labels, Value::Histogram { sum, count, buckets }));
    }

    /// A family of a single series without labels.
    #[must_use]
    pub fn single(kind: MetricKind, name: &'static str, help: &'static str, value: f64) -> Self {
        let mut family = Self::new(kind, name, help);
        family.add_float(Labels::new(), value);
        family
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        let help = format!("{}.", self.help);
        let mut metric = encoder.encode_descriptor(self.name, &help, None, kind)?;
        for (labels, value) in &self.series {
            let labels = LabelSet(labels);
            if labels.0.is_empty() {
                self.encode_value(value, &mut metric)?;
            } else {
                self.encode_value(value, &mut metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, value: &Value, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        type NoExemplar<'a> = Option<&'a prometheus_client::metrics::exemplar::Exemplar<LabelSet<'a>, f64>>;
        let none: NoExemplar<'_> = None;
        match (self.kind, value) {
            (MetricKind::Counter, Value::Integer(value)) => metric.encode_counter(value, none),
            (MetricKind::Counter, Value::Float(value)) => metric.encode_counter(value, none),
            // Gauges of the library are signed or floating.
            (_, Value::Integer(value)) => metric.encode_gauge(&(*value as f64)),
            (_, Value::Float(value)) => metric.encode_gauge(value),
            (_, Value::Histogram { sum, count, buckets }) => {
                metric.encode_histogram::<LabelSet<'_>>(*sum, *count, buckets, None)
            }
        }
    }
}

/// Writes families as OpenMetrics: those of the gateway under its prefix, those with names of their own as they are.
#[must_use]
pub(super) fn render(prefix: &str, prefixed: Vec<Family>, plain: Vec<Family>) -> String {
    let mut text = String::with_capacity(64 << 10);
    let mut gateway = Registry::with_prefix(prefix);
    gateway.register_collector(Box::new(Snapshot(prefixed)));
    let mut process = Registry::default();
    process.register_collector(Box::new(Snapshot(plain)));
    let written = text::encode_registry(&mut text, &gateway)
        .and_then(|()| text::encode_registry(&mut text, &process))
        .and_then(|()| text::encode_eof(&mut text));
    // Writing into a string does not fail.
    debug_assert!(written.is_ok());
    text
}

#[derive(Debug)]
struct Snapshot(Vec<Family>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = self.0.iter().filter(|family| !family.series.is_empty());
        families.into_iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

struct LabelSet<'a>(&'a [(&'static str, String)]);

impl EncodeLabelSet for LabelSet<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| (*name, value.as_str()).encode(encoder.encode_label()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_open_metrics() {
        let mut requests = Family::new(MetricKind::Counter, "requests", "Requests");
        requests.add([("service", "a\"b\\c\nd".to_owned())], 7);
        let mut durations = Family::new(MetricKind::Histogram, "duration_seconds", "Durations");
        durations.add_histogram(vec![("service", "a".to_owned())], &[0.1, 1.0], &[3, 0, 1], 4.5);
        let empty = Family::new(MetricKind::Gauge, "nothing", "Nothing");
        let threads = Family::single(MetricKind::Gauge, "process_threads", "Threads", 3.0);
        let expected = r#"# HELP sluice_requests Requests.
# TYPE sluice_requests counter
sluice_requests_total{service="a\"b\\c\nd"} 7
# HELP sluice_duration_seconds Durations.
# TYPE sluice_duration_seconds histogram
sluice_duration_seconds_sum{service="a"} 4.5
sluice_duration_seconds_count{service="a"} 4
sluice_duration_seconds_bucket{le="0.1",service="a"} 3
sluice_duration_seconds_bucket{le="1.0",service="a"} 3
sluice_duration_seconds_bucket{le="+Inf",service="a"} 4
# HELP process_threads Threads.
# TYPE process_threads gauge
process_threads 3.0
# EOF
"#;
        assert_eq!(render("sluice", vec![requests, durations, empty], vec![threads]), expected);
    }
}
