//! What a policy may read and change of the exchange it is asked about.

use hyper::header::{HeaderName, HeaderValue};
use sluice_wasm::{ExchangeHost, Field};

use super::fields;
use crate::http::Exchange;

/// Framing and connection headers are the gateway's own business.
pub(super) fn may_be_set(name: &HeaderName) -> bool {
    !matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "transfer-encoding"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
    if may_be_set(&parsed) {
        Ok(parsed)
    } else {
        Err(format!("header `{name}` belongs to the connection and cannot be changed"))
    }
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| format!("the value for header `{name}` contains control characters"))
}

impl ExchangeHost for Box<Exchange> {
    fn request_field(&self, field: Field<'_>) -> Option<String> {
        let mut text = String::new();
        fields::write_field(&field, self, &mut text).then_some(text)
    }

    fn set_request_header(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.head.headers.insert(header_name(name)?, header_value(name, value)?);
        Ok(())
    }

    fn remove_request_header(&mut self, name: &str) -> Result<(), String> {
        self.head.headers.remove(header_name(name)?);
        Ok(())
    }

    fn set_response_header(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.response_edits.push((header_name(name)?, Some(header_value(name, value)?)));
        Ok(())
    }

    fn remove_response_header(&mut self, name: &str) -> Result<(), String> {
        self.response_edits.push((header_name(name)?, None));
        Ok(())
    }
}
