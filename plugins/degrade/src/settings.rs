//! What an operator can set, as it arrives and as the degrader wants it.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_policy_kit::source;
use sluice_policy_kit::status::Statuses;
use sluice_policy_kit::values::{List, Number, Period, Real, Switch};

use crate::ladder::Steps;
use crate::reply::Template;
use crate::schedule::Span;
use crate::stale::Stale;

/// As it arrives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// Answers with these statuses are replaced; `502-504` where nothing is said. The gateway's own count, too.
    status: Option<Statuses>,
    /// The service that answers instead.
    service: Option<String>,
    /// What it is asked for, by GET: a path and query with `{status}`, `{originalStatus}` and `{url}`. The same as the
    /// client asked for where nothing is said.
    query: Option<String>,
    /// Other statuses for clients: `{ "500-599" = 200 }`.
    #[serde(alias = "statusrewrites", alias = "statusRewrites")]
    status_rewrites: BTreeMap<String, Number>,
    /// The only headers of the request that the service gets; all but `Authorization` and `Cookie` where there are none.
    #[serde(alias = "errorrequestheaders", alias = "errorRequestHeaders")]
    error_request_headers: List,
    /// An answer made up here.
    reply: Option<RawReply>,
    /// Good answers kept for later.
    stale: Option<RawStale>,
    /// Levels of overload, the limits of each.
    ladder: Option<RawLadder>,
    /// Requests are degraded from this level on, 1 to 3; below, the upstream is told by `X-Degrade-Level`.
    from_level: Option<Number>,
    /// Times in UTC at which all requests are degraded, such as `sat,sun 02:00-04:00`.
    schedule: Vec<String>,
    /// An operator may degrade all requests by force.
    switch: Option<Switch>,
    /// So many at once may be answered by `service`; the others get `reply` or what there is.
    cap: Option<Number>,
    /// How long `service` may take until its answer begins; as long as the service allows where nothing is said.
    timeout: Option<Period>,
    /// The level whatever the machine does, 0 to 3, in place of a `ladder`.
    level: Option<Number>,
    /// The header of degraded answers that says why; `X-Degraded` where nothing is said, none where it is empty.
    mark: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawReply {
    /// That of the answer it stands for, or 503.
    status: Option<Number>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// With `{status}`, `{url}`, `{host}` and `{request-id}`.
    body: Option<String>,
    content_type: Option<String>,
    /// Several bodies by media type, of which the client's `Accept` chooses.
    #[serde(default)]
    bodies: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStale {
    /// So old they may be.
    #[serde(rename = "for")]
    bound: Period,
    /// Longer ones are not kept; 64 KiB where nothing is said.
    max_body: Option<Number>,
    /// Keep answers without `Cache-Control`, too.
    unmarked: Option<Switch>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RawLadder {
    /// Shares of all processors, 0 to 1, for levels 1 to 3.
    cpu: Vec<Real>,
    /// Shares of the memory there is.
    memory: Vec<Real>,
    /// How late a worker's timers are.
    loop_lag: Vec<Period>,
    /// So long it has to be better before a level is left; 10 seconds where nothing is said.
    hold: Option<Period>,
}

/// As the degrader wants it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) statuses: Statuses,
    pub(crate) service: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) rewrites: Vec<(Statuses, u16)>,
    pub(crate) request_headers: Vec<String>,
    pub(crate) reply: Option<Template>,
    pub(crate) stale: Option<Stale>,
    pub(crate) ladder: Option<Steps>,
    pub(crate) from_level: u8,
    pub(crate) schedule: Vec<Span>,
    pub(crate) switch: bool,
    pub(crate) cap: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) level: Option<u8>,
    pub(crate) mark: Option<String>,
}

