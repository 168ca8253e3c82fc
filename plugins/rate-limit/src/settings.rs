//! What an operator can set, as it arrives and as the limiter wants it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_plugin_sdk::policy::Field;
use sluice_plugin_sdk::policy::state::BucketSpec;
use sluice_policy_kit::ip::Ranges;
use sluice_policy_kit::source::{self, RawCriterion, RawSource, Source};
use sluice_policy_kit::values::{List, Number, Period, Switch};

use crate::warm_up::WARM_COST;

const SECOND: Duration = Duration::from_secs(1);
/// Each takes a name of the host's, of which a policy has sixteen.
const MAX_RATES: usize = 12;

/// As it arrives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// Requests in each period; 0 is no limit.
    average: Option<Number>,
    /// A second where nothing is said.
    period: Option<Period>,
    /// So many at once.
    burst: Option<Number>,
    /// Several rates at once, of which every one has to grant a request.
    rates: Vec<RawRate>,
    /// What requests are counted by; the client's address where nothing is said.
    source: Option<RawSource>,
    /// Traefik's spelling of the same.
    #[serde(rename = "sourcecriterion", alias = "sourceCriterion")]
    criterion: Option<RawCriterion>,
    mode: Mode,
    /// How long a request may be held up instead of being refused; for `token-bucket`, `gcra` and `pacing`.
    max_wait: Option<Period>,
    /// For `warm-up`: how long it takes from cold to warm, and by what the rate is less when cold.
    warm_up: Option<Period>,
    cold_factor: Option<Number>,
    /// Tokens a request costs, 1 where nothing is said: a number, `header:NAME`, or `request-bytes`.
    cost: Option<RawCost>,
    /// A header of the answer that says what else it has cost, to be paid by the requests that follow.
    response_cost: Option<String>,
    /// Other rates for some values of the source.
    overrides: Vec<RawOverride>,
    /// Values of the source, or ranges of addresses, without a limit.
    exempt: List,
    /// Send `RateLimit` and `RateLimit-Policy`.
    headers: Option<Switch>,
    /// The status of refused requests, 429 by default.
    status: Option<Number>,
    /// Decide and report, and let everything pass.
    shadow: Option<Switch>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawRate {
    average: Option<Number>,
    period: Option<Period>,
    burst: Option<Number>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawOverride {
    /// Values of the source.
    keys: List,
    average: Option<Number>,
    period: Option<Period>,
    burst: Option<Number>,
}

/// A number or a text.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum RawCost {
    Number(u32),
    Text(String),
}

/// Whose behaviour it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Short waits are waited, longer ones refused.
    #[default]
    #[serde(rename = "traefik-v3")]
    V3,
    /// Every wait is refused; several rates may apply at once.
    #[serde(rename = "traefik-v1")]
    V1,
    #[serde(rename = "token-bucket")]
    TokenBucket,
    #[serde(rename = "gcra")]
    Gcra,
    /// At most the average in any period.
    #[serde(rename = "sliding-window")]
    SlidingWindow,
    /// At most the average in each minute, hour or day.
    #[serde(rename = "calendar")]
    Calendar,
    /// One after the other, evenly spaced.
    #[serde(rename = "pacing")]
    Pacing,
    /// A rate that grows while requests come.
    #[serde(rename = "warm-up")]
    WarmUp,
}

/// `average` requests each `period`, `burst` of them at once; all at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) average: u64,
    pub(crate) period: Duration,
    pub(crate) burst: u64,
}

/// What a request takes from its buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    Fixed(u32),
    /// As a header says; 1 where it says nothing.
    Header(Field),
    /// The length of its body, at least 1.
    RequestBytes,
}

/// Other rates for some keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) keys: Vec<String>,
    pub(crate) rates: Vec<Rate>,
}

/// As the limiter wants it. No rates means no limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) source: Source,
    pub(crate) rates: Vec<Rate>,
    pub(crate) overrides: Vec<Override>,
    pub(crate) exempt: Vec<String>,
    pub(crate) exempt_addresses: Ranges,
    pub(crate) max_wait: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) cold_factor: u32,
    pub(crate) cost: Cost,
    pub(crate) response_cost: Option<String>,
    pub(crate) headers: bool,
    pub(crate) status: u16,
    pub(crate) shadow: bool,
}

