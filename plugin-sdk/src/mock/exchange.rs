//! The mock's exchange: a request and a response as fields and headers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::policy::{Field, Header};

/// What a plugin may not touch, because the gateway frames messages.
const FRAMING: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Headers by lower-cased name.
type Headers = BTreeMap<String, Vec<String>>;

#[derive(Default)]
pub(super) struct Exchange {
    pub(super) has_body: bool,
    fields: Vec<(Field, String)>,
    request_headers: Headers,
    response_headers: Headers,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) ejections: Vec<Duration>,
}

impl Exchange {
    pub(super) fn set_request(&mut self, field: Field, value: &str) {
        if let Field::Header(name) = field {
            set(&mut self.request_headers, &name, value);
            return;
        }
        self.fields.retain(|(known, _)| *known != field);
        self.fields.push((field, value.to_owned()));
    }

    pub(super) fn unset_request(&mut self, field: &Field) {
        self.fields.retain(|(known, _)| known != field);
    }

    /// Cookies and query parameters that are not given by themselves are looked for in what holds them.
    pub(super) fn request(&self, field: &Field) -> Option<String> {
        if let Field::Header(name) = field {
            return joined(&self.request_headers, name);
        }
        let given = self.fields.iter().find(|(known, _)| known == field).map(|(_, value)| value.clone());
        given.or_else(|| match field {
            Field::Cookie(name) => pair(&joined(&self.request_headers, "cookie")?, ';', name),
            Field::QueryParam(name) => pair(&self.request(&Field::Query)?, '&', name),
            _ => None,
        })
    }

    pub(super) fn request_headers(&self) -> Vec<Header> {
        let all = self.request_headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        all.map(|(name, value)| Header { name: name.clone(), value: value.clone() }).collect()
    }

    pub(super) fn request_values(&self, name: &str) -> Vec<String> {
        self.request_headers.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default()
    }

    pub(super) fn add_request(&mut self, name: &str, value: &str) {
        self.request_headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }

    pub(super) fn set_response(&mut self, name: &str, value: &str) {
        set(&mut self.response_headers, name, value);
    }

    pub(super) fn add_response(&mut self, name: &str, value: &str) {
        self.response_headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }

    pub(super) fn response(&self, name: &str) -> Option<String> {
        joined(&self.response_headers, name)
    }

    pub(super) fn remove_request(&mut self, name: &str) {
        self.request_headers.remove(&name.to_ascii_lowercase());
    }

    pub(super) fn remove_response(&mut self, name: &str) {
        self.response_headers.remove(&name.to_ascii_lowercase());
    }
}

fn set(headers: &mut Headers, name: &str, value: &str) {
    headers.insert(name.to_ascii_lowercase(), vec![value.to_owned()]);
}

fn joined(headers: &Headers, name: &str) -> Option<String> {
    headers.get(&name.to_ascii_lowercase()).map(|values| values.join(", "))
}

/// The value of the first `name=value` of a list.
fn pair(list: &str, separator: char, name: &str) -> Option<String> {
    list.split(separator).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
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
