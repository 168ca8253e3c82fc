//! Another server decides: it is asked with the request's headers, and what it answers is done.

use std::time::Duration;

use regex_lite::Regex;
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::outbound::{self, Request, Response};
use sluice_plugin_sdk::policy::{Field, Header, Reply, exchange};
use sluice_policy_kit::status::reason_phrase;

/// What belongs to a connection and not to a message. `Content-Length` is the host's.
const NOT_PASSED_ON: [&str; 12] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// How another server is asked, and what is done with its answer.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) address: Address,
    pub(crate) timeout: Duration,
    pub(crate) trust_forwarded: bool,
    /// All, where it is empty.
    pub(crate) request_headers: Vec<String>,
    pub(crate) response_headers: Vec<String>,
    pub(crate) response_pattern: Option<Regex>,
    pub(crate) cookies: Vec<String>,
    /// The longest body that is passed on, where it is.
    pub(crate) body: Option<u64>,
    pub(crate) max_response: Option<u64>,
    pub(crate) keep_location: bool,
    pub(crate) keep_method: bool,
    pub(crate) sign_in: Option<String>,
    /// The header of a permission that names the user.
    pub(crate) user_header: Option<String>,
    /// How TLS is spoken to it, by name.
    pub(crate) transport: Option<String>,
}

/// A URL in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `http://host:port`
    origin: String,
    path: String,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`address` is `{text}` and has to be a URL such as `http://auth:4181/verify`");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = scheme.to_ascii_lowercase();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at_checked(end).ok_or_else(wrong)?;
        if !matches!(scheme.as_str(), "http" | "https") || host.is_empty() || host.contains(['@', ' ']) {
            return Err(wrong());
        }
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { origin: format!("{scheme}://{host}"), path })
    }

    /// A `Location` of its answer as an absolute URL.
    fn resolve(&self, location: &str) -> String {
        let is_absolute = location.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        });
        if is_absolute {
            return location.to_owned();
        }
        let scheme = self.origin.split_once(':').map_or("http", |(scheme, _)| scheme);
        let folder = self.path.split('?').next().unwrap_or("/");
        match location {
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{}{location}", self.origin),
            _ if location.starts_with('?') => format!("{}{folder}{location}", self.origin),
            _ => {
                let folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{}{folder}/{location}", self.origin)
            }
        }
    }
}

impl Forward {
    /// Asks; `None` is permission.
    pub(crate) fn ask(&self, body: Vec<u8>) -> Option<Reply> {
        let answer = match outbound::send(&self.request(body)) {
            Ok(answer) => answer,
            Err(reason) => {
                log::warn(&format!("asking {} for permission: {reason}", self.address.origin));
                return Some(Reply::text(500, ""));
            }
        };
        if self.max_response.is_some_and(|most| answer.body.len() as u64 > most) {
            return Some(Reply::text(401, reason_phrase(401)));
        }
        if !(200..300).contains(&answer.status) {
            return Some(self.refusal(answer));
        }
        self.take_over(&answer);
        None
    }

    fn request(&self, body: Vec<u8>) -> Request {
        let method = exchange::request_field(&Field::Method).unwrap_or_else(|| "GET".to_owned());
        let asked = if self.keep_method { method.as_str() } else { "GET" };
        let wanted = |name: &str| {
            let listed = self.request_headers.iter().any(|known| known.eq_ignore_ascii_case(name));
            (self.request_headers.is_empty() || listed) && !NOT_PASSED_ON.contains(&name) && !is_forwarded(name)
        };
        let mut headers = exchange::request_headers();
        headers.retain(|header| wanted(&header.name.to_ascii_lowercase()));
        headers.extend(self.forwarded(&method));
        Request {
            method: asked.to_owned(),
            headers,
            body,
            transport: self.transport.clone(),
            ..Request::get(self.address.origin.as_str(), self.address.path.as_str()).with_timeout(self.timeout)
        }
    }

