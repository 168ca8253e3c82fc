//! Step 2 of a request: TLS on connections that have it, and towards instances that ask for it.
//!
//! Takes certificate files and options; gives what rustls needs on both sides, and reads the first message of a
//! handshake so that somebody else can decide what becomes of the connection. It never looks at a request.

mod certificates;
mod hello;
mod mesh;
mod server;
mod transports;

pub use certificates::Shown;
pub use hello::{Hello, HelloError};
pub use mesh::{MeshMember, mesh};
pub use server::ServerTls;
pub use transports::transports;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, ProtocolVersion, ServerConnection};

use crate::http::TlsSession;

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
    /// A file of a transport cannot be used.
    #[error("cannot use {path} for transport `{transport}`: {reason}")]
    Transport {
        /// The transport.
        transport: String,
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

/// What a client and this gateway have agreed on. `options` are those the connection was made with.
#[must_use]
pub fn session(connection: &ServerConnection, options: usize) -> TlsSession {
    TlsSession {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        },
        server_name: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
        peer_certificates: connection.peer_certificates().unwrap_or_default().into(),
        options,
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
