//! What an operator can set, as it arrives and as the policy wants it.

use std::time::Duration;

use regex_lite::RegexBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice_policy_kit::source;
use sluice_policy_kit::values::{List, Number, Period, Switch};

use crate::forward::{Address, Forward};

/// As it arrives.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// Who decides: a URL.
    address: Option<String>,
    /// 30 seconds where nothing is said.
    timeout: Option<Period>,
    /// Keep the `X-Forwarded-` headers that came with the request.
    trust_forward_header: Option<Switch>,
    /// Headers of the request that are passed on to the address; all of them where nothing is said.
    auth_request_headers: List,
    /// Headers of its answer that the request receives.
    auth_response_headers: List,
    /// The same by a regular expression over their names.
    auth_response_headers_regex: Option<String>,
    /// Cookies of its answer that the client receives.
    add_auth_cookies_to_response: List,
    /// Pass the body on, of at most `max-body-size` bytes; a megabyte is the most there can be. A longer one is answered
    /// 401.
    forward_body: Option<Switch>,
    max_body_size: Option<Number>,
    /// A longer answer is no permission.
    max_response_body_size: Option<Number>,
    /// Pass a relative `Location` on as it is.
    preserve_location_header: Option<Switch>,
    /// Ask with the method of the request, instead of GET.
    preserve_request_method: Option<Switch>,
    /// Where clients without permission are sent, in place of a 401.
    auth_signin_url: Option<String>,
    /// The header of its answer that names the user, for the access log.
    header_field: Option<String>,
    /// How TLS is spoken to it: the name of a `[transports.NAME]` of the gateway's configuration.
    transport: Option<String>,
}

/// Longer bodies cannot be sent.
const MAX_BODY: u64 = 1 << 20;

/// Makes sense of what arrived.
pub(crate) fn check(raw: RawSettings) -> Result<Forward, String> {
    let is = |switch: Option<Switch>| switch.is_some_and(|switch| switch.0);
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let address = text(raw.address).ok_or("`address` is missing")?;
    for name in raw.auth_request_headers.0.iter().chain(&raw.auth_response_headers.0) {
        source::header(name.clone())?;
    }
    let pattern = text(raw.auth_response_headers_regex).map(|pattern| {
        // Names of headers have no case.
        let regex = RegexBuilder::new(&pattern).case_insensitive(true).build();
        regex.map_err(|error| format!("`auth-response-headers-regex` is `{pattern}`: {error}"))
    });
    let transport = text(raw.transport);
    if transport.is_some() && !address.to_ascii_lowercase().starts_with("https://") {
        return Err(format!("`transport` says how TLS is spoken, and `address` is `{address}`, without TLS"));
    }
    let max_body = raw.max_body_size.map_or(MAX_BODY, |size| size.0).min(MAX_BODY);
    Ok(Forward {
        address: Address::parse(&address)?,
        timeout: raw.timeout.map_or(Duration::from_secs(30), |time| time.0),
        trust_forwarded: is(raw.trust_forward_header),
        request_headers: raw.auth_request_headers.0,
        response_headers: raw.auth_response_headers.0,
        response_pattern: pattern.transpose()?,
        cookies: raw.add_auth_cookies_to_response.0,
        body: is(raw.forward_body).then_some(max_body),
        max_response: raw.max_response_body_size.map(|size| size.0),
        keep_location: is(raw.preserve_location_header),
        keep_method: is(raw.preserve_request_method),
        sign_in: text(raw.auth_signin_url),
        user_header: text(raw.header_field),
        transport,
    })
}
