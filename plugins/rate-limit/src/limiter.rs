//! What becomes of a request: at once, after a wait, or 429.

use std::time::Duration;

use sluice_plugin_sdk::policy::state::{Bucket, Key, Reservation};
use sluice_plugin_sdk::policy::{Field, Fields, Reply, Subscription, Verdict, clock, exchange};
use sluice_policy_kit::duration;
use sluice_policy_kit::status::reason_phrase;

use crate::quota::Quota;
use crate::settings::{Cost, Mode, Rate, Settings};
use crate::warm_up::{WARM_COST, WarmUp};

/// A checked limit with its buckets.
pub(crate) struct Limiter {
    settings: Settings,
    /// For every key without others.
    limits: Limits,
    overrides: Vec<(Vec<String>, Limits)>,
    warm_up: Option<WarmUp>,
    /// Which buckets gave something to the request at hand. Kept for its memory alone.
    granted: Vec<Bucket>,
    /// For keys that are made of several values.
    buffer: String,
}

/// A bucket for each rate: a request takes from every one of them.
struct Limits(Vec<(Bucket, Rate)>);

impl Limits {
    fn open(rates: &[Rate], settings: &Settings, name: &str) -> Result<Self, String> {
        // The first is called the same whatever follows it, so that its tokens survive when rates are added or taken
        // away.
        let named = |place: usize| if place == 0 { name.to_owned() } else { format!("{name}-{place}") };
        let open = |(place, rate): (usize, &Rate)| Ok((Bucket::open(&named(place), rate.spec(settings))?, *rate));
        rates.iter().enumerate().map(open).collect::<Result<_, String>>().map(Self)
    }
}

impl Limiter {
    /// Opens the buckets in the host.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let limits = Limits::open(&settings.rates, &settings, "rate")?;
        let overrides = settings.overrides.iter().enumerate().map(|(place, one)| {
            let limits = Limits::open(&one.rates, &settings, &format!("override-{place}"))?;
            Ok((one.keys.clone(), limits))
        });
        let overrides = overrides.collect::<Result<Vec<_>, String>>()?;
        let warm_up = match settings.rates.first() {
            Some(rate) if settings.mode == Mode::WarmUp => {
                Some(WarmUp::open(rate, settings.warm_up, settings.cold_factor)?)
            }
            _ => None,
        };
        Ok(Self { limits, overrides, warm_up, settings, granted: Vec::new(), buffer: String::new() })
    }

    /// Nothing where there is no limit.
    pub(crate) fn subscription(&self) -> Subscription {
        if self.limits.0.is_empty() && self.overrides.is_empty() {
            return Subscription::new();
        }
        let cost = match &self.settings.cost {
            Cost::Fixed(_) => None,
            Cost::Header(field) => Some(field.clone()),
            Cost::RequestBytes => Some(Field::Header("content-length".to_owned())),
        };
        let wanted = Subscription::new().on_request(self.settings.source.fields().chain(cost));
        match &self.settings.response_cost {
            Some(header) => wanted.on_response([header.as_str()]),
            None => wanted,
        }
    }

    /// Takes from every bucket of the request's key, or from none.
    pub(crate) fn decide(&mut self, fields: &Fields) -> Verdict {
        let Self { settings, limits, overrides, warm_up, granted, buffer } = self;
        let key = settings.source.state_key(fields, 0, buffer);
        // Where nothing but the buckets has to know it, it stays in the host.
        let text = || match key {
            Key::Text(text) => text,
            Key::Field(place) => fields.get(place as usize).unwrap_or_default(),
        };
        if settings.exempts() && is_exempt(settings, text()) {
            return Verdict::next();
        }
        let limits = if overrides.is_empty() { &*limits } else { chosen(limits, overrides, text()) };
        let cost = match (&settings.cost, &*warm_up) {
            (_, Some(warm_up)) => warm_up.cost(text(), clock::now()),
            (Cost::Fixed(cost), None) => *cost,
            (_, None) => {
                fields.get(settings.source.count()).and_then(|cost| cost.trim().parse().ok()).unwrap_or(1).max(1)
            }
        };
        let unit = if warm_up.is_some() { u64::from(WARM_COST) } else { 1 };
        let (mut wait, mut refused, mut tightest) = (Duration::ZERO, None, None);
        granted.clear();
        for (bucket, rate) in &limits.0 {
            let (retry_in, left) = match bucket.reserve(key, cost, settings.max_wait) {
                Reservation::Granted { wait: more, remaining } => {
                    wait = wait.max(more);
                    granted.push(*bucket);
                    (None, remaining / unit)
                }
                Reservation::Refused { retry_in, remaining } => {
                    refused = refused.max(Some(retry_in));
                    (Some(retry_in), remaining / unit)
                }
            };
            if settings.headers && tightest.as_ref().is_none_or(|(least, _)| left < *least) {
                tightest =
                    Some((left, retry_in.map_or_else(|| Quota::left(rate, left), |time| Quota::spent(rate, time))));
            }
        }
        let quota = tightest.map(|(_, quota)| quota);
        if let Some(retry_in) = refused {
            granted.iter().for_each(|bucket| bucket.refund(text(), cost));
            if settings.shadow {
                exchange::annotate("rate-limit", "would refuse");
                return Verdict::next();
            }
            return Verdict::Respond(with_quota(refusal(settings, retry_in), quota));
        }
        if let Some(warm_up) = warm_up {
            warm_up.passed(text(), clock::now());
        }
        if let Some(quota) = quota {
            quota.announce();
        }
        match wait {
            Duration::ZERO => Verdict::next(),
            _ if settings.shadow => Verdict::next(),
            wait => Verdict::delay(wait),
        }
    }

    /// What the answer says it has cost is taken as well, from tokens to come if need be.
    pub(crate) fn settle(&mut self, header: Option<&str>) {
        let Some(cost) = header.and_then(|cost| cost.trim().parse::<u32>().ok()).filter(|cost| *cost > 0) else {
            return;
        };
        let key = self.settings.source.key_of_exchange();
        if is_exempt(&self.settings, &key) {
            return;
        }
        let cost = if self.warm_up.is_some() { cost.saturating_mul(WARM_COST) } else { cost };
        for (bucket, rate) in &chosen(&self.limits, &self.overrides, &key).0 {
            owe(*bucket, &key, cost, rate.most_at_once(&self.settings));
        }
    }
}

