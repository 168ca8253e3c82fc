//! TLS as a member of a Consul Connect mesh: both sides prove which service they are, by a SPIFFE id in a certificate of
//! the mesh's own authorities. Addresses prove nothing.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::live::{Mesh, Transport};

/// What a member of the mesh has.
#[derive(Clone, Copy, Debug)]
pub struct MeshMember<'a> {
    /// PEM of every authority.
    pub authorities: &'a [String],
    /// PEM of the certificate and those between it and an authority.
    pub certificate: &'a str,
    /// PEM of its key.
    pub key: &'a str,
    /// The name in the certificate.
    pub id: &'a str,
    /// Where the services are, if not where the member is.
    pub datacenter: Option<&'a str>,
}

/// How this member speaks to the services of the mesh.
///
/// # Errors
/// What of it cannot be used.
pub fn mesh(member: MeshMember<'_>) -> Result<Mesh, String> {
    let mut roots = RootCertStore::empty();
    for authority in member.authorities {
        for certificate in certificates(authority)? {
            roots.add(certificate).map_err(|error| format!("an authority of the mesh: {error}"))?;
        }
    }
    let (roots, chain) = (Arc::new(roots), certificates(member.certificate)?);
    let key = PrivateKeyDer::from_pem_slice(member.key.as_bytes()).map_err(|error| format!("its key: {error}"))?;
    let ids = Ids::of(member.id, member.datacenter)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(Mesh::new(move |service| {
        let verifier =
            Verifier { roots: Arc::clone(&roots), provider: Arc::clone(&provider), id: ids.service(service) };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config =
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Transport::new(Arc::new(config), None))
    }))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("a certificate of the mesh is empty".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("a certificate of the mesh: {error}")),
    }
}

/// The names of all services that are where one of them is: `spiffe://DOMAIN/ns/NAMESPACE/dc/DATACENTER/svc/SERVICE`.
#[derive(Debug, PartialEq, Eq)]
struct Ids {
    before_service: String,
}

impl Ids {
    fn of(id: &str, datacenter: Option<&str>) -> Result<Self, String> {
        let strange = || format!("`{id}` is no id of a service, such as spiffe://domain/ns/default/dc/dc1/svc/web");
        let (place, _) = id.strip_prefix("spiffe://").and_then(|rest| rest.rsplit_once("/svc/")).ok_or_else(strange)?;
        let (domain, own) = place.rsplit_once("/dc/").ok_or_else(strange)?;
        Ok(Self { before_service: format!("spiffe://{domain}/dc/{}/svc/", datacenter.unwrap_or(own)) })
    }

    fn service(&self, name: &str) -> String {
        format!("{}{name}", self.before_service)
    }
}

/// Believes whoever proves by a certificate of the mesh to be the one service.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    id: String,
}

impl Verifier {
    fn proves(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
        names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(id) if *id == self.id))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        if self.proves(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_beside_the_member() {
        let own = "spiffe://1-2.consul/ns/default/dc/dc1/svc/traefik";
        let named = |datacenter| Ids::of(own, datacenter).map(|ids| ids.service("web"));
        assert_eq!(named(None).as_deref(), Ok("spiffe://1-2.consul/ns/default/dc/dc1/svc/web"));
        assert_eq!(named(Some("dc2")).as_deref(), Ok("spiffe://1-2.consul/ns/default/dc/dc2/svc/web"));
        for strange in ["", "https://a/ns/default/dc/dc1/svc/x", "spiffe://a/ns/default/svc/x", "spiffe://a/dc/b"] {
            assert!(Ids::of(strange, None).is_err(), "{strange}");
        }
    }
}
