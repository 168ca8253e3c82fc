//! What Consul Connect knows a member by: the authorities of its mesh and the certificate of one service, kept current.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// A member of the mesh: whom it believes and what it shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// PEM of every authority; while one is replaced there are two.
    pub authorities: Vec<String>,
    /// PEM of the certificate with those between it and an authority.
    pub certificate: String,
    /// PEM of its key.
    pub key: String,
    /// The name in the certificate, `spiffe://DOMAIN/ns/NAMESPACE/dc/DATACENTER/svc/SERVICE`.
    pub id: String,
}

/// PEM of the authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorities(pub(crate) Vec<String>);

/// The certificate of one service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) id: String,
}

/// Both halves as they come.
pub(crate) struct Mesh {
    authorities: Option<Authorities>,
    certificate: Option<Certificate>,
    told: watch::Sender<Option<Arc<Member>>>,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Self { authorities: None, certificate: None, told: watch::Sender::new(None) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Member>>> {
        self.told.subscribe()
    }

    pub(crate) fn believes(&mut self, authorities: Authorities) {
        self.authorities = Some(authorities);
        self.tell();
    }

    pub(crate) fn shows(&mut self, certificate: Certificate) {
        self.certificate = Some(certificate);
        self.tell();
    }

    /// Only what is whole and new is told.
    fn tell(&self) {
        let (Some(Authorities(authorities)), Some(own)) = (&self.authorities, &self.certificate) else { return };
        let Certificate { certificate, key, id } = own.clone();
        let member = Member { authorities: authorities.clone(), certificate, key, id };
        self.told.send_if_modified(|told| {
            let differs = told.as_deref() != Some(&member);
            if differs {
                *told = Some(Arc::new(member));
            }
            differs
        });
    }
}

impl fmt::Debug for Member {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Certificate {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::wire;

    #[test]
    fn a_member_is_told_when_both_halves_are_there_and_when_one_changes() {
        let mut mesh = Mesh::new();
        let mut told = mesh.subscribe();
        let authorities = |pem: &str| format!(r#"{{"TrustDomain":"d.consul","Roots":[{{"RootCert":"{pem}"}}]}}"#);
        let certificate =
            br#"{"CertPEM":"c","PrivateKeyPEM":"secret","ServiceURI":"spiffe://d.consul/ns/default/dc/dc1/svc/edge"}"#;
        mesh.believes(wire::authorities(authorities("a").as_bytes()).unwrap());
        assert!(!told.has_changed().unwrap());
        mesh.shows(wire::certificate(certificate).unwrap());
        let member = told.borrow_and_update().clone().unwrap();
        assert_eq!((member.authorities.as_slice(), member.key.as_str()), (&["a".to_owned()][..], "secret"));
        assert!(!format!("{member:?}").contains("secret"));
        mesh.shows(wire::certificate(certificate).unwrap());
        assert!(!told.has_changed().unwrap(), "nothing is new");
        mesh.believes(wire::authorities(authorities("b").as_bytes()).unwrap());
        assert!(told.has_changed().unwrap());
    }
}
