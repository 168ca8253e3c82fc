//! Limits that follow the latency they see, as Netflix's `concurrency-limits` has them. Pure: samples in, a limit out.
//!
//! Samples are gathered over a second at least and ten at least; then the algorithm looks at their mean, at the most that
//! was in flight, and at whether anything was refused or timed out.

use sluice_wasm::{Adaptive, AdaptiveKind};

const SECOND_NS: u64 = 1_000_000_000;
/// Fewer samples say nothing.
const LEAST_SAMPLES: u64 = 10;

/// Gradient2: how much queueing is allowed for, how much longer a latency may be than usual, how quickly the limit moves,
/// and over how many samples the usual latency is taken.
const QUEUE: f64 = 4.0;
const TOLERANCE: f64 = 1.5;
const SMOOTHING: f64 = 0.2;
const LONG_WINDOW: f64 = 600.0;
const WARM_UP: f64 = 10.0;

/// Vegas: the latency without load is looked for anew after about this many limits' worth of samples.
const PROBE: f64 = 30.0;

/// AIMD: what is left of the limit after a drop, and what counts as one.
const BACK_OFF: f64 = 0.9;
const TOO_LONG_NS: f64 = 5e9;

/// A limit and what it has learnt.
#[derive(Clone, Debug)]
pub(super) struct AdaptiveLimit {
    spec: Adaptive,
    limit: f64,
    window: Window,
    /// Gradient2: the usual latency, and of how many samples it is.
    long_ns: f64,
    long_samples: f64,
    /// Vegas: the latency without load, and samples since it was looked for.
    no_load_ns: f64,
    since_probe: f64,
}

/// Samples of the second at hand.
#[derive(Clone, Debug, Default)]
struct Window {
    began_ns: u64,
    samples: u64,
    sum_ns: u128,
    most_in_flight: u32,
    dropped: bool,
}

/// What a window came to.
#[derive(Clone, Copy, Debug)]
struct Sample {
    latency_ns: f64,
    in_flight: f64,
    dropped: bool,
}

impl AdaptiveLimit {
    pub(super) fn new(spec: Adaptive, limit: u32, now_ns: u64) -> Self {
        Self {
            spec,
            limit: f64::from(limit.clamp(spec.min, spec.max)),
            window: Window { began_ns: now_ns, ..Window::default() },
            long_ns: 0.0,
            long_samples: 0.0,
            no_load_ns: 0.0,
            since_probe: 0.0,
        }
    }

    /// In whole exchanges.
    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// Other bounds, or another way: the limit stays as far as they let it.
    pub(super) fn respec(&mut self, spec: Adaptive) {
        if self.spec != spec {
            *self = Self { spec, ..Self::new(spec, self.limit(), self.window.began_ns) };
        }
    }

    /// Takes in an exchange that has ended; answers the limit where it was worked out anew.
    pub(super) fn sample(&mut self, latency_ns: u64, in_flight: u32, dropped: bool, now_ns: u64) -> Option<u32> {
        let window = &mut self.window;
        window.samples += 1;
        window.sum_ns += u128::from(latency_ns);
        window.most_in_flight = window.most_in_flight.max(in_flight);
        window.dropped |= dropped;
        if now_ns.saturating_sub(window.began_ns) < SECOND_NS || window.samples < LEAST_SAMPLES {
            return None;
        }
        let full = std::mem::replace(window, Window { began_ns: now_ns, ..Window::default() });
        let mean = full.sum_ns as f64 / full.samples as f64;
        self.update(Sample {
            latency_ns: mean.max(1.0),
            in_flight: f64::from(full.most_in_flight),
            dropped: full.dropped,
        });
        Some(self.limit())
    }

    fn update(&mut self, sample: Sample) {
        let limit = match self.spec.kind {
            AdaptiveKind::Gradient2 => self.gradient2(sample),
            AdaptiveKind::Vegas => self.vegas(sample),
            AdaptiveKind::Aimd => self.aimd(sample),
        };
        self.limit = limit.clamp(f64::from(self.spec.min), f64::from(self.spec.max));
    }

    fn gradient2(&mut self, sample: Sample) -> f64 {
        let long = self.usual(sample.latency_ns);
        if long / sample.latency_ns > 2.0 {
            // The load is off: do not wait for hundreds of samples to notice.
            self.long_ns *= 0.95;
        }
        if sample.in_flight < self.limit / 2.0 {
            return self.limit;
        }
        let gradient = (TOLERANCE * long / sample.latency_ns).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + QUEUE;
        self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING
    }

