//! `passtlsclientcert`: what the client's certificate says, for the upstream.

use sluice_plugin_sdk::router::Action;

use super::unsupported;
use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Object};
use crate::tags::tree::Node;

pub(super) const OPTIONS: Schema = Object(&[("pem", Boolean), ("info", INFO)], Refused);

const INFO: Schema = Object(
    &[
        ("notafter", Boolean),
        ("notbefore", Boolean),
        ("sans", Boolean),
        ("serialnumber", Boolean),
        ("subject", DISTINGUISHED_NAME),
        ("issuer", DISTINGUISHED_NAME),
    ],
    Refused,
);

const DISTINGUISHED_NAME: Schema = Object(
    &[
        ("country", Boolean),
        ("province", Boolean),
        ("locality", Boolean),
        ("organization", Boolean),
        ("organizationalunit", Boolean),
        ("commonname", Boolean),
        ("serialnumber", Boolean),
        ("domaincomponent", Boolean),
    ],
    Refused,
);

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    unsupported(kind)
}
