//! `entrypoints.NAME.redirect`: whoever arrives there is sent to another entrypoint.

use super::entrypoint::Entrypoint;
use super::problem::{Place, Problem};
use super::reader::{Section, suggestion};
use super::values::{boolean, nonempty};

/// Where clients are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The entrypoint, or its port, as written.
    pub to: String,
    /// The scheme to go to.
    pub scheme: String,
    /// The port to go to.
    pub port: u16,
    /// 301 and 308 in place of 302 and 307.
    pub permanent: bool,
}

/// A redirect before it is known which entrypoints there are.
pub(super) struct Written {
    to: String,
    place: Place,
    key: String,
    scheme: String,
    permanent: bool,
}

pub(super) fn redirect(mut section: Section<'_>) -> Option<Written> {
    let hint = "name an entrypoint, as in `to = \"websecure\"`, or a port, as in `to = \":443\"`";
    let to = section.require("to", hint, |node| Ok((nonempty(node)?, node.place.clone())));
    let scheme = section.read_or("scheme", "https".to_owned(), nonempty);
    let permanent = section.read_or("permanent", true, boolean);
    let key = section.key("to");
    section.finish();
    let (to, place) = to?;
    Some(Written { to, place, key, scheme, permanent })
}

/// Looks up where a redirect leads.
pub(super) fn resolve(written: Written, entrypoints: &[(Entrypoint, Place)], root: &Section<'_>) -> Option<Redirect> {
    let Written { to, place, key, scheme, permanent } = written;
    let named = entrypoints.iter().find(|(entrypoint, _)| entrypoint.name == to);
    let port = named.map(|(entrypoint, _)| entrypoint.address.port()).or_else(|| to.strip_prefix(':')?.parse().ok());
    let Some(port) = port else {
        let names: Vec<&str> = entrypoints.iter().map(|(entrypoint, _)| entrypoint.name.as_str()).collect();
        let message = format!("there is no entrypoint `{to}`");
        root.report(Problem::new(place, key, message).hint(suggestion(&to, &names)));
        return None;
    };
    Some(Redirect { to, scheme, port, permanent })
}
