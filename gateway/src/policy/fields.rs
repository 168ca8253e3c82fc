//! The values a policy asked for, copied out of the exchange into one piece of text for the call.

use std::fmt::Write as _;

use hyper::header::{COOKIE, HeaderMap};
use sluice_model::rule::query_value;
use sluice_wasm::Field;

use crate::http::Exchange;

/// Values in the order a subscription names them.
pub(super) struct Fields {
    text: String,
    /// Where in `text` each value lies; `None` is an absent one.
    spans: Vec<Option<(usize, usize)>>,
}

/// Makes room for what is made when it is first asked for.
pub(super) fn prepare(wanted: &[Field<'_>], exchange: &mut Exchange) {
    if wanted.contains(&Field::RequestId) {
        exchange.notes();
    }
}

pub(super) fn of_request(wanted: &[Field<'_>], exchange: &mut Exchange) -> Fields {
    prepare(wanted, exchange);
    let mut fields = Fields::with_capacity(wanted.len());
    for field in wanted {
        fields.push(|text| write_field(field, exchange, text));
    }
    fields
}

pub(super) fn of_response(wanted: &[String], headers: &HeaderMap) -> Fields {
    let mut fields = Fields::with_capacity(wanted.len());
    for name in wanted {
        fields.push(|text| write_header(name, headers, text));
    }
    fields
}

/// Looks at a value of the request where it is, or at a copy where it is in pieces.
pub(super) fn look(field: &Field<'_>, exchange: &Exchange, look: &mut dyn FnMut(Option<&str>)) {
    match in_place(field, exchange) {
        Some(value) => look(value),
        None => {
            let mut text = String::new();
            let present = write_field(field, exchange, &mut text);
            look(present.then_some(&text));
        }
    }
}

/// Appends a value of the request; answers false, and appends nothing, where there is none.
pub(super) fn write_field(field: &Field<'_>, exchange: &Exchange, text: &mut String) -> bool {
    if let Some(value) = in_place(field, exchange) {
        text.push_str(value.unwrap_or_default());
        return value.is_some();
    }
    match field {
        Field::ClientPort => write_shown(exchange.client.address.port(), text),
        Field::Attempt => write_shown(exchange.attempts, text),
        Field::RequestId => write_request_id(exchange, text),
        Field::Header(name) => write_header(name, &exchange.head.headers, text),
        Field::Cookie(name) => write_cookie(name, &exchange.head.headers, text),
        Field::QueryParam(name) => {
            let value = exchange.head.uri.query().and_then(|query| query_value(query, name));
            text.push_str(value.as_deref().unwrap_or_default());
            value.is_some()
        }
        _ => false,
    }
}

/// A value that the exchange has in one piece.
fn in_place<'a>(field: &Field<'_>, exchange: &'a Exchange) -> Option<Option<&'a str>> {
    let value = match field {
        Field::Method => exchange.head.method.as_str(),
        Field::Path => exchange.path.as_str(),
        Field::Query => return Some(exchange.head.uri.query()),
        Field::Host => exchange.plain_host(),
        Field::Scheme => exchange.client.scheme(),
        Field::ClientIp => exchange.ip_value().to_str().unwrap_or_default(),
        Field::Entrypoint => &exchange.client.entrypoint,
        Field::Route => exchange.route.as_deref().unwrap_or_default(),
        Field::Service => exchange.service.as_deref().unwrap_or_default(),
        Field::Tls if exchange.client.tls.is_some() => "true",
        Field::Tls | Field::Withheld => return Some(None),
        Field::Header(name) => {
            let mut values = exchange.head.headers.get_all(&**name).iter();
            match (values.next(), values.next()) {
                (None, _) => return Some(None),
                (Some(only), None) => std::str::from_utf8(only.as_bytes()).ok()?,
                _ => return None,
            }
        }
        Field::ClientPort | Field::Attempt | Field::RequestId | Field::Cookie(_) | Field::QueryParam(_) => return None,
    };
    Some(Some(value))
}

fn write_shown(value: impl std::fmt::Display, text: &mut String) -> bool {
    // Writing to a string does not fail.
    write!(text, "{value}").is_ok()
}

/// The client's own, or one made for this exchange.
fn write_request_id(exchange: &Exchange, text: &mut String) -> bool {
    if write_header("x-request-id", &exchange.head.headers, text) {
        return true;
    }
    match &exchange.notes {
        Some(notes) => text.push_str(notes.request_id.get_or_init(|| format!("{:032x}", fastrand::u128(..)))),
        None => return false,
    }
    true
}

fn write_cookie(name: &str, headers: &HeaderMap, text: &mut String) -> bool {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(found, _)| *found == name);
    if let Some((_, value)) = found {
        text.push_str(value);
    }
    found.is_some()
}

/// Appends the values of a header joined by `, `. Bytes that are not UTF-8 become replacement characters.
pub(super) fn write_header(name: &str, headers: &HeaderMap, text: &mut String) -> bool {
    let mut found = false;
    for value in headers.get_all(name) {
        if found {
            text.push_str(", ");
        }
        found = true;
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    found
}

impl Fields {
    fn with_capacity(count: usize) -> Self {
        Self { text: String::with_capacity(count * 24), spans: Vec::with_capacity(count) }
    }

    fn push(&mut self, write: impl FnOnce(&mut String) -> bool) {
        let start = self.text.len();
        let present = write(&mut self.text);
        self.spans.push(present.then_some((start, self.text.len())));
    }

    /// The values as the call wants them.
    pub(super) fn values(&self) -> Vec<Option<&str>> {
        self.spans.iter().map(|span| span.and_then(|(start, end)| self.text.get(start..end))).collect()
    }

    /// Hands the values over as the call wants them.
    pub(super) fn with<R>(&self, call: impl FnOnce(&[Option<&str>]) -> R) -> R {
        let value = |span: &Option<(usize, usize)>| span.and_then(|(start, end)| self.text.get(start..end));
        // Few policies want more than this; they need no allocation.
        let mut few = [None; 8];
        match few.get_mut(..self.spans.len()) {
            Some(slots) => {
                slots.iter_mut().zip(&self.spans).for_each(|(slot, span)| *slot = value(span));
                call(slots)
            }
            None => call(&self.spans.iter().map(value).collect::<Vec<_>>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_stay_absent_and_many_fit() {
        for count in [1, 8, 9, 20] {
            let mut fields = Fields::with_capacity(count);
            for at in 0..count {
                fields.push(|text| {
                    text.push_str(&"x".repeat(at));
                    at % 2 == 0
                });
            }
            fields.with(|values| {
                assert_eq!(values.len(), count);
                assert!(
                    values.iter().enumerate().all(|(at, value)| value.map(str::len) == (at % 2 == 0).then_some(at))
                );
            });
        }
    }

    #[test]
    fn header_values_are_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", hyper::header::HeaderValue::from_static("1"));
        headers.append("x-a", hyper::header::HeaderValue::from_static("2"));
        of_response(&["x-a".into(), "x-b".into()], &headers).with(|values| assert_eq!(values, [Some("1, 2"), None]));
    }
}
