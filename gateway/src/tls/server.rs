//! An entrypoint's side of TLS: its certificates, which can change, under each set of options.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::TlsError;
use super::certificates::{Certificates, Shown, self_signed};
use crate::config::{Certificate, ClientAuth, ClientAuthMode, Entrypoint, Tls, TlsOptions, TlsVersion};

/// What connections to one entrypoint can be made with. Options are numbered: 0 are the entrypoint's own, then come
/// those of `[tls.options]` in the order of their names.
pub struct ServerTls {
    entrypoint: String,
    files: Vec<Certificate>,
    shelf: Arc<Shelf>,
    profiles: Vec<Profile>,
}

/// The certificates in force, and one for experiments where there are none.
struct Shelf {
    entrypoint: String,
    current: ArcSwap<Certificates>,
    self_signed: OnceLock<Option<Arc<CertifiedKey>>>,
}

/// One set of options. Each has its own tickets, so that a session begun under one is never resumed under another.
struct Profile {
    options: TlsOptions,
    /// What the authorities' files held when they were read last.
    authorities: Mutex<Vec<u8>>,
    current: ArcSwap<Configs>,
}

struct Configs {
    requests: Arc<ServerConfig>,
    connections: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files of an entrypoint, and those for all entrypoints.
    ///
    /// # Errors
    /// [`TlsError`] naming the file at fault.
    pub fn load(entrypoint: &Entrypoint, tls: &Tls) -> Result<Self, TlsError> {
        let own = entrypoint.tls.clone().unwrap_or_default();
        let name = &entrypoint.name;
        let files = [own.certificates, tls.certificates.clone()].concat();
        let certificates = Certificates::load(name, files.iter())?;
        let shelf = Arc::new(Shelf {
            entrypoint: name.clone(),
            current: ArcSwap::from_pointee(certificates),
            self_signed: OnceLock::new(),
        });
        if entrypoint.tls.is_some() && files.is_empty() {
            shelf.self_signed();
        }
        let all = std::iter::once(&own.options).chain(tls.options.values());
        let profiles = all.map(|options| Profile::load(name, options, &shelf)).collect::<Result<_, _>>()?;
        Ok(Self { entrypoint: name.clone(), files, shelf, profiles })
    }

    /// For connections that carry HTTP.
    #[must_use]
    pub fn requests(&self, options: usize) -> Option<Arc<ServerConfig>> {
        self.profiles.get(options).map(|profile| Arc::clone(&profile.current.load().requests))
    }

    /// For connections that are passed on once TLS has ended here: no protocol is promised that the target may not
    /// speak.
    #[must_use]
    pub fn connections(&self, options: usize) -> Option<Arc<ServerConfig>> {
        self.profiles.get(options).map(|profile| Arc::clone(&profile.current.load().connections))
    }

    /// Reads every file again. Connections that are open, and tickets, stay good.
    ///
    /// # Errors
    /// [`TlsError`] naming the file at fault; what was in force stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        let certificates = Certificates::load(&self.entrypoint, self.files.iter())?;
        for profile in &self.profiles {
            profile.reload(&self.entrypoint, &self.shelf)?;
        }
        self.shelf.current.store(Arc::new(certificates));
        Ok(())
    }

    /// Every file that is read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.files.iter().flat_map(|pair| [&pair.cert, &pair.key]);
        let authorities = self.profiles.iter().filter_map(|profile| profile.options.client_auth.as_ref());
        pairs.chain(authorities.flat_map(|auth| &auth.ca)).map(PathBuf::as_path)
    }

    /// The certificates in force.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        self.shelf.current.load().shown().to_vec()
    }
}

impl Shelf {
    fn self_signed(&self) -> Option<Arc<CertifiedKey>> {
        let make = || {
            let made = self_signed(&self.entrypoint);
            made.map(Arc::new).map_err(|error| tracing::error!(%error, "no certificate to show")).ok()
        };
        self.self_signed.get_or_init(make).clone()
    }
}

impl Profile {
    fn load(entrypoint: &str, options: &TlsOptions, shelf: &Arc<Shelf>) -> Result<Self, TlsError> {
        let authorities = authorities(entrypoint, options.client_auth.as_ref())?;
        let configs = configs(entrypoint, options, &authorities, shelf)?;
        Ok(Self {
            options: options.clone(),
            authorities: Mutex::new(authorities),
            current: ArcSwap::from_pointee(configs),
        })
    }

    /// Other authorities make other tickets as well: what was resumed under the old ones has to be shown again.
    fn reload(&self, entrypoint: &str, shelf: &Arc<Shelf>) -> Result<(), TlsError> {
        let news = authorities(entrypoint, self.options.client_auth.as_ref())?;
        let mut known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != news {
            self.current.store(Arc::new(configs(entrypoint, &self.options, &news, shelf)?));
            *known = news;
        }
        Ok(())
    }
}

/// The PEM text of every authority.
fn authorities(entrypoint: &str, auth: Option<&ClientAuth>) -> Result<Vec<u8>, TlsError> {
    let mut all = Vec::new();
    for path in auth.iter().flat_map(|auth| &auth.ca) {
        let fail = |reason: String| TlsError::File { entrypoint: entrypoint.to_owned(), path: path.clone(), reason };
        let text = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        if certificates.map_err(|error| fail(error.to_string()))?.is_empty() {
            return Err(fail("it contains no certificate".to_owned()));
        }
        all.extend(text);
        all.push(b'\n');
    }
    Ok(all)
}

