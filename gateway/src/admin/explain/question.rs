//! The request a question is about, as a command line and a query string say it.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use sluice_model::rule::HeaderValues;

use crate::admin::answer::decoded;

/// A request somebody might send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Such as `GET`.
    pub method: String,
    /// With or without its protocol; the host may come from a header.
    pub url: String,
    /// `name: value`
    pub headers: Vec<String>,
    /// The address it would come from; this machine's where it is none.
    pub client: Option<String>,
    /// Where it would arrive; worked out from the URL where it is none.
    pub entrypoint: Option<String>,
}

/// The same, checked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) tls: bool,
    /// As rules compare it: in lower case, without port and brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) client: IpAddr,
    pub(super) entrypoint: Option<String>,
    headers: HeaderMap,
}

/// Rules do not see `Host` as a header.
impl HeaderValues for Asked {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name != "host" && self.headers.get_all(name).iter().any(|value| test(value.as_bytes()))
    }
}

impl Question {
    /// As the query of a URL.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut pairs = vec![("method", &self.method), ("url", &self.url)];
        pairs.extend(self.headers.iter().map(|header| ("header", header)));
        pairs.extend(self.client.iter().map(|client| ("client", client)));
        pairs.extend(self.entrypoint.iter().map(|entrypoint| ("entrypoint", entrypoint)));
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        pairs.join("&")
    }

    /// Reads the query of a URL.
    ///
    /// # Errors
    /// A parameter that means nothing, or no URL.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut question = Self { method: "GET".to_owned(), ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(&value.replace('+', " ")).into_owned();
            match name {
                "method" => question.method = value,
                "url" => question.url = value,
                "header" => question.headers.push(value),
                "client" => question.client = Some(value),
                "entrypoint" => question.entrypoint = Some(value),
                _ => {
                    return Err(format!(
                        "unknown parameter `{name}`; there are method, url, header, client and entrypoint"
                    ));
                }
            }
        }
        if question.url.is_empty() {
            return Err("`url` is missing, such as url=http://shop.test/cart".to_owned());
        }
        Ok(question)
    }

    pub(super) fn check(&self) -> Result<Asked, String> {
        let headers = headers(&self.headers)?;
        let written = self.url.trim();
        let (scheme, rest) = match written.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("http".to_owned(), written),
        };
        let tls = match scheme.as_str() {
            "http" => false,
            "https" => true,
            other => return Err(format!("`{other}` is neither http nor https")),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let target: Uri = target.parse().map_err(|error| format!("`{target}` is not a request target: {error}"))?;
        let named = headers.get(HOST).map(|host| host.to_str().map_err(|_| "the Host header is not a host".to_owned()));
        let named = named.transpose()?.unwrap_or(authority);
        let (host, _) = host_and_port(named)?;
        let port = if authority.is_empty() { None } else { host_and_port(authority)?.1 };
        let client = self.client.as_deref().unwrap_or("127.0.0.1");
        Ok(Asked {
            method: self.method.clone(),
            tls,
            host,
            port: port.or(Some(if tls { 443 } else { 80 })),
            path: target.path().to_owned(),
            query: target.query().map(str::to_owned),
            client: client.parse().map_err(|_| format!("client `{client}` is not an IP address"))?,
            entrypoint: self.entrypoint.clone(),
            headers,
        })
    }
}

fn headers(lines: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let wrong = || format!("header `{line}` is not `name: value`");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::try_from(value.trim()).map_err(|_| wrong())?);
    }
    Ok(headers)
}

fn host_and_port(written: &str) -> Result<(String, Option<u16>), String> {
    if written.is_empty() {
        return Err("the URL has no host; write it, or a `Host` header".to_owned());
    }
    let authority: Authority = written.parse().map_err(|_| format!("`{written}` is not a host"))?;
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host.to_ascii_lowercase(), authority.port_u16()))
}

/// Percent-encodes everything that could mean something in a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn question(url: &str, headers: &[&str]) -> Question {
        let headers = headers.iter().map(|&header| header.to_owned()).collect();
        Question { method: "GET".into(), url: url.into(), headers, ..Question::default() }
    }

    #[test]
    fn a_question_survives_a_query() {
        let asked = Question {
            client: Some("fd00::1".into()),
            entrypoint: Some("web".into()),
            ..question("https://a.test/x y?b=1&c=%2F+d", &["x-a: 1&2", "x-ü: ;"])
        };
        assert_eq!(Question::from_query(&asked.to_query()), Ok(asked));
    }

    #[test]
    fn queries_that_mean_nothing_are_refused() {
        for (query, part) in [("", "`url` is missing"), ("url=a&hedaer=b", "unknown parameter `hedaer`")] {
            let error = Question::from_query(query).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn urls_may_leave_out_what_is_clear() {
        for (url, headers, tls, host, port, target) in [
            ("http://Shop.Test/a?b=1", &[][..], false, "shop.test", Some(80), "/a?b=1"),
            ("shop.test", &[], false, "shop.test", Some(80), "/"),
            ("shop.test?b", &[], false, "shop.test", Some(80), "/?b"),
            ("https://[fd00::1]:8443/", &[], true, "fd00::1", Some(8443), "/"),
            ("https://x.test.", &[], true, "x.test.", Some(443), "/"),
            ("/a", &["Host: shop.test:81"], false, "shop.test", Some(80), "/a"),
            ("http://127.0.0.1:8000/a", &["host: shop.test"], false, "shop.test", Some(8000), "/a"),
        ] {
            let asked = question(url, headers).check().unwrap();
            let query = asked.query.map(|query| format!("?{query}")).unwrap_or_default();
            assert_eq!((asked.tls, asked.host.as_str(), asked.port), (tls, host, port), "{url}");
            assert_eq!(format!("{}{query}", asked.path), target, "{url}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_what_is_wrong() {
        let client = Question { client: Some("here".into()), ..question("http://a/", &[]) };
        for (asked, part) in [
            (question("ftp://a/", &[]), "neither http nor https"),
            (question("/a", &[]), "no host"),
            (question("http://a b/", &[]), "not a host"),
            (question("http://a/", &["nonsense"]), "not `name: value`"),
            (client, "not an IP address"),
        ] {
            let error = asked.check().map(|_| ()).unwrap_err();
            assert!(error.contains(part), "{asked:?}: {error}");
        }
    }
}
