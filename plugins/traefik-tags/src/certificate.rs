//! The parts of a certificate's names, which both dialects call the same but for the letter case.

use sluice_plugin_sdk::router::NameParts;

/// The parts whose flag is set, by v1's names.
pub(crate) fn name_parts(mut flag: impl FnMut(&str) -> bool) -> NameParts {
    let parts = [
        ("country", NameParts::COUNTRY),
        ("province", NameParts::PROVINCE),
        ("locality", NameParts::LOCALITY),
        ("organization", NameParts::ORGANIZATION),
        ("organizationalUnit", NameParts::ORGANIZATIONAL_UNIT),
        ("commonName", NameParts::COMMON_NAME),
        ("serialNumber", NameParts::SERIAL_NUMBER),
        ("domainComponent", NameParts::DOMAIN_COMPONENT),
    ];
    let set = parts.into_iter().filter(|(name, _)| flag(name));
    set.fold(NameParts::empty(), |all, (_, part)| all | part)
}
