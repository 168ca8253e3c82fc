//! What Traefik 1 has at entrypoints and Sluice in policies: authentication and lists of addresses.

use super::draft::Draft;
use super::source::Source;

/// Policies attached to the entrypoint `name`, in the order requests meet them in Traefik.
pub(super) fn of_entrypoint(source: &mut Source, draft: &mut Draft, from: &str, name: &str) {
    white_list(source, draft, from, name);
    authentication(source, draft, from, name);
}

fn white_list(source: &mut Source, draft: &mut Draft, from: &str, name: &str) {
    let deprecated = source.list(&format!("{from}.whitelistSourceRange"));
    let Some(ranges) = source.list(&format!("{from}.whiteList.sourceRange")).or(deprecated) else { return };
    let mut config = toml::Table::from_iter([("source-range".to_owned(), ranges.into())]);
    if source.flag(&format!("{from}.whiteList.useXForwardedFor")) == Some(true) {
        config.insert("use-x-forwarded-for".to_owned(), true.into());
    }
    draft.policy(&format!("{name}-allow-list"), "ip-allow-list", name, config);
}

/// One kind counts, as in Traefik.
fn authentication(source: &mut Source, draft: &mut Draft, from: &str, name: &str) {
    let from = format!("{from}.auth");
    let kinds = ["basic", "digest", "forward"].into_iter().map(|kind| (kind, format!("{from}.{kind}")));
    let Some((kind, from_kind)) = kinds.into_iter().find(|(_, key)| source.has(key)) else { return };
    let (plugin, mut config) = if kind == "forward" {
        ("forward-auth", forward(source, &from_kind))
    } else {
        ("auth", users(source, kind, &from_kind))
    };
    if let Some(field) = source.text(&format!("{from}.headerField")) {
        config.insert("header-field".to_owned(), field.into());
    }
    draft.policy(&format!("{name}-{plugin}"), plugin, name, config);
}

fn users(source: &mut Source, kind: &str, from: &str) -> toml::Table {
    let mut config = toml::Table::from_iter([("kind".to_owned(), kind.into())]);
    if let Some(users) = source.list(&format!("{from}.users")) {
        config.insert("users".to_owned(), users.into());
    }
    if let Some(file) = source.text(&format!("{from}.usersFile")) {
        config.insert("users-file".to_owned(), file.into());
    }
    if source.flag(&format!("{from}.removeHeader")) == Some(true) {
        config.insert("remove-header".to_owned(), true.into());
    }
    config
}

fn forward(source: &mut Source, from: &str) -> toml::Table {
    let address = source.text(&format!("{from}.address")).unwrap_or_default();
    let mut config = toml::Table::from_iter([("address".to_owned(), address.into())]);
    if source.flag(&format!("{from}.trustForwardHeader")) == Some(true) {
        config.insert("trust-forward-header".to_owned(), true.into());
    }
    if let Some(headers) = source.list(&format!("{from}.authResponseHeaders")) {
        config.insert("auth-response-headers".to_owned(), headers.into());
    }
    config
}
