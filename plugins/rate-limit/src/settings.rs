//! What an operator can set, as it arrives and as the limiter wants it.
//!
//! Tags carry text only, so every number may also be its text. Traefik's own spelling of the source is understood beside
//! ours.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::duration;

const SECOND_NS: u64 = 1_000_000_000;

/// As it arrives.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    average: Option<Number>,
    period: Option<Period>,
    burst: Option<Number>,
    rates: Vec<RawRate>,
    source: Option<RawSource>,
    #[serde(rename = "sourcecriterion", alias = "sourceCriterion")]
    criterion: Option<RawCriterion>,
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    average: Option<Number>,
    period: Option<Period>,
    burst: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    kind: Kind,
    name: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    ClientIp,
    Header,
    Host,
}

/// Traefik's spelling.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCriterion {
    #[serde(rename = "requestheadername", alias = "requestHeaderName")]
    header: Option<String>,
    #[serde(rename = "requesthost", alias = "requestHost")]
    host: Option<Switch>,
}

/// Whose behaviour it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Short waits are waited, longer ones refused.
    #[default]
    #[serde(rename = "traefik-v3")]
    V3,
    /// Every wait is refused; several rates may apply at once.
    #[serde(rename = "traefik-v1")]
    V1,
}

/// What has a bucket of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    ClientIp,
    Header(String),
    Host,
}

/// `average` requests each `period`, `burst` of them at once; all at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) average: u64,
    pub(crate) period_ns: u64,
    pub(crate) burst: u64,
}

/// As the limiter wants it. No rates means no limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) source: Source,
    pub(crate) rates: Vec<Rate>,
}

impl Settings {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let source = source(raw.source, raw.criterion)?;
        let first = RawRate { average: raw.average, period: raw.period, burst: raw.burst };
        let rates = match raw.mode {
            Mode::V3 => rates_v3(&first, &raw.rates)?,
            Mode::V1 => rates_v1(first, raw.rates)?,
        };
        Ok(Self { mode: raw.mode, source, rates })
    }
}

fn source(own: Option<RawSource>, traefik: Option<RawCriterion>) -> Result<Source, String> {
    match (own, traefik) {
        (None, None) => Ok(Source::ClientIp),
        (Some(RawSource { kind: Kind::ClientIp, name: None }), None) => Ok(Source::ClientIp),
        (Some(RawSource { kind: Kind::Host, name: None }), None) => Ok(Source::Host),
        (Some(RawSource { kind: Kind::Header, name: Some(name) }), None) => header(name),
        (Some(RawSource { kind: Kind::Header, name: None }), None) => {
            Err("`source` of kind `header` needs the header's `name`".to_owned())
        }
        (Some(_), None) => Err("`source.name` is for kind `header` only; remove it".to_owned()),
        (None, Some(criterion)) => source_of_criterion(criterion),
        (Some(_), Some(_)) => Err("`source` and `sourcecriterion` say the same; keep one of them".to_owned()),
    }
}

fn source_of_criterion(criterion: RawCriterion) -> Result<Source, String> {
    let by_host = criterion.host.is_some_and(|switch| switch.0);
    match (criterion.header.filter(|name| !name.is_empty()), by_host) {
        (None, false) => Ok(Source::ClientIp),
        (None, true) => Ok(Source::Host),
        (Some(name), false) => header(name),
        (Some(_), true) => Err("`sourcecriterion` has both `requestheadername` and `requesthost`; keep one".to_owned()),
    }
}

fn header(name: String) -> Result<Source, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("`{name}` is not the name of a header"));
    }
    Ok(Source::Header(name))
}

/// An average of 0, or none, is no limit; the other values have defaults.
fn rates_v3(rate: &RawRate, others: &[RawRate]) -> Result<Vec<Rate>, String> {
    if !others.is_empty() {
        return Err("`rates` is for mode `traefik-v1`; use `average`, `period` and `burst`".to_owned());
    }
    let average = rate.average.map_or(0, |number| number.0);
    if average == 0 {
        return Ok(Vec::new());
    }
    let period_ns = rate.period.map_or(0, |period| period.0);
    let period_ns = if period_ns == 0 { SECOND_NS } else { period_ns };
    let burst = rate.burst.map_or(1, |number| number.0.max(1));
    Ok(vec![Rate { average, period_ns, burst }])
}

/// Every value has to be there. Of several rates with one period the last counts.
fn rates_v1(first: RawRate, others: Vec<RawRate>) -> Result<Vec<Rate>, String> {
    let alone = others.is_empty() || first.average.is_some() || first.period.is_some() || first.burst.is_some();
    let mut rates: Vec<Rate> = Vec::new();
    for raw in alone.then_some(first).into_iter().chain(others) {
        let rate = Rate {
            average: required("average", raw.average.map(|number| number.0))?,
            period_ns: required("period", raw.period.map(|period| period.0))?,
            burst: required("burst", raw.burst.map(|number| number.0))?,
        };
        match rates.iter_mut().find(|known| known.period_ns == rate.period_ns) {
            Some(known) => *known = rate,
            None => rates.push(rate),
        }
    }
    Ok(rates)
}

fn required(name: &str, value: Option<u64>) -> Result<u64, String> {
    match value {
        Some(value) if value > 0 => Ok(value),
        Some(_) => Err(format!("`{name}` of a rate must be more than 0 in mode `traefik-v1`")),
        None => Err(format!("a rate needs `{name}` in mode `traefik-v1`")),
    }
}

/// A whole number that is not negative, or its text.
#[derive(Clone, Copy)]
struct Number(u64);

/// Nanoseconds: a number of seconds, or a duration as text.
#[derive(Clone, Copy)]
struct Period(u64);

/// A truth value, or its text.
#[derive(Clone, Copy)]
struct Switch(bool);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let read = |text: &str| text.trim().parse().ok();
        input.deserialize_any(Scalar { expected: "a whole number of at least 0", number: Some, text: read }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let expected = "a duration such as `1s` or `1m30s`, or a number of seconds";
        let number = |seconds: u64| seconds.checked_mul(SECOND_NS);
        input.deserialize_any(Scalar { expected, number, text: |text: &str| duration::parse(text.trim()) }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text.trim() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(1),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(0),
            _ => None,
        };
        let scalar = Scalar { expected: "`true` or `false`", number: |_| None, text: read };
        input.deserialize_any(scalar).map(|value| Self(value != 0))
    }
}

/// Reads one value from JSON of either kind.
struct Scalar<N, T> {
    expected: &'static str,
    number: N,
    text: T,
}

impl<N: Fn(u64) -> Option<u64>, T: Fn(&str) -> Option<u64>> Visitor<'_> for Scalar<N, T> {
    type Value = u64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.expected)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        (self.number)(value).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
        (self.text)(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<u64, E> {
        // Only switches read the words.
        let word = if value { "true" } else { "false" };
        (self.text)(word).ok_or_else(|| E::invalid_type(de::Unexpected::Bool(value), &self))
    }
}
