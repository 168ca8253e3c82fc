//! `headers`: names and values are checked here, once.

use hyper::header::{HOST, HeaderName, HeaderValue};
use sluice_model::action::{Cors as CorsSpec, HeaderEdit as EditSpec, Headers as HeadersSpec, Hsts};

use super::regexes;
use crate::live::native::{Cors, HeaderEdit, Headers, Secure};

pub(super) fn compile(spec: &HeadersSpec) -> Result<Headers, String> {
    let (hosts, request): (Vec<_>, Vec<_>) = edits(&spec.request)?.into_iter().partition(|(name, _)| *name == HOST);
    Ok(Headers {
        request,
        host: hosts.into_iter().find_map(|(_, value)| value),
        response: edits(&spec.response)?,
        cors: spec.cors.as_ref().map(cors).transpose()?,
        secure: secure(spec)?,
    })
}

/// Headers that frame a message or concern one connection are not a step's to change: they are left out.
fn edits(edits: &[EditSpec]) -> Result<Vec<HeaderEdit>, String> {
    let mut checked = Vec::with_capacity(edits.len());
    for (header, text) in edits {
        let name = name(header)?;
        if !belongs_to_connection(&name) {
            checked.push((name, (!text.is_empty()).then(|| value(header, text)).transpose()?));
        }
    }
    Ok(checked)
}

fn belongs_to_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "transfer-encoding"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "upgrade"
            | "http2-settings"
    )
}

fn name(text: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a name of a header"))
}

fn value(header: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("the value of `{header}` has characters no header can carry"))
}

/// What a browser needs for calls by gRPC-Web: it asks by POST, with any header, and reads the status from two.
pub(super) fn grpc_web(origins: &[String]) -> Result<Cors, String> {
    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
    cors(&CorsSpec {
        origins: origins.to_vec(),
        credentials: true,
        headers: list(&["*"]),
        methods: list(&["POST"]),
        expose: list(&["Grpc-Status", "Grpc-Message"]),
        max_age: 600,
        ..CorsSpec::default()
    })
}

fn cors(spec: &CorsSpec) -> Result<Cors, String> {
    let list =
        |header: &str, items: &[String]| (!items.is_empty()).then(|| value(header, &items.join(","))).transpose();
    Ok(Cors {
        any_origin: spec.origins.iter().any(|origin| origin == "*"),
        origins: spec.origins.clone(),
        origin_regexps: regexes(&spec.origin_regexps)?,
        credentials: spec.credentials,
        headers: list("Access-Control-Allow-Headers", &spec.headers)?,
        methods: list("Access-Control-Allow-Methods", &spec.methods)?,
        expose: list("Access-Control-Expose-Headers", &spec.expose)?,
        max_age: HeaderValue::from(spec.max_age),
        vary: spec.vary,
    })
}

/// `None` where nothing of it is asked for.
fn secure(spec: &HeadersSpec) -> Result<Option<Secure>, String> {
    if spec.allowed_hosts.is_empty() && spec.tls_redirect.is_none() && spec.hsts.is_none() {
        return Ok(None);
    }
    let hsts = |hsts: &Hsts| value("Strict-Transport-Security", &hsts.value);
    Ok(Some(Secure {
        allowed_hosts: spec.allowed_hosts.clone(),
        host_headers: spec.host_headers.iter().map(|header| name(header)).collect::<Result<_, _>>()?,
        tls_headers: spec
            .tls_headers
            .iter()
            .map(|(header, text)| Ok((name(header)?, value(header, text)?)))
            .collect::<Result<_, String>>()?,
        tls_redirect: spec.tls_redirect.clone(),
        hsts: spec.hsts.as_ref().map(hsts).transpose()?,
        hsts_always: spec.hsts.as_ref().is_some_and(|hsts| hsts.always),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(edits: &[(&str, &str)]) -> Result<Headers, String> {
        let request = edits.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        compile(&HeadersSpec { request, ..HeadersSpec::default() })
    }

    #[test]
    fn host_is_apart_and_framing_is_left_out() {
        let headers = request(&[("Host", "a.test"), ("X-A", ""), ("Content-Length", "3"), ("Connection", "close")]);
        let headers = headers.unwrap_or_default();
        assert_eq!(headers.host, Some(HeaderValue::from_static("a.test")));
        assert_eq!(headers.request, [(HeaderName::from_static("x-a"), None)]);
        assert!(headers.secure.is_none() && headers.cors.is_none());
    }

    #[test]
    fn what_no_header_can_be_is_refused_by_its_name() {
        assert_eq!(request(&[("a b", "1")]).err().as_deref(), Some("`a b` is not a name of a header"));
        assert!(request(&[("X-A", "1\r\n2")]).is_err_and(|error| error.contains("`X-A`")));
    }
}
