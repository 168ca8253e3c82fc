//! `frontend.redirect.*`: to an entrypoint, or to what a regular expression makes of the address.

use sluice_plugin_sdk::router::{Action, RedirectRegexp, RedirectScheme, SchemeSource};

use super::super::frontend::Frontend;
use super::super::options::Chosen;
use crate::report::{Problem, Report};

/// # Errors
/// An entrypoint nobody knows the port of: the frontend must not be served without its redirect.
pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let (scope, object) = (frontend.scope, &frontend.object);
    let permanent = scope.flag("redirect.permanent", false, object, report);
    if let Some(entrypoint) = scope.get("redirect.entryPoint") {
        return to_entrypoint(frontend, entrypoint, permanent).map(Some);
    }
    match (scope.get("redirect.regex"), scope.get("redirect.replacement")) {
        (Some(pattern), Some(replacement)) => Ok(Some(by_regexp(pattern, replacement, permanent))),
        (Some(only), None) | (None, Some(only)) => {
            let message = "a redirect needs both `redirect.regex` and `redirect.replacement`, so there is none";
            report.warning(object, only.tag, message);
            Ok(None)
        }
        (None, None) => Ok(None),
    }
}

/// The port is always written, and whoever came in by that entrypoint is there already.
fn to_entrypoint(frontend: &Frontend<'_>, wanted: Chosen<'_>, permanent: bool) -> Result<Action, Problem> {
    let target = frontend.group.settings.entrypoint(wanted.value);
    let Some((target, port)) = target.and_then(|target| Some((target, target.port?))) else {
        return Err(Problem::new(wanted.tag, format!("there is no entrypoint `{}` to redirect to", wanted.value)));
    };
    Ok(Action::RedirectScheme(RedirectScheme {
        scheme: if target.tls { "https" } else { "http" }.to_owned(),
        port: Some(port),
        permanent,
        except_entrypoint: Some(target.name.clone()),
    }))
}

/// Whether a template in the replacement can be read is known to the gateway.
fn by_regexp(pattern: Chosen<'_>, replacement: Chosen<'_>, permanent: bool) -> Action {
    Action::RedirectRegexp(RedirectRegexp {
        // Doubled for v1's own parser.
        pattern: pattern.value.replace(r"\\", r"\"),
        replacement: replacement.value.to_owned(),
        templated: replacement.value.contains("{{"),
        permanent,
        scheme_from: SchemeSource::Forwarded,
    })
}

#[cfg(test)]
mod tests {
    use sluice_plugin_sdk::router::Severity;

    use super::*;
    use crate::testing::{contribution, names, service_with, severities, v1_step};

    const ENTRYPOINTS: &str =
        r#"{"entrypoints":[{"name":"http","port":80},{"name":"https","tls":true,"port":8443},{"name":"odd"}]}"#;

    fn redirect(options: &[&str]) -> Option<Action> {
        let options: Vec<_> = options.iter().map(|option| format!("frontend.redirect.{option}")).collect();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        v1_step(ENTRYPOINTS, &options)
    }

    #[test]
    fn an_entrypoint_gives_scheme_and_port_and_is_exempt() {
        let to = |scheme: &str, port, permanent, name: &str| {
            let (scheme, port, except_entrypoint) = (scheme.to_owned(), Some(port), Some(name.to_owned()));
            Some(Action::RedirectScheme(RedirectScheme { scheme, port, permanent, except_entrypoint }))
        };
        assert_eq!(redirect(&["entryPoint=https"]), to("https", 8443, false, "https"));
        assert_eq!(redirect(&["entryPoint=http", "permanent=true"]), to("http", 80, true, "http"));
        let both = redirect(&["entryPoint=https", "regex=a", "replacement=b"]);
        assert_eq!(both, to("https", 8443, false, "https"), "the entrypoint wins");
    }

    #[test]
    fn a_pattern_is_as_written_but_for_doubled_backslashes() {
        let wanted = |pattern: &str, replacement: &str| {
            let (pattern, replacement) = (pattern.to_owned(), replacement.to_owned());
            let (scheme_from, templated) = (SchemeSource::Forwarded, replacement.contains("{{"));
            let redirect = RedirectRegexp { pattern, replacement, templated, permanent: false, scheme_from };
            Some(Action::RedirectRegexp(redirect))
        };
        let replacement = "replacement=https://k/$1";
        assert_eq!(redirect(&[r"regex=^http://h\.a/(\d)", replacement]), wanted(r"^http://h\.a/(\d)", "https://k/$1"));
        assert_eq!(redirect(&[r"regex=^http://h\\.a", replacement]), wanted(r"^http://h\.a", "https://k/$1"));
        let template = "https://k{{.Request.Host}}";
        assert_eq!(redirect(&["regex=a", &format!("replacement={template}")]), wanted("a", template));
    }

    #[test]
    fn half_a_redirect_is_none_and_a_wrong_one_costs_the_frontend() {
        for half in ["traefik.frontend.redirect.regex=a", "traefik.frontend.redirect.replacement=a"] {
            let result = contribution(ENTRYPOINTS, &service_with("web", &[&[half]]));
            assert_eq!((names(&result.routes), result.steps.len()), (vec!["web"], 0), "{half}");
            assert_eq!(severities(&result), [Severity::Warning], "{half}");
        }
        for wrong in [&["entryPoint=ghost"][..], &["entryPoint=odd"]] {
            let tags: Vec<_> = wrong.iter().map(|option| format!("traefik.frontend.redirect.{option}")).collect();
            let tags: Vec<_> = tags.iter().map(String::as_str).collect();
            let result = contribution(ENTRYPOINTS, &service_with("web", &[&tags]));
            assert!(result.routes.is_empty(), "{wrong:?}");
            assert_eq!(result.diagnostics.first().map(|found| found.tag.as_str()), tags.last().copied());
        }
    }
}
