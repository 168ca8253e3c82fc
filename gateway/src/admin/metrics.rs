//! Metrics that are not counted but looked at: the generation, providers, plugins and instances as they are now.

use std::time::{SystemTime, UNIX_EPOCH};

use super::View;
use crate::control::provider_names;
use crate::telemetry::{Family, MetricKind};

/// Families for [`Telemetry::render`](crate::telemetry::Telemetry::render).
pub(super) fn families(view: &View) -> Vec<Family> {
    let mut families = generation(view);
    families.extend(services(view));
    families.extend(discovery(view));
    families.push(plugins(view));
    families.push(buckets(view));
    families
}

fn generation(view: &View) -> Vec<Family> {
    let generation = view.live.load();
    let mut info = Family::new(MetricKind::Gauge, "config_info", "The generation in force");
    info.add([("generation", generation.id.to_string())], 1);
    let published = seconds(generation.published);
    let reload = "When the generation in force was published";
    let enabled = generation.routes.values().filter(|status| status.route.is_some()).count();
    let mut routers = Family::new(MetricKind::Gauge, "routers", "Routes by whether they work");
    routers.add([("status", "enabled".to_owned())], enabled as u64);
    routers.add([("status", "disabled".to_owned())], (generation.routes.len() - enabled) as u64);
    vec![info, Family::single(MetricKind::Gauge, "config_last_reload_success", reload, published), routers]
}

fn services(view: &View) -> Vec<Family> {
    let gauge = |name, help| Family::new(MetricKind::Gauge, name, help);
    let mut up = gauge("service_server_up", "Whether a service sends requests to an instance");
    let mut panic = gauge("service_panic", "Whether a service uses all instances because few are in health");
    let mut waiting = gauge("service_requests_waiting", "Requests that wait for a service to take them");
    let mut refused =
        Family::new(MetricKind::Counter, "service_requests_overflowed", "Requests refused by a service's limit");
    let mut checks = Family::new(MetricKind::Counter, "service_health_checks", "Answers to health checks");
    for service in view.live.load().services.values() {
        let Some(balancer) = service.balancer() else { continue };
        let name = service.name.to_string();
        for endpoint in &balancer.endpoints {
            let label = [("service", name.clone()), ("url", endpoint.url.clone())];
            up.add(label, u64::from(balancer.is_well(endpoint)));
            if let Some(check) = &endpoint.check {
                let (passes, failures) = check.counts();
                for (result, count) in [("pass", passes), ("fail", failures)] {
                    let label =
                        [("service", name.clone()), ("url", endpoint.url.clone()), ("result", result.to_owned())];
                    checks.add(label, count);
                }
            }
        }
        panic.add([("service", name.clone())], u64::from(balancer.panics()));
        if let Some(queue) = balancer.state.queue() {
            waiting.add([("service", name.clone())], u64::from(queue.waiting()));
            refused.add([("service", name)], queue.refused());
        }
    }
    vec![up, panic, waiting, refused, checks]
}

fn discovery(view: &View) -> Vec<Family> {
    let status = view.tracker.status();
    let contact = "When a provider last answered";
    let mut contact = Family::new(MetricKind::Gauge, "discovery_last_contact_timestamp_seconds", contact);
    let mut index = Family::new(MetricKind::Gauge, "discovery_index", "The index of a provider's registry");
    let mut refused =
        Family::new(MetricKind::Gauge, "discovery_refused", "Objects of a provider that were left out or repaired");
    for name in provider_names(&view.config) {
        let label = [("provider", name.to_owned())];
        let provider = status.providers.get(name);
        if let Some(at) = provider.and_then(|provider| provider.last_contact) {
            contact.add_float(label.clone(), seconds(at));
        }
        if let Some(value) = provider.and_then(|provider| provider.index) {
            index.add(label.clone(), value);
        }
        refused.add(label, status.refusals.get(name).map_or(0, Vec::len) as u64);
    }
    let mut families = vec![contact, index, refused];
    if let Some(consul) = view.tracker.consul() {
        let held = consul.status().held_removals.len();
        let help = "Instances the registry no longer has and routes still use";
        families.push(Family::single(MetricKind::Gauge, "discovery_held_removals", help, held as f64));
    }
    families
}

fn plugins(view: &View) -> Family {
    let mut info = Family::new(MetricKind::Gauge, "plugin_info", "Versions of plugins in force");
    for plugin in view.tracker.status().plugins {
        let digest = plugin.digest.unwrap_or_default();
        let short = digest.get(..12).unwrap_or_default().to_owned();
        info.add(
            [("plugin", plugin.name.to_string()), ("digest", short), ("state", plugin.state.as_str().to_owned())],
            1,
        );
    }
    info
}

fn buckets(view: &View) -> Family {
    let mut keys = Family::new(MetricKind::Gauge, "ratelimit_keys", "Keys a policy keeps a token bucket for");
    for name in view.state.names() {
        if let Some(state) = view.state.find(&name) {
            let count: usize = state.snapshot().buckets.iter().map(|bucket| bucket.keys).sum();
            keys.add([("policy", name)], count as u64);
        }
    }
    keys
}

/// Seconds since 1970, as Prometheus counts.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