    /// What the server is told of the request.
    fn forwarded(&self, method: &str) -> Vec<Header> {
        let field = |field: Field| exchange::request_field(&field).unwrap_or_default();
        let trusted = |name: &str| {
            let value = exchange::request_field(&Field::Header(name.to_owned()));
            value.filter(|value| self.trust_forwarded && !value.is_empty())
        };
        let uri = match exchange::request_field(&Field::Query) {
            Some(query) => format!("{}?{query}", field(Field::Path)),
            None => field(Field::Path),
        };
        let client = field(Field::ClientIp);
        let hops = trusted("X-Forwarded-For").map_or(client.clone(), |hops| format!("{hops}, {client}"));
        let or = |name: &str, value: String| {
            let value = trusted(name).unwrap_or(value);
            Header { name: name.to_owned(), value }
        };
        let host = exchange::request_field(&Field::Header("host".to_owned())).unwrap_or_else(|| field(Field::Host));
        let mut headers = vec![
            Header { name: "X-Forwarded-For".to_owned(), value: hops },
            or("X-Forwarded-Method", method.to_owned()),
            or("X-Forwarded-Proto", field(Field::Scheme)),
            or("X-Forwarded-Host", host),
            or("X-Forwarded-Uri", uri),
        ];
        headers.extend(trusted("X-Forwarded-Port").map(|value| Header { name: "X-Forwarded-Port".to_owned(), value }));
        headers
    }

    /// Its answer in place of the upstream's.
    fn refusal(&self, answer: Response) -> Reply {
        if let Some(url) = self.sign_in.as_ref().filter(|_| answer.status == 401) {
            return Reply::text(302, reason_phrase(302)).with_header("Location", url.as_str());
        }
        let Response { status, mut headers, body } = answer;
        headers.retain(|header| !NOT_PASSED_ON.contains(&header.name.to_ascii_lowercase().as_str()));
        if !self.keep_location {
            for header in headers.iter_mut().filter(|header| header.name.eq_ignore_ascii_case("location")) {
                header.value = self.address.resolve(&header.value);
            }
        }
        // What is no answer to a request cannot be passed on.
        let status = if (200..600).contains(&status) { status } else { 502 };
        Reply { status, headers, body }
    }

    /// Headers of a permission that the request and the response receive.
    fn take_over(&self, answer: &Response) {
        if let Some(user) = self.user_header.as_ref().and_then(|name| answer.header(name)) {
            exchange::annotate("user", user);
        }
        for name in &self.response_headers {
            replace(name, answer);
        }
        if let Some(pattern) = &self.response_pattern {
            let of_request = exchange::request_headers().into_iter().map(|header| header.name);
            let of_answer = answer.headers.iter().map(|header| header.name.clone());
            let mut names: Vec<_> = of_request.chain(of_answer).filter(|name| pattern.is_match(name)).collect();
            names.iter_mut().for_each(|name| name.make_ascii_lowercase());
            names.sort_unstable();
            names.dedup();
            names.iter().for_each(|name| replace(name, answer));
        }
        for header in answer.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("set-cookie")) {
            let name = header.value.split('=').next().unwrap_or_default().trim();
            if self.cookies.iter().any(|wanted| wanted == name) {
                tell(exchange::add_response_header("Set-Cookie", &header.value));
            }
        }
    }
}

/// The request has this header as the answer has it: not at all, or with these values.
fn replace(name: &str, answer: &Response) {
    tell(exchange::remove_request_header(name));
    for header in answer.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)) {
        tell(exchange::add_request_header(name, &header.value));
    }
}

fn tell(result: Result<(), String>) {
    if let Err(reason) = result {
        log::warn(&format!("a header of a permission is left out: {reason}"));
    }
}

/// Headers that say how the request came.
fn is_forwarded(name: &str) -> bool {
    matches!(
        name,
        "x-forwarded-for"
            | "x-forwarded-method"
            | "x-forwarded-proto"
            | "x-forwarded-host"
            | "x-forwarded-uri"
            | "x-forwarded-port"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, origin, path) in [
            ("http://auth.test", "http://auth.test", "/"),
            ("HTTPS://auth.test:8443/a/b?c=d#e", "https://auth.test:8443", "/a/b?c=d"),
            ("http://[::1]:80?x=1", "http://[::1]:80", "/?x=1"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.origin.as_str(), address.path.as_str()), (origin, path), "{text}");
        }
        for text in ["", "auth.test", "ftp://auth.test", "http://", "http://user@auth.test", "http://a b"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn locations_become_absolute() {
        let address = Address::parse("http://auth.test:81/a/verify?x=1").unwrap();
        for (location, expected) in [
            ("https://other.test/x", "https://other.test/x"),
            ("/login?to=http://x", "http://auth.test:81/login?to=http://x"),
            ("login", "http://auth.test:81/a/login"),
            ("?y=2", "http://auth.test:81/a/verify?y=2"),
            ("//other.test/x", "http://other.test/x"),
        ] {
            assert_eq!(address.resolve(location), expected, "{location}");
        }
    }
}
