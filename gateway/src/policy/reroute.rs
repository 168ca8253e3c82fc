//! Another service for an exchange, checked.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use sluice_model::path::NormalPath;

use super::host;
use crate::http::{Exchange, HeaderEdit};

/// Headers that a reroute may add to the answer.
const MOST_HEADERS: usize = 64;

/// Where an exchange goes instead.
#[derive(Debug)]
pub struct Reroute {
    /// `name` or `name@provider`.
    pub service: String,
    /// Set where it is another request, without a body.
    pub request: Option<Request>,
    /// What the client gets in place of the answer's own status.
    pub status: Option<StatusCode>,
    /// How long that service may take to answer.
    pub timeout: Option<Duration>,
    /// Comes back in later hooks.
    pub context: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Another request. What is not set stays.
#[derive(Debug)]
pub struct Request {
    method: Option<Method>,
    /// And the query.
    path: Option<(NormalPath, Option<String>)>,
}

impl Reroute {
    /// Checks what a plugin wrote.
    pub(super) fn check(wanted: sluice_wasm::Reroute) -> Result<Self, String> {
        let method = wanted.method.map(|method| {
            Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is not a method to reroute with"))
        });
        let path = wanted.path.map(|path| {
            let (path, query) = path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
            let normal = NormalPath::parse(path).map_err(|_| format!("`{path}` is not a path to reroute to"))?;
            Ok::<_, String>((normal, query.map(str::to_owned)))
        });
        if wanted.headers.len() > MOST_HEADERS {
            return Err(format!("{} headers are too many to add", wanted.headers.len()));
        }
        let (method, path) = (method.transpose()?, path.transpose()?);
        let status = wanted.status.map(StatusCode::from_u16).transpose();
        let headers = wanted
            .headers
            .into_iter()
            .map(|(name, value)| Ok::<_, String>((host::header_name(&name)?, host::header_value(&name, &value)?)));
        Ok(Self {
            service: wanted.service,
            request: (method.is_some() || path.is_some()).then_some(Request { method, path }),
            status: status.map_err(|error| error.to_string())?,
            timeout: wanted.timeout,
            context: wanted.context,
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    /// Makes the exchange the one that is wanted.
    ///
    /// # Errors
    /// Its new target cannot be written down.
    pub fn apply(&mut self, exchange: &mut Exchange) -> Result<(), String> {
        let added = std::mem::take(&mut self.headers).into_iter();
        exchange.response_edits.extend(added.map(|(name, value)| HeaderEdit::Add(name, value)));
        let Some(request) = self.request.take() else { return Ok(()) };
        exchange.forget_body();
        if let Some(method) = request.method {
            exchange.head.method = method;
        }
        if let Some((path, query)) = request.path {
            host::set_query(exchange, query.as_deref())?;
            exchange.path = path;
            exchange.path_rewritten = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn wanted(path: &str, method: &str, header: &str) -> sluice_wasm::Reroute {
        sluice_wasm::Reroute {
            service: "pages".into(),
            path: Some(path.into()),
            method: Some(method.into()),
            status: Some(503),
            headers: vec![(header.into(), "yes".into())],
            timeout: None,
            context: 0,
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert!(Reroute::check(wanted("/500.html?a=b", "GET", "X-Page")).is_ok());
        assert!(Reroute::check(wanted("500.html", "GET", "X-Page")).unwrap_err().contains("not a path"));
        assert!(Reroute::check(wanted("/", "G T", "X-Page")).unwrap_err().contains("not a method"));
        assert!(
            Reroute::check(wanted("/", "GET", "Content-Length")).unwrap_err().contains("belongs to the connection")
        );
    }
}
