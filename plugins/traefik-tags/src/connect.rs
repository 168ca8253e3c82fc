//! Consul Connect: instances that take nothing but TLS from members of their mesh. The provider then gives what speaks for
//! them in it, and a transport of their service's own says how that is spoken to.

use crate::report::Problem;
use crate::settings::Settings;

/// Whether instances are members of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Connect {
    /// The gateway is no member, so it can reach none.
    #[default]
    Unaware,
    /// Those whose tags say so.
    OnRequest,
    /// All whose tags do not deny it.
    ByDefault,
}

/// The transport to an instance of a service, where it is a member; `said` is what its tags say of it.
///
/// # Errors
/// It is one and the gateway is not.
pub(crate) fn transport(said: Option<bool>, service: &str, settings: &Settings) -> Result<Option<String>, Problem> {
    match (settings.connect, said) {
        (Connect::Unaware, Some(true)) => Err(Problem::new(
            "",
            "it takes only members of the Consul Connect mesh; write `connect-aware = true` into \
             `[providers.consul-catalog]` to be one",
        )),
        (Connect::Unaware, _) | (_, Some(false)) | (Connect::OnRequest, None) => Ok(None),
        (_, Some(true)) | (Connect::ByDefault, None) => Ok(Some(format!("connect:{service}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use sluice_plugin_sdk::router::{Contribution, Scheme};

    use crate::testing::{contribution, service_with};

    const AWARE: &str = r#"{"connect-aware":true}"#;
    const BY_DEFAULT: &str = r#"{"connect-aware":true,"connect-by-default":true}"#;
    const ON: &str = "traefik.consulcatalog.connect=true";
    const OFF: &str = "traefik.consulcatalog.connect=false";
    const V3: &str = "traefik.http.routers.r.rule=Host(`a`)";
    const V1: &str = "traefik.frontend.rule=Host:a";

    fn made(settings: &str, tags: &[&str]) -> Contribution {
        contribution(settings, &service_with("Web", &[tags]))
    }

    #[test]
    fn members_are_spoken_to_over_the_tls_of_their_service() {
        for (settings, tags, member) in [
            (AWARE, &[V3, ON][..], true),
            (AWARE, &[V3], false),
            (BY_DEFAULT, &[V3], true),
            (BY_DEFAULT, &[V3, OFF], false),
            (AWARE, &[V1, ON], true),
            (AWARE, &[ON], true),
            (BY_DEFAULT, &[V1], true),
            (BY_DEFAULT, &[V1, OFF], false),
            (BY_DEFAULT, &[], true),
        ] {
            let made = made(settings, tags);
            let balancer = made.services[0].balancer().unwrap();
            let expected = if member { (Scheme::Https, Some("connect:Web")) } else { (Scheme::Http, None) };
            assert_eq!((balancer.targets[0].scheme, balancer.transport.as_deref()), expected, "{settings} {tags:?}");
            assert_eq!(made.diagnostics, [], "{settings} {tags:?}");
        }
    }

    #[test]
    fn connections_go_to_members_as_well() {
        let made = made(AWARE, &["traefik.tcp.routers.t.rule=HostSNI(`*`)", ON]);
        let service = &made.tcp_services[0];
        assert_eq!((service.targets[0].tls, service.transport.as_deref()), (true, Some("connect:Web")));
    }

    #[test]
    fn a_scheme_that_is_tls_already_stays_and_the_mesh_wins_over_another_transport() {
        let start = "traefik.http.services.s.loadbalancer";
        let tags = [&format!("{start}.server.scheme=https"), &format!("{start}.serverstransport=inner"), ON];
        let made = made(AWARE, &tags.map(AsRef::as_ref));
        let balancer = made.services[0].balancer().unwrap();
        assert_eq!((balancer.targets[0].scheme, balancer.transport.as_deref()), (Scheme::Https, Some("connect:Web")));
    }
}
