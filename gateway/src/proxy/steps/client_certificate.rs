//! What the service is told of the certificates a client showed in its TLS handshake.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use sluice_model::action::{CertificateInfo, CertificateStyle, ClientCertificate, NameParts};
use x509_parser::oid_registry::{OID_DOMAIN_COMPONENT, OID_X509_SERIALNUMBER};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

use crate::http::Exchange;

const PEM: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert");
const INFO: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert-info");
const INFOS: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert-infos");

/// Sets the headers the step asks for.
pub(super) fn tell(wanted: &ClientCertificate, exchange: &mut Exchange) {
    let certificates = exchange.client.tls.as_ref().map_or(&[][..], |tls| &tls.peer_certificates);
    let v1 = wanted.style == CertificateStyle::TraefikV1;
    let info_name = if v1 { INFOS } else { INFO };
    let headers = &mut exchange.head.headers;
    if v1 {
        headers.remove(PEM);
        headers.remove(&info_name);
    }
    if certificates.is_empty() {
        return;
    }
    if wanted.pem {
        let all: Vec<_> = certificates.iter().map(|certificate| pem(certificate, wanted.style)).collect();
        set(headers, PEM, all.join(","));
    }
    if let Some(info) = &wanted.info {
        let all: Vec<_> = certificates.iter().map(|certificate| describe(certificate, info, wanted.style)).collect();
        set(headers, info_name, escape(&all.join(if v1 { ";" } else { "," })));
    }
}

fn set(headers: &mut hyper::HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// PEM without its first and last line and without line breaks.
fn pem(certificate: &CertificateDer<'_>, style: CertificateStyle) -> String {
    let text = STANDARD.encode(certificate);
    match style {
        CertificateStyle::TraefikV1 => escape(&text),
        CertificateStyle::TraefikV3 => text,
    }
}

/// What a certificate says. The handshake has parsed it before; one that cannot be read says nothing.
fn describe(certificate: &CertificateDer<'_>, info: &CertificateInfo, style: CertificateStyle) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return String::new() };
    let v1 = style == CertificateStyle::TraefikV1;
    let quoted = |name: &str, value: String| format!("{name}=\"{value}\"");
    let plain = |name: &str, value: String| if v1 { format!("{name}={value}") } else { quoted(name, value) };
    let of = |name: &str, parts| Some(name_parts(name_of(name, &certificate), parts)).filter(|text| !text.is_empty());
    let validity = certificate.validity();
    let fields = [
        of("Subject", info.subject).map(|text| quoted("Subject", text)),
        of("Issuer", info.issuer).map(|text| quoted("Issuer", text)),
        info.serial_number.then(|| quoted("SerialNumber", certificate.tbs_certificate.serial.to_string())),
        info.not_before.then(|| plain("NB", validity.not_before.timestamp().to_string())),
        info.not_after.then(|| plain("NA", validity.not_after.timestamp().to_string())),
        info.sans.then(|| plain("SAN", alternative_names(&certificate))),
    ];
    let fields: Vec<_> = fields.into_iter().flatten().collect();
    fields.join(if v1 { "," } else { ";" })
}

fn name_of<'a>(which: &str, certificate: &'a X509Certificate<'a>) -> &'a X509Name<'a> {
    if which == "Subject" { certificate.subject() } else { certificate.issuer() }
}

/// `C=…,O=…,CN=…`, in Traefik's order.
fn name_parts(name: &X509Name<'_>, wanted: NameParts) -> String {
    let mut parts = Vec::new();
    let mut add = |is_wanted: bool, key: &str, values: &mut dyn Iterator<Item = &AttributeTypeAndValue<'_>>| {
        if is_wanted {
            parts.extend(values.filter_map(|value| Some(format!("{key}={}", value.as_str().ok()?))));
        }
    };
    add(wanted.domain_component, "DC", &mut name.iter_by_oid(&OID_DOMAIN_COMPONENT));
    add(wanted.country, "C", &mut name.iter_country());
    add(wanted.province, "ST", &mut name.iter_state_or_province());
    add(wanted.locality, "L", &mut name.iter_locality());
    add(wanted.organization, "O", &mut name.iter_organization());
    add(wanted.organizational_unit, "OU", &mut name.iter_organizational_unit());
    add(wanted.serial_number, "SN", &mut name.iter_by_oid(&OID_X509_SERIALNUMBER));
    add(wanted.common_name, "CN", &mut name.iter_common_name());
    parts.join(",")
}

