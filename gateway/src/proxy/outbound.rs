//! Requests of plugins: to a service like any client's, or to an address that is looked at first.
//!
//! A name is resolved once and the connection goes to what was looked at, so that a name server cannot change its mind in
//! between. Addresses that are not public are refused, unless the target, which the operator granted as it is, names one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use sluice_wasm::{OutboundRequest, OutboundResponse};

use super::{Worker, forward};
use crate::balance::{self, Asking, Picked};
use crate::http::RequestBody;
use crate::live::Kind;
use crate::policy::checked_header;
use crate::upstream::TlsTo;

/// The longest answer a plugin gets.
const BODY_BYTES: usize = 1 << 20;

/// Sends a request; the error is for the plugin.
pub(super) async fn send(worker: &Rc<Worker>, request: OutboundRequest) -> Result<OutboundResponse, String> {
    let (time, target) = (request.timeout, request.target.clone());
    let answer = async {
        match Origin::parse(&target)? {
            Some(origin) => to_origin(worker, &origin, request).await,
            None => to_service(worker, request).await,
        }
    };
    tokio::time::timeout(time, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer from `{target}` within {time:?}")))
}

async fn to_origin(
    worker: &Rc<Worker>,
    origin: &Origin<'_>,
    request: OutboundRequest,
) -> Result<OutboundResponse, String> {
    let address = origin.resolve().await?;
    let host = HeaderValue::try_from(origin.authority).map_err(|_| format!("`{}` is not a host", origin.authority))?;
    let head = head(&request, host)?;
    let transport = request.transport;
    let tls = origin.tls.then_some(TlsTo { name: origin.host, transport: transport.as_deref() });
    let request = Request::from_parts(head, Full::new(Bytes::from(request.body)));
    let answer = worker.pool.send_once(address, tls, request).await;
    whole(answer.map_err(|error| format!("{}: {error}", origin.authority))?).await
}

async fn to_service(worker: &Rc<Worker>, request: OutboundRequest) -> Result<OutboundResponse, String> {
    let generation = worker.generation();
    let name = &request.target;
    let mut called = generation
        .services
        .iter()
        .filter(|(full, _)| ***full == **name || full.rsplit_once('@').is_some_and(|(local, _)| local == name));
    let service = match (called.next(), called.next()) {
        (Some((_, service)), None) => service,
        (Some(_), Some(_)) => return Err(format!("there are several services `{name}`; write `{name}@PROVIDER`")),
        (None, _) => return Err(format!("there is no service `{name}`")),
    };
    let Kind::Balancer(balancer) = &service.kind else {
        return Err(format!("service `{name}` is put together from others; name one of them"));
    };
    let client = HeaderValue::from_static("127.0.0.1");
    let picked = balance::pick(balancer, Asking { client: &client, headers: None }, &[]);
    let Picked { lease, endpoint, .. } = picked.ok_or_else(|| format!("service `{name}` has no instance"))?;
    let mut head = head(&request, endpoint.host.clone())?;
    forward::put_before("", endpoint, &mut head.uri);
    let request = Request::from_parts(head, RequestBody::whole(request.body.into()));
    let answer = worker.pool.send(lease.instance(), request, false).await;
    whole(answer.map_err(|error| format!("service `{}`: {}", service.name, error.cause))?).await
}

fn head(request: &OutboundRequest, host: HeaderValue) -> Result<hyper::http::request::Parts, String> {
    let mut head = Request::new(()).into_parts().0;
    let method = Method::from_bytes(request.method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    head.method = method.ok_or_else(|| format!("`{}` is not a method to send", request.method))?;
    let path = Some(&request.path).filter(|path| path.starts_with('/'));
    let target: Option<Uri> = path.and_then(|path| path.parse().ok());
    head.uri = target.ok_or_else(|| format!("`{}` is not a path", request.path))?;
    for (name, value) in &request.headers {
        let (name, value) = checked_header(name, value)?;
        head.headers.append(name, value);
    }
    head.headers.insert(HOST, host);
    Ok(head)
}

/// The whole answer, if it is not too long.
async fn whole<B>(answer: Response<B>) -> Result<OutboundResponse, String>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, BODY_BYTES).collect().await;
    let body = body.map_err(|error| format!("the answer's body cannot be had: {error}"))?.to_bytes().to_vec();
    Ok(OutboundResponse { status: head.status.as_u16(), headers: headers(&head.headers), body })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// `http://HOST[:PORT]` or the same with `https`.
#[derive(Debug, PartialEq, Eq)]
struct Origin<'a> {
    tls: bool,
    authority: &'a str,
    /// Without the brackets of an IPv6 address.
    host: &'a str,
    port: u16,
}

