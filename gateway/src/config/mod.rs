//! The configuration: takes a file, environment variables and flags, gives one [`Config`] or everything that is wrong.
//!
//! `document` knows where each value stands, `overrides` lays variables and flags over it, `reader` and `values` turn
//! it into types, and one file for each part of the configuration says which keys there are. Nothing here opens what a
//! path names, except the configuration itself.

mod document;
mod entrypoint;
mod ingress;
mod limits;
mod load;
mod overrides;
mod policy;
mod problem;
mod process;
mod provider;
mod reader;
mod redirect;
pub mod services_file;
mod tls;
mod transport;
mod values;

use std::path::PathBuf;

pub use entrypoint::{Admin, Entrypoint, Observability, ProxyProtocol};
pub use ingress::{EncodedCharacters, HeaderNames};
pub use limits::{Limits, Timeouts};
pub use load::Sources;
pub use policy::{Attachment, Failure, Isolation, PluginSettings, Plugins, PolicyConfig, RequireSignature};
pub use problem::{Place, Problem, Problems, SourceText};
pub use process::{
    AccessLog, AccessLogFormat, AccessLogOutput, Log, LogFormat, Metrics, Overload, Runtime, Shutdown, State, Upstream,
};
pub use provider::{Constraints, ConsulCatalog, ConsulTls, FileCatalog, Providers, RuleSyntax, TagOptions};
pub use redirect::Redirect;
pub use tls::{Certificate, ClientAuth, ClientAuthMode, EntrypointTls, Tls, TlsOptions, TlsVersion};
pub use transport::TransportConfig;

/// All that an operator can say, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from, if there is one.
    pub file: Option<PathBuf>,
    /// In alphabetical order, at least one.
    pub entrypoints: Vec<Entrypoint>,
    /// Certificates and options for all of them.
    pub tls: Tls,
    /// Absent where there is no `[admin]`.
    pub admin: Option<Admin>,
    /// Where services come from.
    pub providers: Providers,
    /// Which plugins there are.
    pub plugins: Plugins,
    /// In the order of the file.
    pub policies: Vec<PolicyConfig>,
    /// What is kept on disk.
    pub state: State,
    /// How instances are spoken to.
    pub upstream: Upstream,
    /// How TLS is spoken to instances of services that say so, in alphabetical order.
    pub transports: Vec<TransportConfig>,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// What it stops doing when memory runs short.
    pub overload: Overload,
    /// Threads.
    pub runtime: Runtime,
    /// The gateway's own log.
    pub log: Log,
    /// One line a request; absent where it is off.
    pub access_log: Option<AccessLog>,
    /// How metrics are named.
    pub metrics: Metrics,
}

impl Config {
    /// The sections that differ from `before` and are read only at the start.
    #[must_use]
    pub fn needs_restart(&self, before: &Self) -> Vec<&'static str> {
        let providers = |config: &Self| {
            let mut providers = config.providers.clone();
            // Which tags mean what can change while running; who is asked cannot.
            let tags = before.providers.file.as_ref().map(|file| &file.tags);
            let tags = tags.or(before.providers.consul_catalog.as_ref().map(|consul| &consul.tags));
            if let Some(tags) = tags {
                providers.file.iter_mut().for_each(|file| file.tags = tags.clone());
                providers.consul_catalog.iter_mut().for_each(|consul| consul.tags = tags.clone());
            }
            providers
        };
        let sections = [
            ("entrypoints", self.entrypoints != before.entrypoints),
            ("tls", self.tls != before.tls),
            ("admin", self.admin != before.admin),
            ("providers", providers(self) != providers(before)),
            ("plugins.directory", self.plugins.directory != before.plugins.directory),
            ("plugins.require-signature", self.plugins.require_signature != before.plugins.require_signature),
            ("plugins.trusted-keys", self.plugins.trusted_keys != before.plugins.trusted_keys),
            ("state", self.state != before.state),
            ("upstream", self.upstream != before.upstream),
            ("transports", self.transports != before.transports),
            ("shutdown", self.shutdown != before.shutdown),
            ("overload", self.overload != before.overload),
            ("runtime", self.runtime != before.runtime),
            ("log", self.log != before.log),
            ("access-log", self.access_log != before.access_log),
            ("metrics", self.metrics != before.metrics),
        ];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}