impl Settings {
    /// Whether there are keys without a limit.
    pub(crate) fn exempts(&self) -> bool {
        !self.exempt.is_empty() || !self.exempt_addresses.is_empty()
    }

    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        only_where_it_counts(&raw)?;
        let mode = raw.mode;
        let source = Source::check(raw.source, raw.criterion, Source::client_ip())?;
        let first = RawRate { average: raw.average, period: raw.period, burst: raw.burst };
        let rates = match mode {
            Mode::V3 => rates_v3(&first, &raw.rates)?,
            Mode::V1 => rates_v1(first, raw.rates)?,
            _ => rates(mode, first, raw.rates)?,
        };
        let overrides = raw.overrides.into_iter().map(|one| over(mode, one)).collect::<Result<Vec<_>, _>>()?;
        if rates.len() + overrides.iter().map(|one| one.rates.len()).sum::<usize>() > MAX_RATES {
            return Err(format!("there are more than {MAX_RATES} rates, `overrides` included; give some of them one"));
        }
        let (ranges, keys) = raw
            .exempt
            .0
            .into_iter()
            .partition::<Vec<_>, _>(|item| source.address().is_some() && Ranges::parse([item.as_str()]).is_ok());
        let status = match raw.status.map_or(429, |status| status.0) {
            status @ 400..=599 => u16::try_from(status).unwrap_or(429),
            status => return Err(format!("`status` is {status} and has to be between 400 and 599")),
        };
        let cold_factor = raw.cold_factor.map_or(3, Number::clamped);
        if !(2..=100).contains(&cold_factor) {
            return Err(format!("`cold-factor` is {cold_factor} and has to be between 2 and 100"));
        }
        Ok(Self {
            max_wait: match (raw.max_wait, mode) {
                (Some(wait), _) => wait.0,
                (None, Mode::V3) => rates.first().map_or(Duration::ZERO, max_wait_v3),
                (None, Mode::Pacing) => Duration::from_millis(500),
                (None, _) => Duration::ZERO,
            },
            warm_up: raw.warm_up.map_or(Duration::from_secs(10), |time| time.0).max(SECOND),
            cold_factor,
            cost: cost(raw.cost)?,
            response_cost: raw.response_cost.map(|header| header_name(&header)).transpose()?,
            headers: raw.headers.is_some_and(|switch| switch.0),
            shadow: raw.shadow.is_some_and(|switch| switch.0),
            exempt_addresses: Ranges::parse(ranges.iter().map(String::as_str))?,
            exempt: keys,
            mode,
            source,
            rates,
            overrides,
            status,
        })
    }
}

/// Settings that would be read over are mistakes.
fn only_where_it_counts(raw: &RawSettings) -> Result<(), String> {
    let waits = matches!(raw.mode, Mode::TokenBucket | Mode::Gcra | Mode::Pacing);
    if raw.max_wait.is_some() && !waits {
        return Err("`max-wait` is for the modes `token-bucket`, `gcra` and `pacing`".to_owned());
    }
    if (raw.warm_up.is_some() || raw.cold_factor.is_some()) && raw.mode != Mode::WarmUp {
        return Err("`warm-up` and `cold-factor` are for mode `warm-up`".to_owned());
    }
    Ok(())
}

/// An average of 0, or none, is no limit; the other values have defaults.
fn rates_v3(rate: &RawRate, others: &[RawRate]) -> Result<Vec<Rate>, String> {
    if !others.is_empty() {
        return Err("`rates` is not for mode `traefik-v3`; use `average`, `period` and `burst`".to_owned());
    }
    let average = rate.average.map_or(0, |number| number.0);
    if average == 0 {
        return Ok(Vec::new());
    }
    let period = rate.period.map_or(SECOND, |period| period.0);
    let period = if period.is_zero() { SECOND } else { period };
    let burst = rate.burst.map_or(1, |number| number.0.max(1));
    Ok(vec![Rate { average, period, burst }])
}

/// Every value has to be there. Of several rates with one period the last counts.
fn rates_v1(first: RawRate, others: Vec<RawRate>) -> Result<Vec<Rate>, String> {
    let mut rates: Vec<Rate> = Vec::new();
    for raw in all(first, others) {
        let rate = Rate {
            average: required("average", raw.average.map(|number| number.0))?,
            period: Duration::from_nanos(required("period", raw.period.map(Period::as_ns))?),
            burst: required("burst", raw.burst.map(|number| number.0))?,
        };
        match rates.iter_mut().find(|known| known.period == rate.period) {
            Some(known) => *known = rate,
            None => rates.push(rate),
        }
    }
    Ok(rates)
}