impl<'a> Origin<'a> {
    /// `None` where the target is no URL but the name of a service.
    fn parse(target: &'a str) -> Result<Option<Self>, String> {
        let (tls, rest) = match (target.strip_prefix("http://"), target.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Ok(None),
        };
        let authority = rest.trim_end_matches('/');
        let wrong = || format!("`{target}` is not an origin: write `http://HOST:PORT`");
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(wrong());
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let default = if tls { 443 } else { 80 };
        let port = port.map_or(Ok(default), str::parse).map_err(|_| wrong())?;
        Ok(Some(Self { tls, authority, host, port }))
    }

    /// An address that may be connected to.
    async fn resolve(&self) -> Result<SocketAddr, String> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            // Granted as it is.
            return Ok(SocketAddr::new(address, self.port));
        }
        let found = tokio::net::lookup_host((self.host, self.port)).await;
        let mut found = found.map_err(|error| format!("resolve `{}`: {error}", self.host))?;
        let address = found.next().ok_or_else(|| format!("`{}` has no address", self.host))?;
        if is_public(address.ip()) {
            return Ok(address);
        }
        let (host, ip) = (self.host, address.ip());
        Err(format!("`{host}` is {ip}, which is not a public address; grant the address itself, or use a service"))
    }
}

/// Whether an address is one of the public internet's: not this machine, not its networks, nothing special.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_public_v4(inner),
            None => {
                let first = address.segments().first().copied().unwrap_or_default();
                let is_special = address.is_loopback()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || first & 0xfe00 == 0xfc00
                    || first & 0xffc0 == 0xfe80
                    || first & 0xffc0 == 0xfec0;
                !is_special
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || first == 0
        || first >= 240
        || (first == 100 && second & 0xc0 == 64)
        || (first == 198 && second & 0xfe == 18)
        || (first, second, third) == (192, 0, 0);
    !is_special
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, translated (NAT64) or tunnelled (6to4).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(join(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn origins_are_read_strictly() {
        let origin = |target| Origin::parse(target);
        let found = origin("https://auth.example:8443/").unwrap().unwrap();
        assert_eq!((found.tls, found.host, found.port), (true, "auth.example", 8443));
        let found = origin("http://[::1]:81").unwrap().unwrap();
        assert_eq!((found.authority, found.host, found.port), ("[::1]:81", "::1", 81));
        assert_eq!(origin("http://a.b").unwrap().unwrap().port, 80);
        assert_eq!(origin("auth-service"), Ok(None));
        for wrong in ["http://", "http://a/b", "http://u@a", "http://a:b", "http://a?x", "https://a:99999"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_public_addresses_are_public() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "240.0.0.1",
            "224.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "fec0::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn names_that_are_this_machine_are_refused() {
        for host in ["http://localhost:1", "http://0x7f.1", "http://2130706433", "http://127.1"] {
            let resolved = Origin::parse(host).unwrap().unwrap().resolve().await;
            assert!(resolved.is_err(), "{host}: {resolved:?}");
        }
        let literal = Origin::parse("http://127.0.0.1:9").unwrap().unwrap().resolve().await;
        assert!(literal.is_ok(), "the grant names it");
    }
}
