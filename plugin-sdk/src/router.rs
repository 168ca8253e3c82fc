//! The control-plane plugin: services in, routes out.
//!
//! A router is pure: the same settings and service always give the same contribution.

pub use crate::bindings::router::sluice::gateway::catalog::{Health, Instance, Service};
pub use crate::bindings::router::sluice::gateway::routing::{
    Action, Balancer, Buffering, CertificateInfo, CertificateStyle, CheckProtocol, ClientCertificate, Compress,
    Contribution, CookieValue, Cors, Diagnostic, EncodedCharacters, Failover, HeaderEdit, HeaderLine, HeaderMatch,
    Headers, HealthCheck, Hsts, Mirror, Mirroring, NameParts, NodeId, Observability, Occurrence, OutlierEjection,
    PassiveCheck, PathMatch, PathView, PolicyUse, ProxyProtocol, QueryMatch, RedirectRegexp, RedirectScheme,
    Replacement, RequestLimit, Retry, Route, Rule, RuleNode, SameSite, Scheme, SchemeSource, ServiceKind, ServiceSpec,
    Severity, Share, Split, StatusRange, Step, StickyCookie, Strategy, Target, TcpAction, TcpRoute, TcpService,
    TcpStep, TcpTarget, TcpTls, TlsRedirect, Transport, WeightedServices,
};

/// A router plugin. One value serves every provider; `handle` tells which.
///
/// ```
/// use sluice_plugin_sdk::router::{Contribution, Router, Service};
///
/// #[derive(Default)]
/// struct Nothing;
///
/// impl Router for Nothing {
///     fn configure(&mut self, _handle: u32, _settings: &str) -> Result<(), String> {
///         Ok(())
///     }
///
///     fn contribute(&mut self, _handle: u32, _service: Service) -> Contribution {
///         Contribution::default()
///     }
/// }
///
/// sluice_plugin_sdk::export_router!(Nothing);
/// ```
pub trait Router: Default + 'static {
    /// Prepares `handle`, one for each provider, with that provider's settings as JSON
    /// ([`parse_settings`](crate::parse_settings) reads them). Called again for the same handle when they change.
    ///
    /// # Errors
    /// A text for the operator; what was configured before stays in use.
    fn configure(&mut self, handle: u32, settings: &str) -> Result<(), String>;

    /// What one service means. Bad tags become diagnostics; what remains of the service still counts.
    fn contribute(&mut self, handle: u32, service: Service) -> Contribution;
}

#[expect(clippy::derivable_impls, reason = "the type is generated, and only it is empty by default")]
impl Default for Contribution {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            services: Vec::new(),
            steps: Vec::new(),
            tcp_routes: Vec::new(),
            tcp_services: Vec::new(),
            tcp_steps: Vec::new(),
            diagnostics: Vec::new(),
        }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Observability {
    fn default() -> Self {
        Self { access_log: None, metrics: None }
    }
}

/// Smooth weighted round robin over no targets yet, the client's Host header, no checks.
impl Default for Balancer {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            pass_host_header: true,
            strategy: Strategy::RoundRobin,
            sticky: None,
            health_check: None,
            passive_check: None,
            outlier_ejection: None,
            panic_percent: 50,
            slow_start_ns: 0,
            limit: None,
            transport: None,
            unavailable: "no available server\n".to_owned(),
        }
    }
}

impl ServiceSpec {
    /// A service with targets of its own.
    ///
    /// ```
    /// use sluice_plugin_sdk::router::{Balancer, ServiceSpec};
    ///
    /// let spare = Balancer { panic_percent: 0, ..Balancer::default() };
    /// let service = ServiceSpec::balanced("web", spare);
    /// assert_eq!(service.balancer().map(|balancer| balancer.panic_percent), Some(0));
    /// assert!(service.targets().is_empty());
    /// ```
    #[must_use]
    pub fn balanced(name: impl Into<String>, balancer: Balancer) -> Self {
        Self { name: name.into(), kind: ServiceKind::Balancer(balancer), steps: Vec::new() }
    }

    /// What it says of its own targets; none where it is put together from other services.
    #[must_use]
    pub fn balancer(&self) -> Option<&Balancer> {
        match &self.kind {
            ServiceKind::Balancer(balancer) => Some(balancer),
            _ => None,
        }
    }

    /// Its own targets.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        self.balancer().map_or(&[], |balancer| &balancer.targets)
    }
}

/// Makes a [`Router`](crate::router::Router) the plugin's export. On other targets than wasm32 it exports nothing, so
/// that tests link.
#[macro_export]
macro_rules! export_router {
    ($router:ty) => {
        // What the export would use is used, as far as the compiler's warnings go.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $router = <$router as ::std::default::Default>::default;

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the canonical ABI's exports are raw functions")]
        const _: () = {
            use $crate::bindings::router as bindings;

            $crate::__export_version!();

            struct Exported;

            ::std::thread_local! {
                static ROUTER: ::std::cell::RefCell<$router> = ::std::cell::RefCell::default();
            }

            impl bindings::exports::sluice::gateway::router_plugin::Guest for Exported {
                fn configure(handle: u32, settings: ::std::string::String) -> Result<(), ::std::string::String> {
                    ROUTER.with_borrow_mut(|router| $crate::router::Router::configure(router, handle, &settings))
                }

                fn contribute(handle: u32, service: $crate::router::Service) -> $crate::router::Contribution {
                    ROUTER.with_borrow_mut(|router| $crate::router::Router::contribute(router, handle, service))
                }
            }

    bindings::__export_router_world!(Exported with_types_in $crate::bindings::router);
        };
    };
}
