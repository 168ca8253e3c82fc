//! The mock's exchange: a request and a response as fields and headers.

use std::collections::BTreeMap;

use crate::policy::Field;

/// What a plugin may not touch, because the gateway frames messages.
const FRAMING: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

#[derive(Default)]
pub(super) struct Exchange {
    fields: Vec<(Field, String)>,
    request_headers: BTreeMap<String, String>,
    response_headers: BTreeMap<String, String>,
}

impl Exchange {
    pub(super) fn set_request(&mut self, field: Field, value: &str) {
        if let Field::Header(name) = field {
            self.request_headers.insert(name.to_ascii_lowercase(), value.to_owned());
            return;
        }
        self.fields.retain(|(known, _)| *known != field);
        self.fields.push((field, value.to_owned()));
    }

    pub(super) fn request(&self, field: &Field) -> Option<String> {
        if let Field::Header(name) = field {
            return self.request_headers.get(&name.to_ascii_lowercase()).cloned();
        }
        self.fields.iter().find(|(known, _)| known == field).map(|(_, value)| value.clone())
    }

    pub(super) fn set_response(&mut self, name: &str, value: &str) {
        self.response_headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }

    pub(super) fn response(&self, name: &str) -> Option<String> {
        self.response_headers.get(&name.to_ascii_lowercase()).cloned()
    }

    pub(super) fn remove_request(&mut self, name: &str) {
        self.request_headers.remove(&name.to_ascii_lowercase());
    }

    pub(super) fn remove_response(&mut self, name: &str) {
        self.response_headers.remove(&name.to_ascii_lowercase());
    }
}

/// Whether the gateway would let a plugin write that header.
pub(super) fn check_header(name: &str, value: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("`{name}` is not a header name"));
    }
    if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("the header `{name}` belongs to the gateway"));
    }
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(format!("the value for the header `{name}` contains control characters"));
    }
    Ok(())
}
