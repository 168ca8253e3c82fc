//! TLS towards instances: what `[transports.NAME]` says, made into what rustls needs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::TlsError;
use crate::config::{Config, TransportConfig};
use crate::live::{Transport, Transports};

/// Every way of speaking TLS to instances.
///
/// # Errors
/// [`TlsError`] naming the file at fault.
pub fn transports(config: &Config) -> Result<Transports, TlsError> {
    let configured = config.all_transports();
    let named = configured.iter().map(|config| Ok((config.name.as_str().into(), transport(config)?)));
    let usual = configured.iter().find(|config| config.is_default()).map(transport);
    let usual = usual.unwrap_or_else(|| Ok(Transport::new(super::client_config()?, None)))?;
    Ok(Transports::new(usual, named.collect::<Result<HashMap<_, _>, TlsError>>()?))
}

fn transport(transport: &TransportConfig) -> Result<Transport, TlsError> {
    let fault = |path: &Path, reason: String| TlsError::Transport {
        transport: transport.name.clone(),
        path: path.to_owned(),
        reason,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &transport.ca {
        _ if transport.insecure_skip_verify => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Believe(provider)))
        }
        Some(ca) => builder.with_root_certificates(authorities(ca).map_err(|reason| fault(ca, reason))?),
        None => {
            use rustls_platform_verifier::BuilderVerifierExt;
            builder.with_platform_verifier()?
        }
    };
    let mut config = match &transport.identity {
        Some((cert, key)) => {
            let chain = certificates(cert).map_err(|reason| fault(cert, reason))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, error.to_string()))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| fault(cert, error.to_string()))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server_name = transport.server_name.as_ref().and_then(|name| ServerName::try_from(name.clone()).ok());
    Ok(Transport::new(Arc::new(config), server_name))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let chain = read.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(chain) }
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(store)
}

/// Believes any certificate, as `insecure-skip-verify` asks for; that whoever shows one has its key is still checked.
#[derive(Debug)]
struct Believe(Arc<CryptoProvider>);

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