    /// The exponential mean of latencies, an arithmetic one while there are few.
    fn usual(&mut self, latency_ns: f64) -> f64 {
        self.long_samples += 1.0;
        let weight = if self.long_samples <= WARM_UP { 1.0 / self.long_samples } else { 2.0 / (LONG_WINDOW + 1.0) };
        self.long_ns += (latency_ns - self.long_ns) * weight;
        self.long_ns
    }

    fn vegas(&mut self, sample: Sample) -> f64 {
        self.since_probe += 1.0;
        let is_less = self.no_load_ns == 0.0 || sample.latency_ns < self.no_load_ns;
        if is_less || self.since_probe >= PROBE * self.limit {
            self.no_load_ns = sample.latency_ns;
            self.since_probe = 0.0;
            return self.limit;
        }
        let step = self.limit.log10().max(1.0);
        let queue = (self.limit * (1.0 - self.no_load_ns / sample.latency_ns)).ceil();
        if sample.dropped || (sample.in_flight * 2.0 >= self.limit && queue > 6.0 * step) {
            self.limit - step
        } else if sample.in_flight * 2.0 < self.limit {
            self.limit
        } else if queue <= step {
            self.limit + 6.0 * step
        } else if queue < 3.0 * step {
            self.limit + step
        } else {
            self.limit
        }
    }

    fn aimd(&mut self, sample: Sample) -> f64 {
        if sample.dropped || sample.latency_ns > TOO_LONG_NS {
            self.limit * BACK_OFF
        } else if sample.in_flight * 2.0 >= self.limit {
            self.limit + 1.0
        } else {
            self.limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn limit(kind: AdaptiveKind, start: u32) -> AdaptiveLimit {
        AdaptiveLimit::new(Adaptive { kind, min: 1, max: 200 }, start, 0)
    }

    /// A service that works on `capacity` at once, each for 10 ms, and makes the rest wait: for a number of seconds as
    /// many come as the limit lets in.
    fn serve(limit: &mut AdaptiveLimit, capacity: u32, seconds: u64, from: u64) -> u32 {
        for second in from..from + seconds {
            for _ in 0..50 {
                let inside = limit.limit();
                let latency = 10 * MS * u64::from(inside.max(capacity)) / u64::from(capacity);
                limit.sample(latency, inside, false, second * SECOND_NS);
            }
        }
        limit.limit()
    }

    #[test]
    fn gradient2_grows_while_latency_stays_and_shrinks_when_it_rises() {
        let mut limit = limit(AdaptiveKind::Gradient2, 20);
        let grown = serve(&mut limit, 100, 60, 1);
        assert!((60..=200).contains(&grown), "{grown}");
        let shrunk = serve(&mut limit, 10, 30, 61);
        assert!(shrunk < grown / 2, "{shrunk} after {grown}");
    }

    #[test]
    fn vegas_stays_near_what_the_service_can_do() {
        let mut limit = limit(AdaptiveKind::Vegas, 10);
        let found = serve(&mut limit, 50, 200, 1);
        assert!((45..=70).contains(&found), "{found}");
    }

    #[test]
    fn aimd_goes_up_by_one_and_down_by_a_tenth() {
        let mut limit = limit(AdaptiveKind::Aimd, 50);
        let second = |limit: &mut AdaptiveLimit, at: u64, dropped| {
            for _ in 0..10 {
                limit.sample(MS, 40, dropped, at * SECOND_NS);
            }
            limit.limit()
        };
        assert_eq!(second(&mut limit, 1, false), 51);
        assert_eq!(second(&mut limit, 2, false), 52);
        assert_eq!(second(&mut limit, 3, true), 46);
    }

    #[test]
    fn nothing_grows_that_is_not_used_and_bounds_hold() {
        for kind in [AdaptiveKind::Gradient2, AdaptiveKind::Vegas, AdaptiveKind::Aimd] {
            let mut limit = limit(kind, 100);
            for second in 1..50 {
                for _ in 0..20 {
                    limit.sample(MS, 3, false, second * SECOND_NS);
                }
            }
            assert_eq!(limit.limit(), 100, "{kind:?}");
            limit.respec(Adaptive { kind, min: 1, max: 7 });
            assert_eq!(limit.limit(), 7, "{kind:?}");
        }
    }

    #[test]
    fn few_samples_say_nothing() {
        let mut limit = limit(AdaptiveKind::Aimd, 50);
        for second in 1..10 {
            assert_eq!(limit.sample(MS, 50, true, second * SECOND_NS), None);
        }
        assert_eq!(limit.sample(MS, 50, true, 10 * SECOND_NS), Some(45));
    }
}
