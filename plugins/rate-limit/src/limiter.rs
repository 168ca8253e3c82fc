//! What becomes of a request: at once, after a wait, or 429.

use std::time::Duration;

use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
use sluice_plugin_sdk::policy::{Field, Reply, Subscription, Verdict};

use crate::duration;
use crate::settings::{Mode, Rate, Settings, Source};

const SECOND_NS: u64 = 1_000_000_000;

/// A checked limit with its buckets.
pub(crate) struct Limiter {
    mode: Mode,
    source: Source,
    /// A request takes one token from each.
    buckets: Vec<Bucket>,
    max_wait: Duration,
    /// Which buckets gave a token to the request at hand. Kept for its memory alone.
    granted: Vec<Bucket>,
}

impl Limiter {
    /// Opens the buckets in the host.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let Settings { mode, source, rates } = settings;
        let max_wait = match mode {
            Mode::V3 => rates.first().map_or(Duration::ZERO, max_wait_v3),
            Mode::V1 => Duration::ZERO,
        };
        let buckets: Vec<_> =
            rates.iter().enumerate().map(|(place, rate)| open(place, rate)).collect::<Result<_, _>>()?;
        Ok(Self { mode, source, granted: Vec::with_capacity(buckets.len()), buckets, max_wait })
    }

    /// Nothing where there is no limit.
    pub(crate) fn subscription(&self) -> Subscription {
        if self.buckets.is_empty() {
            return Subscription::new();
        }
        Subscription::new().on_request([match &self.source {
            Source::ClientIp => Field::ClientIp,
            Source::Header(name) => Field::Header(name.clone()),
            Source::Host => Field::Host,
        }])
    }

    /// Takes a token from every bucket of `key`, or none.
    pub(crate) fn decide(&mut self, key: &str) -> Verdict {
        let mut wait = Duration::ZERO;
        let mut refused = None;
        self.granted.clear();
        for bucket in &self.buckets {
            match bucket.reserve(key, 1, self.max_wait) {
                Reservation::Granted { wait: more, .. } => {
                    wait = wait.max(more);
                    self.granted.push(*bucket);
                }
                Reservation::Refused { retry_in, .. } => refused = refused.max(Some(retry_in)),
            }
        }
        match refused {
            None if wait.is_zero() => Verdict::next(),
            None => Verdict::delay(wait),
            Some(retry_in) => {
                self.granted.iter().for_each(|bucket| bucket.refund(key, 1));
                Verdict::Respond(refusal(self.mode, retry_in))
            }
        }
    }
}

/// The first is `rate` whatever follows it, so that its tokens survive when rates are added or taken away.
fn open(place: usize, rate: &Rate) -> Result<Bucket, String> {
    let name = if place == 0 { "rate".to_owned() } else { format!("rate-{place}") };
    Bucket::open(&name, BucketSpec::token_bucket(rate.average, Duration::from_nanos(rate.period_ns), rate.burst))
}

/// Half the time between two tokens, by the whole number of tokens a second; half a second where that is none.
fn max_wait_v3(rate: &Rate) -> Duration {
    let per_second = u128::from(rate.average) * u128::from(SECOND_NS) / u128::from(rate.period_ns);
    if per_second == 0 {
        return Duration::from_millis(500);
    }
    let half = u128::from(SECOND_NS) / (2 * per_second);
    Duration::from_nanos(u64::try_from(half).unwrap_or(SECOND_NS))
}

fn refusal(mode: Mode, retry_in: Duration) -> Reply {
    let text = duration::format(u64::try_from(retry_in.as_nanos()).unwrap_or(u64::MAX));
    let (seconds, body) = match mode {
        Mode::V3 => (rounded_up(retry_in), "Too Many Requests".to_owned()),
        Mode::V1 => (rounded_to_nearest(retry_in), format!("max rate reached: retry-in {text}")),
    };
    Reply::text(429, body).with_header("Retry-After", seconds.to_string()).with_header("X-Retry-In", text)
}

fn rounded_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A half goes to the even neighbour, as Go prints numbers.
fn rounded_to_nearest(time: Duration) -> u64 {
    let up = match time.subsec_nanos() {
        0..500_000_000 => false,
        500_000_000 => time.as_secs() % 2 == 1,
        _ => true,
    };
    time.as_secs() + u64::from(up)
}
