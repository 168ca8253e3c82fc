//! What an operator can set, as it arrives and as the limiter wants it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_plugin_sdk::policy::Field;
use sluice_plugin_sdk::policy::state::{AdaptiveKind, GateSpec};
use sluice_policy_kit::source::{RawCriterion, RawSource, Source};
use sluice_policy_kit::values::{List, Number, Period, Real, Switch};

/// As it arrives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// So many at once for each source; 0 is no limit.
    amount: Option<Number>,
    /// What requests are counted by; the host where nothing is said.
    source: Option<RawSource>,
    /// Traefik's spelling of the same.
    #[serde(rename = "sourcecriterion", alias = "sourceCriterion")]
    criterion: Option<RawCriterion>,
    /// Let the limit follow the latency instead.
    adaptive: Option<RawAdaptive>,
    /// Which requests are more important than others.
    priority: Option<RawPriority>,
    /// When the machine counts as overloaded.
    guard: Option<RawGuard>,
    /// The status of refused requests, 429 by default; a guard's is 503.
    status: Option<Number>,
    /// Decide and report, and let everything pass.
    shadow: Option<Switch>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAdaptive {
    /// `gradient2`, `vegas` or `aimd`.
    #[serde(default)]
    kind: RawKind,
    /// Where it begins, 20 by default.
    start: Option<Number>,
    min: Option<Number>,
    max: Option<Number>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    #[default]
    Gradient2,
    Vegas,
    Aimd,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPriority {
    /// What tells the class of a request, such as `header:X-Priority`.
    by: RawSource,
    /// Values from the most to the least important one.
    classes: List,
    /// The class of all others; the last one where nothing is said.
    default: Option<String>,
    /// How much of the limit each class may fill, 0 to 1; all of it where nothing is said.
    #[serde(default)]
    shares: Vec<Real>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawGuard {
    /// Of all processors, 0 to 1.
    cpu: Option<Real>,
    /// Of the memory there is, 0 to 1.
    memory: Option<Real>,
    /// How late a worker's timers are.
    loop_lag: Option<Period>,
    /// Shed only what is more than the machine has shown it can do: the most requests that succeeded in a second times the
    /// least time one took. Without it, the less important classes are shed, or a part of the requests where there are
    /// none.
    bbr: Option<Switch>,
}

/// As the limiter wants it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) gate: Option<GateSpec>,
    pub(crate) source: Source,
    pub(crate) priority: Option<Priority>,
    pub(crate) guard: Option<Guard>,
    pub(crate) status: u16,
    pub(crate) shadow: bool,
}

/// Classes of requests.
#[derive(Debug)]
pub(crate) struct Priority {
    pub(crate) by: Source,
    pub(crate) classes: Vec<String>,
    /// The place of the class of all others.
    pub(crate) default: u8,
}

/// From where on the machine is overloaded.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) loop_lag: Option<Duration>,
    /// Only beyond what the machine has shown it can do.
    pub(crate) bbr: bool,
}

impl Settings {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let amount = raw.amount.map_or(0, Number::clamped);
        let shares = raw.priority.as_ref().map_or(Ok(Vec::new()), shares)?;
        let gate = match raw.adaptive {
            Some(_) if amount > 0 => {
                return Err(
                    "an `adaptive` limit finds its own `amount`; keep one of them, or set `adaptive.max`".to_owned()
                );
            }
            Some(adaptive) => Some(adaptive_gate(&adaptive)?),
            None => (amount > 0).then(|| GateSpec::fixed(amount)),
        };
        let status = match raw.status.map_or(429, |status| status.0) {
            status @ 400..=599 => u16::try_from(status).unwrap_or(429),
            status => return Err(format!("`status` is {status} and has to be between 400 and 599")),
        };
        Ok(Self {
            gate: gate.map(|gate| gate.with_shares(shares)),
            source: Source::check(raw.source, raw.criterion, Source::field(Field::Host))?,
            priority: raw.priority.map(priority).transpose()?,
            guard: raw.guard.map(guard).transpose()?,
            status,
            shadow: raw.shadow.is_some_and(|switch| switch.0),
        })
    }
}

fn adaptive_gate(raw: &RawAdaptive) -> Result<GateSpec, String> {
    let number = |number: Option<Number>, default: u32| number.map_or(default, Number::clamped);
    let (min, max) = (number(raw.min, 4), number(raw.max, 1_000));
    let start = number(raw.start, 20.clamp(min, max));
    if min == 0 || min > start || start > max {
        return Err(format!(
            "`adaptive` goes from {min} to {max} and starts at {start}, which has to lie between them"
        ));
    }
    let kind = match raw.kind {
        RawKind::Gradient2 => AdaptiveKind::Gradient2,
        RawKind::Vegas => AdaptiveKind::Vegas,
        RawKind::Aimd => AdaptiveKind::Aimd,
    };
    Ok(GateSpec::adaptive(kind, start, min, max))
}

fn shares(raw: &RawPriority) -> Result<Vec<u16>, String> {
    let (classes, shares) = (raw.classes.0.len(), raw.shares.len());
    if shares != 0 && shares != classes {
        return Err(format!("`priority` has {classes} classes and {shares} shares; give each class its own"));
    }
    let share = |Real(share): &Real| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be small")]
        let share = (0.0..=1.0).contains(share).then(|| (share * 1000.0).round() as u16);
        share.ok_or_else(|| "a share of `priority.shares` is between 0 and 1".to_owned())
    };
    raw.shares.iter().map(share).collect()
}

fn priority(raw: RawPriority) -> Result<Priority, String> {
    let classes = raw.classes.0;
    let Some(last) = classes.len().checked_sub(1).and_then(|last| u8::try_from(last).ok()) else {
        return Err("`priority.classes` needs from 1 to 256 values, the most important one first".to_owned());
    };
    let default = match raw.default {
        None => last,
        Some(name) => {
            let place = classes.iter().position(|class| *class == name);
            let place = place.ok_or_else(|| format!("`priority.default` is `{name}`, which is none of the classes"))?;
            u8::try_from(place).unwrap_or(last)
        }
    };
    Ok(Priority { by: Source::check(Some(raw.by), None, Source::nothing())?, classes, default })
}

fn guard(raw: RawGuard) -> Result<Guard, String> {
    let share = |value: Option<Real>, name: &str| match value {
        Some(Real(share)) if share >= 1.0 => Err(format!("`guard.{name}` is {share} and has to be below 1")),
        share => Ok(share.map(|share| share.0)),
    };
    let (cpu, memory) = (share(raw.cpu, "cpu")?, share(raw.memory, "memory")?);
    let loop_lag = raw.loop_lag.map(|lag| lag.0).filter(|lag| !lag.is_zero());
    if cpu.is_none() && memory.is_none() && loop_lag.is_none() {
        return Err("`guard` needs one of `cpu`, `memory` and `loop-lag`".to_owned());
    }
    Ok(Guard { cpu, memory, loop_lag, bbr: raw.bbr.is_some_and(|switch| switch.0) })
}
