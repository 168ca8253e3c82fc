//! TLS for both ends of a case: an authority of its own, certificates it issues, and clients that trust it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::replace;

/// Issues certificates that nobody else knows.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When no certificate can be made.
    #[must_use]
    pub fn new() -> Self {
        // Fails where one is installed already, which is the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).expect("make parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("make a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("make an authority"))
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its own certificate, as rustls takes it.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.as_ref().der().clone()
    }

    /// A certificate for some names.
    ///
    /// # Panics
    /// When none can be made.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    /// One that is good for a year, as scanners want it: from the first of January of this one.
    ///
    /// # Panics
    /// When none can be made.
    #[must_use]
    pub fn issue_for_this_year(&self, names: &[&str]) -> Identity {
        let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let year = 1970 + i32::try_from(seconds / 31_556_952).unwrap_or(0);
        self.issue_with(names, |params| {
            params.not_before = rcgen::date_time_ymd(year, 1, 1);
            params.not_after = rcgen::date_time_ymd(year + 1, 1, 1);
            params.use_authority_key_identifier_extension = true;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("make parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("make a key");
        let made = params.signed_by(&key, &self.0).expect("sign a certificate");
        Identity { certificate: made.der().clone(), pem: made.pem(), key }
    }

    /// A client that trusts it and shows `identity`, if any.
    ///
    /// # Panics
    /// When rustls refuses it.
    #[must_use]
    pub fn client(&self, identity: Option<&Identity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).expect("trust the authority");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![identity.certificate.clone()];
                builder.with_client_auth_cert(chain, identity.private_key()).expect("use the identity")
            }
        }
    }
}

impl Identity {
    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// A server that shows it.
    ///
    /// # Panics
    /// When rustls refuses it.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder().with_no_client_auth();
        let config = builder.with_single_cert(vec![self.certificate.clone()], self.private_key());
        Arc::new(config.expect("use the identity"))
    }

    /// The same for clients that show a certificate of that authority's.
    ///
    /// # Panics
    /// When rustls refuses it.
    #[must_use]
    pub fn server_asking(&self, authority: &Authority) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate()).expect("trust the authority");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("ask for certificates");
        let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
        let config = builder.with_single_cert(vec![self.certificate.clone()], self.private_key());
        Arc::new(config.expect("use the identity"))
    }

    /// Puts it into `NAME.pem` and `NAME.key` of a folder, each by a rename.
    pub fn write(&self, folder: &Path, name: &str) {
        replace(&folder.join(format!("{name}.pem")), self.pem.as_bytes());
        replace(&folder.join(format!("{name}.key")), self.key.serialize_pem().as_bytes());
    }
}

/// Shakes hands with whoever listens at `address`, asking for `name`.
///
/// # Errors
/// What the handshake fails with.
pub async fn connect(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    timeout(crate::PATIENCE, TlsConnector::from(Arc::clone(config)).connect(name, stream)).await?
}

/// Sends a GET and reads the status and the body of its answer; the connection stays open.
///
/// # Errors
/// The stream's, and those of an answer that is cut short.
pub async fn get(stream: &mut TlsStream<TcpStream>, host: &str, target: &str) -> io::Result<(u16, String)> {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut read = Vec::new();
    let (head, length) = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            break (head.to_owned(), length.unwrap_or(0));
        }
        if timeout(crate::PATIENCE, stream.read_buf(&mut read)).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let start = head.len() + 4;
    while read.len() < start + length {
        if timeout(crate::PATIENCE, stream.read_buf(&mut read)).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, String::from_utf8_lossy(&read[start..start + length]).into_owned()))
}
