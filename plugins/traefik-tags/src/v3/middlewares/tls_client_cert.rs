//! `passtlsclientcert`: what the client's certificate says, for the upstream.

use sluice_plugin_sdk::router::{Action, CertificateInfo, CertificateStyle, ClientCertificate, NameParts};

use crate::certificate;
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
    let info = kind.child("info").map(|info| {
        let flag = |name: &str| info.flag(name) == Some(true);
        CertificateInfo {
            not_before: flag("notbefore"),
            not_after: flag("notafter"),
            sans: flag("sans"),
            serial_number: flag("serialnumber"),
            subject: name_parts(info, "subject"),
            issuer: name_parts(info, "issuer"),
        }
    });
    let pem = kind.flag("pem") == Some(true);
    Ok(Action::ClientCertificate(ClientCertificate { pem, info, style: CertificateStyle::TraefikV3 }))
}

fn name_parts(info: &Node, name: &str) -> NameParts {
    let flag = |part: &str| info.child(name).and_then(|name| name.flag(part)) == Some(true);
    certificate::name_parts(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::middleware;

    #[test]
    fn everything_can_be_asked_for() {
        let options = [
            "pem=true",
            "info.sans=true",
            "info.serialnumber=true",
            "info.subject.organizationalunit=true",
            "info.issuer.commonname=true",
        ];
        let options: Vec<_> = options.iter().map(|option| format!("passtlsclientcert.{option}")).collect();
        let info = CertificateInfo {
            not_before: false,
            not_after: false,
            sans: true,
            serial_number: true,
            subject: NameParts::ORGANIZATIONAL_UNIT,
            issuer: NameParts::COMMON_NAME,
        };
        let wanted = ClientCertificate { pem: true, info: Some(info), style: CertificateStyle::TraefikV3 };
        let found = middleware(&options.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found, Some(Action::ClientCertificate(wanted)));
    }
}
