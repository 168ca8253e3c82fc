//! So many requests a second for each tenant, who is named by a header.

use std::time::Duration;

use serde::Deserialize;
use sluice_plugin_sdk::policy::state::{Bucket, BucketSpec, Reservation};
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    header: String,
    per_second: u64,
}

struct TenantLimit(Bucket);

impl Policy for TenantLimit {
    type Settings = Settings;

    fn configure(Settings { header, per_second }: Settings) -> Result<(Self, Subscription), String> {
        let bucket = Bucket::open("tenants", BucketSpec::token_bucket(per_second, Duration::from_secs(1), per_second))?;
        Ok((Self(bucket), Subscription::new().on_request([Field::Header(header)])))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let Some(tenant) = fields.get(0) else { return Verdict::Respond(Reply::text(400, "who are you?")) };
        match self.0.reserve(tenant, 1, Duration::ZERO) {
            Reservation::Granted { .. } => Verdict::next(),
            Reservation::Refused { .. } => {
                Verdict::Respond(Reply::text(429, "slow down").with_header("Retry-After", "1"))
            }
        }
    }
}

sluice_plugin_sdk::export_policy!(TenantLimit);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use sluice_plugin_sdk::mock::Host;

    #[test]
    fn tenants_are_limited_each_by_itself() {
        let host = Host::new();
        let mut policy = host.configure::<TenantLimit>(r#"{"header": "X-Tenant", "per_second": 2}"#).unwrap();
        assert_eq!(policy.request(), Verdict::Respond(Reply::text(400, "who are you?")));
        for tenant in ["a", "b"] {
            host.set_request(Field::Header("X-Tenant".into()), tenant);
            assert_eq!([policy.request(), policy.request()], [Verdict::next(), Verdict::next()]);
            assert!(matches!(policy.request(), Verdict::Respond(Reply { status: 429, .. })));
        }
        host.advance(Duration::from_secs(1));
        assert_eq!(policy.request(), Verdict::next());
    }
}
