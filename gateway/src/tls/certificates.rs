//! Certificates by server name: an exact name first, then a wildcard, then the first certificate there is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::TlsError;
use crate::config::Certificate;

/// The certificates of an entrypoint, as its files were when they were read.
#[derive(Default)]
pub(super) struct Certificates {
    /// By lower-case name; wildcards by what follows `*`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
    shown: Vec<Shown>,
}

/// A certificate in use, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The names it is for, else its subject.
    pub names: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Certificates {
    /// Reads every pair. Of two for one name the first counts.
    pub(super) fn load<'a>(entrypoint: &str, files: impl Iterator<Item = &'a Certificate>) -> Result<Self, TlsError> {
        let mut loaded = Self::default();
        let mut marked = None;
        for file in files {
            let certified = Arc::new(read(entrypoint, file)?);
            let (names, shown) = names(&certified);
            for name in names {
                loaded.by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            loaded.shown.extend(shown);
            if file.default {
                marked.get_or_insert_with(|| Arc::clone(&certified));
            }
            loaded.default.get_or_insert(certified);
        }
        loaded.default = marked.or(loaded.default);
        Ok(loaded)
    }

    /// The one for a name.
    pub(super) fn named(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let name = name?.to_ascii_lowercase();
        let wildcard = name.find('.').and_then(|dot| name.get(dot..));
        self.by_name.get(&name).or_else(|| self.by_name.get(wildcard?))
    }

    /// The one where none is for the name.
    pub(super) fn fallback(&self) -> Option<&Arc<CertifiedKey>> {
        self.default.as_ref()
    }

    pub(super) fn shown(&self) -> &[Shown] {
        &self.shown
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

/// The DNS names a certificate is for, as look-up keys; and what people want to know of it.
fn names(certified: &CertifiedKey) -> (Vec<String>, Option<Shown>) {
    let Some((_, certificate)) = certified.cert.first().and_then(|der| X509Certificate::from_der(der).ok()) else {
        return (Vec::new(), None);
    };
    let names: Vec<&str> = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(dns_name).collect(),
        _ => Vec::new(),
    };
    let keys = names.iter().map(|name| name.trim_start_matches('*').to_ascii_lowercase()).collect();
    let names = if names.is_empty() { certificate.subject().to_string() } else { names.join(",") };
    (keys, Some(Shown { names, not_after: certificate.validity().not_after.timestamp() }))
}

fn dns_name<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

/// For experiments: clients have to be told to trust it.
pub(super) fn self_signed(entrypoint: &str) -> Result<CertifiedKey, TlsError> {
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
        let files = Certificate { cert: base.with_extension("pem"), key: base.with_extension("key"), default: false };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn exact_names_go_before_wildcards_before_the_default() {
        let first = write("first", &["first.test"]);
        let wild = write("wild", &["*.shop.test"]);
        let exact = write("exact", &["eu.shop.test"]);
        let of = |files: &Certificate| read("web", files).unwrap().cert.first().unwrap().clone();
        let load = |files: &[Certificate]| Certificates::load("web", files.iter()).unwrap();
        let certificates = load(&[first.clone(), wild.clone(), exact.clone()]);
        let shown = |name: &str| certificates.named(Some(name)).map(|found| found.cert.first().unwrap().clone());
        assert_eq!(shown("EU.shop.test"), Some(of(&exact)));
        assert_eq!(shown("us.shop.test"), Some(of(&wild)));
        assert_eq!(shown("a.us.shop.test"), None);
        assert!(certificates.named(None).is_none());
        let default = |certificates: &Certificates| certificates.fallback().unwrap().cert.first().unwrap().clone();
        assert_eq!(default(&certificates), of(&first));
        let marked = load(&[first, wild, Certificate { default: true, ..exact.clone() }]);
        assert_eq!(default(&marked), of(&exact));
        let names: Vec<&str> = marked.shown().iter().map(|shown| shown.names.as_str()).collect();
        assert_eq!(names, ["first.test", "*.shop.test", "eu.shop.test"]);
        assert!(marked.shown().iter().all(|shown| shown.not_after > 1_700_000_000));
    }

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let (a, b) = (write("a", &["a.test"]), write("b", &["b.test"]));
        let mixed = Certificate { cert: a.cert, key: b.key.clone(), default: false };
        let fail = |files: Certificate| match Certificates::load("web", std::iter::once(&files)) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        };
        let error = fail(mixed);
        assert!(error.contains(&b.key.display().to_string()) && error.contains("does not belong"), "{error}");
        assert!(fail(Certificate { cert: "/nowhere.pem".into(), ..b }).contains("/nowhere.pem"));
    }
}
