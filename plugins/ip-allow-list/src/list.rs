//! Who passes.

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_plugin_sdk::policy::Field;
use sluice_policy_kit::ip::{FORWARDED_FOR, Ranges, RawStrategy, Strategy};
use sluice_policy_kit::status::reason_phrase;
use sluice_policy_kit::values::{List, Number, Switch};

/// As it arrives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// Addresses and CIDR ranges that pass.
    #[serde(alias = "sourcerange", alias = "sourceRange")]
    source_range: List,
    /// Which address counts: `depth`, `excludedips`; the one of the connection where nothing is said.
    #[serde(alias = "ipStrategy")]
    ipstrategy: RawStrategy,
    /// The status for all others, 403 by default.
    #[serde(alias = "rejectstatuscode", alias = "rejectStatusCode")]
    reject_status_code: Option<Number>,
    /// As Traefik 1 does it: any address of `X-Forwarded-For` lets pass, and so does the one of the connection.
    #[serde(alias = "useXForwardedFor")]
    use_x_forwarded_for: Option<Switch>,
}

/// A checked list.
#[derive(Debug)]
pub(crate) struct AllowList {
    ranges: Ranges,
    rule: Rule,
    pub(crate) reject_status: u16,
}

#[derive(Debug)]
enum Rule {
    One(Strategy),
    AnyHop,
}

impl AllowList {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let ranges = Ranges::parse(raw.source_range.0.iter().map(String::as_str))?;
        if ranges.is_empty() {
            return Err("`source-range` is empty; name the addresses that may pass, such as `10.0.0.0/8`".to_owned());
        }
        let strategy = raw.ipstrategy.check()?;
        let rule = match raw.use_x_forwarded_for {
            Some(Switch(true)) if strategy != Strategy::default() => {
                return Err(
                    "`use-x-forwarded-for` looks at every hop, so `ipstrategy` has no place; keep one".to_owned()
                );
            }
            Some(Switch(true)) => Rule::AnyHop,
            _ => Rule::One(strategy),
        };
        let status = raw.reject_status_code.map_or(403, |status| status.0);
        let known = u16::try_from(status).ok().filter(|status| *status >= 200 && !reason_phrase(*status).is_empty());
        let reject_status = known.ok_or_else(|| format!("`reject-status-code` is {status}, which is no status"))?;
        Ok(Self { ranges, rule, reject_status })
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        match &self.rule {
            Rule::One(strategy) => vec![strategy.field()],
            Rule::AnyHop => vec![Field::ClientIp, Field::Header(FORWARDED_FOR.to_owned())],
        }
    }

    /// Takes the values of [`fields`](Self::fields). What is no address does not pass.
    pub(crate) fn passes(&self, first: Option<&str>, forwarded: Option<&str>) -> bool {
        let inside = |text: &str| text.parse().ok().map(|address| self.ranges.contains(address));
        match &self.rule {
            Rule::One(strategy) => strategy.address(first).is_some_and(|address| self.ranges.contains(address)),
            Rule::AnyHop => {
                let hops = forwarded.into_iter().flat_map(|hops| hops.split(',')).map(str::trim);
                // A client's own hop comes first; one that cannot be read makes the rest doubtful.
                let hops: Option<Vec<bool>> = hops.filter(|hop| !hop.is_empty()).map(inside).collect();
                hops.is_some_and(|hops| hops.contains(&true) || first.and_then(inside) == Some(true))
            }
        }
    }
}
