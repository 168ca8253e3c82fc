//! `frontend.passTLSClientCert.*`.

use sluice_plugin_sdk::router::{Action, CertificateInfo, CertificateStyle, ClientCertificate, NameParts};

use super::super::frontend::Frontend;
use crate::certificate;
use crate::report::{Problem, Report};

/// Never a problem: what is no boolean is reported and counts as false.
pub(super) fn action(frontend: &Frontend<'_>, report: &mut Report) -> Result<Option<Action>, Problem> {
    let scope = frontend.scope;
    if !scope.all().any(|(name, _)| name.starts_with("passTLSClientCert.")) {
        return Ok(None);
    }
    let mut flag = |name: &str| scope.flag(&format!("passTLSClientCert.{name}"), false, &frontend.object, report);
    let (pem, not_before, not_after) = (flag("pem"), flag("infos.notBefore"), flag("infos.notAfter"));
    let sans = flag("infos.sans");
    let mut parts = |name: &str| certificate::name_parts(|part| flag(&format!("infos.{name}.{part}")));
    let (subject, issuer) = (parts("subject"), parts("issuer"));
    let says_something =
        not_before || not_after || sans || subject != NameParts::empty() || issuer != NameParts::empty();
    let info = CertificateInfo { not_before, not_after, sans, serial_number: false, subject, issuer };
    let info = says_something.then_some(info);
    Ok(Some(Action::ClientCertificate(ClientCertificate { pem, info, style: CertificateStyle::TraefikV1 })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::v1_step;

    #[test]
    fn flags_are_read_and_the_step_is_there_even_where_all_are_false() {
        let step = |pem, info| {
            Some(Action::ClientCertificate(ClientCertificate { pem, info, style: CertificateStyle::TraefikV1 }))
        };
        let found = |options: &[&str]| {
            let options: Vec<_> = options.iter().map(|option| format!("frontend.passTLSClientCert.{option}")).collect();
            v1_step("{}", &options.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let info = CertificateInfo {
            not_before: false,
            not_after: true,
            sans: false,
            serial_number: false,
            subject: NameParts::COMMON_NAME | NameParts::COUNTRY,
            issuer: NameParts::empty(),
        };
        let options = ["infos.notAfter=true", "infos.subject.commonName=true", "infos.subject.country=true"];
        assert_eq!(found(&options), step(false, Some(info)));
        assert_eq!(found(&["pem=true"]), step(true, None));
        assert_eq!(found(&["pem=false"]), step(false, None), "what clients send of it is still removed");
    }
}