/// The one given outside of `rates`, if it is, and those inside.
fn all(first: RawRate, others: Vec<RawRate>) -> impl Iterator<Item = RawRate> {
    let alone = others.is_empty() || first.average.is_some() || first.period.is_some() || first.burst.is_some();
    alone.then_some(first).into_iter().chain(others)
}

fn required(name: &str, value: Option<u64>) -> Result<u64, String> {
    match value {
        Some(value) if value > 0 => Ok(value),
        Some(_) => Err(format!("`{name}` of a rate must be more than 0 in mode `traefik-v1`")),
        None => Err(format!("a rate needs `{name}` in mode `traefik-v1`")),
    }
}

/// Rates of our own modes: an average of 0, or none, is no limit.
fn rates(mode: Mode, first: RawRate, others: Vec<RawRate>) -> Result<Vec<Rate>, String> {
    let mut rates = Vec::new();
    for raw in all(first, others) {
        let average = raw.average.map_or(0, |number| number.0);
        let period = raw.period.map_or(SECOND, |period| period.0);
        if average == 0 {
            continue;
        }
        if period.is_zero() {
            return Err("`period` of a rate must be more than 0".to_owned());
        }
        if mode == Mode::Calendar && (period.as_secs() == 0 || period.as_secs() % 60 != 0 || period.subsec_nanos() != 0)
        {
            return Err("`period` has to be a number of minutes, hours or days in mode `calendar`".to_owned());
        }
        let burst = match mode {
            Mode::Pacing => 1,
            _ => raw.burst.map_or(1, |number| number.0.max(1)),
        };
        rates.push(Rate { average, period, burst });
    }
    Ok(rates)
}

fn over(mode: Mode, raw: RawOverride) -> Result<Override, String> {
    if raw.keys.0.is_empty() {
        return Err("one of `overrides` has no `keys`".to_owned());
    }
    let rate = RawRate { average: raw.average, period: raw.period, burst: raw.burst };
    let rates = match mode {
        Mode::V3 => rates_v3(&rate, &[])?,
        Mode::V1 => rates_v1(rate, Vec::new())?,
        _ => rates(mode, rate, Vec::new())?,
    };
    Ok(Override { keys: raw.keys.0, rates })
}

/// Half the time between two tokens, by the whole number of tokens a second; half a second where that is none.
fn max_wait_v3(rate: &Rate) -> Duration {
    let second = SECOND.as_nanos();
    let per_second = u128::from(rate.average) * second / rate.period.as_nanos().max(1);
    if per_second == 0 {
        return Duration::from_millis(500);
    }
    Duration::from_nanos(u64::try_from(second / (2 * per_second)).unwrap_or_default())
}

fn cost(raw: Option<RawCost>) -> Result<Cost, String> {
    let text = match raw {
        None => return Ok(Cost::Fixed(1)),
        Some(RawCost::Number(number)) => number.to_string(),
        Some(RawCost::Text(text)) => text,
    };
    if let Some(name) = text.strip_prefix("header:") {
        return source::header(name.to_owned()).map(Cost::Header);
    }
    match text.trim().parse() {
        _ if text == "request-bytes" => Ok(Cost::RequestBytes),
        Ok(cost @ 1..) => Ok(Cost::Fixed(cost)),
        _ => Err(format!("`cost` is `{text}` and has to be a number from 1 on, `header:NAME` or `request-bytes`")),
    }
}

fn header_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("header:").unwrap_or(text);
    source::header(name.to_owned()).map(|_| name.to_owned())
}

impl Rate {
    /// As the host keeps it.
    pub(crate) fn spec(&self, settings: &Settings) -> BucketSpec {
        let Self { average, period, burst } = *self;
        match settings.mode {
            Mode::SlidingWindow => BucketSpec::sliding_window(average, period),
            Mode::Calendar => BucketSpec::calendar(average, period),
            Mode::Gcra => BucketSpec::gcra(average, period, burst),
            // Costs have fractions there, and a bucket has to be able to hold what a request costs a cold key.
            Mode::WarmUp => {
                let burst = burst.max(settings.cold_factor.into()).saturating_mul(WARM_COST.into());
                BucketSpec::token_bucket(average.saturating_mul(WARM_COST.into()), period, burst)
            }
            Mode::V3 | Mode::V1 | Mode::TokenBucket | Mode::Pacing => BucketSpec::token_bucket(average, period, burst),
        }
    }

    /// More than this is never granted to one request.
    pub(crate) fn most_at_once(&self, settings: &Settings) -> u32 {
        u32::try_from(self.spec(settings).burst).unwrap_or(u32::MAX)
    }
}