impl Settings {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let service = raw.service.filter(|service| !service.is_empty());
        let has_level = raw.ladder.is_some() || raw.level.is_some();
        if service.is_none() && raw.reply.is_none() && raw.stale.is_none() && !has_level {
            return Err("it does nothing; give it a `service`, a `reply`, `stale` or a `ladder`".to_owned());
        }
        let of_service = raw.query.is_some() || raw.cap.is_some() || raw.timeout.is_some();
        if service.is_none() && (of_service || !raw.error_request_headers.0.is_empty()) {
            return Err("`query`, `cap`, `timeout` and `error-request-headers` need a `service`".to_owned());
        }
        let level = match (raw.level.map(|level| level.0), &raw.ladder) {
            (None, _) => None,
            (Some(_), Some(_)) => return Err("`level` says what `ladder` would find out; keep one".to_owned()),
            (Some(level @ 0..=3), None) => u8::try_from(level).ok(),
            (Some(level), None) => return Err(format!("`level` is {level} and has to be between 0 and 3")),
        };
        let query = raw.query.map(|query| if query.is_empty() { "/".to_owned() } else { query });
        if let Some(query) = query.as_ref().filter(|query| !query.starts_with('/')) {
            return Err(format!("`query` is `{query}` and has to begin with `/`"));
        }
        let from_level = match raw.from_level.map_or(1, |level| level.0) {
            level @ 1..=3 => u8::try_from(level).unwrap_or(1),
            level => return Err(format!("`from-level` is {level} and has to be between 1 and 3")),
        };
        let statuses = raw.status.unwrap_or_default();
        let mark = raw.mark.unwrap_or_else(|| "X-Degraded".to_owned());
        if !mark.is_empty() {
            source::header(mark.clone())?;
        }
        Ok(Self {
            statuses: if statuses.is_empty() { Statuses::parse(["502-504"])? } else { statuses },
            rewrites: raw.status_rewrites.iter().map(rewrite).collect::<Result<_, _>>()?,
            request_headers: raw.error_request_headers.0,
            reply: raw.reply.map(reply).transpose()?,
            stale: raw.stale.map(|stale| Stale {
                bound: stale.bound.0,
                max_body: stale.max_body.map_or(64 << 10, |size| size.0),
                unmarked: stale.unmarked.is_some_and(|switch| switch.0),
            }),
            ladder: raw.ladder.map(ladder).transpose()?,
            schedule: raw.schedule.iter().map(|span| Span::parse(span)).collect::<Result<_, _>>()?,
            switch: raw.switch.is_none_or(|switch| switch.0),
            cap: raw.cap.map(|cap| cap.0),
            timeout: raw.timeout.map(|time| time.0).filter(|time| !time.is_zero()),
            level,
            mark: Some(mark).filter(|mark| !mark.is_empty()),
            service,
            query,
            from_level,
        })
    }
}

fn rewrite((range, status): (&String, &Number)) -> Result<(Statuses, u16), String> {
    let to = u16::try_from(status.0).ok().filter(|status| (200..=599).contains(status));
    let to = to.ok_or_else(|| format!("`status-rewrites` leads to {}, which is no status", status.0))?;
    Ok((Statuses::parse([range.as_str()])?, to))
}

fn reply(raw: RawReply) -> Result<Template, String> {
    let status = match raw.status {
        None => None,
        Some(Number(status @ 200..=599)) => u16::try_from(status).ok(),
        Some(Number(status)) => return Err(format!("`reply.status` is {status}, which is no status")),
    };
    for name in raw.headers.keys() {
        source::header(name.clone())?;
    }
    let plain = |body| (raw.content_type.clone().unwrap_or_else(|| "text/plain; charset=utf-8".to_owned()), body);
    let bodies: Vec<_> = raw.body.map(plain).into_iter().chain(raw.bodies).collect();
    Ok(Template { status, headers: raw.headers.into_iter().collect(), bodies })
}

fn ladder(raw: RawLadder) -> Result<Steps, String> {
    let share = |values: Vec<Real>| values.into_iter().map(|value| value.0).collect::<Vec<_>>();
    let (cpu, memory) = (share(raw.cpu), share(raw.memory));
    let loop_lag: Vec<_> = raw.loop_lag.iter().map(|lag| lag.0).collect();
    for (name, values) in [("cpu", &cpu), ("memory", &memory)] {
        if values.len() > 3 || !values.is_sorted() || values.iter().any(|value| !(0.01..=1.0).contains(value)) {
            return Err(format!("`ladder.{name}` has up to three rising shares between 0.01 and 1"));
        }
    }
    if loop_lag.len() > 3 || !loop_lag.is_sorted() || loop_lag.iter().any(Duration::is_zero) {
        return Err("`ladder.loop-lag` has up to three rising times".to_owned());
    }
    if cpu.is_empty() && memory.is_empty() && loop_lag.is_empty() {
        return Err("`ladder` needs one of `cpu`, `memory` and `loop-lag`".to_owned());
    }
    Ok(Steps { cpu, memory, loop_lag, hold: raw.hold.map_or(Duration::from_secs(10), |hold| hold.0) })
}
