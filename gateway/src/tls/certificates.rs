//! Certificates by server name: an exact name first, then a wildcard, then the first certificate there is.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::TlsError;
use crate::config::Certificate;

/// What an entrypoint can show.
pub(super) struct Certificates {
    /// By lower-case name; wildcards by what follows `*`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Certificates {
    pub(super) fn load(entrypoint: &str, files: &[Certificate]) -> Result<Self, TlsError> {
        let mut by_name = HashMap::new();
        let mut default = None;
        for file in files {
            let certified = Arc::new(read(entrypoint, file)?);
            for name in names(&certified) {
                by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            default.get_or_insert(certified);
        }
        let default = match default {
            Some(default) => default,
            None => Arc::new(self_signed(entrypoint)?),
        };
        Ok(Self { by_name, default })
    }

    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let by_name = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.find('.').and_then(|dot| name.get(dot..));
            self.by_name.get(&name).or_else(|| self.by_name.get(wildcard?))
        });
        by_name.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.find(hello.server_name())))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}

fn read(entrypoint: &str, files: &Certificate) -> Result<CertifiedKey, TlsError> {
    let fail = |path: &Path, reason: String| TlsError::File {
        entrypoint: entrypoint.to_owned(),
        path: path.to_owned(),
        reason,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| fail(&files.cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(fail(&files.cert, "it contains no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fail(&files.key, error.to_string()))?;
    let key = any_supported_type(&key).map_err(|error| fail(&files.key, error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|error| fail(&files.key, format!("it does not belong to the certificate: {error}")))?;
    Ok(certified)
}

/// The DNS names a certificate is for, as look-up keys.
fn names(certified: &CertifiedKey) -> Vec<String> {
    let Some((_, certificate)) = certified.cert.first().and_then(|der| X509Certificate::from_der(der).ok()) else {
        return Vec::new();
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_start_matches('*').to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

/// For experiments: clients have to be told to trust it.
fn self_signed(entrypoint: &str) -> Result<CertifiedKey, TlsError> {
    let fail = |reason: String| TlsError::SelfSigned { entrypoint: entrypoint.to_owned(), reason };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "sluice.default".to_owned()]);
    let made = made.map_err(|error| fail(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let key = any_supported_type(&key).map_err(|error| fail(error.to_string()))?;
    tracing::warn!(entrypoint, "no certificate configured: a self-signed one is served");
    Ok(CertifiedKey::new(vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn write(name: &str, names: &[&str]) -> Certificate {
        let made =
            rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let base = std::env::temp_dir().join(format!("sluice-tls-{}-{name}", std::process::id()));
        let files = Certificate { cert: base.with_extension("pem"), key: base.with_extension("key") };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn exact_names_go_before_wildcards_before_the_first() {
        let first = write("first", &["first.test"]);
        let wild = write("wild", &["*.shop.test"]);
        let exact = write("exact", &["eu.shop.test"]);
        let of = |files: &Certificate| read("web", files).unwrap().cert.first().unwrap().clone();
        let certificates = Certificates::load("web", &[first.clone(), wild.clone(), exact.clone()]).unwrap();
        let shown = |name: Option<&str>| certificates.find(name).cert.first().unwrap().clone();
        assert_eq!(shown(Some("EU.shop.test")), of(&exact));
        assert_eq!(shown(Some("us.shop.test")), of(&wild));
        assert_eq!(shown(Some("a.us.shop.test")), of(&first));
        assert_eq!(shown(None), of(&first));
    }

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let (a, b) = (write("a", &["a.test"]), write("b", &["b.test"]));
        let mixed = Certificate { cert: a.cert, key: b.key.clone() };
        let error = Certificates::load("web", &[mixed]).unwrap_err().to_string();
        assert!(error.contains(&b.key.display().to_string()) && error.contains("does not belong"), "{error}");
        let missing = Certificate { cert: "/nowhere.pem".into(), key: b.key };
        assert!(Certificates::load("web", &[missing]).unwrap_err().to_string().contains("/nowhere.pem"));
    }
}
