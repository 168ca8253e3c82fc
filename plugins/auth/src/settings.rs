//! What an operator can set, as it arrives and as the kinds of authentication want it.

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_policy_kit::source;
use sluice_policy_kit::values::{List, Switch};

use crate::users::{DigestUsers, Users};

/// As it arrives.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSettings {
    /// `basic` or `digest`.
    kind: RawKind,
    /// `name:hash` for `basic`, `name:realm:HA1` for `digest`.
    #[serde(default)]
    users: List,
    /// A file with one of these on each line. The gateway reads it, and again when it has changed.
    users_file: Option<FileText>,
    /// What clients show their users, `traefik` where nothing is said.
    realm: Option<String>,
    /// Take the `Authorization` header away from the request.
    #[serde(alias = "removeheader")]
    remove_header: Option<Switch>,
    /// The request header that receives the user's name.
    #[serde(alias = "headerfield")]
    header_field: Option<String>,
}

/// What the gateway makes of the path of a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileText {
    text: String,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    Basic,
    Digest,
}

/// What is checked.
#[derive(Debug)]
pub(crate) enum Kind {
    Basic(Users),
    Digest(DigestUsers),
}

/// As the policy wants it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) realm: String,
    pub(crate) remove_header: bool,
    pub(crate) header_field: Option<String>,
}

impl Settings {
    /// Makes sense of what arrived.
    pub(crate) fn check(raw: RawSettings) -> Result<Self, String> {
        let RawSettings { kind, users, users_file, realm, remove_header, header_field } = raw;
        let file = users_file.map(|file| file.text);
        let kind = match kind {
            RawKind::Basic => Kind::Basic(Users::parse(&users.0, file.as_deref())?),
            RawKind::Digest => Kind::Digest(DigestUsers::parse(&users.0, file.as_deref())?),
        };
        let realm = realm.filter(|realm| !realm.is_empty()).unwrap_or_else(|| "traefik".to_owned());
        if realm.contains(['"', '\\']) || realm.chars().any(char::is_control) {
            return Err(format!("`realm` is `{realm}` and must not have quotes, backslashes or control characters"));
        }
        let header_field = header_field.filter(|name| !name.is_empty());
        if let Some(name) = &header_field {
            source::header(name.clone())?;
        }
        Ok(Self { kind, realm, remove_header: remove_header.is_some_and(|switch| switch.0), header_field })
    }
}
