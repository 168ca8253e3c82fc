//! The language of `?lang=de` becomes the header an old service understands, and the header by which it gives itself away
//! stays inside.

use serde::Deserialize;
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Subscription, Verdict, exchange};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rewrite {
    parameter: String,
    header: String,
    hidden: String,
}

impl Policy for Rewrite {
    type Settings = Self;

    fn configure(settings: Self) -> Result<(Self, Subscription), String> {
        let wanted = Subscription::new().on_request([Field::QueryParam(settings.parameter.clone())]);
        Ok((settings, wanted))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let set = fields.get(0).map_or(Ok(()), |value| exchange::set_request_header(&self.header, value));
        let hide = exchange::remove_response_header(&self.hidden);
        [set, hide].into_iter().filter_map(Result::err).for_each(|reason| log::warn(&reason));
        Verdict::next()
    }
}

sluice_plugin_sdk::export_policy!(Rewrite);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use sluice_plugin_sdk::mock::Host;

    #[test]
    fn a_parameter_becomes_a_header_and_another_is_hidden() {
        let host = Host::new();
        let settings = r#"{"parameter": "lang", "header": "X-Language", "hidden": "X-Powered-By"}"#;
        let mut policy = host.configure::<Rewrite>(settings).unwrap();
        host.set_request(Field::Query, "a=1&lang=de");
        host.set_response_header("X-Powered-By", "steam");
        assert_eq!(policy.request(), Verdict::next());
        assert_eq!(host.request(&Field::Header("X-Language".into())).as_deref(), Some("de"));
        assert_eq!(host.response_header("X-Powered-By"), None);
    }
}
