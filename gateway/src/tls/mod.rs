//! Step 2 of a request: TLS on entrypoints that have it, and towards instances that ask for it.
//!
//! Takes certificate files; gives what rustls needs on both sides. It never looks at a request.

mod certificates;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, ProtocolVersion, ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;

use crate::config::EntrypointTls;
use crate::http::TlsSession;
use certificates::Certificates;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("cannot use {path} for entrypoint `{entrypoint}`: {reason}")]
    File {
        /// The entrypoint.
        entrypoint: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No certificate could be made.
    #[error("cannot make a self-signed certificate for entrypoint `{entrypoint}`: {reason}")]
    SelfSigned {
        /// The entrypoint.
        entrypoint: String,
        /// Why.
        reason: String,
    },
    /// rustls refuses what it was given.
    #[error("cannot set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Chooses the cryptography for the whole process. To be called once, before anything speaks TLS.
pub fn install_provider() {
    // Fails where one is installed already, which then is the same one.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// An entrypoint's side: its certificates by server name, a self-signed one where it names none.
///
/// # Errors
/// [`TlsError`] naming the file at fault.
pub fn acceptor(entrypoint: &str, tls: &EntrypointTls) -> Result<TlsAcceptor, TlsError> {
    let certificates = Certificates::load(entrypoint, &tls.certificates)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

/// What a client and this gateway have agreed on.
#[must_use]
pub fn session(connection: &ServerConnection) -> TlsSession {
    TlsSession {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        },
        server_name: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
        peer_certificates: connection.peer_certificates().unwrap_or_default().into(),
    }
}

/// The side towards instances: the system's authorities, HTTP/2 where the instance speaks it.
///
/// # Errors
/// The system's authorities cannot be read.
pub fn client_config() -> Result<Arc<ClientConfig>, TlsError> {
    use rustls_platform_verifier::ConfigVerifierExt;
    let mut config = ClientConfig::with_platform_verifier()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