/// So often a bucket can be emptied by one answer; an answer that says more says nonsense.
const MAX_PARTS: u32 = 1_000;

/// Takes what is spent already, in parts that a bucket may give at once, as far as it goes into debt.
fn owe(bucket: Bucket, key: &str, cost: u32, most: u32) {
    let mut owed = cost.min(most.saturating_mul(MAX_PARTS));
    while owed > 0 {
        let part = owed.min(most);
        match bucket.reserve(key, part, Duration::MAX) {
            Reservation::Granted { .. } => owed -= part,
            Reservation::Refused { remaining, .. } => {
                let rest = owed.min(u32::try_from(remaining).unwrap_or(u32::MAX));
                let _ = bucket.reserve(key, rest, Duration::MAX);
                return;
            }
        }
    }
}

fn chosen<'a>(limits: &'a Limits, overrides: &'a [(Vec<String>, Limits)], key: &str) -> &'a Limits {
    let own = overrides.iter().find(|(keys, _)| keys.iter().any(|known| known == key));
    own.map_or(limits, |(_, limits)| limits)
}

fn is_exempt(settings: &Settings, key: &str) -> bool {
    settings.exempt.iter().any(|known| known == key)
        || !settings.exempt_addresses.is_empty()
            && key.parse().is_ok_and(|address| settings.exempt_addresses.contains(address))
}

fn refusal(settings: &Settings, retry_in: Duration) -> Reply {
    let text = || duration::format(u64::try_from(retry_in.as_nanos()).unwrap_or(u64::MAX));
    let (seconds, body) = match settings.mode {
        Mode::V1 => (rounded_to_nearest(retry_in), format!("max rate reached: retry-in {}", text())),
        _ => (rounded_up(retry_in), reason_phrase(settings.status).to_owned()),
    };
    let reply = Reply::text(settings.status, body).with_header("Retry-After", seconds.to_string());
    match settings.mode {
        Mode::V1 | Mode::V3 => reply.with_header("X-Retry-In", text()),
        _ => reply,
    }
}

fn with_quota(reply: Reply, quota: Option<Quota>) -> Reply {
    match quota {
        Some(quota) => quota.headers().into_iter().fold(reply, |reply, (name, value)| reply.with_header(name, value)),
        None => reply,
    }
}

/// Whole seconds that are not too short.
pub(crate) fn rounded_up(time: Duration) -> u64 {
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
