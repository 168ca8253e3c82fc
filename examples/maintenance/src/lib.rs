//! Answers 503 to everybody but the addresses that are let through.

use serde::Deserialize;
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Maintenance {
    message: String,
    #[serde(default)]
    let_through: Vec<String>,
}

impl Policy for Maintenance {
    type Settings = Self;

    fn configure(settings: Self) -> Result<(Self, Subscription), String> {
        Ok((settings, Subscription::new().on_request([Field::ClientIp])))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let client = fields.get(0).unwrap_or_default();
        let through = self.let_through.iter().any(|address| address == client);
        if through { Verdict::next() } else { Verdict::Respond(Reply::text(503, &self.message)) }
    }
}

sluice_plugin_sdk::export_policy!(Maintenance);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use sluice_plugin_sdk::mock::Host;

    #[test]
    fn only_listed_addresses_get_through() {
        let host = Host::new();
        let mut policy =
            host.configure::<Maintenance>(r#"{"message": "back soon", "let-through": ["10.0.0.7"]}"#).unwrap();
        host.set_request(Field::ClientIp, "10.0.0.8");
        assert_eq!(policy.request(), Verdict::Respond(Reply::text(503, "back soon")));
        host.set_request(Field::ClientIp, "10.0.0.7");
        assert_eq!(policy.request(), Verdict::next());
    }
}