fn configs(entrypoint: &str, options: &TlsOptions, ca: &[u8], shelf: &Arc<Shelf>) -> Result<Configs, TlsError> {
    let named = |protocols: &Vec<String>| protocols.iter().map(|name| name.clone().into_bytes()).collect();
    let mut requests = config(entrypoint, options, ca, shelf)?;
    requests.alpn_protocols = options.alpn.as_ref().map_or_else(|| vec![b"h2".to_vec(), b"http/1.1".to_vec()], named);
    let mut connections = config(entrypoint, options, ca, shelf)?;
    connections.alpn_protocols = options.alpn.as_ref().map_or_else(Vec::new, named);
    Ok(Configs { requests: Arc::new(requests), connections: Arc::new(connections) })
}

fn config(entrypoint: &str, options: &TlsOptions, ca: &[u8], shelf: &Arc<Shelf>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let versions = match options.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match &options.client_auth {
        None => builder.with_no_client_auth(),
        Some(auth) => {
            let fail = |reason: String| TlsError::File {
                entrypoint: entrypoint.to_owned(),
                path: auth.ca.first().cloned().unwrap_or_default(),
                reason,
            };
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(ca) {
                roots.add(certificate.map_err(|error| fail(error.to_string()))?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match auth.mode {
                ClientAuthMode::Require => verifier,
                ClientAuthMode::Optional => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| fail(error.to_string()))?)
        }
    };
    let resolver = Resolver { shelf: Arc::clone(shelf), strict: options.strict_sni };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    // Tickets hold the whole session, so that any worker can go on with it without asking the others.
    config.ticketer = Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A resumed connection gets a new one, so one is enough; rustls would make two for each.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Chooses the certificate for a name: exact, then wildcard, then the default.
struct Resolver {
    shelf: Arc<Shelf>,
    strict: bool,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.shelf.current.load();
        match current.named(hello.server_name()) {
            Some(found) => Some(Arc::clone(found)),
            None if self.strict => None,
            None => current.fallback().cloned().or_else(|| self.shelf.self_signed()),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("entrypoint", &self.shelf.entrypoint).field("strict", &self.strict).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::config::{Config, Sources};
    use rustls::pki_types::ServerName;
    use rustls::server::Acceptor;

    /// A folder with a certificate for `a.test`, an authority, and a configuration that uses both.
    fn folder(name: &str) -> PathBuf {
        crate::tls::install_provider();
        let folder = std::env::temp_dir().join(format!("sluice-server-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder, "a", "a.test");
        write(&folder, "ca", "authority");
        let text = r#"
            [entrypoints.web]
            address = "127.0.0.1:0"
            tls = { certificates = [{ cert = "a.pem", key = "a.key" }] }
            [tls.options.mtls]
            client-auth = { ca = "ca.pem" }
            [tls.options.strict]
            strict-sni = true
        "#;
        std::fs::write(folder.join("sluice.toml"), text).unwrap();
        folder
    }

    fn write(folder: &Path, name: &str, host: &str) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }

    fn load(folder: &Path) -> Result<ServerTls, TlsError> {
        let sources = Sources { file: Some(folder.join("sluice.toml")), ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        ServerTls::load(&config.entrypoints[0], &config.tls)
    }

    /// Whether a client that asks for `name` gets an answer.
    fn answers(server: &ServerTls, options: usize, name: &str) -> bool {
        let config = rustls::ClientConfig::builder().with_root_certificates(RootCertStore::empty());
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
        let (mut hello, mut acceptor) = (Vec::new(), Acceptor::default());
        client.write_tls(&mut hello).unwrap();
        acceptor.read_tls(&mut hello.as_slice()).unwrap();
        let accepted = acceptor.accept().ok().flatten().unwrap();
        accepted.into_connection(server.requests(options).unwrap()).is_ok()
    }

    #[test]
    fn only_strict_options_refuse_names_without_a_certificate() {
        let folder = folder("strict");
        let server = load(&folder).unwrap();
        let [own, mtls, strict] = [0, 1, 2];
        assert!(answers(&server, own, "a.test") && answers(&server, own, "b.test") && answers(&server, mtls, "b.test"));
        assert!(answers(&server, strict, "a.test") && !answers(&server, strict, "b.test"));
        assert!(server.requests(3).is_none());
        assert!(server.connections(own).unwrap().alpn_protocols.is_empty());
        assert_eq!(server.requests(own).unwrap().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_are_read_again_as_a_whole_or_not_at_all() {
        let folder = folder("reload");
        let server = load(&folder).unwrap();
        assert_eq!(server.files().count(), 3);
        let before = [server.requests(0).unwrap(), server.requests(1).unwrap()];
        write(&folder, "a", "b.test");
        server.reload().unwrap();
        assert_eq!(server.shown()[0].names, "b.test");
        let after = [server.requests(0).unwrap(), server.requests(1).unwrap()];
        assert!(before.iter().zip(&after).all(|(a, b)| Arc::ptr_eq(a, b)), "tickets stay good");

        std::fs::write(folder.join("a.key"), "no key").unwrap();
        let error = server.reload().unwrap_err().to_string();
        assert!(error.contains("a.key"), "{error}");
        assert_eq!(server.shown()[0].names, "b.test");

        write(&folder, "a", "c.test");
        write(&folder, "ca", "another authority");
        server.reload().unwrap();
        let later = [server.requests(0).unwrap(), server.requests(1).unwrap()];
        assert!(
            Arc::ptr_eq(&after[0], &later[0]) && !Arc::ptr_eq(&after[1], &later[1]),
            "other authorities, other tickets"
        );
        std::fs::write(folder.join("ca.pem"), "").unwrap();
        assert!(server.reload().unwrap_err().to_string().contains("contains no certificate"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
