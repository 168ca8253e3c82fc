//! How TLS is spoken to instances: as the system believes, or as a transport of the configuration says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};

/// What names of transports to services of the mesh begin with; the service follows.
pub const MESH: &str = "connect:";

/// Services whose transports are kept; names that came and went are forgotten with all others.
const MOST_SERVICES: usize = 4096;

/// Every way of speaking TLS, by name.
#[derive(Clone, Debug)]
pub struct Transports {
    default: Transport,
    named: Arc<HashMap<Arc<str>, Transport>>,
    /// Replaced when the member's certificate is.
    mesh: Arc<ArcSwapOption<Mesh>>,
}

/// How TLS is spoken to members of a service mesh: to each service its own way, because each proves another name.
pub struct Mesh {
    make: Box<Make>,
    made: Mutex<HashMap<String, Transport>>,
}

type Make = dyn Fn(&str) -> Result<Transport, String> + Send + Sync;

/// One way.
#[derive(Clone, Debug)]
pub struct Transport {
    /// What is believed and shown.
    pub config: Arc<ClientConfig>,
    /// The same, offering nothing but HTTP/1.1, for exchanges that may switch protocols.
    pub http1: Arc<ClientConfig>,
    /// The same, promising nothing about what is spoken once TLS is made.
    pub unnamed: Arc<ClientConfig>,
    /// The name instances have to prove; their own address where there is none.
    pub server_name: Option<ServerName<'static>>,
}

impl Transports {
    /// With the default one and those that have names.
    #[must_use]
    pub fn new(default: Transport, named: HashMap<Arc<str>, Transport>) -> Self {
        Self { default, named: Arc::new(named), mesh: Arc::default() }
    }

    /// The one of that name; of names that begin with [`MESH`], the one for that service of the mesh.
    ///
    /// # Errors
    /// Why there is none. A name the configuration has not is refused when services are compiled.
    pub fn get(&self, name: Option<&str>) -> Result<Transport, String> {
        let Some(name) = name else { return Ok(self.default.clone()) };
        if let Some(service) = name.strip_prefix(MESH) {
            let mesh = self.mesh.load();
            let mesh = mesh.as_ref().ok_or("Consul has given this gateway no certificate for the mesh yet")?;
            return mesh.to(service);
        }
        let named = self.named.get(name).cloned();
        named.ok_or_else(|| format!("there is no `[transports.{name}]` in the configuration"))
    }

    /// Speaks to members of the mesh like this from now on.
    pub fn join(&self, mesh: Mesh) {
        self.mesh.store(Some(Arc::new(mesh)));
    }
}

impl Mesh {
    /// With what makes the transport for a service.
    #[must_use]
    pub fn new(make: impl Fn(&str) -> Result<Transport, String> + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), made: Mutex::default() }
    }

    /// Made once for each service, so that sessions can be resumed.
    fn to(&self, service: &str) -> Result<Transport, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(service) {
            return Ok(known.clone());
        }
        if made.len() == MOST_SERVICES {
            made.clear();
        }
        let transport = (self.make)(service)?;
        made.insert(service.to_owned(), transport.clone());
        Ok(transport)
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").finish_non_exhaustive()
    }
}

impl Transport {
    /// Speaks TLS as `config` says.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>, server_name: Option<ServerName<'static>>) -> Self {
        let offering = |protocols: Vec<Vec<u8>>| {
            let mut other = ClientConfig::clone(&config);
            other.alpn_protocols = protocols;
            Arc::new(other)
        };
        let (http1, unnamed) = (offering(vec![b"http/1.1".to_vec()]), offering(Vec::new()));
        Self { config, http1, unnamed, server_name }
    }

    /// The name an instance at this address has to prove.
    ///
    /// # Errors
    /// The address is neither an IP address nor a host name.
    pub fn server_name(&self, address: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(address.to_owned()),
        }
    }
}
