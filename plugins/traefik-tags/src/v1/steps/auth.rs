//! `frontend.auth.*`: the policy plugins `auth` and `forward-auth`. Of several kinds the first counts: basic, digest, forward.

use serde_json::{Map, Value, json};
use sluice_plugin_sdk::router::Action;

use super::super::frontend::Frontend;
use super::super::options::Chosen;
use super::policy;
use crate::report::{Problem, Report};
use crate::tags::words;
use crate::transports::{self, Files};
use crate::v3::{malformed_address, malformed_user};

pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let scope = frontend.scope;
    let has = |start: &str| scope.all().any(|(name, _)| name.starts_with(start));
    let mut settings = match (scope.get("auth.basic").is_some() || has("auth.basic."), has("auth.digest.")) {
        (true, _) => users(frontend, "basic", 1, report)?,
        (false, true) => users(frontend, "digest", 2, report)?,
        (false, false) if has("auth.forward.") => return forward(frontend, report).map(Some),
        (false, false) => {
            if let Some(chosen) = scope.get("auth.headerField") {
                report.warning(&frontend.object, chosen.tag, "without an authentication there is no name to pass on");
            }
            return Ok(None);
        }
    };
    if let Some(field) = scope.get("auth.headerField") {
        settings.insert("header-field".into(), field.value.into());
    }
    Ok(Some(policy("auth", &Value::Object(settings))))
}

/// Each user has that many colons.
fn users(
    frontend: &Frontend<'_>,
    kind: &str,
    colons: usize,
    report: &mut Report,
) -> Result<Map<String, Value>, Problem> {
    let (scope, object) = (frontend.scope, &frontend.object);
    let get = |option: &str| scope.get(&format!("auth.{kind}.{option}"));
    let deprecated = scope.get("auth.basic").filter(|_| kind == "basic");
    if let Some(chosen) = deprecated {
        let message = "`auth.basic` is deprecated and wins over `auth.basic.users`; use `auth.basic.users`";
        report.warning(object, chosen.tag, message);
    }
    let (list, file) = (deprecated.or_else(|| get("users")), get("usersFile"));
    let users = list.map_or_else(Vec::new, |chosen| words::list(chosen.value));
    if users.is_empty() && file.is_none() {
        let message = format!("there is no user; give it `auth.{kind}.users` or `auth.{kind}.usersFile`");
        return Err(Problem::new(list.map_or("", |chosen| chosen.tag), message));
    }
    if let (Some(wrong), Some(chosen)) = (malformed_user(&users, colons), list) {
        return Err(Problem::new(chosen.tag, wrong));
    }
    let mut settings = Map::new();
    settings.insert("kind".into(), kind.into());
    settings.insert("users".into(), users.into());
    if let Some(Chosen { value, .. }) = file {
        settings.insert("users-file".into(), value.into());
    }
    if scope.flag(&format!("auth.{kind}.removeHeader"), false, object, report) {
        settings.insert("remove-header".into(), true.into());
    }
    Ok(settings)
}

fn forward(frontend: &Frontend<'_>, report: &mut Report) -> Result<Action, Problem> {
    let (scope, object) = (frontend.scope, &frontend.object);
    let address = scope.get("auth.forward.address");
    let url = address.map_or("", |chosen| chosen.value);
    if let Some(message) = malformed_address(url) {
        return Err(Problem::new(address.map_or("", |chosen| chosen.tag), message));
    }
    let headers =
        scope.get("auth.forward.authResponseHeaders").map_or_else(Vec::new, |chosen| words::list(chosen.value));
    let trust = scope.flag("auth.forward.trustForwardHeader", false, object, report);
    let mut settings = json!({ "address": url, "auth-response-headers": headers, "trust-forward-header": trust });
    if let (Some(transport), Some(settings)) = (transport(frontend, url, report)?, settings.as_object_mut()) {
        settings.insert("transport".into(), transport.into());
    }
    Ok(policy("forward-auth", &settings))
}

/// The transport of the configuration with the files that `auth.forward.tls` names.
fn transport<'a>(frontend: &Frontend<'a>, url: &str, report: &mut Report) -> Result<Option<&'a str>, Problem> {
    let (scope, object) = (frontend.scope, &frontend.object);
    let Some((_, first)) = scope.all().find(|(name, _)| name.starts_with("auth.forward.tls.")) else { return Ok(None) };
    let text = |name: &str| scope.get(&format!("auth.forward.tls.{name}")).map_or("", |chosen| chosen.value);
    if let Some(optional) = scope.get("auth.forward.tls.caOptional") {
        report.warning(object, optional.tag, "`caOptional` has no effect: it is about certificates of clients");
    }
    let (ca, cert, key) = (text("ca"), text("cert"), text("key"));
    let insecure_skip_verify = scope.flag("auth.forward.tls.insecureSkipVerify", false, object, report);
    if !url.starts_with("https://") {
        report.warning(object, first.tag, "this has no effect: the address is without TLS");
        return Ok(None);
    }
    let found = transports::with(Files { ca, cert, key, insecure_skip_verify }, frontend.group.settings);
    found.map(Some).map_err(|message| Problem::new(first.tag, message))
}
