//! What a policy may read and change of the exchange it is asked about.

use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use sluice_model::path::NormalPath;
use sluice_wasm::{Change, ExchangeHost, Field, GateLease};

use super::fields;
use crate::http::{Exchange, HeaderEdit, remove_twins, with_query};

/// Headers of a request that policies may bring it to.
const MOST_HEADERS: usize = 512;
const TOO_MANY: &str = "the request has too many headers";
/// Changes of a response's headers that one exchange may have.
const MOST_EDITS: usize = 256;

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

pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
    if may_be_set(&parsed) {
        Ok(parsed)
    } else {
        Err(format!("header `{name}` belongs to the connection and cannot be changed"))
    }
}

pub(super) fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| format!("the value for header `{name}` contains control characters"))
}

impl ExchangeHost for Box<Exchange> {
    fn request_field(&self, field: Field<'_>) -> Option<String> {
        let mut text = String::new();
        fields::write_field(&field, self, &mut text).then_some(text)
    }

    fn look(&self, field: &Field<'_>, look: &mut dyn FnMut(Option<&str>)) {
        fields::look(field, self, look);
    }

    fn request_headers(&self) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
    }

    fn request_header_values(&self, name: &str) -> Vec<String> {
        let values = self.head.headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    fn has_body(&self) -> bool {
        self.has_body && self.upgrade.is_none()
    }

    fn set_request_header(&mut self, name: &str, value: &str) -> Change {
        let (name, value) = (header_name(name)?, header_value(name, value)?);
        if self.head.headers.len() >= MOST_HEADERS && !self.head.headers.contains_key(&name) {
            return Err(TOO_MANY.to_owned());
        }
        remove_twins(self, &name);
        self.head.headers.insert(name, value);
        Ok(())
    }

    fn add_request_header(&mut self, name: &str, value: &str) -> Change {
        let (name, value) = (header_name(name)?, header_value(name, value)?);
        if self.head.headers.len() >= MOST_HEADERS {
            return Err(TOO_MANY.to_owned());
        }
        self.head.headers.append(name, value);
        Ok(())
    }

    fn remove_request_header(&mut self, name: &str) -> Change {
        let name = header_name(name)?;
        remove_twins(self, &name);
        self.head.headers.remove(name);
        Ok(())
    }

    fn set_response_header(&mut self, name: &str, value: &str) -> Change {
        edit(self, HeaderEdit::Set(header_name(name)?, header_value(name, value)?))
    }

    fn add_response_header(&mut self, name: &str, value: &str) -> Change {
        edit(self, HeaderEdit::Add(header_name(name)?, header_value(name, value)?))
    }

    fn remove_response_header(&mut self, name: &str) -> Change {
        edit(self, HeaderEdit::Remove(header_name(name)?))
    }

    fn set_path(&mut self, path: &str) -> Change {
        let normal = NormalPath::parse(path).ok().filter(|normal| !normal.was_changed());
        self.path = normal.ok_or_else(|| format!("`{path}` is not a normalised path that begins with `/`"))?;
        self.path_rewritten = true;
        Ok(())
    }

    fn set_query(&mut self, query: Option<&str>) -> Change {
        set_query(self, query)
    }

    fn response_header(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        fields::write_header(name, self.notes.as_ref()?.response.as_ref()?, &mut text).then_some(text)
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.notes().annotate(key, value);
    }

    fn eject_instance(&mut self, time: Duration) -> bool {
        let ejector = self.notes.as_ref().and_then(|notes| notes.ejector.as_ref());
        ejector.is_some_and(|answering| answering.0.eject(time))
    }

    fn hold(&mut self, lease: Box<dyn GateLease>) -> bool {
        self.notes().leases.hold(lease)
    }
}

pub(super) fn set_query(exchange: &mut Exchange, query: Option<&str>) -> Change {
    let target = PathAndQuery::try_from(with_query(exchange.head.uri.path(), query));
    let fits = |target: &PathAndQuery| target.query() == query;
    let target = target.ok().filter(fits).ok_or_else(|| format!("`{}` is not a query", query.unwrap_or_default()))?;
    exchange.head.uri = Uri::from(target);
    exchange.path_rewritten = true;
    Ok(())
}

/// Keeps a change for the response.
fn edit(exchange: &mut Exchange, edit: HeaderEdit) -> Change {
    if exchange.response_edits.len() >= MOST_EDITS {
        return Err(format!("{MOST_EDITS} changes of the response's headers are the most"));
    }
    exchange.response_edits.push(edit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_what_is_no_header_cannot_be_set() {
        for name in [
            "connection",
            "Content-Length",
            "TRANSFER-ENCODING",
            "Host",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "expect",
            ":path",
            ":authority",
            "",
            "a b",
            "a:b",
            "a\r\nb",
            "a\0",
            "h\u{e9}",
        ] {
            assert!(header_name(name).is_err(), "{name:?}");
        }
        for value in ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b", "\u{7f}"] {
            assert!(header_value("x-a", value).is_err(), "{value:?}");
        }
        assert!(header_name("X-Forwarded-User").is_ok() && header_value("x-a", "b; c=\"d\"").is_ok());
    }
}
