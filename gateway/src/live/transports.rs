//! How TLS is spoken to instances: as the system believes, or as a transport of the configuration says.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};

/// Every way of speaking TLS, by name.
#[derive(Clone, Debug)]
pub struct Transports {
    default: Transport,
    named: Arc<HashMap<Arc<str>, Transport>>,
}

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
        Self { default, named: Arc::new(named) }
    }

    /// The one of that name. A name there is none of is refused when services are compiled.
    #[must_use]
    pub fn get(&self, name: Option<&str>) -> Option<&Transport> {
        name.map_or(Some(&self.default), |name| self.named.get(name))
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