/// Names of hosts, then of mailboxes, then addresses, then URIs.
fn alternative_names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return String::new() };
    let ranked = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((0, (*name).to_owned())),
        GeneralName::RFC822Name(name) => Some((1, (*name).to_owned())),
        GeneralName::IPAddress(bytes) => Some((2, address(bytes)?.to_string())),
        GeneralName::URI(uri) => Some((3, (*uri).to_owned())),
        _ => None,
    });
    let mut names: Vec<_> = ranked.collect();
    names.sort_by_key(|(rank, _)| *rank);
    names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// As a value in a query: everything but letters, digits and `-_.~` is encoded, a blank is `+`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber};

    use super::super::testing::exchange;
    use super::*;
    use crate::http::{Client, Rules, TlsSession};

    fn certificate() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([10, 0, 1, 0].into()));
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params.distinguished_name.push(DnType::CountryName, "FR");
        params.distinguished_name.push(DnType::CommonName, "Jo Doe");
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// The headers a request with these certificates goes on with.
    fn told(wanted: &ClientCertificate, certificates: Vec<CertificateDer<'static>>) -> hyper::HeaderMap {
        let mut request = exchange("GET", "h.test", "/");
        let session = TlsSession { peer_certificates: certificates.into(), ..TlsSession::default() };
        let address = ([127, 0, 0, 1], 1).into();
        let client = Client::new(address, "web".into(), 0, Some(session), None, Rules::default());
        request.client = Arc::new(client);
        request.head.headers.insert(PEM, HeaderValue::from_static("sent"));
        tell(wanted, &mut request);
        request.head.headers
    }

    fn all(style: CertificateStyle) -> ClientCertificate {
        let subject = NameParts { country: true, common_name: true, ..NameParts::default() };
        let info = CertificateInfo {
            not_before: true,
            not_after: true,
            sans: true,
            serial_number: true,
            subject,
            issuer: NameParts::default(),
        };
        ClientCertificate { pem: true, info: Some(info), style }
    }

    #[test]
    fn each_style_has_its_header_and_separators() {
        let certificate = certificate();
        let v3 = told(&all(CertificateStyle::TraefikV3), vec![certificate.clone(), certificate.clone()]);
        let one =
            "Subject=\"C=FR,CN=Jo Doe\";SerialNumber=\"7\";NB=\"1577836800\";NA=\"1893456000\";SAN=\"a.test,10.0.1.0\"";
        assert_eq!(v3.get(INFO).unwrap().to_str().unwrap(), escape(&format!("{one},{one}")));
        let pem = STANDARD.encode(&certificate);
        assert_eq!(v3.get(PEM).unwrap().to_str().unwrap(), format!("{pem},{pem}"));
        let v1 = told(&all(CertificateStyle::TraefikV1), vec![certificate]);
        let one = "Subject=\"C=FR,CN=Jo Doe\",SerialNumber=\"7\",NB=1577836800,NA=1893456000,SAN=a.test,10.0.1.0";
        assert_eq!(v1.get(INFOS).unwrap().to_str().unwrap(), escape(one));
        assert_eq!(v1.get(PEM).unwrap().to_str().unwrap(), escape(&pem));
    }

    #[test]
    fn without_a_certificate_v1_removes_what_the_client_sent() {
        assert_eq!(told(&all(CertificateStyle::TraefikV1), vec![]).get(PEM), None);
        assert_eq!(told(&all(CertificateStyle::TraefikV3), vec![]).get(PEM), Some(&HeaderValue::from_static("sent")));
    }
}
