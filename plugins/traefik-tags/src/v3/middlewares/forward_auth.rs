//! `forwardauth`: another server decides who may pass, asked by the policy plugin `forward-auth`.

use serde_json::{Map, Value};
use sluice_plugin_sdk::router::Action;

use super::policy;
use crate::report::Problem;
use crate::settings::Settings;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Integer, Object, Text};
use crate::tags::tree::Node;
use crate::transports::{self, Files};

pub(super) const OPTIONS: Schema = Object(
    &[
        ("address", Text),
        ("trustforwardheader", Boolean),
        ("authresponseheaders", Text),
        ("authresponseheadersregex", Text),
        ("authrequestheaders", Text),
        ("addauthcookiestoresponse", Text),
        ("headerfield", Text),
        ("forwardbody", Boolean),
        ("maxbodysize", Integer),
        ("maxresponsebodysize", Integer),
        ("preservelocationheader", Boolean),
        ("preserverequestmethod", Boolean),
        ("authsigninurl", Text),
        ("tls", Object(&[("ca", Text), ("cert", Text), ("key", Text), ("insecureskipverify", Boolean)], Refused)),
    ],
    Refused,
);

const TEXTS: &[(&str, &str)] = &[
    ("authresponseheadersregex", "auth-response-headers-regex"),
    ("authsigninurl", "auth-signin-url"),
    ("headerfield", "header-field"),
];

const LISTS: &[(&str, &str)] = &[
    ("authresponseheaders", "auth-response-headers"),
    ("authrequestheaders", "auth-request-headers"),
    ("addauthcookiestoresponse", "add-auth-cookies-to-response"),
];

const FLAGS: &[(&str, &str)] = &[
    ("trustforwardheader", "trust-forward-header"),
    ("forwardbody", "forward-body"),
    ("preservelocationheader", "preserve-location-header"),
    ("preserverequestmethod", "preserve-request-method"),
];

/// A negative size is none.
const SIZES: &[(&str, &str)] = &[("maxbodysize", "max-body-size"), ("maxresponsebodysize", "max-response-body-size")];

pub(super) fn action(kind: &Node, settings: &Settings) -> Result<Action, Problem> {
    let address = kind.text("address").unwrap_or_default();
    if let Some(message) = malformed(address) {
        return Err(Problem::new(kind.tag_of("address"), message));
    }
    let mut forward = Map::new();
    forward.insert("address".into(), address.into());
    for (option, setting) in TEXTS {
        if let Some(text) = kind.text(option).filter(|text| !text.is_empty()) {
            forward.insert((*setting).into(), text.into());
        }
    }
    for (option, setting) in LISTS {
        let list = kind.list(option);
        if !list.is_empty() {
            forward.insert((*setting).into(), list.into());
        }
    }
    for (option, setting) in FLAGS {
        if kind.flag(option) == Some(true) {
            forward.insert((*setting).into(), true.into());
        }
    }
    for (option, setting) in SIZES {
        if let Some(size) = kind.integer(option).filter(|size| *size >= 0) {
            forward.insert((*setting).into(), size.into());
        }
    }
    if let Some(transport) = transport(kind, address, settings)? {
        forward.insert("transport".into(), transport.into());
    }
    Ok(policy("forward-auth", Value::Object(forward)))
}

/// The transport of the configuration with the files that `tls` names; none where there is no TLS to speak.
fn transport<'s>(kind: &Node, address: &str, settings: &'s Settings) -> Result<Option<&'s str>, Problem> {
    let Some(tls) = kind.child("tls").filter(|_| address.starts_with("https://")) else { return Ok(None) };
    let wanted = Files {
        ca: tls.text("ca").unwrap_or_default(),
        cert: tls.text("cert").unwrap_or_default(),
        key: tls.text("key").unwrap_or_default(),
        insecure_skip_verify: tls.flag("insecureskipverify") == Some(true),
    };
    let found = transports::with(wanted, settings);
    found
        .map(Some)
        .map_err(|message| Problem::new(tls.children.first().map_or(&tls.tag, |option| &option.tag), message))
}

/// What is wrong with the address of an authentication server.
pub(crate) fn malformed(address: &str) -> Option<String> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| address.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => None,
        _ => Some(format!("`{address}` is not the URL of a server, such as `http://auth:4181/verify`")),
    }
}
