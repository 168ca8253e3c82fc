//! `frontend.passTLSCert`: instances are shown the certificate of the entrypoint. Deprecated, and one certificate serves
//! the whole frontend here: that of the first entrypoint it is reached at.

use super::frontend::Frontend;
use crate::report::{Problem, Report};

/// The transport instances are spoken to by; `None` is the usual one.
///
/// # Errors
/// The frontend is reached at an entrypoint without a certificate to show: Traefik does not serve it then.
pub(super) fn transport(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<String>, Problem> {
    let scope = frontend.scope;
    let Some(chosen) = scope.get("passTLSCert") else { return Ok(None) };
    report.warning(&frontend.object, chosen.tag, "`passTLSCert` is deprecated; use `passTLSClientCert.pem`");
    if !scope.flag("passTLSCert", false, &frontend.object, report) {
        return Ok(None);
    }
    let names = frontend.entrypoints(report)?;
    let mut reached = frontend.group.settings.reached_at(&names).peekable();
    let first = reached.peek().map(|entrypoint| entrypoint.name.clone());
    let first =
        first.ok_or_else(|| Problem::new(chosen.tag, "there is no entrypoint whose certificate could be shown"))?;
    let mut others = 0_usize;
    for entrypoint in reached {
        others = others.saturating_add(usize::from(entrypoint.name != first));
        if !entrypoint.tls {
            let message = format!("entrypoint `{}` is not TLS, so there is no certificate to show", entrypoint.name);
            return Err(Problem::new(chosen.tag, message));
        }
    }
    if others > 0 {
        let message =
            format!("instances are shown the certificate of `{first}`, whatever entrypoint a request comes by");
        report.warning(&frontend.object, chosen.tag, message);
    }
    Ok(Some(format!("entrypoint:{first}")))
}

#[cfg(test)]
mod tests {
    use sluice_plugin_sdk::router::{Contribution, Severity};

    use crate::testing::{contribution, names, service_with, severities};

    const ENTRYPOINTS: &str = r#"{"entrypoints":[{"name":"http","as-default":true},{"name":"https","tls":true},
                                                {"name":"more","tls":true}]}"#;

    fn with(tags: &[&str]) -> Contribution {
        let tags: Vec<_> = tags.iter().map(|tag| format!("traefik.{tag}")).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        contribution(ENTRYPOINTS, &service_with("web", &[&tags]))
    }

    fn transports(result: &Contribution) -> Vec<(&str, Option<&str>)> {
        let transport = |service: &'_ sluice_plugin_sdk::router::ServiceSpec| {
            service.balancer().and_then(|balancer| balancer.transport.clone())
        };
        let named = result.services.iter().map(|service| (service.name.as_str(), transport(service)));
        named.map(|(name, found)| (name, found.map(|found| &*found.leak()))).collect()
    }

    #[test]
    fn instances_are_shown_the_entrypoints_certificate() {
        let one = with(&["frontend.passTLSCert=true", "frontend.entryPoints=https"]);
        assert_eq!(transports(&one), [("web", Some("entrypoint:https"))]);
        assert_eq!(severities(&one), [Severity::Warning], "it is deprecated");
        let two = with(&["frontend.passTLSCert=true", "frontend.entryPoints=more,https"]);
        assert_eq!((transports(&two), two.diagnostics.len()), (vec![("web", Some("entrypoint:https"))], 2));
        let segment =
            with(&["frontends.s.passTLSCert=true", "frontends.s.entryPoints=https", "frontends.s.rule=Host:s"]);
        assert_eq!(transports(&segment), [("web", None), ("web-s", Some("entrypoint:https"))]);
        assert_eq!(transports(&with(&["frontend.passTLSCert=false"])), [("web", None)]);
    }

    #[test]
    fn without_tls_the_frontend_is_not_served() {
        for tags in
            [&["frontend.passTLSCert=true"][..], &["frontend.passTLSCert=true", "frontend.entryPoints=http,https"]]
        {
            let result = with(tags);
            assert!(names(&result.routes).is_empty(), "{tags:?}");
            assert!(result.diagnostics.iter().any(|found| found.message.contains("`http` is not TLS")), "{tags:?}");
        }
    }
}
